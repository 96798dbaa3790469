package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// ENUM asks the DNS for NAPTR records. No records and no such name are no error.
type ENUM interface {
	NAPTR(ctx context.Context, name string) ([]mapping.NAPTR, error)
}

// NumberTarget is where a number can be reached other than through the telephone network:
// one of the two is set.
type NumberTarget struct {
	JID xmpp.JID
	URI sip.URI // sip:
}

// maxENUM bounds the names that one look-up follows (RFC 6116 §5.2).
const maxENUM = 5

// LookupNumber looks a global number up by ENUM (RFC 6116): E2U+sip gives a SIP address,
// E2U+xmpp (RFC 4979) a JID. It waits for the DNS. ok is false when nothing usable is
// found, when ENUM is off, or when uri was looked up before (enumdi, RFC 4759). Targets
// that would lead back here are left out, as are tel URIs, which would be looked up again.
func (a *Addresses) LookupNumber(ctx context.Context, uri sip.URI) (t NumberTarget, ok bool, err error) {
	if a.enum == nil || uri.Params.Has("enumdi") {
		return t, false, nil
	}
	n, err := mapping.NumberFromURI(uri)
	if err != nil || n.Params.Has("enumdi") {
		return t, false, nil
	}
	name, err := mapping.ENUMName(n, a.enumZone)
	if err != nil {
		return t, false, nil // no E.164 number
	}
	var failed []error
	names := []string{name}
	for i := 0; i < len(names) && i < maxENUM; i++ {
		records, err := a.enum.NAPTR(ctx, names[i])
		if err != nil {
			failed = append(failed, fmt.Errorf("identity: ENUM: %w", err))
			continue
		}
		for _, target := range mapping.ENUMTargets(records, n, "sip", "xmpp") {
			if target.Next != "" {
				names = append(names, target.Next)
				continue
			}
			if t, ok := a.enumTarget(target.URI); ok {
				return t, true, nil
			}
		}
	}
	return NumberTarget{}, false, errors.Join(failed...)
}

func (a *Addresses) enumTarget(text string) (t NumberTarget, ok bool) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch strings.ToLower(scheme) {
	case "sip":
		u, err := sip.ParseURI(text)
		if err != nil || u.User == "" || len(u.Headers) > 0 || a.ours[u.Host] || mapping.IsAnonymous(u) {
			return t, false
		}
		return NumberTarget{URI: u}, true
	case "xmpp":
		address, _, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
		j, err := xmpp.ParseJID(address)
		if err != nil || j.Local() == "" || j.Domain() == a.component {
			return t, false
		}
		return NumberTarget{JID: j.Bare()}, true
	}
	return t, false
}

package dialog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
)

// Replaces names a call of the one who gets it (RFC 3891 §6.1).
type Replaces struct {
	CallID         string
	ToTag, FromTag string // the receiver's own tag, and that of its peer
	EarlyOnly      bool   // only as long as it is not answered
}

// ErrReplaces tells that a Replaces field cannot be read.
var ErrReplaces = errors.New("dialog: malformed Replaces")

// ParseReplaces reads the value of the field.
func ParseReplaces(v string) (Replaces, error) {
	id, rest, _ := strings.Cut(v, ";")
	r := Replaces{CallID: strings.TrimSpace(id)}
	if r.CallID == "" || strings.ContainsAny(r.CallID, " \t,") {
		return Replaces{}, fmt.Errorf("%w: no Call-ID", ErrReplaces)
	}
	for p := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(p, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "to-tag":
			if r.ToTag != "" {
				return Replaces{}, fmt.Errorf("%w: two to-tags", ErrReplaces)
			}
			r.ToTag = value
		case "from-tag":
			if r.FromTag != "" {
				return Replaces{}, fmt.Errorf("%w: two from-tags", ErrReplaces)
			}
			r.FromTag = value
		case "early-only":
			r.EarlyOnly = true
		}
	}
	if r.ToTag == "" || r.FromTag == "" {
		return Replaces{}, fmt.Errorf("%w: a tag is missing", ErrReplaces)
	}
	return r, nil
}

// String is the value of the field.
func (r Replaces) String() string {
	s := r.CallID + ";to-tag=" + r.ToTag + ";from-tag=" + r.FromTag
	if r.EarlyOnly {
		s += ";early-only"
	}
	return s
}

// In returns the URI with a Replaces header, for Refer-To (RFC 3891 §3).
func (r Replaces) In(u sip.URI) sip.URI {
	u.Headers = u.Headers.Clone()
	u.Headers.Set("Replaces", r.String())
	return u
}

// replacesOf reads the Replaces field of an INVITE; found is false without one. More than one
// is as bad as one that cannot be read (RFC 3891 §3).
func replacesOf(req *sip.Request) (r Replaces, found bool, err error) {
	list := sip.Values(req, "Replaces")
	if len(list) == 0 {
		return r, false, nil
	}
	if len(list) > 1 || strings.Contains(list[0], ",") {
		return r, true, fmt.Errorf("%w: more than one", ErrReplaces)
	}
	r, err = ParseReplaces(list[0])
	return r, true, err
}

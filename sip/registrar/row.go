package registrar

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// ErrRow is wrapped for a stored binding that cannot be read.
var ErrRow = errors.New("registrar: unreadable binding")

// Row is a binding as a store keeps it: text and numbers only. Its fields are
// those of store.BindingRow, so that the one converts to the other.
type Row struct {
	AOR       string
	ID        string
	Node      string // the store's business; empty here
	Contact   string // name-addr with the feature parameters
	Path      string // header value
	Instance  string
	RegID     int
	Q         int
	CallID    string
	CSeq      int64
	UserAgent string
	Transport string
	Source    string // address:port to send to; empty: where the contact points
	Updated   time.Time
	Expires   time.Time
}

// Row gives what is to be stored. The flow is not: a connection ends with the
// process, and a UDP phone is reached at its source from any socket of ours.
func (b *Binding) Row() Row {
	r := Row{
		AOR: b.AOR, ID: b.ID, Contact: sip.NameAddr{URI: b.Contact, Params: b.Params}.String(),
		Instance: b.Instance, RegID: b.RegID, Q: b.Q, CallID: b.CallID, CSeq: int64(b.CSeq),
		UserAgent: b.UserAgent, Transport: b.Transport, Updated: b.Updated, Expires: b.Expires,
	}
	path := make([]string, len(b.Path))
	for i, p := range b.Path {
		path[i] = p.String()
	}
	r.Path = strings.Join(path, ", ")
	if b.ToSource {
		r.Source = b.Source.String()
	}
	return r
}

// Binding reads a stored binding back; Registered is Updated then.
func (r Row) Binding() (Binding, error) {
	fail := func(what string, err error) (Binding, error) {
		return Binding{}, fmt.Errorf("%w: %s of %s: %w", ErrRow, what, r.AOR, err)
	}
	if u, err := sip.ParseURI(r.AOR); err != nil {
		return fail("aor", err)
	} else if u.Key() != r.AOR {
		return fail("aor", errors.New("not in canonical form"))
	}
	contact, err := sip.ParseNameAddr(r.Contact)
	if err != nil {
		return fail("contact", err)
	}
	b := Binding{
		AOR: r.AOR, ID: r.ID, Contact: contact.URI, Params: contact.Params,
		Instance: r.Instance, RegID: r.RegID, Q: r.Q, CallID: r.CallID, CSeq: uint32(r.CSeq),
		UserAgent: r.UserAgent, Transport: r.Transport, Registered: r.Updated, Updated: r.Updated, Expires: r.Expires,
	}
	if r.Path != "" {
		if b.Path, err = sip.ParseNameAddrs(r.Path); err != nil {
			return fail("path", err)
		}
	}
	if r.Source != "" {
		if b.Source, err = netip.ParseAddrPort(r.Source); err != nil {
			return fail("source", err)
		}
		b.ToSource = true
	}
	return b, nil
}

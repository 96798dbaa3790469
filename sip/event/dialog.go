package event

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Sender is what this package needs of the SIP stack; *ua.UA is one.
type Sender interface {
	// Do sends one request and returns its final response.
	Do(ctx context.Context, req *sip.Request, t ua.Target) (*sip.Response, error)
	// Alive tells whether a flow can still be used.
	Alive(f ua.Flow) bool
	// Contact is the URI under which a peer at that address reaches us.
	Contact(user, transport string, peer netip.Addr) sip.URI
}

var _ Sender = (*ua.UA)(nil)

// maxDialogText bounds in bytes what a peer can make us remember of one dialog.
const maxDialogText = 4096

var errTooLong = errors.New("event: dialog state is too long")

// texts are the strings of a dialog in one allocation, copied from the message that
// brought them (a substring would keep the whole message).
type texts struct {
	all  string
	ends [textCount]uint16
}

// text names one of them.
type text uint8

const (
	textCallID    text = iota
	textRemoteTag      // the peer's
	textLocal          // URI of our From or To
	textRemote         // URI of the peer's
	textResource       // what is subscribed to, when it is not textLocal
	textWatcher        // who subscribes, when it is not textRemote
	textTarget         // remote target
	textRoutes         // route set, as a Route value
	textContact        // our Contact
	textEventID
	textRequire // option tag of every NOTIFY
	textCount
)

func packTexts(list [textCount]string) (t texts, err error) {
	n := 0
	for _, s := range list {
		n += len(s)
	}
	if n > maxDialogText {
		return t, fmt.Errorf("%w: %d bytes", errTooLong, n)
	}
	var b strings.Builder
	b.Grow(n)
	for i, s := range list {
		b.WriteString(s)
		t.ends[i] = uint16(b.Len())
	}
	t.all = b.String()
	return t, nil
}

func (t *texts) get(k text) string {
	start := uint16(0)
	if k > 0 {
		start = t.ends[k-1]
	}
	return t.all[start:t.ends[k]]
}

func (t *texts) list() (list [textCount]string) {
	for k := range textCount {
		list[k] = t.get(k)
	}
	return list
}

// arrival is a request with what this package looks at besides; it stands between
// ua.Inbound and the rules so that they can be tested without sockets.
type arrival struct {
	req       *sip.Request
	transport string
	source    netip.AddrPort
	flow      ua.Flow
	auth      ua.Identity
	tag       string // our tag in the answer
}

func arrivalOf(in *ua.Inbound) arrival {
	return arrival{in.Request, in.Transport, in.Source, in.Flow, in.Auth, in.Tag()}
}

// exempt tells sources that have no limits: those that sip/ua exempts as well.
func (a *arrival) exempt() bool {
	return a.auth.Kind == ua.AuthTrusted || a.source.Addr().IsLoopback()
}

// peer is the other end of a dialog as its request shows it: the URI to send to, the
// route set and the way back.
type peer struct {
	target sip.URI
	routes []sip.NameAddr
	flow   ua.Flow
}

var errContact = errors.New("event: no usable Contact")

// peerOf reads Contact and Record-Route of a request that we take (RFC 3261 §12.1.1:
// the route set in the order of the request). found is false without a Contact.
func peerOf(a *arrival) (p peer, found bool, err error) {
	contacts, star, err := sip.Contacts(a.req)
	if err != nil || star || len(contacts) > 1 {
		return p, false, errContact
	}
	if p.routes, err = sip.NameAddrs(a.req, "Record-Route"); err != nil {
		return p, false, fmt.Errorf("event: Record-Route: %w", err)
	}
	if len(contacts) == 1 {
		if !contacts[0].URI.IsSIP() {
			return p, false, errContact
		}
		p.target, found = contacts[0].URI, true
		p.target.Headers = nil
	}
	p.flow = wayBack(a, p)
	return p, found, nil
}

// wayBack is the flow to answer over. A peer that came by itself, not through a proxy,
// is reached over its connection as long as that is there, for nearly every phone on
// TCP sits behind a NAT; over UDP at its source, when it asks for that by rport (RFC
// 3581) or when its Contact is another address. registrar does the same.
func wayBack(a *arrival, p peer) ua.Flow {
	if len(p.routes) > 0 || hopCount(a.req) != 1 {
		return ua.Flow{}
	}
	if a.transport != "udp" {
		return a.flow
	}
	via := a.req.Via()
	if via == nil {
		return ua.Flow{}
	}
	if _, rport := via.Params.Get("rport"); rport || !pointsAt(p.target, a.source) {
		return a.flow
	}
	return ua.Flow{}
}

func pointsAt(u sip.URI, source netip.AddrPort) bool {
	addr, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	port := u.Port
	if port == 0 {
		port = 5060
	}
	return err == nil && addr == source.Addr() && port == int(source.Port())
}

// way is where a request in the dialog goes.
func (p peer) way(alive func(ua.Flow) bool) ua.Target {
	t := ua.Target{URI: p.target}
	switch {
	case len(p.routes) > 0:
		t = ua.Target{Routes: p.routes}
	case !p.flow.IsZero() && alive(p.flow):
		t.Flow = p.flow
	}
	return t
}

// hopOf is the key of the next hop in the outbox.
func (p peer) hopOf() uint64 {
	switch {
	case len(p.routes) > 0:
		return hopKey(p.routes[0].URI)
	case !p.flow.IsZero():
		return hashOf(p.flow.Remote.String())
	}
	return hopKey(p.target)
}

func hopKey(u sip.URI) uint64 {
	var b [64]byte
	s := append(b[:0], u.Host...)
	s = append(s, ':', byte(u.Port>>8), byte(u.Port))
	return maphash.Bytes(seed, s)
}

// seed of the keys that are hashes; they never leave the process.
var seed = maphash.MakeSeed()

func hashOf(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range parts {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

func routesText(list []sip.NameAddr) string {
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = n.Append(b)
	}
	return string(b)
}

func parseRoutes(s string) ([]sip.NameAddr, error) {
	if s == "" {
		return nil, nil
	}
	return sip.ParseNameAddrs(s)
}

// contactFor is our Contact for a request that came: the user part that the peer
// called us by, at the address that it can reach.
func contactFor(s Sender, a *arrival) sip.URI {
	user, err := sip.UnescapeUser(a.req.Recipient.User)
	if err != nil {
		user = ""
	}
	return s.Contact(user, a.transport, a.source.Addr())
}

package registrar

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// limits are the numbers that bind a registration.
type limits struct {
	min, max time.Duration
	contacts int
}

// apply carries out a registration on the bindings of its AOR: RFC 3261 §10.3
// steps 6 and 7. current holds live bindings only. The list that is returned is
// new; current stays as it is, so a refusal changes nothing.
func (r *registration) apply(current []Binding, now time.Time, lim limits) ([]Binding, *sip.Status) {
	next := slices.Clone(current)
	if r.star {
		for i := range next {
			if r.outdated(&next[i]) {
				return nil, refuse(400, "CSeq Out Of Order")
			}
		}
		return nil, nil
	}
	for _, c := range r.contacts {
		if c.expires > 0 && c.expires < lim.min {
			return nil, refuse(423, "", "Min-Expires", seconds(lim.min))
		}
	}
	var touched []string // a contact that stands twice in one request is not out of order
	for i := range r.contacts {
		c := &r.contacts[i]
		at := r.find(next, c)
		if at >= 0 && r.outdated(&next[at]) && !slices.Contains(touched, next[at].ID) {
			return nil, refuse(400, "CSeq Out Of Order")
		}
		if c.expires == 0 {
			if at >= 0 {
				next = slices.Delete(next, at, at+1)
			}
			continue
		}
		b := r.binding(c, now, min(c.expires, lim.max))
		if at >= 0 {
			b.ID, b.Registered = next[at].ID, next[at].Registered
			next[at] = b
		} else {
			next = append(next, b)
		}
		touched = append(touched, b.ID)
		if c.regID > 0 { // the same contact without a flow is the same phone
			next = slices.DeleteFunc(next, func(o Binding) bool { return o.RegID == 0 && o.Contact.Equal(c.uri) })
		}
	}
	if len(next) > lim.contacts {
		return nil, refuse(403, "Too Many Contacts")
	}
	sortBindings(next)
	return next, nil
}

// outdated tells whether a request is older than what it wants to change
// (§10.3 step 7: same Call-ID and no higher CSeq).
func (r *registration) outdated(b *Binding) bool { return b.CallID == r.callID && r.cseq <= b.CSeq }

// find returns the place of the binding that a contact means, or -1: by instance
// and reg-id for a flow (RFC 5626 §6), else by the rules of URI comparison. These
// are not transitive, so a binding may have the ID of a contact that it does not
// equal any more; it is meant as well, for an ID stands once.
func (r *registration) find(list []Binding, c *contact) int {
	id := c.id()
	return slices.IndexFunc(list, func(b Binding) bool {
		if c.regID > 0 {
			return b.ID == id
		}
		return b.ID == id || b.Contact.Equal(c.uri)
	})
}

// id names the binding that a contact makes.
func (c *contact) id() string {
	if c.regID > 0 {
		return strings.ToLower(c.instance) + ";" + strconv.Itoa(c.regID)
	}
	return c.uri.String()
}

// binding is what a contact becomes.
func (r *registration) binding(c *contact, now time.Time, expires time.Duration) Binding {
	b := Binding{
		AOR: r.aor.String(), ID: c.id(), Contact: c.uri, Params: c.params, Q: c.q, Instance: c.instance, RegID: c.regID,
		CallID: r.callID, CSeq: r.cseq, Registered: now, Updated: now, Expires: now.Add(expires),
		Path: r.path, Transport: r.transport, Source: r.source, UserAgent: r.userAgent,
	}
	if !r.direct || len(r.path) > 0 {
		return b // the way leads through Path or to the contact, not to our peer
	}
	host, err := netip.ParseAddr(strings.Trim(c.uri.Host, "[]"))
	same := err == nil && host.Unmap() == r.source.Addr().Unmap()
	b.Flow = r.flow
	switch r.transport {
	case "udp":
		b.ToSource = r.rport || !same
	case "tcp":
		port := c.uri.Port
		if port == 0 {
			port = 5060
		}
		b.Connected = c.regID > 0 || !same || port == int(r.source.Port())
	default: // tls: a phone has no certificate to be dialled with; ws, wss: RFC 7118 §5
		b.Connected = true
	}
	return b
}

// answer is the 200 with everything that is registered now (§10.3 step 8).
func (r *registration) answer(list []Binding, now time.Time, flowTimer time.Duration) sip.Status {
	s := sip.Status{Code: 200}
	add := func(name, value string) {
		if h, err := sip.NewHeader(name, value); err == nil {
			s.Headers = append(s.Headers, h)
		}
	}
	for i := range list {
		add("Contact", r.contactValue(&list[i], now))
	}
	for _, p := range r.path { // RFC 3327 §5.3
		add("Path", p.String())
	}
	if r.outbound { // RFC 5626 §6
		add("Require", "outbound")
		if flowTimer > 0 && r.direct {
			add("Flow-Timer", seconds(flowTimer))
		}
	}
	if r.gruu {
		add("Supported", "gruu")
	}
	add("Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")) // RFC 3261 §20.17
	return s
}

func (r *registration) contactValue(b *Binding, now time.Time) string {
	n := sip.NameAddr{URI: b.Contact, Params: b.Params.Clone()}
	n.Params.Set("expires", seconds(b.Expires.Sub(now)))
	if b.Q < 1000 {
		n.Params.Set("q", strconv.FormatFloat(float64(b.Q)/1000, 'g', 3, 64))
	}
	if b.Instance != "" {
		n.Params.Set("+sip.instance", "<"+b.Instance+">")
		if b.RegID > 0 {
			n.Params.Set("reg-id", strconv.Itoa(b.RegID))
		}
		if r.gruu {
			n.Params.Set("pub-gruu", b.GRUU().String())
		}
	}
	return n.String()
}

// seconds writes a duration as delta-seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

package dialog

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/multipart"
	"github.com/stoxgate/stoxgate/sip/ua"
)

const sdpType = "application/sdp"

// cseqStep is how many CSeq numbers a request with credentials takes: sip/ua uses one more for
// each challenge that it answers, and there are at most four (401 and 407, each stale once).
const cseqStep = 5

func (c *core) nextCSeq() uint32 {
	n := c.cseq + 1
	c.cseq = n
	if c.way.Credentials != nil {
		c.cseq += cseqStep - 1
	}
	return n
}

// build starts a request within a dialog.
func (c *core) build(m sip.Method, p *peer, cseq uint32) *sip.Request {
	req := sip.NewRequest(m, p.target)
	to := c.remote
	if p.tag != "" {
		to.Params = append(to.Params.Clone(), sip.Param{Name: "tag", Value: p.tag})
	}
	sip.SetDialogHeaders(req, c.local, to, c.callID, cseq)
	sip.SetMaxForwards(req, 70)
	switch m {
	case sip.INVITE, sip.UPDATE, sip.REFER, sip.NOTIFY:
		sip.SetContact(req, c.contact)
	}
	return req
}

// target is where a request within a dialog goes: along the route set, else over the flow that
// the peer came by, else to its Contact. sip/ua falls back to nothing, so Leg looks whether a
// flow is there.
func (c *core) target(p *peer) ua.Target {
	t := ua.Target{Credentials: c.way.Credentials, TLSName: c.way.TLSName}
	switch {
	case len(p.routes) > 0:
		t.Routes = p.routes
	default:
		t.Flow = p.flow
	}
	return t
}

func (c *core) bye(p *peer, tx txID) {
	req := c.build(sip.BYE, p, c.nextCSeq())
	addAll(req, reasonHeaders(c.reasons))
	c.do(fxSend{tx, req, c.target(p)})
}

func addAll(msg sip.Message, list []sip.Header) {
	for _, h := range list {
		switch m := msg.(type) {
		case *sip.Request:
			m.AppendHeader(h)
		case *sip.Response:
			m.AppendHeader(h)
		}
	}
}

func reasonHeaders(list []sip.Reason) (h []sip.Header) {
	for _, r := range list {
		if x, err := sip.NewHeader("Reason", r.String()); err == nil {
			h = append(h, x)
		}
	}
	return h
}

func header(name, value string) sip.Header { return sip.MustHeader(name, value) }

// setSDP puts an SDP into a request.
func setSDP(req *sip.Request, sdp []byte) {
	if len(sdp) > 0 {
		_ = sip.SetBody(req, sdpType, sdp) // the type is a constant
	}
}

// withSDP puts an SDP into a status.
func withSDP(s sip.Status, sdp []byte) sip.Status {
	if len(sdp) > 0 {
		s.Headers = append(slices.Clone(s.Headers), header("Content-Type", sdpType))
		s.Body = sdp
	}
	return s
}

// sdpOf finds the session description of a message: the body, or the first part of that type
// in a multipart body (RFC 5621); nil when there is none.
func sdpOf(msg sip.Message) []byte {
	body, kind := msg.Body(), sip.ContentType(msg)
	if len(body) == 0 || encoded(msg) {
		return nil
	}
	if sip.MediaTypeIs(kind, sdpType) {
		return body
	}
	if media, _, _ := strings.Cut(kind, "/"); strings.EqualFold(strings.TrimSpace(media), "multipart") {
		if m, err := multipart.Parse(kind, body); err == nil {
			return sdpPart(m)
		}
	}
	return nil
}

// encoded tells whether the body has a Content-Encoding; none is undone here.
func encoded(msg sip.Message) bool {
	v := strings.TrimSpace(sip.Value(msg, "Content-Encoding"))
	return v != "" && !strings.EqualFold(v, "identity") && len(msg.Body()) > 0
}

// refuseEncoded is the answer to such a request (RFC 3261 §8.2.3).
func refuseEncoded() sip.Status {
	return sip.Status{Code: 415, Headers: []sip.Header{header("Accept", sdpType), header("Accept-Encoding", "identity")}}
}

func sdpPart(m *multipart.Message) []byte {
	for i := range m.Parts {
		if p := &m.Parts[i]; sip.MediaTypeIs(p.Field("Content-Type"), sdpType) {
			return p.Body
		}
	}
	return nil
}

// contactOf is the remote target that a message names.
func contactOf(msg sip.Message) (sip.URI, bool) {
	list, star, err := sip.Contacts(msg)
	if err != nil || star || len(list) == 0 || !list[0].URI.IsSIP() {
		return sip.URI{}, false
	}
	u := list[0].URI
	u.Headers = nil
	return own(u), true
}

// own copies a URI, so that it does not keep the message alive that it was read from.
func own(u sip.URI) sip.URI {
	if c, err := sip.ParseURI(strings.Clone(u.String())); err == nil {
		return c
	}
	return u
}

// routesOf reads the Record-Route of a message into a route set, which is the reverse for the
// side that sent the request (RFC 3261 §12.1.2).
func routesOf(msg sip.Message, reverse bool) []sip.NameAddr {
	list, err := sip.NameAddrs(msg, "Record-Route")
	if err != nil || len(list) == 0 {
		return nil
	}
	for i := range list {
		list[i].URI, list[i].Display = own(list[i].URI), ""
		list[i].Params = nil
	}
	if reverse {
		slices.Reverse(list)
	}
	return list
}

// wayBack is the flow to answer over: a peer that came by itself is reached over its connection
// as long as that is there, for most phones sit behind a NAT; over UDP at its source, when it
// asks for that by rport (RFC 3581) or when its Contact is another address.
func wayBack(in *ua.Inbound, target sip.URI) ua.Flow {
	if sip.Value(in.Request, "Record-Route") != "" || len(sip.Values(in.Request, "Via")) != 1 || strings.Contains(sip.Value(in.Request, "Via"), ",") {
		return ua.Flow{}
	}
	if in.Transport != "udp" {
		return in.Flow
	}
	via := in.Request.Via()
	if via == nil {
		return ua.Flow{}
	}
	if _, rport := via.Params.Get("rport"); rport || !pointsAt(target, in.Source) {
		return in.Flow
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

// allows tells whether the peer's Allow names a method.
func allows(msg sip.Message, m sip.Method) bool { return sip.HasToken(msg, "Allow", string(m)) }

// capabilities are the headers of INVITE, of its responses and of an OPTIONS.
func (c *core) capabilities() []sip.Header {
	return []sip.Header{header("Allow", c.cfg.allow), header("Supported", c.cfg.supported)}
}

package dialog

import (
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Supported are the option tags of this package. ua.Config.Supported must have them, or
// sip/ua refuses a peer that requires them.
func Supported() []string { return append([]string(nil), ownSupported...) }

// Invite places a call. h gets its events; the first may come before Invite returns.
func (l *Layer) Invite(o Outgoing, h Handler) (*Leg, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.RequestURI.IsZero() {
		o.RequestURI = o.To.URI
		o.RequestURI.Headers = nil
	}
	if o.CallID == "" {
		o.CallID = token(16)
	}
	if o.From.Tag() == "" {
		o.From.Params = append(o.From.Params.Clone(), sip.Param{Name: "tag", Value: token(8)})
	}
	if o.Ring <= 0 {
		o.Ring = defaultRing
	}
	if o.MaxForwards <= 0 {
		o.MaxForwards = 70
	}
	if o.Contact.URI.IsZero() {
		transport, addr := l.toward(o)
		o.Contact = l.cfg.contact(o.From.URI, transport, addr)
	}
	g := &Leg{l: l, outgoing: true, h: h, callID: o.CallID, localTag: o.From.Tag()}
	g.key = legKey{g.callID, g.localTag}
	g.core = &core{
		cfg: l.cfg, rand: mathrand.Float64, uac: true, callID: o.CallID, local: o.From, remote: o.To, contact: o.Contact,
		way: ua.Target{Credentials: o.Target.Credentials, TLSName: o.Target.TLSName},
		placing: &placing{
			ruri: o.RequestURI, headers: o.Headers, offer: o.Offer, target: o.Target, ring: o.Ring, hops: o.MaxForwards,
		},
	}
	if l.add(g) != nil {
		return nil, ErrClosed
	}
	g.core.handle(inStart{})
	for _, e := range g.core.out {
		if x, ok := e.(fxInvite); ok {
			g.request = x.req
		}
	}
	g.post(inFlush{})
	return g, nil
}

// toward is what is known of the next hop without asking anybody.
func (l *Layer) toward(o Outgoing) (transport string, addr netip.Addr) {
	t := o.Target
	if !t.Flow.IsZero() {
		return t.Flow.Transport, t.Flow.Remote.Addr()
	}
	hop := o.RequestURI
	switch {
	case !t.URI.IsZero():
		hop = t.URI
	case len(t.Routes) > 0:
		hop = t.Routes[0].URI
	}
	transport = strings.ToLower(hop.Params.Value("transport"))
	if transport == "" && hop.Scheme == "sips" {
		transport = "tls"
	}
	addr, err := netip.ParseAddr(strings.Trim(hop.Host, "[]"))
	if err == nil && transport == "" {
		transport = "udp"
	}
	return transport, addr
}

// Handle takes the requests of Methods.
func (l *Layer) Handle(in *ua.Inbound) {
	if l.Take(in) {
		return
	}
	req := in.Request
	switch {
	case req.Method == sip.ACK: // nothing may be answered
	case req.Method == sip.INVITE && sip.ToTag(req) == "":
		l.invited(in)
	case req.Method == sip.OPTIONS && sip.ToTag(req) == "":
		l.u.AnswerOptions(in)
	case l.cfg.Stray != nil:
		l.cfg.Stray(in)
	case req.Method == sip.REFER && sip.ToTag(req) == "":
		_ = in.Respond(sip.Status{Code: 403})
	default:
		_ = in.Respond(sip.Status{Code: 481})
	}
}

// Take takes a request if it belongs to a call, and says whether it did.
func (l *Layer) Take(in *ua.Inbound) bool {
	req := in.Request
	g := l.find(sip.CallID(req), sip.ToTag(req))
	if g == nil {
		return false
	}
	if t := g.RemoteTag(); t != "" && t != sip.FromTag(req) {
		return false
	}
	switch req.Method {
	case sip.ACK:
		g.post(inACK{req})
		return true
	case sip.INVITE, sip.BYE, sip.PRACK, sip.UPDATE, sip.INFO, sip.REFER, sip.OPTIONS:
	case sip.NOTIFY:
		if e, err := sip.ParseEvent(sip.Value(req, "Event")); err == nil && e.Package != "refer" {
			return false // a subscription that shares our dialog is none of ours
		}
	default:
		return false
	}
	target, _ := contactOf(req)
	g.post(inRequest{req, in, wayBack(in, target)})
	if req.Method == sip.INVITE { // after it, for the CANCEL may be there already
		in.OnCancel(func(cancel *sip.Request) { g.post(inCancel{cancel, in}) })
	}
	return true
}

// invited takes a new call.
func (l *Layer) invited(in *ua.Inbound) {
	req := in.Request
	from, err := sip.FromOf(req)
	if err != nil {
		_ = in.Respond(sip.Status{Code: 400, Reason: "Bad Request - From"})
		return
	}
	to, err := sip.ToOf(req)
	if err != nil {
		_ = in.Respond(sip.Status{Code: 400, Reason: "Bad Request - To"})
		return
	}
	target, ok := contactOf(req)
	if !ok {
		_ = in.Respond(sip.Status{Code: 400, Reason: "Bad Request - Contact"})
		return
	}
	if encoded(req) {
		_ = in.Respond(refuseEncoded())
		return
	}
	n, _ := sip.CSeq(req)
	g := &Leg{l: l, request: req, sdp: sdpOf(req), callID: sip.CallID(req), localTag: in.Tag()}
	g.key = legKey{g.callID, g.localTag}
	g.merged = legKey{g.callID, from.Tag() + " " + strconv.FormatUint(uint64(n), 10)}
	if st := l.replaces(g, req); st != nil {
		_ = in.Respond(*st)
		return
	}
	tag := from.Tag()
	from.Params.Del("tag")
	to.Params.Set("tag", g.localTag)
	g.remoteTag.Store(&tag)
	c := &core{
		cfg: l.cfg, rand: mathrand.Float64, callID: g.callID, local: to, remote: from,
		contact: l.cfg.contact(to.URI, in.Transport, in.Source.Addr()),
		dlg:     peer{tag: tag, target: target, routes: routesOf(req, false), flow: wayBack(in, target)},
	}
	g.core = c
	if st := c.take(req); st != nil {
		_ = in.Respond(*st)
		return
	}
	if st := l.add(g); st != nil {
		_ = in.Respond(*st)
		return
	}
	g.post(inStart{in})
	in.OnCancel(func(cancel *sip.Request) { g.post(inCancel{cancel, in}) })
}

// replaces finds the call that a new one wants to replace (RFC 3891 §3).
func (l *Layer) replaces(g *Leg, req *sip.Request) *sip.Status {
	r, found, err := replacesOf(req)
	switch {
	case !found:
		return nil
	case err != nil:
		return &sip.Status{Code: 400, Reason: "Bad Request - Replaces"}
	}
	old := l.find(r.CallID, r.ToTag)
	if old == nil {
		return &sip.Status{Code: 481}
	}
	switch p := phase(old.stage.Load()); {
	case p == phaseInviting: // an early dialog may be replaced by its caller's wish only
		tags := old.early.Load()
		if tags == nil || !slices.Contains(*tags, r.FromTag) {
			return &sip.Status{Code: 481}
		}
	case old.RemoteTag() != r.FromTag || p == phaseUnknown || p.early():
		return &sip.Status{Code: 481}
	case !p.established():
		return &sip.Status{Code: 603}
	case r.EarlyOnly:
		return &sip.Status{Code: 486}
	}
	g.replaced = old
	return nil
}

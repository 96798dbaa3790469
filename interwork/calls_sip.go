package interwork

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/dialog"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
)

// caller is who sent an INVITE.
type caller struct {
	sip.NameAddr
	trusted bool // by its address or certificate, not by digest
	peer    netip.Addr
}

// invite takes INVITE and ACK from the SIP side: it finds out who begins a call, and
// leaves the rest to the dialogs.
func (c *calls) invite(in *ua.Inbound) {
	g := c.g
	if in.Request.Method != sip.INVITE || sip.ToTag(in.Request) != "" {
		c.layer.Handle(in)
		return
	}
	if g.draining.Load() {
		g.answer(in, "", cause.Overloaded(nil).Status())
		return
	}
	if refused := sip.RefuseSIPS(in.Request); refused != nil {
		g.answer(in, "", *refused)
		return
	}
	from, ok := g.caller(in)
	if !ok {
		return // answered already
	}
	c.callers.Store(in.Request, caller{from, in.Auth.Kind == ua.AuthTrusted, in.Source.Addr()})
	c.layer.Handle(in)
	select {
	case <-in.Done(): // refused by the dialogs
		c.callers.Delete(in.Request)
	default:
	}
}

// incoming begins a call of his. It runs on the leg's goroutine.
func (c *calls) incoming(l *dialog.Leg) dialog.Handler {
	v, ok := c.callers.LoadAndDelete(l.Request())
	if !ok {
		return nil // cancelled already
	}
	from := v.(caller)
	if old := l.Replaced(); old != nil {
		return c.replaces(l, old)
	}
	if c.unreachable(l.SDP()) {
		c.metrics.count(call.SIPToXMPP, "refused")
		l.Reject(c.otherFamily())
		return func(dialog.Event) {}
	}
	a, refused := c.called(l, from)
	if refused != nil {
		c.metrics.count(call.SIPToXMPP, "refused")
		l.Reject(*refused)
		return func(dialog.Event) {}
	}
	s := &sipLeg{Leg: l, actor: a, lane: from.URI.AOR().String(), refers: true, peer: from.peer}
	c.addLeg(s)
	a.note(s.lane, journal.Gateway, journal.SIP, "INVITE", rawRequest(l.Request()))
	a.waiting.Store(true)
	a.post(call.InviteReceived{Leg: s, Offer: l.SDP()})
	return s.handle
}

// called finds whom he calls and makes the call.
func (c *calls) called(l *dialog.Leg, who caller) (*actor, *sip.Status) {
	g := c.g
	to, err := g.addresses.ToXMPP(sip.RequestURI(l.Request()))
	if err != nil {
		s := addressStatus(err)
		return nil, &s
	}
	from, err := g.addresses.CallerToXMPP(who.URI)
	if err != nil {
		s := addressStatus(err)
		return nil, &s
	}
	aor, err := g.addresses.Canonical(who.URI)
	if err != nil {
		aor = who.URI.AOR()
	}
	refuse := func(s sip.Status) (*actor, *sip.Status) { return nil, &s }
	if !g.xmpp.Up() {
		return refuse(cause.LinkDown(nil).Status())
	}
	if c.crossing(call.XMPPToSIP, to, aor) {
		return refuse(sip.Status{Code: 486})
	}
	if from.Resource() == "" {
		// From a stable full JID: Conversations knows the call by it.
		if contacts, _, err := sip.Contacts(l.Request()); err == nil && len(contacts) == 1 {
			if full, err := from.WithResource(mapping.DeviceResource(contacts[0])); err == nil {
				from = full
			}
		}
	}
	source := ""
	if !who.trusted && !mapping.IsAnonymous(who.URI) {
		source = aor.Key()
	}
	a, refused := c.admit(call.SIPToXMPP, from, to, aor, "", source)
	if refused != nil {
		return refuse(refused.Status())
	}
	n, _ := sip.CSeq(l.Request())
	a.sid, _ = mapping.CallIDToSID(l.CallID(), sip.FromTag(l.Request()), n)
	return a, nil
}

// replaces gives an INVITE with Replaces to the call whose dialog it takes over.
func (c *calls) replaces(l, old *dialog.Leg) dialog.Handler {
	c.mu.Lock()
	o := c.byLeg[old]
	c.mu.Unlock()
	if o == nil {
		l.Reject(sip.Status{Code: 481})
		return func(dialog.Event) {}
	}
	s := &sipLeg{Leg: l, actor: o.actor, lane: o.lane, refers: true}
	c.addLeg(s)
	s.actor.note(s.lane, journal.Gateway, journal.SIP, "INVITE (replaces)", rawRequest(l.Request()))
	s.actor.post(call.InviteReplaced{Leg: s, Old: o, Offer: l.SDP()})
	return s.handle
}

func (c *calls) addLeg(s *sipLeg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byLeg[s.Leg] = s
}

// redirect follows a 3xx to where anybody could be called. Numbers cost money: whoever
// redirects to one must belong to the house, see sipLeg.redirected.
func (c *calls) redirect(to sip.URI) (ua.Target, bool) {
	if !to.IsSIP() || numberOf(to) != "" {
		return ua.Target{}, false
	}
	hops, refused := c.g.router.hops(to, xmpp.JID{})
	if refused != nil {
		return ua.Target{URI: to}, !c.g.isOurs(to.Host)
	}
	return hops[0].target, true
}

// maxForwards bounds how often a call is sent on to a number.
const maxForwards = 5

// redirected calls the number that a phone or a trunk of the house is forwarded to; false:
// that cannot be.
func (s *sipLeg) redirected(to []sip.NameAddr) bool {
	if !s.refers || s.forwards >= maxForwards || len(to) == 0 || numberOf(to[0].URI) == "" {
		return false
	}
	a := s.actor
	uri, err := a.g.addresses.Canonical(to[0].URI)
	if err != nil {
		return false
	}
	hops, refused := a.g.router.hops(uri, a.user)
	if refused != nil {
		return false
	}
	a.Note("forwarded to " + uri.String())
	for _, h := range hops {
		if a.dialOne(uri, h, s.offerBody, nil, s.replaced, s.forwards+1) != nil {
			return false
		}
	}
	return true
}

// Dial implements call.Ports.
func (a *actor) Dial(offer []byte) {
	a.waiting.Store(true)
	a.g.work.Go(func() {
		hops, refused := a.g.waysTo(a.g.workCtx, a.uri, a.user)
		if refused == nil {
			hops = onlyResource(hops, a.asked)
		}
		a.dialAll(a.uri, hops, refused, offer, nil, false)
	})
}

// Transfer implements call.Ports.
func (a *actor) Transfer(target sip.URI, offer []byte, headers []sip.Header) {
	a.g.work.Go(func() {
		if canonical, err := a.g.addresses.Canonical(target); err == nil {
			target = canonical
		}
		hops, refused := a.g.waysTo(a.g.workCtx, target, a.user)
		a.dialAll(target, hops, refused, offer, headers, true)
	})
}

// dialAll sends INVITEs side by side and says when there will be no more.
func (a *actor) dialAll(uri sip.URI, hops []hop, refused *cause.Cause, offer []byte, headers []sip.Header, replaced bool) {
	var status *sip.Status
	if refused != nil {
		s := refused.Status()
		status = &s
	}
	for _, h := range hops {
		if s := a.dialOne(uri, h, offer, headers, replaced, 0); s != nil {
			status = s
		}
	}
	a.post(call.Dialled{Status: status, Replaced: replaced})
}

// dialOne sends one INVITE; what it returns is why it could not.
func (a *actor) dialOne(uri sip.URI, h hop, offer []byte, headers []sip.Header, replaced bool, forwards int) *sip.Status {
	s := &sipLeg{actor: a, lane: uri.AOR().String(), offerBody: offer, replaced: replaced, forwards: forwards, refers: h.contact || h.target.Credentials != nil || a.g.router.trunkFor(uri, a.user) != nil}
	s.again = func() bool {
		if len(h.others) == 0 {
			return false
		}
		next := h.others[0]
		next.others = h.others[1:]
		return a.dialOne(uri, next, offer, headers, replaced, forwards) == nil
	}
	from := a.g.addresses.CallerToSIP(a.user, uri)
	if mapping.IsAnonymous(from.URI) {
		if h, err := sip.NewHeader("Privacy", "id"); err == nil { // RFC 3323 §4.2
			headers = append(slices.Clip(headers), h)
		}
	}
	ready := make(chan struct{})
	leg, err := a.calls.layer.Invite(dialog.Outgoing{
		From: from, To: sip.NameAddr{URI: uri}, RequestURI: h.ruri, Headers: headers, Offer: a.offerTo(h.ruri, h, offer), Target: h.target,
		CallID: mapping.SIDToCallID(a.sid, from.URI.AOR().String(), uri.AOR().String(), a.calls.host()),
		Ring:   a.calls.settings.Deadlines.Ring,
	}, func(e dialog.Event) {
		<-ready // the leg is known to the call before anything of it
		s.handle(e)
	})
	if err != nil {
		a.log.Warn().Err(err).Msg("INVITE not sent")
		return &sip.Status{Code: 500}
	}
	s.Leg = leg
	a.calls.addLeg(s)
	a.note(journal.Gateway, s.lane, journal.SIP, "INVITE", rawRequest(leg.Request()))
	a.post(call.Dialling{Leg: s, Replaced: replaced})
	close(ready)
	return nil
}

// sipLeg is a dialog as its call sees it.
type sipLeg struct {
	*dialog.Leg
	actor    *actor
	answered atomic.Bool // its INVITE has a 2xx
	lane     string
	again    func() bool // tries another flow to the same device
	referID  uint32      // of the REFER under way
	refers   bool        // its device may ask for a transfer, or forward to a number
	// Of a call of ours: what was offered, whether it is a transfer, how often it was forwarded.
	offerBody []byte
	replaced  bool
	forwards  int
	// Of a call of his: where it came from.
	peer netip.Addr
}

var _ call.Leg = (*sipLeg)(nil)

func (s *sipLeg) out(what string) { s.actor.note(journal.Gateway, s.lane, journal.SIP, what, nil) }
func (s *sipLeg) in(what string)  { s.actor.note(s.lane, journal.Gateway, journal.SIP, what, nil) }

// Ring implements call.Leg.
func (s *sipLeg) Ring(st sip.Status) {
	s.out(statusText(st))
	s.Leg.Ring(st, nil)
}

// Accept implements call.Leg.
func (s *sipLeg) Accept(body []byte) {
	s.out("200 OK")
	s.actor.waiting.Store(false)
	if len(s.SDP()) == 0 { // an offer
		body = s.actor.calls.facing(s.peer, body)
	}
	s.answered.Store(true)
	s.Leg.Accept(body)
}

// Reject implements call.Leg.
func (s *sipLeg) Reject(st sip.Status) {
	s.out(statusText(st))
	s.actor.waiting.Store(false)
	s.Leg.Reject(st)
}

// End implements call.Leg.
func (s *sipLeg) End(reasons ...sip.Reason) {
	s.actor.waiting.Store(false) // before he knows it: he may call back at once
	what := "480 " + sip.Text(480)
	switch {
	case s.answered.Load():
		what = "BYE"
	case s.Outgoing():
		what = "CANCEL"
	}
	s.out(what + reasonsText(reasons))
	s.Leg.End(reasons...)
}

// Offer implements call.Leg.
func (s *sipLeg) Offer(body []byte) {
	s.out("offer")
	s.Leg.Offer(body)
}

// Info implements call.Leg.
func (s *sipLeg) Info(contentType string, body []byte) {
	s.out("INFO " + contentType)
	s.Leg.Info(contentType, body, nil)
}

// Refer implements call.Leg.
func (s *sipLeg) Refer(target sip.URI) {
	s.out("REFER " + target.String())
	s.Leg.Refer(sip.NameAddr{URI: target})
}

// AnswerRefer implements call.Leg.
func (s *sipLeg) AnswerRefer(st sip.Status) {
	s.out(statusText(st) + " (REFER)")
	s.Leg.AnswerRefer(s.referID, st)
}

// Progress implements call.Leg.
func (s *sipLeg) Progress(st sip.Status) { s.NotifyRefer(s.referID, st) }

// reasonsText is what Reason header fields say, in short (RFC 3326 §2).
func reasonsText(list []sip.Reason) (text string) {
	for _, r := range list {
		text += " (" + r.Protocol + " " + strconv.Itoa(r.Cause) + ")"
	}
	return text
}

func statusText(s sip.Status) string { return strconv.Itoa(s.Code) + " " + s.Phrase() }

// handle turns the events of a dialog into inputs of its call.
func (s *sipLeg) handle(e dialog.Event) {
	a := s.actor
	switch e := e.(type) {
	case dialog.Progress:
		s.in(strconv.Itoa(e.Status))
		a.post(call.LegRang{Leg: s, Code: e.Status, Body: e.SDP})
	case dialog.Answered:
		s.answered.Store(true)
		s.in("200 OK")
		a.waiting.Store(false)
		a.post(call.LegAnswered{Leg: s, Body: e.SDP})
	case dialog.Failed:
		s.in(statusText(e.Status))
		st := e.Status
		if e.Cause != nil {
			st = requestFailure(e.Cause).Status()
			if errors.Is(e.Cause, dialog.ErrRing) {
				st = e.Status
			}
		}
		flowGone := st.Code == 430 || errors.Is(e.Cause, ua.ErrTransport)
		if flowGone && s.again != nil && s.again() || s.redirected(e.Redirect) {
			st = sip.Status{Code: 480} // what follows speaks for the device
		}
		a.calls.dropLeg(s)
		a.post(call.LegFailed{Leg: s, Status: st, Reasons: e.Reasons})
	case dialog.Confirmed:
		a.post(call.LegConfirmed{Leg: s, Body: e.SDP})
	case dialog.Offered:
		s.in("offer")
		a.post(call.LegOffered{Leg: s, Body: e.SDP})
	case dialog.OfferAnswered:
		a.post(call.LegOfferAnswered{Leg: s, Body: e.SDP})
	case dialog.OfferRefused:
		s.in("offer refused: " + statusText(e.Status))
		a.post(call.LegOfferRefused{Leg: s, Status: e.Status})
	case dialog.Info:
		s.info(e)
	case dialog.Referred:
		s.in("REFER " + e.To.URI.String())
		s.referred(e)
	case dialog.Notified:
		a.post(call.LegNotified{Leg: s, Status: e.Status})
	case dialog.Ended:
		switch {
		case e.ByPeer && errors.Is(e.Cause, dialog.ErrCancelled):
			s.in("CANCEL" + reasonsText(e.Reasons))
		case e.ByPeer:
			s.in("BYE" + reasonsText(e.Reasons))
		case e.Cause != nil:
			a.Note("dialog given up: " + e.Cause.Error())
		}
		a.calls.dropLeg(s)
		a.post(call.LegEnded{Leg: s, Reasons: e.Reasons, ByPeer: e.ByPeer, Expired: errors.Is(e.Cause, dialog.ErrExpired)})
	case dialog.Withdrawn:
	}
}

// info answers an INFO (RFC 6086 §4.2.2) and passes on what it says.
func (s *sipLeg) info(e dialog.Info) {
	if e.Package != "" {
		s.AnswerInfo(sip.Status{Code: 469})
		return
	}
	if _, _, ok := call.ReadDTMF(e.ContentType, e.Body); !ok && len(e.Body) > 0 {
		s.AnswerInfo(sip.Status{Code: 415})
		return
	}
	s.AnswerInfo(sip.Status{Code: 200})
	s.actor.post(call.LegInfo{Leg: s, Type: e.ContentType, Body: e.Body})
}

// referred takes a REFER. The call that it asks for is placed in her name and at the cost of
// the house, so only those may ask who belong to it: identities, trusted peers, trunks.
func (s *sipLeg) referred(e dialog.Referred) {
	id, known := s.actor.g.table.ByJID(s.actor.user)
	if !s.refers || known && !id.Policy.CallOut {
		s.Leg.AnswerRefer(e.ID, sip.Status{Code: 403})
		return
	}
	s.referID = e.ID
	in := call.LegReferred{Leg: s, Target: e.To.URI}
	in.Target.Headers = nil
	if e.Replaces != nil {
		in.Replaces = e.Replaces.String()
	}
	if by, err := sip.ParseNameAddr(e.ReferredBy); err == nil {
		in.By = by
	}
	s.actor.post(in)
}

func (c *calls) dropLeg(s *sipLeg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byLeg, s.Leg)
}

package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// transfer is somebody taking his place (RFC 3515): the gateway calls the target itself,
// and she notices nothing but another voice. Who asked for it may hang up at once, as most
// phones do.
type transfer struct {
	by   *leg
	over bool // who asked has hung up
	out  bool // no more INVITEs will be sent
	best sip.Status
	side *side         // with who is called
	wish sdp.Direction // that the offer to them said
}

// referred: he asks us to call somebody else in his place.
func (c *Call) referred(in LegReferred) {
	l := c.legOf(in.Leg)
	switch {
	case l == nil:
		return
	case l != c.used2 || c.state != Active || c.transfer != nil:
		l.AnswerRefer(sip.Status{Code: 480})
		return
	case !in.Target.IsSIP() && in.Target.Scheme != "tel":
		l.AnswerRefer(sip.Status{Code: 416})
		return
	}
	var headers []sip.Header
	if !in.By.URI.IsZero() {
		headers = appendHeader(headers, "Referred-By", in.By.String())
	}
	if in.Replaces != "" {
		headers = appendHeader(headers, "Replaces", in.Replaces)
	}
	next := newSide(relay.SIP, c.own, c.id)
	err := next.prepare(c.used.media, relay.Setup{Protection: c.sip.protection})
	var offer *sdp.Description
	if err == nil {
		offer, err = next.offer(mapping.OfferCodecs(c.own, c.hers()), c.wish())
	}
	if err != nil {
		l.AnswerRefer(sip.Status{Code: 480})
		return
	}
	c.transfer = &transfer{by: l, side: next, wish: c.wish()}
	l.AnswerRefer(sip.Status{Code: 202})
	l.Progress(sip.Status{Code: 100})
	c.ports.Note("transfer to " + in.Target.String())
	c.ports.Transfer(in.Target, offer.Append(nil), headers)
}

func appendHeader(list []sip.Header, name, value string) []sip.Header {
	h, err := sip.NewHeader(name, value)
	if err != nil {
		return list
	}
	return append(list, h)
}

func (c *Call) transferRang(_ *leg, code int) {
	if c.transfer != nil {
		c.transfer.by.Progress(sip.Status{Code: code})
	}
}

// transferAnswered: the target took the call, and the relay sends to it from now on.
func (c *Call) transferAnswered(l *leg, body []byte) {
	t := c.transfer
	if t == nil || c.state.Over() {
		l.End(elsewhere...)
		return
	}
	if err := c.takeDescription(t.side, body, true); err != nil {
		l.End(mapping.ReasonToReasons(mediaReason(err), true)...)
		return // transferFailed comes with the end of the leg
	}
	c.used2, l.replaced, c.transfer = l, false, nil
	for _, o := range c.legs {
		if o.replaced && !o.over {
			o.End(elsewhere...)
		}
	}
	if !t.over {
		t.by.Progress(sip.Status{Code: 200})
	}
	c.moved(t.wish)
}

// moved: his place is taken by somebody who was told this direction, and what the one before
// was asked has no answer any more.
func (c *Call) moved(told sdp.Direction) {
	c.wished = told
	c.raise(SModified)
}

// transferDialled: the INVITEs to the target are out, or could not be sent.
func (c *Call) transferDialled(s *sip.Status) {
	t := c.transfer
	if t == nil {
		return
	}
	t.out = true
	if s != nil {
		t.best = *s
	}
	c.transferOver()
}

// transferFailed: one device of the target does not take the call.
func (c *Call) transferFailed(_ *leg, s sip.Status) {
	if t := c.transfer; t != nil {
		if t.best.Code == 0 || better(s, t.best) {
			t.best = s
		}
		c.transferOver()
	}
}

// transferOver: when no device is left, the call stays with him, if he is still there.
func (c *Call) transferOver() {
	t := c.transfer
	if !t.out {
		return
	}
	for _, o := range c.legs {
		if o.replaced && !o.over {
			return
		}
	}
	c.transfer = nil
	if t.best.Code == 0 {
		t.best.Code = 480
	}
	if t.over {
		c.ended(PartySIP, mapping.StatusToReason(t.best, false))
		c.raise(SEnded)
		return
	}
	t.by.Progress(t.best)
}

// transferDone tells whether the end of his dialog is no end of the call.
func (c *Call) transferDone() bool {
	if c.transfer == nil || c.state.Over() {
		return false
	}
	c.transfer.over = true
	return true
}

// transferAsked: she asks that he calls somebody else (XEP-0251).
func (c *Call) transferAsked(iq *xmpp.IQ, t jingle.Transfer) {
	if c.state != Active || t.To.IsZero() || t.SID != "" {
		c.ports.Answer(iq, jingle.UnsupportedInfo())
		return
	}
	target, err := c.ports.Address(t.To)
	if err != nil {
		e := mapping.AddressError(err)
		c.ports.Answer(iq, &e)
		return
	}
	c.ports.Answer(iq, nil)
	c.ports.Note("transfer to " + target.String())
	c.used2.Refer(target)
}

// notified: how his device does with the transfer that she asked for.
func (c *Call) notified(in LegNotified) {
	if l := c.legOf(in.Leg); l == nil || l != c.used2 || in.Status.Code < 200 || c.state.Over() {
		return
	}
	if in.Status.Code/100 != 2 {
		c.ports.Note("transfer failed: " + in.Status.Phrase())
		return
	}
	c.ended(PartyXMPP, jingle.Reason{Condition: jingle.ReasonSuccess, App: jingle.Transferred()})
	c.raise(Dropped)
}

// InviteReplaced: an INVITE that takes the place of a dialog of this call (RFC 3891).
type InviteReplaced struct {
	Leg   Leg
	Old   Leg
	Offer []byte
}

func (InviteReplaced) isInput() {}

// replace moves his side to another device.
func (c *Call) replace(in InviteReplaced) {
	old, early := c.legOf(in.Old), c.used2 == nil
	switch {
	case old == nil || old.over || c.state.Over() || in.Offer == nil || c.used == nil || c.used.media == nil,
		early && c.rec.Direction != XMPPToSIP, !early && old != c.used2, // RFC 3891 §3
		c.rec.Direction == SIPToXMPP && !c.taken:
		in.Leg.Reject(sip.Status{Code: 481})
		return
	}
	next := newSide(relay.SIP, c.own, c.id)
	err := c.takeDescription(next, in.Offer, false)
	if err == nil {
		err = next.renew(c.used.media)
	}
	var answer *sdp.Description
	if err == nil {
		answer, err = next.answer(c.wish())
	}
	if err != nil {
		in.Leg.Reject(sip.Status{Code: 488})
		return
	}
	l := &leg{Leg: in.Leg}
	c.legs, c.used2 = append(c.legs, l), l
	l.Accept(answer.Append(nil))
	for _, o := range c.legs {
		if o != l && !o.over {
			o.End(elsewhere...)
		}
	}
	c.ports.Note("dialog replaced")
	c.moved(c.wish())
	if early {
		c.rec.Status = 200
		c.raise(SAnswered)
	}
}

package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
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
	c.transfer = &transfer{by: l}
	l.AnswerRefer(sip.Status{Code: 202})
	l.Progress(sip.Status{Code: 100})
	c.ports.Note("transfer to " + in.Target.String())
	c.ports.Transfer(in.Target, c.sip.reoffer(c.wish()), headers)
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
	before := c.used2
	c.used2, l.replaced = l, false
	if err := c.takeDescription(body, true); err != nil {
		c.used2, l.replaced = before, true
		l.End(mapping.ReasonToReasons(mediaReason(err), true)...)
		return // transferFailed comes with the end of the leg
	}
	c.transfer = nil
	for _, o := range c.legs {
		if o.replaced && !o.over {
			o.End(elsewhere...)
		}
	}
	c.wished = c.wish()
	if t.over {
		return
	}
	t.by.Progress(sip.Status{Code: 200})
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
	old := c.legOf(in.Old)
	if old == nil || old.over || c.state.Over() || in.Offer == nil || c.used == nil || c.used.media == nil {
		in.Leg.Reject(sip.Status{Code: 481})
		return
	}
	early := c.used2 == nil
	if !early && old != c.used2 || early && c.rec.Direction != XMPPToSIP {
		in.Leg.Reject(sip.Status{Code: 481})
		return
	}
	next := sipSide{origin: c.sip.origin}
	d, m, err := next.readSDP(in.Offer)
	if err == nil && len(c.set.audio(m.Codecs)) == 0 {
		err = errNoCodec
	}
	var local relay.Local
	if err == nil {
		local, err = c.used.media.Prepare(relay.SIP, 0, next.wants(&m))
	}
	if err != nil {
		in.Leg.Reject(sip.Status{Code: 488})
		return
	}
	l := &leg{Leg: in.Leg}
	c.legs, c.used2 = append(c.legs, l), l
	c.sip, c.sDir = next, m.Direction
	c.sip.remote, c.sip.codecs = d, chosen(c.keep(c.set.audio(m.Codecs)), m.Codecs)
	c.sip.hear = c.sip.codecs
	if early {
		c.sip.codecs = m.Codecs // what she speaks is not known yet
	} else if err := c.formats(); err != nil {
		c.ports.Log().Warn().Err(err).Msg("formats after a replacement")
	}
	r := remoteMedia(&m, false, c.sip.ice)
	if err := c.used.media.Connect(relay.SIP, 0, r); err != nil {
		c.ports.Log().Warn().Err(err).Msg("media after a replacement")
	}
	if again, err := c.used.media.Prepare(relay.SIP, 0, relay.Setup{}); err == nil {
		local = again
	}
	c.wished = c.wish()
	answer := chosen(c.keep(c.set.audio(m.Codecs)), m.Codecs)
	l.Accept(c.sip.answer(d, local, answer, r.Active, c.wished.Answer(c.sDir)))
	for _, o := range c.legs {
		if o != l && !o.over {
			o.End(elsewhere...)
		}
	}
	c.ports.Note("dialog replaced")
	if early {
		c.raise(SAnswered)
	}
}

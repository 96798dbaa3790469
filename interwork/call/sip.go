package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// sipInput takes what comes from his side.
func (c *Call) sipInput(in Input) {
	switch in := in.(type) {
	case InviteReceived:
		c.used2 = &leg{Leg: in.Leg}
		c.legs, c.invite, c.late, c.dialled = []*leg{c.used2}, in.Offer, in.Offer == nil, true
		c.raise(SInvited)
	case Dialling:
		c.dialling(in)
	case Dialled:
		if in.Replaced {
			c.transferDialled(in.Status)
			return
		}
		c.noMore(in.Status)
	case LegRang:
		c.legRang(in)
	case LegAnswered:
		c.legAnswered(in)
	case LegFailed:
		c.legFailed(in)
	case LegConfirmed:
		c.confirmed(in)
	case LegOffered:
		c.legOffered(in)
	case LegOfferAnswered:
		c.offerAnswered(in)
	case LegOfferRefused:
		c.offerRefused(in)
	case LegEnded:
		c.legEnded(in)
	case LegInfo:
		c.digitOfHis(in)
	case LegReferred:
		c.referred(in)
	case LegNotified:
		c.notified(in)
	case InviteReplaced:
		c.replace(in)
	default:
		panic("call: unknown input")
	}
}

func (c *Call) legOf(l Leg) *leg {
	for _, k := range c.legs {
		if k.Leg == l {
			return k
		}
	}
	return nil
}

func (c *Call) dialling(in Dialling) {
	l := &leg{Leg: in.Leg, replaced: in.Replaced}
	c.legs = append(c.legs, l)
	switch {
	case c.state.Over():
		l.End(mapping.ReasonToReasons(c.why, false)...)
	case in.Replaced && c.transfer == nil, !in.Replaced && c.used2 != nil:
		l.End(elsewhere...) // another device has it
	}
}

// noMore: all INVITEs are out.
func (c *Call) noMore(s *sip.Status) {
	c.dialled = true
	if s != nil {
		c.worse(*s)
	}
	c.legsGone()
	c.checkClosed()
}

// legsGone ends the call when no device of his can take it any more.
func (c *Call) legsGone() {
	if !c.dialled || c.used2 != nil || c.state.Over() {
		return
	}
	// 6xx speaks for all his devices (RFC 3261 §16.7 step 5).
	final := c.best != nil && c.best.Code/100 == 6
	for _, l := range c.legs {
		if !l.over && !final {
			return
		}
	}
	s := sip.Status{Code: 480}
	if c.best != nil {
		s = *c.best
	}
	c.ended(PartySIP, mapping.StatusToReason(s, !c.rec.Rang.IsZero()))
	for _, l := range c.legs {
		if !l.over {
			l.End(mapping.ReasonToReasons(c.why, false)...)
		}
	}
	c.rec.Status = s.Code
	c.raise(SFailed)
}

// worse keeps the best of the final responses of a fork (RFC 3261 §16.7 step 6): 6xx
// first, then the lowest class, and inside 4xx those that tell most.
func (c *Call) worse(s sip.Status) {
	if c.best == nil || better(s, *c.best) {
		c.best = &s
	}
}

func better(a, b sip.Status) bool {
	if a.Code/100 == 6 || b.Code/100 == 6 {
		return a.Code/100 == 6 && b.Code/100 != 6
	}
	if a.Code/100 != b.Code/100 {
		return a.Code/100 < b.Code/100
	}
	weak := func(code int) bool { return code == 408 || code == 480 || code == 487 }
	return !weak(a.Code) && weak(b.Code)
}

func (c *Call) legRang(in LegRang) {
	l := c.legOf(in.Leg)
	if l == nil || l.over {
		return
	}
	if l.replaced {
		c.transferRang(l, in.Code)
		return
	}
	if len(in.Body) > 0 {
		l.preview = in.Body
	}
	// 183 without sound is no ringing; with sound it is what the caller would hear, which we
	// cannot play yet.
	if in.Code == 180 || in.Code == 183 && len(in.Body) > 0 {
		if c.rec.Rang.IsZero() {
			c.rec.Rang = c.ports.Now()
		}
		c.raise(SRang)
	}
}

func (c *Call) legAnswered(in LegAnswered) {
	l := c.legOf(in.Leg)
	switch {
	case l == nil:
		return
	case l.replaced:
		c.transferAnswered(l, in.Body)
		return
	case c.state.Over():
		l.End(mapping.ReasonToReasons(c.why, true)...)
		return
	case c.used2 != nil:
		l.End(elsewhere...)
		return
	}
	c.used2 = l
	c.rec.Status = 200
	for _, o := range c.legs {
		if o != l && !o.over {
			o.End(elsewhere...)
		}
	}
	body := in.Body
	if body == nil {
		body = l.preview
	}
	if err := c.hisAnswer(body); err != nil {
		c.ports.Log().Info().Err(err).Msg("unusable answer")
		c.fail(jingle.Reason{Condition: jingle.ReasonIncompatibleParameters, Text: "The answer of the SIP side cannot be used"}, MediaFailed)
		return
	}
	c.raise(SAnswered)
}

// elsewhere tells the devices that lost (RFC 3326 §2).
var elsewhere = []sip.Reason{{Protocol: "SIP", Cause: 200, Text: "Call completed elsewhere"}}

func (c *Call) legFailed(in LegFailed) {
	l := c.legOf(in.Leg)
	if l == nil || l.over {
		return
	}
	l.over = true
	if l.replaced {
		c.transferFailed(l, in.Status)
		c.checkClosed()
		return
	}
	c.worse(in.Status)
	c.legsGone()
	c.checkClosed()
}

func (c *Call) legEnded(in LegEnded) {
	l := c.legOf(in.Leg)
	if l == nil || l.over {
		return
	}
	l.over = true
	defer c.checkClosed()
	switch {
	case l.replaced:
		c.transferFailed(l, sip.Status{Code: 487})
		return
	case l != c.used2:
		c.legsGone()
		return
	}
	by, r := PartySIP, mapping.ReasonsToReason(in.Reasons)
	switch {
	case in.Expired:
		r = jingle.Reason{Condition: jingle.ReasonExpired}
	case !in.ByPeer:
		r = jingle.Reason{Condition: jingle.ReasonConnectivityError}
	case c.rec.Direction == SIPToXMPP && c.rec.Bridged.IsZero():
		r = mapping.CancelToReason(in.Reasons) // it may cross our 2xx
	}
	if c.transferDone() {
		return
	}
	if c.rec.Direction == SIPToXMPP && c.rec.Answered.IsZero() {
		c.rec.Status = 487
	}
	c.ended(by, r)
	c.raise(SEnded)
}

// dial offers sound to all his devices: first the codecs that she told, if she did.
func (c *Call) dial() {
	b := c.used
	if !c.openMedia(b) {
		c.dialled = true
		return
	}
	var hers []sdp.Codec
	if b.said != nil {
		if d, err := c.described(b); err == nil {
			if i, err := newSide(relay.Jingle, c.own, c.id).sound(d); err == nil {
				hers = d.Media[i].Codecs
			}
		}
	}
	err := c.sip.prepare(b.media, relay.Setup{Protection: c.set.SIP})
	if err == nil {
		var offer *sdp.Description
		if offer, err = c.sip.offer(mapping.OfferCodecs(c.own, hers), c.wish()); err == nil {
			c.ports.Dial(offer.Append(nil))
			return
		}
	}
	c.dialled = true
	c.fail(mediaReason(err), MediaFailed)
}

func (c *Call) ring() {
	c.rec.Rang = c.ports.Now()
	c.used2.Ring(sip.Status{Code: 180})
}

// hangUp ends all his dialogs that live.
func (c *Call) hangUp() {
	for _, l := range c.legs {
		switch {
		case l.over:
		case l != c.used2:
			l.End(mapping.ReasonToReasons(c.why, false)...)
		case c.rec.Direction == SIPToXMPP && !c.taken:
			s := c.refusalStatus()
			c.rec.Status = s.Code
			l.Reject(s)
		default:
			l.End(mapping.ReasonToReasons(c.why, true)...)
		}
	}
}

// refusalStatus is the final response to his INVITE.
func (c *Call) refusalStatus() sip.Status {
	switch {
	case c.by == PartyXMPP && c.refused.reason.Condition == c.why.Condition && c.refused.status.Code != 0:
		return c.refused.status
	case c.by == PartyGateway && c.why.Condition == jingle.ReasonTimeout && c.rec.Rang.IsZero():
		// Nobody can be said not to answer who was never reached (Q.850 §2.2.5, cause 20).
		return sip.Status{Code: 480, Headers: appendHeader(nil, "Reason", sip.Reason{Protocol: "Q.850", Cause: 20}.String())}
	}
	if c.by == PartyGateway && c.why == reasonBusy {
		return sip.Status{Code: 503, RetryAfter: busyFor}
	}
	return mapping.ReasonToStatus(c.why, !c.rec.Rang.IsZero())
}

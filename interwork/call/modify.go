package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// formats tells the relay what each side speaks and which way sound flows, once both are
// known.
func (c *Call) formats() error {
	b := c.used
	if b == nil || b.media == nil || b.side == nil || b.speak == nil || c.sip.speak == nil {
		return nil
	}
	x, s := c.flows()
	x.Codecs, s.Codecs = relayCodecs(b.speak), relayCodecs(c.sip.speak)
	x.Receive, s.Receive = relayCodecs(b.hear), relayCodecs(c.sip.hear)
	if err := b.media.Format(relay.Jingle, 0, x); err != nil {
		return err
	}
	return b.media.Format(relay.SIP, 0, s)
}

// flows are the directions: what she wants and what he wants, and a hold of hers keeps
// his sound from her.
func (c *Call) flows() (x, s relay.Format) {
	x.Send, x.Recv = c.xDir.Receives() && !c.xHold, c.xDir.Sends()
	s.Send, s.Recv = c.sDir.Receives(), c.sDir.Sends()
	return x, s
}

// setDirections makes the relay follow a change of direction.
func (c *Call) setDirections() {
	if c.state.Over() {
		return
	}
	if err := c.formats(); err != nil {
		c.ports.Log().Warn().Err(err).Msg("directions not set")
	}
}

// offer sends him a re-INVITE with what she wants now.
func (c *Call) offer() {
	d := c.wish()
	if c.xHold && !c.sDir.Receives() {
		d = sdp.Inactive // both hold
	}
	out, err := c.sip.reoffer(d, nil)
	if err != nil {
		c.ports.Log().Debug().Err(err).Msg("re-INVITE has to wait")
		return
	}
	c.wished = c.wish()
	c.used2.Offer(out.Append(nil))
}

// offerAnswered: his answer to a re-INVITE, or to what we offered in answer to his.
func (c *Call) offerAnswered(in LegOfferAnswered) {
	l := c.legOf(in.Leg)
	if l == nil || l != c.used2 || c.state != Active && c.state != Modifying {
		return
	}
	err := errNoAudio
	if in.Body != nil {
		err = c.takeDescription(c.sip, in.Body, true)
	}
	if err != nil {
		c.ports.Log().Info().Err(err).Msg("unusable answer to a re-INVITE")
		c.sip.n.Refuse()
	}
	c.raise(SModified)
}

// offerRefused: the session stays as it was, and what he does not want is not asked again.
func (c *Call) offerRefused(in LegOfferRefused) {
	if l := c.legOf(in.Leg); l == nil || l != c.used2 || c.state.Over() {
		return
	}
	if c.sip.n.Pending() == sdp.Local {
		c.sip.n.Refuse()
	}
	c.wished = c.wish()
	c.raise(SModified)
}

// confirmed: his ACK, with the answer when the offer was ours.
func (c *Call) confirmed(in LegConfirmed) {
	if l := c.legOf(in.Leg); l == nil || l != c.used2 {
		return
	}
	if c.late && c.state == Answering {
		if err := c.takeDescription(c.sip, in.Body, true); err != nil {
			c.fail(jingle.Reason{Condition: jingle.ReasonIncompatibleParameters, Text: "The answer of the SIP side cannot be used"}, MediaFailed)
			return
		}
	}
	c.raise(SConfirmed)
}

// takeDescription takes a description of his within a call: where to send, what, and
// which way. s is his side, or that of somebody in his place. After an error nothing has
// changed but that an offer of his is pending.
func (c *Call) takeDescription(s *side, body []byte, answer bool) error {
	if c.used == nil || c.used.media == nil {
		return errNoAudio
	}
	into := s.answered
	if !answer {
		into = s.offered
	}
	if err := parsed(body, into); err != nil {
		return err
	}
	protection, err := s.protection, error(nil)
	if !answer {
		err = s.prepare(c.used.media, s.wants())
	}
	if err == nil {
		err = s.connect(c.used.media)
	}
	if err != nil {
		s.protection = protection
		return err
	}
	s.choose(c.hers(), answer)
	c.sip, c.sDir = s, s.theirs().Direction
	if err := c.formats(); err != nil {
		return err
	}
	c.tellHold()
	return nil
}

// hers is what she is sent; nil before that is known.
func (c *Call) hers() []sdp.Codec {
	if c.used == nil || c.used.side == nil {
		return nil
	}
	return c.used.speak
}

// tellHold lets her know that he holds the call, or not any more (XEP-0167 §8).
func (c *Call) tellHold() {
	holds := !c.sDir.Receives()
	if holds == c.told || c.used == nil || c.used.session == nil || c.state == Accepting {
		return
	}
	c.told = holds
	if holds {
		c.info(c.used, jingle.Hold{})
		return
	}
	c.info(c.used, jingle.Unhold{})
}

// legOffered: his re-INVITE or UPDATE.
func (c *Call) legOffered(in LegOffered) {
	l := c.legOf(in.Leg)
	if l == nil {
		return
	}
	if l != c.used2 || l.over {
		l.Refuse(statusPending)
		return
	}
	c.reinvite = in.Body
	c.raise(SOffered)
}

// answerOffer answers his re-INVITE: the relay takes what changes, so nobody is asked.
func (c *Call) answerOffer() {
	// An offer of ours that his has overtaken has not left the dialog; it is made again after
	// this one, with what is agreed then.
	again := c.sip.n.Pending() == sdp.Local
	if again && c.state != Modifying {
		c.used2.Refuse(statusPending)
		return
	}
	c.sip.n.Refuse()
	out, err := c.answerTo(c.reinvite)
	if err != nil {
		c.ports.Log().Info().Err(err).Msg("unusable re-INVITE")
		c.sip.n.Refuse()
	}
	switch {
	case again && c.sip.n.Pending() == sdp.Local:
		c.used2.Offer(out.Append(nil)) // he asked for it
	case again:
		c.offer()
	}
	if err != nil {
		c.used2.Refuse(statusNotAcceptable)
		return
	}
	c.used2.Answer(out.Append(nil))
}

// answerTo is what his re-INVITE is answered with. To one without offer that is an offer of
// all that we speak, as in the beginning (RFC 3261 §14.2).
func (c *Call) answerTo(body []byte) (*sdp.Description, error) {
	if body == nil {
		c.wished = c.wish()
		taken := c.sip.theirs().Codecs
		return c.sip.reoffer(c.wished, mapping.NumberCodecs(mapping.OfferCodecs(c.own, c.hers()), taken))
	}
	if err := c.takeDescription(c.sip, body, false); err != nil {
		return nil, err
	}
	if err := c.sip.renew(c.used.media); err != nil {
		return nil, err
	}
	c.wished = c.wish()
	return c.sip.answer(c.wished)
}

func (c *Call) refuseOffer() {
	if c.used2 == nil {
		return
	}
	if c.state.Over() {
		c.used2.Refuse(statusGone)
		return
	}
	c.used2.Refuse(statusLater)
}

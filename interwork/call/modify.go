package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// formats tells the relay what each side speaks and which way sound flows.
func (c *Call) formats() error {
	b := c.used
	x, s := c.flows()
	x.Codecs, s.Codecs = relayCodecs(c.hers), relayCodecs(c.sip.codecs)
	x.Receive, s.Receive = relayCodecs(c.hear), relayCodecs(c.sip.hear)
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
	if c.used == nil || !c.used.ready || c.used.media == nil || len(c.hers) == 0 || len(c.sip.codecs) == 0 {
		return
	}
	if err := c.formats(); err != nil {
		c.ports.Log().Warn().Err(err).Msg("directions not set")
	}
}

// offer sends him a re-INVITE with what she wants now.
func (c *Call) offer() {
	c.wished = c.wish()
	d := c.wished
	if !c.sDir.Sends() && c.xHold {
		d = sdp.Inactive // both hold
	}
	c.used2.Offer(c.sip.reoffer(d))
}

// offerAnswered: his answer to a re-INVITE, or to what we offered in answer to his.
func (c *Call) offerAnswered(in LegOfferAnswered) {
	l := c.legOf(in.Leg)
	if l == nil || l != c.used2 || c.state != Active && c.state != Modifying {
		return
	}
	if in.Body != nil {
		if err := c.takeDescription(in.Body, true); err != nil {
			c.ports.Log().Info().Err(err).Msg("unusable answer to a re-INVITE")
		}
	}
	c.raise(SModified)
}

// confirmed: his ACK, with the answer when the offer was ours.
func (c *Call) confirmed(in LegConfirmed) {
	if l := c.legOf(in.Leg); l == nil || l != c.used2 {
		return
	}
	if c.late && c.state == Answering {
		if err := c.lateAnswer(in.Body); err != nil {
			c.fail(jingle.Reason{Condition: jingle.ReasonIncompatibleParameters, Text: "The answer of the SIP side cannot be used"}, MediaFailed)
			return
		}
	}
	c.raise(SConfirmed)
}

func (c *Call) lateAnswer(body []byte) error {
	d, m, err := c.sip.readSDP(body)
	if err != nil {
		return err
	}
	audio := c.set.audio(m.Codecs)
	if len(audio) == 0 || m.Rejected() {
		return errNoCodec
	}
	c.sip.remote, c.sDir = d, m.Direction
	c.sip.codecs, c.sip.hear = chosen(c.keep(audio), m.Codecs), c.set.spoken(m.Codecs)
	if err := c.formats(); err != nil {
		return err
	}
	return c.used.media.Connect(relay.SIP, 0, remoteMedia(&m, true, c.sip.ice))
}

// takeDescription takes a later description of his: where to send, what, and which way.
func (c *Call) takeDescription(body []byte, answer bool) error {
	if c.used == nil || c.used.media == nil {
		return errNoAudio
	}
	d, m, err := c.sip.readSDP(body)
	if err != nil {
		return err
	}
	audio := c.set.audio(m.Codecs)
	if len(audio) == 0 || m.Rejected() {
		return errNoCodec
	}
	c.sip.remote, c.sDir = d, m.Direction
	c.sip.codecs = chosen(c.keep(audio), m.Codecs)
	if c.sip.hear = c.sip.codecs; answer {
		c.sip.hear = c.set.spoken(m.Codecs)
	}
	if err := c.formats(); err != nil {
		return err
	}
	r := remoteMedia(&m, answer, c.sip.ice)
	if err := c.used.media.Connect(relay.SIP, 0, r); err != nil {
		return err
	}
	c.tellHold()
	return nil
}

// keep chooses among the codecs of a later description: hers if he has it, else his first.
func (c *Call) keep(audio []sdp.Codec) sdp.Codec {
	if len(c.hers) > 0 {
		if i := indexOf(audio, c.hers[0]); i >= 0 {
			return audio[i]
		}
	}
	return audio[0]
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
	if c.reinvite == nil {
		// He wants our offer: all that we speak, as in the beginning (RFC 3261 §14.2).
		c.wished = c.wish()
		c.used2.Answer(c.sip.reoffer(c.wished))
		return
	}
	before := c.sip.local
	if err := c.takeDescription(c.reinvite, false); err != nil {
		c.ports.Log().Info().Err(err).Msg("unusable re-INVITE")
		c.sip.local = before
		c.used2.Refuse(statusNotAcceptable)
		return
	}
	m := c.sip.remote.Effective(c.sip.stream)
	local, err := c.used.media.Prepare(relay.SIP, 0, relay.Setup{})
	if err != nil {
		c.used2.Refuse(statusNotAcceptable)
		return
	}
	c.wished = c.wish()
	r := remoteMedia(&m, false, c.sip.ice)
	c.used2.Answer(c.sip.answer(c.sip.remote, local, c.sip.codecs, r.Active, c.wished.Answer(c.sDir)))
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

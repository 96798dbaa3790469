package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// openMedia opens the relay for a session; false: the call has failed.
func (c *Call) openMedia(b *branch) bool {
	b.tag = c.tags
	c.tags++
	m, err := c.ports.Open(b.tag)
	if err != nil {
		c.fail(mediaReason(err), MediaFailed)
		return false
	}
	b.media = m
	return true
}

// media takes an event of the relay.
func (c *Call) media(in MediaHappened) {
	var b *branch
	for _, o := range c.branches {
		if o.media != nil && o.tag == in.Tag {
			b = o
		}
	}
	if b == nil || c.state.Over() {
		return
	}
	e := in.Event
	switch e.Kind {
	case relay.Connected:
		c.ports.Note("media connected: " + e.Side.String())
		if e.Side == relay.Jingle && b == c.used {
			c.mediaUp = true
			c.raise(MediaUp)
		}
	case relay.Failed:
		if b == c.used {
			c.ports.Note("media failed: " + e.Side.String())
			c.ports.Log().Info().Err(e.Err).Stringer("side", e.Side).Msg("media failed")
			c.fail(mediaReason(e.Err), MediaFailed)
		}
	case relay.Silent:
		if b == c.used {
			c.silent(e.Side)
		}
	case relay.Digit:
		if b == c.used && !e.Passed {
			c.passDigit(e)
		}
	case relay.LateCandidates:
		if e.Side == relay.Jingle {
			c.trickle(b, e.Candidates)
		}
	case relay.EventUnknown, relay.Heard:
	}
}

// silent ends a call in which one side should send and does not. A side that has only
// just begun gets its time first, and so does one that is being replaced.
func (c *Call) silent(side relay.Side) {
	switch {
	case c.state != Active && c.state != Modifying:
		return
	case side == relay.Jingle && c.xHold:
		return
	case side == relay.SIP && c.transfer != nil, c.ports.Now().Sub(c.rec.Bridged) < c.set.Silence:
		c.ports.SetTimer(TimerSilence, c.set.Silence)
		return
	}
	c.ports.Note("no media: " + side.String())
	c.fail(jingle.Reason{Condition: jingle.ReasonConnectivityError, Text: "No sound arrives any more"}, MediaFailed)
}

// stillSilent looks again at a side that was silent in the beginning, or while somebody else
// was called in its place.
func (c *Call) stillSilent() {
	if c.used == nil || c.used.media == nil {
		return
	}
	x, s := c.flows()
	stats := c.used.media.Stats()
	for _, side := range []relay.Side{relay.Jingle, relay.SIP} {
		talks := [2]bool{x.Send && x.Recv, s.Send && s.Recv}[side]
		if talks && c.ports.Now().Sub(stats[side].LastReceived) >= c.set.Silence {
			c.silent(side)
			return
		}
	}
}

// described is the description of a session of hers as SDP.
func (c *Call) described(b *branch) (*sdp.Description, error) {
	ctx := mapping.CallContext{Author: jingle.RoleInitiator}
	if b.session.Role() == jingle.RoleInitiator {
		ctx = mapping.CallContext{Author: jingle.RoleResponder, Offer: b.n.PendingOffer()}
	}
	d, lost, err := mapping.ContentsToSDP(b.said, ctx)
	if len(lost) > 0 {
		c.ports.Log().Debug().Strs("lost", lost).Msg("description of the client")
	}
	return d, err
}

// invite1 sends a session-initiate with our offer; false: that cannot be.
func (c *Call) invite1(b *branch) bool {
	if !c.openMedia(b) {
		return false
	}
	s := newSide(relay.Jingle, c.own, c.id)
	err := s.prepare(b.media, relay.Setup{ICE: true, Controlling: true, Mux: true, Protection: relay.DTLS})
	j := &jingle.Jingle{Action: jingle.ActionSessionInitiate, Initiator: c.self}
	if err == nil {
		var offer *sdp.Description
		if offer, err = s.offer(mapping.OfferCodecs(c.own, c.sip.theirs().Codecs), sdp.SendRecv); err == nil {
			j.Contents, j.Groups, _, err = mapping.SDPToContents(offer, mapping.CallContext{Author: jingle.RoleInitiator})
		}
	}
	if err != nil {
		c.fail(mediaReason(err), MediaFailed)
		return false
	}
	b.side, b.session = s, jingle.NewSession(b.sid, c.self, b.jid, jingle.RoleInitiator)
	c.request(b, j, func(e *xmpp.StanzaError) { c.inviteAnswered(b, e) })
	return true
}

// inviteAnswered: the answer to a session-initiate, which is not the answer to the call.
func (c *Call) inviteAnswered(b *branch, e *xmpp.StanzaError) {
	if e == nil || b.over || c.state.Over() {
		if e == nil && b == c.used {
			c.raise(XAcked)
		}
		return
	}
	status := mapping.InitiateErrorToStatus(*e)
	r := mapping.StatusToReason(status, false)
	b.over = true
	if b == c.used {
		c.refused = refused{r, status}
		c.ended(PartyXMPP, r)
		c.raise(XLost)
		return
	}
	if b.media != nil {
		b.media.Close()
		b.media = nil
	}
	c.refusedBy(r, status)
}

// initiate invites the device that proceeded.
func (c *Call) initiate() {
	if !c.invite1(c.used) && !c.state.Over() {
		c.fail(jingle.Reason{Condition: jingle.ReasonGeneralError}, MediaFailed)
	}
}

// readInvite reads the offer of his INVITE; false: the call has failed.
func (c *Call) readInvite() bool {
	if c.late {
		return true
	}
	if err := parsed(c.invite, c.sip.offered); err != nil {
		c.proposal = notProposed
		c.fail(mediaReason(err), MediaFailed)
		return false
	}
	c.sDir = c.sip.theirs().Direction
	return true
}

// hisAnswer takes the answer to our offer into the relay.
func (c *Call) hisAnswer(body []byte) error {
	if err := parsed(body, c.sip.answered); err != nil {
		return err
	}
	c.sDir = c.sip.theirs().Direction
	if err := c.sip.connect(c.used.media); err != nil {
		return err
	}
	return c.sip.renew(c.used.media) // the relay is at our address of his family from now on
}

// accept answers her session-initiate, now that he took the call.
func (c *Call) accept() {
	if err := c.acceptMedia(); err != nil {
		c.ports.Log().Info().Err(err).Msg("her offer cannot be used")
		c.fail(mediaReason(err), MediaFailed)
	}
}

func (c *Call) acceptMedia() error {
	b, s := c.used, newSide(relay.Jingle, c.own, c.id)
	d, err := c.described(b)
	if err != nil {
		return err
	}
	if err := s.offered(d); err != nil {
		return err
	}
	if err := s.prepare(b.media, s.wants()); err != nil {
		return err
	}
	b.side, c.xDir = s, s.theirs().Direction
	if c.sip.speak == nil { // else he was told already
		c.sip.choose(s.theirs().Codecs, true)
	}
	s.choose(c.sip.speak, false)
	if err := c.formats(); err != nil {
		return err
	}
	if err := s.connect(b.media); err != nil {
		return err
	}
	if err := s.renew(b.media); err != nil {
		return err
	}
	answer, err := s.answer(sdp.SendRecv)
	if err != nil {
		return err
	}
	j := &jingle.Jingle{Action: jingle.ActionSessionAccept, Responder: c.self}
	j.Contents, j.Groups, _, err = mapping.SDPToContents(answer, mapping.CallContext{Author: jingle.RoleResponder, Offered: b.said})
	if err != nil {
		return err
	}
	c.request(b, j, func(e *xmpp.StanzaError) {
		if e == nil {
			c.raise(XAcked)
			return
		}
		if !c.mediaUp {
			c.ended(PartyXMPP, jingle.Reason{Condition: jingle.ReasonConnectivityError, Text: "The client did not take the answer"})
			c.raise(XLost)
		}
	})
	return nil
}

// answer answers his INVITE, now that she took the call.
func (c *Call) answer() {
	d, err := c.answerMedia()
	if err != nil {
		c.ports.Log().Info().Err(err).Msg("her answer cannot be used")
		c.fail(mediaReason(err), MediaFailed)
		return
	}
	c.taken = true
	c.rec.Status = 200
	c.used2.Accept(d.Append(nil))
}

func (c *Call) answerMedia() (*sdp.Description, error) {
	b := c.used
	d, err := c.described(b)
	if err != nil {
		return nil, err
	}
	if err := b.answered(d); err != nil {
		return nil, err
	}
	c.xDir = b.theirs().Direction
	if c.late {
		// Our offer begins with her codec, and his ACK says what comes of it.
		b.choose(nil, true)
		if err := c.sip.prepare(b.media, relay.Setup{Protection: relay.None}); err != nil {
			return nil, err
		}
		if err := b.connect(b.media); err != nil {
			return nil, err
		}
		c.wished = c.wish()
		return c.sip.offer(mapping.OfferCodecs(c.own, b.speak), c.wished)
	}
	b.choose(c.sip.theirs().Codecs, true)
	c.sip.choose(b.speak, false)
	if err := c.sip.prepare(b.media, c.sip.wants()); err != nil {
		return nil, err
	}
	if err := c.formats(); err != nil {
		return nil, err
	}
	if err := b.connect(b.media); err != nil {
		return nil, err
	}
	if err := c.sip.connect(b.media); err != nil {
		return nil, err
	}
	if err := c.sip.renew(b.media); err != nil {
		return nil, err
	}
	c.wished = c.wish()
	return c.sip.answer(c.wished)
}

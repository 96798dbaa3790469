package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
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
// just begun gets its time first.
func (c *Call) silent(side relay.Side) {
	switch {
	case c.state != Active && c.state != Modifying:
		return
	case side == relay.Jingle && c.xHold:
		return
	case c.ports.Now().Sub(c.rec.Bridged) < c.set.Silence:
		c.ports.SetTimer(TimerSilence, c.set.Silence)
		return
	}
	c.ports.Note("no media: " + side.String())
	c.fail(jingle.Reason{Condition: jingle.ReasonConnectivityError, Text: "No sound arrives any more"}, MediaFailed)
}

// stillSilent looks again at a side that was silent in the beginning.
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

// jingleSetup is what the relay speaks with her.
func jingleSetup(p relay.Protection, controlling bool) relay.Setup {
	return relay.Setup{ICE: true, Controlling: controlling, Mux: true, Protection: p}
}

// invite1 sends a session-initiate with our offer; false: that cannot be.
func (c *Call) invite1(b *branch) bool {
	if !c.openMedia(b) {
		return false
	}
	local, err := b.media.Prepare(relay.Jingle, 0, jingleSetup(relay.DTLS, true))
	if err != nil {
		c.fail(mediaReason(err), MediaFailed)
		return false
	}
	b.local, b.protection, b.ready = local, relay.DTLS, true
	b.session = jingle.NewSession(b.sid, c.self, b.jid, jingle.RoleInitiator)
	codecs := c.set.offer(c.offered)
	c.request(b, &jingle.Jingle{
		Action: jingle.ActionSessionInitiate, Initiator: c.self,
		Contents: []jingle.Content{{
			Creator: jingle.RoleInitiator, Name: contentName, Senders: jingle.SendersBoth,
			Description: description(codecs, local, nil, 20), Transport: transport(local, "actpass", 0),
		}},
		Groups: []jingle.Group{{Semantics: "BUNDLE", Contents: []string{contentName}}},
	}, func(e *xmpp.StanzaError) { c.inviteAnswered(b, e) })
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
	r := initiateRefused(e)
	b.over = true
	if b == c.used {
		c.ended(PartyXMPP, r)
		c.raise(XLost)
		return
	}
	if b.media != nil {
		b.media.Close()
		b.media = nil
	}
	c.refusedBy(r, mapping.InitiateErrorToStatus(*e))
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
	d, m, err := c.sip.readSDP(c.invite)
	if err == nil {
		c.offered = m.Codecs
		if len(c.set.audio(m.Codecs)) == 0 {
			err = errNoCodec
		}
	}
	if err != nil {
		c.proposal = notProposed
		c.fail(mediaReason(err), MediaFailed)
		return false
	}
	c.sip.remote, c.sDir = d, m.Direction
	return true
}

// hisAnswer takes the answer to our offer into the relay.
func (c *Call) hisAnswer(body []byte) error {
	d, m, err := c.sip.readSDP(body)
	if err != nil {
		return err
	}
	if m.Rejected() {
		return errNoAudio
	}
	if len(c.set.audio(m.Codecs)) == 0 {
		return errNoCodec
	}
	c.sip.remote, c.sDir = d, m.Direction
	c.sip.codecs = m.Codecs
	r := remoteMedia(&m, true, c.sip.ice)
	if err := c.used.media.Connect(relay.SIP, 0, r); err != nil {
		return err
	}
	if local, err := c.used.media.Prepare(relay.SIP, 0, relay.Setup{}); err == nil {
		c.sip.moved(local)
	}
	if c.used.ready {
		return c.formats()
	}
	return nil
}

// accept answers her session-initiate, now that he took the call.
func (c *Call) accept() {
	if err := c.acceptMedia(); err != nil {
		c.ports.Log().Info().Err(err).Msg("her offer cannot be used")
		c.fail(mediaReason(err), MediaFailed)
	}
}

func (c *Call) acceptMedia() error {
	b := c.used
	a := audioContent(b.theirs)
	b.protection = protectionOf(a)
	local, err := b.media.Prepare(relay.Jingle, 0, jingleSetup(b.protection, false))
	if err != nil {
		return err
	}
	b.local, b.ready = local, true
	hers := codecsOf(a.Description)
	s, x, ok := pick(c.set.audio(c.sip.codecs), c.set.audio(hers))
	if !ok {
		return errNoCodec
	}
	c.hers = chosen(x, hers)
	c.hear = c.hers // our answer leaves her no other
	c.sip.hear = c.set.spoken(c.sip.codecs)
	c.sip.codecs = chosen(s, c.sip.codecs)
	c.xDir = mapping.SendersToDirection(a.Senders, jingle.RoleInitiator)
	active := dtlsClient(a.Transport)
	r := remoteOf(a, active)
	r.Candidates = append(r.Candidates, b.early...)
	b.early = nil
	if err := c.formats(); err != nil {
		return err
	}
	if err := b.media.Connect(relay.Jingle, 0, r); err != nil {
		return err
	}
	if local, err = b.media.Prepare(relay.Jingle, 0, jingleSetup(b.protection, false)); err != nil { // again: SDES has agreed on one key now
		return err
	}
	contents, groups := acceptContents(b.theirs, a, c.hers, local, b.protection, active)
	c.request(b, &jingle.Jingle{Action: jingle.ActionSessionAccept, Responder: c.self, Contents: contents, Groups: groups}, func(e *xmpp.StanzaError) {
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
	body, err := c.answerMedia()
	if err != nil {
		c.ports.Log().Info().Err(err).Msg("her answer cannot be used")
		c.fail(mediaReason(err), MediaFailed)
		return
	}
	c.taken = true
	c.rec.Status = 200
	c.used2.Accept(body)
}

func (c *Call) answerMedia() ([]byte, error) {
	b := c.used
	a := audioContent(b.theirs)
	hers := codecsOf(a.Description)
	audio := c.set.audio(hers)
	if len(audio) == 0 {
		return nil, errNoCodec
	}
	c.xDir = mapping.SendersToDirection(a.Senders, jingle.RoleResponder)
	if c.late {
		// Our offer begins with her codec, and his ACK says what comes of it.
		c.hers, c.hear = chosen(audio[0], hers), c.set.spoken(hers)
		local, err := b.media.Prepare(relay.SIP, 0, relay.Setup{Protection: relay.None})
		if err != nil {
			return nil, err
		}
		if err := c.connectHer(b, a); err != nil {
			return nil, err
		}
		c.wished = c.wish()
		return c.sip.offer(local, c.set.offer(c.hers), c.wished), nil
	}
	m := c.sip.remote.Effective(c.sip.stream)
	x, s, ok := pick(audio, c.set.audio(m.Codecs))
	if !ok {
		return nil, errNoCodec
	}
	c.hers, c.sip.codecs = chosen(x, hers), chosen(s, m.Codecs)
	c.hear, c.sip.hear = c.set.spoken(hers), c.sip.codecs // our answer leaves him no other
	if _, err := b.media.Prepare(relay.SIP, 0, c.sip.wants(&m)); err != nil {
		return nil, err
	}
	if err := c.formats(); err != nil {
		return nil, err
	}
	if err := c.connectHer(b, a); err != nil {
		return nil, err
	}
	r := remoteMedia(&m, false, c.sip.ice)
	if err := b.media.Connect(relay.SIP, 0, r); err != nil {
		return nil, err
	}
	local, err := b.media.Prepare(relay.SIP, 0, c.sip.wants(&m)) // again: SDES has agreed on one key now
	if err != nil {
		return nil, err
	}
	c.wished = c.wish()
	return c.sip.answer(c.sip.remote, local, c.sip.codecs, r.Active, c.wished.Answer(c.sDir)), nil
}

// connectHer takes her answer into the relay.
func (c *Call) connectHer(b *branch, a *jingle.Content) error {
	r := remoteOf(a, dtlsClient(a.Transport))
	if a.Description != nil && !a.Description.RTCPMux {
		r.Mux = true // every client that speaks DTLS does it, said or not
	}
	r.Candidates = append(r.Candidates, b.early...)
	b.early = nil
	return b.media.Connect(relay.Jingle, 0, r)
}

package call

import (
	"errors"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// maxEarly bounds the candidates of hers that are kept until media are prepared.
const maxEarly = 64

// stanza takes a Jingle IQ of hers. It is answered before anything comes of it (XEP-0166
// §6.3.1).
func (c *Call) stanza(in StanzaReceived) {
	j := in.Jingle
	b := c.branchOf(in.IQ.From, j)
	if b == nil {
		c.ports.Answer(in.IQ, jingle.UnknownSession())
		return
	}
	if b.session == nil && j.Action == jingle.ActionSessionInitiate && c.rec.Direction == XMPPToSIP {
		b.session = jingle.NewSession(j.SID, c.self, in.IQ.From, jingle.RoleResponder)
	}
	if b.session == nil {
		c.ports.Answer(in.IQ, jingle.UnknownSession())
		return
	}
	if j.Action == jingle.ActionSessionTerminate && b.session.State() == jingle.StateEnded {
		c.ports.Answer(in.IQ, nil) // it crossed ours, or comes again
		return
	}
	if err := b.session.Receive(j); err != nil {
		c.ports.Answer(in.IQ, asStanzaError(err))
		return
	}
	if j.Action == jingle.ActionSessionInfo {
		c.infos(b, in.IQ, j) // answers itself: what is unknown is an error
		return
	}
	c.ports.Answer(in.IQ, nil)
	c.action(b, j)
}

func (c *Call) action(b *branch, j *jingle.Jingle) {
	switch j.Action {
	case jingle.ActionSessionInitiate:
		c.initiated(b, j)
	case jingle.ActionSessionAccept:
		c.accepted(b, j)
	case jingle.ActionSessionTerminate:
		c.terminated(b, j.Reason)
	case jingle.ActionTransportInfo:
		c.transportInfo(b, j)
	case jingle.ActionContentAdd:
		c.request(b, &jingle.Jingle{
			Action: jingle.ActionContentReject, Contents: namesOf(j.Contents),
			Reason: &jingle.Reason{Condition: jingle.ReasonUnsupportedApplications, Text: "Only sound is carried"},
		}, nil)
	case jingle.ActionContentModify:
		c.modified(b, j)
	case jingle.ActionContentRemove, jingle.ActionContentReject:
		c.removed(b, j.Reason)
	case jingle.ActionTransportReplace:
		c.request(b, &jingle.Jingle{Action: jingle.ActionTransportReject, Contents: transportsOf(j.Contents)}, nil)
	case jingle.ActionContentAccept, jingle.ActionDescriptionInfo, jingle.ActionSecurityInfo,
		jingle.ActionSessionInfo, jingle.ActionTransportAccept, jingle.ActionTransportReject:
	}
}

// branchOf finds the session that a stanza is about: the sid alone is no proof, the peer
// counts as well.
func (c *Call) branchOf(from xmpp.JID, j *jingle.Jingle) *branch {
	for _, b := range c.branches {
		if b.sid != j.SID {
			continue
		}
		if b.session != nil && b.session.Peer() == from || b.session == nil && from.Bare() == c.user {
			return b
		}
	}
	if c.state == StateUnknown && j.Action == jingle.ActionSessionInitiate {
		b := &branch{jid: from, sid: j.SID}
		c.branches, c.used = []*branch{b}, b
		return b
	}
	return nil
}

func asStanzaError(err error) *xmpp.StanzaError {
	var e *xmpp.StanzaError
	if errors.As(err, &e) {
		return e
	}
	return xmpp.NewStanzaError(xmpp.ConditionBadRequest, "")
}

func namesOf(list []jingle.Content) []jingle.Content {
	out := make([]jingle.Content, 0, len(list))
	for _, c := range list {
		out = append(out, jingle.Content{Creator: c.Creator, Name: c.Name})
	}
	return out
}

func transportsOf(list []jingle.Content) []jingle.Content {
	out := make([]jingle.Content, 0, len(list))
	for _, c := range list {
		out = append(out, jingle.Content{Creator: c.Creator, Name: c.Name, Transport: c.Transport, Other: c.Other})
	}
	return out
}

// request sends an action of ours within a session. answered may be nil.
func (c *Call) request(b *branch, j *jingle.Jingle, answered func(*xmpp.StanzaError)) {
	j.SID = b.sid
	if err := b.session.Send(j); err != nil {
		c.ports.Log().Warn().Err(err).Str("action", string(j.Action)).Msg("jingle action not sent")
		return
	}
	c.ports.Request(b.session.Peer(), j, func(e *xmpp.StanzaError) {
		b.session.Answered(j.Action, e)
		c.heardOf(e)
		if answered != nil {
			answered(e)
		}
	})
}

// heardOf notes a sign of life: any answer but that of our own patience.
func (c *Call) heardOf(e *xmpp.StanzaError) {
	if e == nil {
		c.alive()
	}
}

func (c *Call) info(b *branch, i jingle.Info) {
	c.request(b, &jingle.Jingle{Action: jingle.ActionSessionInfo, Info: []*xmpp.Element{i.Element()}}, nil)
}

// initiated: her session-initiate, of a call without proposal or after it.
func (c *Call) initiated(b *branch, j *jingle.Jingle) {
	if c.state.Over() {
		c.why = orReason(c.why, jingle.ReasonCancel)
		c.cancel(b, c.why)
		return
	}
	b.said, b.jid, c.used = j, b.session.Peer(), b
	if audioContent(j) == nil {
		r := jingle.Reason{Condition: jingle.ReasonUnsupportedApplications, Text: "A call needs sound over RTP and ICE"}
		if c.state == StateUnknown {
			c.state, c.dialled = Invited, true
		} else {
			c.state = Accepting
		}
		c.fail(r, MediaFailed)
		return
	}
	c.raise(XInvited)
}

func orReason(r jingle.Reason, c jingle.Condition) jingle.Reason {
	if r.Condition == "" {
		r.Condition = c
	}
	return r
}

// accepted: her session-accept.
func (c *Call) accepted(b *branch, j *jingle.Jingle) {
	if c.state.Over() || c.used != nil && c.used != b {
		r := jingle.Reason{Condition: jingle.ReasonCancel}
		if !c.state.Over() {
			r.Text = mapping.AnsweredElsewhere
		}
		c.cancel(b, r)
		return
	}
	b.said, c.used = j, b
	if audioContent(j) == nil {
		c.fail(jingle.Reason{Condition: jingle.ReasonFailedApplication, Text: "The answer has no sound"}, MediaFailed)
		return
	}
	c.raise(XAccepted)
}

// terminated: her session-terminate, or what is as good.
func (c *Call) terminated(b *branch, r *jingle.Reason) {
	b.over = true
	why := jingle.Reason{Condition: jingle.ReasonSuccess}
	if r != nil {
		why = *r
	} else if !c.state.Answered() {
		why.Condition = jingle.ReasonCancel
	}
	switch {
	case b != c.used && c.rec.Direction == SIPToXMPP:
		if b.media != nil {
			b.media.Close()
			b.media = nil
		}
		if r == nil {
			why.Condition = jingle.ReasonGone
		}
		c.refusedBy(why, mapping.ReasonToStatus(why, !c.rec.Rang.IsZero()))
	case c.state == Initiating:
		c.ended(PartyXMPP, why)
		c.raise(XRefused)
	default:
		c.ended(PartyXMPP, why)
		c.raise(XEnded)
	}
}

// removed: she took a content away (XEP-0166 §7.2.6). Without the sound the call is over, which
// is for us to say when she does not.
func (c *Call) removed(b *branch, r *jingle.Reason) {
	for _, k := range b.session.Contents() {
		if a := audioContent(b.said); k.Media == "audio" && (a == nil || a.Name == k.Name) {
			return
		}
	}
	why := jingle.Reason{Condition: jingle.ReasonSuccess}
	if r != nil {
		why = *r
	}
	if b != c.used {
		c.cancel(b, why)
		c.refusedBy(why, mapping.ReasonToStatus(why, !c.rec.Rang.IsZero()))
		return
	}
	c.ended(PartyXMPP, why)
	c.raise(MediaFailed)
}

// terminate ends the session in use.
func (c *Call) terminate(b *branch) {
	if b != nil {
		c.cancel(b, c.why)
	}
}

// cancel ends one session; the relay lets go of its media unless they are accounted for
// later.
func (c *Call) cancel(b *branch, r jingle.Reason) {
	b.over = true
	if b != c.used && b.media != nil {
		b.media.Close()
		b.media = nil
	}
	if b.session == nil || b.session.State() == jingle.StateEnded {
		return
	}
	why := r
	c.request(b, &jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &why}, nil)
}

// transportInfo takes candidates, and an ICE restart (XEP-0176 §5.6).
func (c *Call) transportInfo(b *branch, j *jingle.Jingle) {
	for i := range j.Contents {
		t := j.Contents[i].Transport
		switch {
		case t == nil || t.Kind != jingle.TransportICE:
		case b.side == nil:
			c.early(b, t)
		case c.restarts(b, t):
			c.restart(b, t)
			return
		default:
			var m sdp.Media
			mapping.TransportToMedia(t, &m)
			if err := b.media.AddCandidates(relay.Jingle, 0, relayCandidates(m.Candidates)); err != nil {
				c.ports.Log().Debug().Err(err).Msg("candidates not taken")
			}
		}
	}
}

// early adds to her description what comes after it and before it is used: candidates,
// credentials, fingerprints (XEP-0320 §2).
func (c *Call) early(b *branch, t *jingle.Transport) {
	a := audioContent(b.said)
	if a == nil {
		return
	}
	to := a.Transport
	if n := maxEarly - len(to.Candidates); n > 0 {
		to.Candidates = append(to.Candidates, t.Candidates[:min(n, len(t.Candidates))]...)
	}
	if to.Ufrag == "" || to.Pwd == "" {
		to.Ufrag, to.Pwd = t.Ufrag, t.Pwd
	}
	if len(to.Fingerprints) == 0 {
		to.Fingerprints = t.Fingerprints
	}
}

// restarts tells whether a transport-info begins ICE anew: both credentials, and others
// than before. What lacks one of them means the known ones.
func (c *Call) restarts(b *branch, t *jingle.Transport) bool {
	a := audioContent(b.said)
	if a == nil || t.Ufrag == "" || t.Pwd == "" {
		return false
	}
	return t.Ufrag != a.Transport.Ufrag && t.Pwd != a.Transport.Pwd
}

// restart answers an ICE restart with new credentials of ours and a candidate at least:
// to Conversations that is what makes it an answer.
func (c *Call) restart(b *branch, theirs *jingle.Transport) {
	a := audioContent(b.said)
	local, err := b.media.Restart(relay.Jingle, 0)
	if err != nil {
		c.ports.Log().Warn().Err(err).Msg("ice restart failed")
		return
	}
	a.Transport.Ufrag, a.Transport.Pwd = theirs.Ufrag, theirs.Pwd
	b.local = local
	var m sdp.Media
	mapping.TransportToMedia(theirs, &m)
	if err := b.media.Connect(relay.Jingle, 0, b.remote(&m)); err != nil {
		c.fail(mediaReason(err), MediaFailed)
		return
	}
	var contents []jingle.Content
	for _, k := range b.session.Contents() {
		contents = append(contents, jingle.Content{Creator: k.Creator, Name: k.Name, Transport: b.ownTransport(local.Candidates)})
	}
	c.request(b, &jingle.Jingle{Action: jingle.ActionTransportInfo, Contents: contents}, nil)
	c.ports.Note("ICE restart")
}

// trickle sends candidates of ours that were found late.
func (c *Call) trickle(b *branch, list []relay.Candidate) {
	if len(list) == 0 || b.side == nil || b.session == nil || b.session.State() == jingle.StateEnded {
		return
	}
	states := b.session.Contents()
	if len(states) == 0 {
		return
	}
	c.request(b, &jingle.Jingle{
		Action: jingle.ActionTransportInfo, Contents: []jingle.Content{{Creator: states[0].Creator, Name: states[0].Name, Transport: b.ownTransport(list)}},
	}, nil)
}

// modified: her content-modify of the sound.
func (c *Call) modified(b *branch, j *jingle.Jingle) {
	a := audioContent(b.said)
	for i := range j.Contents {
		if a == nil || j.Contents[i].Name != a.Name && len(b.session.Contents()) > 1 {
			continue
		}
		role := b.session.Role().Other() // hers
		c.xDir, a.Senders = mapping.SendersToDirection(j.Contents[i].Senders, role), j.Contents[i].Senders
		c.directionChanged()
	}
}

// infos takes the payloads of a session-info (XEP-0166 §6.8).
func (c *Call) infos(b *branch, iq *xmpp.IQ, j *jingle.Jingle) {
	if len(j.Info) == 0 {
		c.ports.Answer(iq, nil) // a ping
		return
	}
	list := make([]jingle.Info, 0, len(j.Info))
	for _, e := range j.Info {
		i, err := jingle.ParseInfo(e)
		if err != nil {
			c.ports.Answer(iq, asStanzaError(err))
			return
		}
		list = append(list, i)
	}
	for _, i := range list {
		if t, ok := i.(jingle.Transfer); ok {
			c.transferAsked(iq, t)
			return
		}
	}
	c.ports.Answer(iq, nil)
	for _, i := range list {
		switch i := i.(type) {
		case jingle.Ringing:
			c.raise(XRang)
		case jingle.Hold:
			c.xHold = true
			c.directionChanged()
		case jingle.Unhold, jingle.Active:
			c.xHold = false
			c.directionChanged()
		case jingle.DTMF:
			c.digitOfHers(b, i)
		}
	}
}

// directionChanged makes the relay follow her wishes at once, and lets him know.
func (c *Call) directionChanged() {
	c.setDirections()
	c.wishAgain()
}

// wish is what she wants of him now: to send, to hear, both or none.
func (c *Call) wish() sdp.Direction {
	if c.xHold {
		return mapping.HoldDirection(c.xDir)
	}
	return c.xDir
}

// wishAgain asks for an offer when he does not know yet what she wants.
func (c *Call) wishAgain() {
	if c.state == Active && c.wish() != c.wished {
		c.raise(XModified)
	}
}

// askAlive sends an empty session-info to a client that was silent (XEP-0166 §6.8): its
// server answers for one that is gone. Monal answers nothing at all, which means nothing.
func (c *Call) askAlive() {
	c.ports.SetTimer(TimerAlive, c.set.Alive)
	if c.used == nil || c.used.session == nil || c.ports.Now().Sub(c.heard) < c.set.Alive {
		return
	}
	c.request(c.used, &jingle.Jingle{Action: jingle.ActionSessionInfo}, func(e *xmpp.StanzaError) {
		if e == nil || e.Type == xmpp.ErrorWait && e.Condition != xmpp.ConditionRecipientUnavailable {
			return
		}
		switch {
		case jingle.IsUnknownSession(e):
			c.ended(PartyXMPP, jingle.Reason{Condition: jingle.ReasonConnectivityError, Text: "The client does not know the call any more"})
		case e.Condition == xmpp.ConditionServiceUnavailable || e.Condition == xmpp.ConditionRecipientUnavailable:
			c.ended(PartyXMPP, jingle.Reason{Condition: jingle.ReasonGone, Text: "The client is gone"})
		default:
			return
		}
		c.raise(XGone)
	})
}

// unavailable follows her presence: one who is gone may still come back in a moment.
func (c *Call) unavailable(j xmpp.JID) {
	for _, b := range c.branches {
		if b.over || b.jid.IsZero() || b.jid != j && b.jid.Bare() != j {
			continue
		}
		if b == c.used || c.rec.Direction == XMPPToSIP {
			c.going = true
			c.ports.SetTimer(TimerGone, c.set.Gone)
			return
		}
		b.over = true
		c.cancel(b, jingle.Reason{Condition: jingle.ReasonGone})
		c.refusedBy(jingle.Reason{Condition: jingle.ReasonGone}, sip.Status{Code: 480})
	}
}

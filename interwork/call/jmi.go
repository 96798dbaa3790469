package call

import (
	"slices"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// message takes a Jingle message of hers (XEP-0353).
func (c *Call) message(in MessageReceived) {
	m := in.Message
	switch m.Kind {
	case jingle.KindPropose:
		if c.state != StateUnknown {
			return // a copy
		}
		c.proposal, c.proposer, c.receipt = proposed, in.From, in.ReceiptFor
		c.rec.Proposed = true
		c.used = &branch{jid: in.From, sid: m.ID}
		c.branches = []*branch{c.used}
		if !slices.Contains(m.Media, "audio") {
			c.why, c.dialled = jingle.Reason{Condition: jingle.ReasonUnsupportedApplications, Text: "Only calls with sound are carried"}, true
			c.state = Proposed
			c.raise(MediaFailed)
			return
		}
		c.raise(XProposed)
	case jingle.KindRinging:
		c.seen = true
		c.raise(XRang)
	case jingle.KindProceed:
		c.proceed(in.From)
	case jingle.KindReject:
		c.rejected(in.From, m)
	case jingle.KindRetract, jingle.KindFinish:
		c.xEnded(in.From, m.Reason, jingle.ReasonCancel)
	}
}

// xEnded: she ends the call by a message. A finish of a device that lost the race, or of
// one that does not have the call, ends nothing.
func (c *Call) xEnded(from xmpp.JID, r *jingle.Reason, fallback jingle.Condition) {
	if c.used != nil && !c.used.jid.IsZero() && c.used.jid != from && c.state.Answered() {
		return
	}
	why := jingle.Reason{Condition: fallback}
	if r != nil {
		why = *r
	} else if c.state == Active || c.state == Modifying {
		why.Condition = jingle.ReasonSuccess
	}
	if c.used != nil {
		c.used.over = true
	}
	c.ended(PartyXMPP, why)
	c.raise(XEnded)
}

// propose tells her of his call: by JMI to all her devices, and by session-initiate to
// those that are known to take no proposals.
func (c *Call) propose() {
	if !c.readInvite() {
		return
	}
	c.proposal = proposed
	c.rec.Proposed = true
	m := jingle.Message{Kind: jingle.KindPropose, ID: c.ports.NewID(), Media: []string{"audio"}}
	c.branches = append(c.branches, &branch{sid: m.ID})
	direct := c.ports.Devices(c.target)
	if !c.target.IsBare() && slices.Contains(direct, c.target) {
		c.proposal, c.rec.Proposed = notProposed, false
		c.branches, direct = nil, []xmpp.JID{c.target}
	} else {
		c.ports.Send(m.Wrap(c.self, c.target))
		c.ports.SetTimer(TimerAlert, c.set.Alert)
	}
	for _, d := range direct[:min(len(direct), c.set.Devices)] {
		b := &branch{jid: d, sid: c.ports.NewID()}
		c.branches = append(c.branches, b)
		if !c.invite1(b) {
			b.over = true
		}
	}
	c.checkRefused()
}

// available invites a device that came while he waits.
func (c *Call) available(j xmpp.JID) {
	if c.state != Calling && c.state != Alerting || c.proposal == notProposed || !c.target.IsBare() && c.target != j {
		return
	}
	direct := 0
	for _, b := range c.branches {
		if b.jid == j {
			return
		}
		if b.session != nil {
			direct++
		}
	}
	if direct >= c.set.Devices {
		return
	}
	b := &branch{jid: j, sid: c.ports.NewID()}
	c.branches = append(c.branches, b)
	if !c.invite1(b) {
		b.over = true
	}
}

// byProposal is the session that our proposal became, or will become.
func (c *Call) byProposal() *branch {
	if c.proposal == notProposed || len(c.branches) == 0 || c.rec.Direction != SIPToXMPP {
		return nil
	}
	return c.branches[0]
}

// proceed: one of her devices takes the proposal.
func (c *Call) proceed(from xmpp.JID) {
	b := c.byProposal()
	if b == nil {
		return
	}
	switch {
	case c.proposal == proposed && !c.state.Over():
		b.jid, c.proposer, c.proposal = from, from, proceeded
		c.used = b
	case c.proposal == proceeded && b.jid == from && !c.state.Over():
		return // again
	default:
		c.proposer = from
		if c.state == Calling || c.state == Alerting { // another device has rejected it for all
			c.tooLate(XProceeded)
			return
		}
	}
	c.raise(XProceeded)
}

// tooLate tells a device that proceeded, accepted or initiated that the call is over or
// taken.
func (c *Call) tooLate(e Event) {
	r := &jingle.Reason{Condition: jingle.ReasonCancel}
	switch {
	case e == XAccepted || e == XInvited:
		return // the session answers for itself: it is terminated when it is received
	case !c.state.Over():
		r.Text = mapping.AnsweredElsewhere
	}
	b := c.byProposal()
	if b == nil {
		return
	}
	c.ports.Send((&jingle.Message{Kind: jingle.KindRetract, ID: b.sid, Reason: r}).Wrap(c.self, c.proposer))
	c.ports.Send((&jingle.Message{Kind: jingle.KindFinish, ID: b.sid, Reason: r}).Wrap(c.self, c.proposer))
}

// rejected: a reject stops all devices (XEP-0353 §3.3). Sessions beside it go on unless
// she herself declined.
func (c *Call) rejected(from xmpp.JID, m *jingle.Message) {
	b := c.byProposal()
	if b == nil || c.proposal == withdrawn || c.proposal == proceeded && b.jid != from {
		return
	}
	r := jingle.Reason{Condition: jingle.ReasonBusy}
	if m.Reason != nil {
		r = *m.Reason
	}
	c.proposal, b.over = withdrawn, true
	if r.Condition == jingle.ReasonDecline {
		for _, o := range c.branches {
			if !o.over && o.session != nil {
				c.cancel(o, jingle.Reason{Condition: jingle.ReasonCancel})
			}
		}
	}
	c.refusedBy(r, mapping.RejectToStatus(m.Reason))
}

// bounced: a proposal that nobody can take counts as nobody there.
func (c *Call) bounced(in MessageBounced) {
	b := c.byProposal()
	switch {
	case in.Kind == jingle.KindPropose && b != nil && c.proposal == proposed:
		c.proposal, b.over = withdrawn, true
		c.refusedBy(jingle.Reason{Condition: jingle.ReasonGone}, mapping.ProposeErrorToStatus(*in.Error))
	case in.Kind == jingle.KindProceed && c.state == Proceeding:
		c.ended(PartyXMPP, jingle.Reason{Condition: jingle.ReasonGone})
		c.raise(XGone)
	}
}

// refused is why one of her devices does not take the call, as he would be told.
type refused struct {
	reason jingle.Reason
	status sip.Status
}

// rank orders why her devices did not take a call: what she said counts more than what
// machines found out.
func (r refused) rank() int {
	switch r.reason.Condition {
	case "":
		return 0
	case jingle.ReasonGone:
		return 1
	case jingle.ReasonTimeout, jingle.ReasonExpired:
		return 3
	case jingle.ReasonBusy:
		return 4
	case jingle.ReasonDecline:
		return 5
	}
	return 2
}

// refusedBy notes that one way to her is closed and ends the call with the last.
func (c *Call) refusedBy(r jingle.Reason, s sip.Status) {
	if c.state.Over() {
		return
	}
	if v := (refused{r, s}); v.rank() > c.refused.rank() {
		c.refused = v
	}
	if c.rec.Direction == SIPToXMPP && c.onlyProposal() {
		switch {
		case r.Condition == jingle.ReasonDecline:
			c.refusedByAll() // she said no, on whatever device
			return
		case r.Condition == jingle.ReasonBusy && !c.seen:
			c.ports.SetTimer(TimerSettle, c.set.Settle)
		}
	}
	c.checkRefused()
}

// onlyProposal tells whether nothing is left but a proposal that nobody took up.
func (c *Call) onlyProposal() bool {
	for i, b := range c.branches {
		if i > 0 != b.over {
			return false
		}
	}
	return c.proposal == proposed && len(c.branches) > 1
}

// refusedByAll takes the refusal of one device for that of all.
func (c *Call) refusedByAll() {
	if c.refused.rank() > 0 && (c.state == Calling || c.state == Alerting) {
		c.ended(PartyXMPP, c.refused.reason)
		c.raise(XRefused)
	}
}

// received: one of her devices has our proposal, which means that it rings, unless it is
// one that confirms what it does not understand.
func (c *Call) received(from xmpp.JID) {
	for i, b := range c.branches {
		if i > 0 && b.jid == from {
			return
		}
	}
	c.seen = true
	c.raise(XRang)
}

// alert tells him that it rings at her side: one of her devices is online that takes
// proposals, and nobody refused ours. COMPAT: Dino 0.4 rings without saying so, and without
// a 180 he would hear nothing until she takes the call. The state stays, since nobody said
// so; and of those whose presence we do not see we do not guess.
func (c *Call) alert() {
	if c.state == Calling && c.proposal == proposed && c.ports.TakesProposals(c.target) {
		c.used2.Ring(sip.Status{Code: 180}) // RFC 3261 §21.1.2: trying to alert the user
	}
}

// checkRefused ends the call when no way to her is left.
func (c *Call) checkRefused() {
	for _, b := range c.branches {
		if !b.over {
			return
		}
	}
	if c.refused.rank() == 0 {
		c.refused = refused{jingle.Reason{Condition: jingle.ReasonGone}, sip.Status{Code: 480}}
	}
	c.ended(PartyXMPP, c.refused.reason)
	c.raise(XRefused)
}

// tellRinging tells her that his phone rings. Conversations takes the receipt of its
// proposal for it.
func (c *Call) tellRinging() {
	b := c.used
	if b.session != nil {
		c.info(b, jingle.Ringing{})
		return
	}
	c.ports.Send((&jingle.Message{Kind: jingle.KindRinging, ID: b.sid}).Wrap(c.self, c.proposer))
	if c.receipt != "" {
		c.ports.Send(&xmpp.Message{
			From: c.self, To: c.proposer, ID: c.receipt + "-received", Type: xmpp.MessageChat,
			Extensions: []*xmpp.Element{
				xmpp.NewElement(xmpp.NSReceipts, "received").Set("id", c.receipt), xmpp.NewElement(xmpp.NSHints, "store"),
			},
		})
	}
}

func (c *Call) tellProceed() {
	c.proposal = proceeded
	c.ports.Send((&jingle.Message{Kind: jingle.KindProceed, ID: c.used.sid}).Wrap(c.self, c.proposer))
}

// reject tells her that her proposal comes to nothing.
func (c *Call) reject() {
	c.proposal = withdrawn
	why := c.why
	c.ports.Send((&jingle.Message{Kind: jingle.KindReject, ID: c.used.sid, Reason: &why}).Wrap(c.self, c.proposer))
}

// withdraw takes back everything that she was offered, but what the call goes on with.
func (c *Call) withdraw() {
	r := jingle.Reason{Condition: jingle.ReasonCancel, Text: mapping.AnsweredElsewhere}
	if c.state.Over() {
		r = c.withdrawal()
	}
	if b := c.byProposal(); b != nil && b != c.used {
		if c.proposal == proposed {
			c.ports.Send((&jingle.Message{Kind: jingle.KindRetract, ID: b.sid, Reason: &r}).Wrap(c.self, c.target.Bare()))
		}
		c.proposal, b.over = withdrawn, true
	}
	for _, b := range c.branches {
		if b != c.used && !b.over && b.session != nil {
			c.cancel(b, r)
		}
	}
}

// withdrawal is the reason of a call that ends before she took it.
func (c *Call) withdrawal() jingle.Reason {
	r := jingle.Reason{Condition: jingle.ReasonCancel, Text: c.why.Text}
	if c.why.Condition == jingle.ReasonTimeout && c.by == PartyGateway {
		r.Condition = jingle.ReasonTimeout
	}
	return r
}

// finish ends a call that began with a proposal (XEP-0353 §3.6).
func (c *Call) finish() {
	if c.proposal != proceeded || c.used == nil {
		return
	}
	why := c.why
	if why.Condition == jingle.ReasonCancel && c.by == PartyXMPP {
		why.Condition = jingle.ReasonSuccess
	}
	to := c.proposer
	if !c.used.jid.IsZero() {
		to = c.used.jid
	}
	c.ports.Send((&jingle.Message{Kind: jingle.KindFinish, ID: c.used.sid, Reason: &why}).Wrap(c.self, to))
}

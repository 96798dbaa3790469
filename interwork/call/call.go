package call

import (
	"slices"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Call is the actor of one call. Everything but its ports belongs to the one who calls
// Handle.
type Call struct {
	ports Ports
	set   *Settings
	own   []sdp.Codec // what we speak
	id    int64       // of our sessions in SDP
	state State
	rec   Record

	queue   []Event // raised and not handled
	running bool

	// Towards her.
	self     xmpp.JID // his full JID, that this call speaks from
	user     xmpp.JID // her bare JID
	target   xmpp.JID // whom he calls: her bare JID, or one resource
	proposer xmpp.JID // her device that proposed, or that the proposal was accepted by
	receipt  string   // id of the propose that wants a receipt
	proposal proposal
	seen     bool // one of her devices shows that it has our proposal
	branches []*branch
	used     *branch // the session in use, or to be
	xDir     sdp.Direction
	xHold    bool
	told     bool // she was told that he holds

	// Towards him.
	legs     []*leg
	dialled  bool
	used2    *leg
	sip      *side
	late     bool   // his INVITE had no offer
	invite   []byte // the offer of his INVITE
	sDir     sdp.Direction
	wished   sdp.Direction // what our last offer to him said
	best     *sip.Status   // of the legs that failed
	taken    bool          // we answered his INVITE with 2xx
	reinvite []byte        // his re-INVITE that waits for its answer; nil: he wants our offer
	tags     int           // given to sessions of the relay
	transfer *transfer

	// How it ends.
	why     jingle.Reason
	refused refused // the best of what her devices said
	by      Party
	heard   time.Time // of her client
	going   bool      // TimerGone runs
	mediaUp bool
}

// proposal is where our or her Jingle message stands.
type proposal uint8

const (
	notProposed proposal = iota
	proposed
	proceeded
	withdrawn // by who made it, or refused by who got it
)

// branch is one Jingle session with one of her devices.
type branch struct {
	*side   // nil: media with her are not prepared
	tag     int
	jid     xmpp.JID // full
	sid     string
	session *jingle.Session
	media   Media
	said    *jingle.Jingle // her description, with what came for it since
	over    bool
}

// leg is one dialog with one of his devices.
type leg struct {
	Leg
	preview  []byte // SDP of a provisional response
	over     bool
	replaced bool // for somebody in his place
}

// New makes a call that has not begun. self is his full JID, user her bare one.
func New(ports Ports, set *Settings, dir Direction, self, user xmpp.JID) *Call {
	id, own := ports.Now().UnixMilli(), mapping.OwnCodecs(set.Codecs)
	return &Call{
		ports: ports, set: set, own: own, id: id, self: self, user: user.Bare(), target: user, by: PartyGateway,
		xDir: sdp.SendRecv, sDir: sdp.SendRecv, wished: sdp.SendRecv,
		rec: Record{Direction: dir, User: user.Bare(), Contact: self, Started: ports.Now()},
		sip: newSide(relay.SIP, own, id),
	}
}

// State is where the call stands.
func (c *Call) State() State { return c.state }

// Handle takes one input. It must not be called by two at a time.
func (c *Call) Handle(in Input) {
	switch in := in.(type) {
	case StanzaReceived:
		c.alive()
		c.stanza(in)
	case MessageReceived:
		c.alive()
		c.message(in)
	case ReceiptReceived:
		c.received(in.From)
	case MessageBounced:
		c.bounced(in)
	case Available:
		c.available(in.JID)
	case Unavailable:
		c.unavailable(in.JID)
	case MediaHappened:
		c.media(in)
	case TimerFired:
		c.timer(in.Timer)
	case Drop:
		c.fail(in.Reason, Dropped)
	case Done:
		in()
	default:
		c.sipInput(in)
	}
}

// alive: something was heard of her client.
func (c *Call) alive() {
	c.heard = c.ports.Now()
	if c.going {
		c.going = false
		c.ports.SetTimer(TimerGone, 0)
	}
}

// raise hands an event to the machine and carries out what it asks for. An event raised
// while that goes on comes after it.
func (c *Call) raise(e Event) {
	c.queue = append(c.queue, e)
	if c.running {
		return
	}
	c.running = true
	for len(c.queue) > 0 {
		e := c.queue[0]
		c.queue = c.queue[1:]
		c.step(e)
	}
	c.running = false
}

func (c *Call) step(e Event) {
	before := c.state
	next, effects := Next(before, e)
	if next != before {
		c.state = next
		c.ports.Log().Debug().Stringer("event", e).Stringer("from", before).Stringer("to", next).Msg("call")
		if !sameDeadline(before, next) {
			c.ports.SetTimer(TimerState, c.set.Deadlines.Of(next))
		}
		if !before.Answered() && next.Answered() {
			c.rec.Answered = c.ports.Now()
		}
	}
	for _, f := range effects {
		c.do(f, e)
	}
	if next != before && next == Ending {
		c.checkClosed()
	}
	if next == before && e == SModified || next == Active && before == Modifying {
		c.wishAgain()
	}
}

func (c *Call) do(f Effect, e Event) {
	switch f {
	case Dial:
		c.dial()
	case TellRinging:
		c.tellRinging()
	case TellProceed:
		c.tellProceed()
	case Accept:
		c.accept()
	case Reject:
		c.reject()
	case Propose:
		c.propose()
	case Initiate:
		c.initiate()
	case Withdraw:
		c.withdraw()
	case TooLate:
		c.tooLate(e)
	case Terminate:
		c.terminate(c.used)
	case Finish:
		c.finish()
	case Ring:
		c.ring()
	case Answer:
		c.answer()
	case Offer:
		c.offer()
	case AnswerOffer:
		c.answerOffer()
	case RefuseOffer:
		c.refuseOffer()
	case HangUp:
		c.hangUp()
	case Bridge:
		c.bridge()
	case Release:
		c.release()
	case Forget:
		c.ports.SetTimer(TimerState, 0)
		c.shed()
		c.ports.Forget()
	default:
		panic("call: unknown effect")
	}
}

// fail ends the call by ourselves.
func (c *Call) fail(r jingle.Reason, e Event) {
	if !c.state.Over() && c.why.Condition == "" {
		c.why, c.by = r, PartyGateway
	}
	c.raise(e)
}

// ended notes who ended the call and why, once.
func (c *Call) ended(by Party, r jingle.Reason) {
	if c.why.Condition == "" && !c.state.Over() {
		c.why, c.by = r, by
	}
}

func (c *Call) timer(t Timer) {
	switch t {
	case TimerState:
		if !c.state.Over() {
			r := jingle.Reason{Condition: jingle.ReasonTimeout}
			switch c.state {
			case Proceeding, Accepting, Initiating:
				r = jingle.Reason{Condition: jingle.ReasonConnectivityError, Text: "No answer of the client"}
			case Active, Modifying:
				r = jingle.Reason{Condition: jingle.ReasonExpired, Text: "The longest time of a call has passed"}
			}
			c.ended(PartyGateway, r)
		}
		c.raise(TimedOut)
	case TimerAlive:
		c.askAlive()
	case TimerSilence:
		c.stillSilent()
	case TimerSettle:
		if !c.seen {
			c.refusedByAll()
		}
	case TimerAlert:
		c.alert()
	case TimerGone:
		c.ended(PartyXMPP, jingle.Reason{Condition: jingle.ReasonGone, Text: "The client went offline"})
		c.raise(XGone)
	}
}

// bridge begins the time in which both talk.
func (c *Call) bridge() {
	c.rec.Bridged = c.ports.Now()
	c.ports.Bridged()
	if c.set.Alive > 0 {
		c.ports.SetTimer(TimerAlive, c.set.Alive)
	}
	c.wishAgain()
}

// release lets go of everything that costs, and accounts for the call.
func (c *Call) release() {
	for t := range Timers {
		if t != TimerState {
			c.ports.SetTimer(t, 0)
		}
	}
	for _, b := range c.branches {
		if b == c.used && b.media != nil {
			c.rec.Stats = b.media.Stats()
			c.rec.Codecs = [2]string{c.rec.Stats[relay.Jingle].Codec, c.rec.Stats[relay.SIP].Codec}
		}
		if b.media != nil {
			b.media.Close()
		}
	}
	if c.used != nil {
		c.rec.SID = c.used.sid
	}
	if c.used2 != nil {
		c.rec.CallID = c.used2.CallID()
	} else if len(c.legs) > 0 {
		c.rec.CallID = c.legs[0].CallID()
	}
	c.rec.Protected = c.sip.protection.String()
	c.rec.Ended, c.rec.EndedBy, c.rec.Reason, c.rec.Text = c.ports.Now(), c.by, c.why.Condition, c.why.Text
	if c.best != nil && c.rec.Status == 0 {
		c.rec.Status = c.best.Code
	}
	c.ports.Recorded(c.rec)
}

// shed lets go of all that only a call that goes on needs. What is left answers late
// stanzas for as long as the id of the session stays taken, and thousands of ended calls
// may do so at a time.
func (c *Call) shed() {
	c.legs = slices.DeleteFunc(c.legs, func(l *leg) bool { return l.over })
	if c.used2 != nil && c.used2.over {
		c.used2 = nil
	}
	c.sip, c.transfer, c.own, c.invite, c.reinvite = nil, nil, nil, nil, nil
	for _, b := range c.branches {
		b.media, b.said, b.side = nil, nil, nil
	}
}

// checkClosed ends the actor when no dialog is left and none can come.
func (c *Call) checkClosed() {
	if c.state != Ending {
		return
	}
	if c.rec.Direction == XMPPToSIP && !c.dialled {
		return
	}
	for _, l := range c.legs {
		if !l.over {
			return
		}
	}
	c.raise(Closed)
}

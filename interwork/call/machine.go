package call

import "time"

// State is where a call stands. "she" is the XMPP user, "he" the SIP user.
type State uint8

const (
	// StateUnknown is the zero value: nothing has happened.
	StateUnknown State = iota
	// Proposed: she proposed a call, INVITEs are on their way to him.
	Proposed
	// ProposedRinging: the same, and one of his phones rings.
	ProposedRinging
	// Invited: she sent a session-initiate, INVITEs are on their way to him.
	Invited
	// InvitedRinging: the same, and one of his phones rings.
	InvitedRinging
	// Proceeding: he took the call that she proposed; her session-initiate is awaited.
	Proceeding
	// Accepting: he took the call, the session-accept is on its way to her.
	Accepting
	// Calling: he sent an INVITE, she has been proposed to or invited.
	Calling
	// Alerting: the same, and one of her devices rings.
	Alerting
	// Initiating: one of her devices said that it takes the call; her session-accept is awaited.
	Initiating
	// Answering: she took the call, the 2xx is on its way to him and his ACK is awaited.
	Answering
	// Active: both talk.
	Active
	// Modifying: the same, and a re-INVITE of ours is under way.
	Modifying
	// Ending: both sides were told, or told us, that it is over; his dialogs still close.
	Ending
	// Ended: nothing is left but the memory of the session's id.
	Ended

	states
)

var stateNames = [...]string{
	"unknown", "proposed", "proposed-ringing", "invited", "invited-ringing", "proceeding", "accepting",
	"calling", "alerting", "initiating", "answering", "active", "modifying", "ending", "ended",
}

func (s State) String() string { return name(stateNames[:], int(s)) }

// Answered tells whether somebody has taken the call.
func (s State) Answered() bool {
	switch s {
	case Proceeding, Accepting, Initiating, Answering, Active, Modifying:
		return true
	}
	return false
}

// Over tells whether the call has ended as far as its users are concerned.
func (s State) Over() bool { return s == Ending || s == Ended }

// Event is what can happen to a call. Those that begin with X come from the XMPP side.
type Event uint8

const (
	// EventUnknown is the zero value and changes nothing.
	EventUnknown Event = iota
	// XProposed: JMI propose.
	XProposed
	// XInvited: session-initiate.
	XInvited
	// XRang: one of her devices rings (JMI ringing, a receipt of the proposal, session-info).
	XRang
	// XProceeded: JMI proceed of one of her devices.
	XProceeded
	// XAccepted: session-accept of one of her devices.
	XAccepted
	// XRefused: nobody on her side takes the call: rejected, busy, bounced, gone.
	XRefused
	// XAcked: the session-accept or session-initiate that we sent was acknowledged.
	XAcked
	// XLost: it was refused or never answered.
	XLost
	// XEnded: she ended it: retract, session-terminate, finish.
	XEnded
	// XGone: she is offline and nothing is heard of her.
	XGone
	// XModified: what she asks for needs a new offer to him (hold, unhold).
	XModified
	// SInvited: his INVITE.
	SInvited
	// SRang: one of his phones rings.
	SRang
	// SAnswered: one of his phones took the call.
	SAnswered
	// SFailed: no phone of his takes it any more.
	SFailed
	// SConfirmed: his ACK.
	SConfirmed
	// SOffered: his re-INVITE or UPDATE.
	SOffered
	// SModified: the answer to our re-INVITE, or its refusal.
	SModified
	// SEnded: he ended it: CANCEL, BYE, or his dialog failed.
	SEnded
	// MediaUp: sound can flow on her side.
	MediaUp
	// MediaFailed: no way for the sound, no common codec, silence for too long.
	MediaFailed
	// Dropped: the gateway ends it: shutdown, limits, the operator.
	Dropped
	// TimedOut: the deadline of the state has passed.
	TimedOut
	// Closed: the last dialog of his has ended.
	Closed

	events
)

var eventNames = [...]string{
	"unknown", "x-proposed", "x-invited", "x-rang", "x-proceeded", "x-accepted", "x-refused", "x-acked", "x-lost", "x-ended", "x-gone",
	"x-modified", "s-invited", "s-rang", "s-answered", "s-failed", "s-confirmed", "s-offered", "s-modified", "s-ended",
	"media-up", "media-failed", "dropped", "timed-out", "closed",
}

func (e Event) String() string { return name(eventNames[:], int(e)) }

// Effect is one thing that a transition asks for.
type Effect uint8

const (
	// EffectUnknown is the zero value and never given.
	EffectUnknown Effect = iota
	// Dial: send INVITEs to all ways to him.
	Dial
	// TellRinging: JMI ringing and the receipt of the proposal, or session-info ringing.
	TellRinging
	// TellProceed: JMI proceed.
	TellProceed
	// Accept: session-accept, and his answer into the relay.
	Accept
	// Reject: JMI reject of her proposal.
	Reject
	// Propose: JMI propose to her, session-initiate to those of her devices that take no proposals.
	Propose
	// Initiate: session-initiate to the device that proceeded.
	Initiate
	// Withdraw: take back whatever she was proposed, except from the device that took the call.
	Withdraw
	// TooLate: tell the device that it comes too late.
	TooLate
	// Terminate: session-terminate to her.
	Terminate
	// Finish: JMI finish, in a call that began with a proposal.
	Finish
	// Ring: 180 to him.
	Ring
	// Answer: 2xx to him.
	Answer
	// Offer: re-INVITE to him with what is wanted now.
	Offer
	// AnswerOffer: answer his re-INVITE.
	AnswerOffer
	// RefuseOffer: refuse his re-INVITE.
	RefuseOffer
	// HangUp: end all his dialogs: a final response, CANCEL or BYE, as each demands.
	HangUp
	// Bridge: the call stands.
	Bridge
	// Release: let go of media and account for the call.
	Release
	// Forget: the actor is done.
	Forget

	effects
)

var effectNames = [...]string{
	"unknown", "dial", "tell-ringing", "tell-proceed", "accept", "reject", "propose", "initiate", "withdraw", "too-late",
	"terminate", "finish", "ring", "answer", "offer", "answer-offer", "refuse-offer", "hang-up", "bridge", "release", "forget",
}

func (e Effect) String() string { return name(effectNames[:], int(e)) }

func name(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return "invalid"
	}
	return names[i]
}

// Transition is one row of the machine.
type Transition struct {
	Next    State
	Effects []Effect
}

// Next is the machine of a call. What is in no row changes
// nothing: the event comes too late, too early or twice. It is total and has no memory
// of its own; the slice must not be changed.
func Next(s State, e Event) (State, []Effect) {
	if int(s) < len(machine) && int(e) < int(events) {
		if t := machine[s][e]; t.Next != StateUnknown {
			return t.Next, t.Effects
		}
	}
	return s, nil
}

// machine holds the rows by state and event; an empty one is not a row.
var machine = func() (m [states][events]Transition) {
	to := func(s State, e Event, next State, effects ...Effect) { m[s][e] = Transition{next, effects} }
	// end ends a call for every event of a list.
	end := func(s State, list []Event, effects ...Effect) {
		for _, e := range list {
			to(s, e, Ending, append(effects, Release)...)
		}
	}
	byUs := []Event{MediaFailed, Dropped, TimedOut}

	to(StateUnknown, XProposed, Proposed, Dial)
	to(StateUnknown, XInvited, Invited, Dial)
	to(StateUnknown, SInvited, Calling, Propose)

	// From XMPP to SIP.
	for _, s := range []State{Proposed, ProposedRinging} {
		to(s, SAnswered, Proceeding, TellProceed)
		end(s, []Event{SFailed, SEnded}, Reject)
		end(s, []Event{XEnded, XGone}, HangUp)
		end(s, byUs, Reject, HangUp)
	}
	to(Proposed, SRang, ProposedRinging, TellRinging)
	// She does not wait for us to proceed.
	to(Proposed, XInvited, Invited)
	to(ProposedRinging, XInvited, InvitedRinging)

	for _, s := range []State{Invited, InvitedRinging} {
		to(s, SAnswered, Accepting, Accept)
		end(s, []Event{SFailed, SEnded}, Terminate, Finish)
		end(s, []Event{XEnded, XGone}, HangUp, Finish)
		end(s, byUs, Terminate, Finish, HangUp)
	}
	to(Invited, SRang, InvitedRinging, TellRinging)

	to(Proceeding, XInvited, Accepting, Accept)
	to(Proceeding, SOffered, Proceeding, AnswerOffer)
	end(Proceeding, []Event{XEnded}, HangUp)
	end(Proceeding, []Event{SEnded}, Finish)
	end(Proceeding, append([]Event{XGone}, byUs...), Finish, HangUp)

	to(Accepting, XAcked, Active, Bridge)
	to(Accepting, MediaUp, Active, Bridge)

	// From SIP to XMPP.
	for _, s := range []State{Calling, Alerting} {
		to(s, XProceeded, Initiating, Withdraw, Initiate)
		to(s, XAccepted, Answering, Withdraw, Answer)
		to(s, SOffered, s, RefuseOffer)
		end(s, []Event{SEnded}, Withdraw)
		end(s, append([]Event{XRefused, XEnded, XLost}, byUs...), Withdraw, HangUp)
	}
	to(Calling, XRang, Alerting, Ring)

	to(Initiating, XAccepted, Answering, Answer)
	to(Initiating, XProceeded, Initiating, TooLate)
	to(Initiating, SOffered, Initiating, RefuseOffer)
	end(Initiating, []Event{XRefused}, Terminate, HangUp, Finish) // a reject leaves the session open

	to(Answering, SConfirmed, Active, Bridge)

	// Talking.
	to(Active, XModified, Modifying, Offer)
	to(Modifying, SModified, Active)
	for _, s := range []State{Accepting, Initiating, Answering, Active, Modifying} {
		if s != Initiating {
			to(s, SOffered, s, AnswerOffer)
			to(s, XProceeded, s, TooLate)
		}
		end(s, []Event{XEnded}, HangUp, Finish)
		end(s, []Event{SEnded}, Terminate, Finish)
		end(s, append([]Event{XGone}, byUs...), Terminate, Finish, HangUp)
	}
	for _, s := range []State{Accepting, Initiating} {
		end(s, []Event{XLost}, Terminate, Finish, HangUp)
	}

	// What crosses the end.
	for _, s := range []State{Ending, Ended} {
		to(s, XProceeded, s, TooLate)
		to(s, XAccepted, s, TooLate)
		to(s, XInvited, s, TooLate)
		to(s, SOffered, s, RefuseOffer)
	}
	to(Ending, Closed, Ended, Forget)
	to(Ending, TimedOut, Ended, Forget)
	return m
}()

// Deadlines bounds every state that waits for somebody.
type Deadlines struct {
	Ring    time.Duration // until somebody takes the call; default 120 s
	Reach   time.Duration // until one of her devices rings; default 60 s: Dino does not say so
	Proceed time.Duration // from a proceed to the session-initiate; default 15 s
	Answer  time.Duration // until a stanza that matters is answered; default 20 s
	Confirm time.Duration // until the ACK; the dialog gives up after 64*T1; default 40 s
	Talk    time.Duration // of a whole call; default 24 h
	Close   time.Duration // until his dialogs are closed; default 40 s
}

// WithDefaults fills in what is zero.
func (d Deadlines) WithDefaults() Deadlines {
	def := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	def(&d.Ring, 120*time.Second)
	def(&d.Reach, min(time.Minute, d.Ring))
	def(&d.Proceed, 15*time.Second)
	def(&d.Answer, 20*time.Second)
	def(&d.Confirm, 40*time.Second)
	def(&d.Talk, 24*time.Hour)
	def(&d.Close, 40*time.Second)
	return d
}

// Of is how long a call may stay in a state; 0: it is not in a state that can last.
func (d Deadlines) Of(s State) time.Duration {
	switch s {
	case Proposed, ProposedRinging, Invited, InvitedRinging, Alerting:
		return d.Ring
	case Calling:
		return d.Reach
	case Proceeding:
		return d.Proceed
	case Accepting:
		return d.Answer
	case Initiating:
		return d.Answer + d.Proceed // its device collects candidates first
	case Answering:
		return d.Confirm
	case Active, Modifying:
		return d.Talk
	case Ending:
		return d.Close
	}
	return 0
}

// sameDeadline tells whether the deadline of one state goes on in another: his ringing
// does not start the time anew, and neither does modifying that of the call.
func sameDeadline(a, b State) bool {
	group := func(s State) State {
		switch s {
		case Proposed, ProposedRinging, Invited, InvitedRinging:
			return Proposed
		case Active, Modifying:
			return Active
		}
		return s
	}
	return group(a) == group(b)
}

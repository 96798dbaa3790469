package chat

import "fmt"

// OutboundState is where one message from XMPP stands on its way to SIP.
type OutboundState uint8

const (
	// OutboundUnknown is the zero value: nothing has been done with the message yet.
	OutboundUnknown OutboundState = iota
	// OutboundQueued: the message is on its way into the outbox, or in it, and waits for its turn; RFC 3428 §8
	// allows one pending MESSAGE per pair.
	OutboundQueued
	// OutboundSending: a MESSAGE transaction is under way.
	OutboundSending
	// OutboundTelling: SIP refused the message and its sender is being told.
	OutboundTelling
	// OutboundKeeping: the sender could not be told because the XMPP link is down; the error goes into the outbox.
	OutboundKeeping
	// OutboundDone: nothing is left to do.
	OutboundDone
)

var outboundStateNames = [...]string{"unknown", "queued", "sending", "telling", "keeping", "done"}

func (s OutboundState) String() string { return name(outboundStateNames[:], int(s)) }

// OutboundEvent is what can happen to a message from XMPP.
type OutboundEvent uint8

const (
	// OutboundReceived: the stanza was read from the component stream.
	OutboundReceived OutboundEvent = iota
	// OutboundReceivedLight: as OutboundReceived, for what is not worth a disk write (chat states).
	OutboundReceivedLight
	// OutboundRestored: the message was found in the outbox after a restart.
	OutboundRestored
	// OutboundNotCommitted: the outbox refused it.
	OutboundNotCommitted
	// OutboundTurn: no other message of the pair is under way.
	OutboundTurn
	// OutboundUnmappable: the message has no SIP form.
	OutboundUnmappable
	// OutboundNothing: there is nothing in the message that SIP would have to know.
	OutboundNothing
	// OutboundNext: one of several requests was accepted and another follows, or the
	// peer refused the body format and a simpler one is tried.
	OutboundNext
	// OutboundAccepted: SIP answered 2xx.
	OutboundAccepted
	// OutboundRefused: SIP answered otherwise, or not at all.
	OutboundRefused
	// OutboundTold: the server took the error stanza.
	OutboundTold
	// OutboundNotTold: the link broke before the server took the error stanza.
	OutboundNotTold
	// OutboundKept: the error stanza is on disk.
	OutboundKept
	// OutboundNotKept: the outbox refused the error stanza.
	OutboundNotKept

	outboundEvents
)

var outboundEventNames = [...]string{
	"received", "received-light", "restored", "not-committed", "turn", "unmappable", "nothing",
	"next",
	"accepted", "refused", "told", "not-told", "kept", "not-kept",
}

func (e OutboundEvent) String() string { return name(outboundEventNames[:], int(e)) }

// OutboundAction is what the pair does because of a transition.
type OutboundAction uint8

const (
	// OutboundStore writes the message to the outbox.
	OutboundStore OutboundAction = iota + 1
	// OutboundSend starts a MESSAGE transaction.
	OutboundSend
	// OutboundForget takes the message out of the outbox.
	OutboundForget
	// OutboundTell sends an error stanza to the sender.
	OutboundTell
	// OutboundKeep writes the error stanza to the outbox, to be sent when the link is back.
	OutboundKeep
)

var outboundActionNames = [...]string{"none", "store", "send", "forget", "tell", "keep"}

func (a OutboundAction) String() string { return name(outboundActionNames[:], int(a)) }

// NextOutbound is the life of a message from XMPP. It goes to the outbox and to its
// receiver at the same time: a component stream has no acknowledgement to wait for the
// disk with, so whatever the disk would make later could only be lost more often. What
// SIP has answered before the outbox gets to writing it is never written.
//
//	unknown  --received-->       queued             store
//	unknown  --received-light--> queued             (a chat state is not worth a disk write)
//	unknown  --restored-->       queued
//	unknown  --not-committed-->  telling            tell  (too many wait already)
//	queued   --not-committed-->  telling            tell
//	queued   --turn-->           sending            send
//	queued   --unmappable-->     telling            tell
//	queued   --nothing-->        done               forget
//	sending  --next-->           sending            send
//	sending  --accepted-->       done               forget
//	sending  --refused-->        telling            tell
//	telling  --told-->           done               forget
//	telling  --not-told-->       keeping            keep
//	keeping  --kept-->           done               forget
//	keeping  --not-kept-->       done               (the entry stays and is sent again after a restart)
//	sending, telling, keeping, done --not-committed--> the same (it is under way, and ends as it ends)
//
// A pair that is not in the table returns ok == false: a fault of ours.
func NextOutbound(s OutboundState, e OutboundEvent) (next OutboundState, action OutboundAction, ok bool) {
	switch s {
	case OutboundUnknown:
		switch e {
		case OutboundReceived:
			return OutboundQueued, OutboundStore, true
		case OutboundReceivedLight, OutboundRestored:
			return OutboundQueued, 0, true
		case OutboundNotCommitted:
			return OutboundTelling, OutboundTell, true
		}
	case OutboundQueued:
		switch e {
		case OutboundNotCommitted:
			return OutboundTelling, OutboundTell, true
		case OutboundTurn:
			return OutboundSending, OutboundSend, true
		case OutboundUnmappable:
			return OutboundTelling, OutboundTell, true
		case OutboundNothing:
			return OutboundDone, OutboundForget, true
		}
	case OutboundSending:
		switch e {
		case OutboundNext:
			return OutboundSending, OutboundSend, true
		case OutboundAccepted:
			return OutboundDone, OutboundForget, true
		case OutboundRefused:
			return OutboundTelling, OutboundTell, true
		case OutboundNotCommitted:
			return s, 0, true
		}
	case OutboundTelling:
		switch e {
		case OutboundNotCommitted:
			return s, 0, true
		case OutboundTold:
			return OutboundDone, OutboundForget, true
		case OutboundNotTold:
			return OutboundKeeping, OutboundKeep, true
		}
	case OutboundKeeping:
		switch e {
		case OutboundNotCommitted:
			return s, 0, true
		case OutboundKept:
			return OutboundDone, OutboundForget, true
		case OutboundNotKept:
			return OutboundDone, 0, true
		}
	case OutboundDone:
		if e == OutboundNotCommitted {
			return s, 0, true
		}
	}
	return s, 0, false
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

package chat

// InboundState is where one message from SIP stands on its way to XMPP.
type InboundState uint8

const (
	// InboundUnknown is the zero value: nothing has been done with the message yet.
	InboundUnknown InboundState = iota
	// InboundDelivering: the stanza is on the stream and the server's verdict is awaited;
	// the SIP sender has no answer yet.
	InboundDelivering
	// InboundStoring: the stanza is on its way into the outbox; no answer yet.
	InboundStoring
	// InboundKept: the stanza is safe, 202 was answered, and the link is awaited.
	InboundKept
	// InboundRedelivering: a kept stanza is on the stream and the server's verdict is awaited.
	InboundRedelivering
	// InboundDone: nothing is left to do.
	InboundDone
)

var inboundStateNames = [...]string{"unknown", "delivering", "storing", "kept", "redelivering", "done"}

func (s InboundState) String() string { return name(inboundStateNames[:], int(s)) }

// InboundEvent is what can happen to a message from SIP.
type InboundEvent uint8

const (
	// InboundReceived: the MESSAGE was read, the link is up and nothing older waits.
	InboundReceived InboundEvent = iota
	// InboundReceivedWaiting: the MESSAGE was read while the link is down, or older
	// messages of the pair wait for it.
	InboundReceivedWaiting
	// InboundReceivedRefused: as InboundReceivedWaiting, where policy is to refuse.
	InboundReceivedRefused
	// InboundRestored: the stanza was found in the outbox after a restart.
	InboundRestored
	// InboundDelivered: the server took the stanza and did not bounce it.
	InboundDelivered
	// InboundUncertain: the server took the stanza but gave no verdict in time.
	InboundUncertain
	// InboundBounced: the server or the recipient's client refused the stanza.
	InboundBounced
	// InboundLost: the link broke before the server gave a verdict.
	InboundLost
	// InboundOverloaded: the send queue of the link is full.
	InboundOverloaded
	// InboundCommitted: the outbox has it on disk.
	InboundCommitted
	// InboundNotCommitted: the outbox refused it.
	InboundNotCommitted
	// InboundTurn: the link is up and no older kept message of the pair is under way.
	InboundTurn
	// InboundExpired: the message was kept as long as it may be.
	InboundExpired

	inboundEvents
)

var inboundEventNames = [...]string{
	"received", "received-waiting", "received-refused", "restored", "delivered", "uncertain", "bounced",
	"lost", "overloaded", "committed", "not-committed", "turn", "expired",
}

func (e InboundEvent) String() string { return name(inboundEventNames[:], int(e)) }

// InboundAction is what the pair does because of a transition.
type InboundAction uint8

const (
	// InboundDeliver puts the stanza on the stream.
	InboundDeliver InboundAction = iota + 1
	// InboundStore writes the stanza to the outbox.
	InboundStore
	// InboundAnswerDelivered answers 200: RFC 3428 §7, delivered.
	InboundAnswerDelivered
	// InboundAnswerTaken answers 202: RFC 3428 §7, taken for later delivery or with unknown fate.
	InboundAnswerTaken
	// InboundAnswerFailure answers with the SIP form of what went wrong.
	InboundAnswerFailure
	// InboundForget takes the stanza out of the outbox.
	InboundForget
	// InboundReport tells the SIP sender, who has a 202 already, that the message was
	// not delivered, and takes the stanza out of the outbox.
	InboundReport
)

var inboundActionNames = [...]string{
	"none", "deliver", "store", "answer-delivered", "answer-taken", "answer-failure", "forget", "report",
}

func (a InboundAction) String() string { return name(inboundActionNames[:], int(a)) }

// NextInbound is the life of a message from SIP: it is acknowledged when the server
// has it (200), or when the disk has it (202), never before.
//
//	unknown      --received-->         delivering    deliver
//	unknown      --received-waiting--> storing       store
//	unknown      --received-refused--> done          answer-failure
//	unknown      --restored-->         kept
//	delivering   --delivered-->        done          answer-delivered
//	delivering   --uncertain-->        done          answer-taken
//	delivering   --bounced-->          done          answer-failure
//	delivering   --overloaded-->       done          answer-failure
//	delivering   --lost-->             storing       store
//	storing      --committed-->        kept          answer-taken
//	storing      --not-committed-->    done          answer-failure
//	kept         --turn-->             redelivering  deliver
//	kept         --expired-->          done          report
//	redelivering --delivered-->        done          forget
//	redelivering --uncertain-->        done          forget
//	redelivering --bounced-->          done          report
//	redelivering --lost-->             kept
//	redelivering --overloaded-->       kept
//
// A pair that is not in the table returns ok == false: a fault of ours.
func NextInbound(s InboundState, e InboundEvent) (next InboundState, action InboundAction, ok bool) {
	switch s {
	case InboundUnknown:
		switch e {
		case InboundReceived:
			return InboundDelivering, InboundDeliver, true
		case InboundReceivedWaiting:
			return InboundStoring, InboundStore, true
		case InboundReceivedRefused:
			return InboundDone, InboundAnswerFailure, true
		case InboundRestored:
			return InboundKept, 0, true
		}
	case InboundDelivering:
		switch e {
		case InboundDelivered:
			return InboundDone, InboundAnswerDelivered, true
		case InboundUncertain:
			return InboundDone, InboundAnswerTaken, true
		case InboundBounced, InboundOverloaded:
			return InboundDone, InboundAnswerFailure, true
		case InboundLost:
			return InboundStoring, InboundStore, true
		}
	case InboundStoring:
		switch e {
		case InboundCommitted:
			return InboundKept, InboundAnswerTaken, true
		case InboundNotCommitted:
			return InboundDone, InboundAnswerFailure, true
		}
	case InboundKept:
		switch e {
		case InboundTurn:
			return InboundRedelivering, InboundDeliver, true
		case InboundExpired:
			return InboundDone, InboundReport, true
		}
	case InboundRedelivering:
		switch e {
		case InboundDelivered, InboundUncertain:
			return InboundDone, InboundForget, true
		case InboundBounced:
			return InboundDone, InboundReport, true
		case InboundLost, InboundOverloaded:
			return InboundKept, 0, true
		}
	}
	return s, 0, false
}

// Package chat is the conversation of one pair, a bare JID and a SIP AOR: pager-mode
// messages in both directions (RFC 7572), chat states, receipts, and the promise that
// nothing is acknowledged before it is safe and every failure is told to its sender.
//
// The lives of single messages are the pure functions [NextOutbound], [NextInbound]
// and [NextComposing]. A [Pair] holds the queues and carries their actions out through
// [Ports]; it never waits: whatever takes time comes back as an [Event]. The gateway
// runs each Pair in one actor, so a Pair needs no locks.
//
// Order: messages of a pair leave in the order in which they came, with one MESSAGE
// transaction at a time (RFC 3428 §8). Each XMPP user counts as a user agent of its
// own, so pairs never wait for each other.
package chat

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Verdict is what became of a stanza that was put on the component stream.
type Verdict uint8

const (
	// VerdictUnknown is the zero value: none was given yet.
	VerdictUnknown Verdict = iota
	// VerdictDelivered: the server took the stanza and did not bounce it.
	VerdictDelivered
	// VerdictUncertain: the server gave no verdict in time.
	VerdictUncertain
	// VerdictBounced: an error stanza came back.
	VerdictBounced
	// VerdictLost: the link broke first, or is down.
	VerdictLost
	// VerdictOverloaded: the send queue of the link is full.
	VerdictOverloaded
)

func (v Verdict) String() string {
	return name([]string{"unknown", "delivered", "uncertain", "bounced", "lost", "overloaded"}, int(v))
}

// Direction says which way a stored message goes.
type Direction string

const (
	// XMPPToSIP entries hold the stanza as it was received.
	XMPPToSIP Direction = "x2s"
	// SIPToXMPP entries hold the stanza as it will be sent.
	SIPToXMPP Direction = "s2x"
)

// Timer names the timers of a pair.
type Timer uint8

const (
	// TimerRepeat sends isComposing "active" again.
	TimerRepeat Timer = iota
	// TimerComposing ends the composing state of the SIP party.
	TimerComposing
	// TimerKept looks after kept messages: expiry, and another try after an overload.
	TimerKept

	// Timers is how many there are.
	Timers
)

// Ports is what a pair asks of the gateway around it. No method waits; results come
// back through the functions handed over, which post an Event to the pair's actor.
type Ports interface {
	// LinkUp says whether the component stream stands.
	LinkUp() bool
	// Outward resolves the addresses of a stanza and what is known about the peer.
	Outward(ctx context.Context, m *xmpp.Message) (mapping.MessageContext, *cause.Cause)
	// Send performs one MESSAGE transaction; answered gets nil for 2xx.
	Send(flow string, to xmpp.JID, req *sip.Request, answered func(*cause.Cause))
	// Deliver puts a stanza on the stream; see Verdict.
	Deliver(flow string, m *xmpp.Message, done func(Verdict, *xmpp.StanzaError), late func(*xmpp.StanzaError))
	// Store puts a message into the outbox and gives its number; an error means that
	// committed is not called. Towards XMPP committed tells when it is on the disk, for
	// its sender waits for that. Towards SIP that is not before it has had a moment to
	// be answered, and committed is not called when Forget comes first.
	Store(d Direction, flow string, payload []byte, expires time.Time, committed func(seq int64, err error)) (int64, error)
	// Forget takes a message out of the outbox.
	Forget(seq int64)
	// NextSeq numbers a request that is not in the outbox.
	NextSeq() uint64
	// SetTimer starts a timer anew, or stops it when after is 0; it posts TimerFired.
	SetTimer(t Timer, after time.Duration)
	// RememberReceipt keeps what a SIP sender wants to be told of the message with the
	// stanza id, for as long as a receipt may come.
	RememberReceipt(id string, w Wish)
	// Receipt gives what RememberReceipt kept.
	Receipt(ctx context.Context, id string) (Wish, bool)
	// Learn adds to what is known of the SIP party: it was seen to use this.
	Learn(caps mapping.PeerCaps)
	// Unlearn drops all that is known: it refused what it was thought to accept.
	Unlearn()
	// Lost notes for the flow what a translation could not carry; d is its direction.
	Lost(flow string, d Direction, what []string)
	// Log is the logger of the flow.
	Log(flow string) *zerolog.Logger
	// Count counts one ended message for the metrics.
	Count(d Direction, result string)
}

// Wish is what the sender of a SIP message asked to be told (RFC 5438 §6.3), and when
// the message was sent, which a notification has to repeat.
type Wish struct {
	Sent     time.Time
	Negative bool // tell when it could not be delivered
}

// Settings is what an operator may decide about messages.
type Settings struct {
	// KeepFor is how long a message waits for a broken link before its sender is told.
	KeepFor time.Duration
	// RefuseOffline answers 480 while the link is down, instead of keeping messages.
	RefuseOffline bool
	// QueueLimit bounds the messages of one pair that wait for their turn.
	QueueLimit int
}

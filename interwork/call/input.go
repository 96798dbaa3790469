package call

import (
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Input is something that a call has to take notice of.
type Input interface{ isInput() }

// MessageReceived: a Jingle message of her (XEP-0353).
type MessageReceived struct {
	From    xmpp.JID // full
	Message *jingle.Message
	// ID of a propose whose receipt is wanted, else "" (XEP-0184).
	ReceiptFor string
}

// ReceiptReceived: one of her devices has our proposal.
type ReceiptReceived struct{ From xmpp.JID }

// MessageBounced: a Jingle message of ours could not be delivered.
type MessageBounced struct {
	From  xmpp.JID
	Kind  jingle.Kind
	Error *xmpp.StanzaError
}

// StanzaReceived: a Jingle IQ set of her. It is answered by the call.
type StanzaReceived struct {
	IQ     *xmpp.IQ
	Jingle *jingle.Jingle
}

// Unavailable: one of her resources went offline (full JID), or she is no more (bare JID).
type Unavailable struct{ JID xmpp.JID }

// InviteReceived: his INVITE. Offer is nil when it has none.
type InviteReceived struct {
	Leg   Leg
	Offer []byte
}

// Dialling: an INVITE is about to be sent.
type Dialling struct {
	Leg Leg
	// Replaced says that the leg is for somebody in his place (Transfer).
	Replaced bool
}

// Dialled: no more INVITEs will be sent. Status says why one could not be, or nil.
type Dialled struct {
	Status *sip.Status
	// Replaced is as in Dialling.
	Replaced bool
}

// LegRang: 18x.
type LegRang struct {
	Leg  Leg
	Code int
	Body []byte
}

// LegAnswered: 2xx.
type LegAnswered struct {
	Leg  Leg
	Body []byte
}

// LegFailed: a final response that is not 2xx, or none.
type LegFailed struct {
	Leg     Leg
	Status  sip.Status
	Reasons []sip.Reason
}

// LegConfirmed: ACK of our 2xx; Body is the answer to an offer of ours.
type LegConfirmed struct {
	Leg  Leg
	Body []byte
}

// LegOffered: re-INVITE or UPDATE; Body is nil when he wants an offer.
type LegOffered struct {
	Leg  Leg
	Body []byte
}

// LegOfferAnswered: his answer to an offer of ours.
type LegOfferAnswered struct {
	Leg  Leg
	Body []byte
}

// LegOfferRefused: he does not take our offer; the session stays as it was.
type LegOfferRefused struct {
	Leg    Leg
	Status sip.Status
}

// LegEnded: the dialog is over, by him or because it failed, or as we asked.
type LegEnded struct {
	Leg     Leg
	Reasons []sip.Reason
	ByPeer  bool
	// Expired says that the session timer ran out (RFC 4028).
	Expired bool
}

// LegInfo: an INFO of his. Answered by whoever makes this input.
type LegInfo struct {
	Leg  Leg
	Type string
	Body []byte
}

// LegReferred: his REFER.
type LegReferred struct {
	Leg      Leg
	Target   sip.URI
	Replaces string // of the target, unescaped; "" for none
	By       sip.NameAddr
}

// LegNotified: how a REFER of ours goes.
type LegNotified struct {
	Leg    Leg
	Status sip.Status
}

// MediaHappened: an event of the relay, of the session opened with the tag.
type MediaHappened struct {
	Tag   int
	Event relay.Event
}

// TimerFired: a timer ran out.
type TimerFired struct{ Timer Timer }

// Drop: the gateway ends the call.
type Drop struct {
	Reason jingle.Reason
}

// Done is the end of something that the call asked for.
type Done func()

func (MessageReceived) isInput()  {}
func (ReceiptReceived) isInput()  {}
func (MessageBounced) isInput()   {}
func (StanzaReceived) isInput()   {}
func (Unavailable) isInput()      {}
func (InviteReceived) isInput()   {}
func (Dialling) isInput()         {}
func (Dialled) isInput()          {}
func (LegRang) isInput()          {}
func (LegAnswered) isInput()      {}
func (LegFailed) isInput()        {}
func (LegConfirmed) isInput()     {}
func (LegOffered) isInput()       {}
func (LegOfferAnswered) isInput() {}
func (LegOfferRefused) isInput()  {}
func (LegEnded) isInput()         {}
func (LegInfo) isInput()          {}
func (LegReferred) isInput()      {}
func (LegNotified) isInput()      {}
func (MediaHappened) isInput()    {}
func (TimerFired) isInput()       {}
func (Drop) isInput()             {}
func (Done) isInput()             {}

package chat

import (
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Event is something that happened to a pair.
type Event interface{ isEvent() }

// StanzaReceived: a message stanza came from the XMPP side.
type StanzaReceived struct {
	Flow    string
	Message *xmpp.Message
}

// RequestReceived: an authenticated MESSAGE came from the SIP side. Answer must be
// called exactly once.
type RequestReceived struct {
	Flow    string
	Request *sip.Request
	Context mapping.RequestContext
	Answer  func(sip.Status)
}

// OutboundFound: a message from XMPP was found in the outbox after a restart.
type OutboundFound struct {
	Flow    string
	Seq     int64
	Taken   time.Time // when it was received
	Message *xmpp.Message
}

// InboundFound: a message for XMPP was found in the outbox after a restart.
type InboundFound struct {
	Flow    string
	Seq     int64
	Message *xmpp.Message
	Expires time.Time // zero: never
}

// LinkUp: the component stream stands again.
type LinkUp struct{}

// TimerFired: a timer of the pair ran out.
type TimerFired struct{ Timer Timer }

type (
	outboundEvent struct {
		out   *outbound
		event OutboundEvent
		cause *cause.Cause // the failures
	}
	inboundEvent struct {
		in    *inbound
		event InboundEvent
		seq   int64        // InboundCommitted
		cause *cause.Cause // the failures
	}
	lateBounce struct {
		in    *inbound
		cause *cause.Cause
	}
)

func (StanzaReceived) isEvent()  {}
func (RequestReceived) isEvent() {}
func (OutboundFound) isEvent()   {}
func (InboundFound) isEvent()    {}
func (LinkUp) isEvent()          {}
func (TimerFired) isEvent()      {}
func (*outboundEvent) isEvent()  {}
func (*inboundEvent) isEvent()   {}
func (*lateBounce) isEvent()     {}

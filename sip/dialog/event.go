package dialog

import (
	"errors"

	"github.com/stoxgate/stoxgate/sip"
)

// Event is what happened to a leg: one of the types of this file. A handler gets them one
// at a time, in order, on a goroutine of the leg; it must not block, and may call the leg.
type Event interface{ event() }

// Handler takes the events of one leg.
type Handler func(Event)

// Causes of Ended, beside those of sip/ua that a failed request brings.
var (
	ErrCancelled = errors.New("dialog: cancelled by the caller")
	ErrNoACK     = errors.New("dialog: no ACK in time")
	ErrNoPRACK   = errors.New("dialog: no PRACK in time")
	ErrNoAnswer  = errors.New("dialog: offer was not answered in time")
	ErrExpired   = errors.New("dialog: session was not refreshed in time")
	ErrGone      = errors.New("dialog: the peer does not know the call")
	ErrRing      = errors.New("dialog: rang too long")
	ErrClosed    = errors.New("dialog: layer is closed")
)

type (
	// Progress is a provisional response to our INVITE, 100 left out. Responses that forking
	// brings have different tags.
	Progress struct {
		Status int
		// SDP is nil when there is none. Of an unreliable response it is a preview of the
		// answer, of a reliable one the answer.
		SDP []byte
		// Offer: SDP is the peer's offer, because our INVITE had none, and must be answered
		// with Leg.Answer.
		Offer    bool
		Tag      string // of the early dialog
		Reliable bool
		Response *sip.Response
	}
	// Answered is the 2xx to our INVITE, the first one. Its ACK is on the way, unless Offer
	// is set.
	Answered struct {
		// SDP is the answer; when the 2xx has none, what a provisional response of the same
		// dialog had. May be nil.
		SDP []byte
		// Offer: SDP is the peer's offer, because our INVITE had none, and must be answered
		// with Leg.Answer: the ACK waits for it.
		Offer    bool
		Peer     sip.NameAddr // To of the response
		Response *sip.Response
	}
	// Failed is the last event of a call of ours that was not answered.
	Failed struct {
		Status   sip.Status     // 408 and 503 when there was no response
		Reasons  []sip.Reason   // of the response
		Redirect []sip.NameAddr // Contacts of a 3xx that was not followed to an end
		Cause    error          // nil when the peer refused
	}
	// Confirmed is the ACK to our 2xx. SDP is the answer to an offer of ours in the 2xx, nil
	// without one.
	Confirmed struct{ SDP []byte }
	// Offered is an offer of the peer within the call. Leg.Answer or Leg.Refuse answers it;
	// after 48*T1 it is refused with 500.
	Offered struct {
		SDP    []byte // nil: the peer wants an offer of ours, which Leg.Answer gives
		Update bool   // by UPDATE or PRACK: nobody may be asked (RFC 3311 §5.2)
	}
	// Withdrawn: the peer cancelled its last offer.
	Withdrawn struct{}
	// OfferAnswered is the answer to Leg.Offer, or to what Leg.Answer or Leg.Ring offered. SDP
	// is nil when a peer gave none although it had to.
	OfferAnswered struct{ SDP []byte }
	// OfferRefused: the session stays as it was (RFC 3261 §14.1).
	OfferRefused struct{ Status sip.Status }
	// Info is an INFO; Leg.AnswerInfo answers the oldest.
	Info struct {
		ContentType string
		Package     string // Info-Package; empty for the legacy usage
		Body        []byte
	}
	// Referred is a REFER; Leg.AnswerRefer answers it, Leg.NotifyRefer tells how it went.
	Referred struct {
		ID         uint32 // for AnswerRefer and NotifyRefer
		To         sip.NameAddr
		ReferredBy string // value of Referred-By, "" when absent
		// Replaces is the call to be replaced at To (a header of its URI), nil when none.
		Replaces *Replaces
	}
	// Notified tells how a REFER of ours goes: its own answer when that is no 2xx, then what
	// the peer's NOTIFYs say. Done is set in the last.
	Notified struct {
		ID     uint32 // of Leg.Refer
		Status sip.Status
		Done   bool
	}
	// Ended is the last event of every other call: of one that was answered, that came in,
	// or that Leg.End gave up.
	Ended struct {
		Reasons []sip.Reason // of the BYE or the CANCEL
		Cause   error        // nil after BYE and after what the owner did itself
		ByPeer  bool         // by BYE or CANCEL
	}
)

func (Progress) event()      {}
func (Answered) event()      {}
func (Failed) event()        {}
func (Confirmed) event()     {}
func (Offered) event()       {}
func (Withdrawn) event()     {}
func (OfferAnswered) event() {}
func (OfferRefused) event()  {}
func (Info) event()          {}
func (Referred) event()      {}
func (Notified) event()      {}
func (Ended) event()         {}

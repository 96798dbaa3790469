package call

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Ports is what a Call asks of the gateway. No method waits, and none calls back into
// the Call from within: what comes of it arrives as an [Input].
type Ports interface {
	// Request sends a Jingle IQ set from the call's own JID. answered runs within the actor
	// (as a [Done]), exactly once: with nil for a result, with the error else. Nobody
	// answering in time, and a link that is down, are errors of type wait.
	Request(to xmpp.JID, j *jingle.Jingle, answered func(*xmpp.StanzaError))
	// Answer answers an IQ: with a result, or with an error.
	Answer(iq *xmpp.IQ, err *xmpp.StanzaError)
	// Send sends a message. A bounce comes as MessageBounced.
	Send(m *xmpp.Message)
	// Devices are her resources that are known to take Jingle calls and no proposals.
	Devices(user xmpp.JID) []xmpp.JID
	// TakesProposals tells whether a resource of a user, or the one resource, is known to be
	// online and to take calls by proposals.
	TakesProposals(user xmpp.JID) bool

	// Dial sends INVITEs with the offer to every way to him. Each way is told as Dialling
	// before anything else of it, and Dialled says that there will be no more.
	Dial(offer []byte)
	// Transfer sends an INVITE to another SIP address in his place. It is told as Dial.
	Transfer(target sip.URI, offer []byte, headers []sip.Header)

	// Address is the SIP address of a JID, hers or one of the component's.
	Address(j xmpp.JID) (sip.URI, error)

	// Open opens the media of one Jingle session. Its events come as MediaHappened with the
	// tag.
	Open(tag int) (Media, error)

	// SetTimer starts a timer anew; 0 stops it. It comes as TimerFired.
	SetTimer(t Timer, after time.Duration)
	// NewID makes an unguessable id (XEP-0353 §3: a UUID).
	NewID() string
	// Now is the time.
	Now() time.Time

	// Bridged tells that both talk, and Recorded that the call is over, with its account.
	Bridged()
	Recorded(r Record)
	// Forget lets go of the actor.
	Forget()

	// Note writes a remark into the ladder of the call.
	Note(text string)
	Log() *zerolog.Logger
}

// Media is one session of the relay.
type Media interface {
	Prepare(side relay.Side, stream int, p relay.Setup) (relay.Local, error)
	Connect(side relay.Side, stream int, r relay.Remote) error
	AddCandidates(side relay.Side, stream int, c []relay.Candidate) error
	Restart(side relay.Side, stream int) (relay.Local, error)
	Format(side relay.Side, stream int, f relay.Format) error
	SendDTMF(side relay.Side, digit byte, d time.Duration) error
	Stats() [2]relay.LegStats
	Close()
}

var _ Media = (*relay.Session)(nil)

// Leg is one dialog, or an attempt at one, with a device of his (sip/dialog). Events of a
// leg come as inputs, LegEnded last and exactly once.
type Leg interface {
	// Ring, Accept and Reject answer an INVITE.
	Ring(s sip.Status)
	Accept(body []byte)
	Reject(s sip.Status)
	// End is CANCEL, BYE or a final response, as the state demands.
	End(reasons ...sip.Reason)
	// Offer sends a re-INVITE; Answer and Refuse answer one.
	Offer(body []byte)
	Answer(body []byte)
	Refuse(s sip.Status)
	// Info sends an INFO.
	Info(contentType string, body []byte)
	// Refer asks his device to call somebody else (RFC 3515).
	Refer(target sip.URI)
	// AnswerRefer answers a REFER of his, and Progress tells him how it goes, the last time
	// with a final status.
	AnswerRefer(s sip.Status)
	Progress(s sip.Status)
	// CallID is for accounts and logs.
	CallID() string
}

// Timer is one of the timers of a call.
type Timer uint8

const (
	// TimerState bounds the state.
	TimerState Timer = iota
	// TimerAlive asks whether her client still knows the session.
	TimerAlive
	// TimerGone ends the call of somebody who went offline and is not heard.
	TimerGone
	// TimerSilence looks whether a side that had not begun to send has begun.
	TimerSilence
	// TimerSettle makes the busy of one device that of all, when no other shows up.
	TimerSettle
	// TimerAlert lets him hear ringing for clients that do not say that they ring.
	TimerAlert

	// Timers is their number.
	Timers
)

// Direction is who calls whom.
type Direction string

// The directions.
const (
	XMPPToSIP Direction = "x2s"
	SIPToXMPP Direction = "s2x"
)

// Record is the account of a call.
type Record struct {
	Direction Direction
	SID       string // of the Jingle session that was used
	User      xmpp.JID
	Contact   xmpp.JID
	CallID    string // of the dialog that was used
	Started   time.Time
	Rang      time.Time // zero: it never rang
	Answered  time.Time // zero: nobody took it
	Bridged   time.Time // zero: the two never talked
	Ended     time.Time
	EndedBy   Party
	Reason    jingle.Condition
	Text      string
	Status    int // final SIP response that he gave or got; 0: none
	Proposed  bool
	Codecs    [2]string // received from her and from him
	Protected string    // protection towards him
	Stats     [2]relay.LegStats
}

// Party is who did something.
type Party string

// The parties.
const (
	PartyXMPP    Party = "xmpp"
	PartySIP     Party = "sip"
	PartyGateway Party = "gateway"
)

// Settings are what all calls share.
type Settings struct {
	Deadlines Deadlines
	// Codecs are the names of those that we speak ourselves, most wanted first: opus, g722,
	// pcma, pcmu.
	Codecs []string
	// Alive is how long nothing is heard of her client in a call until it is asked; default
	// 60 s, negative: never.
	Alive time.Duration
	// Gone is how long a call of somebody offline goes on; default 8 s.
	Gone time.Duration
	// Silence is how long a side may send nothing in the beginning; default 30 s. Later it is
	// the relay's own time that counts.
	Silence time.Duration
	// Settle is how long after a busy of one of her clients another one may still show that it
	// rings; default 2 s.
	Settle time.Duration
	// Alert is how long after a proposal that nobody refused he hears ringing, if one of her
	// clients that takes proposals is online: Dino 0.4 sends neither ringing nor a receipt.
	// Default 2 s.
	Alert time.Duration
	// Devices bounds the resources that are invited side by side; default 8.
	Devices int
	// SIP is what is offered to SIP: relay.None, relay.SDES or relay.DTLS.
	SIP relay.Protection
}

// WithDefaults fills in what is zero.
func (s Settings) WithDefaults() Settings {
	s.Deadlines = s.Deadlines.WithDefaults()
	if len(s.Codecs) == 0 {
		s.Codecs = []string{"opus", "g722", "pcma", "pcmu"}
	}
	if s.Alive == 0 {
		s.Alive = time.Minute
	}
	if s.Gone == 0 {
		s.Gone = 8 * time.Second
	}
	if s.Silence == 0 {
		s.Silence = 30 * time.Second
	}
	if s.Settle == 0 {
		s.Settle = 2 * time.Second
	}
	if s.Alert == 0 {
		s.Alert = 2 * time.Second
	}
	if s.Devices == 0 {
		s.Devices = 8
	}
	return s
}

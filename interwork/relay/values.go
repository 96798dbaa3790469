package relay

import (
	"net/netip"
	"time"
)

// Side is one of the two sides of a session. A call between two Jingle or two SIP peers
// uses them just the same: what a leg speaks is said by [Setup].
type Side uint8

// The two sides.
const (
	Jingle Side = iota
	SIP
)

// Other is the side media of this one goes to.
func (s Side) Other() Side { return s ^ 1 }

// String is "jingle" or "sip".
func (s Side) String() string {
	if s == Jingle {
		return "jingle"
	}
	return "sip"
}

// Protection is how RTP of a leg is protected.
type Protection uint8

// Protections.
const (
	None Protection = iota // RTP/AVP
	SDES                   // RTP/SAVP with keys in the signalling (RFC 4568)
	DTLS                   // UDP/TLS/RTP/SAVP (RFC 5764)
)

// String is "none", "sdes" or "dtls".
func (p Protection) String() string { return [...]string{"none", "sdes", "dtls"}[min(p, DTLS)] }

// Setup is what a leg speaks. It is fixed by the first Prepare of a leg but for
// Protection, which may become less than prepared by the peer's answer (see [Remote]).
type Setup struct {
	ICE         bool
	Controlling bool // ICE role: the Jingle initiator, the SIP offerer
	Mux         bool // RTCP on the port of RTP is offered (RFC 5761); always so with ICE
	Protection  Protection
	// Bundle makes the stream share the transport of the lowest prepared stream of its side
	// (RFC 8843); its Connect needs no transport then.
	Bundle bool
	// IPv6 prefers our IPv6 address for a leg without ICE.
	IPv6 bool
	// Suites are the SDES suites to offer, in order; nil: all we know, CM_80 first as
	// phones expect.
	Suites []string
}

// Local is what our description of a leg says.
type Local struct {
	RTP, RTCP   netip.AddrPort // RTCP equals RTP when multiplexed only (ICE)
	Ufrag, Pwd  string         // ICE
	Candidates  []Candidate    // host ones; later ones come as events
	Fingerprint Fingerprint    // DTLS
	Cryptos     []Crypto       // SDES: one per suite, tags from 1
	SSRC        uint32         // of all we send on this leg
	CNAME       string         // RFC 7022
}

// Remote is what the peer's description of a leg says. A field that the peer left out
// is left zero: credentials, fingerprints and keys of before stay then.
type Remote struct {
	RTP, RTCP    netip.AddrPort // RTCP zero: RTP's port + 1. RTP zero or unspecified: nothing is sent (RFC 2543 hold)
	Mux          bool           // the peer agreed to RTCP on the port of RTP
	Ufrag, Pwd   string
	Lite         bool // a=ice-lite: we are controlling
	Candidates   []Candidate
	Fingerprints []Fingerprint // any one may match
	// Active: we are the DTLS client. It counts when the handshake starts.
	Active bool
	// Cryptos are the peer's keys: of its answer one, with the tag of ours; of its offer all.
	Cryptos []Crypto
	// Plain: the peer declined the protection that was offered (opportunistic SRTP).
	Plain bool
}

// Candidate is an ICE candidate over UDP (RFC 8445 §5.1).
type Candidate struct {
	Foundation string
	Component  uint8 // 1 RTP, 2 RTCP; 0 is taken as 1
	Priority   uint32
	Address    string // an IP address; names are ignored
	Port       uint16
	Type       string // host, srflx, prflx, relay
	Related    netip.AddrPort
	Generation uint32
	Protocol   string // "udp" or empty; others are ignored
}

// Fingerprint is the hash of a certificate (RFC 8122): "sha-256" and upper-case hex with
// colons.
type Fingerprint struct{ Hash, Value string }

// Crypto is a line of SDES (RFC 4568 §4): key parameters as written, "inline:…".
type Crypto struct {
	Tag           int
	Suite         string
	KeyParams     string
	SessionParams string
}

// Format is which codecs a leg speaks and in which directions media flows on it.
type Format struct {
	// Codecs may be sent to this side, with the numbers it asked for, first preferred.
	Codecs []Codec
	// Receive are the numbers it sends with; nil: as Codecs.
	Receive []Codec
	// PTime is how much audio a packet to this side carries when the relay makes the packets;
	// default 20 ms.
	PTime time.Duration
	// Send lets media go to this side, Recv lets media of this side go on. Hold and mute are
	// made of these: what arrives against them is counted and dropped.
	Send, Recv bool
}

// Codec is a payload type (RFC 3551, RFC 8866 §6.6).
type Codec struct {
	PayloadType uint8
	Name        string // opus, PCMU, telephone-event, …; compared without case
	ClockRate   uint32 // hertz
	Channels    uint8  // 0 is 1
	Parameters  []Parameter
}

// Parameter is one of a=fmtp.
type Parameter struct{ Name, Value string }

// EventKind says what happened on a leg.
type EventKind uint8

// Events of a session.
const (
	EventUnknown EventKind = iota
	// Connected: the leg's transport works, media can flow (ICE has a path, DTLS is
	// verified). A leg without both is connected by its first Connect. Once per leg.
	Connected
	// Failed: the leg is lost, Err says why. Once per leg, nothing after it.
	Failed
	// Silent: nothing came from the peer for Config.MediaTimeout, and it is not on hold. Again
	// after each new silence.
	Silent
	// Digit: the peer pressed a key (RFC 4733): Digit for Duration. Passed says whether the
	// other peer gets it within its media, so that signalling must not repeat it.
	Digit
	// LateCandidates: more candidates of ours, of STUN and TURN servers; an empty list is
	// the end of candidates.
	LateCandidates
	// Heard: the first valid packet of media came from the peer.
	Heard
)

// String is the name of the event.
func (k EventKind) String() string {
	return [...]string{"unknown", "connected", "failed", "silent", "digit", "late candidates", "heard"}[min(k, Heard)]
}

// Event is something that happened on a leg.
type Event struct {
	Kind       EventKind
	Side       Side
	Stream     int
	Err        error         // Failed
	Digit      byte          // Digit: 0-9 * # A-D
	Duration   time.Duration // Digit
	Passed     bool          // Digit
	Candidates []Candidate   // LateCandidates
}

// LegStats are the figures of one leg, one stream or the sum of all. Received counts
// what the peer sent and was valid, Sent what we sent to it.
type LegStats struct {
	Received, Sent           uint64 // packets of RTP
	ReceivedBytes, SentBytes uint64 // RTP payload
	Lost                     int64  // of what the peer sent (RFC 3550 A.3)
	Late                     uint64 // came after a later one or twice
	Jitter                   time.Duration
	RemoteLost               int64 // of what we sent, by the peer's reports
	RemoteJitter             time.Duration
	RoundTrip                time.Duration // 0: unknown
	// MOS is the estimate of what we heard from the peer (ITU-T G.107), 1–4.5; 0 before
	// anything came.
	MOS          float64
	Foreign      uint64 // packets of strangers, dropped
	Unauthentic  uint64 // SRTP that failed authentication or was replayed
	Unknown      uint64 // payload types nobody agreed on, packets that are no RTP
	Limited      uint64 // dropped above Config.MaxPacketRate
	Muted        uint64 // dropped because Send or Recv is off
	Remote       netip.AddrPort
	Protection   Protection
	Suite        string // name of the SRTP profile in use
	PayloadType  uint8  // last received
	Codec        string // of the last received
	Transcoded   bool
	LastReceived time.Time
}

// Stats are the figures of the relay.
type Stats struct {
	Sessions      int
	PortsUsed     int // pairs in use
	PortsResting  int
	PortsFree     int
	Packets       uint64 // received by all sockets
	Bytes         uint64
	Dropped       uint64 // of strangers, unauthentic, unknown, over the limit
	SocketErrors  uint64
	Transcoding   int // directions
	EverySessions uint64
}

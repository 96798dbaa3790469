package jingle

import "github.com/stoxgate/stoxgate/xmpp"

// Jingle is the <jingle/> of an IQ set.
type Jingle struct {
	Action               Action
	SID                  string
	Initiator, Responder xmpp.JID // zero: absent
	Contents             []Content
	Groups               []Group // XEP-0338
	Reason               *Reason
	Info                 []*xmpp.Element // session-info payloads and every other child, in order
	Ignored              []string        // what Parse left out, and why; Element does not write it
}

// Content is one <content/> (XEP-0166 §7.3).
type Content struct {
	Creator     Role
	Name        string
	Senders     Senders         // Parse sets SendersBoth when absent; empty is not written
	Disposition string          // empty means session
	Description *Description    // nil when absent or of another application
	Transport   *Transport      // nil when absent or of another transport
	Other       []*xmpp.Element // applications, transports and security we do not model, in order
}

// Group says that contents belong together (XEP-0338), such as BUNDLE.
type Group struct {
	Semantics string
	Contents  []string // names
}

// Description is an RTP application (XEP-0167) with what other specifications hang into it.
type Description struct {
	Media            string // "audio", "video"
	SSRC             string
	PayloadTypes     []PayloadType // most preferred first
	Bandwidths       []Bandwidth
	RTCPMux          bool
	Encryption       *Encryption
	Feedback         []Feedback // XEP-0293, for every payload type
	TRRInt           *uint32    // XEP-0293, milliseconds, nil: absent
	HeaderExtensions []HeaderExtension
	ExtmapAllowMixed bool
	Sources          []Source
	SourceGroups     []SourceGroup
	Categories       []string        // XEP-0507
	Other            []*xmpp.Element // every other child, in order
}

// PayloadType is one codec with its number (XEP-0167 §4).
type PayloadType struct {
	ID              uint8  // 0..127
	Name            string // empty only where the number alone has a meaning, below 96
	ClockRate       uint32 // Hz, 0: absent
	Channels        uint8  // 0: absent, which means 1
	PTime, MaxPTime uint32 // milliseconds, 0: absent
	Parameters      []Parameter
	Feedback        []Feedback
	TRRInt          *uint32 // milliseconds, nil: absent
}

// Parameter is a name with a value. Some clients leave out one of the two.
type Parameter struct{ Name, Value string }

// Feedback is a kind of RTCP feedback (XEP-0293).
type Feedback struct {
	Type, Subtype string
	Parameters    []Parameter
}

// HeaderExtension is an RTP header extension (XEP-0294). Senders is SendersBoth when it is absent, and then not
// written: clients do not know it.
type HeaderExtension struct {
	ID         uint16 // 1..256 and 4096..4351
	URI        string
	Senders    Senders
	Parameters []Parameter
}

// Bandwidth is a limit in the units of its type, such as AS with kbit/s.
type Bandwidth struct{ Type, Value string }

// Encryption holds the keys of SRTP by SDES (XEP-0167 §7).
type Encryption struct {
	Required bool
	Cryptos  []Crypto
}

// Crypto is one key (RFC 4568 §4).
type Crypto struct{ Tag, Suite, KeyParams, SessionParams string }

// Source is a synchronisation source with its attributes (XEP-0339).
type Source struct {
	SSRC       uint32
	Parameters []Parameter
}

// SourceGroup is a relation between sources (XEP-0339), such as FID.
type SourceGroup struct {
	Semantics string
	Sources   []uint32
}

// TransportKind is the transport of a content.
type TransportKind uint8

// The transports. The zero value is ICE, which is what everybody speaks.
const (
	TransportICE    TransportKind = iota // ice-udp:1, XEP-0176
	TransportRawUDP                      // raw-udp:1, XEP-0177
)

// Transport is where media goes. Ufrag, Pwd, Fingerprints and RemoteCandidates are those of ICE only.
type Transport struct {
	Kind             TransportKind
	Ufrag, Pwd       string
	Fingerprints     []Fingerprint // XEP-0320
	Candidates       []Candidate
	RemoteCandidates []Candidate     // Component, IP and Port only
	Other            []*xmpp.Element // every other child, in order
}

// Fingerprint is the hash of a DTLS certificate (XEP-0320).
type Fingerprint struct {
	Hash  string // lower case, such as sha-256
	Setup string // "active", "passive", "actpass" or empty
	Value string // upper-case hexadecimal bytes with colons
}

// Candidate is an address where media can be sent. Raw UDP has only Component, Generation, ID, IP, Port, Type.
type Candidate struct {
	Component  uint8 // 1: RTP, 2: RTCP
	Foundation string
	Generation uint32
	ID, IP     string // IP may be a name of mDNS
	Network    uint32
	Port       uint16
	Priority   uint32
	Protocol   string // "udp"; empty for raw UDP
	Type       string // "host", "srflx", "prflx", "relay"
	RelAddr    string // empty: absent
	RelPort    uint16
}

// Package sdp reads and writes session descriptions (RFC 8866) and holds the offer/answer model over them
// (RFC 3264). It is a body format: a value, a parser, a writer, and a pure negotiation; addresses are never
// looked up and nothing waits.
//
// Decisions that bind the package:
//
//   - The parser takes what phones send: lines ended by LF, missing v=, s=, t= and o= lines, upper case where
//     lower is due, spaces in odd places, static payload types without rtpmap, attributes twice. What cannot be
//     understood and does no harm is kept (Attributes) or skipped; an error is only what leaves open where and
//     in which format media should flow. Everything in it has a bound.
//   - A payload type stands in one place, Media.Codecs, with all that the description says of it. Formats holds
//     the formats of media that are not RTP, and is empty for RTP.
//   - The text of fmtp is kept as it is written, since only the codec knows its syntax; Codec.Parameters reads it.
//   - The writer always writes the same order, and no string that a program puts into the value can end its line
//     or become a second one.
//   - What is said once for the whole session (address, direction, fingerprint, ICE credentials) stays there.
//     Effective gives a media description with everything filled in that holds for it.
//   - A peer's offer is a refresh when it says the same as before, whatever its o= line counts: some phones never
//     count, some always do (RFC 3264 §8 has only the version).
package sdp

import (
	"errors"
	"net/netip"
)

// ContentType is the media type of the format.
const ContentType = "application/sdp"

// Limits of Parse.
const (
	// MaxSize is the most bytes of a description.
	MaxSize = 64 << 10
	// MaxMedia is the most m= lines.
	MaxMedia = 64
	// maxFormats bounds the formats of one m= line that is not RTP; RTP has 128 payload types by nature.
	maxFormats = 128
	// maxEach bounds every list of one media description (candidates, sources, extensions, attributes …); what
	// is over it is skipped.
	maxEach = 256
)

// Errors of Parse.
var (
	// ErrSyntax: the text is no session description, or an m= or c= line cannot be understood.
	ErrSyntax = errors.New("sdp: malformed description")
	// ErrTooLarge: more than MaxSize bytes or MaxMedia media.
	ErrTooLarge = errors.New("sdp: description too large")
)

// Description is a session description. What RFC 8866 has besides (i=, u=, e=, p=, r=, z=, k= and times other
// than "0 0") means nothing to a call and is not kept.
type Description struct {
	Origin           Origin
	Name             string // s=; empty is written "-"
	Connection       *Connection
	Bandwidths       []Bandwidth
	Direction        Direction // for media without one of their own
	ICE              ICE
	Fingerprints     []Fingerprint
	Setup            Setup
	Groups           []Group     // RFC 5888
	ExtmapAllowMixed bool        // RFC 8285 §6
	Attributes       []Attribute // those without a field, in order
	Media            []Media
}

// Origin is the o= line (RFC 8866 §5.2).
type Origin struct {
	Username  string // empty is written "-"
	SessionID uint64
	Version   uint64
	Address   string // IPv4, IPv6 or a domain name; empty is written 0.0.0.0
}

// Connection is a c= line of the Internet (RFC 8866 §5.7).
type Connection struct {
	Address string // IPv4, IPv6 or a domain name, without the TTL of multicast
}

// NewConnection is the c= line of an address.
func NewConnection(a netip.Addr) *Connection {
	return &Connection{Address: a.Unmap().WithZone("").String()}
}

// Addr is the address, or the zero Addr when it is a domain name.
func (c *Connection) Addr() netip.Addr {
	if c == nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(c.Address)
	return a
}

// Bandwidth is a b= line: AS in kbit/s, TIAS, RS, RR in bit/s (RFC 8866 §5.8, RFC 3890, RFC 3556).
type Bandwidth struct{ Type, Value string }

// Attribute is an a= line; Value is empty for a mere flag.
type Attribute struct{ Name, Value string }

// Parameter is a name with a value. In fmtp, a value without a name has an empty Name (telephone-event "0-15").
type Parameter struct{ Name, Value string }

// ICE is what ICE says besides candidates (RFC 8839 §5).
type ICE struct {
	Ufrag, Pwd string
	Lite       bool     // session level only
	Options    []string // trickle, ice2, renomination
}

// Fingerprint is the hash of a certificate (RFC 8122 §5).
type Fingerprint struct {
	Hash  string // lower case: sha-256
	Value string // upper-case hex with colons
}

// Setup is who connects (RFC 4145 §4, RFC 5763 §5). Empty: not said.
type Setup string

// The roles.
const (
	SetupActive   Setup = "active"
	SetupPassive  Setup = "passive"
	SetupActpass  Setup = "actpass"
	SetupHoldconn Setup = "holdconn"
)

// Group is an a=group line (RFC 5888 §5): BUNDLE, LS.
type Group struct {
	Semantics string
	MIDs      []string
}

// Media is one m= line with all that follows.
type Media struct {
	Kind             string   // audio, video, image, application …, in lower case
	Port             int      // 0: refused or removed (unless BundleOnly)
	Ports            int      // of hierarchical streams; 0 and 1 are one
	Protocol         string   // RTP/AVP …, in upper case; others as written
	Formats          []string // of media that are not RTP
	Codecs           []Codec  // of RTP, most preferred first
	Connection       *Connection
	Bandwidths       []Bandwidth
	PTime, MaxPTime  int       // milliseconds; 0: not said
	Direction        Direction // empty: that of the session
	MID              string    // RFC 5888 §4
	MSID             string    // RFC 8830
	RTCPMux          bool      // RFC 5761
	RTCPMuxOnly      bool      // RFC 8858
	RTCPRSize        bool      // RFC 5506
	RTCP             *RTCP
	ICE              ICE
	Candidates       []Candidate
	RemoteCandidates []RemoteCandidate
	EndOfCandidates  bool // RFC 8840
	Fingerprints     []Fingerprint
	Setup            Setup
	Cryptos          []Crypto
	Feedback         []Feedback // for every payload type ("*")
	Extensions       []Extension
	ExtmapAllowMixed bool
	SSRCs            []SSRC
	SSRCGroups       []SSRCGroup
	Content          []string // RFC 4796: slides, speaker, sl, main, alt
	BundleOnly       bool     // RFC 9143 §6
	Attributes       []Attribute
}

// RTCP is an a=rtcp line (RFC 3605): where RTCP goes when that is not the next port.
type RTCP struct {
	Port       int
	Connection *Connection // nil: that of the media
}

// Codec is one RTP payload type: its place in the m= line, rtpmap, fmtp and rtcp-fb.
type Codec struct {
	PayloadType uint8  // 0–127
	Name        string // as written, compared without case; empty when a dynamic type has no rtpmap
	ClockRate   uint32 // Hz
	Channels    uint8  // 0: not said, which is one
	Format      string // fmtp as written, without the payload type; empty: none
	Feedback    []Feedback
}

// Feedback is an a=rtcp-fb value (RFC 4585 §4.2): "nack pli" has Type nack and Subtype pli; "ccm tmmbr
// smaxpr=120" has a Parameter too; "trr-int 100" has Type trr-int and Subtype 100.
type Feedback struct{ Type, Subtype, Parameter string }

// Extension is an a=extmap line (RFC 8285 §8).
type Extension struct {
	ID         uint16
	Direction  Direction // empty: not said
	URI        string
	Attributes string
}

// Crypto is an a=crypto line (RFC 4568 §4). KeyParams is a secret: it belongs into no log.
type Crypto struct{ Tag, Suite, KeyParams, SessionParams string }

// SSRC is one source with its attributes (RFC 5576 §4.1).
type SSRC struct {
	ID         uint32
	Attributes []Attribute
}

// SSRCGroup ties sources together (RFC 5576 §4.2): FID, FEC-FR, SIM.
type SSRCGroup struct {
	Semantics string
	IDs       []uint32
}

// Candidate is an a=candidate line (RFC 8839 §5.1).
type Candidate struct {
	Foundation string
	Component  uint16 // 1 RTP, 2 RTCP; 1–256
	Protocol   string // udp, tcp; in lower case
	Priority   uint32
	Address    string // IPv4, IPv6 or a name (mDNS)
	Port       uint16
	Type       string // host, srflx, prflx, relay
	RelAddr    string // empty: not said
	RelPort    uint16
	Extensions []Parameter // generation, network-id, ufrag, tcptype …, in order
}

// Extension is the value of an extension of the candidate, empty when it has none.
func (c *Candidate) Extension(name string) string {
	for _, p := range c.Extensions {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// RemoteCandidate is one entry of a=remote-candidates (RFC 8839 §5.2).
type RemoteCandidate struct {
	Component uint16
	Address   string
	Port      uint16
}

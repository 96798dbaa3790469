package relay

import (
	"errors"
	"net/netip"
	"time"

	"github.com/rs/zerolog"
)

// Errors of this package; those of a failed leg arrive in [Event].Err.
var (
	ErrClosed      = errors.New("relay: closed")
	ErrConfig      = errors.New("relay: configuration")
	ErrNoPorts     = errors.New("relay: no free port")
	ErrNotPrepared = errors.New("relay: leg not prepared")
	ErrDescription = errors.New("relay: unusable description")
	ErrTimeout     = errors.New("relay: not connected in time")
	ErrFingerprint = errors.New("relay: certificate does not match the fingerprint")
	ErrHandshake   = errors.New("relay: DTLS handshake failed")
	ErrICE         = errors.New("relay: no working path")
	ErrEvent       = errors.New("relay: peer takes no such telephone event")
	ErrCodec       = errors.New("relay: no way between the codecs of both sides")
)

// Config says where media is received and for how long it is waited for. Zero values
// are replaced by the defaults named.
type Config struct {
	// Addresses are the local ones to listen on, one IPv4 and one IPv6 at most; default
	// 127.0.0.1. Unspecified addresses need Advertise.
	Addresses []netip.Addr
	// Advertise replaces the address of its family in what peers are told (1:1 NAT).
	Advertise []netip.Addr
	// Ports is the range for RTP; default 20000–29999. A leg takes an even port and the
	// next one.
	Ports PortRange
	// ICEPort is the one UDP port that all ICE legs share; one of Ports is not used for
	// anything else then. 0: see ShareICE.
	ICEPort uint16
	// ShareICE takes the first port of Ports that is free for ICEPort; otherwise, without
	// ICEPort, each ICE leg takes one of Ports.
	ShareICE bool
	// Candidates is which remote ICE candidates are used.
	Candidates Policy
	// Servers are used to gather server-reflexive and relayed candidates.
	Servers []Server
	// PortRest is how long a port is not used again after a call; default 20 s. When the
	// whole range rests, no call is accepted.
	PortRest time.Duration
	// MediaTimeout is after how much silence (of RTP and RTCP) of a side whose media goes
	// both ways there is a Silent event; default 30 s, negative: never.
	MediaTimeout time.Duration
	// ConnectTimeout is how long ICE and DTLS may take together once the peer's description
	// is known; default 20 s.
	ConnectTimeout time.Duration
	// MaxPacketRate is how many packets per second of one leg are carried; the rest is
	// dropped. Default 4000 (video of some 40 Mbit/s; audio needs 50).
	MaxPacketRate int
	// Readers is the number of goroutines that read sockets; default min(4, GOMAXPROCS).
	Readers int
	Log     zerolog.Logger
}

// PortRange is a range of UDP ports, both ends included. The zero value is the default.
type PortRange struct{ Min, Max uint16 }

// Policy is which remote ICE candidates are used. Names (mDNS) and multicast never are.
type Policy struct {
	// AllowLoopback and AllowPrivate admit 127.0.0.0/8 and ::1, and RFC 1918, RFC 4193,
	// link-local and shared (RFC 6598) addresses. They are implied when one of our own
	// addresses is of that kind.
	AllowLoopback, AllowPrivate bool
	// Max is how many remote candidates of a leg are used; default 32.
	Max int
}

// Server is a STUN or TURN server (RFC 8489, RFC 8656); those of XEP-0215 fit.
type Server struct {
	Host               string // name or address
	Port               uint16
	Transport          string // "udp" (default) or "tcp"
	TURN, TLS          bool
	Username, Password string
}

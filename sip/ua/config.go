package ua

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
)

// Errors of this package; others are wrapped in one of them.
var (
	ErrConfig    = errors.New("ua: bad configuration")
	ErrTimeout   = errors.New("ua: no final response in time")
	ErrTransport = errors.New("ua: transport failed")
	ErrResolve   = errors.New("ua: cannot find the next hop")
	ErrFlow      = errors.New("ua: flow is gone") // an ErrTransport
	ErrClosed    = errors.New("ua: closed")       // an ErrTransport
	ErrRequest   = errors.New("ua: request cannot be sent")
	ErrAnswered  = errors.New("ua: request is answered already")
)

// Listen is one listening address.
type Listen struct {
	Transport string // udp, tcp, tls, ws, wss
	Host      string // address or name; empty is every IPv4 address
	Port      int    // 0: any free port
}

func (l Listen) String() string { return fmt.Sprintf("%s://%s:%d", l.Transport, l.Host, l.Port) }

// Timers are the base values of RFC 3261 §17.1.1.1. Zero means the default.
type Timers struct {
	T1 time.Duration // 500 ms
	T2 time.Duration // 4 s
	T4 time.Duration // 5 s
	// Answer is how long a handler may leave a request without a final response
	// before it is answered with 500. Default 28 s: before the client's timer F.
	Answer time.Duration
}

// Limits protect against hostile and broken peers. Zero means the default,
// negative no limit. Peers that Authenticator.Trusted accepts, and the loopback
// addresses, are exempt from everything per source.
type Limits struct {
	SourceRate  int           // messages per second and source address, default 500
	SourceBurst int           // default 4 × SourceRate
	Conns       int           // connections in all, default 10000
	SourceConns int           // connections per source address, default 200
	Idle        time.Duration // a connection without traffic is closed, default 15 min
	Partial     time.Duration // time to complete a handshake or a message begun, default 15 s
	Pending     int           // requests without a final response, default 10000: then 503
	Completed   int           // answered UDP requests remembered for retransmissions, default 200000
	AuthFailure int           // wrong digests per minute and source until it is banned, default 30
	Ban         time.Duration // how long, default 10 min
}

// Config is the configuration of a UA.
type Config struct {
	Listen []Listen
	// TLS serves two roles: its Certificates serve tls and wss listeners, and its
	// RootCAs and Certificates are used when we connect. Nil: no TLS listener; we
	// connect with the system's roots.
	TLS *tls.Config
	// Advertise is the host that Via and Contact name, when it is not the address
	// that the packets come from (behind a 1:1 NAT).
	Advertise string
	UserAgent string // product text for User-Agent and Server; empty: none
	Supported []string
	Accept    []string // media types for Accept in OPTIONS and 415
	Events    []string // event packages for Allow-Events in OPTIONS (RFC 6665 §4.4.4)
	Resolver  *Resolver
	Auth      Authenticator
	// Digest are the algorithms that Inbound.Authenticate offers, in order of
	// preference; default MD5 and SHA-256: many phones look at the first challenge
	// only, and know nothing but MD5.
	Digest []string
	// Options gives the status that OPTIONS for a URI is answered with (RFC 3261
	// §11.2); nil: always 200.
	Options func(uri sip.URI) int
	Limits  Limits
	Timers  Timers
	Log     zerolog.Logger
	// Tap sees every SIP message that is read or written, on the goroutine that
	// does it: it must be quick, and must copy raw if it keeps it.
	Tap func(out bool, at time.Time, transport, local, remote string, raw []byte)
}

// Authenticator knows the users and the peers that need no proof. It is asked for
// every request, so it must answer from memory.
type Authenticator interface {
	// HA1 is H(user:realm:password) in hex for "MD5", "SHA-256" or "SHA-512-256".
	HA1(user, realm, algorithm string) (ha1 string, ok bool)
	// Trusted tells whether a peer needs no digest; tls is nil without TLS.
	Trusted(addr netip.Addr, transport string, tls *tls.ConnectionState) bool
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (c *Config) check() error {
	if len(c.Listen) == 0 {
		return fmt.Errorf("%w: no listener", ErrConfig)
	}
	for _, l := range c.Listen {
		switch {
		case !slices.Contains([]string{"udp", "tcp", "tls", "ws", "wss"}, l.Transport):
			return fmt.Errorf("%w: transport %q of %s", ErrConfig, l.Transport, l)
		case l.Port < 0 || l.Port > 65535:
			return fmt.Errorf("%w: port of %s", ErrConfig, l)
		case (l.Transport == "tls" || l.Transport == "wss") && (c.TLS == nil || len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil):
			return fmt.Errorf("%w: %s needs a certificate", ErrConfig, l)
		}
	}
	if c.UserAgent != "" {
		if _, err := sip.NewHeader("User-Agent", c.UserAgent); err != nil {
			return fmt.Errorf("%w: user agent: %w", ErrConfig, err)
		}
	}
	if c.Advertise != "" {
		if _, err := sip.ParseURI("sip:" + bracketed(c.Advertise)); err != nil {
			return fmt.Errorf("%w: advertise %q", ErrConfig, c.Advertise)
		}
	}
	if c.Digest == nil {
		c.Digest = []string{algMD5, algSHA256}
	}
	for _, a := range c.Digest {
		if a == "" || algorithmOf(a) != a {
			return fmt.Errorf("%w: digest algorithm %q", ErrConfig, a)
		}
	}
	orDefault(&c.Timers.T1, 500*time.Millisecond)
	orDefault(&c.Timers.T2, 4*time.Second)
	orDefault(&c.Timers.T4, 5*time.Second)
	orDefault(&c.Timers.Answer, 28*time.Second)
	if c.Timers.T1 < 0 || c.Timers.T2 < c.Timers.T1 || c.Timers.T4 < 0 || c.Timers.Answer < 0 {
		return fmt.Errorf("%w: timers", ErrConfig)
	}
	l := &c.Limits
	orDefault(&l.SourceRate, 500)
	if l.SourceBurst == 0 {
		l.SourceBurst = 4 * l.SourceRate
	}
	orDefault(&l.Conns, 10_000)
	orDefault(&l.SourceConns, 200)
	orDefault(&l.Idle, 15*time.Minute)
	orDefault(&l.Partial, 15*time.Second)
	orDefault(&l.Pending, 10_000)
	orDefault(&l.Completed, 200_000)
	orDefault(&l.AuthFailure, 30)
	orDefault(&l.Ban, 10*time.Minute)
	return nil
}

// bracketed puts brackets around a bare IPv6 address.
func bracketed(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}

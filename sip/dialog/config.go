package dialog

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Config is the configuration of a Layer. Zero values mean the default.
type Config struct {
	// Contact is the address that peers send to within the call: local is our side (From of
	// a call that we place, To of one that comes), transport and peer say where the peer is;
	// they are "" and the zero address when a name must be looked up first. Default:
	// ua.UA.Contact with the user part of local.
	Contact func(local sip.URI, transport string, peer netip.Addr) sip.NameAddr
	// Incoming gets a call that came in and returns who takes its events; what it does first
	// is Leg.Ring, Leg.Accept or Leg.Reject, now or later. It must not block. A nil Handler
	// refuses with 480 what has not been refused. Default: 480 to every call.
	Incoming func(*Leg) Handler
	// Stray gets requests that belong to no call; default: 481, and 403 for a REFER.
	Stray func(*ua.Inbound)
	// Redirect says where to follow a Contact of a 3xx to, or not to. Default: every sip: and
	// sips: URI, located by RFC 3263, without credentials.
	Redirect func(to sip.URI) (ua.Target, bool)
	// SessionExpires is the session interval that we propose, default 30 min; MinSE the least
	// that we take, default 90 s, never less (RFC 4028 §5). Negative SessionExpires: no
	// session timer unless the peer runs it.
	SessionExpires, MinSE time.Duration
	// Ring is how long a call that came in may stay without a final answer, default 3 min.
	Ring time.Duration
	// Supported are option tags beside 100rel, timer, replaces and norefersub; Allow are the
	// methods beside INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY.
	Supported, Allow []string
	// T1 and T2 are those of the UA (RFC 3261 §17.1.1.1): 500 ms and 4 s.
	T1, T2 time.Duration
	Log    zerolog.Logger
}

// Outgoing is a call to place.
type Outgoing struct {
	From, To   sip.NameAddr // a From without a tag gets one
	RequestURI sip.URI      // zero: that of To without headers
	CallID     string       // "": a random one
	Headers    []sip.Header // P-Asserted-Identity, Replaces, Referred-By …
	Offer      []byte       // SDP; nil: the peer offers in its answer
	Target     ua.Target
	// Contact overrides Config.Contact when it is not zero.
	Contact sip.NameAddr
	// Ring is how long to wait for a final response, default 3 min (timer C, RFC 3261
	// §16.6); then CANCEL is sent and Failed says 408.
	Ring        time.Duration
	MaxForwards int // 0: 70
}

// ErrOutgoing tells that a call cannot be placed as described.
var ErrOutgoing = errors.New("dialog: bad call")

const (
	defaultRing    = 3 * time.Minute
	defaultExpires = 30 * time.Minute
	minMinSE       = 90 * time.Second
	maxRedirects   = 5
)

var ownSupported = []string{"100rel", "timer", "replaces", "norefersub"}

var ownMethods = []sip.Method{sip.INVITE, sip.ACK, sip.CANCEL, sip.BYE, sip.OPTIONS, sip.PRACK, sip.UPDATE, sip.INFO, sip.REFER, sip.NOTIFY}

// settings is a Config with its defaults, and what is derived of it.
type settings struct {
	Config
	supported, allow string // header values
	contact          func(local sip.URI, transport string, peer netip.Addr) sip.NameAddr
}

func (c Config) settings(u Sender) *settings {
	s := &settings{Config: c}
	if s.SessionExpires == 0 {
		s.SessionExpires = defaultExpires
	}
	s.MinSE = max(s.MinSE, minMinSE)
	if s.SessionExpires > 0 {
		s.SessionExpires = max(s.SessionExpires, s.MinSE)
	}
	if s.Ring <= 0 {
		s.Ring = defaultRing
	}
	if s.T1 <= 0 {
		s.T1 = 500 * time.Millisecond
	}
	if s.T2 <= 0 {
		s.T2 = 4 * time.Second
	}
	if s.contact = c.Contact; s.contact == nil {
		s.contact = func(local sip.URI, transport string, peer netip.Addr) sip.NameAddr {
			user, err := sip.UnescapeUser(local.User)
			if err != nil {
				user = ""
			}
			for _, t := range []string{transport, "udp", "tcp", "tls", "ws", "wss"} {
				if transport = t; t != "" && u.Addr(t).IsValid() {
					break
				}
			}
			if !peer.IsValid() {
				peer = netip.IPv4Unspecified()
			}
			return sip.NameAddr{URI: u.Contact(user, transport, peer)}
		}
	}
	if s.Incoming == nil {
		s.Incoming = func(*Leg) Handler { return nil }
	}
	if s.Redirect == nil {
		s.Redirect = func(to sip.URI) (ua.Target, bool) { return ua.Target{}, to.IsSIP() }
	}
	methods := make([]string, 0, len(ownMethods)+len(c.Allow))
	for _, m := range ownMethods {
		methods = append(methods, string(m))
	}
	s.allow = strings.Join(append(methods, c.Allow...), ", ")
	s.supported = strings.Join(append(append([]string(nil), ownSupported...), c.Supported...), ", ")
	return s
}

func (o *Outgoing) check() error {
	switch {
	case o.From.URI.IsZero() || o.To.URI.IsZero():
		return fmt.Errorf("%w: From and To are needed", ErrOutgoing)
	case o.To.Tag() != "":
		return fmt.Errorf("%w: To has a tag", ErrOutgoing)
	}
	return nil
}

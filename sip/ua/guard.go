package ua

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

var errBanned = errors.New("ua: source is banned or sends too much")

// guard keeps hostile sources away: a rate limit before anything is parsed, a ban
// list, connection counts. Sources that are trusted, and this host itself, pass.
// IPv6 sources count by /64, which is what one customer has.
type guard struct {
	lim     Limits
	trusted func(addr netip.Addr, transport string, tls *tls.ConnectionState) bool
	own     func(netip.Addr) bool // this host itself
	now     func() time.Time
	max     int // sources

	mu      sync.Mutex
	sources map[netip.Addr]*source
	conns   int
	swept   time.Time
}

// source is what is known of one address.
type source struct {
	exempt   bool
	asked    time.Time // when exempt was found out
	full     time.Time // when the token bucket will be full again (GCRA)
	banned   time.Time // until
	conns    int
	failures int // of authentication since failing
	failing  time.Time
}

const (
	trustFor   = time.Minute      // how long an answer of Trusted is believed
	sweepEvery = 30 * time.Second // forgotten sources are removed
	maxSources = 1 << 20          // beyond, unknown sources that are not exempt are not admitted
)

func newGuard(lim Limits, trusted func(netip.Addr, string, *tls.ConnectionState) bool) *guard {
	return &guard{lim: lim, trusted: trusted, own: netip.Addr.IsLoopback, now: time.Now, max: maxSources, sources: map[netip.Addr]*source{}}
}

func sourceKey(a netip.Addr) netip.Addr {
	if a.Is6() && !a.Is4In6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// of finds or makes the record of a source; g.mu is held. It may be nil when
// there are too many.
func (g *guard) of(a netip.Addr, transport string, now time.Time) *source {
	k := sourceKey(a)
	s := g.sources[k]
	if s == nil {
		g.sweep(now)
		if len(g.sources) >= g.max {
			if g.own(a) || g.trusted(a, transport, nil) {
				return &source{exempt: true} // a flood of forged sources must not keep these away
			}
			return nil
		}
		s = &source{}
		g.sources[k] = s
	}
	if s.asked.IsZero() || now.Sub(s.asked) > trustFor {
		s.asked = now
		s.exempt = g.own(a) || g.trusted(a, transport, nil)
	}
	return s
}

// admit takes one message from the bucket of its source.
func (g *guard) admit(a netip.Addr, transport string) bool {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.of(a, transport, now)
	switch {
	case s == nil:
		return false
	case s.exempt:
		return true
	case now.Before(s.banned):
		return false
	case g.lim.SourceRate <= 0:
		return true
	}
	step := time.Second / time.Duration(g.lim.SourceRate)
	full := s.full
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > step*time.Duration(g.lim.SourceBurst-1) {
		return false
	}
	s.full = full.Add(step)
	return true
}

// connect counts a new connection and tells whether it may stay.
func (g *guard) connect(a netip.Addr, transport string) bool {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.of(a, transport, now)
	if s == nil || g.lim.Conns > 0 && g.conns >= g.lim.Conns {
		return false
	}
	if !s.exempt && (now.Before(s.banned) || g.lim.SourceConns > 0 && s.conns >= g.lim.SourceConns) {
		return false
	}
	s.conns++
	g.conns++
	return true
}

func (g *guard) disconnect(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns--
	if s := g.sources[sourceKey(a)]; s != nil {
		s.conns--
	}
}

// ban shuts a source out; exempt ones stay. It tells whether it did.
func (g *guard) ban(a netip.Addr, transport string) bool {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.of(a, transport, now)
	if s == nil || s.exempt || g.lim.Ban < 0 {
		return false
	}
	s.banned = now.Add(g.lim.Ban)
	return true
}

// authFailed counts a wrong digest and tells whether the source is banned by it.
func (g *guard) authFailed(a netip.Addr, transport string) bool {
	now := g.now()
	g.mu.Lock()
	s := g.of(a, transport, now)
	if s == nil || s.exempt || g.lim.AuthFailure < 0 {
		g.mu.Unlock()
		return false
	}
	if now.Sub(s.failing) > time.Minute {
		s.failing, s.failures = now, 0
	}
	s.failures++
	over := s.failures > g.lim.AuthFailure
	g.mu.Unlock()
	return over && g.ban(a, transport)
}

// sweep forgets idle sources; g.mu is held.
func (g *guard) sweep(now time.Time) {
	if now.Sub(g.swept) < sweepEvery {
		return
	}
	g.swept = now
	for k, s := range g.sources {
		if s.conns == 0 && s.full.Before(now) && s.banned.Before(now) && now.Sub(s.failing) > time.Minute {
			delete(g.sources, k)
		}
	}
}

// scanners are the products that search the net for open SIP servers; their
// User-Agent is the one thing they are honest about.
var scanners = []string{"friendly-scanner", "sipvicious", "sipcli", "sip-scan", "sipscan", "sundayddr", "sivus", "smap", "vaxsipuseragent", "pplsip", "friendly-request"}

// scanner tells whether a request comes from one of them.
func scanner(req *sip.Request) bool {
	agent := strings.ToLower(sip.Value(req, "User-Agent"))
	if agent == "" {
		return false
	}
	for _, s := range scanners {
		if strings.Contains(agent, s) {
			return true
		}
	}
	return false
}

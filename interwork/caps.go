package interwork

import (
	"context"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	// capsLife is how long what a SIP user accepts is believed (transport.md §15).
	capsLife = time.Hour
	// capsMax bounds the cache; the oldest half goes when it is full.
	capsMax = 100_000
	// capsWait bounds the OPTIONS request that asks.
	capsWait = 5 * time.Second
)

// capsCache remembers what SIP users accept: from the Accept header of an answer to
// OPTIONS, and from what they were seen to send.
type capsCache struct {
	mu sync.Mutex
	m  map[string]capsEntry // by sip.URI.Key of the AOR
}

type capsEntry struct {
	caps  mapping.PeerCaps
	until time.Time
}

func newCapsCache() *capsCache { return &capsCache{m: make(map[string]capsEntry)} }

// get says what is known; known is false when nobody has asked yet, and from then on
// true, so that one caller asks.
func (c *capsCache) get(aor string) (caps mapping.PeerCaps, known bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[aor]
	if ok && now.Before(e.until) {
		return e.caps, true
	}
	if len(c.m) >= capsMax {
		clear(c.m)
	}
	e.until = now.Add(capsLife)
	c.m[aor] = e
	return e.caps, false
}

// add notes what a user was seen to use, or said to accept.
func (c *capsCache) add(aor string, caps mapping.PeerCaps) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if e, ok := c.m[aor]; ok && now.Before(e.until) {
		caps = caps.Union(e.caps)
	}
	c.m[aor] = capsEntry{caps: caps, until: now.Add(capsLife)}
}

// reset notes that a user refused what was thought to be accepted: plain text only,
// until the entry is old.
func (c *capsCache) reset(aor string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[aor] = capsEntry{until: time.Now().Add(capsLife)}
}

// probeCaps asks a SIP user with OPTIONS what it accepts (RFC 3261 §11). No answer
// means nothing: plain text it is.
func (g *Gateway) probeCaps(aor string, uri sip.URI, from xmpp.JID) {
	hops, c := g.router.hops(uri, from)
	if c != nil {
		return
	}
	g.work.Go(func() {
		ctx, cancel := context.WithTimeout(g.workCtx, capsWait)
		defer cancel()
		req := sip.NewRequest(sip.OPTIONS, hops[0].ruri)
		caller := g.addresses.CallerToSIP(from, uri)
		sip.SetDialogHeaders(req, caller, sip.NameAddr{URI: uri}, g.flows.next('o')+"@"+g.self.Domain(), 1)
		res, err := g.ua.Do(ctx, req, hops[0].target)
		if err != nil || res.StatusCode/100 != 2 {
			return
		}
		if caps := mapping.PeerCapsOf(sip.Tokens(res, "Accept")); caps != (mapping.PeerCaps{}) {
			g.caps.add(aor, caps)
		}
	})
}

// peek says what is known, without taking on to ask.
func (c *capsCache) peek(aor string) (caps mapping.PeerCaps, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[aor]
	return e.caps, ok && time.Now().Before(e.until)
}

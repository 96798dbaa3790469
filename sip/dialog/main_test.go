package dialog

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// fast lets 64*T1 pass in 1.3 s.
var fast = ua.Timers{T1: 20 * time.Millisecond, T2: 80 * time.Millisecond, T4: 100 * time.Millisecond}

// soon ends after patience.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func uri(s string) sip.URI {
	u, err := sip.ParseURI(s)
	if err != nil {
		panic(err)
	}
	return u
}

func name(s string) sip.NameAddr { return sip.NameAddr{URI: uri(s)} }

// party is one UA with its layer.
type party struct {
	t     testing.TB
	u     *ua.UA
	l     *Layer
	calls chan *call // that came in
	// before, if set, runs before a request is handled.
	before atomic.Pointer[func(*ua.Inbound)]
}

// call is a leg with its events.
type call struct {
	t      testing.TB
	leg    *Leg
	mu     sync.Mutex
	events []Event
	more   chan struct{}
	over   bool
}

func newCall(t testing.TB) *call { return &call{t: t, more: make(chan struct{}, 1)} }

func (c *call) handle(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		c.t.Errorf("%T after the last event", e)
	}
	switch e.(type) {
	case Failed, Ended:
		c.over = true
	}
	c.events = append(c.events, e)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// want waits for the next event, which must be an E.
func want[E Event](c *call) E {
	c.t.Helper()
	e := c.next()
	x, ok := e.(E)
	if !ok {
		var none E
		c.t.Fatalf("got %T %+v, want %T", e, e, none)
	}
	return x
}

// seek waits for an E and skips what comes before it.
func seek[E Event](c *call) E {
	c.t.Helper()
	for {
		e := c.next()
		if x, ok := e.(E); ok {
			return x
		}
		switch e.(type) {
		case Failed, Ended:
			c.t.Fatalf("call is over: %+v", e)
		}
	}
}

func (c *call) next() Event {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		if len(c.events) > 0 {
			e := c.events[0]
			c.events = c.events[1:]
			c.mu.Unlock()
			return e
		}
		c.mu.Unlock()
		select {
		case <-c.more:
		case <-deadline:
			c.t.Fatalf("no event")
		}
	}
}

func newParty(t testing.TB, change func(*Config)) *party {
	t.Helper()
	return newPartyAt(t, fast, change)
}

func newPartyAt(t testing.TB, timers ua.Timers, change func(*Config)) *party {
	t.Helper()
	log := zerolog.Nop()
	u, err := ua.New(ua.Config{
		Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}, {Transport: "tcp", Host: "127.0.0.1"}},
		Timers: timers, Supported: Supported(), Log: log, UserAgent: "stoxgate/test",
		Resolver: ua.NewResolver(ua.ResolverConfig{Servers: []string{"127.0.0.1:9"}, Hosts: "none"}),
	})
	require.NoError(t, err)
	p := &party{t: t, u: u, calls: make(chan *call, 1024)}
	cfg := Config{T1: timers.T1, T2: timers.T2, Log: log, Incoming: func(g *Leg) Handler {
		c := newCall(t)
		c.leg = g
		p.calls <- c
		return c.handle
	}}
	if change != nil {
		change(&cfg)
	}
	p.l = New(u, cfg)
	for _, m := range Methods() {
		u.Handle(m, func(in *ua.Inbound) {
			if f := p.before.Load(); f != nil {
				(*f)(in)
			}
			p.l.Handle(in)
		})
	}
	u.Handle(sip.NOTIFY, p.l.Handle)
	require.NoError(t, u.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.l.Close(ctx)
		_ = u.Shutdown(ctx)
	})
	return p
}

// uri is where a party is called at.
func (p *party) uri(user string) sip.URI {
	return p.u.Contact(user, "udp", netip.MustParseAddr("127.0.0.1"))
}

func (p *party) invite(o Outgoing) *call {
	p.t.Helper()
	if o.From.URI.IsZero() {
		o.From = name("sip:mira@chat.example")
	}
	c := newCall(p.t)
	g, err := p.l.Invite(o, c.handle)
	require.NoError(p.t, err)
	c.leg = g
	return c
}

func (p *party) incoming() *call {
	p.t.Helper()
	select {
	case c := <-p.calls:
		return c
	case <-time.After(patience):
		p.t.Fatal("no call came in")
		return nil
	}
}

func (p *party) empty() {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.l.Len() == 0 }, patience, time.Millisecond)
}

// talk sets a call up from a to b with SDPs "offer" and "answer".
func talk(t testing.TB, a, b *party) (caller, callee *call) {
	t.Helper()
	caller = a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}, Offer: []byte("offer")})
	callee = b.incoming()
	callee.leg.Accept([]byte("answer"))
	require.Equal(t, "answer", string(want[Answered](caller).SDP))
	want[Confirmed](callee)
	return caller, callee
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

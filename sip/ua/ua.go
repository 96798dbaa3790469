package ua

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
)

// UA is one SIP user agent: New, Handle, Start, Shutdown, in this order.
type UA struct {
	cfg      Config
	log      zerolog.Logger
	parser   *siplib.Parser
	resolver *Resolver
	guard    *guard
	wheel    *wheel
	nonces   *nonces
	digests  *challengeCache
	clients  *clientTable
	servers  *serverTable
	invites  *inviteTable
	streams  *streamTable
	locals   *localCache
	handlers map[sip.Method]func(*Inbound)
	allow    string // header value

	sockets   []*socket
	listeners []*listener

	ctx      context.Context // ends in Shutdown
	cancel   context.CancelFunc
	draining atomic.Bool
	pending  atomic.Int64 // requests without a final response
	jobs     chan job
	lanes    lanes
	idle     atomic.Int32 // workers that wait for a job

	runMu   sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// New checks the configuration and makes a UA that does nothing yet.
func New(cfg Config) (*UA, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	trusted := func(netip.Addr, string, *tls.ConnectionState) bool { return false }
	if cfg.Auth != nil {
		trusted = cfg.Auth.Trusted
	}
	u := &UA{
		cfg: cfg, log: cfg.Log, parser: sip.NewParser(sip.MaxMessage), resolver: cfg.Resolver,
		guard:  newGuard(cfg.Limits, trusted),
		wheel:  newWheel(cfg.Timers.T1 / 25),
		nonces: newNonces(), digests: newChallengeCache(),
		clients: newClientTable(), invites: newInviteTable(), streams: newStreamTable(), locals: newLocalCache(),
		handlers: map[sip.Method]func(*Inbound){}, jobs: make(chan job), lanes: lanes{m: map[txKey][]job{}},
	}
	u.servers = newServerTable(u)
	if u.resolver == nil {
		u.resolver = NewResolver(ResolverConfig{})
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u, nil
}

// Handle sets who takes requests of a method; call it before Start. The handler
// runs on a goroutine of its own for each request, and within a dialog after that of
// the request before has returned. ACK goes to the handler of
// INVITE, CANCEL is dealt with here.
func (u *UA) Handle(m sip.Method, h func(*Inbound)) {
	u.handlers[m] = h
}

// Start opens every listener, or none: the error names the first that failed. ctx
// bounds the opening only.
func (u *UA) Start(ctx context.Context) error {
	u.setAllow()
	for _, l := range u.cfg.Listen {
		var err error
		if l.Transport == "udp" {
			var s *socket
			if s, err = u.listenUDP(ctx, l); err == nil {
				u.sockets = append(u.sockets, s)
			}
		} else {
			var s *listener
			if s, err = u.listenStream(ctx, l); err == nil {
				u.listeners = append(u.listeners, s)
			}
		}
		if err != nil {
			u.closeListeners()
			u.sockets, u.listeners = nil, nil
			return err
		}
	}
	u.spawn(func() { u.wheel.run(u.ctx) })
	u.spawn(u.sweep)
	for _, s := range u.sockets {
		u.spawn(s.read)
	}
	for _, l := range u.listeners {
		u.spawn(l.serve)
	}
	return nil
}

// sweep forgets what is over when there is no traffic to do it.
func (u *UA) sweep() {
	tick := time.NewTicker(8 * u.cfg.Timers.T1)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			u.servers.answers.sweep()
		case <-u.ctx.Done():
			return
		}
	}
}

func (u *UA) closeListeners() {
	for _, s := range u.sockets {
		_ = s.pc.Close()
	}
	for _, l := range u.listeners {
		_ = l.l.Close()
	}
}

// shutdownGrace is how long Shutdown waits for handlers after everything they
// could wait for has been closed.
const shutdownGrace = 5 * time.Second

// Shutdown answers new requests with 503, waits until ctx ends for the ones that
// are pending, then closes everything and waits for all goroutines. Its error
// tells what did not end in time.
func (u *UA) Shutdown(ctx context.Context) error {
	u.draining.Store(true)
	err := u.drain(ctx)
	u.cancel()
	u.closeListeners()
	u.streams.close(fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
	u.clients.closeAll(fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
	u.invites.closeAll()
	u.servers.closeAll()
	u.runMu.Lock()
	u.stopped = true
	u.runMu.Unlock()
	done := make(chan struct{})
	go func() {
		u.running.Wait()
		close(done)
	}()
	grace := time.NewTimer(shutdownGrace)
	defer grace.Stop()
	select {
	case <-done:
		return err
	case <-grace.C:
		return errors.Join(err, fmt.Errorf("%w: handlers still run", ErrClosed))
	}
}

func (u *UA) drain(ctx context.Context) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for u.pending.Load() > 0 || u.clients.len() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %d requests unanswered, %d unfinished: %w", ErrClosed, u.pending.Load(), u.clients.len(), context.Cause(ctx))
		case <-poll.C:
		}
	}
	return nil
}

// enter counts a goroutine that Shutdown waits for; it must not start when enter
// says no.
func (u *UA) enter() bool {
	u.runMu.Lock()
	defer u.runMu.Unlock()
	if u.stopped {
		return false
	}
	u.running.Add(1)
	return true
}

func (u *UA) spawn(f func()) bool {
	if !u.enter() {
		return false
	}
	go func() {
		defer u.running.Done()
		f()
	}()
	return true
}

// Addr is the first listening address of a transport, the zero value without one.
func (u *UA) Addr(transport string) netip.AddrPort {
	if transport == "udp" {
		if len(u.sockets) > 0 {
			return u.sockets[0].local
		}
		return netip.AddrPort{}
	}
	for _, l := range u.listeners {
		if l.transport == transport {
			return addrPort(l.l.Addr())
		}
	}
	return netip.AddrPort{}
}

// closedError is what ends requests in Shutdown.
func (u *UA) closing() bool { return u.ctx.Err() != nil }

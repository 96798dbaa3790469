package xmpptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// ErrNotConnected tells that no component is connected.
var ErrNotConnected = errors.New("xmpptest: component not connected")

// Defaults of Config.
const (
	DefaultDomain = "sip.example"
	DefaultSecret = "secret"
	DefaultHost   = "chat.example"
	// DefaultMaxStanza is the size of stanzas that Prosody takes from components.
	DefaultMaxStanza = 512 << 10
)

// Offline says what happens to a message for an account without an available
// resource (RFC 6121 §8.5.2.2).
type Offline uint8

const (
	// OfflineStore keeps chat and normal messages until the user comes back.
	OfflineStore Offline = iota
	// OfflineBounce answers them with service-unavailable.
	OfflineBounce
)

// Config is what a Server starts with. The zero value is fine.
type Config struct {
	// Domain and Secret are the component's; DefaultDomain and DefaultSecret when
	// empty.
	Domain, Secret string
	// Hosts are the domains that the server has accounts for; DefaultHost when
	// empty. Account and User add theirs.
	Hosts []string
	// MaxStanza is the largest stanza taken from the component, in bytes;
	// DefaultMaxStanza when 0.
	MaxStanza int
	// Offline is the treatment of messages for accounts that are offline.
	Offline Offline
	// Auto is what new users answer by themselves.
	Auto Auto
	// Lang, if set, is put on stanzas of users that carry no xml:lang, as Prosody
	// does with the language of the client's stream.
	Lang string
	// WriteChunk, if above 0, is the most bytes written to the component at once,
	// to cut stanzas into small pieces.
	WriteChunk int
	// Timeout is how long helpers with a TB wait; DefaultTimeout when 0.
	Timeout time.Duration
	// Now is the clock for the delay of stored messages; time.Now when nil.
	Now func() time.Time
}

// Server is the server end of a component connection, with the accounts of the
// domains that it hosts. It serves one component domain and, like Prosody, one
// connection at a time.
type Server struct {
	cfg     Config
	timeout time.Duration
	sink    atomic.Pointer[func(*xmpp.Element)]
	wg      sync.WaitGroup

	mu         sync.Mutex
	hosts      map[string]bool
	accounts   map[xmpp.JID]*account
	links      map[*link]bool
	up         *link         // the authenticated one
	changed    chan struct{} // closed and replaced when up changes
	listeners  []net.Listener
	violations []*Violation
	refusals   []Refusal
	requests   map[request]bool // IQs sent to the component: answered
	streams    int
	authed     int
	mutePings  bool
	peerError  *StreamError // the last one the component sent
	closed     bool
}

// request identifies an IQ get or set that a user sent to the component.
type request struct {
	from xmpp.JID
	id   string
}

// NewServer returns a server that listens nowhere yet: use Listen for a socket,
// or Dial for pipes.
func NewServer(cfg Config) *Server {
	if cfg.Domain == "" {
		cfg.Domain = DefaultDomain
	}
	if cfg.Secret == "" {
		cfg.Secret = DefaultSecret
	}
	if len(cfg.Hosts) == 0 {
		cfg.Hosts = []string{DefaultHost}
	}
	if cfg.MaxStanza <= 0 {
		cfg.MaxStanza = DefaultMaxStanza
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, timeout: cfg.Timeout,
		hosts: make(map[string]bool), accounts: make(map[xmpp.JID]*account),
		links: make(map[*link]bool), changed: make(chan struct{}), requests: make(map[request]bool),
	}
	for _, h := range cfg.Hosts {
		s.hosts[h] = true
	}
	return s
}

// Start returns a server that listens on a free loopback port and is closed when
// the test ends. The test fails for each violation of the protocol that is left
// then; take those that are meant with TakeViolations.
func Start(tb TB, cfg Config) *Server {
	tb.Helper()
	s := NewServer(cfg)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		s.Close()
		for _, v := range s.TakeViolations() {
			tb.Errorf("%v", v)
		}
	})
	return s
}

// Listen serves a TCP address; port 0 takes a free one.
func (s *Server) Listen(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("xmpptest: %w", err)
	}
	s.Serve(ln)
	return nil
}

// Serve serves a listener, such as one with TLS, until Close.
func (s *Server) Serve(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = ln.Close() // nobody will accept from it
		return
	}
	s.listeners = append(s.listeners, ln)
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.accept(conn)
		}
	})
}

// Addr returns the address of the first listener, "" without one.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return ""
	}
	return s.listeners[0].Addr().String()
}

// Dial returns the component's end of a new in-memory connection. It fits the
// Dial hook of a component's configuration.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	if !s.accept(far) {
		return nil, fmt.Errorf("xmpptest: dial: %w", net.ErrClosed)
	}
	return near, nil
}

// Domain returns the component's domain, Secret its secret.
func (s *Server) Domain() string { return s.cfg.Domain }

// Secret returns the component's secret.
func (s *Server) Secret() string { return s.cfg.Secret }

// accept starts a connection; it is false, and conn closed, after Close.
func (s *Server) accept(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return false
	}
	s.streams++
	l := newLink(s, conn, streamID(s.streams))
	s.links[l] = true
	s.wg.Go(func() { l.run() })
	return true
}

// streamID makes ids that have to be unescaped before they are hashed.
func streamID(n int) string { return "stream-" + strconv.Itoa(n) + "&'é'" }

// Close ends all connections with </stream:stream> and waits for everything that
// the server started. Users are disconnected.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	listeners := s.listeners
	links := s.linkList()
	var users []*User
	for _, a := range s.accounts {
		for _, u := range a.users {
			users = append(users, u)
		}
	}
	s.mu.Unlock()
	for _, ln := range listeners {
		_ = ln.Close()
	}
	for _, l := range links {
		l.gate.open()
		l.out.gate.open()
		l.finish(nil)
	}
	for _, u := range users {
		u.end(ErrClosed)
	}
	s.wg.Wait()
}

func (s *Server) linkList() []*link {
	links := make([]*link, 0, len(s.links))
	for l := range s.links {
		links = append(links, l)
	}
	return links
}

// Connected tells whether a component is connected and authenticated.
func (s *Server) Connected() bool { return s.current() != nil }

func (s *Server) current() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// Connections returns how many times a component has authenticated.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.authed
}

// WaitConnected waits until a component is connected and authenticated.
func (s *Server) WaitConnected(ctx context.Context) error { return s.waitLink(ctx, true) }

// WaitDisconnected waits until no component is connected.
func (s *Server) WaitDisconnected(ctx context.Context) error { return s.waitLink(ctx, false) }

func (s *Server) waitLink(ctx context.Context, up bool) error {
	for {
		s.mu.Lock()
		is, changed := s.up != nil, s.changed
		s.mu.Unlock()
		if is == up {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("xmpptest: waiting for the component's connection: %w", context.Cause(ctx))
		}
	}
}

// AwaitComponent is WaitConnected with the server's timeout; a failure ends the
// test.
func (s *Server) AwaitComponent(tb TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	if err := s.WaitConnected(ctx); err != nil {
		tb.Fatalf("%v", err)
	}
}

// setUp makes l the authenticated link, or says that there is one.
func (s *Server) setUp(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up != nil {
		return false
	}
	s.up = l
	s.authed++
	s.signal()
	return true
}

// setDown ends the link's time as the authenticated one.
func (s *Server) setDown(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up == l {
		s.up = nil
		s.signal()
	}
}

func (s *Server) forget(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, l)
}

// signal wakes those who wait for the link; the lock is held.
func (s *Server) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Inject writes bytes to the component as they are: stanzas of a load generator,
// or garbage. It never blocks; what the component has not read yet is buffered
// without limit, see Buffered and Flush.
func (s *Server) Inject(raw []byte) error {
	l := s.current()
	if l == nil {
		return ErrNotConnected
	}
	return l.out.write(raw)
}

// Buffered returns the number of bytes that the connection has not taken yet.
func (s *Server) Buffered() int {
	l := s.current()
	if l == nil {
		return 0
	}
	return l.out.buffered()
}

// Flush waits until the connection has taken all that was written before.
func (s *Server) Flush(ctx context.Context) error {
	l := s.current()
	if l == nil {
		return ErrNotConnected
	}
	return l.out.flush(ctx)
}

// OnStanza makes the server a sink: f gets every stanza of the component, after
// it was checked, in order and on the reading goroutine, instead of the users.
// The server still answers pings to the hosted domains, and returns what the
// component sends to its own domain. f may call Inject, but must not wait. nil
// ends it.
func (s *Server) OnStanza(f func(*xmpp.Element)) {
	if f == nil {
		s.sink.Store(nil)
		return
	}
	s.sink.Store(&f)
}

// Violation is a breach of RFC 6120, RFC 6121 or XEP-0114 by the component.
type Violation struct {
	Rule   string // what was broken, and where it stands
	Detail string // the stanza, cut to a readable length
	Closed bool   // the stream was closed for it
}

// Error implements error.
func (v *Violation) Error() string { return "xmpptest: violation: " + v.Rule + ": " + v.Detail }

// Violations returns those recorded so far, at most 1000.
func (s *Server) Violations() []*Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// TakeViolations returns those recorded so far and forgets them.
func (s *Server) TakeViolations() []*Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.violations
	s.violations = nil
	return v
}

func (s *Server) violate(rule, detail string, closed bool) {
	const readable, remembered = 2000, 1000
	if len(detail) > readable {
		detail = detail[:readable] + "…"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.violations) >= remembered {
		return
	}
	s.violations = append(s.violations, &Violation{rule, detail, closed})
}

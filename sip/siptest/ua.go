package siptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned after [UA.Close].
var ErrClosed = errors.New("siptest: closed")

// Config describes a phone. The zero value is a UDP phone on a free loopback
// port that belongs to nobody.
type Config struct {
	// Transport is udp (default), tcp, tls, ws or wss. A tcp or tls phone dials
	// Proxy and listens as well; a WebSocket phone only dials.
	Transport string
	// Listen is the local address, 127.0.0.1:0 when empty.
	Listen string
	// Proxy is host:port of the gateway; needed for everything that the phone starts.
	Proxy string
	// AOR is the phone's own address, sip:phone@siptest.invalid when empty.
	AOR string
	// Credentials answer challenges in [UA.Do]; empty User: challenges are results.
	Credentials Credentials
	// ReuseNonce sends the last challenge's nonce again with the next nc, as
	// baresip and many phones do.
	ReuseNonce bool
	// Instance (urn:uuid:…) and RegID make the phone an outbound client (RFC 5626).
	Instance string
	RegID    int
	// TLS is used for dialling and, with certificates, for listening.
	TLS *tls.Config
	// T1 is the phone's own retransmission base, 500 ms when zero.
	T1 time.Duration
	// PeerTimeout is the gateway's 64*T1, 32 s when zero: after it an unanswered
	// MESSAGE no longer counts as pending.
	PeerTimeout time.Duration
	// Auto answers what no rule matches: MESSAGE and OPTIONS with 200, the rest with 501.
	Auto bool
	// AllowHeaders are further header names that the gateway may send.
	AllowHeaders []string
	// AllowResend accepts a request whose Call-ID and CSeq were answered before,
	// as after a restart of the gateway.
	AllowResend bool
}

// UA is one scripted phone. All methods may be called from any goroutine.
type UA struct {
	cfg    Config
	udp    *net.UDPConn
	ln     net.Listener
	sentBy string // host[:port] for Via and Contact
	check  *inspector

	wg   sync.WaitGroup
	done chan struct{}
	once sync.Once

	cseq           atomic.Uint32
	registerCallID string
	absorbed       atomic.Int64

	mu         sync.Mutex
	closed     bool
	out        link
	links      map[link]struct{}
	inbox      []*Incoming
	wake       chan struct{} // closed at the next arrival
	clients    *memory[*Transaction]
	servers    *memory[*Incoming]
	rules      []*rule
	challenge  *Message // last 401/407
	nonceCount int
}

// New opens the sockets of a phone.
func New(cfg Config) (*UA, error) {
	if cfg.Transport == "" {
		cfg.Transport = "udp"
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.AOR == "" {
		cfg.AOR = "sip:phone@siptest.invalid"
	}
	if cfg.T1 == 0 {
		cfg.T1 = 500 * time.Millisecond
	}
	if cfg.PeerTimeout == 0 {
		cfg.PeerTimeout = 32 * time.Second
	}
	u := &UA{
		cfg:            cfg,
		check:          newInspector(cfg),
		done:           make(chan struct{}),
		links:          map[link]struct{}{},
		wake:           make(chan struct{}),
		clients:        newMemory[*Transaction](),
		servers:        newMemory[*Incoming](),
		registerCallID: token(8) + "@siptest",
	}
	if err := u.listen(); err != nil {
		return nil, err
	}
	return u, nil
}

// Start is New for tests: it fails the test instead of returning an error and
// closes the phone when the test ends.
func Start(t TB, cfg Config) *UA {
	t.Helper()
	u, err := New(cfg)
	if err != nil {
		t.Fatalf("siptest: start: %v", err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

func (u *UA) listen() error {
	switch u.cfg.Transport {
	case "udp":
		addr, err := net.ResolveUDPAddr("udp", u.cfg.Listen)
		if err != nil {
			return fmt.Errorf("siptest: %w", err)
		}
		if u.udp, err = net.ListenUDP("udp", addr); err != nil {
			return fmt.Errorf("siptest: %w", err)
		}
		_ = u.udp.SetReadBuffer(4 << 20) // best effort: fewer drops under load
		u.sentBy = u.udp.LocalAddr().String()
		u.wg.Go(u.readDatagrams)
	case "tcp", "tls":
		ln, err := net.Listen("tcp", u.cfg.Listen)
		if err != nil {
			return fmt.Errorf("siptest: %w", err)
		}
		u.sentBy = ln.Addr().String()
		if u.cfg.Transport == "tls" && u.cfg.TLS != nil && len(u.cfg.TLS.Certificates) > 0 {
			ln = tls.NewListener(ln, u.cfg.TLS)
		}
		u.ln = ln
		u.wg.Go(u.accept)
	case "ws", "wss":
		u.sentBy = token(6) + ".invalid" // RFC 7118 §5: nobody can connect to a browser
	default:
		return fmt.Errorf("siptest: unknown transport %q", u.cfg.Transport)
	}
	return nil
}

// Close closes all sockets and waits for the phone's goroutines.
func (u *UA) Close() error {
	u.once.Do(func() {
		close(u.done)
		u.mu.Lock()
		u.closed = true
		for l := range u.links {
			l.close()
		}
		u.mu.Unlock()
		if u.udp != nil {
			_ = u.udp.Close()
		}
		if u.ln != nil {
			_ = u.ln.Close()
		}
	})
	u.wg.Wait()
	return nil
}

// Addr is the local address in host:port form (a made-up name for WebSocket).
func (u *UA) Addr() string { return u.sentBy }

// AOR is the phone's address of record.
func (u *UA) AOR() string { return u.cfg.AOR }

// ContactURI is the URI under which the phone can be reached directly.
func (u *UA) ContactURI() string {
	uri := "sip:" + uriUser(u.cfg.AOR) + "@" + u.sentBy
	if t := u.cfg.Transport; t != "udp" {
		uri += ";transport=" + t
	}
	return uri
}

// Violations lists every rule that the gateway has broken towards this phone.
func (u *UA) Violations() []string { return u.check.list() }

// AssertClean fails the test when there are violations.
func (u *UA) AssertClean(t TB) {
	t.Helper()
	if v := u.Violations(); len(v) > 0 {
		t.Errorf("siptest: %d violation(s) towards %s:\n  %s", len(v), u.cfg.AOR, strings.Join(v, "\n  "))
	}
}

// Absorbed counts the retransmitted requests that the phone took without
// showing them.
func (u *UA) Absorbed() int64 { return u.absorbed.Load() }

// SendRaw sends bytes to the proxy as they are.
func (u *UA) SendRaw(raw []byte) error {
	l, err := u.proxy()
	if err != nil {
		return err
	}
	return l.send(raw)
}

// Ping sends the double CRLF of RFC 5626 §4.4.1 to the proxy over the phone's
// connection and waits for the single CRLF that answers it.
func (u *UA) Ping(ctx context.Context) error {
	l, err := u.proxy()
	if err != nil {
		return err
	}
	s, ok := l.(*streamLink)
	if !ok {
		return fmt.Errorf("siptest: no crlf keep-alive over %s", l.transport())
	}
	if err := s.send([]byte("\r\n\r\n")); err != nil {
		return err
	}
	select {
	case <-s.pong:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("siptest: no pong: %w", ctx.Err())
	}
}

// Hangup closes the phone's connections without a word; the next request opens a
// new one. It does nothing over UDP.
func (u *UA) Hangup() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for l := range u.links {
		l.close()
	}
	u.out = nil
}

// proxy is the link to the gateway, dialled when there is none.
func (u *UA) proxy() (link, error) {
	if u.cfg.Proxy == "" {
		return nil, errors.New("siptest: no proxy configured")
	}
	if u.udp != nil {
		addr, err := net.ResolveUDPAddr("udp", u.cfg.Proxy)
		if err != nil {
			return nil, fmt.Errorf("siptest: %w", err)
		}
		return &datagramLink{u.udp, addr}, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, ErrClosed
	}
	if u.out != nil {
		return u.out, nil
	}
	l, err := dial(u.cfg.Transport, u.cfg.Proxy, u.cfg.TLS)
	if err != nil {
		return nil, err
	}
	u.out = l
	u.serveLocked(l)
	return l, nil
}

// serveLocked starts the reader of a connection; u.mu is held.
func (u *UA) serveLocked(l link) {
	u.links[l] = struct{}{}
	u.wg.Go(func() {
		u.readLink(l)
		l.close()
		u.mu.Lock()
		delete(u.links, l)
		if u.out == l {
			u.out = nil
		}
		u.mu.Unlock()
	})
}

func (u *UA) accept() {
	for {
		conn, err := u.ln.Accept()
		if err != nil {
			return
		}
		u.mu.Lock()
		if u.closed {
			_ = conn.Close()
		} else {
			u.serveLocked(newStreamLink(conn, u.cfg.Transport))
		}
		u.mu.Unlock()
	}
}

func (u *UA) readDatagrams() {
	buf := make([]byte, 64<<10)
	for {
		n, addr, err := u.udp.ReadFromUDP(buf)
		if err != nil {
			return
		}
		if n <= 4 && strings.Trim(string(buf[:n]), "\r\n\x00") == "" {
			continue // keep-alive
		}
		u.receive(&datagramLink{u.udp, addr}, append([]byte(nil), buf[:n]...))
	}
}

// memory is a map that forgets its oldest entries, so that a phone can run for
// days in a demo. It is guarded by its owner.
type memory[V any] struct {
	byKey map[string]V
	order []string
}

const memorySize = 1 << 15

func newMemory[V any]() *memory[V] { return &memory[V]{byKey: map[string]V{}} }

func (m *memory[V]) get(key string) (V, bool) {
	v, ok := m.byKey[key]
	return v, ok
}

func (m *memory[V]) put(key string, v V) {
	if _, ok := m.byKey[key]; !ok {
		m.order = append(m.order, key)
		if len(m.order) > memorySize {
			delete(m.byKey, m.order[0])
			m.order = m.order[1:]
		}
	}
	m.byKey[key] = v
}

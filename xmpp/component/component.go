package component

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Errors of Send and IQ.
var (
	// ErrLinkDown says that there is no link, or that it was lost before the bytes were written, or before
	// the answer came. It wraps what ended the link where that is known.
	ErrLinkDown = errors.New("component: link is down")
	// ErrQueueFull says that the server does not take stanzas as fast as they are sent.
	ErrQueueFull = errors.New("component: send queue is full")
	// ErrAddress says that a stanza does not come from the component's domain or has no recipient. The server
	// would end the stream for the former.
	ErrAddress = errors.New("component: stanza needs a from of the component's domain and a to")
	// ErrTooLarge says that a stanza is longer than Limits.Bytes, which is taken for the server's limit too:
	// it would end the stream for it.
	ErrTooLarge = errors.New("component: stanza too large")
	// ErrRequest says that IQ was given something else than a get or set.
	ErrRequest = errors.New("component: not an iq request")
	// ErrDuplicateID says that an iq with this id to the same address is still waiting for its answer.
	ErrDuplicateID = errors.New("component: id is in use")
)

// Config says what to connect to. Address (or Dial), Domain and Secret are needed; all else has a default.
type Config struct {
	Address string // host:port of the server's component listener
	Domain  string // the component's own domain
	Secret  string // shared with the server

	TLS  *tls.Config                                 // nil: plain TCP. ServerName defaults to the host of Address
	Dial func(ctx context.Context) (net.Conn, error) // nil: TCP to Address

	Limits       xmpp.Limits   // of one stanza, in and out
	QueueStanzas int           // waiting to be written, default 4096
	QueueBytes   int           // waiting to be written, default 8 MiB
	DialTimeout  time.Duration // until the handshake is done, default 10 s
	WriteTimeout time.Duration // for one write of at most 64 KiB or one stanza, default 20 s
	CloseTimeout time.Duration // for the queue and the server's goodbye at shutdown, default 5 s
	PingInterval time.Duration // of silence before a ping, default 30 s; negative: never ping, wait for ever
	PingTimeout  time.Duration // for any sign of life after a ping, default 20 s
	// PingTarget is pinged, by default the component itself by way of the server. Where several processes are
	// connected under one domain (ejabberd), it must be somebody else, such as the server's own domain: the server
	// may hand the ping to another of them.
	PingTarget xmpp.JID
	FailFast   bool // Run returns on host-unknown and not-authorized instead of trying again

	Log zerolog.Logger
	// Tap sees every stanza that was read (before the handler does) or taken by Send, on the goroutine that
	// does so. The function raw gives a copy of its bytes and may be called during Tap only. s is nil for what
	// was read but could not be parsed; raw is then all there is, and is nil for an oversized stanza.
	Tap func(out bool, at time.Time, raw func() []byte, s xmpp.Stanza)
}

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.DialTimeout, 10*time.Second)
	def(&c.WriteTimeout, 20*time.Second)
	def(&c.CloseTimeout, 5*time.Second)
	def(&c.PingInterval, 30*time.Second)
	def(&c.PingTimeout, 20*time.Second)
	if c.QueueStanzas <= 0 {
		c.QueueStanzas = 4096
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = 8 << 20
	}
	if c.Limits.Bytes <= 0 {
		c.Limits.Bytes = 256 << 10
	}
}

// Handler takes what comes in. Both methods are called on the goroutine of Run, in the order of the stream,
// and must not block: nothing is read while they run. They may call Send, but not IQ.
type Handler interface {
	// HandleStanza is given every stanza but answers to IQ. from is never zero. Results and errors of iqs that
	// IQ does not know are given too. Answering a get or set is the handler's duty.
	HandleStanza(s xmpp.Stanza)
	// LinkChanged tells that the link came up (err is nil) or was lost. The calls alternate, starting with up.
	// err is nil as well when the link ended because the context of Run did.
	LinkChanged(up bool, err error)
}

// Batcher is a Handler that is told when several things come together: stanzas that were read at once, or the
// news (the second argument of Send) that several were written. Hold comes before the first of them and Release
// after the last, from the goroutine that brings them. The two may be nested and come from two goroutines at a time.
type Batcher interface {
	Hold()
	Release()
}

// Component is one component of an XMPP server. Its methods may be called from any goroutine.
type Component struct {
	cfg     Config
	domain  xmpp.JID
	handler Handler
	link    atomic.Pointer[link] // nil while down
	tracker tracker
	ids     ids

	mu      sync.Mutex
	lastErr error
}

// New checks the configuration; it does not connect.
func New(cfg Config, h Handler) (*Component, error) {
	cfg.setDefaults()
	domain, err := xmpp.ParseJID(cfg.Domain)
	if err != nil || domain.Local() != "" || !domain.IsBare() {
		return nil, fmt.Errorf("component: domain %q is not a domain name", cfg.Domain)
	}
	switch {
	case h == nil:
		return nil, errors.New("component: no handler")
	case cfg.Secret == "":
		return nil, errors.New("component: no secret")
	case cfg.Dial == nil:
		host, _, err := net.SplitHostPort(cfg.Address)
		if err != nil {
			return nil, fmt.Errorf("component: address %q is not host:port", cfg.Address)
		}
		if cfg.TLS != nil && cfg.TLS.ServerName == "" {
			cfg.TLS = cfg.TLS.Clone()
			cfg.TLS.ServerName = host
		}
	}
	if cfg.PingTarget.IsZero() {
		cfg.PingTarget = domain
	}
	return &Component{cfg: cfg, domain: domain, handler: h, ids: newIDs()}, nil
}

// Domain returns the component's own address.
func (c *Component) Domain() xmpp.JID { return c.domain }

// Up tells whether there is a link.
func (c *Component) Up() bool { return c.link.Load() != nil }

// LastError returns why the link is down: the last failed attempt to connect or the loss of the link. It is
// nil while the link is up and before the first attempt.
func (c *Component) LastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastErr
}

func (c *Component) setLastError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = err
}

// Send queues a stanza for writing and never blocks. The stanza may be changed once Send has returned.
//
// The error is ErrLinkDown, ErrQueueFull, ErrTooLarge or ErrAddress, and written is not called then. If it is
// nil, written (which may be nil) is called exactly once: with nil after the bytes went to the socket, or with
// an error that wraps ErrLinkDown when the link was lost before. It is called on a goroutine of the component
// and must not block; it may call Send.
func (c *Component) Send(s xmpp.Stanza, written func(error)) error {
	from, to := s.Addresses()
	if from.Domain() != c.domain.Domain() || to.IsZero() {
		return fmt.Errorf("%w: from %q to %q", ErrAddress, from, to)
	}
	l := c.link.Load()
	if l == nil {
		return ErrLinkDown
	}
	at := time.Time{}
	if c.cfg.Tap != nil {
		at = time.Now() // before the answer can be there
	}
	if err := l.queue.push(s, written); err != nil {
		return err
	}
	if c.cfg.Tap != nil {
		c.cfg.Tap(true, at, func() []byte { return s.Append(nil) }, s)
	}
	return nil
}

// IQ sends a get or set and waits for its result. An empty id is filled in, in a copy. An answer of type error
// comes back as *xmpp.StanzaError. Other errors are those of Send, that of the context, and ErrLinkDown when
// the link was lost meanwhile. It must not be called by the handler, which is what reads the answer.
func (c *Component) IQ(ctx context.Context, iq *xmpp.IQ) (*xmpp.IQ, error) {
	if !iq.IsRequest() {
		return nil, ErrRequest
	}
	request := *iq
	if request.ID == "" {
		request.ID = c.ids.next()
	}
	p, err := c.tracker.add(&request)
	if err != nil {
		return nil, err
	}
	defer c.tracker.remove(p)
	err = c.Send(&request, func(err error) {
		if err != nil {
			p.fail(err)
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("component: no answer from %s: %w", request.To, ctx.Err())
	case a := <-p.answer:
		switch {
		case a.err != nil:
			return nil, a.err
		case a.iq.IsError():
			return nil, a.iq.Error
		}
		return a.iq, nil
	}
}

// ids makes ids that no other process uses.
type ids struct {
	prefix string
	n      *atomic.Uint64
}

func newIDs() ids {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return ids{prefix: strings.ToLower(base32.StdEncoding.EncodeToString(b[:])) + "-", n: new(atomic.Uint64)}
}

func (i ids) next() string { return i.prefix + strconv.FormatUint(i.n.Add(1), 36) }

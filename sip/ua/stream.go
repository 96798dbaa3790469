package ua

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// writeTimeout is how long a connection may refuse to take bytes before it is
// given up, maxUnsent how many bytes may wait meanwhile.
const (
	writeTimeout = 5 * time.Second
	maxUnsent    = 4 << 20
)

// wire is what a stream reads from and writes to: a net.Conn or a WebSocket.
type wire interface {
	// framed tells whether read and write move whole messages, not bytes.
	framed() bool
	// read may return a part of buf.
	read(buf []byte) ([]byte, error)
	write(b []byte) error
	setReadDeadline(t time.Time)
	close()
}

// pong answers a keep-alive (RFC 5626 §4.4.1).
var pong = []byte("\r\n")

// stream is one connection, accepted or made.
type stream struct {
	u             *UA
	w             wire
	id            uint64
	transport     string
	domain        string // for which the peer's certificate was verified; "" when accepted
	dialled       bool
	local, remote netip.AddrPort
	tls           *tls.ConnectionState

	mu      sync.Mutex
	out     []byte // not yet written; while writing, what comes next
	spare   []byte
	bounds  []int // ends of the messages in out, for a WebSocket
	writing bool
	err     error // why it was closed
	keepers []*keeper
	closed  chan struct{}
}

// connWire is a TCP or TLS connection.
type connWire struct{ net.Conn }

func (c connWire) framed() bool { return false }

func (c connWire) read(buf []byte) ([]byte, error) {
	n, err := c.Read(buf)
	return buf[:n], err
}

func (c connWire) write(b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

func (c connWire) setReadDeadline(t time.Time) { _ = c.SetReadDeadline(t) }
func (c connWire) close()                      { _ = c.Close() }

// newStream registers a connection; the caller starts read. It fails when the UA
// is closed.
func (u *UA) newStream(w wire, transport, domain string, dialled bool, local, remote netip.AddrPort, state *tls.ConnectionState) (*stream, error) {
	s := &stream{
		u: u, w: w, transport: transport, domain: domain, dialled: dialled,
		local: local, remote: remote, tls: state, closed: make(chan struct{}),
	}
	if !u.streams.add(s) {
		w.close()
		return nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	return s, nil
}

// send writes one SIP message.
func (s *stream) send(b []byte) error {
	s.u.tapped(true, path{stream: s, remote: s.remote}, b)
	return s.put(b)
}

// put appends b to what is to be written. If nobody is writing, the caller writes
// until nothing is left: a single message costs no goroutine change, and messages
// that come meanwhile share one system call.
func (s *stream) put(b []byte) error {
	s.mu.Lock()
	if s.err != nil {
		err := s.err
		s.mu.Unlock()
		return err
	}
	if len(s.out)+len(b) > maxUnsent {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s does not read", ErrTransport, s.remote)
	}
	s.out = append(s.out, b...)
	s.bounds = append(s.bounds, len(s.out))
	if s.writing {
		s.mu.Unlock()
		return nil
	}
	s.writing = true
	s.mu.Unlock()
	return s.flush()
}

func (s *stream) flush() error {
	s.mu.Lock()
	for len(s.out) > 0 && s.err == nil {
		batch, bounds := s.out, s.bounds
		s.out, s.spare = s.spare[:0], nil
		s.bounds = nil
		s.mu.Unlock()
		err := s.writeBatch(batch, bounds)
		s.mu.Lock()
		if cap(batch) <= 64<<10 {
			s.spare = batch[:0]
		}
		if s.bounds == nil {
			s.bounds = bounds[:0]
		}
		if err != nil {
			s.mu.Unlock()
			s.close(fmt.Errorf("%w: write to %s: %w", ErrTransport, s.remote, err))
			s.mu.Lock()
		}
	}
	s.writing = false
	err := s.err
	s.mu.Unlock()
	return err
}

func (s *stream) writeBatch(b []byte, bounds []int) error {
	if !s.w.framed() {
		return s.w.write(b)
	}
	start := 0
	for _, end := range bounds { // RFC 7118 §5: one message, one frame
		if err := s.w.write(b[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// close ends the connection and tells the transactions that wait for it. It may
// be called more than once; the first error counts.
func (s *stream) close(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	s.out = nil
	close(s.closed)
	tell := s.lost()
	s.mu.Unlock()
	s.w.close()
	s.u.streams.remove(s)
	s.u.clients.streamClosed(s, err)
	for _, f := range tell {
		f()
	}
}

func (s *stream) alive() bool {
	select {
	case <-s.closed:
		return false
	default:
		return true
	}
}

// read takes messages until the connection ends.
func (s *stream) read() {
	err := s.readLoop()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		err = fmt.Errorf("%w: %s closed the connection", ErrTransport, s.remote)
	} else {
		err = fmt.Errorf("%w: read from %s: %w", ErrTransport, s.remote, err)
	}
	s.u.log.Debug().Err(err).Str("transport", s.transport).Msg("connection ended")
	s.close(err)
}

func (s *stream) readLoop() error {
	buf := make([]byte, 8<<10)
	var f framer
	p := path{stream: s, remote: s.remote}
	lim := s.u.cfg.Limits
	var begun time.Time // of the message that is not complete
	var last time.Time  // read
	for {
		var deadline time.Time
		switch {
		case !begun.IsZero() && lim.Partial > 0:
			deadline = begun.Add(lim.Partial)
		case lim.Idle > 0:
			deadline = time.Now().Add(lim.Idle)
		}
		s.w.setReadDeadline(deadline)
		b, err := s.w.read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) && begun.IsZero() && s.kept() {
			continue
		}
		if err != nil {
			return err
		}
		if s.w.framed() {
			if err := s.message(p, b); err != nil {
				return err
			}
			continue
		}
		now := time.Now()
		if now.Sub(last) > pairWithin {
			f.half = false
		}
		last = now
		if s.dialled {
			s.heard(!f.pending() && bytes.HasPrefix(b, pong))
		}
		f.write(b)
		n, err := s.frames(p, &f)
		if err != nil {
			return err
		}
		switch {
		case !f.pending():
			begun = time.Time{}
		case n > 0 || begun.IsZero(): // another than before
			begun = now
		}
	}
}

// pairWithin is how long after a CRLF another one makes it a keep-alive that wants an
// answer; a peer whose keep-alive is a single one sends them further apart.
const pairWithin = time.Second

// frames dispatches what is complete in f, and counts it.
func (s *stream) frames(p path, f *framer) (n int, err error) {
	for ; ; n++ {
		msg, pings, _, err := f.next()
		if pings > 0 {
			if err := s.put(pong); err != nil {
				return n, err
			}
		}
		if err != nil {
			s.refuse(p, msg, err)
			return n, err
		}
		if msg == nil {
			return n, nil
		}
		if !s.u.guard.admit(s.remote.Addr(), s.transport) {
			return n, errBanned
		}
		err = s.dispatch(p, msg)
		f.done()
		if err != nil {
			return n, err
		}
	}
}

// message dispatches one WebSocket message.
func (s *stream) message(p path, b []byte) error {
	if keepAlive(b) {
		if string(b) == "\r\n\r\n" {
			return s.put(pong)
		}
		return nil
	}
	if !s.u.guard.admit(s.remote.Addr(), s.transport) {
		return errBanned
	}
	return s.dispatch(p, b)
}

// dispatch parses and hands on. An unreadable message ends the connection: what
// follows it cannot be trusted to be framed as its sender meant.
func (s *stream) dispatch(p path, b []byte) error {
	s.u.tapped(false, p, b)
	msg, err := sip.Parse(s.u.parser, b)
	s.u.dispatch(p, msg, err)
	return err
}

// refuse answers a request whose end is not known, when its head can be read.
func (s *stream) refuse(p path, head []byte, cause error) {
	if head == nil {
		return
	}
	s.u.tapped(false, p, head)
	msg, _ := sip.Parse(s.u.parser, head)
	req, ok := msg.(*sip.Request)
	if !ok {
		return
	}
	st := sip.Status{Code: 400, Reason: "Bad Request - Content-Length"}
	if errors.Is(cause, errTooLarge) {
		st = sip.Status{Code: 513}
	}
	s.u.stampVia(p, req)
	s.u.stateless(p, req, st)
}

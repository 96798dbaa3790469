package xmpptest

import (
	"net"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Refusal is how a connection attempt of the component goes wrong.
type Refusal uint8

// The refusals.
const (
	// RefuseConflict: the name is in use (Prosody, second connection).
	RefuseConflict Refusal = iota + 1
	// RefuseHost: the name is not configured.
	RefuseHost
	// RefuseSecret: the handshake is not accepted.
	RefuseSecret
	// RefuseClose: the connection is closed without a word.
	RefuseClose
	// RefuseSilent: nothing is ever answered.
	RefuseSilent
	// RefuseHandshake: the stream is opened, and the handshake never answered.
	RefuseHandshake
	// RefuseGarbage: something that is not XMPP answers.
	RefuseGarbage
)

// Refuse makes the next connections go wrong, one each in the given order.
func (s *Server) Refuse(next ...Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, next...)
}

func (s *Server) nextRefusal() *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refusals) == 0 {
		return nil
	}
	r := s.refusals[0]
	s.refusals = s.refusals[1:]
	return &r
}

// apply carries the refusal out; openErr is how reading the stream header went.
func (r Refusal) apply(l *link, openErr error) error {
	if openErr != nil {
		return openErr
	}
	header := "<?xml version='1.0'?><stream:stream xmlns='" + xmpp.NSComponentAccept + "' xmlns:stream='" +
		xmpp.NSStream + "' from='" + l.srv.cfg.Domain + "' id='refused'>"
	send := func(s string) {
		_ = l.out.write([]byte(s)) // the connection is about to end anyway
	}
	switch r {
	case RefuseConflict:
		send(header)
		return &StreamError{"conflict", "component already connected"}
	case RefuseHost:
		send(header)
		return &StreamError{"host-unknown", l.srv.cfg.Domain}
	case RefuseSecret:
		send(header)
		if _, err := l.in.next(); err != nil {
			return err
		}
		return &StreamError{"not-authorized", "wrong handshake"}
	case RefuseClose:
		l.abort()
		return net.ErrClosed
	case RefuseHandshake:
		send(header)
	case RefuseGarbage:
		send("HTTP/1.1 400 Bad Request\r\n\r\n")
	}
	for { // RefuseSilent, and the rest of the others
		if _, err := l.in.next(); err != nil {
			return err
		}
	}
}

// Drop breaks the connection without a word; with TCP as a reset, so what was
// under way is lost.
func (s *Server) Drop() {
	l := s.current()
	if l == nil {
		return
	}
	if tcp, ok := l.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	l.abort()
}

// CloseStream ends the stream as a server does that shuts down.
func (s *Server) CloseStream() {
	if l := s.current(); l != nil {
		l.finish(nil)
	}
}

// CloseWithError ends the stream with a stream error, such as "system-shutdown".
func (s *Server) CloseWithError(condition, text string) {
	if l := s.current(); l != nil {
		l.finish(&StreamError{condition, text})
	}
}

// StopReading leaves what the component sends in the socket, until ResumeReading.
func (s *Server) StopReading() {
	if l := s.current(); l != nil {
		l.gate.close()
	}
}

// ResumeReading ends StopReading.
func (s *Server) ResumeReading() {
	if l := s.current(); l != nil {
		l.gate.open()
	}
}

// Stall makes the connection dead in both directions while it stays open, as
// behind a broken network, until Resume.
func (s *Server) Stall() {
	if l := s.current(); l != nil {
		l.gate.close()
		l.out.gate.close()
	}
}

// Resume ends Stall.
func (s *Server) Resume() {
	if l := s.current(); l != nil {
		l.gate.open()
		l.out.gate.open()
	}
}

// MutePings drops the component's pings to the hosted domains and to itself while
// everything else works.
func (s *Server) MutePings(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mutePings = mute
}

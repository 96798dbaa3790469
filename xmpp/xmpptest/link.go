package xmpptest

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/xmpp"
)

// link is one connection of a component. Its goroutine reads, and handles each
// stanza to its end before the next; the outbox writes.
type link struct {
	srv  *Server
	conn net.Conn
	id   string
	gate gate // closed: nothing is read
	in   *wireReader
	out  *outbox

	ended atomic.Bool // this side has ended the stream: nothing more is handled
}

func newLink(s *Server, conn net.Conn, id string) *link {
	l := &link{srv: s, conn: conn, id: id}
	l.in = newWireReader(&gatedReader{conn, &l.gate}, s.cfg.MaxStanza)
	l.out = newOutbox(conn, s.cfg.WriteChunk)
	return l
}

// run serves the connection until it ends.
func (l *link) run() {
	l.srv.wg.Go(l.out.run)
	err := l.serve()
	var se *StreamError
	switch {
	case errors.As(err, &se):
		if !l.srv.meant(se) {
			l.srv.violate("stream error "+se.Condition, se.Text, true)
		}
		l.finish(se)
	default:
		l.finish(nil)
	}
	// What still comes in is read, so that a peer that is writing gets to see the
	// end of the stream: over a pipe it would block, and over TCP a close with
	// unread data is a reset that overtakes it.
	_, _ = io.Copy(io.Discard, &gatedReader{l.conn, &l.gate})
	<-l.out.done
	l.srv.forget(l)
}

// abort breaks the connection.
func (l *link) abort() {
	l.ended.Store(true)
	l.srv.setDown(l)
	l.out.abort()
	l.gate.open()
}

// finish ends the stream, with an error if one is given, and closes the
// connection once that is written. The name is free for a new connection at once.
func (l *link) finish(se *StreamError) {
	l.ended.Store(true)
	l.srv.setDown(l)
	var end []byte
	if se != nil {
		end = se.append(end)
	}
	l.out.finish(append(end, "</stream:stream>"...))
}

// serve does the handshake of XEP-0114 §3 and then reads stanzas. The error is
// errStreamEnd, a *StreamError to be sent, or that of the connection.
func (l *link) serve() error {
	s := l.srv
	header, err := l.in.open()
	// RFC 6120 §4.9.1.1: errors are sent within a stream, so it is opened first.
	if refusal := s.nextRefusal(); refusal != nil {
		return refusal.apply(l, err)
	}
	open := []byte("<?xml version='1.0'?><stream:stream xmlns='" + xmpp.NSComponentAccept +
		"' xmlns:stream='" + xmpp.NSStream + "' from='" + s.cfg.Domain + "'")
	var se *StreamError
	if err == nil || errors.As(err, &se) {
		tag := xmpp.NewElement("", "x").Set("id", l.id).Append(nil, "")
		open = append(open, tag[len("<x"):len(tag)-len("/>")]...)
		if err := l.out.write(append(open, '>')); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	switch {
	case header.Name.Space != xmpp.NSStream || header.Name.Local != "stream":
		return &StreamError{"invalid-namespace", "not a stream header"}
	case l.in.defaultSpace() != xmpp.NSComponentAccept:
		return &StreamError{"invalid-namespace", "default namespace is not " + xmpp.NSComponentAccept}
	case header.Attribute("to") != s.cfg.Domain:
		return &StreamError{"host-unknown", header.Attribute("to")}
	}
	e, err := l.in.next()
	if err != nil {
		return err
	}
	if e.Name.Space != xmpp.NSComponentAccept || e.Name.Local != "handshake" {
		return &StreamError{"not-authorized", "no handshake"}
	}
	sum := sha1.Sum([]byte(l.id + s.cfg.Secret))
	if e.Text() != hex.EncodeToString(sum[:]) {
		return &StreamError{"not-authorized", "wrong handshake"}
	}
	if !s.setUp(l) {
		return &StreamError{"conflict", "component already connected"}
	}
	if err := l.out.write([]byte("<handshake/>")); err != nil {
		return err
	}
	for {
		e, err := l.in.next()
		if err != nil {
			return err
		}
		if l.ended.Load() {
			return errStreamEnd
		}
		if err := s.receive(l, e); err != nil {
			return err
		}
	}
}

// defaultSpace is the default namespace that the stream header declared.
func (w *wireReader) defaultSpace() string {
	for _, b := range w.scope {
		if b.prefix == "" {
			return b.uri
		}
	}
	return ""
}

// meant tells whether a stream error is no fault of the component's code: wrong
// secrets and names, and second connections, are what tests try on purpose.
func (s *Server) meant(se *StreamError) bool {
	switch se.Condition {
	case "not-authorized", "host-unknown", "conflict":
		return true
	}
	return false
}

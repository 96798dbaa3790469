package xmpptest

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// peer is a bare component for these tests: it writes what it is told, and reads
// with the gateway's decoder.
type peer struct {
	t    testing.TB
	conn net.Conn
	dec  *xmpp.Decoder
}

func connect(t testing.TB, s *Server) *peer {
	t.Helper()
	conn, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, conn)
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	p := &peer{t: t, conn: conn, dec: xmpp.NewDecoder(conn, xmpp.Limits{Bytes: 1 << 20})}
	t.Cleanup(func() { _ = conn.Close() })
	return p
}

// up connects and does the handshake.
func up(t testing.TB, s *Server) *peer {
	t.Helper()
	p := connect(t, s)
	p.handshake(s.Domain(), s.Secret())
	if e := p.next(); !e.Is(xmpp.NSComponentAccept, "handshake") {
		t.Fatalf("no handshake: %s", e)
	}
	return p
}

func (p *peer) handshake(domain, secret string) {
	p.t.Helper()
	p.write("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='" + domain + "'>")
	h, err := p.dec.Open()
	if err != nil {
		p.t.Fatal(err)
	}
	sum := sha1.Sum([]byte(h.Attribute("id") + secret))
	// The server may have ended the stream after the header.
	_, _ = p.conn.Write([]byte("<handshake>" + hex.EncodeToString(sum[:]) + "</handshake>"))
}

func (p *peer) write(s string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(s)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) next() *xmpp.Element {
	p.t.Helper()
	e, err := p.dec.Next()
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

// want compares the next stanza with its text on a stream in jabber:client.
func (p *peer) want(s string) {
	p.t.Helper()
	if got := text(p.next()); got != s {
		p.t.Errorf("got  %s\nwant %s", got, s)
	}
}

func text(e *xmpp.Element) string { return string(e.Append(nil, xmpp.NSComponentAccept)) }

// ends wants the stream to end, with this stream error if one is given.
func (p *peer) ends(condition string) {
	p.t.Helper()
	if condition != "" {
		e := p.next()
		if !e.Is(xmpp.NSStream, "error") || parseStreamError(e).Condition != condition {
			p.t.Errorf("got %s, want stream error %s", e, condition)
		}
	}
	if _, err := p.dec.Next(); !errors.Is(err, xmpp.ErrStreamClosed) {
		p.t.Errorf("got %v, want the end of the stream", err)
	}
}

// barrier pings the server and wants the answer to come next.
func (p *peer) barrier() {
	p.t.Helper()
	p.write("<iq type='get' id='b' from='sip.example' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.want("<iq from='chat.example' to='sip.example' id='b' type='result'/>")
}

func TestHandshake(t *testing.T) {
	s := Start(t, Config{})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	p.handshake("sip.example", "secret")
	if e := p.next(); text(e) != "<handshake/>" {
		t.Error(e)
	}
	s.AwaitComponent(t)
	if !s.Connected() || s.Connections() != 1 {
		t.Error("not connected")
	}
	p.barrier()

	second := connect(t, s)
	second.handshake("sip.example", "secret")
	second.ends("conflict")
	p.barrier()

	p.write("</stream:stream>")
	p.ends("")
	if err := s.WaitDisconnected(t.Context()); err != nil {
		t.Error(err)
	}
	up(t, s).barrier()
	if s.Connections() != 2 {
		t.Error(s.Connections())
	}
}

func TestHandshakeRefused(t *testing.T) {
	s := Start(t, Config{})
	wrong := connect(t, s)
	wrong.handshake("sip.example", "wrong")
	wrong.ends("not-authorized")
	unknown := connect(t, s)
	unknown.handshake("other.example", "secret")
	unknown.ends("host-unknown")

	for _, tt := range []struct{ header, condition string }{
		{"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='sip.example'>", "invalid-namespace"},
		{"<stream xmlns='jabber:component:accept' to='sip.example'>", "invalid-namespace"},
		{"<stream:stream to='sip.example'>", "not-well-formed"},
	} {
		p := connect(t, s)
		p.write(tt.header)
		if _, err := p.dec.Open(); err != nil {
			t.Fatal(err)
		}
		p.ends(tt.condition)
		if v := s.TakeViolations(); len(v) != 1 || !v[0].Closed {
			t.Errorf("violations %v", v)
		}
	}

	p := connect(t, s)
	p.write("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='sip.example'>")
	if _, err := p.dec.Open(); err != nil {
		t.Fatal(err)
	}
	p.write("<message/>")
	p.ends("not-authorized")
}

// fakeTB records what a helper does to a test.
type fakeTB struct {
	errors  []string
	cleanup []func()
}

func (f *fakeTB) Helper() {}
func (f *fakeTB) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}
func (f *fakeTB) Fatalf(format string, args ...any) { f.Errorf(format, args...) }
func (f *fakeTB) Cleanup(fn func())                 { f.cleanup = append(f.cleanup, fn) }

func TestStartReportsViolations(t *testing.T) {
	tb := new(fakeTB)
	s := Start(tb, Config{Timeout: time.Millisecond})
	p := up(t, s)
	p.write("<message from='sip.example' to='a@chat.example' type='x'/>")
	p.next()
	s.AwaitComponent(tb)
	if len(tb.errors) > 0 {
		t.Error(tb.errors)
	}
	go func() { // Close writes the end of the stream into the pipe
		_, _ = p.dec.Next()
	}()
	tb.cleanup[0]()
	if len(tb.errors) != 1 || !strings.Contains(tb.errors[0], "unknown message type") {
		t.Errorf("%q", tb.errors)
	}
	tb.errors = nil
	s.AwaitComponent(tb)
	u := s.User("a@chat.example")
	u.Expect(tb, Body("x"), Type("chat"))
	if len(tb.errors) != 2 || !strings.Contains(tb.errors[1], "did not get body x, type chat") {
		t.Errorf("%q", tb.errors)
	}
}

func TestSink(t *testing.T) {
	s := Start(t, Config{})
	u := s.User("mira@chat.example/desk")
	p := up(t, s)
	var seen []string
	s.OnStanza(func(e *xmpp.Element) {
		seen = append(seen, e.Attribute("id"))
		if err := s.Inject([]byte("<message from='mira@chat.example/desk' to='" + e.Attribute("from") + "'><body>pong</body></message>")); err != nil {
			t.Error(err)
		}
	})
	p.write("<message id='1' from='otto@sip.example' to='mira@chat.example'/>")
	p.want("<message from='mira@chat.example/desk' to='otto@sip.example'><body>pong</body></message>")
	p.barrier()
	s.MutePings(true)
	p.write("<iq type='get' id='b' from='sip.example' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq><message id='2' from='otto@sip.example' to='mira@chat.example'/>")
	p.want("<message from='mira@chat.example/desk' to='otto@sip.example'><body>pong</body></message>")
	s.MutePings(false)
	p.barrier()
	p.write("<iq type='get' id='s' from='sip.example' to='sip.example'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.want("<iq type='get' id='s' from='sip.example' to='sip.example'><ping xmlns='urn:xmpp:ping'/></iq>")
	s.OnStanza(nil)
	p.write("<message id='3' from='otto@sip.example' to='mira@chat.example'/>")
	u.ExpectMessage(t, ID("3"))
	if len(seen) != 2 || seen[0] != "1" || seen[1] != "2" {
		t.Error(seen)
	}
}

func TestClosedServer(t *testing.T) {
	s := NewServer(Config{})
	if s.Addr() != "" {
		t.Error(s.Addr())
	}
	s.Close()
	if _, err := s.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Error(err)
	}
	if err := s.Listen("127.0.0.1:http-nonsense"); err == nil {
		t.Error("listens on nonsense")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.WaitConnected(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// BenchmarkSink is the rate of a load generator: stanzas through a loopback
// socket, each checked, parsed and answered with a raw stanza.
func BenchmarkSink(b *testing.B) {
	s := NewServer(Config{})
	defer s.Close()
	if err := s.Listen("127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		b.Fatal(err)
	}
	p := newPeer(b, conn)
	p.handshake(s.Domain(), s.Secret())
	p.next()
	stanza := []byte("<message from='otto@sip.example' to='mira@chat.example' id='m-1' type='chat'><body>Which berth tonight?</body><thread>t-9f2</thread><request xmlns='urn:xmpp:receipts'/></message>")
	answer := []byte("<message to='otto@sip.example' from='mira@chat.example' id='m-1' type='chat'><received id='m-1' xmlns='urn:xmpp:receipts'/></message>")
	var n atomic.Int64
	done := make(chan struct{})
	s.OnStanza(func(*xmpp.Element) {
		_ = s.Inject(answer)
		if n.Add(1) == int64(b.N) {
			close(done)
		}
	})
	go func() { // the component reads and drops
		buf := make([]byte, 64<<10)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	batch := bytes.Repeat(stanza, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= 100 {
		if _, err := conn.Write(batch[:min(left, 100)*len(stanza)]); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stanzas/s")
}

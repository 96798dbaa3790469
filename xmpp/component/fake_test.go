package component

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testDomain = "sip.harbor.example"
	testSecret = "s3kr1t"
)

var (
	mira = xmpp.MustJID("mira@chat.harbor.example/desk")
	otto = xmpp.MustJID("otto@sip.harbor.example")
)

// peer is the server's side of one connection: it says and expects what the test tells it to.
type peer struct {
	t    testing.TB
	conn net.Conn
	dec  *xmpp.Decoder
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	return &peer{t: t, conn: conn, dec: xmpp.NewDecoder(conn, xmpp.Limits{})}
}

func (p *peer) send(s string) {
	p.t.Helper()
	_, err := io.WriteString(p.conn, s)
	require.NoError(p.t, err)
}

// header answers the stream header.
func (p *peer) header(id string) {
	p.t.Helper()
	h, err := p.dec.Open()
	require.NoError(p.t, err)
	require.Equal(p.t, testDomain, h.Attribute("to"))
	p.send("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='" +
		testDomain + "' id='" + id + "'>")
}

// accept goes through the whole handshake.
func (p *peer) accept() *peer {
	p.t.Helper()
	p.header("c9f2-77")
	e := p.next()
	require.True(p.t, e.Is(xmpp.NSComponentAccept, "handshake"), e)
	require.Equal(p.t, "b92c08ad28eee93610df99f2bfe1ecfcf5201903", e.Text()) // spec/transport.md §1.1
	p.send("<handshake/>")
	return p
}

func (p *peer) next() *xmpp.Element {
	p.t.Helper()
	e, err := p.dec.Next()
	require.NoError(p.t, err)
	return e
}

func (p *peer) stanza() xmpp.Stanza {
	p.t.Helper()
	s, err := xmpp.ParseStanza(p.next())
	require.NoError(p.t, err)
	return s
}

func (p *peer) expect(stanza string) {
	p.t.Helper()
	assert.Equal(p.t, stanza, string(p.stanza().Append(nil)))
}

// ended waits for the end of the stream and returns how it ended.
func (p *peer) ended() error {
	for {
		e, err := p.dec.Next()
		if err != nil {
			return err
		}
		if e.Is(xmpp.NSStream, "error") {
			return parseStreamError(e)
		}
	}
}

func (p *peer) close() { _ = p.conn.Close() }

// recorder is a Handler that writes down what it is told, one line each.
type recorder struct {
	mu     sync.Mutex
	lines  []string
	handle func(s xmpp.Stanza) // may be nil
	up     func()              // may be nil
}

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) HandleStanza(s xmpp.Stanza) {
	r.add("%s", s.Append(nil))
	if r.handle != nil {
		r.handle(s)
	}
}

func (r *recorder) LinkChanged(up bool, err error) {
	if up {
		r.add("up")
		if r.up != nil {
			r.up()
		}
		return
	}
	r.add("down: %v", err)
}

// take returns the lines since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// rig is a component that runs in a synctest bubble against peers on net.Pipe.
type rig struct {
	*recorder
	t      *testing.T
	c      *Component
	dials  chan *peer  // what the component dials comes out here
	refuse atomic.Bool // connection refused
	stop   context.CancelFunc
	result chan error
}

// bubble runs f with a component that has been started.
func bubble(t *testing.T, change func(*Config), f func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{recorder: &recorder{}, t: t, dials: make(chan *peer), result: make(chan error, 1)}
		cfg := Config{Domain: testDomain, Secret: testSecret, Dial: func(ctx context.Context) (net.Conn, error) {
			if r.refuse.Load() {
				return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
			}
			ours, theirs := net.Pipe()
			select {
			case r.dials <- newPeer(t, theirs):
				return ours, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		if change != nil {
			change(&cfg)
		}
		var err error
		r.c, err = New(cfg, r)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		r.stop = cancel
		go func() { r.result <- r.c.Run(ctx) }()
		f(r)
		cancel()
		synctest.Wait()
		assert.False(t, r.c.Up())
	})
}

// connect accepts the next connection and waits until the component is up.
func (r *rig) connect() *peer {
	r.t.Helper()
	p := (<-r.dials).accept()
	synctest.Wait()
	require.True(r.t, r.c.Up())
	require.Equal(r.t, []string{"up"}, r.take())
	return p
}

// finish stops the component and checks that it says goodbye.
func (r *rig) finish(p *peer) {
	r.t.Helper()
	r.stop()
	assert.Equal(r.t, xmpp.ErrStreamClosed, p.ended())
	p.send("</stream:stream>")
	assert.NoError(r.t, <-r.result)
	assert.Equal(r.t, []string{"down: <nil>"}, r.take())
	p.close()
}

// lost waits until the link is reported lost.
func (r *rig) lost() string {
	r.t.Helper()
	synctest.Wait()
	lines := r.take()
	require.Len(r.t, lines, 1)
	require.True(r.t, strings.HasPrefix(lines[0], "down: "), lines[0])
	return strings.TrimPrefix(lines[0], "down: ")
}

func message(id string) *xmpp.Message {
	return &xmpp.Message{From: otto, To: mira, ID: id, Type: xmpp.MessageChat, Bodies: []xmpp.LangText{{Text: "ahoy"}}}
}

// results collects what the written callbacks are told.
type results struct {
	mu   sync.Mutex
	list []string
}

func (r *results) of(id string) func(error) {
	return func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, fmt.Sprintf("%s %v", id, err))
	}
}

func (r *results) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

const second = time.Second

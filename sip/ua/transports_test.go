package ua

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func TestTLSServer(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, []string{"gw.example"})
	peers := make(chan *Inbound, 4)
	u := startUA(t, func(c *Config) {
		c.Listen = []Listen{{Transport: "tls", Host: "127.0.0.1"}, {Transport: "udp", Host: "127.0.0.1"}}
		c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.pool, ClientCAs: ca.pool}
		c.Limits.Partial = time.Second
		c.Auth = trustCertificates{}
	}, handle(sip.MESSAGE, func(in *Inbound) {
		peers <- in
		_ = in.Respond(sip.Status{Code: 200, Reason: in.Auth.Kind.String()})
	}))
	connect := func(c *tls.Config) *tcpPeer {
		c.RootCAs, c.ServerName = ca.pool, "gw.example"
		conn, err := tls.Dial("tcp", u.Addr("tls").String(), c)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return &tcpPeer{t: t, c: conn}
	}
	p := connect(&tls.Config{})
	p.send(raw("MESSAGE", "z9hG4bK1", "l1", "SIP/2.0/TLS c.invalid"))
	require.Equal(t, "none", p.response().Reason)
	in := <-peers
	require.Equal(t, "tls", in.Transport)
	require.NotNil(t, in.TLS)

	// Requests go back over the flow, although nobody vouches for the peer...
	c := do(t.Context(), u, message(t, sip.URI{Scheme: "sip", Host: "192.0.2.9"}, 10), Target{Flow: in.Flow})
	req := p.receive().(*sip.Request)
	require.Equal(t, "TLS", req.Via().Transport)
	require.Equal(t, int(u.Addr("tls").Port()), req.Via().Port)
	p.send(wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "x")))
	requireStatus(t, c, 200)
	// ... but an address does not lead to it.
	require.Nil(t, u.streams.byKey(streamKey{"tls", in.Source, ""}))

	q := connect(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, []string{"sbc.example"})}})
	q.send(raw("MESSAGE", "z9hG4bK2", "l2", "SIP/2.0/TLS c.invalid"))
	require.Equal(t, "trusted", q.response().Reason)

	// A client that does not begin its handshake is cut off.
	slow := dialPeer(t, u.Addr("tls"))
	require.Nil(t, slow.receive())
	// TLS 1.1 is refused.
	_, err := tls.Dial("tcp", u.Addr("tls").String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	require.Error(t, err)
}

// trustCertificates trusts whoever has a certificate of our authority.
type trustCertificates struct{ users }

func (trustCertificates) Trusted(_ addr, _ string, st *tls.ConnectionState) bool {
	return st != nil && len(st.VerifiedChains) > 0
}

func TestWebSocketServer(t *testing.T) {
	for _, transport := range []string{"ws", "wss"} {
		t.Run(transport, func(t *testing.T) { testWebSocket(t, transport) })
	}
}

func testWebSocket(t *testing.T, transport string) {
	ca := newAuthority(t)
	cert := ca.issue(t, []string{"gw.example"})
	flows := make(chan Flow, 8)
	u := startUA(t, func(c *Config) {
		c.Listen = []Listen{{Transport: transport, Host: "127.0.0.1"}}
		c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		c.Limits.Partial = time.Second
		c.Limits.Idle = 2 * time.Second
	}, handle(sip.MESSAGE, func(in *Inbound) {
		flows <- in.Flow
		_ = in.Respond(sip.Status{Code: 200})
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dial := func(protocols ...string) (*wsClient, error) {
		d := ws.Dialer{
			Protocols: protocols, TLSConfig: &tls.Config{RootCAs: ca.pool, ServerName: "gw.example"},
			Header: ws.HandshakeHeaderHTTP{"Origin": {"https://phone.example"}},
		}
		c, _, _, err := d.Dial(ctx, transport+"://"+u.Addr(transport).String())
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = c.Close() })
		return &wsClient{t, c}, nil
	}
	c, err := dial("xmpp", "sip")
	require.NoError(t, err)
	upper := strings.ToUpper(transport)
	// A browser's Via names a host that does not exist, and no length is needed.
	c.send(ws.OpText, raw("MESSAGE", "z9hG4bK1", "w1", "SIP/2.0/"+upper+" df7jal23ls0d.invalid", "no length"))
	require.Equal(t, 200, c.message().(*sip.Response).StatusCode)
	f := <-flows
	require.Equal(t, transport, f.Transport)
	// A keep-alive of SIP, one of WebSocket, and a binary message in three frames
	// with a ping between them.
	c.send(ws.OpText, []byte("\r\n\r\n"))
	op, pong := c.receive()
	require.Equal(t, ws.OpText, op)
	require.Equal(t, "\r\n", string(pong))
	c.send(ws.OpPing, []byte("alive?"))
	op, pong = c.receive()
	require.Equal(t, ws.OpPong, op)
	require.Equal(t, "alive?", string(pong))
	whole := raw("MESSAGE", "z9hG4bK2", "w2", "SIP/2.0/"+upper+" x.invalid", "body hello")
	c.frame(ws.NewFrame(ws.OpBinary, false, whole[:50]))
	c.send(ws.OpPing, nil)
	c.frame(ws.NewFrame(ws.OpContinuation, false, whole[50:60]))
	c.frame(ws.NewFrame(ws.OpContinuation, true, whole[60:]))
	op, _ = c.receive()
	require.Equal(t, ws.OpPong, op)
	require.Equal(t, 200, c.message().(*sip.Response).StatusCode)
	long := raw("MESSAGE", "z9hG4bK3", "w3", "SIP/2.0/"+upper+" x.invalid", "body "+strings.Repeat("x", 40000))
	c.send(ws.OpText, long)
	require.Equal(t, 200, c.message().(*sip.Response).StatusCode)

	out := message(t, sip.URI{Scheme: "sip", Host: "df7jal23ls0d.invalid"}, 10)
	require.NoError(t, sip.SetBody(out, "application/octet-stream", []byte{0xff, 0xfe}))
	sent := do(ctx, u, out, Target{Flow: f})
	op, b := c.receive()
	require.Equal(t, ws.OpBinary, op, "a body that is no UTF-8 may not go as text")
	msg, err := sip.ParseMessage(b)
	require.NoError(t, err)
	require.Equal(t, upper, msg.Via().Transport)
	c.send(ws.OpText, wireOf(t, sip.NewResponse(msg.(*sip.Request), sip.Status{Code: 202}, "x")))
	requireStatus(t, sent, 202)

	// Garbage ends the connection.
	c.send(ws.OpText, []byte("MESSAGE nonsense"))
	c.ends()
	require.Eventually(t, func() bool { return !u.Alive(f) }, patience, time.Millisecond)
	_, err = u.Do(ctx, message(t, sip.URI{Scheme: "sip", Host: "x.invalid"}, 10), Target{Flow: f})
	require.ErrorIs(t, err, ErrFlow)

	_, err = dial("xmpp")
	require.ErrorContains(t, err, "400")
	_, err = dial()
	require.ErrorContains(t, err, "400")

	// What ends it too: a message that is too large, an orderly close, silence.
	large, err := dial("sip")
	require.NoError(t, err)
	half := bytes.Repeat([]byte("x"), 40000)
	large.frame(ws.NewFrame(ws.OpText, false, half))
	large.frame(ws.NewFrame(ws.OpContinuation, false, half))
	large.ends()
	orderly, err := dial("sip")
	require.NoError(t, err)
	orderly.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	op, _ = orderly.receive()
	require.Equal(t, ws.OpClose, op)
	orderly.ends()
	idle, err := dial("sip")
	require.NoError(t, err)
	idle.ends()

	slow, err := net.Dial("tcp", u.Addr(transport).String())
	require.NoError(t, err)
	defer slow.Close()
	_, err = slow.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n"))
	require.NoError(t, err)
	(&wsClient{t, slow}).ends()
	require.NoError(t, ctx.Err())
	require.Eventually(t, func() bool { u.guard.mu.Lock(); defer u.guard.mu.Unlock(); return u.guard.conns == 0 }, patience, time.Millisecond)
}

// wsClient is the browser's end.
type wsClient struct {
	t *testing.T
	c net.Conn
}

func (w *wsClient) frame(f ws.Frame) {
	w.t.Helper()
	f.Payload = bytes.Clone(f.Payload)
	require.NoError(w.t, ws.WriteFrame(w.c, ws.MaskFrameInPlace(f)))
}

func (w *wsClient) send(op ws.OpCode, b []byte) {
	w.t.Helper()
	w.frame(ws.NewFrame(op, true, b))
}

func (w *wsClient) receive() (ws.OpCode, []byte) {
	w.t.Helper()
	require.NoError(w.t, w.c.SetReadDeadline(time.Now().Add(patience)))
	f, err := ws.ReadFrame(w.c)
	require.NoError(w.t, err)
	return f.Header.OpCode, f.Payload
}

func (w *wsClient) message() sip.Message {
	w.t.Helper()
	_, b := w.receive()
	msg, err := sip.ParseMessage(b)
	require.NoError(w.t, err)
	return msg
}

// ends waits until the server closes the connection.
func (w *wsClient) ends() {
	w.t.Helper()
	require.NoError(w.t, w.c.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, w.c)
	require.NotErrorIs(w.t, err, os.ErrDeadlineExceeded)
}

func TestStreamGivesUpOnPeerThatDoesNotRead(t *testing.T) {
	u := startUA(t, nil)
	a, b := net.Pipe()
	defer b.Close()
	giveUp := make(chan struct{})
	s, err := u.newStream(stuck{connWire{a}, giveUp}, "tcp", "", false, u.Addr("tcp"), u.Addr("tcp"), nil)
	require.NoError(t, err)
	first := make(chan error, 1)
	go func() { first <- s.send([]byte("x")) }()
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.writing && len(s.out) == 0 }, patience, time.Millisecond)
	for range maxUnsent / (256 << 10) {
		require.NoError(t, s.send(make([]byte, 256<<10)))
	}
	require.ErrorIs(t, s.send(make([]byte, 1)), ErrTransport)
	require.True(t, s.alive())
	close(giveUp)
	require.ErrorIs(t, <-first, ErrTransport)
	require.ErrorIs(t, s.send([]byte("x")), ErrTransport)
	require.False(t, s.alive())
}

// stuck is a connection whose writes fail late.
type stuck struct {
	connWire
	giveUp chan struct{}
}

func (s stuck) write([]byte) error {
	<-s.giveUp
	return os.ErrDeadlineExceeded
}

func TestContactAndAdvertise(t *testing.T) {
	u := startUA(t, func(c *Config) {
		c.Listen = []Listen{{Transport: "udp"}, {Transport: "tcp", Host: "localhost"}}
	})
	require.Equal(t, "sip:a%40b@127.0.0.1:"+port(u, "udp"), u.Contact("a@b", "udp", loopback).String())
	require.Equal(t, "sip:127.0.0.1:"+port(u, "tcp")+";transport=tcp", u.Contact("", "tcp", loopback).String())
	p := newUDPPeer(t)
	c := do(t.Context(), u, message(t, p.uri(), 1), Target{})
	req := p.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, "127.0.0.1", req.Via().Host, "the address towards the peer, not 0.0.0.0")

	v := startUA(t, func(c *Config) { c.Advertise = "gw.example" })
	require.Equal(t, "sip:gw.example:"+port(v, "udp"), v.Contact("", "udp", loopback).String())
	c = do(t.Context(), v, message(t, p.uri(), 1), Target{})
	req = p.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, "gw.example", req.Via().Host)
}

func TestSocketChoice(t *testing.T) {
	u := startUA(t, func(c *Config) {
		c.Listen = []Listen{{Transport: "udp", Host: "127.0.0.2"}, {Transport: "udp", Host: "127.0.0.1"}, {Transport: "udp", Host: "0.0.0.0"}}
	})
	p := newUDPPeer(t)
	c := do(t.Context(), u, message(t, p.uri(), 1), Target{})
	_, from := p.request()
	require.Equal(t, u.sockets[1].local, from)
	require.Same(t, u.sockets[2], u.socketFor(netip.MustParseAddr("198.51.100.1")))
	u.clients.closeAll(ErrClosed)
	<-c
	require.Nil(t, u.socketFor(loopback6))
}

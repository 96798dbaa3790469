package ua

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func TestRetransmissionIsAbsorbed(t *testing.T) {
	var calls atomic.Int32
	waiting := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) { calls.Add(1); waiting <- in }))
	p := newUDPPeer(t)
	req := raw("MESSAGE", "z9hG4bKa", "c1", viaUDP(p), "body hello")
	p.send(u.Addr("udp"), req)
	in := <-waiting
	p.send(u.Addr("udp"), req)
	p.send(u.Addr("udp"), req)
	// The handler has returned; the answer comes from here.
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	require.ErrorIs(t, in.Respond(sip.Status{Code: 500}), ErrAnswered)
	<-in.Done()
	_, first, _ := p.receive(patience)
	require.True(t, bytes.HasPrefix(first, []byte("SIP/2.0 200 OK\r\n")), "%s", first)
	require.Contains(t, string(first), fmt.Sprintf("rport=%d;branch=z9hG4bKa;received=127.0.0.1", p.addr().Port()))
	require.Contains(t, string(first), "Server: stoxgate/test\r\n")
	first = bytes.Clone(first)

	p.send(u.Addr("udp"), req)
	_, second, _ := p.receive(patience)
	require.Equal(t, string(first), string(second), "the lost response again")
	require.Equal(t, int32(1), calls.Load())
	require.Equal(t, 1, u.servers.answers.len())
}

func TestAnswerGoesToViaPortWithoutRport(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, answerWith(202)))
	sender, listener := newUDPPeer(t), newUDPPeer(t)
	sender.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKp", "c2", fmt.Sprintf("SIP/2.0/UDP host.invalid:%d;maddr=192.0.2.1", listener.addr().Port())))
	res := listener.response()
	require.Equal(t, 202, res.StatusCode)
	got, _ := res.Via().Params.Get("received")
	require.Equal(t, "127.0.0.1", got)
}

func TestDeadlineAnswers500(t *testing.T) {
	left := make(chan *Inbound, 1)
	u := startUA(t, func(c *Config) { c.Timers.Answer = 50 * time.Millisecond }, handle(sip.MESSAGE, func(in *Inbound) { left <- in }))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKd", "c3", viaUDP(p)))
	require.Equal(t, 500, p.response().StatusCode)
	in := <-left
	<-in.Done()
	require.ErrorIs(t, in.Respond(sip.Status{Code: 200}), ErrAnswered)
	require.Zero(t, u.pending.Load())
}

func TestHandlerPanicAnswers500(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, func(*Inbound) { panic("boom") }))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKx", "c4", viaUDP(p)))
	require.Equal(t, 500, p.response().StatusCode)
}

func TestRespondRefusesWhatCannotBeSent(t *testing.T) {
	got := make(chan error, 2)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) {
		res := sip.NewResponse(in.Request, sip.Status{Code: 200}, in.Tag())
		res.Reason = "OK\r\nX-Evil: 1"
		got <- in.RespondWith(res)
		got <- in.Respond(sip.Status{Code: 180})
		_ = in.Respond(sip.Status{Code: 200, Reason: "fine\r\nX-Evil: 1"})
	}))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKx", "c5", viaUDP(p)))
	require.ErrorIs(t, <-got, ErrRequest)
	require.ErrorIs(t, <-got, ErrRequest)
	res := p.response()
	require.Equal(t, "fine  X-Evil: 1", res.Reason)
	require.Empty(t, sip.Value(res, "X-Evil"))
}

func TestMergedRequest(t *testing.T) {
	waiting := make(chan *Inbound, 2)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) { waiting <- in }))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKone", "c6", viaUDP(p)))
	in := <-waiting
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKtwo", "c6", viaUDP(p)))
	require.Equal(t, 482, p.response().StatusCode)
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	require.Equal(t, 200, p.response().StatusCode)
}

func TestMethodsWithoutHandler(t *testing.T) {
	u := startUA(t, func(c *Config) {
		c.Accept = []string{"text/plain", "message/cpim"}
		c.Supported = []string{"path"}
		c.Options = func(uri sip.URI) int {
			if uri.User == "mira" {
				return 480
			}
			return 404
		}
	}, handle(sip.MESSAGE, answerWith(415)), handle(sip.INVITE, answerWith(486)))
	p := newUDPPeer(t)
	ask := func(method, branch string, extra ...string) *sip.Response {
		p.send(u.Addr("udp"), raw(method, branch, "c7"+method, viaUDP(p), extra...))
		return p.response()
	}
	res := ask("SUBSCRIBE", "z9hG4bK1")
	require.Equal(t, 405, res.StatusCode)
	require.Equal(t, "ACK, CANCEL, INVITE, MESSAGE, OPTIONS", sip.Value(res, "Allow"))
	res = ask("OPTIONS", "z9hG4bK2")
	require.Equal(t, 480, res.StatusCode)
	require.Equal(t, "text/plain, message/cpim", sip.Value(res, "Accept"))
	require.Equal(t, "path", sip.Value(res, "Supported"))
	require.NotEmpty(t, sip.Value(res, "Allow"))
	res = ask("MESSAGE", "z9hG4bK3")
	require.Equal(t, 415, res.StatusCode)
	require.Equal(t, "text/plain, message/cpim", sip.Value(res, "Accept"))
	require.Equal(t, 481, ask("CANCEL", "z9hG4bK4").StatusCode)
	res = ask("MESSAGE", "z9hG4bK5", "Require: 100rel, path")
	require.Equal(t, 420, res.StatusCode)
	require.Equal(t, "100rel", sip.Value(res, "Unsupported"))
	// An ACK that belongs to nothing gets nothing.
	u2 := startUA(t, nil, handle(sip.MESSAGE, answerWith(200)))
	p.send(u2.Addr("udp"), raw("ACK", "z9hG4bK6", "c8", viaUDP(p)))
	p.send(u2.Addr("udp"), raw("MESSAGE", "z9hG4bK7", "c9", viaUDP(p)))
	_, m := sip.CSeq(p.response())
	require.Equal(t, sip.MESSAGE, m)
}

func TestMalformedOverUDP(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, answerWith(200)))
	p := newUDPPeer(t)
	good := raw("MESSAGE", "z9hG4bKm", "c10", viaUDP(p), "body hi")
	replace := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	for name, tt := range map[string]struct {
		raw  []byte
		code int
	}{
		"two lengths":      {replace("Content-Length: 2", "Content-Length: 2\r\nl: 2"), 400},
		"length too big":   {replace("Content-Length: 2", "Content-Length: 3"), 400},
		"no from":          {replace("From: ", "X-From: "), 400},
		"broken from":      {replace("<sip:otto@voice.example>", "\"<sip:otto@voice.example>"), 400},
		"from tag missing": {replace(";tag=from1", ""), 400},
		"cseq method":      {replace("1 MESSAGE", "1 INFO"), 400},
		"cseq number":      {replace("1 MESSAGE", "4294967296 MESSAGE"), 400},
		"version":          {replace("example SIP/2.0", "example SIP/3.0"), 505},
		"brackets":         {replace("sip:mira@chat.example SIP", "<sip:mira@chat.example> SIP"), 400},
		"hops":             {replace("Max-Forwards: 70", "Max-Forwards: 0"), 483},
		"hops unreadable":  {replace("Max-Forwards: 70", "Max-Forwards: lots"), 400},
		"scheme":           {replace("sip:mira@chat.example SIP", "gopher:chat.example SIP"), 416},
	} {
		t.Run(name, func(t *testing.T) {
			p.send(u.Addr("udp"), tt.raw)
			require.Equal(t, tt.code, p.response().StatusCode)
		})
	}
	// What cannot be answered is dropped, and the socket lives on.
	for _, b := range []string{"", "\r\n\r\n", "\x00\x00\x00\x00", "hello", "MESSAGE sip:a@b SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", strings.Repeat("\xff", 60000)} {
		p.send(u.Addr("udp"), []byte(b))
	}
	p.send(u.Addr("udp"), good)
	require.Equal(t, 200, p.response().StatusCode)
}

func TestMalformedOverTCP(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Limits.Partial = 300 * time.Millisecond }, handle(sip.MESSAGE, answerWith(200)))
	const via = "SIP/2.0/TCP client.invalid"
	good := raw("MESSAGE", "z9hG4bKt", "c11", via, "body hi")
	replace := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	for name, tt := range map[string]struct {
		raw  []byte
		code int // 0: no answer
	}{
		"two lengths":   {replace("Content-Length: 2", "Content-Length: 2\r\nl: 200"), 400},
		"no length":     {raw("MESSAGE", "z9hG4bKt", "c12", via, "no length"), 400},
		"bad length":    {replace("Content-Length: 2", "Content-Length: -2"), 400},
		"too large":     {replace("Content-Length: 2", "Content-Length: 70000"), 513},
		"garbage":       {[]byte("\x16\x03\x01 not SIP at all\r\n\r\n"), 0},
		"endless head":  {[]byte("MESSAGE sip:a@b SIP/2.0\r\nX: " + strings.Repeat("a", 40000)), 0},
		"slow head":     {[]byte("MESSAGE sip:a@b SIP/2.0\r\nVia: x"), 0},
		"slow body":     {good[:len(good)-1], 0},
		"half a prompt": {[]byte("\r"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialPeer(t, u.Addr("tcp"))
			p.send(tt.raw)
			if tt.code != 0 {
				require.Equal(t, tt.code, p.response().StatusCode)
			}
			require.Nil(t, p.receive(), "the connection ends")
		})
	}
	// Pipelined and fragmented messages are all answered.
	p := dialPeer(t, u.Addr("tcp"))
	var all []byte
	for i := range 5 {
		all = append(all, bytes.Replace(good, []byte("z9hG4bKt"), fmt.Appendf(nil, "z9hG4bKt%d", i), 1)...)
		all = bytes.Replace(all, []byte("Call-ID: c11\r\n"), fmt.Appendf(nil, "Call-ID: c11-%d\r\n", i), 1)
		all = append(all, "\r\n"...)
	}
	for len(all) > 0 {
		n := min(len(all), 97)
		p.send(all[:n])
		all = all[n:]
	}
	for range 5 {
		require.Equal(t, 200, p.response().StatusCode)
	}
}

func TestKeepAlive(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, answerWith(200)))
	p := dialPeer(t, u.Addr("tcp"))
	p.send([]byte("\r\n\r\n"))
	buf := make([]byte, 16)
	require.NoError(t, p.c.SetReadDeadline(time.Now().Add(patience)))
	n, err := p.c.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "\r\n", string(buf[:n]))
	// Also in front of a message, and split.
	p.send([]byte("\r\n\r"))
	p.send([]byte("\n"))
	p.send(raw("MESSAGE", "z9hG4bKk", "c13", "SIP/2.0/TCP client.invalid"))
	require.Equal(t, 200, p.response().StatusCode)
}

func TestOverloadAnswers503(t *testing.T) {
	waiting := make(chan *Inbound, 1)
	u := startUA(t, func(c *Config) { c.Limits.Pending = 1 }, handle(sip.MESSAGE, func(in *Inbound) { waiting <- in }))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "c14", viaUDP(p)))
	in := <-waiting
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK2", "c15", viaUDP(p)))
	res := p.response()
	require.Equal(t, 503, res.StatusCode)
	require.NotEmpty(t, sip.Value(res, "Retry-After"))
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	require.Equal(t, 200, p.response().StatusCode)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK2", "c15", viaUDP(p)))
	(<-waiting).Respond(sip.Status{Code: 202})
	require.Equal(t, 202, p.response().StatusCode)
}

func TestShutdownDrains(t *testing.T) {
	waiting := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) { waiting <- in }))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "c16", viaUDP(p)))
	in := <-waiting
	ended := make(chan error, 1)
	go func() { ended <- u.Shutdown(context.Background()) }()
	require.Eventually(t, u.draining.Load, patience, time.Millisecond)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK2", "c17", viaUDP(p)))
	require.Equal(t, 503, p.response().StatusCode)
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	require.Equal(t, 200, p.response().StatusCode)
	require.NoError(t, <-ended)
	_, err := u.Do(context.Background(), message(t, p.uri(), 10), Target{})
	require.ErrorIs(t, err, ErrClosed)
}

func TestShutdownGivesUp(t *testing.T) {
	waiting := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) { waiting <- in }))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "c18", viaUDP(p)))
	in := <-waiting
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, u.Shutdown(ctx), context.DeadlineExceeded)
	<-in.Done()
	require.ErrorIs(t, in.Respond(sip.Status{Code: 200}), ErrAnswered)
}

func TestScannerIsBanned(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, answerWith(200)), func(u *UA) { u.guard.own = func(netip.Addr) bool { return false } })
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "c19", viaUDP(p)))
	require.Equal(t, 200, p.response().StatusCode)
	p.send(u.Addr("udp"), raw("OPTIONS", "z9hG4bK2", "c20", viaUDP(p), "User-Agent: friendly-scanner"))
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK3", "c21", viaUDP(p)))
	msg, _, _ := p.receive(100 * time.Millisecond)
	require.Nil(t, msg)
	c, err := net.Dial("tcp", u.Addr("tcp").String())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err = c.Read(make([]byte, 1))
	require.True(t, errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset"), "closed at once: %v", err)
}

func TestConnectionLimit(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Limits.SourceConns = 2; c.Limits.Idle = 150 * time.Millisecond }, handle(sip.MESSAGE, answerWith(200)),
		func(u *UA) { u.guard.own = func(netip.Addr) bool { return false } })
	a, b := dialPeer(t, u.Addr("tcp")), dialPeer(t, u.Addr("tcp"))
	a.send(raw("MESSAGE", "z9hG4bK1", "c22", "SIP/2.0/TCP client.invalid"))
	require.Equal(t, 200, a.response().StatusCode)
	c := dialPeer(t, u.Addr("tcp"))
	require.Nil(t, c.receive(), "one too many")
	require.Nil(t, b.receive(), "idle connections are closed")
	require.Nil(t, a.receive())
	require.Eventually(t, func() bool { return u.streams.count() == 0 }, patience, time.Millisecond)
	d := dialPeer(t, u.Addr("tcp"))
	d.send(raw("MESSAGE", "z9hG4bK2", "c23", "SIP/2.0/TCP client.invalid"))
	require.Equal(t, 200, d.response().StatusCode)
}

// A response whose connection is gone goes to where the peer listens.
func TestAnswerAfterConnectionLoss(t *testing.T) {
	waiting := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) { waiting <- in }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	p := dialPeer(t, u.Addr("tcp"))
	p.send(raw("MESSAGE", "z9hG4bK1", "c24", "SIP/2.0/TCP "+l.Addr().String()))
	in := <-waiting
	require.NoError(t, p.c.Close())
	require.Eventually(t, func() bool { return !u.Alive(in.Flow) }, patience, time.Millisecond)
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, 200, (&tcpPeer{t: t, c: c}).response().StatusCode)
}

func TestStartFailsAsAWhole(t *testing.T) {
	p := newUDPPeer(t)
	u, err := New(Config{Listen: []Listen{{Transport: "tcp", Host: "127.0.0.1"}, {Transport: "udp", Host: "127.0.0.1", Port: int(p.addr().Port())}}})
	require.NoError(t, err)
	require.ErrorIs(t, u.Start(t.Context()), ErrTransport)
	require.NoError(t, u.Shutdown(t.Context()))
}

func TestConfigErrors(t *testing.T) {
	udp := []Listen{{Transport: "udp"}}
	for name, c := range map[string]Config{
		"no listener": {},
		"transport":   {Listen: []Listen{{Transport: "sctp"}}},
		"port":        {Listen: []Listen{{Transport: "udp", Port: 70000}}},
		"certificate": {Listen: []Listen{{Transport: "tls"}}},
		"agent":       {Listen: udp, UserAgent: "a\r\nb"},
		"advertise":   {Listen: udp, Advertise: "a b"},
		"digest":      {Listen: udp, Digest: []string{"MD5-sess"}},
		"timers":      {Listen: udp, Timers: Timers{T1: time.Second, T2: time.Millisecond}},
	} {
		_, err := New(c)
		require.ErrorIs(t, err, ErrConfig, name)
	}
}

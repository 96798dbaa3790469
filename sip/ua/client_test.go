package ua

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

type result struct {
	res *sip.Response
	err error
}

// bySend makes do call Send; see TestSend.
var bySend bool

// do runs Do on a goroutine of its own.
func do(ctx context.Context, u *UA, req *sip.Request, target Target) <-chan result {
	c := make(chan result, 1)
	if bySend {
		u.Send(ctx, req, target, func(res *sip.Response, err error) { c <- result{res, err} })
		return c
	}
	go func() {
		res, err := u.Do(ctx, req, target)
		c <- result{res, err}
	}()
	return c
}

func requireStatus(t *testing.T, c <-chan result, code int) *sip.Response {
	t.Helper()
	r := <-c
	require.NoError(t, r.err)
	require.Equal(t, code, r.res.StatusCode)
	return r.res
}

func TestLostResponse(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	req := message(t, p.uri(), 10)
	c := do(t.Context(), u, req, Target{})
	first, _ := p.request()
	second, _ := p.request()
	third := p.answer(sip.Status{Code: 202})
	res := requireStatus(t, c, 202)
	require.Equal(t, sip.CallID(req), sip.CallID(res))
	for _, r := range []*sip.Request{second, third} {
		require.Equal(t, first.Via().Value(), r.Via().Value(), "the same transaction")
	}
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", u.Addr("udp").Port()), fmt.Sprintf("%s:%d", first.Via().Host, first.Via().Port))
	require.Equal(t, 70, sip.MaxForwards(first))
	require.Equal(t, "stoxgate/test", sip.Value(first, "User-Agent"))
	require.Nil(t, req.Via(), "the caller's request is not touched")
	// A retransmitted response finds nothing and disturbs nothing.
	p.send(u.Addr("udp"), wireOf(t, sip.NewResponse(third, sip.Status{Code: 500}, "peer")))
	require.Zero(t, u.clients.len())
}

func TestProvisionalSlowsRetransmission(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers.T2 = 300 * time.Millisecond })
	p := newUDPPeer(t)
	c := do(t.Context(), u, message(t, p.uri(), 10), Target{})
	req := p.answer(sip.Status{Code: 100})
	drained := time.Now().Add(100 * time.Millisecond)
	n := 0
	for time.Now().Before(drained) { // at T1 = 20 ms there would be three more
		if msg, _, _ := p.receive(time.Until(drained)); msg != nil {
			n++
		}
	}
	require.LessOrEqual(t, n, 1)
	p.send(u.Addr("udp"), wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "peer")))
	requireStatus(t, c, 200)
}

func TestSilentPeer(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers.T1 = 5 * time.Millisecond })
	p := newUDPPeer(t)
	start := time.Now()
	r := <-do(t.Context(), u, message(t, p.uri(), 10), Target{})
	require.ErrorIs(t, r.err, ErrTimeout)
	require.GreaterOrEqual(t, time.Since(start), 64*5*time.Millisecond)
	require.Zero(t, u.clients.len())
	p.request()
}

func TestForgedResponseIsIgnored(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	c := do(t.Context(), u, message(t, p.uri(), 10), Target{})
	req, from := p.request()
	good := wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "peer"))
	branch, _ := req.Via().Params.Get("branch")
	p.send(from, []byte(strings.Replace(string(good), branch, branch[:len(branch)-1], 1)))
	p.send(from, []byte(strings.Replace(string(good), "1 MESSAGE", "1 OPTIONS", 1)))
	p.send(from, []byte(strings.Replace(string(good), "SIP/2.0 200", "SIP/2.0 999", 1)))
	p.send(from, []byte(strings.Replace(string(good), "\r\nCall-ID:", "\r\nX:", 1)))
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 486}, "peer")))
	requireStatus(t, c, 486)
}

func TestContextEndsRequest(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r := <-do(ctx, u, message(t, p.uri(), 10), Target{})
	require.ErrorIs(t, r.err, ErrTimeout)
	require.ErrorIs(t, r.err, context.DeadlineExceeded)
	gone, abandon := context.WithCancelCause(t.Context())
	why := errors.New("no longer wanted")
	abandon(why)
	r = <-do(gone, u, message(t, p.uri(), 10), Target{})
	require.ErrorIs(t, r.err, why)
	require.NotErrorIs(t, r.err, ErrTimeout)
}

func TestDoRefuses(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	_, err := u.Do(t.Context(), sip.NewRequest(sip.INVITE, p.uri()), Target{})
	require.ErrorIs(t, err, ErrRequest)
	_, err = u.Do(t.Context(), sip.NewRequest(sip.MESSAGE, p.uri()), Target{})
	require.ErrorIs(t, err, ErrRequest, "no From")
	evil := message(t, p.uri(), 1)
	evil.From().DisplayName = "x\"\r\nX-Evil: 1"
	_, err = u.Do(t.Context(), evil, Target{})
	require.ErrorIs(t, err, ErrRequest)
	tel := message(t, sip.URI{Scheme: "tel", User: "+49301"}, 1)
	_, err = u.Do(t.Context(), tel, Target{})
	require.ErrorIs(t, err, ErrResolve)
	_, err = u.Do(t.Context(), message(t, sip.URI{Scheme: "sip", Host: "127.0.0.1", Params: sip.Params{{Name: "transport", Value: "ws"}}}, 1), Target{})
	require.ErrorIs(t, err, ErrResolve)
	_, err = u.Do(t.Context(), message(t, sip.URI{Scheme: "sip", Host: "[2001:db8::1]"}, 1), Target{})
	require.ErrorIs(t, err, ErrResolve, "no IPv6 socket")
	msg, _, _ := p.receive(20 * time.Millisecond)
	require.Nil(t, msg)
}

func TestRoutes(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	final := sip.URI{Scheme: "sip", User: "otto", Host: "voice.invalid"}
	loose := p.uri()
	loose.Params.Set("lr", "")
	c := do(t.Context(), u, message(t, final, 10), Target{Routes: []sip.NameAddr{{URI: loose}, {URI: sip.URI{Scheme: "sip", Host: "p2.invalid", Params: sip.Params{{Name: "lr"}}}}}})
	req := p.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, final.String(), sip.RequestURI(req).String())
	routes, err := sip.NameAddrs(req, "Route")
	require.NoError(t, err)
	require.Len(t, routes, 2)
	require.Equal(t, loose.String(), routes[0].URI.String())

	c = do(t.Context(), u, message(t, final, 10), Target{Routes: []sip.NameAddr{{URI: p.uri()}}})
	req = p.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, p.uri().String(), sip.RequestURI(req).String(), "a strict router")
	require.Equal(t, "<"+final.String()+">", sip.Value(req, "Route"))

	c = do(t.Context(), u, message(t, final, 10), Target{URI: p.uri()})
	req = p.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, final.String(), sip.RequestURI(req).String(), "the next hop alone changes nothing")
	require.Empty(t, sip.Values(req, "Route"))
}

// srv makes SRV records for two peers, the first preferred.
func srv(a, b *udpPeer) []string {
	return []string{
		fmt.Sprintf("_sip._udp.voice.example. 60 IN SRV 10 0 %d a.voice.example.", a.addr().Port()),
		fmt.Sprintf("_sip._udp.voice.example. 60 IN SRV 20 0 %d b.voice.example.", b.addr().Port()),
		"a.voice.example. 60 IN A 127.0.0.1", "b.voice.example. 60 IN A 127.0.0.1",
	}
}

func TestFailoverOn503(t *testing.T) {
	a, b := newUDPPeer(t), newUDPPeer(t)
	d := newDNSServer(t, srv(a, b)...)
	u := startUA(t, func(c *Config) { c.Resolver = d.resolver() })
	uri := sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}
	req := message(t, uri, 10)
	c := do(t.Context(), u, req, Target{})
	first := a.answer(sip.Status{Code: 503, RetryAfter: 60 * time.Second})
	second := b.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, sip.CallID(first), sip.CallID(second))
	require.Equal(t, first.CSeq().Value(), second.CSeq().Value())
	b1, _ := first.Via().Params.Get("branch")
	b2, _ := second.Via().Params.Get("branch")
	require.NotEqual(t, b1, b2)

	// The next request knows better.
	c = do(t.Context(), u, message(t, uri, 10), Target{})
	b.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	msg, _, _ := a.receive(20 * time.Millisecond)
	require.Nil(t, msg)

	// Nobody left: the 503 itself is the answer.
	c = do(t.Context(), u, message(t, uri, 10), Target{})
	b.answer(sip.Status{Code: 503})
	a.answer(sip.Status{Code: 503, Reason: "Really"})
	require.Equal(t, "Really", requireStatus(t, c, 503).Reason)
}

func TestOtherFailuresAreFinal(t *testing.T) {
	a, b := newUDPPeer(t), newUDPPeer(t)
	d := newDNSServer(t, srv(a, b)...)
	u := startUA(t, func(c *Config) { c.Resolver = d.resolver() })
	for _, code := range []int{302, 404, 408, 480, 500, 603} {
		c := do(t.Context(), u, message(t, sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, 10), Target{})
		a.answer(sip.Status{Code: code})
		requireStatus(t, c, code)
	}
}

func TestFailoverOnSilence(t *testing.T) {
	a, b := newUDPPeer(t), newUDPPeer(t)
	d := newDNSServer(t, srv(a, b)...)
	u := startUA(t, func(c *Config) { c.Resolver = d.resolver() })
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	c := do(ctx, u, message(t, sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, 10), Target{})
	b.answer(sip.Status{Code: 200}) // after half of the caller's time
	requireStatus(t, c, 200)
	first, _ := a.request()
	require.Equal(t, sip.MESSAGE, first.Method)
}

func TestFailoverOnRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	seen := make(chan *sip.Request, 1)
	open := tcpServer(t, nil, okTo(t, 200, seen))
	d := newDNSServer(t,
		fmt.Sprintf("_sip._tcp.voice.example. 60 IN SRV 10 0 %d a.voice.example.", closed),
		fmt.Sprintf("_sip._tcp.voice.example. 60 IN SRV 20 0 %d a.voice.example.", open.Port()),
		"a.voice.example. 60 IN A 127.0.0.1")
	u := startUA(t, func(c *Config) { c.Resolver = d.resolver() })
	c := do(t.Context(), u, message(t, sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, 10), Target{})
	requireStatus(t, c, 200)
	via := (<-seen).Via()
	require.Equal(t, "TCP", via.Transport)
	require.Equal(t, int(u.Addr("tcp").Port()), via.Port, "where we listen, not the port of the connection")
}

func TestLongRequestGoesByTCP(t *testing.T) {
	p := newUDPPeer(t)
	l, err := net.Listen("tcp", p.addr().String())
	require.NoError(t, err)
	seen := make(chan *sip.Request, 4)
	tcpServer(t, l, okTo(t, 202, seen))
	u := startUA(t, nil)
	uri := p.uri()
	uri.Params.Set("transport", "udp")
	size := func(body int) int { // of the whole request
		o := &outgoing{u: u, req: message(t, uri, body)}
		require.NoError(t, o.route())
		_, b, err := o.build(path{sock: u.sockets[0], remote: p.addr()})
		require.NoError(t, err)
		return len(b)
	}
	body := tcpAbove - size(0) - len("900") + len("0") // the Content-Length grows too
	require.Equal(t, tcpAbove, size(body))

	c := do(t.Context(), u, message(t, uri, body), Target{})
	req := p.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	require.Equal(t, "UDP", req.Via().Transport)

	c = do(t.Context(), u, message(t, uri, body+1), Target{})
	requireStatus(t, c, 202)
	require.Equal(t, "TCP", (<-seen).Via().Transport)
}

func TestLongRequestFallsBackToUDP(t *testing.T) {
	p := newUDPPeer(t) // nobody listens on TCP of that port
	u := startUA(t, nil)
	for range 2 { // the second time TCP is not even tried
		c := do(t.Context(), u, message(t, p.uri(), 4000), Target{})
		req := p.answer(sip.Status{Code: 200})
		requireStatus(t, c, 200)
		require.Equal(t, "UDP", req.Via().Transport)
		require.Len(t, req.Body(), 4000)
	}
	require.True(t, u.resolver.Blocked(Dest{Transport: "tcp", Addr: p.addr()}))
	_, err := u.Do(t.Context(), message(t, p.uri(), 65500), Target{})
	require.ErrorIs(t, err, ErrTransport)
}

func TestConnectionIsShared(t *testing.T) {
	seen := make(chan *sip.Request, 64)
	addr := tcpServer(t, nil, okTo(t, 200, seen))
	u := startUA(t, nil)
	uri := sip.URI{Scheme: "sip", Host: "127.0.0.1", Port: int(addr.Port()), Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	var all []<-chan result
	for range 32 {
		all = append(all, do(t.Context(), u, message(t, uri, 100), Target{}))
	}
	for _, c := range all {
		requireStatus(t, c, 200)
	}
	require.Equal(t, 1, u.streams.count())
}

func TestStaleConnectionIsReplaced(t *testing.T) {
	var n atomic.Int32
	addr := tcpServer(t, nil, func(req *sip.Request) []byte {
		if n.Add(1) == 2 {
			return nil // closes the connection instead of answering
		}
		return okTo(t, 200, nil)(req)
	})
	u := startUA(t, nil)
	uri := sip.URI{Scheme: "sip", Host: "127.0.0.1", Port: int(addr.Port()), Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	for range 2 {
		requireStatus(t, do(t.Context(), u, message(t, uri, 100), Target{}), 200)
	}
	require.Equal(t, int32(3), n.Load())
}

func TestConnectionLostWhileWaiting(t *testing.T) {
	addr := tcpServer(t, nil, func(*sip.Request) []byte { return nil })
	u := startUA(t, nil)
	uri := sip.URI{Scheme: "sip", Host: "127.0.0.1", Port: int(addr.Port()), Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	r := <-do(t.Context(), u, message(t, uri, 100), Target{})
	require.ErrorIs(t, r.err, ErrTransport)
}

// A phone behind a NAT is reached over the connection that it made.
func TestFlow(t *testing.T) {
	flows := make(chan Flow, 1)
	u := startUA(t, nil, handle(sip.REGISTER, func(in *Inbound) {
		flows <- in.Flow
		_ = in.Respond(sip.Status{Code: 200})
	}))
	contact := sip.URI{Scheme: "sip", User: "otto", Host: "192.0.2.77"}

	p := dialPeer(t, u.Addr("tcp"))
	p.send(raw("REGISTER", "z9hG4bKr", "r1", "SIP/2.0/TCP client.invalid"))
	require.Equal(t, 200, p.response().StatusCode)
	f, err := ParseFlow((<-flows).String())
	require.NoError(t, err)
	require.True(t, u.Alive(f))
	c := do(t.Context(), u, message(t, contact, 3000), Target{Flow: f})
	req := p.receive().(*sip.Request)
	p.send(wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "x")))
	requireStatus(t, c, 200)
	require.NoError(t, p.c.Close())
	require.Eventually(t, func() bool { return !u.Alive(f) }, patience, time.Millisecond)
	_, err = u.Do(t.Context(), message(t, contact, 10), Target{Flow: f})
	require.ErrorIs(t, err, ErrFlow)
	require.ErrorIs(t, err, ErrTransport)

	q := newUDPPeer(t)
	q.send(u.Addr("udp"), raw("REGISTER", "z9hG4bKq", "r2", viaUDP(q)))
	require.Equal(t, 200, q.response().StatusCode)
	f, err = ParseFlow((<-flows).String())
	require.NoError(t, err)
	c = do(t.Context(), u, message(t, contact, 3000), Target{Flow: f})
	q.answer(sip.Status{Code: 200})
	requireStatus(t, c, 200)
	f.Local = netip.AddrPortFrom(f.Local.Addr(), 1)
	require.False(t, u.Alive(f))
}

func TestParseFlow(t *testing.T) {
	f, err := ParseFlow("")
	require.NoError(t, err)
	require.True(t, f.IsZero())
	require.Empty(t, f.String())
	for _, s := range []string{"x", "udp,a,b,c", "udp,1.2.3.4:5,6,0", "udp,1.2.3.4:5,1.2.3.4:6,zz", ",1.2.3.4:5,1.2.3.4:6,0"} {
		_, err := ParseFlow(s)
		require.Error(t, err, s)
	}
}

func TestTLSPeerIsVerified(t *testing.T) {
	ca := newAuthority(t)
	start := func(names []string, uris ...string) netip.AddrPort {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, names, uris...)}})
		require.NoError(t, err)
		return tcpServer(t, l, okTo(t, 200, nil))
	}
	voice := start([]string{"voice.example"})
	uriOnly := start([]string{"sbc.host.example"}, "sip:voice.example")
	otherURI := start([]string{"voice.example"}, "sip:other.example")
	d := newDNSServer(t,
		fmt.Sprintf("_sips._tcp.voice.example. 60 IN SRV 10 0 %d sbc.host.example.", voice.Port()),
		fmt.Sprintf("_sips._tcp.other.example. 60 IN SRV 10 0 %d sbc.host.example.", voice.Port()),
		"sbc.host.example. 60 IN A 127.0.0.1", "voice.example. 60 IN A 127.0.0.1")
	u := startUA(t, func(c *Config) {
		c.Resolver = d.resolver()
		c.TLS = &tls.Config{RootCAs: ca.pool}
	})
	uri := func(host string, port int) sip.URI {
		return sip.URI{Scheme: "sip", User: "otto", Host: host, Port: port, Params: sip.Params{{Name: "transport", Value: "tls"}}}
	}
	requireStatus(t, do(t.Context(), u, message(t, uri("voice.example", 0), 10), Target{}), 200)
	require.Equal(t, 1, u.streams.count())

	// The same address under another domain: the open connection must not serve.
	r := <-do(t.Context(), u, message(t, uri("other.example", 0), 10), Target{})
	require.ErrorIs(t, r.err, ErrTransport)
	require.ErrorContains(t, r.err, "certificate")

	requireStatus(t, do(t.Context(), u, message(t, uri("voice.example", int(uriOnly.Port())), 10), Target{}), 200)
	r = <-do(t.Context(), u, message(t, uri("voice.example", int(otherURI.Port())), 10), Target{})
	require.ErrorIs(t, r.err, ErrTransport, "it names another SIP domain")

	r = <-do(t.Context(), u, message(t, uri("127.0.0.1", int(voice.Port())), 10), Target{})
	require.ErrorIs(t, r.err, ErrTransport)
	requireStatus(t, do(t.Context(), u, message(t, uri("127.0.0.1", int(voice.Port())), 10), Target{TLSName: "voice.example"}), 200)

	// A stranger's authority.
	stranger := startUA(t, func(c *Config) {
		c.Resolver = d.resolver()
		c.TLS = &tls.Config{RootCAs: newAuthority(t).pool}
	})
	r = <-do(t.Context(), stranger, message(t, uri("voice.example", 0), 10), Target{})
	require.ErrorIs(t, r.err, ErrTransport)

	sips := sip.URI{Scheme: "sips", User: "otto", Host: "voice.example"}
	requireStatus(t, do(t.Context(), u, message(t, sips, 10), Target{}), 200)
	require.Equal(t, 2, d.asked("_sips._tcp.voice.example.", dns.TypeSRV), "once per resolver")
}

func TestTap(t *testing.T) {
	type seen struct {
		out       bool
		transport string
		first     string
	}
	taps := make(chan seen, 16)
	u := startUA(t, func(c *Config) {
		c.Tap = func(out bool, _ time.Time, transport, _, _ string, raw []byte) {
			line, _, _ := strings.Cut(string(raw), "\r\n")
			taps <- seen{out, transport, line}
		}
	}, handle(sip.MESSAGE, answerWith(200)))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "t1", viaUDP(p)))
	p.response()
	require.Equal(t, seen{false, "udp", "MESSAGE sip:mira@chat.example SIP/2.0"}, <-taps)
	require.Equal(t, seen{true, "udp", "SIP/2.0 200 OK"}, <-taps)
	q := dialPeer(t, u.Addr("tcp"))
	q.send([]byte("\r\n\r\n"))
	q.send(raw("MESSAGE", "z9hG4bK2", "t2", "SIP/2.0/TCP c.invalid"))
	q.response()
	require.Equal(t, seen{false, "tcp", "MESSAGE sip:mira@chat.example SIP/2.0"}, <-taps)
	require.Equal(t, seen{true, "tcp", "SIP/2.0 200 OK"}, <-taps)
}

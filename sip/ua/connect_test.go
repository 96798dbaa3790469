package ua

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// A connection that does not come about is not waited for while there is another address.
func TestSlowConnectionIsNotWaitedFor(t *testing.T) {
	ca := newAuthority(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts: no TLS handshake
	require.NoError(t, err)
	defer silent.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, []string{"voice.example"})}})
	require.NoError(t, err)
	open := tcpServer(t, l, okTo(t, 486, nil))
	d := newDNSServer(t,
		fmt.Sprintf("_sips._tcp.voice.example. 60 IN SRV 10 0 %d a.voice.example.", silent.Addr().(*net.TCPAddr).Port),
		fmt.Sprintf("_sips._tcp.voice.example. 60 IN SRV 20 0 %d a.voice.example.", open.Port()),
		"a.voice.example. 60 IN A 127.0.0.1")
	uri := sip.URI{Scheme: "sip", User: "otto", Host: "voice.example", Params: sip.Params{{Name: "transport", Value: "tls"}}}
	for _, m := range []string{"MESSAGE", "INVITE"} {
		t.Run(m, func(t *testing.T) {
			u := startUA(t, func(c *Config) {
				c.Resolver, c.TLS = d.resolver(), &tls.Config{RootCAs: ca.pool}
			})
			if m == "INVITE" {
				require.Equal(t, 486, startInvite(t, u, inviteTo(t, uri), Target{}).next(t).StatusCode)
			} else {
				requireStatus(t, do(t.Context(), u, message(t, uri, 10), Target{}), 486)
			}
			u.streams.mu.Lock()
			defer u.streams.mu.Unlock()
			require.Len(t, u.streams.dialing, 1, "the first attempt is under way still")
		})
	}
}

// A server that closes its connection behind a challenge gets the answer over a new one.
func TestChallengeAndConnectionLoss(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	u := startUA(t, nil)
	at := l.Addr().(*net.TCPAddr)
	uri := sip.URI{Scheme: "sip", User: "otto", Host: "127.0.0.1", Port: at.Port, Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	o := startInvite(t, u, inviteTo(t, uri), Target{Credentials: &Credentials{Username: "mira", Password: "x"}})
	accept := func() (*tcpPeer, *sip.Request) {
		require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
		c, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		p := &tcpPeer{t: t, c: c}
		return p, p.receive().(*sip.Request)
	}
	_, req := accept()
	u.streams.open(Dest{Transport: "tcp", Addr: at.AddrPort()}).close(ErrTransport)
	u.invites.response(sip.NewResponse(req, sip.Status{Code: 401, Headers: []sip.Header{sip.MustHeader("WWW-Authenticate", `Digest realm="a", nonce="b"`)}}, "a"))
	p, req := accept()
	require.NotEmpty(t, sip.Value(req, "Authorization"))
	p.send(wireOf(t, sip.NewResponse(req, sip.Status{Code: 486}, "b")))
	require.Equal(t, 486, o.next(t).StatusCode)
}

package ua

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// kept is how many datagrams a socket keeps back.
func kept(s *socket) int {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	return len(s.held.list)
}

func TestHeldRequestsGoOutTogether(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers = Timers{} }) // nothing is sent again meanwhile
	if u.sockets[0].batch == nil {
		t.Skip("no system call for several datagrams")
	}
	p := newUDPPeer(t)
	u.Hold()
	u.Hold() // another goroutine
	var sent []chan outcome
	for i := range maxBatch + 2 {
		over := make(chan outcome, 1)
		u.Send(t.Context(), message(t, p.uri(), i+1), Target{}, func(res *sip.Response, err error) { over <- outcome{res, err} })
		sent = append(sent, over)
	}
	// No more than a batch is kept back.
	require.Equal(t, 2, kept(u.sockets[0]))
	for range maxBatch {
		p.answer(sip.Status{Code: 200})
	}
	u.Release()
	require.Equal(t, 2, kept(u.sockets[0]), "the other one holds still")
	u.Release()
	require.Zero(t, kept(u.sockets[0]))
	for range 2 {
		p.answer(sip.Status{Code: 200})
	}
	for _, over := range sent {
		end := <-over
		require.NoError(t, end.err)
		require.Equal(t, 200, end.res.StatusCode)
	}
}

func TestOneOfABatchCannotBeSent(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			ip := netip.MustParseAddr(host)
			peer, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
			if err != nil {
				t.Skip(err)
			}
			defer peer.Close()
			u := startUA(t, func(c *Config) { c.Listen = []Listen{{Transport: "udp", Host: host}} })
			s := u.sockets[0]
			if s.batch == nil {
				t.Skip("no system call for several datagrams")
			}
			failed := make(chan error, 4)
			to := netip.AddrPortFrom(ip, peer.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			u.Hold()
			for _, d := range []struct {
				text string
				to   netip.AddrPort
			}{{"one", to}, {"two", netip.AddrPortFrom(ip, 0)}, {"three", to}} {
				s.post([]byte(d.text), d.to, func(err error) { failed <- err })
			}
			u.Release()
			require.ErrorIs(t, <-failed, ErrTransport)
			require.NoError(t, peer.SetReadDeadline(time.Now().Add(patience)))
			buf := make([]byte, 10)
			for _, want := range []string{"one", "three"} {
				n, err := peer.Read(buf)
				require.NoError(t, err)
				require.Equal(t, want, string(buf[:n]))
			}
			require.Empty(t, failed)

			// A single one that nobody keeps back fails at once.
			s.post([]byte("four"), netip.AddrPortFrom(ip, 0), func(err error) { failed <- err })
			require.ErrorIs(t, <-failed, ErrTransport)
		})
	}
}

package ua

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// A request whose fields cannot be written into an answer would hold its transaction, and its
// place among the pending ones, for ever.
func TestUnanswerableRequestsLeaveNothing(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers.Answer = 20 * time.Millisecond },
		handle(sip.MESSAGE, answerWith(200)), handle(sip.INVITE, answerWith(486)))
	p := newUDPPeer(t)
	for _, m := range []string{"MESSAGE", "INVITE"} {
		p.send(u.Addr("udp"), raw(m, "z9hG4bK1"+m, "a\x01b", viaUDP(p)))
		p.send(u.Addr("udp"), raw(m, "z9hG4bK2"+m, "good"+m, viaUDP(p)))
		require.Equal(t, "good"+m, sip.CallID(p.response()))
		p.send(u.Addr("udp"), raw("ACK", "z9hG4bK2"+m, "good"+m, viaUDP(p)))
	}
	require.Eventually(t, func() bool { return u.pending.Load() == 0 && u.servers.tx.len() == 0 && u.invites.servers.len() == 0 }, patience, time.Millisecond)
}

// What the deadline cannot answer it forgets.
func TestDeadlineForgetsWhatCannotBeAnswered(t *testing.T) {
	left := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) {
		*in.Request.CallID() += "\x01"
		left <- in
	}))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "x", viaUDP(p)))
	(<-left).tx.(*serverTx).expire()
	require.Zero(t, u.pending.Load())
	require.Zero(t, u.servers.tx.len())
}

// A timer that was under way when the state changed must not end the new one.
func TestLateTimerKeepsAnswered(t *testing.T) {
	in := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.INVITE, func(i *Inbound) { in <- i }))
	p := newUDPPeer(t)
	p.invite(u, "INVITE", "z9hG4bK1", "late1")
	i := <-in
	require.NoError(t, i.Respond(sip.Status{Code: 200}))
	i.tx.(*inviteServer).expire()
	require.Equal(t, 1, u.invites.servers.len(), "a copy of the INVITE would be a new call")

	o := startInvite(t, u, inviteTo(t, p.uri()), Target{})
	for msg, _, from := p.receive(patience); ; msg, _, from = p.receive(patience) {
		if req, ok := msg.(*sip.Request); ok {
			p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "peer")))
			break
		}
	}
	require.Equal(t, 200, o.next(t).StatusCode)
	a := u.invites.clients.all()
	require.Len(t, a, 1)
	a[0].expire()
	require.Equal(t, 1, u.invites.clients.len(), "the 2xx of another branch would get no ACK")
}

// The one goroutine of the timers must not wait for a peer that does not read.
func TestTimersDoNotWaitForPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan *Inbound, 2)
		keep := func(i *Inbound) { in <- i }
		_, s, c := pipeStream(t, false, nil, handle(sip.MESSAGE, keep), handle(sip.INVITE, keep))
		for i, m := range []string{"INVITE", "MESSAGE"} {
			_, err := c.Write(raw(m, fmt.Sprintf("z9hG4bK%d", i), m, "SIP/2.0/TCP client.invalid"))
			require.NoError(t, err)
			start := time.Now()
			(<-in).tx.(expirer).expire() // 100, and 500
			require.Zero(t, time.Since(start))
		}
		time.Sleep(2 * writeTimeout)
		require.False(t, s.alive())
	})
}

// A 2xx that the dialog sends again goes over a new connection as well.
func TestSecondAnswerAfterConnectionLoss(t *testing.T) {
	waiting := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.INVITE, func(in *Inbound) { waiting <- in }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	p := dialPeer(t, u.Addr("tcp"))
	p.send(raw("INVITE", "z9hG4bK1", "lost", "SIP/2.0/TCP "+l.Addr().String()))
	in := <-waiting
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	require.NoError(t, p.c.Close())
	require.Eventually(t, func() bool { return !u.Alive(in.Flow) }, patience, time.Millisecond)
	require.NoError(t, in.Respond(sip.Status{Code: 200}))
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, 200, (&tcpPeer{t: t, c: c}).response().StatusCode)
}

// A flood of forged sources keeps strangers away, not those whom we know.
func TestFloodOfSourcesKeepsKnownPeers(t *testing.T) {
	trusted := netip.MustParseAddr("198.51.100.1")
	g := newGuard(Limits{SourceRate: 10, SourceBurst: 5}, func(a netip.Addr, _ string, _ *tlsState) bool { return a == trusted })
	g.max = 2
	for i, pass := range []bool{true, true, false} {
		require.Equal(t, pass, g.admit(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), "udp"))
	}
	require.True(t, g.admit(trusted, "udp"))
	require.True(t, g.connect(loopback, "tcp"))
	g.disconnect(loopback)
	require.Len(t, g.sources, 2)
	require.Zero(t, g.conns)
}

// An algorithm that is not offered is not taken: with MD5 switched off, nobody may come by it.
func TestDigestAlgorithmMustBeOffered(t *testing.T) {
	u := authUA(t, func(c *Config) { c.Digest = []string{algSHA256} })
	f := &phone{t: t, p: newUDPPeer(t), u: u}
	c := challenges(t, f.send(""))[0]
	require.Equal(t, 200, f.send(f.credentials(c, "otto", "geheim", 1)).StatusCode)
	c.Algorithm = algMD5
	require.Equal(t, 401, f.send(f.credentials(c, "otto", "geheim", 2)).StatusCode)
}

// The zone of a stranger costs a bounded number of look-ups.
func TestResolveIsBounded(t *testing.T) {
	d := newDNSServer(t)
	for i := range 20 {
		d.set(t, fmt.Sprintf(`evil.example. 60 IN NAPTR %d 10 "s" "SIP+D2T" "" s%d.evil.example.`, i, i),
			fmt.Sprintf("s0.evil.example. 60 IN SRV %d 0 5060 missing%d.evil.example.", i, i),
			fmt.Sprintf("s1.evil.example. 60 IN SRV %d 0 5060 h%d.evil.example.", i, i),
			fmt.Sprintf("h%d.evil.example. 60 IN A 192.0.2.1", i))
	}
	list, err := d.resolver().Resolve(t.Context(), sip.URI{Scheme: "sip", Host: "evil.example"}, everything)
	require.NoError(t, err)
	require.Len(t, list, maxTargets)
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := 0
	for _, n := range d.queries {
		asked += n
	}
	require.LessOrEqual(t, asked, 1+maxServices+2*maxRecords+2*maxTargets)
}

// The ACK of a refusal has our tag in To, which the INVITE has not; a peer without the magic
// cookie is matched by these fields (RFC 3261 §17.2.3).
func TestACKWithoutMagicCookie(t *testing.T) {
	u := startUA(t, nil, handle(sip.INVITE, answerWith(486)))
	p := newUDPPeer(t)
	p.invite(u, "INVITE", "1", "old")
	res := p.response()
	require.Equal(t, 486, res.StatusCode)
	ack := raw("ACK", "1", "old", viaUDP(p))
	p.send(u.Addr("udp"), bytes.Replace(ack, []byte("To: <sip:mira@chat.example>"), []byte("To: <sip:mira@chat.example>;tag="+sip.ToTag(res)), 1))
	require.Eventually(t, func() bool {
		for _, s := range u.invites.servers.all() {
			s.mu.Lock()
			state := s.state
			s.mu.Unlock()
			if state == inviteCompleted {
				return false
			}
		}
		return true
	}, patience/10, time.Millisecond)
}

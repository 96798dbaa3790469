package ua

import (
	"fmt"
	"net"
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

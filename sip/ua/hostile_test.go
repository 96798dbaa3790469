package ua

import (
	"testing"
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
	called := make(chan struct{})
	u := startUA(t, func(c *Config) { c.Timers.Answer = 20 * time.Millisecond }, handle(sip.MESSAGE, func(in *Inbound) {
		*in.Request.CallID() += "\x01"
		close(called)
	}))
	p := newUDPPeer(t)
	p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bK1", "x", viaUDP(p)))
	<-called
	require.Eventually(t, func() bool { return u.pending.Load() == 0 && u.servers.tx.len() == 0 }, patience, time.Millisecond)
}

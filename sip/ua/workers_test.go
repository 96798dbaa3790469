package ua

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// inDialog is a request within a dialog.
func inDialog(method string, cseq int, callID, via string) []byte {
	return fmt.Appendf(nil, "%s sip:mira@chat.example SIP/2.0\r\nVia: %s;branch=z9hG4bK%s%d\r\nMax-Forwards: 70\r\nFrom: <sip:otto@voice.example>;tag=a\r\n"+
		"To: <sip:mira@chat.example>;tag=b\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n", method, via, token(), cseq, callID, cseq, method)
}

// Requests of a dialog that were pipelined over one connection reach their handlers in order,
// and one dialog does not wait for another.
func TestOrderWithinDialog(t *testing.T) {
	const n = 200
	seen := make(chan *Inbound, 4*n)
	stuck, free := make(chan struct{}), make(chan struct{})
	h := func(in *Inbound) {
		if sip.CallID(in.Request) == "stuck" {
			close(stuck)
			<-free
		}
		seen <- in
		_ = in.Respond(sip.Status{Code: 200})
	}
	u := startUA(t, nil, handle(sip.INFO, h), handle(sip.INVITE, h), handle(sip.BYE, h))
	for _, transport := range []string{"tcp", "udp"} {
		var send func([]byte)
		via := "SIP/2.0/TCP client.invalid"
		if transport == "tcp" {
			send = dialPeer(t, u.Addr("tcp")).send
			send(inDialog("INFO", 1, "stuck", via))
			<-stuck
		} else {
			p := newUDPPeer(t)
			via = viaUDP(p)
			send = func(b []byte) { p.send(u.Addr("udp"), b) }
		}
		var all []byte
		for i := range n {
			m := "INFO"
			if i%10 == 0 {
				m = "ACK"
			}
			b := inDialog(m, i, transport, via)
			if transport == "udp" {
				send(b)
				continue
			}
			all = append(all, b...)
		}
		if transport == "tcp" {
			send(all)
		}
		for i := range n {
			number, _ := sip.CSeq((<-seen).Request)
			require.Equal(t, uint32(i), number, transport)
		}
	}
	close(free)
	require.Equal(t, "stuck", sip.CallID((<-seen).Request))
	require.Eventually(t, func() bool {
		u.lanes.mu.Lock()
		defer u.lanes.mu.Unlock()
		return len(u.lanes.m) == 0
	}, patience, time.Millisecond)
}

// What a dialog may have waiting is bounded.
func TestDialogQueueIsBounded(t *testing.T) {
	free := make(chan struct{})
	u := startUA(t, nil, handle(sip.INFO, func(in *Inbound) {
		<-free
		_ = in.Respond(sip.Status{Code: 200})
	}))
	p := dialPeer(t, u.Addr("tcp"))
	for i := range maxLane + 3 {
		p.send(inDialog("INFO", i, "full", "SIP/2.0/TCP client.invalid"))
	}
	require.Equal(t, 503, p.response().StatusCode)
	require.Equal(t, 503, p.response().StatusCode)
	close(free)
	for range maxLane + 1 {
		require.Equal(t, 200, p.response().StatusCode)
	}
}

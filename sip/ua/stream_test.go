package ua

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// pipeStream is a connection of a UA that has no sockets, and its other end.
func pipeStream(t *testing.T, dialled bool, configure func(*Config), prepare ...func(*UA)) (*UA, *stream, net.Conn) {
	t.Helper()
	cfg := Config{Listen: []Listen{{Transport: "tcp", Host: "127.0.0.1"}}}
	if configure != nil {
		configure(&cfg)
	}
	u, err := New(cfg)
	require.NoError(t, err)
	for _, p := range prepare {
		p(u)
	}
	here, there := net.Pipe()
	s, err := u.newStream(connWire{here}, "tcp", "", dialled, netip.MustParseAddrPort("127.0.0.1:5060"), netip.MustParseAddrPort("127.0.0.1:5070"), nil)
	require.NoError(t, err)
	u.spawn(s.read)
	t.Cleanup(func() {
		_ = there.Close()
		_ = u.Shutdown(t.Context()) // may tell that something was unanswered
	})
	return u, s, there
}

// A connection on which a message is always half read is busy, not slow.
func TestBusyConnectionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got atomic.Int32
		_, s, c := pipeStream(t, false, func(c *Config) { c.Limits.Partial = 10 * time.Second }, handle(sip.MESSAGE, func(in *Inbound) {
			got.Add(1)
			_ = in.Respond(sip.Status{Code: 200})
		}))
		go func() { // takes the answers
			for b := make([]byte, 4096); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		}()
		var all []byte
		for range 10 {
			all = append(all, raw("MESSAGE", "z9hG4bK"+token(), token(), "SIP/2.0/TCP client.invalid")...)
		}
		one := len(all) / 10
		for cut := one / 2; len(all) > one; cut = one {
			_, err := c.Write(all[:cut])
			require.NoError(t, err)
			all = all[cut:]
			time.Sleep(4 * time.Second)
		}
		synctest.Wait()
		require.True(t, s.alive())
		require.Equal(t, int32(9), got.Load())
		_, err := c.Write(bytes.Repeat([]byte("x"), 100))
		require.NoError(t, err)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.False(t, s.alive(), "this one is slow")
	})
}

// Two CRLFs in two reads are a keep-alive that wants an answer; two that come half a minute
// apart are not (RFC 5626 §4.4.1).
func TestPingInTwoReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, c := pipeStream(t, false, nil)
		pongs := make(chan string, 8)
		go func() {
			for b := make([]byte, 16); ; {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				pongs <- string(b[:n])
			}
		}()
		for _, part := range []string{"\r\n", "\r\n", "\r\n\r", "\n", "\r", "\n\r\n"} {
			_, err := c.Write([]byte(part))
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Len(t, pongs, 3)
		require.Equal(t, "\r\n", <-pongs)
		for range 4 {
			_, err := c.Write([]byte("\r\n"))
			require.NoError(t, err)
			time.Sleep(30 * time.Second)
		}
		require.Len(t, pongs, 2)
	})
}

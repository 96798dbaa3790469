package ua

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

type tlsState = tls.ConnectionState

type expiry struct {
	timer
	at func()
}

func (e *expiry) expire() { e.at() }

func TestWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(20 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		go w.run(ctx)
		start := time.Now()
		var mu sync.Mutex
		var got []string
		add := func(name string, d time.Duration) *expiry {
			e := &expiry{}
			e.owner = e
			e.at = func() {
				mu.Lock()
				defer mu.Unlock()
				late := time.Since(start) - d
				require.GreaterOrEqual(t, late, time.Duration(0), name)
				require.LessOrEqual(t, late, 40*time.Millisecond, name)
				got = append(got, name)
			}
			w.schedule(&e.timer, d)
			return e
		}
		add("32s", 32*time.Second)
		add("now", 0)
		add("500ms", 500*time.Millisecond)
		stopped := add("stopped", time.Second)
		moved := add("5s", 5*time.Second)
		w.schedule(&moved.timer, 2*time.Second)
		add("2min", 2*time.Minute) // more than one turn of the wheel
		w.stop(&stopped.timer)
		w.stop(&stopped.timer)
		w.schedule(&moved.timer, 5*time.Second)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		mu.Lock()
		require.Equal(t, []string{"now", "500ms", "5s", "32s", "2min"}, got)
		mu.Unlock()

		// After a pause, and from within an expiry.
		time.Sleep(time.Hour)
		start = time.Now()
		n := 0
		var again *expiry
		again = &expiry{at: func() {
			if n++; n < 3 {
				w.schedule(&again.timer, time.Second)
			}
		}}
		again.owner = again
		w.schedule(&again.timer, time.Second)
		time.Sleep(3*time.Second + 200*time.Millisecond)
		synctest.Wait()
		require.Equal(t, 3, n)
		require.Zero(t, w.count)
		cancel()
		synctest.Wait()
	})
}

func TestAnswers(t *testing.T) {
	now := time.Now()
	a := newAnswers(32*time.Second, 100)
	a.now = func() time.Time { return now }
	key := func(i int) txKey { return hashKey(fmt.Sprint(i)) }
	for i := range 50 {
		a.put(key(i), []byte(fmt.Sprint("answer ", i)))
		now = now.Add(200 * time.Millisecond)
	}
	for i := range 50 {
		require.Equal(t, fmt.Sprint("answer ", i), string(a.get(key(i))))
	}
	require.Nil(t, a.get(key(50)))
	now = now.Add(25 * time.Second) // the first are 35 s old, the last 25 s
	a.sweep()
	require.Nil(t, a.get(key(0)))
	require.Equal(t, "answer 49", string(a.get(key(49))))
	require.Less(t, a.len(), 50)
	now = now.Add(10 * time.Second)
	require.Nil(t, a.get(key(49)), "too old, though nobody has swept")
	a.sweep()
	require.Zero(t, a.len())
	require.Empty(t, a.pages)

	// The limit drops the oldest; a large answer gets a page of its own.
	for i := range 500 {
		a.put(key(i), bytes.Repeat([]byte{byte(i)}, 1000))
		now = now.Add(time.Millisecond)
	}
	require.LessOrEqual(t, a.len(), 100)
	require.Len(t, a.get(key(499)), 1000)
	a.put(key(1000), make([]byte, 60000))
	require.Len(t, a.get(key(1000)), 60000)
}

func TestGuardRate(t *testing.T) {
	now := time.Now()
	trusted := netip.MustParseAddr("198.51.100.1")
	g := newGuard(Limits{SourceRate: 10, SourceBurst: 5, Conns: 3, SourceConns: 2, AuthFailure: 2, Ban: time.Minute}, func(a netip.Addr, _ string, _ *tlsState) bool { return a == trusted })
	g.now = func() time.Time { return now }
	a := netip.MustParseAddr("192.0.2.1")
	count := func(a netip.Addr, n int) (passed int) {
		for range n {
			if g.admit(a, "udp") {
				passed++
			}
		}
		return passed
	}
	require.Equal(t, 5, count(a, 20), "the burst")
	now = now.Add(300 * time.Millisecond)
	require.Equal(t, 3, count(a, 20), "what has come back since")
	require.Equal(t, 20, count(trusted, 20))
	require.Equal(t, 20, count(netip.MustParseAddr("127.0.0.1"), 20))
	require.Equal(t, 5, count(netip.MustParseAddr("2001:db8::1"), 20))
	require.Equal(t, 0, count(netip.MustParseAddr("2001:db8::2"), 20), "the same /64")

	b := netip.MustParseAddr("192.0.2.2")
	require.True(t, g.connect(b, "tcp"))
	require.True(t, g.connect(b, "tcp"))
	require.False(t, g.connect(b, "tcp"), "of one source")
	require.True(t, g.connect(trusted, "tcp"))
	require.False(t, g.connect(trusted, "tcp"), "in all")
	g.disconnect(b)
	require.True(t, g.connect(trusted, "tcp"))

	require.False(t, g.authFailed(b, "udp"))
	require.False(t, g.authFailed(b, "udp"))
	require.True(t, g.authFailed(b, "udp"))
	require.Zero(t, count(b, 1))
	require.False(t, g.ban(trusted, "udp"))
	now = now.Add(2 * time.Minute)
	require.Equal(t, 1, count(b, 1))

	g.disconnect(b)
	now = now.Add(time.Hour)
	count(netip.MustParseAddr("203.0.113.1"), 1)
	require.Len(t, g.sources, 2, "idle sources are forgotten, but for the one with a connection")
}

func TestFramer(t *testing.T) {
	one := raw("MESSAGE", "z9hG4bK1", "f1", "SIP/2.0/TCP h", "body hello\r\n\r\n")
	stream := append([]byte("\r\n\r\n"), one...)
	stream = append(stream, "\r\n\r\n\r\n"...)
	stream = append(stream, one...)
	for _, size := range []int{1, 2, 3, 7, 100, len(stream)} {
		var f framer
		messages, pings, crlfs := 0, 0, 0
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			f.write(rest[:n])
			rest = rest[n:]
			for {
				b, p, c, err := f.next()
				require.NoError(t, err)
				pings += p
				crlfs += c
				if b == nil {
					break
				}
				require.Equal(t, string(one), string(b))
				messages++
				f.done()
			}
		}
		require.Equal(t, 2, messages, size)
		require.Equal(t, 5, crlfs)
		require.Equal(t, 2, pings, "a pair is one however the reads cut it")
		require.False(t, f.pending())
	}
}

func FuzzFramer(f *testing.F) {
	f.Add(raw("MESSAGE", "z9hG4bK1", "f1", "SIP/2.0/TCP h", "body hello"), uint8(3))
	f.Add([]byte("\r\n\r\n\r\nX\r\nl:5\r\nL : 5\r\n\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var fr framer
		taken := 0
		for rest := b; len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			fr.write(rest[:n])
			rest = rest[n:]
			for {
				msg, _, crlfs, err := fr.next()
				taken += 2 * crlfs
				if err != nil {
					return
				}
				if msg == nil {
					break
				}
				if !bytes.HasPrefix(b[taken:], msg) {
					t.Fatalf("%q is not what follows %q", msg, b[:taken])
				}
				taken += len(msg)
				fr.done()
			}
			if len(fr.buf) > maxHead+sip.MaxMessage+256 {
				t.Fatal("the buffer grows without end")
			}
		}
	})
}

func TestServerKey(t *testing.T) {
	parse := func(raw []byte) *sip.Request {
		msg, err := sip.ParseMessage(raw)
		require.NoError(t, err)
		return msg.(*sip.Request)
	}
	base := raw("MESSAGE", "z9hG4bKa", "k1", "SIP/2.0/UDP h.example:5060")
	same := func(change ...string) bool {
		b := []byte(strings.NewReplacer(change...).Replace(string(base)))
		return serverKey(parse(base), sip.MESSAGE) == serverKey(parse(b), sip.MESSAGE)
	}
	require.True(t, same("k1", "k2"), "only branch, sent-by and method count")
	require.False(t, same("z9hG4bKa", "z9hG4bKb"))
	require.False(t, same("h.example:5060", "h.example:5061"))
	require.False(t, same("h.example:5060", "i.example:5060"))
	require.NotEqual(t, serverKey(parse(base), sip.INVITE), serverKey(parse(base), sip.CANCEL))
	// Without the cookie.
	base = raw("MESSAGE", "1", "k1", "SIP/2.0/UDP h.example:5060")
	require.True(t, same("70", "69"))
	require.False(t, same("k1", "k2"))
	require.False(t, same("from1", "from2"))
	require.False(t, same("1 MESSAGE", "2 MESSAGE"))
	for _, n := range []int{0, 5060, 1, 65535, 4294967295} {
		want := fmt.Sprint(n)
		if n == 0 {
			want = ""
		}
		require.Equal(t, want, portText(n))
	}
}

func TestWorkersAreReused(t *testing.T) {
	var running, most atomic.Int32
	u := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) {
		n := running.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		_ = in.Respond(sip.Status{Code: 200})
		running.Add(-1)
	}))
	p := newUDPPeer(t)
	for i := range 200 {
		p.send(u.Addr("udp"), raw("MESSAGE", fmt.Sprintf("z9hG4bKw%d", i), fmt.Sprintf("w%d", i), viaUDP(p)))
		require.Equal(t, 200, p.response().StatusCode)
	}
	require.LessOrEqual(t, u.idle.Load(), int32(idleWorkers))
}

package dialog

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

const benchSDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"

// unhurried are timers that a loaded machine does not run into.
var unhurried = ua.Timers{T1: 100 * time.Millisecond, T2: 400 * time.Millisecond, T4: 500 * time.Millisecond}

// obliging takes every call and does not wait for anything.
func obliging(c *Config) {
	c.Incoming = func(g *Leg) Handler {
		g.Accept([]byte(benchSDP))
		return func(Event) {}
	}
}

// BenchmarkCalls sets calls up and ends them, both sides in this process over UDP: INVITE, 200,
// ACK, BYE, 200; 64 at a time.
func BenchmarkCalls(b *testing.B) {
	callee, caller := newPartyAt(b, unhurried, obliging), newPartyAt(b, unhurried, nil)
	var wg sync.WaitGroup
	window := make(chan struct{}, 64)
	o := Outgoing{From: name("sip:mira@chat.example"), To: sip.NameAddr{URI: callee.uri("otto")}, Offer: []byte(benchSDP)}
	var mu sync.Mutex
	failed := 0
	b.ResetTimer()
	for range b.N {
		window <- struct{}{}
		wg.Add(1)
		var leg *Leg
		ready := make(chan struct{})
		leg, err := caller.l.Invite(o, func(e Event) {
			switch e := e.(type) {
			case Answered:
				<-ready
				leg.End()
			case Failed:
				mu.Lock()
				failed++
				mu.Unlock()
				<-window
				wg.Done()
			case Ended:
				if e.Cause != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
				<-window
				wg.Done()
			}
		})
		close(ready)
		if err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(failed), "failed")
}

// idleCalls sets up n calls and returns the heap and the goroutines that one leg of them costs.
func idleCalls(t testing.TB, n int) (bytes, goroutines float64) {
	callee, caller := newPartyAt(t, unhurried, obliging), newPartyAt(t, unhurried, nil)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, routines := heap(), runtime.NumGoroutine()
	window := make(chan struct{}, 64)
	o := Outgoing{From: name("sip:mira@chat.example"), To: sip.NameAddr{URI: callee.uri("otto")}, Offer: []byte(benchSDP)}
	for range n {
		window <- struct{}{}
		_, err := caller.l.Invite(o, func(e Event) {
			switch e.(type) {
			case Answered, Failed:
				<-window
			}
		})
		require.NoError(t, err)
	}
	for range cap(window) {
		window <- struct{}{}
	}
	// What the transactions still hold goes with timers L and M.
	require.Eventually(t, func() bool { return settled(caller) && settled(callee) }, 4*patience, 100*time.Millisecond)
	legs := float64(caller.l.Len() + callee.l.Len()) // a loaded machine loses some
	require.Greater(t, legs, float64(n))
	return (float64(heap()) - float64(before)) / legs, float64(runtime.NumGoroutine()-routines) / legs
}

// settled tells whether no leg waits for copies of a 2xx or for an ACK.
func settled(p *party) bool {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	for _, g := range p.l.legs {
		g.mu.Lock()
		busy := g.timers[timerAcks] != 0 || g.timers[timerACK] != 0
		g.mu.Unlock()
		if busy {
			return false
		}
	}
	return true
}

func TestIdleLegIsCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for 64*T1")
	}
	bytes, goroutines := idleCalls(t, 1000)
	t.Logf("%.0f bytes and %.3f goroutines per idle leg", bytes, goroutines)
	require.Less(t, bytes, 8192.0)
	require.Less(t, goroutines, 0.1)
}

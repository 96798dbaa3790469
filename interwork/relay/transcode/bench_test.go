package transcode

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

// loop is the packets of some seconds of speech that come again and again.
type loop struct {
	packets []timed
	i       int
	seq     uint16
	ts      uint32
	step    uint32
}

func newLoop(t testing.TB, f Format, rate int) *loop {
	return &loop{
		packets: sender(t, f, rate, tone.Speech(nil, rate, 2900*ms, -20, 1)), // no pause in it
		step:    uint32(f.ClockRate / 50),
	}
}

func (l *loop) next() Packet {
	p := l.packets[l.i%len(l.packets)].Packet
	p.Seq, p.Timestamp = l.seq, l.ts
	l.i++
	l.seq++
	l.ts += l.step
	return p
}

// call is both directions of a call.
type call struct {
	there, back   *Direction
	ahead, behind *loop
	now           time.Time
}

func newCall(t testing.TB, a, b Format) *call {
	t.Helper()
	c := &call{now: start}
	var err error
	c.there, err = New(a, b, Options{EventClockIn: a.ClockRate, EventClockOut: b.ClockRate})
	require.NoError(t, err)
	c.back, err = New(b, a, Options{EventClockIn: b.ClockRate, EventClockOut: a.ClockRate})
	require.NoError(t, err)
	rate := codec.Rate(a, b)
	c.ahead, c.behind = newLoop(t, a, rate), newLoop(t, b, rate)
	return c
}

// step is 20 ms of the call.
func (c *call) step() {
	c.there.Push(c.ahead.next(), c.now)
	c.back.Push(c.behind.next(), c.now)
	c.there.Pull(c.now)
	c.back.Pull(c.now)
	c.now = c.now.Add(20 * ms)
}

func (c *call) close() {
	c.there.Close()
	c.back.Close()
}

var pairs = [][2]string{{"opus", "PCMU"}, {"opus", "G722"}, {"G722", "PCMA"}, {"PCMA", "PCMU"}}

// BenchmarkCall is 20 ms of a call, both directions, speech without pauses. 150 calls on
// a core are 133 microseconds.
func BenchmarkCall(b *testing.B) {
	for _, p := range pairs {
		b.Run(p[0]+"-"+p[1], func(b *testing.B) {
			c := newCall(b, format(p[0], 20*ms, "useinbandfec", "1"), format(p[1], 20*ms))
			defer c.close()
			for range 200 {
				c.step()
			}
			b.ReportAllocs()
			before := processTime()
			for b.Loop() {
				c.step()
			}
			if cpu := processTime() - before; cpu > 0 {
				b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(20*ms)*float64(b.N)/float64(cpu), "calls/core")
			}
		})
	}
}

// BenchmarkMemory is what a call keeps.
func BenchmarkMemory(b *testing.B) {
	for _, p := range pairs {
		b.Run(p[0]+"-"+p[1], func(b *testing.B) {
			const calls = 50
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.GC() // what is pooled goes too
				runtime.ReadMemStats(&before)
				var all []*call
				for range calls {
					c := newCall(b, format(p[0], 20*ms), format(p[1], 20*ms))
					for range 20 {
						c.step()
					}
					c.ahead, c.behind = nil, nil
					all = append(all, c)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/calls/1024, "KB/call")
				for _, c := range all {
					c.close()
				}
			}
		})
	}
}

// Nothing is allocated for a packet, for none of the pairs.
func TestAllocations(t *testing.T) {
	for _, a := range names {
		for _, b := range names {
			c := newCall(t, format(a, 20*ms), format(b, 20*ms))
			for range 150 {
				c.step()
			}
			require.Zero(t, testing.AllocsPerRun(100, c.step), fmt.Sprintf("%s and %s", a, b))
			c.close()
		}
	}
}

// Nor while keys are pressed and packets are lost.
func TestAllocationsOfTrouble(t *testing.T) {
	c := newCall(t, format("opus", 20*ms), format("PCMA", 20*ms))
	defer c.close()
	i := 0
	key := []byte{5, 10, 0, 0}
	step := func() {
		if i++; i%20 == 0 {
			c.ahead.next()
			c.back.SendDTMF('5', 60*ms)
		}
		if i%50 == 10 {
			p := c.ahead.next()
			p.Kind, p.Payload = KindEvent, key
			key[1], key[2] = 0x8a, 4
			c.there.Push(p, c.now)
		}
		c.step()
	}
	for range 400 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
}

// Two calls one after another share the states of Opus.
func TestPooled(t *testing.T) {
	c := newCall(t, format("opus", 20*ms), format("PCMA", 20*ms))
	c.step()
	c.close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		d, err := New(format("opus", 20*ms), format("PCMA", 20*ms), Options{})
		require.NoError(t, err)
		d.Close()
	}
	runtime.ReadMemStats(&after)
	// 380 KB without a pool; with the race detector a pool forgets now and then.
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/20, uint64(200<<10))
}

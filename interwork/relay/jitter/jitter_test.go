package jitter

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	frame = 160
	ms    = time.Millisecond
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// arrival is a packet and when it comes.
type arrival struct {
	at time.Duration
	p  Packet
}

// stream makes n packets, one every 20 ms, with delay(i) of the network.
func stream(n int, seq uint16, ts uint32, delay func(i int) time.Duration) []arrival {
	var all []arrival
	for i := range n {
		p := Packet{Seq: seq + uint16(i), Timestamp: ts + uint32(i*frame), SSRC: 1, Marker: i == 0, Ticks: frame}
		p.Payload = binary.BigEndian.AppendUint32(nil, uint32(i))
		all = append(all, arrival{time.Duration(i)*20*ms + delay(i), p})
	}
	return all
}

func none(int) time.Duration { return 0 }

// played is one frame and when it was.
type played struct {
	at time.Duration
	Frame
	n uint32 // of the packet
}

// run plays for a time, a frame every 20 ms of a clock that is drift too fast; it works
// off the excess as the caller does.
func run(b *Buffer, in []arrival, length time.Duration, drift float64) []played {
	slices.SortStableFunc(in, func(a, b arrival) int { return int(a.at - b.at) })
	var out []played
	owed := 0
	for now := 5 * ms; now < length; now += time.Duration(float64(20*ms) / (1 + drift)) {
		for len(in) > 0 && in[0].at <= now {
			b.Put(in[0].p, start.Add(in[0].at))
			in = in[1:]
		}
		for owed += frame; owed > 0; {
			at := now + time.Duration(frame-owed)*ms/8
			f := b.Get(start.Add(now), uint32(frame-owed), uint32(owed))
			f.Next = slices.Clone(f.Next)
			p := played{at: at, Frame: f}
			if f.Kind == Audio && len(f.Packet.Payload) == 4 {
				p.n = binary.BigEndian.Uint32(f.Packet.Payload)
			}
			out = append(out, p)
			owed -= int(f.Ticks)
			if f.Kind == Audio {
				switch x := b.Excess(start.Add(now), uint32(frame-owed)); {
				case x > 0:
					owed += 40 // a period is left out
				case x < 0:
					owed -= 40
				}
			}
		}
	}
	return out
}

func count(out []played, k Kind) (n int) {
	for _, p := range out {
		if p.Kind == k {
			n++
		}
	}
	return n
}

func TestSteady(t *testing.T) {
	b := New(Config{ClockRate: 8000})
	out := run(b, stream(500, 65500, 1<<32-8000, none), 10*time.Second, 0)
	require.Zero(t, count(out, Missing)+count(out, Empty))
	n := uint32(0)
	for _, p := range out {
		if p.Kind == Audio {
			require.Equal(t, n, p.n)
			n++
			require.LessOrEqual(t, p.at-time.Duration(p.n)*20*ms, 60*ms)
		}
	}
	require.Greater(t, n, uint32(490))
	s := b.Stats(start.Add(10 * time.Second))
	require.Zero(t, s.Lost+s.Late+s.Duplicate+s.Reordered+s.Restarts+s.Dropped)
	require.Zero(t, s.Jitter)
	require.Equal(t, 20*ms, s.Target)
}

func TestReorderDuplicateLose(t *testing.T) {
	in := stream(500, 65400, 1<<32-50*frame, none)
	for i := 20; i < 480; i += 20 {
		in[i].at += 25 * ms // after the next one
		in = append(in, in[i+3])
	}
	var kept []arrival
	for _, a := range in {
		if n := binary.BigEndian.Uint32(a.p.Payload); n%20 != 10 || n < 100 {
			kept = append(kept, a)
		}
	}
	b := New(Config{ClockRate: 8000, Min: 60 * ms})
	out := run(b, kept, 10*time.Second, 0)
	last := -1
	for _, p := range out {
		if p.Kind == Audio {
			require.Greater(t, int(p.n), last)
			last = int(p.n)
		}
		if p.Kind == Missing {
			require.Equal(t, uint32(last+2), binary.BigEndian.Uint32(p.Next))
		}
	}
	s := b.Stats(start.Add(10 * time.Second))
	require.EqualValues(t, 23, s.Reordered)
	require.EqualValues(t, 23, s.Duplicate)
	require.EqualValues(t, 20, s.Lost)
	require.EqualValues(t, 20, count(out, Missing))
	require.Zero(t, s.Late)
}

// A burst of losses is concealed frame by frame; only the last frame has a next one.
func TestBurst(t *testing.T) {
	in := stream(100, 0, 0, none)
	in = append(in[:40:40], in[45:]...)
	b := New(Config{ClockRate: 8000, Min: 150 * ms})
	out := run(b, in, 2*time.Second, 0)
	var missing []played
	for _, p := range out {
		if p.Kind == Missing {
			missing = append(missing, p)
		}
	}
	ticks := 0
	for i, p := range missing {
		ticks += int(p.Ticks)
		require.Equal(t, i == len(missing)-1, p.Next != nil)
	}
	require.Equal(t, 5*frame, ticks)
	require.EqualValues(t, 5, b.Stats(start).Lost)
}

// The delay follows the network: up at once by what is played late, down by excess.
func TestAdapts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	in := stream(3000, 0, 0, func(i int) time.Duration {
		if i/500%2 == 1 {
			return time.Duration(r.IntN(90)) * ms
		}
		return time.Duration(r.IntN(4)) * ms
	})
	b := New(Config{ClockRate: 8000})
	out := run(b, in, 60*time.Second, 0)
	bad := func(from, to time.Duration) (n int) {
		for _, p := range out {
			if p.at >= from && p.at < to && (p.Kind == Missing || p.Kind == Empty) {
				n++
			}
		}
		return n
	}
	delay := func(from, to time.Duration) (d time.Duration) {
		n := 0
		for _, p := range out {
			if p.Kind == Audio && p.at >= from && p.at < to {
				d += p.at - time.Duration(p.n)*20*ms
				n++
			}
		}
		return d / time.Duration(n)
	}
	t.Logf("calm: %d bad, delay %v; rough: %d and %d bad, delay %v; calm again: %d bad, delay %v",
		bad(5*time.Second, 10*time.Second), delay(5*time.Second, 10*time.Second),
		bad(10*time.Second, 12*time.Second), bad(12*time.Second, 20*time.Second), delay(15*time.Second, 20*time.Second),
		bad(28*time.Second, 30*time.Second), delay(28*time.Second, 30*time.Second))
	require.Zero(t, bad(5*time.Second, 10*time.Second))
	require.Less(t, delay(5*time.Second, 10*time.Second), 50*ms)
	require.LessOrEqual(t, bad(15*time.Second, 20*time.Second), 12) // of 250
	require.Less(t, delay(15*time.Second, 20*time.Second), 140*ms)
	require.Less(t, delay(28*time.Second, 30*time.Second), 70*ms)
	s := b.Stats(start.Add(60 * time.Second))
	require.Zero(t, s.Restarts)
	require.Zero(t, s.Dropped)
}

// A sender whose clock is 200 ppm and more off is followed for minutes, without loss and
// with the delay in bounds.
func TestDrift(t *testing.T) {
	for _, drift := range []float64{-0.001, 0.0002, 0.001} {
		b := New(Config{ClockRate: 8000})
		out := run(b, stream(7500, 0, 0, func(i int) time.Duration { return time.Duration(i%3) * ms }), 150*time.Second, drift)
		last, worst, bad := -1, time.Duration(0), 0
		for _, p := range out {
			switch p.Kind {
			case Audio:
				require.Equal(t, last+1, int(p.n))
				last++
				worst = max(worst, p.at-time.Duration(p.n)*20*ms)
			case Missing, Empty:
				bad++
			}
		}
		t.Logf("drift %v: worst delay %v, %d bad", drift, worst, bad)
		require.Less(t, worst, 100*ms)
		require.Less(t, bad, 60)
		require.Greater(t, last, 7450)
	}
}

// After a pause in which nothing is sent a spurt begins at the target.
func TestTalkSpurts(t *testing.T) {
	in := stream(400, 100, 5000, func(i int) time.Duration { return time.Duration(i*7%13) * ms })
	var kept []arrival
	sent := uint16(0)
	for i, a := range in {
		if i/40%2 == 1 {
			continue
		}
		a.p.Seq, a.p.Marker = 100+sent, i%40 == 0
		sent++
		kept = append(kept, a)
	}
	b := New(Config{ClockRate: 8000})
	out := run(b, kept, 8*time.Second, 0)
	require.Zero(t, count(out, Missing))
	require.Equal(t, 200, count(out, Audio))
	for _, p := range out {
		if p.Kind == Audio && p.n%40 == 0 {
			require.InDelta(t, 45, float64((p.at-time.Duration(p.n)*20*ms)/ms), 35)
		}
	}
	s := b.Stats(start.Add(8 * time.Second))
	require.Zero(t, s.Lost+s.Late+s.Restarts)
}

func TestRestarts(t *testing.T) {
	b := New(Config{ClockRate: 8000})
	at := func(i int) time.Time { return start.Add(time.Duration(i) * 20 * ms) }
	get := func(i int) Frame { return b.Get(at(i).Add(ms), 0, frame) }
	p := func(ssrc uint32, seq uint16, ts uint32) Packet {
		return Packet{SSRC: ssrc, Seq: seq, Timestamp: ts, Ticks: frame, Payload: []byte{1}}
	}
	require.Equal(t, Nothing, get(0).Kind)
	require.Equal(t, Queued, b.Put(p(1, 10, 1000), at(0)))
	require.Equal(t, Queued, b.Put(p(1, 11, 1160), at(1)))
	require.Equal(t, Duplicate, b.Put(p(1, 10, 1000), at(1)))

	// One stray number does nothing, two in a row begin a new stream.
	require.Equal(t, Strange, b.Put(p(1, 30000, 1320), at(2)))
	require.Equal(t, Queued, b.Put(p(1, 12, 1320), at(2)))
	require.Equal(t, Strange, b.Put(p(1, 40000, 9000), at(3)))
	require.Equal(t, Queued, b.Put(p(1, 40001, 9160), at(4)))
	require.EqualValues(t, 1, b.Stats(at(4)).Restarts)

	// A new source begins at once.
	require.Equal(t, Queued, b.Put(p(2, 7, 70), at(5)))
	require.EqualValues(t, 2, b.Stats(at(5)).Restarts)
	i := 6
	f := get(i)
	for ; f.Kind != Audio && i < 20; f = get(i) {
		i++
	}
	require.Equal(t, uint16(7), f.Packet.Seq)

	// A timestamp that jumps while the numbers go on.
	require.Equal(t, Queued, b.Put(p(2, 8, 1<<31), at(i+1)))
	require.Equal(t, Queued, b.Put(p(2, 9, 1<<31+frame), at(i+2)))
	for i += 3; ; i++ {
		if f = get(i); f.Kind == Audio {
			break
		}
		require.Less(t, i, 100)
	}
	require.Equal(t, uint16(8), f.Packet.Seq)
	require.Equal(t, uint16(9), get(i+1).Packet.Seq)

	// The first that comes need not be the first that was sent.
	require.Equal(t, Queued, b.Put(p(3, 1, 320), at(50)))
	require.Equal(t, Reordered, b.Put(p(3, 0, 160), at(50)))
	require.Equal(t, Reordered, b.Put(p(3, 65535, 0), at(50)))
	var got []uint16
	for i := 51; i < 60; i++ {
		if f := get(i); f.Kind == Audio {
			got = append(got, f.Packet.Seq)
		}
	}
	require.Equal(t, []uint16{65535, 0, 1}, got)
	require.Equal(t, Late, b.Put(Packet{SSRC: 3, Seq: 65534, Timestamp: 1<<32 - 160, Ticks: frame}, at(60)))
}

// What waited too long is dropped: the delay has a bound whatever comes.
func TestBound(t *testing.T) {
	b := New(Config{ClockRate: 8000, Max: 100 * ms})
	for _, a := range stream(200, 0, 0, none) {
		b.Put(a.p, start.Add(a.at))
	}
	s := b.Stats(start.Add(4 * time.Second))
	require.Greater(t, s.Dropped, uint64(180))
	f := b.Get(start.Add(4*time.Second), 0, frame)
	require.Equal(t, Audio, f.Kind)
	require.GreaterOrEqual(t, f.Packet.Seq, uint16(192))
}

func TestUntimed(t *testing.T) {
	in := stream(100, 0, 0, none)
	for i := 30; i < 40; i++ {
		in[i].p.Untimed, in[i].p.Ticks, in[i].p.Timestamp = true, 0, in[30].p.Timestamp
	}
	b := New(Config{ClockRate: 8000})
	out := run(b, in, 2*time.Second, 0)
	require.Zero(t, count(out, Missing))
	require.Zero(t, b.Stats(start).Lost)
	require.Zero(t, b.Stats(start).Jitter)
	n := 0
	for _, p := range out {
		if p.Kind == Audio && p.Packet.Untimed {
			n++
		}
	}
	require.Equal(t, 10, n)
}

// Whatever comes in whatever order: numbers rise, every packet is played at most once and
// as it was, ticks are never more than asked for except of packets, nothing panics.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(Config{ClockRate: 8000})
		now, seq, ts, ssrc := start, rapid.Uint16().Draw(t, "seq"), rapid.Uint32().Draw(t, "ts"), uint32(1)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				seq += uint16(rapid.IntRange(0, 200).Draw(t, "skip"))
			case 1:
				ts += uint32(rapid.Int32().Draw(t, "jump"))
			case 2:
				ssrc = uint32(rapid.IntRange(1, 3).Draw(t, "ssrc"))
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "wait")) * ms)
			case 4, 5, 6:
				back := uint16(rapid.IntRange(0, 3).Draw(t, "back"))
				ticks := uint32(rapid.SampledFrom([]int{0, frame, 80, 5760}).Draw(t, "ticks"))
				p := Packet{Seq: seq - back, Timestamp: ts - uint32(back)*frame, SSRC: ssrc, Ticks: ticks, Marker: rapid.Bool().Draw(t, "marker"), Untimed: ticks == 0 && rapid.Bool().Draw(t, "untimed")}
				p.Payload = binary.BigEndian.AppendUint16(nil, p.Seq)
				b.Put(p, now)
				seq++
				ts += frame
			default:
				f := b.Get(now, 0, frame)
				if f.Kind == Audio {
					if !bytes.Equal(f.Packet.Payload, binary.BigEndian.AppendUint16(nil, f.Packet.Seq)) {
						t.Fatalf("%v has %v", f.Packet.Seq, f.Packet.Payload)
					}
				} else if f.Ticks > frame && f.Kind != Missing || f.Ticks == 0 {
					t.Fatalf("kind %d, %d ticks", f.Kind, f.Ticks)
				}
				b.Excess(now, 0)
				b.Stats(now)
				now = now.Add(20 * ms)
			}
			if b.count < 0 || b.count > slots {
				t.Fatal(b.count)
			}
		}
	})
}

func TestAllocations(t *testing.T) {
	b := New(Config{ClockRate: 8000})
	p := Packet{SSRC: 1, Ticks: frame, Payload: make([]byte, 160)}
	now := start
	step := func() {
		b.Put(p, now)
		p.Seq++
		p.Timestamp += frame
		b.Get(now, 0, frame)
		now = now.Add(20 * ms)
	}
	for range 100 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
}

func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 1, 160, 20, 0}, 20))
	f.Fuzz(func(_ *testing.T, data []byte) {
		b := New(Config{ClockRate: 48000})
		now := start
		for ; len(data) >= 8; data = data[8:] {
			p := Packet{
				SSRC: uint32(data[0] & 1), Seq: binary.BigEndian.Uint16(data[1:]),
				Timestamp: uint32(binary.BigEndian.Uint16(data[3:])) << (data[0] >> 4), Ticks: uint32(data[5]) * 24,
				Marker: data[0]&2 != 0, Untimed: data[0]&4 != 0, Payload: data[:1],
			}
			b.Put(p, now)
			now = now.Add(time.Duration(data[6]) * ms)
			for range data[7] % 4 {
				b.Get(now, 0, 960)
				b.Excess(now, 0)
			}
		}
	})
}

func BenchmarkPutGet(b *testing.B) {
	buf := New(Config{ClockRate: 8000})
	p := Packet{SSRC: 1, Ticks: frame, Payload: make([]byte, 160)}
	now := start
	b.ReportAllocs()
	for b.Loop() {
		buf.Put(p, now)
		p.Seq++
		p.Timestamp += frame
		buf.Get(now, 0, frame)
		buf.Excess(now, 0)
		now = now.Add(20 * ms)
	}
}

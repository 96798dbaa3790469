package transcode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

const ms = time.Millisecond

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func format(name string, ptime time.Duration, fmtp ...string) Format {
	f := Format{Name: name, ClockRate: 8000, PTime: ptime}
	if name == "opus" {
		f.ClockRate, f.Channels = 48000, 2
	}
	for i := 0; i < len(fmtp); i += 2 {
		f.Parameters = append(f.Parameters, codec.Parameter{Name: fmtp[i], Value: fmtp[i+1]})
	}
	return f
}

// timed is a packet and when it comes.
type timed struct {
	at time.Duration
	Packet
}

// sender makes packets of pcm.
func sender(t testing.TB, f Format, rate int, pcm []int16) []timed {
	t.Helper()
	e, err := codec.NewEncoder(f, rate)
	require.NoError(t, err)
	defer e.Close()
	n := int(f.Packet() * time.Duration(rate) / time.Second)
	var all []timed
	seq, ts := uint16(65000), uint32(1<<32-100000)
	for i := 0; i+n <= len(pcm); i += n {
		p, err := e.Encode(nil, pcm[i:i+n])
		require.NoError(t, err)
		if len(p) > 0 {
			all = append(all, timed{
				time.Duration(i) * time.Second / time.Duration(rate),
				Packet{Kind: KindAudio, Marker: len(all) == 0, Seq: seq, Timestamp: ts, SSRC: 7, Payload: p},
			})
			seq++
		}
		ts += uint32(int64(f.Packet()) * int64(f.ClockRate) / int64(time.Second))
	}
	return all
}

// drive plays packets through a direction for a time and gives what goes out, and when.
func drive(t testing.TB, d *Direction, in []timed, length time.Duration) []timed {
	t.Helper()
	slices.SortStableFunc(in, func(a, b timed) int { return int(a.at - b.at) })
	var out []timed
	for now := 3 * ms; now < length; now += d.PTime() {
		for len(in) > 0 && in[0].at <= now {
			d.Push(in[0].Packet, start.Add(in[0].at))
			in = in[1:]
		}
		got := d.Pull(start.Add(now))
		require.LessOrEqual(t, len(got), 2)
		for _, p := range got {
			p.Payload = slices.Clone(p.Payload)
			out = append(out, timed{now, p})
		}
	}
	return out
}

// receiver decodes what goes out, silence where nothing was sent.
func receiver(t testing.TB, f Format, rate int, out []timed) []int16 {
	t.Helper()
	d, err := codec.NewDecoder(f, rate)
	require.NoError(t, err)
	defer d.Close()
	var pcm []int16
	first := true
	var begin uint32
	for _, p := range out {
		if p.Kind != KindAudio {
			continue
		}
		if first {
			begin, first = p.Timestamp, false
		}
		at := int(int64(p.Timestamp-begin) * int64(rate) / int64(f.ClockRate))
		require.GreaterOrEqual(t, at, len(pcm))
		pcm = append(pcm, make([]int16, at-len(pcm))...)
		pcm, err = d.Decode(pcm, p.Payload)
		require.NoError(t, err)
	}
	return pcm
}

// continuous checks that sequence numbers have no gaps and sound has its timestamps.
func continuous(t *testing.T, d *Direction, to Format, out []timed) {
	t.Helper()
	step := uint32(int64(d.PTime()) * int64(to.ClockRate) / int64(time.Second))
	for i := 1; i < len(out); i++ {
		require.Equal(t, out[i-1].Seq+1, out[i].Seq)
		if out[i].Kind == KindAudio && out[i-1].Kind == KindAudio {
			gap := out[i].Timestamp - out[i-1].Timestamp
			require.Zero(t, gap%step)
			require.Equal(t, gap > step, out[i].Marker)
		}
	}
}

var names = []string{"PCMU", "PCMA", "G722", "opus"}

// Every pair, every packet time: the sound arrives, at its level, with little delay,
// without a hole.
func TestPairs(t *testing.T) {
	for _, a := range names {
		for _, b := range names {
			times := [][2]time.Duration{{20 * ms, 20 * ms}}
			if a == "PCMU" || a == "opus" && b == "PCMA" {
				times = append(times, [][2]time.Duration{{10 * ms, 60 * ms}, {60 * ms, 10 * ms}, {30 * ms, 20 * ms}, {20 * ms, 30 * ms}, {40 * ms, 20 * ms}}...)
			}
			for _, p := range times {
				from, to := format(a, p[0]), format(b, p[1])
				t.Run(fmt.Sprintf("%s %v to %s %v", a, from.Packet(), b, to.Packet()), func(t *testing.T) {
					d, err := New(from, to, Options{Seq: 65500, Timestamp: 1<<32 - 40000})
					require.NoError(t, err)
					defer d.Close()
					rate := codec.Rate(from, to)
					// After some 230 packets the buffer knows its delay and leaves out a period.
					length, settled := 2900*ms, 4*rate/10
					if from.Packet() == 10*ms {
						length, settled = 5900*ms, 4*rate
					}
					pcm := tone.Speech(nil, rate, length, -20, 9)
					out := drive(t, d, sender(t, from, rate, pcm), length)
					continuous(t, d, to, out)
					require.Equal(t, uint16(65500), out[0].Seq)
					require.Equal(t, uint32(1<<32-40000), out[0].Timestamp)
					require.True(t, out[0].Marker)
					heard := receiver(t, to, rate, out)
					// After 160 packets the buffer knows its delay and may leave out a period.
					delay, alike := tone.Delay(pcm[settled:], heard[settled:], rate, 300*ms)
					require.Greater(t, alike, 0.8)
					require.Less(t, delay, 20*ms+10*ms+to.Packet()+max(to.Packet()-from.Packet(), 0)+10*ms)
					require.InDelta(t, tone.Level(pcm[:len(heard)]), tone.Level(heard), 1)
					s := d.Stats(start.Add(4 * time.Second))
					require.Zero(t, s.Lost+s.Late+s.Malformed+s.Lengthened)
					require.LessOrEqual(t, s.Shortened, uint64(2))
					t.Logf("delay %v, alike %.3f, %v", delay, alike, s.Target)

					sine := drive2(t, from, to, tone.Sine(nil, rate, time.Second, 440, -15))
					require.InDelta(t, 440, tone.Frequency(sine[rate/4:], rate), 2)
					require.InDelta(t, -15, tone.Level(sine[rate/4:]), 1.5)
					require.Empty(t, tone.Gaps(sine[rate/4:], rate, -30, 2*ms))
				})
			}
		}
	}
}

func drive2(t *testing.T, from, to Format, pcm []int16) []int16 {
	t.Helper()
	d, err := New(from, to, Options{})
	require.NoError(t, err)
	defer d.Close()
	rate := codec.Rate(from, to)
	return receiver(t, to, rate, drive(t, d, sender(t, from, rate, pcm), time.Second))
}

// A bad network: 5 % lost, 40 ms of jitter, some twice. The sound stays.
func TestBadNetwork(t *testing.T) {
	for _, a := range names {
		for _, b := range []string{"PCMA", "opus"} {
			if b == "opus" && a != "G722" {
				continue
			}
			from, to := format(a, 20*ms), format(b, 20*ms)
			d, err := New(from, to, Options{})
			require.NoError(t, err)
			rate := codec.Rate(from, to)
			pcm := tone.Sine(nil, rate, 8*time.Second, 600, -15)
			r := rand.New(rand.NewPCG(3, 4))
			var in []timed
			for _, p := range sender(t, from, rate, pcm) {
				p.at += time.Duration(r.IntN(40)) * ms
				if r.IntN(20) > 0 {
					in = append(in, p)
				}
				if r.IntN(30) == 0 {
					p.at += 3 * ms
					in = append(in, p)
				}
			}
			out := drive(t, d, in, 8*time.Second)
			continuous(t, d, to, out)
			heard := receiver(t, to, rate, out)
			s := d.Stats(start.Add(8 * time.Second))
			gaps := tone.Gaps(heard[4*rate:], rate, -35, 25*ms)
			t.Logf("%s to %s: %d lost, %d late, %v concealed, delay %v of %v, %d shorter, %d longer, level %.1f, %d gaps", a, b, s.Lost, s.Late, s.Concealed, s.Delay, s.Target, s.Shortened, s.Lengthened, tone.Level(heard[4*rate:]), len(gaps))
			require.InDelta(t, 600, tone.Frequency(heard[4*rate:], rate), 8)
			if a != "opus" { // which takes a lost sine for noise, and predicts what follows from that
				require.Empty(t, gaps)
				require.InDelta(t, -15, tone.Level(heard[4*rate:]), 2)
			}
			require.InDelta(t, 20, float64(s.Lost), 15)
			require.LessOrEqual(t, s.Target, 100*ms)
			require.NotZero(t, s.Duplicate)
			d.Close()
		}
	}
}

// A sender whose clock is 1000 ppm off for two minutes: nothing is lost, the delay holds,
// the tone is the same.
func TestDrift(t *testing.T) {
	for _, drift := range []float64{-0.001, 0.001} {
		from, to := format("PCMU", 20*ms), format("PCMA", 20*ms)
		d, err := New(from, to, Options{})
		require.NoError(t, err)
		in := sender(t, from, 8000, tone.Sine(nil, 8000, 60*time.Second, 500, -15))
		for i := range in {
			in[i].at = time.Duration(float64(in[i].at) * (1 + drift))
		}
		heard := receiver(t, to, 8000, drive(t, d, in, 59*time.Second))
		s := d.Stats(start.Add(59 * time.Second))
		t.Logf("%+v", s)
		require.Zero(t, s.Lost+s.Late+s.Dropped)
		require.Less(t, s.Concealed, 500*ms)
		require.NotZero(t, s.Shortened+s.Lengthened)
		require.Less(t, s.Delay, 80*ms)
		require.Empty(t, tone.Gaps(heard[8000:], 8000, -30, 2*ms))
		require.InDelta(t, 500, tone.Frequency(heard[8000:], 8000), 2)
		d.Close()
	}
}

// Comfort noise is heard from its packet to the next sound.
func TestComfortNoise(t *testing.T) {
	from, to := format("PCMU", 20*ms), format("PCMA", 20*ms)
	d, err := New(from, to, Options{})
	require.NoError(t, err)
	defer d.Close()
	all := sender(t, from, 8000, tone.Sine(nil, 8000, 3*time.Second, 500, -15))
	in := slices.Clone(all[:50])
	cn := all[50]
	cn.Kind, cn.Payload = KindComfortNoise, []byte{45}
	in = append(in, cn)
	for _, p := range all[100:] {
		p.Seq -= 49
		p.Marker = p.Seq == all[51].Seq
		in = append(in, p)
	}
	heard := receiver(t, to, 8000, drive(t, d, in, 3*time.Second))
	require.InDelta(t, -42, tone.Level(heard[8000*1200/1000:8000*1900/1000]), 2)
	require.InDelta(t, -15, tone.Level(heard[8000*2200/1000:]), 1)
	s := d.Stats(start)
	require.Zero(t, s.Lost)
	require.Zero(t, s.Concealed)
}

// Opus does not send silence (DTX): G.711 goes on, and when the receiver asked for it
// silence is not sent to it either.
func TestDTX(t *testing.T) {
	pcm := tone.Speech(nil, 8000, time.Second, -20, 5)
	pcm = tone.Silence(pcm, 8000, 3*time.Second)
	pcm = tone.Speech(pcm, 8000, time.Second, -20, 6)

	from, to := format("opus", 20*ms, "usedtx", "1"), format("PCMA", 20*ms)
	d, err := New(from, to, Options{})
	require.NoError(t, err)
	in := sender(t, from, 8000, pcm)
	require.Less(t, len(in), 160)
	out := drive(t, d, in, 5*time.Second)
	require.GreaterOrEqual(t, len(out), 246)
	continuous(t, d, to, out)
	heard := receiver(t, to, 8000, out)
	require.Less(t, tone.Level(heard[2*8000:3*8000]), -50.0)
	require.Greater(t, tone.Level(heard[8000*41/10:]), -26.0)
	require.Zero(t, d.Stats(start).Lost)
	d.Close()

	d, err = New(to, from, Options{})
	require.NoError(t, err)
	out = drive(t, d, sender(t, to, 8000, pcm), 5*time.Second)
	require.Less(t, len(out), 180)
	continuous(t, d, from, out)
	heard = receiver(t, from, 8000, out)
	_, alike := tone.Delay(pcm[:8000], heard, 8000, 100*ms)
	require.Greater(t, alike, 0.8)
	d.Close()
}

// A new source, and one whose clock jumps, is heard at once; what goes out goes on.
func TestSourceChanges(t *testing.T) {
	from, to := format("PCMU", 20*ms), format("opus", 20*ms)
	d, err := New(from, to, Options{})
	require.NoError(t, err)
	defer d.Close()
	all := sender(t, from, 8000, tone.Sine(nil, 8000, 6*time.Second, 500, -15))
	for i := 100; i < len(all); i++ {
		all[i].SSRC, all[i].Seq, all[i].Timestamp = 9, all[i].Seq+12345, all[i].Timestamp+99
	}
	for i := 200; i < len(all); i++ {
		all[i].Timestamp += 1 << 30
	}
	out := drive(t, d, all, 6*time.Second)
	continuous(t, d, to, out)
	require.Len(t, out, 300)
	heard := receiver(t, to, 8000, out)
	require.Empty(t, tone.Gaps(heard[4000:], 8000, -35, 70*ms))
	require.EqualValues(t, 1, d.Stats(start).Restarts)
}

func TestRefused(t *testing.T) {
	_, err := New(Format{Name: "speex", ClockRate: 8000}, format("PCMA", 0), Options{})
	require.ErrorIs(t, err, codec.ErrUnsupported)
	_, err = New(format("PCMA", 0), Format{Name: "opus", ClockRate: 8000}, Options{})
	require.ErrorIs(t, err, codec.ErrUnsupported)

	d, err := New(format("opus", 0), format("PCMA", 0), Options{})
	require.NoError(t, err)
	defer d.Close()
	require.Empty(t, d.Pull(start))
	d.Push(Packet{Kind: KindAudio}, start)
	d.Push(Packet{Kind: KindAudio, Payload: []byte{0xff, 0xff}}, start)
	d.Push(Packet{Kind: KindEvent, Payload: []byte{1, 0, 0, 10}}, start) // not negotiated
	d.Push(Packet{Kind: KindComfortNoise, Payload: make([]byte, 1000)}, start)
	d.Push(Packet{}, start)
	require.Empty(t, d.Pull(start))
	require.EqualValues(t, 4, d.Stats(start).Malformed)
}

func FuzzPush(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, name := range names {
			d, err := New(format(name, 20*ms), format("PCMA", 20*ms), Options{EventClockIn: 48000, EventClockOut: 8000})
			if err != nil {
				panic(err)
			}
			now := start
			for b := data; len(b) >= 8; b = b[8:] {
				n := min(int(b[0]>>2), len(b))
				d.Push(Packet{
					Kind: Kind(b[0]&3) + 1, Seq: uint16(b[1]), SSRC: uint32(b[2] & 1), Marker: b[2]&2 != 0,
					Timestamp: uint32(b[3]) * uint32(b[4]) << (b[2] >> 3), Payload: b[:n],
				}, now)
				now = now.Add(time.Duration(b[5]) * ms)
				for range b[6] % 4 {
					d.Pull(now)
				}
			}
			d.Close()
		}
	})
}

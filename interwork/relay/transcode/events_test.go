package transcode

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

// press is a key as a phone sends it: an update every 20 ms, the end three times.
func press(seq *uint16, code byte, at, length time.Duration, ts uint32, clock int) []timed {
	var all []timed
	add := func(when, d time.Duration, end, marker bool) {
		n := int64(d) * int64(clock) / int64(time.Second)
		p := Packet{Kind: KindEvent, Marker: marker, Seq: *seq, Timestamp: ts, SSRC: 7}
		// Longer than 16 bits: segments.
		for n > 0xffff {
			n -= 0xffff
			p.Timestamp += 0xffff
		}
		p.Payload = []byte{code, 10, byte(n >> 8), byte(n)}
		if end {
			p.Payload[1] |= 0x80
		}
		*seq++
		all = append(all, timed{when, p})
	}
	for d := 20 * ms; d < length; d += 20 * ms {
		add(at+d, d, false, d == 20*ms)
	}
	for i := range 3 {
		add(at+length+time.Duration(i)*20*ms, length, true, false)
	}
	return all
}

// withKeys replaces the sound of a stream by keys, as phones do.
func withKeys(all []timed, clockRate, clock int, keys ...pressed) []timed {
	var in []timed
	seq, first := all[0].Seq, all[0].Timestamp
	next := 0
	for _, p := range all {
		for next < len(keys) && p.at >= keys[next].at {
			k := keys[next]
			ts := first + uint32(int64(k.at)*int64(clockRate)/int64(time.Second))
			in = append(in, press(&seq, k.code, k.at, k.length, ts, clock)...)
			next++
		}
		if next > 0 && p.at < keys[next-1].at+keys[next-1].length+60*ms {
			continue
		}
		p.Seq = seq
		seq++
		in = append(in, p)
	}
	return in
}

type pressed struct {
	code       byte
	at, length time.Duration
}

// event is what a receiver makes of the event packets of one key.
type event struct {
	code     byte
	length   time.Duration
	packets  int
	ends     int
	segments int
	begin    time.Duration
}

func events(t require.TestingT, out []timed, clockRate, clock int) []event {
	var all []event
	var ts, last uint32
	for _, p := range out {
		if p.Kind != KindEvent {
			continue
		}
		require.Len(t, p.Payload, 4)
		n := uint32(p.Payload[2])<<8 | uint32(p.Payload[3])
		if len(all) == 0 || p.Timestamp != ts {
			continued := len(all) > 0 && all[len(all)-1].ends == 0 && p.Timestamp-ts == last*uint32(clockRate/clock)
			require.Equal(t, !continued, p.Marker)
			if !continued {
				all = append(all, event{code: p.Payload[0], begin: p.at})
			} else {
				all[len(all)-1].length += time.Duration(last) * time.Second / time.Duration(clock)
				all[len(all)-1].segments++
			}
			ts, last = p.Timestamp, 0
		} else {
			require.False(t, p.Marker)
		}
		e := &all[len(all)-1]
		require.Equal(t, e.code, p.Payload[0])
		require.GreaterOrEqual(t, n, last)
		last = n
		e.packets++
		if p.Payload[1]&0x80 != 0 {
			if e.ends++; e.ends == 1 {
				e.length += time.Duration(n) * time.Second / time.Duration(clock)
			}
		} else {
			require.Zero(t, e.ends, "an update after the end")
		}
	}
	return all
}

// Keys cross clock rates with their durations, and end three times.
func TestKeys(t *testing.T) {
	for _, c := range []struct {
		from, to string
		in, out  int // clocks
	}{
		{"opus", "PCMU", 48000, 8000},
		{"PCMA", "opus", 8000, 48000},
		{"opus", "PCMA", 8000, 8000}, // as baresip has it
		{"G722", "opus", 8000, 8000},
		{"PCMU", "PCMA", 8000, 8000},
	} {
		t.Run(fmt.Sprintf("%s %d to %s %d", c.from, c.in, c.to, c.out), func(t *testing.T) {
			from, to := format(c.from, 20*ms), format(c.to, 20*ms)
			var told []pressed
			d, err := New(from, to, Options{EventClockIn: c.in, EventClockOut: c.out, Digit: func(b byte, length time.Duration) {
				told = append(told, pressed{code: b, length: length})
			}})
			require.NoError(t, err)
			defer d.Close()
			rate := codec.Rate(from, to)
			keys := []pressed{
				{5, 500 * ms, 100 * ms},
				{11, 1000 * ms, 240 * ms},
				{0, 1500 * ms, 65 * ms},
				{15, 2000 * ms, 3 * time.Second},
				{15, 5200 * ms, 130 * ms},
			}
			all := withKeys(sender(t, from, rate, tone.Sine(nil, rate, 7*time.Second, 440, -15)), from.ClockRate, c.in, keys...)
			out := drive(t, d, all, 7*time.Second)
			for i := 1; i < len(out); i++ {
				require.Equal(t, out[i-1].Seq+1, out[i].Seq)
			}
			got := events(t, out, to.ClockRate, c.out)
			require.Len(t, got, len(keys))
			for i, e := range got {
				require.Equal(t, keys[i].code, e.code)
				require.InDelta(t, float64(keys[i].length/ms), float64(e.length/ms), 1)
				require.Equal(t, 3, e.ends)
				require.InDelta(t, float64((keys[i].at+20*ms)/ms), float64(e.begin/ms), 25)
				require.Equal(t, tone.Digits[keys[i].code], told[i].code)
				require.InDelta(t, float64(keys[i].length/ms), float64(told[i].length/ms), 1)
			}
			require.Equal(t, c.out == 48000, got[3].segments > 0)

			// While a key is down there is no sound.
			for _, p := range out {
				if p.Kind == KindAudio && p.at > got[3].begin && p.at < got[3].begin+2900*ms {
					t.Fatalf("sound at %v", p.at)
				}
			}
			s := d.Stats(start)
			require.Zero(t, s.Lost+s.Malformed+s.Late)
			heard := receiver(t, to, rate, out)
			require.InDelta(t, -15, tone.Level(heard[rate*6:]), 1.5)
		})
	}
}

// Lost packets of a key do not matter as long as one comes; if no end comes it ends by
// itself.
func TestKeyLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seq uint16
		all := press(&seq, 7, 0, 200*ms, 5000, 8000)
		var in []timed
		last := 0
		for i, p := range all {
			if rapid.IntRange(0, 2).Draw(t, "lost") > 0 {
				in = append(in, p)
				last = i
			}
		}
		told := 0
		d, err := New(format("PCMU", 20*ms), format("PCMA", 20*ms), Options{EventClockIn: 8000, EventClockOut: 8000, Digit: func(byte, time.Duration) { told++ }})
		if err != nil {
			t.Fatal(err)
		}
		var out []timed
		for now := 1 * ms; now < time.Second; now += 20 * ms {
			for len(in) > 0 && in[0].at <= now {
				d.Push(in[0].Packet, start.Add(in[0].at))
				in = in[1:]
			}
			for _, p := range d.Pull(start.Add(now)) {
				p.Payload = append([]byte(nil), p.Payload...)
				out = append(out, timed{now, p})
			}
		}
		got := events(t, out, 8000, 8000)
		if last == 0 && len(got) == 0 {
			return
		}
		require.Len(t, got, 1)
		require.Equal(t, 1, told)
		require.Equal(t, 3, got[0].ends)
		require.LessOrEqual(t, got[0].length, 200*ms)
	})
}

func TestSendDTMF(t *testing.T) {
	from, to := format("PCMU", 20*ms), format("opus", 20*ms)
	d, err := New(from, to, Options{EventClockOut: 48000})
	require.NoError(t, err)
	defer d.Close()
	require.False(t, d.SendDTMF('x', 100*ms))
	for _, c := range []byte("1#") {
		require.True(t, d.SendDTMF(c, 100*ms))
	}
	require.True(t, d.SendDTMF('9', 0))
	out := drive(t, d, nil, time.Second)
	got := events(t, out, 48000, 48000)
	require.Len(t, got, 3)
	require.Equal(t, []byte{1, 11, 9}, []byte{got[0].code, got[1].code, got[2].code})
	require.Equal(t, 100*ms, got[0].length)
	require.Equal(t, 40*ms, got[2].length)
	require.GreaterOrEqual(t, got[1].begin-got[0].begin, 140*ms)
	for range maxKeys {
		require.True(t, d.SendDTMF('5', 100*ms))
	}
	require.False(t, d.SendDTMF('5', 100*ms))
}

// To a receiver without events a key is a tone in the sound; from a sender without, the
// tone is found.
func TestTones(t *testing.T) {
	for _, name := range names {
		from, to := format("PCMU", 20*ms), format(name, 20*ms)
		d, err := New(from, to, Options{EventClockIn: 8000})
		require.NoError(t, err)
		in := withKeys(sender(t, from, 8000, tone.Speech(nil, 8000, 3*time.Second, -20, 2)), 8000, 8000,
			pressed{3, 500 * ms, 100 * ms}, pressed{10, 1500 * ms, 200 * ms})
		out := drive(t, d, in, 3*time.Second)
		require.Empty(t, events(t, out, to.ClockRate, to.ClockRate))
		d.Close()

		var told []pressed
		back, err := New(to, format("PCMA", 20*ms), Options{Detect: true, EventClockOut: 8000, Digit: func(b byte, l time.Duration) {
			told = append(told, pressed{code: b, length: l})
		}})
		require.NoError(t, err)
		for i := range out {
			out[i].at += 2 * ms
		}
		again := drive(t, back, out, 3*time.Second)
		got := events(t, again, 8000, 8000)
		require.Len(t, got, 2, name)
		require.Len(t, told, 2)
		for i, want := range []pressed{{'3', 0, 100 * ms}, {'*', 0, 200 * ms}} {
			require.Equal(t, want.code, told[i].code)
			require.InDelta(t, float64(want.length/ms), float64(told[i].length/ms), 45, name)
			require.InDelta(t, float64(want.length/ms), float64(got[i].length/ms), 45, name)
			require.Equal(t, 3, got[i].ends)
		}
		back.Close()
	}
}

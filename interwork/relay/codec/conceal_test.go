package codec

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

var formats = []struct {
	name  string
	f     Format
	rates []int
}{
	{"PCMU", Format{Name: "PCMU", ClockRate: 8000}, []int{8000}},
	{"PCMA", Format{Name: "pcma", ClockRate: 8000, Channels: 1}, []int{8000}},
	{"G722", Format{Name: "G722", ClockRate: 8000}, []int{8000, 16000}},
	{"opus", Format{Name: "OPUS", ClockRate: 48000, Channels: 2}, []int{8000, 16000}},
}

// One packet in twenty is lost; a tone stays a tone.
func TestConcealTone(t *testing.T) {
	for _, c := range formats {
		for _, rate := range c.rates {
			for _, hz := range []float64{317, 1000} {
				pcm := tone.Sine(nil, rate, time.Second, hz, -12)
				packets := encodeAll(t, c.f, rate, 20*time.Millisecond, pcm)
				d, err := NewDecoder(c.f, rate)
				require.NoError(t, err)
				var out []int16
				for i, p := range packets {
					if i%20 == 10 {
						out = d.Conceal(out, rate/50, packets[i+1])
					} else if out, err = d.Decode(out, p); err != nil {
						t.Fatal(err)
					}
				}
				d.Close()
				require.Len(t, out, len(pcm))
				if c.name != "opus" { // it takes a lost sine for noise; speech is another matter, see TestConcealSpeech
					require.Empty(t, tone.Gaps(out[rate/10:], rate, -24, 2*time.Millisecond), "%s at %d Hz, %v Hz", c.name, rate, hz)
				}
				require.InDelta(t, hz, tone.Frequency(out[rate/10:], rate), 3)
				require.InDelta(t, -12, tone.Level(out[rate/10:]), 1)
				// No clicks: a sine has no steps much larger than its own.
				step := 0
				for i := rate / 10; i < len(out)-1; i++ {
					step = max(step, int(out[i+1])-int(out[i]), int(out[i])-int(out[i+1]))
				}
				own := 8231 * 2 * 3.1416 * hz / float64(rate)
				t.Logf("%s at %d Hz, %v Hz: largest step %d, of the sine %.0f", c.name, rate, hz, step, own)
				require.Less(t, float64(step), 2.5*own+800)
			}
		}
	}
}

// Speech with a lost packet in twenty is much more like itself than with silence there.
func TestConcealSpeech(t *testing.T) {
	for _, c := range formats {
		for _, rate := range c.rates {
			pcm := tone.Speech(nil, rate, 2900*time.Millisecond, -14, 21)
			packets := encodeAll(t, c.f, rate, 20*time.Millisecond, pcm)
			lossy := func(conceal bool) (out []int16) {
				d, err := NewDecoder(c.f, rate)
				require.NoError(t, err)
				defer d.Close()
				for i, p := range packets {
					switch {
					case i%20 != 10:
						out, err = d.Decode(out, p)
						require.NoError(t, err)
					case conceal:
						out = d.Conceal(out, rate/50, nil)
					default:
						out = silence(out, rate/50)
					}
				}
				return out
			}
			whole := decodeAll(t, c.f, rate, packets)
			_, with := tone.Delay(whole, lossy(true), rate, 0)
			_, without := tone.Delay(whole, lossy(false), rate, 0)
			t.Logf("%s at %d Hz: alike %.4f, with silence %.4f", c.name, rate, with, without)
			require.Greater(t, with, 0.88)
			require.Greater(t, tone.Level(lossy(true)), tone.Level(whole)-1.5)
		}
	}
}

// A long loss fades, and sound comes back.
func TestConcealLong(t *testing.T) {
	for _, c := range formats {
		for _, rate := range c.rates {
			packets := encodeAll(t, c.f, rate, 20*time.Millisecond, tone.Sine(nil, rate, time.Second, 400, -12))
			d, err := NewDecoder(c.f, rate)
			require.NoError(t, err)
			require.Len(t, d.Conceal(nil, rate/50, nil), rate/50)
			require.Empty(t, d.Conceal(nil, 0, nil))
			var out []int16
			for _, p := range packets[:25] {
				out, err = d.Decode(out, p)
				require.NoError(t, err)
			}
			lost := d.Conceal(nil, rate/2+7, nil)
			require.Len(t, lost, rate/2+7)
			require.Greater(t, tone.Level(lost[:rate/100]), -20.0, c.name)
			require.Less(t, tone.Level(lost[rate/4:]), -40.0, c.name)
			out = out[:0]
			for _, p := range packets[25:] {
				out, err = d.Decode(out, p)
				require.NoError(t, err)
			}
			require.InDelta(t, -12, tone.Level(out[rate/10:]), 1.5, c.name)
			d.Close()
		}
	}
}

func TestPeriod(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, hz := range []float64{80, 100, 160, 250, 390} {
			p := Period(tone.Sine(nil, rate, 40*time.Millisecond, hz, -10), rate)
			want := float64(rate) / hz
			near := false
			for k := 1.0; k*want < float64(rate)*0.0152; k++ {
				near = near || max(float64(p)-k*want, k*want-float64(p)) < 0.04*want+1.5
			}
			require.True(t, near, "%v Hz at %d: %d of %.1f", hz, rate, p, want)
		}
	}
	require.NotZero(t, Period(nil, 8000))
	require.NotZero(t, Period(make([]int16, 320), 8000))
}

func TestNoise(t *testing.T) {
	var n Noise
	require.Equal(t, make([]int16, 160), n.Fill(nil, 160))
	for _, c := range []struct {
		payload []byte
		level   float64
	}{
		{[]byte{40}, -37}, // dBov is of the square wave, ours is of the sine
		{[]byte{0x80 | 60}, -57},
		{[]byte{50, 200, 90, 140}, -47},
		{append([]byte{50}, make([]byte, 200)...), -47},
	} {
		n.Set(c.payload)
		n.Set(nil)
		require.InDelta(t, c.level, tone.Level(n.Fill(nil, 16000)[800:]), 2.5, "%v", c.payload)
	}
	// The first coefficient colours: low against high.
	n.Set([]byte{30, 40})
	dark := n.Fill(nil, 16000)
	n.Set([]byte{30, 214})
	bright := n.Fill(nil, 16000)
	crossings := func(pcm []int16) (k int) {
		for i := range len(pcm) - 1 {
			if pcm[i] < 0 != (pcm[i+1] < 0) {
				k++
			}
		}
		return k
	}
	require.Greater(t, crossings(bright[800:]), 2*crossings(dark[800:]))
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		f    Format
		rate int
	}{
		{Format{Name: "PCMU", ClockRate: 16000}, 16000},
		{Format{Name: "PCMU", ClockRate: 8000}, 16000},
		{Format{Name: "PCMU", ClockRate: 8000, Channels: 2}, 8000},
		{Format{Name: "G722", ClockRate: 16000}, 16000},
		{Format{Name: "opus", ClockRate: 48000}, 48000},
		{Format{Name: "opus", ClockRate: 16000}, 16000},
		{Format{Name: "speex", ClockRate: 8000}, 8000},
		{Format{}, 8000},
	} {
		_, err := NewEncoder(c.f, c.rate)
		require.ErrorIs(t, err, ErrUnsupported)
		_, err = NewDecoder(c.f, c.rate)
		require.ErrorIs(t, err, ErrUnsupported)
	}
	require.True(t, Supported("Opus"))
	require.False(t, Supported("iLBC"))
	pcmu, g722, opus := formats[0].f, formats[2].f, formats[3].f
	require.Equal(t, 8000, Rate(opus, pcmu))
	require.Equal(t, 16000, Rate(opus, g722))
	for ms, want := range map[int]int{0: 20, 5: 10, 10: 10, 20: 20, 30: 30, 35: 30, 40: 40, 60: 60, 120: 60} {
		pcmu.PTime = time.Duration(ms) * time.Millisecond
		require.Equal(t, time.Duration(want)*time.Millisecond, pcmu.Packet(), "%d", ms)
	}
	opus.PTime = 30 * time.Millisecond
	require.Equal(t, 20*time.Millisecond, opus.Packet())

	e, err := NewEncoder(opus, 8000)
	require.NoError(t, err)
	for _, n := range []int{0, 1, 100, 240, 5000} {
		_, err = e.Encode(nil, make([]int16, n))
		require.Error(t, err, "%d", n)
	}
	_, err = e.Encode(nil, make([]int16, 160))
	require.NoError(t, err)
}

func FuzzDecode(f *testing.F) {
	for i, c := range formats {
		rate := c.rates[len(c.rates)-1]
		for _, p := range encodeAll(f, c.f, rate, 20*time.Millisecond, tone.Speech(nil, rate, 100*time.Millisecond, -10, 1)) {
			f.Add(uint8(i), p, p)
		}
	}
	f.Add(uint8(3), []byte{0xff}, []byte{0x03, 0xff})
	f.Add(uint8(3), []byte{}, []byte{0x08})
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		c := formats[int(which)%len(formats)]
		for _, rate := range c.rates {
			d, err := NewDecoder(c.f, rate)
			require.NoError(t, err)
			for _, p := range [][]byte{first, second, first} {
				n := d.Samples(p)
				out, err := d.Decode(nil, p)
				if err != nil {
					require.ErrorIs(t, err, ErrPayload)
					require.Empty(t, out)
				} else {
					require.Len(t, out, n)
				}
				require.LessOrEqual(t, n, rate*MaxPayloadMillis/1000)
				require.Len(t, d.Conceal(nil, 2*rate/50, second), 2*rate/50)
			}
			d.Close()
		}
	})
}

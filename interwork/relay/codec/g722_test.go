package codec

import (
	"math"
	"testing"
	"time"

	"github.com/gotranspile/g722"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

// An independent implementation has the same bits, at both rates, as long as nothing
// overflows in it.
func TestG722AgainstOther(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		var flags g722.Flags
		if rate == 8000 {
			flags = g722.FlagSampleRate8000
		}
		for name, pcm := range map[string][]int16{
			"speech": tone.Speech(nil, rate, 2*time.Second, -6, 1),
			"sweep":  tone.Sweep(nil, rate, 2*time.Second, 50, 0.45*float64(rate), -9),
			"quiet":  tone.Speech(nil, rate, time.Second, -50, 2),
		} {
			want := g722.Encode(pcm, g722.Rate64000, flags)
			got, err := newG722Encoder(rate).Encode(nil, pcm)
			require.NoError(t, err)
			require.Equal(t, want, got, name)

			heard := g722.Decode(want, g722.Rate64000, flags)
			d := newG722Decoder(rate)
			var ours []int16
			for p := got; len(p) > 0; p = p[min(160, len(p)):] {
				ours, err = d.Decode(ours, p[:min(160, len(p))])
				require.NoError(t, err)
			}
			require.Equal(t, heard, ours, name)
		}
	}
}

func TestG722Quality(t *testing.T) {
	for _, c := range []struct {
		rate int
		hz   float64
		snr  float64
	}{
		{16000, 1000, 30},
		{16000, 3000, 20},
		{16000, 6000, 10}, // two bits a sample
		{8000, 1000, 30},
	} {
		pcm := tone.Sine(nil, c.rate, time.Second, c.hz, -10)
		p, err := newG722Encoder(c.rate).Encode(nil, pcm)
		require.NoError(t, err)
		var out []int16
		d := newG722Decoder(c.rate)
		for ; len(p) > 0; p = p[160:] {
			out, err = d.Decode(out, p[:160])
			require.NoError(t, err)
		}
		snr := tone.SNR(pcm[c.rate/10:c.rate/2], out[c.rate/10:], c.rate, 5*time.Millisecond)
		t.Logf("%d Hz at %d Hz: %.1f dB", int(c.hz), c.rate, snr)
		require.Greater(t, snr, c.snr, "%v", c)
		require.InDelta(t, -10, tone.Level(out[c.rate/10:]), 0.5)
		require.InDelta(t, c.hz, tone.Frequency(out[c.rate/10:], c.rate), 1)
	}
}

// The two rates are the same codec: what one encodes the other decodes, at its level.
func TestG722AcrossRates(t *testing.T) {
	pass := func(from, to int) []int16 {
		p, err := newG722Encoder(from).Encode(nil, tone.Sine(nil, from, time.Second, 1000, -10))
		require.NoError(t, err)
		var out []int16
		d := newG722Decoder(to)
		for ; len(p) > 0; p = p[160:] {
			out, err = d.Decode(out, p[:160])
			require.NoError(t, err)
		}
		return out[to/10:]
	}
	for _, c := range [][2]int{{16000, 8000}, {8000, 16000}} {
		out := pass(c[0], c[1])
		require.InDelta(t, -10, tone.Level(out), 1, "%v", c)
		require.InDelta(t, 1000, tone.Frequency(out, c[1]), 1, "%v", c)
	}
}

// Full scale saturates. (The implementation above wraps around.)
func TestG722Loud(t *testing.T) {
	square := make([]int16, 16000)
	for i := range square {
		if square[i] = 32767; i/20%2 == 0 {
			square[i] = -32768
		}
	}
	p, err := newG722Encoder(16000).Encode(nil, square)
	require.NoError(t, err)
	var out []int16
	d := newG722Decoder(16000)
	for ; len(p) > 0; p = p[160:] {
		out, err = d.Decode(out, p[:160])
		require.NoError(t, err)
	}
	wrong := 0
	for i := 2000; i < len(out)-40; i++ {
		if at := (i + 20 - 22) % 20; at > 6 && at < 14 && math.Abs(float64(out[i])) < 10000 {
			wrong++
		}
	}
	require.Zero(t, wrong)
}

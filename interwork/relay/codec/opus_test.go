package codec

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/opus"
	"github.com/stretchr/testify/require"
	"github.com/thesyncim/gopus"

	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

func opusFormat(fmtp ...string) Format {
	f := Format{Name: "opus", ClockRate: 48000, Channels: 2}
	for i := 0; i < len(fmtp); i += 2 {
		f.Parameters = append(f.Parameters, Parameter{fmtp[i], fmtp[i+1]})
	}
	return f
}

func encodeAll(t testing.TB, f Format, rate int, ptime time.Duration, pcm []int16) [][]byte {
	t.Helper()
	e, err := NewEncoder(f, rate)
	require.NoError(t, err)
	defer e.Close()
	var packets [][]byte
	n := int(ptime * time.Duration(rate) / time.Second)
	for ; len(pcm) >= n; pcm = pcm[n:] {
		p, err := e.Encode(nil, pcm[:n])
		require.NoError(t, err)
		packets = append(packets, p)
	}
	return packets
}

func decodeAll(t testing.TB, f Format, rate int, packets [][]byte) []int16 {
	t.Helper()
	d, err := NewDecoder(f, rate)
	require.NoError(t, err)
	defer d.Close()
	var out []int16
	for _, p := range packets {
		n := len(out)
		if out, err = d.Decode(out, p); err != nil {
			t.Fatal(err)
		}
		require.Equal(t, d.Samples(p), len(out)-n)
	}
	return out
}

func TestOpusRoundTrip(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, ms := range []int{10, 20, 60} {
			t.Run(fmt.Sprintf("%d Hz %d ms", rate, ms), func(t *testing.T) {
				pcm := tone.Speech(nil, rate, 2*time.Second, -10, 7)
				packets := encodeAll(t, opusFormat(), rate, time.Duration(ms)*time.Millisecond, pcm)
				out := decodeAll(t, opusFormat(), rate, packets)
				d, alike := tone.Delay(pcm, out, rate, 100*time.Millisecond)
				t.Logf("delay %v, alike %.2f, level %.1f of %.1f dBFS", d, alike, tone.Level(out), tone.Level(pcm))
				require.Greater(t, alike, 0.8)
				require.Less(t, d, 30*time.Millisecond)
				require.InDelta(t, tone.Level(pcm), tone.Level(out), 1.5)

				if ms != 20 {
					return
				}
				// The other implementation hears the same, at 48000 Hz.
				other := pionDecode(t, packets)
				wide := tone.Level(other)
				require.InDelta(t, tone.Level(pcm), wide, 1.5)
				// Every third or sixth sample of it is ours.
				thin := make([]int16, 0, len(other))
				for i := 0; i < len(other); i += 48000 / rate {
					thin = append(thin, other[i])
				}
				_, alike = tone.Delay(out[:len(thin)-rate/10], thin, rate, 50*time.Millisecond)
				t.Logf("alike with the other decoder: %.3f", alike)
				require.Greater(t, alike, 0.9)
			})
		}
	}
}

func pionDecode(t *testing.T, packets [][]byte) []int16 {
	t.Helper()
	d, err := opus.NewDecoderWithOutput(48000, 1)
	require.NoError(t, err)
	var out []int16
	buf := make([]int16, 5760)
	for _, p := range packets {
		n, err := d.DecodeToInt16(p, buf)
		require.NoError(t, err)
		out = append(out, buf[:n]...)
	}
	return out
}

func TestOpusTone(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		pcm := tone.Sine(nil, rate, time.Second, 1000, -12)
		out := decodeAll(t, opusFormat(), rate, encodeAll(t, opusFormat(), rate, 20*time.Millisecond, pcm))
		require.InDelta(t, 1000, tone.Frequency(out[rate/2:], rate), 2)
		require.InDelta(t, -12, tone.Level(out[rate/2:]), 1.5)
		require.Empty(t, tone.Gaps(out[rate/2:], rate, -30, 2*time.Millisecond))
	}
}

// Any bandwidth, mode and number of channels that a browser sends is heard.
func TestOpusForeign(t *testing.T) {
	for _, mode := range []gopus.EncoderMode{gopus.EncoderModeSILK, gopus.EncoderModeHybrid, gopus.EncoderModeCELT} {
		for _, channels := range []int{1, 2} {
			e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: 48000, Channels: channels, Application: gopus.ApplicationVoIP})
			require.NoError(t, err)
			require.NoError(t, e.SetMode(mode))
			require.NoError(t, e.SetBitrate(40000))
			mono := tone.Sine(nil, 48000, time.Second, 800, -12)
			pcm := make([]int16, 0, len(mono)*channels)
			for _, s := range mono {
				for range channels {
					pcm = append(pcm, s)
				}
			}
			var packets [][]byte
			for n := 960 * channels; len(pcm) >= n; pcm = pcm[n:] {
				p, err := e.EncodeInt16Slice(pcm[:n])
				require.NoError(t, err)
				packets = append(packets, p)
			}
			for _, rate := range []int{8000, 16000} {
				out := decodeAll(t, opusFormat(), rate, packets)[rate/4:]
				name := fmt.Sprintf("mode %v, %d channels, %d Hz", mode, channels, rate)
				require.InDelta(t, 800, tone.Frequency(out, rate), 3, name)
				require.InDelta(t, -12, tone.Level(out), 1.5, name)
			}
		}
	}
}

func bytesOf(packets [][]byte) (n int) {
	for _, p := range packets {
		n += len(p)
	}
	return n
}

func TestOpusParameters(t *testing.T) {
	speech := tone.Speech(nil, 16000, 2*time.Second, -10, 3)
	kbits := func(packets [][]byte) float64 {
		return float64(bytesOf(packets)) * 8 / 2 / 1000
	}
	plain := encodeAll(t, opusFormat(), 16000, 20*time.Millisecond, speech)
	t.Logf("%.1f kbit/s", kbits(plain))
	require.InDelta(t, 14, kbits(plain), 6) // a quarter of it is silence
	low := encodeAll(t, opusFormat("maxaveragebitrate", "10000"), 16000, 20*time.Millisecond, speech)
	require.Less(t, kbits(low), 10.5)
	require.Less(t, kbits(low), 0.8*kbits(plain))
	require.NotPanics(t, func() {
		for _, v := range []string{"1", "-5", "99999999999999999999", "x", ""} {
			encodeAll(t, opusFormat("maxaveragebitrate", v, "maxplaybackrate", v), 16000, 20*time.Millisecond, speech[:3200])
		}
	})
	require.Equal(t, 8000, Rate(opusFormat(), opusFormat("maxplaybackrate", "8000")))
	require.Equal(t, 16000, Rate(opusFormat(), opusFormat("maxplaybackrate", "48000")))
	for _, c := range []struct {
		rate string
		band gopus.Bandwidth
	}{{"8000", gopus.BandwidthNarrowband}, {"12000", gopus.BandwidthMediumband}, {"24000", gopus.BandwidthWideband}} {
		for _, p := range encodeAll(t, opusFormat("maxplaybackrate", c.rate), 16000, 20*time.Millisecond, speech) {
			require.LessOrEqual(t, gopus.ParseTOC(p[0]).Bandwidth, c.band)
			require.False(t, gopus.ParseTOC(p[0]).Stereo)
		}
	}
	cbr := encodeAll(t, opusFormat("cbr", "1", "usedtx", "1"), 16000, 20*time.Millisecond, speech)
	for _, p := range cbr {
		require.Len(t, p, len(cbr[0]))
	}
}

func TestOpusDTX(t *testing.T) {
	pcm := tone.Silence(tone.Speech(nil, 8000, time.Second, -10, 3), 8000, 4*time.Second)
	sent := func(f Format) (n int) {
		for _, p := range encodeAll(t, f, 8000, 20*time.Millisecond, pcm)[60:] {
			if len(p) > 0 {
				n++
			}
		}
		return n
	}
	require.Equal(t, 190, sent(opusFormat()))
	require.Less(t, sent(opusFormat("usedtx", "1")), 50)
}

// With redundancy a lost packet is heard, without it is guessed.
func TestOpusFEC(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		pcm := tone.Speech(nil, rate, 2900*time.Millisecond, -10, 11)
		lose := func(fmtp string) float64 {
			f := opusFormat("useinbandfec", fmtp)
			e, err := NewEncoder(f, rate)
			require.NoError(t, err)
			defer e.Close()
			e.SetLoss(0.05)
			var packets [][]byte
			for i := 0; i+rate/50 <= len(pcm); i += rate / 50 {
				p, err := e.Encode(nil, pcm[i:i+rate/50])
				require.NoError(t, err)
				packets = append(packets, p)
			}
			whole := decodeAll(t, f, rate, packets)
			d, err := NewDecoder(f, rate)
			require.NoError(t, err)
			defer d.Close()
			var out []int16
			for i, p := range packets {
				if i%5 == 4 && i+1 < len(packets) {
					out = d.Conceal(out, rate/50, packets[i+1])
				} else if out, err = d.Decode(out, p); err != nil {
					t.Fatal(err)
				}
			}
			require.Len(t, out, len(whole))
			_, alike := tone.Delay(whole, out, rate, 0)
			return alike
		}
		with, without := lose("1"), lose("0")
		t.Logf("%d Hz: alike with redundancy %.3f, without %.3f", rate, with, without)
		require.Greater(t, with, 0.85)
		require.Greater(t, with, without+0.05)
	}
}

// A state that comes back from the pool has nothing of the call before: no sound, no
// parameters.
func TestOpusPool(t *testing.T) {
	speech := tone.Speech(nil, 8000, time.Second, -10, 5)
	quiet := make([]int16, 8000)
	want := encodeAll(t, opusFormat(), 8000, 20*time.Millisecond, speech)
	for range 2 {
		encodeAll(t, opusFormat("useinbandfec", "1", "usedtx", "1", "maxaveragebitrate", "8000"), 8000, 60*time.Millisecond, speech)
		again := encodeAll(t, opusFormat(), 8000, 20*time.Millisecond, quiet)
		for _, s := range decodeAll(t, opusFormat(), 8000, again) {
			require.LessOrEqual(t, max(s, -s), int16(2))
		}
		encodeAll(t, opusFormat("usedtx", "1"), 8000, 60*time.Millisecond, speech)
		again = encodeAll(t, opusFormat(), 8000, 20*time.Millisecond, speech)
		require.InEpsilon(t, bytesOf(want), bytesOf(again), 0.1)
		_, alike := tone.Delay(speech, decodeAll(t, opusFormat(), 8000, again), 8000, 50*time.Millisecond)
		require.Greater(t, alike, 0.9)
	}
}

// A fault of the library ends no program, and the next packet is heard.
func TestOpusPanic(t *testing.T) {
	pcm := tone.Speech(nil, 8000, 200*time.Millisecond, -10, 5)
	enc, err := newOpusEncoder(opusFormat(), 8000)
	require.NoError(t, err)
	require.NoError(t, enc.enc.SetFrameSize(160))
	enc.frameSize, enc.enc = 160, nil
	_, err = enc.Encode(nil, pcm[:160])
	require.ErrorIs(t, err, errPanic)
	p, err := enc.Encode(nil, pcm[:160])
	require.NoError(t, err)
	require.NotEmpty(t, p)

	dec, err := newOpusDecoder(8000)
	require.NoError(t, err)
	dec.dec = nil
	_, err = dec.Decode(nil, p)
	require.ErrorIs(t, err, ErrPayload)
	out, err := dec.Decode(nil, p)
	require.NoError(t, err)
	require.Len(t, out, 160)
	dec.dec = nil
	require.Len(t, dec.Conceal(nil, 160, p), 160)
	require.False(t, hasRedundancy(nil))
}

// Noise and broken packets, of which the decoder must make an error or sound.
func TestOpusGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	good := encodeAll(t, opusFormat(), 8000, 20*time.Millisecond, tone.Speech(nil, 8000, time.Second, -10, 5))
	for _, rate := range []int{8000, 16000} {
		d, err := newOpusDecoder(rate)
		require.NoError(t, err)
		refused := 0
		for range 1500 {
			p := slices.Clone(good[r.IntN(len(good))])
			if r.IntN(2) == 0 {
				p = make([]byte, r.IntN(80))
			}
			for range 1 + r.IntN(4) {
				if len(p) > 0 {
					p[r.IntN(len(p))] = byte(r.Uint32())
				}
			}
			p = p[:r.IntN(len(p)+1)]
			if out, err := d.Decode(nil, p); err != nil {
				require.ErrorIs(t, err, ErrPayload)
				require.NotErrorIs(t, err, errPanic)
				refused++
			} else {
				require.Len(t, out, d.Samples(p))
			}
			require.Len(t, d.Conceal(nil, rate/50, p), rate/50)
		}
		require.NotZero(t, refused)
	}
}

package tone

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const ms = time.Millisecond

func TestSine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{8000, 16000}).Draw(t, "rate")
		hz := rapid.Float64Range(100, 3500).Draw(t, "hz")
		level := rapid.Float64Range(-40, 0).Draw(t, "level")
		pcm := Sine(nil, rate, time.Second/2, hz, level)
		require.Len(t, pcm, rate/2)
		require.InDelta(t, level, Level(pcm), 0.1)
		require.InDelta(t, hz, Frequency(pcm, rate), 0.5)
		require.InDelta(t, level, Strength(pcm, rate, hz), 0.3)
		require.Less(t, Strength(pcm, rate, hz+300), level-30)
	})
	require.True(t, math.IsInf(Level(Silence(nil, 8000, time.Second)), -1))
	require.Zero(t, Frequency(Silence(nil, 8000, time.Second), 8000))
	require.Zero(t, Frequency(nil, 8000))
	require.InDelta(t, 3.01, Level([]int16{32767, 32767, -32767}), 0.01)
}

func TestSweep(t *testing.T) {
	pcm := Sweep(nil, 16000, 4*time.Second, 100, 6400, -10)
	require.InDelta(t, -10, Level(pcm), 0.2)
	require.InDelta(t, 800, Frequency(pcm[2*16000-400:2*16000+400], 16000), 40)
}

func TestSpeech(t *testing.T) {
	a := Speech(nil, 8000, 10*time.Second, -20, 1)
	require.Equal(t, a, Speech(nil, 8000, 10*time.Second, -20, 1))
	require.InDelta(t, -21, Level(a), 1.5)
	require.NotEmpty(t, Gaps(a, 8000, -60, 500*ms))
	_, alike := Delay(a, Speech(nil, 8000, 10*time.Second, -20, 2), 8000, time.Second)
	require.Less(t, alike, 0.2)
	peak := 0
	for _, s := range a {
		peak = max(peak, int(s), -int(s))
	}
	require.Less(t, peak, 32767)
}

func TestDelay(t *testing.T) {
	sent := Speech(nil, 8000, 5*time.Second, -20, 3)
	for _, want := range []time.Duration{0, 10 * ms, 137 * ms, 400 * ms} {
		heard := append(Silence(nil, 8000, want), sent...)
		for i := range heard {
			heard[i] /= 3
		}
		d, alike := Delay(sent, heard, 8000, 500*ms)
		require.InDelta(t, float64(want), float64(d), float64(ms)/8)
		require.Greater(t, alike, 0.99)
	}
	_, alike := Delay(sent, nil, 8000, time.Second)
	require.Zero(t, alike)
}

func TestSNR(t *testing.T) {
	sent := Speech(nil, 8000, 5*time.Second, -20, 3)
	heard := append(Silence(nil, 8000, 50*ms), sent...)
	require.Greater(t, SNR(sent, heard, 8000, 100*ms), 80.0)
	n := noise{5}
	signal := Level(sent)
	for i := range heard {
		heard[i] += int16(amplitude(signal-20) * math.Sqrt(1.5) * n.next())
	}
	require.InDelta(t, 20, SNR(sent, heard, 8000, 100*ms), 0.5)
}

func TestGaps(t *testing.T) {
	pcm := Sine(nil, 8000, 2*time.Second, 500, -10)
	clear(pcm[4000:4240])
	clear(pcm[8000:8016])
	clear(pcm[15000:])
	got := Gaps(pcm, 8000, -40, 5*ms)
	require.Equal(t, []Gap{{500 * ms, 30 * ms}, {1875 * ms, 125 * ms}}, got)
}

func detect(rate int, pcm []int16) (keys []Key) {
	d := NewDetector(rate)
	for ; len(pcm) > 0; pcm = pcm[min(len(pcm), rate/50):] {
		d.Feed(pcm[:min(len(pcm), rate/50)], func(k Key) {
			if k.Up {
				keys = append(keys, k)
			}
		})
	}
	return keys
}

func TestDTMF(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, level := range []float64{-6, -20, -30} {
			var pcm []int16
			for i := range Digits {
				tone, ok := NewDTMF(rate, Digits[i], level)
				require.True(t, ok)
				pcm = tone.Append(pcm, rate*80/1000)
				pcm = Silence(pcm, rate, 60*ms)
			}
			got := ""
			for _, k := range detect(rate, pcm) {
				got += string(k.Digit)
				require.InDelta(t, 80, float64(k.Length/ms), 27)
			}
			require.Equal(t, Digits, got, "%d Hz, %v dBFS", rate, level)
		}
	}
	_, ok := NewDTMF(8000, 'E', 0)
	require.False(t, ok)
}

// What Q.24 says must be taken, and what must not.
func TestDTMFLimits(t *testing.T) {
	two := func(low, high, lowLevel, highLevel float64, d time.Duration) []int16 {
		a, b := Sine(nil, 8000, d, low, lowLevel), Sine(nil, 8000, d, high, highLevel)
		for i := range a {
			a[i] += b[i]
		}
		return Silence(append(Silence(nil, 8000, 50*ms), a...), 8000, 100*ms)
	}
	for _, c := range []struct {
		name string
		pcm  []int16
		want int
	}{
		{"plain", two(770, 1336, -15, -15, 80*ms), 1},
		{"1.5 % up", two(770*1.015, 1336*1.015, -15, -15, 80*ms), 1},
		{"1.5 % down", two(941*0.985, 1633*0.985, -15, -15, 80*ms), 1},
		{"3.5 % off", two(770*1.035, 1336*1.035, -15, -15, 80*ms), 0},
		{"twist 4", two(770, 1336, -19, -15, 80*ms), 1},
		{"twist 8", two(770, 1336, -23, -15, 80*ms), 0},
		{"reverse twist 6", two(770, 1336, -12, -18, 80*ms), 1},
		{"reverse twist 12", two(770, 1336, -10, -22, 80*ms), 0},
		{"short", two(770, 1336, -15, -15, 23*ms), 0},
		{"weak", two(770, 1336, -50, -50, 80*ms), 0},
		{"one tone", Sine(nil, 8000, time.Second, 770, -10), 0},
		{"dial tone", two(350, 440, -15, -15, time.Second), 0},
		{"ringing", two(440, 480, -15, -15, time.Second), 0},
	} {
		require.Len(t, detect(8000, c.pcm), c.want, c.name)
	}
}

// Talk-off: minutes of speech have no key in them, and noise has none.
func TestTalkOff(t *testing.T) {
	for seed := range uint64(4) {
		require.Empty(t, detect(8000, Speech(nil, 8000, time.Minute, -15, seed)), "seed %d", seed)
	}
	n := noise{9}
	pcm := make([]int16, 8000*20)
	for i := range pcm {
		pcm[i] = int16(8000 * n.next())
	}
	require.Empty(t, detect(8000, pcm))
}

// A key is found over speech that is 15 dB weaker, once.
func TestDTMFOverSpeech(t *testing.T) {
	pcm := Speech(nil, 8000, 3*time.Second, -28, 4)
	d, _ := NewDTMF(8000, '7', -13)
	key := d.Append(nil, 8000/5)
	for i, s := range key {
		pcm[8000+i] += s
	}
	got := detect(8000, pcm)
	require.Len(t, got, 1)
	require.Equal(t, byte('7'), got[0].Digit)
}

func BenchmarkDetector(b *testing.B) {
	d := NewDetector(8000)
	pcm := Speech(nil, 8000, time.Second, -20, 1)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d.Feed(pcm[i%40*160:][:160], func(Key) {})
		i++
	}
}

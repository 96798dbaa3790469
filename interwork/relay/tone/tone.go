// Package tone makes sounds and measures sounds: what tests, the demonstration and the
// benchmark send through a call and look for at its far end, and the two tones of a key
// of a telephone (ITU-T Q.23, Q.24), which calls themselves make and recognise.
//
// All levels are of the sine, as is usual in telephony: 0 dBFS is the sine that just
// reaches full scale, whose RMS is 3 dB below that of a square wave.
package tone

import (
	"math"
	"time"
)

// Sine appends d of a sine of hz at level dBFS.
func Sine(dst []int16, rate int, d time.Duration, hz, level float64) []int16 {
	a, w := amplitude(level), 2*math.Pi*hz/float64(rate)
	for i := range samples(rate, d) {
		dst = append(dst, clip(a*math.Sin(w*float64(i))))
	}
	return dst
}

// Sweep appends a sine whose frequency goes from one to the other in d, evenly by
// octaves.
func Sweep(dst []int16, rate int, d time.Duration, from, to, level float64) []int16 {
	a, n, phase := amplitude(level), samples(rate, d), 0.0
	for i := range n {
		hz := from * math.Pow(to/from, float64(i)/float64(n))
		dst = append(dst, clip(a*math.Sin(phase)))
		phase += 2 * math.Pi * hz / float64(rate)
	}
	return dst
}

// Speech appends d of something with the properties of speech that matter to codecs and
// buffers: syllables of a voice with a wandering pitch and two formants, hisses between
// them, pauses of a second in every four. It never repeats itself within minutes, so
// that its delay can be found by correlation. The same seed gives the same sound. Its
// level without the pauses is level dBFS; people speak at about -20.
func Speech(dst []int16, rate int, d time.Duration, level float64, seed uint64) []int16 {
	s := &voice{rate: float64(rate), noise: noise{seed*2 + 1}}
	raw := make([]float64, samples(rate, d))
	sum, n := 0.0, 0
	for i := range raw {
		if raw[i] = s.next(i); raw[i] != 0 {
			sum += raw[i] * raw[i]
			n++
		}
	}
	if n == 0 || sum == 0 {
		return Silence(dst, rate, d)
	}
	a := amplitude(level) / math.Sqrt(2*sum/float64(n))
	for _, v := range raw {
		// Peaks are far above the level: bent, not clipped.
		dst = append(dst, clip(32767*math.Tanh(a*v/32767)))
	}
	return dst
}

// Silence appends d of silence.
func Silence(dst []int16, rate int, d time.Duration) []int16 {
	return append(dst, make([]int16, samples(rate, d))...)
}

func samples(rate int, d time.Duration) int {
	return int(int64(d) * int64(rate) / int64(time.Second))
}

func amplitude(level float64) float64 { return 32767 * math.Pow(10, level/20) }

func clip(v float64) int16 { return int16(math.Round(min(max(v, -32768), 32767))) }

// noise is a small generator of uniform noise from -1 to 1.
type noise struct{ state uint64 }

func (n *noise) next() float64 {
	n.state ^= n.state << 13
	n.state ^= n.state >> 7
	n.state ^= n.state << 17
	return float64(int64(n.state)) / (1 << 63)
}

// voice makes pulses, or noise, and sends them through two resonators.
type voice struct {
	noise noise
	rate  float64

	until   int // sample at which the syllable ends
	begin   int
	kind    int // 0 pause, 1 voiced, 2 hiss
	pitch   float64
	phase   float64
	formant [2]resonator
}

func (v *voice) next(i int) float64 {
	if i >= v.until {
		v.syllable(i)
	}
	if v.kind == 0 {
		return 0
	}
	x := 0.3 * v.noise.next()
	if v.kind == 1 {
		v.pitch += 0.02 * v.noise.next()
		x *= 0.1
		if v.phase += v.pitch / v.rate; v.phase >= 1 {
			v.phase--
			x += 3
		}
	}
	at := float64(i-v.begin) / float64(v.until-v.begin)
	return math.Sin(math.Pi*at) * (v.formant[0].filter(x) + 0.5*v.formant[1].filter(x))
}

func (v *voice) syllable(i int) {
	r := func(from, to float64) float64 { return from + (to-from)*(v.noise.next()+1)/2 }
	v.begin = i
	v.kind = 1
	length := r(0.12, 0.28)
	switch x := r(0, 1); {
	case math.Mod(float64(i)/v.rate, 4) > 3:
		v.kind, length = 0, 0.1
	case x < 0.2:
		v.kind, length = 2, length/2
	case x < 0.3:
		v.kind, length = 0, length/2
	}
	v.until = i + max(int(length*v.rate), 1)
	v.pitch = r(95, 220)
	v.formant[0].tune(v.rate, r(300, 800), 90)
	v.formant[1].tune(v.rate, r(900, 2600), 150)
	if v.kind == 2 {
		v.formant[0].tune(v.rate, r(1800, 2400), 500)
		v.formant[1].tune(v.rate, r(2500, 3400), 700)
	}
}

// resonator is a two-pole filter.
type resonator struct{ a1, a2, gain, y1, y2 float64 }

func (r *resonator) tune(rate, hz, width float64) {
	radius := math.Exp(-math.Pi * width / rate)
	r.a1, r.a2 = 2*radius*math.Cos(2*math.Pi*hz/rate), -radius*radius
	r.gain = 1 - radius
}

func (r *resonator) filter(x float64) float64 {
	y := r.gain*x + r.a1*r.y1 + r.a2*r.y2
	r.y2, r.y1 = r.y1, y
	return y
}

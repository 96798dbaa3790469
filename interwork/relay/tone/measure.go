package tone

import (
	"math"
	"time"
)

// Level is the level of pcm in dBFS; math.Inf(-1) of silence.
func Level(pcm []int16) float64 {
	var sum float64
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	if sum == 0 {
		return math.Inf(-1)
	}
	return 10*math.Log10(2*sum/float64(len(pcm))) - 20*math.Log10(32767)
}

// Frequency is the strongest frequency of pcm in Hz, to a tenth of the reciprocal of its
// length; 0 of silence. Of long sounds the first two seconds count.
func Frequency(pcm []int16, rate int) float64 {
	pcm = pcm[:min(len(pcm), 2*rate)]
	size := 1
	for size < len(pcm) {
		size *= 2
	}
	size *= 2 // twice as fine, for the interpolation
	x := make([]complex128, size)
	for i, s := range pcm {
		hann := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(len(pcm)))
		x[i] = complex(float64(s)*hann, 0)
	}
	transform(x, false)
	power := func(i int) float64 { return real(x[i])*real(x[i]) + imag(x[i])*imag(x[i]) }
	best := 0
	for i := 1; i < size/2; i++ {
		if best == 0 || power(i) > power(best) {
			best = i
		}
	}
	if best == 0 || power(best) == 0 {
		return 0
	}
	at := float64(best)
	if best > 1 && best < size/2-1 {
		// A parabola through the logarithms of three bins.
		l, m, r := math.Log(power(best-1)+1e-9), math.Log(power(best)), math.Log(power(best+1)+1e-9)
		if d := l - 2*m + r; d < 0 {
			at += 0.5 * (l - r) / d
		}
	}
	return at * float64(rate) / float64(size)
}

// Delay is how much later sent is found in heard, up to longest, and how alike they are
// there (0 to 1, 1 being the same but for the level). The sound should be one that never
// repeats itself, such as that of [Speech].
func Delay(sent, heard []int16, rate int, longest time.Duration) (time.Duration, float64) {
	top := min(samples(rate, longest), len(heard)-1)
	n := min(len(sent), len(heard)-top)
	if top < 0 || n <= 0 {
		return 0, 0
	}
	sent = sent[:n]
	size := 1
	for size < n+top+n {
		size *= 2
	}
	a, b := make([]complex128, size), make([]complex128, size)
	for i, s := range sent {
		a[i] = complex(float64(s), 0)
	}
	for i, s := range heard[:n+top] {
		b[i] = complex(float64(s), 0)
	}
	transform(a, false)
	transform(b, false)
	for i := range a {
		a[i] = b[i] * complex(real(a[i]), -imag(a[i]))
	}
	transform(a, true)

	var own, energy float64
	for i, s := range sent {
		own += float64(s) * float64(s)
		energy += float64(heard[i]) * float64(heard[i])
	}
	best, alike := 0, 0.0
	for lag := 0; lag <= top; lag++ {
		if lag > 0 {
			out, in := float64(heard[lag-1]), float64(heard[lag+n-1])
			energy += in*in - out*out
		}
		if own == 0 || energy <= 0 {
			continue
		}
		if c := real(a[lag]) / math.Sqrt(own*energy); c > alike {
			best, alike = lag, c
		}
	}
	return time.Duration(best) * time.Second / time.Duration(rate), alike
}

// SNR is how far below sent its difference from heard is, in dB, after the delay and the
// level were evened out. A codec that keeps no waveform, such as Opus at low rates, has
// little of it and sounds well all the same.
func SNR(sent, heard []int16, rate int, longest time.Duration) float64 {
	d, _ := Delay(sent, heard, rate, longest)
	heard = heard[samples(rate, d+time.Second/time.Duration(2*rate)):]
	n := min(len(sent), len(heard))
	var cross, own, other float64
	for i := range n {
		cross += float64(sent[i]) * float64(heard[i])
		own += float64(sent[i]) * float64(sent[i])
		other += float64(heard[i]) * float64(heard[i])
	}
	if own == 0 || other == 0 {
		return math.Inf(-1)
	}
	// Of heard, the part that is sent is cross²/own of its energy.
	signal := cross * cross / own
	if other-signal <= 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(signal/(other-signal))
}

// Gap is a hole in a sound.
type Gap struct{ At, Length time.Duration }

// Gaps are the holes of pcm of at least shortest in which every millisecond is below
// level dBFS.
func Gaps(pcm []int16, rate int, level float64, shortest time.Duration) []Gap {
	var gaps []Gap
	block, begin := rate/1000, -1
	end := func(at int) {
		if begin < 0 {
			return
		}
		if d := time.Duration(at-begin) * time.Millisecond; d >= shortest {
			gaps = append(gaps, Gap{time.Duration(begin) * time.Millisecond, d})
		}
		begin = -1
	}
	blocks := len(pcm) / block
	for i := range blocks {
		if Level(pcm[i*block:(i+1)*block]) >= level {
			end(i)
		} else if begin < 0 {
			begin = i
		}
	}
	end(blocks)
	return gaps
}

// Strength is the level in dBFS of the part of pcm that has this frequency.
func Strength(pcm []int16, rate int, hz float64) float64 {
	if len(pcm) == 0 {
		return math.Inf(-1)
	}
	g := newGoertzel(rate, hz)
	for _, s := range pcm {
		g.add(float64(s))
	}
	a := 2 * math.Sqrt(g.power()) / float64(len(pcm))
	return 20 * math.Log10(a/32767)
}

// transform is the Fourier transform in place; the length is a power of two.
func transform(x []complex128, inverse bool) {
	n := len(x)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		if j ^= bit; i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	sign := -2.0
	if inverse {
		sign = 2
	}
	roots := make([]complex128, n/2)
	for i := range roots {
		s, c := math.Sincos(sign * math.Pi * float64(i) / float64(n))
		roots[i] = complex(c, s)
	}
	for size := 2; size <= n; size *= 2 {
		half, stride := size/2, n/size
		for i := 0; i < n; i += size {
			for j := range half {
				a, b := x[i+j], x[i+j+half]*roots[j*stride]
				x[i+j], x[i+j+half] = a+b, a-b
			}
		}
	}
	if inverse {
		for i := range x {
			x[i] /= complex(float64(n), 0)
		}
	}
}

// goertzel is one bin of a Fourier transform.
type goertzel struct{ c, s1, s2 float64 }

func newGoertzel(rate int, hz float64) goertzel {
	return goertzel{c: 2 * math.Cos(2*math.Pi*hz/float64(rate))}
}

func (g *goertzel) add(x float64) { g.s1, g.s2 = x+g.c*g.s1-g.s2, g.s1 }

func (g *goertzel) power() float64 { return g.s1*g.s1 + g.s2*g.s2 - g.c*g.s1*g.s2 }

func (g *goertzel) reset() { g.s1, g.s2 = 0, 0 }

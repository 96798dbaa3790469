package codec

import "math"

// concealer replaces lost sound by repeating the last pitch period, more and more
// quietly, and blends it into what comes after the loss. It is for codecs that have no
// concealment of their own; the method is that of G.711 Appendix I without its delay.
type concealer struct {
	rate    int
	history []int16 // the last 40 ms played
	period  []int16 // what is repeated during a loss
	at      int     // in period
	lost    int     // samples since the loss began
	offset  float32 // step at the beginning of the loss, evened out over a quarter period
	scratch []int16 // continuation of the loss, for the blend
}

// Milliseconds of a loss at full level, and after how many it is silent.
const (
	concealFull   = 10
	concealSilent = 60
)

func newConcealer(rate int) concealer {
	return concealer{
		rate:    rate,
		history: make([]int16, rate*40/1000),
		period:  make([]int16, 0, rate*periodMaxMicros/1_000_000),
		scratch: make([]int16, 0, rate*10/1000),
	}
}

// heard remembers a frame; the first after a loss begins as a blend.
func (c *concealer) heard(frame []int16) {
	if c.lost > 0 {
		// The longer the loss, the less its continuation fits: blend longer.
		n := min(len(frame), c.rate*min(4+c.lost*4000/(c.rate*10)/4, 10)/1000)
		c.scratch = c.synthesise(c.scratch[:0], n)
		for i, s := range c.scratch {
			w := float32(i+1) / float32(n+1)
			frame[i] = int16(float32(s)*(1-w) + float32(frame[i])*w)
		}
		c.lost = 0
	}
	c.remember(frame)
}

func (c *concealer) remember(frame []int16) {
	if n := len(c.history); len(frame) >= n {
		copy(c.history, frame[len(frame)-n:])
	} else {
		copy(c.history, c.history[len(frame):])
		copy(c.history[n-len(frame):], frame)
	}
}

func (c *concealer) conceal(dst []int16, samples int) []int16 {
	if samples <= 0 {
		return dst
	}
	if c.lost == 0 {
		c.begin()
	}
	start := len(dst)
	dst = c.synthesise(dst, samples)
	c.remember(dst[start:])
	return dst
}

// begin finds the period and closes it to a loop: its end is blended into what came
// before its beginning.
func (c *concealer) begin() {
	n := len(c.history)
	p := Period(c.history, c.rate)
	c.period = append(c.period[:0], c.history[n-p:]...)
	for q, i := p/4, 0; i < q; i++ {
		w := float32(i+1) / float32(q+1)
		c.period[p-q+i] = int16(float32(c.history[n-q+i])*(1-w) + float32(c.history[n-p-q+i])*w)
	}
	c.at, c.offset = 0, float32(c.history[n-1])-float32(c.history[n-1-p])
}

func (c *concealer) synthesise(dst []int16, n int) []int16 {
	full, silent := c.rate*concealFull/1000, c.rate*concealSilent/1000
	slope := 1 / float32(silent-full)
	quarter := max(len(c.period)/4, 1)
	for range n {
		if c.lost >= silent {
			dst = append(dst, 0)
			c.lost = silent
			continue
		}
		v := float32(c.period[c.at])
		if c.lost < quarter {
			v += c.offset * (1 - float32(c.lost+1)/float32(quarter))
		}
		if c.lost > full {
			v *= 1 - float32(c.lost-full)*slope
		}
		dst = append(dst, int16(min(max(v, -32768), 32767)))
		if c.at++; c.at == len(c.period) {
			c.at = 0
		}
		c.lost++
	}
	return dst
}

// Bounds of the period of a voice, in microseconds: 400 Hz to 66 Hz.
const (
	periodMinMicros = 2500
	periodMaxMicros = 15000
)

// Period is the pitch period at the end of pcm, in samples: that lag of 2.5 to 15 ms at
// which the last 10 ms (or as much as there is) are most like what came before. pcm
// should have 25 ms. Something is found in everything: whoever repeats a period of
// noise hears noise.
func Period(pcm []int16, rate int) int {
	shortest, longest := rate*periodMinMicros/1_000_000, rate*periodMaxMicros/1_000_000
	window := min(rate/100, len(pcm)-longest)
	if window < shortest {
		return shortest
	}
	coarse := rate / 4000 // at 4 kHz a voice is still a voice
	best := search(pcm, window, shortest, longest, coarse, coarse)
	return search(pcm, window, max(best-coarse+1, shortest), min(best+coarse-1, longest), 1, 1)
}

// search is the lag of the best normalised correlation; every strideth sample counts.
func search(pcm []int16, window, from, to, step, stride int) int {
	tail := pcm[len(pcm)-window:]
	best, bestScore := from, math.Inf(-1)
	for lag := from; lag <= to; lag += step {
		before := pcm[len(pcm)-window-lag:][:len(tail)]
		var cross, energy int64
		for i := 0; i < len(tail); i += stride {
			b := int64(before[i])
			cross += int64(tail[i]) * b
			energy += b * b
		}
		if cross <= 0 || energy == 0 {
			continue
		}
		// Of a sine all multiples fit alike: a longer one has to be better by something.
		if score := float64(cross) * float64(cross) / float64(energy); score > bestScore*1.0001 {
			best, bestScore = lag, score
		}
	}
	return best
}

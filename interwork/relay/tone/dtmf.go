package tone

import (
	"math"
	"time"
)

// The two frequencies of a key (ITU-T Q.23) by row and column.
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
	keys    = [4]string{"123A", "456B", "789C", "*0#D"}
)

// Digits are all keys there are, in the order of their event codes (RFC 4733 §3.2).
const Digits = "0123456789*#ABCD"

// DTMF makes the tone of a key: it may be taken piece by piece.
type DTMF struct {
	low, high oscillator
	level     float64
}

// oscillator makes a sine without calling math.Sin for each sample.
type oscillator struct{ c, y1, y2 float64 }

func newOscillator(rate int, hz float64) oscillator {
	w := 2 * math.Pi * hz / float64(rate)
	return oscillator{c: 2 * math.Cos(w), y1: -math.Sin(w), y2: -math.Sin(2 * w)}
}

func (o *oscillator) next() float64 {
	y := o.c*o.y1 - o.y2
	o.y2, o.y1 = o.y1, y
	return y
}

// NewDTMF makes the tone of a key, one of [Digits], at level dBFS for the higher
// frequency; the lower one is 2 dB weaker, as telephones have it. It reports false for
// what is no key.
func NewDTMF(rate int, digit byte, level float64) (DTMF, bool) {
	for r, row := range keys {
		for c := range columns {
			if row[c] == digit {
				return DTMF{newOscillator(rate, rows[r]), newOscillator(rate, columns[c]), amplitude(level)}, true
			}
		}
	}
	return DTMF{}, false
}

// Append appends samples samples of the tone.
func (d *DTMF) Append(dst []int16, samples int) []int16 {
	for range samples {
		dst = append(dst, clip(d.level*(0.8*d.low.next()+d.high.next())))
	}
	return dst
}

// Detector finds the tones of keys in sound (ITU-T Q.24). What distinguishes them from
// speech: two frequencies that stand for most of the energy, neither much stronger than
// the other (twist), none of the second harmonic that a voice has, all of that for 40 ms.
type Detector struct {
	bins   [8]goertzel
	second [4]goertzel // at twice the frequencies of the columns
	block  int         // samples of a block of some 13 ms
	filled int
	energy float64
	rate   int

	now        byte // in the last block, 0: none
	count      int  // blocks in a row with now
	missing    int  // blocks without current
	current    byte // the key that is down, 0: none
	downBlocks int
}

// Key is what a Detector found: a key went down, or came up after it was down for
// Length.
type Key struct {
	Digit  byte
	Up     bool
	Length time.Duration
}

// Limits of the detector.
const (
	detectLevel = -36.0 // dBFS of the weaker frequency: Q.24 has -25 dBm or less
	// Twist in dB: high over low, and low over high ("reverse").
	detectTwist, detectReverse = 4.5, 8.5
	detectOthers               = 10.0 // dB by which the other frequencies are weaker
	detectShare                = 0.72 // of the energy in the two frequencies
	detectHarmonic             = 12.0 // dB by which the second harmonic of the column is weaker; that of a row is near columns
	detectDown                 = 3    // blocks, 39 ms
	detectUp                   = 2    // blocks, 26 ms
)

// NewDetector makes a detector for sound of rate Hz.
func NewDetector(rate int) *Detector {
	d := &Detector{rate: rate, block: rate * 13 / 1000}
	for i := range 4 {
		d.bins[i], d.bins[4+i] = newGoertzel(rate, rows[i]), newGoertzel(rate, columns[i])
		d.second[i] = newGoertzel(rate, 2*columns[i])
	}
	return d
}

// Active is the key that is down, 0 if none is.
func (d *Detector) Active() byte { return d.current }

// Feed takes sound and calls found, in order, for what it finds.
func (d *Detector) Feed(pcm []int16, found func(Key)) {
	for len(pcm) > 0 {
		n := min(d.block-d.filled, len(pcm))
		for _, s := range pcm[:n] {
			x := float64(s)
			d.energy += x * x
			for i := range d.bins {
				d.bins[i].add(x)
			}
			for i := range d.second {
				d.second[i].add(x)
			}
		}
		pcm = pcm[n:]
		if d.filled += n; d.filled == d.block {
			d.step(d.decide(), found)
			d.filled, d.energy = 0, 0
			for i := range d.bins {
				d.bins[i].reset()
			}
			for i := range d.second {
				d.second[i].reset()
			}
		}
	}
}

// decide tells which key the block holds.
func (d *Detector) decide() byte {
	n := float64(d.block)
	// The power of a bin of a sine of amplitude a is (a·n/2)².
	least := math.Pow(amplitude(detectLevel)*n/2, 2)
	row, rowOthers := strongest(d.bins[:4])
	column, columnOthers := strongest(d.bins[4:])
	low, high := d.bins[row].power(), d.bins[4+column].power()
	ratio := func(db float64) float64 { return math.Pow(10, db/10) }
	switch {
	case low < least || high < least,
		high > low*ratio(detectTwist) || low > high*ratio(detectReverse),
		low < rowOthers*ratio(detectOthers) || high < columnOthers*ratio(detectOthers),
		2*(low+high)/n < detectShare*d.energy,
		d.second[column].power()*ratio(detectHarmonic) > high:
		return 0
	}
	return keys[row][column]
}

// strongest is the strongest bin, and the power of the second strongest.
func strongest(bins []goertzel) (best int, second float64) {
	top := -1.0
	for i := range bins {
		switch p := bins[i].power(); {
		case p > top:
			best, second, top = i, max(top, 0), p
		case p > second:
			second = p
		}
	}
	return best, second
}

func (d *Detector) step(key byte, found func(Key)) {
	if key == d.now {
		d.count++
	} else {
		d.now, d.count = key, 1
	}
	if d.current != 0 {
		d.downBlocks++
		if key == d.current {
			d.missing = 0
			return
		}
		if d.missing++; d.missing < detectUp {
			return
		}
		up := d.current
		d.current = 0
		found(Key{Digit: up, Up: true, Length: d.length(d.downBlocks - d.missing)})
	}
	if key != 0 && d.count >= detectDown {
		d.current, d.missing, d.downBlocks = key, 0, d.count
		found(Key{Digit: key})
	}
}

func (d *Detector) length(blocks int) time.Duration {
	return time.Duration(blocks*d.block) * time.Second / time.Duration(d.rate)
}

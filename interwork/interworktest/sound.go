package interworktest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// Recording is what a peer heard: mono, 16 bit.
type Recording struct {
	Rate    int // samples a second
	Samples []int16
	Start   time.Duration // of the first sample, on a clock that all pages of a browser share; 0 unknown
}

// Sound is what a recording of a tone measures.
type Sound struct {
	Frequency float64       // of the strongest component, in hertz; 0 for silence
	Level     float64       // in dBFS (a full-scale sine is -3); -Inf for silence
	Purity    float64       // share of the energy that is the tone: 1 for a clean sine
	Gaps      int           // times when it was gone, or 15 dB down
	Silence   time.Duration // all of these together
}

func (s Sound) String() string {
	return fmt.Sprintf("%.0f Hz %.0f dBFS %.0f%% %d gaps %d ms", s.Frequency, s.Level, 100*s.Purity, s.Gaps, s.Silence.Milliseconds())
}

// step is the length of the pieces that a recording is judged by.
const step = 10 * time.Millisecond

// Length is how long the recording is.
func (r Recording) Length() time.Duration {
	if r.Rate == 0 {
		return 0
	}
	return time.Duration(len(r.Samples)) * time.Second / time.Duration(r.Rate)
}

// Last returns the end of a recording.
func (r Recording) Last(length time.Duration) Recording {
	n := min(len(r.Samples), int(length.Seconds()*float64(r.Rate)))
	return Recording{Rate: r.Rate, Samples: r.Samples[len(r.Samples)-n:]}
}

// Measure tells what is in the recording.
func (r Recording) Measure() Sound {
	energy := power(r.Samples)
	if energy == 0 {
		return Sound{Level: math.Inf(-1)}
	}
	s := Sound{Level: 10 * math.Log10(energy)}
	s.Frequency = r.frequency()
	s.Purity = r.purity(s.Frequency)

	steps := r.steps()
	usual := slices.Clone(steps)
	slices.Sort(usual)
	limit := usual[len(usual)/2] * math.Pow(10, -1.5)
	in := false
	for _, p := range steps {
		gap := p < limit
		if gap {
			s.Silence += step
			if !in {
				s.Gaps++
			}
		}
		in = gap
	}
	return s
}

// Onset tells when, after the first pause of at least 100 ms, the tone begins
// again, on the clock of Start.
func (r Recording) Onset() (time.Duration, error) {
	steps := r.steps()
	usual := slices.Clone(steps)
	slices.Sort(usual)
	if len(usual) == 0 {
		return 0, errors.New("interworktest: nothing recorded")
	}
	// The pause may be most of it: the loud tenth tells how loud the tone is.
	limit := usual[len(usual)*9/10] * math.Pow(10, -1.5)
	quiet := 0
	for i, p := range steps {
		switch {
		case p < limit:
			quiet++
		case quiet*int(step) >= int(100*time.Millisecond):
			// Where in the step it begins.
			n := r.perStep()
			loudest := math.Sqrt(usual[len(usual)*9/10]) * 32768
			for j, v := range r.Samples[i*n : (i+1)*n] {
				if math.Abs(float64(v)) > loudest/2 {
					return r.Start + time.Duration(i*n+j)*time.Second/time.Duration(r.Rate), nil
				}
			}
			return r.Start + time.Duration(i)*step, nil
		default:
			quiet = 0
		}
	}
	return 0, errors.New("interworktest: no pause that ends in the recording")
}

func (r Recording) perStep() int { return int(int64(r.Rate) * int64(step) / int64(time.Second)) }

// steps returns the power of each piece.
func (r Recording) steps() []float64 {
	var all []float64
	n := r.perStep()
	for at := 0; n > 0 && at+n <= len(r.Samples); at += n {
		all = append(all, power(r.Samples[at:at+n]))
	}
	return all
}

// frequency finds the strongest component, by a coarse look and finer ones
// around what it finds. A look sees as far as its pieces are short: 20 Hz with
// 50 ms.
func (r Recording) frequency() float64 {
	from, to, best := 60.0, min(4000, float64(r.Rate)/2), 0.0
	for _, look := range []struct {
		width float64
		piece time.Duration
	}{{20, 50 * time.Millisecond}, {5, 200 * time.Millisecond}, {1, 200 * time.Millisecond}} {
		most := -1.0
		for f := from; f <= to; f += look.width {
			if p, _ := r.tone(f, look.piece); p > most {
				most, best = p, f
			}
		}
		from, to = best-look.width, best+look.width
	}
	return best
}

// purity is the share of the energy that is the tone.
func (r Recording) purity(hertz float64) float64 {
	tone, all := r.tone(hertz, 50*time.Millisecond)
	if all == 0 {
		return 0
	}
	return min(1, tone/all)
}

// tone sums the power of a frequency, and all power, over pieces of the first
// second: pieces, because a jitter buffer may stretch time and so shift the
// phase.
func (r Recording) tone(hertz float64, piece time.Duration) (tone, all float64) {
	n := int(piece.Seconds() * float64(r.Rate))
	part := r.Samples[:min(len(r.Samples), r.Rate)]
	n = max(1, min(n, len(part)))
	for at := 0; at+n <= len(part); at += n {
		tone += tonePower(part[at:at+n], r.Rate, hertz)
		all += power(part[at : at+n])
	}
	return tone, all
}

// power is the mean square, 1 being full scale.
func power(samples []int16) float64 {
	if len(samples) == 0 {
		return 0
	}
	var sum float64
	for _, v := range samples {
		x := float64(v) / 32768
		sum += x * x
	}
	return sum / float64(len(samples))
}

// tonePower is the power of one frequency.
func tonePower(samples []int16, rate int, hertz float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	w := 2 * math.Pi * hertz / float64(rate)
	// Goertzel's recurrence.
	c := 2 * math.Cos(w)
	var s1, s2 float64
	for _, v := range samples {
		s1, s2 = float64(v)/32768+c*s1-s2, s1
	}
	n := float64(len(samples))
	return 2 * (s1*s1 + s2*s2 - c*s1*s2) / (n * n)
}

// samples16 reads little-endian samples.
func samples16(data []byte) []int16 {
	samples := make([]int16, len(data)/2)
	for i := range samples {
		samples[i] = int16(binary.LittleEndian.Uint16(data[2*i:]))
	}
	return samples
}

// ReadWAV reads a WAV file (16 bit; of several channels the first), also one
// that is still being written.
func ReadWAV(path string) (Recording, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Recording{}, err
	}
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return Recording{}, fmt.Errorf("interworktest: %s is no WAV file", path)
	}
	var r Recording
	channels := 0
	for at := 12; at+8 <= len(data); {
		name, size := string(data[at:at+4]), int(binary.LittleEndian.Uint32(data[at+4:]))
		body := data[at+8:]
		switch name {
		case "fmt ":
			if len(body) < 16 || binary.LittleEndian.Uint16(body[14:]) != 16 {
				return Recording{}, fmt.Errorf("interworktest: %s has not 16 bit", path)
			}
			channels = int(binary.LittleEndian.Uint16(body[2:]))
			r.Rate = int(binary.LittleEndian.Uint32(body[4:]))
		case "data":
			if channels == 0 {
				return Recording{}, fmt.Errorf("interworktest: %s has no format", path)
			}
			// The size is right once the file is complete.
			all := samples16(body)
			for i := 0; i < len(all); i += channels {
				r.Samples = append(r.Samples, all[i])
			}
			return r, nil
		}
		at += 8 + size + size%2
	}
	return Recording{}, fmt.Errorf("interworktest: %s has no data", path)
}

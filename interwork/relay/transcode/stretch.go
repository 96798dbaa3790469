package transcode

import "time"

// Time between two changes of the length of the sound, in packets, unless the delay is
// far off.
const (
	holdPackets = 3
	farOff      = 60 * time.Millisecond
)

// stretch makes the frame that begins at start of pcm a period shorter or longer if the
// delay of the buffer is not what it should be, and gives the whole.
func (d *Direction) stretch(pcm []int16, start int, now time.Time) []int16 {
	if d.hold > 0 {
		d.hold--
	}
	excess := d.buffer.Excess(now, d.ticks(len(pcm)))
	if excess == 0 {
		return pcm
	}
	far := time.Duration(excess)*time.Second/time.Duration(d.clockIn) > farOff
	if d.hold > 0 && !far {
		return pcm
	}
	frame := pcm[start:]
	lag, good := alike(frame, d.rate)
	if lag == 0 || !good && !far {
		return pcm
	}
	d.hold = holdPackets
	if excess > 0 {
		d.stats.Shortened++
		return pcm[:start+shorten(frame, lag)]
	}
	d.stats.Lengthened++
	return lengthen(pcm, start, lag)
}

// alike finds the lag, of 2.5 ms to half the frame or 10 ms, at which the beginning of
// the frame resembles itself most, and tells whether that is much.
func alike(frame []int16, rate int) (lag int, good bool) {
	shortest, longest := rate/400, min(len(frame)/2, rate/100)
	if longest < shortest {
		return 0, false
	}
	step := rate / 8000
	best := -1.0
	for l := shortest; l <= longest; l += step {
		var cross, a, b float64
		for i := 0; i < longest; i += step {
			x, y := float64(frame[i]), float64(frame[i+l])
			cross += x * y
			a += x * x
			b += y * y
		}
		quiet := 1e4 * float64(longest) // an RMS of 100: nobody hears a seam there
		score := (cross + quiet) / (max(a, b) + quiet)
		if score > best {
			best, lag = score, l
		}
	}
	return lag, best > 0.7
}

// shorten blends the first lag samples of the frame into the following ones, and gives
// what length remains.
func shorten(frame []int16, lag int) int {
	for i := range lag {
		w := float32(i+1) / float32(lag+1)
		frame[i] = int16(float32(frame[i])*(1-w) + float32(frame[lag+i])*w)
	}
	return lag + copy(frame[lag:], frame[2*lag:])
}

// lengthen repeats the first lag samples of the frame that begins at start.
func lengthen(pcm []int16, start, lag int) []int16 {
	n := len(pcm)
	pcm = append(pcm, pcm[n-lag:]...)
	frame := pcm[start:]
	copy(frame[2*lag:], frame[lag:n-start])
	// In the place that became free: from what followed the first period back to the
	// first.
	for i := range lag {
		w := float32(i+1) / float32(lag+1)
		frame[lag+i] = int16(float32(frame[2*lag+i])*(1-w) + float32(frame[i])*w)
	}
	return pcm
}

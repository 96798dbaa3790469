package relay

import (
	"strings"
	"time"
)

// impairment is what a codec does to speech by itself and how well it bears loss: Ie and
// Bpl of ITU-T G.113. Wideband codecs are rated on the narrowband scale of the E-model.
func impairment(codec string) (ie, bpl float64) {
	switch strings.ToLower(codec) {
	case "opus":
		return 0, 20
	case "g722":
		return 0, 12
	case "g729":
		return 11, 19
	case "gsm":
		return 20, 10
	case "speex", "ilbc":
		return 11, 32
	default: // G.711 with concealment
		return 0, 25.1
	}
}

// mos estimates the mean opinion score by the E-model (ITU-T G.107): what loss, delay and
// codec leave of it. loss is 0–1; delay is one way, from mouth to ear.
func mos(codec string, loss float64, delay time.Duration) float64 {
	ie, bpl := impairment(codec)
	p := min(max(loss, 0), 1) * 100
	d := float64(delay) / float64(time.Millisecond)
	id := 0.024 * d
	if d > 177.3 {
		id += 0.11 * (d - 177.3)
	}
	r := 93.2 - id - (ie + (95-ie)*p/(p+bpl))
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1+0.035*r+r*(r-60)*(100-r)*7e-6, 1)
}

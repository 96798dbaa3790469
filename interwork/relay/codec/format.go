package codec

import (
	"strconv"
	"strings"
	"time"
)

// Format is one payload format of an RTP stream as it was negotiated.
type Format struct {
	Name       string        // the encoding name of rtpmap, in any case
	ClockRate  int           // of the timestamps, Hz: 48000 for Opus, 8000 for all others
	Channels   int           // 0 is 1
	PTime      time.Duration // of the packets that are sent; 0 is 20 ms
	Parameters []Parameter   // fmtp
}

// Parameter is one of fmtp.
type Parameter struct{ Name, Value string }

// Supported reports whether there is a codec for the encoding name, in any case.
func Supported(name string) bool { return kindOf(name) != kindUnknown }

// Rate is the rate of the samples between two formats in Hz: the lower of what they can
// carry, because more costs time and cannot be heard.
func Rate(from, to Format) int { return min(from.best(), to.best()) }

// best is the highest of our rates that the format makes use of.
func (f Format) best() int {
	switch kindOf(f.Name) {
	case kindG722:
		return 16000
	case kindOpus:
		// RFC 7587 §6.1: a receiver that plays no more need not be sent more.
		if n, ok := f.integer("maxplaybackrate"); ok && n < 12000 {
			return 8000
		}
		return 16000
	default:
		return 8000
	}
}

// Packet is the length of the packets to send: PTime where every codec can have it (10,
// 20, 40 or 60 ms), else the nearest below or 10 ms.
func (f Format) Packet() time.Duration {
	if f.PTime <= 0 {
		return 20 * time.Millisecond
	}
	for _, d := range [...]time.Duration{60, 40, 30, 20} {
		if d == 30 && kindOf(f.Name) == kindOpus {
			continue // no frame of Opus has 30 ms
		}
		if d *= time.Millisecond; f.PTime >= d {
			return d
		}
	}
	return 10 * time.Millisecond
}

// value finds a parameter; names of fmtp are compared without regard to case, as SIP
// phones write them.
func (f Format) value(name string) (string, bool) {
	for _, p := range f.Parameters {
		if strings.EqualFold(p.Name, name) {
			return strings.TrimSpace(p.Value), true
		}
	}
	return "", false
}

func (f Format) integer(name string) (int, bool) {
	v, ok := f.value(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(v)
	return n, err == nil && n > 0
}

func (f Format) flag(name string) bool {
	v, _ := f.value(name)
	return v == "1"
}

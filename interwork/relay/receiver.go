package relay

import (
	"math"
	"time"
)

// receiver keeps the account of one source of a leg, by RFC 3550 A.1, A.3 and A.8.
type receiver struct {
	ssrc    uint32
	started bool
	base    uint32 // first extended sequence number
	max     uint32 // highest extended sequence number
	got     uint32
	transit uint32
	jitter  float64 // in units of the clock
	clock   uint32

	prevExpected, prevGot uint32 // of the last report

	// of sources before this one
	lostBefore int64

	packets, bytes, late uint64
	lastAt               time.Time
	lastSR               uint32 // middle 32 bits of the NTP time of the last sender report
	lastSRAt             time.Time
}

// How far the sequence may run ahead, and how late a packet may be, before it counts as a
// new start (RFC 3550 A.1).
const (
	jump     = 3000
	misorder = 100
)

// update takes a packet and tells whether it is a duplicate or late.
func (r *receiver) update(ssrc uint32, seq uint16, ts uint32, clock uint32, payload int, now time.Time) (late bool) {
	ahead := seq - uint16(r.max)
	switch {
	case !r.started || r.ssrc != ssrc:
		r.restart(ssrc, seq)
	case ahead == 0:
		late = true // a duplicate: not received twice
	case ahead < jump:
		r.max += uint32(ahead)
		r.got++
	case ahead >= 1<<16-misorder:
		late = true
		r.got++
	default: // the source started over
		r.restart(ssrc, seq)
	}
	if late {
		r.late++
	}
	r.packets++
	r.bytes += uint64(payload)
	if clock != 0 && !late {
		arrival := uint32(now.UnixNano() / 1000 * int64(clock) / 1000000)
		transit := arrival - ts
		if r.clock == clock && r.got > 1 {
			if d := math.Abs(float64(int32(transit - r.transit))); d < float64(clock) {
				r.jitter += (d - r.jitter) / 16
			}
		}
		r.transit, r.clock = transit, clock
	}
	r.lastAt = now
	return late
}

func (r *receiver) restart(ssrc uint32, seq uint16) {
	r.lostBefore = r.lost()
	r.ssrc, r.started = ssrc, true
	r.base, r.max = uint32(seq), uint32(seq)
	r.got, r.prevExpected, r.prevGot = 1, 0, 0
	r.jitter, r.lastSR = 0, 0
}

func (r *receiver) expected() uint32 {
	if !r.started {
		return 0
	}
	return r.max - r.base + 1
}

// lost is how many packets of all sources never came.
func (r *receiver) lost() int64 {
	return r.lostBefore + int64(int32(r.expected()-r.got))
}

// block is the report block of this source (RFC 3550 §6.4.1).
func (r *receiver) block(now time.Time) reportBlock {
	expected, got := r.expected()-r.prevExpected, r.got-r.prevGot
	r.prevExpected, r.prevGot = r.expected(), r.got
	b := reportBlock{ssrc: r.ssrc, highest: r.max, jitter: uint32(r.jitter), lastSR: r.lastSR}
	if lost := int32(expected - got); lost > 0 && expected > 0 {
		b.fraction = uint8(min(uint32(lost)<<8/expected, 255))
	}
	b.lost = max(-1<<23, min(int32(r.expected()-r.got), 1<<23-1))
	if r.lastSR != 0 {
		b.delay = uint32(now.Sub(r.lastSRAt) * 65536 / time.Second)
	}
	return b
}

// jitterTime is the jitter as time.
func (r *receiver) jitterTime() time.Duration { return clockTime(uint32(r.jitter), r.clock) }

func clockTime(units, clock uint32) time.Duration {
	if clock == 0 {
		return 0
	}
	return time.Duration(uint64(units) * uint64(time.Second) / uint64(clock))
}

package transcode

import (
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

// eventTimeout ends a key of which nothing is heard any more: three end packets and the
// updates before them were lost (RFC 4733 §2.6).
const eventTimeout = 200 * time.Millisecond

// incoming is the key that the sender holds down, from event packets.
type incoming struct {
	known  bool // ts and code are of some key
	active bool // its end did not come yet
	code   byte
	volume byte
	ts     uint32        // of the segment
	ticks  uint16        // of the segment, so far
	before time.Duration // of the segments before
	last   time.Time     // when a packet came
	id     uint64        // of the key that goes out, 0: none
}

// event takes an event packet; it reports false for what is none. Codes past the keys
// (RFC 4733 §3.2 has none but flash) are not carried.
func (in *incoming) event(d *Direction, p Packet, at time.Time) bool {
	if len(p.Payload) < 4 {
		return false
	}
	code, end, volume := p.Payload[0], p.Payload[1]&0x80 != 0, p.Payload[1]&0x3f
	ticks := uint16(p.Payload[2])<<8 | uint16(p.Payload[3])
	if int(code) >= len(tone.Digits) {
		return true
	}
	switch step := int32(p.Timestamp - in.ts); {
	case !in.known || step > 0 && !in.continues(d, code, step):
		in.finish(d)
		*in = incoming{known: true, active: true, code: code, volume: volume, ts: p.Timestamp}
		in.id = d.keys.press(code, volume)
	case step > 0:
		in.before += time.Duration(step) * time.Second / time.Duration(d.clockIn)
		in.ts, in.ticks = p.Timestamp, 0
	case step < 0 && step > -10*int32(d.clockIn):
		return true // of a key of before
	case step < 0:
		// The sender began a new stream.
		in.finish(d)
		*in = incoming{known: true, active: true, code: code, volume: volume, ts: p.Timestamp}
		in.id = d.keys.press(code, volume)
	case !in.active || code != in.code:
		return true // the end again
	}
	in.last, in.ticks = at, max(in.ticks, ticks)
	if end {
		in.finish(d)
	} else {
		d.keys.hold(in.id, in.length(d), false)
	}
	return true
}

// continues tells whether a later timestamp is the next segment of the same key, which
// is held for longer than 16 bits can tell (RFC 4733 §2.5.1.3).
func (in *incoming) continues(d *Direction, code byte, step int32) bool {
	const long = 0x8000 // nobody begins a segment before it has to
	rtp := int64(in.clock(d, uint32(in.ticks))) * int64(d.clockIn) / int64(time.Second)
	return in.active && code == in.code && in.ticks >= long && int64(step) <= rtp+int64(d.clockIn/10)
}

func (in *incoming) clock(d *Direction, ticks uint32) time.Duration {
	return time.Duration(ticks) * time.Second / time.Duration(d.options.EventClockIn)
}

// finish ends the key with what is known of its length.
func (in *incoming) finish(d *Direction) {
	if !in.active {
		return
	}
	in.active = false
	length := in.length(d)
	d.keys.hold(in.id, length, true)
	d.report(in.code, length)
}

func (in *incoming) length(d *Direction) time.Duration {
	return in.before + in.clock(d, uint32(in.ticks))
}

// expire ends a key of which the end was lost.
func (in *incoming) expire(d *Direction, now time.Time) {
	if in.active && now.Sub(in.last) > eventTimeout {
		in.finish(d)
	}
}

func (d *Direction) report(code byte, length time.Duration) {
	if d.options.Digit != nil {
		d.options.Digit(tone.Digits[code], length)
	}
}

// heardKey takes what the detector found in the sound.
func (d *Direction) heardKey(k tone.Key) {
	code := byte(strings.IndexByte(tone.Digits, k.Digit))
	if !k.Up {
		if d.options.EventClockOut > 0 {
			d.in.id = d.keys.press(code, defaultVolume)
			d.keys.hold(d.in.id, maxKey, false) // until it is heard to end
		}
		return
	}
	d.keys.hold(d.in.id, k.Length, true)
	d.in.id = 0
	d.report(code, k.Length)
}

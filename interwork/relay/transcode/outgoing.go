package transcode

import (
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

const (
	maxKeys       = 32
	defaultVolume = 10 // -dBm0, what phones send
	minKey        = 40 * time.Millisecond
	maxKey        = 10 * time.Second
	pauseFrames   = 2  // between two keys; as many as end packets are repeated
	loudestTone   = 6  // -dBFS of each frequency in the sound
	softestTone   = 24 // -dBFS: a detector must hear it
)

// key is one key towards the receiver.
type key struct {
	id     uint64
	code   byte
	volume byte
	length time.Duration // as far as known
	ended  bool          // there will not be more
}

// outgoing sends keys one after another, as events or as tones.
type outgoing struct {
	d      *Direction
	clock  int // of the event format, 0: tones
	queue  [maxKeys]key
	queued int
	lastID uint64

	silent bool // no sound goes out in this packet
	busy   bool // queue[0] is going out
	again  int  // times the end is to be sent again
	pause  int  // packets before the next key

	// The key that goes out, or went out last.
	code, volume byte
	ts           uint32        // of the segment
	before       time.Duration // of the segments before
	sent         time.Duration // of the whole key
	reported     uint16        // the last duration
	payload      [4]byte
	tone         tone.DTMF
}

func (o *outgoing) init(d *Direction) { o.d, o.clock = d, d.options.EventClockOut }

// press puts a key into the queue of which the length is not known yet; 0: it is full.
func (o *outgoing) press(code, volume byte) uint64 {
	if o.queued == maxKeys {
		return 0
	}
	o.lastID++
	o.queue[o.queued] = key{id: o.lastID, code: code, volume: volume}
	o.queued++
	return o.lastID
}

// hold tells for how long a key that was pressed is known to be down, and whether that is
// all.
func (o *outgoing) hold(id uint64, length time.Duration, ended bool) {
	for i := range o.queue[:o.queued] {
		if k := &o.queue[i]; id != 0 && k.id == id {
			k.ended, k.length = ended, length
		}
	}
}

// SendDTMF presses a key ('0'-'9', '*', '#', 'A'-'D') towards the receiver for this
// long, between 40 ms and 10 s, after those that wait already. It reports false for
// other keys and when 32 wait.
func (d *Direction) SendDTMF(digit byte, length time.Duration) bool {
	code := strings.IndexByte(tone.Digits, digit)
	if code < 0 {
		return false
	}
	id := d.keys.press(byte(code), defaultVolume)
	d.keys.hold(id, min(max(length, minKey), maxKey), true)
	d.started = d.started || id != 0
	return id != 0
}

// next appends the event packet of this packet time, if there is one; without events it
// writes the tone into frame.
func (o *outgoing) next(out []Packet, frame []int16) []Packet {
	o.silent = false
	if o.again > 0 {
		o.again--
		out = append(out, o.packet(true, false))
	}
	if !o.busy {
		if o.pause > 0 {
			o.pause--
			if o.clock == 0 {
				clear(frame) // a pause between tones that can be told apart
			}
			return out
		}
		if o.queued == 0 || o.again > 0 {
			return out
		}
		o.begin()
	}
	k := &o.queue[0]
	if o.clock == 0 {
		o.tone.Append(frame[:0], len(frame))
		o.sent += o.d.ptime
		if k.ended && o.sent >= max(k.length, minKey) {
			o.done()
		}
		return out
	}
	o.silent = true
	first := o.sent == 0
	end := k.ended && !first && k.length <= o.sent+o.d.ptime
	switch {
	case first:
		o.sent = o.d.ptime
	case end:
		o.sent = max(o.sent, k.length)
	default:
		// Not more than what the sender said: durations never shrink.
		o.sent = max(o.sent, min(o.sent+o.d.ptime, k.length))
	}
	if o.ticks(o.sent-o.before) > 0xffff {
		// The next segment begins where the last report ended (RFC 4733 §2.5.1.3).
		o.ts += uint32(int64(o.reported) * int64(o.d.clockOut) / int64(o.clock))
		o.before += o.span(int64(o.reported))
	}
	out = append(out, o.packet(end, first))
	if end {
		o.done()
		o.again = pauseFrames // three in all (RFC 4733 §2.5.1.4)
	}
	return out
}

func (o *outgoing) ticks(d time.Duration) int64 {
	return int64(d) * int64(o.clock) / int64(time.Second)
}

func (o *outgoing) span(ticks int64) time.Duration {
	return time.Duration(ticks * int64(time.Second) / int64(o.clock))
}

// packet reports the key that goes out, or went out.
func (o *outgoing) packet(end, first bool) Packet {
	o.reported = uint16(min(o.ticks(o.sent-o.before), 0xffff))
	b := &o.payload
	b[0], b[1] = o.code, o.volume
	if end {
		b[1] |= 0x80
	}
	b[2], b[3] = byte(o.reported>>8), byte(o.reported)
	return Packet{Kind: KindEvent, Marker: first, Timestamp: o.ts, Payload: b[:]}
}

// begin starts the first key of the queue.
func (o *outgoing) begin() {
	k := o.queue[0]
	o.busy, o.ts, o.sent, o.before = true, o.d.ts, 0, 0
	o.code, o.volume = k.code, k.volume
	if o.clock == 0 {
		level := -float64(min(max(int(k.volume)+3, loudestTone), softestTone)) // 0 dBm0 is 3 dB below full scale
		o.tone, _ = tone.NewDTMF(o.d.rate, tone.Digits[k.code], level)
	}
}

func (o *outgoing) done() {
	o.queued--
	copy(o.queue[:], o.queue[1:o.queued+1])
	o.busy, o.pause = false, pauseFrames
}

package relay

import (
	"encoding/binary"
	"time"
)

// Offsets in the header of RTP (RFC 3550 §5.1).
const (
	rtpHeader = 12
	markerBit = 0x80
)

// sender is our stream on a leg: one SSRC, a sequence without gaps of ours, a timestamp
// that follows the clock of whatever is carried.
type sender struct {
	ssrc  uint32
	seq   uint16 // highest sent
	ts    uint32 // of it
	clock uint32
	at    time.Time // when it was sent
	sent  bool

	anchored bool // the stream below is being carried
	source   uint32
	first    uint16 // its sequence number at the anchor
	carried  uint32 // packets since
	dseq     uint16 // ours minus its
	dts      uint32
	packets  uint64
	bytes    uint64
	sinceSR  bool // something was sent since the last sender report
}

// now is the timestamp our stream has at a time, in a clock.
func (x *sender) now(at time.Time, clock uint32) uint32 {
	if !x.sent {
		return x.ts
	}
	elapsed := max(at.Sub(x.at), 0)
	return x.ts + uint32(uint64(elapsed/time.Microsecond)*uint64(clock)/1e6)
}

// carry rewrites the header of a packet of another stream to be the next of ours. It
// refuses what is from before the point at which the stream was joined.
func (x *sender) carry(b []byte, pt uint8, clock uint32, now time.Time) bool {
	ssrc, seq, ts := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	marker := b[1] & markerBit
	far := seq + x.dseq - x.seq
	if !x.anchored || x.source != ssrc || x.clock != clock || far >= jump && far < 1<<16-misorder {
		x.anchored, x.source, x.first, x.carried = true, ssrc, seq, 0
		x.dseq = x.seq + 1 - seq
		next := x.now(now, clock)
		if x.sent && int32(next-x.ts) <= 0 {
			next = x.ts + 1
		}
		x.dts = next - ts
		x.clock = clock
		marker = markerBit
	} else if x.carried < jump && int16(seq-x.first) < 0 {
		return false
	}
	x.carried++
	seq, ts = seq+x.dseq, ts+x.dts
	b[1] = marker | pt
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], x.ssrc)
	if !x.sent || int16(seq-x.seq) > 0 {
		x.seq, x.ts, x.at, x.sent = seq, ts, now, true
	}
	return true
}

// make writes the header of a packet of the relay's own. ts is its timestamp; advance says
// that it is also the time of the stream now.
func (x *sender) make(b []byte, pt uint8, marker bool, ts uint32, clock uint32, now time.Time, advance bool) {
	x.anchored = false
	x.seq++
	b[0], b[1] = 2<<6, pt
	if marker {
		b[1] |= markerBit
	}
	binary.BigEndian.PutUint16(b[2:], x.seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], x.ssrc)
	if advance || !x.sent {
		x.ts, x.at, x.clock = ts, now, clock
	}
	x.sent = true
}

// original is the sequence number that the carried stream gave a packet that we sent as
// seq (for negative acknowledgements).
func (x *sender) original(seq uint16) (uint16, bool) {
	o := seq - x.dseq
	return o, x.anchored && (x.carried >= jump || int16(o-x.first) >= 0)
}

// Package jitter is an adaptive buffer that takes packets of sound as they arrive and
// tells what is to be played next.
//
// Decisions that bind the package:
//
//   - It is pure: time is an argument, and it plays when it is asked. The caller pulls as
//     its own clock has it; nothing is said about the clock of the sender.
//   - The delay is measured against the fastest packet of the last seconds: where a
//     packet would be played if the buffer added nothing. The target is what 98 of 100
//     packets need, within bounds. The buffer never jumps to it: it says how far it is
//     off ([Buffer.Excess]), and the caller stretches the sound. Only silence is used at
//     once: a talk spurt begins with the target. So a drifting clock is no case of its own.
//   - When nothing is there the position stands still. A packet that comes after all is
//     played, later than it should be, and the excess is worked off: sound is only
//     dropped if it is out of bounds.
//   - A new SSRC begins a new stream at once. A jump of the sequence numbers needs a
//     second packet that continues it (RFC 3550 A.1), so that one stray packet does
//     nothing.
//   - It copies payloads into buffers of its own, as many as it ever held at once.
package jitter

import "time"

// Packet is one packet of sound.
type Packet struct {
	Seq       uint16
	Timestamp uint32
	SSRC      uint32
	Marker    bool   // a talk spurt begins
	Tag       uint8  // of the caller: what the payload is
	Ticks     uint32 // its length in units of the timestamp; 0 for what has none
	Untimed   bool   // only its number counts: its timestamp is not when it was sent
	Payload   []byte
}

// Verdict is what became of a packet.
type Verdict uint8

// Verdicts.
const (
	Unknown   Verdict = iota
	Queued            // in its place
	Reordered         // in its place, before one that came earlier
	Duplicate         // known
	Late              // its time was over
	Strange           // far off: the next one decides
)

// Kind is what to play.
type Kind uint8

// Kinds of frames.
const (
	KindUnknown Kind = iota
	Nothing          // the stream has not begun
	Audio            // Packet
	Missing          // Ticks were lost; Next came after them
	Silent           // Ticks in which the sender says nothing
	Empty            // Ticks of which nothing is known yet
)

// Frame is what to play next. Its payloads are valid until the next Put or Get.
type Frame struct {
	Kind   Kind
	Packet Packet
	Ticks  uint32
	Next   []byte // of Missing: the payload right after Ticks, else nil
	Tag    uint8  // of Next
}

// Config is what a buffer must know.
type Config struct {
	ClockRate int           // Hz
	Min, Max  time.Duration // of the delay; 0 is 20 ms and 200 ms
	Block     time.Duration // that is played at once; 0 is 20 ms
}

// Stats are counters since the buffer was made, and gauges.
type Stats struct {
	Received, Reordered, Duplicate, Late uint64
	Lost                                 uint64        // sequence numbers that were never played
	Dropped                              uint64        // packets, because the delay was out of bounds
	Restarts                             uint64        // new SSRCs and jumps
	Delay, Target                        time.Duration // now, and what is aimed at
	Jitter                               time.Duration // RFC 3550 §6.4.1
}

const (
	slots       = 64
	maxDropout  = 3000 // RFC 3550 A.1
	maxMisorder = 100
)

type slot struct {
	used    bool
	seq, ts int64 // extended
	packet  Packet
}

// Buffer is the buffer of one stream; it belongs to one goroutine.
type Buffer struct {
	rate     int64
	min, max int64 // ticks
	block    int64 // ticks
	last     int64 // ticks of the last packet

	slots  [slots]slot
	count  int
	free   [][]byte
	played []byte // the payload given out

	began           bool
	ssrc            uint32
	strange         int32 // the sequence number that confirms a jump, -1: none
	highest         int64 // extended sequence number
	highestTS       int64
	seen            uint64 // bit i: highest-i came
	nextSeq, nextTS int64  // what comes next
	covered         int64  // ticks played since the position stands still
	spurt           bool   // the next packet begins a talk spurt
	fresh           bool   // nothing was played since the last start

	epoch time.Time
	delay delays
	stats Stats
}

// New makes an empty buffer.
func New(c Config) *Buffer {
	if c.ClockRate <= 0 {
		c.ClockRate = 8000
	}
	if c.Min <= 0 {
		c.Min = 20 * time.Millisecond
	}
	if c.Max <= 0 {
		c.Max = 200 * time.Millisecond
	}
	b := &Buffer{rate: int64(c.ClockRate), strange: -1}
	if c.Block <= 0 {
		c.Block = 20 * time.Millisecond
	}
	b.block = b.ticks(c.Block)
	b.last = b.block
	b.min, b.max = b.ticks(min(c.Min, c.Max)), b.ticks(c.Max)
	b.delay = newDelays(b.rate, b.min, b.max)
	return b
}

func (b *Buffer) ticks(d time.Duration) int64 { return int64(d) * b.rate / int64(time.Second) }

func (b *Buffer) duration(ticks int64) time.Duration {
	return time.Duration(ticks * int64(time.Second) / b.rate)
}

// Put takes a packet that arrived at that time.
func (b *Buffer) Put(p Packet, at time.Time) Verdict {
	b.stats.Received++
	if !b.began || p.SSRC != b.ssrc {
		b.begin(p, at)
	}
	seq := b.highest + int64(int16(p.Seq-uint16(b.highest)))
	if d := seq - b.highest; d > maxDropout || d < -maxMisorder {
		if b.strange != int32(p.Seq) {
			b.strange = int32(p.Seq + 1)
			return Strange
		}
		b.begin(p, at)
		seq = b.highest
	}
	b.strange = -1

	verdict := Queued
	if d := b.highest - seq; d >= 0 {
		if d < slots && b.seen&(1<<d) != 0 {
			b.stats.Duplicate++
			return Duplicate
		}
		if seq != b.highest {
			b.stats.Reordered++
			verdict = Reordered
		}
		if d < slots {
			b.seen |= 1 << d
		}
	} else {
		b.seen = b.seen<<uint64(-d) | 1
	}
	ts := b.highestTS + int64(int32(p.Timestamp-uint32(b.highestTS)))
	now := b.ticks(at.Sub(b.epoch))
	if p.Untimed {
		ts = b.highestTS
	}
	if seq > b.highest {
		b.newest(p, seq, ts, now)
	}
	if !p.Untimed {
		b.delay.arrived(now, ts)
	}
	if b.fresh && seq < b.nextSeq && ts < b.nextTS {
		// The first that came was not the first that was sent.
		b.nextSeq, b.nextTS = seq, ts
	}
	if seq < b.nextSeq || ts < b.nextTS && p.Ticks > 0 && ts+int64(p.Ticks) <= b.nextTS {
		b.stats.Late++
		return Late
	}
	b.store(p, seq, ts)
	b.bound()
	return verdict
}

// newest takes notice of a packet after all others. If its timestamp does not fit what
// was before, the sender's clock jumped and positions mean nothing any more.
func (b *Buffer) newest(p Packet, seq, ts, now int64) {
	b.highest, b.highestTS = seq, ts
	if p.Untimed {
		return
	}
	switch off := b.delay.off(now - ts); {
	case off > b.rate, ts+int64(p.Ticks) <= b.nextTS && p.Ticks > 0:
		b.restart(seq, ts)
		b.delay.forget()
	case p.Marker && off > b.max:
		// Some clocks stand still while nothing is said.
		b.spurt = b.spurt || b.count == 0
		b.delay.forget()
	}
}

// begin starts a stream with p.
func (b *Buffer) begin(p Packet, at time.Time) {
	if b.began {
		b.stats.Restarts++
	} else {
		b.epoch = at
	}
	b.began, b.ssrc, b.strange = true, p.SSRC, -1
	b.highest, b.highestTS, b.seen = 1<<16+int64(p.Seq), int64(p.Timestamp), 0
	b.restart(b.highest, b.highestTS)
	b.delay.forget()
}

// restart empties the buffer; what comes next is the packet with this number.
func (b *Buffer) restart(seq, ts int64) {
	for i := range b.slots {
		if b.slots[i].used {
			b.release(&b.slots[i])
		}
	}
	b.nextSeq, b.nextTS, b.covered, b.spurt, b.fresh = seq, ts, 0, true, true
}

func (b *Buffer) store(p Packet, seq, ts int64) {
	s := &b.slots[seq%slots]
	if s.used {
		// As many packets behind as there are slots: a burst of tiny ones.
		b.release(s)
		b.stats.Dropped++
	}
	var buf []byte
	if n := len(b.free); n > 0 {
		buf, b.free = b.free[n-1], b.free[:n-1]
	}
	p.Payload = append(buf[:0], p.Payload...)
	*s = slot{used: true, seq: seq, ts: ts, packet: p}
	b.count++
}

func (b *Buffer) release(s *slot) {
	b.free = append(b.free, s.packet.Payload)
	*s = slot{}
	b.count--
}

// bound drops the oldest while more waits than may: then a burst came after a pause, or
// nobody pulls.
func (b *Buffer) bound() {
	for b.count > 1 {
		s := b.first()
		if b.highestTS-s.ts <= b.max+b.delay.frame {
			return
		}
		b.stats.Lost += uint64(max(s.seq-b.nextSeq, 0))
		b.stats.Dropped++
		b.nextSeq, b.nextTS, b.covered, b.spurt, b.fresh = s.seq+1, s.ts+int64(s.packet.Ticks), 0, false, false
		b.release(s)
	}
}

// first is the waiting packet with the lowest number, nil if none waits.
func (b *Buffer) first() *slot {
	if b.count == 0 {
		return nil
	}
	for seq := b.nextSeq; seq < b.nextSeq+slots; seq++ {
		if s := &b.slots[seq%slots]; s.used && s.seq == seq {
			return s
		}
	}
	// After a long loss the numbers are further apart than there are slots.
	var first *slot
	for i := range b.slots {
		if s := &b.slots[i]; s.used && (first == nil || s.seq < first.seq) {
			first = s
		}
	}
	return first
}

// Get tells what to play next. The caller asks for a block of sound at a time, of which
// it has ahead ticks already; want is how many it would play if there is no packet.
func (b *Buffer) Get(now time.Time, ahead, want uint32) Frame {
	if !b.began {
		return Frame{Kind: Nothing, Ticks: want}
	}
	s := b.first()
	if s == nil {
		b.covered += int64(want)
		if b.spurt {
			return Frame{Kind: Silent, Ticks: want}
		}
		return Frame{Kind: Empty, Ticks: want}
	}
	gap := s.ts - b.nextTS
	lost := s.seq > b.nextSeq
	switch {
	case s.packet.Ticks == 0, // it has no place in time
		!b.spurt && gap <= 0: // it continues what was played
		return b.play(s)
	case lost && !b.spurt:
		if left := gap - b.covered; left > 0 {
			return b.conceal(s, left, want)
		}
		return b.play(s)
	}
	// A talk spurt: its first packet is played when its time has come, so that the delay
	// is the target.
	if left := b.due(s, now, int64(ahead)); left > 0 {
		n := min(int64(want), left)
		b.covered += n
		return Frame{Kind: Silent, Ticks: uint32(n)}
	}
	return b.play(s)
}

// due is how many ticks remain until a packet is to be played.
func (b *Buffer) due(s *slot, now time.Time, ahead int64) int64 {
	left := b.delay.target - b.margin(now, ahead, s.ts, int64(s.packet.Ticks))
	unit := gcd(int64(s.packet.Ticks), b.block)
	return min((left+unit-1)/unit*unit, b.max)
}

// margin is how much later than the fastest packets may come all that follow, if that
// with this timestamp is played after ahead ticks. They are needed when a block is asked
// for, which is before most of the block is played: packets of 10 ms for blocks of 60
// need 50 ms more than the sound tells.
func (b *Buffer) margin(now time.Time, ahead, ts, ticks int64) int64 {
	unit := gcd(ticks, b.block)
	return b.delay.of(b.ticks(now.Sub(b.epoch))+ahead, ts) - (b.block - unit) - ahead%unit
}

func gcd(a, b int64) int64 {
	for a > 0 {
		a, b = b%a, a
	}
	return b
}

func (b *Buffer) conceal(s *slot, left int64, want uint32) Frame {
	f := Frame{Kind: Missing, Ticks: uint32(min(int64(want), left))}
	// If all that is missing is the packet before s, let s repair it.
	if step := int64(s.packet.Ticks); left <= max(step, int64(want)) && left <= 6*step {
		f.Ticks, f.Next, f.Tag = uint32(left), s.packet.Payload, s.packet.Tag
	}
	// What is concealed is over: the packet that was lost is late from now on.
	b.nextTS, b.covered = b.nextTS+b.covered+int64(f.Ticks), 0
	if b.nextTS >= s.ts {
		b.stats.Lost += uint64(s.seq - b.nextSeq)
		b.nextSeq = s.seq
	}
	return f
}

func (b *Buffer) play(s *slot) Frame {
	b.stats.Lost += uint64(max(s.seq-b.nextSeq, 0))
	b.nextSeq, b.fresh = s.seq+1, false
	if !s.packet.Untimed {
		b.nextTS, b.covered = s.ts+int64(s.packet.Ticks), 0
		// What follows something without length, such as comfort noise, follows silence.
		b.spurt = s.packet.Ticks == 0
		if !b.spurt {
			b.last = int64(s.packet.Ticks)
		}
	}
	p := s.packet
	if b.played != nil {
		b.free = append(b.free, b.played)
	}
	b.played = p.Payload
	*s = slot{}
	b.count--
	return Frame{Kind: Audio, Packet: p, Ticks: p.Ticks}
}

// Excess is how much longer the next packet will have waited than it should when it is
// played after ahead ticks, in ticks; negative if it should wait longer. It is 0 while
// that does not matter or is not known.
func (b *Buffer) Excess(now time.Time, ahead uint32) int {
	if !b.began || b.spurt {
		return 0
	}
	d := b.margin(now, int64(ahead), b.nextTS, b.last) - b.delay.target
	if d > b.delay.frame && b.count > 0 || d < -b.delay.frame/2 {
		return int(d)
	}
	return 0
}

// Stats reports the counters.
func (b *Buffer) Stats(now time.Time) Stats {
	s := b.stats
	s.Target = b.duration(b.delay.target)
	s.Jitter = b.duration(b.delay.jitter >> 4)
	if b.began {
		s.Delay = b.duration(max(b.delay.of(b.ticks(now.Sub(b.epoch)), b.nextTS), 0))
	}
	return s
}

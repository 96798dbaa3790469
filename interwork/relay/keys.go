package relay

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// events of RFC 4733 §3.2, by their code.
const digits = "0123456789*#ABCD"

// Times of telephone events.
const (
	defaultKey = 100 * time.Millisecond
	minKey     = 40 * time.Millisecond
	maxKey     = 6 * time.Second
	keyPause   = 60 * time.Millisecond
	keyLost    = 500 * time.Millisecond // without a packet a key has ended
	keyEnds    = 3                      // how often the end is sent (RFC 4733 §2.5.1.4)
	maxPressed = 64
	volume     = 10 // −10 dBm0
)

// key is the key that the peer holds.
type key struct {
	down   bool
	known  bool
	code   uint8
	ts     uint32 // of its start, as the peer counts
	out    uint32 // of its start, as we count towards the other side
	length time.Duration
	last   time.Time
	passed bool
}

// hearKey follows the events of the peer and tells of each key once.
func (l *leg) hearKey(p []byte, ts uint32, act *action, passed bool, now time.Time) {
	if len(p) < 4 || int(p[0]) >= len(digits) || !l.format.Recv {
		return
	}
	k := &l.heardKey
	if k.known && int32(ts-k.ts) < 0 && int32(ts-k.ts) > -10*int32(act.clock) {
		return // late
	}
	if !k.known || ts != k.ts {
		k.release(l)
		*k = key{known: true, down: true, code: p[0], ts: ts, passed: passed}
	}
	if !k.down {
		return // the end again
	}
	k.length = max(k.length, clockTime(uint32(binary.BigEndian.Uint16(p[2:])), act.clock))
	k.last = now
	if p[1]&0x80 != 0 {
		k.release(l)
	}
}

func (k *key) release(l *leg) {
	if !k.down {
		return
	}
	k.down = false
	l.s.events.add(Event{Kind: Digit, Side: l.side, Stream: l.stream, Digit: digits[k.code], Duration: k.length, Passed: k.passed})
}

func (k *key) expire(l *leg, now time.Time) {
	if k.down && now.Sub(k.last) > keyLost {
		k.release(l)
	}
}

// carryEvent makes an event of the other side's peer one of our stream. With one clock
// and audio of the same clock it is a packet like others; else its time is put on ours
// and its length is converted.
func (l *leg) carryEvent(b []byte, ts uint32, act *action, now time.Time) bool {
	from := l.other()
	ssrc := binary.BigEndian.Uint32(b[8:])
	if act.out == act.clock && (l.tx.clock == act.clock && l.tx.source == ssrc || !l.tx.sent) {
		return l.tx.carry(b, act.pt, act.clock, now)
	}
	k := &from.heardKey
	start := k.out == 0
	if start {
		k.out = l.tx.now(now, act.out) | 1
	}
	p := b[rtpHeader:]
	d := uint64(binary.BigEndian.Uint16(p[2:])) * uint64(act.out) / uint64(act.clock)
	binary.BigEndian.PutUint16(p[2:], uint16(min(d, 0xffff)))
	l.tx.make(b, act.pt, start, k.out, act.out, now, false)
	return true
}

// keyboard sends keys to the peer, one after another.
type keyboard struct {
	queue  []press
	active bool
	ts     uint32
	pt     uint8
	clock  uint32
	since  time.Time
	ends   int       // how often the end was sent
	pause  time.Time // no key before
}

type press struct {
	code   uint8
	length time.Duration
}

// busy: while a key is sent, no other media is (RFC 4733 §2.6.1 leaves that to us).
func (k *keyboard) busy() bool { return k.active }

// press queues a key.
func (l *leg) press(digit byte, d time.Duration) error {
	code := strings.IndexByte(digits, digit&^0x20)
	if code < 0 {
		code = strings.IndexByte(digits, digit)
	}
	if code < 0 {
		return fmt.Errorf("%w: %q", ErrEvent, digit)
	}
	if d == 0 {
		d = defaultKey
	}
	d = min(max(d, minKey), maxKey)
	if o := l.other(); o != nil && o.active() && l.format.Send {
		if !o.trans.press(digits[code], d) {
			return fmt.Errorf("%w: too many keys", ErrEvent)
		}
		return nil
	}
	if _, ok := l.eventCodec(); !ok || !l.format.Send {
		return ErrEvent
	}
	if len(l.keys.queue) >= maxPressed {
		return fmt.Errorf("%w: too many keys", ErrEvent)
	}
	l.keys.queue = append(l.keys.queue, press{uint8(code), d})
	return nil
}

// eventCodec is the telephone-event to send with: of the clock of what is being sent.
func (l *leg) eventCodec() (Codec, bool) {
	clock := l.tx.clock
	if clock == 0 && len(l.format.Codecs) > 0 {
		clock = l.format.Codecs[0].ClockRate
	}
	var found Codec
	for _, c := range l.format.Codecs {
		if c.is(eventName) && (found.Name == "" || c.ClockRate == clock) {
			found = c
		}
	}
	return found, found.Name != ""
}

// typeKeys sends what is due and tells whether there is more to come; s.mu is held.
func (l *leg) typeKeys(w *writer) bool {
	k := &l.keys
	if len(k.queue) == 0 {
		return false
	}
	if !l.t.ready() || !l.format.Send {
		if l.t.failed || l.t.connected {
			k.queue, k.active = nil, false // nobody hears it, not now either
			return false
		}
		return true
	}
	start := false
	if !k.active {
		if w.now.Before(k.pause) {
			return true
		}
		c, ok := l.eventCodec()
		if !ok {
			k.queue = nil
			return false
		}
		k.active, start = true, true
		k.pt, k.clock, k.since, k.ends = c.PayloadType, c.ClockRate, w.now.Add(-frame), 0
		k.ts = l.tx.now(w.now, c.ClockRate)
	}
	p := k.queue[0]
	elapsed := min(w.now.Sub(k.since), p.length)
	var room [rtpHeader + 4 + 32]byte
	b := room[:rtpHeader+4]
	b[rtpHeader], b[rtpHeader+1] = p.code, volume
	if elapsed >= p.length {
		b[rtpHeader+1] |= 0x80
		k.ends++
	}
	binary.BigEndian.PutUint16(b[rtpHeader+2:], uint16(min(uint64(elapsed)*uint64(k.clock)/uint64(time.Second), 0xffff)))
	l.tx.make(b, k.pt, start, k.ts, k.clock, w.now, start)
	l.send(w, b)
	if k.ends == keyEnds {
		k.active = false
		k.pause = w.now.Add(keyPause)
		k.queue = k.queue[1:]
	}
	return len(k.queue) > 0
}

// step makes the packets of this frame.
func (s *Session) step(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	w := writer{now: now}
	more := false
	for _, side := range s.legs {
		for _, l := range side {
			if l == nil {
				continue
			}
			more = l.typeKeys(&w) || more
			if l.active() {
				more = true
				l.trans.pull(&w)
			}
		}
	}
	if !more {
		s.ticking = false
		s.relay.tick.remove(s)
	}
}

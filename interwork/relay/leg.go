package relay

import (
	"encoding/binary"
	"strings"
	"time"
)

// leg is one stream on one side: our stream to the peer and the account of the peer's.
type leg struct {
	s      *Session
	t      *transport
	side   Side
	stream int

	format    Format
	formatted bool
	rx        receiver
	tx        sender
	actions   [128]action // what to do with the peer's packets, by payload type

	heard      bool
	collided   bool      // our stream was given another source once
	silentFrom time.Time // nothing came since; zero: nobody waits
	told       bool      // that it is silent

	reportAt               time.Time
	roundTrip              time.Duration
	remoteLost             int64
	remoteJitter           uint32
	lastPT                 uint8
	unknown, muted, noPath uint64

	heardKey key         // of the peer
	keys     keyboard    // towards the peer
	trans    *transcoder // of what the peer sends; nil: not needed
}

// actionKind is what is done with a packet of the peer.
type actionKind uint8

const (
	actUnknown   actionKind = iota // nobody agreed on the payload type
	actNone                        // agreed on, but the other side has nothing like it
	actForward                     // rewrite the header and send
	actEvent                       // telephone event
	actTranscode                   // audio for the transcoder
	actNoise                       // comfort noise for the transcoder
)

// action is what is done with one payload type.
type action struct {
	kind  actionKind
	pt    uint8  // of the other side
	codec uint8  // index in the receive list
	clock uint32 // of what comes
	out   uint32 // actEvent: clock of what goes
}

func (l *leg) other() *leg { return l.s.leg(l.side.Other(), l.stream) }

func (l *leg) local() Local {
	out := l.t.local()
	out.SSRC, out.CNAME = l.tx.ssrc, l.s.cname
	return out
}

// receives are the codecs with the numbers that the peer sends.
func (l *leg) receives() []Codec {
	if l.format.Receive != nil {
		return l.format.Receive
	}
	return l.format.Codecs
}

const (
	eventName = "telephone-event"
	noiseName = "CN"
)

// same tells whether a packet of one is one of the other.
func (c Codec) same(o Codec) bool {
	if !strings.EqualFold(c.Name, o.Name) || c.ClockRate != o.ClockRate || max(c.Channels, 1) != max(o.Channels, 1) {
		return false
	}
	if strings.EqualFold(c.Name, "H264") { // RFC 6184 §8.1: a different mode is a different format
		return c.parameter("packetization-mode", "0") == o.parameter("packetization-mode", "0")
	}
	return true
}

func (c Codec) is(name string) bool { return strings.EqualFold(c.Name, name) }

func (c Codec) parameter(name, fallback string) string {
	for _, p := range c.Parameters {
		if strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return fallback
}

// plan works out what happens to the packets of both legs of a stream; s.mu is held.
func (s *Session) plan(stream int) error {
	a, b := s.leg(Jingle, stream), s.leg(SIP, stream)
	if a == nil || b == nil || !a.formatted || !b.formatted {
		for _, l := range []*leg{a, b} {
			if l != nil && l.formatted {
				l.agreeOnly()
			}
		}
		return nil
	}
	err := a.planTo(b)
	if e := b.planTo(a); err == nil {
		err = e
	}
	return err
}

// agreeOnly is the plan while the other side is unknown: the payload types are valid.
func (l *leg) agreeOnly() {
	l.actions = [128]action{}
	for i, c := range l.receives() {
		l.actions[c.PayloadType] = action{kind: actNone, codec: uint8(i), clock: c.ClockRate}
	}
}

func (l *leg) planTo(o *leg) error {
	l.agreeOnly()
	var media, carried bool
	var convert *Codec
	for i, c := range l.receives() {
		act := &l.actions[c.PayloadType]
		if act.codec != uint8(i) {
			continue // the number is used twice: the last counts
		}
		switch {
		case c.is(eventName):
			l.planEvent(act, c, o)
			continue
		case c.is(noiseName):
			for _, d := range o.format.Codecs {
				if d.same(c) {
					act.kind, act.pt = actForward, d.PayloadType
				}
			}
			continue
		}
		media = true
		for _, d := range o.format.Codecs {
			if d.same(c) {
				act.kind, act.pt, carried = actForward, d.PayloadType, true
				break
			}
		}
		if act.kind == actNone && convert == nil {
			convert = &c
		}
	}
	needed := l.format.Recv && o.format.Send
	if convert == nil || carried && !needed {
		l.stopTranscoding()
	} else if err := l.transcode(o); err == nil {
		carried = true
	}
	if needed && media && !carried {
		return ErrCodec
	}
	return nil
}

// planEvent chooses the peer's telephone-event for one of ours: of the same clock rate if
// there is one (RFC 4733 §2.1 has it follow the audio).
func (l *leg) planEvent(act *action, c Codec, o *leg) {
	act.kind = actEvent
	for _, d := range o.format.Codecs {
		if d.is(eventName) && (act.out == 0 || d.ClockRate == c.ClockRate) {
			act.pt, act.out = d.PayloadType, d.ClockRate
			if d.ClockRate == c.ClockRate {
				return
			}
		}
	}
}

// receive takes a packet of the peer that is valid: b begins with a plain header.
func (l *leg) receive(b []byte, pt uint8, payload int, w *writer) {
	act := &l.actions[pt]
	ssrc, seq, ts := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	clock := act.clock
	if act.kind == actEvent {
		clock = 0 // its timestamp stands still
	}
	l.rx.update(ssrc, seq, ts, clock, payload, w.now)
	l.lastPT = pt
	l.alive(w.now)
	if !l.heard {
		l.heard = true
		l.s.events.add(Event{Kind: Heard, Side: l.side, Stream: l.stream})
	}
	if ssrc == l.tx.ssrc && !l.collided {
		l.collided = true // once: a peer that sends our own packets back is an echo, no collision
		l.collide(w)
	}
	o := l.other()
	flows := o != nil && l.format.Recv && o.format.Send
	if act.kind == actEvent {
		l.hearKey(b[rtpHeader:], ts, act, flows && (act.out != 0 || l.active()) && o.t.ready(), w.now)
	}
	switch {
	case o == nil || !o.t.ready():
		l.noPath++
		return
	case !flows:
		l.muted++
		o.tx.anchored = false // what was not sent is no gap
		return
	}
	switch act.kind {
	case actForward:
		if l.active() {
			l.trans.stop() // the peer changed to what needs no transcoder
		}
		if o.keys.busy() || !o.tx.carry(b, act.pt, act.clock, w.now) {
			return
		}
	case actEvent:
		switch {
		case l.active():
			l.trans.push(transEvent, seq, ts, ssrc, b, w.now)
			return
		case act.out == 0 || o.keys.busy() || payload < 4:
			return
		case !o.carryEvent(b, ts, act, w.now):
			return
		}
	case actTranscode, actNoise:
		if l.trans != nil {
			kind := transAudio
			if act.kind == actNoise {
				kind = transNoise
			} else if l.trans.in.PayloadType != pt {
				l.trans.hear(l.receives()[act.codec])
			}
			l.trans.push(kind, seq, ts, ssrc, b, w.now)
		}
		return
	default:
		l.noPath++
		return
	}
	o.send(w, b)
}

// send sends a packet of our stream to the peer.
func (l *leg) send(w *writer, b []byte) {
	l.tx.packets++
	l.tx.bytes += uint64(len(b) - rtpHeader)
	l.tx.sinceSR = true
	l.t.sendRTP(w, b)
}

// collide gives our stream another source when the peer uses the same (RFC 3550 §8.2).
func (l *leg) collide(w *writer) {
	// At once: a batch would keep the scratch buffer.
	l.t.sendRTCP(&writer{now: w.now}, appendBYE(appendSDES(appendReport(l.t.scratch[:0], l.tx.ssrc, nil, nil), l.tx.ssrc, l.s.cname), l.tx.ssrc))
	l.tx.ssrc = randomUint32()
}

// alive notes a sign of life.
func (l *leg) alive(now time.Time) {
	l.silentFrom, l.told = now, false
}

// talks tells whether media should come: with the call on hold, silence is no news, since
// many phones that hold have no music to send.
func (l *leg) talks() bool {
	return l.format.Recv && l.format.Send && (l.t.ice != nil || l.t.src.signalled.IsValid())
}

// tend looks after what is due; s.mu is held.
func (l *leg) tend(now time.Time) {
	t := l.t
	if t.failed {
		return
	}
	if !t.deadline.IsZero() && now.After(t.deadline) {
		t.fail(ErrTimeout)
		return
	}
	l.heardKey.expire(l, now)
	if !t.ready() {
		l.silentFrom = now
		return
	}
	if now.After(l.reportAt) {
		l.reportAt = now.Add(reportInterval(false))
		l.report(now)
	}
	if l.silentFrom.IsZero() || !l.talks() {
		l.silentFrom, l.told = now, false
		return
	}
	most := l.s.relay.c.MediaTimeout
	if most > 0 && !l.told && now.Sub(l.silentFrom) > most {
		l.told = true
		l.s.events.add(Event{Kind: Silent, Side: l.side, Stream: l.stream})
	}
}

package relay

import (
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/transcode"
)

// Kinds of packets for the transcoder.
const (
	transAudio = transcode.KindAudio
	transNoise = transcode.KindComfortNoise
	transEvent = transcode.KindEvent
)

// transcoder is what the peer of one leg sends, in a codec of the other. It exists where
// it may be needed and works once the peer sends what needs it.
type transcoder struct {
	from, to *leg
	d        *transcode.Direction // nil: the peer sends what goes through as it is
	in, out  Codec
	ptime    time.Duration
	event    action // towards the other side; out 0: it gets tones
	eventIn  uint32 // clock of the events of the peer; 0: it has none
	due      time.Time
	room     [2048]byte
}

// transcode prepares for packets of l that o has no codec for: the first of o's codecs that
// we know is what they become; s.mu is held.
func (l *leg) transcode(o *leg) error {
	var out Codec
	for _, c := range o.format.Codecs {
		if codec.Supported(c.Name) {
			out = c
			break
		}
	}
	var in Codec
	for _, c := range l.receives() {
		if act := &l.actions[c.PayloadType]; act.kind == actNone && codec.Supported(c.Name) {
			if in.Name == "" {
				in = c
			}
			if out.Name != "" {
				act.kind, act.pt = actTranscode, out.PayloadType
			}
		}
	}
	if in.Name == "" || out.Name == "" {
		l.stopTranscoding()
		return ErrCodec
	}
	x := &transcoder{from: l, to: o, in: in, out: out}
	for _, c := range l.receives() {
		if act := &l.actions[c.PayloadType]; act.kind == actEvent && (x.eventIn == 0 || act.clock == in.ClockRate) {
			x.eventIn = act.clock
			x.event = *act
		}
	}
	if x.event.out == 0 {
		for _, c := range o.format.Codecs {
			if c.is(eventName) && (x.event.out == 0 || c.ClockRate == out.ClockRate) {
				x.event.pt, x.event.out = c.PayloadType, c.ClockRate
			}
		}
	}
	for i, c := range l.receives() {
		if act := &l.actions[c.PayloadType]; c.is(noiseName) && c.ClockRate == in.ClockRate {
			*act = action{kind: actNoise, codec: uint8(i), clock: c.ClockRate}
		}
	}
	if old := l.trans; old != nil && old.same(x, o.format.PTime) {
		return nil
	}
	l.stopTranscoding()
	d, err := x.make(time.Now())
	if err != nil {
		return err
	}
	x.ptime = d.PTime()
	d.Close()
	l.trans = x
	return nil
}

func (x *transcoder) make(now time.Time) (*transcode.Direction, error) {
	o := x.to
	return transcode.New(format(x.in, 0), format(x.out, o.format.PTime), transcode.Options{
		EventClockIn: int(x.eventIn), EventClockOut: int(x.event.out), Detect: x.eventIn == 0 && x.event.out != 0, Digit: x.toneHeard,
		Seq: o.tx.seq + 1, Timestamp: o.tx.now(now, x.out.ClockRate),
	})
}

// start and stop follow what the peer sends; s.mu is held.
func (x *transcoder) start(now time.Time) bool {
	if x.d != nil {
		return true
	}
	d, err := x.make(now)
	if err != nil {
		return false
	}
	x.d, x.due = d, now
	x.from.s.startTicking()
	return true
}

func (x *transcoder) stop() {
	if x.d != nil {
		x.d.Close()
		x.d = nil
	}
}

// active tells whether the peer's sound goes through a transcoder now.
func (l *leg) active() bool { return l.trans != nil && l.trans.d != nil }

func format(c Codec, ptime time.Duration) transcode.Format {
	f := transcode.Format{Name: c.Name, ClockRate: int(c.ClockRate), Channels: int(c.Channels), PTime: ptime}
	for _, p := range c.Parameters {
		f.Parameters = append(f.Parameters, codec.Parameter{Name: p.Name, Value: p.Value})
	}
	return f
}

// same tells whether a new plan needs nothing else than the present one.
func (x *transcoder) same(n *transcoder, ptime time.Duration) bool {
	return x.to == n.to && x.in.same(n.in) && x.in.PayloadType == n.in.PayloadType && x.out.same(n.out) &&
		x.out.PayloadType == n.out.PayloadType && x.event == n.event && x.eventIn == n.eventIn && x.ptime == format(n.out, ptime).Packet()
}

func (l *leg) stopTranscoding() {
	if l.trans != nil {
		l.trans.stop()
		l.trans = nil
	}
}

// hear has the transcoder follow a peer that changes among the codecs it may use.
func (x *transcoder) hear(c Codec) {
	x.stop()
	x.in = c
}

func (x *transcoder) push(kind transcode.Kind, seq uint16, ts, ssrc uint32, b []byte, now time.Time) {
	if !x.start(now) {
		return
	}
	x.d.Push(transcode.Packet{Kind: kind, Marker: b[1]&markerBit != 0, Seq: seq, Timestamp: ts, SSRC: ssrc, Payload: b[rtpHeader:]}, now)
}

// maxBehind is how many packets are made up for when the ticker was late.
const maxBehind = 5

// pull sends the packets that are due.
func (x *transcoder) pull(w *writer) {
	if behind := w.now.Sub(x.due); behind > maxBehind*max(x.ptime, frame) {
		x.due = w.now
	}
	for !x.due.After(w.now) {
		x.due = x.due.Add(x.ptime)
		for _, p := range x.d.Pull(w.now) {
			x.send(w, p)
		}
	}
}

func (x *transcoder) send(w *writer, p transcode.Packet) {
	o := x.to
	if !o.t.ready() || !o.format.Send || !x.from.format.Recv || len(p.Payload) > len(x.room)-rtpHeader-64 {
		return
	}
	pt, clock := x.out.PayloadType, x.out.ClockRate
	event := p.Kind == transcode.KindEvent
	if event {
		pt = x.event.pt
	}
	b := append(x.room[:rtpHeader], p.Payload...)
	o.tx.make(b, pt, p.Marker, p.Timestamp, clock, w.now, !event)
	o.send(w, b)
}

// toneHeard takes a key that was found in the sound of a peer without telephone events.
// Keys that came as events are told of by the leg.
func (x *transcoder) toneHeard(digit byte, d time.Duration) {
	if x.eventIn == 0 {
		l := x.from
		l.s.events.add(Event{Kind: Digit, Side: l.side, Stream: l.stream, Digit: digit, Duration: d, Passed: true})
	}
}

func (x *transcoder) press(digit byte, d time.Duration) bool { return x.d.SendDTMF(digit, d) }

func (x *transcoder) loss(part float64) { x.d.SetLoss(part) }

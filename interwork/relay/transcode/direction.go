package transcode

import (
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/jitter"
	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

// Direction is the sound from one party to the other. It belongs to one goroutine, or
// to a lock of the caller.
type Direction struct {
	options  Options
	dec      codec.Decoder
	enc      codec.Encoder
	buffer   *jitter.Buffer
	rate     int // of the samples
	clockIn  int
	clockOut int
	ptime    time.Duration
	frame    int // samples of a packet that goes out

	pcm     []int16 // decoded and not sent, oldest first
	hold    int     // packets before the sound may be stretched again
	noise   codec.Noise
	noisy   bool // comfort noise instead of concealment
	started bool

	seq    uint16
	ts     uint32
	talks  bool // the last packet of sound was sent
	out    [2]Packet
	sound  []byte
	in     incoming
	keys   outgoing
	detect *tone.Detector
	found  func(tone.Key)

	stats                Stats
	concealed, recovered int // samples
}

// Stats are the counters of a Direction since it was made, and gauges.
type Stats struct {
	Received, Sent        uint64        // packets, events included
	Late, Duplicate, Lost uint64        // packets of sound
	Dropped               uint64        // packets of sound, because more waited than MaxDelay
	Reordered, Restarts   uint64        // packets; changes of SSRC or jumps
	Malformed             uint64        // payloads
	Concealed, Recovered  time.Duration // time without packet; of that, with redundancy of the next
	Delay, Target         time.Duration // of the jitter buffer: now, and what it aims at
	Jitter                time.Duration // RFC 3550 §6.4.1
	Shortened, Lengthened uint64        // pitch periods left out and repeated
}

// New makes the direction from → to. It fails with codec.ErrUnsupported.
func New(from, to Format, o Options) (*Direction, error) {
	rate := codec.Rate(from, to)
	dec, err := codec.NewDecoder(from, rate)
	if err != nil {
		return nil, err
	}
	enc, err := codec.NewEncoder(to, rate)
	if err != nil {
		dec.Close()
		return nil, err
	}
	ptime := to.Packet()
	d := &Direction{
		options: o, dec: dec, enc: enc, rate: rate,
		buffer:  jitter.New(jitter.Config{ClockRate: from.ClockRate, Min: o.MinDelay, Max: o.MaxDelay, Block: ptime}),
		clockIn: from.ClockRate, clockOut: to.ClockRate, ptime: ptime,
		seq: o.Seq, ts: o.Timestamp,
	}
	d.frame = int(ptime * time.Duration(rate) / time.Second)
	// The longest packet on top of a frame that lacks one sample, and a period.
	d.pcm = make([]int16, 0, d.frame+rate*(codec.MaxPayloadMillis+20)/1000)
	d.keys.init(d)
	if o.Detect && o.EventClockIn == 0 {
		d.detect, d.found = tone.NewDetector(rate), d.heardKey
	}
	return d, nil
}

// PTime is how often Pull is to be called.
func (d *Direction) PTime() time.Duration { return d.ptime }

// Push takes a packet that arrived at that time. What cannot be used is counted.
func (d *Direction) Push(p Packet, at time.Time) {
	d.stats.Received++
	q := jitter.Packet{
		Seq: p.Seq, Timestamp: p.Timestamp, SSRC: p.SSRC, Marker: p.Marker,
		Tag: uint8(p.Kind), Payload: p.Payload,
	}
	switch p.Kind {
	case KindAudio:
		n := d.dec.Samples(p.Payload)
		if n == 0 {
			d.stats.Malformed++
			return
		}
		q.Ticks = uint32(n * d.clockIn / d.rate)
	case KindComfortNoise:
		if len(p.Payload) > 255 {
			d.stats.Malformed++
			return
		}
	case KindEvent:
		if d.options.EventClockIn <= 0 || !d.in.event(d, p, at) {
			d.stats.Malformed++
			return
		}
		// For the buffer it is a number that is not missing.
		q.Payload, q.Untimed = nil, true
	default:
		return
	}
	d.started = true
	d.buffer.Put(q, at)
}

// Pull gives the packets to send now, none to two, in order. They are valid until the
// next call. It is to be called every PTime; a caller that comes late calls it as often
// as it missed to.
func (d *Direction) Pull(now time.Time) []Packet {
	d.in.expire(d, now)
	if !d.started {
		return nil
	}
	for len(d.pcm) < d.frame {
		d.fill(now, d.frame-len(d.pcm))
	}
	frame := d.pcm[:d.frame]
	if d.detect != nil {
		d.detect.Feed(frame, d.found)
	}
	out := d.keys.next(d.out[:0], frame)
	if !d.keys.silent {
		out = d.encode(out, frame)
	} else {
		d.talks = false
	}
	d.pcm = d.pcm[:copy(d.pcm, d.pcm[d.frame:])]
	d.ts += uint32(d.frame * d.clockOut / d.rate)
	for i := range out {
		out[i].Seq = d.seq
		d.seq++
		d.stats.Sent++
	}
	return out
}

func (d *Direction) encode(out []Packet, frame []int16) []Packet {
	payload, err := d.enc.Encode(d.sound[:0], frame)
	d.sound = payload
	if err != nil || len(payload) == 0 {
		d.talks = false
		return out
	}
	out = append(out, Packet{Kind: KindAudio, Marker: !d.talks, Timestamp: d.ts, Payload: payload})
	d.talks = true
	return out
}

// fill appends to pcm what is to be heard next; want is how many samples are needed.
func (d *Direction) fill(now time.Time, want int) {
	f := d.buffer.Get(now, d.ticks(len(d.pcm)), uint32((want*d.clockIn+d.rate-1)/d.rate))
	n := int(f.Ticks) * d.rate / d.clockIn
	switch f.Kind {
	case jitter.Audio:
		d.play(f.Packet, n, now)
	case jitter.Missing:
		next := f.Next
		if Kind(f.Tag) != KindAudio {
			next = nil
		}
		d.concealed += n
		if next != nil {
			d.recovered += n
		}
		d.pcm = d.dec.Conceal(d.pcm, n, next)
	case jitter.Empty:
		if !d.noisy && !d.in.active {
			d.concealed += n
		}
		d.pad(n)
	default:
		d.pad(max(n, 1))
	}
}

// pad appends comfort noise, or what the decoder makes of silence: after its last frame
// that fades, and Opus has comfort noise of its own.
func (d *Direction) pad(n int) {
	if d.noisy {
		d.pcm = d.noise.Fill(d.pcm, n)
		return
	}
	d.pcm = d.dec.Conceal(d.pcm, n, nil)
}

func (d *Direction) play(p jitter.Packet, n int, now time.Time) {
	switch Kind(p.Tag) {
	case KindComfortNoise:
		d.noise.Set(p.Payload)
		d.noisy = true
		return
	case KindEvent:
		return
	}
	start := len(d.pcm)
	pcm, err := d.dec.Decode(d.pcm, p.Payload)
	if err != nil {
		d.stats.Malformed++
		pcm = d.dec.Conceal(d.pcm, n, nil)
	}
	d.noisy = false
	d.pcm = d.stretch(pcm, start, now)
}

// SetLoss tells which part of the packets the receiver misses (RTCP), 0 to 1.
func (d *Direction) SetLoss(part float64) { d.enc.SetLoss(part) }

// Stats reports the counters.
func (d *Direction) Stats(now time.Time) Stats {
	s, j := d.stats, d.buffer.Stats(now)
	s.Late, s.Duplicate, s.Lost, s.Dropped = j.Late, j.Duplicate, j.Lost, j.Dropped
	s.Reordered, s.Restarts = j.Reordered, j.Restarts
	s.Delay, s.Target, s.Jitter = j.Delay, j.Target, j.Jitter
	s.Concealed, s.Recovered = d.length(d.concealed), d.length(d.recovered)
	return s
}

// ticks is a number of samples in the clock of the sender.
func (d *Direction) ticks(samples int) uint32 { return uint32(samples * d.clockIn / d.rate) }

func (d *Direction) length(samples int) time.Duration {
	return time.Duration(samples) * time.Second / time.Duration(d.rate)
}

// Close gives the states of the codecs back; the Direction is not used afterwards.
func (d *Direction) Close() {
	d.dec.Close()
	d.enc.Close()
}

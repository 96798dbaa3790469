package main

import (
	"context"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/srtp/v3"
)

const (
	frame     = 20 * time.Millisecond
	rtpHeader = 12
	g711Frame = 160 // samples and bytes of 20 ms
	opusFrame = 960 // samples of 20 ms
	opusType  = 111 // payload type
)

// tap is where an end of media gives what it receives, once somebody listens.
type tap struct {
	f atomic.Pointer[func([]byte, int64)]
}

func (t *tap) take(b []byte, at int64) {
	if f := t.f.Load(); f != nil {
		(*f)(b, at)
	}
}

func (t *tap) open(f func([]byte, int64)) { t.f.Store(&f) }

// stream is the sound that one end sends, 50 packets a second.
type stream struct {
	k      *socket
	to     *target
	out    *srtp.Context // nil: plain
	pt     byte
	step   uint32
	frames [][]byte // sent in turn; nil: G.711 that carries when it was sent
	ssrc   uint32
	n      int
	buf    []byte
	sealed []byte
}

func newStream(k *socket, to *target, out *srtp.Context, ssrc uint32, frames [][]byte) *stream {
	return &stream{k: k, to: to, out: out, step: g711Frame, ssrc: ssrc, frames: frames, buf: make([]byte, rtpHeader, 1500), sealed: make([]byte, 0, 1600)}
}

// opus makes it a stream of Opus.
func (s *stream) opus() *stream {
	s.pt, s.step = opusType, opusFrame
	return s
}

// send sends the next packet; stamped says that it counts.
func (s *stream) send(stamped bool) {
	b := s.buf[:rtpHeader]
	b[0], b[1] = 0x80, s.pt
	binary.BigEndian.PutUint16(b[2:], uint16(s.n))
	binary.BigEndian.PutUint32(b[4:], uint32(s.n)*s.step)
	binary.BigEndian.PutUint32(b[8:], s.ssrc)
	if s.frames != nil {
		b = append(b, s.frames[s.n%len(s.frames)]...)
	} else {
		b = b[:rtpHeader+g711Frame]
		at := int64(0)
		if stamped {
			at = time.Now().UnixNano()
		}
		binary.BigEndian.PutUint64(b[rtpHeader:], uint64(at))
	}
	s.n++
	if s.out != nil {
		sealed, err := s.out.EncryptRTP(s.sealed[:0], b, nil)
		if err != nil {
			return
		}
		b = sealed
	}
	s.k.send(b, s.to)
}

// heard counts what all ends receive. The one reader of the sockets calls it.
type heard struct {
	mu        sync.Mutex
	from, to  int64 // of the time that counts, nanoseconds; to 0: not known yet
	delays    []int64
	transcode bool
	received  int
	loud      int // of the transcoded ones: those that are no silence
	broken    int // packets that do not decrypt
}

// listen takes what one end receives.
func (h *heard) listen(t *tap, in *srtp.Context) {
	plain := make([]byte, 0, 1600)
	t.open(func(b []byte, at int64) {
		if len(b) < rtpHeader || b[1] >= 192 && b[1] <= 223 { // RFC 5761 §4
			return
		}
		if in != nil {
			opened, err := in.DecryptRTP(plain[:0], b, nil)
			if err != nil {
				h.mu.Lock()
				h.broken++
				h.mu.Unlock()
				return
			}
			b = opened
		}
		h.packet(b, at)
	})
}

func (h *heard) packet(b []byte, at int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.transcode {
		if h.from > 0 && at >= h.from && (h.to == 0 || at < h.to) {
			h.received++
			if loud(b[1]&0x7f, b[rtpHeader:]) {
				h.loud++
			}
		}
		return
	}
	if len(b) != rtpHeader+g711Frame {
		return
	}
	if sent := int64(binary.BigEndian.Uint64(b[rtpHeader:])); sent != 0 {
		h.received++
		h.delays = append(h.delays, at-sent)
	}
}

// loud tells sound from silence: PCMU by its size, and of Opus, whose size follows the
// sound, by the length.
func loud(pt byte, payload []byte) bool {
	if pt == opusType {
		return len(payload) > 20
	}
	return slices.ContainsFunc(payload, func(b byte) bool { return ^b>>4&7 >= 4 })
}

// talk is what came of a load of media.
type talk struct {
	sent, received, broken int // of transcoded sound, sent is what the time asks for
	loud                   int
	p50, p99, late         time.Duration // late: how far the load itself was behind, 99 of 100
}

// conversation sends from all ends of calls that stand for a while and counts what
// arrives. said is for calls that are transcoded. before and after are called around the part that counts.
func conversation(ctx context.Context, calls []*placedCall, length time.Duration, said *sounds, before, after func()) talk {
	h := &heard{transcode: said != nil, delays: make([]int64, 0, 2*50*len(calls)*int(length/time.Second+1))}
	streams := make([]*stream, 0, 2*len(calls))
	for i, c := range calls {
		h.listen(&c.client.rtp, c.client.in)
		h.listen(&c.phone.rtp, c.phone.in)
		hers, his := newStream(c.client.k, c.client.to, c.client.out, uint32(2*i+1), nil), newStream(c.phone.k, c.phone.to, c.phone.out, uint32(2*i+2), nil)
		if said != nil {
			hers.opus().frames, his.frames = said.opus, said.pcmu
		}
		streams = append(streams, hers, his)
	}
	const warm = time.Second
	pace(ctx, streams, warm, false)
	before()
	h.mu.Lock()
	h.from = time.Now().UnixNano()
	h.mu.Unlock()
	sent, late := pace(ctx, streams, length, true)
	h.mu.Lock()
	h.to = time.Now().UnixNano()
	h.mu.Unlock()
	after()
	// What is under way, and what the reader has not got round to: in its window it is
	// counted still.
	select {
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := talk{sent: sent, received: h.received, broken: h.broken, loud: h.loud, late: late}
	if said != nil {
		// The gateway makes these packets by its own clock.
		t.sent = len(streams) * int(time.Duration(h.to-h.from)/frame)
		t.received = min(t.received, t.sent) // a packet more or less at the ends of the time
	}
	slices.Sort(h.delays)
	if n := len(h.delays); n > 0 {
		t.p50, t.p99 = time.Duration(h.delays[n/2]), time.Duration(h.delays[n*99/100])
	}
	return t
}

// pace sends from all streams, spread evenly over each 20 ms. A load that is behind sends
// at once, as fast as it can.
func pace(ctx context.Context, streams []*stream, length time.Duration, stamped bool) (sent int, late time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rounds := int(length / frame)
	behind := make([]time.Duration, 0, rounds*len(streams))
	start := time.Now()
	for r := range rounds {
		if ctx.Err() != nil {
			return sent, 0
		}
		for i, s := range streams {
			due := time.Duration(r)*frame + frame*time.Duration(i)/time.Duration(len(streams))
			d := due - time.Since(start)
			if d > 100*time.Microsecond { // the timer is no better than that
				time.Sleep(d)
				d = due - time.Since(start)
			}
			behind = append(behind, -d)
			s.send(stamped)
			sent++
		}
	}
	slices.Sort(behind)
	return sent, max(behind[len(behind)*99/100], 0)
}

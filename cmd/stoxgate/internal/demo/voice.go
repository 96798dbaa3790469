package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

const (
	frame     = 20 * time.Millisecond // of sound in a packet
	toneTime  = time.Second
	toneLevel = -15.0 // dBFS of what is sent
	// What counts as heard: loopback and two transcoders must do much better.
	maxOff   = 2.0 // dB
	maxDrift = 5.0 // Hz
	maxDelay = 400 * time.Millisecond
)

var (
	pcma = relay.Codec{PayloadType: 8, Name: "PCMA", ClockRate: 8000}
	opus = relay.Codec{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2}
)

// voice is mouth and ear of one party: a socket with plain RTP (RFC 3550) in one codec.
type voice struct {
	conn  *net.UDPConn
	codec relay.Codec
	enc   codec.Encoder
	dec   codec.Decoder
	to    netip.AddrPort
	seq   uint16
	said  time.Time // when the last packet was sent
	done  chan struct{}

	mu    sync.Mutex
	heard []heard
}

// heard is the sound of one packet.
type heard struct {
	at  time.Time
	pcm []int16
}

func newVoice(c relay.Codec) (*voice, error) {
	f := codec.Format{Name: c.Name, ClockRate: int(c.ClockRate), Channels: int(c.Channels)}
	rate := codec.Rate(f, f)
	enc, err := codec.NewEncoder(f, rate)
	if err != nil {
		return nil, err
	}
	dec, err := codec.NewDecoder(f, rate)
	if err != nil {
		enc.Close()
		return nil, err
	}
	v := &voice{codec: c, enc: enc, dec: dec, done: make(chan struct{})}
	if v.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		enc.Close()
		dec.Close()
		return nil, err
	}
	go v.listen()
	return v, nil
}

func (v *voice) close() {
	_ = v.conn.Close()
	<-v.done
	v.enc.Close()
	v.dec.Close()
}

func (v *voice) address() netip.AddrPort { return v.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (v *voice) listen() {
	defer close(v.done)
	buf := make([]byte, 2048)
	for {
		n, err := v.conn.Read(buf)
		if err != nil {
			return
		}
		at := time.Now()
		if n <= 12 || buf[0]>>6 != 2 || buf[1]&0x7f != v.codec.PayloadType {
			continue
		}
		pcm, err := v.dec.Decode(nil, buf[12:n])
		if err != nil {
			continue
		}
		v.mu.Lock()
		v.heard = append(v.heard, heard{at, pcm})
		v.mu.Unlock()
	}
}

// say sends one frame.
func (v *voice) say(pcm []int16) error {
	step := v.codec.ClockRate / uint32(time.Second/frame)
	p := []byte{0x80, v.codec.PayloadType}
	p = binary.BigEndian.AppendUint16(p, v.seq)
	p = binary.BigEndian.AppendUint32(p, uint32(v.seq)*step)
	p = binary.BigEndian.AppendUint32(p, 0x57a7e) // SSRC
	p, err := v.enc.Encode(p, pcm)
	if err != nil {
		return err
	}
	v.seq++
	v.said = time.Now()
	_, err = v.conn.WriteToUDPAddrPort(p, v.to)
	return err
}

func (v *voice) packets() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.heard)
}

// frames cuts a sound in pieces of 20 ms.
func (v *voice) frames(pcm []int16) [][]int16 {
	var list [][]int16
	for size := v.dec.SampleRate() / int(time.Second/frame); len(pcm) >= size; pcm = pcm[size:] {
		list = append(list, pcm[:size])
	}
	return list
}

// sound is what a tone was at the far end.
type sound struct {
	level float64 // dBFS
	hz    float64
	delay time.Duration // from the packet in which it began there to that in which it began here
}

func (s sound) String() string {
	return fmt.Sprintf("%.0f Hz at %.1f dBFS after %.1f ms", s.hz, s.level, float64(s.delay)/float64(time.Millisecond))
}

// measure looks for a tone that was sent from start on in what was heard after the first
// packets; ok is false while it is not complete.
func (v *voice) measure(skip int, start time.Time) (s sound, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	rate := v.dec.SampleRate()
	var pcm []int16
	began := -1
	loud := 0.5 * math.MaxInt16 * math.Pow(10, toneLevel/20)
	for _, h := range v.heard[skip:] {
		for i, sample := range h.pcm {
			if began < 0 && math.Abs(float64(sample)) >= loud {
				began = len(pcm) + i
				s.delay = h.at.Sub(start) + time.Duration(i)*time.Second/time.Duration(rate)
			}
		}
		pcm = append(pcm, h.pcm...)
	}
	// Without its first and last tenth, in which codecs and buffers settle.
	tenth := rate / 10
	if began < 0 || len(pcm) < began+10*tenth {
		return s, false
	}
	pcm = pcm[began+tenth : began+9*tenth]
	s.level, s.hz = tone.Level(pcm), tone.Frequency(pcm, rate)
	return s, true
}

// talk lets two voices say a tone to each other at the same time and returns how each came
// through at the other one.
func talk(ctx context.Context, a, b *voice, hzA, hzB float64) (atB, atA sound, err error) {
	both := [2]*voice{a, b}
	tick := time.NewTicker(frame)
	defer tick.Stop()
	say := func(frames [2][]int16) error {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: no sound: heard %d and %d packets", ErrStep, a.packets(), b.packets())
		}
		for i, v := range both {
			if err := v.say(frames[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var silence [2][]int16
	var tones [2][][]int16
	for i, v := range both {
		rate := v.dec.SampleRate()
		silence[i] = tone.Silence(nil, rate, frame)
		tones[i] = v.frames(tone.Sine(nil, rate, toneTime, [2]float64{hzA, hzB}[i], toneLevel))
	}
	for a.packets() == 0 || b.packets() == 0 {
		if err := say(silence); err != nil {
			return atB, atA, err
		}
	}
	skip := [2]int{a.packets(), b.packets()}
	var start [2]time.Time
	for i := range tones[0] {
		if err := say([2][]int16{tones[0][i], tones[1][i]}); err != nil {
			return atB, atA, err
		}
		if i == 0 {
			start = [2]time.Time{a.said, b.said}
		}
	}
	for {
		var okA, okB bool
		atB, okB = b.measure(skip[1], start[0])
		atA, okA = a.measure(skip[0], start[1])
		if okA && okB {
			return atB, atA, errorOf(atB, hzA, atA, hzB)
		}
		if err := say(silence); err != nil {
			return atB, atA, err
		}
	}
}

func errorOf(atB sound, hzA float64, atA sound, hzB float64) error {
	for _, e := range []struct {
		got sound
		hz  float64
	}{{atB, hzA}, {atA, hzB}} {
		if math.Abs(e.got.level-toneLevel) > maxOff || math.Abs(e.got.hz-e.hz) > maxDrift || e.got.delay < 0 || e.got.delay > maxDelay {
			return fmt.Errorf("%w: %.0f Hz at %.1f dBFS were heard as %s", ErrStep, e.hz, toneLevel, e.got)
		}
	}
	return nil
}

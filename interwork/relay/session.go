package relay

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// maxStreams is how many streams a session may have; calls have one or two.
const maxStreams = 16

// Session is the media of one call. One lock covers it: the reader that has a packet, the
// ticker and the owner take turns, and almost never meet.
type Session struct {
	relay *Relay
	flow  string
	log   zerolog.Logger
	turn  int // of those opened
	shard int // its sockets share a reader
	cname string

	mu      sync.Mutex
	closed  bool
	legs    [2][]*leg // by side and stream; nil: not prepared
	ticking bool

	events events
}

// token is a random text of n octets before encoding.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func randomUint32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}

// leg finds a leg; s.mu is held.
func (s *Session) leg(side Side, stream int) *leg {
	if side > SIP || stream < 0 || stream >= len(s.legs[side]) {
		return nil
	}
	return s.legs[side][stream]
}

// opened finds a leg for a method; s.mu is held.
func (s *Session) opened(side Side, stream int) (*leg, error) {
	if s.closed {
		return nil, ErrClosed
	}
	l := s.leg(side, stream)
	if l == nil {
		return nil, fmt.Errorf("%w: %s stream %d", ErrNotPrepared, side, stream)
	}
	return l, nil
}

// Prepare opens what a leg needs: sockets, credentials, keys. Called again for the same
// leg it returns what our next description says: the one SDES key that was agreed on, the
// present ICE credentials. Of the setup only a protection counts then, if the leg had none.
func (s *Session) Prepare(side Side, stream int, p Setup) (Local, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Local{}, ErrClosed
	}
	if side > SIP || stream < 0 || stream >= maxStreams || p.Protection > DTLS {
		return Local{}, fmt.Errorf("%w: side %d, stream %d", ErrDescription, side, stream)
	}
	if l := s.leg(side, stream); l != nil {
		if l.t.ice != nil {
			l.t.ice.renewed = false
		}
		if err := l.t.upgrade(p); err != nil {
			return Local{}, err
		}
		return l.local(), nil
	}
	var t *transport
	if p.Bundle {
		for _, l := range s.legs[side] {
			if l != nil {
				t = l.t
				break
			}
		}
	}
	if t == nil {
		var err error
		if t, err = s.openTransport(side, stream, p); err != nil {
			return Local{}, err
		}
	}
	l := &leg{s: s, t: t, side: side, stream: stream}
	l.tx.ssrc, l.tx.seq, l.tx.ts = randomUint32(), uint16(randomUint32()>>17), randomUint32()
	l.reportAt = time.Now().Add(reportInterval(true))
	t.legs = append(t.legs, l)
	for len(s.legs[side]) <= stream {
		s.legs[side] = append(s.legs[side], nil)
	}
	s.legs[side][stream] = l
	return l.local(), s.plan(stream)
}

// Connect takes what the peer's description says of a leg: the first and every later one.
// ICE checks and the DTLS handshake start here and must succeed within
// Config.ConnectTimeout, so call it when the peer has our description as well, or is about
// to get it; candidates may be added before. It fails with [ErrDescription], and the leg
// is then as before.
func (s *Session) Connect(side Side, stream int, r Remote) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.opened(side, stream)
	if err != nil {
		return err
	}
	if l.t.legs[0] != l {
		return nil // bundled: the first stream speaks for it
	}
	return l.t.connect(r, time.Now())
}

// AddCandidates takes candidates that the peer trickles, before Connect or after.
// Unusable ones are ignored, and all beyond Policy.Max.
func (s *Session) AddCandidates(side Side, stream int, c []Candidate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.opened(side, stream)
	if err != nil {
		return err
	}
	if l.t.ice == nil {
		return nil
	}
	l.t.ice.add(c)
	return nil
}

// Restart renews our ICE credentials (RFC 8445 §9): to offer a restart, or to answer one.
// Media goes on over the old path until the peer's new credentials, given to Connect,
// lead to another.
func (s *Session) Restart(side Side, stream int) (Local, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.opened(side, stream)
	if err != nil {
		return Local{}, err
	}
	if l.t.ice == nil {
		return Local{}, fmt.Errorf("%w: no ICE", ErrNotPrepared)
	}
	if l.t.ice.renewed {
		l.t.ice.renewed = false // Connect did it, for the peer's restart
		return l.local(), nil
	}
	if err := l.t.ice.restart(); err != nil {
		return Local{}, err
	}
	return l.local(), nil
}

// Format says what is sent to a leg and what it sends. It fails with [ErrCodec] if media
// should flow between the two sides of the stream and no codec of one can go to the other;
// the format stands nevertheless.
func (s *Session) Format(side Side, stream int, f Format) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.opened(side, stream)
	if err != nil {
		return err
	}
	if len(f.Codecs) > 128 || len(f.Receive) > 128 {
		return fmt.Errorf("%w: too many codecs", ErrDescription)
	}
	for _, list := range [][]Codec{f.Codecs, f.Receive} {
		for _, c := range list {
			if c.PayloadType > 127 || c.ClockRate == 0 {
				return fmt.Errorf("%w: codec %.40q, payload type %d, %d Hz", ErrDescription, c.Name, c.PayloadType, c.ClockRate)
			}
		}
	}
	l.format, l.formatted = f, true
	return s.plan(stream)
}

// SendDTMF presses a key towards a side for a time (40 ms to 6 s, 0: 100 ms), after those
// pressed before. It fails with [ErrEvent] if the side takes no telephone events.
func (s *Session) SendDTMF(side Side, digit byte, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	err := ErrNotPrepared
	for _, l := range s.legs[min(side, SIP)] {
		if l == nil {
			continue
		}
		if err = l.press(digit, d); err == nil {
			s.startTicking()
			return nil
		}
	}
	return err
}

// Close ends the session: peers get BYE in RTCP, ports rest, no event is started any more.
// What ends with a delay inside the ICE and DTLS libraries is waited for by Relay.Close.
func (s *Session) Close() {
	s.events.close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	now := time.Now()
	var transports []*transport
	for _, side := range s.legs {
		for _, l := range side {
			if l == nil {
				continue
			}
			l.farewell(now)
			l.stopTranscoding()
			if l.t.legs[0] == l {
				transports = append(transports, l.t)
			}
		}
	}
	ticking := s.ticking
	s.mu.Unlock()
	if ticking {
		s.relay.tick.remove(s)
	}
	for _, t := range transports {
		t.close(now)
	}
	var dropped uint64
	for _, t := range transports {
		dropped += t.dropped()
	}
	s.relay.forget(s, dropped)
}

// startTicking has the ticker call s.step; s.mu is held.
func (s *Session) startTicking() {
	if !s.ticking {
		s.ticking = true
		s.relay.tick.add(s)
	}
}

// tend looks after what is due.
func (s *Session) tend(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, side := range s.legs {
		for _, l := range side {
			if l != nil {
				l.tend(now)
			}
		}
	}
}

// reportInterval is when the next report is due (RFC 3550 §6.2, §6.3.1: five seconds for
// sessions of two, half of that before the first).
func reportInterval(first bool) time.Duration {
	d := 5 * time.Second
	if first {
		d /= 2
	}
	return time.Duration(float64(d) * (0.5 + mathrand.Float64()) / 1.21828)
}

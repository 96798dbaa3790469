package dialog

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip"
)

// up is a simulated call that is answered.
func up(t testing.TB, cfg Config) *sim {
	s := newSim(t, 1, cfg, []byte("offer"))
	s.start()
	s.after(time.Second, func() { s.ends[1].input(inAccept{[]byte("answer")}) })
	s.run(2 * time.Second)
	require.Equal(t, phaseConfirmed, s.ends[0].core.phase)
	require.Equal(t, phaseConfirmed, s.ends[1].core.phase)
	return s
}

// Both sides do what they like at once. However messages cross, every call ends with exactly
// one last event, and while it lives both sides agree on the session.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		late := rapid.Bool().Draw(rt, "late offer")
		offer := []byte("offer")
		if late {
			offer = nil
		}
		s := newSim(t, rapid.Uint64().Draw(rt, "seed"), Config{Ring: 20 * time.Second}, offer)
		if rapid.IntRange(0, 3).Draw(rt, "lossy") == 0 {
			n := 0
			s.lose = func(sip.Method, int) bool { n++; return n%3 == 1 }
		}
		defer func() {
			if rt.Failed() || t.Failed() {
				rt.Log(s.log())
			}
		}()
		sdp := 0
		next := func() []byte { sdp++; return fmt.Appendf(nil, "sdp %d", sdp) }
		for _, e := range s.ends {
			lazy := rapid.IntRange(0, 9).Draw(rt, "laziness")
			e.react = func(x Event) {
				wait := time.Duration((sdp*37)%200) * time.Millisecond
				do := func(in input) { s.after(wait, func() { e.input(in) }) }
				switch x := x.(type) {
				case Offered:
					switch {
					case lazy == 9:
					case (sdp+lazy)%4 == 0:
						do(inRefuse{sip.Status{Code: 488}})
					default:
						do(inAnswer{next()})
					}
				case Answered:
					if x.Offer && lazy != 9 {
						do(inAnswer{next()})
					}
				case Progress:
					if x.Offer && lazy != 9 {
						do(inAnswer{next()})
					}
				case Info:
					do(inAnswerInfo{sip.Status{Code: 200}})
				case Referred:
					do(inAnswerRefer{x.ID, sip.Status{Code: 202}})
					s.after(wait+time.Second, func() { e.input(inNotifyRefer{x.ID, sip.Status{Code: 200}}) })
				}
			}
		}
		s.start()
		accepts := rapid.Bool().Draw(rt, "accepts")
		if accepts {
			s.after(rapid.SampledFrom([]time.Duration{50, 300, 2000}).Draw(rt, "accept after")*time.Millisecond, func() {
				s.ends[1].input(inAccept{next()})
			})
		}
		asked := map[*simEnd]int{}
		told := map[*simEnd]int{}
		for range rapid.IntRange(0, 14).Draw(rt, "actions") {
			e := s.ends[rapid.IntRange(0, 1).Draw(rt, "who")]
			at := time.Duration(rapid.IntRange(0, 6000).Draw(rt, "when")) * time.Millisecond
			var in input
			switch rapid.IntRange(0, 11).Draw(rt, "what") {
			case 0:
				in = inEnd{}
			case 1:
				in = inRing{sip.Status{Code: 183}, next()}
			case 2:
				in = inRing{sip.Status{Code: 180}, nil}
			case 3:
				in = inReject{sip.Status{Code: 486}}
			case 4:
				asked[e]++
				in = inInfo{"text/plain", []byte("x"), func(sip.Status) { told[e]++ }}
			case 5:
				s.after(at, func() {
					if !e.last && e.core.phase != phaseUnknown {
						asked[e]++
						e.input(inRefer{uint32(1000 + asked[e]), name("sip:boss@voice.example"), nil})
					}
				})
				continue
			default:
				in = inOffer{next()}
			}
			s.after(at, func() { e.input(in) })
		}
		s.run(time.Minute) // everything has settled, but for timers of minutes
		a, b := s.ends[0], s.ends[1]
		if a.core.phase == phaseConfirmed && b.core.phase == phaseConfirmed {
			for _, e := range s.ends {
				if e.core.offers.state != offerNone || e.core.offers.tx != 0 || e.core.offers.ask != nil || e.core.taking != nil {
					rt.Fatalf("%s is not settled", e.name)
				}
			}
			for _, pair := range [][2]*simEnd{{a, b}, {b, a}} {
				if x, y := string(pair[0].core.offers.local), string(pair[1].core.offers.remote); x != y {
					rt.Fatalf("%s has %q, its peer thinks %q", pair[0].name, x, y)
				}
			}
		}
		a.input(inEnd{})
		s.run(s.now + time.Minute)
		b.input(inEnd{})
		s.run(s.now + 10*time.Minute)
		for _, e := range s.ends {
			if e.core.phase == phaseUnknown {
				continue // it never came that far
			}
			if !e.last || e.core.phase != phaseEnded {
				rt.Fatalf("%s has not ended: %s", e.name, e.core.phase)
			}
			for id, at := range e.timers {
				if at != 0 && timerID(id) != timerAcks {
					rt.Fatalf("timer %d of %s runs", id, e.name)
				}
			}
			for i := range e.events {
				if r, ok := e.events[i].(Notified); ok && r.Done {
					told[e]++
				}
			}
			if asked[e] != told[e] {
				rt.Fatalf("%s asked %d times and was told %d times", e.name, asked[e], told[e])
			}
		}
	})
}

// Two offers at once: both get 491 and both are carried through, the callee's first, because
// its wait is shorter (RFC 3261 §14.1).
func TestGlare(t *testing.T) {
	s := up(t, Config{})
	a, b := s.ends[0], s.ends[1]
	a.react = func(e Event) {
		if _, ok := e.(Offered); ok {
			a.input(inAnswer{[]byte("a answers")})
		}
	}
	a.input(inOffer{[]byte("a offers")})
	b.input(inOffer{[]byte("b offers")})
	s.run(30 * time.Second)
	require.Equal(t, []OfferAnswered{{[]byte("a answers")}}, eventsOf[OfferAnswered](b), s.log())
	require.Equal(t, []OfferRefused{{sip.Status{Code: 491}}}, eventsOf[OfferRefused](a), "the owner decides anew: %s", s.log())
	require.Empty(t, eventsOf[Offered](b))
	require.Equal(t, "b offers", string(a.core.offers.remote))
	require.Equal(t, "a answers", string(b.core.offers.remote))
}

// A peer that always says 491 is asked five times.
func TestGlareForEver(t *testing.T) {
	s := up(t, Config{})
	a, b := s.ends[0], s.ends[1]
	b.core.offers.state = offerLocal
	a.input(inOffer{[]byte("x")})
	s.run(time.Minute)
	require.Len(t, eventsOf[OfferRefused](a), 1)
	n := 0
	for _, line := range s.trace {
		if contains(line, "b → a: 491") {
			n++
		}
	}
	require.Equal(t, maxTries+1, n)
	require.Equal(t, "offer", string(a.core.offers.local), "the session stays as it was")
}

func contains(s, sub string) bool {
	for i := range len(s) - len(sub) + 1 {
		if s[i:i+len(sub)] == sub {
			return true
		}
	}
	return false
}

func TestSessionTimer(t *testing.T) {
	s := up(t, Config{SessionExpires: 90 * time.Second})
	a, b := s.ends[0], s.ends[1]
	require.Equal(t, 90*time.Second, a.core.session.interval)
	require.False(t, a.core.session.ours)
	require.True(t, b.core.session.ours, "we refresh where nobody says who")
	s.run(time.Hour)
	require.Equal(t, phaseConfirmed, a.core.phase, s.log())
	require.Len(t, a.events, 1)
	n := 0
	for _, line := range s.trace {
		if contains(line, "b → a: ") && contains(line, "UPDATE") && !contains(line, "200") {
			n++
		}
	}
	require.InDelta(t, 80, n, 2, "at half the interval")

	// By re-INVITE where UPDATE is not known; the answer is made without the owner.
	b.core.session.update = false
	a.react = func(e Event) {
		if _, ok := e.(Offered); ok {
			a.input(inAnswer{[]byte("offer")})
		}
	}
	s.run(s.now + 20*time.Minute)
	require.Equal(t, phaseConfirmed, a.core.phase)
	require.Len(t, eventsOf[Offered](a), 1, "only the first: what was an offer of ours may not do as an answer")

	// A peer that is silent.
	b.timers, b.rounds = [timerCount]time.Duration{}, [timerCount]int{1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20}
	s.run(s.now + 10*time.Minute)
	require.True(t, a.last)
	require.ErrorIs(t, eventsOf[Ended](a)[0].Cause, ErrExpired)
	require.True(t, b.last, "it got a BYE")
}

func TestSessionIntervalTooBrief(t *testing.T) {
	s := newSim(t, 1, Config{SessionExpires: 90 * time.Second}, []byte("offer"))
	b := s.ends[1]
	other := *b.core.cfg
	other.MinSE, other.SessionExpires = 600*time.Second, 900*time.Second
	b.core.cfg = &other
	s.start()
	s.after(2*time.Second, func() { b.input(inAccept{[]byte("answer")}) })
	s.run(3 * time.Second)
	require.Equal(t, phaseConfirmed, s.ends[0].core.phase, s.log())
	require.Equal(t, 600*time.Second, s.ends[0].core.session.interval)
}

func TestLostACK(t *testing.T) {
	s := newSim(t, 1, Config{}, []byte("offer"))
	n := 0
	s.lose = func(m sip.Method, _ int) bool { n++; return m == sip.ACK && n < 6 }
	s.start()
	s.after(time.Second, func() { s.ends[1].input(inAccept{[]byte("answer")}) })
	s.run(time.Minute)
	require.Equal(t, phaseConfirmed, s.ends[1].core.phase, s.log())
	require.Len(t, eventsOf[Confirmed](s.ends[1]), 1)
	require.Len(t, eventsOf[Answered](s.ends[0]), 1)
	require.Empty(t, s.ends[0].core.acks, "copies are over")
}

func TestNoACK(t *testing.T) {
	s := newSim(t, 1, Config{}, []byte("offer"))
	s.lose = func(m sip.Method, _ int) bool { return m == sip.ACK }
	s.start()
	s.after(time.Second, func() { s.ends[1].input(inAccept{[]byte("answer")}) })
	s.run(2 * time.Minute)
	require.ErrorIs(t, eventsOf[Ended](s.ends[1])[0].Cause, ErrNoACK)
	require.True(t, eventsOf[Ended](s.ends[0])[0].ByPeer)
	// 2xx after 0.5, 1.5, 3.5, 7.5, 11.5 … s (RFC 3261 §13.3.1.4).
	n := 0
	for _, line := range s.trace {
		if contains(line, "b → a: 200 INVITE") {
			n++
		}
	}
	require.Equal(t, 11, n, s.log())
}

// End between the 2xx and its ACK: the BYE waits (RFC 3261 §15).
func TestEndBeforeACK(t *testing.T) {
	s := newSim(t, 1, Config{}, []byte("offer"))
	s.start()
	s.after(time.Second, func() {
		s.ends[1].input(inAccept{[]byte("answer")})
		s.ends[1].input(inEnd{})
		require.Equal(t, phaseHanging, s.ends[1].core.phase)
	})
	s.run(time.Minute)
	require.Equal(t, []Event{Ended{}}, s.ends[1].events)
	require.True(t, eventsOf[Ended](s.ends[0])[0].ByPeer)
}

func TestRangOut(t *testing.T) {
	s := newSim(t, 1, Config{Ring: 20 * time.Second}, []byte("offer"))
	s.start()
	s.run(time.Minute)
	require.ErrorIs(t, eventsOf[Ended](s.ends[1])[0].Cause, ErrRing)
	require.Equal(t, 480, eventsOf[Failed](s.ends[0])[0].Status.Code)

	s = newSim(t, 1, Config{}, []byte("offer"))
	s.ends[0].core.placing.ring = 20 * time.Second
	s.start()
	s.run(time.Minute)
	require.ErrorIs(t, eventsOf[Failed](s.ends[0])[0].Cause, ErrRing)
	require.Equal(t, 408, eventsOf[Failed](s.ends[0])[0].Status.Code)
	require.ErrorIs(t, eventsOf[Ended](s.ends[1])[0].Cause, ErrCancelled)
}

// A CANCEL that crosses a 2xx: the call comes about and is ended at once.
func TestCancelCrossesAnswer(t *testing.T) {
	s := newSim(t, 1, Config{}, []byte("offer"))
	s.delay = func() time.Duration { return 20 * time.Millisecond }
	s.start()
	s.after(time.Second, func() {
		s.ends[1].input(inAccept{[]byte("answer")})
		s.ends[0].input(inEnd{})
	})
	s.run(time.Minute)
	require.Equal(t, []Event{Ended{}}, s.ends[0].events, s.log())
	require.True(t, eventsOf[Ended](s.ends[1])[0].ByPeer)
	require.NoError(t, eventsOf[Ended](s.ends[1])[0].Cause)
}

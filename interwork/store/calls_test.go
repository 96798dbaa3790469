package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCalls(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now = c.now
		s := open(t, cfg)
		w := &wait{TB: t}
		full := CallRow{
			Started: c.now(), Flow: "c-1", Direction: X2S, JID: "mira@chat.example", AOR: "sip:otto@sip.example",
			SID: "s1", CallID: "i1", Rang: c.now().Add(time.Second), Answered: c.now().Add(2 * time.Second), Talked: c.now().Add(3 * time.Second),
			Ended: c.now().Add(time.Minute), EndedBy: "sip", Reason: "success", Text: "Grüße", Status: 200, Cause: 16,
			XMPP: CallLeg{Codec: "opus", Protection: "dtls", Received: 3000, Sent: 2990, Lost: 3, Jitter: 1500 * time.Microsecond, MOS: 4.31},
			SIP:  CallLeg{Codec: "PCMA", Protection: "none", Received: 2990, Sent: 3000, Lost: -1, MOS: 4.2},
		}
		begun := full
		begun.Ended, begun.EndedBy, begun.Reason, begun.Text, begun.Status, begun.Cause, begun.XMPP, begun.SIP = time.Time{}, "", "", "", 0, 0, CallLeg{}, CallLeg{}
		w.check(s.PutCall(begun, w.done()))
		w.check(s.PutCall(full, w.done()))
		open2 := begun
		open2.Started, open2.Flow, open2.JID = c.now().Add(time.Hour), "c-2", "paul@chat.example"
		w.check(s.PutCall(open2, w.done()))
		missed := CallRow{Started: open2.Started, Flow: "c-3", Direction: S2X, JID: full.JID, AOR: "sip:eva@sip.example", Ended: open2.Started, Reason: "busy"}
		w.check(s.PutCall(missed, w.done()))
		w.wg.Wait()

		list := func(q CallQuery) (list []CallRow) {
			t.Helper()
			w.check(s.Calls(t.Context(), q, func(r CallRow) error { list = append(list, r); return nil }))
			return list
		}
		want := func(q CallQuery, rows ...CallRow) {
			t.Helper()
			if d := cmp.Diff(rows, list(q)); d != "" {
				t.Errorf("%+v: %s", q, d)
			}
		}
		want(CallQuery{}, missed, open2, full)
		want(CallQuery{Limit: 1}, missed)
		want(CallQuery{Limit: 2, After: CallKey{missed.Started, missed.Flow}}, open2, full)
		want(CallQuery{After: CallKey{open2.Started, open2.Flow}}, full)
		want(CallQuery{Since: open2.Started}, missed, open2)
		want(CallQuery{Until: open2.Started}, full)
		want(CallQuery{JID: full.JID}, missed, full)
		want(CallQuery{AOR: full.AOR}, open2, full)
		want(CallQuery{JID: open2.JID, AOR: missed.AOR}, missed, open2)
		want(CallQuery{AOR: full.AOR, Until: open2.Started}, full)
		want(CallQuery{JID: "\x00"})

		// The program died: what was under way is closed when it comes back.
		shut(t, s)
		s = open(t, cfg)
		c.advance(2 * time.Hour)
		if n, err := s.InterruptCalls(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if n, err := s.InterruptCalls(t.Context()); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		open2.Ended, open2.EndedBy, open2.Reason = c.now(), "gateway", CallInterrupted
		want(CallQuery{}, missed, open2, full)

		stop := errors.New("stop")
		if err := s.Calls(t.Context(), CallQuery{}, func(CallRow) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
		for _, bad := range []CallRow{{}, {Flow: "c-9"}, {Started: c.now()}, {Started: c.now(), Flow: "c-9", Text: "\xff"}} {
			if err := s.PutCall(bad, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

func TestPruneCalls(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now, cfg.Queue = c.now, 2*callsAtOnce
		s := open(t, cfg)
		w := &wait{TB: t}
		begin := c.now()
		const n = callsAtOnce + 100
		for i := range n {
			r := CallRow{Started: begin.Add(time.Duration(i) * time.Second), Flow: fmt.Sprint("c-", i), Ended: begin.Add(24 * time.Hour)}
			if i == 5 {
				r.Ended = time.Time{}
			}
			w.check(s.PutCall(r, w.done()))
		}
		w.wg.Wait()
		prune := func(before time.Time, most, want, left int) {
			t.Helper()
			gone, err := s.PruneCalls(t.Context(), before, most)
			if err != nil || gone != int64(want) {
				t.Errorf("%d gone, not %d, %v", gone, want, err)
			}
			have := 0
			w.check(s.Calls(t.Context(), CallQuery{}, func(CallRow) error { have++; return nil }))
			if have != left {
				t.Errorf("%d left, not %d", have, left)
			}
		}
		prune(begin, n, 0, n)
		prune(begin.Add(10*time.Second), n, 9, n-9)
		prune(begin, n-20, 10, n-19)
		prune(begin.Add(48*time.Hour), n, n-20, 1)
	})
}

package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wait collects the ends of changes that do not wait.
type wait struct {
	testing.TB
	wg sync.WaitGroup
}

func (w *wait) done() func(error) {
	w.wg.Add(1)
	return func(err error) {
		defer w.wg.Done()
		if err != nil {
			w.Error(err)
		}
	}
}

func (w *wait) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func TestAuthorisations(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now = c.now
		s := open(t, cfg)
		w := &wait{TB: t}
		both := AuthorisationRow{
			JID: "mira@chat.example", AOR: "sip:otto@sip.example", Watch: "granted", WatchSince: c.now(), WatchAsked: c.now().Add(-time.Hour),
			Share: "asked", ShareSince: c.now(), ShareAsked: c.now(), Wanted: true, Owed: 5, Shown: []string{"desk", "sip-\"ä\""},
		}
		one := AuthorisationRow{JID: "mira@chat.example", AOR: "sip:eva@sip.example", Watch: "none", Share: "denied", ShareSince: c.now()}
		gate := AuthorisationRow{JID: "paul@chat.example", Watch: "granted", Share: "none"}
		first := both
		first.Watch, first.Shown = "asked", nil
		w.check(s.PutAuthorisation(first, w.done()))
		w.check(s.PutAuthorisation(both, w.done())) // the later one counts
		w.check(s.PutAuthorisation(one, nil))
		w.check(s.PutAuthorisation(gate, w.done()))
		w.wg.Wait()

		collect := func(read func(func(AuthorisationRow) error) error) (list []AuthorisationRow) {
			t.Helper()
			w.check(read(func(r AuthorisationRow) error { list = append(list, r); return nil }))
			return list
		}
		all := func() []AuthorisationRow {
			t.Helper()
			return collect(func(f func(AuthorisationRow) error) error { return s.Authorisations(t.Context(), f) })
		}
		for range 2 {
			if d := cmp.Diff([]AuthorisationRow{one, both, gate}, all()); d != "" {
				t.Fatal(d)
			}
			shut(t, s)
			s = open(t, cfg)
		}
		if d := cmp.Diff([]AuthorisationRow{both}, collect(func(f func(AuthorisationRow) error) error {
			return s.AuthorisationsOfAOR(t.Context(), both.AOR, f)
		})); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]AuthorisationRow{one, both}, collect(func(f func(AuthorisationRow) error) error {
			return s.AuthorisationsOfJID(t.Context(), both.JID, f)
		})); d != "" {
			t.Error(d)
		}
		if r, ok, err := s.Authorisation(t.Context(), both.JID, both.AOR); err != nil || !ok || cmp.Diff(both, r) != "" {
			t.Error(r, ok, err)
		}
		if _, ok, err := s.Authorisation(t.Context(), "nobody@chat.example", both.AOR); err != nil || ok {
			t.Error(ok, err)
		}
		stop := errors.New("stop")
		if err := s.Authorisations(t.Context(), func(AuthorisationRow) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
		w.check(s.DeleteAuthorisation(both.JID, both.AOR, w.done()))
		w.check(s.DeleteAuthorisation("nobody@chat.example", "", w.done()))
		w.wg.Wait()
		if d := cmp.Diff([]AuthorisationRow{one, gate}, all()); d != "" {
			t.Error(d)
		}
		for _, bad := range []AuthorisationRow{{}, {JID: "a\xff"}, {JID: "a", AOR: "\x00"}, {JID: "a", Shown: []string{"\xff"}}} {
			if err := s.PutAuthorisation(bad, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

func TestEventDialogs(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now = c.now
		s := open(t, cfg)
		w := &wait{TB: t}
		in := EventDialogRow{Kind: "notifier", ID: "tag1", JID: "mira@chat.example", AOR: "sip:otto@sip.example", Record: []byte("\x00\xffone"), Expires: c.now().Add(time.Hour)}
		out := EventDialogRow{Kind: "subscriber", ID: "tag1", Record: []byte("two"), Expires: c.now().Add(2 * time.Hour)}
		old := in
		old.Record = nil
		w.check(s.PutEventDialog(old, w.done()))
		w.check(s.PutEventDialog(in, w.done()))
		w.check(s.PutEventDialog(out, w.done()))
		w.wg.Wait()
		all := func() (list []EventDialogRow) {
			t.Helper()
			w.check(s.EventDialogs(t.Context(), func(r EventDialogRow) error { list = append(list, r); return nil }))
			return list
		}
		for range 2 {
			if d := cmp.Diff([]EventDialogRow{in, out}, all()); d != "" {
				t.Fatal(d)
			}
			shut(t, s)
			s = open(t, cfg)
		}
		// They belong to the node.
		other := cfg
		other.Node = "other"
		if cfg.URL != "" {
			o := open(t, other)
			if err := o.EventDialogs(t.Context(), func(r EventDialogRow) error { return fmt.Errorf("got %+v", r) }); err != nil {
				t.Error(err)
			}
			shut(t, o)
		}
		// An expired one is for its owner to judge, for a week.
		c.advance(3 * time.Hour)
		if n := len(all()); n != 2 {
			t.Errorf("%d dialogs", n)
		}
		c.advance(7*24*time.Hour - 90*time.Minute)
		if d := cmp.Diff([]EventDialogRow{out}, all()); d != "" {
			t.Error(d)
		}
		w.check(s.DeleteEventDialog(out.Kind, out.ID, w.done()))
		w.check(s.DeleteEventDialog("none", "none", nil))
		w.wg.Wait()
		if n := count(t, s, "event_dialogs"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		for _, bad := range []EventDialogRow{{}, {Kind: "k"}, {ID: "i"}, {Kind: "k", ID: "\xff"}} {
			if err := s.PutEventDialog(bad, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

// Many at once share commits, and a full queue refuses instead of growing.
func TestPresenceWritesAreGrouped(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Queue: 1000}
	s := open(t, cfg)
	w := &wait{TB: t}
	before := s.Stats().Commits
	refused := 0
	for i := range 5000 {
		r := AuthorisationRow{JID: fmt.Sprintf("u%d@chat.example", i%700), AOR: "sip:otto@sip.example", Watch: "granted", Share: "none", Owed: int64(i)}
		done := w.done()
		switch err := s.PutAuthorisation(r, done); {
		case errors.Is(err, ErrFull):
			refused++
			w.wg.Done()
		case err != nil:
			t.Fatal(err)
		}
	}
	w.wg.Wait()
	if n := s.Stats().Commits - before; n > uint64(5000-refused)/8+8 {
		t.Errorf("%d commits for %d changes", n, 5000-refused)
	}
	shut(t, s)
	if err := s.PutAuthorisation(AuthorisationRow{JID: "a"}, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.PutEventDialog(EventDialogRow{Kind: "k", ID: "i"}, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// BenchmarkPutAuthorisation is the write of one row, with the queue kept full.
func BenchmarkPutAuthorisation(b *testing.B) {
	s := open(b, Config{Dir: b.TempDir()})
	before := cpuTime()
	for i := range b.N {
		r := AuthorisationRow{
			JID: fmt.Sprintf("u%d@chat.example", i), AOR: "sip:otto@sip.example", Watch: "granted", WatchSince: time.Now(), WatchAsked: time.Now(),
			Share: "granted", ShareSince: time.Now(), ShareAsked: time.Now(), Wanted: true, Shown: []string{"sip-u3k1"},
		}
		for s.PutAuthorisation(r, nil) != nil {
			eventually(b, "the queue empties", func() bool { return s.Stats().Queued == 0 })
		}
	}
	shut(b, s)
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkReadPresence is the start: one row of each table, of 20,000.
func BenchmarkReadPresence(b *testing.B) {
	const rows = 20_000
	s := open(b, Config{Dir: b.TempDir(), Queue: 2*rows + 1})
	w := &wait{TB: b}
	for i := range rows {
		w.check(s.PutAuthorisation(AuthorisationRow{
			JID: fmt.Sprintf("u%d@chat.example", i), AOR: "sip:otto@sip.example", Watch: "granted", Share: "granted", Wanted: true, Shown: []string{"1a 2b sip"},
		}, w.done()))
		w.check(s.PutEventDialog(EventDialogRow{
			Kind: "watcher", ID: fmt.Sprintf("tag%d", i), JID: fmt.Sprintf("u%d@chat.example", i), AOR: "sip:otto@sip.example",
			Record: make([]byte, 700), Expires: time.Now().Add(time.Hour),
		}, w.done()))
	}
	w.wg.Wait()
	b.ReportAllocs()
	b.ResetTimer()
	read := 0
	for read < b.N {
		w.check(s.Authorisations(b.Context(), func(AuthorisationRow) error { read++; return nil }))
		w.check(s.EventDialogs(b.Context(), func(EventDialogRow) error { return nil }))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(read), "ns/pair")
}

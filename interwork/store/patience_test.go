package store

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// never is a patience that no test outlives.
const never = time.Hour

func appendWithin(t *testing.T, s *Store, patience time.Duration, i int, committed func(int64, error)) int64 {
	t.Helper()
	seq, err := s.AppendWithin(entry(i), patience, committed)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestRemovedInTimeIsNotWritten(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		commits := s.Stats().Commits
		var last int64
		for i := range 1000 {
			seq := appendWithin(t, s, never, i, func(int64, error) { t.Error("committed, though it was gone") })
			if seq <= last {
				t.Fatalf("number %d after %d", seq, last)
			}
			last = seq
			s.Remove(seq)
		}
		if st := s.Stats(); st.Commits != commits || st.Queued != 0 || st.Pending != 0 {
			t.Fatalf("%+v", st)
		}
		shut(t, s)
		s = open(t, cfg)
		if got := pendingSeqs(t, s); len(got) != 0 {
			t.Fatalf("%v came back", got)
		}
		if next := appendWithin(t, s, 0, 0, nil); next <= last {
			t.Fatalf("number %d was given twice", next)
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		gone := appendWithin(t, s, time.Millisecond, 0, func(int64, error) { t.Error("committed, though it was gone") })
		s.Remove(gone)
		told := make(chan int64, 2)
		seq := appendWithin(t, s, time.Millisecond, 1, func(seq int64, err error) {
			if err != nil {
				t.Error(err)
			}
			told <- seq
		})
		select {
		case got := <-told:
			if got != seq {
				t.Fatalf("told %d, want %d", got, seq)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("never committed")
		}
		if got := pendingSeqs(t, s); !slices.Equal(got, []int64{seq}) {
			t.Fatalf("pending %v, want %d", got, seq)
		}
	})
}

func TestCloseCommitsThePatient(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		var committed atomic.Int32
		var want []int64
		for i := range 10 {
			seq := appendWithin(t, s, never, i, func(_ int64, err error) {
				if err == nil {
					committed.Add(1)
				}
			})
			if i%2 == 0 {
				s.Remove(seq)
			} else {
				want = append(want, seq)
			}
		}
		shut(t, s)
		if n := committed.Load(); n != 5 {
			t.Fatalf("%d committed, want 5", n)
		}
		s = open(t, cfg)
		if got := pendingSeqs(t, s); !slices.Equal(got, want) {
			t.Fatalf("pending %v, want %v", got, want)
		}
	})
}

// Numbers are reserved in time, also while nothing is written.
func TestNumbersDoNotRunOut(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		for range reserveAhead + 100 {
			eventually(t, "a number", func() bool {
				seq, err := s.AppendWithin(entry(0), never, nil)
				s.Remove(seq)
				return err == nil
			})
		}
	})
}

// Whatever the order of appending, removing and committing, what is left at the end is
// what was not removed.
func TestPatienceModel(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		var want []int64
		rapid.Check(t, func(r *rapid.T) {
			for range rapid.IntRange(1, 300).Draw(r, "steps") {
				if len(want) > 0 && rapid.Bool().Draw(r, "remove") {
					i := rapid.IntRange(0, len(want)-1).Draw(r, "which")
					s.Remove(want[i])
					want = slices.Delete(want, i, i+1)
					continue
				}
				patience := rapid.SampledFrom([]time.Duration{0, 100 * time.Microsecond, never}).Draw(r, "patience")
				seq, err := s.AppendWithin(entry(0), patience, nil)
				if err != nil {
					r.Fatal(err)
				}
				want = append(want, seq)
			}
		})
		shut(t, s)
		s = open(t, cfg)
		if got := pendingSeqs(t, s); !slices.Equal(got, want) {
			t.Fatalf("pending %d entries, want %d", len(got), len(want))
		}
	})
}

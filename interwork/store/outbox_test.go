package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestOutboxKeepsEverything(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		want := OutboxEntry{
			Direction: S2X, Pair: "p", Flow: "f", Payload: []byte("<message>\x00\xff</message>"), Meta: []byte{0, 1, 2},
			Created: time.UnixMilli(1_700_000_000_123).UTC(), Expires: time.UnixMilli(1_700_000_900_000).UTC(),
			Attempts: 3, NotBefore: time.UnixMilli(1_700_000_000_999).UTC(),
		}
		want.Seq = appendAll(t, s, want)[0]
		for range 2 {
			got, err := s.Pending(t.Context(), 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]OutboxEntry{want}, got); d != "" {
				t.Fatal(d)
			}
			shut(t, s)
			s = open(t, cfg)
		}
	})
}

func TestOutboxRemoveSurvivesRestart(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		var entries []OutboxEntry
		for i := range 700 {
			entries = append(entries, entry(i))
		}
		seqs := appendAll(t, s, entries...)
		if !slices.IsSorted(seqs) || seqs[0] < 1 {
			t.Fatalf("numbers out of order: %v", seqs)
		}
		var kept []int64
		for i, seq := range seqs {
			if i%5 == 0 {
				kept = append(kept, seq)
			} else {
				s.Remove(seq, seq) // twice does no harm
			}
		}
		s.Remove(-1, 0, 1<<40)
		when := time.UnixMilli(1_800_000_000_000).UTC()
		s.Touch(kept[1], 4, when)
		s.Touch(seqs[1], 9, when) // gone: ignored
		check := func() {
			t.Helper()
			if got := pendingSeqs(t, s); !slices.Equal(got, kept) {
				t.Fatalf("pending %v, want %v", got, kept)
			}
			part, err := s.Pending(t.Context(), kept[0], 1)
			if err != nil || len(part) != 1 || part[0].Seq != kept[1] || part[0].Attempts != 4 || !part[0].NotBefore.Equal(when) {
				t.Fatalf("got %+v, %v", part, err)
			}
			if st := s.Stats(); st.Pending != len(kept) {
				t.Fatalf("counts %d pending, want %d", st.Pending, len(kept))
			}
		}
		check()
		// Each row with something removed is written again: four fifths of it are done.
		eventually(t, "only what is pending is stored", func() bool {
			var stored int
			err := s.db.QueryRow("SELECT SUM(stored) FROM outbox").Scan(&stored)
			return err == nil && stored == len(kept)
		})
		check()
		shut(t, s)
		s = open(t, cfg)
		check()

		next := appendAll(t, s, entry(9))[0]
		if next != seqs[len(seqs)-1]+1 {
			t.Fatalf("an orderly restart left a gap: %d after %d", next, seqs[len(seqs)-1])
		}
		s.Remove(append(kept, next)...)
		eventually(t, "rows are deleted", func() bool { return count(t, s, "outbox")+count(t, s, "outbox_state") == 0 })
		shut(t, s)
		s = open(t, cfg)
		if got := appendAll(t, s, entry(10))[0]; got != next+1 {
			t.Fatalf("numbers began again: %d after %d", got, next)
		}
	})
}

func TestOutboxRemoveIsWrittenSoon(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		s.Remove(appendAll(t, s, entry(1))...)
		eventually(t, "the row is deleted without another commit", func() bool { return count(t, s, "outbox") == 0 })
	})
}

func TestOutboxRefuses(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Queue: 10, QueueBytes: 1000})
	if err := s.Append(OutboxEntry{Direction: X2S, Payload: make([]byte, 1001)}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	if err := s.Append(OutboxEntry{Direction: "up"}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no direction: %v", err)
	}

	// Hold the writer up in a callback while the queue fills.
	hold, held := make(chan struct{}), make(chan struct{})
	if err := s.Append(entry(0), func(int64, error) { close(held); <-hold }); err != nil {
		t.Fatal(err)
	}
	<-held
	var wg sync.WaitGroup
	n := 0
	for {
		wg.Add(1)
		err := s.Append(OutboxEntry{Direction: X2S, Payload: []byte("x")}, func(int64, error) { wg.Done() })
		if err != nil {
			wg.Done()
			if !errors.Is(err, ErrFull) {
				t.Error(err)
			}
			break
		}
		n++
	}
	if n != 10 {
		t.Errorf("%d entries were taken, want 10", n)
	}
	close(hold)
	wg.Wait()
	if err := s.Append(OutboxEntry{Direction: X2S, Payload: make([]byte, 900)}, nil); err != nil {
		t.Errorf("after the queue is empty: %v", err)
	}
	shut(t, s)
	if err := s.Append(entry(1), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseFlushes(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		var mu sync.Mutex
		var told []int64
		for i := range 1000 {
			if err := s.Append(entry(i), func(seq int64, err error) {
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				told = append(told, seq)
				mu.Unlock()
			}); err != nil {
				t.Fatal(err)
			}
		}
		shut(t, s)
		if len(told) != 1000 {
			t.Fatalf("told of %d", len(told))
		}
		s = open(t, cfg)
		if got := pendingSeqs(t, s); !slices.Equal(got, told) {
			t.Fatalf("%d pending", len(got))
		}
	})
}

func TestOutboxConcurrent(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		const workers, each = 16, 60
		var wg sync.WaitGroup
		left := make(chan int64, workers*each)
		for w := range workers {
			wg.Go(func() {
				done := make(chan int64, 1)
				for i := range each {
					if err := s.Append(entry(w*each+i), func(seq int64, err error) {
						if err != nil {
							t.Error(err)
						}
						done <- seq
					}); err != nil {
						t.Error(err)
						return
					}
					if seq := <-done; i%10 == 0 {
						s.Touch(seq, i, time.Time{})
						left <- seq
					} else {
						s.Remove(seq)
					}
				}
			})
		}
		wg.Wait()
		close(left)
		var want []int64
		for seq := range left {
			want = append(want, seq)
		}
		slices.Sort(want)
		if got := pendingSeqs(t, s); !slices.Equal(got, want) {
			t.Fatalf("got %v want %v", got, want)
		}
		shut(t, s)
		s = open(t, cfg)
		if got := pendingSeqs(t, s); !slices.Equal(got, want) {
			t.Fatalf("after restart got %v want %v", got, want)
		}
	})
}

// Two nodes share a database and see only their own entries.
func TestOutboxNodes(t *testing.T) {
	cfg := Config{URL: server.database(t), Node: "a"}
	a := open(t, cfg)
	cfg.Node = "b"
	b := open(t, cfg)
	seqsA := appendAll(t, a, entry(1), entry(2))
	seqsB := appendAll(t, b, entry(3))
	if got := pendingSeqs(t, a); !slices.Equal(got, seqsA) {
		t.Error(got)
	}
	if got := pendingSeqs(t, b); !slices.Equal(got, seqsB) {
		t.Error(got)
	}
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("a second process of node b: %v", err)
	}
	shut(t, b)
	shut(t, open(t, cfg))
}

// Sustained load with a few entries that are never delivered: the files stay small.
func TestSQLiteStaysSmall(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := open(t, cfg)
	payload := []byte(strings.Repeat("x", 2000))
	for range 60 {
		var entries []OutboxEntry
		for range 256 {
			entries = append(entries, OutboxEntry{Direction: X2S, Payload: payload})
		}
		seqs := appendAll(t, s, entries...)
		s.Remove(seqs[1:]...)
	}
	eventually(t, "only what is pending is stored", func() bool {
		var n int
		err := s.db.QueryRow("SELECT SUM(stored) FROM outbox").Scan(&n)
		return err == nil && n == 60
	})
	var size int64
	for _, name := range []string{"", "-wal"} {
		fi, err := os.Stat(filepath.Join(cfg.Dir, sqliteFile+name))
		if err != nil {
			t.Fatal(err)
		}
		size += fi.Size()
	}
	if size > 16<<20 { // 30 MB went through
		t.Errorf("%d bytes of files for 60 entries", size)
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	millis := rapid.Custom(func(t *rapid.T) time.Time {
		return fromMillis(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "ms"))
	})
	blob := rapid.Custom(func(t *rapid.T) []byte {
		return clone(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(1, 1<<62).Draw(t, "first")
		offsets := rapid.SliceOfNDistinct(rapid.IntRange(0, groupChanges-1), 1, 20, rapid.ID).Draw(t, "offsets")
		slices.Sort(offsets)
		var want []OutboxEntry
		data := []byte{entriesVersion}
		for _, o := range offsets {
			e := OutboxEntry{
				Seq: first + int64(o), Direction: rapid.SampledFrom([]string{X2S, S2X}).Draw(t, "direction"),
				Pair: rapid.String().Draw(t, "pair"), Flow: rapid.String().Draw(t, "flow"),
				Payload: blob.Draw(t, "payload"), Meta: blob.Draw(t, "meta"),
				Created: millis.Draw(t, "created"), Expires: millis.Draw(t, "expires"),
				Attempts: rapid.IntRange(0, 1<<31-1).Draw(t, "attempts"), NotBefore: millis.Draw(t, "notBefore"),
			}
			want = append(want, e)
			data = appendEntry(data, o, &e)
		}
		got, err := decodeEntries(first, data)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestBatchState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.Int32Range(1, groupChanges).Draw(t, "span")
		b := &batch{first: 10, span: span, live: span, stored: span}
		for _, o := range rapid.SliceOfN(rapid.Int32Range(0, span-1), 0, 300).Draw(t, "steps") {
			if b.live == 1 {
				break
			}
			if o%3 == 0 && !b.isDone(o) {
				b.touch(o, note{attempts: int(o), notBefore: int64(o) - 7})
			} else {
				b.finish(o)
			}
		}
		c := &batch{first: 10, span: span}
		if err := c.restore(b.state()); err != nil {
			t.Fatal(err)
		}
		if c.live != b.live || len(c.touched) != len(b.touched) {
			t.Fatalf("live %d and %d, touched %d and %d", b.live, c.live, len(b.touched), len(c.touched))
		}
		for o := range span {
			if b.isDone(o) != c.isDone(o) || b.touched[o] != c.touched[o] {
				t.Fatalf("entry %d differs", o)
			}
		}
	})
}

func FuzzDecodeEntries(f *testing.F) {
	e := entry(1)
	f.Add(appendEntry([]byte{entriesVersion}, 0, &e))
	f.Add([]byte{entriesVersion, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decodeEntries(1, data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again := []byte{entriesVersion}
		for i := range list {
			again = appendEntry(again, int(list[i].Seq-1), &list[i])
		}
		if second, err := decodeEntries(1, again); err != nil || cmp.Diff(list, second) != "" {
			t.Fatalf("not stable: %v", err)
		}
	})
}

func FuzzBatchState(f *testing.F) {
	f.Add(int32(3), (&batch{span: 3, live: 3, touched: map[int32]note{1: {2, 3}}}).state())
	f.Fuzz(func(t *testing.T, span int32, data []byte) {
		if span < 1 || span > groupChanges {
			return
		}
		b := &batch{span: span}
		if err := b.restore(data); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

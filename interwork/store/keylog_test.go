package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSeen(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now = c.now
		s := open(t, cfg)
		if s.Seen("a", time.Minute) || !s.Seen("a", time.Minute) || s.Seen("b", time.Hour) || s.Seen("c", time.Hour) {
			t.Fatal("wrong at once")
		}
		s.Forget("c")
		s.Forget("never")
		shut(t, s)
		s = open(t, cfg)
		if !s.Seen("a", time.Minute) || !s.Seen("b", time.Minute) || s.Seen("c", time.Minute) {
			t.Fatal("wrong after a restart")
		}
		c.advance(time.Minute)
		if s.Seen("a", time.Minute) || !s.Seen("b", time.Hour) {
			t.Fatal("wrong after a minute")
		}
		// Rows go when all their keys have expired.
		for i := range 200 {
			s.Seen(fmt.Sprint("k", i), time.Minute)
			appendAll(t, s, entry(i))
		}
		c.advance(2 * time.Hour)
		s.Seen("d", time.Minute)
		appendAll(t, s, entry(0))
		if n := count(t, s, "duplicates"); n > worthDeleting {
			t.Errorf("%d rows are left", n)
		}
		if n := len(s.dups.keys); n != 1 {
			t.Errorf("%d keys are left in memory", n)
		}
		shut(t, s)
		s = open(t, cfg)
		if !s.Seen("d", time.Minute) || s.Seen("k199", time.Minute) {
			t.Error("wrong after another restart")
		}
	})
}

// Without any other commit a key is written soon.
func TestSeenIsWritten(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	s.Seen("a", time.Hour)
	eventually(t, "the row is there", func() bool { return count(t, s, "duplicates") == 1 })
}

func TestReceipts(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		c := newClock()
		cfg.now = c.now
		s := open(t, cfg)
		value := []byte("one")
		if err := errors.Join(s.PutReceipt("old", value, time.Minute), s.PutReceipt("k\x00\xff", value, ReceiptFor)); err != nil {
			t.Fatal(err)
		}
		value[0] = 'X' // theirs again
		for _, want := range []string{"one", "two", "two"} {
			if v, ok, err := s.Receipt(t.Context(), "k\x00\xff"); err != nil || !ok || string(v) != want {
				t.Fatalf("%q %v %v", v, ok, err)
			}
			if _, ok, err := s.Receipt(t.Context(), "none"); err != nil || ok {
				t.Fatal(ok, err)
			}
			if err := s.PutReceipt("k\x00\xff", []byte("two"), ReceiptFor); err != nil {
				t.Fatal(err)
			}
			shut(t, s)
			if err := s.PutReceipt("k", nil, ReceiptFor); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			s = open(t, cfg)
		}
		c.advance(time.Hour)
		if _, ok, _ := s.Receipt(t.Context(), "old"); ok {
			t.Error("expired, but there")
		}
		c.advance(ReceiptFor)
		if _, ok, _ := s.Receipt(t.Context(), "k\x00\xff"); ok {
			t.Error("expired, but there")
		}
	})
}

func hashOf(i int) (h keyHash) {
	h[0], h[1], h[2] = byte(i), byte(i>>8), byte(i>>16)
	return h
}

// Over the bound the oldest go, from memory and from the log.
func TestKeyLogIsBounded(t *testing.T) {
	l := newKeyLog("t", 1000)
	var rows []keyWrite
	for i := range 5000 {
		l.put(hashOf(i), time.UnixMilli(1), keyEntry{expires: 10})
		if w, ok := l.take(1); ok {
			rows = append(rows, w)
		}
	}
	if len(l.keys) != 1000 || len(l.order) != 1000 {
		t.Errorf("%d keys", len(l.keys))
	}
	if gone := rows[len(rows)-1].gone + l.gone; gone < 4000-worthDeleting || gone > 4000 {
		t.Errorf("%d of 5000 rows were deleted", gone)
	}
	if _, ok := l.get(hashOf(3999), 0); ok {
		t.Error("too old, but there")
	}
	if _, ok := l.get(hashOf(4000), 0); !ok {
		t.Error("not old, but gone")
	}
}

// However keys come, expire and are taken back, a log that is read anew knows what the
// first one knew.
func TestKeyLogReload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newKeyLog("t", rapid.IntRange(1, 200).Draw(t, "max"))
		log := make(map[int64][]byte)
		now := int64(1)
		write := func() {
			w, _ := l.take(now)
			if w.row > 0 {
				log[w.row] = w.entries
			}
			for id := range log {
				if id <= w.gone {
					delete(log, id)
				}
			}
		}
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			h := hashOf(rapid.IntRange(0, 300).Draw(t, "key"))
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				l.forget(h, time.UnixMilli(now))
			case 1:
				now += rapid.Int64Range(0, 20).Draw(t, "time")
			case 2, 3, 4:
				write()
			default:
				if _, ok := l.get(h, now); !ok {
					l.put(h, time.UnixMilli(now), keyEntry{expires: now + rapid.Int64Range(1, 60).Draw(t, "ttl"), value: []byte{h[0]}})
				}
			}
		}
		write()
		again := newKeyLog("t", l.max)
		for id := int64(1); id < l.row; id++ {
			if entries, ok := log[id]; ok {
				if err := again.loadRow(id, entries, now); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range 301 {
			want, ok := l.get(hashOf(i), now)
			got, found := again.get(hashOf(i), now)
			if ok && (!found || got.expires != want.expires || string(got.value) != string(want.value)) {
				t.Fatalf("key %d is lost", i)
			}
		}
	})
}

func FuzzKeyLog(f *testing.F) {
	l := newKeyLog("t", 100)
	l.put(hashOf(1), time.UnixMilli(1), keyEntry{5, []byte("x")})
	f.Add(l.queued)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newKeyLog("t", 100)
		if err := l.loadRow(1, data, 0); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

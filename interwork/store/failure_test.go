package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/rs/zerolog"
)

// The server ends all our connections: the writer gets a new one, with its claim, and
// nobody is told of an error.
func TestPostgresConnectionLost(t *testing.T) {
	s := open(t, Config{URL: server.database(t), Log: zerolog.New(zerolog.NewTestWriter(t)).With().Timestamp().Logger()})
	want := appendAll(t, s, entry(1))
	for range 3 {
		if _, err := s.db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		want = append(want, appendAll(t, s, entry(2))...)
		if err := s.SetMeta(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	if got := pendingSeqs(t, s); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// A full disk: senders are told, what they were told of does not come back, and the
// store works again when there is room.
func TestDiskFull(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := open(t, cfg)
	limit := func(pages int) {
		t.Helper()
		if err := s.change(t.Context(), false, func(c *writeConn) error {
			_, err := c.conn.ExecContext(c.ctx, fmt.Sprint("PRAGMA max_page_count = ", pages))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(200)
	var kept []int64
	big := OutboxEntry{Direction: X2S, Payload: bytes.Repeat([]byte("x"), 50_000)}
	failed := false
	for range 40 {
		type result struct {
			seq int64
			err error
		}
		done := make(chan result, 1)
		if err := s.Append(big, func(seq int64, err error) { done <- result{seq, err} }); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if r.err == nil {
			kept = append(kept, r.seq)
			continue
		}
		failed = true
		if s.Stats().Failing == nil {
			t.Error("does not tell that it fails")
		}
	}
	if !failed {
		t.Fatal("never full")
	}
	s.Remove(kept[0]) // makes room
	kept = kept[1:]
	eventually(t, "the removal is written", func() bool { return s.Stats().Failing == nil })
	limit(1 << 20)
	kept = append(kept, appendAll(t, s, big)...)
	if got := pendingSeqs(t, s); !slices.Equal(got, kept) {
		t.Fatalf("got %v, want %v", got, kept)
	}
	shut(t, s)
	s = open(t, cfg)
	if got := pendingSeqs(t, s); !slices.Equal(got, kept) {
		t.Fatalf("after restart got %v, want %v", got, kept)
	}
}

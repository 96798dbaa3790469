package store

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"time"
)

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchOutbox is the life of a message, appended and removed, with that many under way.
// The metric cpu-ns/msg counts all threads of the process, kernel included.
func benchOutbox(b *testing.B, s *Store, outstanding int) {
	e := OutboxEntry{
		Direction: X2S, Pair: "mira@chat.example|sip:otto@sip.example", Flow: "f-0123456789abcdef",
		Payload: bytes.Repeat([]byte("x"), 500), Meta: []byte("sip:otto@192.0.2.7:5060;transport=tcp"), Created: time.Now(),
	}
	done := make(chan int64, outstanding)
	committed := func(seq int64, err error) {
		if err != nil {
			b.Error(err)
		}
		done <- seq
	}
	b.ReportAllocs()
	before := cpuTime()
	commits := s.Stats().Commits
	started := 0
	for ; started < min(outstanding, b.N); started++ {
		if err := s.Append(e, committed); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		s.Remove(<-done)
		if started < b.N {
			started++
			if err := s.Append(e, committed); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/msg")
	b.ReportMetric(float64(b.N)/float64(s.Stats().Commits-commits), "msg/commit")
}

func BenchmarkOutbox(b *testing.B) {
	for _, n := range []int{1, 32, 256, 2048} {
		b.Run(fmt.Sprintf("sqlite/%d", n), func(b *testing.B) {
			benchOutbox(b, open(b, Config{Dir: b.TempDir()}), n)
		})
	}
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("postgres/%d", n), func(b *testing.B) {
			benchOutbox(b, open(b, Config{URL: server.database(b)}), n)
		})
	}
}

// BenchmarkKeys is what a message adds to its outbox entry: a duplicate key and a receipt.
func BenchmarkKeys(b *testing.B) {
	s := open(b, Config{Dir: b.TempDir()})
	value := []byte("mira@chat.example/desk")
	keys := make([]string, 1000)
	b.ReportAllocs()
	before := cpuTime()
	for i := range b.N {
		if i%len(keys) == 0 {
			for j := range keys {
				keys[j] = fmt.Sprintf("call-%d@192.0.2.7 1 MESSAGE", i+j)
			}
		}
		key := keys[i%len(keys)]
		s.Seen(key, time.Minute)
		if err := s.PutReceipt(key, value, ReceiptFor); err != nil {
			b.Fatal(err)
		}
	}
	shut(b, s)
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

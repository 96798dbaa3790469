package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// crashEnv makes the test binary the process that is killed; it holds Dir or URL.
const crashEnv = "STOXGATE_STORE_CRASH"

// crashChild appends and removes under load for ever. It prints "+ seq" when an entry is
// committed, "- seq" before it removes one, "? key" when an entry that was appended after
// noting the key is committed.
func crashChild() {
	cfg := Config{Dir: os.Getenv(crashEnv)}
	if strings.HasPrefix(cfg.Dir, "postgres:") {
		cfg = Config{URL: cfg.Dir}
	}
	s, err := Open(context.Background(), cfg)
	if err != nil {
		fmt.Println("!", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = os.Stdout.WriteString(line) // one write per line: a pipe keeps it whole
	}
	run := os.Getpid()
	for w := range 32 {
		go func() {
			done := make(chan int64, 1)
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d-%d", run, w, i)
				s.Seen(key, time.Hour)
				if err := s.Append(entry(i), func(seq int64, err error) {
					if err != nil {
						say(fmt.Sprintln("!", err))
						seq = 0
					} else {
						say(fmt.Sprintf("+ %d\n? %s\n", seq, key))
					}
					done <- seq
				}); err != nil {
					say(fmt.Sprintln("!", err))
					return
				}
				if seq := <-done; i%7 != 0 {
					say(fmt.Sprintf("- %d\n", seq))
					s.Remove(seq)
				}
			}
		}()
	}
	select {}
}

// TestCrash kills the process 20 times at random moments. Whatever was told to be
// committed is there after each, numbers never come twice, and what was noted is known.
func TestCrash(t *testing.T) {
	engines(t, func(t *testing.T, cfg Config) {
		place := cfg.Dir + cfg.URL
		there := make(map[int64]bool) // committed and not removed, over all runs
		last := int64(0)
		total := 0
		for run := range 20 {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), crashEnv+"="+place)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			var kill *time.Timer
			removed := make(map[int64]bool)
			var keys []string
			highest := last
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				if kill == nil { // it runs: now the clock of its death ticks
					kill = time.AfterFunc(time.Duration(rand.Int64N(int64(150*time.Millisecond))), func() { _ = child.Process.Kill() })
				}
				kind, rest, _ := strings.Cut(lines.Text(), " ")
				var seq int64
				_, _ = fmt.Sscan(rest, &seq)
				switch kind {
				case "+":
					if seq <= last || there[seq] {
						t.Fatalf("run %d: number %d came again", run, seq)
					}
					there[seq] = true
					highest = max(highest, seq)
					total++
				case "-":
					removed[seq] = true
				case "?":
					keys = append(keys, rest)
				case "!":
					t.Errorf("run %d: %s", run, rest)
				}
			}
			_ = child.Wait()
			if kill != nil {
				kill.Stop()
			}
			last = highest

			s := openSoon(t, cfg)
			pending := make(map[int64]bool)
			for _, seq := range pendingSeqs(t, s) {
				pending[seq] = true
			}
			for seq := range there {
				if !pending[seq] && !removed[seq] {
					t.Errorf("run %d: entry %d is lost", run, seq)
				}
				if !pending[seq] {
					delete(there, seq)
				}
			}
			for seq := range pending { // committed, but killed before it could say so
				there[seq] = true
				last = max(last, seq)
			}
			for _, k := range keys {
				if !s.Seen(k, time.Hour) {
					t.Errorf("run %d: key %s is forgotten", run, k)
				}
			}
			shut(t, s)
		}
		t.Logf("%d entries committed, %d still pending", total, len(there))
		if total < 1000 {
			t.Errorf("only %d entries: the test tested nothing", total)
		}
	})
}

// openSoon opens after a crash. PostgreSQL notices a dead client a moment later.
func openSoon(t *testing.T, cfg Config) (s *Store) {
	t.Helper()
	eventually(t, "the lock of the killed process is free", func() bool {
		var err error
		s, err = Open(t.Context(), cfg)
		return err == nil
	})
	return s
}

package interworktest

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Feed holds what a peer saw, in order: a goroutine of the driver adds, the
// test takes. It is safe for concurrent use. The zero value is an empty feed.
type Feed[E any] struct {
	mu      sync.Mutex
	all     []E
	taken   []bool
	changed chan struct{} // closed and replaced by every Add; nil until someone waits
}

// Add appends what was seen last.
func (f *Feed[E]) Add(e E) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, e)
	f.taken = append(f.taken, false)
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// All returns everything seen so far, whether taken or not.
func (f *Feed[E]) All() []E {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]E(nil), f.all...)
}

// Take waits for the first entry that matches and was not taken before, and
// takes it. Entries that don't match stay for later calls, so two things that
// may arrive in either order are simply taken one after the other. It fails
// the test, with all that was not taken, when nothing matches within Patience.
func (f *Feed[E]) Take(t TB, what string, match func(E) bool) E {
	t.Helper()
	return f.TakeWithin(t, Patience, what, match)
}

// TakeWithin is Take with a deadline of the caller's.
func (f *Feed[E]) TakeWithin(t TB, within time.Duration, what string, match func(E) bool) E {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		e, ok, changed := f.take(match)
		if ok {
			return e
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("interworktest: waited %v for %s; seen and not taken:%s", within, what, f.leftovers())
			return e
		}
	}
}

// Len tells how many entries there are: the position of the next one.
func (f *Feed[E]) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

// Next waits for the first entry at or after a position (an earlier Len) that
// matches, and leaves it there.
func (f *Feed[E]) Next(t TB, from int, what string, match func(E) bool) E {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for {
		e, ok, changed := f.since(from, match)
		if ok {
			return e
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("interworktest: waited %v for %s; seen and not taken:%s", Patience, what, f.leftovers())
			return e
		}
	}
}

// Count tells how many entries match, taken or not.
func (f *Feed[E]) Count(match func(E) bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, e := range f.all {
		if match(e) {
			n++
		}
	}
	return n
}

func (f *Feed[E]) take(match func(E) bool) (e E, ok bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, candidate := range f.all {
		if !f.taken[i] && match(candidate) {
			f.taken[i] = true
			return candidate, true, nil
		}
	}
	return e, false, f.change()
}

func (f *Feed[E]) since(from int, match func(E) bool) (e E, ok bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, candidate := range f.all[min(from, len(f.all)):] {
		if match(candidate) {
			return candidate, true, nil
		}
	}
	return e, false, f.change()
}

// change returns what the next Add closes. The caller holds the lock.
func (f *Feed[E]) change() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

func (f *Feed[E]) leftovers() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for i, e := range f.all {
		if !f.taken[i] {
			fmt.Fprintf(&b, "\n  %v", e)
		}
	}
	if b.Len() == 0 {
		return " nothing"
	}
	return b.String()
}

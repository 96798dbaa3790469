package ua

import (
	"context"
	"sync"
	"time"
)

// wheel runs the timers of all transactions: scheduling and stopping cost a list
// operation under one lock, no allocation and no runtime timer. Deadlines are
// rounded up to the next tick.
type wheel struct {
	tick  time.Duration
	start time.Time
	wake  chan struct{}

	mu    sync.Mutex
	slots []timer // ring heads
	next  int64   // first tick that has not been run
	count int
}

// expirer is what a timer belongs to. expire may be called although stop was
// called at the same moment, so it looks at its own state first.
type expirer interface{ expire() }

// timer is one node of a slot's list; it is embedded in what it belongs to.
type timer struct {
	prev, after *timer
	due         int64
	owner       expirer
}

const wheelSlots = 2048 // 41 s at the default tick of 20 ms: no 64*T1 timer wraps

func newWheel(tick time.Duration) *wheel {
	w := &wheel{tick: max(tick, time.Millisecond), start: time.Now(), wake: make(chan struct{}, 1), slots: make([]timer, wheelSlots)}
	for i := range w.slots {
		s := &w.slots[i]
		s.prev, s.after = s, s
	}
	return w
}

// schedule sets t to expire after d, replacing what it was set to.
func (w *wheel) schedule(t *timer, d time.Duration) {
	elapsed := time.Since(w.start)
	due := int64((elapsed + d + w.tick - 1) / w.tick)
	w.mu.Lock()
	if t.prev != nil {
		w.unlink(t)
	}
	if w.count == 0 {
		// The driver sleeps: nothing was due in between.
		w.next = max(w.next, int64(elapsed/w.tick))
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	t.due = max(due, w.next)
	head := &w.slots[t.due%wheelSlots]
	t.prev, t.after = head.prev, head
	head.prev.after, head.prev = t, t
	w.count++
	w.mu.Unlock()
}

// stop makes t not expire, unless it is doing so.
func (w *wheel) stop(t *timer) {
	w.mu.Lock()
	if t.prev != nil {
		w.unlink(t)
	}
	w.mu.Unlock()
}

func (w *wheel) unlink(t *timer) {
	t.prev.after, t.after.prev = t.after, t.prev
	t.prev, t.after = nil, nil
	w.count--
}

// run expires timers until ctx ends.
func (w *wheel) run(ctx context.Context) {
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	var expired []*timer
	for {
		w.mu.Lock()
		idle := w.count == 0
		wait := w.tick*time.Duration(w.next) - time.Since(w.start)
		w.mu.Unlock()
		if idle {
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
				continue
			}
		}
		if wait > 0 {
			sleep.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-sleep.C:
			}
		}
		expired = w.collect(expired[:0])
		for i, t := range expired {
			t.owner.expire()
			expired[i] = nil
		}
	}
}

// collect takes what is due out of the wheel.
func (w *wheel) collect(list []*timer) []*timer {
	now := int64(time.Since(w.start) / w.tick)
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.next <= now; w.next++ {
		head := &w.slots[w.next%wheelSlots]
		for t := head.after; t != head; {
			after := t.after
			if t.due <= w.next {
				w.unlink(t)
				list = append(list, t)
			}
			t = after
		}
	}
	return list
}

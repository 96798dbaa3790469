package event

import (
	"context"
	"sync"
	"time"
)

// alarms is one heap of deadlines with one goroutine: a runtime timer for each
// subscription would cost 100,000 of them. Its clock is monotonic and counts from
// its making, so that a change of the wall clock moves no deadline.
type alarms[T ringer] struct {
	start time.Time
	wake  chan struct{}

	mu   sync.Mutex
	heap []entry[T] // four children each: flatter, and siblings share a cache line
}

// ringer is what a deadline belongs to. ring may be called although the alarm was
// moved at the same moment, so it looks at its own state first.
type ringer interface {
	alarm() *alarm
	ring()
}

// alarm is embedded in what it belongs to; it is guarded by alarms.mu.
type alarm struct {
	index int32 // place in the heap plus one; 0: not set
}

type entry[T ringer] struct {
	at    time.Duration
	owner T
}

func newAlarms[T ringer]() *alarms[T] {
	return &alarms[T]{start: time.Now(), wake: make(chan struct{}, 1)}
}

// now is the time on the clock of the deadlines.
func (a *alarms[T]) now() time.Duration { return time.Since(a.start) }

// set makes owner ring at that time, whatever was set before; a time of never
// means not at all.
func (a *alarms[T]) set(owner T, at time.Duration) {
	if at == never {
		a.stop(owner)
		return
	}
	a.mu.Lock()
	i := int(owner.alarm().index) - 1
	if i < 0 {
		i = len(a.heap)
		a.heap = append(a.heap, entry[T]{at, owner})
		a.up(i)
	} else {
		a.heap[i].at = at
		if !a.up(i) {
			a.down(i)
		}
	}
	first := owner.alarm().index == 1
	a.mu.Unlock()
	if first {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

func (a *alarms[T]) stop(owner T) {
	a.mu.Lock()
	if i := int(owner.alarm().index) - 1; i >= 0 {
		a.remove(i)
	}
	a.mu.Unlock()
}

func (a *alarms[T]) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.heap)
}

// run rings until ctx ends.
func (a *alarms[T]) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []T
	for ctx.Err() == nil {
		var wait time.Duration
		due, wait = a.take(due[:0])
		for i, owner := range due {
			owner.ring()
			var none T
			due[i] = none
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// batch is how many owners ring before the heap is looked at again.
const batch = 256

// take removes what is due and tells how long to wait when nothing is.
func (a *alarms[T]) take(due []T) ([]T, time.Duration) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.heap) > 0 && len(due) < batch {
		if a.heap[0].at > now {
			return due, a.heap[0].at - now
		}
		due = append(due, a.heap[0].owner)
		a.remove(0)
	}
	return due, time.Hour
}

func (a *alarms[T]) remove(i int) {
	a.heap[i].owner.alarm().index = 0
	last := len(a.heap) - 1
	moved := a.heap[last]
	a.heap[last] = entry[T]{}
	a.heap = a.heap[:last]
	if i == last {
		return
	}
	a.put(i, moved)
	if !a.up(i) {
		a.down(i)
	}
}

func (a *alarms[T]) put(i int, e entry[T]) {
	a.heap[i] = e
	e.owner.alarm().index = int32(i + 1)
}

// up moves entry i towards the top and tells whether it moved.
func (a *alarms[T]) up(i int) bool {
	e, start := a.heap[i], i
	for i > 0 {
		parent := (i - 1) / 4
		if a.heap[parent].at <= e.at {
			break
		}
		a.put(i, a.heap[parent])
		i = parent
	}
	a.put(i, e)
	return i != start
}

func (a *alarms[T]) down(i int) {
	e := a.heap[i]
	for {
		least := 4*i + 1
		if least >= len(a.heap) {
			break
		}
		for c := least + 1; c < min(4*i+5, len(a.heap)); c++ {
			if a.heap[c].at < a.heap[least].at {
				least = c
			}
		}
		if a.heap[least].at >= e.at {
			break
		}
		a.put(i, a.heap[least])
		i = least
	}
	a.put(i, e)
}

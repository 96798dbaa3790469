package event

import "sync"

// order hands events to an owner one after another in the order in which they were
// put, without a lock held and without a goroutine of its own: whoever finds nobody
// at it delivers, also what others put meanwhile. It exists only while there is
// something to deliver.
type order[E any] struct {
	queue   []E
	running bool
}

// put appends events under mu, which also guards the pointer.
func put[E any](o **order[E], events ...E) {
	if len(events) == 0 {
		return
	}
	if *o == nil {
		*o = &order[E]{}
	}
	(*o).queue = append((*o).queue, events...)
}

// deliver empties the queue unless somebody is at it. mu must not be held.
func deliver[E any](mu sync.Locker, o **order[E], f func(E)) {
	mu.Lock()
	q := *o
	if q == nil || q.running {
		mu.Unlock()
		return
	}
	q.running = true
	done := false
	defer func() {
		if !done { // the owner panicked: what is left goes with the next event
			mu.Lock()
			q.running = false
			mu.Unlock()
		}
	}()
	for len(q.queue) > 0 {
		e := q.queue[0]
		q.queue = q.queue[1:]
		mu.Unlock()
		f(e)
		mu.Lock()
	}
	done = true
	*o = nil
	mu.Unlock()
}

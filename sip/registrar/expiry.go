package registrar

import (
	"container/heap"
	"sync"
	"time"
)

// slot is the time at which one binding of one AOR ends.
type slot struct {
	aor, id string
	at      time.Time
	index   int // in the heap
}

type slots []*slot

func (s slots) Len() int           { return len(s) }
func (s slots) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s slots) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *slots) Push(x any) {
	e := x.(*slot)
	e.index = len(*s)
	*s = append(*s, e)
}

func (s *slots) Pop() any {
	old := *s
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return e
}

// expiry is the one timer for all bindings.
type expiry struct {
	mu    sync.Mutex
	heap  slots
	byKey map[[2]string]*slot
	wake  chan struct{} // the earliest time has changed
}

func newExpiry() *expiry {
	return &expiry{byKey: map[[2]string]*slot{}, wake: make(chan struct{}, 1)}
}

// set moves or adds the end of a binding.
func (e *expiry) set(aor, id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := [2]string{aor, id}
	s, ok := e.byKey[key]
	if ok {
		s.at = at
		heap.Fix(&e.heap, s.index)
	} else {
		s = &slot{aor: aor, id: id, at: at}
		e.byKey[key] = s
		heap.Push(&e.heap, s)
	}
	if s.index == 0 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

// clear forgets a binding.
func (e *expiry) clear(aor, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := [2]string{aor, id}
	if s, ok := e.byKey[key]; ok {
		heap.Remove(&e.heap, s.index)
		delete(e.byKey, key)
	}
}

// due takes the AORs out that have an ended binding and tells when to look again;
// zero means never.
func (e *expiry) due(now time.Time) (aors []string, next time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.heap) > 0 {
		if e.heap[0].at.After(now) {
			return aors, e.heap[0].at
		}
		s := heap.Pop(&e.heap).(*slot)
		delete(e.byKey, [2]string{s.aor, s.id})
		if len(aors) == 0 || aors[len(aors)-1] != s.aor {
			aors = append(aors, s.aor)
		}
	}
	return aors, time.Time{}
}

// run calls ended for each AOR with an ended binding, until done.
func (e *expiry) run(done <-chan struct{}, ended func(aors []string)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		aors, next := e.due(time.Now())
		if len(aors) > 0 {
			ended(aors)
			continue // that took a while
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-done:
			return
		case <-timer.C:
		case <-e.wake:
		}
	}
}

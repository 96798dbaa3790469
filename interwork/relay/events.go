package relay

import "sync"

// events hands events to the owner of a session in order. A goroutine exists only while
// there is something to hand over.
type events struct {
	mu      sync.Mutex
	f       func(Event)
	queue   []Event
	running bool
	closed  bool
	wg      *sync.WaitGroup // of the relay
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.f == nil {
		return
	}
	e.queue = append(e.queue, ev)
	if e.running {
		return
	}
	e.running = true
	e.wg.Add(1)
	go e.run()
}

func (e *events) run() {
	defer e.wg.Done()
	for {
		e.mu.Lock()
		if len(e.queue) == 0 || e.closed {
			e.queue, e.running = nil, false
			e.mu.Unlock()
			return
		}
		ev := e.queue[0]
		e.queue = e.queue[1:]
		e.mu.Unlock()
		e.f(ev)
	}
}

// close: what is not handed over by now never is.
func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

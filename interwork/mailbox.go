package interwork

import "sync"

// mailbox is the inbox of one actor: events go in from any goroutine and are handled
// one after another, in order. A goroutine exists only while there is something to
// handle, so a hundred thousand idle pairs cost no stacks.
//
// What comes from the wire is refused over a limit (the sender is told to wait); what
// the gateway itself posts (results, timers) is always taken, because each of it
// answers something that was let in before and so is bounded already.
type mailbox[E any] struct {
	handle func(E)
	limit  int
	wg     *sync.WaitGroup // of the owner: Close waits for it

	mu      sync.Mutex
	queue   []E
	spare   []E // the batch handled last, reused
	running bool
	closed  bool
}

func newMailbox[E any](limit int, wg *sync.WaitGroup, handle func(E)) *mailbox[E] {
	return &mailbox[E]{handle: handle, limit: limit, wg: wg}
}

// offer takes e from the wire; false means that the inbox is full or closed.
func (m *mailbox[E]) offer(e E) bool { return m.put(e, m.limit) }

// post takes e from the gateway itself; false means that the actor is gone.
func (m *mailbox[E]) post(e E) bool { return m.put(e, 0) }

func (m *mailbox[E]) put(e E, limit int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || limit > 0 && len(m.queue) >= limit {
		return false
	}
	m.queue = append(m.queue, e)
	if !m.running {
		m.running = true
		m.wg.Add(1)
		go m.run()
	}
	return true
}

func (m *mailbox[E]) run() {
	defer m.wg.Done()
	for {
		m.mu.Lock()
		if len(m.queue) == 0 {
			m.running = false
			m.mu.Unlock()
			return
		}
		batch := m.queue
		m.queue = m.spare[:0]
		m.mu.Unlock()
		for i, e := range batch {
			m.handle(e)
			var none E
			batch[i] = none
		}
		m.spare = batch
	}
}

// closeIf closes the mailbox when nothing waits in it and idle says so. It must not be
// called from handle. The check and the closing are one step, so no event is lost.
func (m *mailbox[E]) closeIf(idle func() bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running || len(m.queue) > 0 || !idle() {
		return false
	}
	m.closed = true
	return true
}

// shut refuses everything from now on; what is queued is still handled.
func (m *mailbox[E]) shut() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
}

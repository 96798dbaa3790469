package interwork

import "sync"

// mailbox is the inbox of one actor: events go in from any goroutine and are handled
// one after another, in order. A goroutine works for it only while there is something
// to handle, so a hundred thousand idle pairs cost no stacks.
//
// What comes from the wire is refused over a limit (the sender is told to wait); what
// the gateway itself posts (results, timers) is always taken, because each of it
// answers something that was let in before and so is bounded already.
type mailbox[E any] struct {
	handle func(E)
	limit  int
	wg     *sync.WaitGroup // of the owner: Close waits for it
	start  func(func())    // gives the actor a goroutine
	work   func()          // run, made once

	mu      sync.Mutex
	queue   []E
	spare   []E // the batch handled last, reused
	running bool
	closed  bool
}

func newMailbox[E any](limit int, wg *sync.WaitGroup, start func(func()), handle func(E)) *mailbox[E] {
	m := &mailbox[E]{handle: handle, limit: limit, wg: wg, start: start}
	m.work = m.run
	return m
}

// offer takes e from the wire; false means that the inbox is full or closed.
func (m *mailbox[E]) offer(e E) bool { return m.put(e, m.limit) }

// post takes e from the gateway itself; false means that the actor is gone.
func (m *mailbox[E]) post(e E) bool { return m.put(e, 0) }

// postHere is post for a goroutine that may do the actor's work itself.
func (m *mailbox[E]) postHere(e E) bool {
	taken, mine := m.claim(e, 0)
	if mine {
		m.turn()
	}
	return taken
}

func (m *mailbox[E]) put(e E, limit int) bool {
	taken, mine := m.claim(e, limit)
	if mine {
		m.start(m.work)
	}
	return taken
}

// claim queues e. mine tells that nobody works for the actor: the caller has to see
// that run or turn is called.
func (m *mailbox[E]) claim(e E, limit int) (taken, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || limit > 0 && len(m.queue) >= limit {
		return false, false
	}
	m.queue = append(m.queue, e)
	mine = !m.running
	if mine {
		m.running = true
		m.wg.Add(1)
	}
	return true, mine
}

// turn handles what is queued now on the caller's goroutine, which saves the change to
// another one; what is queued meanwhile gets a goroutine, so the caller is not held up.
func (m *mailbox[E]) turn() {
	m.batch()
	if m.more() {
		m.start(m.work)
	}
}

func (m *mailbox[E]) run() {
	for {
		m.batch()
		if !m.more() {
			return
		}
	}
}

// batch handles what is queued.
func (m *mailbox[E]) batch() {
	m.mu.Lock()
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

// more reports whether anything is queued; if not, the actor's work has ended.
func (m *mailbox[E]) more() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) > 0 {
		return true
	}
	m.running = false
	m.wg.Done()
	return false
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

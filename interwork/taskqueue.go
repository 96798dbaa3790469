package interwork

import "sync"

// taskQueue does what waits for the store, a few things at a time: ten thousand pairs that
// are asked for at once need no goroutine each. The zero value with its fields set is ready.
type taskQueue struct {
	limit int
	wg    *sync.WaitGroup // of the owner: it waits for what is under way

	mu      sync.Mutex
	list    []func()
	workers int
	closed  bool
}

// loadsAtOnce is how many records are read side by side.
const loadsAtOnce = 16

// add queues f; it does not wait. After close nothing is done any more.
func (q *taskQueue) add(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.list = append(q.list, f)
	if q.workers < q.limit {
		q.workers++
		q.wg.Go(q.work)
	}
}

// close drops what waits; whoever owns wg may wait for the rest from now on.
func (q *taskQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list, q.closed = nil, true
}

// waiting is how many wait.
func (q *taskQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

func (q *taskQueue) work() {
	for {
		q.mu.Lock()
		if len(q.list) == 0 {
			q.list = nil
			q.workers--
			q.mu.Unlock()
			return
		}
		f := q.list[0]
		q.list[0] = nil
		q.list = q.list[1:]
		q.mu.Unlock()
		f()
	}
}

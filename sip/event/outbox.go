package event

import (
	"context"
	"sync"
)

// outbox sends requests that wait for their answers: each on a goroutine, but never
// more than limit in all and perHop to one next hop, so that a peer that is gone (32
// seconds of silence for each request) holds up nobody else, and a hundred thousand
// subscriptions of one proxy do not arrive there at once. What waits is a place in a
// queue; its content is made when it is sent.
type outbox struct {
	limit, perHop int

	mu      sync.Mutex
	ctx     context.Context // nil: not running yet
	closed  bool
	hops    map[uint64]*hop
	ready   fifo[*hop] // hops that have work and are below perHop
	workers int
	idle    int
	work    sync.Cond
	wg      sync.WaitGroup
}

// job is one request to send. send waits for the answer.
type job interface {
	hop() uint64
	send(ctx context.Context)
}

// hop is one next hop that has something to send.
type hop struct {
	key    uint64
	queue  fifo[job]
	flying int
	queued bool // in ready
}

// spareWorkers is how many goroutines stay for the next request, for their stacks
// have grown already.
const spareWorkers = 32

func newOutbox(limit, perHop int) *outbox {
	o := &outbox{limit: limit, perHop: perHop, hops: map[uint64]*hop{}}
	o.work.L = &o.mu
	return o
}

// run sends what is submitted until ctx ends and then waits for its goroutines.
// What has not been sent by then is dropped.
func (o *outbox) run(ctx context.Context) {
	o.mu.Lock()
	o.ctx = ctx
	for range o.ready.len() {
		o.staff()
	}
	o.mu.Unlock()
	<-ctx.Done()
	o.mu.Lock()
	o.closed = true
	clear(o.hops)
	o.ready = fifo[*hop]{}
	o.work.Broadcast()
	o.mu.Unlock()
	o.wg.Wait()
}

// submit queues a job; it never waits.
func (o *outbox) submit(j job) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	key := j.hop()
	h := o.hops[key]
	if h == nil {
		h = &hop{key: key}
		o.hops[key] = h
	}
	h.queue.push(j)
	o.offer(h)
}

// offer puts a hop in line when it may send; o.mu is held.
func (o *outbox) offer(h *hop) {
	if !h.queued && h.queue.len() > 0 && h.flying < o.perHop {
		h.queued = true
		o.ready.push(h)
		o.staff()
	}
}

// staff makes sure that somebody looks at the line; o.mu is held.
func (o *outbox) staff() {
	switch {
	case o.ctx == nil || o.closed:
	case o.idle > 0:
		o.idle--
		o.work.Signal()
	case o.workers < o.limit:
		o.workers++
		o.wg.Go(o.worker)
	}
}

func (o *outbox) worker() {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.workers-- }()
	for !o.closed {
		if o.ready.len() == 0 {
			if o.idle >= spareWorkers {
				return
			}
			o.idle++ // whoever signals takes it back
			o.work.Wait()
			continue
		}
		h := o.ready.pop()
		h.queued = false
		j := h.queue.pop()
		h.flying++
		o.offer(h)
		o.mu.Unlock()
		j.send(o.ctx)
		o.mu.Lock()
		h.flying--
		switch {
		case h.queue.len() > 0:
			o.offer(h)
		case h.flying == 0 && o.hops[h.key] == h:
			delete(o.hops, h.key)
		}
	}
}

// waiting counts what is not sent yet, for tests.
func (o *outbox) waiting() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.hops {
		n += h.queue.len() + h.flying
	}
	return n
}

// fifo is a queue that gives its memory back when it is empty.
type fifo[T any] struct {
	list []T
	head int
}

func (f *fifo[T]) len() int { return len(f.list) - f.head }

func (f *fifo[T]) push(v T) {
	if f.head > 32 && f.head*2 > len(f.list) {
		n := copy(f.list, f.list[f.head:])
		clear(f.list[n:])
		f.list, f.head = f.list[:n], 0
	}
	f.list = append(f.list, v)
}

func (f *fifo[T]) pop() T {
	var none T
	v := f.list[f.head]
	f.list[f.head] = none
	f.head++
	if f.head == len(f.list) {
		f.list, f.head = f.list[:0], 0
		if cap(f.list) > 64 {
			f.list = nil
		}
	}
	return v
}

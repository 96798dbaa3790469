package component

import (
	"fmt"
	"sync"

	"github.com/stoxgate/stoxgate/xmpp"
)

// queue holds stanzas that wait for the writer, as the bytes to be written. It ends with its link.
type queue struct {
	maxStanzas, maxBytes, maxStanza int

	mu       sync.Mutex
	buf      []byte
	items    []item
	writing  int   // stanzas that the writer has taken
	bytes    int   // of stanzas that wait or are being written
	closed   error // refuses everything, nil while open
	draining bool  // closed for senders, the writer still empties it
	spare    batch // what the writer gave back

	wake chan struct{} // buffered: there is something to take, or the state changed
}

// item is a stanza in the buffer of a batch.
type item struct {
	end     int // offset after it
	written func(error)
}

// batch is what the writer takes at once.
type batch struct {
	buf   []byte
	items []item
}

// keepBatch is the size up to which a buffer is used again.
const keepBatch = 256 << 10

func newQueue(cfg *Config) *queue {
	return &queue{
		maxStanzas: cfg.QueueStanzas, maxBytes: cfg.QueueBytes, maxStanza: cfg.Limits.Bytes,
		wake: make(chan struct{}, 1),
	}
}

// push appends a stanza. Stanzas are turned into bytes here, under the lock: that takes less than a
// microsecond and saves a buffer for each.
func (q *queue) push(s xmpp.Stanza, written func(error)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return q.closed
	}
	if len(q.items)+q.writing >= q.maxStanzas {
		return fmt.Errorf("%w: %d stanzas", ErrQueueFull, q.maxStanzas)
	}
	start := len(q.buf)
	q.buf = s.Append(q.buf)
	size := len(q.buf) - start
	if size > q.maxStanza || q.bytes+size > q.maxBytes {
		q.buf = q.buf[:start]
		if size > q.maxStanza {
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
		}
		return fmt.Errorf("%w: %d bytes", ErrQueueFull, q.bytes)
	}
	q.bytes += size
	q.items = append(q.items, item{end: len(q.buf), written: written})
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns everything that waits. finished tells that nothing will come any more.
func (q *queue) take() (b batch, finished bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return batch{}, q.closed != nil
	}
	b = batch{q.buf, q.items}
	q.buf, q.items = q.spare.buf, q.spare.items
	q.spare = batch{}
	q.writing = len(b.items)
	return b, false
}

// done counts off stanzas that were written.
func (q *queue) done(stanzas, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing -= stanzas
	q.bytes -= bytes
}

// reuse gives a batch back whose stanzas are all written.
func (q *queue) reuse(b batch) {
	if cap(b.buf) > keepBatch {
		b.buf = nil
	}
	clear(b.items)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = batch{b.buf[:0], b.items[:0]}
}

// drain refuses new stanzas; the writer still gets those that wait.
func (q *queue) drain(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil {
		q.closed, q.draining = err, true
	}
	q.signal()
}

// close refuses new stanzas and returns those that wait, so that they can be failed.
func (q *queue) close(err error) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil || q.draining {
		q.closed, q.draining = err, false
	}
	items := q.items
	q.items, q.buf, q.spare = nil, nil, batch{}
	q.signal()
	return items
}

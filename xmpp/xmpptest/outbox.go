package xmpptest

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// endTimeout bounds the writing of the last bytes to a peer that does not read.
const endTimeout = 2 * time.Second

// outbox writes to one connection from a goroutine of its own, in the order of
// the calls and in batches. It buffers without limit, as servers do.
type outbox struct {
	conn  net.Conn
	chunk int
	gate  gate // closed: nothing is written
	done  chan struct{}

	mu       sync.Mutex
	cond     sync.Cond
	buf      []byte
	accepted uint64 // bytes ever given to write
	written  uint64 // bytes ever taken by the connection
	ending   bool
	err      error
	progress chan struct{} // closed and replaced with every write; made on demand
}

func newOutbox(conn net.Conn, chunk int) *outbox {
	o := &outbox{conn: conn, chunk: chunk, done: make(chan struct{})}
	o.cond.L = &o.mu
	return o
}

func (o *outbox) write(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	if o.ending {
		return ErrNotConnected
	}
	o.buf = append(o.buf, b...)
	o.accepted += uint64(len(b))
	o.cond.Signal()
	return nil
}

// finish writes the last bytes and closes the connection. Later calls change
// nothing.
func (o *outbox) finish(last []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.err != nil {
		return
	}
	o.ending = true
	o.buf = append(o.buf, last...)
	o.accepted += uint64(len(last))
	_ = o.conn.SetWriteDeadline(time.Now().Add(endTimeout))
	o.cond.Signal()
}

// abort closes the connection at once.
func (o *outbox) abort() {
	o.mu.Lock()
	o.fail(ErrNotConnected)
	o.mu.Unlock()
	_ = o.conn.Close()
	o.gate.open()
}

// fail stops the writer; the lock is held.
func (o *outbox) fail(err error) {
	if o.err == nil {
		o.err = err
	}
	o.cond.Signal()
	o.notify()
}

func (o *outbox) notify() {
	if o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
}

// run is the writer. It closes the connection when it returns.
func (o *outbox) run() {
	defer close(o.done)
	defer o.conn.Close()
	var spare []byte
	for {
		o.mu.Lock()
		for len(o.buf) == 0 && !o.ending && o.err == nil {
			o.cond.Wait()
		}
		if o.err != nil || len(o.buf) == 0 {
			o.fail(ErrNotConnected)
			o.mu.Unlock()
			return
		}
		batch := o.buf
		o.buf = spare[:0]
		o.mu.Unlock()

		o.gate.wait()
		n, err := o.writeAll(batch)
		spare = batch

		o.mu.Lock()
		o.written += uint64(n)
		if err != nil {
			o.fail(err)
		}
		o.notify()
		o.mu.Unlock()
	}
}

func (o *outbox) writeAll(b []byte) (n int, err error) {
	if o.chunk <= 0 {
		return o.conn.Write(b)
	}
	for n < len(b) {
		m, err := o.conn.Write(b[n:min(len(b), n+o.chunk)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (o *outbox) buffered() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int(o.accepted - o.written)
}

func (o *outbox) flush(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for target := o.accepted; o.written < target; {
		if o.err != nil {
			return o.err
		}
		if o.progress == nil {
			o.progress = make(chan struct{})
		}
		progress := o.progress
		o.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
		}
		o.mu.Lock()
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// gate holds back whoever waits at it while it is closed. The zero gate is open.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil while open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) wait() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

// gatedReader reads only while its gate is open. What a Read that had begun
// before brings in is held back too.
type gatedReader struct {
	r    io.Reader
	gate *gate
}

func (g *gatedReader) Read(p []byte) (int, error) {
	g.gate.wait()
	n, err := g.r.Read(p)
	g.gate.wait()
	return n, err
}

package component

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gosrc.io/xmpp/stanza"

	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	maxWrite = 64 << 10        // bytes of one write, unless a stanza is longer
	farewell = 1 * time.Second // for the last words on a link that is given up
)

// link is one connection after its handshake. The goroutine of Run reads it, its own goroutine writes it.
type link struct {
	cfg    *Config
	domain xmpp.JID
	conn   net.Conn
	dec    *xmpp.Decoder
	queue  *queue

	lastRead  atomic.Int64 // Unix time in ns
	lastWrite time.Time    // of the writer only
	pings     int          // of the writer only
	pingID    string       // what the ids of all pings start with

	batcher Batcher // nil: nobody to tell
	holding bool    // of the reader only

	mu      sync.Mutex // orders the setting of deadlines
	closeBy time.Time  // zero while the link is to stay

	closing atomic.Bool   // the writer says goodbye when the queue is empty
	dead    atomic.Bool   // the writer is to stop at once
	stopped chan struct{} // closed when the writer has ended; what follows may be read then
	failure error         // what made it give the link up, nil if the reader did
	broken  bool          // it ended in the middle of a write
	left    []item        // taken from the queue but not written
}

func newLink(cfg *Config, conn net.Conn, domain xmpp.JID, pingID string) *link {
	l := &link{cfg: cfg, domain: domain, conn: conn, queue: newQueue(cfg), pingID: pingID, stopped: make(chan struct{})}
	l.dec = xmpp.NewDecoder(linkReader{l}, cfg.Limits)
	l.lastWrite = time.Now()
	l.lastRead.Store(l.lastWrite.UnixNano())
	return l
}

// linkReader reads the connection, each time with a new deadline. So only the time is counted in which
// somebody was there to read.
type linkReader struct{ l *link }

func (r linkReader) Read(p []byte) (int, error) {
	r.l.release()
	if err := r.l.setDeadline(r.l.conn.SetReadDeadline, r.l.patience()); err != nil {
		return 0, err
	}
	n, err := r.l.conn.Read(p)
	if n > 0 {
		r.l.lastRead.Store(time.Now().UnixNano())
	}
	return n, err
}

// hold tells, before the first stanza after a read, that there may be more; release that all are handed out.
func (l *link) hold() {
	if l.batcher != nil && !l.holding {
		l.holding = true
		l.batcher.Hold()
	}
}

func (l *link) release() {
	if l.holding {
		l.holding = false
		l.batcher.Release()
	}
}

// tellWritten tells the senders of stanzas that they are on the wire.
func (l *link) tellWritten(items []item) {
	if l.batcher != nil && len(items) > 1 {
		l.batcher.Hold()
		defer l.batcher.Release()
	}
	for _, it := range items {
		if it.written != nil {
			it.written(nil)
		}
	}
}

// patience is how long a read may take, 0 for ever.
func (l *link) patience() time.Duration {
	if l.cfg.PingInterval < 0 {
		return 0
	}
	return l.cfg.PingInterval + l.cfg.PingTimeout
}

// setDeadline sets a deadline, but never one after the time by which the link has to be closed.
func (l *link) setDeadline(set func(time.Time) error, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	if !l.closeBy.IsZero() && (at.IsZero() || l.closeBy.Before(at)) {
		at = l.closeBy
	}
	return set(at)
}

// closeWithin limits all reading and writing from now on. Only the first call counts.
func (l *link) closeWithin(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := time.Now().Add(d); l.closeBy.IsZero() || at.Before(l.closeBy) {
		l.closeBy = at
		_ = l.conn.SetDeadline(at)
	}
}

// shutdown closes the link in two steps: nothing new is accepted and the queue is written, then the stream is
// closed. The reader goes on until the server closes its side or the time is up.
func (l *link) shutdown() {
	l.closing.Store(true)
	l.queue.drain(ErrLinkDown)
	l.closeWithin(l.cfg.CloseTimeout)
}

// close ends the link after the reader has stopped, and returns why it ended: cause, or what stopped the writer
// first. The server gets some last words if there are any, and all stanzas that were not written are failed.
func (l *link) close(cause error, words string) error {
	l.dead.Store(true)
	l.closeWithin(farewell)
	items := l.queue.close(ErrLinkDown)
	<-l.stopped
	if l.failure != nil {
		cause = l.failure
	}
	if words != "" && !l.broken && !l.closing.Load() {
		_, _ = l.conn.Write([]byte(words))
	}
	_ = l.conn.Close()
	err := fmt.Errorf("%w: %w", ErrLinkDown, cause)
	fail(l.left, err)
	fail(items, err)
	return cause
}

func fail(items []item, err error) {
	for _, it := range items {
		if it.written != nil {
			it.written(err)
		}
	}
}

// write is the goroutine that writes. It ends when the queue is closed, or closes the connection on an error,
// which ends the reader as well.
func (l *link) write() {
	defer close(l.stopped)
	k := newKeepalive(l)
	defer k.stop()
	for {
		var err error
		b, finished := l.queue.take()
		if finished {
			if l.closing.Load() && !l.dead.Load() {
				_ = l.send([]byte(stanza.StreamClose))
			}
			return
		}
		if len(b.items) > 0 {
			err = l.writeBatch(b, k)
		} else {
			select {
			case <-l.queue.wake:
			case <-k.tick:
				err = k.due()
			}
		}
		if err == errDead {
			return
		}
		if err != nil {
			l.broken = true
			// A timeout of TCP is told to one of reader and writer only, the other sees the
			// end of the stream: it is the cause, whoever comes first.
			if !l.dead.Load() || errors.Is(err, syscall.ETIMEDOUT) {
				l.failure = err
			}
			_ = l.conn.Close()
			return
		}
	}
}

// errDead says that the reader has given the link up while there was still something to write.
var errDead = errors.New("component: link given up")

// writeBatch writes stanzas in pieces of at most maxWrite and tells their senders. After an error it leaves those
// of the piece, of which the server may have got some, and the rest.
func (l *link) writeBatch(b batch, k *keepalive) error {
	start, items := 0, b.items
	for len(items) > 0 {
		n, end := 1, items[0].end
		for n < len(items) && items[n].end-start <= maxWrite {
			end = items[n].end
			n++
		}
		err := k.check() // a ping must not wait behind a long queue
		if err == nil && l.dead.Load() {
			err = errDead
		}
		if err == nil {
			err = l.send(b.buf[start:end])
		}
		if err != nil {
			l.left = items
			return err
		}
		l.queue.done(n, end-start)
		l.tellWritten(items[:n])
		items, start = items[n:], end
	}
	l.queue.reuse(b)
	return nil
}

// send writes with the write deadline.
func (l *link) send(p []byte) error {
	if err := l.setDeadline(l.conn.SetWriteDeadline, l.cfg.WriteTimeout); err != nil {
		return err
	}
	_, err := l.conn.Write(p)
	l.lastWrite = time.Now()
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return fmt.Errorf("%w: %w", ErrServerStalled, err)
	}
	return err
}

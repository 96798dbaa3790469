package ua

import (
	"fmt"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// clientTx is the non-INVITE client transaction (RFC 3261 §17.1.2):
//
//	trying     --timer E--> trying      sent again after T1, 2·T1, … T2 (UDP)
//	trying     --1xx-->     proceeding  sent again every T2
//	trying, proceeding --final, timer F, transport error--> over
//
// Completed with its timer K does not exist: a retransmitted response finds no
// transaction and is dropped, which is all that timer K is for.
type clientTx struct {
	timer
	u    *UA
	key  txKey
	path path

	mu       sync.Mutex
	wire     []byte // nil: over
	interval time.Duration
	ends     time.Time // timer F
	answered bool      // any response
	done     func(*sip.Response, error)
}

type clientTable struct {
	shards[*clientTx]
}

func newClientTable() *clientTable {
	t := &clientTable{}
	t.init()
	return t
}

// begin sends wire and starts the transaction; limit is at most timer F. The
// transaction owns wire from now on. done is called once, maybe before begin
// returns, on a goroutine that reads from the wire or runs the timers: it must not
// block.
func (u *UA) begin(key txKey, p path, wire []byte, limit time.Duration, done func(*sip.Response, error)) *clientTx {
	tx := &clientTx{u: u, key: key, path: p, wire: wire, interval: u.cfg.Timers.T1, ends: time.Now().Add(limit), done: done}
	tx.owner = tx
	u.clients.put(key, tx)
	wait := limit
	if !p.reliable() {
		wait = min(wait, tx.interval)
	}
	u.wheel.schedule(&tx.timer, wait)
	p.post(wire, tx.fail)
	if p.reliable() && !p.stream.alive() || u.closing() {
		// It was closed between the table and the write, and nobody was told.
		tx.finish(nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
	}
	return tx
}

// fail ends the transaction when its request could not be sent.
func (tx *clientTx) fail(err error) { tx.finish(nil, err) }

// finish ends the transaction once.
func (tx *clientTx) finish(res *sip.Response, err error) {
	tx.mu.Lock()
	if tx.wire == nil {
		tx.mu.Unlock()
		return
	}
	tx.wire = nil
	tx.mu.Unlock()
	tx.u.wheel.stop(&tx.timer)
	tx.u.clients.drop(tx.key)
	tx.done(res, err)
}

func (tx *clientTx) received(res *sip.Response) {
	if res.StatusCode >= 200 {
		tx.finish(res, nil)
		return
	}
	tx.mu.Lock()
	tx.answered = true
	tx.interval = tx.u.cfg.Timers.T2
	tx.mu.Unlock()
}

// expire is timer E and timer F.
func (tx *clientTx) expire() {
	tx.mu.Lock()
	left := time.Until(tx.ends)
	if tx.wire == nil {
		tx.mu.Unlock()
		return
	}
	if left <= 0 {
		tx.mu.Unlock()
		tx.finish(nil, fmt.Errorf("%w: %s", ErrTimeout, tx.path.remote))
		return
	}
	wait := left
	var err error
	if !tx.path.reliable() {
		// Under the lock, so that the bytes are not reused meanwhile.
		err = tx.path.send(tx.wire)
		if !tx.answered {
			tx.interval = min(2*tx.interval, tx.u.cfg.Timers.T2)
		}
		wait = min(wait, tx.interval)
	}
	tx.mu.Unlock()
	if err != nil {
		tx.finish(nil, err)
		return
	}
	tx.u.wheel.schedule(&tx.timer, wait)
}

// streamClosed ends what waits for an answer over a connection (RFC 3261 §18.4).
func (t *clientTable) streamClosed(s *stream, err error) {
	for _, tx := range t.all() {
		if tx.path.stream == s {
			tx.finish(nil, err)
		}
	}
}

func (t *clientTable) closeAll(err error) {
	for _, tx := range t.all() {
		tx.finish(nil, err)
	}
}

package ua

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/sip"
)

// serverTx is the non-INVITE server transaction (RFC 3261 §17.2.2):
//
//	trying    --respond-->    completed    timer J on UDP, at once otherwise
//	trying    --retransmit--> trying       absorbed
//	trying    --deadline-->   completed    with 500
//	completed --retransmit--> completed    the response again
//	completed --timer J-->    gone
//
// Proceeding does not exist: nothing here sends a provisional response to a
// non-INVITE request (RFC 4320 §4.1 forbids most of them).
type serverTx struct {
	timer
	u    *UA
	key  txKey
	path path           // of the response
	back netip.AddrPort // where a TCP peer listens, should its connection be gone

	mu       sync.Mutex
	gone     bool
	in       *Inbound // nil once answered, so that the request can be freed
	merged   txKey
	answer   []byte // nil: trying
	toTag    string
	finished chan struct{} // made when somebody asks
}

// serverTable holds the server transactions, and those in trying by what merged
// requests have in common.
type serverTable struct {
	u         *UA
	tx        shards[*serverTx]
	merged    shards[*serverTx]
	completed atomic.Int64
}

func newServerTable(u *UA) *serverTable {
	t := &serverTable{u: u}
	t.tx.init()
	t.merged.init()
	return t
}

// again deals with a retransmission and with a merged request (RFC 3261
// §8.2.2.2): the same one over another path while the first is unanswered. The
// method is that of the transaction, so a request in a dialog cannot be one.
func (t *serverTable) again(p path, req *sip.Request) bool {
	if tx, ok := t.tx.get(serverKey(req, req.Method)); ok {
		tx.retransmitted()
		return true
	}
	if sip.ToTag(req) != "" {
		return false
	}
	if _, ok := t.merged.get(mergedKey(req)); ok {
		t.u.stateless(p, req, sip.Status{Code: 482})
		return true
	}
	return false
}

func mergedKey(req *sip.Request) txKey {
	n, m := sip.CSeq(req)
	return hashKey(sip.FromTag(req), sip.CallID(req), portText(int(n)), string(m))
}

// accept starts a transaction and its handler.
func (t *serverTable) accept(in *Inbound, h func(*Inbound)) {
	req := in.Request
	tx := &serverTx{u: t.u, key: serverKey(req, req.Method), path: answerPath(in.path, req), in: in, toTag: token()}
	tx.owner = tx
	tx.back = netip.AddrPortFrom(in.Source.Addr(), viaPort(req.Via()))
	in.tx = tx
	if _, fresh := t.tx.put(tx.key, tx); !fresh {
		return // two copies at the same moment over two sockets
	}
	if sip.ToTag(req) == "" {
		tx.merged = mergedKey(req)
		t.merged.put(tx.merged, tx)
	}
	t.u.pending.Add(1)
	t.u.wheel.schedule(&tx.timer, t.u.cfg.Timers.Answer)
	if !t.u.spawn(func() { in.handle(h) }) {
		_ = in.Respond(sip.Status{Code: 503})
	}
}

func (tx *serverTx) tag() string { return tx.toTag }

func (tx *serverTx) done() <-chan struct{} {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.finished == nil {
		tx.finished = make(chan struct{})
		if tx.answer != nil {
			close(tx.finished)
		}
	}
	return tx.finished
}

func (tx *serverTx) respond(_ *Inbound, res *sip.Response) error {
	if res.StatusCode < 200 {
		return fmt.Errorf("%w: %d is no final status", ErrRequest, res.StatusCode)
	}
	b, err := encode(nil, res)
	if err != nil {
		return err
	}
	return tx.finish(b)
}

// finish sends the final response and leaves trying.
func (tx *serverTx) finish(b []byte) error {
	u := tx.u
	tx.mu.Lock()
	if tx.answer != nil {
		tx.mu.Unlock()
		return ErrAnswered
	}
	tx.answer = b
	tx.in = nil
	if tx.finished != nil {
		close(tx.finished)
	}
	tx.mu.Unlock()
	u.pending.Add(-1)
	if tx.merged != (txKey{}) {
		u.servers.merged.drop(tx.merged)
	}
	err := tx.path.send(b)
	if err != nil && tx.path.transport() == "tcp" && !tx.path.stream.alive() {
		err = u.sendBack(tx.back, b)
	}
	switch {
	case tx.path.reliable():
		u.wheel.stop(&tx.timer)
		u.servers.tx.drop(tx.key)
	case u.servers.full():
		// Memory before the standard: a retransmission now counts as new.
		u.wheel.stop(&tx.timer)
		u.servers.tx.drop(tx.key)
	default:
		u.servers.completed.Add(1)
		u.wheel.schedule(&tx.timer, 64*u.cfg.Timers.T1) // timer J
	}
	return err
}

// sendBack sends a response to where the peer says that it listens, because the
// connection of the request is gone (RFC 3261 §18.2.2).
func (u *UA) sendBack(to netip.AddrPort, b []byte) error {
	ctx, cancel := context.WithTimeout(u.ctx, dialTimeout)
	defer cancel()
	s, _, err := u.connect(ctx, Dest{Transport: "tcp", Addr: to})
	if err != nil {
		return err
	}
	return s.send(b)
}

func (t *serverTable) full() bool {
	n := t.u.cfg.Limits.Completed
	return n > 0 && t.completed.Load() >= int64(n)
}

// retransmitted answers again, or waits with the first copy.
func (tx *serverTx) retransmitted() {
	tx.mu.Lock()
	b := tx.answer
	tx.mu.Unlock()
	if b == nil {
		return
	}
	if err := tx.path.send(b); err != nil {
		tx.u.log.Debug().Err(err).Msg("retransmission of an answer failed")
	}
}

// expire is the deadline of the handler in trying, timer J in completed.
func (tx *serverTx) expire() {
	tx.mu.Lock()
	in, answered, gone := tx.in, tx.answer != nil, tx.gone
	tx.gone = answered
	tx.mu.Unlock()
	if gone {
		return // the deadline expired while it was answered; timer J comes second
	}
	if answered {
		tx.u.servers.completed.Add(-1)
		tx.u.servers.tx.drop(tx.key)
		return
	}
	tx.u.log.Error().Str("method", string(in.Request.Method)).Str("call_id", sip.CallID(in.Request)).Dur("after", tx.u.cfg.Timers.Answer).Msg("handler gave no answer in time")
	_ = in.Respond(sip.Status{Code: 500, Reason: "Server Internal Error - no answer in time"})
}

// closeAll closes Done of what is unanswered.
func (t *serverTable) closeAll() {
	for _, tx := range t.tx.all() {
		tx.mu.Lock()
		if tx.answer == nil {
			tx.answer = []byte{}
			tx.in = nil
			if tx.finished != nil {
				close(tx.finished)
			}
		}
		tx.mu.Unlock()
	}
}

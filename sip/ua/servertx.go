package ua

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/stoxgate/stoxgate/sip"
)

// serverTx is the non-INVITE server transaction (RFC 3261 §17.2.2) in trying:
//
//	trying    --respond-->    completed    over UDP: answers keeps the response
//	trying    --retransmit--> trying       absorbed
//	trying    --deadline-->   completed    with 500, or 503 if its handler had no turn yet
//	completed --retransmit--> completed    the response again
//	completed --timer J-->    gone         answers forgets it
//
// Proceeding does not exist: nothing here sends a provisional response to a
// non-INVITE request (RFC 4320 §4.1 forbids most of them).
type serverTx struct {
	timer
	u      *UA
	in     Inbound // here, because both live and die together
	key    txKey
	merged txKey
	path   path           // of the response
	back   netip.AddrPort // where a TCP peer listens, should its connection be gone
	toTag  string

	mu       sync.Mutex
	begun    bool // the handler runs, or has run
	answered bool
	finished chan struct{} // made when somebody asks
}

// serverTable holds the transactions in trying, also by what merged requests have
// in common, and the answers of completed ones.
type serverTable struct {
	u       *UA
	tx      shards[*serverTx]
	merged  shards[*serverTx]
	answers *answers
}

func newServerTable(u *UA) *serverTable {
	t := &serverTable{u: u, answers: newAnswers(64*u.cfg.Timers.T1, u.cfg.Limits.Completed)}
	t.tx.init()
	t.merged.init()
	return t
}

// again deals with a retransmission.
func (t *serverTable) again(p path, req *sip.Request, key txKey) bool {
	if _, ok := t.tx.get(key); ok {
		return true // the first copy is being worked on
	}
	if p.reliable() {
		return false
	}
	b := t.answers.get(key)
	if b == nil {
		return false
	}
	if err := answerPath(p, req).send(b); err != nil {
		t.u.log.Debug().Err(err).Msg("retransmission of an answer failed")
	}
	return true
}

// mergedKey is the same for copies of one request that took different ways
// (RFC 3261 §8.2.2.2). A request in a dialog has none.
func mergedKey(req *sip.Request) (k txKey, ok bool) {
	if sip.ToTag(req) != "" {
		return k, false
	}
	n, m := sip.CSeq(req)
	return hashKey(sip.FromTag(req), sip.CallID(req), portText(int(n)), string(m)), true
}

// accept starts a transaction and its handler.
func (t *serverTable) accept(p path, req *sip.Request, key txKey, h func(*Inbound)) {
	tx := &serverTx{u: t.u, key: key, path: answerPath(p, req), toTag: token()}
	tx.owner = tx
	tx.back = netip.AddrPortFrom(p.remote.Addr(), viaPort(req.Via()))
	tx.in.received(t.u, p, req, tx)
	merged, mergeable := mergedKey(req)
	if mergeable {
		if _, fresh := t.merged.put(merged, tx); !fresh {
			// Another copy of it is unanswered yet; this one came over another way.
			if _, same := t.tx.get(key); !same {
				t.u.stateless(p, req, sip.Status{Code: 482})
			}
			return
		}
		tx.merged = merged
	}
	if _, fresh := t.tx.put(key, tx); !fresh {
		if mergeable {
			t.merged.drop(merged)
		}
		return // two copies at the same moment over two sockets
	}
	t.u.pending.Add(1)
	t.u.wheel.schedule(&tx.timer, t.u.cfg.Timers.Answer)
	t.u.work(&tx.in, h)
}

func (tx *serverTx) tag() string { return tx.toTag }

func (tx *serverTx) begin() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.begun = true
	return !tx.answered
}

func (tx *serverTx) done() <-chan struct{} {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.finished == nil {
		tx.finished = make(chan struct{})
		if tx.answered {
			close(tx.finished)
		}
	}
	return tx.finished
}

func (tx *serverTx) respond(s sip.Status) error {
	w := sip.NewWriter()
	defer w.Free()
	sip.WriteResponse(w, tx.in.Request, s, tx.toTag)
	if agent := tx.u.cfg.UserAgent; agent != "" {
		w.Field("Server", agent)
	}
	b, err := w.Append(nil, s.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return tx.answer(s.Code, b)
}

func (tx *serverTx) respondWith(res *sip.Response) error {
	b, err := encode(nil, res)
	if err != nil {
		return err
	}
	return tx.answer(res.StatusCode, b)
}

func (tx *serverTx) answer(code int, b []byte) error {
	if code < 200 {
		return fmt.Errorf("%w: %d is no final status", ErrRequest, code)
	}
	if !tx.finish(b) {
		return ErrAnswered
	}
	if !tx.path.reliable() {
		// A lost answer is sent again when the request is.
		tx.path.post(b, func(err error) {
			tx.u.log.Debug().Err(err).Str("remote", tx.path.remote.String()).Int("status", code).Msg("answer not sent")
		})
		return nil
	}
	return tx.u.sendOrBack(tx.path, tx.back, b)
}

// finish leaves trying, once; b is remembered for retransmissions.
func (tx *serverTx) finish(b []byte) bool {
	tx.mu.Lock()
	if tx.answered {
		tx.mu.Unlock()
		return false
	}
	tx.answered = true
	if tx.finished != nil {
		close(tx.finished)
	}
	tx.mu.Unlock()
	u := tx.u
	u.pending.Add(-1)
	u.wheel.stop(&tx.timer)
	if b != nil && !tx.path.reliable() {
		u.servers.answers.put(tx.key, b)
	}
	u.servers.tx.drop(tx.key)
	if tx.merged != (txKey{}) {
		u.servers.merged.drop(tx.merged)
	}
	return true
}

// sendOrBack sends a response. When the TCP connection of its request is gone, it goes to
// where the peer says that it listens (RFC 3261 §18.2.2), without waiting for that.
func (u *UA) sendOrBack(p path, to netip.AddrPort, b []byte) error {
	err := p.send(b)
	if err == nil || p.transport() != "tcp" || p.stream.alive() {
		return err
	}
	back := func() {
		ctx, cancel := context.WithTimeout(u.ctx, dialTimeout)
		defer cancel()
		s, _, err := u.connect(ctx, Dest{Transport: "tcp", Addr: to})
		if err == nil {
			err = s.send(b)
		}
		if err != nil {
			u.log.Debug().Err(err).Str("remote", to.String()).Msg("answer not sent over a new connection")
		}
	}
	if !u.spawn(back) {
		return err
	}
	return nil
}

// expire is the deadline of the handler.
func (tx *serverTx) expire() {
	tx.mu.Lock()
	answered, begun := tx.answered, tx.begun
	tx.mu.Unlock()
	if answered {
		return
	}
	late := sip.Status{Code: 500, Reason: "Server Internal Error - no answer in time"}
	log := tx.u.log.Error()
	what := "handler gave no answer in time"
	if !begun { // nothing hangs: the machine has more to do than it can
		late = sip.Status{Code: 503, RetryAfter: busyPause()}
		log, what = tx.u.log.Warn(), "overloaded, a request got no turn in time"
	}
	log.Str("method", string(tx.in.Request.Method)).Str("call_id", sip.CallID(tx.in.Request)).Dur("after", tx.u.cfg.Timers.Answer).Msg(what)
	answer := func() {
		if tx.in.Respond(late) != nil {
			tx.finish(nil) // whatever the reason: it must not stay for ever
		}
	}
	// A peer that does not read must not hold the timers of all others.
	if !tx.path.reliable() {
		answer()
	} else if !tx.u.spawn(answer) {
		tx.finish(nil)
	}
}

// closeAll closes Done of what is unanswered.
func (t *serverTable) closeAll() {
	for _, tx := range t.tx.all() {
		tx.finish(nil)
	}
}

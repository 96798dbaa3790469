package ua

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// inviteTable holds the INVITE transactions (RFC 3261 §17.1.1, §17.2.1, with RFC 6026).
// They are ours for the reasons of the others: on the wheel they need no goroutine and no
// runtime timer for the 32 s that most of them live after their answer, and their timers are
// those of their UA. A dialog layer stands on what these files export: provisional and final
// responses of Inbound, OnCancel, the ACK that reaches the handler, and Invite.
type inviteTable struct {
	servers shards[*inviteServer]
	clients shards[*inviteAttempt]
}

func newInviteTable() *inviteTable {
	t := &inviteTable{}
	t.servers.init()
	t.clients.init()
	return t
}

// tryingAfter is when an INVITE without any answer gets 100 (RFC 3261 §17.2.1).
const tryingAfter = 200 * time.Millisecond

// inviteState is where an INVITE transaction stands, in either role.
type inviteState uint8

const (
	inviteCalling    inviteState = iota // client: no response yet
	inviteProceeding                    // no final response
	inviteCompleted                     // one of 300–699
	inviteConfirmed                     // server: and its ACK
	inviteAccepted                      // 2xx (RFC 6026)
	inviteOver
)

// inviteServer is the INVITE server transaction:
//
//	proceeding --1xx-->      proceeding  kept for retransmissions of the INVITE
//	proceeding --2xx-->      accepted    retransmissions of the INVITE are absorbed, timer L
//	proceeding --3xx–6xx-->  completed   sent again by timer G (UDP) until the ACK, timer H
//	completed  --ACK-->      confirmed   more ACKs are absorbed, timer I
//
// Sending a 2xx again is the dialog's (RFC 6026 §7.1).
type inviteServer struct {
	timer
	u     *UA
	in    Inbound // here, because both live and die together
	key   txKey
	path  path           // of the responses
	back  netip.AddrPort // where a TCP peer listens, should its connection be gone
	toTag string

	mu       sync.Mutex
	state    inviteState
	last     []byte
	interval time.Duration
	ends     time.Time
	canceled bool
	cancel   *sip.Request // the CANCEL, until somebody wants it
	onCancel func(*sip.Request)
	finished chan struct{} // made when somebody asks
}

// accept starts a server transaction and its handler.
func (t *inviteTable) accept(u *UA, p path, req *sip.Request, key txKey, h func(*Inbound)) {
	s := &inviteServer{u: u, key: key, path: answerPath(p, req), toTag: token(), state: inviteProceeding}
	s.owner = s
	s.back = netip.AddrPortFrom(p.remote.Addr(), viaPort(req.Via()))
	s.in.received(u, p, req, s)
	if _, fresh := t.servers.put(key, s); !fresh {
		return
	}
	u.pending.Add(1)
	u.wheel.schedule(&s.timer, tryingAfter)
	u.work(&s.in, h)
}

func (s *inviteServer) tag() string { return s.toTag }

func (s *inviteServer) begin() bool { return true }

func (s *inviteServer) done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished == nil {
		s.finished = make(chan struct{})
		if s.state != inviteProceeding {
			close(s.finished)
		}
	}
	return s.finished
}

func (s *inviteServer) respond(st sip.Status) error {
	w := sip.NewWriter()
	defer w.Free()
	sip.WriteResponse(w, s.in.Request, st, s.toTag)
	if agent := s.u.cfg.UserAgent; agent != "" {
		w.Field("Server", agent)
	}
	b, err := w.Append(nil, st.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return s.answer(st.Code, b)
}

func (s *inviteServer) respondWith(res *sip.Response) error {
	b, err := encode(nil, res)
	if err != nil {
		return err
	}
	return s.answer(res.StatusCode, b)
}

// answer sends a provisional or a final response. A 2xx may be sent again.
func (s *inviteServer) answer(code int, b []byte) error {
	s.mu.Lock()
	switch {
	case s.state == inviteAccepted && code/100 == 2:
		s.mu.Unlock()
		return s.u.sendOrBack(s.path, s.back, b)
	case s.state != inviteProceeding || s.canceled:
		s.mu.Unlock()
		return ErrAnswered
	}
	err := s.answerLocked(code, b)
	s.mu.Unlock()
	if err != nil && code >= 200 && s.path.reliable() {
		err = s.u.sendOrBack(s.path, s.back, b)
	}
	return err
}

// answerLocked sends a response in proceeding; s.mu is held, so that no retransmission
// of an earlier one follows it.
func (s *inviteServer) answerLocked(code int, b []byte) error {
	t1 := s.u.cfg.Timers.T1
	switch {
	case code < 200:
		s.last = b
		s.u.wheel.stop(&s.timer)
	case code < 300:
		s.leave(inviteAccepted)
		s.last = nil
		s.stay(64 * t1) // timer L
	default:
		s.leave(inviteCompleted)
		s.last = b
		s.ends, s.interval = time.Now().Add(64*t1), t1 // timers H and G
		wait := t1
		if s.path.reliable() {
			wait = 64 * t1
		}
		s.u.wheel.schedule(&s.timer, wait)
	}
	return s.path.send(b)
}

// stay sets how long the state lasts; s.mu is held.
func (s *inviteServer) stay(d time.Duration) {
	s.ends = time.Now().Add(d)
	s.u.wheel.schedule(&s.timer, d)
}

// leave ends proceeding; s.mu is held.
func (s *inviteServer) leave(to inviteState) {
	if s.state == inviteProceeding {
		s.u.pending.Add(-1)
		if s.finished != nil {
			close(s.finished)
		}
	}
	s.state = to
}

// expire is the moment for 100, and timers G, H, I and L. It may be that of a state that
// has just ended, so it looks at the clock. Whoever holds the lock may be writing to a peer
// that does not read, which must not hold the timers of all others.
func (s *inviteServer) expire() {
	if !s.mu.TryLock() {
		s.u.wheel.schedule(&s.timer, s.u.wheel.tick)
		return
	}
	defer s.mu.Unlock()
	if s.state == inviteProceeding {
		if s.last == nil && !s.path.reliable() {
			s.trying()
		} else if s.last == nil {
			s.u.spawn(func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.state == inviteProceeding && s.last == nil {
					s.trying()
				}
			})
		}
		return
	}
	left := time.Until(s.ends)
	if left <= 0 {
		s.drop()
		return
	}
	if s.state == inviteCompleted && !s.path.reliable() {
		_ = s.path.send(s.last) // the next one may get through
		s.interval = min(2*s.interval, s.u.cfg.Timers.T2)
		left = min(left, s.interval)
	}
	s.u.wheel.schedule(&s.timer, left)
}

// trying sends 100; s.mu is held.
func (s *inviteServer) trying() {
	w := sip.NewWriter()
	defer w.Free()
	sip.WriteResponse(w, s.in.Request, sip.Status{Code: 100}, "")
	if b, err := w.Append(nil, nil); err == nil {
		s.last = b
		_ = s.path.send(b)
	}
}

func (s *inviteServer) drop() {
	s.leave(inviteOver)
	s.last = nil
	s.u.wheel.stop(&s.timer)
	s.u.invites.servers.drop(s.key)
}

// cancelled is the CANCEL: it answers 487 unless there is a final response.
func (s *inviteServer) cancelled(req *sip.Request) {
	s.mu.Lock()
	if s.state != inviteProceeding || s.canceled {
		s.mu.Unlock()
		return
	}
	s.canceled = true
	tell := s.onCancel
	if tell == nil {
		s.cancel = req
	}
	w := sip.NewWriter()
	sip.WriteResponse(w, s.in.Request, sip.Status{Code: 487}, s.toTag)
	if agent := s.u.cfg.UserAgent; agent != "" {
		w.Field("Server", agent)
	}
	b, err := w.Append(nil, nil)
	w.Free()
	if err == nil {
		err = s.answerLocked(487, b)
	} else {
		s.drop() // it must not stay for ever
	}
	s.mu.Unlock()
	if err != nil {
		s.u.log.Debug().Err(err).Msg("487 not sent")
	}
	if tell != nil {
		tell(req)
	}
}

// Cancelled tells whether a CANCEL ended this INVITE; it has been answered with
// 487 then (RFC 3261 §9.2).
func (in *Inbound) Cancelled() bool {
	s, ok := in.tx.(*inviteServer)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.canceled
}

// OnCancel sets who is told of the CANCEL that ends this INVITE, which may have come
// already. f gets the CANCEL, for its Reason; it runs on a reading goroutine and must not
// block.
func (in *Inbound) OnCancel(f func(cancel *sip.Request)) {
	s, ok := in.tx.(*inviteServer)
	if !ok {
		return
	}
	s.mu.Lock()
	came := s.cancel
	s.cancel, s.onCancel = nil, f
	s.mu.Unlock()
	if came != nil {
		f(came)
	}
}

// again passes a retransmission of an INVITE to its transaction.
func (t *inviteTable) again(_ *sip.Request, key txKey) bool {
	s, ok := t.servers.get(key)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.state == inviteProceeding || s.state == inviteCompleted) && s.last != nil {
		_ = s.path.send(s.last) // it will ask again
	}
	return true
}

// acked takes the ACK of a final response that is no 2xx.
func (s *inviteServer) acked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case inviteCompleted:
		s.state, s.last = inviteConfirmed, nil
		if s.path.reliable() {
			s.drop()
		} else {
			s.stay(s.u.cfg.Timers.T4) // timer I
		}
	case inviteAccepted: // its branch should be another, but RFC 2543 peers exist
		return false
	}
	return true
}

// ack passes an ACK to the transaction that it belongs to (a non-2xx final
// response), else to the handler of INVITE: the ACK of a 2xx is a request of the
// dialog (RFC 3261 §13.3.1.4). Nothing may be answered to it.
func (t *inviteTable) ack(u *UA, p path, req *sip.Request) {
	if s, ok := t.servers.get(serverKey(req, sip.INVITE)); ok && s.acked() {
		return
	}
	h := u.handlers[sip.INVITE]
	if h == nil {
		return
	}
	in := &Inbound{}
	in.received(u, p, req, noAnswer{})
	u.work(in, h)
}

var errACK = fmt.Errorf("%w: an ACK has no answer", ErrRequest)

// noAnswer is the transaction of an ACK.
type noAnswer struct{}

func (noAnswer) respond(sip.Status) error        { return errACK }
func (noAnswer) respondWith(*sip.Response) error { return errACK }
func (noAnswer) tag() string                     { return "" }
func (noAnswer) begin() bool                     { return true }

func (noAnswer) done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// cancelled answers a CANCEL and ends its INVITE (RFC 3261 §9.2).
func (t *inviteTable) cancelled(u *UA, p path, req *sip.Request) {
	s, ok := t.servers.get(serverKey(req, sip.INVITE))
	if !ok {
		u.stateless(p, req, sip.Status{Code: 481})
		return
	}
	// The same tag as in the answers to the INVITE; and no transaction for the
	// CANCEL, because the same answer to a retransmission costs nothing.
	res := sip.NewResponse(req, sip.Status{Code: 200}, s.toTag)
	u.product(res, "Server")
	if b, err := encode(nil, res); err == nil {
		_ = answerPath(p, req).send(b)
	}
	s.cancelled(req)
}

// AnswerOptions answers an OPTIONS as a UA does that has no handler for it (RFC 3261
// §11.2); for handlers that want only some of them.
func (u *UA) AnswerOptions(in *Inbound) { u.answerOptions(in) }

func (t *inviteTable) closeAll() {
	for _, s := range t.servers.all() {
		s.mu.Lock()
		s.drop()
		s.mu.Unlock()
	}
	for _, a := range t.clients.all() {
		a.t.closed(a)
	}
}

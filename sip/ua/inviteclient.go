package ua

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// InviteTransaction is one call of Invite: a client transaction, and those that digest and
// failover put in its place.
type InviteTransaction struct {
	u *UA
	h func(*sip.Response, error)

	mu       sync.Mutex
	o        outgoing
	dests    []Dest // still to be tried
	current  *inviteAttempt
	over     bool // h had its final response or its error
	cancel   bool
	cancelBy []sip.Header
	lastErr  error
	last503  *sip.Response
}

// inviteAttempt is the INVITE client transaction:
//
//	calling    --timer A-->    calling     sent again after T1, 2·T1, 4·T1 … (UDP)
//	calling    --1xx-->        proceeding
//	calling, proceeding --2xx-->  accepted   more 2xx are passed up, timer M
//	calling, proceeding --3xx–6xx--> completed  ACK; again for each copy, timer D
//	calling --timer B, transport error--> over
//
// The lock is that of its InviteTransaction.
type inviteAttempt struct {
	timer
	t     *InviteTransaction
	key   txKey
	path  path
	dest  Dest
	reuse bool   // of a connection that was open before: it may be dead
	via   string // value
	cseq  uint32
	creds []sip.Header

	state    inviteState
	wire     []byte // in calling
	ack      []byte // in completed
	interval time.Duration
	ends     time.Time // zero: no limit
	asked    bool      // CANCEL was sent
}

var errAbandoned = fmt.Errorf("ua: request abandoned: %w", context.Canceled)

// Invite sends an INVITE and returns at once; the next hop is located as by Do, with the
// same failover and the same answers to challenges, as long as Cancel was not called. h gets
// every provisional response, then one final response, or a nil response with an error
// (ErrTimeout, ErrTransport, ErrResolve …); after a 2xx also every further 2xx for 64*T1:
// copies, and those of other branches of a fork (RFC 3261 §13.2.2.4). Calls of h come one at a
// time and in order, from reading goroutines: it must not block, nor call the transaction.
//
// 3xx–6xx are ACKed here; the ACK of a 2xx is the caller's (UA.Ack). req must not be changed
// afterwards.
func (u *UA) Invite(req *sip.Request, t Target, h func(*sip.Response, error)) (*InviteTransaction, error) {
	if req.Method != sip.INVITE {
		return nil, fmt.Errorf("%w: %s is not for Invite", ErrRequest, req.Method)
	}
	if err := sip.Mandatory(req); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if u.closing() {
		return nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	x := &InviteTransaction{u: u, h: h, o: outgoing{u: u, req: req, target: t}}
	if err := x.o.route(); err != nil {
		return nil, err
	}
	if !t.Flow.IsZero() {
		p, err := u.pathOf(t.Flow)
		if err != nil {
			return nil, err
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		return x, x.begin(p, Dest{}, false, false)
	}
	if x.direct() {
		return x, nil
	}
	if !u.spawn(x.locate) {
		return nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	return x, nil
}

// direct sends to an address that needs no looking up and no connection.
func (x *InviteTransaction) direct() bool {
	d, ok := literal(x.o.hop, x.u.sendable())
	if !ok || d.Transport != "udp" || x.u.resolver.Blocked(d) {
		return false
	}
	p := path{sock: x.u.socketFor(d.Addr.Addr()), remote: d.Addr}
	return p.sock != nil && x.start(p, d, true) == nil
}

// locate finds the addresses and tries the first.
func (x *InviteTransaction) locate() {
	dests, err := x.u.resolver.Resolve(x.u.ctx, x.o.hop, x.u.sendable())
	x.mu.Lock()
	x.dests, x.lastErr = dests[:min(len(dests), maxTargets)], err
	x.mu.Unlock()
	x.next()
}

// next tries the remaining addresses until one takes the request.
func (x *InviteTransaction) next() {
	for {
		x.mu.Lock()
		if x.over {
			x.mu.Unlock()
			return
		}
		if x.cancel && x.current == nil {
			x.finish(nil, errAbandoned)
		} else if len(x.dests) == 0 {
			switch {
			case x.last503 != nil:
				x.finish(x.last503, nil)
			case x.lastErr != nil:
				x.finish(nil, x.lastErr)
			default:
				x.finish(nil, fmt.Errorf("%w: no address", ErrResolve))
			}
		}
		if x.over {
			x.mu.Unlock()
			return
		}
		d := x.dests[0]
		x.dests = x.dests[1:]
		x.mu.Unlock()
		if x.o.target.TLSName != "" {
			d.Name = x.o.target.TLSName
		}
		err := x.try(d)
		if err == nil {
			return
		}
		x.u.resolver.Block(d, 0)
		x.u.log.Debug().Err(err).Str("hop", d.String()).Msg("next hop failed")
		x.mu.Lock()
		x.lastErr, x.last503 = err, nil
		x.mu.Unlock()
	}
}

// try sends to one address; a long request goes by TCP if somebody listens there.
func (x *InviteTransaction) try(d Dest) error {
	if d.Transport != "udp" {
		return x.connect(d)
	}
	sock := x.u.socketFor(d.Addr.Addr())
	if sock == nil {
		return fmt.Errorf("%w: no UDP listener that reaches %s", ErrTransport, d.Addr)
	}
	p, tcp := path{sock: sock, remote: d.Addr}, Dest{Transport: "tcp", Addr: d.Addr, Name: d.Name}
	err := x.start(p, d, !x.u.resolver.Blocked(tcp))
	if !errors.Is(err, errLong) {
		return err
	}
	if err = x.connect(tcp); err == nil || !refused(err) {
		return err
	}
	x.u.resolver.Block(tcp, 0)
	return x.start(p, d, false)
}

// errLong: the request is too long for UDP (RFC 3261 §18.1.1).
var errLong = fmt.Errorf("%w: too long for UDP", ErrRequest)

// start begins over UDP; short refuses what is too long for it.
func (x *InviteTransaction) start(p path, d Dest, short bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.begin(p, d, false, short)
}

func (x *InviteTransaction) connect(d Dest) error {
	x.mu.Lock()
	another := len(x.dests) > 0
	x.mu.Unlock()
	for {
		s, fresh, err := x.u.connectSoon(x.u.ctx, d, another)
		if err != nil {
			return err
		}
		x.mu.Lock()
		err = x.begin(path{stream: s, remote: s.remote}, d, !fresh, false)
		x.mu.Unlock()
		if err == nil || fresh || !errors.Is(err, ErrTransport) || x.u.closing() {
			return err
		}
	}
}

// begin sends the request over p; x.mu is held.
func (x *InviteTransaction) begin(p path, d Dest, reuse, short bool) error {
	if x.over {
		return nil
	}
	if x.cancel {
		x.finish(nil, errAbandoned)
		return nil
	}
	x.o.authorize()
	key, wire, err := x.o.build(p)
	if err != nil {
		return err
	}
	if short && len(wire) > tcpAbove {
		return errLong
	}
	n, _ := sip.CSeq(x.o.req)
	a := &inviteAttempt{
		t: x, key: key, path: p, dest: d, reuse: reuse, wire: wire, via: viaOf(wire), cseq: n + uint32(x.o.auth.tries),
		creds: append([]sip.Header(nil), x.o.auth.headers...), interval: x.u.cfg.Timers.T1, ends: time.Now().Add(64 * x.u.cfg.Timers.T1),
	}
	a.owner = a
	x.current = a
	x.u.invites.clients.put(key, a)
	err = p.send(wire)
	if err == nil && (p.reliable() && !p.stream.alive() || x.u.closing()) {
		err = fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	if err != nil {
		x.current = nil
		a.drop()
		return err
	}
	a.again()
	return nil
}

// again schedules what comes next in calling and proceeding.
func (a *inviteAttempt) again() {
	u := a.t.u
	wait := 8 * u.cfg.Timers.T1 // to look whether the connection is there
	switch {
	case !a.path.reliable() && a.state == inviteCalling:
		wait = a.interval
	case !a.path.reliable() && a.ends.IsZero():
		u.wheel.stop(&a.timer)
		return
	}
	if !a.ends.IsZero() {
		wait = min(wait, max(time.Until(a.ends), 0))
	}
	u.wheel.schedule(&a.timer, wait)
}

// expire is timers A, B, D and M, and the watch over a connection.
func (a *inviteAttempt) expire() {
	x := a.t
	if !x.mu.TryLock() { // see inviteServer.expire
		x.u.wheel.schedule(&a.timer, x.u.wheel.tick)
		return
	}
	defer x.mu.Unlock()
	switch a.state {
	case inviteCalling, inviteProceeding:
	case inviteOver:
		return
	default:
		if left := time.Until(a.ends); left > 0 {
			x.u.wheel.schedule(&a.timer, left)
			return
		}
		a.drop()
		return
	}
	if !a.ends.IsZero() && time.Until(a.ends) <= 0 {
		x.failed(a, fmt.Errorf("%w: %s", ErrTimeout, a.path.remote))
		return
	}
	if a.path.reliable() {
		if !a.path.stream.alive() {
			x.failed(a, fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
			return
		}
	} else if a.state == inviteCalling {
		if err := a.path.send(a.wire); err != nil {
			x.failed(a, err)
			return
		}
		a.interval *= 2
	}
	a.again()
}

// failed ends an attempt that got no final response; x.mu is held.
func (x *InviteTransaction) failed(a *inviteAttempt, err error) {
	first := a.state == inviteCalling
	a.drop()
	if x.over || x.current != a {
		return
	}
	x.current = nil
	if !first || x.cancel || a.dest == (Dest{}) {
		x.finish(nil, err)
		return
	}
	if a.reuse && errors.Is(err, ErrTransport) {
		x.dests = append([]Dest{a.dest}, x.dests...)
	} else {
		x.u.resolver.Block(a.dest, 0)
	}
	x.lastErr, x.last503 = err, nil
	x.goOn()
}

// goOn tries the next address on another goroutine, because that may take time.
func (x *InviteTransaction) goOn() {
	if !x.u.spawn(x.next) {
		x.finish(nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
	}
}

// finish gives the outcome to the caller, once; x.mu is held.
func (x *InviteTransaction) finish(res *sip.Response, err error) {
	if x.over {
		return
	}
	x.over = true
	x.h(res, err)
}

// drop forgets an attempt.
func (a *inviteAttempt) drop() {
	a.state, a.wire, a.ack = inviteOver, nil, nil
	a.t.u.wheel.stop(&a.timer)
	a.t.u.invites.clients.drop(a.key)
}

// response passes a response to its transaction.
func (t *inviteTable) response(res *sip.Response) {
	branch, _ := res.Via().Params.Get("branch")
	a, ok := t.clients.get(clientKey(branch, sip.INVITE))
	if !ok {
		return
	}
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	a.received(res)
}

// received is the state machine of the attempt; the lock is held.
func (a *inviteAttempt) received(res *sip.Response) {
	x, code := a.t, res.StatusCode
	switch a.state {
	case inviteCalling, inviteProceeding:
	case inviteAccepted:
		if code/100 == 2 {
			x.h(res, nil)
		}
		return
	case inviteCompleted:
		if code >= 300 {
			_ = a.path.send(a.ack) // it comes again if this one is lost
		}
		return
	default:
		return
	}
	life := 64 * x.u.cfg.Timers.T1
	switch {
	case code < 200:
		if a.state == inviteCalling {
			a.state, a.wire, a.ends = inviteProceeding, nil, time.Time{}
			a.ask()
			a.again()
		}
		x.h(res, nil)
	case code < 300:
		a.state, a.wire, a.ends = inviteAccepted, nil, time.Now().Add(life)
		x.u.wheel.schedule(&a.timer, life) // timer M
		x.finish(res, nil)
	default:
		a.state, a.wire, a.ends = inviteCompleted, nil, time.Now().Add(life)
		if w, err := a.message(sip.ACK, res.To(), nil); err == nil {
			a.ack = w
			_ = a.path.send(w)
		}
		x.u.wheel.schedule(&a.timer, life) // timer D
		if a.path.reliable() {
			a.drop()
		}
		x.refused(a, res)
	}
}

// refused answers a challenge or tries elsewhere; else it is the final response.
func (x *InviteTransaction) refused(a *inviteAttempt, res *sip.Response) {
	if x.over || x.current != a {
		return
	}
	if !x.cancel {
		switch code := res.StatusCode; {
		case (code == 401 || code == 407) && x.o.challenged(res):
			switch err := x.begin(a.path, a.dest, false, false); {
			case err == nil:
			case errors.Is(err, ErrTransport) && a.dest != (Dest{}):
				// Some close the connection behind a refusal.
				x.dests, x.lastErr = append([]Dest{a.dest}, x.dests...), err
				x.goOn()
			default:
				x.finish(nil, err)
			}
			return
		case code == 503 && a.dest != (Dest{}):
			after, _ := sip.ParseRetryAfter(sip.Value(res, "Retry-After"))
			x.u.resolver.Block(a.dest, after)
			if len(x.dests) > 0 {
				x.current, x.last503 = nil, res
				x.goOn()
				return
			}
		}
	}
	x.finish(res, nil)
}

// Sent is the CSeq number and the credentials of the INVITE as it was sent last: the ACK
// of a 2xx carries the same (RFC 3261 §13.2.2.4).
func (x *InviteTransaction) Sent() (cseq uint32, credentials []sip.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.current == nil {
		n, _ := sip.CSeq(x.o.req)
		return n, nil
	}
	return x.current.cseq, x.current.creds
}

// Cancel gives the INVITE up: CANCEL is sent as soon as a provisional response is there
// (RFC 3261 §9.1). The final response comes to the handler as ever; it may still be a 2xx.
// headers go into the CANCEL (Reason).
func (x *InviteTransaction) Cancel(headers ...sip.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel || x.over {
		return
	}
	x.cancel, x.cancelBy = true, headers
	if a := x.current; a != nil && a.state == inviteProceeding {
		a.ask()
		a.again()
	}
}

// ask sends the CANCEL if it is wanted; the INVITE has 64*T1 from then on (§9.1).
func (a *inviteAttempt) ask() {
	x := a.t
	if !x.cancel || a.asked {
		return
	}
	a.asked = true
	a.ends = time.Now().Add(64 * x.u.cfg.Timers.T1)
	wire, err := a.message(sip.CANCEL, x.o.req.To(), x.cancelBy)
	if err != nil {
		x.u.log.Warn().Err(err).Msg("cancel not sent")
		return
	}
	_, branch, _ := strings.Cut(a.via, "branch=")
	branch, _, _ = strings.Cut(branch, ";")
	x.u.begin(clientKey(branch, sip.CANCEL), a.path, wire, 64*x.u.cfg.Timers.T1, func(*sip.Response, error) {})
}

// closed ends a transaction in Shutdown.
func (x *InviteTransaction) closed(a *inviteAttempt) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a.drop()
	x.finish(nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
}

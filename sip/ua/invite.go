package ua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	siplib "github.com/emiago/sipgo/sip"

	"github.com/stoxgate/stoxgate/sip"
)

// inviteTable holds the INVITE transactions, which are sipgo's (RFC 3261 §17.1.1,
// §17.2.1, RFC 6026) over our connections. A dialog layer stands on what this file
// exports: provisional and final responses of Inbound, Cancelled, the ACK that
// reaches the handler, and Invite with its Outgoing.
type inviteTable struct {
	servers shards[*inviteServer]
	clients shards[*InviteTransaction]
}

func newInviteTable() *inviteTable {
	t := &inviteTable{}
	t.servers.init()
	t.clients.init()
	return t
}

// inviteConn lets a sipgo transaction write over one of our paths. Reference
// counts mean nothing here: connections outlive transactions.
type inviteConn struct {
	u    *UA
	path path
}

func (c inviteConn) LocalAddr() net.Addr    { return net.UDPAddrFromAddrPort(c.path.local()) }
func (c inviteConn) Ref(int) int            { return 1 }
func (c inviteConn) TryClose() (int, error) { return 1, nil }
func (c inviteConn) Close() error           { return nil }

func (c inviteConn) WriteMsg(msg siplib.Message) error {
	b, err := encode(nil, msg)
	if err != nil {
		return err
	}
	return c.path.send(b)
}

// inviteServer is a server transaction and what we add to it.
type inviteServer struct {
	u     *UA
	tx    *siplib.ServerTx
	in    *Inbound
	toTag string

	mu       sync.Mutex
	final    bool // a final response was given
	canceled bool
	ended    chan struct{}
	endOnce  sync.Once
}

// accept starts a server transaction and its handler.
func (t *inviteTable) accept(u *UA, p path, req *sip.Request, key txKey, h func(*Inbound)) {
	in := &Inbound{}
	in.received(u, p, req, nil)
	in.Request.SetTransport(siplib.NetworkToUpper(in.Transport))
	in.Request.SetSource(in.Source.String())
	tx := siplib.NewServerTx(branchText(key), in.Request, inviteConn{u, answerPath(in.path, in.Request)}, sipgoLogger(u.log))
	s := &inviteServer{u: u, tx: tx, in: in, toTag: token(), ended: make(chan struct{})}
	in.tx = s
	if _, fresh := t.servers.put(key, s); !fresh {
		return
	}
	if err := tx.Init(); err != nil {
		t.servers.drop(key)
		u.log.Warn().Err(err).Msg("invite transaction failed")
		return
	}
	u.pending.Add(1)
	tx.OnTerminate(func(string, error) {
		t.servers.drop(key)
		s.end()
	})
	u.work(in, h)
}

func branchText(k txKey) string { return fmt.Sprintf("%016x%016x", k[0], k[1]) }

// end closes Done once.
func (s *inviteServer) end() {
	s.endOnce.Do(func() {
		s.u.pending.Add(-1)
		close(s.ended)
	})
}

func (s *inviteServer) tag() string           { return s.toTag }
func (s *inviteServer) done() <-chan struct{} { return s.ended }

func (s *inviteServer) respond(st sip.Status) error {
	res := sip.NewResponse(s.in.Request, st, s.toTag)
	s.u.product(res, "Server")
	return s.respondWith(res)
}

// respondWith sends a provisional or a final response. A 2xx may be sent again:
// its retransmission is the dialog's task (RFC 6026 §7.1).
func (s *inviteServer) respondWith(res *sip.Response) error {
	s.mu.Lock()
	if s.final && !res.IsSuccess() || s.canceled {
		s.mu.Unlock()
		return ErrAnswered
	}
	s.final = s.final || res.StatusCode >= 200
	final := s.final
	s.mu.Unlock()
	return s.send(res, final)
}

func (s *inviteServer) send(res *sip.Response, final bool) error {
	err := s.tx.Respond(res)
	if final {
		s.end()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return nil
}

// cancel answers 487 unless there is a final response. It is not left to sipgo,
// which would give the 487 a tag of its own.
func (s *inviteServer) cancel() {
	s.mu.Lock()
	if s.final {
		s.mu.Unlock()
		return
	}
	s.final, s.canceled = true, true
	s.mu.Unlock()
	res := sip.NewResponse(s.in.Request, sip.Status{Code: 487}, s.toTag)
	s.u.product(res, "Server")
	if err := s.send(res, true); err != nil {
		s.u.log.Debug().Err(err).Msg("487 not sent")
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

// again passes a retransmission of an INVITE to its transaction.
func (t *inviteTable) again(req *sip.Request, key txKey) bool {
	s, ok := t.servers.get(key)
	if ok {
		_ = s.tx.Receive(req) // the same method: it cannot fail
	}
	return ok
}

// ack passes an ACK to the transaction that it belongs to (a non-2xx final
// response), else to the handler of INVITE: the ACK of a 2xx is a request of the
// dialog (RFC 3261 §13.3.1.4). Nothing may be answered to it.
func (t *inviteTable) ack(u *UA, p path, req *sip.Request) {
	if s, ok := t.servers.get(serverKey(req, sip.INVITE)); ok {
		_ = s.tx.Receive(req)
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
	s.cancel()
}

// InviteTransaction is one sent INVITE (RFC 3261 §17.1.1).
type InviteTransaction struct {
	u    *UA
	tx   *siplib.ClientTx
	path path
	req  *sip.Request

	mu       sync.Mutex
	queue    []*sip.Response
	wake     chan struct{}
	stop     chan struct{}
	stopOnce sync.Once
}

// Invite sends one INVITE to the first address of t that can be reached and
// returns its transaction. Failover, authentication, ACK of a 2xx and CANCEL are
// the caller's: they are parts of a dialog.
func (u *UA) Invite(ctx context.Context, req *sip.Request, t Target) (*InviteTransaction, error) {
	if req.Method != sip.INVITE {
		return nil, fmt.Errorf("%w: %s is not for Invite", ErrRequest, req.Method)
	}
	o := &outgoing{u: u, req: req, target: t}
	if err := o.route(); err != nil {
		return nil, err
	}
	paths, err := o.paths(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		var tx *InviteTransaction
		if tx, err = u.startInvite(o, p); err == nil {
			return tx, nil
		}
	}
	return nil, err
}

// paths are the ways to the next hop that are open or can be opened.
func (o *outgoing) paths(ctx context.Context) ([]path, error) {
	if !o.target.Flow.IsZero() {
		p, err := o.u.pathOf(o.target.Flow)
		return []path{p}, err
	}
	dests, err := o.u.resolver.Resolve(ctx, o.hop, o.u.sendable())
	if err != nil {
		return nil, err
	}
	var list []path
	for _, d := range dests {
		if o.target.TLSName != "" {
			d.Name = o.target.TLSName
		}
		if d.Transport == "udp" {
			if s := o.u.socketFor(d.Addr.Addr()); s != nil {
				list = append(list, path{sock: s, remote: d.Addr})
			}
			continue
		}
		var s *stream
		if s, _, err = o.u.connect(ctx, d); err == nil {
			list = append(list, path{stream: s, remote: s.remote})
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, errors.Join(ErrTransport, err)
}

func (u *UA) startInvite(o *outgoing, p path) (*InviteTransaction, error) {
	key, wire, err := o.build(p)
	if err != nil {
		return nil, err
	}
	msg, err := sip.Parse(u.parser, wire) // sipgo's transaction wants a message of its own
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	req := msg.(*sip.Request)
	req.SetTransport(siplib.NetworkToUpper(p.transport()))
	t := &InviteTransaction{
		u: u, path: p, req: req, wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	t.tx = siplib.NewClientTx(branchText(key), req, inviteConn{u, p}, sipgoLogger(u.log))
	u.invites.clients.put(key, t)
	t.tx.OnTerminate(func(string, error) {
		u.invites.clients.drop(key)
		t.stopOnce.Do(func() { close(t.stop) })
	})
	if !u.spawn(t.feed) {
		t.tx.Terminate()
		return nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	if err := t.tx.Init(); err != nil {
		t.tx.Terminate()
		return nil, fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return t, nil
}

// response queues a response for its transaction.
func (t *inviteTable) response(res *sip.Response) {
	branch, _ := res.Via().Params.Get("branch")
	tx, ok := t.clients.get(clientKey(branch, sip.INVITE))
	if !ok {
		return
	}
	tx.mu.Lock()
	if len(tx.queue) < maxQueued {
		tx.queue = append(tx.queue, res)
	}
	tx.mu.Unlock()
	select {
	case tx.wake <- struct{}{}:
	default:
	}
}

// maxQueued bounds the responses that wait for a caller that does not read them.
const maxQueued = 64

// feed hands responses to sipgo's state machine one by one, because it passes them
// up while it holds its lock: in goroutines of their own, as sipgo does it, a 180
// overtakes a 183.
func (t *InviteTransaction) feed() {
	for {
		select {
		case <-t.wake:
		case <-t.stop:
			return
		}
		for {
			t.mu.Lock()
			if len(t.queue) == 0 {
				t.mu.Unlock()
				break
			}
			res := t.queue[0]
			t.queue = t.queue[1:]
			t.mu.Unlock()
			t.tx.Receive(res)
		}
	}
}

// Request is the INVITE as it was sent.
func (t *InviteTransaction) Request() *sip.Request { return t.req }

// Responses gives the responses in the order of arrival, the final one last; a
// caller must read until Done.
func (t *InviteTransaction) Responses() <-chan *sip.Response { return t.tx.Responses() }

// OnForked sets who gets the 2xx responses that come after the first: of other
// branches of a fork, and retransmissions (RFC 3261 §13.2.2.4).
func (t *InviteTransaction) OnForked(f func(*sip.Response)) { t.tx.OnRetransmission(f) }

// Done is closed when the transaction ends; Err says why.
func (t *InviteTransaction) Done() <-chan struct{} { return t.tx.Done() }

// Err is nil while the transaction lives, ErrTimeout or ErrTransport when it failed.
func (t *InviteTransaction) Err() error {
	err := t.tx.Err()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, siplib.ErrTransactionTimeout):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return fmt.Errorf("%w: %w", ErrTransport, err)
}

// Cancel sends the CANCEL of the INVITE and waits for its response, which says
// nothing about the INVITE (RFC 3261 §9.1). Call it after a provisional response.
func (t *InviteTransaction) Cancel(ctx context.Context) error {
	req := siplib.NewRequest(sip.CANCEL, t.req.Recipient)
	req.AppendHeader(t.req.Via()) // the same branch
	for _, h := range t.req.Headers() {
		switch h := h.(type) {
		case *siplib.FromHeader, *siplib.ToHeader, *siplib.CallIDHeader, *siplib.MaxForwardsHeader:
			req.AppendHeader(h)
		case *siplib.CSeqHeader:
			req.AppendHeader(&siplib.CSeqHeader{SeqNo: h.SeqNo, MethodName: sip.CANCEL})
		default:
			if h.Name() == "Route" {
				req.AppendHeader(h)
			}
		}
	}
	wire, err := encode(nil, req)
	if err != nil {
		return err
	}
	branch, _ := t.req.Via().Params.Get("branch")
	o := &outgoing{u: t.u, req: req}
	_, err = o.wait(ctx, t.u.begin(clientKey(branch, sip.CANCEL), t.path, wire, 64*t.u.cfg.Timers.T1))
	return err
}

// Terminate ends the transaction without waiting for its timers.
func (t *InviteTransaction) Terminate() { t.tx.Terminate() }

// Ack sends an ACK for a 2xx: once, over the given target (RFC 3261 §13.2.2.4).
func (u *UA) Ack(ctx context.Context, req *sip.Request, t Target) error {
	if req.Method != sip.ACK {
		return fmt.Errorf("%w: %s is not for Ack", ErrRequest, req.Method)
	}
	o := &outgoing{u: u, req: req, target: t}
	if err := o.route(); err != nil {
		return err
	}
	paths, err := o.paths(ctx)
	if err != nil {
		return err
	}
	_, wire, err := o.build(paths[0])
	if err != nil {
		return err
	}
	return paths[0].send(wire)
}

func (t *inviteTable) closeAll() {
	for _, s := range t.servers.all() {
		s.tx.Terminate()
	}
	for _, c := range t.clients.all() {
		c.tx.Terminate()
	}
}

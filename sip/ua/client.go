package ua

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	siplib "github.com/emiago/sipgo/sip"

	"github.com/stoxgate/stoxgate/sip"
)

// Target tells where and how to send a request.
type Target struct {
	// URI is the next hop. Zero: the first of Routes, else the Request-URI.
	URI sip.URI
	// Routes are written as Route headers, in this order (RFC 3261 §12.2.1.1; a
	// first route without lr is a strict router).
	Routes []sip.NameAddr
	// Flow, if set, is the one way to send: no location, no failover (RFC 5626).
	Flow Flow
	// Credentials answer 401 and 407.
	Credentials *Credentials
	// TLSName is the domain that the certificate must be for, when it is not the
	// host of the next hop.
	TLSName string
	// KeepAlive, if set, keeps the connection over which Do gets a 2xx.
	KeepAlive *KeepAlive
}

// maxTargets bounds how many addresses one request is tried at.
const maxTargets = 8

// tcpAbove is the size in bytes beyond which a request may not go by UDP
// (RFC 3261 §18.1.1).
const tcpAbove = 1300

// Do sends one request that is not an INVITE and waits for its final response,
// whatever its code. req is not changed and may be sent again.
//
// The next hop is located by RFC 3263; 503, no answer and transport errors lead to
// the next address, with a new branch and the same Call-ID and CSeq. When every
// address failed, the last 503 is returned, or the last error. 401 and 407 are
// answered once (with a CSeq one higher), a stale nonce once more.
//
// Errors: ErrTimeout, ErrTransport (also ErrFlow, ErrClosed), ErrResolve,
// ErrRequest. When ctx ends the error wraps its cause.
func (u *UA) Do(ctx context.Context, req *sip.Request, t Target) (*sip.Response, error) {
	o, err := u.outgoing(req, t)
	if err != nil {
		return nil, err
	}
	return o.do(ctx)
}

func (u *UA) outgoing(req *sip.Request, t Target) (*outgoing, error) {
	switch req.Method {
	case sip.INVITE, sip.ACK, sip.CANCEL:
		return nil, fmt.Errorf("%w: %s is not for Do", ErrRequest, req.Method)
	}
	if u.closing() {
		return nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	o := &outgoing{u: u, req: req, target: t}
	return o, o.route()
}

func (o *outgoing) do(ctx context.Context) (*sip.Response, error) {
	for {
		o.authorize()
		res, err := o.locateAndSend(ctx)
		if err != nil {
			return nil, err
		}
		if (res.StatusCode != 401 && res.StatusCode != 407) || !o.challenged(res) {
			return res, nil
		}
	}
}

// outgoing is one call of Do.
type outgoing struct {
	u      *UA
	req    *sip.Request
	target Target
	hop    sip.URI // next hop
	ruri   siplib.Uri
	routes []string // values of Route
	auth   authState
	early  *outcome // of the first exchange, when Send had it before there was a goroutine to wait
}

type outcome struct {
	res *sip.Response
	err error
}

// route finds the next hop and the Route headers.
func (o *outgoing) route() error {
	o.ruri = o.req.Recipient
	routes := o.target.Routes
	o.hop = o.target.URI
	if len(routes) > 0 && !routes[0].URI.Params.Has("lr") {
		// A strict router: it wants to be the Request-URI, the real one comes last.
		if o.hop.IsZero() {
			o.hop = routes[0].URI
		}
		o.ruri = routes[0].URI.Lib()
		routes = append(slices.Clone(routes[1:]), sip.NameAddr{URI: sip.FromLib(o.req.Recipient)})
	}
	if o.hop.IsZero() && len(routes) > 0 {
		o.hop = routes[0].URI
	}
	if o.hop.IsZero() {
		o.hop = sip.FromLib(o.req.Recipient)
	}
	for _, r := range routes {
		o.routes = append(o.routes, r.String())
	}
	if o.target.Flow.IsZero() && !o.hop.IsSIP() {
		return fmt.Errorf("%w: no way to a %s: URI", ErrResolve, o.hop.Scheme)
	}
	return nil
}

// Peer is the address that a request to ruri and t would be sent to first; where a name
// has to be found, that takes until ctx ends at most.
func (u *UA) Peer(ctx context.Context, ruri sip.URI, t Target) (netip.Addr, error) {
	if !t.Flow.IsZero() {
		return t.Flow.Remote.Addr().Unmap(), nil
	}
	o := &outgoing{u: u, req: siplib.NewRequest(siplib.INVITE, ruri.Lib()), target: t}
	if err := o.route(); err != nil {
		return netip.Addr{}, err
	}
	dests, err := u.resolver.Resolve(ctx, o.hop, u.sendable())
	if err != nil {
		return netip.Addr{}, err
	}
	return dests[0].Addr.Addr().Unmap(), nil
}

// locateAndSend is one request with its failover.
func (o *outgoing) locateAndSend(ctx context.Context) (*sip.Response, error) {
	if !o.target.Flow.IsZero() {
		p, err := o.u.pathOf(o.target.Flow)
		if err != nil {
			return nil, err
		}
		return o.exchange(ctx, p, 64*o.u.cfg.Timers.T1)
	}
	dests, err := o.u.resolver.Resolve(ctx, o.hop, o.u.sendable())
	if err != nil {
		return nil, err
	}
	dests = dests[:min(len(dests), maxTargets)]
	var res *sip.Response
	for i, d := range dests {
		if o.target.TLSName != "" {
			d.Name = o.target.TLSName
		}
		last := i == len(dests)-1
		res, err = o.sendTo(ctx, d, o.patience(ctx, last), !last)
		switch {
		case err == nil && res.StatusCode == 503:
			after, _ := sip.ParseRetryAfter(sip.Value(res, "Retry-After"))
			o.u.resolver.Block(d, after)
		case err == nil:
			return res, nil
		case ctx.Err() != nil || errors.Is(err, ErrRequest) || o.u.closing():
			return nil, err
		default:
			o.u.resolver.Block(d, 0)
			o.u.log.Debug().Err(err).Str("hop", d.String()).Msg("next hop failed")
		}
	}
	if res != nil && err == nil {
		return res, nil
	}
	return nil, err
}

// patience is how long one address may stay silent: timer F, but not more than
// half of what the caller has left while there is another address to try.
func (o *outgoing) patience(ctx context.Context, last bool) time.Duration {
	limit := 64 * o.u.cfg.Timers.T1
	if end, ok := ctx.Deadline(); ok && !last {
		limit = min(limit, time.Until(end)/2)
	}
	return limit
}

// sendTo sends to one address. A long request goes by TCP, and by UDP after all
// when nobody listens on TCP there. another tells that there is another address to try.
func (o *outgoing) sendTo(ctx context.Context, d Dest, limit time.Duration, another bool) (*sip.Response, error) {
	if d.Transport != "udp" {
		return o.sendStream(ctx, d, limit, another)
	}
	sock := o.u.socketFor(d.Addr.Addr())
	if sock == nil {
		return nil, fmt.Errorf("%w: no UDP listener that reaches %s", ErrTransport, d.Addr)
	}
	p := path{sock: sock, remote: d.Addr}
	key, wire, err := o.build(p)
	if err != nil {
		return nil, err
	}
	if len(wire) > tcpAbove {
		tcp := Dest{Transport: "tcp", Addr: d.Addr, Name: d.Name}
		if !o.u.resolver.Blocked(tcp) {
			res, err := o.sendStream(ctx, tcp, limit, another)
			if err == nil || !refused(err) {
				return res, err
			}
			o.u.resolver.Block(tcp, 0)
		}
	}
	return o.await(ctx, key, p, wire, limit)
}

// sendStream sends over a connection. One that was open already may have been
// closed by the peer without our knowing; then a new one is tried once.
func (o *outgoing) sendStream(ctx context.Context, d Dest, limit time.Duration, another bool) (*sip.Response, error) {
	for {
		s, fresh, err := o.u.connectSoon(ctx, d, another)
		if err != nil {
			return nil, err
		}
		res, err := o.exchange(ctx, path{stream: s, remote: s.remote}, limit)
		if err == nil || fresh || ctx.Err() != nil || !errors.Is(err, ErrTransport) || errors.Is(err, ErrClosed) && o.u.closing() {
			return res, err
		}
	}
}

func (o *outgoing) exchange(ctx context.Context, p path, limit time.Duration) (*sip.Response, error) {
	key, wire, err := o.build(p)
	if err != nil {
		return nil, err
	}
	res, err := o.await(ctx, key, p, wire, limit)
	if k := o.target.KeepAlive; k != nil && err == nil && p.stream != nil {
		k.answered(p.stream, res)
	}
	return res, err
}

// await is one transaction.
func (o *outgoing) await(ctx context.Context, key txKey, p path, wire []byte, limit time.Duration) (*sip.Response, error) {
	if was := o.early; was != nil {
		o.early = nil
		return was.res, was.err
	}
	over := make(chan outcome, 1)
	tx := o.u.begin(key, p, wire, limit, func(res *sip.Response, err error) { over <- outcome{res, err} })
	select {
	case end := <-over:
		return end.res, end.err
	case <-ctx.Done():
		tx.finish(nil, ended(ctx))
		end := <-over
		return end.res, end.err
	}
}

// ended tells why ctx ended: a deadline is a timeout like any other, a cancelled
// caller has its own reason.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
	return fmt.Errorf("ua: request abandoned: %w", context.Cause(ctx))
}

// build writes the request for one path: our Via with a new branch, Route,
// credentials, and what the sender adds when it is missing.
func (o *outgoing) build(p path) (txKey, []byte, error) {
	if err := sip.Mandatory(o.req); err != nil {
		return txKey{}, nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	w := sip.NewWriter()
	defer w.Free()
	w.RequestLine(o.req.Method, &o.ruri)
	branch := siplib.RFC3261BranchMagicCookie + token()
	o.u.via(w, p, branch)
	for _, r := range o.routes {
		w.Field("Route", r)
	}
	hops, agent := false, false
	for _, h := range o.req.Headers() {
		switch h := h.(type) {
		case *siplib.ViaHeader, *siplib.RouteHeader, *siplib.ContentLengthHeader:
			continue
		case *siplib.CSeqHeader:
			w.Header(&siplib.CSeqHeader{SeqNo: h.SeqNo + uint32(o.auth.tries), MethodName: h.MethodName})
			continue
		case *siplib.MaxForwardsHeader:
			hops = true
		default:
			agent = agent || h.Name() == "User-Agent"
		}
		w.Header(h)
	}
	if !hops {
		w.Field("Max-Forwards", "70")
	}
	for _, h := range o.auth.headers {
		w.Header(h)
	}
	if !agent && o.u.cfg.UserAgent != "" {
		w.Field("User-Agent", o.u.cfg.UserAgent)
	}
	wire, err := w.Append(nil, o.req.Body())
	if err != nil {
		return txKey{}, nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return clientKey(branch, o.req.Method), wire, nil
}

// sendable are the transports that a request can be sent over, in the order of
// preference where the choice is ours.
func (u *UA) sendable() Transports {
	t := Transports{TCP: true, TLS: true}
	for _, s := range u.sockets {
		t.UDP = true
		if s.local.Addr().Is4() {
			t.UDP4 = true
		} else {
			t.UDP6 = true
		}
	}
	return t
}

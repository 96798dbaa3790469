package ua

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
)

// Send is Do for callers that do not wait: done gets what Do would return, once, on
// a goroutine of the UA, which it must not block, and maybe before Send returns.
//
// A request that goes to an address which is known already, and is answered there,
// costs no goroutine: it is sent at once, and the reader of the response calls done.
// Everything else (a name to look up, a connection to open, a challenge, a failure)
// goes on as in Do. ctx ends only that; a transaction under way ends with its
// answer, timer F or Shutdown.
func (u *UA) Send(ctx context.Context, req *sip.Request, t Target, done func(*sip.Response, error)) {
	o, err := u.outgoing(req, t)
	if err != nil {
		done(nil, err)
		return
	}
	p, ok := o.atHand()
	if !ok {
		o.later(ctx, done)
		return
	}
	o.authorize()
	key, wire, err := o.build(p)
	switch {
	case err != nil:
		done(nil, err)
		return
	case !p.reliable() && len(wire) > tcpAbove && o.target.Flow.IsZero():
		o.later(ctx, done)
		return
	}
	u.begin(key, p, wire, 64*u.cfg.Timers.T1, func(res *sip.Response, err error) {
		switch {
		case u.closing():
			done(res, err)
		case errors.Is(err, ErrTransport) && p.reliable() && o.target.Flow.IsZero():
			// The connection was closed without our knowing: from the beginning.
			o.later(ctx, done)
		case err != nil || res.StatusCode == 401 || res.StatusCode == 407 || res.StatusCode == 503:
			o.early = &outcome{res, err}
			o.later(ctx, done)
		default:
			done(res, nil)
		}
	})
}

// later goes on where waiting is allowed.
func (o *outgoing) later(ctx context.Context, done func(*sip.Response, error)) {
	if !o.u.spawn(func() { done(o.do(ctx)) }) {
		done(nil, fmt.Errorf("%w: %w", ErrTransport, ErrClosed))
	}
}

// atHand is the path to the next hop, when it takes no waiting to find it: a flow,
// a socket for an address, or a connection that is open.
func (o *outgoing) atHand() (path, bool) {
	if !o.target.Flow.IsZero() {
		p, err := o.u.pathOf(o.target.Flow)
		return p, err == nil
	}
	d, ok := literal(o.hop, o.u.sendable())
	if !ok || o.u.resolver.Blocked(d) {
		return path{}, false
	}
	if o.target.TLSName != "" {
		d.Name = o.target.TLSName
	}
	if d.Transport == "udp" {
		sock := o.u.socketFor(d.Addr.Addr())
		return path{sock: sock, remote: d.Addr}, sock != nil
	}
	s := o.u.streams.open(d)
	if s == nil {
		return path{}, false
	}
	return path{stream: s, remote: s.remote}, true
}

// literal is the destination of a URI whose host is an address.
func literal(uri sip.URI, can Transports) (Dest, bool) {
	if uri.Host == "" || !uri.IsSIP() || uri.Params.Has("maddr") {
		return Dest{}, false
	}
	if c := uri.Host[len(uri.Host)-1]; c != ']' && (c < '0' || c > '9') {
		return Dest{}, false // most names: no need to parse
	}
	a, err := netip.ParseAddr(strings.Trim(uri.Host, "[]"))
	if err != nil {
		return Dest{}, false
	}
	t, err := transportOf(uri, can)
	if err != nil {
		return Dest{}, false
	}
	return address(uri, a, t, can), true
}

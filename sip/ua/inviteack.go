package ua

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	siplib "github.com/emiago/sipgo/sip"

	"github.com/stoxgate/stoxgate/sip"
)

// viaOf is the value of the Via that build wrote: the first header.
func viaOf(wire []byte) string {
	_, rest, _ := bytes.Cut(wire, []byte("\r\n"))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	_, v, _ := strings.Cut(string(line), ":")
	return strings.TrimSpace(v)
}

// message builds the ACK of a refusal and the CANCEL, which share the branch of the INVITE
// (RFC 3261 §9.1, §17.1.1.3).
func (a *inviteAttempt) message(m sip.Method, to *siplib.ToHeader, more []sip.Header) ([]byte, error) {
	o := &a.t.o
	w := sip.NewWriter()
	defer w.Free()
	w.RequestLine(m, &o.ruri)
	w.Field("Via", a.via)
	for _, r := range o.routes {
		w.Field("Route", r)
	}
	w.Field("Max-Forwards", "70")
	w.Header(o.req.From())
	w.Header(to)
	w.Header(o.req.CallID())
	w.Header(&siplib.CSeqHeader{SeqNo: a.cseq, MethodName: m})
	for _, h := range more {
		w.Header(h)
	}
	if agent := a.t.u.cfg.UserAgent; agent != "" {
		w.Field("User-Agent", agent)
	}
	b, err := w.Append(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return b, nil
}

// Ack sends an ACK for a 2xx: once, over the given target (RFC 3261 §13.2.2.4).
func (u *UA) Ack(ctx context.Context, req *sip.Request, t Target) error {
	if req.Method != sip.ACK {
		return fmt.Errorf("%w: %s is not for Ack", ErrRequest, req.Method)
	}
	o := &outgoing{u: u, req: req, target: t}
	if err := o.route(); err != nil {
		return err
	}
	if !t.Flow.IsZero() {
		p, err := u.pathOf(t.Flow)
		if err != nil {
			return err
		}
		return o.once(p)
	}
	dests, err := u.resolver.Resolve(ctx, o.hop, u.sendable())
	if err != nil {
		return err
	}
	dests = dests[:min(len(dests), maxTargets)]
	for i, d := range dests {
		if t.TLSName != "" {
			d.Name = t.TLSName
		}
		var p path
		if d.Transport == "udp" {
			if p = (path{sock: u.socketFor(d.Addr.Addr()), remote: d.Addr}); p.sock == nil {
				err = fmt.Errorf("%w: no UDP listener that reaches %s", ErrTransport, d.Addr)
				continue
			}
		} else {
			var s *stream
			if s, _, err = u.connectSoon(ctx, d, i < len(dests)-1); err != nil {
				continue
			}
			p = path{stream: s, remote: s.remote}
		}
		if err = o.once(p); err == nil {
			return nil
		}
	}
	return err
}

// once sends a request that has no answer.
func (o *outgoing) once(p path) error {
	_, wire, err := o.build(p)
	if err != nil {
		return err
	}
	return p.send(wire)
}

package interwork

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
)

// The methods of pair implement chat.Ports.

var _ chat.Ports = (*pair)(nil)

// LinkUp implements chat.Ports.
func (p *pair) LinkUp() bool { return p.g.xmpp.Up() }

// NextSeq implements chat.Ports.
func (p *pair) NextSeq() uint64 { return p.g.lightSeq.Add(1) }

// Log implements chat.Ports.
func (p *pair) Log(flow string) *zerolog.Logger {
	l := p.g.log.With().Str("flow", flow).Stringer("jid", p.key.jid).Str("aor", p.key.aor).Logger()
	return &l
}

// Lost implements chat.Ports. Most messages lose something small (a chat state that the
// phone does not know), so it costs nothing while nobody looks.
func (p *pair) Lost(flow string, d chat.Direction, what []string) {
	e := p.g.log.Debug()
	if !e.Enabled() {
		return
	}
	e.Str("flow", flow).Stringer("jid", p.key.jid).Str("aor", p.key.aor).
		Str("direction", string(d)).Strs("lost", what).Msg("not carried")
}

// Count implements chat.Ports.
func (p *pair) Count(d chat.Direction, result string) {
	p.g.metrics.count(d, result)
}

// Outward implements chat.Ports.
func (p *pair) Outward(_ context.Context, m *xmpp.Message) (mapping.MessageContext, *cause.Cause) {
	g := p.g
	uri, err := g.addresses.ToSIP(m.To)
	if err != nil {
		return mapping.MessageContext{}, cause.FromSender(err, mapping.ErrorContext{})
	}
	c := mapping.MessageContext{
		From: g.addresses.CallerToSIP(m.From, uri), To: sip.NameAddr{URI: uri}, RequestURI: uri, Host: g.self.Domain(),
	}
	caps, known := g.caps.get(p.key.aor)
	if !known {
		g.probeCaps(p.key.aor, uri, m.From)
	}
	c.Peer = caps
	return c, nil
}

// Send implements chat.Ports: one MESSAGE to every device of the user.
func (p *pair) Send(flow string, to xmpp.JID, req *sip.Request, answered func(*cause.Cause)) {
	g := p.g
	g.metrics.underWay.Add(1)
	g.work.Add(1)
	done := func(c *cause.Cause) {
		<-g.sendSlots
		g.metrics.underWay.Add(-1)
		if g.workCtx.Err() == nil { // else shutting down: the outbox has it
			answered(c)
		}
		g.work.Done()
	}
	uri := sip.RequestURI(req)
	select {
	case g.sendSlots <- struct{}{}:
		if hops, c, ok := g.waysAtHand(uri, p.key.jid); ok {
			g.fork(flow, uri, req, onlyResource(hops, to), c, done)
			return
		}
		g.crew.run(func() {
			hops, c := g.waysTo(g.workCtx, uri, p.key.jid)
			g.fork(flow, uri, req, onlyResource(hops, to), c, done)
		})
	default:
		g.crew.run(func() {
			g.sendSlots <- struct{}{} // every transaction ends, so one becomes free
			hops, c := g.waysTo(g.workCtx, uri, p.key.jid)
			g.fork(flow, uri, req, onlyResource(hops, to), c, done)
		})
	}
}

// fork sends req on every way and gives nil when one of them took it. c, if set, is
// why there is none.
func (g *Gateway) fork(flow string, uri sip.URI, req *sip.Request, hops []hop, c *cause.Cause, done func(*cause.Cause)) {
	switch {
	case c != nil:
		done(c)
		return
	case len(hops) == 1:
		g.sendHop(flow, uri, req, hops[0], done)
		return
	}
	var (
		mu   sync.Mutex
		left = len(hops)
		best *cause.Cause
		took bool
	)
	for _, h := range hops {
		g.sendHop(flow, uri, req.Clone(), h, func(c *cause.Cause) {
			mu.Lock()
			switch {
			case c == nil:
				took = true
			case best == nil || better(c.Status(), best.Status()):
				best = c
			}
			left--
			last := left == 0
			mu.Unlock()
			switch {
			case !last:
			case took:
				done(nil)
			default:
				done(best)
			}
		})
	}
}

// better orders final responses of a fork (RFC 3261 §16.7 step 6): 6xx first, then the
// lowest class, and inside 4xx those that tell most.
func better(a, b sip.Status) bool {
	if a.Code/100 == 6 || b.Code/100 == 6 {
		return a.Code/100 == 6 && b.Code/100 != 6
	}
	if a.Code/100 != b.Code/100 {
		return a.Code/100 < b.Code/100
	}
	return a.Code != 408 && b.Code == 408
}

// waysAtHand finds the next hops in memory; false means that ENUM is to be asked first,
// for a number that has no phone of ours.
func (g *Gateway) waysAtHand(uri sip.URI, from xmpp.JID) ([]hop, *cause.Cause, bool) {
	if g.cfg.ENUM != nil && numberOf(uri) != "" && len(g.Hops(uri)) == 0 {
		return nil, nil, false
	}
	hops, c := g.router.hops(uri, from)
	return hops, c, true
}

// waysTo finds the next hops and may wait for the DNS.
func (g *Gateway) waysTo(ctx context.Context, uri sip.URI, from xmpp.JID) ([]hop, *cause.Cause) {
	if hops, c, ok := g.waysAtHand(uri, from); ok {
		return hops, c
	}
	target, ok, err := g.addresses.LookupNumber(ctx, uri)
	switch {
	case err != nil:
		g.log.Debug().Err(err).Str("uri", uri.String()).Msg("enum look-up failed, trunks are tried")
		return g.router.hops(uri, from)
	case !ok:
		return g.router.hops(uri, from)
	case !target.JID.IsZero():
		e := xmpp.NewStanzaError(xmpp.ConditionRedirect, "This number is an XMPP user")
		e.Address = "xmpp:" + target.JID.String()
		return nil, cause.FromStanza(*e, mapping.ErrorContext{})
	}
	hops, c := g.router.hops(target.URI, from)
	for i := range hops {
		if !hops[i].contact {
			hops[i].ruri = target.URI
		}
	}
	return hops, c
}

func onlyResource(hops []hop, to xmpp.JID) []hop {
	if to.Resource() == "" {
		return hops
	}
	for _, h := range hops {
		if h.contact && h.resource == to.Resource() {
			return []hop{h}
		}
	}
	return hops // a resource that no phone has: the user is meant
}

// sendHop sends req to one device, over its other flows when the first one is gone
// (RFC 5626 §5.3).
func (g *Gateway) sendHop(flow string, aor sip.URI, req *sip.Request, h hop, done func(*cause.Cause)) {
	if len(h.others) == 0 {
		g.sendOnce(flow, aor, req, h, done)
		return
	}
	next := h.others[0]
	next.others = h.others[1:]
	g.sendOnce(flow, aor, req, h, func(c *cause.Cause) {
		if c == nil || c.Status().Code != 430 && !errors.Is(c, ua.ErrTransport) {
			done(c)
			return
		}
		g.sendHop(flow, aor, req, next, done)
	})
}

func (g *Gateway) sendOnce(flow string, aor sip.URI, req *sip.Request, h hop, done func(*cause.Cause)) {
	req.Recipient = h.ruri.Lib()
	journaled := g.journal.Enabled()
	if journaled {
		g.journal.Add(journal.Entry{
			Flow: flow, From: journal.Gateway, To: aor.String(), Protocol: journal.SIP, Summary: string(req.Method), Raw: rawRequest(req),
		})
	}
	g.ua.Send(g.workCtx, req, h.target, func(res *sip.Response, err error) {
		var c *cause.Cause
		answer := journal.Entry{Flow: flow, To: journal.Gateway, Protocol: journal.SIP}
		switch {
		case err != nil:
			c = requestFailure(err)
			answer.Summary, answer.Note = c.Label(), err.Error()
		default:
			if res.StatusCode/100 != 2 {
				c = cause.FromStatus(sip.StatusOf(res))
			}
			if journaled {
				answer.Summary = strconv.Itoa(res.StatusCode) + " " + res.Reason
			}
		}
		if journaled {
			answer.From = aor.String()
			g.journal.Add(answer)
		}
		done(c)
	})
}

func requestFailure(err error) *cause.Cause {
	switch {
	case errors.Is(err, ua.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return cause.Timeout(err)
	case errors.Is(err, ua.ErrResolve), errors.Is(err, ua.ErrTransport):
		return cause.Unreachable(err)
	default:
		return cause.Internal(err)
	}
}

// Deliver implements chat.Ports.
func (p *pair) Deliver(flow string, m *xmpp.Message, done func(chat.Verdict, *xmpp.StanzaError), late func(*xmpp.StanzaError)) {
	g := p.g
	if g.journal.Enabled() {
		g.journal.Add(journal.Entry{
			Flow: flow, From: journal.Gateway, To: m.To.Bare().String(), Protocol: journal.XMPP,
			Summary: "message " + string(m.Type), Raw: rawStanza(m),
		})
	}
	g.metrics.underWay.Add(1)
	g.deliverer.deliver(m, func(v chat.Verdict, e *xmpp.StanzaError) {
		g.metrics.underWay.Add(-1)
		if g.journal.Enabled() && v != chat.VerdictDelivered {
			g.journal.Add(journal.Entry{
				Flow: flow, From: m.To.Bare().String(), To: journal.Gateway, Protocol: journal.XMPP, Summary: v.String(),
			})
		}
		done(v, e)
	}, late)
}

// outboxPatience is how long a message on its way to SIP may be answered before it is
// written to the disk. A peer that is well answers in less; a process that is killed
// loses what came in so shortly before and was not received either.
const outboxPatience = 5 * time.Millisecond

// Store implements chat.Ports.
func (p *pair) Store(d chat.Direction, flow string, payload []byte, expires time.Time, committed func(int64, error)) (int64, error) {
	patience := time.Duration(0)
	if d == chat.XMPPToSIP {
		patience = outboxPatience
	} else {
		p.g.metrics.underWay.Add(1) // its sender waits
	}
	seq, err := p.g.store.AppendWithin(store.OutboxEntry{
		Direction: string(d), Pair: p.key.String(), Flow: flow, Payload: payload, Created: time.Now(), Expires: expires,
	}, patience, func(seq int64, err error) {
		if d == chat.SIPToXMPP {
			p.g.metrics.underWay.Add(-1)
		}
		// Not here: the writer has the next commit to do.
		p.box.post(stored{committed, seq, err})
	})
	if err != nil && d == chat.SIPToXMPP {
		p.g.metrics.underWay.Add(-1)
	}
	return seq, err
}

// stored is the result of Store on its way into the actor.
type stored struct {
	committed func(int64, error)
	seq       int64
	err       error
}

// Forget implements chat.Ports.
func (p *pair) Forget(seq int64) { p.g.store.Remove(seq) }

// RememberReceipt implements chat.Ports.
func (p *pair) RememberReceipt(id string, w chat.Wish) { p.g.receipts.put(p.key, id, w) }

// Receipt implements chat.Ports.
func (p *pair) Receipt(ctx context.Context, id string) (chat.Wish, bool) {
	return p.g.receipts.get(ctx, p.key, id)
}

// Learn implements chat.Ports.
func (p *pair) Learn(c mapping.PeerCaps) { p.g.caps.add(p.key.aor, c) }

// Unlearn implements chat.Ports.
func (p *pair) Unlearn() { p.g.caps.reset(p.key.aor) }

// parsePairKey reads what pairKey.String wrote; a bare JID holds no space.
func parsePairKey(s string) (pairKey, error) {
	jid, aor, ok := strings.Cut(s, " ")
	if !ok {
		return pairKey{}, errors.New("interwork: pair " + strconv.Quote(s) + " has no AOR")
	}
	j, err := xmpp.ParseJID(jid)
	if err != nil {
		return pairKey{}, err
	}
	return pairKey{jid: j, aor: aor}, nil
}

package interwork

import (
	"context"
	"errors"
	"strconv"
	"strings"
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
	go func() {
		defer g.work.Done()
		defer g.metrics.underWay.Add(-1)
		select {
		case g.sendSlots <- struct{}{}:
			defer func() { <-g.sendSlots }()
		case <-g.workCtx.Done():
			return // shutting down: the outbox has it
		}
		c := g.request(g.workCtx, flow, p.key.jid, to, req)
		if g.workCtx.Err() != nil {
			return
		}
		answered(c)
	}()
}

// request sends req to every way to its user and gives nil when one of them took it.
func (g *Gateway) request(ctx context.Context, flow string, from, to xmpp.JID, req *sip.Request) *cause.Cause {
	uri := sip.RequestURI(req)
	hops, c := g.waysTo(ctx, uri, from)
	if c != nil {
		return c
	}
	hops = onlyResource(hops, to)
	if len(hops) == 1 {
		return g.requestHop(ctx, flow, uri, req, hops[0])
	}
	results := make(chan *cause.Cause, len(hops))
	for _, h := range hops {
		g.work.Add(1)
		go func() {
			defer g.work.Done()
			results <- g.requestHop(ctx, flow, uri, req.Clone(), h)
		}()
	}
	var best *cause.Cause
	took := false
	for range hops {
		switch c := <-results; {
		case c == nil:
			took = true
		case best == nil || better(c.Status(), best.Status()):
			best = c
		}
	}
	if took {
		return nil
	}
	return best
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

// waysTo finds the next hops, asking ENUM first where a number has no phone of ours.
func (g *Gateway) waysTo(ctx context.Context, uri sip.URI, from xmpp.JID) ([]hop, *cause.Cause) {
	if g.cfg.ENUM == nil || numberOf(uri) == "" || len(g.Hops(uri)) > 0 {
		return g.router.hops(uri, from)
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

// requestHop sends req to one device, over its other flows when the first one is gone
// (RFC 5626 §5.3).
func (g *Gateway) requestHop(ctx context.Context, flow string, aor sip.URI, req *sip.Request, h hop) *cause.Cause {
	c := g.requestOnce(ctx, flow, aor, req, h)
	for _, other := range h.others {
		if c == nil || c.Status().Code != 430 && !errors.Is(c, ua.ErrTransport) {
			break
		}
		c = g.requestOnce(ctx, flow, aor, req, other)
	}
	return c
}

func (g *Gateway) requestOnce(ctx context.Context, flow string, aor sip.URI, req *sip.Request, h hop) *cause.Cause {
	req.Recipient = h.ruri.Lib()
	journaled := g.journal.Enabled()
	lane := aor.String()
	if journaled {
		g.journal.Add(journal.Entry{
			Flow: flow, From: journal.Gateway, To: lane, Protocol: journal.SIP, Summary: string(req.Method), Raw: rawRequest(req),
		})
	}
	res, err := g.ua.Do(ctx, req, h.target)
	if err != nil {
		c := requestFailure(err)
		if journaled {
			g.journal.Add(journal.Entry{Flow: flow, From: lane, To: journal.Gateway, Protocol: journal.SIP, Summary: c.Label(), Note: err.Error()})
		}
		return c
	}
	if journaled {
		g.journal.Add(journal.Entry{
			Flow: flow, From: lane, To: journal.Gateway, Protocol: journal.SIP, Summary: strconv.Itoa(res.StatusCode) + " " + res.Reason,
		})
	}
	if res.StatusCode/100 == 2 {
		return nil
	}
	return cause.FromStatus(sip.StatusOf(res))
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

// Store implements chat.Ports.
func (p *pair) Store(d chat.Direction, flow string, payload []byte, expires time.Time, committed func(int64, error)) error {
	g := p.g
	g.metrics.underWay.Add(1)
	err := g.store.Append(store.OutboxEntry{
		Direction: string(d), Pair: p.key.String(), Flow: flow, Payload: payload, Created: time.Now(), Expires: expires,
	}, func(seq int64, err error) {
		g.metrics.underWay.Add(-1)
		committed(seq, err)
	})
	if err != nil {
		g.metrics.underWay.Add(-1)
	}
	return err
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

package chat

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/imdn"
	"github.com/stoxgate/stoxgate/xmpp"
)

// outbound is one message from XMPP.
type outbound struct {
	state OutboundState
	flow  string
	seq   int64  // in the outbox, 0 when it is not there
	num   uint64 // what the mapping derives CSeq, tags and ids from
	taken time.Time
	msg   *xmpp.Message
	reqs  []*sip.Request // left to send
	peer  mapping.PeerCaps
	plain bool         // the peer refused anything but text/plain
	cause *cause.Cause // why it failed
}

// stanza takes a message from the XMPP side.
func (p *Pair) stanza(e StanzaReceived) {
	m := e.Message
	state := chatState(m)
	if state != "" {
		p.showsStates = true
	}
	if len(m.Bodies) == 0 && state != "" {
		if state == "composing" {
			p.typed(ComposingStarted, m, e.Flow)
		} else {
			p.typed(ComposingStopped, m, e.Flow)
		}
		return
	}
	out := &outbound{flow: e.Flow, msg: m, taken: p.now()}
	if len(m.Bodies) > 0 {
		p.typed(ComposingContent, nil, e.Flow)
	} else if c := p.prepare(out); c == nil && len(out.reqs) == 0 {
		// No body and nothing else that SIP could be told: not a message there
		// (messages.md §2.4), and not worth a place in the outbox.
		p.ports.Log(e.Flow).Debug().Msg("stanza without content for SIP")
		return
	}
	if p.openOut >= p.settings.QueueLimit {
		out.cause = cause.Overloaded(nil)
		p.outboundApply(out, OutboundNotCommitted)
		return
	}
	p.outboundApply(out, OutboundReceived)
}

// enqueueLight queues a chat state. Those that still wait are dropped: only the last
// one matters.
func (p *Pair) enqueueLight(m *xmpp.Message, flow string) {
	kept := p.queue[:0]
	for _, o := range p.queue {
		if o.seq != 0 {
			kept = append(kept, o)
		}
	}
	clear(p.queue[len(kept):])
	p.queue = kept
	p.outboundApply(&outbound{flow: flow, msg: m, num: p.ports.NextSeq(), taken: p.now()}, OutboundReceivedLight)
}

func (p *Pair) outboundFound(e OutboundFound) {
	out := &outbound{flow: e.Flow, msg: e.Message, seq: e.Seq, num: uint64(e.Seq), taken: e.Taken}
	p.outboundApply(out, OutboundRestored)
}

func (p *Pair) outboundStep(e *outboundEvent) {
	out := e.out
	switch e.event {
	case OutboundNotCommitted:
		if out.state == OutboundQueued {
			p.queue = slices.DeleteFunc(p.queue, func(o *outbound) bool { return o == out })
			out.cause = e.cause
		}
	case OutboundAccepted:
		out.reqs = out.reqs[1:]
		if len(out.reqs) > 0 {
			e.event = OutboundNext
		}
	case OutboundRefused:
		if p.simplify(out, e.cause) {
			e.event = OutboundNext
		} else {
			out.cause = e.cause
		}
	}
	p.outboundApply(out, e.event)
}

// outboundApply makes one transition and carries out its action.
func (p *Pair) outboundApply(out *outbound, e OutboundEvent) {
	next, action, ok := NextOutbound(out.state, e)
	if !ok {
		panic("chat: outbound " + out.state.String() + " does not know " + e.String())
	}
	was := out.state
	out.state = next
	if was == OutboundUnknown {
		p.openOut++
	}
	if next == OutboundDone && was != OutboundDone {
		p.openOut--
	}
	if was == OutboundSending && next != OutboundSending {
		p.sending = nil
	}
	switch action {
	case OutboundStore:
		p.storeOutbound(out)
	case OutboundSend:
		p.send(out)
	case OutboundForget:
		if out.seq != 0 {
			p.ports.Forget(out.seq)
		}
		if was == OutboundSending {
			p.ports.Count(XMPPToSIP, "delivered")
		}
	case OutboundTell:
		p.tell(out)
	case OutboundKeep:
		p.keepError(out)
	}
	if out.state == OutboundQueued && was != OutboundQueued {
		p.queue = append(p.queue, out)
	}
	p.turn()
}

// turn starts the next message when none is under way.
func (p *Pair) turn() {
	for p.sending == nil && len(p.queue) > 0 {
		out := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		if len(p.queue) == 0 {
			p.queue = nil
		}
		if c := p.prepare(out); c != nil {
			out.cause = c
			p.outboundApply(out, OutboundUnmappable)
			return // outboundApply went on with the queue
		}
		if len(out.reqs) == 0 {
			p.outboundApply(out, OutboundNothing)
			return
		}
		p.sending = out
		p.outboundApply(out, OutboundTurn)
	}
}

// prepare translates the message; no requests and no cause means that nothing is to be
// sent.
func (p *Pair) prepare(out *outbound) *cause.Cause {
	ctx, c := p.ports.Outward(background, out.msg)
	if c != nil {
		return c
	}
	if out.plain {
		ctx.Peer = mapping.PeerCaps{ShortText: ctx.Peer.ShortText}
	} else {
		ctx.Peer = ctx.Peer.Union(p.peer)
	}
	ctx.Seq, ctx.Now = out.num, out.taken
	if id := receiptID(out.msg); id != "" {
		if w, ok := p.ports.Receipt(background, id); ok {
			ctx.Sent = w.Sent
		}
	}
	out.peer = ctx.Peer
	out.reqs = nil
	if out.msg.Type == xmpp.MessageError {
		return p.prepareReport(out, ctx)
	}
	reqs, loss, err := mapping.MessageToRequests(out.msg, ctx)
	if len(loss) > 0 {
		p.ports.Lost(out.flow, XMPPToSIP, loss)
	}
	if errors.Is(err, mapping.ErrNothing) {
		return nil
	}
	if err != nil {
		return cause.FromSender(err, mapping.ErrorContext{})
	}
	out.reqs = reqs
	return nil
}

// prepareReport tells a SIP sender that its message, answered 2xx already, did not
// arrive: as an IMDN when it asked for that (RFC 5438), else as a line of text, for
// RFC 3428 has nothing else to say it with.
func (p *Pair) prepareReport(out *outbound, ctx mapping.MessageContext) *cause.Cause {
	e := out.msg.Error
	if e == nil {
		e = &xmpp.StanzaError{Condition: xmpp.ConditionUndefinedCondition}
	}
	if w, ok := p.ports.Receipt(background, out.msg.ID); ok && w.Negative {
		ctx.Sent = w.Sent
		req, err := mapping.ReportToRequest(out.msg.ID, imdn.Delivery, mapping.ErrorToIMDN(*e), ctx)
		if err == nil {
			out.reqs = []*sip.Request{req}
			return nil
		}
	}
	text := "Your message to " + ctx.From.URI.AOR().String() + " was not delivered: " + reasonText(e)
	notice := &xmpp.Message{From: out.msg.From, To: out.msg.To, Type: xmpp.MessageNormal, Bodies: []xmpp.LangText{{Lang: "en", Text: text}}}
	reqs, _, err := mapping.MessageToRequests(notice, ctx)
	if err != nil {
		return cause.Internal(err)
	}
	out.reqs = reqs
	return nil
}

func reasonText(e *xmpp.StanzaError) string {
	if e.Text != "" {
		return e.Text
	}
	return strings.ReplaceAll(string(e.Condition), "-", " ")
}

// receiptID is the id of the message that m confirms, "" when it confirms none.
func receiptID(m *xmpp.Message) string {
	for _, x := range m.Extensions {
		switch x.Name.Space {
		case xmpp.NSReceipts, xmpp.NSMarkers:
			if _, _, id, ok := mapping.ReceiptToIMDN(x); ok {
				return id
			}
		}
	}
	return ""
}

// simplify prepares a plainer form after the peer refused the body format: many phones
// take text/plain and nothing else. It gives up when the form was plain already.
func (p *Pair) simplify(out *outbound, c *cause.Cause) bool {
	if c.Origin() != cause.OriginSIP || out.plain || out.seq == 0 {
		return false
	}
	switch c.Status().Code {
	case 406, 415, 488, 501, 606:
	default:
		return false
	}
	if out.peer == (mapping.PeerCaps{ShortText: out.peer.ShortText}) {
		return false // it was plain already
	}
	out.plain = true
	p.peer = mapping.PeerCaps{}
	p.ports.Unlearn()
	if p.prepare(out) != nil || len(out.reqs) == 0 {
		return false
	}
	p.ports.Log(out.flow).Debug().Int("status", c.Status().Code).Msg("peer refused the body format, sending plain text")
	return true
}

func (p *Pair) storeOutbound(out *outbound) {
	seq, err := p.ports.Store(XMPPToSIP, out.flow, out.msg.Append(make([]byte, 0, stanzaRoom)), time.Time{}, func(_ int64, err error) {
		if err != nil {
			p.post(&outboundEvent{out: out, event: OutboundNotCommitted, cause: cause.Internal(err)})
		}
	})
	if err != nil {
		out.cause = cause.Overloaded(err)
		p.outboundApply(out, OutboundNotCommitted)
		return
	}
	out.seq, out.num = seq, uint64(seq)
}

func (p *Pair) send(out *outbound) {
	p.ports.Send(out.flow, out.msg.To, out.reqs[0], func(c *cause.Cause) {
		if c != nil {
			p.post(&outboundEvent{out: out, event: OutboundRefused, cause: c})
			return
		}
		p.post(&outboundEvent{out: out, event: OutboundAccepted})
	})
}

// awaited reports whether somebody waits for the fate of m: a person who wrote
// something does, a client that sent a receipt or a chat state does not.
func awaited(m *xmpp.Message) bool {
	if m.Type == xmpp.MessageError {
		return false
	}
	if len(m.Bodies) > 0 {
		return true
	}
	for _, x := range m.Extensions {
		switch x.Name.Space {
		case xmpp.NSReceipts, xmpp.NSMarkers, xmpp.NSChatStates, xmpp.NSHints:
		default:
			return true
		}
	}
	return false
}

// tell sends the sender an error stanza; what must not be answered is only logged
// (RFC 6120 §8.3.1, XEP-0085 §5.5: nobody waits for a chat state).
func (p *Pair) tell(out *outbound) {
	p.ports.Log(out.flow).WithLevel(out.cause.Level()).
		Str("cause", out.cause.Label()).AnErr("error", out.cause.Unwrap()).Msg("message not delivered to SIP")
	if !awaited(out.msg) {
		p.outboundApply(out, OutboundTold)
		return
	}
	p.ports.Count(XMPPToSIP, out.cause.Label())
	if !p.ports.LinkUp() {
		p.post(&outboundEvent{out: out, event: OutboundNotTold})
		return
	}
	p.ports.Deliver(out.flow, out.msg.ErrorReply(out.cause.StanzaError()), func(v Verdict, _ *xmpp.StanzaError) {
		switch v {
		case VerdictLost, VerdictOverloaded:
			p.post(&outboundEvent{out: out, event: OutboundNotTold})
		default:
			p.post(&outboundEvent{out: out, event: OutboundTold})
		}
	}, nil)
}

// keepError stores the error stanza; it is delivered like a kept message.
func (p *Pair) keepError(out *outbound) {
	in := &inbound{flow: out.flow, msg: out.msg.ErrorReply(out.cause.StanzaError()), answer: func(sip.Status) {}}
	in.expires = p.now().Add(p.settings.KeepFor)
	_, err := p.ports.Store(SIPToXMPP, in.flow, in.msg.Append(nil), in.expires, func(seq int64, err error) {
		if err != nil {
			p.post(&outboundEvent{out: out, event: OutboundNotKept})
			return
		}
		p.post(InboundFound{Flow: in.flow, Seq: seq, Message: in.msg, Expires: in.expires})
		p.post(&outboundEvent{out: out, event: OutboundKept})
	})
	if err != nil {
		p.outboundApply(out, OutboundNotKept)
	}
}

package chat

import (
	"errors"
	"strconv"
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/iscomposing"
	"github.com/stoxgate/stoxgate/xmpp"
)

// inbound is one message from SIP.
type inbound struct {
	state   InboundState
	flow    string
	seq     int64 // in the outbox, 0 when it is not there
	msg     *xmpp.Message
	answer  func(sip.Status)
	expires time.Time // when a kept message is given up
	cause   *cause.Cause
}

// keptRetry is how long a kept message waits after the link's send queue was full.
const keptRetry = time.Second

// request takes a MESSAGE from the SIP side.
func (p *Pair) request(e RequestReceived) {
	key := requestKey(e.Request)
	if !p.recent.begin(key, p.now(), e.Answer) {
		p.ports.Log(e.Flow).Debug().Msg("request seen before")
		return
	}
	answer := func(s sip.Status) {
		p.recent.end(key, s)
		e.Answer(s)
	}
	if doc, ok := composing(e.Request); ok {
		p.request3994(e, doc, answer)
		return
	}
	e.Context.Now = p.now()
	msgs, loss, err := mapping.RequestToMessages(e.Request, e.Context)
	if len(loss) > 0 {
		p.ports.Lost(e.Flow, SIPToXMPP, loss)
	}
	if err != nil {
		c := cause.FromSender(err, mapping.ErrorContext{})
		p.ports.Log(e.Flow).WithLevel(c.Level()).Str("cause", c.Label()).Err(err).Msg("message from SIP refused")
		p.ports.Count(SIPToXMPP, c.Label())
		answer(c.Status())
		return
	}
	p.learn(mapping.PeerCapsOf([]string{sip.ContentType(e.Request)}))
	p.remember(e.Request, msgs)
	p.peerTyped(ComposingContent, nil, e.Flow)
	switch len(msgs) {
	case 0: // an empty body, or a notification about a message that nobody remembers
		answer(sip.Status{Code: 200})
		return
	case 1:
	default:
		answer = together(len(msgs), answer)
	}
	for _, m := range msgs {
		in := &inbound{flow: e.Flow, msg: m, answer: answer}
		switch {
		case p.ports.LinkUp() && len(p.kept) == 0:
			p.inboundApply(in, InboundReceived)
		case p.settings.RefuseOffline:
			in.cause = cause.LinkDown(nil)
			p.inboundApply(in, InboundReceivedRefused)
		default:
			p.inboundApply(in, InboundReceivedWaiting)
		}
	}
}

// together answers once, when all n parts of a request have an answer: the worst of
// them.
func together(n int, answer func(sip.Status)) func(sip.Status) {
	var worst sip.Status
	return func(s sip.Status) {
		if s.Code > worst.Code {
			worst = s
		}
		if n--; n == 0 {
			answer(worst)
		}
	}
}

// remember keeps what the sender wants to be told. A sender of CPIM that asks for
// notifications takes them.
func (p *Pair) remember(r *sip.Request, msgs []*xmpp.Message) {
	d := mapping.RequestDisposition(r)
	if d.MessageID == "" || !d.Positive && !d.Negative && !d.Display {
		return
	}
	p.learn(mapping.PeerCaps{AcceptsIMDN: true})
	w := Wish{Sent: d.Sent, Negative: d.Negative}
	if w.Sent.IsZero() {
		w.Sent = p.now()
	}
	for _, m := range msgs {
		if m.ID != "" {
			p.ports.RememberReceipt(m.ID, w)
		}
	}
}

// learn remembers what the SIP party was seen to use.
func (p *Pair) learn(caps mapping.PeerCaps) {
	if u := p.peer.Union(caps); u != p.peer {
		p.peer = u
		p.ports.Learn(u)
	}
}

// request3994 takes a composing notification; it is answered at once, for there is
// nothing to lose.
func (p *Pair) request3994(e RequestReceived, doc iscomposing.Document, answer func(sip.Status)) {
	p.learn(mapping.PeerCaps{AcceptsIsComposing: true})
	answer(sip.Status{Code: 200})
	m := &xmpp.Message{From: e.Context.From, To: e.Context.To, ID: "ic-" + strconv.FormatUint(p.ports.NextSeq(), 36)}
	if doc.State == iscomposing.Active {
		p.ports.SetTimer(TimerComposing, refreshTime(doc.Refresh))
		p.peerTypes = m
		p.peerTyped(ComposingStarted, m, e.Flow)
		return
	}
	p.peerTyped(ComposingStopped, m, e.Flow)
}

func composing(r *sip.Request) (iscomposing.Document, bool) {
	if !sip.MediaTypeIs(sip.ContentType(r), iscomposing.ContentType) {
		return iscomposing.Document{}, false
	}
	doc, err := iscomposing.Parse(r.Body())
	return doc, err == nil // a bad document is the mapping's to refuse
}

func (p *Pair) inboundFound(e InboundFound) {
	in := &inbound{flow: e.Flow, seq: e.Seq, msg: e.Message, expires: e.Expires, answer: func(sip.Status) {}}
	p.inboundApply(in, InboundRestored)
}

func (p *Pair) inboundStep(e *inboundEvent) {
	if e.event == InboundCommitted {
		e.in.seq = e.seq
	}
	if e.cause != nil {
		e.in.cause = e.cause
	}
	p.inboundApply(e.in, e.event)
}

// inboundApply makes one transition and carries out its action.
func (p *Pair) inboundApply(in *inbound, e InboundEvent) {
	was := in.state
	next, action, ok := NextInbound(was, e)
	if !ok {
		panic("chat: inbound " + was.String() + " does not know " + e.String())
	}
	in.state = next
	if was == InboundUnknown {
		p.openIn++
	}
	if next == InboundDone {
		p.openIn--
		if len(p.kept) > 0 && p.kept[0] == in {
			p.kept[0] = nil
			p.kept = p.kept[1:]
		}
	}
	if next == InboundKept && was != InboundRedelivering {
		p.kept = append(p.kept, in)
	}
	switch action {
	case InboundDeliver:
		p.deliver(in)
	case InboundStore:
		p.storeInbound(in)
	case InboundAnswerDelivered:
		p.ports.Count(SIPToXMPP, "delivered")
		in.answer(sip.Status{Code: 200})
	case InboundAnswerTaken:
		if next == InboundDone {
			p.ports.Count(SIPToXMPP, "uncertain")
		}
		in.answer(sip.Status{Code: 202})
	case InboundAnswerFailure:
		p.refuse(in)
	case InboundForget:
		p.ports.Count(SIPToXMPP, "delivered")
		p.ports.Forget(in.seq)
	case InboundReport:
		p.report(in, in.cause)
		p.ports.Forget(in.seq)
	}
	switch {
	case was == InboundRedelivering && e == InboundOverloaded:
		p.ports.SetTimer(TimerKept, keptRetry)
	case was == InboundRedelivering && e != InboundLost, was == InboundStoring && next == InboundKept, e == InboundRestored:
		p.redeliver()
	}
}

// redeliver gives the oldest kept message its turn, or gives up what has waited too
// long.
func (p *Pair) redeliver() {
	for len(p.kept) > 0 {
		in := p.kept[0]
		if in.state != InboundKept {
			return // its verdict is awaited
		}
		if !in.expires.IsZero() && !in.expires.After(p.now()) {
			in.cause = cause.Expired()
			p.inboundApply(in, InboundExpired)
			continue
		}
		if p.ports.LinkUp() {
			p.inboundApply(in, InboundTurn)
			return
		}
		if !in.expires.IsZero() {
			p.ports.SetTimer(TimerKept, in.expires.Sub(p.now()))
		}
		return
	}
}

func (p *Pair) deliver(in *inbound) {
	p.ports.Deliver(in.flow, in.msg, func(v Verdict, e *xmpp.StanzaError) {
		ev := &inboundEvent{in: in}
		switch v {
		case VerdictDelivered:
			ev.event = InboundDelivered
		case VerdictUncertain:
			ev.event = InboundUncertain
		case VerdictBounced:
			ev.event = InboundBounced
			ev.cause = cause.FromStanza(*e, mapping.ErrorContext{FullJID: !in.msg.To.IsBare()})
		case VerdictOverloaded:
			ev.event = InboundOverloaded
			ev.cause = cause.Overloaded(nil)
		default:
			ev.event = InboundLost
		}
		p.post(ev)
	}, func(e *xmpp.StanzaError) {
		p.post(&lateBounce{in: in, cause: cause.FromStanza(*e, mapping.ErrorContext{FullJID: !in.msg.To.IsBare()})})
	})
}

func (p *Pair) storeInbound(in *inbound) {
	in.expires = p.now().Add(p.settings.KeepFor)
	_, err := p.ports.Store(SIPToXMPP, in.flow, in.msg.Append(nil), in.expires, func(seq int64, err error) {
		if err != nil {
			p.post(&inboundEvent{in: in, event: InboundNotCommitted, cause: cause.Internal(err)})
			return
		}
		p.post(&inboundEvent{in: in, event: InboundCommitted, seq: seq})
	})
	if err != nil {
		in.cause = cause.Overloaded(err)
		p.inboundApply(in, InboundNotCommitted)
	}
}

func (p *Pair) refuse(in *inbound) {
	p.ports.Count(SIPToXMPP, in.cause.Label())
	p.ports.Log(in.flow).WithLevel(in.cause.Level()).
		Str("cause", in.cause.Label()).AnErr("error", errors.Unwrap(in.cause)).Msg("message not delivered to XMPP")
	in.answer(in.cause.Status())
}

// report tells a SIP sender who was answered 2xx already that the message did not
// arrive. The report is a message of its own, from the recipient that did not get it.
func (p *Pair) report(in *inbound, c *cause.Cause) {
	p.ports.Count(SIPToXMPP, c.Label())
	p.ports.Log(in.flow).WithLevel(c.Level()).Str("cause", c.Label()).Msg("message not delivered after it was acknowledged")
	if !awaited(in.msg) {
		return
	}
	e := c.StanzaError()
	p.outboundApply(&outbound{flow: in.flow, msg: in.msg.ErrorReply(e), taken: p.now()}, OutboundReceived)
}

// requestKey names a request across transactions (RFC 3261 §8.2.2.2).
func requestKey(r *sip.Request) string {
	n, _ := sip.CSeq(r)
	return sip.CallID(r) + " " + strconv.FormatUint(uint64(n), 10) + " " + sip.FromTag(r)
}

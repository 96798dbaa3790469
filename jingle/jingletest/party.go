package jingletest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// capsNode is the node that endpoints of xmpptest answer disco#info for.
const capsNode = "https://stoxgate.example/xmpptest"

// Features is what a present-day client with calls says of itself, apart from chat.
var Features = []string{
	xmpp.NSJingle, xmpp.NSJingleRTP, xmpp.NSJingleRTPAudio, xmpp.NSJingleRTPVideo, xmpp.NSJingleICEUDP,
	xmpp.NSJingleDTLS, xmpp.NSJingleMessage, xmpp.NSJingleRTCPFB, xmpp.NSJingleRTPHdrExt,
	xmpp.FeatureSDPGrouping, xmpp.FeatureSourceAttrs, xmpp.FeatureOfferAnswer,
}

// Config is how a Party behaves. The zero value behaves well.
type Config struct {
	// Features are announced; Features of the package when nil.
	Features []string
	// Answer, if set, decides what is sent in answer to an action; verdict is what an honest session says, nil for a
	// result. Each element of the list is an answer, nil a result; an empty list leaves the IQ without.
	Answer func(j *jingle.Jingle, verdict *xmpp.StanzaError) []*xmpp.StanzaError
	// NoReceipts leaves out the delivery receipt for a proposal.
	NoReceipts bool
	// Lenient records no violations for what Conversations would not take.
	Lenient bool
	// Timeout is how long the party waits for anything; xmpptest.DefaultTimeout when 0.
	Timeout time.Duration
}

// Monal answers like Monal: nothing at all but to the four actions that it knows.
func Monal(j *jingle.Jingle, verdict *xmpp.StanzaError) []*xmpp.StanzaError {
	switch j.Action {
	case jingle.ActionSessionInitiate, jingle.ActionSessionAccept, jingle.ActionSessionTerminate, jingle.ActionTransportInfo:
		return []*xmpp.StanzaError{verdict}
	}
	return nil
}

// Movim answers like Movim: result to everything.
func Movim(*jingle.Jingle, *xmpp.StanzaError) []*xmpp.StanzaError { return []*xmpp.StanzaError{nil} }

// Party is a client that makes and takes calls. It is safe for concurrent use.
type Party struct {
	*xmpptest.Endpoint
	tb  xmpptest.TB
	cfg Config

	mu         sync.Mutex
	changed    chan struct{}    // closed and replaced at every event
	calls      map[string]*Call // by sid
	fresh      []*Call          // that the peer began, oldest first
	requests   map[string]*request
	count      int
	violations []string
}

// request is a Jingle IQ of ours.
type request struct {
	to       xmpp.JID
	action   jingle.Action
	session  *jingle.Session // nil: the session was not asked
	answered bool
	err      *xmpp.StanzaError
}

// New makes a client of an endpoint, such as that of an xmpptest.User, and announces that it takes calls. The
// handler of the endpoint is the party's from then on.
func New(tb xmpptest.TB, e *xmpptest.Endpoint, cfg Config) *Party {
	tb.Helper()
	if cfg.Features == nil {
		cfg.Features = Features
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = xmpptest.DefaultTimeout
	}
	p := &Party{
		Endpoint: e, tb: tb, cfg: cfg, changed: make(chan struct{}),
		calls: make(map[string]*Call), requests: make(map[string]*request),
	}
	e.Handle(p.handle)
	info := xmpptest.ClientInfo()
	info.Features = info.Features.With(cfg.Features...)
	e.SetAuto(xmpptest.Auto{Info: &info})
	caps := xmpp.NewElement(xmpp.NSCaps, "c").Set("hash", "sha-1").Set("node", capsNode).Set("ver", info.Verification())
	if err := e.Send(&xmpp.Presence{Extensions: []*xmpp.Element{caps}}); err != nil {
		tb.Fatalf("jingletest: %v", err)
	}
	tb.Cleanup(p.finish)
	return p
}

// finish reports what went wrong until the end of the test.
func (p *Party) finish() {
	p.wait(min(p.cfg.Timeout, 2*time.Second), func() bool { return len(p.unanswered()) == 0 })
	p.mu.Lock()
	for _, id := range p.unanswered() {
		r := p.requests[id]
		p.violations = append(p.violations, fmt.Sprintf("%s to %s (id %s) was never answered", r.action, r.to, id))
	}
	p.mu.Unlock()
	p.Handle(nil)
	for _, v := range p.TakeViolations() {
		p.tb.Errorf("jingletest: %s: %s", p.JID(), v)
	}
}

// unanswered returns the ids of our requests without answer; the lock is held.
func (p *Party) unanswered() []string {
	var ids []string
	for id, r := range p.requests {
		if !r.answered {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// TakeViolations returns what the other side did wrong so far, and forgets it.
func (p *Party) TakeViolations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.violations
	p.violations = nil
	return v
}

// violate records a violation; the lock is held.
func (p *Party) violate(format string, args ...any) {
	p.violations = append(p.violations, fmt.Sprintf(format, args...))
}

// notify wakes everybody who waits; the lock is held.
func (p *Party) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait waits until ready, which is called with the lock held, or for the time given. It tells whether it is ready.
func (p *Party) wait(atMost time.Duration, ready func() bool) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	for {
		p.mu.Lock()
		ok, changed := ready(), p.changed
		p.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// NewSID returns an id for a session that no other party uses.
func (p *Party) NewSID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	return "call-" + strings.Map(nmtoken, p.JID().String()) + "-" + strconv.Itoa(p.count)
}

func nmtoken(c rune) rune {
	if c == '@' || c == '/' {
		return '.'
	}
	return c
}

// handle sees every stanza that comes in. It must not wait, and holds no lock while it sends: the other party may be
// in the same process.
func (p *Party) handle(st xmpp.Stanza) bool {
	switch st := st.(type) {
	case *xmpp.IQ:
		switch {
		case st.Type == xmpp.IQSet && jingle.Is(st.Payload):
			p.takeAction(st)
			return true
		case !st.IsRequest():
			return p.takeAnswer(st)
		}
	case *xmpp.Message:
		return p.takeMessage(st)
	}
	return false
}

// takeAnswer notes the answer to one of our IQs.
func (p *Party) takeAnswer(iq *xmpp.IQ) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[iq.ID]
	switch {
	case r == nil:
		return false
	case r.to != iq.From:
		p.violate("answer to %s came from %s, not from %s", r.action, iq.From, r.to)
	case r.answered:
		p.violate("second answer to %s (id %s): %s", r.action, iq.ID, iq.Append(nil))
	default:
		r.answered, r.err = true, iq.Error
		if r.session != nil {
			r.session.Answered(r.action, iq.Error)
		}
		p.notify()
	}
	return true
}

// takeAction answers an action and puts it into its call.
func (p *Party) takeAction(iq *xmpp.IQ) {
	for _, answer := range p.judge(iq) {
		reply := iq.Result(nil)
		if answer != nil {
			reply = iq.ErrorReply(*answer)
		}
		_ = p.Send(reply) // fails only when the connection is gone, which shows elsewhere
	}
}

func (p *Party) judge(iq *xmpp.IQ) []*xmpp.StanzaError {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.notify()
	j, err := jingle.ParseIQ(iq)
	if err != nil {
		p.violate("%v: %s", err, iq.Append(nil))
		return []*xmpp.StanzaError{asStanzaError(err)}
	}
	for _, note := range j.Ignored {
		p.violate("%s of %s: %s", j.Action, iq.From, note)
	}
	var s *jingle.Session
	if c := p.calls[j.SID]; c != nil && c.session != nil && c.session.Peer() == iq.From {
		s = c.session
	} else if j.Action == jingle.ActionSessionInitiate && (c == nil || c.session == nil) {
		s = jingle.NewSession(j.SID, p.JID(), iq.From, jingle.RoleResponder)
	}
	verdict := jingle.UnknownSession()
	if s != nil {
		verdict = asStanzaError(s.Receive(j))
	}
	if verdict == nil {
		c := p.callOf(j.SID, iq.From)
		c.session, c.Peer = s, iq.From
		if !p.cfg.Lenient {
			for _, v := range check(c, j) {
				p.violate("%s of %s: %s", j.Action, iq.From, v)
			}
		}
		c.events = append(c.events, Event{From: iq.From, Jingle: j})
	}
	if p.cfg.Answer != nil {
		return p.cfg.Answer(j, verdict)
	}
	return []*xmpp.StanzaError{verdict}
}

func asStanzaError(err error) *xmpp.StanzaError {
	se, _ := err.(*xmpp.StanzaError) // all that package jingle gives for a peer
	return se
}

// callOf returns the call with this sid, which the peer may just have begun; the lock is held.
func (p *Party) callOf(sid string, peer xmpp.JID) *Call {
	c := p.calls[sid]
	if c == nil {
		c = &Call{party: p, SID: sid, Peer: peer}
		p.calls[sid] = c
		p.fresh = append(p.fresh, c)
	}
	return c
}

// takeMessage puts a Jingle message, its receipt or its bounce into the call.
func (p *Party) takeMessage(m *xmpp.Message) bool {
	receipt := p.sortMessage(m)
	if receipt == nil {
		return false
	}
	if receipt.ID != "" && !p.cfg.NoReceipts {
		_ = p.Send(receipt) // fails only when the connection is gone, which shows elsewhere
	}
	return true
}

// sortMessage returns nil for what is not about calls, else a receipt, without id if none is asked for.
func (p *Party) sortMessage(m *xmpp.Message) *xmpp.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.notify()
	put := func(sid string, e Event) *xmpp.Message {
		e.From = m.From
		if c := p.calls[sid]; c != nil {
			c.events = append(c.events, e)
		}
		return &xmpp.Message{}
	}
	if _, sid, ok := jingle.Received(m); ok {
		return put(sid, Event{Receipt: true})
	}
	if _, sid, ok := jingle.Bounced(m); ok {
		return put(sid, Event{Bounce: m.Error})
	}
	v, ok, err := jingle.FromMessage(m)
	switch {
	case !ok:
		return nil
	case err != nil:
		p.violate("%v: %s", err, m.Append(nil))
		return &xmpp.Message{}
	}
	if m.Type != xmpp.MessageChat || m.Extension(xmpp.NSHints, "store") == nil {
		p.violate("%s of %s: not of type chat, or without the hint store", v.Kind, m.From)
	}
	c := p.calls[v.ID]
	if v.Kind == jingle.KindPropose {
		c = p.callOf(v.ID, m.From)
		c.proposed = v.Media
	}
	if c == nil {
		return &xmpp.Message{} // of another device
	}
	c.events = append(c.events, Event{From: m.From, Message: v})
	if r := jingle.Receipt(m); r != nil {
		return r
	}
	return &xmpp.Message{}
}

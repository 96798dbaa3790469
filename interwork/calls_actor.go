package interwork

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

// actor is one call and its mailbox; it is what the call sees of the gateway.
type actor struct {
	g     *Gateway
	calls *calls
	call  *call.Call
	box   *mailbox[call.Input]
	dir   call.Direction
	flow  string
	self  xmpp.JID
	asked xmpp.JID // whom she called: with a resource, one device
	user  xmpp.JID // bare
	uri   sip.URI  // his
	names [2]string
	sid   string       // that the Call-ID stands for, or that it is made of
	keys  []sessionKey // guarded by calls.mu
	log   zerolog.Logger

	started time.Time
	waiting atomic.Bool // nobody has taken the call
	busy    bool        // presence was told
	timers  [call.Timers]*time.Timer
}

var _ call.Ports = (*actor)(nil)

func (a *actor) post(in call.Input)       { a.box.post(in) }
func (a *actor) offer(in call.Input) bool { return a.box.offer(in) }

// addSession makes a session id lead here; calls.mu is held or not needed yet.
func (a *actor) addSession(sid string) {
	k := sessionKey{a.user, a.self.Bare(), sid}
	a.keys = append(a.keys, k)
	a.calls.bySID[k] = a
}

// claim makes a session id lead to an actor unless it leads elsewhere.
func (c *calls) claim(a *actor, sid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bySID[sessionKey{a.user, a.self.Bare(), sid}] != nil {
		return false
	}
	a.addSession(sid)
	return true
}

// note adds a line to the journal.
func (a *actor) note(from, to, protocol, what string, raw func() []byte) {
	if a.g.journal.Enabled() {
		a.g.journal.Add(journal.Entry{Flow: a.flow, From: from, To: to, Protocol: protocol, Summary: what, Raw: raw})
	}
}

// Note implements call.Ports.
func (a *actor) Note(text string) {
	if a.g.journal.Enabled() {
		a.g.journal.Add(journal.Entry{Flow: a.flow, From: journal.Gateway, To: journal.Gateway, Note: text})
	}
}

// Log implements call.Ports.
func (a *actor) Log() *zerolog.Logger { return &a.log }

// Now implements call.Ports.
func (a *actor) Now() time.Time { return time.Now() }

// NewID implements call.Ports: the id that his Call-ID stands for, if no session has it, and
// then random UUIDs (RFC 9562 §5.4). It leads here.
func (a *actor) NewID() string {
	if len(a.keys) == 0 && a.calls.claim(a, a.sid) {
		return a.sid
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
	a.calls.mu.Lock()
	defer a.calls.mu.Unlock()
	a.addSession(id)
	return id
}

// SetTimer implements call.Ports.
func (a *actor) SetTimer(t call.Timer, after time.Duration) {
	if old := a.timers[t]; old != nil {
		old.Stop()
		a.timers[t] = nil
	}
	if after > 0 {
		a.timers[t] = time.AfterFunc(after, func() { a.box.post(call.TimerFired{Timer: t}) })
	}
}

func (a *actor) stopTimers() {
	for _, t := range a.timers {
		if t != nil {
			t.Stop()
		}
	}
}

// Request implements call.Ports.
func (a *actor) Request(to xmpp.JID, j *jingle.Jingle, answered func(*xmpp.StanzaError)) {
	iq := &xmpp.IQ{From: a.self, To: to, Type: xmpp.IQSet, Payload: j.Element()}
	done := func(e *xmpp.StanzaError) {
		a.box.post(call.Done(func() { answered(e) }))
	}
	a.calls.requests.add(iq, a.calls.cfg.Answer, done)
	a.note(journal.Gateway, a.user.String(), journal.XMPP, string(j.Action), rawStanza(iq))
	send := func(iq *xmpp.IQ) error { return a.g.xmpp.Send(iq, nil) }
	if j.Action == jingle.ActionSessionTerminate {
		a.waiting.Store(false) // before she knows it: she may call back at once
		send = func(iq *xmpp.IQ) error { return a.calls.last(iq) }
	}
	if err := send(iq); err != nil {
		a.log.Debug().Err(err).Str("action", string(j.Action)).Msg("jingle stanza not sent")
		a.calls.requests.fail(iq.ID, to, noLink())
	}
}

// noLink stands for the answer that does not come while the XMPP server cannot be reached. It
// says nothing of the client, which may well be there.
func noLink() *xmpp.StanzaError {
	return &xmpp.StanzaError{Type: xmpp.ErrorWait, Condition: xmpp.ConditionRemoteServerTimeout, Text: "The XMPP server cannot be reached"}
}

// Answer implements call.Ports.
func (a *actor) Answer(iq *xmpp.IQ, err *xmpp.StanzaError) {
	if err == nil {
		a.g.send(iq.Result(nil))
		return
	}
	a.note(journal.Gateway, a.user.String(), journal.XMPP, "error "+string(err.Condition), nil)
	a.g.send(iq.ErrorReply(*err))
}

// Send implements call.Ports.
func (a *actor) Send(m *xmpp.Message) {
	what := "message"
	if j, ok, _ := jingle.FromMessage(m); ok {
		what += " " + string(j.Kind)
		if j.Kind == jingle.KindRetract || j.Kind == jingle.KindReject || j.Kind == jingle.KindFinish {
			a.waiting.Store(false)
		}
		if j.Reason != nil {
			what += " " + string(j.Reason.Condition)
		}
	} else if m.Extension(xmpp.NSReceipts, "received") != nil {
		what += " received (receipt)"
	}
	a.note(journal.Gateway, a.user.String(), journal.XMPP, what, rawStanza(m))
	if err := a.calls.last(m); err != nil {
		a.log.Debug().Err(err).Msg("jingle message not sent")
	}
}

// Devices implements call.Ports.
func (a *actor) Devices(user xmpp.JID) []xmpp.JID { return a.calls.devices.direct(user) }

// TakesProposals implements call.Ports.
func (a *actor) TakesProposals(user xmpp.JID) bool {
	return len(a.calls.devices.that(user, func(f disco.Features) bool { return f.Has(xmpp.NSJingleMessage) })) > 0
}

// Address implements call.Ports.
func (a *actor) Address(j xmpp.JID) (sip.URI, error) {
	if j.Domain() == a.g.self.Domain() {
		return a.g.addresses.ToSIP(j)
	}
	return a.g.addresses.CallerToSIP(j, a.uri).URI, nil
}

// Open implements call.Ports.
func (a *actor) Open(tag int) (call.Media, error) {
	s := a.calls.relay.Open(a.flow, func(e relay.Event) { a.box.post(call.MediaHappened{Tag: tag, Event: e}) })
	if s == nil {
		return nil, relay.ErrClosed
	}
	return s, nil
}

// Bridged implements call.Ports.
func (a *actor) Bridged() {
	a.waiting.Store(false)
	a.busy = true
	a.Note("both talk")
	a.calls.began(a)
	a.tellPresence(true)
}

// tellPresence shows both on the phone, or not any more.
func (a *actor) tellPresence(busy bool) { a.g.callState(a.user, a.uri, busy) }

// Recorded implements call.Ports.
func (a *actor) Recorded(r call.Record) {
	a.waiting.Store(false)
	if a.busy {
		a.busy = false
		a.tellPresence(false)
	}
	a.calls.recorded(a, r)
}

// Forget implements call.Ports.
func (a *actor) Forget() { a.calls.forget(a) }

// requests are the Jingle IQs of ours that wait for an answer. The component has a table
// of its own for callers that wait; an actor never does, and the order of what it sends
// must stay.
type requests struct {
	prefix string
	n      atomic.Uint64
	mu     sync.Mutex
	m      map[string]*request
}

type request struct {
	to    xmpp.JID
	done  func(*xmpp.StanzaError)
	timer *time.Timer
}

func newRequests() *requests {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails
	return &requests{prefix: fmt.Sprintf("jg-%x-", b), m: make(map[string]*request)}
}

// add gives an IQ its id and waits for the answer; done is called once.
func (r *requests) add(iq *xmpp.IQ, patience time.Duration, done func(*xmpp.StanzaError)) {
	iq.ID = fmt.Sprintf("%s%x", r.prefix, r.n.Add(1))
	q := &request{to: iq.To, done: done}
	id, to := iq.ID, iq.To
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[id] = q
	q.timer = time.AfterFunc(patience, func() {
		r.fail(id, to, &xmpp.StanzaError{Type: xmpp.ErrorWait, Condition: xmpp.ConditionRemoteServerTimeout})
	})
}

func (r *requests) take(id string, from xmpp.JID) *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.m[id]
	if q == nil || from != q.to && !(from.Bare() == q.to.Bare() && from.IsBare()) {
		return nil
	}
	delete(r.m, id)
	q.timer.Stop()
	return q
}

func (r *requests) fail(id string, from xmpp.JID, e *xmpp.StanzaError) {
	if q := r.take(id, from); q != nil {
		q.done(e)
	}
}

// answered takes a result or an error; false: nobody waits for it.
func (r *requests) answered(iq *xmpp.IQ) bool {
	q := r.take(iq.ID, iq.From)
	if q == nil {
		return false
	}
	q.done(iq.Error)
	return true
}

func (r *requests) failAll(e *xmpp.StanzaError) {
	r.mu.Lock()
	all := r.m
	r.m = make(map[string]*request)
	r.mu.Unlock()
	for _, q := range all {
		q.timer.Stop()
		q.done(e)
	}
}

func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.m {
		q.timer.Stop()
	}
	r.m = make(map[string]*request)
}

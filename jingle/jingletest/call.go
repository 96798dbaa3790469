package jingletest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Event is what came for a call; one field besides From is set.
type Event struct {
	From    xmpp.JID
	Jingle  *jingle.Jingle    // an action that was answered with a result, or should have been
	Message *jingle.Message   // a Jingle message
	Receipt bool              // a delivery receipt for a Jingle message of ours
	Bounce  *xmpp.StanzaError // an error for a Jingle message of ours
}

func (e *Event) String() string {
	switch {
	case e.Jingle != nil:
		return string(e.Jingle.Action)
	case e.Message != nil:
		return string(e.Message.Kind)
	case e.Receipt:
		return "receipt"
	}
	return "bounce: " + e.Bounce.Error()
}

// Call is one call of a party. Its methods end the test when what they wait for does not come.
type Call struct {
	party *Party
	SID   string
	Peer  xmpp.JID // who it is with: bare until a device answers

	// guarded by the party's lock
	session  *jingle.Session
	proposed []string // media of a propose that came
	events   []Event
}

// Propose proposes a call to somebody, bare or not.
func (p *Party) Propose(to xmpp.JID, media ...string) *Call {
	p.tb.Helper()
	c := p.Call(p.NewSID(), to)
	c.Message(jingle.Message{Kind: jingle.KindPropose, Media: media})
	return c
}

// Call begins a call of which nobody knows yet.
func (p *Party) Call(sid string, to xmpp.JID) *Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &Call{party: p, SID: sid, Peer: to}
	p.calls[sid] = c
	return c
}

// Incoming waits for a call that somebody else begins, by a proposal or at once by a session-initiate, and takes the
// oldest.
func (p *Party) Incoming() *Call {
	p.tb.Helper()
	var c *Call
	if !p.wait(p.cfg.Timeout, func() bool {
		if len(p.fresh) > 0 {
			c, p.fresh = p.fresh[0], p.fresh[1:]
		}
		return c != nil
	}) {
		p.tb.Fatalf("jingletest: %s: nobody calls", p.JID())
	}
	return c
}

// Session returns the state and the contents of the session; they are empty before there is one.
func (c *Call) Session() (jingle.State, []jingle.ContentState) {
	c.party.mu.Lock()
	defer c.party.mu.Unlock()
	if c.session == nil {
		return jingle.StateUnknown, nil
	}
	return c.session.State(), c.session.Contents()
}

// Expect waits for the first event that match likes and takes it; what came before it stays.
func (c *Call) Expect(what string, match func(*Event) bool) Event {
	c.party.tb.Helper()
	var e Event
	if !c.party.wait(c.party.cfg.Timeout, func() bool {
		i := slices.IndexFunc(c.events, func(e Event) bool { return match(&e) })
		if i >= 0 {
			e = c.events[i]
			c.events = slices.Delete(c.events, i, i+1)
		}
		return i >= 0
	}) {
		c.party.tb.Fatalf("jingletest: %s: call %s: no %s; there is: %s", c.party.JID(), c.SID, what, c.list())
	}
	return e
}

func (c *Call) list() string {
	c.party.mu.Lock()
	defer c.party.mu.Unlock()
	names := make([]string, len(c.events))
	for i := range c.events {
		names[i] = c.events[i].String()
	}
	return strings.Join(names, ", ")
}

// Has tells whether an event of this name is waiting to be taken: an action, a kind of message or "receipt".
func (c *Call) Has(name string) bool {
	c.party.mu.Lock()
	defer c.party.mu.Unlock()
	return slices.ContainsFunc(c.events, func(e Event) bool { return e.String() == name })
}

// ExpectAction waits for an action.
func (c *Call) ExpectAction(a jingle.Action) *jingle.Jingle {
	c.party.tb.Helper()
	return c.Expect(string(a), func(e *Event) bool { return e.Jingle != nil && e.Jingle.Action == a }).Jingle
}

// ExpectInfo waits for a session-info with this payload.
func (c *Call) ExpectInfo(info jingle.Info) {
	c.party.tb.Helper()
	c.Expect(fmt.Sprintf("session-info %#v", info), func(e *Event) bool {
		return e.Jingle != nil && e.Jingle.Action == jingle.ActionSessionInfo &&
			slices.ContainsFunc(e.Jingle.Info, func(x *xmpp.Element) bool {
				got, err := jingle.ParseInfo(x)
				return err == nil && got == info
			})
	})
}

// ExpectTerminate waits for a session-terminate and returns its reason, the zero one if it has none.
func (c *Call) ExpectTerminate() jingle.Reason {
	c.party.tb.Helper()
	if r := c.ExpectAction(jingle.ActionSessionTerminate).Reason; r != nil {
		return *r
	}
	return jingle.Reason{}
}

// ExpectMessage waits for a Jingle message. From a proceed on the call is with the device that sent it.
func (c *Call) ExpectMessage(k jingle.Kind) *jingle.Message {
	c.party.tb.Helper()
	e := c.Expect(string(k), func(e *Event) bool { return e.Message != nil && e.Message.Kind == k })
	if k == jingle.KindProceed {
		c.party.mu.Lock()
		c.Peer = e.From
		c.party.mu.Unlock()
	}
	return e.Message
}

// ExpectReceipt waits for a delivery receipt.
func (c *Call) ExpectReceipt() {
	c.party.tb.Helper()
	c.Expect("receipt", func(e *Event) bool { return e.Receipt })
}

// ExpectBounce waits for an error for a Jingle message.
func (c *Call) ExpectBounce() *xmpp.StanzaError {
	c.party.tb.Helper()
	return c.Expect("bounce", func(e *Event) bool { return e.Bounce != nil }).Bounce
}

// Message sends a Jingle message about the call; its ID is filled in. A retract goes to the bare address, as
// XEP-0353 §3.3 has it.
func (c *Call) Message(m jingle.Message) {
	c.party.tb.Helper()
	to := c.peer()
	if m.Kind == jingle.KindRetract {
		to = to.Bare()
	}
	m.ID = c.SID
	if err := c.party.Send(m.Wrap(xmpp.JID{}, to)); err != nil {
		c.party.tb.Fatalf("jingletest: %v", err)
	}
}

func (c *Call) peer() xmpp.JID {
	c.party.mu.Lock()
	defer c.party.mu.Unlock()
	return c.Peer
}

// Initiate sends a session-initiate and returns the error that comes instead of a result.
func (c *Call) Initiate(contents ...jingle.Content) *xmpp.StanzaError {
	c.party.tb.Helper()
	return c.Do(&jingle.Jingle{
		Action: jingle.ActionSessionInitiate, Initiator: c.party.JID(), Contents: contents, Groups: bundle(contents),
	})
}

// Accept sends a session-accept and returns the error that comes instead of a result.
func (c *Call) Accept(contents ...jingle.Content) *xmpp.StanzaError {
	c.party.tb.Helper()
	return c.Do(&jingle.Jingle{
		Action: jingle.ActionSessionAccept, Responder: c.party.JID(), Contents: contents, Groups: bundle(contents),
	})
}

// Info sends a session-info and returns the error that comes instead of a result.
func (c *Call) Info(info jingle.Info) *xmpp.StanzaError {
	c.party.tb.Helper()
	return c.Do(&jingle.Jingle{Action: jingle.ActionSessionInfo, Info: []*xmpp.Element{info.Element()}})
}

// Terminate sends a session-terminate and returns the error that comes instead of a result.
func (c *Call) Terminate(condition jingle.Condition) *xmpp.StanzaError {
	c.party.tb.Helper()
	return c.Do(&jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: condition}})
}

// Do sends an action of this session, waits for the answer and returns the error if it is one.
func (c *Call) Do(j *jingle.Jingle) *xmpp.StanzaError {
	c.party.tb.Helper()
	return c.Start(j)()
}

// Start sends an action of this session; the function returned waits for the answer. An action that the protocol
// forbids now ends the test: see Force.
func (c *Call) Start(j *jingle.Jingle) func() *xmpp.StanzaError {
	c.party.tb.Helper()
	j.SID = c.SID
	p := c.party
	p.mu.Lock()
	if c.session == nil {
		c.session = jingle.NewSession(c.SID, p.JID(), c.Peer, jingle.RoleInitiator)
	}
	session, err := c.session, c.session.Send(j)
	p.mu.Unlock()
	if err != nil {
		p.tb.Fatalf("jingletest: %s: %v", p.JID(), err)
	}
	return c.start(j, session)
}

// Force is Start for an action that the protocol may forbid; the session does not learn of it. An empty SID is
// filled in.
func (c *Call) Force(j *jingle.Jingle) func() *xmpp.StanzaError {
	c.party.tb.Helper()
	if j.SID == "" {
		j.SID = c.SID
	}
	return c.start(j, nil)
}

func (c *Call) start(j *jingle.Jingle, session *jingle.Session) func() *xmpp.StanzaError {
	p := c.party
	p.tb.Helper()
	r := &request{to: c.peer(), action: j.Action, session: session}
	p.mu.Lock()
	p.count++
	id := "jingle-" + strconv.Itoa(p.count)
	p.requests[id] = r
	p.mu.Unlock()
	if err := p.Send(&xmpp.IQ{To: r.to, ID: id, Type: xmpp.IQSet, Payload: j.Element()}); err != nil {
		p.tb.Fatalf("jingletest: %v", err)
	}
	return func() *xmpp.StanzaError {
		p.tb.Helper()
		var err *xmpp.StanzaError
		if !p.wait(p.cfg.Timeout, func() bool { err = r.err; return r.answered }) {
			p.tb.Fatalf("jingletest: %s: no answer to %s from %s", p.JID(), r.action, r.to)
		}
		return err
	}
}

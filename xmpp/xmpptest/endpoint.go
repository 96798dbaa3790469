package xmpptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// ErrClosed tells that the endpoint has no connection any more.
var ErrClosed = errors.New("xmpptest: endpoint closed")

// DefaultTimeout is how long the helpers that take a TB wait.
const DefaultTimeout = 10 * time.Second

// Endpoint is one connected resource of an XMPP user. What it receives goes in
// turn to a waiting IQ call, to the handler set with Handle, to the automatic
// answers, and what none of them took into the inbox, from which Await and Expect
// take. It is safe for concurrent use.
type Endpoint struct {
	jid     xmpp.JID
	timeout time.Duration
	send    func(xmpp.Stanza) error
	raw     func(string) error

	mu      sync.Mutex
	inbox   []xmpp.Stanza
	arrived chan struct{} // closed and replaced at every arrival
	err     error         // set once the endpoint is closed
	auto    Auto
	handle  func(xmpp.Stanza) bool
	iqs     map[string]iqCall
	lastID  int
}

type iqCall struct {
	to     xmpp.JID
	answer chan *xmpp.IQ // buffered
}

func newEndpoint(jid xmpp.JID, timeout time.Duration, auto Auto, send func(xmpp.Stanza) error, raw func(string) error) *Endpoint {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Endpoint{
		jid: jid, timeout: timeout, auto: auto, send: send, raw: raw,
		arrived: make(chan struct{}), iqs: make(map[string]iqCall),
	}
}

// JID is the full JID of the endpoint.
func (e *Endpoint) JID() xmpp.JID { return e.jid }

// Send sends a stanza. The server sets its from. A presence without to sets the
// availability of the resource.
func (e *Endpoint) Send(s xmpp.Stanza) error {
	if err := e.closed(); err != nil {
		return err
	}
	return e.send(s)
}

// SendRaw sends XML as it is. A Server passes it on only when it is a stanza, a
// real server treats it as it likes.
func (e *Endpoint) SendRaw(xml string) error {
	if err := e.closed(); err != nil {
		return err
	}
	return e.raw(xml)
}

// Say sends a chat message with this id and body.
func (e *Endpoint) Say(to xmpp.JID, id, body string, ext ...*xmpp.Element) error {
	return e.Send(&xmpp.Message{To: to, ID: id, Type: xmpp.MessageChat, Bodies: []xmpp.LangText{{Text: body}}, Extensions: ext})
}

// IQ sends a get or set and waits for its result. An error answer is returned as
// a *xmpp.StanzaError. An empty id is filled in.
func (e *Endpoint) IQ(ctx context.Context, iq *xmpp.IQ) (*xmpp.IQ, error) {
	req := *iq
	call := iqCall{to: req.To, answer: make(chan *xmpp.IQ, 1)}
	e.mu.Lock()
	if req.ID == "" {
		e.lastID++
		req.ID = "e" + strconv.Itoa(e.lastID)
	}
	e.iqs[req.ID] = call
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.iqs, req.ID)
		e.mu.Unlock()
	}()
	if err := e.Send(&req); err != nil {
		return nil, err
	}
	for {
		e.mu.Lock()
		arrived, closed := e.arrived, e.err
		e.mu.Unlock()
		select {
		case res := <-call.answer:
			if res.Error != nil {
				return nil, res.Error
			}
			return res, nil
		default:
		}
		if closed != nil {
			return nil, closed
		}
		select {
		case res := <-call.answer:
			call.answer <- res // taken by the next turn
		case <-arrived:
		case <-ctx.Done():
			return nil, fmt.Errorf("xmpptest: no answer to IQ %s: %w", req.ID, context.Cause(ctx))
		}
	}
}

// Handle sets a function that sees everything first, in order, on the reading
// goroutine; what it returns true for goes no further. It may send, but it must
// not wait for anything. nil removes it.
func (e *Endpoint) Handle(f func(xmpp.Stanza) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handle = f
}

// Await takes the oldest stanza that matches out of the inbox, waiting for it if
// need be. Stanzas that do not match stay for later calls.
func (e *Endpoint) Await(ctx context.Context, ms ...Matcher) (xmpp.Stanza, error) {
	for {
		e.mu.Lock()
		i := slices.IndexFunc(e.inbox, func(s xmpp.Stanza) bool { return matches(s, ms) })
		if i >= 0 {
			s := e.inbox[i]
			e.inbox = slices.Delete(e.inbox, i, i+1)
			e.mu.Unlock()
			return s, nil
		}
		arrived, closed, inbox := e.arrived, e.err, e.list()
		e.mu.Unlock()
		if closed != nil {
			return nil, fmt.Errorf("xmpptest: %s did not get %s: %w%s", e.jid, describe(ms), closed, inbox)
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			e.mu.Lock()
			inbox = e.list()
			e.mu.Unlock()
			return nil, fmt.Errorf("xmpptest: %s did not get %s: %w%s", e.jid, describe(ms), context.Cause(ctx), inbox)
		}
	}
}

// list shows the inbox for failures.
func (e *Endpoint) list() string {
	if len(e.inbox) == 0 {
		return "; inbox empty"
	}
	var b strings.Builder
	b.WriteString("; inbox:")
	for _, s := range e.inbox {
		b.WriteString("\n\t")
		b.Write(s.Append(nil))
	}
	return b.String()
}

// Expect is Await with the endpoint's timeout; a failure ends the test.
func (e *Endpoint) Expect(tb TB, ms ...Matcher) xmpp.Stanza {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), e.timeout)
	defer cancel()
	s, err := e.Await(ctx, ms...)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return s
}

// ExpectMessage is Expect for a message.
func (e *Endpoint) ExpectMessage(tb TB, ms ...Matcher) *xmpp.Message {
	tb.Helper()
	m, _ := e.Expect(tb, append([]Matcher{Messages()}, ms...)...).(*xmpp.Message)
	return m
}

// ExpectPresence is Expect for a presence.
func (e *Endpoint) ExpectPresence(tb TB, ms ...Matcher) *xmpp.Presence {
	tb.Helper()
	p, _ := e.Expect(tb, append([]Matcher{Presences()}, ms...)...).(*xmpp.Presence)
	return p
}

// ExpectIQ is Expect for an IQ.
func (e *Endpoint) ExpectIQ(tb TB, ms ...Matcher) *xmpp.IQ {
	tb.Helper()
	iq, _ := e.Expect(tb, append([]Matcher{IQs()}, ms...)...).(*xmpp.IQ)
	return iq
}

// Refute fails the test if a matching stanza is in the inbox. It does not wait:
// make sure by other means, such as an answered ping, that it would be there.
func (e *Endpoint) Refute(tb TB, ms ...Matcher) {
	tb.Helper()
	for _, s := range e.Received() {
		if matches(s, ms) {
			tb.Errorf("xmpptest: %s got %s: %s", e.jid, describe(ms), s.Append(nil))
		}
	}
}

// Received returns what is in the inbox, oldest first, and leaves it there.
func (e *Endpoint) Received() []xmpp.Stanza {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.inbox)
}

// Clear empties the inbox.
func (e *Endpoint) Clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inbox = nil
}

// deliver takes a stanza from the reading goroutine.
func (e *Endpoint) deliver(s xmpp.Stanza) {
	e.mu.Lock()
	if e.err != nil {
		e.mu.Unlock()
		return
	}
	if iq, ok := s.(*xmpp.IQ); ok && !iq.IsRequest() {
		if call, ok := e.iqs[iq.ID]; ok && (call.to == iq.From || call.to.IsZero()) {
			delete(e.iqs, iq.ID)
			e.mu.Unlock()
			call.answer <- iq
			return
		}
	}
	handle, auto := e.handle, e.auto
	e.mu.Unlock()
	if handle != nil && handle(s) {
		return
	}
	if auto.answer(e, s) {
		return
	}
	e.mu.Lock()
	e.inbox = append(e.inbox, s)
	e.notify()
	e.mu.Unlock()
}

// notify wakes everybody who waits; the lock is held.
func (e *Endpoint) notify() {
	close(e.arrived)
	e.arrived = make(chan struct{})
}

// end marks the endpoint closed.
func (e *Endpoint) end(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
		e.notify()
	}
}

func (e *Endpoint) closed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

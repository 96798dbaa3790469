package component

import (
	"fmt"
	"sync"

	"github.com/stoxgate/stoxgate/xmpp"
)

// tracker knows the iqs that wait for an answer, by id and peer.
type tracker struct {
	mu      sync.Mutex
	pending map[string][]*pending // by id; rarely more than one
}

// pending is one iq that waits.
type pending struct {
	from, to xmpp.JID
	id       string
	answer   chan answer // buffered, so that whoever answers never waits
}

type answer struct {
	iq  *xmpp.IQ
	err error
}

// give hands over the first answer and drops any other.
func (p *pending) give(a answer) {
	select {
	case p.answer <- a:
	default:
	}
}

func (p *pending) fail(err error) { p.give(answer{err: err}) }

// add registers a request; it must be done before the request is sent, or a fast answer is lost.
func (t *tracker) add(iq *xmpp.IQ) (*pending, error) {
	p := &pending{from: iq.From, to: iq.To, id: iq.ID, answer: make(chan answer, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range t.pending[p.id] {
		if q.to == p.to {
			return nil, fmt.Errorf("%w: %q to %s", ErrDuplicateID, p.id, p.to)
		}
	}
	if t.pending == nil {
		t.pending = make(map[string][]*pending)
	}
	t.pending[p.id] = append(t.pending[p.id], p)
	return p, nil
}

func (t *tracker) remove(p *pending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.pending[p.id]
	for i, q := range list {
		if q == p {
			list = append(list[:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(t.pending, p.id)
	} else {
		t.pending[p.id] = list
	}
}

// Verdicts of deliver.
const (
	unknown = iota // no request has this id
	forged         // a request has this id, but was not sent to this peer
	matched
)

// deliver gives a result or error to the request it answers.
func (t *tracker) deliver(iq *xmpp.IQ) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.pending[iq.ID]
	for _, p := range list {
		if p.answeredBy(iq) {
			p.give(answer{iq: iq})
			return matched
		}
	}
	if len(list) > 0 {
		return forged
	}
	return unknown
}

// failAll ends all requests when the link is lost: their answers can not come any more.
func (t *tracker) failAll(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, list := range t.pending {
		for _, p := range list {
			p.fail(err)
		}
	}
}

// answeredBy tells whether iq comes from the one that was asked.
//
// An answer comes from the address the request went to (RFC 6120 §8.1.2.1). Two exceptions are safe, because
// they stay within who may speak for that address: a bare JID may be answered from one of its resources and a
// full JID by its account, and the server, which is the only one that can leave out from, may answer for a
// domain.
func (p *pending) answeredBy(iq *xmpp.IQ) bool {
	if iq.To != p.from && !iq.To.IsZero() {
		return false
	}
	switch {
	case iq.From == p.to:
		return true
	case iq.From.IsZero():
		return p.to.Local() == ""
	}
	return iq.From.Bare() == p.to.Bare() && (iq.From.IsBare() || p.to.IsBare())
}

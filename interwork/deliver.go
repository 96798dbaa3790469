package interwork

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/component"
)

// xmppLink is what delivery needs of the component stream.
type xmppLink interface {
	Send(s xmpp.Stanza, written func(error)) error
	IQ(ctx context.Context, iq *xmpp.IQ) (*xmpp.IQ, error)
}

const (
	// deliverWait is how long a SIP sender waits for the fate of a message before it
	// is told 202; well under Timer F (32 s) and above a server's round trip to a
	// far domain.
	deliverWait = 2 * time.Second
	// bounceWait and bounceKeep bound, in time and number, what is remembered of
	// messages that were answered, in case they bounce late.
	bounceWait = 2 * time.Minute
	bounceKeep = 4096
)

// deliverer puts messages on the component stream and finds out whether the server
// took them. A component stream has no acknowledgements (XEP-0198 is not defined for
// it), but a server handles what it reads from one stream in order: when it answers a
// ping to the recipient's domain that was sent behind the message, it has read the
// message, and a bounce for a user whom it does not know has arrived before that
// answer. One ping covers all messages sent since the last one, so the cost per
// message vanishes under load.
type deliverer struct {
	link xmppLink
	self xmpp.JID
	wg   *sync.WaitGroup
	ctx  context.Context

	mu      sync.Mutex
	lanes   map[string]*lane // by the recipient's domain
	pending map[bounceKey]*delivery
	late    []*delivery // answered already, kept for a late bounce, oldest first
	pings   uint64
}

// bounceKey finds the delivery that an error stanza answers.
type bounceKey struct {
	from xmpp.JID // our sender
	to   xmpp.JID // bare recipient: a bounce may come from the full JID that refused
	id   string
}

type delivery struct {
	key  bounceKey
	done func(chat.Verdict, *xmpp.StanzaError)
	late func(*xmpp.StanzaError) // a bounce after chat.VerdictUncertain or chat.VerdictDelivered
	over bool                    // done was called, or is about to be
	at   time.Time               // when it was over
}

// lane is the traffic to one domain.
type lane struct {
	waiting []*delivery // sent behind the ping that is out
	covered []*delivery // sent before it
	pinging bool
}

func newDeliverer(ctx context.Context, link xmppLink, self xmpp.JID, wg *sync.WaitGroup) *deliverer {
	return &deliverer{
		ctx: ctx, link: link, self: self, wg: wg,
		lanes: make(map[string]*lane), pending: make(map[bounceKey]*delivery),
	}
}

// deliver sends m and calls done exactly once with its fate. Should m bounce after
// that, late is called; it may be nil. Both run on goroutines of the deliverer or of
// the link, hold no lock of it and must not block. m.ID must be unique between the two
// addresses for as long as a bounce may come.
func (d *deliverer) deliver(m *xmpp.Message, done func(chat.Verdict, *xmpp.StanzaError), late func(*xmpp.StanzaError)) {
	key := bounceKey{from: m.From, to: m.To.Bare(), id: m.ID}
	del := &delivery{key: key, done: done, late: late}

	// The lock is held over Send so that "in waiting" implies "on the queue before the
	// next ping"; Send does not block.
	d.mu.Lock()
	err := d.link.Send(m, nil)
	if err != nil {
		d.mu.Unlock()
		switch {
		case errors.Is(err, component.ErrQueueFull):
			done(chat.VerdictOverloaded, nil)
		case errors.Is(err, component.ErrTooLarge):
			done(chat.VerdictBounced, xmpp.NewStanzaError(xmpp.ConditionPolicyViolation, "The message is too large"))
		case errors.Is(err, component.ErrAddress):
			done(chat.VerdictBounced, xmpp.NewStanzaError(xmpp.ConditionInternalServerError, ""))
		default:
			done(chat.VerdictLost, nil)
		}
		return
	}
	d.pending[key] = del
	l := d.lanes[m.To.Domain()]
	if l == nil {
		l = &lane{}
		d.lanes[m.To.Domain()] = l
	}
	l.waiting = append(l.waiting, del)
	if !l.pinging {
		d.ping(m.To.Domain(), l)
	}
	d.mu.Unlock()
}

// ping sends the barrier for everything in waiting. The caller holds the lock.
func (d *deliverer) ping(domain string, l *lane) {
	l.pinging = true
	l.covered, l.waiting = l.waiting, l.covered[:0]
	d.pings++
	iq := &xmpp.IQ{
		From: d.self, To: xmpp.MustJID(domain), ID: "dlv-" + strconv.FormatUint(d.pings, 36), Type: xmpp.IQGet,
		Payload: xmpp.NewElement(xmpp.NSPing, "ping"),
	}
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		ctx, cancel := context.WithTimeout(d.ctx, deliverWait)
		defer cancel()
		_, err := d.link.IQ(ctx, iq)
		var refused *xmpp.StanzaError
		switch {
		case err == nil || errors.As(err, &refused):
			// An error is an answer too: it came in order.
			d.settle(domain, l, chat.VerdictDelivered)
		case errors.Is(err, context.DeadlineExceeded) && d.ctx.Err() == nil:
			d.settle(domain, l, chat.VerdictUncertain)
		default:
			d.settle(domain, l, chat.VerdictLost)
		}
	}()
}

// settle ends what the answered ping covered and sends the next one if there is need.
func (d *deliverer) settle(domain string, l *lane, v chat.Verdict) {
	d.mu.Lock()
	now := time.Now()
	ended := make([]*delivery, 0, len(l.covered))
	for _, del := range l.covered {
		if del.over { // bounced meanwhile
			continue
		}
		del.over, del.at = true, now
		ended = append(ended, del)
		if v == chat.VerdictLost || del.late == nil {
			d.drop(del)
		} else {
			d.late = append(d.late, del)
		}
	}
	l.covered = l.covered[:0]
	l.pinging = false
	if len(l.waiting) > 0 {
		d.ping(domain, l)
	} else {
		delete(d.lanes, domain)
	}
	d.forgetLate(now)
	d.mu.Unlock()
	for _, del := range ended {
		del.done(v, nil)
	}
}

// drop ends the search for a bounce. The caller holds the lock.
func (d *deliverer) drop(del *delivery) {
	if d.pending[del.key] == del { // a later message may have taken the same id
		delete(d.pending, del.key)
	}
}

// forgetLate drops what is no longer expected to bounce. The caller holds the lock.
func (d *deliverer) forgetLate(now time.Time) {
	n := 0
	for n < len(d.late) && (len(d.late)-n > bounceKeep || now.Sub(d.late[n].at) > bounceWait) {
		d.drop(d.late[n])
		d.late[n] = nil
		n++
	}
	d.late = d.late[n:]
}

// bounced takes an error stanza from the stream; false means that it answers nothing
// of ours. It is called in stream order, so before the ping behind the message is
// answered.
func (d *deliverer) bounced(m *xmpp.Message) bool {
	key := bounceKey{from: m.To, to: m.From.Bare(), id: m.ID}
	d.mu.Lock()
	del := d.pending[key]
	if del == nil {
		d.mu.Unlock()
		return false
	}
	delete(d.pending, key)
	over := del.over
	del.over = true
	d.mu.Unlock()
	e := m.Error
	if e == nil {
		e = &xmpp.StanzaError{Condition: xmpp.ConditionUndefinedCondition, Type: xmpp.ConditionUndefinedCondition.DefaultType()}
	}
	switch {
	case !over:
		del.done(chat.VerdictBounced, e)
	case del.late != nil:
		del.late(e)
	}
	return true
}

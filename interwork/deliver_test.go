package interwork

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/component"
)

// fakeLink is a component stream whose server answers pings when the test says so.
type fakeLink struct {
	mu    sync.Mutex
	sent  []xmpp.Stanza
	fail  error
	pings chan *fakePing
}

type fakePing struct {
	iq     *xmpp.IQ
	answer chan error
}

func newFakeLink() *fakeLink { return &fakeLink{pings: make(chan *fakePing, 10)} }

func (l *fakeLink) Send(s xmpp.Stanza, _ func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.sent = append(l.sent, s)
	return nil
}

func (l *fakeLink) IQ(ctx context.Context, iq *xmpp.IQ) (*xmpp.IQ, error) {
	p := &fakePing{iq: iq, answer: make(chan error, 1)}
	l.pings <- p
	select {
	case err := <-p.answer:
		return iq.Result(nil), err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type fate struct {
	mu       sync.Mutex
	verdicts []chat.Verdict
	late     []xmpp.Condition
}

func (f *fate) done(v chat.Verdict, _ *xmpp.StanzaError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verdicts = append(f.verdicts, v)
}

func (f *fate) bounced(e *xmpp.StanzaError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = append(f.late, e.Condition)
}

func (f *fate) got() []chat.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verdicts
}

func outgoing(id string) *xmpp.Message {
	return &xmpp.Message{
		From: xmpp.MustJID("otto@sip.harbor.example"), To: xmpp.MustJID("mira@chat.harbor.example"), ID: id,
		Bodies: []xmpp.LangText{{Text: id}},
	}
}

func bounceOf(m *xmpp.Message) *xmpp.Message {
	e := m.ErrorReply(*xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, ""))
	e.From = xmpp.MustJID(m.To.String() + "/desk") // a client bounces from its full JID
	return e
}

// within runs f in a bubble with a deliverer whose goroutines must have ended.
func within(t *testing.T, f func(d *deliverer, l *fakeLink)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		l := newFakeLink()
		d := newDeliverer(ctx, l, xmpp.MustJID("sip.harbor.example"), &wg)
		f(d, l)
		cancel()
		wg.Wait()
	})
}

func TestPingBehindTheMessageConfirmsIt(t *testing.T) {
	within(t, func(d *deliverer, l *fakeLink) {
		var f fate
		d.deliver(outgoing("a"), f.done, f.bounced)
		p := <-l.pings
		require.Equal(t, "chat.harbor.example", p.iq.To.String())
		require.Empty(t, f.got())
		// What is sent while a ping is out waits for the next one.
		d.deliver(outgoing("b"), f.done, f.bounced)
		d.deliver(outgoing("c"), f.done, f.bounced)
		p.answer <- nil
		p = <-l.pings
		synctest.Wait()
		require.Equal(t, []chat.Verdict{chat.VerdictDelivered}, f.got())
		p.answer <- &xmpp.StanzaError{Condition: xmpp.ConditionServiceUnavailable} // a server without XEP-0199 answers too
		synctest.Wait()
		require.Equal(t, []chat.Verdict{chat.VerdictDelivered, chat.VerdictDelivered, chat.VerdictDelivered}, f.got())
		require.Empty(t, l.pings, "one ping for both")
		require.Empty(t, d.lanes)
	})
}

func TestBounceBeforeThePingIsTheVerdict(t *testing.T) {
	within(t, func(d *deliverer, l *fakeLink) {
		var f fate
		d.deliver(outgoing("a"), f.done, f.bounced)
		p := <-l.pings
		require.True(t, d.bounced(bounceOf(outgoing("a"))))
		p.answer <- nil
		synctest.Wait()
		require.Equal(t, []chat.Verdict{chat.VerdictBounced}, f.got())
		require.False(t, d.bounced(bounceOf(outgoing("a"))), "once")
		require.Empty(t, d.pending)
	})
}

func TestBounceAfterTheVerdictIsLate(t *testing.T) {
	within(t, func(d *deliverer, l *fakeLink) {
		var f fate
		d.deliver(outgoing("a"), f.done, f.bounced)
		(<-l.pings).answer <- nil
		synctest.Wait()
		require.True(t, d.bounced(bounceOf(outgoing("a"))))
		require.Equal(t, []xmpp.Condition{xmpp.ConditionServiceUnavailable}, f.late)
	})
}

func TestSilentServerMakesItUncertain(t *testing.T) {
	within(t, func(d *deliverer, l *fakeLink) {
		var f fate
		d.deliver(outgoing("a"), f.done, f.bounced)
		<-l.pings
		d.wg.Wait() // deliverWait passes on the bubble's clock
		require.Equal(t, []chat.Verdict{chat.VerdictUncertain}, f.got())
		require.True(t, d.bounced(bounceOf(outgoing("a"))), "and it may still bounce")
	})
}

func TestBrokenLinkLosesWhatWasNotConfirmed(t *testing.T) {
	within(t, func(d *deliverer, l *fakeLink) {
		var f fate
		d.deliver(outgoing("a"), f.done, f.bounced)
		p := <-l.pings
		l.fail = component.ErrLinkDown
		d.deliver(outgoing("b"), f.done, f.bounced)
		p.answer <- component.ErrLinkDown
		synctest.Wait()
		require.Equal(t, []chat.Verdict{chat.VerdictLost, chat.VerdictLost}, f.got())
		require.Empty(t, d.pending)
		l.fail = component.ErrQueueFull
		d.deliver(outgoing("c"), f.done, f.bounced)
		require.Equal(t, chat.VerdictOverloaded, f.got()[2])
		l.fail = component.ErrTooLarge
		d.deliver(outgoing("d"), f.done, f.bounced)
		require.Equal(t, chat.VerdictBounced, f.got()[3], "kept, it would never go away")
	})
}

func TestMemoryOfLateBouncesIsBounded(t *testing.T) {
	within(t, func(d *deliverer, l *fakeLink) {
		var f fate
		for i := range 3 * bounceKeep {
			d.deliver(outgoing(fmt.Sprint(i)), f.done, f.bounced)
			if p := <-l.pings; true {
				p.answer <- nil
			}
			synctest.Wait()
		}
		require.LessOrEqual(t, len(d.pending), bounceKeep+1)
		require.LessOrEqual(t, len(d.late), bounceKeep+1)
	})
}

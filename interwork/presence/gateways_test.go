package presence

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// bridge is two gateways with SIP between them: mira's pair watches, the pair of the other
// one shares the presence of whom she watches. near and far are the gateways' worlds.
type bridge struct {
	t         *testing.T
	near, far *world
	steps     int
}

type nearPorts struct {
	*world
	b *bridge
}

func (p nearPorts) Subscribe(flow string, hops int) string {
	id := p.world.Subscribe(flow, 0)
	p.b.far.events = append(p.b.far.events, Watched{Watcher: id, Hops: hops})
	return id
}

func (p nearPorts) Unsubscribe(flow, id string) {
	p.world.Unsubscribe(flow, id)
	p.b.far.events = append(p.b.far.events, WatcherEnded{Watcher: id})
}

type farPorts struct {
	*world
	b *bridge
}

func (p farPorts) Notify(flow, id string, n Notification) {
	p.world.Notify(flow, id, n)
	e := Notified{ID: id, Fork: "far", State: n.State, Reason: n.Reason, RetryAfter: n.RetryAfter}
	if n.Document {
		e.Document, e.Lang = mapping.PresenceToPIDF(n.Resources, mapping.PresenceContext{
			Entity: sip.URI{Scheme: "sip", User: "otto", Host: "voice.quay.example"}, OnThePhone: n.OnThePhone,
		})
	}
	p.b.near.events = append(p.b.near.events, e)
}

func newBridge(t *testing.T) *bridge {
	b := &bridge{t: t, near: newWorld(t), far: newWorld(t)}
	b.near.pair.ports = nearPorts{b.near, b}
	b.far.pair.ports = farPorts{b.far, b}
	return b
}

// run handles what there is on both sides until nothing is left.
func (b *bridge) run(w *world, e Event) (near, far []string) {
	w.events = append(w.events, e)
	for len(b.near.events)+len(b.far.events) > 0 {
		b.steps++
		require.Less(b.t, b.steps, 1000, "it runs in circles")
		for _, w := range []*world{b.near, b.far} {
			if len(w.events) == 0 {
				continue
			}
			e := w.events[0]
			w.events = w.events[1:]
			if f, ok := e.(savedOf); ok {
				f(nil)
				continue
			}
			w.pair.Handle(e)
			for len(w.loads) > 0 {
				load := w.loads[0]
				w.loads = w.loads[1:]
				load(w.stored, nil)
			}
		}
	}
	return b.near.look(), b.far.look()
}

// pass lets time go by for both.
func (b *bridge) pass(d time.Duration) (near, far []string) {
	end := b.near.now.Add(d)
	for {
		next := end
		for _, w := range []*world{b.near, b.far} {
			if !w.timer.IsZero() && w.timer.Before(next) {
				next = w.timer
			}
		}
		b.near.now, b.far.now = next, next
		fired := false
		for _, w := range []*world{b.near, b.far} {
			if !w.timer.IsZero() && !w.timer.After(next) {
				w.timer, fired = time.Time{}, true
				n, f := b.run(w, TimerFired{})
				near, far = append(near, n...), append(far, f...)
			}
		}
		if next.Equal(end) && !fired {
			return near, far
		}
	}
}

func TestTwoGateways(t *testing.T) {
	b := newBridge(t)
	near, far := b.run(b.near, from(mira, xmpp.PresenceSubscribe))
	require.Equal(t, []string{"sip subscribe s1"}, near)
	require.Equal(t, []string{"xmpp subscribe", "notify s1 pending"}, far)
	require.Equal(t, WatchPending, b.near.pair.watch)

	near, _ = b.run(b.far, from(mira, xmpp.PresenceSubscribed)) // on that side it is he who answers
	require.Empty(t, near)
	b.run(b.far, shows(desk, "away"))
	near, _ = b.pass(time.Second)
	require.Equal(t, []string{"xmpp subscribed", "xmpp available /desk away"}, near)

	// Several resources, one after another, and each keeps its name.
	near, _ = b.run(b.far, shows(phone, ""))
	require.Equal(t, []string{"xmpp available /phone"}, near)
	near, _ = b.run(b.far, CallChanged{User: true, Busy: true})
	require.Contains(t, near, "xmpp available /phone dnd On the phone")
	b.run(b.far, CallChanged{User: true})
	near, _ = b.run(b.far, from(desk, xmpp.PresenceUnavailable))
	require.Equal(t, []string{"xmpp unavailable /desk"}, near)
	near, _ = b.run(b.far, from(phone, xmpp.PresenceUnavailable))
	require.Equal(t, []string{"xmpp unavailable /phone"}, near)
	near, _ = b.run(b.far, Refreshed{Watcher: "s1"})
	require.Empty(t, near, "unavailable once")

	// A restart of the far one.
	b.run(b.far, shows(desk, ""))
	b.far.link = false
	b.far.fresh()
	b.far.pair.ports = farPorts{b.far, b}
	b.run(b.far, Restored{Record: b.far.stored, Watchers: []string{"s1"}})
	b.run(b.far, Refreshed{Watcher: "s1"})
	b.far.link = true
	near, far = b.run(b.far, LinkUp{})
	require.Empty(t, near)
	require.Equal(t, []string{"xmpp probe"}, far)
	n, _ := b.pass(19 * time.Second)
	require.Empty(t, n)
	n, _ = b.run(b.far, shows(desk, ""))
	near = append(near, n...)
	n, _ = b.pass(time.Minute)
	require.Empty(t, append(near, n...), "mira sees nothing of it")

	// Logout and login of mira; then he takes his permission back.
	near, far = b.run(b.near, from(desk, xmpp.PresenceUnavailable))
	require.Empty(t, append(near, far...))
	b.pass(time.Minute)
	require.Zero(t, b.far.pair.Watchers())
	b.run(b.near, shows(desk, ""))
	b.pass(3 * time.Second)
	require.Equal(t, WatchActive, b.near.pair.watch)
	near, _ = b.run(b.far, from(mira, xmpp.PresenceUnsubscribed))
	require.Equal(t, []string{"xmpp unavailable /desk", "xmpp unsubscribed"}, near)
	require.Equal(t, Denied, b.near.stored.Watch)
	require.True(t, b.near.pair.Idle() && b.far.pair.Idle())
}

func TestTwoGatewaysWithoutTheUser(t *testing.T) {
	b := newBridge(t)
	b.run(b.near, from(mira, xmpp.PresenceSubscribe))
	near, _ := b.run(b.far, bounce(idAsk, xmpp.ConditionItemNotFound))
	require.Equal(t, []string{"xmpp error item-not-found m-1"}, near)
	require.Equal(t, None, b.near.stored.Watch)

	b = newBridge(t)
	b.run(b.near, from(mira, xmpp.PresenceSubscribe))
	near, _ = b.run(b.far, bounce(idAsk, xmpp.ConditionRemoteServerTimeout))
	require.Empty(t, near)
	require.Equal(t, WatchAskRetry, b.near.pair.watch)
	near, far := b.pass(7 * time.Minute)
	require.Equal(t, []string{"sip subscribe s2"}, near)
	require.Equal(t, []string{"xmpp subscribe", "notify s2 pending"}, far)
}

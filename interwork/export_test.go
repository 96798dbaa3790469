package interwork

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/xmpp"
)

// CallState is what the code of calls uses.
func (g *Gateway) CallState(user xmpp.JID, aor sip.URI, busy bool) { g.callState(user, aor, busy) }

// AfterSubscribe has f called when a SUBSCRIBE of ours may be on the wire and its id is not
// known to the pair yet, as when the goroutine of the pair is not scheduled.
func (g *Gateway) AfterSubscribe(f func()) {
	next := g.events.subscribe
	g.events.subscribe = func(o event.WatchOptions) (*event.Watch, error) {
		w, err := next(o)
		f()
		return w, err
	}
}

// Watches is how many subscriptions of ours the wire has, ended ones not counted.
func (g *Gateway) Watches() int { return g.events.subscriber.Len() }

// HoldLoads has so many records wait, as when the disk is slow, until release is called.
func (g *Gateway) HoldLoads(n int) (release func()) {
	gate := make(chan struct{})
	for range n + loadsAtOnce {
		g.loads.add(func() { <-gate })
	}
	return sync.OnceFunc(func() { close(gate) })
}

// SubscribeBacklog and TooBusy are the limits of new subscriptions.
const SubscribeBacklog = subscribeBacklog

func TooBusy(waited time.Duration, backlog int) bool { return tooBusy(waited, backlog) }

// Unconfirmed is the moment at which publications of before a restart are given up.
func (g *Gateway) Unconfirmed() { g.posters.unconfirmed() }

// PublicationTag is what the store has of what we publish for a user.
func (g *Gateway) PublicationTag(jid string) (tag string) {
	_ = g.store.EventDialogs(context.Background(), func(row store.EventDialogRow) error {
		var r postingRecord
		if row.Kind == kindPosting && row.ID == jid && json.Unmarshal(row.Record, &r) == nil {
			tag = r.ETag
		}
		return nil
	})
	return tag
}

package interwork

import (
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

const winfoPackage = "presence.winfo"

// winfo serves presence.winfo (RFC 3857): a phone of ours sees which XMPP users watch its
// owner, or would like to. It implements event.NotifierOwner for that package.
type winfo struct {
	g *Gateway

	mu    sync.Mutex
	m     map[string]*presence.Watchers      // by AOR of ours
	feeds map[string]map[*winfoFeed]struct{} // the same
}

// winfoFeed is one subscription; it is the subscription's Data.
type winfoFeed struct {
	*presence.WatcherFeed
	sub  *event.Subscription
	aor  sip.URI
	mu   sync.Mutex
	full bool // the next document has to tell all
}

var _ event.NotifierOwner = (*winfo)(nil)

func newWinfo(g *Gateway) *winfo {
	return &winfo{g: g, m: map[string]*presence.Watchers{}, feeds: map[string]map[*winfoFeed]struct{}{}}
}

// admit lets an identity of ours see its own watchers, and nobody else (RFC 3857 §4.6).
func (w *winfo) admit(s *event.Subscribe) event.Admission {
	id, known := w.g.table.ByAOR(s.Resource)
	mine := presence.MayWatchWatchers(s.Watcher.URI.AOR(), s.Resource.AOR())
	if !known || !w.g.isOurs(s.Resource.Host) || !mine && !id.Owns(s.Watcher.URI) {
		return event.Admission{Refuse: &sip.Status{Code: 403}}
	}
	return event.Admission{}
}

// update takes the state of one watcher from its pair.
func (w *winfo) update(aor sip.URI, jid xmpp.JID, s watcherinfo.Status, e watcherinfo.Event) {
	x := w.watcher(aor, jid)
	x.Status, x.Event, x.Since = s, e, time.Now()
	w.of(aor.Key()).Update(x)
	w.tell(aor.Key())
}

func (w *winfo) watcher(aor sip.URI, jid xmpp.JID) mapping.Watcher {
	shown := w.g.addresses.CallerToSIP(jid, aor)
	return mapping.Watcher{URI: shown.URI, Name: shown.Display}
}

func (w *winfo) of(aor string) *presence.Watchers {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m[aor] == nil {
		w.m[aor] = &presence.Watchers{}
	}
	return w.m[aor]
}

// tell tells the phones of an AOR.
func (w *winfo) tell(aor string) {
	w.mu.Lock()
	feeds := make([]*winfoFeed, 0, len(w.feeds[aor]))
	for f := range w.feeds[aor] {
		feeds = append(feeds, f)
	}
	w.mu.Unlock()
	for _, f := range feeds {
		f.notify()
	}
}

func (f *winfoFeed) notify() {
	_ = f.sub.Notify(event.Notification{State: sip.SubscriptionActive, Build: f.build}) // over: Ended comes
}

// build makes the document when it is sent, so that it tells the latest.
func (f *winfoFeed) build(version uint32) (string, []byte) {
	f.mu.Lock()
	full := f.full
	f.full = false
	f.mu.Unlock()
	d, _ := f.Next(mapping.WatchersContext{Resource: f.aor, Package: presencePackage, Version: uint64(version), Full: full, Now: time.Now()})
	return watcherinfo.ContentType, d.Append(nil)
}

// Subscribed implements event.NotifierOwner.
func (w *winfo) Subscribed(s event.Subscribed) {
	w.g.note(w.g.flows.next('p'), s.Watcher.URI.AOR().String(), journal.Gateway, "SUBSCRIBE "+winfoPackage)
	f := w.begin(s.Subscription)
	if !s.Poll() {
		w.keep(f)
	}
	w.g.work.Go(func() { // who waits since before the last restart is in the store only
		w.parked(f.aor)
		f.notify()
	})
}

func (w *winfo) begin(s *event.Subscription) *winfoFeed {
	aor := s.Resource().AOR()
	f := &winfoFeed{WatcherFeed: w.of(aor.Key()).Subscribe(), sub: s, aor: aor}
	s.Data = f
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.feeds[aor.Key()] == nil {
		w.feeds[aor.Key()] = map[*winfoFeed]struct{}{}
	}
	w.feeds[aor.Key()][f] = struct{}{}
	return f
}

// parked adds the watchers of whom no pair is in memory: those who asked, went away and
// are still not answered.
func (w *winfo) parked(aor sip.URI) {
	list := w.of(aor.Key())
	err := w.g.store.AuthorisationsOfAOR(w.g.workCtx, aor.Key(), func(row store.AuthorisationRow) error {
		jid, err := xmpp.ParseJID(row.JID)
		if err != nil || row.Wanted || presence.ParseAuthorisation(row.Watch) != presence.Asked {
			return nil
		}
		x := w.watcher(aor, jid)
		x.Status, x.Event, x.Since = watcherinfo.Waiting, watcherinfo.GiveUp, row.WatchSince
		list.Update(x)
		return nil
	})
	if err != nil && w.g.workCtx.Err() == nil {
		w.g.log.Warn().Err(err).Str("aor", aor.String()).Msg("waiting watchers cannot be read")
	}
}

// Refreshed implements event.NotifierOwner.
func (w *winfo) Refreshed(s *event.Subscription, _ event.Refreshed) {
	f, ok := s.Data.(*winfoFeed)
	if !ok {
		return
	}
	f.mu.Lock()
	f.full = true
	f.mu.Unlock()
	w.keep(f)
	f.notify()
}

// Ended implements event.NotifierOwner.
func (w *winfo) Ended(s *event.Subscription, _ event.Ended) {
	f, ok := s.Data.(*winfoFeed)
	if !ok {
		return
	}
	w.g.events.forget(kindWinfo, s.ID())
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.feeds[f.aor.Key()], f)
	if len(w.feeds[f.aor.Key()]) == 0 {
		delete(w.feeds, f.aor.Key())
	}
	f.Close()
}

// kindWinfo marks rows in the store's table of event dialogs.
const kindWinfo = "winfo"

func (w *winfo) keep(f *winfoFeed) {
	r := f.sub.Record()
	w.g.events.keep(store.EventDialogRow{Kind: kindWinfo, ID: r.ID, Expires: r.Expires}, pairKey{aor: f.aor.Key()}, r)
}

package interwork

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/registrar"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
)

const presencePackage = "presence"

// Kinds of rows in the store's table of event dialogs.
const (
	kindWatcher = "watcher" // a SIP user watches an XMPP user
	kindWatch   = "watch"   // an XMPP user watches a SIP user
)

// events ties RFC 6665 to the presence of pairs: it owns the tables that find the pair
// of a dialog and the dialog of a pair, and keeps the dialogs' records in the store.
type events struct {
	g          *Gateway
	notifier   *event.Notifier
	subscriber *event.Subscriber
	subscribe  func(event.WatchOptions) (*event.Watch, error) // of subscriber
	settings   *presence.Settings
	refusals   presence.Refusals

	mu       sync.Mutex
	watchers map[string]*event.Subscription // by event.Subscription.ID
	watches  map[string]*watchRef           // by watchRef.id
	local    map[string]map[pairKey]bool    // pairs that follow what is known of an AOR here
	silent   map[string]time.Time           // AORs whose phones take no SUBSCRIBE, until when
	backlog  backlog
}

// silentFor is how long a phone that refused a SUBSCRIBE is not asked again.
const silentFor = 24 * time.Hour

// watcherRef is the owner's part of a SIP user's subscription.
type watcherRef struct{ key pairKey }

func (g *Gateway) buildEvents() (err error) {
	e := &events{
		g: g, settings: presence.Settings{}.WithDefaults(),
		watchers: make(map[string]*event.Subscription), watches: make(map[string]*watchRef),
		local: make(map[string]map[pairKey]bool), silent: make(map[string]time.Time),
	}
	g.events, g.winfo, g.lists = e, newWinfo(g), newLists(g)
	e.notifier, err = event.NewNotifier(event.NotifierConfig{
		Sender: g.ua, Admit: e.admit, Log: g.log,
		Packages: []event.Package{
			{Name: presencePackage, Accept: []string{pidf.ContentType}, Owner: e},
			{Name: winfoPackage, Accept: []string{watcherinfo.ContentType}, Owner: g.winfo},
		},
	})
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	e.subscriber, err = event.NewSubscriber(event.SubscriberConfig{Sender: g.ua, Route: e.route, Log: g.log})
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	e.subscribe = e.subscriber.Subscribe
	g.ua.Handle(sip.SUBSCRIBE, g.sipSubscribe)
	g.ua.Handle(sip.NOTIFY, e.subscriber.Handle)
	g.registrar.Watch(e.registered)
	return nil
}

const (
	// subscribeTurn is how long a SUBSCRIBE may have waited for its turn before what it
	// would begin is left for later: its sender repeats it meanwhile, and each subscription
	// costs more behind its answer than before it.
	subscribeTurn = 4 * time.Second
	// subscribeBacklog is how many pairs may wait for their records, some seconds of work.
	subscribeBacklog = 8192
)

// tooBusy tells whether a new subscription would only make a backlog longer.
func tooBusy(waited time.Duration, backlog int) bool {
	return waited > subscribeTurn || backlog >= subscribeBacklog
}

// sipSubscribe takes a SUBSCRIBE from the SIP side. Those in a dialog are always taken: a
// refusal would lose what stands.
func (g *Gateway) sipSubscribe(in *ua.Inbound) {
	if g.draining.Load() || sip.ToTag(in.Request) == "" && tooBusy(time.Since(in.Received), g.loads.waiting()) {
		g.answer(in, "", cause.Overloaded(nil).Status())
		return
	}
	if refused := sip.RefuseSIPS(in.Request); refused != nil {
		g.answer(in, "", *refused)
		return
	}
	caller, ok := g.caller(in)
	if !ok {
		return
	}
	g.events.notifier.Handle(in, caller)
}

// pairOf is the pair of a SIP watcher and what it watches.
func (e *events) pairOf(resource, watcher sip.URI) (pairKey, error) {
	to, err := e.g.addresses.ToXMPP(resource)
	if err != nil {
		return pairKey{}, err
	}
	aor, err := e.g.addresses.Canonical(watcher)
	if err != nil {
		aor = watcher.AOR()
	}
	return newPairKey(to, aor), nil
}

// admit implements event.NotifierConfig.Admit.
func (e *events) admit(s *event.Subscribe) event.Admission {
	switch {
	case s.Package == winfoPackage:
		return e.g.winfo.admit(s)
	case e.g.lists.is(s.Resource):
		return e.g.lists.admit(s)
	}
	key, err := e.pairOf(s.Resource, s.Watcher.URI)
	if err != nil {
		st := addressStatus(err)
		return event.Admission{Refuse: &st}
	}
	return event.Admission{Refuse: presence.Admit(s.Watcher.URI, presence.Confirm, e.refusals.Denied(key.String(), e.settings))}
}

// Subscribed implements event.NotifierOwner.
func (e *events) Subscribed(s event.Subscribed) {
	if e.g.lists.is(s.Resource) {
		e.g.lists.subscribed(s)
		return
	}
	key, err := e.pairOf(s.Resource, s.Watcher.URI)
	if err != nil {
		_ = s.Subscription.Notify(event.Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonNoResource})
		return
	}
	// The key outlives the request, of whose text it is made.
	key.jid, key.aor = key.jid.Clone(), strings.Clone(key.aor)
	s.Subscription.Data = &watcherRef{key}
	e.mu.Lock()
	e.watchers[s.Subscription.ID()] = s.Subscription
	e.mu.Unlock()
	e.keepWatcher(key, s.Subscription)
	flow := e.g.flows.next('p')
	e.g.note(flow, key.aor, journal.Gateway, "SUBSCRIBE")
	e.g.pairs.post(key, presence.Watched{Flow: flow, Watcher: s.Subscription.ID(), Poll: s.Poll(), Hops: max(s.MaxForwards, 0)})
}

// Refreshed implements event.NotifierOwner.
func (e *events) Refreshed(s *event.Subscription, _ event.Refreshed) {
	if l, ok := s.Data.(*listSub); ok {
		l.refreshed()
		return
	}
	ref, ok := s.Data.(*watcherRef)
	if !ok {
		return
	}
	e.keepWatcher(ref.key, s)
	e.g.pairs.post(ref.key, presence.Refreshed{Flow: e.g.flows.next('p'), Watcher: s.ID()})
}

// Ended implements event.NotifierOwner.
func (e *events) Ended(s *event.Subscription, end event.Ended) {
	if l, ok := s.Data.(*listSub); ok {
		l.ended()
		return
	}
	e.mu.Lock()
	delete(e.watchers, s.ID())
	e.mu.Unlock()
	ref, ok := s.Data.(*watcherRef)
	if !ok {
		return
	}
	e.forget(kindWatcher, s.ID())
	flow := e.g.flows.next('p')
	e.g.note(flow, ref.key.aor, journal.Gateway, "subscription ends: "+end.Cause.String())
	e.g.pairs.post(ref.key, presence.WatcherEnded{Flow: flow, Watcher: s.ID()})
}

func (e *events) subscriptionOf(id string) *event.Subscription {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watchers[id]
}

func (e *events) setSilent(aor string) {
	e.mu.Lock()
	e.silent[aor] = time.Now().Add(silentFor)
	e.mu.Unlock()
}

func (e *events) isSilent(aor string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Now().Before(e.silent[aor])
}

func (e *events) watchLocal(key pairKey, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch m := e.local[key.aor]; {
	case on && m == nil:
		e.local[key.aor] = map[pairKey]bool{key: true}
	case on:
		m[key] = true
	default:
		delete(m, key)
		if len(m) == 0 {
			delete(e.local, key.aor)
		}
	}
}

// registered implements the registrar's watcher.
func (e *events) registered(aor sip.URI, list []registrar.Binding) {
	if len(list) == 0 {
		e.mu.Lock()
		delete(e.silent, aor.Key()) // the next phone may be another one
		e.mu.Unlock()
	}
	e.tellLocal(aor.Key(), list)
}

// localMoved tells the pairs of an AOR what is known here of its phones.
func (e *events) localMoved(aor sip.URI) { e.tellLocal(aor.Key(), e.g.registrar.Lookup(aor)) }

func (e *events) tellLocal(aor string, list []registrar.Binding) {
	e.mu.Lock()
	keys := make([]pairKey, 0, len(e.local[aor]))
	for k := range e.local[aor] {
		keys = append(keys, k)
	}
	e.mu.Unlock()
	for _, k := range keys {
		e.g.localChanged(k, list)
	}
}

// localChanged tells a pair which phones of its SIP user are registered, and what they
// publish.
func (g *Gateway) localChanged(key pairKey, list []registrar.Binding) {
	changed := presence.LocalChanged{Flow: g.flows.next('p'), Documents: g.publications.documents(key.aor)}
	for _, b := range list {
		changed.Devices = append(changed.Devices, mapping.DeviceResource(sip.NameAddr{URI: b.Contact, Params: contactParams(b)}))
	}
	g.pairs.post(key, changed)
}

// restore brings dialogs and authorisations back, so that nobody notices the restart.
func (e *events) restore(ctx context.Context) error {
	ctx, cancel := e.g.restoreContext(ctx)
	defer cancel()
	type dialogs struct {
		watchers []string
		watch    string
	}
	found := map[pairKey]*dialogs{}
	at := func(k pairKey) *dialogs {
		if found[k] == nil {
			found[k] = &dialogs{}
		}
		return found[k]
	}
	var over []store.EventDialogRow
	var restored []*listSub
	published := map[string][]event.Publication{}
	err := e.g.store.EventDialogs(ctx, func(row store.EventDialogRow) error {
		var err error
		var key pairKey
		switch row.Kind {
		case kindPublication:
			err = e.g.publications.restore(row, published)
		case kindPosting:
			err = e.g.posters.restore(row)
		case kindWinfo, kindList:
			var s *event.Subscription
			if s, err = e.restoreSubscription(row); err != nil {
				break
			}
			if row.Kind == kindList {
				restored = append(restored, e.g.lists.add(s))
			} else {
				e.g.winfo.begin(s)
			}
		default:
			if key, err = parsePairKey(row.JID + " " + row.AOR); err != nil {
				break
			}
			err = e.restoreDialog(row, key, func(watcher, watch string) {
				if watcher != "" {
					at(key).watchers = append(at(key).watchers, watcher)
				} else {
					at(key).watch = watch
				}
			})
		}
		if err != nil {
			over = append(over, row)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("interwork: subscriptions: %w", err)
	}
	for aor, list := range published {
		e.g.publications.set(aor, list)
	}
	for _, row := range over { // they have ended meanwhile
		e.forget(row.Kind, row.ID)
	}
	defer func() {
		for _, l := range restored { // after their pairs
			e.g.lists.load(l, listSettle)
		}
	}()
	return e.g.store.Authorisations(ctx, func(row store.AuthorisationRow) error {
		key, err := parsePairKey(row.JID + " " + row.AOR)
		if err != nil {
			return nil
		}
		record := recordOf(row)
		if row.AOR == "" { // the gateway itself is no pair
			e.g.gates.restore(key.jid, record)
			return nil
		}
		e.refusals.Note(key.String(), &record)
		d := found[key]
		if d == nil {
			if !record.Wanted && record.Owed == 0 {
				return nil // its record is read when somebody asks
			}
			d = &dialogs{}
		}
		e.g.pairs.post(key, presence.Restored{Record: record, Watchers: d.watchers, Subscription: d.watch})
		return nil
	})
}

func (e *events) restoreSubscription(row store.EventDialogRow) (*event.Subscription, error) {
	var r event.Record
	if err := json.Unmarshal(row.Record, &r); err != nil {
		return nil, err
	}
	return e.notifier.Restore(r)
}

func (e *events) restoreDialog(row store.EventDialogRow, key pairKey, found func(watcher, watch string)) error {
	switch row.Kind {
	case kindWatcher:
		s, err := e.restoreSubscription(row)
		if err != nil {
			return err
		}
		s.Data = &watcherRef{key}
		e.mu.Lock()
		e.watchers[s.ID()] = s
		e.mu.Unlock()
		found(s.ID(), "")
	case kindWatch:
		var r event.WatchRecord
		if err := json.Unmarshal(row.Record, &r); err != nil {
			return err
		}
		ref := &watchRef{key: key, id: row.ID, answered: true}
		w, err := e.subscriber.Restore(r, e, ref)
		if err != nil {
			return err
		}
		ref.watch = w
		e.addWatch(ref)
		found("", row.ID)
	}
	return nil
}

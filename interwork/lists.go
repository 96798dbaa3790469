package interwork

import (
	"hash/fnv"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/rlmi"
	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	kindList   = "list"
	eventList  = "eventlist" // option tag (RFC 4662 §4.1)
	listPrefix = "L"         // of the ids of a list's dialogs with its pairs
	// listSettle is how long the first document waits for the members; of a poll it is
	// the only one.
	listSettle     = 400 * time.Millisecond
	listSettlePoll = 2500 * time.Millisecond
	// listLimit bounds the body of one NOTIFY, in bytes, under what a message may have; the
	// rest follows in the next.
	listLimit = 48 << 10
)

// lists serves resource lists (RFC 4662): whoever has a phone here subscribes to one URI,
// sip:contacts@ours, and sees all XMPP users that his roster would have (presence.Members).
type lists struct {
	g *Gateway

	mu    sync.Mutex
	byID  map[string]*listSub          // by listSub.id
	byAOR map[string]map[*listSub]bool // by watcher
}

// listSub is one subscription to a list; it is the subscription's Data.
type listSub struct {
	ls   *lists
	sub  *event.Subscription
	id   string  // as the pairs know it
	aor  sip.URI // whose contacts they are
	uri  string  // of the list
	list *presence.List

	mu    sync.Mutex
	over  map[xmpp.JID]bool // members whose pair has dropped our dialog
	full  bool              // the next document has to tell all
	ready bool              // the first document may go out
	rest  []rlmi.Body       // of a document that was too large
}

func newLists(g *Gateway) *lists {
	return &lists{g: g, byID: map[string]*listSub{}, byAOR: map[string]map[*listSub]bool{}}
}

// is tells the URI of the list. An identity of that name comes first.
func (ls *lists) is(u sip.URI) bool {
	if ls.g.cfg.ContactList == "" || u.User != ls.g.cfg.ContactList || !ls.g.isOurs(u.Host) {
		return false
	}
	_, taken := ls.g.table.ByAOR(u)
	return !taken
}

// admit lets identities of ours in, if their phones understand lists.
func (ls *lists) admit(s *event.Subscribe) event.Admission {
	refuse := func(st sip.Status) event.Admission { return event.Admission{Refuse: &st} }
	if _, known := ls.g.table.ByAOR(s.Watcher.URI); !known {
		return refuse(sip.Status{Code: 403})
	}
	if !s.EventList {
		return refuse(sip.Status{Code: 421, Headers: []sip.Header{sip.MustHeader("Require", eventList)}})
	}
	return event.Admission{Require: eventList}
}

// subscribed begins a list.
func (ls *lists) subscribed(s event.Subscribed) {
	ls.g.note(ls.g.flows.next('p'), s.Watcher.URI.AOR().String(), journal.Gateway, "SUBSCRIBE (list)")
	l := ls.add(s.Subscription)
	settle := listSettlePoll
	if !s.Poll() {
		settle = listSettle
		l.keep()
	}
	ls.load(l, settle)
}

func (ls *lists) add(s *event.Subscription) *listSub {
	aor, err := ls.g.addresses.Canonical(s.Watcher())
	if err != nil {
		aor = s.Watcher().AOR()
	}
	l := &listSub{
		ls: ls, sub: s, id: listPrefix + s.ID(), aor: aor, uri: s.Resource().String(), list: presence.NewList(nil),
		over: map[xmpp.JID]bool{}, full: true,
	}
	s.Data = l
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.byID[l.id] = l
	if ls.byAOR[aor.Key()] == nil {
		ls.byAOR[aor.Key()] = map[*listSub]bool{}
	}
	ls.byAOR[aor.Key()][l] = true
	return l
}

// load reads who is on the list, asks their pairs, and lets the first document out a
// little later.
func (ls *lists) load(l *listSub, settle time.Duration) {
	ls.g.work.Go(func() {
		var err error
		members := presence.Members(func(yield func(xmpp.JID, presence.Record) bool) {
			err = ls.g.store.AuthorisationsOfAOR(ls.g.workCtx, l.aor.Key(), func(row store.AuthorisationRow) error {
				if jid, bad := xmpp.ParseJID(row.JID); bad == nil {
					yield(jid, recordOf(row))
				}
				return nil
			})
		})
		if err != nil && ls.g.workCtx.Err() == nil {
			ls.g.log.Warn().Err(err).Str("aor", l.aor.String()).Msg("contact list cannot be read")
		}
		for i := range members {
			members[i].Name = ls.nameOf(members[i].JID)
		}
		added, _ := l.list.Set(members)
		for _, m := range added {
			l.join(m.JID)
		}
		timer := time.NewTimer(settle)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ls.g.workCtx.Done():
			return
		}
		l.mu.Lock()
		l.ready = true
		l.mu.Unlock()
		l.notify()
	})
}

func (ls *lists) nameOf(j xmpp.JID) string {
	if id, ok := ls.g.table.ByJID(j); ok {
		return id.Name
	}
	return ""
}

// join gives the pair of a member a dialog of the list. She is not asked for its sake.
func (l *listSub) join(j xmpp.JID) {
	l.mu.Lock()
	delete(l.over, j)
	l.mu.Unlock()
	l.ls.g.pairs.post(newPairKey(j, l.aor), presence.Watched{Flow: l.ls.g.flows.next('p'), Watcher: l.id, Quiet: true})
}

func (l *listSub) leave(j xmpp.JID) {
	l.ls.g.pairs.post(newPairKey(j, l.aor), presence.WatcherEnded{Watcher: l.id})
}

// told takes what the pair of a member tells the list; false when id is none of a list.
func (ls *lists) told(id string, j xmpp.JID, n presence.Notification) bool {
	ls.mu.Lock()
	l := ls.byID[id]
	ls.mu.Unlock()
	if l == nil {
		return false
	}
	if n.State == presence.DialogTerminated {
		l.mu.Lock()
		l.over[j] = true
		l.mu.Unlock()
	}
	if l.list.Update(j, n) {
		l.notify()
	}
	return true
}

// recorded follows the authorisations of a pair: contacts come and go.
func (ls *lists) recorded(k pairKey, r *presence.Record) {
	ls.mu.Lock()
	subs := make([]*listSub, 0, len(ls.byAOR[k.aor]))
	for l := range ls.byAOR[k.aor] {
		subs = append(subs, l)
	}
	ls.mu.Unlock()
	for _, l := range subs {
		l.recorded(k.jid, r)
	}
}

func (l *listSub) recorded(j xmpp.JID, r *presence.Record) {
	one := iter.Seq2[xmpp.JID, presence.Record](func(yield func(xmpp.JID, presence.Record) bool) { yield(j, *r) })
	is := len(presence.Members(one)) > 0
	switch was := l.list.Has(j); {
	case is && !was:
		l.list.Add(presence.Member{JID: j, Name: l.ls.nameOf(j)})
		l.join(j)
	case !is && was:
		l.list.Remove(j)
		l.leave(j)
	case is && l.wasOver(j) && r.Share == presence.Granted:
		l.join(j)
		return
	default:
		return
	}
	l.notify()
}

func (l *listSub) wasOver(j xmpp.JID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over[j]
}

// refreshed tells all again.
func (l *listSub) refreshed() {
	l.mu.Lock()
	l.full = true
	l.mu.Unlock()
	l.keep()
	l.notify()
}

func (l *listSub) ended() {
	ls := l.ls
	ls.mu.Lock()
	delete(ls.byID, l.id)
	delete(ls.byAOR[l.aor.Key()], l)
	if len(ls.byAOR[l.aor.Key()]) == 0 {
		delete(ls.byAOR, l.aor.Key())
	}
	ls.mu.Unlock()
	ls.g.events.forget(kindList, l.sub.ID())
	_, removed := l.list.Set(nil)
	for _, m := range removed {
		l.leave(m.JID)
	}
}

func (l *listSub) keep() {
	r := l.sub.Record()
	l.ls.g.events.keep(store.EventDialogRow{Kind: kindList, ID: r.ID, Expires: r.Expires}, pairKey{aor: l.aor.Key()}, r)
}

func (l *listSub) notify() {
	l.mu.Lock()
	ready, rest := l.ready, len(l.rest) > 0
	l.mu.Unlock()
	if ready {
		_ = l.sub.Notify(event.Notification{State: sip.SubscriptionActive, Urgent: rest, Build: l.build}) // over: Ended comes
	}
}

// build makes the document when it is sent, so that it tells the latest of everybody.
func (l *listSub) build(version uint32) (contentType string, data []byte) {
	l.mu.Lock()
	if len(l.rest) == 0 {
		entries, full := l.list.Next(l.full || version == 0)
		l.full = false
		body := l.body(entries, full)
		l.rest = body.Split(listLimit)
	}
	next := l.rest[0]
	l.rest = l.rest[1:]
	more := len(l.rest) > 0
	l.mu.Unlock()
	next.List.Version = version
	data, contentType = next.Append(nil)
	if more {
		l.notify()
	}
	return contentType, data
}

// body is the multipart body of RFC 4662 §5.
func (l *listSub) body(entries []presence.Entry, full bool) rlmi.Body {
	g := l.ls.g
	b := rlmi.Body{Domain: g.self.Domain(), List: rlmi.List{URI: l.uri, Full: full}}
	for i := range entries {
		e := &entries[i]
		entity := g.addresses.CallerToSIP(e.JID, l.aor)
		r := rlmi.Resource{URI: entity.URI.String()}
		if e.Name != "" {
			r.Names = []rlmi.Name{{Text: e.Name}}
		}
		id := instanceID(e.JID)
		switch {
		case e.State == presence.DialogPending:
			r.Instances = []rlmi.Instance{{ID: id, State: rlmi.Pending}}
		case e.State == presence.DialogTerminated:
			r.Instances = []rlmi.Instance{{ID: id, State: rlmi.Terminated, Reason: string(e.Reason)}}
		case e.State == presence.DialogActive && e.Document:
			cid := id + "@" + g.self.Domain()
			d, _ := mapping.PresenceToPIDF(e.Resources, mapping.PresenceContext{Entity: entity.URI, Name: entity.Display, OnThePhone: e.OnThePhone, IconBase: g.avatars.base})
			g.avatars.offerTo(d, e.JID, l.aor)
			r.Instances = []rlmi.Instance{{ID: id, State: rlmi.Active, CID: cid}}
			b.Parts = append(b.Parts, rlmi.Part{CID: cid, ContentType: pidf.ContentType, Data: d.Append(nil)})
		}
		b.List.Resources = append(b.List.Resources, r)
	}
	return b
}

// instanceID is the same for the same member, and needs no escaping anywhere.
func instanceID(j xmpp.JID) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(j.String()))
	return "m" + strconv.FormatUint(h.Sum64(), 36)
}

package presence

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

// MayWatchWatchers tells who may subscribe to presence.winfo of an AOR of ours: its owner
// and nobody else (RFC 3857 §4.6).
func MayWatchWatchers(subscriber, resource sip.URI) bool {
	return !subscriber.IsZero() && subscriber.Key() == resource.Key()
}

// Watchers are the XMPP users who watch one AOR of ours, or would like to (RFC 3857). The
// pairs of the AOR tell it by Ports.Watched. It may be used by many goroutines.
type Watchers struct {
	mu    sync.Mutex
	list  map[xmpp.JID]*watcherinfo.Watcher
	since map[xmpp.JID]time.Time
	feeds []*WatcherFeed
	next  uint64 // id
}

// WatcherFeed is one subscription to presence.winfo of the AOR.
type WatcherFeed struct {
	w       *Watchers
	changed map[xmpp.JID]watcherinfo.Watcher
	full    bool
}

// Update takes the state of one watcher; uri is what the phone may show and call, such as
// "sip:mira@chat.harbor.example".
func (w *Watchers) Update(user xmpp.JID, uri string, s watcherinfo.Status, e watcherinfo.Event, now time.Time) {
	user = user.Bare()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list, w.since = map[xmpp.JID]*watcherinfo.Watcher{}, map[xmpp.JID]time.Time{}
	}
	x := w.list[user]
	if x == nil {
		if s == watcherinfo.Terminated {
			return
		}
		w.next++
		x = &watcherinfo.Watcher{ID: "w" + strconv.FormatUint(w.next, 36)}
		w.list[user], w.since[user] = x, now
	}
	x.URI, x.Status, x.Event = uri, s, e
	if s == watcherinfo.Terminated { // told once
		delete(w.list, user)
		defer delete(w.since, user)
	}
	for _, f := range w.feeds {
		f.changed[user] = *x
	}
}

// Len is how many there are.
func (w *Watchers) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.list)
}

// Subscribe begins a feed. End it with Close.
func (w *Watchers) Subscribe() *WatcherFeed {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &WatcherFeed{w: w, changed: map[xmpp.JID]watcherinfo.Watcher{}, full: true}
	w.feeds = append(w.feeds, f)
	return f
}

// Feeds is how many subscriptions there are: with none, nobody can be asked.
func (w *Watchers) Feeds() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.feeds)
}

// Close ends the feed.
func (f *WatcherFeed) Close() {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.feeds = slices.DeleteFunc(f.w.feeds, func(o *WatcherFeed) bool { return o == f })
}

// Changed tells whether there is anything to tell.
func (f *WatcherFeed) Changed() bool {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.full || len(f.changed) > 0
}

// Next is what the subscriber is told next: all watchers, when that is asked for (in the
// first notification and after a refresh), else those that have changed.
func (f *WatcherFeed) Next(all bool, now time.Time) (list []watcherinfo.Watcher, full bool) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	full = all || f.full
	f.full = false
	add := func(user xmpp.JID, x watcherinfo.Watcher) {
		if since, ok := f.w.since[user]; ok {
			x.Subscribed = max(now.Sub(since), 0).Truncate(time.Second)
		}
		list = append(list, x)
	}
	if full {
		for user, x := range f.w.list {
			add(user, *x)
		}
	}
	for user, x := range f.changed {
		if !full || x.Status == watcherinfo.Terminated {
			add(user, x)
		}
	}
	clear(f.changed)
	slices.SortFunc(list, func(a, b watcherinfo.Watcher) int { return strings.Compare(a.ID, b.ID) })
	return list, full
}

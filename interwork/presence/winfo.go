package presence

import (
	"slices"
	"sync"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
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
	list  []mapping.Watcher
	feeds []*WatcherFeed
}

// WatcherFeed is one subscription to presence.winfo of the AOR.
type WatcherFeed struct {
	w    *Watchers
	told []mapping.Watcher // what the subscriber knows
	over []mapping.Watcher // who left since
	full bool              // it knows nothing yet
}

// Update takes the state of one watcher, who is known by the URI. Since is kept from the
// first time.
func (w *Watchers) Update(x mapping.Watcher) {
	key := x.URI.Key()
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.list, func(o mapping.Watcher) bool { return o.URI.Key() == key })
	if i >= 0 {
		x.Since = w.list[i].Since
	}
	switch {
	case x.Status != watcherinfo.Terminated && i < 0:
		w.list = append(w.list, x)
	case x.Status != watcherinfo.Terminated:
		w.list[i] = x
	case i >= 0: // told once
		w.list = slices.Delete(w.list, i, i+1)
		for _, f := range w.feeds {
			f.over = append(f.over, x)
		}
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
	f := &WatcherFeed{w: w, full: true}
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

// Next is the document that the subscriber is told next: all watchers in the first one and
// when c asks for that, else those that have changed. changed is false when there is
// nothing to tell.
func (f *WatcherFeed) Next(c mapping.WatchersContext) (d *watcherinfo.Document, changed bool) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	c.Full = c.Full || f.full
	next := slices.Clone(f.w.list)
	d, changed = mapping.WatchersToInfo(f.told, append(next[:len(next):len(next)], f.over...), c)
	f.told, f.over, f.full = next, nil, false
	return d, changed
}

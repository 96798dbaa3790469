package mapping

import (
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
)

// Watcher is one who watches, or would like to watch, a user, as presence.winfo tells it (RFC 3857).
type Watcher struct {
	URI     sip.URI // of the watcher, who may be an XMPP user
	Name    string  // display name or nickname
	Status  watcherinfo.Status
	Event   watcherinfo.Event // what brought it into the status
	Since   time.Time         // when it began; zero: not told
	Expires time.Time         // when it ends; zero: not told
}

// WatchersContext is what WatchersToInfo cannot find out itself.
type WatchersContext struct {
	Resource sip.URI // who is watched
	Package  string  // empty: presence
	Version  uint64  // of the document
	Full     bool    // first notification, or after a refresh (RFC 3857 §4.7)
	Now      time.Time
}

// WatchersToInfo makes the document that tells the watchers of a user: all of them, or those that changed since
// prev was told. A watcher who is no longer there is told as terminated, and one who is terminated and was not
// there before is not told at all. Of several entries for one watcher the first counts. changed is false when
// there is nothing to tell.
func WatchersToInfo(prev, next []Watcher, c WatchersContext) (d *watcherinfo.Document, changed bool) {
	l := watcherinfo.List{Resource: c.Resource.AOR().String(), Package: c.Package}
	if l.Package == "" {
		l.Package = "presence"
	}
	before := make(map[string]*Watcher, len(prev))
	for i := range prev {
		before[prev[i].URI.Key()] = &prev[i]
	}
	seen := make(map[string]bool, len(next))
	for i := range next {
		w := &next[i]
		key := w.URI.Key()
		if seen[key] {
			continue
		}
		seen[key] = true
		old := before[key]
		over := w.Status == watcherinfo.Terminated
		same := old != nil && old.Status == w.Status && old.Event == w.Event && old.Name == w.Name
		if c.Full && !over || !c.Full && !same && (old != nil || !over) {
			l.Watchers = append(l.Watchers, c.watcher(w))
		}
	}
	for i := range prev {
		w := prev[i]
		key := w.URI.Key()
		if seen[key] || w.Status == watcherinfo.Terminated || c.Full {
			continue
		}
		seen[key] = true
		w.Status, w.Event, w.Expires = watcherinfo.Terminated, watcherinfo.Timeout, time.Time{}
		l.Watchers = append(l.Watchers, c.watcher(&w))
	}
	d = &watcherinfo.Document{Version: c.Version, Partial: !c.Full, Lists: []watcherinfo.List{l}}
	return d, c.Full || len(l.Watchers) > 0
}

func (c *WatchersContext) watcher(w *Watcher) watcherinfo.Watcher {
	key := w.URI.Key()
	x := watcherinfo.Watcher{
		// The same for the same watcher, however often he comes and goes.
		ID:  string(appendHash([]byte("w"), fnv(fnvStart, key), 13)),
		URI: w.URI.AOR().String(), Status: w.Status, Event: w.Event, Name: cleanLine(w.Name, maxDisplay),
	}
	if d := w.Expires.Sub(c.Now); !w.Expires.IsZero() && d > 0 && w.Status != watcherinfo.Terminated {
		x.Expiration = d.Truncate(time.Second)
	}
	if d := c.Now.Sub(w.Since); !w.Since.IsZero() && d > 0 {
		x.Subscribed = d.Truncate(time.Second)
	}
	return x
}

package presence

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/mapping"
)

// saveAgain is the pause after the store refused.
const saveAgain = time.Second

// restored brings the pair back to where it was: nobody on either side notices.
func (p *Pair) restored(e *Restored) {
	if !p.isLoaded {
		waiting := p.waiting
		p.waiting, p.isLoading = nil, false
		for _, id := range e.Watchers {
			p.addWatcher(watcher{id: id})
		}
		p.adopt(&e.Record, e.Subscription)
		for _, w := range waiting {
			p.dispatch(w)
		}
		return
	}
	for _, id := range e.Watchers {
		p.addWatcher(watcher{id: id})
	}
	switch {
	case e.Subscription == "" || e.Subscription == p.sub:
	case p.watch.HasDialog() && p.sub == "" && !p.local:
		p.sub = e.Subscription
	default:
		p.ports.Unsubscribe("", e.Subscription)
	}
}

// adopt takes the record.
func (p *Pair) adopt(r *Record, subscription string) {
	p.isLoaded = true
	p.owed = r.Owed
	p.watchSince, p.watchAsked = unix(r.WatchSince), unix(r.WatchAsked)
	p.shareSince, p.shareAsked = unix(r.ShareSince), unix(r.ShareAsked)
	p.session = SessionUnknown
	if r.Watch == Granted && !r.Wanted {
		p.session = SessionOffline
	}
	again := func() {
		p.after(dueRetry, p.part(p.settings.Spread))
	}
	switch r.Watch {
	case Asked:
		p.after(dueWatch, p.left(p.watchSince, p.settings.GiveUp))
		switch {
		case subscription != "":
			p.watch = WatchPending
		case r.Wanted:
			p.watch = WatchAskRetry
			again()
		default:
			p.watch = WatchAskParked
			p.due.clear(dueWatch)
		}
	case Granted:
		p.peer, p.stale = resourcesShown(r.Shown)
		switch {
		case subscription != "":
			p.watch = WatchActive
		case r.Wanted:
			p.watch = WatchRetry
			again()
		default:
			p.watch = WatchOffline
			p.peer, p.stale = nil, false
		}
	case Denied:
		p.watch = WatchDenied
	}
	p.shown = p.shownHash()
	switch {
	case p.watch.HasDialog() && subscription != "":
		p.sub, p.opened = subscription, p.clock()
		if p.ports.Presentity().Ours {
			p.ours = true
			p.ports.WatchLocal(true)
			p.tellPhones(p.watch, WatchAccepted)
		}
	case subscription != "":
		p.ports.Unsubscribe("", subscription)
	}
	if p.watch.wanted() {
		p.after(dueUnseen, p.settings.Unseen)
	}
	switch r.Share {
	case Asked:
		p.share = SharePending
		p.after(dueShare, p.left(p.shareSince, p.settings.GiveUp))
	case Granted:
		p.share = ShareGranted
	case Denied:
		p.share = ShareDenied
	}
	if r.Share == None && p.shareAsked != 0 && p.askedLongAgo() {
		p.shareAsked, p.dirty = 0, true
	}
	if p.ports.LinkUp() {
		p.linkUp()
	}
}

// askedLongAgo tells whether she may be asked again.
func (p *Pair) askedLongAgo() bool {
	return p.now().Unix()-p.shareAsked >= int64(p.settings.AskAgain/time.Second)
}

// left is what is left of d since a time; never quite nothing, for many are restored at
// once.
func (p *Pair) left(since int64, d time.Duration) time.Duration {
	left := d - p.now().Sub(time.Unix(since, 0))
	return min(max(left, p.part(p.settings.Spread)), d)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// record is what is to be kept now.
func (p *Pair) record() Record {
	r := Record{
		Watch: p.watch.Authorisation(), WatchSince: fromUnix(p.watchSince), WatchAsked: fromUnix(p.watchAsked),
		Share: p.share.Authorisation(), ShareSince: fromUnix(p.shareSince), ShareAsked: fromUnix(p.shareAsked),
		Wanted: p.watch.wanted(), Owed: p.owed,
	}
	if r.Watch == None {
		r.WatchSince, r.WatchAsked = time.Time{}, time.Time{}
	}
	if r.Share == None {
		r.ShareSince = time.Time{}
		if p.askedLongAgo() {
			r.ShareAsked = time.Time{}
		}
	}
	for i := range p.peer {
		if !p.peer[i].Closed {
			r.Shown = append(r.Shown, shownText(&p.peer[i]))
		}
	}
	return r
}

// save writes the record when it has changed; what changes meanwhile is written after.
func (p *Pair) save() {
	if !p.dirty || p.isSaving || p.due.has(dueSave) || !p.isLoaded {
		return
	}
	r := p.record()
	if err := p.ports.Save(r, func(err error) { p.ports.Post(saved{err}) }); err != nil {
		p.after(dueSave, saveAgain+p.part(saveAgain))
		return
	}
	p.dirty, p.isSaving = false, true
	p.shown = p.shownHash()
}

// peerMoved makes the record dirty when other devices are shown than before; what they
// show is not worth a disk write.
func (p *Pair) peerMoved() {
	if p.watch.wanted() && p.shown != p.shownHash() {
		p.dirty = true
	}
}

// shownHash is the same for the same set of devices that she sees as available.
func (p *Pair) shownHash() (sum uint64) {
	for i := range p.peer {
		if r := &p.peer[i]; !r.Closed {
			h := uint64(14695981039346656037)
			for j := range len(r.Name) {
				h = (h ^ uint64(r.Name[j])) * 1099511628211
			}
			sum += h
		}
	}
	return sum
}

// shownText is a device in Record.Shown: what finds it again in a document, and its name.
// What it showed is not kept, so after a restart the first document tells all.
func shownText(r *mapping.Resource) string {
	return strconv.FormatUint(r.Tuple, 36) + " " + strconv.FormatUint(r.Contact, 36) + " " + r.Name
}

// resourcesShown reads Record.Shown; unreadable entries are left out.
func resourcesShown(list []string) (rs mapping.Resources, stale bool) {
	for _, s := range list {
		tuple, rest, _ := strings.Cut(s, " ")
		contact, name, ok := strings.Cut(rest, " ")
		t, err := strconv.ParseUint(tuple, 36, 64)
		c, err2 := strconv.ParseUint(contact, 36, 64)
		if !ok || err != nil || err2 != nil || len(rs) == maxNames || slices.ContainsFunc(rs, func(r mapping.Resource) bool { return r.Name == name }) {
			continue
		}
		// The language makes it differ from anything that a document tells.
		rs = append(rs, mapping.Resource{Name: name, Tuple: t, Contact: c, Lang: unknownLang})
	}
	return rs, len(rs) > 0
}

// unknownLang is no language.
const unknownLang = "?"

// String describes the pair for the log and the console.
func (p *Pair) String() string {
	return fmt.Sprintf("watch %v, share %v, session %v, %d watchers, %d+%d resources", p.watch, p.share, p.session, len(p.watches), len(p.peer), len(p.user))
}

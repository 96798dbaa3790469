package presence

import (
	"slices"
	"time"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	// probationPause is what watchers are told when her server cannot be reached, and
	// giveUpPause when she did not answer in a week (spec §4.1 rows 14 and 16).
	probationPause = 5 * time.Minute
	giveUpPause    = 24 * time.Hour
	// heldOffline is how long a refresh waits for the link before it is answered without
	// a document: well under timer N of the watcher (32 s).
	heldOffline = 20 * time.Second
)

// watched takes a new dialog of his, or a poll.
func (p *Pair) watched(e Watched) {
	if p.share == ShareDenied && p.now().Unix()-p.shareSince >= int64(p.settings.DenyFor/time.Second) {
		p.applyShare(ShareLapsed, "")
	}
	if p.ports.Allow(Sharing) == Refuse {
		p.notify(e.Watcher, Notification{State: DialogTerminated, Reason: sip.ReasonRejected})
		return
	}
	p.addWatcher(watcher{id: e.Watcher, poll: e.Poll, fresh: true})
	event := ShareWatched
	switch {
	case e.Poll:
		event = SharePolled
	case e.Quiet:
		event = ShareWatchedQuietly
	}
	p.hops = uint8(min(max(e.Hops, 0), 255))
	p.applyShare(event, e.Watcher)
	p.hops = 0
}

func (p *Pair) refreshed(id string) {
	p.addWatcher(watcher{id: id}) // it may have come while the record could not be read
	p.applyShare(ShareRefreshed, id)
}

func (p *Pair) addWatcher(w watcher) {
	if p.find(w.id) == nil {
		p.watches = append(p.watches, w)
	}
}

func (p *Pair) find(id string) *watcher {
	for i := range p.watches {
		if p.watches[i].id == id {
			return &p.watches[i]
		}
	}
	return nil
}

// watcherEnded forgets a dialog; the authorisation does not hear of it.
func (p *Pair) watcherEnded(id string) {
	p.watches = slices.DeleteFunc(p.watches, func(w watcher) bool { return w.id == id })
	if len(p.watches) == 0 {
		p.watches = nil
		p.due.clear(dueHeld)
	}
}

// applyShare makes one transition and carries its effects out; id is the dialog of the
// event.
func (p *Pair) applyShare(e ShareEvent, id string) {
	was := p.share
	next, effects := NextShare(was, e)
	p.share = next
	if next != was {
		p.shareMoved(was, next, e)
	}
	if effects&ShareAskAgain != 0 && p.shareAsked != 0 {
		p.shareAsked, p.dirty = 0, true
	}
	if effects&ShareAsk != 0 {
		p.ask()
	}
	if effects&ShareTellUnsubscribe != 0 {
		p.tell(OwedUnsubscribe)
	}
	if effects&ShareForget != 0 {
		p.forgetUser(next == ShareGranted)
	}
	p.tellWatcher(effects, id)
	p.tellWatchers(effects)
}

func (p *Pair) shareMoved(was, next ShareState, e ShareEvent) {
	p.shareSince, p.dirty = p.now().Unix(), true
	p.ports.Count(Sharing, next.Authorisation().String())
	p.ports.Log(p.flow).Info().Stringer("event", e).Stringer("authorisation", next.Authorisation()).Msg("sip user watches xmpp user")
	switch {
	case next == SharePending:
		p.after(dueShare, p.settings.GiveUp)
	case was == SharePending:
		p.due.clear(dueShare)
	}
	if next == ShareGranted {
		p.due.clear(dueUnseen) // from now on her going is heard of
	}
}

// ask asks her, unless she was asked within a day: phones subscribe again and again.
func (p *Pair) ask() {
	if p.shareAsked != 0 && !p.askedLongAgo() {
		return
	}
	p.shareAsked, p.dirty = p.now().Unix(), true
	p.tell(OwedSubscribe)
}

// forgetUser forgets her presence; known says that it is known to be nothing.
func (p *Pair) forgetUser(known bool) {
	if !known {
		for i := range p.user {
			if !p.user[i].Closed {
				p.hide(p.user[i].Name) // she is there all the same
			}
		}
		p.user = nil
	}
	p.user, _ = p.user.Update(mapping.Resource{Closed: true, Changed: p.now().Unix()})
	p.known, p.pending = known, nil
	p.due.clear(dueConfirm)
	if known && len(p.hidden) == 0 {
		p.applySession(SessionGone)
	}
}

// tellWatcher carries out what is for the dialog of the event.
func (p *Pair) tellWatcher(effects ShareEffects, id string) {
	switch {
	case effects&ShareNotifyPending != 0:
		p.notify(id, Notification{State: DialogPending})
	case effects&ShareNotifyEmpty != 0:
		p.end(id, Notification{State: DialogTerminated, Reason: sip.ReasonTimeout})
	case effects&ShareForbid != 0:
		p.end(id, Notification{State: DialogTerminated, Reason: sip.ReasonRejected})
	case effects&(ShareNotify|ShareNotifyLast) != 0:
		w := p.find(id)
		if w == nil {
			return
		}
		if p.known {
			p.show(w)
			p.told()
			return
		}
		p.hold(w)
	}
}

// tellWatchers carries out what is for every dialog.
func (p *Pair) tellWatchers(effects ShareEffects) {
	switch {
	case effects&ShareAnnounce != 0:
		for i := range p.watches {
			p.watches[i].held = true
		}
		if len(p.watches) > 0 {
			p.after(dueHeld, p.settings.ProbeWait)
		}
	case effects&ShareNotifyAll != 0:
		for i := len(p.watches) - 1; i >= 0; i-- {
			if !p.watches[i].held {
				p.show(&p.watches[i])
			}
		}
		p.told()
	case effects&ShareReject != 0:
		p.endAll(Notification{State: DialogTerminated, Reason: sip.ReasonRejected})
	case effects&ShareNoResource != 0:
		p.endAll(Notification{State: DialogTerminated, Reason: sip.ReasonNoResource})
	case effects&ShareProbation != 0:
		p.endAll(Notification{State: DialogTerminated, Reason: sip.ReasonProbation, RetryAfter: probationPause})
	case effects&ShareGiveUp != 0:
		p.endAll(Notification{State: DialogTerminated, Reason: sip.ReasonGiveUp, RetryAfter: giveUpPause})
	}
}

// hold lets a watcher wait until her server has answered a probe. A dialog that was there
// before has been told something, which an empty document would take back.
func (p *Pair) hold(w *watcher) {
	w.held = true
	if p.due.has(dueHeld) {
		return
	}
	if !p.ports.LinkUp() {
		p.after(dueHeld, heldOffline)
		return
	}
	p.probe()
	p.after(dueHeld, p.settings.ProbeWait)
}

// release tells those who were held what is known by now.
func (p *Pair) release() {
	for i := len(p.watches) - 1; i >= 0; i-- {
		if w := &p.watches[i]; w.held {
			w.held = false
			p.show(w)
		}
	}
	p.told()
}

// show tells one watcher what may be seen of her. It removes a poll from the list.
func (p *Pair) show(w *watcher) {
	if p.share != ShareGranted {
		return
	}
	n := Notification{State: DialogActive, Document: p.known || w.fresh}
	w.fresh = false
	if n.Document {
		n.Resources, n.OnThePhone = slices.Clone(p.user), p.sheCalls && p.user.Available()
	}
	if w.poll {
		n.State, n.Reason = DialogTerminated, sip.ReasonTimeout
		p.end(w.id, n)
		return
	}
	p.notify(w.id, n)
}

// told drops the resources that were told as gone.
func (p *Pair) told() { p.user = p.user.Told() }

func (p *Pair) notify(id string, n Notification) {
	p.ports.Count(Sharing, "notify-"+n.State.String())
	p.ports.Notify(p.flow, id, n)
}

// end tells a dialog its last word.
func (p *Pair) end(id string, n Notification) {
	p.watcherEnded(id)
	p.notify(id, n)
}

func (p *Pair) endAll(n Notification) {
	list := p.watches
	p.watches = nil
	p.due.clear(dueHeld)
	for _, w := range list {
		p.notify(w.id, n)
	}
}

// probe asks her server for her presence (RFC 6121 §4.3) and tells whether it was sent.
// It is only done where he may see her: the answer to others would be unsubscribed.
func (p *Pair) probe() bool {
	user, contact := p.ports.Addresses()
	return p.ports.Send(p.flow, &xmpp.Presence{From: contact, To: user, Type: xmpp.PresenceProbe, ID: idProbe}, nil) == nil
}

// available takes presence of hers. What he may not see shows that she is there, and
// nothing else is kept of it.
func (p *Pair) available(s *xmpp.Presence) {
	p.seen()
	r, _ := mapping.ResourceOf(s, p.now())
	if p.share != ShareGranted {
		p.hide(r.Name)
		return
	}
	p.hidden = without(p.hidden, r.Name)
	p.pending = without(p.pending, r.Name)
	var changed bool
	p.user, changed = p.user.Update(r)
	p.learned(changed)
}

func (p *Pair) unavailable(s *xmpp.Presence) {
	r, _ := mapping.ResourceOf(s, p.now())
	if r.Name == "" {
		p.hidden, p.pending = nil, nil
	} else {
		p.hidden = without(p.hidden, r.Name)
		p.pending = without(p.pending, r.Name)
	}
	if p.share == ShareGranted {
		var changed bool
		p.user, changed = p.user.Update(r)
		p.learned(changed)
	}
	if !p.user.Available() && len(p.hidden) == 0 {
		p.applySession(SessionGone)
	}
}

// learned follows news of her server about her.
func (p *Pair) learned(changed bool) {
	first := !p.known
	p.known = true
	if slices.ContainsFunc(p.watches, func(w watcher) bool { return w.held }) {
		// Further resources are on their way; they share the first NOTIFY.
		if at := p.clock() + p.settings.Settle; !p.due.has(dueHeld) || p.due[p.due.find(dueHeld)].at > at {
			p.due.set(dueHeld, at)
		}
	}
	if changed || first {
		p.applyShare(ShareChanged, "")
	}
}

// unconfirmed takes back what a probe did not confirm: her server has forgotten it.
func (p *Pair) unconfirmed() {
	if !p.ports.LinkUp() || p.share != ShareGranted {
		return // asked again with the next link
	}
	changed := false
	for _, name := range p.pending {
		var c bool
		p.user, c = p.user.Update(mapping.Resource{Name: name, Closed: true, Changed: p.now().Unix()})
		changed = changed || c
	}
	p.pending = nil
	p.learned(changed)
	if !p.user.Available() && len(p.hidden) == 0 {
		p.applySession(SessionGone)
	}
}

// hide notes a resource that he may not see.
func (p *Pair) hide(name string) {
	if len(p.hidden) < maxNames && !slices.Contains(p.hidden, name) {
		p.hidden = append(p.hidden, name)
	}
}

func without(list []string, name string) []string {
	i := slices.Index(list, name)
	if i < 0 {
		return list
	}
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		return nil
	}
	return list
}

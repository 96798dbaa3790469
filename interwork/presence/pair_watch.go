package presence

import (
	"slices"
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	// proven is how long a dialog must have lived for its end to be answered by a new one
	// at once, so that two machines cannot drive each other in circles.
	proven = 30 * time.Second
	// maxForks bounds the dialogs of a forked SUBSCRIBE that are told apart.
	maxForks = 8
	// maxNames bounds lists of resources, as mapping bounds what is kept of one user.
	maxNames = 32
	// sendAgain is the pause after the send queue of the link was full.
	sendAgain = 2 * time.Second
)

// watchDetail is what the effects of a transition need besides.
type watchDetail struct {
	to      xmpp.JID          // who probed
	refusal *xmpp.StanzaError // what she is told
	wait    time.Duration     // until the SIP side is tried again; 0: as after a first failure
	changes []*xmpp.Presence  // what is new
}

// applyWatch makes one transition and carries its effects out.
func (p *Pair) applyWatch(e WatchEvent, d watchDetail) {
	was := p.watch
	next, effects := NextWatch(was, e)
	p.watch = next
	p.watchMoved(was, next, e)
	switch {
	case effects&WatchClose != 0:
		p.endDialog(true)
	case was.HasDialog() && !next.HasDialog():
		p.endDialog(false)
	}
	failed, again := WatchEvent(0), false
	if effects&WatchOpen != 0 {
		failed, again = p.open()
	}
	if effects&WatchFetch != 0 && p.fetch == "" {
		p.fetch = p.ports.Fetch(p.flow)
	}
	if effects&WatchWait != 0 {
		p.after(dueRetry, p.pause(d.wait))
	}
	if effects&WatchPark != 0 {
		p.after(dueRetry, p.settings.Park+p.part(p.settings.Park/10))
	}
	if effects&WatchTellGone != 0 {
		p.tellGone()
	}
	if effects&WatchTellSubscribed != 0 {
		p.tell(OwedSubscribed)
	}
	if effects&WatchTellUnsubscribed != 0 {
		p.tell(OwedUnsubscribed)
	}
	if effects&WatchTellError != 0 {
		p.tellError(d.refusal)
	}
	if effects&WatchShow != 0 {
		p.showAll(d.to)
	}
	if effects&WatchShowChanges != 0 {
		p.send(d.changes)
	}
	p.tellPhones(next, e)
	switch {
	case again:
		p.applyWatch(failed, watchDetail{})
		p.failedOnce()
	case next == WatchActive && p.fetchOnly():
		p.applyWatch(WatchLogout, watchDetail{})
	}
}

// fetchOnly tells whether no dialog is to be held; what is known here is no dialog.
func (p *Pair) fetchOnly() bool { return p.settings.FetchOnly && !p.ports.Presentity().Ours }

// watchMoved keeps what depends on the state alone.
func (p *Pair) watchMoved(was, next WatchState, e WatchEvent) {
	if was == next {
		return
	}
	p.due.clear(dueRetry)
	if next.wanted() != was.wanted() {
		p.dirty = true
	}
	asking := func(s WatchState) bool { return s.Authorisation() == Asked && s != WatchAskParked }
	switch {
	case asking(next) && !asking(was):
		p.after(dueWatch, p.settings.GiveUp)
	case asking(was) && !asking(next):
		p.due.clear(dueWatch)
	}
	if next == WatchOffline { // nobody is there to be told
		p.peer, p.stale = nil, false
		p.peerMoved()
	}
	if next == WatchPending {
		p.fresh = false
	}
	auth := next.Authorisation()
	if auth == was.Authorisation() {
		return
	}
	p.watchSince, p.dirty = p.now().Unix(), true
	p.ports.Count(Watching, auth.String())
	p.ports.Log(p.flow).Info().Stringer("event", e).Stringer("authorisation", auth).Msg("xmpp user watches sip user")
	switch auth {
	case None:
		p.watchAsked, p.approved = 0, false
	case Granted, Denied:
		p.asked, p.fresh, p.approved = "", false, false
	}
	if auth != Granted {
		p.due.clear(dueGrace)
		return
	}
	if p.session == SessionOffline { // she may have been offline while he decided
		p.session = SessionLeaving
		p.after(dueGrace, p.settings.Grace)
	}
}

// subscribe takes her request.
func (p *Pair) subscribe(s *xmpp.Presence) {
	hops, ok := hopsOf(s)
	if ok && hops == 0 {
		e := xmpp.NewStanzaError(xmpp.ConditionPolicyViolation, "The request went through too many gateways")
		_ = p.ports.Send(p.flow, s.ErrorReply(*e), nil)
		return
	}
	p.overtaken(OwedSubscribed | OwedUnsubscribed) // it would look like the answer to this one
	p.seen()
	if p.watch.Authorisation() != Granted {
		p.watchAsked, p.dirty = p.now().Unix(), true
		p.asked, p.fresh = s.ID, true
	}
	p.hops = uint8(hops)
	p.applyWatch(WatchSubscribe, watchDetail{})
	p.hops = 0
}

// open begins a dialog, or watches what is known here. When that is impossible, the event
// that says so follows.
func (p *Pair) open() (WatchEvent, bool) {
	p.sub, p.forks, p.local = "", nil, false // what there was is over
	if p.ports.Allow(Watching) == Refuse {
		return WatchRejected, true
	}
	who := p.ports.Presentity()
	if who.Ours {
		p.ours = true
		p.local = who.Silent || !who.Registered
		p.ports.WatchLocal(true)
	}
	if p.local {
		return 0, false
	}
	if p.sub = p.ports.Subscribe(p.flow, int(p.hops)); p.sub == "" {
		return WatchFailed, true
	}
	p.opened = p.clock()
	if p.ours {
		p.after(dueSilent, p.settings.Silence)
	}
	return 0, false
}

// silent gives up a SUBSCRIBE that a phone of ours leaves unanswered, as those do that do
// not know the package: nobody waits 32 seconds to see whether a phone is there.
func (p *Pair) silent() {
	if !p.ours || p.local || p.sub == "" {
		return
	}
	p.ports.Log(p.flow).Info().Stringer("state", p.watch).Msg("phone does not answer subscribe, its registration counts")
	p.ports.Unsubscribe(p.flow, p.sub)
	p.sub, p.forks = "", nil
	p.ports.Silent()
	p.local = true
	p.ports.WatchLocal(true)
}

// endDialog forgets the dialog; tell ends it on the wire too.
func (p *Pair) endDialog(tell bool) {
	if tell && p.sub != "" {
		p.lived()
		p.ports.Unsubscribe(p.flow, p.sub)
	}
	p.sub, p.forks, p.local = "", nil, false
	p.due.clear(dueSilent)
	if p.ours {
		p.ours = false
		p.ports.WatchLocal(false)
	}
}

// pause spreads a wait, so that not all come back at once.
func (p *Pair) pause(wait time.Duration) time.Duration {
	if wait <= 0 {
		wait = mapping.TerminationToVerdict(sip.SubscriptionState{State: sip.SubscriptionTerminated, Reason: sip.ReasonProbation}, p.attempt()).Wait
	}
	return wait + p.part(wait/4)
}

// attempt is what the tables of verdicts want to know.
func (p *Pair) attempt() mapping.Watch {
	return mapping.Watch{Granted: p.watch.Authorisation() == Granted, Attempt: int(p.failures)}
}

// answered takes the answer to a SUBSCRIBE.
func (p *Pair) answered(e SubscribeAnswered) {
	switch {
	case e.ID == "":
	case e.ID == p.fetch && e.Cause != nil:
		p.fetch = ""
		p.ports.Log(p.flow).Info().Str("cause", e.Cause.Label()).Msg("fetch of presence failed")
		if p.verdictOf(e.Cause).Tell == xmpp.PresenceUnsubscribed {
			p.applyWatch(WatchRejected, watchDetail{})
			return
		}
		p.send(mapping.ResourcesToPresences(nil, p.context(xmpp.JID{})))
	case e.ID == p.sub && e.Cause == nil:
		p.due.clear(dueSilent)
		p.applyWatch(WatchAccepted, watchDetail{})
	case e.ID == p.sub:
		p.refused(e.Cause)
	}
}

// verdictOf is what a failure of a SUBSCRIBE means.
func (p *Pair) verdictOf(c *cause.Cause) mapping.WatchVerdict {
	switch {
	case c.Origin() != cause.OriginGateway:
		return mapping.SubscribeStatusToVerdict(c.Status(), p.attempt())
	case p.fresh && c.Label() == cause.Unreachable(nil).Label():
		// A server that cannot even be reached is an answer to a new request, as it is
		// between XMPP servers; later it is a reason to wait.
		return mapping.SubscribeFailureToVerdict(mapping.FailureResolve, p.attempt())
	default:
		return mapping.SubscribeFailureToVerdict(mapping.FailureTimeout, p.attempt())
	}
}

// refused takes a failure of the SUBSCRIBE: the subscription is over.
func (p *Pair) refused(c *cause.Cause) {
	p.sub = ""
	p.due.clear(dueSilent)
	p.ports.Log(p.flow).Info().Str("cause", c.Label()).Stringer("state", p.watch).Msg("subscription refused")
	v := p.verdictOf(c)
	said := c.Origin() == cause.OriginSIP && (c.Status().Code == 403 || c.Status().Code/100 == 6)
	if p.ours && !said {
		// Most phones take no SUBSCRIBE for presence, and say so in many ways or not at
		// all. We are the presence agent of our own domain.
		p.ports.Silent()
		p.local = true
		p.ports.WatchLocal(true)
		return
	}
	p.judged(v)
}

// judged carries out what the tables say about the end of a subscription.
func (p *Pair) judged(v mapping.WatchVerdict) {
	d := watchDetail{refusal: v.Error, wait: v.Wait}
	if v.Retry == mapping.RetryLonger {
		d.wait = 0 // the wire has tried that
	}
	switch {
	case v.Tell == xmpp.PresenceUnsubscribed:
		p.applyWatch(WatchRejected, d)
	case v.Retry == mapping.RetryLogin, v.Tell == xmpp.PresenceError:
		p.applyWatch(WatchRefused, d)
	default:
		event := WatchFailed
		if v.Tell == xmpp.PresenceUnavailable {
			event = WatchMissed
		}
		p.applyWatch(event, d)
		p.failedOnce()
	}
}

// failedOnce counts attempts in a row that came to nothing.
func (p *Pair) failedOnce() { p.failures = min(p.failures+1, 200) }

// lived tells whether the dialog that is over lived long enough to be followed by another
// at once; if so, what failed before it is forgotten.
func (p *Pair) lived() bool {
	if p.clock()-p.opened < proven {
		return false
	}
	p.failures = 0
	return true
}

// notified takes a NOTIFY.
func (p *Pair) notified(e *Notified) {
	switch {
	case e.ID == "":
		return
	case e.ID == p.fetch:
		p.fetched(e)
		return
	case e.ID != p.sub:
		return // a word of a dialog that is over
	}
	p.due.clear(dueSilent)
	switch {
	case e.State == DialogTerminated && e.Others: // one of several: what it told counts no more
		p.send(p.takeDocument(nil, p.source(e.Fork), ""))
	case e.State == DialogTerminated:
		p.ended(e)
	case e.State == DialogActive:
		p.applyWatch(WatchApproved, watchDetail{changes: p.take(e)})
	default:
		p.applyWatch(WatchUndecided, watchDetail{})
	}
}

// ended takes the end of the subscription by the notifier (RFC 6665 §4.1.3).
func (p *Pair) ended(e *Notified) {
	p.sub = ""
	p.ports.Log(p.flow).Debug().Str("reason", string(e.Reason)).Stringer("state", p.watch).Msg("subscription ended")
	long := p.lived()
	v := mapping.TerminationToVerdict(sip.SubscriptionState{State: sip.SubscriptionTerminated, Reason: e.Reason, RetryAfter: e.RetryAfter}, p.attempt())
	d := watchDetail{refusal: v.Error, wait: v.Wait}
	switch {
	case v.Tell == xmpp.PresenceUnsubscribed:
		p.applyWatch(WatchRejected, d)
	case v.Tell == xmpp.PresenceError, v.Retry == mapping.RetryLogin && v.Tell == xmpp.PresenceUnavailable:
		p.applyWatch(WatchVanished, d)
	case v.Retry == mapping.RetryLogin:
		p.applyWatch(WatchFrozen, d)
	case v.Wait == 0 && long:
		p.applyWatch(WatchEnded, d)
	default:
		p.applyWatch(WatchDeferred, d)
		if !long {
			p.failedOnce()
		}
	}
}

func (p *Pair) lost(id string) {
	if id == "" || id != p.sub {
		if id != "" && id == p.fetch {
			p.fetch = ""
			p.send(mapping.ResourcesToPresences(nil, p.context(xmpp.JID{})))
		}
		return
	}
	p.sub = ""
	if p.lived() {
		p.applyWatch(WatchLost, watchDetail{})
		return
	}
	p.applyWatch(WatchDeferred, watchDetail{})
	p.failedOnce()
}

// source numbers the dialogs of a forked SUBSCRIBE. The first NOTIFY of a subscription
// takes over all that was known before, so that what it repeats does not flap.
func (p *Pair) source(fork string) uint32 {
	if len(p.forks) == 0 {
		for i := range p.peer {
			p.peer[i].Source = 0
		}
	}
	i := slices.Index(p.forks, fork)
	if i < 0 {
		if len(p.forks) == maxForks {
			return maxForks - 1
		}
		i = len(p.forks)
		p.forks = append(p.forks, fork)
	}
	return uint32(i)
}

// take keeps what a NOTIFY tells and gives what is new.
func (p *Pair) take(e *Notified) []*xmpp.Presence {
	if e.Unreadable {
		return nil
	}
	return p.takeDocument(e.Document, p.source(e.Fork), e.Lang)
}

func (p *Pair) takeDocument(d *pidf.Document, source uint32, lang string) []*xmpp.Presence {
	c := p.context(xmpp.JID{})
	c.Source, c.Lang = source, lang
	was := p.peer
	u := mapping.PIDFToPresences(was, d, c)
	p.peer, p.stale = u.Resources, false
	p.peerMoved()
	// What was never shown need not be taken back.
	u.Presences = slices.DeleteFunc(u.Presences, func(s *xmpp.Presence) bool {
		return s.Type == xmpp.PresenceUnavailable && !slices.ContainsFunc(was, func(r mapping.Resource) bool {
			return !r.Closed && r.Name == s.From.Resource()
		})
	})
	if len(u.Loss) > 0 {
		p.ports.Log(p.flow).Debug().Strs("lost", u.Loss).Msg("not carried")
	}
	return u.Presences
}

// fetched shows what a fetch brought; nothing of it is kept.
func (p *Pair) fetched(e *Notified) {
	p.fetch = ""
	if e.State == DialogTerminated && e.Reason == sip.ReasonRejected {
		p.applyWatch(WatchRejected, watchDetail{})
		return
	}
	if p.watch.Authorisation() != Granted {
		return
	}
	var rs mapping.Resources
	c := p.context(xmpp.JID{})
	if e.Unreadable {
		return
	}
	if e.Document != nil && e.State != DialogPending {
		c.Lang = e.Lang
		rs = mapping.PIDFToPresences(nil, e.Document, c).Resources
	}
	p.send(mapping.ResourcesToPresences(rs, c))
}

// context is what translation to XMPP needs; to is her bare JID when it is zero.
func (p *Pair) context(to xmpp.JID) mapping.PIDFContext {
	user, contact := p.ports.Addresses()
	if to.IsZero() {
		to = user
	}
	return mapping.PIDFContext{
		From: contact, To: to, Now: p.now(), Domain: contact.Domain(), OnThePhone: p.heCalls, Caps: p.ports.Caps, Photo: p.ports.Photo,
	}
}

// showAll answers a probe, or shows everything after it was granted.
func (p *Pair) showAll(to xmpp.JID) {
	switch {
	case p.stale:
		if p.sub != "" { // the NOTIFY answers
			p.ports.Refresh(p.flow, p.sub)
		}
		return
	case p.watch == WatchOpening && !p.peer.Available():
		return // the NOTIFY answers
	}
	p.send(mapping.ResourcesToPresences(p.peer, p.context(to)))
}

// send puts notifications on the stream. What cannot be sent is made up for when the
// link is up again.
func (p *Pair) send(list []*xmpp.Presence) {
	for _, s := range list {
		name := s.From.Resource()
		if i := slices.Index(p.untold, name); i >= 0 {
			p.untold = slices.Delete(p.untold, i, i+1)
		}
		if err := p.ports.Send(p.flow, s, nil); err != nil {
			if s.Type == xmpp.PresenceUnavailable && len(p.untold) < maxNames {
				p.untold = append(p.untold, name)
			}
			p.sendLater()
			continue
		}
		p.ports.Count(Watching, "shown")
	}
}

// sendLater is for a link that is up and whose queue is full; one that is down calls by
// itself.
func (p *Pair) sendLater() {
	if p.ports.LinkUp() && !p.due.has(dueAnnounce) && !p.due.has(dueResend) {
		p.after(dueResend, sendAgain+p.part(sendAgain))
	}
}

// sendGone tells that a device is gone.
func (p *Pair) sendGone(name string) {
	user, contact := p.ports.Addresses()
	from := contact
	if full, err := contact.WithResource(name); err == nil {
		from = full
	}
	p.send([]*xmpp.Presence{{From: from, To: user, Type: xmpp.PresenceUnavailable}})
}

// tellGone takes back all that she was shown.
func (p *Pair) tellGone() {
	peer := p.peer
	p.peer, p.stale = nil, false
	p.peerMoved()
	for i := range peer {
		if !peer[i].Closed {
			p.sendGone(peer[i].Name)
		}
	}
}

// tellError answers her subscribe; if that is impossible now, a later unsubscribed says
// the same.
func (p *Pair) tellError(e *xmpp.StanzaError) {
	if e == nil {
		e = xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "")
	}
	user, contact := p.ports.Addresses()
	id := p.asked
	p.asked = ""
	if err := p.ports.Send(p.flow, &xmpp.Presence{From: contact, To: user, ID: id, Type: xmpp.PresenceError, Error: e}, nil); err != nil {
		p.owe(OwedUnsubscribed)
	}
}

// opposite is what a stanza takes back.
func opposite(what Owed) Owed {
	switch what {
	case OwedSubscribed:
		return OwedUnsubscribed
	case OwedUnsubscribed:
		return OwedSubscribed
	case OwedSubscribe:
		return OwedUnsubscribe
	}
	return OwedSubscribe
}

// tell sends a stanza that must not get lost.
func (p *Pair) tell(what Owed) {
	if p.owed&(what|opposite(what)) != 0 {
		p.owed, p.dirty = p.owed&^(what|opposite(what)), true
	}
	user, contact := p.ports.Addresses()
	s := &xmpp.Presence{From: contact, To: user}
	switch what {
	case OwedSubscribed:
		s.Type = xmpp.PresenceSubscribed
	case OwedUnsubscribed:
		s.Type = xmpp.PresenceUnsubscribed
	case OwedUnsubscribe:
		s.Type = xmpp.PresenceUnsubscribe
	default:
		s.Type, s.ID = xmpp.PresenceSubscribe, idAsk
		if nick := p.ports.Nick(); nick != "" {
			s.Extensions = append(s.Extensions, xmpp.NewElement(xmpp.NSNick, "nick").AddText(nick))
		}
		if p.hops > 0 {
			s.Extensions = append(s.Extensions, hopsElement(int(p.hops)-1))
		}
	}
	if err := p.ports.Send(p.flow, s, func(err error) {
		if err != nil {
			p.ports.Post(unwritten{what})
		}
	}); err != nil {
		p.owe(what)
		p.sendLater()
	}
}

// owe remembers a stanza for when the link is up, unless it was overtaken.
func (p *Pair) owe(what Owed) {
	p.owed, p.dirty = p.owed&^opposite(what)|what, true
}

// overtaken drops what is owed and makes no sense after what she sent.
func (p *Pair) overtaken(what Owed) {
	if p.owed&what != 0 {
		p.owed, p.dirty = p.owed&^what, true
	}
}

// pay sends what is owed.
func (p *Pair) pay() {
	for what := OwedSubscribed; what <= OwedUnsubscribe; what <<= 1 {
		if p.owed&what != 0 {
			p.tell(what)
		}
	}
}

// watcherStatus is what the phones were told of her.
type watcherStatus uint8

const (
	statusNone watcherStatus = iota
	statusPending
	statusActive
	statusWaiting
)

// tellPhones tells the phones that subscribe to presence.winfo (RFC 3857 §4.7.1). There
// are such subscriptions only for AORs of ours.
func (p *Pair) tellPhones(s WatchState, e WatchEvent) {
	if !p.ours && p.status == statusNone {
		return
	}
	next := statusNone
	switch s {
	case WatchAsking: // most are granted at once
		return
	case WatchPending, WatchAskRetry:
		next = statusPending
	case WatchAskParked:
		next = statusWaiting
	case WatchOpening, WatchActive, WatchRetry, WatchParked:
		next = statusActive
	}
	if next == p.status {
		return
	}
	was := p.status
	p.status = next
	switch next {
	case statusPending:
		p.ports.Watched(watcherinfo.Pending, watcherinfo.Subscribe)
	case statusWaiting:
		p.ports.Watched(watcherinfo.Waiting, watcherinfo.GiveUp)
	case statusActive:
		event := watcherinfo.Subscribe
		if was == statusPending {
			event = watcherinfo.Approved
		}
		p.ports.Watched(watcherinfo.Active, event)
	default:
		event := watcherinfo.Timeout
		switch {
		case s == WatchDenied:
			event = watcherinfo.Rejected
		case e == WatchRefused || e == WatchVanished:
			event = watcherinfo.NoResource
		}
		p.ports.Watched(watcherinfo.Terminated, event)
	}
}

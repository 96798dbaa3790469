package presence

import (
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// waitingLimit bounds the events that wait for the record.
const waitingLimit = 64

// Pair is the presence between one bare JID and one AOR, in both directions. 100,000 of
// them live in one process: what is rarely there is behind a pointer or in a slice.
type Pair struct {
	settings *Settings
	ports    Ports

	watch    WatchState
	share    ShareState
	session  SessionState
	owed     Owed
	failures uint8 // of the SIP side in a row

	isLoaded  bool
	isLoading bool
	isSaving  bool
	dirty     bool // the record differs from what was saved

	ours     bool // the AOR is one of our registrar; WatchLocal is on
	local    bool // his presence is what is known here
	approved bool // the owner said yes to her, the dialog does not know yet
	fresh    bool // her subscribe has not reached anybody yet, as far as is known
	stale    bool // peer is from the record: names without a state
	heCalls  bool
	sheCalls bool
	known    bool // user is what her server says
	status   watcherStatus

	watchSince, watchAsked int64 // Unix seconds
	shareSince, shareAsked int64

	hops uint8 // of the request that is being handled; 0: no bound

	sub     string        // subscription to him; "" for none, or local
	fetch   string        // fetch under way
	opened  time.Duration // when sub began
	armed   time.Duration // what the timer is set to; 0: it is not, fired: it ran out
	forks   []string      // dialogs of sub, the first is Source 0
	untold  []string      // devices whose end could not be told because the link was down
	asked   string        // id of her subscribe, to answer it with an error
	flow    string        // of the event that is being handled
	peer    mapping.Resources
	shown   uint64            // hash of Record.Shown as saved
	user    mapping.Resources // hers, as far as he may see them
	hidden  []string          // her resources that sent directed presence
	pending []string          // her resources that a probe has not confirmed yet
	watches []watcher         // his dialogs
	due     deadlines
	waiting []Event // for the record
}

// watcher is one dialog of his.
type watcher struct {
	id    string
	poll  bool // one notification, and it is over
	held  bool // waits for the answer to a probe
	fresh bool // was told no state yet
}

// NewPair makes a Pair. Its record comes with Restored, else it is loaded with the first
// event. The settings are shared by all pairs, see [Settings.WithDefaults].
func NewPair(s *Settings, p Ports) *Pair { return &Pair{settings: s, ports: p} }

// State tells where the pair stands, for the console.
func (p *Pair) State() (WatchState, ShareState, SessionState) { return p.watch, p.share, p.session }

// Watchers is the number of his dialogs.
func (p *Pair) Watchers() int { return len(p.watches) }

// Idle reports whether the pair may be dropped: what it knows is in the store, or can be
// asked for again.
func (p *Pair) Idle() bool {
	return !p.isLoading && !p.isSaving && !p.dirty && p.owed == 0 && len(p.untold) == 0 && len(p.watches) == 0 &&
		!p.watch.wanted() && p.fetch == ""
}

// Handle takes one event. It must be called from one goroutine at a time.
func (p *Pair) Handle(e Event) {
	if !p.ready(e) {
		return
	}
	p.dispatch(e)
	p.flow = ""
	p.save()
	p.arm()
}

// ready makes sure that the record is there. Until it is, events wait.
func (p *Pair) ready(e Event) bool {
	switch e := e.(type) {
	case loaded:
		if !p.isLoading {
			return false // Restored was faster
		}
		p.isLoading = false
		waiting := p.waiting
		p.waiting = nil
		if e.err != nil {
			p.ports.Log("").Error().Err(e.err).Msg("authorisation cannot be read")
			for _, w := range waiting {
				p.turnAway(w)
			}
			return false
		}
		p.adopt(&e.record, "")
		for _, w := range waiting {
			p.dispatch(w)
		}
		return true
	case Restored, saved, unwritten:
		return true
	}
	if p.isLoaded {
		return true
	}
	switch e.(type) {
	case LinkUp, TimerFired, PhotoChanged: // what they are for comes with the record
		return false
	}
	if len(p.waiting) >= waitingLimit {
		p.turnAway(e)
		return false
	}
	p.waiting = append(p.waiting, e)
	if !p.isLoading {
		p.isLoading = true
		p.ports.Load(func(r Record, err error) { p.ports.Post(loaded{r, err}) })
	}
	return false
}

// turnAway refuses what cannot be handled without the record.
func (p *Pair) turnAway(e Event) {
	switch e := e.(type) {
	case StanzaReceived:
		if e.Presence.Type == xmpp.PresenceSubscribe {
			_ = p.ports.Send(e.Flow, e.Presence.ErrorReply(cause.Overloaded(nil).StanzaError()), nil)
		}
	case Watched:
		p.ports.Notify(e.Flow, e.Watcher, Notification{State: DialogTerminated, Reason: sip.ReasonProbation, RetryAfter: time.Minute})
	case Refreshed:
		p.watches = append(p.watches, watcher{id: e.Watcher}) // it is there; the next refresh finds it
	}
}

func (p *Pair) dispatch(e Event) {
	switch e := e.(type) {
	case StanzaReceived:
		p.flow = e.Flow
		p.stanza(e.Presence)
	case Watched:
		p.flow = e.Flow
		p.watched(e)
	case Refreshed:
		p.flow = e.Flow
		p.refreshed(e.Watcher)
	case WatcherEnded:
		p.flow = e.Flow
		p.watcherEnded(e.Watcher)
	case SubscribeAnswered:
		p.flow = e.Flow
		p.answered(e)
	case Notified:
		p.flow = e.Flow
		p.notified(&e)
	case SubscriptionLost:
		p.flow = e.Flow
		p.lost(e.ID)
	case LocalChanged:
		p.flow = e.Flow
		p.localChanged(&e)
	case CallChanged:
		p.flow = e.Flow
		p.callChanged(e)
	case PhotoChanged:
		p.flow = e.Flow
		p.photoChanged(e.Icon)
	case Decided:
		p.flow = e.Flow
		p.decided(e.Grant)
	case Removed:
		p.flow = e.Flow
		p.removed(e.Direction)
	case UserSeen:
		p.flow = e.Flow
		p.seen()
	case UserGone:
		p.flow = e.Flow
		p.allGone()
	case LinkUp:
		p.linkUp()
	case TimerFired:
		p.timer()
	case Restored:
		p.restored(&e)
	case loaded:
	case saved:
		p.isSaving = false
		if e.err != nil {
			p.dirty = true
			p.after(dueSave, saveAgain)
		}
	case unwritten:
		p.owe(e.what)
	default:
		panic("presence: unknown event")
	}
}

// stanza takes what she sends to him.
func (p *Pair) stanza(s *xmpp.Presence) {
	switch s.Type {
	case xmpp.PresenceAvailable:
		p.available(s)
	case xmpp.PresenceUnavailable:
		p.unavailable(s)
	case xmpp.PresenceProbe:
		p.seen()
		p.applyWatch(WatchProbed, watchDetail{to: s.From})
	case xmpp.PresenceSubscribe:
		p.subscribe(s)
	case xmpp.PresenceUnsubscribe:
		p.applyWatch(WatchUnsubscribe, watchDetail{})
	case xmpp.PresenceSubscribed:
		p.overtaken(OwedSubscribe)
		p.seen()
		p.applyShare(ShareSubscribed, "")
	case xmpp.PresenceUnsubscribed:
		p.overtaken(OwedSubscribe)
		p.applyShare(ShareUnsubscribed, "")
	case xmpp.PresenceError:
		p.failed(s)
	}
}

// The ids of stanzas whose failure means something.
const (
	idAsk   = "presence-ask"
	idProbe = "presence-probe"
)

// failed takes an error stanza; it is never answered (RFC 6120 §8.3.1).
func (p *Pair) failed(s *xmpp.Presence) {
	e := xmpp.StanzaError{Condition: xmpp.ConditionUndefinedCondition}
	if s.Error != nil {
		e = *s.Error
	}
	event := ShareRefused
	switch mapping.PresenceErrorToState(e).Reason {
	case sip.ReasonNoResource:
		event = ShareNotFound
	case sip.ReasonProbation:
		event = ShareUnreachable
	}
	p.ports.Log(p.flow).Debug().Str("id", s.ID).Str("condition", string(e.Condition)).Msg("presence bounced")
	switch {
	case s.ID == idAsk || s.ID == idProbe && p.share == ShareGranted:
		p.applyShare(event, "")
	case s.ID != idProbe && event != ShareRefused:
		p.allGone() // what she was shown did not arrive: nobody is there
	}
}

// seen is a sign that she is there.
func (p *Pair) seen() {
	p.applySession(SessionSeen)
	if p.share != ShareGranted && p.watch.wanted() {
		// Her going is only heard of if she granted him to see it, or sent him directed
		// presence (RFC 6121 §4.5.2).
		p.after(dueUnseen, p.settings.Unseen)
	}
}

// allGone is the end of all her resources.
func (p *Pair) allGone() {
	p.hidden, p.pending = nil, nil
	user, changed := p.user.Update(mapping.Resource{Closed: true, Changed: p.now().Unix()})
	p.user = user
	if changed {
		p.applyShare(ShareChanged, "")
	}
	p.applySession(SessionGone)
}

func (p *Pair) applySession(e SessionEvent) {
	next, effects := NextSession(p.session, e)
	p.session = next
	if effects&SessionStopGrace != 0 {
		p.due.clear(dueGrace)
	}
	if effects&SessionStartGrace != 0 {
		p.after(dueGrace, p.settings.Grace)
	}
	if effects&SessionLogin != 0 && !(p.watch == WatchOffline && p.fetchOnly()) {
		p.applyWatch(WatchLogin, watchDetail{})
	}
	if effects&SessionLogout != 0 {
		p.due.clear(dueUnseen)
		p.applyWatch(WatchLogout, watchDetail{})
	}
}

// callChanged follows who is on the phone.
func (p *Pair) callChanged(e CallChanged) {
	if e.User {
		if p.sheCalls != e.Busy {
			p.sheCalls = e.Busy
			if p.known {
				p.applyShare(ShareChanged, "")
			}
		}
		return
	}
	if p.heCalls == e.Busy {
		return
	}
	p.heCalls = e.Busy
	if p.stale || len(p.peer) == 0 {
		return
	}
	next, changes := mapping.CallToPresences(p.peer, p.context(xmpp.JID{}))
	p.peer = next
	p.send(changes)
}

// photoChanged shows the devices again that have the picture at a URI.
func (p *Pair) photoChanged(icon string) {
	if p.stale || p.session == SessionOffline || p.watch.Authorisation() != Granted {
		return
	}
	for i := range p.peer {
		if r := &p.peer[i]; !r.Closed && r.Avatar == icon {
			p.send(mapping.ResourcesToPresences(p.peer[i:i+1], p.context(xmpp.JID{})))
		}
	}
}

func (p *Pair) removed(d Direction) {
	if d == Watching {
		p.applyWatch(WatchUnsubscribe, watchDetail{})
		return
	}
	p.applyShare(ShareRemoved, "")
}

// linkUp asks and tells anew, at a moment that is the pair's own.
func (p *Pair) linkUp() {
	p.due.clear(dueConfirm) // the answers may have been lost
	if p.owed != 0 || len(p.untold) > 0 || p.watch.wanted() || len(p.watches) > 0 {
		p.after(dueAnnounce, p.part(p.settings.Spread))
	}
	if p.due.has(dueHeld) && p.share == ShareGranted && !p.known {
		p.probe() // watchers wait for this
	}
}

// announce is what a new link makes necessary: her server may have been restarted, so
// she is probed and what is not confirmed is gone; and it may not have seen the last
// that was sent.
func (p *Pair) announce() {
	if !p.ports.LinkUp() {
		return // the next LinkUp
	}
	if p.share == ShareGranted && (len(p.watches) > 0 || p.watch.wanted()) {
		if !p.probe() {
			p.after(dueAnnounce, sendAgain+p.part(sendAgain))
			return
		}
		p.pending = p.pending[:0]
		for i := range p.user {
			if !p.user[i].Closed {
				p.pending = append(p.pending, p.user[i].Name)
			}
		}
		p.after(dueConfirm, p.settings.Confirm)
	}
	p.resend()
}

// resend tells her all that she may have missed.
func (p *Pair) resend() {
	if !p.ports.LinkUp() {
		return
	}
	p.pay()
	gone := p.untold
	p.untold = nil
	for _, name := range gone {
		p.sendGone(name)
	}
	if p.session != SessionOffline && !p.stale && p.peer.Available() {
		p.send(mapping.ResourcesToPresences(p.peer, p.context(xmpp.JID{})))
	}
}

// fired is a timer that ran out and that Ports still holds.
const fired time.Duration = -1

func (p *Pair) timer() {
	p.armed = fired
	for {
		kind, ok := p.due.take(p.clock())
		if !ok {
			return
		}
		switch kind {
		case dueGrace:
			p.applySession(SessionGraceOver)
		case dueUnseen:
			if p.share != ShareGranted && len(p.hidden) == 0 {
				p.applySession(SessionUnseen)
			}
		case dueRetry:
			p.applyWatch(WatchDue, watchDetail{})
		case dueWatch:
			p.applyWatch(WatchGivenUp, watchDetail{})
		case dueShare:
			p.applyShare(ShareGivenUp, "")
		case dueHeld:
			p.release()
		case dueConfirm:
			p.unconfirmed()
		case dueAnnounce:
			p.announce()
		case dueResend:
			p.resend()
		case dueSilent:
			p.silent()
		case dueSave: // save follows
		}
	}
}

// now is the wall clock, clock the one of the deadlines.
func (p *Pair) now() time.Time       { return p.settings.Now() }
func (p *Pair) clock() time.Duration { return p.now().Sub(epoch) }

func (p *Pair) after(k deadlineKind, d time.Duration) { p.due.set(k, p.clock()+d) }

// arm sets the timer to the earliest deadline.
func (p *Pair) arm() {
	at, ok := p.due.next()
	switch {
	case !ok && p.armed != 0:
		p.armed = 0
		p.ports.SetTimer(0)
	case ok && at != p.armed:
		p.armed = at
		p.ports.SetTimer(max(at-p.clock(), time.Nanosecond))
	}
}

// part is the pair's own part of d: the same every time, and spread evenly over pairs.
func (p *Pair) part(d time.Duration) time.Duration {
	user, contact := p.ports.Addresses()
	h := uint64(14695981039346656037) // FNV-1a
	for _, s := range [...]string{user.Local(), user.Domain(), contact.Local()} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	h ^= h >> 33 // its high bits hardly depend on the last characters
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return time.Duration(float64(d) * float64(h>>11) / (1 << 53))
}

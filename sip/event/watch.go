package event

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/stoxgate/stoxgate/sip"
)

// Watch is one subscription of ours: over its dialogs (a forked SUBSCRIBE makes several),
// their refreshes, and the attempts that follow when it is lost. Its methods may be
// called from anywhere, also from the owner's.
type Watch struct {
	// Data belongs to the owner.
	Data any

	s                      *Subscriber
	owner                  WatchOwner
	from, display, to, uri string
	event, accept          unique.Handle[string]
	pkg, id                string
	list, poll             bool
	hops                   uint8 // of the very first SUBSCRIBE; 0: the usual
	toHop                  uint64

	mu      sync.Mutex
	clock   alarm
	state   WatchState
	briefed bool   // the duration was raised once (423)
	closes  bool   // until is the end of the time for forks
	attempt uint32 // number of the attempt
	first   uint32 // CSeq of its first SUBSCRIBE
	// seq is the last CSeq that was used. All dialogs of an attempt count with it: each
	// needs growing numbers, and not everybody tells the forks of a Call-ID apart.
	seq     uint32
	fails   int    // attempts in a row that came to nothing
	callID  string // "": no attempt is under way
	tag     string // ours
	contact string
	ask     time.Duration
	granted time.Duration // by the 2xx of this attempt, 0 before it
	// until is the one deadline of the state: timer N (Subscribing; Pending and Active:
	// the end of the time for forks), the next attempt (Waiting), the end (Ending).
	until   time.Duration
	born    time.Duration // of the first dialog of this attempt
	dialogs []*watchDialog
	over    []string    // tags of dialogs of this attempt that have ended
	last    WatchStatus // Code … RetryAfter
	events  *order[watchEvent]
}

// watchEvent is one call of the owner.
type watchEvent struct {
	status   *WatchStatus
	notified *Notified
}

// From is who watches.
func (w *Watch) From() sip.URI { return mustURI(w.from) }

// To is what is watched.
func (w *Watch) To() sip.URI { return mustURI(w.to) }

// Package is the name of the event package.
func (w *Watch) Package() string { return w.pkg }

// mustURI reads what URI.String wrote.
func mustURI(s string) sip.URI {
	u, _ := sip.ParseURI(s)
	return u
}

// Status is where the Watch stands.
func (w *Watch) Status() WatchStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status()
}

func (w *Watch) status() WatchStatus {
	s := w.last
	s.State, s.Live = w.state, w.live()
	if w.state == WatchWaiting {
		s.Next = max(w.until-w.s.alarms.now(), 0)
	}
	return s
}

func (w *Watch) live() []string {
	list := make([]string, len(w.dialogs))
	for i, d := range w.dialogs {
		list[i] = d.tag
	}
	return list
}

// Refresh asks now, without waiting for the time of the refresh or of the next attempt.
func (w *Watch) Refresh() {
	w.mu.Lock()
	now := w.s.alarms.now()
	for _, d := range w.dialogs {
		d.refresh = now
	}
	if w.state == WatchWaiting {
		w.until = now
	}
	w.mu.Unlock()
	w.settle()
}

// Unsubscribe ends the Watch: the notifier is told, if there is one. The owner hears of
// it until WatchTerminated.
func (w *Watch) Unsubscribe() {
	w.mu.Lock()
	w.signal(sigUnsubscribe)
	w.mu.Unlock()
	w.settle()
}

// pollLinger is how long a poll that was answered waits for other forks.
const pollLinger = 2 * time.Second

// signal runs the state machine; w.mu is held, settle follows.
func (w *Watch) signal(sig signal) {
	next, deeds := advanceWatch(w.state, sig, w.poll)
	changed := next != w.state
	w.state = next
	now := w.s.alarms.now()
	if deeds&deedSubscribe != 0 {
		w.begin()
	}
	if deeds&deedAgain != 0 {
		w.seq++
		w.first = w.seq
		w.submitFirst()
	}
	if deeds&deedWait != 0 {
		w.until = now + w.pause(sig)
		w.abandon()
	}
	if deeds&deedLeave != 0 {
		for _, d := range w.dialogs {
			d.leaving = true
		}
	}
	if deeds&deedLinger != 0 {
		w.until = now + w.s.cfg.Timeout
		if w.poll {
			w.until = now + pollLinger
		}
	}
	if deeds&deedForget != 0 {
		w.until = never
		w.abandon()
		w.s.leave()
	}
	if changed {
		w.changed()
	}
}

// changed queues the status for the owner.
func (w *Watch) changed() {
	st := w.status()
	put(&w.events, watchEvent{status: &st})
}

// begin starts an attempt: a new Call-ID, a new tag (RFC 6665 §4.1.2.2).
func (w *Watch) begin() {
	old := w.callID
	w.callID, w.tag = w.s.newCallID(), token(8)
	w.attempt++
	w.seq, w.first, w.granted, w.briefed, w.until, w.closes, w.dialogs = 1, 1, 0, false, never, false, nil
	w.over = nil
	w.last = WatchStatus{}
	w.s.register(w, old)
	w.submitFirst()
}

// abandon forgets the attempt: its NOTIFYs get 481 from now on.
func (w *Watch) abandon() {
	old := w.callID
	w.callID, w.dialogs, w.over = "", nil, nil
	w.s.register(w, old)
}

// pause is how long to wait after the end of an attempt.
func (w *Watch) pause(sig signal) time.Duration {
	r := Retry{Again: true, After: min(w.last.RetryAfter, maxWait)}
	fails := w.fails
	switch {
	case sig == sigFailed:
		fails++
	case w.s.alarms.now()-w.born >= proven:
		fails, w.fails = 0, 0
	}
	if sig == sigEnded {
		r = RetryOf(w.last.Reason, w.last.RetryAfter)
	}
	w.fails++
	return pauseFor(r, fails, lot())
}

// settle brings owner, outbox and alarm up to date after a change.
func (w *Watch) settle() {
	deliver(&w.mu, &w.events, func(e watchEvent) {
		if e.status != nil {
			w.owner.WatchChanged(w, *e.status)
		}
		if e.notified != nil {
			w.owner.Notified(w, *e.notified)
		}
	})
	w.mu.Lock()
	w.arrange()
	w.mu.Unlock()
}

// arrange submits the SUBSCRIBEs that are due and sets the alarm for the rest.
func (w *Watch) arrange() {
	now := w.s.alarms.now()
	at := w.until
	for _, d := range w.dialogs {
		switch {
		case d.busy, d.said:
		case d.leaving, now >= d.refresh:
			d.busy = true
			w.s.outbox.submit(&dialogJob{w, d})
		default:
			at = min(at, d.refresh)
		}
		if !d.busy && !d.leaving {
			at = min(at, d.expires, d.silence)
		}
	}
	if w.state == WatchTerminated {
		at = never
	}
	w.s.alarms.set(w, at)
}

func (w *Watch) alarm() *alarm { return &w.clock }

// ring is the alarm.
func (w *Watch) ring() {
	w.mu.Lock()
	now := w.s.alarms.now()
	for _, d := range slices.Clone(w.dialogs) {
		if !d.busy && !d.leaving && now >= min(d.expires, d.silence) {
			w.last.Code, w.last.Err = 0, errSilent
			w.lose(d)
		}
	}
	if now >= w.until {
		switch w.state {
		case WatchSubscribing: // timer N: no NOTIFY has come
			w.last.Code, w.last.Err, w.last.RetryAfter = 0, errSilent, 0
			w.signal(sigFailed)
		case WatchPending, WatchActive:
			w.until, w.closes = never, true
		case WatchWaiting:
			w.signal(sigRetry)
		case WatchEnding:
			w.signal(sigSilence)
		case WatchUnknown, WatchTerminated:
		}
	}
	w.mu.Unlock()
	w.settle()
}

var errSilent = errors.New("event: no NOTIFY in time")

// lose drops a dialog that ended without a NOTIFY that says so.
func (w *Watch) lose(d *watchDialog) {
	if !w.drop(d) {
		return
	}
	if len(w.dialogs) == 0 {
		w.last.Reason, w.last.RetryAfter = "", 0
		w.signal(sigLost)
		return
	}
	w.aggregate()
	w.changed()
}

func (w *Watch) drop(d *watchDialog) bool {
	i := slices.Index(w.dialogs, d)
	if i < 0 {
		return false
	}
	w.dialogs = slices.Delete(w.dialogs, i, i+1)
	w.over = append(w.over, d.tag)
	return true
}

// aggregate tells the machine what the dialogs are together.
func (w *Watch) aggregate() {
	sig := sigPending
	for _, d := range w.dialogs {
		if d.state == sip.SubscriptionActive {
			sig = sigActive
		}
	}
	w.signal(sig)
}

// notified takes a NOTIFY.
func (w *Watch) notified(a *arrival, e sip.Event) (sip.Status, *Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.callID != sip.CallID(a.req) || w.tag != sip.ToTag(a.req) || sip.FromTag(a.req) == "":
		return noSubscription(), nil
	case e.Package != w.pkg:
		return sip.Status{Code: 489, Headers: []sip.Header{header("Allow-Events", w.pkg)}}, nil
	case e.ID != w.id:
		return noSubscription(), nil
	}
	sub, ok := substateOf(a.req)
	if !ok {
		return sip.Status{Code: 400, Reason: "Bad Request - no usable Subscription-State"}, nil
	}
	p, found, err := peerOf(a)
	if err != nil {
		return sip.Status{Code: 400, Reason: "Bad Request - no usable Contact or Record-Route"}, nil
	}
	seq, _ := sip.CSeq(a.req)
	before := len(w.dialogs)
	d, st := w.dialogOf(a, sub, p, found, seq)
	if st != nil {
		return *st, nil
	}
	body, contentType := a.req.Body(), sip.ContentType(a.req)
	if len(body) > 0 && contentType == "" {
		contentType, _, _ = strings.Cut(w.accept.Value(), ",")
	}
	readable := len(body) == 0 || accepts(strings.Split(w.accept.Value(), ","), contentType)
	n := Notified{Dialog: d.tag, State: d.state, ContentType: contentType, Body: body, Language: sip.Value(a.req, "Content-Language"), Version: seq}
	if len(body) == 0 {
		n.ContentType, n.Body = "", nil
	}
	quiet := w.state == WatchEnding && !w.poll || !readable
	tell := func() {
		if !quiet {
			n.Live = w.live()
			put(&w.events, watchEvent{notified: &n})
		}
	}
	if d.state == sip.SubscriptionTerminated {
		n.Reason, n.RetryAfter = sub.Reason, sub.RetryAfter
		w.drop(d)
		tell()
		w.ended(sub)
	} else {
		state := w.state
		w.aggregate()
		if len(w.dialogs) != before && w.state == state {
			w.changed()
		}
		tell()
	}
	if !readable {
		return sip.Status{Code: 415, Headers: []sip.Header{header("Accept", w.accept.Value())}}, w
	}
	return sip.Status{Code: 200}, w
}

// ended follows a dialog that a NOTIFY has terminated.
func (w *Watch) ended(sub sip.SubscriptionState) {
	w.last.Code, w.last.Err, w.last.Reason, w.last.RetryAfter = 0, nil, sub.Reason, sub.RetryAfter
	if len(w.dialogs) > 0 {
		w.aggregate()
		w.changed()
		return
	}
	if RetryOf(sub.Reason, sub.RetryAfter).Again {
		w.signal(sigEnded)
	} else {
		w.signal(sigEndedForGood)
	}
}

// dialogOf finds the dialog of a NOTIFY, or makes it, and brings it up to date.
func (w *Watch) dialogOf(a *arrival, sub sip.SubscriptionState, p peer, found bool, seq uint32) (*watchDialog, *sip.Status) {
	now := w.s.alarms.now()
	tag := sip.FromTag(a.req)
	i := slices.IndexFunc(w.dialogs, func(d *watchDialog) bool { return d.tag == tag })
	var d *watchDialog
	if i >= 0 {
		d = w.dialogs[i]
		if seq <= d.remoteSeq {
			// RFC 3261 §12.2.2. The same number again, in another transaction, is an
			// answer that got lost: it has been taken.
			if seq == d.remoteSeq {
				return nil, &sip.Status{Code: 200}
			}
			return nil, &sip.Status{Code: 500, Reason: "Server Internal Error - CSeq out of order"}
		}
	} else {
		st := noSubscription()
		switch {
		case slices.Contains(w.over, tag): // overtaken by the one that ended the dialog
			return nil, &st
		case w.closes || max(len(w.dialogs), len(w.over)) >= w.s.cfg.Forks || w.state == WatchEnding && !w.poll:
			return nil, &st // 481 ends the fork that we do not want
		}
		if !found {
			p.target = w.requestURI(Hop{})
		}
		d = &watchDialog{tag: strings.Clone(tag), asked: w.ask, silence: never, expires: never, refresh: never}
		if err := d.keep(p); err != nil {
			return nil, &sip.Status{Code: 513}
		}
		if len(w.dialogs) == 0 {
			w.born = now
			if w.state == WatchSubscribing && !w.poll { // from now on it ends the time for forks
				w.until = now + w.s.cfg.Timeout
			}
		}
		w.dialogs = append(w.dialogs, d)
		w.schedule(d, or(w.granted, w.ask))
	}
	d.remoteSeq = seq
	d.silence = never
	switch sub.State {
	case sip.SubscriptionActive, sip.SubscriptionPending, sip.SubscriptionTerminated:
		d.state = sub.State
	default: // an extension says nothing of what it replaces
		if d.state == "" {
			d.state = sip.SubscriptionPending
		}
	}
	if i >= 0 && found {
		d.retarget(p)
	}
	if sub.Expires > 0 && d.state != sip.SubscriptionTerminated {
		// It is authoritative, but must not lengthen what was asked for (RFC 6665 §4.1.3).
		left := min(sub.Expires, d.asked)
		if off := now + left - d.expires; off > 2*time.Second || off < -2*time.Second {
			w.schedule(d, left)
		}
	}
	return d, nil
}

// firstJob is a SUBSCRIBE outside of a dialog.
type firstJob struct {
	w       *Watch
	attempt uint32
	seq     uint32
}

func (j *firstJob) hop() uint64 { return j.w.toHop }

func (w *Watch) submitFirst() { w.s.outbox.submit(&firstJob{w, w.attempt, w.first}) }

func (w *Watch) requestURI(h Hop) sip.URI {
	switch {
	case !h.RequestURI.IsZero():
		return h.RequestURI
	case w.uri != "":
		return mustURI(w.uri)
	}
	return mustURI(w.to)
}

func (w *Watch) route() (h Hop, err error) {
	if w.s.cfg.Route != nil {
		if h, err = w.s.cfg.Route(w.From(), w.To()); err != nil {
			return h, err
		}
	}
	h.RequestURI = w.requestURI(h)
	if h.Contact.IsZero() {
		h.Contact = w.s.contactOf(w.From(), h)
	}
	return h, nil
}

func (j *firstJob) send(ctx context.Context) {
	w := j.w
	h, err := w.route()
	w.mu.Lock()
	if w.attempt != j.attempt || w.first != j.seq || w.callID == "" {
		w.mu.Unlock()
		return
	}
	var req *sip.Request
	if err == nil {
		w.contact = h.Contact.String()
		req, err = w.request(h.RequestURI, nil, w.first, w.ask)
	}
	w.mu.Unlock()
	var res *sip.Response
	if err == nil {
		limit, cancel := context.WithTimeout(ctx, 3*w.s.cfg.Timeout) // failover takes its time
		res, err = w.s.cfg.Sender.Do(limit, req, h.Target)
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	var refusal sip.Status
	if errors.As(err, &refusal) {
		err = nil
	}
	w.mu.Lock()
	if w.attempt == j.attempt && w.first == j.seq && w.callID != "" {
		w.firstAnswer(res, refusal, err)
	}
	w.mu.Unlock()
	w.settle()
}

// firstAnswer takes the answer to a first SUBSCRIBE; refusal is one that the router gave.
func (w *Watch) firstAnswer(res *sip.Response, refusal sip.Status, err error) {
	now := w.s.alarms.now()
	code, retryAfter := refusal.Code, refusal.RetryAfter
	if res != nil {
		code = res.StatusCode
		retryAfter, _ = sip.ParseRetryAfter(sip.Value(res, "Retry-After"))
	}
	if err == nil && judgeFirst(code) == verdictOK {
		w.accepted(res, now)
		return
	}
	if len(w.dialogs) > 0 {
		return // a NOTIFY shows that it was taken, and only the answer got lost
	}
	w.last.Code, w.last.Err, w.last.Reason, w.last.RetryAfter = code, err, "", retryAfter
	w.s.cfg.Log.Debug().Err(err).Int("status", code).Str("call_id", w.callID).Str("event", w.pkg).Msg("subscribe failed")
	if err != nil {
		w.signal(sigFailed)
		return
	}
	switch judgeFirst(code) {
	case verdictBrief:
		if least, ok := raise(res, w.ask); ok && !w.briefed && !w.poll {
			w.ask, w.briefed = least, true
			w.signal(sigBrief)
			return
		}
		w.signal(sigRefused)
	case verdictLater:
		w.signal(sigFailed)
	case verdictFinal, verdictUnknown, verdictGone, verdictOK:
		w.signal(sigRefused)
	}
}

// maxAsk bounds what a 423 can make us ask for.
const maxAsk = 24 * time.Hour

// raise reads Min-Expires: more than was asked for, or it is of no use.
func raise(res *sip.Response, ask time.Duration) (time.Duration, bool) {
	if res == nil {
		return 0, false
	}
	least, ok := parseSeconds(sip.Value(res, "Min-Expires"))
	return least, ok && least > ask && least <= maxAsk
}

// accepted takes the 2xx to a first SUBSCRIBE. It makes no dialog, a NOTIFY does (RFC
// 6665 §4.1.2.4).
func (w *Watch) accepted(res *sip.Response, now time.Duration) {
	w.last = WatchStatus{}
	w.granted = w.ask
	if d, ok := expiresOf(res); ok && d < w.ask {
		w.granted = max(d, time.Second)
	}
	w.count(res)
	if w.state == WatchSubscribing && len(w.dialogs) == 0 {
		w.until = now + w.s.cfg.Timeout // timer N
	}
	for _, d := range w.dialogs { // NOTIFYs that were faster
		if d.tag == sip.ToTag(res) && d.expires > now+w.granted {
			w.schedule(d, w.granted)
		}
	}
}

// count follows an answered challenge, which has used further numbers.
func (w *Watch) count(res *sip.Response) {
	if seq, _ := sip.CSeq(res); seq > w.seq {
		w.seq = seq
	}
}

// request makes a SUBSCRIBE; d is its dialog or nil. w.mu is held.
func (w *Watch) request(uri sip.URI, d *watchDialog, seq uint32, expires time.Duration) (*sip.Request, error) {
	req := sip.NewRequest(sip.SUBSCRIBE, uri)
	from := sip.NameAddr{Display: w.display, URI: mustURI(w.from), Params: sip.Params{{Name: "tag", Value: w.tag}}}
	to := sip.NameAddr{URI: mustURI(w.to)}
	if d != nil {
		to.Params = sip.Params{{Name: "tag", Value: d.tag}}
	}
	sip.SetDialogHeaders(req, from, to, w.callID, seq)
	if d == nil && w.hops > 0 && w.attempt == 1 {
		sip.SetMaxForwards(req, int(w.hops))
	}
	list := [][2]string{
		{"Contact", "<" + w.contact + ">"},
		{"Event", w.event.Value()},
		{"Expires", seconds(expires)},
		{"Accept", w.accept.Value()},
		{"Supported", "eventlist"},
	}
	if !w.list {
		list = list[:len(list)-1]
	}
	for _, h := range list {
		if err := sip.Add(req, h[0], h[1]); err != nil {
			return nil, err
		}
	}
	return req, nil
}

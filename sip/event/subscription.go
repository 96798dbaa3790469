package event

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Subscription is one subscription that somebody has with us: one dialog. Its methods
// may be called from anywhere, also from the owner's.
//
// It is built to be small, 100,000 of them live in one process: what its requests are
// made of is text in one piece, read again for each NOTIFY.
type Subscription struct {
	// Data belongs to the owner, which sets it in Subscribed or after Restore.
	Data any

	n             *Notifier
	pkg           *Package
	tag           string     // ours; the key of the table
	pair, watcher uint64     // keys of the limits
	source        netip.Addr // counted there
	counted       bool

	mu        sync.Mutex
	clock     alarm
	texts     texts
	accept    unique.Handle[string]
	flow      *ua.Flow // nil: none
	hopKey    uint64
	phase     phase
	state     sip.SubState // last told
	busy      bool         // a NOTIFY is in the outbox or under way
	urgent    bool         // the next NOTIFY answers a SUBSCRIBE, or is told to be
	held      uint8        // SUBSCRIBEs that are not answered yet: nothing goes out before the 200
	tries     uint8
	localSeq  uint32
	remoteSeq uint32
	version   uint32
	granted   time.Duration
	expires   time.Duration // these on the clock of the alarms
	sent      time.Duration // the last NOTIFY, or the SUBSCRIBE before there is one
	notBefore time.Duration // what the watcher asks for by Retry-After
	next      *Notification
	events    *order[ownerEvent]
}

// ownerEvent is one call of the owner.
type ownerEvent struct {
	subscribed *Subscribed
	refreshed  *Refreshed
	ended      *Ended
}

// Notification is what a watcher is told.
type Notification struct {
	State       sip.SubState
	Reason      sip.EventReason // of a terminated one
	RetryAfter  time.Duration   // of a terminated one with probation or giveup
	ContentType string
	Body        []byte // not to be changed afterwards
	Language    string // Content-Language
	// Urgent does not wait for the interval: it goes on with what did not fit into the
	// NOTIFY before.
	Urgent bool
	// Build, if set, makes the document in place of ContentType and Body when it is
	// sent. version is 0 for the first document of the subscription and grows by one
	// with each; after Restore it has a gap, so the next document must be a full one.
	// It is called on a goroutine of the notifier and must not block.
	Build func(version uint32) (contentType string, body []byte)
}

// ID is our tag of the dialog: it is unique, and the key of Record.
func (s *Subscription) ID() string { return s.tag }

// Package is the name of the event package.
func (s *Subscription) Package() string { return s.pkg.Name }

// Resource is what is watched.
func (s *Subscription) Resource() sip.URI {
	return s.uri(textResource, textLocal)
}

// Watcher is who watches.
func (s *Subscription) Watcher() sip.URI {
	return s.uri(textWatcher, textRemote)
}

func (s *Subscription) uri(k, otherwise text) sip.URI {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.texts.get(k)
	if t == "" {
		t = s.texts.get(otherwise)
	}
	u, _ := sip.ParseURI(t) // it was one
	return u
}

// Accept are the media types that the watcher takes.
func (s *Subscription) Accept() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(s.accept.Value(), ", ")
}

// Accepts tells whether the watcher takes a media type.
func (s *Subscription) Accepts(mediaType string) bool { return accepts(s.Accept(), mediaType) }

// State is what was told last.
func (s *Subscription) State() sip.SubState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Expires is how long the subscription lasts if it is not refreshed.
func (s *Subscription) Expires() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.expires-s.n.alarms.now(), 0)
}

// Notify tells the watcher a state. It queues one NOTIFY, which replaces one that has
// not been sent yet; so the watcher gets the last state, and not more than one NOTIFY
// in the package's interval. What answers a SUBSCRIBE and what terminates goes out at
// once. Of a poll every state becomes terminated;reason=timeout. After a terminated
// state and after Ended it returns ErrEnded. A state that is none counts as pending.
func (s *Subscription) Notify(n Notification) error {
	c := cueTellPending
	switch n.State {
	case sip.SubscriptionActive:
		c = cueTellActive
	case sip.SubscriptionTerminated:
		c = cueTellTerminated
	default:
		n.State = sip.SubscriptionPending
	}
	cause := CauseTold
	s.mu.Lock()
	if s.phase == phasePoll {
		cause = CausePolled
		if n.State != sip.SubscriptionTerminated {
			n.State, n.Reason = sip.SubscriptionTerminated, sip.ReasonTimeout
		}
	}
	if s.apply(c, Ended{Cause: cause})&actQueue == 0 {
		s.mu.Unlock()
		return ErrEnded
	}
	s.next = &n
	s.state = n.State
	s.urgent = s.urgent || n.Urgent
	s.mu.Unlock()
	s.settle()
	return nil
}

// apply runs the state machine; s.mu is held. Settle follows.
func (s *Subscription) apply(c cue, e Ended) act {
	next, acts := advance(s.phase, c)
	s.phase = next
	if acts&actFinal != 0 {
		s.next, s.state = &Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonTimeout}, sip.SubscriptionTerminated
	}
	if acts&actBlank != 0 {
		s.next, s.state = &Notification{State: sip.SubscriptionPending}, sip.SubscriptionPending
	}
	if acts&actEnded != 0 {
		put(&s.events, ownerEvent{ended: &e})
	}
	if acts&actDrop != 0 {
		s.next = nil
		s.n.alarms.stop(s)
		s.n.drop(s)
	}
	return acts
}

// answered follows the 200 to a SUBSCRIBE.
func (s *Subscription) answered() {
	s.mu.Lock()
	s.held--
	s.mu.Unlock()
	s.settle()
}

// settle brings the owner, the outbox and the alarm up to date after a change: the
// owner first, for what it tells in return is better than what is queued.
func (s *Subscription) settle() {
	s.mu.Lock()
	held := s.held > 0
	s.mu.Unlock()
	if held {
		return // answered does it
	}
	deliver(&s.mu, &s.events, func(e ownerEvent) {
		switch o := s.pkg.Owner; {
		case e.subscribed != nil:
			o.Subscribed(*e.subscribed)
		case e.refreshed != nil:
			o.Refreshed(s, *e.refreshed)
		case e.ended != nil:
			o.Ended(s, *e.ended)
		}
	})
	s.mu.Lock()
	s.arrange()
	s.mu.Unlock()
}

// arrange submits the NOTIFY that may be sent, or sets the alarm to when it may, or to
// the next thing that is due; s.mu is held.
func (s *Subscription) arrange() {
	at := never
	switch s.phase {
	case phasePoll, phaseNew:
		at = min(s.expires, s.sent+s.n.cfg.Silence)
	case phasePending, phaseActive:
		at = s.expires
	case phaseUnknown, phaseEnding, phaseEnded:
	}
	if s.next != nil && !s.busy {
		now := s.n.alarms.now()
		ready := s.notBefore
		if !s.urgent {
			ready = max(ready, s.sent+s.pkg.Interval)
		}
		if ready <= now || s.phase == phaseEnding {
			s.busy = true
			s.n.outbox.submit(s)
		} else {
			at = min(at, ready)
		}
	}
	s.n.alarms.set(s, at)
}

func (s *Subscription) alarm() *alarm { return &s.clock }

// ring is the alarm.
func (s *Subscription) ring() {
	s.mu.Lock()
	now := s.n.alarms.now()
	switch {
	case now >= s.expires:
		s.apply(cueExpire, Ended{Cause: CauseExpired})
	case now >= s.sent+s.n.cfg.Silence && (s.phase == phaseNew || s.phase == phasePoll):
		s.apply(cueSilence, Ended{Cause: CausePolled})
	}
	s.mu.Unlock()
	s.settle()
}

// accepted is the 200 to a SUBSCRIBE; s.mu is held or s is new.
func (s *Subscription) accepted(d time.Duration) sip.Status {
	st := sip.Status{Code: 200, Headers: []sip.Header{
		header("Contact", "<"+s.texts.get(textContact)+">"), header("Expires", seconds(d)),
	}}
	if r := s.texts.get(textRequire); r != "" {
		st.Headers = append(st.Headers, header("Require", r))
	}
	return st
}

// reach takes how the watcher is reached.
func (s *Subscription) reach(p peer) {
	s.flow = nil
	if !p.flow.IsZero() {
		f := p.flow
		s.flow = &f
	}
	s.hopKey = p.hopOf()
}

// retarget follows a target refresh: the Contact is replaced, the route set is not
// (RFC 3261 §12.2.2); s.mu is held.
func (s *Subscription) retarget(p peer) {
	if t := p.target.String(); t != s.texts.get(textTarget) {
		list := s.texts.list()
		list[textTarget] = t
		texts, err := packTexts(list)
		if err != nil {
			s.n.cfg.Log.Debug().Err(err).Str("call_id", s.texts.get(textCallID)).Msg("new contact of a watcher ignored")
			return
		}
		s.texts = texts
	}
	old, err := s.peer()
	if err != nil {
		return
	}
	old.target = p.target
	if len(old.routes) == 0 {
		old.flow = p.flow
	}
	s.reach(old)
}

// peer reads back how the watcher is reached.
func (s *Subscription) peer() (p peer, err error) {
	if p.target, err = sip.ParseURI(s.texts.get(textTarget)); err != nil {
		return p, err
	}
	if p.routes, err = parseRoutes(s.texts.get(textRoutes)); err != nil {
		return p, err
	}
	if s.flow != nil {
		p.flow = *s.flow
	}
	return p, nil
}

func (s *Subscription) hop() uint64 { return s.hopKey }

// send sends the NOTIFY that is queued now.
func (s *Subscription) send(ctx context.Context) {
	s.mu.Lock()
	n := s.next
	s.next = nil
	if n == nil {
		s.busy = false
		s.mu.Unlock()
		return
	}
	version := s.version
	s.urgent = false // before Build, which may want to go on
	s.mu.Unlock()
	contentType, body := n.ContentType, n.Body
	if n.Build != nil {
		contentType, body = n.Build(version)
	}
	s.mu.Lock()
	req, target, err := s.request(n, contentType, body)
	if err != nil {
		err = fmt.Errorf("%w: %w", ua.ErrRequest, err)
	}
	s.sent = s.n.alarms.now()
	s.mu.Unlock()

	var res *sip.Response
	if err == nil {
		limit, cancel := context.WithTimeout(ctx, s.n.cfg.Timeout)
		res, err = s.n.cfg.Sender.Do(limit, req, target)
		cancel()
	}
	if ctx.Err() != nil {
		return // closed: nobody is told that watchers were lost
	}
	s.mu.Lock()
	s.sentAs(n, res, err)
	s.mu.Unlock()
	s.settle()
}

// request makes a NOTIFY (RFC 6665 §4.2.2); s.mu is held.
func (s *Subscription) request(n *Notification, contentType string, body []byte) (*sip.Request, ua.Target, error) {
	p, err := s.peer()
	if err != nil {
		return nil, ua.Target{}, err
	}
	from, err := sip.ParseURI(s.texts.get(textLocal))
	if err != nil {
		return nil, ua.Target{}, err
	}
	to, err := sip.ParseURI(s.texts.get(textRemote))
	if err != nil {
		return nil, ua.Target{}, err
	}
	s.localSeq++
	req := sip.NewRequest(sip.NOTIFY, p.target)
	sip.SetDialogHeaders(req,
		sip.NameAddr{URI: from, Params: sip.Params{{Name: "tag", Value: s.tag}}},
		sip.NameAddr{URI: to, Params: sip.Params{{Name: "tag", Value: s.texts.get(textRemoteTag)}}},
		s.texts.get(textCallID), s.localSeq)
	state := sip.SubscriptionState{
		State: n.State, Reason: n.Reason, RetryAfter: n.RetryAfter,
		Expires: max((s.expires - s.n.alarms.now()).Round(time.Second), time.Second),
	}
	req.AppendHeader(header("Contact", "<"+s.texts.get(textContact)+">"))
	req.AppendHeader(header("Event", eventValue(s.pkg.Name, s.texts.get(textEventID))))
	req.AppendHeader(header("Subscription-State", state.String()))
	if r := s.texts.get(textRequire); r != "" {
		req.AppendHeader(header("Require", r))
	}
	if len(body) > 0 {
		s.version++
		if n.Language != "" {
			if err := sip.Add(req, "Content-Language", n.Language); err != nil {
				return nil, ua.Target{}, err
			}
		}
		if err := sip.SetBody(req, contentType, body); err != nil {
			return nil, ua.Target{}, err
		}
	}
	target := p.way(s.n.cfg.Sender.Alive)
	if s.n.cfg.Credentials != nil {
		target.Credentials = s.n.cfg.Credentials(from)
	}
	return req, target, nil
}

// sentAs takes what became of a NOTIFY; s.mu is held.
func (s *Subscription) sentAs(n *Notification, res *sip.Response, err error) {
	s.busy = false
	code := 0
	var retryAfter time.Duration
	if res != nil {
		code = res.StatusCode
		// An answered challenge has used further numbers.
		if seq, _ := sip.CSeq(res); seq > s.localSeq {
			s.localSeq = seq
		}
		if v := sip.Value(res, "Retry-After"); v != "" {
			retryAfter, _ = sip.ParseRetryAfter(v)
		}
	}
	verdict := judgeNotify(code, err)
	if verdict == notifyAgain && err != nil && s.unreachable() {
		verdict = notifyGone
	}
	if verdict != notifyDone {
		s.n.cfg.Log.Debug().Err(err).Int("status", code).Stringer("outcome", verdict).
			Str("call_id", s.texts.get(textCallID)).Str("event", s.pkg.Name).Msg("notify failed")
	}
	if n.State == sip.SubscriptionTerminated {
		s.apply(cueFinished, Ended{})
		return
	}
	switch verdict {
	case notifyDone:
		s.tries = 0
		s.refreshTarget(res)
	case notifyGone:
		e := Ended{Cause: CauseRefused, Code: code}
		if code == 0 || code == 408 {
			e = Ended{Cause: CauseUnreachable, Code: code, Err: err}
		}
		s.apply(cueGone, e)
	case notifyAgain:
		s.tries++
		if s.tries >= notifyTries && retryAfter == 0 {
			s.tries = 0 // the next change of the state tries again
			return
		}
		s.notBefore = s.n.alarms.now() + max(min(retryAfter, maxWait), notifyPause<<min(s.tries-1, 8))
		if s.next == nil {
			s.next = n
		}
	case notifyVain:
		s.tries = 0
	}
}

// unreachable tells a watcher on a WebSocket whose connection is gone: nobody can
// connect to it.
func (s *Subscription) unreachable() bool {
	return s.flow != nil && strings.HasPrefix(s.flow.Transport, "ws") && !s.n.cfg.Sender.Alive(*s.flow)
}

// refreshTarget takes the Contact of a 2xx to a NOTIFY (RFC 3261 §12.2.1.2).
func (s *Subscription) refreshTarget(res *sip.Response) {
	list, star, err := sip.Contacts(res)
	if err != nil || star || len(list) != 1 || !list[0].URI.IsSIP() {
		return
	}
	p, err := s.peer()
	if err != nil {
		return
	}
	p.target = list[0].URI
	p.target.Headers = nil
	s.retarget(p)
}

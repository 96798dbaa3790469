package event

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// WatchOwner hears what becomes of a Watch. Its methods are called in order for each
// Watch, without a lock held; they must not block.
type WatchOwner interface {
	// WatchChanged comes after every change of the state, and of what Record holds.
	WatchChanged(*Watch, WatchStatus)
	// Notified brings a NOTIFY. It comes behind the change of state that it causes, but
	// before the one to an end.
	Notified(*Watch, Notified)
}

// WatchStatus is where a Watch stands.
type WatchStatus struct {
	State WatchState
	// Code is the answer that led here when it was no 2xx, 0 without one; Err why there
	// was none.
	Code int
	Err  error
	// Reason and RetryAfter are of the termination that led here by NOTIFY.
	Reason     sip.EventReason
	RetryAfter time.Duration
	// Next is when the next attempt follows, of WatchWaiting.
	Next time.Duration
	// Live are the dialogs that there are, more than one after a fork. What the owner
	// holds of others has no subscription behind it; while one is lost and the next is
	// not there yet (WatchWaiting, WatchSubscribing) it is the last that is known.
	Live []string
}

// Notified is a NOTIFY.
type Notified struct {
	Dialog      string // of Live, or the one that has ended
	State       sip.SubState
	Reason      sip.EventReason // of a terminated one
	RetryAfter  time.Duration
	ContentType string
	Body        []byte // nil when there is none
	Language    string // Content-Language
	// Version grows with each NOTIFY of the dialog (it is the CSeq).
	Version uint32
	// Live are the dialogs after it: documents of others count no more.
	Live []string
}

// Hop is how a SUBSCRIBE that starts a subscription goes out.
type Hop struct {
	RequestURI sip.URI // zero: WatchOptions.URI, else To
	// Contact is where NOTIFY comes to; zero: Sender.Contact for the transport and the
	// address of Target or Request-URI, as far as they show.
	Contact sip.URI
	Target  ua.Target // zero: RFC 3263 for the Request-URI
}

// SubscriberConfig is the configuration of a Subscriber. Sender is needed.
type SubscriberConfig struct {
	Sender Sender
	// Route finds the way of each first SUBSCRIBE, so that it is the one that is right
	// then, and the credentials of those in the dialog. It must be quick. A sip.Status as
	// error counts as that answer. Nil: RFC 3263.
	Route func(from, to sip.URI) (Hop, error)
	// Node names this process in Call-IDs (callid@node); empty: none.
	Node   string
	Limits Limits // Total of watches, InFlight and PerHop count
	// Forks is how many dialogs one SUBSCRIBE may make, 8 when zero.
	Forks int
	// Timeout is 64*T1: timer N, and how long a SUBSCRIBE in a dialog may stay
	// unanswered; 32 s when zero.
	Timeout time.Duration
	// Spread is over which time restored watches are refreshed that are due, or started
	// again; 2 min when zero.
	Spread time.Duration
	Log    zerolog.Logger
}

// Subscriber is the subscriber of RFC 6665 §4.1: it sends SUBSCRIBE and takes NOTIFY.
type Subscriber struct {
	cfg    SubscriberConfig
	alarms *alarms[*Watch]
	outbox *outbox

	mu     sync.Mutex
	closed bool
	count  int
	byCall map[string]*Watch
}

// NewSubscriber checks the configuration.
func NewSubscriber(cfg SubscriberConfig) (*Subscriber, error) {
	if cfg.Sender == nil {
		return nil, fmt.Errorf("%w: subscriber needs Sender", ErrConfig)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Timeout = or(cfg.Timeout, timeoutDefault)
	cfg.Spread = or(cfg.Spread, 2*time.Minute)
	if cfg.Forks == 0 {
		cfg.Forks = 8
	}
	return &Subscriber{
		cfg: cfg, alarms: newAlarms[*Watch](), outbox: newOutbox(cfg.Limits.InFlight, cfg.Limits.PerHop), byCall: map[string]*Watch{},
	}, nil
}

// Run sends SUBSCRIBEs until ctx ends; then it gives up what is under way, waits for its
// goroutines and returns nil. Notifiers are not told: the subscriptions go on when they
// are restored.
func (s *Subscriber) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.outbox.run(ctx) })
	s.alarms.run(ctx)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	wg.Wait()
	return nil
}

// Len is how many watches there are.
func (s *Subscriber) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// WatchOptions say what to watch. From, To, Package, Accept and Owner are needed.
type WatchOptions struct {
	From             sip.NameAddr // who watches
	To               sip.URI      // what is watched
	URI              sip.URI      // Request-URI when it is not To
	Package, EventID string
	Accept           []string      // media types that are understood, the usual one first
	EventList        bool          // resource lists are understood (RFC 4662)
	Expires          time.Duration // asked for, 3600 s when zero
	// Poll asks once (RFC 6665 §4.4.3): the Watch ends after the NOTIFY.
	Poll bool
	// MaxForwards bounds the hops of the first SUBSCRIBE, for what came through a gateway;
	// 0: the usual 70.
	MaxForwards int
	Owner       WatchOwner
	Data        any // for the owner, see Watch.Data
}

// Subscribe starts a Watch. ErrLimit and ErrClosed tell that there is none.
func (s *Subscriber) Subscribe(o WatchOptions) (*Watch, error) {
	w, err := s.watch(o)
	if err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.signal(sigStart)
	w.mu.Unlock()
	w.settle()
	return w, nil
}

func (s *Subscriber) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.count >= s.cfg.Limits.Total:
		return fmt.Errorf("%w: %d watches", ErrLimit, s.count)
	}
	s.count++
	return nil
}

// watch checks the options.
func (s *Subscriber) watch(o WatchOptions) (*Watch, error) {
	if o.Expires == 0 {
		o.Expires = time.Hour
	}
	if o.Owner == nil || o.From.URI.IsZero() || o.To.IsZero() || !isToken(o.Package) || o.EventID != "" && !isToken(o.EventID) ||
		len(o.Accept) == 0 || o.Expires < 0 {
		return nil, fmt.Errorf("%w: a watch needs From, To, Package, Accept and Owner", ErrConfig)
	}
	w := &Watch{
		Data: o.Data, s: s, owner: o.Owner, from: o.From.URI.String(), display: o.From.Display, to: o.To.String(),
		event: unique.Make(sip.Event{Package: o.Package, ID: o.EventID}.String()), pkg: o.Package, id: o.EventID,
		accept: unique.Make(strings.Join(o.Accept, ", ")), list: o.EventList, poll: o.Poll, ask: o.Expires.Truncate(time.Second),
		until: never, toHop: hopKey(o.To), hops: uint8(min(max(o.MaxForwards, 0), 255)),
	}
	if !o.URI.IsZero() {
		w.uri = o.URI.String()
	}
	if o.Poll {
		w.ask = 0
	}
	return w, nil
}

// Handle answers one NOTIFY.
func (s *Subscriber) Handle(in *ua.Inbound) {
	a := arrivalOf(in)
	st, w := s.take(&a)
	_ = in.Respond(st) // a failure is logged there
	if w != nil {
		w.settle()
	}
}

// take finds the Watch of a NOTIFY (RFC 6665 §4.4.1: Call-ID, our tag, package and id).
func (s *Subscriber) take(a *arrival) (sip.Status, *Watch) {
	e, ok := eventOf(a.req)
	if !ok {
		return sip.Status{Code: 400, Reason: "Bad Request - no usable Event"}, nil
	}
	s.mu.Lock()
	w, closed := s.byCall[sip.CallID(a.req)], s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return *overload("going down"), nil // 481 would end what is to be restored
	case w == nil:
		return noSubscription(), nil
	}
	return w.notified(a, e)
}

func noSubscription() sip.Status {
	return sip.Status{Code: 481, Reason: "Subscription does not exist"}
}

// register makes NOTIFYs of an attempt find their Watch; w.mu is held.
func (s *Subscriber) register(w *Watch, old string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != "" && s.byCall[old] == w {
		delete(s.byCall, old)
	}
	if w.callID != "" {
		s.byCall[w.callID] = w
	}
}

func (s *Subscriber) leave() {
	s.mu.Lock()
	s.count--
	s.mu.Unlock()
}

// newCallID is unguessable: whoever knows it, and our tag, can send us NOTIFYs.
func (s *Subscriber) newCallID() string {
	id := token(16)
	if s.cfg.Node != "" {
		id += "@" + s.cfg.Node
	}
	return id
}

// token is a random text of hex digits for n bytes, from a generator that nobody can
// foresee (ChaCha8 with a random key).
func token(n int) string {
	b := make([]byte, 0, 16)
	for len(b) < n {
		r := rand.Uint64()
		for range min(8, n-len(b)) {
			b = append(b, byte(r))
			r >>= 8
		}
	}
	return hex.EncodeToString(b)
}

// contactOf is our Contact towards a hop that gave none.
func (s *Subscriber) contactOf(from sip.URI, h Hop) sip.URI {
	next := h.Target.URI
	if len(h.Target.Routes) > 0 {
		next = h.Target.Routes[0].URI
	}
	if next.IsZero() {
		next = h.RequestURI
	}
	transport, peer := next.Params.Value("transport"), netip.Addr{}
	if !h.Target.Flow.IsZero() {
		transport, peer = h.Target.Flow.Transport, h.Target.Flow.Remote.Addr()
	} else if addr, err := netip.ParseAddr(strings.Trim(next.Host, "[]")); err == nil {
		peer = addr
	}
	if transport == "" {
		transport = "udp"
	}
	user, err := sip.UnescapeUser(from.User)
	if err != nil {
		user = ""
	}
	return s.cfg.Sender.Contact(user, strings.ToLower(transport), peer)
}

package event

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Errors of this package.
var (
	ErrConfig  = errors.New("event: bad configuration")
	ErrEnded   = errors.New("event: the subscription has ended")
	ErrExpired = errors.New("event: the record has expired")
	ErrRecord  = errors.New("event: unreadable record")
	ErrLimit   = errors.New("event: too many")
	ErrClosed  = errors.New("event: closed")
)

// NotifierOwner decides what the watchers of a package are told. Its methods are called
// in order for each subscription, without a lock held; they must not block.
type NotifierOwner interface {
	// Subscribed brings a new subscription, which has been answered with 200. The owner
	// tells its state with Notify soon, at the latest after NotifierConfig.Silence.
	Subscribed(Subscribed)
	// Refreshed wants the current state told again (RFC 6665 §4.2.1.4), at once: the
	// interval does not apply to it. Record has changed.
	Refreshed(*Subscription, Refreshed)
	// Ended comes once for every Subscribed and every restored subscription, unless the
	// notifier is closed. The last NOTIFY is still under way then.
	Ended(*Subscription, Ended)
}

// Package is one event package that is served.
type Package struct {
	Name string // presence, presence.winfo
	// Accept are the media types that a NOTIFY may carry. The first is what a watcher
	// takes that sends no Accept.
	Accept []string
	// Bodies are the media types of bodies in a SUBSCRIBE (filters) that the owner
	// understands; others are refused with 415.
	Bodies []string
	// MinExpires, DefaultExpires and MaxExpires bound a subscription: 60 s, 3600 s and
	// 7200 s when zero. A duration below the minimum is refused with 423 as long as it
	// is below an hour (RFC 6665 §4.2.1.1); above the maximum it is shortened.
	MinExpires, DefaultExpires, MaxExpires time.Duration
	// Interval is the shortest time between two NOTIFYs of a subscription, 5 s when
	// zero (RFC 3856 §6.10). What is told meanwhile is told by the last of it.
	Interval time.Duration
	Owner    NotifierOwner
}

// Subscribe is what a SUBSCRIBE outside of a dialog says.
type Subscribe struct {
	Package, EventID string
	Resource         sip.URI      // Request-URI: what is to be watched
	To               sip.URI      // the same, as the watcher has dialled it
	Watcher          sip.NameAddr // who watches, as the caller of Handle has found out
	Identity         ua.Identity
	Expires          time.Duration // granted; 0: a poll
	Accept           []string      // media types that the watcher takes
	EventList        bool          // the watcher supports resource lists (RFC 4662)
	ContentType      string        // of Body
	Body             []byte        // a filter, nil mostly
	MaxForwards      int           // hops that are left, -1 when not told
	UserAgent        string
	Transport        string
	Source           netip.AddrPort
}

// Poll tells a SUBSCRIBE with Expires 0, which wants one NOTIFY (RFC 6665 §4.4.3).
func (s *Subscribe) Poll() bool { return s.Expires == 0 }

// Subscribed is a new subscription. Of a poll the next Notify is its only one.
type Subscribed struct {
	Subscription *Subscription
	Subscribe
}

// Refreshed is a SUBSCRIBE in the dialog.
type Refreshed struct {
	Expires time.Duration // granted
}

// Ended tells why a subscription is over.
type Ended struct {
	Cause Cause
	Code  int   // of CauseRefused: the answer to the NOTIFY
	Err   error // of CauseUnreachable
}

// Cause is why a subscription is over.
type Cause uint8

// Causes of an end.
const (
	CauseUnknown      Cause = iota
	CauseTold               // the owner has told a terminated state
	CauseExpired            // it was not refreshed
	CauseUnsubscribed       // by the watcher
	CausePolled             // the poll is answered
	CauseRefused            // the watcher answered the NOTIFY with a code that ends it
	CauseUnreachable        // the watcher did not answer, or cannot be reached any more
)

func (c Cause) String() string {
	switch c {
	case CauseTold:
		return "told"
	case CauseExpired:
		return "expired"
	case CauseUnsubscribed:
		return "unsubscribed"
	case CausePolled:
		return "polled"
	case CauseRefused:
		return "refused"
	case CauseUnreachable:
		return "unreachable"
	}
	return "unknown"
}

// Admission is the decision on a SUBSCRIBE before it is answered.
type Admission struct {
	// Refuse is the answer (403, 404, 421 …); nil: 200.
	Refuse *sip.Status
	// Require is an option tag for the 200 and for every NOTIFY: eventlist for a
	// resource list (RFC 4662 §4.3).
	Require string
}

// Limits bound what peers can make us hold. Zero means the default, negative no limit.
// Trusted peers and the loopback addresses are exempt from those per source, watcher
// and pair, as they are in sip/ua.
type Limits struct {
	Total      int // of all, default 200000: then 503
	PerSource  int // per IP address, default 5000: then 503
	PerWatcher int // per watcher (publisher: per resource), default 1000: then 403
	PerPair    int // per watcher, resource and package, default 10: then 403
	InFlight   int // requests that wait for an answer, default 1024
	PerHop     int // of these to one next hop, default 128
}

func (l Limits) withDefaults() Limits {
	for _, x := range []struct {
		v *int
		d int
	}{{&l.Total, 200_000}, {&l.PerSource, 5000}, {&l.PerWatcher, 1000}, {&l.PerPair, 10}, {&l.InFlight, 1024}, {&l.PerHop, 128}} {
		switch {
		case *x.v == 0:
			*x.v = x.d
		case *x.v < 0:
			*x.v = 1 << 30
		}
	}
	return l
}

// NotifierConfig is the configuration of a Notifier. Sender and Packages are needed.
type NotifierConfig struct {
	Sender   Sender
	Packages []Package
	// Admit decides on a SUBSCRIBE that breaks no rule of the protocol; nil: all are
	// taken. It is called on the goroutine of the request and must be quick.
	Admit func(*Subscribe) Admission
	// Contact is our Contact in a dialog; nil: Sender.Contact with the user part of the
	// Request-URI.
	Contact func(*Subscribe) sip.URI
	// Credentials answer a challenge of a NOTIFY for that resource; nil: none.
	Credentials func(resource sip.URI) *ua.Credentials
	Limits      Limits
	// Timeout is how long a NOTIFY may stay unanswered; 32 s (64*T1) when zero.
	Timeout time.Duration
	// Silence is after how long a watcher is told pending, without a document, when the
	// owner says nothing; 10 s when zero. Its own timer N runs for 32 s.
	Silence time.Duration
	Log     zerolog.Logger
}

// Notifier is the notifier of RFC 6665 §4.2: it takes SUBSCRIBE and sends NOTIFY.
type Notifier struct {
	cfg      NotifierConfig
	packages map[string]*Package
	allow    string
	alarms   *alarms[*Subscription]
	outbox   *outbox

	mu       sync.Mutex
	closed   bool
	byTag    map[string]*Subscription // by our tag
	pairs    map[uint64]int32
	watchers map[uint64]int32
	sources  map[netip.Addr]*int32
}

// NewNotifier checks the configuration. Restore what is to be restored before requests
// come in, for an unknown dialog is answered with 481.
func NewNotifier(cfg NotifierConfig) (*Notifier, error) {
	if cfg.Sender == nil || len(cfg.Packages) == 0 {
		return nil, fmt.Errorf("%w: notifier needs Sender and Packages", ErrConfig)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Timeout = or(cfg.Timeout, timeoutDefault)
	cfg.Silence = or(cfg.Silence, 10*time.Second)
	n := &Notifier{
		cfg: cfg, packages: map[string]*Package{}, alarms: newAlarms[*Subscription](),
		outbox: newOutbox(cfg.Limits.InFlight, cfg.Limits.PerHop),
		byTag:  map[string]*Subscription{}, pairs: map[uint64]int32{}, watchers: map[uint64]int32{}, sources: map[netip.Addr]*int32{},
	}
	var names []string
	for _, p := range cfg.Packages {
		if !isToken(p.Name) || p.Owner == nil || len(p.Accept) == 0 || n.packages[p.Name] != nil {
			return nil, fmt.Errorf("%w: package %q", ErrConfig, p.Name)
		}
		p.MinExpires = or(p.MinExpires, time.Minute)
		p.DefaultExpires = or(p.DefaultExpires, time.Hour)
		p.MaxExpires = max(or(p.MaxExpires, 2*time.Hour), p.MinExpires)
		p.DefaultExpires = min(max(p.DefaultExpires, p.MinExpires), p.MaxExpires)
		p.Interval = or(p.Interval, 5*time.Second)
		n.packages[p.Name] = &p
		names = append(names, p.Name)
	}
	slices.Sort(names)
	n.allow = strings.Join(names, ", ")
	return n, nil
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// AllowEvents is the value of Allow-Events, also for OPTIONS (RFC 6665 §4.4.4).
func (n *Notifier) AllowEvents() string { return n.allow }

// Len is how many subscriptions there are.
func (n *Notifier) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.byTag)
}

// Run sends NOTIFYs and watches over expiry until ctx ends; then it takes no SUBSCRIBE
// any more, gives up what is under way, waits for its goroutines and returns nil. The
// watchers are not told: their subscriptions go on when they are restored.
func (n *Notifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { n.outbox.run(ctx) })
	n.alarms.run(ctx)
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	wg.Wait()
	return nil
}

// Handle answers one SUBSCRIBE. The caller has authenticated its sender; watcher is who
// that is, the From of the request when it is zero.
func (n *Notifier) Handle(in *ua.Inbound, watcher sip.NameAddr) {
	a := arrivalOf(in)
	st, s := n.take(&a, watcher)
	_ = in.Respond(st) // a failure is logged there; the subscription stands all the same
	if s != nil {
		s.answered()
	}
}

// take judges a SUBSCRIBE in the order of RFC 3261 §8.2 and RFC 6665 §4.2.1. The
// subscription, if any, is held until it is told that the answer went out.
func (n *Notifier) take(a *arrival, watcher sip.NameAddr) (sip.Status, *Subscription) {
	event, ok := eventOf(a.req)
	pkg, id := n.packages[event.Package], event.ID
	if !ok || pkg == nil {
		return sip.Status{Code: 489, Headers: []sip.Header{header("Allow-Events", n.allow)}}, nil
	}
	if st := sip.RefuseSIPS(a.req); st != nil {
		return *st, nil
	}
	if tag := sip.ToTag(a.req); tag != "" {
		return n.refresh(a, pkg, id, tag)
	}
	sub, st := read(a, pkg, id, watcher)
	if st != nil {
		return *st, nil
	}
	return n.subscribe(a, pkg, sub)
}

// read takes a SUBSCRIBE outside of a dialog apart.
func read(a *arrival, pkg *Package, id string, watcher sip.NameAddr) (*Subscribe, *sip.Status) {
	from, err := sip.FromOf(a.req)
	if err != nil {
		return nil, &sip.Status{Code: 400, Reason: "Bad From"}
	}
	to, err := sip.ToOf(a.req)
	if err != nil {
		return nil, &sip.Status{Code: 400, Reason: "Bad To"}
	}
	if watcher.URI.IsZero() {
		watcher = from
	}
	sub := &Subscribe{
		Package: pkg.Name, EventID: id, Resource: sip.RequestURI(a.req), To: to.URI, Watcher: watcher, Identity: a.auth,
		Accept: acceptList(a.req, pkg.Accept[:1]), EventList: sip.HasToken(a.req, "Supported", "eventlist"),
		MaxForwards: sip.MaxForwards(a.req), UserAgent: sip.Value(a.req, "User-Agent"), Transport: a.transport, Source: a.source,
	}
	if !slices.ContainsFunc(pkg.Accept, func(t string) bool { return accepts(sub.Accept, t) }) {
		return nil, &sip.Status{Code: 406, Headers: []sip.Header{header("Accept", strings.Join(pkg.Accept, ", "))}}
	}
	if body := a.req.Body(); len(body) > 0 {
		sub.ContentType = sip.ContentType(a.req)
		switch {
		case accepts(pkg.Bodies, sub.ContentType):
			sub.Body = body
		case !optionalBody(a.req):
			return nil, &sip.Status{Code: 415, Headers: []sip.Header{header("Accept", strings.Join(pkg.Bodies, ", "))}}
		default:
			sub.ContentType = ""
		}
	}
	var st *sip.Status
	sub.Expires, st = pkg.grant(a.req)
	return sub, st
}

// grant finds the duration of a subscription (RFC 6665 §4.2.1.1).
func (p *Package) grant(req *sip.Request) (time.Duration, *sip.Status) {
	return grant(req, p.MinExpires, p.DefaultExpires, p.MaxExpires)
}

func grant(req *sip.Request, least, usual, most time.Duration) (time.Duration, *sip.Status) {
	d, ok := expiresOf(req)
	switch {
	case !ok:
		return usual, nil
	case d > 0 && d < least && d < time.Hour:
		return 0, &sip.Status{Code: 423, Headers: []sip.Header{header("Min-Expires", seconds(least))}}
	}
	return min(d, most), nil
}

// overload is 503 with a Retry-After that does not bring all back at once.
func overload(reason string) *sip.Status {
	return &sip.Status{Code: 503, Reason: "Service Unavailable - " + reason, RetryAfter: time.Duration(30+rand.IntN(60)) * time.Second}
}

// subscribe starts a subscription.
func (n *Notifier) subscribe(a *arrival, pkg *Package, sub *Subscribe) (sip.Status, *Subscription) {
	p, found, err := peerOf(a)
	if err != nil || !found {
		return sip.Status{Code: 400, Reason: "Bad Request - no usable Contact or Record-Route"}, nil
	}
	var adm Admission
	if n.cfg.Admit != nil {
		if adm = n.cfg.Admit(sub); adm.Refuse != nil {
			return *adm.Refuse, nil
		}
	}
	s := &Subscription{n: n, pkg: pkg, tag: a.tag, accept: unique.Make(strings.Join(sub.Accept, ", ")), pair: pairOf(sub), urgent: true, held: 1}
	s.watcher = hashOf(sub.Watcher.URI.Key())
	var contact sip.URI
	if n.cfg.Contact != nil {
		contact = n.cfg.Contact(sub)
	} else {
		contact = contactFor(n.cfg.Sender, a)
	}
	list := [textCount]string{
		textCallID: sip.CallID(a.req), textRemoteTag: sip.FromTag(a.req),
		textLocal: sub.To.String(), textRemote: sip.FromLib(a.req.From().Address).String(),
		textTarget: p.target.String(), textRoutes: routesText(p.routes), textContact: contact.String(),
		textEventID: sub.EventID, textRequire: adm.Require,
	}
	if r := sub.Resource.String(); r != list[textLocal] {
		list[textResource] = r
	}
	if w := sub.Watcher.URI.String(); w != list[textRemote] {
		list[textWatcher] = w
	}
	if s.texts, err = packTexts(list); err != nil {
		return sip.Status{Code: 513}, nil
	}
	s.reach(p)
	s.remoteSeq, _ = sip.CSeq(a.req)
	c := cueSubscribe
	if sub.Poll() {
		c = cueFetch
	}
	now := n.alarms.now()
	s.sent, s.granted, s.expires = now, sub.Expires, now+sub.Expires
	if sub.Poll() {
		s.expires = now + n.cfg.Timeout
	}
	s.apply(c, Ended{})
	put(&s.events, ownerEvent{subscribed: &Subscribed{s, *sub}})
	if st := n.admit(s, a); st != nil {
		return *st, nil
	}
	st := s.accepted(sub.Expires)
	st.Headers = append(st.Headers, header("Allow-Events", n.allow))
	return st, s
}

func pairOf(sub *Subscribe) uint64 {
	return hashOf(sub.Watcher.URI.Key(), sub.Resource.Key(), sub.Package)
}

// admit puts a new subscription into the tables, within the limits.
func (n *Notifier) admit(s *Subscription, a *arrival) *sip.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.cfg.Limits
	switch {
	case n.closed:
		return overload("going down")
	case len(n.byTag) >= l.Total:
		return overload("too many subscriptions")
	}
	if !a.exempt() {
		addr := a.source.Addr()
		count := n.sources[addr]
		switch {
		case count != nil && int(*count) >= l.PerSource:
			return overload("too many subscriptions from your address")
		case int(n.watchers[s.watcher]) >= l.PerWatcher:
			return &sip.Status{Code: 403, Reason: "Forbidden - too many subscriptions"}
		case int(n.pairs[s.pair]) >= l.PerPair:
			return &sip.Status{Code: 403, Reason: "Forbidden - too many subscriptions to this resource"}
		}
		n.countSource(s, addr)
	}
	if n.byTag[s.tag] != nil {
		return &sip.Status{Code: 500} // two random tags of 64 bits are equal: never
	}
	n.insert(s)
	return nil
}

func (n *Notifier) countSource(s *Subscription, addr netip.Addr) {
	count := n.sources[addr]
	if count == nil {
		count = new(int32)
		n.sources[addr] = count
	}
	*count++
	s.source, s.counted = addr, true
}

func (n *Notifier) insert(s *Subscription) {
	n.byTag[s.tag] = s
	n.pairs[s.pair]++
	n.watchers[s.watcher]++
}

// drop forgets a subscription; s.mu is held.
func (n *Notifier) drop(s *Subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byTag[s.tag] != s {
		return
	}
	delete(n.byTag, s.tag)
	decrement(n.pairs, s.pair)
	decrement(n.watchers, s.watcher)
	if count := n.sources[s.source]; s.counted && count != nil {
		if *count--; *count <= 0 {
			delete(n.sources, s.source)
		}
	}
}

func decrement(m map[uint64]int32, k uint64) {
	if m[k] <= 1 {
		delete(m, k)
		return
	}
	m[k]--
}

func (n *Notifier) lookup(tag string) *Subscription {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	return n.byTag[tag]
}

// refresh is a SUBSCRIBE in a dialog: a refresh or an end (RFC 6665 §4.2.1.4).
func (n *Notifier) refresh(a *arrival, pkg *Package, id, tag string) (sip.Status, *Subscription) {
	unknown := sip.Status{Code: 481, Reason: "Subscription does not exist"}
	s := n.lookup(tag)
	if s == nil {
		n.mu.Lock()
		closed := n.closed
		n.mu.Unlock()
		if closed {
			return *overload("going down"), nil // 481 would end what is to be restored
		}
		return unknown, nil
	}
	d, st := pkg.grant(a.req)
	p, found, err := peerOf(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.texts.get(textCallID) != sip.CallID(a.req) || s.texts.get(textRemoteTag) != sip.FromTag(a.req) ||
		s.pkg != pkg || s.texts.get(textEventID) != id:
		return unknown, nil
	case st != nil:
		return *st, nil
	case err != nil:
		return sip.Status{Code: 400, Reason: "Bad Request - no usable Contact"}, nil
	}
	seq, _ := sip.CSeq(a.req)
	if seq < s.remoteSeq {
		return sip.Status{Code: 500, Reason: "Server Internal Error - CSeq out of order"}, nil // RFC 3261 §12.2.2
	}
	c := cueRefresh
	if d == 0 {
		c = cueUnsubscribe
	}
	if s.apply(c, Ended{Cause: CauseUnsubscribed})&actTake == 0 {
		return unknown, nil
	}
	s.remoteSeq = seq
	s.held++
	if found {
		s.retarget(p)
	}
	if list := acceptList(a.req, nil); len(list) > 0 {
		s.accept = unique.Make(strings.Join(list, ", "))
	}
	if d > 0 {
		s.granted, s.expires, s.urgent = d, n.alarms.now()+d, true
		put(&s.events, ownerEvent{refreshed: &Refreshed{Expires: d}})
	}
	return s.accepted(d), s
}

package event

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
)

// PostOwner hears what becomes of a Posting. It is called in order, without a lock held;
// it must not block.
type PostOwner interface {
	// PostChanged comes after every change of the state and after each refresh.
	PostChanged(*Posting, PostStatus)
}

// PostStatus is where a Posting stands.
type PostStatus struct {
	State PostState
	// Code is the answer that led here when it was no 2xx, 0 without one; Err why there
	// was none.
	Code int
	Err  error
	// ETag and Expires are of the publication that is in force. With them it can go on
	// after a restart, see PostOptions.ETag.
	ETag    string
	Expires time.Duration
	Next    time.Duration // until the next attempt, of PostWaiting
}

// PublisherConfig is the configuration of a Publisher. Sender is needed.
type PublisherConfig struct {
	Sender Sender
	// Route finds the way of each PUBLISH, see SubscriberConfig.Route. Its Contact is not
	// used.
	Route   func(from, to sip.URI) (Hop, error)
	Node    string        // names this process in Call-IDs
	Limits  Limits        // Total of postings, InFlight and PerHop count
	Timeout time.Duration // of one PUBLISH, 96 s when zero: failover takes its time
	Log     zerolog.Logger
}

// Publisher publishes event state at a server (RFC 3903 §4, §5).
type Publisher struct {
	cfg    PublisherConfig
	alarms *alarms[*Posting]
	outbox *outbox

	mu     sync.Mutex
	closed bool
	count  int
}

// NewPublisher checks the configuration.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Sender == nil {
		return nil, fmt.Errorf("%w: publisher needs Sender", ErrConfig)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Timeout = or(cfg.Timeout, 3*timeoutDefault)
	return &Publisher{cfg: cfg, alarms: newAlarms[*Posting](), outbox: newOutbox(cfg.Limits.InFlight, cfg.Limits.PerHop)}, nil
}

// Run publishes until ctx ends; then it gives up what is under way, waits for its
// goroutines and returns nil. What is published stays until it expires.
func (p *Publisher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { p.outbox.run(ctx) })
	p.alarms.run(ctx)
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	wg.Wait()
	return nil
}

// PostOptions say what to publish. From, To, Package, ContentType, Body and Owner are
// needed.
type PostOptions struct {
	From        sip.NameAddr // who publishes
	To          sip.URI      // whose state it is
	Package     string
	Expires     time.Duration // asked for, 3600 s when zero
	ContentType string
	Body        []byte // not to be changed
	// ETag is that of a publication before a restart, which is modified then, or, without
	// a Body, removed.
	ETag  string
	Owner PostOwner
	Data  any
}

// Posting is one publication of ours: one ETag at one server, kept alive. One PUBLISH is
// under way at a time (RFC 3903 §4).
type Posting struct {
	// Data belongs to the owner.
	Data any

	p                 *Publisher
	owner             PostOwner
	from, display, to string
	pkg               string
	callID, tag       string
	toHop             uint64

	mu          sync.Mutex
	clock       alarm
	state       PostState
	busy        bool // a PUBLISH is in the outbox or under way
	again       bool // another one is to follow
	dirty       bool // the document is not published yet
	briefed     bool
	seq         uint32
	fails       int
	ask         time.Duration
	etag        string
	contentType string
	body        []byte
	due         time.Duration // refresh or next attempt
	expires     time.Duration
	last        PostStatus // Code and Err
	retryAfter  time.Duration
	events      *order[PostStatus]
}

// Publish starts a Posting. ErrLimit and ErrClosed tell that there is none.
func (p *Publisher) Publish(o PostOptions) (*Posting, error) {
	if o.Expires == 0 {
		o.Expires = time.Hour
	}
	removal := o.ETag != "" && len(o.Body) == 0
	if o.Owner == nil || o.From.URI.IsZero() || o.To.IsZero() || !isToken(o.Package) || !removal && (o.ContentType == "" || len(o.Body) == 0) ||
		o.Expires < 0 || o.ETag != "" && !isToken(o.ETag) {
		return nil, fmt.Errorf("%w: a posting needs From, To, Package, ContentType, Body and Owner", ErrConfig)
	}
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		return nil, ErrClosed
	case p.count >= p.cfg.Limits.Total:
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: %d postings", ErrLimit, p.count)
	}
	p.count++
	p.mu.Unlock()
	callID := token(16)
	if p.cfg.Node != "" {
		callID += "@" + p.cfg.Node
	}
	x := &Posting{
		Data: o.Data, p: p, owner: o.Owner, from: o.From.URI.String(), display: o.From.Display, to: o.To.String(), pkg: o.Package,
		callID: callID, tag: token(8), toHop: hopKey(o.To), ask: o.Expires.Truncate(time.Second), etag: o.ETag,
		contentType: o.ContentType, body: o.Body, dirty: true, due: never, expires: never,
	}
	x.mu.Lock()
	x.signal(postStart)
	if removal {
		x.signal(postRemove)
	}
	x.mu.Unlock()
	x.settle()
	return x, nil
}

// Update publishes another document. What has not been sent yet is replaced. ErrEnded
// tells that the Posting is over.
func (x *Posting) Update(contentType string, body []byte) error {
	if contentType == "" || len(body) == 0 {
		return fmt.Errorf("%w: a posting needs ContentType and Body", ErrConfig)
	}
	x.mu.Lock()
	if x.state == PostRemoving || x.state == PostEnded {
		x.mu.Unlock()
		return ErrEnded
	}
	x.contentType, x.body, x.dirty = contentType, body, true
	x.signal(postUpdate)
	x.mu.Unlock()
	x.settle()
	return nil
}

// Remove takes the publication back. The owner hears of it until PostEnded.
func (x *Posting) Remove() {
	x.mu.Lock()
	x.signal(postRemove)
	x.mu.Unlock()
	x.settle()
}

// Status is where the Posting stands.
func (x *Posting) Status() PostStatus {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status()
}

func (x *Posting) status() PostStatus {
	s := x.last
	s.State, s.ETag = x.state, x.etag
	now := x.p.alarms.now()
	if x.expires != never {
		s.Expires = max(x.expires-now, 0)
	}
	if x.state == PostWaiting {
		s.Next = max(x.due-now, 0)
	}
	return s
}

// signal runs the state machine; x.mu is held, settle follows.
func (x *Posting) signal(sig postSignal) {
	next, deeds := advancePost(x.state, sig)
	changed := next != x.state
	x.state = next
	now := x.p.alarms.now()
	if deeds&postAnew != 0 {
		x.etag, x.expires, x.dirty = "", never, true
	}
	if deeds&postSend != 0 {
		x.again, x.due = true, never
	}
	if deeds&postPlan != 0 {
		x.due = now + max(refreshAfter(x.expires-now, lot()), minRefresh)
		changed = true // the tag is another one
	}
	if deeds&postWait != 0 {
		x.fails++
		x.again = false // what is new waits too
		x.due = now + pauseFor(Retry{true, x.retryAfter}, x.fails, lot())
		if x.state == PostPublished { // before it expires, if possible
			x.due = min(x.due, now+max(x.retryAfter, (x.expires-now)/2, 2*minRefresh))
		}
	}
	if deeds&postForget != 0 {
		x.due, x.expires, x.etag, x.again, x.body = never, never, "", false, nil
		x.p.mu.Lock()
		x.p.count--
		x.p.mu.Unlock()
	}
	if changed {
		st := x.status()
		put(&x.events, st)
	}
}

// settle brings owner, outbox and alarm up to date after a change.
func (x *Posting) settle() {
	deliver(&x.mu, &x.events, func(s PostStatus) { x.owner.PostChanged(x, s) })
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.busy {
		x.p.alarms.stop(x)
		return
	}
	if x.again {
		x.busy, x.again = true, false
		x.p.outbox.submit(x)
	}
	x.p.alarms.set(x, min(x.due, x.expires))
}

func (x *Posting) alarm() *alarm { return &x.clock }

// ring is the alarm.
func (x *Posting) ring() {
	x.mu.Lock()
	now := x.p.alarms.now()
	switch {
	case x.busy || x.again:
	case now >= x.expires:
		x.signal(postLapsed)
	case now >= x.due:
		x.due = never
		x.signal(postDue)
	}
	x.mu.Unlock()
	x.settle()
}

func (x *Posting) hop() uint64 { return x.toHop }

func (x *Posting) send(ctx context.Context) {
	h := Hop{}
	var err error
	from, to := mustURI(x.from), mustURI(x.to)
	if x.p.cfg.Route != nil {
		h, err = x.p.cfg.Route(from, to)
	}
	if h.RequestURI.IsZero() {
		h.RequestURI = to
	}
	x.mu.Lock()
	if x.state == PostEnded || x.state == PostRemoving && x.etag == "" {
		x.busy = false
		if x.state == PostRemoving {
			x.signal(postRemoved) // there is nothing to remove
		}
		x.mu.Unlock()
		x.settle()
		return
	}
	removing, ask, dirty := x.state == PostRemoving, x.ask, x.dirty && x.state != PostRemoving
	x.dirty = false
	if removing {
		ask = 0
	}
	x.seq++
	var req *sip.Request
	if err == nil {
		req, err = x.request(h.RequestURI, from, to, ask, dirty || x.etag == "")
	}
	x.mu.Unlock()
	var res *sip.Response
	if err == nil {
		limit, cancel := context.WithTimeout(ctx, x.p.cfg.Timeout)
		res, err = x.p.cfg.Sender.Do(limit, req, h.Target)
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	x.mu.Lock()
	x.busy = false
	x.answered(removing, ask, dirty, res, err)
	x.mu.Unlock()
	x.settle()
}

// request makes a PUBLISH. There is no Contact in it (RFC 3903 §4).
func (x *Posting) request(uri, from, to sip.URI, expires time.Duration, document bool) (*sip.Request, error) {
	req := sip.NewRequest(sip.PUBLISH, uri)
	sip.SetDialogHeaders(req, sip.NameAddr{Display: x.display, URI: from, Params: sip.Params{{Name: "tag", Value: x.tag}}},
		sip.NameAddr{URI: to}, x.callID, x.seq)
	list := [][2]string{{"Event", x.pkg}, {"Expires", seconds(expires)}}
	if x.etag != "" {
		list = append(list, [2]string{"SIP-If-Match", x.etag})
	}
	for _, h := range list {
		if err := sip.Add(req, h[0], h[1]); err != nil {
			return nil, err
		}
	}
	if document && expires > 0 {
		if err := sip.SetBody(req, x.contentType, x.body); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// answered takes what became of a PUBLISH; dirty tells whether it had a document that was
// new.
func (x *Posting) answered(removing bool, ask time.Duration, dirty bool, res *sip.Response, err error) {
	code := 0
	var refusal sip.Status
	var retryAfter time.Duration
	if errors.As(err, &refusal) { // of the router
		code, retryAfter, err = refusal.Code, refusal.RetryAfter, nil
	}
	if res != nil {
		code = res.StatusCode
		retryAfter, _ = sip.ParseRetryAfter(sip.Value(res, "Retry-After"))
		if seq, _ := sip.CSeq(res); seq > x.seq {
			x.seq = seq
		}
	}
	if removing {
		x.last = PostStatus{}
		if code/100 != 2 {
			x.last.Code, x.last.Err = code, err
		}
		x.signal(postRemoved)
		return
	}
	v := verdictLater
	if err == nil {
		v = judgeFirst(code)
	}
	if v == verdictOK {
		x.granted(res, ask)
		return
	}
	x.dirty = x.dirty || dirty
	x.last, x.retryAfter = PostStatus{Code: code, Err: err}, min(retryAfter, maxWait)
	x.p.cfg.Log.Debug().Err(err).Int("status", code).Str("call_id", x.callID).Str("event", x.pkg).Msg("publish failed")
	switch v {
	case verdictUnknown:
		if x.etag == "" { // it complains of a tag that we did not send
			x.signal(postFailed)
			return
		}
		x.signal(postUnknown)
	case verdictBrief:
		if least, ok := raise(res, x.ask); ok && !x.briefed {
			x.ask, x.briefed = least, true
			x.signal(postBrief)
			return
		}
		x.signal(postRefused)
	case verdictLater:
		x.signal(postFailed)
	case verdictFinal, verdictGone, verdictOK:
		x.signal(postRefused)
	}
}

// granted takes a 2xx.
func (x *Posting) granted(res *sip.Response, ask time.Duration) {
	x.last, x.briefed, x.fails = PostStatus{}, false, 0
	x.etag = strings.TrimSpace(sip.Value(res, "SIP-ETag"))
	if !isToken(x.etag) {
		x.etag = "" // without one the next PUBLISH is an initial one again
	}
	left := ask
	if d, ok := expiresOf(res); ok && d < ask {
		left = max(d, time.Second)
	}
	x.expires = x.p.alarms.now() + left
	x.signal(postOK)
}

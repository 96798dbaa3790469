package dialog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Sender is what this package needs of the SIP stack; *ua.UA is one.
type Sender interface {
	Send(ctx context.Context, req *sip.Request, t ua.Target, done func(*sip.Response, error))
	Invite(req *sip.Request, t ua.Target, h func(*sip.Response, error)) (*ua.InviteTransaction, error)
	Ack(ctx context.Context, req *sip.Request, t ua.Target) error
	Alive(f ua.Flow) bool
	Addr(transport string) netip.AddrPort
	Contact(user, transport string, peer netip.Addr) sip.URI
	AnswerOptions(in *ua.Inbound)
}

var _ Sender = (*ua.UA)(nil)

// Layer holds the calls of one UA.
type Layer struct {
	u     Sender
	cfg   *settings
	start time.Time

	ctx    context.Context // ends in Close
	cancel context.CancelFunc

	mu      sync.Mutex
	legs    map[legKey]*Leg
	merged  map[legKey]*Leg // calls that came in (RFC 3261 §8.2.2.2)
	closed  bool            // no new legs
	stopped bool            // no goroutines either
	running int             // goroutines
	changed chan struct{}   // of Close: a leg or a goroutine less
}

// legKey names a leg: Call-ID and our tag, which only we give out. Of a merged one it is the
// peer's tag and the CSeq.
type legKey struct{ callID, tag string }

// New makes a layer over u. Mount Handle for Methods with u.Handle before u starts.
func New(u Sender, c Config) *Layer {
	l := &Layer{u: u, cfg: c.settings(u), start: time.Now(), legs: map[legKey]*Leg{}, merged: map[legKey]*Leg{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Methods are those that Handle serves. ACK and CANCEL come with INVITE. NOTIFY is not among
// them, because it belongs to subscriptions too: whoever serves it asks Take first.
func Methods() []sip.Method {
	return []sip.Method{sip.INVITE, sip.BYE, sip.PRACK, sip.UPDATE, sip.INFO, sip.REFER, sip.OPTIONS}
}

// Len is the number of legs that have not ended.
func (l *Layer) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.legs)
}

// now is the time on the clock of the legs' timers.
func (l *Layer) now() time.Duration { return time.Since(l.start) }

// spawn runs f on a goroutine that Close waits for; false after Close.
func (l *Layer) spawn(f func()) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.running++
	l.mu.Unlock()
	go func() {
		defer func() {
			l.mu.Lock()
			l.running--
			l.notify()
			l.mu.Unlock()
		}()
		f()
	}()
	return true
}

// notify wakes Close; l.mu is held.
func (l *Layer) notify() {
	if l.changed != nil {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

// Close refuses new calls with 503 and ends the others; those that have not ended when ctx
// ends are given up. It returns when every leg has told its last event.
func (l *Layer) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed, l.changed = true, make(chan struct{}, 1)
	l.mu.Unlock()
	l.tellAll(inClose{})
	err := l.await(ctx, func() bool { return len(l.legs) == 0 })
	if err != nil {
		l.tellAll(inAbort{})
	}
	_ = l.await(context.Background(), func() bool { return len(l.legs) == 0 })
	l.cancel()
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	_ = l.await(context.Background(), func() bool { return l.running == 0 })
	return err
}

func (l *Layer) tellAll(in input) {
	l.mu.Lock()
	legs := slices.Collect(maps.Values(l.legs))
	l.mu.Unlock()
	for _, g := range legs {
		g.post(in)
	}
}

func (l *Layer) await(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		ok := done()
		n := len(l.legs)
		l.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %d calls given up: %w", ErrClosed, n, context.Cause(ctx))
		}
	}
}

// add puts a leg into the table. It is refused when its INVITE is a copy of one that came
// another way (RFC 3261 §8.2.2.2), when its name is taken, and when the layer is closed.
func (l *Layer) add(g *Leg) *sip.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.merged[g.merged] != nil {
		return &sip.Status{Code: 482}
	}
	if _, taken := l.legs[g.key]; taken || l.closed {
		return &sip.Status{Code: 503}
	}
	l.legs[g.key] = g
	if g.merged != (legKey{}) {
		l.merged[g.merged] = g
	}
	return nil
}

func (l *Layer) remove(g *Leg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.legs, g.key)
	if l.merged[g.merged] == g {
		delete(l.merged, g.merged)
	}
	l.notify()
}

func (l *Layer) find(callID, tag string) *Leg {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.legs[legKey{callID, tag}]
}

// alive leaves out a flow that is gone: the Contact may still lead there.
func (l *Layer) alive(t ua.Target) ua.Target {
	if !t.Flow.IsZero() && !l.u.Alive(t.Flow) {
		t.Flow = ua.Flow{}
	}
	return t
}

// ack sends an ACK; where that may take time, on a goroutine of its own.
func (l *Layer) ack(req *sip.Request, t ua.Target) {
	send := func() {
		ctx, cancel := context.WithTimeout(l.ctx, 64*l.cfg.T1)
		defer cancel()
		if err := l.u.Ack(ctx, req, t); err != nil {
			l.cfg.Log.Warn().Err(err).Str("call_id", sip.CallID(req)).Msg("ack not sent")
		}
	}
	hop := sip.RequestURI(req)
	if len(t.Routes) > 0 {
		hop = t.Routes[0].URI
	}
	if _, err := netip.ParseAddr(strings.Trim(hop.Host, "[]")); !t.Flow.IsZero() || err == nil && !hop.Params.Has("transport") {
		send()
		return
	}
	l.spawn(send)
}

// token is a random text of 2n hex digits.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

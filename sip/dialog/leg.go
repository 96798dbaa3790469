package dialog

import (
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Leg is one call, or the attempt to place one. Its methods return at once and may be called
// from anywhere, in every state: what the state does not allow (any more) does nothing.
type Leg struct {
	l        *Layer
	outgoing bool
	request  *sip.Request
	replaced *Leg
	callID   string
	localTag string
	key      legKey
	merged   legKey // of the INVITE that came in; zero when none

	remoteTag atomic.Pointer[string]
	stage     atomic.Uint32            // the phase, for those outside
	early     atomic.Pointer[[]string] // tags of the early dialogs of our INVITE
	sdp       []byte

	// Only run touches these.
	core    *core
	h       Handler
	invites []placed

	mu      sync.Mutex
	inbox   []input
	running bool
	over    bool
	alarm   *time.Timer
	alarmAt time.Duration             // on the layer's clock; 0: not set
	timers  [timerCount]time.Duration // 0: not set
	rounds  [timerCount]uint8         // how often each was set or stopped
	referID atomic.Uint32
}

// placed is an INVITE that is under way.
type placed struct {
	id txID
	tx *ua.InviteTransaction
}

// maxPlaced bounds the INVITEs of a leg that may still get another 2xx.
const maxPlaced = 8

// Outgoing tells whether we placed the call.
func (g *Leg) Outgoing() bool { return g.outgoing }

// CallID is the Call-ID.
func (g *Leg) CallID() string { return g.callID }

// LocalTag is our tag.
func (g *Leg) LocalTag() string { return g.localTag }

// RemoteTag is the tag of the peer, "" before a call of ours is answered.
func (g *Leg) RemoteTag() string {
	if t := g.remoteTag.Load(); t != nil {
		return *t
	}
	return ""
}

// Request is the INVITE that began the call; it must not be changed.
func (g *Leg) Request() *sip.Request { return g.request }

// SDP is the offer of an INVITE that came in, nil when it had none (the owner's Accept brings
// the offer then). It is a part of the body when that is multipart (RFC 5621).
func (g *Leg) SDP() []byte { return g.sdp }

// Replaced is the call that this one, which came in, shall take the place of (RFC 3891), nil
// when none. The owner accepts it and ends the other.
func (g *Leg) Replaced() *Leg { return g.replaced }

// Identity is the value of a Replaces header by which a third party, that the peer refers
// here, can take over its end of this call (RFC 3891 §3: tags as the receiver sees them).
func (g *Leg) Identity() Replaces {
	return Replaces{CallID: g.callID, ToTag: g.RemoteTag(), FromTag: g.localTag}
}

// Ring sends a provisional response with an SDP or without (nil): 180, 183 … It goes reliably
// when the peer requires that, and when it can and there is SDP. SDP in a reliable response is
// the answer to the INVITE's offer, and Accept needs none after it; without an offer in the
// INVITE it is ours, and OfferAnswered brings the answer.
func (g *Leg) Ring(s sip.Status, sdp []byte) { g.post(inRing{s, sdp}) }

// Accept answers the call with 200 and an SDP: the answer to the INVITE's offer, or ours when
// it had none; Confirmed brings the answer then.
func (g *Leg) Accept(sdp []byte) { g.post(inAccept{sdp}) }

// Reject refuses a call that came in, with 300–699. Ended follows.
func (g *Leg) Reject(s sip.Status) { g.post(inReject{s}) }

// End ends the call in the way that its state demands: CANCEL for one of ours that was not
// answered, 480 for one that came in, BYE for the rest; what crosses it is dealt with. The
// reasons go into CANCEL and BYE and, for 480, into the response. Ended follows.
func (g *Leg) End(reasons ...sip.Reason) { g.post(inEnd{reasons}) }

// Offer offers a new session: by re-INVITE, before the answer by UPDATE if the peer takes it.
// It waits until that is possible; an offer that waits is replaced by the next. OfferAnswered
// or OfferRefused follows for every offer that was sent, unless the call ends first.
func (g *Leg) Offer(sdp []byte) { g.post(inOffer{sdp}) }

// Answer answers Offered, or the offer in Answered or Progress.
func (g *Leg) Answer(sdp []byte) { g.post(inAnswer{sdp}) }

// Refuse refuses Offered with 300–699 (488, 504 …); the session stays as it was. The offer in
// Answered can only be refused by ending the call.
func (g *Leg) Refuse(s sip.Status) { g.post(inRefuse{s}) }

// Info sends an INFO. done, if not nil, gets the answer on the leg's goroutine: 408 and 503
// when there was none, 481 when the call is over.
func (g *Leg) Info(contentType string, body []byte, done func(sip.Status)) {
	g.post(inInfo{contentType, body, done})
}

// AnswerInfo answers the oldest INFO that is not answered.
func (g *Leg) AnswerInfo(s sip.Status) { g.post(inAnswerInfo{s}) }

// Refer asks the peer to call somebody else (RFC 3515) and returns the number that the
// Notified events carry. A Replaces goes into the URI of to (Replaces.In). headers are
// Referred-By and others.
func (g *Leg) Refer(to sip.NameAddr, headers ...sip.Header) uint32 {
	id := g.referID.Add(1)
	g.post(inRefer{id, to, headers})
	return id
}

// AnswerRefer answers a Referred: 202, or a refusal.
func (g *Leg) AnswerRefer(id uint32, s sip.Status) { g.post(inAnswerRefer{id, s}) }

// NotifyRefer tells the peer how its REFER goes: 100 and others below 200 in between, the
// rest at the end. It does nothing when the peer wanted no NOTIFY (RFC 4488).
func (g *Leg) NotifyRefer(id uint32, s sip.Status) { g.post(inNotifyRefer{id, s}) }

// post puts an input into the inbox and starts the leg's goroutine if there is none.
func (g *Leg) post(in input) {
	g.mu.Lock()
	g.inbox = append(g.inbox, in)
	start := !g.running
	g.running = true
	g.mu.Unlock()
	if start && !g.l.spawn(g.run) {
		g.mu.Lock() // closed: nothing runs any more
		g.inbox, g.running = nil, false
		g.mu.Unlock()
	}
}

// run empties the inbox.
func (g *Leg) run() {
	for {
		g.mu.Lock()
		list := g.inbox
		g.inbox = nil
		if len(list) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		for _, in := range list {
			g.take(in)
		}
	}
}

// owner calls what belongs to the owner. A panic there costs the call, not the process.
func (g *Leg) owner(f func()) {
	defer func() {
		if r := recover(); r != nil {
			g.l.cfg.Log.Error().Interface("panic", r).Bytes("stack", debug.Stack()).Str("call_id", g.callID).Msg("call handler failed")
			g.post(inEnd{})
		}
	}()
	f()
}

// take hands one input to the machine and does what it says.
func (g *Leg) take(in input) {
	switch x := in.(type) {
	case inTimer:
		g.mu.Lock()
		stale := g.rounds[x.timer] != x.round
		g.mu.Unlock()
		if stale {
			return
		}
	case inResponse:
		in = g.completed(x)
	}
	g.core.handle(in)
	g.perform()
	if _, ok := in.(inStart); ok && !g.outgoing {
		g.owner(func() { g.h = g.l.cfg.Incoming(g) })
		if g.h == nil {
			g.core.handle(inReject{sip.Status{Code: 480}})
			g.perform()
		}
	}
	g.publish()
}

// publish shows outside what others look at.
func (g *Leg) publish() {
	c := g.core
	g.stage.Store(uint32(c.phase))
	if t := c.dlg.tag; t != "" && g.RemoteTag() != t {
		g.remoteTag.Store(&t)
	}
	var tags []string
	if c.placing != nil {
		for i := range c.placing.early {
			tags = append(tags, c.placing.early[i].tag)
		}
	}
	if old := g.early.Load(); old != nil || tags != nil {
		g.early.Store(&tags)
	}
}

// completed adds what only the transaction of an INVITE knows, and forgets transactions.
func (g *Leg) completed(in inResponse) inResponse {
	i := slices.IndexFunc(g.invites, func(p placed) bool { return p.id == in.tx })
	if in.res != nil {
		in.cseq, _ = sip.CSeq(in.res)
	}
	switch {
	case i < 0:
	case in.res != nil && in.res.StatusCode < 200:
	case in.res != nil && in.res.StatusCode < 300:
		_, in.creds = g.invites[i].tx.Sent()
	default:
		g.invites = slices.Delete(g.invites, i, i+1)
	}
	return in
}

// perform carries the effects out.
func (g *Leg) perform() {
	for len(g.core.out) > 0 {
		list := g.core.out
		g.core.out = nil
		for _, e := range list {
			g.effect(e)
		}
	}
	g.setAlarm()
}

func (g *Leg) effect(e effect) {
	l := g.l
	switch e := e.(type) {
	case fxInvite:
		t := e.target
		if sip.ToTag(e.req) != "" { // a call that is placed goes over its flow or not at all
			t = l.alive(t)
		}
		g.sendInvite(e, t)
	case fxCancel:
		if tx := g.invite(e.tx); tx != nil {
			tx.Cancel(e.headers...)
		}
	case fxSend:
		g.send(e, l.alive(e.target))
	case fxAck:
		l.ack(e.req, l.alive(e.target))
	case fxRespond:
		if err := e.ask.Respond(e.status); err != nil {
			l.cfg.Log.Debug().Err(err).Str("call_id", g.callID).Int("status", e.status.Code).Msg("answer not sent")
		}
	case fxTimer:
		g.mu.Lock()
		g.rounds[e.timer]++
		g.timers[e.timer] = 0
		if e.after > 0 && !g.over {
			g.timers[e.timer] = l.now() + e.after
		}
		g.mu.Unlock()
	case fxEvent:
		if g.h != nil {
			g.owner(func() { g.h(e.event) })
		}
	case fxCall:
		g.owner(func() { e.f(e.status) })
	case fxOver:
		g.mu.Lock()
		g.over = true
		g.mu.Unlock()
		l.remove(g)
	}
}

// sendInvite sends an INVITE.
func (g *Leg) sendInvite(e fxInvite, t ua.Target) {
	tx, err := g.l.u.Invite(e.req, t, func(res *sip.Response, err error) {
		g.post(inResponse{tx: e.tx, res: res, err: err})
	})
	if err != nil {
		g.post(inResponse{tx: e.tx, err: err})
		return
	}
	// Old ones were answered long ago: a call that lives for days is refreshed often.
	g.invites = append(g.invites[max(0, len(g.invites)-maxPlaced+1):], placed{e.tx, tx})
}

// send sends another request within the dialog. When its connection turns out to be dead,
// the Contact may still lead to the peer.
func (g *Leg) send(e fxSend, t ua.Target) {
	g.l.u.Send(g.l.ctx, e.req, t, func(res *sip.Response, err error) {
		if err != nil && !t.Flow.IsZero() && errors.Is(err, ua.ErrTransport) {
			t.Flow = ua.Flow{}
			g.send(e, t)
			return
		}
		if e.tx != 0 {
			g.post(inResponse{tx: e.tx, res: res, err: err})
		}
	})
}

// setAlarm sets the one runtime timer of the leg to the first of its deadlines.
func (g *Leg) setAlarm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var first time.Duration
	for _, at := range g.timers {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	switch {
	case first == g.alarmAt:
	case first == 0:
		g.alarm.Stop()
	case g.alarm == nil:
		g.alarm = time.AfterFunc(first-g.l.now(), g.ring)
	default:
		g.alarm.Reset(first - g.l.now())
	}
	g.alarmAt = first
}

// ring posts the timers that are due.
func (g *Leg) ring() {
	g.mu.Lock()
	now := g.l.now()
	var due []inTimer
	for t, at := range g.timers {
		if at != 0 && at <= now {
			g.timers[t] = 0
			due = append(due, inTimer{timerID(t), g.rounds[t]})
		}
	}
	g.alarmAt = 0
	g.mu.Unlock()
	for _, in := range due {
		g.post(in)
	}
	if len(due) == 0 {
		g.setAlarm()
	}
}

// invite finds an INVITE that is under way.
func (g *Leg) invite(id txID) *ua.InviteTransaction {
	if i := slices.IndexFunc(g.invites, func(p placed) bool { return p.id == id }); i >= 0 {
		return g.invites[i].tx
	}
	return nil
}

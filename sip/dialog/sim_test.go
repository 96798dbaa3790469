package dialog

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// sim joins two cores by a network of its own, in virtual time: every message takes a while,
// so that they cross and overtake each other.
type sim struct {
	t      testing.TB
	now    time.Duration
	seq    int
	queue  simQueue
	delay  func() time.Duration
	lose   func(m sip.Method, code int) bool // ACKs and 2xx to INVITE only: nothing else is sent again here
	ends   [2]*simEnd
	branch int
	trace  []string
}

type simEnd struct {
	s       *sim
	name    string
	peer    *simEnd
	core    *core
	timers  [timerCount]time.Duration
	rounds  [timerCount]int
	invites map[txID]*simTicket
	events  []Event
	last    bool
	react   func(Event)
}

// simTicket is a request under way.
type simTicket struct {
	from  *simEnd
	to    *simEnd
	tx    txID
	req   *sip.Request
	tag   string
	final bool
	done  bool // the final response has arrived
}

func (t *simTicket) Tag() string { return t.tag }

func (t *simTicket) Respond(st sip.Status) error {
	s := t.from.s
	invite := t.req.Method == sip.INVITE
	if t.final && (!invite || st.Code/100 != 2) {
		return ua.ErrAnswered
	}
	t.final = t.final || st.Code >= 200
	b, err := sip.AppendMessage(nil, sip.NewResponse(t.req, st, t.tag))
	require.NoError(s.t, err)
	msg, err := sip.ParseMessage(b)
	require.NoError(s.t, err)
	s.note("%s → %s: %d %s", t.to.name, t.from.name, st.Code, t.req.Method)
	if invite && st.Code/100 == 2 && s.lose != nil && s.lose(sip.INVITE, st.Code) {
		return nil
	}
	s.after(s.delay(), func() {
		if t.tx != 0 {
			n, _ := sip.CSeq(msg)
			t.done = t.done || st.Code >= 200
			t.from.input(inResponse{tx: t.tx, res: msg.(*sip.Response), cseq: n})
		}
	})
	return nil
}

type simItem struct {
	at  time.Duration
	seq int
	f   func()
}

type simQueue []simItem

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simItem)) }
func (q *simQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (s *sim) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%9s ", s.now)+fmt.Sprintf(format, args...))
}

func (s *sim) after(d time.Duration, f func()) {
	s.seq++
	heap.Push(&s.queue, simItem{s.now + d, s.seq, f})
}

// run works until nothing is left or that time.
func (s *sim) run(until time.Duration) {
	for len(s.queue) > 0 && s.queue[0].at <= until {
		it := heap.Pop(&s.queue).(simItem)
		s.now = it.at
		it.f()
	}
	s.now = max(s.now, until)
}

// newSim makes a caller; the callee appears with the INVITE.
func newSim(t testing.TB, seed uint64, cfg Config, offer []byte) *sim {
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := &sim{t: t, delay: func() time.Duration { return time.Duration(1+rnd.IntN(40)) * time.Millisecond }}
	set := cfg.settings(nil)
	for i, n := range []string{"a", "b"} {
		s.ends[i] = &simEnd{s: s, name: n, invites: map[txID]*simTicket{}}
	}
	a, b := s.ends[0], s.ends[1]
	a.peer, b.peer = b, a
	local := name("sip:a@chat.example")
	local.Params = sip.Params{{Name: "tag", Value: "ta"}}
	a.core = &core{
		cfg: set, rand: rnd.Float64, uac: true, callID: "c@sim", local: local, remote: name("sip:b@voice.example"),
		contact: name("sip:a@192.0.2.1"),
		placing: &placing{ruri: uri("sip:b@voice.example"), offer: offer, ring: defaultRing, hops: 70},
	}
	b.core = &core{cfg: set, rand: rnd.Float64, callID: "c@sim", contact: name("sip:b@192.0.2.2")}
	return s
}

func (s *sim) start() { s.ends[0].input(inStart{}) }

func (e *simEnd) input(in input) {
	e.core.handle(in)
	for len(e.core.out) > 0 {
		x := e.core.out[0]
		e.core.out = e.core.out[1:]
		e.effect(x)
	}
}

// wire brings a request into the form in which it arrives.
func (e *simEnd) wire(req *sip.Request) *sip.Request {
	e.s.branch++
	b, err := sip.AppendMessage(nil, req)
	require.NoError(e.s.t, err)
	head, rest, _ := strings.Cut(string(b), "\r\n")
	msg, err := sip.ParseMessage([]byte(fmt.Sprintf("%s\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\r\n%s", head, e.s.branch, rest)))
	require.NoError(e.s.t, err)
	require.Nil(e.s.t, sip.CheckRequest(msg.(*sip.Request), ownSupported...), "%s", b)
	return msg.(*sip.Request)
}

func (e *simEnd) effect(x effect) {
	s := e.s
	switch x := x.(type) {
	case fxInvite:
		e.request(x.tx, x.req)
	case fxSend:
		e.request(x.tx, x.req)
	case fxAck:
		req := e.wire(x.req)
		s.note("%s → %s: ACK %q", e.name, e.peer.name, req.Body())
		if s.lose != nil && s.lose(sip.ACK, 0) {
			return
		}
		s.after(s.delay(), func() { e.peer.input(inACK{req}) })
	case fxCancel:
		t := e.invites[x.tx]
		s.note("%s → %s: CANCEL", e.name, e.peer.name)
		s.after(32*time.Second, func() { // RFC 3261 §9.1
			if !t.done {
				t.done = true
				e.input(inResponse{tx: x.tx, err: ua.ErrTimeout})
			}
		})
		s.after(s.delay()+40*time.Millisecond, func() { // after its INVITE
			if !t.final {
				require.NoError(s.t, t.Respond(sip.Status{Code: 487}))
				cancel := sip.NewRequest(sip.CANCEL, uri("sip:x@x"))
				addAll(cancel, x.headers)
				e.peer.input(inCancel{cancel, t})
			}
		})
	case fxRespond:
		_ = x.ask.Respond(x.status)
	case fxTimer:
		e.rounds[x.timer]++
		e.timers[x.timer] = 0
		if round := e.rounds[x.timer]; x.after > 0 {
			e.timers[x.timer] = s.now + x.after
			s.after(x.after, func() {
				if e.rounds[x.timer] == round {
					e.timers[x.timer] = 0
					e.input(inTimer{timer: x.timer})
				}
			})
		}
	case fxEvent:
		s.note("%s: %T %+v", e.name, x.event, x.event)
		require.False(s.t, e.last, "%T after the last event", x.event)
		switch x.event.(type) {
		case Failed, Ended:
			e.last = true
		}
		e.events = append(e.events, x.event)
		if e.react != nil {
			e.react(x.event)
		}
	case fxCall:
		x.f(x.status)
	}
}

func (e *simEnd) request(tx txID, req *sip.Request) {
	s, m := e.s, req.Method
	req = e.wire(req)
	t := &simTicket{from: e, to: e.peer, tx: tx, req: req}
	if m == sip.INVITE {
		e.invites[tx] = t
	}
	s.note("%s → %s: %s %q", e.name, e.peer.name, req.CSeq().Value(), req.Body())
	s.after(s.delay(), func() {
		c := e.peer.core
		if m == sip.INVITE && sip.ToTag(req) == "" {
			from, _ := sip.FromOf(req)
			to, _ := sip.ToOf(req)
			target, _ := contactOf(req)
			c.dlg = peer{tag: from.Tag(), target: target}
			from.Params = nil
			t.tag = "tb"
			to.Params.Set("tag", t.tag)
			c.local, c.remote = to, from
			if st := c.take(req); st != nil {
				require.NoError(s.t, t.Respond(*st))
				return
			}
			e.peer.input(inStart{t})
			return
		}
		e.peer.input(inRequest{req: req, ask: t})
	})
}

func (s *sim) log() string { return strings.Join(s.trace, "\n") }

// events of one type.
func eventsOf[E Event](e *simEnd) (list []E) {
	for _, x := range e.events {
		if x, ok := x.(E); ok {
			list = append(list, x)
		}
	}
	return list
}

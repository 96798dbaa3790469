package dialog

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// traffic are the requests within a call that change no session. Those of ours go one at a
// time, so that digits and NOTIFYs arrive in order.
type traffic struct {
	bye   txID
	queue []sending
	sent  []sending // none or one
	infos []ticket

	refers   []referOut
	referred []referIn
	referSeq uint32 // CSeq of the first REFER that came
}

// sending is a request of ours that waits for its turn, or for its answer.
type sending struct {
	tx    txID
	make  func() *sip.Request
	done  func(sip.Status)
	refer uint32 // it is the REFER of that number
	usage bool   // a NOTIFY: its failure ends a subscription, not the call (RFC 5057 §5.1)
}

// referOut is a REFER of ours.
type referOut struct {
	id   uint32
	cseq uint32 // 0: not sent yet
}

// referIn is a REFER of the peer.
type referIn struct {
	id  uint32 // its CSeq
	ask ticket // nil: answered
	sub bool   // it wants NOTIFYs
}

const (
	maxInfos  = 16
	maxQueue  = 64
	maxRefers = 8
	// referFor is how long a subscription to the outcome of a REFER lives.
	referFor = 3 * time.Minute
)

const sipfrag = "message/sipfrag;version=2.0"

// request takes a request within the dialog.
func (c *core) request(in inRequest) {
	tag := sip.FromTag(in.req)
	known := c.dlg.tag != "" && tag == c.dlg.tag
	if !known && c.placing != nil {
		known = slices.ContainsFunc(c.placing.early, func(e early) bool { return e.tag == tag })
	}
	m := in.req.Method
	if !known || c.phase == phaseEnded || c.phase == phaseEnding && m != sip.BYE {
		c.respond(in.ask, sip.Status{Code: 481})
		return
	}
	if c.dlg.tag != "" {
		n, _ := sip.CSeq(in.req)
		if c.peerSeen && n <= c.peerSeq && m != sip.BYE { // RFC 3261 §12.2.2
			c.respond(in.ask, sip.Status{Code: 500, Reason: "Server Internal Error - CSeq out of order"})
			return
		}
		c.peerSeq, c.peerSeen = max(n, c.peerSeq), true
		if !in.flow.IsZero() {
			c.dlg.flow = in.flow
		}
	}
	if encoded(in.req) && m != sip.BYE {
		c.respond(in.ask, refuseEncoded())
		return
	}
	switch m {
	case sip.BYE:
		c.byed(in)
	case sip.INVITE:
		c.reinvite(in)
	case sip.UPDATE:
		c.update(in)
	case sip.PRACK:
		c.pracked(in)
	case sip.INFO:
		c.informed(in)
	case sip.OPTIONS:
		c.respond(in.ask, sip.Status{Code: 200, Headers: append(c.capabilities(), header("Accept", sdpType))})
	case sip.REFER:
		c.referredTo(in)
	case sip.NOTIFY:
		c.notified(in)
	default:
		c.respond(in.ask, sip.Status{Code: 405, Headers: []sip.Header{header("Allow", c.cfg.allow)}})
	}
}

// byed is the peer's BYE.
func (c *core) byed(in inRequest) {
	if c.phase == phaseInviting || c.phase == phaseCancelling {
		c.respond(in.ask, sip.Status{Code: 481}) // a callee has no business with an early BYE
		return
	}
	c.respond(in.ask, sip.Status{Code: 200})
	if c.phase != phaseEnding && c.phase != phaseHanging {
		c.byPeer, c.reasons, c.cause = true, sip.Reasons(in.req), nil
	}
	c.refusal = sip.Status{Code: 487}
	c.move(cueBye)
}

// send queues a request of ours.
func (c *core) send(s sending) {
	if c.phase >= phaseEnding || len(c.traffic.queue) >= maxQueue || c.phase == phaseCancelling {
		c.finished(s, sip.Status{Code: 481}, nil)
		return
	}
	c.traffic.queue = append(c.traffic.queue, s)
	c.pump()
}

// pump sends the next request if none is under way. Before the ACK it would overtake what
// makes the dialog.
func (c *core) pump() {
	t := &c.traffic
	if len(t.sent) > 0 || len(t.queue) == 0 || c.phase != phaseConfirmed {
		return
	}
	s := t.queue[0]
	t.queue = t.queue[1:]
	s.tx = c.tx()
	t.sent = append(t.sent, s)
	req := s.make()
	if s.refer != 0 {
		i := slices.IndexFunc(t.refers, func(r referOut) bool { return r.id == s.refer })
		t.refers[i].cseq, _ = sip.CSeq(req)
	}
	c.do(fxSend{s.tx, req, c.target(&c.dlg)})
}

// trafficResponse takes the answer to one of them.
func (c *core) trafficResponse(in inResponse) {
	t := &c.traffic
	if in.tx == 0 || len(t.sent) == 0 || t.sent[0].tx != in.tx {
		return
	}
	s := t.sent[0]
	t.sent = nil
	var st sip.Status
	if in.res == nil {
		st = statusOf(in.err)
	} else {
		st = sip.StatusOf(in.res)
	}
	c.finished(s, st, in.res)
	switch {
	case s.usage:
	case st.Code == 481:
		c.lost(cueGone, ErrGone)
	case st.Code == 408 && (in.err == nil || errors.Is(in.err, ua.ErrTimeout)):
		c.lost(cueLost, causeOf(in.err, st))
	}
	c.pump()
}

func (c *core) finished(s sending, st sip.Status, res *sip.Response) {
	if s.done != nil {
		c.do(fxCall{s.done, st})
	}
	if s.refer == 0 {
		return
	}
	if st.Code >= 300 {
		c.referDone(s.refer, st)
	} else if res != nil && strings.EqualFold(strings.TrimSpace(sip.Value(res, "Refer-Sub")), "false") { // RFC 4488
		c.referDone(s.refer, st)
	} else {
		c.arm(timerRefer, referFor)
	}
}

func (c *core) info(in inInfo) {
	c.send(sending{done: in.done, make: func() *sip.Request {
		req := c.build(sip.INFO, &c.dlg, c.nextCSeq())
		_ = sip.SetBody(req, in.contentType, in.body) // a bad type leaves the body out
		return req
	}})
}

// informed is an INFO of the peer.
func (c *core) informed(in inRequest) {
	if len(c.traffic.infos) >= maxInfos {
		c.respond(in.ask, sip.Status{Code: 503, RetryAfter: time.Second})
		return
	}
	c.traffic.infos = append(c.traffic.infos, in.ask)
	c.tell(Info{ContentType: sip.ContentType(in.req), Package: sip.Value(in.req, "Info-Package"), Body: in.req.Body()})
}

func (c *core) answerInfo(s sip.Status) {
	t := &c.traffic
	if len(t.infos) == 0 || s.Code < 200 {
		return
	}
	c.respond(t.infos[0], s)
	t.infos = t.infos[1:]
}

// refer is Refer.
func (c *core) refer(in inRefer) {
	if c.phase == phaseEnded {
		return
	}
	c.traffic.refers = append(c.traffic.refers, referOut{id: in.id})
	c.send(sending{refer: in.id, make: func() *sip.Request {
		req := c.build(sip.REFER, &c.dlg, c.nextCSeq())
		_ = sip.Add(req, "Refer-To", in.to.String())
		addAll(req, in.headers)
		return req
	}})
}

func (c *core) referDone(id uint32, s sip.Status) {
	t := &c.traffic
	i := slices.IndexFunc(t.refers, func(r referOut) bool { return r.id == id })
	if i < 0 {
		return
	}
	t.refers = slices.Delete(t.refers, i, i+1)
	if len(t.refers) == 0 {
		c.stop(timerRefer)
	}
	c.tell(Notified{ID: id, Status: s, Done: true})
}

// referSilent: no NOTIFY came for too long.
func (c *core) referSilent() {
	for _, r := range slices.Clone(c.traffic.refers) {
		if r.cseq != 0 {
			c.referDone(r.id, sip.Status{Code: 408})
		}
	}
}

// notified is a NOTIFY about a REFER of ours (RFC 3515 §2.4.5).
func (c *core) notified(in inRequest) {
	e, err := sip.ParseEvent(sip.Value(in.req, "Event"))
	if err != nil || e.Package != "refer" {
		c.respond(in.ask, sip.Status{Code: 489, Headers: []sip.Header{header("Allow-Events", "refer")}})
		return
	}
	i := slices.IndexFunc(c.traffic.refers, func(r referOut) bool {
		return r.cseq != 0 && (e.ID == "" || e.ID == strconv.FormatUint(uint64(r.cseq), 10))
	})
	if i < 0 {
		c.respond(in.ask, sip.Status{Code: 481})
		return
	}
	id := c.traffic.refers[i].id
	c.respond(in.ask, sip.Status{Code: 200})
	s, ok := sipfragStatus(in.req.Body())
	state, err := sip.ParseSubscriptionState(sip.Value(in.req, "Subscription-State"))
	if over := err == nil && state.State == sip.SubscriptionTerminated; over || ok && s.Code >= 200 {
		if !ok { // it ended without telling how
			s = sip.Status{Code: 408}
		}
		c.referDone(id, s)
		return
	}
	c.arm(timerRefer, referFor)
	if ok {
		c.tell(Notified{ID: id, Status: s})
	}
}

// sipfragStatus reads the status line of a message/sipfrag.
func sipfragStatus(body []byte) (s sip.Status, ok bool) {
	line, _, _ := strings.Cut(string(body[:min(len(body), 512)]), "\n")
	version, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	code, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(code)
	if !strings.EqualFold(version, "SIP/2.0") || err != nil || n < 100 || n > 699 {
		return s, false
	}
	return sip.Status{Code: n, Reason: strings.TrimSpace(reason)}, true
}

// referredTo is a REFER of the peer (RFC 3515 §2.4.2).
func (c *core) referredTo(in inRequest) {
	list, err := sip.NameAddrs(in.req, "Refer-To")
	if err != nil || len(list) != 1 {
		c.respond(in.ask, sip.Status{Code: 400, Reason: "Bad Request - one Refer-To is needed"})
		return
	}
	t := &c.traffic
	if len(t.referred) >= maxRefers || !c.phase.established() {
		c.respond(in.ask, sip.Status{Code: 491})
		return
	}
	r := Referred{To: list[0], ReferredBy: sip.Value(in.req, "Referred-By")}
	r.ID, _ = sip.CSeq(in.req)
	if v, ok := r.To.URI.Headers.Get("Replaces"); ok {
		x, err := ParseReplaces(v)
		if err != nil {
			c.respond(in.ask, sip.Status{Code: 400, Reason: "Bad Request - Replaces"})
			return
		}
		r.Replaces = &x
	}
	if t.referSeq == 0 {
		t.referSeq = r.ID
	}
	sub := !strings.EqualFold(strings.TrimSpace(sip.Value(in.req, "Refer-Sub")), "false")
	t.referred = append(t.referred, referIn{id: r.ID, ask: in.ask, sub: sub})
	c.tell(r)
}

func (c *core) referIn(id uint32) int {
	return slices.IndexFunc(c.traffic.referred, func(r referIn) bool { return r.id == id })
}

func (c *core) answerRefer(id uint32, s sip.Status) {
	i := c.referIn(id)
	if i < 0 || c.traffic.referred[i].ask == nil || s.Code < 200 {
		return
	}
	r := &c.traffic.referred[i]
	ask := r.ask
	r.ask = nil
	if s.Code >= 300 {
		c.respond(ask, s)
		c.traffic.referred = slices.Delete(c.traffic.referred, i, i+1)
		return
	}
	s.Headers = append(slices.Clone(s.Headers), sip.NewContact(c.contact))
	if !r.sub {
		s.Headers = append(s.Headers, header("Refer-Sub", "false"))
	}
	c.respond(ask, s)
	c.notifyRefer(id, sip.Status{Code: 100}) // at once (RFC 3515 §2.4.4)
}

func (c *core) notifyRefer(id uint32, s sip.Status) {
	i := c.referIn(id)
	if i < 0 || c.traffic.referred[i].ask != nil {
		return
	}
	r := c.traffic.referred[i]
	state := sip.SubscriptionState{State: sip.SubscriptionActive, Expires: referFor}
	if s.Code >= 200 {
		state = sip.SubscriptionState{State: sip.SubscriptionTerminated, Reason: sip.ReasonNoResource}
		c.traffic.referred = slices.Delete(c.traffic.referred, i, i+1)
	}
	if !r.sub {
		return
	}
	event := "refer"
	if id != c.traffic.referSeq { // RFC 3515 §2.4.6
		event += ";id=" + strconv.FormatUint(uint64(id), 10)
	}
	c.send(sending{usage: true, make: func() *sip.Request {
		req := c.build(sip.NOTIFY, &c.dlg, c.nextCSeq())
		_ = sip.Add(req, "Event", event)
		_ = sip.Add(req, "Subscription-State", state.String())
		_ = sip.SetBody(req, sipfrag, []byte("SIP/2.0 "+strconv.Itoa(s.Code)+" "+s.Phrase()+"\r\n"))
		return req
	}})
}

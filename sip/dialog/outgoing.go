package dialog

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// placing is what a call of ours needs until it is answered.
type placing struct {
	tx        txID // of the INVITE
	ruri      sip.URI
	headers   []sip.Header
	offer     []byte
	target    ua.Target
	ring      time.Duration
	hops      int
	minSE     time.Duration // of a 422
	intervals int           // 422s so far
	tried     []string      // where redirections have led
	early     []early
	offered   *early // its reliable response brought an offer that the owner has not answered
}

// early is an early dialog: what one branch of a fork told (RFC 3261 §12.1.2).
type early struct {
	peer
	rseq     uint32
	rack     string // RAck of the PRACK that waits for the owner's answer
	sdp      []byte // the last seen
	complete bool   // offer and answer were exchanged reliably
	update   bool   // it takes UPDATE
}

// acked is a 2xx that was ACKed, for its copies.
type acked struct {
	tag    string
	cseq   uint32
	req    *sip.Request
	target ua.Target
}

// maxEarly bounds the early dialogs of one call.
const maxEarly = 16

// invite sends the INVITE.
func (c *core) invite() {
	p := c.placing
	p.tx = c.tx()
	req := sip.NewRequest(sip.INVITE, p.ruri)
	sip.SetDialogHeaders(req, c.local, c.remote, c.callID, c.nextCSeq())
	sip.SetMaxForwards(req, p.hops)
	sip.SetContact(req, c.contact)
	addAll(req, c.capabilities())
	addAll(req, c.session.propose(c.cfg, p.minSE))
	addAll(req, p.headers)
	setSDP(req, p.offer)
	if len(p.offer) > 0 {
		c.offers.state, c.offers.local, c.offers.answered = offerLocal, p.offer, false
	}
	c.do(fxInvite{p.tx, req, p.target})
}

// response sorts out what a response belongs to.
func (c *core) response(in inResponse) {
	switch {
	case in.res != nil && in.res.StatusCode/100 == 2 && isInvite(in.res) && c.ackAgain(in):
	case c.placing != nil && in.tx == c.placing.tx:
		c.inviteResponse(in)
	case in.tx != 0 && in.tx == c.offers.tx:
		c.offerResponse(in)
	case in.tx != 0 && in.tx == c.traffic.bye:
		if c.phase == phaseEnding {
			c.move(cueDone)
		}
	case in.res != nil && in.res.StatusCode/100 == 2 && isInvite(in.res):
		c.fork(in)
	default:
		c.trafficResponse(in)
	}
}

func isInvite(res *sip.Response) bool {
	_, m := sip.CSeq(res)
	return m == sip.INVITE
}

func (c *core) inviteResponse(in inResponse) {
	switch {
	case in.res == nil:
		c.failed(Failed{Status: statusOf(in.err), Cause: in.err})
	case in.res.StatusCode < 200:
		c.progress(in.res)
	case in.res.StatusCode < 300:
		c.answered(in)
	default:
		c.refused(in.res)
	}
}

// statusOf is the status that a missing response counts as (RFC 3261 §8.1.3.1).
func statusOf(err error) sip.Status {
	if errors.Is(err, ua.ErrTimeout) {
		return sip.Status{Code: 408}
	}
	return sip.Status{Code: 503}
}

func (c *core) failed(f Failed) {
	c.failure = f
	c.move(cueFailure)
}

// progress takes a provisional response.
func (c *core) progress(res *sip.Response) {
	if res.StatusCode == 100 {
		return
	}
	p, tag := c.placing, sip.ToTag(res)
	var e *early
	if tag != "" {
		e = c.earlyOf(tag, res)
	}
	sdp := sdpOf(res)
	tell := Progress{Status: res.StatusCode, SDP: sdp, Tag: tag, Response: res}
	if e != nil && sip.HasToken(res, "Require", "100rel") {
		if rseq, err := strconv.ParseUint(strings.TrimSpace(sip.Value(res, "RSeq")), 10, 32); err == nil && rseq > 0 {
			if e.rseq != 0 && uint32(rseq) != e.rseq+1 || p.offered == e {
				return // a copy, or too early: it will come again (RFC 3262 §4)
			}
			e.rseq = uint32(rseq)
			n, _ := sip.CSeq(res)
			rack := sip.Value(res, "RSeq") + " " + strconv.FormatUint(uint64(n), 10) + " INVITE"
			tell.Reliable = true
			switch {
			case sdp == nil || e.complete:
				c.prack(e, rack, nil)
			case len(p.offer) > 0:
				e.complete = true
				c.offers.state = offerNone
				c.offers.remote = sdp
				c.prack(e, rack, nil)
			case p.offered == nil && c.phase == phaseInviting:
				tell.Offer = true
				e.rack, p.offered = rack, e
				c.offers.state, c.offers.remote = offerRemote, sdp
				c.arm(timerAnswer, c.t1(answerWithin))
			default: // a second branch of a fork that offers as well
				c.prack(e, rack, nil)
			}
		}
	}
	if e != nil && sdp != nil {
		e.sdp = sdp
	}
	if res.StatusCode == 199 && e != nil { // RFC 6228
		p.early = slices.DeleteFunc(p.early, func(x early) bool { return x.tag == tag && &x != p.offered })
	}
	if c.phase == phaseInviting {
		c.tell(tell)
		c.offerNow()
	}
}

// earlyOf finds or makes the early dialog of a provisional response.
func (c *core) earlyOf(tag string, res *sip.Response) *early {
	p := c.placing
	i := slices.IndexFunc(p.early, func(e early) bool { return e.tag == tag })
	if i < 0 {
		if len(p.early) >= maxEarly {
			return nil
		}
		if p.early == nil {
			p.early = make([]early, 0, maxEarly) // p.offered points into it
		}
		p.early = append(p.early, early{peer: peer{tag: strings.Clone(tag), target: p.ruri, flow: p.target.Flow}})
		i = len(p.early) - 1
	}
	e := &p.early[i]
	if u, ok := contactOf(res); ok {
		e.target = u
	}
	if e.routes == nil {
		e.routes = routesOf(res, true)
	}
	e.update = e.update || allows(res, sip.UPDATE)
	return e
}

func (c *core) prack(e *early, rack string, sdp []byte) {
	req := c.build(sip.PRACK, &e.peer, c.nextCSeq())
	req.AppendHeader(header("RAck", rack))
	setSDP(req, sdp)
	c.do(fxSend{0, req, c.target(&e.peer)})
}

// answered takes the 2xx that makes the call.
func (c *core) answered(in inResponse) {
	if c.dlg.tag != "" {
		c.fork(in)
		return
	}
	p, res := c.placing, in.res
	c.dlg = c.dialogOf(res)
	var preview []byte
	complete := false
	if i := slices.IndexFunc(p.early, func(e early) bool { return e.tag == c.dlg.tag }); i >= 0 {
		preview, complete = p.early[i].sdp, p.early[i].complete
	}
	c.session.update = allows(res, sip.UPDATE)
	c.session.agreed(c, res, true)
	c.stop(timerRing)
	if c.offers.ask == nil {
		c.stop(timerAnswer)
	}
	sdp := sdpOf(res)
	tell := Answered{SDP: sdp, Response: res}
	tell.Peer, _ = sip.ToOf(res)
	q := cueSuccess
	switch {
	case len(p.offer) == 0 && !complete:
		q, tell.Offer = cueOffer, true
		if sdp == nil {
			tell.SDP = preview
		}
		c.forget()
		c.offers.state, c.offers.remote = offerRemote, tell.SDP
	case complete: // there may have been UPDATEs since
		tell.SDP = c.offers.remote
	default:
		if sdp == nil {
			tell.SDP = preview
		}
		c.forget()
		c.offers.local, c.offers.answered, c.offers.remote = p.offer, false, tell.SDP
	}
	c.acks = append(c.acks, acked{tag: c.dlg.tag, cseq: in.cseq})
	c.makeAck(&c.dlg, in)
	if q == cueOffer && c.phase == phaseInviting {
		c.arm(timerAnswer, c.t1(answerWithin))
	}
	do := c.move(q)
	c.placing = nil
	if do&actAnswered != 0 {
		c.tell(tell)
		c.offerNow()
		c.pump()
	}
}

// forget drops an exchange with another branch of the fork.
func (c *core) forget() {
	o := &c.offers
	if o.ask != nil {
		c.respond(o.ask, sip.Status{Code: 487})
	}
	o.state, o.tx, o.sent, o.ask = offerNone, 0, nil, nil
}

// dialogOf reads the dialog that a 2xx makes; a peer that forgot its Contact is sent to where
// its provisional responses, or we, pointed.
func (c *core) dialogOf(res *sip.Response) peer {
	d := peer{tag: strings.Clone(sip.ToTag(res)), routes: routesOf(res, true), target: c.dlg.target}
	if p := c.placing; p != nil {
		d.flow, d.target = p.target.Flow, p.ruri
		for i := range p.early {
			if p.early[i].tag == d.tag {
				d.target = p.early[i].target
			}
		}
	}
	if u, ok := contactOf(res); ok {
		d.target = u
	}
	return d
}

// makeAck prepares the ACK of a 2xx: number and credentials of its INVITE, way of the dialog
// (RFC 3261 §13.2.2.4).
func (c *core) makeAck(p *peer, in inResponse) {
	req := c.build(sip.ACK, p, in.cseq)
	addAll(req, in.creds)
	a := &c.acks[len(c.acks)-1]
	a.req, a.target = req, c.target(p)
	a.target.Credentials = nil
}

// sendAck sends the ACK of the last 2xx, with the answer to its offer, if it had one.
func (c *core) sendAck(sdp []byte) {
	if len(c.acks) == 0 {
		return
	}
	a := &c.acks[len(c.acks)-1]
	setSDP(a.req, sdp)
	c.do(fxAck{a.req, a.target})
	c.arm(timerAcks, c.t1(64))
}

// ackAgain answers a copy of a 2xx with the ACK that it got; while the owner has not answered
// its offer there is none.
func (c *core) ackAgain(in inResponse) bool {
	tag := sip.ToTag(in.res)
	n, _ := sip.CSeq(in.res)
	for i := range c.acks {
		if a := &c.acks[i]; a.tag == tag && a.cseq == n {
			if c.phase != phaseAnswered || tag != c.dlg.tag {
				c.do(fxAck{a.req, a.target})
			}
			return true
		}
	}
	return false
}

// fork ends another branch that answered as well: ACK and BYE (RFC 3261 §13.2.2.4).
func (c *core) fork(in inResponse) {
	d := c.dialogOf(in.res)
	if d.tag == "" || d.tag == c.dlg.tag || len(c.acks) >= maxEarly {
		return
	}
	if _, ok := contactOf(in.res); !ok {
		return // nowhere to go to
	}
	if c.phase != phaseAnswered {
		c.arm(timerAcks, c.t1(64))
	}
	req := c.build(sip.ACK, &d, in.cseq)
	addAll(req, in.creds)
	t := c.target(&d)
	t.Credentials = nil
	// In front, for the last is that of the call.
	c.acks = slices.Insert(c.acks, 0, acked{tag: d.tag, cseq: in.cseq, req: req, target: t})
	c.do(fxAck{req, t})
	reasons := c.reasons
	c.reasons = nil
	c.bye(&d, 0)
	c.reasons = reasons
}

// refused takes 3xx–6xx: some ask for another INVITE.
func (c *core) refused(res *sip.Response) {
	p := c.placing
	if c.phase == phaseInviting {
		switch code := res.StatusCode; {
		case code/100 == 3 && c.redirected(res):
			return
		case code == 422 && p.intervals < 2:
			if d, ok := seconds(sip.Value(res, "Min-SE")); ok && d > p.minSE && d <= 24*time.Hour {
				p.intervals++
				p.minSE, p.early = d, nil
				c.invite()
				return
			}
		}
	}
	f := Failed{Status: sip.StatusOf(res), Reasons: sip.Reasons(res)}
	if res.StatusCode/100 == 3 {
		f.Redirect, _, _ = sip.Contacts(res)
	}
	c.failed(f)
}

// redirected follows the best Contact of a 3xx that was not tried (RFC 3261 §8.1.3.4).
func (c *core) redirected(res *sip.Response) bool {
	p := c.placing
	if len(p.tried) == 0 {
		p.tried = append(p.tried, p.ruri.Key())
	}
	if len(p.tried) > maxRedirects {
		return false
	}
	list, star, err := sip.Contacts(res)
	if err != nil || star {
		return false
	}
	slices.SortStableFunc(list, func(a, b sip.NameAddr) int { return cmp.Compare(quality(b), quality(a)) })
	for _, n := range list {
		u := own(n.URI)
		if slices.Contains(p.tried, u.Key()) {
			continue
		}
		t, ok := c.cfg.Redirect(u)
		if !ok {
			continue
		}
		p.tried = append(p.tried, u.Key())
		u.Headers = nil
		p.ruri, p.target, p.early, p.offered = u, t, nil, nil
		c.way = ua.Target{Credentials: t.Credentials, TLSName: t.TLSName}
		c.invite()
		return true
	}
	return false
}

// quality is the q of a Contact (RFC 3261 §20.10), 1 when absent or unreadable.
func quality(n sip.NameAddr) float64 {
	q, err := strconv.ParseFloat(n.Params.Value("q"), 64)
	if err != nil || q < 0 || q > 1 {
		return 1
	}
	return q
}

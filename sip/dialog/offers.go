package dialog

import (
	"bytes"
	"errors"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// offerState is whose offer has no answer (RFC 3264 §4: one at a time).
type offerState uint8

const (
	offerNone offerState = iota
	offerLocal
	offerRemote
)

// offers is the exchange of offers and answers.
type offers struct {
	state    offerState
	local    []byte // our last description
	remote   []byte // the peer's last
	answered bool   // local was an answer

	// Ours.
	wanted  []byte // to be sent when possible
	tries   int    // 491s and 422s that it had
	waits   bool   // for timerGlare
	tx      txID
	sent    []byte
	before  []byte // local before it
	was     bool   // answered before it
	byUpd   bool   // by UPDATE
	renews  bool   // it only refreshes the session
	renewed []byte // remote before that

	// The peer's.
	ask     ticket
	method  sip.Method // INVITE, UPDATE, PRACK
	cseq    uint32
	asks    bool // it has no SDP: it wants an offer
	sdp     []byte
	contact sip.URI // target refresh
	from    string  // tag
	expires sessionAnswer
}

// maxTries bounds how often an offer is sent again after 491.
const maxTries = 4

// answerWithin is how long the owner may leave an offer of the peer without an answer, in T1;
// less than 64, so that the peer hears of it before it gives up by itself.
const answerWithin = 48

// offerNow sends the offer that waits, if the state allows it.
func (c *core) offerNow() {
	o := &c.offers
	if o.wanted == nil || !c.free() {
		return
	}
	switch c.phase {
	case phaseConfirmed:
		if c.taking == nil { // a re-INVITE of the peer waits for its ACK
			c.sendOffer(&c.dlg, o.wanted, false, false)
		}
	case phaseIncoming:
		if t := c.taking; t.complete && t.reliable == nil && t.update {
			c.sendOffer(&c.dlg, o.wanted, true, false)
		}
	case phaseInviting:
		for i := range c.placing.early {
			if e := &c.placing.early[i]; e.complete && e.update { // RFC 3311 §5.1
				c.sendOffer(&e.peer, o.wanted, true, false)
				return
			}
		}
	}
}

// free tells whether nothing is between an offer of ours and the wire.
func (c *core) free() bool {
	o := &c.offers
	return !o.waits && o.state == offerNone && o.tx == 0 && o.ask == nil
}

func (c *core) sendOffer(p *peer, sdp []byte, update, renews bool) {
	o := &c.offers
	o.tx, o.byUpd, o.renews, o.renewed = c.tx(), update, renews, o.remote
	if !renews {
		o.wanted = nil
	}
	m := sip.INVITE
	if update {
		m = sip.UPDATE
	}
	req := c.build(m, p, c.nextCSeq())
	addAll(req, c.capabilities())
	addAll(req, c.session.renew(c.cfg))
	o.sent = sdp
	if len(sdp) > 0 {
		o.before, o.was = o.local, o.answered
		o.state, o.local, o.answered = offerLocal, sdp, false
		setSDP(req, sdp)
	}
	t := c.target(p)
	if update {
		c.do(fxSend{o.tx, req, t})
		return
	}
	c.do(fxInvite{o.tx, req, t})
	c.arm(timerOffer, c.cfg.Ring)
}

// offerResponse takes the answer to our re-INVITE or UPDATE.
func (c *core) offerResponse(in inResponse) {
	o := &c.offers
	if in.res != nil && in.res.StatusCode < 200 {
		return
	}
	c.stop(timerOffer)
	o.tx = 0
	sent, renews := o.sent, o.renews
	o.sent = nil
	if in.res != nil && in.res.StatusCode < 300 {
		c.offerTaken(in, sent, renews)
		c.offerNow()
		return
	}
	if len(sent) > 0 { // RFC 3261 §14.1: as if it had never been
		o.local, o.answered = o.before, o.was
		o.state = offerNone
	}
	o.before = nil
	var s sip.Status
	if in.res == nil {
		s = statusOf(in.err)
	} else {
		s = sip.StatusOf(in.res)
	}
	switch {
	case s.Code == 481:
		c.lost(cueGone, ErrGone)
	case in.res == nil && !errors.Is(in.err, ua.ErrTimeout):
		c.offerRefused(s, renews)
	case s.Code == 408:
		c.lost(cueLost, causeOf(in.err, s))
	case s.Code == 491 && c.phase == phaseConfirmed && o.tries < maxTries:
		c.glare(sent, renews)
	case s.Code == 422 && o.tries < maxTries:
		o.tries++
		if d, ok := seconds(sip.Value(in.res, "Min-SE")); ok {
			c.session.raise(d)
		}
		c.again(sent, renews)
	default:
		c.offerRefused(s, renews)
	}
	c.offerNow()
}

func causeOf(err error, s sip.Status) error {
	if err != nil {
		return err
	}
	return s
}

func (c *core) again(sent []byte, renews bool) {
	switch {
	case renews:
		c.refresh()
	case c.offers.wanted == nil: // else something newer is wanted
		c.offers.wanted = sent
	}
}

// glare waits as RFC 3261 §14.1 says; who made the Call-ID waits longer.
func (c *core) glare(sent []byte, renews bool) {
	wait := c.between(0, 2)
	if c.uac {
		wait = c.between(2.1, 4)
	}
	if renews {
		c.arm(timerRefresh, wait)
		return
	}
	c.offers.tries++
	c.again(sent, false)
	c.offers.waits = true
	c.arm(timerGlare, wait)
}

func (c *core) offerRefused(s sip.Status, renews bool) {
	if !renews {
		c.tell(OfferRefused{s})
		return
	}
	if c.offers.byUpd && (s.Code == 405 || s.Code == 501) {
		c.session.update = false
	}
	if c.session.interval > 0 { // a few more times until the session expires
		c.arm(timerRefresh, c.session.interval/16)
	}
}

// offerTaken is a 2xx to an offer of ours.
func (c *core) offerTaken(in inResponse, sent []byte, renews bool) {
	o := &c.offers
	if u, ok := contactOf(in.res); ok {
		c.retarget(sip.ToTag(in.res), u)
	}
	if isInvite(in.res) {
		c.acks = append(c.acks[max(0, len(c.acks)-maxEarly):], acked{tag: c.dlg.tag, cseq: in.cseq})
		c.makeAck(&c.dlg, in)
		c.sendAck(nil)
	}
	c.session.agreed(c, in.res, false)
	if len(sent) == 0 {
		return
	}
	sdp := sdpOf(in.res)
	o.state, o.before, o.remote = offerNone, nil, sdp
	if !renews || !bytes.Equal(sdp, o.renewed) {
		c.tell(OfferAnswered{sdp})
	}
}

// reinvite takes a re-INVITE.
func (c *core) reinvite(in inRequest) {
	o := &c.offers
	if t := c.taking; t != nil && t.ok.Code != 0 && !t.offers {
		c.acknowledged(nil) // the peer has our 2xx; its ACK was lost or overtaken
	}
	switch {
	case !c.phase.established():
		c.respond(in.ask, sip.Status{Code: 491})
	case o.tx != 0 || o.state == offerLocal:
		c.respond(in.ask, sip.Status{Code: 491}) // RFC 3261 §14.2
	case o.ask != nil || o.state == offerRemote:
		c.respond(in.ask, c.busy())
	default:
		c.offered(in, sdpOf(in.req), false)
	}
}

// busy is the answer to a request that comes too early (RFC 3261 §14.2, RFC 3311 §5.2).
func (c *core) busy() sip.Status {
	return sip.Status{Code: 500, RetryAfter: max(c.between(0, 10), time.Second)}
}

// update takes an UPDATE (RFC 3311 §5.2).
func (c *core) update(in inRequest) {
	o, sdp := &c.offers, sdpOf(in.req)
	switch {
	case sdp == nil:
		expires, st := c.session.asked(c.cfg, in.req)
		if st != nil {
			c.respond(in.ask, *st)
			return
		}
		if u, ok := contactOf(in.req); ok {
			c.retarget(sip.FromTag(in.req), u)
		}
		c.respond(in.ask, c.okUpdate(nil, expires))
	case o.tx != 0 || o.state == offerLocal:
		c.respond(in.ask, sip.Status{Code: 491})
	case o.ask != nil || o.state == offerRemote:
		c.respond(in.ask, c.busy())
	default:
		c.offered(in, sdp, true)
	}
}

func (c *core) okUpdate(sdp []byte, expires sessionAnswer) sip.Status {
	s := sip.Status{Code: 200, Headers: append([]sip.Header{sip.NewContact(c.contact)}, c.capabilities()...)}
	s.Headers = append(s.Headers, c.session.grant(c, expires)...)
	return withSDP(s, sdp)
}

// offered hands an offer of the peer up.
func (c *core) offered(in inRequest, sdp []byte, update bool) {
	o := &c.offers
	expires, st := c.session.asked(c.cfg, in.req)
	if st != nil {
		c.respond(in.ask, *st)
		return
	}
	if o.waits {
		o.waits, o.wanted = false, nil
		c.stop(timerGlare)
		c.tell(OfferRefused{sip.Status{Code: 491}})
	}
	o.ask, o.method, o.asks, o.sdp, o.expires = in.ask, in.req.Method, sdp == nil, sdp, expires
	o.cseq, _ = sip.CSeq(in.req)
	o.from = sip.FromTag(in.req)
	o.contact, _ = contactOf(in.req)
	if sdp != nil {
		o.state = offerRemote
		if o.answered && len(o.local) > 0 && bytes.Equal(sdp, o.remote) {
			c.answerOffer(o.local)
			return
		}
	}
	c.arm(timerAnswer, c.t1(answerWithin))
	c.tell(Offered{SDP: sdp, Update: update})
}

// answer is Answer.
func (c *core) answer(sdp []byte) {
	o := &c.offers
	switch {
	case o.ask != nil:
		c.answerOffer(sdp)
	case c.phase == phaseAnswered:
		c.stop(timerAnswer)
		o.state, o.local, o.answered = offerNone, sdp, true
		c.ackSDP = sdp
		c.move(cueAnswer)
		c.offerNow()
	case c.placing != nil && c.placing.offered != nil:
		e := c.placing.offered
		c.placing.offered = nil
		c.stop(timerAnswer)
		e.complete = true
		o.state, o.local, o.answered = offerNone, sdp, true
		c.prack(e, e.rack, sdp)
	}
}

// answerOffer answers a re-INVITE, an UPDATE or a PRACK with 200.
func (c *core) answerOffer(sdp []byte) {
	o := &c.offers
	ask := o.ask
	o.ask = nil
	c.stop(timerAnswer)
	if !o.contact.IsZero() {
		c.retarget(o.from, o.contact)
	}
	asks := o.asks
	if asks {
		o.state, o.answered = offerLocal, false
	} else {
		o.state, o.answered, o.remote = offerNone, true, o.sdp
	}
	o.local, o.sdp = sdp, nil
	switch o.method {
	case sip.INVITE:
		c.sendOK(ask, o.cseq, sdp, o.expires, asks)
	case sip.UPDATE:
		c.respond(ask, c.okUpdate(sdp, o.expires))
		c.offerNow()
	default:
		c.respond(ask, withSDP(sip.Status{Code: 200}, sdp))
		c.offerNow()
	}
}

// refuse is Refuse.
func (c *core) refuse(s sip.Status) {
	o := &c.offers
	if o.ask == nil || s.Code < 300 || s.Code > 699 {
		return
	}
	c.stop(timerAnswer)
	c.respond(o.ask, s)
	o.ask, o.sdp, o.state = nil, nil, offerNone
	c.offerNow()
}

// noAnswer: the owner left an offer without an answer.
func (c *core) noAnswer() {
	switch {
	case c.offers.ask != nil:
		c.refuse(sip.Status{Code: 500})
	case c.phase == phaseAnswered || c.placing != nil && c.placing.offered != nil:
		c.end(ErrNoAnswer)
	}
}

// retarget is a target refresh (RFC 3261 §12.2).
func (c *core) retarget(tag string, u sip.URI) {
	if tag == c.dlg.tag {
		c.dlg.target = u
		return
	}
	if c.placing != nil {
		for i := range c.placing.early {
			if c.placing.early[i].tag == tag {
				c.placing.early[i].target = u
			}
		}
	}
}

package dialog

import (
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// taking is what a call that came in needs until its 2xx has an ACK; a re-INVITE uses the part
// about the 2xx.
type taking struct {
	ask      ticket
	cseq     uint32
	offered  bool // the INVITE had an SDP
	can100   bool // Supported: 100rel
	must100  bool // Require: 100rel
	rseq     uint32
	reliable *reliable   // sent, without PRACK
	waiting  []*reliable // for that PRACK
	complete bool        // offer and answer were exchanged reliably
	update   bool        // the peer takes UPDATE
	sdp      []byte      // of Accept
	expires  sessionAnswer

	ok       sip.Status // the 2xx
	offers   bool       // its SDP is an offer, which the ACK answers
	interval time.Duration
}

// reliable is a provisional response that wants a PRACK.
type reliable struct {
	status   sip.Status
	sdp      []byte
	interval time.Duration
}

// maxWaiting bounds the provisional responses that wait for a PRACK.
const maxWaiting = 8

// take reads the INVITE that came in.
func (c *core) take(req *sip.Request) *sip.Status {
	n, _ := sip.CSeq(req)
	t := &taking{
		cseq: n, offered: sdpOf(req) != nil,
		can100: sip.HasToken(req, "Supported", "100rel"), must100: sip.HasToken(req, "Require", "100rel"),
		update: allows(req, sip.UPDATE),
	}
	t.rseq = 1 + uint32(c.rand()*(1<<30))
	c.taking, c.peerSeq, c.peerSeen = t, n, true
	c.session.update = t.update
	if t.offered {
		c.offers.state, c.offers.remote = offerRemote, sdpOf(req)
	}
	var st *sip.Status
	t.expires, st = c.session.asked(c.cfg, req)
	return st
}

// ring sends a provisional response.
func (c *core) ring(s sip.Status, sdp []byte) {
	if c.phase != phaseIncoming || s.Code < 100 || s.Code > 199 {
		return
	}
	t := c.taking
	if t.complete || t.reliable != nil && t.reliable.sdp != nil {
		sdp = nil // it has been answered, or offered
	}
	if s.Code == 100 {
		c.respond(t.ask, s)
		return
	}
	s.Headers = append([]sip.Header{sip.NewContact(c.contact), header("Allow", c.cfg.allow), header("Supported", c.cfg.supported)}, s.Headers...)
	if !t.must100 && (!t.can100 || len(sdp) == 0) {
		c.respond(t.ask, withSDP(s, sdp))
		return
	}
	r := &reliable{status: s, interval: c.cfg.T1}
	if len(sdp) > 0 {
		r.sdp = sdp
	}
	switch {
	case t.reliable == nil:
		c.sendReliable(r)
	case len(t.waiting) < maxWaiting:
		t.waiting = append(t.waiting, r)
	}
}

func (c *core) sendReliable(r *reliable) {
	t := c.taking
	r.status.Headers = append(r.status.Headers, header("Require", "100rel"), header("RSeq", strconv.FormatUint(uint64(t.rseq), 10)))
	t.reliable = r
	if r.sdp != nil {
		r.status = withSDP(r.status, r.sdp)
		c.offers.local, c.offers.answered = r.sdp, t.offered
		if t.offered {
			t.complete, c.offers.state = true, offerNone
		} else {
			c.offers.state = offerLocal
		}
	}
	c.respond(t.ask, r.status)
	c.arm(timerReliable, r.interval)
	c.arm(timerPRACK, c.t1(64))
}

func (c *core) reliableAgain() {
	t := c.taking
	if t == nil || t.reliable == nil {
		return
	}
	c.respond(t.ask, t.reliable.status)
	t.reliable.interval *= 2 // without the cap of T2 (RFC 3262 §3)
	c.arm(timerReliable, t.reliable.interval)
}

func (c *core) noPRACK() {
	if c.taking == nil || c.taking.reliable == nil {
		return
	}
	c.cause, c.refusal = ErrNoPRACK, sip.Status{Code: 504}
	c.move(cueEnd)
}

// pracked takes a PRACK (RFC 3262 §3).
func (c *core) pracked(in inRequest) {
	t := c.taking
	if t == nil || t.reliable == nil || !t.fits(sip.Value(in.req, "RAck")) {
		c.respond(in.ask, sip.Status{Code: 481})
		return
	}
	sdp := sdpOf(in.req)
	r := t.reliable
	t.reliable = nil
	t.rseq++
	c.stop(timerReliable)
	c.stop(timerPRACK)
	switch {
	case r.sdp != nil && !t.offered:
		t.complete, c.offers.state, c.offers.remote = true, offerNone, sdp
		c.respond(in.ask, sip.Status{Code: 200})
		c.tell(OfferAnswered{sdp})
	case sdp != nil && c.offers.state == offerNone:
		c.offered(in, sdp, true)
	default:
		c.respond(in.ask, sip.Status{Code: 200})
	}
	switch {
	case c.phase == phaseHeld:
		t.waiting = nil
		c.move(cuePRACK)
	case len(t.waiting) > 0:
		next := t.waiting[0]
		t.waiting = t.waiting[1:]
		if t.complete {
			next.sdp = nil
		}
		c.sendReliable(next)
	default:
		c.offerNow()
	}
}

// fits compares an RAck with what is expected.
func (t *taking) fits(rack string) bool {
	f := strings.Fields(rack)
	return len(f) == 3 && strings.EqualFold(f[2], "INVITE") &&
		f[0] == strconv.FormatUint(uint64(t.rseq), 10) && f[1] == strconv.FormatUint(uint64(t.cseq), 10)
}

// accept is Accept.
func (c *core) accept(sdp []byte) {
	if c.phase != phaseIncoming {
		return
	}
	c.taking.sdp = sdp
	if r := c.taking.reliable; r != nil && r.sdp != nil {
		c.move(cueHold)
		return
	}
	c.move(cueAccept)
}

// sendAccept sends the 2xx to the INVITE.
func (c *core) sendAccept() {
	t := c.taking
	sdp, offers := t.sdp, false
	switch {
	case t.complete:
		sdp = nil // it stands in a reliable response already
	case len(sdp) > 0 && t.offered:
		c.offers.state, c.offers.local, c.offers.answered = offerNone, sdp, true
	case len(sdp) > 0:
		c.offers.state, c.offers.local, c.offers.answered = offerLocal, sdp, false
		offers = true
	default:
		c.offers.state = offerNone
	}
	t.waiting = nil // a PRACK under way is answered nevertheless
	c.stop(timerRing)
	c.stop(timerReliable)
	c.stop(timerPRACK)
	c.sendOK(t.ask, t.cseq, sdp, t.expires, offers)
}

// sendOK sends a 2xx to an INVITE, and again until its ACK.
func (c *core) sendOK(ask ticket, cseq uint32, sdp []byte, expires sessionAnswer, offers bool) {
	if c.taking == nil {
		c.taking = &taking{}
	}
	t := c.taking
	t.ask, t.cseq, t.offers = ask, cseq, offers
	t.ok = sip.Status{Code: 200, Headers: append([]sip.Header{sip.NewContact(c.contact)}, c.capabilities()...)}
	t.ok.Headers = append(t.ok.Headers, c.session.grant(c, expires)...)
	t.ok = withSDP(t.ok, sdp)
	t.interval = c.cfg.T1
	c.respond(ask, t.ok)
	c.arm(timerAgain, t.interval)
	c.arm(timerACK, c.t1(64))
}

func (c *core) acceptAgain() {
	t := c.taking
	if t == nil || t.ok.Code == 0 {
		return
	}
	c.respond(t.ask, t.ok)
	t.interval = min(2*t.interval, c.cfg.T2)
	c.arm(timerAgain, t.interval)
}

// reject is Reject.
func (c *core) reject(s sip.Status) {
	if c.phase != phaseIncoming && c.phase != phaseHeld || s.Code < 300 || s.Code > 699 {
		return
	}
	c.refusal = s
	c.move(cueReject)
}

// ack takes the ACK of a 2xx of ours.
func (c *core) ack(req *sip.Request) {
	n, _ := sip.CSeq(req)
	t := c.taking
	if t == nil || t.ok.Code == 0 || n != t.cseq {
		return // a copy
	}
	c.acknowledged(sdpOf(req))
}

// acknowledged ends the sending of a 2xx. sdp answers what it offered.
func (c *core) acknowledged(sdp []byte) {
	first := c.phase == phaseAccepted || c.phase == phaseHanging
	offered := c.taking.offers
	c.taking = nil
	c.stop(timerAgain)
	c.stop(timerACK)
	if offered {
		c.offers.state, c.offers.remote = offerNone, sdp
	}
	if first {
		if c.move(cueACK)&actConfirmed != 0 {
			c.tell(Confirmed{answer(offered, sdp)})
			c.pump()
		}
	} else if offered && c.phase == phaseConfirmed {
		c.tell(OfferAnswered{sdp})
	}
	c.offerNow()
}

func answer(offered bool, sdp []byte) []byte {
	if offered {
		return sdp
	}
	return nil
}

// noACK: the peer may never have had the 2xx (RFC 3261 §13.3.1.4).
func (c *core) noACK() {
	if c.taking == nil || c.taking.ok.Code == 0 {
		return
	}
	c.taking = nil
	c.stop(timerAgain)
	if c.phase == phaseAccepted || c.phase == phaseHanging {
		if c.phase == phaseAccepted {
			c.cause = ErrNoACK
		}
		c.move(cueNoACK)
		return
	}
	c.end(ErrNoACK)
}

// cancelled is a CANCEL, of the INVITE or of a re-INVITE; sip/ua has answered both.
func (c *core) cancelled(in inCancel) {
	if in.ask == c.offers.ask && in.ask != nil {
		c.offers.ask, c.offers.state = nil, offerNone
		c.stop(timerAnswer)
		c.tell(Withdrawn{})
		c.offerNow()
		return
	}
	if c.taking == nil || c.taking.ask != in.ask {
		return
	}
	if c.phase == phaseConfirmed {
		// Our 2xx to a re-INVITE came too late and was not sent: no ACK will come. The owner's
		// session is the new one; let the next offer come before it, even if it is an old one.
		c.taking = nil
		c.stop(timerAgain)
		c.stop(timerACK)
		c.offers.state, c.offers.answered = offerNone, false
		c.tell(Withdrawn{})
		c.offerNow()
		return
	}
	c.byPeer, c.reasons, c.cause = true, sip.Reasons(in.req), ErrCancelled
	c.move(cueCancel)
}

package dialog

import (
	"errors"
	"slices"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// core is the machine of one leg. It knows no sockets, clock or randomness: inputs go into
// handle, effects are collected in out.
type core struct {
	cfg  *settings
	rand func() float64 // [0, 1)
	out  []effect

	phase    phase
	uac      bool
	callID   string
	local    sip.NameAddr // with our tag
	remote   sip.NameAddr // without a tag
	contact  sip.NameAddr // ours
	dlg      peer         // the dialog; its tag is "" before there is one
	way      ua.Target    // Credentials and TLSName of everything; Flow of what needs one
	cseq     uint32       // the last that we used
	peerSeq  uint32       // the last that the peer used
	peerSeen bool
	last     txID

	placing *placing // of our INVITE, until it is answered
	taking  *taking  // of the peer's INVITE, until its ACK
	acks    []acked

	offers  offers
	session session
	traffic traffic

	reasons []sip.Reason // given to End
	cause   error        // of the end
	byPeer  bool
	refusal sip.Status // of the peer's INVITE
	failure Failed
	told    bool   // the last event
	ackSDP  []byte // for the ACK that answers an offer
}

// txID names a request of ours within a leg; 0 is one whose outcome nobody wants.
type txID uint32

// ticket is a request of the peer that waits for its answer; *ua.Inbound is one.
type ticket interface {
	Respond(sip.Status) error
	Tag() string
}

// peer is the other end of a dialog.
type peer struct {
	tag    string
	target sip.URI
	routes []sip.NameAddr
	flow   ua.Flow
}

// input is what happens to a leg.
type input interface{ input() }

type (
	inRing struct {
		status sip.Status
		sdp    []byte
	}
	inAccept struct{ sdp []byte }
	inReject struct{ status sip.Status }
	inEnd    struct{ reasons []sip.Reason }
	inOffer  struct{ sdp []byte }
	inAnswer struct{ sdp []byte }
	inRefuse struct{ status sip.Status }
	inInfo   struct {
		contentType string
		body        []byte
		done        func(sip.Status)
	}
	inAnswerInfo struct{ status sip.Status }
	inRefer      struct {
		id      uint32
		to      sip.NameAddr
		headers []sip.Header
	}
	inAnswerRefer struct {
		id     uint32
		status sip.Status
	}
	inNotifyRefer struct {
		id     uint32
		status sip.Status
	}

	// inStart begins a leg: sends the INVITE, or takes it.
	inStart struct{ ask ticket }
	// inClose ends it because the layer is closed.
	inClose struct{}
	// inAbort ends it without a word to the peer.
	inAbort struct{}
	// inFlush carries out what was decided before the leg ran.
	inFlush   struct{}
	inRequest struct {
		req  *sip.Request
		ask  ticket
		flow ua.Flow // the way back, zero when requests go by route set and Contact
	}
	inACK    struct{ req *sip.Request }
	inCancel struct {
		req *sip.Request
		ask ticket // of the INVITE
	}
	inResponse struct {
		tx    txID
		res   *sip.Response
		err   error
		cseq  uint32       // of an INVITE as it was sent
		creds []sip.Header // of an INVITE
	}
	inTimer struct {
		timer timerID
		round uint8 // which setting of it
	}
)

func (inRing) input()        {}
func (inAccept) input()      {}
func (inReject) input()      {}
func (inEnd) input()         {}
func (inOffer) input()       {}
func (inAnswer) input()      {}
func (inRefuse) input()      {}
func (inInfo) input()        {}
func (inAnswerInfo) input()  {}
func (inRefer) input()       {}
func (inAnswerRefer) input() {}
func (inNotifyRefer) input() {}
func (inStart) input()       {}
func (inClose) input()       {}
func (inAbort) input()       {}
func (inFlush) input()       {}
func (inRequest) input()     {}
func (inACK) input()         {}
func (inCancel) input()      {}
func (inResponse) input()    {}
func (inTimer) input()       {}

// effect is what a leg does.
type effect interface{ effect() }

type (
	fxInvite struct {
		tx     txID
		req    *sip.Request
		target ua.Target
	}
	fxCancel struct {
		tx      txID
		headers []sip.Header
	}
	fxSend struct { // not INVITE, not ACK
		tx     txID
		req    *sip.Request
		target ua.Target
	}
	fxAck struct {
		req    *sip.Request
		target ua.Target
	}
	fxRespond struct {
		ask    ticket
		status sip.Status
	}
	fxTimer struct {
		timer timerID
		after time.Duration // 0 stops it
	}
	fxEvent struct{ event Event }
	fxCall  struct {
		f      func(sip.Status)
		status sip.Status
	}
	fxOver struct{}
)

func (fxInvite) effect()  {}
func (fxCancel) effect()  {}
func (fxSend) effect()    {}
func (fxAck) effect()     {}
func (fxRespond) effect() {}
func (fxTimer) effect()   {}
func (fxEvent) effect()   {}
func (fxCall) effect()    {}
func (fxOver) effect()    {}

// timerID names the timers of a leg.
type timerID uint8

const (
	timerRing     timerID = iota // the INVITE without a final response
	timerAgain                   // a 2xx of ours goes again (RFC 3261 §13.3.1.4)
	timerACK                     // it had no ACK
	timerReliable                // a reliable response goes again (RFC 3262 §3)
	timerPRACK                   // it had no PRACK
	timerAnswer                  // the owner has not answered an offer
	timerGlare                   // after a 491 (RFC 3261 §14.1)
	timerOffer                   // our re-INVITE has no final response
	timerRefresh                 // of the session (RFC 4028)
	timerExpire                  // of the session
	timerAcks                    // copies of a 2xx are over
	timerRefer                   // a REFER without NOTIFYs
	timerCount
)

func (c *core) do(e effect)                      { c.out = append(c.out, e) }
func (c *core) stop(t timerID)                   { c.do(fxTimer{t, 0}) }
func (c *core) respond(ask ticket, s sip.Status) { c.do(fxRespond{ask, s}) }
func (c *core) t1(n int) time.Duration           { return time.Duration(n) * c.cfg.T1 }
func (c *core) between(lo, hi float64) time.Duration { // seconds, in steps of 10 ms
	return time.Duration(lo*100+c.rand()*(hi-lo)*100) * 10 * time.Millisecond
}

// arm sets a timer. After the end only copies of a 2xx are waited for.
func (c *core) arm(t timerID, after time.Duration) {
	if !c.told || t == timerAcks {
		c.do(fxTimer{t, max(after, time.Millisecond)})
	}
}

// tell is silent when the last event was told: a response may come later than that.
func (c *core) tell(e Event) {
	if !c.told {
		c.do(fxEvent{e})
	}
}

func (c *core) tx() txID {
	c.last++
	return c.last
}

// handle takes one input.
func (c *core) handle(in input) {
	switch in := in.(type) {
	case inStart:
		c.begin(in.ask)
	case inRing:
		c.ring(in.status, in.sdp)
	case inAccept:
		c.accept(in.sdp)
	case inReject:
		c.reject(in.status)
	case inEnd:
		c.end(nil, in.reasons...)
	case inClose:
		c.end(ErrClosed)
	case inAbort:
		if c.phase != phaseEnded {
			c.phase, c.cause, c.byPeer = phaseEnded, ErrClosed, false
			c.over(nil)
		}
	case inOffer:
		if c.phase != phaseEnded && c.phase != phaseEnding {
			c.offers.wanted, c.offers.tries = in.sdp, 0
			c.offerNow()
		}
	case inAnswer:
		c.answer(in.sdp)
	case inRefuse:
		c.refuse(in.status)
	case inInfo:
		c.info(in)
	case inAnswerInfo:
		c.answerInfo(in.status)
	case inRefer:
		c.refer(in)
	case inAnswerRefer:
		c.answerRefer(in.id, in.status)
	case inNotifyRefer:
		c.notifyRefer(in.id, in.status)
	case inRequest:
		c.request(in)
	case inACK:
		c.ack(in.req)
	case inCancel:
		c.cancelled(in)
	case inResponse:
		c.response(in)
	case inTimer:
		c.expire(in.timer)
	}
}

func (c *core) begin(ask ticket) {
	if c.uac {
		c.phase = phaseInviting
		c.arm(timerRing, c.placing.ring)
		c.invite()
		return
	}
	c.phase = phaseIncoming
	c.taking.ask = ask
	c.arm(timerRing, c.cfg.Ring)
}

// move goes to the next phase and does what that takes.
func (c *core) move(q cue) act {
	to, do := advance(c.phase, q)
	c.phase = to
	if do&actCancel != 0 {
		c.do(fxCancel{c.placing.tx, reasonHeaders(c.reasons)})
	}
	if do&actAck != 0 {
		c.sendAck(c.ackSDP)
		c.ackSDP = nil
	}
	if do&actRefuse != 0 {
		c.respond(c.taking.ask, c.refusal)
	}
	if do&actAccept != 0 {
		c.sendAccept()
	}
	if do&(actBye|actParting) != 0 && c.offers.ask != nil {
		c.respond(c.offers.ask, sip.Status{Code: 487})
		c.offers.ask, c.offers.state = nil, offerNone
	}
	if do&actBye != 0 {
		c.traffic.bye = c.tx()
		c.bye(&c.dlg, c.traffic.bye)
	}
	if do&actParting != 0 {
		c.bye(&c.dlg, 0)
	}
	if do&actFailed != 0 {
		c.over(c.failure)
	}
	if do&actEnded != 0 {
		c.over(nil)
	}
	return do
}

// end is End, and every rule that ends a call.
func (c *core) end(cause error, reasons ...sip.Reason) {
	if c.phase == phaseEnded || c.phase == phaseEnding || c.phase == phaseCancelling || c.phase == phaseHanging {
		return
	}
	c.cause, c.reasons = cause, reasons
	c.refusal = sip.Status{Code: 480, Headers: reasonHeaders(reasons)}
	if errors.Is(cause, ErrClosed) {
		c.refusal.Code = 503
	}
	c.move(cueEnd)
}

// lost ends the call because the peer does not answer, or does not know it.
func (c *core) lost(q cue, cause error) {
	if c.phase.established() || c.phase == phaseEnding {
		if c.phase != phaseEnding {
			c.cause = cause
		}
		c.move(q)
	}
}

// over tells the last event, nil for Ended, and lets everything go.
func (c *core) over(last Event) {
	for t := range timerCount {
		c.stop(t)
	}
	c.release()
	if last == nil {
		ended := Ended{Cause: c.cause, ByPeer: c.byPeer}
		if c.byPeer {
			ended.Reasons = c.reasons
		}
		last = ended
	}
	if errors.Is(c.cause, ErrRing) && c.uac {
		last = Failed{Status: sip.Status{Code: 408}, Cause: ErrRing}
	}
	c.tell(last)
	c.told = true
	c.placing, c.taking = nil, nil
	c.do(fxOver{})
}

// release answers whatever waits on either side.
func (c *core) release() {
	gone := sip.Status{Code: 487}
	if ask := c.offers.ask; ask != nil {
		c.respond(ask, gone)
	}
	c.offers.ask = nil
	for _, ask := range c.traffic.infos {
		c.respond(ask, gone)
	}
	for _, r := range c.traffic.referred {
		if r.ask != nil {
			c.respond(r.ask, gone)
		}
	}
	for _, q := range append(slices.Clone(c.traffic.sent), c.traffic.queue...) {
		if q.done != nil {
			c.do(fxCall{q.done, sip.Status{Code: 481}})
		}
	}
	for _, r := range c.traffic.refers {
		c.tell(Notified{ID: r.id, Status: gone, Done: true})
	}
	if c.offers.wanted != nil || c.offers.sent != nil {
		c.offers.wanted, c.offers.sent = nil, nil
	}
	bye := c.traffic.bye
	c.traffic = traffic{bye: bye}
}

// expire is a timer.
func (c *core) expire(t timerID) {
	if c.phase == phaseEnded && t != timerAcks {
		return
	}
	switch t {
	case timerRing:
		if c.phase.early() && c.phase != phaseCancelling {
			c.cause = ErrRing
			c.refusal = sip.Status{Code: 480}
			c.move(cueRangOut)
		}
	case timerAgain:
		c.acceptAgain()
	case timerACK:
		c.noACK()
	case timerReliable:
		c.reliableAgain()
	case timerPRACK:
		c.noPRACK()
	case timerAnswer:
		c.noAnswer()
	case timerGlare:
		c.offers.waits = false
		c.offerNow()
	case timerOffer:
		if c.offers.tx != 0 {
			c.do(fxCancel{c.offers.tx, nil})
		}
	case timerRefresh:
		c.refresh()
	case timerExpire:
		c.lost(cueLost, ErrExpired)
	case timerAcks:
		c.acks = nil
	case timerRefer:
		c.referSilent()
	}
}

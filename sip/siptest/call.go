package siptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Phone is a [UA] that places and answers calls (RFC 3261 §12–15, RFC 3262). The session
// descriptions are the test's: the phone carries bytes and sends no media.
//
// Within a call it does by itself what every phone does: it ACKs, sends PRACK, repeats its 2xx
// until the ACK comes, answers BYE, CANCEL, INFO, NOTIFY, OPTIONS and PRACK with 200, REFER
// with 202, re-INVITE and UPDATE with CallConfig.Offered. A script given to [UA.Answer]
// afterwards comes before all that.
type Phone struct {
	*UA
	mu    sync.Mutex
	calls []*Call
}

// CallConfig says how a phone negotiates.
type CallConfig struct {
	// SDP is the offer of a call that is placed; nil: the peer shall offer.
	SDP []byte
	// Headers of the INVITE as "Name: value"; they replace those that it would have.
	Headers []string
	// Answer makes the answer to an offer in a response; nil: the ACK has no SDP.
	Answer func(offer []byte) []byte
	// Offered answers an offer within the call by a status and an SDP; offer is nil when the
	// peer wants one. Nil: 488.
	Offered func(offer []byte) (code int, sdp []byte)
}

// Call is one call of a [Phone].
type Call struct {
	phone  *Phone
	cfg    CallConfig
	tx     *Transaction // of a call that was placed
	invite *Incoming    // of one that came

	mu     sync.Mutex
	local  string // From of the phone's requests
	remote string // To of them
	target string // remote Contact
	routes []string
	sdp    []byte // the last that the peer sent
	rseq   int
	pracks []string // RSeqs that had their PRACK
	acked  bool     // the 2xx of a placed call
	ended  *Message
	wake   chan struct{} // closed at the next change
}

const phoneAllow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY"

// NewPhone opens the sockets of a phone. Config.Proxy is needed for everything that the
// phone begins, hanging up included.
func NewPhone(cfg Config) (*Phone, error) {
	u, err := New(cfg)
	if err != nil {
		return nil, err
	}
	p := &Phone{UA: u}
	u.Answer(func(m *Message) bool { return p.find(m) != nil }, Answer{run: p.serve})
	return p, nil
}

// StartPhone is NewPhone for tests, as [Start] is for [New].
func StartPhone(t TB, cfg Config) *Phone {
	t.Helper()
	p, err := NewPhone(cfg)
	if err != nil {
		t.Fatalf("siptest: start: %v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// find is the call that a request belongs to.
func (p *Phone) find(m *Message) *Call {
	if !m.IsRequest() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.owns(m) {
			return c
		}
	}
	return nil
}

func (c *Call) owns(m *Message) bool {
	if c.invite != nil && m.Method == "CANCEL" {
		return m.Branch() == c.invite.Branch()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tag, _ := headerParam(c.local, "tag")
	return m.Get("Call-ID") == c.id() && m.Tag("To") == tag
}

func (c *Call) id() string {
	if c.tx != nil {
		return c.tx.Request.Get("Call-ID")
	}
	return c.invite.Get("Call-ID")
}

func (p *Phone) add(c *Call) *Call {
	c.phone, c.wake = p, make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) >= memorySize {
		p.calls = p.calls[len(p.calls)/2:]
	}
	p.calls = append(p.calls, c)
	return c
}

// Call places a call and returns when the INVITE is sent; see [Call.Wait].
func (p *Phone) Call(to string, cfg CallConfig) (*Call, error) {
	req := p.NewRequest("INVITE", to, append([]string{
		"Contact: <" + p.ContactURI() + ">", "Allow: " + phoneAllow,
		"Supported: 100rel, timer, replaces",
	}, cfg.Headers...)...)
	if cfg.SDP != nil {
		req.Set("Content-Type", "application/sdp")
		req.Body = cfg.SDP
	}
	tx, err := p.Send(req)
	if err != nil {
		return nil, err
	}
	c := p.add(&Call{cfg: cfg, tx: tx, local: req.Get("From"), remote: req.Get("To"), target: to})
	p.wg.Go(c.follow)
	return c, nil
}

// follow deals with the responses of a call that was placed.
func (c *Call) follow() {
	seen := 0
	for {
		c.tx.mu.Lock()
		list, wake := c.tx.responses[seen:], c.tx.wake
		c.tx.mu.Unlock()
		for _, res := range list {
			seen++
			c.response(res)
		}
		if len(list) > 0 {
			c.change(func() {})
			continue
		}
		select {
		case <-wake:
		case <-c.phone.done:
			return
		}
	}
}

func (c *Call) response(res *Message) {
	switch {
	case res.Status < 200 && res.Tag("To") != "":
		c.change(func() { c.learn(res) })
		if res.Has("RSeq") && slices.Contains(res.List("Require"), "100rel") {
			n, _ := res.CSeq()
			var sdp []byte
			if c.cfg.SDP == nil && len(res.Body) > 0 && c.cfg.Answer != nil {
				sdp = c.cfg.Answer(res.Body)
			}
			_, _ = c.send("PRACK", sdp, fmt.Sprintf("RAck: %s %d INVITE", res.Get("RSeq"), n))
		}
	case res.Status/100 == 2:
		var sdp []byte
		if c.cfg.SDP == nil && c.cfg.Answer != nil {
			sdp = c.cfg.Answer(res.Body)
		}
		c.change(func() { c.learn(res) })
		c.ack(res, sdp)
		c.change(func() { c.acked = true })
	}
}

// learn takes what a message of the peer says about the dialog; c.mu is held.
func (c *Call) learn(m *Message) {
	if len(m.Body) > 0 && strings.HasPrefix(strings.ToLower(m.Get("Content-Type")), "application/sdp") {
		c.sdp = m.Body
	}
	if uri := m.URI("Contact"); uri != "" {
		c.target = uri
	}
	if m.Status > 100 {
		c.remote = m.Get("To")
		if routes := m.List("Record-Route"); len(routes) > 0 {
			slices.Reverse(routes)
			c.routes = routes
		}
	}
}

func (c *Call) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.wake)
	c.wake = make(chan struct{})
}

// await waits until check says true.
func (c *Call) await(ctx context.Context, what string, check func() bool) error {
	for {
		c.mu.Lock()
		ok, wake := check(), c.wake
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-wake:
		case <-c.phone.done:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("siptest: no %s in call %s: %w", what, c.id(), ctx.Err())
		}
	}
}

// ack sends the ACK of a 2xx.
func (c *Call) ack(res *Message, sdp []byte) {
	n, _ := res.CSeq()
	req := c.request("ACK", n)
	if sdp != nil {
		req.Set("Content-Type", "application/sdp")
		req.Body = sdp
	}
	_, _ = c.phone.Send(req)
}

// request builds a request in the call's dialog; seq 0 is the next number.
func (c *Call) request(method string, seq uint32) *Message {
	if seq == 0 {
		seq = c.phone.cseq.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &Message{Method: method, RequestURI: c.target}
	m.Add("Max-Forwards", "70").Add("From", c.local).Add("To", c.remote).Add("Call-ID", c.id())
	m.Add("CSeq", fmt.Sprintf("%d %s", seq, method))
	for _, r := range c.routes {
		m.Add("Route", r)
	}
	switch method {
	case "INVITE", "UPDATE", "REFER", "NOTIFY":
		m.Add("Contact", "<"+c.phone.ContactURI()+">")
	}
	return m
}

func (c *Call) send(method string, sdp []byte, headers ...string) (*Transaction, error) {
	req := c.request(method, 0)
	if sdp != nil {
		req.Set("Content-Type", "application/sdp")
		req.Body = sdp
	}
	req.setLines(headers)
	return c.phone.Send(req)
}

// Wait returns the final response to a call that was placed; a 2xx has been ACKed.
func (c *Call) Wait(ctx context.Context) (*Message, error) {
	if c.tx == nil {
		return nil, errors.New("siptest: the call was not placed here")
	}
	res, err := c.tx.Wait(ctx)
	if err == nil && res.Status/100 == 2 {
		err = c.await(ctx, "ACK", func() bool { return c.acked })
	}
	return res, err
}

// Progress waits for a provisional response of that code.
func (c *Call) Progress(ctx context.Context, code int) (*Message, error) {
	var found *Message
	err := c.await(ctx, fmt.Sprint(code), func() bool {
		for _, res := range c.tx.Responses() {
			if res.Status == code {
				found = res
			}
		}
		return found != nil
	})
	return found, err
}

// Invite is the INVITE, of either direction.
func (c *Call) Invite() *Message {
	if c.tx != nil {
		return c.tx.Request
	}
	return c.invite.Message
}

// SDP is the last session description that the peer sent, nil before the first.
func (c *Call) SDP() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sdp
}

// Reject refuses the call.
func (c *Call) Reject(code int, headers ...string) error { return c.invite.Respond(code, headers...) }

// Cancel sends the CANCEL of a call that was placed.
func (c *Call) Cancel(headers ...string) error {
	m := c.tx.ack(&Message{Headers: []Header{{"To", c.tx.Request.Get("To")}}})
	n, _ := c.tx.Request.CSeq()
	m.Method = "CANCEL"
	m.Set("CSeq", fmt.Sprintf("%d CANCEL", n))
	m.setLines(headers)
	_, err := c.phone.Send(m)
	return err
}

// Do sends a request within the call and returns its final response; the 2xx to a re-INVITE
// has been ACKed. Headers may hold a Content-Type for the body; an SDP is the default.
func (c *Call) Do(ctx context.Context, method string, body []byte, headers ...string) (*Message, error) {
	tx, err := c.send(method, body, headers...)
	if err != nil {
		return nil, err
	}
	res, err := tx.Wait(ctx)
	if err != nil || res.Status/100 != 2 || method != "INVITE" && method != "UPDATE" {
		return res, err
	}
	c.change(func() { c.learn(res) })
	if method == "INVITE" {
		var sdp []byte
		if body == nil && c.cfg.Answer != nil {
			sdp = c.cfg.Answer(res.Body)
		}
		c.ack(res, sdp)
	}
	return res, nil
}

// Hangup sends BYE and returns its answer.
func (c *Call) Hangup(ctx context.Context, headers ...string) (*Message, error) {
	return c.Do(ctx, "BYE", nil, headers...)
}

// Ended waits for the BYE or the CANCEL of the peer.
func (c *Call) Ended(ctx context.Context) (*Message, error) {
	err := c.await(ctx, "BYE", func() bool { return c.ended != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended, err
}

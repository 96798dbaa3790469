package siptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Incoming waits for the next call.
func (p *Phone) Incoming(ctx context.Context, cfg CallConfig) (*Call, error) {
	in, err := p.Expect(ctx, func(m *Message) bool { return m.Method == "INVITE" && m.Tag("To") == "" })
	if err != nil {
		return nil, err
	}
	c := &Call{cfg: cfg, invite: in, local: in.Get("To") + ";tag=" + in.tag, remote: in.Get("From"), routes: in.List("Record-Route")}
	c.learn(in.Message)
	c.rseq = 100
	return p.add(c), nil
}

// Ring sends a provisional response, with an SDP or without. When headers have
// "Require: 100rel" it is reliable: it gets an RSeq and is repeated until the PRACK.
func (c *Call) Ring(code int, sdp []byte, headers ...string) error {
	res := c.answer(c.invite, code, sdp, headers...)
	if res.Get("Require") != "100rel" {
		return c.invite.Send(res)
	}
	c.mu.Lock()
	c.rseq++
	rseq := fmt.Sprint(c.rseq)
	res.Set("RSeq", rseq)
	c.mu.Unlock()
	if err := c.invite.Send(res); err != nil {
		return err
	}
	c.phone.wg.Go(func() {
		for wait := c.phone.cfg.T1; wait < 64*c.phone.cfg.T1; wait *= 2 {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			err := c.await(ctx, "PRACK", func() bool { return slices.Contains(c.pracks, rseq) })
			cancel()
			if err == nil || errors.Is(err, ErrClosed) {
				return
			}
			_ = c.invite.SendRaw(res.Bytes())
		}
	})
	return nil
}

func (c *Call) answer(in *Incoming, code int, sdp []byte, headers ...string) *Message {
	res := in.Response(code, "Contact: <"+c.phone.ContactURI()+">", "Allow: "+phoneAllow)
	for _, r := range in.List("Record-Route") {
		res.Add("Record-Route", r)
	}
	res.setLines(headers)
	if sdp != nil {
		res.Set("Content-Type", "application/sdp")
		res.Body = sdp
	}
	return res
}

// Accept answers the call with 200 and an SDP and repeats that until the ACK, which
// [Call.Confirmed] waits for.
func (c *Call) Accept(sdp []byte, headers ...string) error {
	return c.accept(c.invite, sdp, headers...)
}

func (c *Call) accept(in *Incoming, sdp []byte, headers ...string) error {
	res := c.answer(in, 200, sdp, headers...)
	if err := in.Send(res); err != nil {
		return err
	}
	raw := res.Bytes()
	c.phone.wg.Go(func() {
		end := time.Now().Add(64 * c.phone.cfg.T1)
		for wait := c.phone.cfg.T1; time.Now().Before(end); wait = min(2*wait, 8*c.phone.cfg.T1) {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			_, err := c.acknowledged(ctx, in)
			cancel()
			if err == nil || errors.Is(err, ErrClosed) {
				return
			}
			_ = in.SendRaw(raw)
		}
	})
	return nil
}

// acknowledged finds the ACK of a 2xx and leaves it for others.
func (c *Call) acknowledged(ctx context.Context, in *Incoming) (*Message, error) {
	want, _ := in.CSeq()
	for {
		c.phone.UA.mu.Lock()
		for _, m := range c.phone.inbox {
			if n, _ := m.CSeq(); m.Method == "ACK" && n == want && m.Get("Call-ID") == c.id() {
				c.phone.UA.mu.Unlock()
				c.change(func() { c.learn(m.Message) })
				return m.Message, nil
			}
		}
		wake := c.phone.wake
		c.phone.UA.mu.Unlock()
		select {
		case <-wake:
		case <-c.phone.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("siptest: no ACK in call %s: %w", c.id(), ctx.Err())
		}
	}
}

// Confirmed waits for the ACK of a call that came in and was accepted.
func (c *Call) Confirmed(ctx context.Context) (*Message, error) { return c.acknowledged(ctx, c.invite) }

// serve answers a request within a call.
func (p *Phone) serve(in *Incoming) {
	c := p.find(in.Message)
	if c == nil {
		_ = in.Respond(481)
		return
	}
	switch in.Method {
	case "BYE":
		_ = in.Respond(200)
		c.change(func() { c.ended = in.Message })
	case "CANCEL":
		_ = in.Respond(200)
		_ = c.invite.Respond(487)
		c.change(func() { c.ended = in.Message })
	case "PRACK":
		_ = in.Respond(200)
		rseq, _, _ := strings.Cut(in.Get("RAck"), " ")
		c.change(func() {
			c.learn(in.Message)
			c.pracks = append(c.pracks, rseq)
		})
	case "INVITE", "UPDATE":
		c.offered(in)
	case "REFER":
		_ = in.Respond(202, "Contact: <"+p.ContactURI()+">")
	default:
		_ = in.Respond(200)
	}
}

// offered answers a re-INVITE or an UPDATE.
func (c *Call) offered(in *Incoming) {
	c.change(func() { c.learn(in.Message) })
	if in.Method == "UPDATE" && len(in.Body) == 0 {
		_ = in.Send(c.answer(in, 200, nil))
		return
	}
	if c.cfg.Offered == nil {
		_ = in.Respond(488)
		return
	}
	code, sdp := c.cfg.Offered(in.Body)
	switch {
	case code/100 != 2:
		_ = in.Respond(code)
	case in.Method == "INVITE":
		_ = c.accept(in, sdp)
	default:
		_ = in.Send(c.answer(in, code, sdp))
	}
}

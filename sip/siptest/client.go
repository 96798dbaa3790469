package siptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ErrTimeout is returned when no final response came within 64*T1 (UDP).
var ErrTimeout = errors.New("siptest: no final response")

// NewRequest builds a request from the phone. Headers are given as "Name: value"
// and replace those that it would have; "Name:" leaves one out. The Via is added
// when the request is sent, unless it has one.
func (u *UA) NewRequest(method, uri string, headers ...string) *Message {
	m := &Message{Method: method, RequestURI: uri}
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+u.cfg.AOR+">;tag="+token(6))
	m.Add("To", "<"+strings.SplitN(uri, ";", 2)[0]+">")
	m.Add("Call-ID", token(10)+"@siptest")
	m.Add("CSeq", fmt.Sprintf("%d %s", u.cseq.Add(1), method))
	m.setLines(headers)
	return m
}

// Transaction is one request that the phone has sent.
type Transaction struct {
	Request *Message
	ua      *UA
	link    link
	raw     []byte

	mu        sync.Mutex
	responses []*Message
	final     *Message
	wake      chan struct{}
	quiet     bool // a provisional response came: retransmit at T2 only
	stopped   chan struct{}
	once      sync.Once
}

// Send starts a transaction: over UDP the request is repeated until a final
// response comes or 64*T1 have passed.
func (u *UA) Send(req *Message) (*Transaction, error) {
	l, err := u.proxy()
	if err != nil {
		return nil, err
	}
	req = req.clone()
	if !req.Has("Via") {
		via := Header{"Via", fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%s;rport", l.transport(), u.sentBy, token(8))}
		req.Headers = append([]Header{via}, req.Headers...)
	}
	tx := &Transaction{Request: req, ua: u, link: l, raw: req.Bytes(), wake: make(chan struct{}), stopped: make(chan struct{})}
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil, ErrClosed
	}
	u.clients.put(req.Branch()+" "+req.Method, tx)
	u.mu.Unlock()
	if err := l.send(tx.raw); err != nil {
		return nil, err
	}
	if l.transport() == "UDP" && req.Method != "ACK" {
		u.wg.Go(tx.retransmit)
	}
	return tx, nil
}

// retransmit carries timers E and F (A and B for INVITE) of RFC 3261 §17.1.
func (tx *Transaction) retransmit() {
	t1 := tx.ua.cfg.T1
	t2 := 8 * t1
	end := time.NewTimer(64 * t1)
	defer end.Stop()
	wait := t1
	again := time.NewTimer(wait)
	defer again.Stop()
	for {
		select {
		case <-tx.ua.done:
			return
		case <-tx.stopped:
			return
		case <-end.C:
			tx.stop()
			return
		case <-again.C:
			tx.mu.Lock()
			quiet := tx.quiet
			tx.mu.Unlock()
			if tx.Request.Method == "INVITE" && quiet {
				return
			}
			if wait *= 2; wait > t2 || quiet {
				wait = t2
			}
			_ = tx.link.send(tx.raw)
			again.Reset(wait)
		}
	}
}

func (tx *Transaction) stop() { tx.once.Do(func() { close(tx.stopped) }) }

// Wait returns the final response.
func (tx *Transaction) Wait(ctx context.Context) (*Message, error) {
	for {
		tx.mu.Lock()
		final, wake := tx.final, tx.wake
		tx.mu.Unlock()
		if final != nil {
			return final, nil
		}
		select {
		case <-wake:
		case <-tx.stopped:
			tx.mu.Lock()
			final = tx.final
			tx.mu.Unlock()
			if final == nil {
				return nil, fmt.Errorf("%w: %s", ErrTimeout, tx.Request.title())
			}
		case <-tx.ua.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s: %w", ErrTimeout, tx.Request.title(), ctx.Err())
		}
	}
}

// Responses returns everything that came for the request, repeats included.
func (tx *Transaction) Responses() []*Message {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return append([]*Message(nil), tx.responses...)
}

// take stores a response of the transaction.
func (tx *Transaction) take(res *Message) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.responses = append(tx.responses, res)
	tx.quiet = true
	if res.Status >= 200 {
		switch {
		case tx.final == nil:
			tx.final = res
			tx.stop()
			if tx.Request.Method == "INVITE" && res.Status >= 300 {
				_ = tx.link.send(tx.ack(res).Bytes())
			}
		case !bytes.Equal(tx.final.Raw, res.Raw):
			tx.ua.check.add("%s: repeated final response differs from the first", res.title())
		}
	}
	close(tx.wake)
	tx.wake = make(chan struct{})
}

// ack is the ACK of RFC 3261 §17.1.1.3.
func (tx *Transaction) ack(res *Message) *Message {
	n, _ := tx.Request.CSeq()
	m := &Message{Method: "ACK", RequestURI: tx.Request.RequestURI}
	m.Add("Via", tx.Request.List("Via")[0]).Add("Max-Forwards", "70").Add("From", tx.Request.Get("From"))
	m.Add("To", res.Get("To")).Add("Call-ID", tx.Request.Get("Call-ID")).Add("CSeq", fmt.Sprintf("%d ACK", n))
	for _, r := range tx.Request.Values("Route") {
		m.Add("Route", r)
	}
	return m
}

func (u *UA) receiveResponse(l link, m *Message, faults []string) {
	_, method := m.CSeq()
	u.mu.Lock()
	tx, ok := u.clients.get(m.Branch() + " " + method)
	u.mu.Unlock()
	if !ok {
		u.check.faults(m, faults)
		u.check.add("%s: stray response, branch %q is of no request sent", m.title(), m.Branch())
		u.deliver(&Incoming{Message: m, ua: u, link: l})
		return
	}
	u.check.response(tx, l, m, faults)
	tx.take(m)
}

// Do sends a request and returns its final response. With credentials a
// challenge is answered once, a stale nonce once more; the request's CSeq grows
// each time.
func (u *UA) Do(ctx context.Context, req *Message) (*Message, error) {
	if u.cfg.ReuseNonce && u.cfg.Credentials.User != "" {
		req = u.preauthorize(req)
	}
	for try := 0; ; try++ {
		tx, err := u.Send(req)
		if err != nil {
			return nil, err
		}
		res, err := tx.Wait(ctx)
		if err != nil {
			return nil, err
		}
		if res.Status != 401 && res.Status != 407 || u.cfg.Credentials.User == "" {
			return res, nil
		}
		stale := strings.Contains(strings.ToLower(res.Get("WWW-Authenticate")+res.Get("Proxy-Authenticate")), "stale=true")
		had := req.Has("Authorization") || req.Has("Proxy-Authorization")
		if try >= 2 || had && !stale {
			return res, nil
		}
		u.mu.Lock()
		u.challenge, u.nonceCount = res, 1
		u.mu.Unlock()
		h, err := Authorize(res, u.cfg.Credentials, req.Method, req.RequestURI, 1)
		if err != nil {
			return nil, err
		}
		req = req.clone().Set(h.Name, h.Value).Set("CSeq", fmt.Sprintf("%d %s", u.cseq.Add(1), req.Method))
	}
}

func (u *UA) preauthorize(req *Message) *Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.challenge == nil {
		return req
	}
	u.nonceCount++
	h, err := Authorize(u.challenge, u.cfg.Credentials, req.Method, req.RequestURI, u.nonceCount)
	if err != nil {
		return req
	}
	return req.clone().Set(h.Name, h.Value)
}

// Register registers the phone's contact for the given seconds; further headers
// replace those made here ("Contact: *", "Expires: 0").
func (u *UA) Register(ctx context.Context, seconds int, headers ...string) (*Message, error) {
	return u.Do(ctx, u.RegisterRequest(seconds, headers...))
}

// RegisterRequest is the request that [UA.Register] sends. All of a phone's
// REGISTER requests share one Call-ID (RFC 3261 §10.2).
func (u *UA) RegisterRequest(seconds int, headers ...string) *Message {
	aor := u.cfg.AOR
	host, port := uriHost(aor)
	if port != "" {
		host += ":" + port
	}
	contact := "<" + u.ContactURI() + ">"
	req := u.NewRequest("REGISTER", "sip:"+host)
	req.Set("To", "<"+aor+">").Set("Call-ID", u.registerCallID).Set("Expires", fmt.Sprint(seconds))
	if u.cfg.Instance != "" {
		contact += `;+sip.instance="<` + u.cfg.Instance + `>"`
		if u.cfg.RegID > 0 {
			contact += fmt.Sprintf(";reg-id=%d", u.cfg.RegID)
		}
		req.Set("Supported", "path, outbound, gruu")
	}
	req.Set("Contact", contact)
	req.setLines(headers)
	return req
}

// Unregister removes the phone's contact.
func (u *UA) Unregister(ctx context.Context) (*Message, error) { return u.Register(ctx, 0) }

// Message sends a MESSAGE with a text body (text/plain in UTF-8) and returns the
// final response.
func (u *UA) Message(ctx context.Context, to, text string, headers ...string) (*Message, error) {
	req := u.NewRequest("MESSAGE", to, append([]string{"Content-Type: text/plain;charset=UTF-8"}, headers...)...)
	req.Body = []byte(text)
	return u.Do(ctx, req)
}

package siptest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
)

// ErrAnswered is returned for a second final response to one request.
var ErrAnswered = errors.New("siptest: request has a final response already")

// Incoming is a received message; a request can be answered.
type Incoming struct {
	*Message
	ua   *UA
	link link
	tag  string

	mu     sync.Mutex
	final  bool
	last   []byte // last response, for retransmitted requests
	copies int    // each response is sent so often (0 = once)
}

// Respond answers the request; headers are given as "Name: value" and replace
// those that the response would have.
func (in *Incoming) Respond(code int, headers ...string) error {
	return in.Send(in.Response(code, headers...))
}

// Response builds the answer without sending it.
func (in *Incoming) Response(code int, headers ...string) *Message {
	res := &Message{Status: code, Reason: reasonPhrase(code)}
	for i, via := range in.List("Via") {
		if i == 0 {
			via = in.receivedVia(via)
		}
		res.Headers = append(res.Headers, Header{"Via", via})
	}
	to := in.Get("To")
	if code > 100 && in.Tag("To") == "" {
		to += ";tag=" + in.tag
	}
	res.Add("From", in.Get("From")).Add("To", to).Add("Call-ID", in.Get("Call-ID")).Add("CSeq", in.Get("CSeq"))
	res.setLines(headers)
	return res
}

// Send sends a response to the request, the last of which is repeated for
// retransmissions. Everything after a final response is refused.
func (in *Incoming) Send(res *Message) error {
	if !in.IsRequest() {
		return errors.New("siptest: a response cannot be answered")
	}
	raw := res.Bytes()
	in.mu.Lock()
	if in.final {
		in.mu.Unlock()
		return ErrAnswered
	}
	in.final = res.Status >= 200
	in.last = raw
	copies := max(in.copies, 1)
	in.mu.Unlock()
	if res.Status >= 200 {
		in.ua.check.answered(in.Message, res.Status)
	}
	for range copies {
		if err := in.link.send(raw); err != nil {
			return err
		}
	}
	return nil
}

// SendRaw sends bytes to where the response would go; the request stays unanswered.
func (in *Incoming) SendRaw(raw []byte) error { return in.link.send(raw) }

// receivedVia adds received and rport to the top Via (RFC 3581 §4).
func (in *Incoming) receivedVia(via string) string {
	host, port, err := net.SplitHostPort(in.Source)
	if err != nil {
		return via
	}
	if v, ok := headerParam(via, "rport"); !ok || v != "" {
		return via
	}
	parts := splitOutside(via, ';')
	for i, p := range parts {
		if strings.EqualFold(p, "rport") {
			parts[i] = "rport=" + port
		}
	}
	return strings.Join(parts, ";") + ";received=" + host
}

// rule is one answer script.
type rule struct {
	match   Match
	answers []Answer
}

// Answer scripts what the phone says to requests that match: the first request
// gets the first answer and so on, the last answer is repeated. Later rules come
// before earlier ones. A request without a rule waits for [Incoming.Respond].
func (u *UA) Answer(match Match, answers ...Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rules = append([]*rule{{match, answers}}, u.rules...)
}

// Forget removes all answer scripts.
func (u *UA) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rules = nil
}

// next finds the answer for a request; nil leaves it to the test. dropped means
// that this arrival is to be lost.
func (u *UA) nextLocked(m *Message) (a *Answer, dropped bool) {
	for _, r := range u.rules {
		if len(r.answers) == 0 || !r.match(m) {
			continue
		}
		head := &r.answers[0]
		if head.drop != 0 {
			if head.drop > 0 {
				if head.drop--; head.drop == 0 && len(r.answers) > 1 {
					r.answers = r.answers[1:]
				} else if head.drop == 0 {
					r.answers = nil
				}
			}
			return nil, true
		}
		if len(r.answers) > 1 {
			r.answers = r.answers[1:]
		}
		return head, false
	}
	return nil, false
}

// transactionKey identifies a request and its retransmissions (RFC 3261 §17.2.3).
func transactionKey(m *Message) string {
	vias := m.List("Via")
	if len(vias) == 0 {
		return m.Get("Call-ID") + " " + m.Get("CSeq")
	}
	head, _, _ := strings.Cut(vias[0], ";")
	method := m.Method
	if method == "ACK" {
		method = "INVITE"
	}
	return strings.ToLower(m.Branch()+" "+head) + " " + method
}

func (u *UA) receiveRequest(l link, m *Message, faults []string) {
	key := transactionKey(m)
	u.mu.Lock()
	prior, seen := u.servers.get(key)
	u.mu.Unlock()
	if seen && m.Method == "ACK" { // for a final response that is not 2xx: part of the INVITE
		return
	}
	if seen {
		u.absorbed.Add(1)
		if m.Transport != "UDP" {
			u.check.add("%s: retransmitted over %s", m.title(), m.Transport)
		} else if !bytes.Equal(m.Raw, prior.Raw) {
			u.check.add("%s: retransmission differs from the first copy", m.title())
		}
		prior.mu.Lock()
		again := prior.last
		prior.mu.Unlock()
		if again != nil {
			_ = l.send(again)
		}
		return
	}
	u.check.request(key, m, faults)
	in := &Incoming{Message: m, ua: u, link: l, tag: token(6)}
	u.mu.Lock()
	answer, dropped := u.nextLocked(m)
	if dropped || u.closed {
		u.mu.Unlock()
		return
	}
	u.servers.put(key, in)
	if m.Method != "ACK" && answer == nil && u.cfg.Auto {
		answer = autoAnswer(m)
	}
	u.mu.Unlock()
	u.deliver(in)
	if answer != nil && m.Method != "ACK" {
		u.wg.Go(func() { answer.run(in) })
	}
}

func autoAnswer(m *Message) *Answer {
	switch m.Method {
	case "MESSAGE":
		a := Status(200)
		return &a
	case "OPTIONS":
		a := Status(200, "Allow: MESSAGE, OPTIONS", "Accept: text/plain")
		return &a
	}
	a := Status(501)
	return &a
}

var reasonPhrases = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
	302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout",
	413: "Request Entity Too Large", 415: "Unsupported Media Type", 420: "Bad Extension",
	423: "Interval Too Brief", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
	486: "Busy Here", 488: "Not Acceptable Here", 489: "Bad Event", 500: "Server Internal Error",
	501: "Not Implemented", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}

func reasonPhrase(code int) string {
	if p, ok := reasonPhrases[code]; ok {
		return p
	}
	return fmt.Sprintf("Status %d", code)
}

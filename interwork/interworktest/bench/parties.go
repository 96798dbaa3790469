package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

const (
	callPatience = 20 * time.Second // for any step of a call
	repeatAfter  = 500 * time.Millisecond
)

// parties are all users of both sides: Jabber users behind one server and telephones
// behind one socket. Call n is between mira<n> and otto<n>, so every stanza and every SIP
// message says what call it belongs to.
type parties struct {
	server *xmpptest.Server
	sip    *net.UDPConn
	proxy  *net.UDPAddr // the gateway
	tokens atomic.Uint64

	mu       sync.Mutex
	calls    map[int]*inboxes
	repeated int // SIP requests of the gateway that came twice
}

// inboxes are what came for one call.
type inboxes struct {
	stanzas  chan stanzaCame
	messages chan *siptest.Message
	replies  map[string][]byte // what each request of the gateway was answered, by branch

	// Of the call's own goroutine: what came while it waited for the other side.
	early    []stanzaCame
	earlySIP []*siptest.Message
	ending   bool // the call is being ended by us: then the end is no surprise
}

type stanzaCame struct {
	from    xmpp.JID
	iq      *xmpp.IQ        // an answer
	action  *jingle.Jingle  // or an action, which has its answer
	message *jingle.Message // or a Jingle message
	bounce  *xmpp.StanzaError
}

func newParties() (*parties, error) {
	p := &parties{calls: make(map[int]*inboxes)}
	p.server = xmpptest.NewServer(xmpptest.Config{Domain: "sip.bench.example", Secret: "secret", Hosts: []string{"chat.bench.example"}})
	if err := p.server.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	var err error
	if p.sip, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		p.server.Close()
		return nil, err
	}
	_ = p.sip.SetReadBuffer(8 << 20) // best effort
	p.server.OnStanza(p.stanza)
	go p.readSIP()
	return p, nil
}

func (p *parties) close() {
	p.server.Close()
	_ = p.sip.Close()
}

func (p *parties) join(n int) *inboxes {
	b := &inboxes{stanzas: make(chan stanzaCame, 64), messages: make(chan *siptest.Message, 64), replies: make(map[string][]byte)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[n] = b
	return b
}

func (p *parties) leave(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, n)
}

func (p *parties) find(n int) *inboxes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[n]
}

func (p *parties) token() string { return strconv.FormatUint(p.tokens.Add(1), 36) }

// number reads the number of the call out of an address.
func number(text, name string) (int, bool) {
	_, rest, ok := strings.Cut(text, name)
	if !ok {
		return 0, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, err := strconv.Atoi(rest[:end])
	return n, err == nil
}

// stanza takes what the gateway sends to a Jabber user, and answers actions at once.
func (p *parties) stanza(e *xmpp.Element) {
	n, ok := number(e.Attribute("to"), "mira")
	if !ok {
		return
	}
	st, err := xmpp.ParseStanza(e)
	if err != nil {
		return
	}
	var came stanzaCame
	switch st := st.(type) {
	case *xmpp.IQ:
		came = p.takeIQ(st)
	case *xmpp.Message:
		came.from = st.From
		if _, _, ok := jingle.Bounced(st); ok {
			came.bounce = st.Error
		} else if m, ok, err := jingle.FromMessage(st); ok && err == nil {
			came.message = m
		}
	}
	if came.iq == nil && came.action == nil && came.message == nil && came.bounce == nil {
		return
	}
	if b := p.find(n); b != nil {
		select {
		case b.stanzas <- came:
		default:
		}
	}
}

func (p *parties) takeIQ(iq *xmpp.IQ) stanzaCame {
	came := stanzaCame{from: iq.From}
	switch {
	case !iq.IsRequest():
		came.iq = iq
	case iq.Type == xmpp.IQSet && jingle.Is(iq.Payload):
		j, err := jingle.ParseIQ(iq)
		if err != nil {
			p.inject(iq.ErrorReply(*xmpp.NewStanzaError(xmpp.ConditionBadRequest, err.Error())))
			break
		}
		came.action = j
		p.inject(iq.Result(nil))
	default:
		p.inject(iq.ErrorReply(*xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, "")))
	}
	return came
}

func (p *parties) inject(s interface{ Append(dst []byte) []byte }) {
	_ = p.server.Inject(s.Append(nil)) // fails only when the link is gone; then calls fail
}

func (p *parties) readSIP() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := p.sip.ReadFromUDP(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		m, _, err := siptest.Parse(append([]byte(nil), buf[:n]...))
		if err == nil {
			p.message(m, from)
		}
	}
}

// message takes what the gateway sends to a telephone. BYE and what nobody waits for is
// answered at once; INVITE is for the call to answer.
func (p *parties) message(m *siptest.Message, from *net.UDPAddr) {
	n, ok := number(m.Get("To")+" "+m.Get("From"), "otto")
	var b *inboxes
	if ok {
		b = p.find(n)
	}
	if !m.IsRequest() || m.Method == "ACK" {
		if seq, of := m.CSeq(); m.Status >= 300 && of == "INVITE" {
			p.acknowledge(m, seq)
		}
		if b != nil {
			deliver(b, m)
		}
		return
	}
	switch {
	case b == nil && m.Method != "OPTIONS" && m.Method != "BYE":
		p.reply(nil, m, 404, from, nil)
		return
	case b == nil:
		p.reply(nil, m, 200, from, nil)
		return
	}
	p.mu.Lock()
	last, again := b.replies[m.Branch()]
	if again {
		p.repeated++
	} else {
		b.replies[m.Branch()] = nil
	}
	p.mu.Unlock()
	switch {
	case again && last != nil:
		_, _ = p.sip.WriteToUDP(last, from)
	case again:
	case m.Method == "INVITE":
		m.Source = from.String()
		deliver(b, m)
	default:
		p.reply(b, m, 200, from, nil)
		deliver(b, m)
	}
}

func deliver(b *inboxes, m *siptest.Message) {
	select {
	case b.messages <- m:
	default:
	}
}

// reply answers a request and keeps the answer for its repeats.
func (p *parties) reply(b *inboxes, req *siptest.Message, status int, to *net.UDPAddr, change func(*siptest.Message)) {
	res := &siptest.Message{Status: status, Reason: "as measured"}
	for i, v := range req.Values("Via") {
		if i == 0 {
			v = strings.Replace(v+";", ";rport;", fmt.Sprintf(";rport=%d;received=%s;", to.Port, to.IP), 1)
			v = strings.TrimSuffix(v, ";")
		}
		res.Add("Via", v)
	}
	toHeader := req.Get("To")
	if req.Tag("To") == "" {
		toHeader += ";tag=phone" + p.token()
	}
	res.Add("From", req.Get("From")).Add("To", toHeader).Add("Call-ID", req.Get("Call-ID")).Add("CSeq", req.Get("CSeq"))
	if change != nil {
		change(res)
	}
	raw := res.Bytes()
	if b != nil {
		p.mu.Lock()
		b.replies[req.Branch()] = raw
		p.mu.Unlock()
	}
	_, _ = p.sip.WriteToUDP(raw, to)
}

// acknowledge sends the ACK of a refusal (RFC 3261 §17.1.1.3).
func (p *parties) acknowledge(res *siptest.Message, seq uint32) {
	m := &siptest.Message{Method: "ACK", RequestURI: res.URI("To")}
	m.Add("Via", res.Get("Via")).Add("Max-Forwards", "70").Add("From", res.Get("From")).Add("To", res.Get("To"))
	m.Add("Call-ID", res.Get("Call-ID")).Add("CSeq", fmt.Sprintf("%d ACK", seq))
	p.request(m)
}

// request sends a request of a telephone.
func (p *parties) request(m *siptest.Message) { _, _ = p.sip.WriteToUDP(m.Bytes(), p.proxy) }

// awaitStanza waits until f takes one. What the telephone gets in the meantime is kept,
// unless it is the end.
func (b *inboxes) awaitStanza(ctx context.Context, what string, f func(stanzaCame) bool) (stanzaCame, error) {
	for len(b.early) > 0 {
		s := b.early[0]
		b.early = b.early[1:]
		if f(s) {
			return s, nil
		}
	}
	for {
		select {
		case s := <-b.stanzas:
			if f(s) {
				return s, nil
			}
			if why := s.end(); why != "" && !b.ending {
				return s, fmt.Errorf("%s instead of %s", why, what)
			}
		case m := <-b.messages:
			if why := endOf(m); why != "" && !b.ending {
				return stanzaCame{}, fmt.Errorf("%s instead of %s", why, what)
			}
			b.earlySIP = append(b.earlySIP, m)
		case <-ctx.Done():
			return stanzaCame{}, fmt.Errorf("no %s: %w", what, ctx.Err())
		}
	}
}

// end says how this is the end of a call, "" when it is not.
func (s stanzaCame) end() string {
	switch {
	case s.iq != nil && s.iq.IsError():
		return "error " + string(s.iq.Error.Condition) + " " + s.iq.Error.Text
	case s.bounce != nil:
		return "bounce " + string(s.bounce.Condition) + " " + s.bounce.Text
	case s.message != nil && (s.message.Kind == jingle.KindReject || s.message.Kind == jingle.KindRetract):
		return string(s.message.Kind) + reasonOf(s.message.Reason)
	case s.action != nil && s.action.Action == jingle.ActionSessionTerminate:
		return "session-terminate" + reasonOf(s.action.Reason)
	}
	return ""
}

func reasonOf(r *jingle.Reason) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf(" (%s %s)", r.Condition, r.Text)
}

func endOf(m *siptest.Message) string {
	switch {
	case m.Status >= 300:
		return fmt.Sprintf("%d %s", m.Status, m.Reason)
	case m.Method == "BYE", m.Method == "CANCEL":
		return m.Method + " " + m.Get("Reason")
	}
	return ""
}

func action(a jingle.Action) func(stanzaCame) bool {
	return func(s stanzaCame) bool { return s.action != nil && s.action.Action == a }
}

func kind(k jingle.Kind) func(stanzaCame) bool {
	return func(s stanzaCame) bool { return s.message != nil && s.message.Kind == k }
}

func resultOf(id string) func(stanzaCame) bool {
	return func(s stanzaCame) bool { return s.iq != nil && s.iq.ID == id && !s.iq.IsError() }
}

// awaitMessage waits until f takes one; again, when given, is sent every half second. What
// the client gets in the meantime is kept, unless it is the end.
func (b *inboxes) awaitMessage(ctx context.Context, what string, again func(), f func(*siptest.Message) bool) (*siptest.Message, error) {
	for len(b.earlySIP) > 0 {
		m := b.earlySIP[0]
		b.earlySIP = b.earlySIP[1:]
		if f(m) {
			return m, nil
		}
	}
	wait := repeatAfter
	repeat := time.NewTimer(wait)
	defer repeat.Stop()
	for {
		select {
		case m := <-b.messages:
			if f(m) {
				return m, nil
			}
			if why := endOf(m); why != "" && !b.ending {
				return m, fmt.Errorf("%s instead of %s", why, what)
			}
			if m.Status > 0 {
				again = nil
			}
		case s := <-b.stanzas:
			if why := s.end(); why != "" && !b.ending {
				return nil, fmt.Errorf("%s instead of %s", why, what)
			}
			b.early = append(b.early, s)
		case <-repeat.C:
			if again != nil {
				again()
			}
			wait *= 2
			repeat.Reset(wait)
		case <-ctx.Done():
			return nil, fmt.Errorf("no %s: %w", what, ctx.Err())
		}
	}
}

func method(name string) func(*siptest.Message) bool {
	return func(m *siptest.Message) bool { return m.Method == name }
}

func success(name string) func(*siptest.Message) bool {
	return func(m *siptest.Message) bool {
		_, of := m.CSeq()
		return m.Status/100 == 2 && of == name
	}
}

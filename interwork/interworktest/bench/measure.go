package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// settle is how long the last messages may take after the last one was sent.
const settle = 40 * time.Second

// pairs is how many users talk when the load is a rate.
const pairs = 256

// tracker notes when each message left and when it came.
type tracker struct {
	mu      sync.Mutex
	sent    map[string]time.Time // by the text of the message
	took    []time.Duration
	twice   int
	refused int
	total   int
	done    chan struct{}
}

func newTracker(total int) *tracker {
	return &tracker{sent: make(map[string]time.Time, total), took: make([]time.Duration, 0, total), total: total, done: make(chan struct{})}
}

func (t *tracker) left(text string) {
	t.mu.Lock()
	t.sent[text] = time.Now()
	t.mu.Unlock()
}

// came reports whether the text came for the first time.
func (t *tracker) came(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, known := t.sent[text]
	if !known || at.IsZero() {
		t.twice++
		return false
	}
	t.sent[text] = time.Time{}
	t.took = append(t.took, time.Since(at))
	t.check()
	return true
}

func (t *tracker) refuse() {
	t.mu.Lock()
	t.refused++
	t.check()
	t.mu.Unlock()
}

func (t *tracker) check() {
	if len(t.took)+t.refused == t.total {
		close(t.done)
	}
}

func (t *tracker) result(elapsed time.Duration) result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := result{messages: len(t.took), twice: t.twice, refused: t.refused, lost: t.total - len(t.took) - t.refused, elapsed: elapsed}
	slices.Sort(t.took)
	if n := len(t.took); n > 0 {
		r.p50, r.p99 = t.took[n/2], t.took[n*99/100]
	}
	return r
}

// starter starts a gateway between the server and a SIP peer, with its files below dir.
type starter func(ctx context.Context, dir string, server *xmpptest.Server, peer, transport string) (*gateway, error)

// addresses are what a gateway calls the user of a pair on the other side.
type addresses struct {
	jid func(pair int) string // of the telephone
	uri func(pair int) string // of the Jabber user
}

// plainAddresses are those of RFC 7247, and of XEP-0106 where an address is within another.
var plainAddresses = addresses{
	jid: func(pair int) string { return "otto" + strconv.Itoa(pair) + `\40voice.bench.example@sip.bench.example` },
	uri: func(pair int) string { return "sip:mira" + strconv.Itoa(pair) + "@chat.bench.example" },
}

// measure runs one load through a fresh gateway.
func measure(ctx context.Context, l load, start starter, a addresses, dir, profile string) (result, error) {
	server := xmpptest.NewServer(xmpptest.Config{Domain: "sip.bench.example", Secret: "secret", Hosts: []string{"chat.bench.example"}})
	if err := server.Listen("127.0.0.1:0"); err != nil {
		return result{}, err
	}
	defer server.Close()
	t := newTracker(l.total)
	var next func(pair int) // x2s, closed loop: called when the pair's message came
	phone, err := siptest.NewAnswerer(siptest.AnswererConfig{Transport: l.transport, Seen: func(raw []byte) {
		if !bytes.HasPrefix(raw, []byte("MESSAGE ")) {
			return // the gateway asks with OPTIONS what a user accepts
		}
		text := raw[bytes.Index(raw, []byte("\r\n\r\n"))+4:]
		if t.came(string(text)) && next != nil {
			pair, _, _ := strings.Cut(string(text), " ")
			n, _ := strconv.Atoi(pair)
			next(n)
		}
	}})
	if err != nil {
		return result{}, err
	}
	defer phone.Close()
	server.OnStanza(func(e *xmpp.Element) {
		if e.Name.Local != "message" {
			return
		}
		if e.Attribute("type") == "error" {
			t.refuse()
			return
		}
		if body := e.Child(e.Name.Space, "body"); body != nil && l.direction == "s2x" {
			t.came(body.Text())
		}
	})
	g, err := start(ctx, dir, server, phone.Addr(), l.transport)
	if err != nil {
		return result{}, err
	}
	defer g.stop()

	var profiled chan error
	if profile != "" {
		profiled = make(chan error, 1)
		go func() { profiled <- g.profile(profile, 5) }()
	}
	before, _ := g.usage()
	began := time.Now()
	if l.direction == "x2s" {
		err = sendXMPP(ctx, l, server, a, t, &next)
	} else {
		err = sendSIP(ctx, l, g, a, t)
	}
	if err != nil {
		return result{}, err
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		return result{}, ctx.Err()
	case <-time.After(settle):
	}
	r := t.result(time.Since(began))
	after, rss := g.usage()
	r.cpu, r.rss = after-before, rss
	if profiled != nil {
		if err := <-profiled; err != nil {
			return r, fmt.Errorf("profile: %w", err)
		}
	}
	return r, nil
}

func stanza(pair int, to, text string) []byte {
	return []byte(`<message from='mira` + strconv.Itoa(pair) + `@chat.bench.example/desk' to='` + to + `' id='` +
		strings.ReplaceAll(text, " ", "-") + `' type='chat' xml:lang='en'><body>` + text + `</body>` +
		`<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>`)
}

// sendXMPP sends from the stub server. The closed loop goes on by itself.
func sendXMPP(ctx context.Context, l load, server *xmpptest.Server, a addresses, t *tracker, next *func(int)) error {
	var mu sync.Mutex
	sent := 0
	send := func(pair int) {
		mu.Lock()
		n := sent
		if n >= l.total {
			mu.Unlock()
			return
		}
		sent++
		mu.Unlock()
		text := strconv.Itoa(pair) + " message " + strconv.Itoa(n)
		t.left(text)
		_ = server.Inject(stanza(pair, a.jid(pair), text)) // fails only when the link is gone, and then messages are lost
	}
	if l.rate == 0 {
		*next = send
		for p := range l.window {
			send(p)
		}
		return nil
	}
	return paced(ctx, l, func(n int) { send(n % pairs) })
}

// paced calls f l.total times at l.rate, in steps of a few milliseconds.
func paced(ctx context.Context, l load, f func(n int)) error {
	start := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < l.total; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * float64(l.rate)); n < min(due, l.total); n++ {
			f(n)
		}
	}
	return nil
}

// sendSIP sends from SIP users, each with one MESSAGE under way.
func sendSIP(ctx context.Context, l load, g *gateway, a addresses, t *tracker) error {
	window := l.window
	if l.rate > 0 {
		window = pairs
	}
	s, err := siptest.NewSender(siptest.SenderConfig{
		Transport: l.transport, Proxy: g.sip, Window: window, Rate: l.rate, Total: l.total,
		From: func(p int) string { return "sip:otto" + strconv.Itoa(p) + "@voice.bench.example" },
		To:   a.uri,
		Body: func(pair, n int) string {
			text := strconv.Itoa(pair) + " message " + strconv.Itoa(n)
			t.left(text)
			return text
		},
	})
	if err != nil {
		return err
	}
	report, err := s.Run(ctx)
	if err != nil {
		return err
	}
	for code, n := range report.Answers {
		if code/100 != 2 {
			for range n {
				t.refuse()
			}
		}
	}
	return nil
}

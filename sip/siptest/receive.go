package siptest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

// readLink reads one connection until it ends.
func (u *UA) readLink(l link) {
	switch l := l.(type) {
	case *streamLink:
		_ = readStream(l.conn, func(raw []byte) { u.receive(l, raw) }, func(ping bool) {
			if ping {
				_ = l.send([]byte("\r\n"))
				return
			}
			select {
			case l.pong <- struct{}{}:
			default:
			}
		})
	case *socketLink:
		for {
			var raw []byte
			if err := websocket.Message.Receive(l.conn, &raw); err != nil {
				return
			}
			if strings.Trim(string(raw), "\r\n") != "" {
				u.receive(l, raw)
			}
		}
	}
}

// receive takes one message off the wire.
func (u *UA) receive(l link, raw []byte) {
	m, faults, err := Parse(raw)
	if err != nil {
		u.check.add("unreadable bytes from %s: %v: %.200q", l.remote(), err, raw)
		return
	}
	m.Transport, m.Source, m.Local, m.At = l.transport(), l.remote(), u.sentBy, time.Now()
	if m.IsRequest() {
		u.receiveRequest(l, m, faults)
	} else {
		u.receiveResponse(l, m, faults)
	}
}

// Match selects messages for [UA.Expect] and [UA.Answer].
type Match func(*Message) bool

// Is matches requests of a method.
func Is(method string) Match {
	return func(m *Message) bool { return m.Method == method }
}

// StatusIs matches responses of a code.
func StatusIs(code int) Match {
	return func(m *Message) bool { return m.Status == code }
}

// Contains matches messages whose header holds the text; header "" means the body.
func Contains(header, text string) Match {
	return func(m *Message) bool {
		if header == "" {
			return strings.Contains(string(m.Body), text)
		}
		return strings.Contains(strings.Join(m.Values(header), "\n"), text)
	}
}

// All matches when all do; without arguments it matches everything.
func All(match ...Match) Match {
	return func(m *Message) bool {
		for _, f := range match {
			if !f(m) {
				return false
			}
		}
		return true
	}
}

// deliver puts a message where Expect finds it.
func (u *UA) deliver(in *Incoming) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.inbox) >= memorySize { // nobody expects: a phone on Auto for days
		u.inbox = append(u.inbox[:0], u.inbox[len(u.inbox)/2:]...)
	}
	u.inbox = append(u.inbox, in)
	close(u.wake)
	u.wake = make(chan struct{})
}

// Expect returns the oldest message that all matches select and that no Expect
// has returned before; it waits for one until ctx ends. Others stay for later.
// Retransmissions are never seen here, nor are responses to [UA.Do].
func (u *UA) Expect(ctx context.Context, match ...Match) (*Incoming, error) {
	all := All(match...)
	for {
		u.mu.Lock()
		for i, in := range u.inbox {
			if all(in.Message) {
				u.inbox = append(u.inbox[:i:i], u.inbox[i+1:]...)
				u.mu.Unlock()
				return in, nil
			}
		}
		wake, waiting := u.wake, len(u.inbox)
		u.mu.Unlock()
		select {
		case <-wake:
		case <-u.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("siptest: expected message did not come (%d others waiting): %w", waiting, ctx.Err())
		}
	}
}

// Want is Expect for tests: it fails the test when nothing comes within 10 s.
func (u *UA) Want(t TB, match ...Match) *Incoming {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	in, err := u.Expect(ctx, match...)
	if err != nil {
		t.Fatalf("%v; waiting: %s", err, u.waiting())
	}
	return in
}

// Pending returns the messages that nobody has expected yet.
func (u *UA) Pending() []*Incoming {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*Incoming(nil), u.inbox...)
}

func (u *UA) waiting() string {
	var s []string
	for _, in := range u.Pending() {
		s = append(s, in.title())
	}
	return strings.Join(s, ", ")
}

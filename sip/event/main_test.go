package event

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

func TestMain(m *testing.M) {
	if benchServerWanted() {
		benchServer()
		return
	}
	goleak.VerifyTestMain(m)
}

// fakeSender is the SIP stack of a test: it remembers requests and answers by a
// function, 200 without one.
type fakeSender struct {
	mu     sync.Mutex
	sent   []sentRequest
	answer func(req *sip.Request) (*sip.Response, error)
	dead   map[ua.Flow]bool
}

type sentRequest struct {
	*sip.Request
	target ua.Target
	at     time.Time
}

func (r sentRequest) value(name string) string { return sip.Value(r.Request, name) }

func (f *fakeSender) Do(ctx context.Context, req *sip.Request, t ua.Target) (*sip.Response, error) {
	f.mu.Lock()
	f.sent = append(f.sent, sentRequest{req, t, time.Now()})
	answer := f.answer
	f.mu.Unlock()
	if err := sip.Mandatory(req); err != nil {
		return nil, err
	}
	if _, err := sip.AppendMessage(nil, req); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ua.ErrTimeout, ctx.Err())
	}
	if answer == nil {
		return reply(req, sip.Status{Code: 200}), nil
	}
	return answer(req)
}

func (f *fakeSender) Alive(flow ua.Flow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.dead[flow]
}

func (f *fakeSender) Contact(user, transport string, peer netip.Addr) sip.URI {
	return sip.URI{Scheme: "sip", User: sip.EscapeUser(user), Host: "192.0.2.1", Port: 5060}
}

func (f *fakeSender) script(answer func(req *sip.Request) (*sip.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// requests are those sent since the last call.
func (f *fakeSender) requests() []sentRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.sent
	f.sent = nil
	return list
}

// pop is the oldest of them.
func (f *fakeSender) pop() (r sentRequest, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sent) == 0 {
		return r, false
	}
	r, f.sent = f.sent[0], f.sent[1:]
	return r, true
}

// one is the only request sent since the last call.
func (f *fakeSender) one(t testing.TB) sentRequest {
	t.Helper()
	list := f.requests()
	require.Equal(t, 1, len(list), "requests")
	return list[0]
}

func codes(list ...int) func(*sip.Request) (*sip.Response, error) {
	var mu sync.Mutex
	return func(req *sip.Request) (*sip.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		code := list[0]
		if len(list) > 1 {
			list = list[1:]
		}
		return reply(req, sip.Status{Code: code}), nil
	}
}

func status(s sip.Status) func(*sip.Request) (*sip.Response, error) {
	return func(req *sip.Request) (*sip.Response, error) { return reply(req, s), nil }
}

// silent is a peer that never answers.
func silent(*sip.Request) (*sip.Response, error) {
	time.Sleep(32 * time.Second) // of a synctest bubble
	return nil, fmt.Errorf("%w: 192.0.2.9:5060", ua.ErrTimeout)
}

func broken(*sip.Request) (*sip.Response, error) {
	return nil, fmt.Errorf("%w: connection refused", ua.ErrTransport)
}

func reply(req *sip.Request, s sip.Status) *sip.Response { return sip.NewResponse(req, s, "peer") }

// lines builds a request from header lines; a line replaces the default of its name,
// "Name:" removes it, "URI:" is the Request-URI, the text behind an empty line the body.
func lines(t testing.TB, method string, defaults, change []string) *sip.Request {
	t.Helper()
	uri, body := "sip:mira@chat.example", ""
	type field struct{ name, value string }
	var list []field
	for _, l := range defaults {
		name, value, _ := strings.Cut(l, ":")
		list = append(list, field{name, strings.TrimSpace(value)})
	}
	for _, l := range change {
		name, value, _ := strings.Cut(l, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "URI":
			uri = value
			continue
		case "Body":
			body = value
			continue
		}
		set := false
		for i := range defaults {
			if list[i].name == name {
				list[i].value, set = value, true
			}
		}
		if !set {
			list = append(list, field{strings.Replace(name, "Also", "Via", 1), value})
		}
	}
	raw := method + " " + uri + " SIP/2.0\r\n"
	for _, f := range list {
		if f.value != "" {
			raw += f.name + ": " + f.value + "\r\n"
		}
	}
	msg, err := sip.ParseMessage([]byte(raw + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)))
	require.NoError(t, err, raw)
	req := msg.(*sip.Request)
	require.Nil(t, sip.CheckRequest(req, "eventlist"), raw)
	return req
}

var phoneAddr = netip.MustParseAddrPort("192.0.2.9:5060")

// arrived is a request that came over UDP from the phone.
func arrived(req *sip.Request, tag string) arrival {
	return arrival{
		req: req, transport: "udp", source: phoneAddr, tag: tag,
		flow: ua.Flow{Transport: "udp", Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: phoneAddr},
	}
}

func valueOf(s sip.Status, name string) string {
	for _, h := range s.Headers {
		if strings.EqualFold(h.Name(), name) {
			return h.Value()
		}
	}
	return ""
}

// runUntilStop runs something with a Run method until the returned function is called.
func runUntilStop(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errDisk = errors.New("disk full")

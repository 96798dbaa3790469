package registrar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// trunk answers what a test wants and remembers what it was asked.
type trunk struct {
	answer func(n int, req *sip.Request) (sip.Status, error) // n counts from 1

	mu       sync.Mutex
	requests []string // one line each
	times    []time.Duration
	start    time.Time
}

func (d *trunk) Do(ctx context.Context, req *sip.Request, _ ua.Target) (*sip.Response, error) {
	if err := sip.Validate(req); err != nil {
		return nil, err
	}
	d.mu.Lock()
	n, _ := sip.CSeq(req)
	line := fmt.Sprintf("%d %s", n, req.Method)
	if req.Method == sip.REGISTER {
		line += fmt.Sprintf(" expires=%s supported=%q contact=%s", sip.Value(req, "Expires"), sip.Value(req, "Supported"), sip.Value(req, "Contact"))
	}
	d.requests = append(d.requests, line)
	d.times = append(d.times, time.Since(d.start))
	count := len(d.requests)
	d.mu.Unlock()
	s, err := d.answer(count, req)
	if err != nil {
		return nil, err
	}
	if s.Code == 0 { // silence
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", ua.ErrTimeout, ctx.Err())
	}
	req.AppendHeader(sip.MustHeader("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"))
	res, err := sip.ParseMessage([]byte(sip.NewResponse(req, s, "t").String()))
	if err != nil {
		return nil, err
	}
	return res.(*sip.Response), nil
}

func (d *trunk) log() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.requests...)
}

func clientConfig(d Sender) ClientConfig {
	return ClientConfig{
		Name: "carrier", Sender: d,
		AOR:     sip.URI{Scheme: "sip", User: "+4930123", Host: "carrier.example"},
		Contact: sip.URI{Scheme: "sip", User: "carrier", Host: "192.0.2.1", Port: 5060},
	}
}

const ourContact = "<sip:carrier@192.0.2.1:5060>"

func ok(headers ...string) sip.Status { return *refuse(200, "", headers...) }

// runClient runs a client in a bubble for some time and then stops it.
func runClient(t *testing.T, cfg ClientConfig, d *trunk, f func(c *Client)) {
	t.Helper()
	d.start = time.Now()
	cfg.Sender = d
	c, err := NewClient(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }() // when f fails the test
	synctest.Wait()
	f(c)
	cancel()
	<-done
	require.Equal(t, ClientStopped, c.Status().State)
}

func TestClientRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []ClientState
		d := &trunk{answer: func(n int, req *sip.Request) (sip.Status, error) {
			return ok("Contact", ourContact+";expires=600", "Service-Route", "<sip:edge.carrier.example;lr>",
				"P-Associated-URI", "<sip:+4930123@carrier.example>, <tel:+4930123>"), nil
		}}
		cfg := clientConfig(d)
		cfg.Changed = func(s ClientStatus) {
			if len(states) == 0 || states[len(states)-1] != s.State {
				states = append(states, s.State)
			}
		}
		runClient(t, cfg, d, func(c *Client) {
			s := c.Status()
			require.Equal(t, ClientRegistered, s.State)
			require.Equal(t, time.Now().Add(600*time.Second), s.Until)
			require.Equal(t, time.Now().Add(540*time.Second), s.Next)
			require.Equal(t, "<sip:edge.carrier.example;lr>", s.ServiceRoute[0].String())
			require.Len(t, s.Associated, 2)
			time.Sleep(1100 * time.Second)
			synctest.Wait()
			require.Len(t, d.log(), 3)
			c.Refresh()
			synctest.Wait()
			require.Len(t, d.log(), 4)
		})
		require.Equal(t, `1 REGISTER expires=3600 supported="path" contact=<sip:carrier@192.0.2.1:5060>`, d.log()[0])
		require.Equal(t, `5 REGISTER expires=0 supported="path" contact=<sip:carrier@192.0.2.1:5060>`, d.log()[4])
		require.Equal(t, []time.Duration{0, 540 * time.Second, 1080 * time.Second, 1100 * time.Second, 1100 * time.Second}, d.times)
		require.Equal(t, []ClientState{ClientTrying, ClientRegistered, ClientStopped}, states)
	})
}

func TestClientAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(n int, req *sip.Request) (sip.Status, error)
		state  ClientState
		least  time.Duration // pause to the next REGISTER
		most   time.Duration
		asked  int // requests until then
		code   int
	}{
		{"expires header", func(int, *sip.Request) (sip.Status, error) { return ok("Expires", "100", "Contact", ourContact), nil }, ClientRegistered, 90 * time.Second, 90 * time.Second, 1, 200},
		{"no contact", func(int, *sip.Request) (sip.Status, error) { return ok(), nil }, ClientRegistered, 54 * time.Minute, 54 * time.Minute, 1, 200},
		{"unreadable", func(int, *sip.Request) (sip.Status, error) {
			return ok("Contact", "<sip:", "Service-Route", "<x", "P-Associated-URI", "?"), nil
		}, ClientRegistered, 54 * time.Minute, 54 * time.Minute, 1, 200},
		{"ours among others", func(int, *sip.Request) (sip.Status, error) {
			return ok("Contact", "<sip:other@192.0.2.5>;expires=10, "+ourContact+";expires=200"), nil
		}, ClientRegistered, 180 * time.Second, 180 * time.Second, 1, 200},
		{"contact rewritten", func(int, *sip.Request) (sip.Status, error) {
			return ok("Contact", "<sip:carrier@198.51.100.1:1024>;expires=200"), nil
		}, ClientRegistered, 180 * time.Second, 180 * time.Second, 1, 200},
		{"seconds only", func(int, *sip.Request) (sip.Status, error) { return ok("Contact", ourContact+";expires=2"), nil }, ClientRegistered, 5 * time.Second, 5 * time.Second, 1, 200},
		{"no time at all", func(int, *sip.Request) (sip.Status, error) { return ok("Contact", ourContact+";expires=0"), nil }, ClientTrying, 15 * time.Second, 30 * time.Second, 1, 200},
		{"423", func(_ int, req *sip.Request) (sip.Status, error) {
			if sip.Value(req, "Expires") == "3600" {
				return *refuse(423, "", "Min-Expires", "7200"), nil
			}
			return ok("Contact", ourContact+";expires=7200"), nil
		}, ClientRegistered, 6480 * time.Second, 6480 * time.Second, 2, 200},
		{"423 without sense", func(int, *sip.Request) (sip.Status, error) { return *refuse(423, "", "Min-Expires", "60"), nil }, ClientTrying, 15 * time.Second, 30 * time.Second, 1, 423},
		{"403", func(int, *sip.Request) (sip.Status, error) { return *refuse(403, ""), nil }, ClientRefused, 30 * time.Minute, 30 * time.Minute, 1, 403},
		{"wrong password", func(int, *sip.Request) (sip.Status, error) { return *refuse(401, ""), nil }, ClientRefused, 30 * time.Minute, 30 * time.Minute, 1, 401},
		{"503 with time", func(int, *sip.Request) (sip.Status, error) { return *refuse(503, "", "Retry-After", "120"), nil }, ClientTrying, 2 * time.Minute, 2 * time.Minute, 1, 503},
		{"503", func(int, *sip.Request) (sip.Status, error) { return *refuse(503, ""), nil }, ClientTrying, 15 * time.Second, 30 * time.Second, 1, 503},
		{"unreachable", func(int, *sip.Request) (sip.Status, error) { return sip.Status{}, ua.ErrTransport }, ClientTrying, 15 * time.Second, 30 * time.Second, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &trunk{answer: tc.answer}
				runClient(t, clientConfig(d), d, func(c *Client) {
					s := c.Status()
					require.Equal(t, tc.state, s.State, s.Err)
					require.Equal(t, tc.code, s.Code)
					require.Equal(t, tc.state != ClientRegistered, s.Err != "")
					require.Len(t, d.log(), tc.asked)
					pause := time.Until(s.Next)
					require.GreaterOrEqual(t, pause, tc.least)
					require.LessOrEqual(t, pause, tc.most)
					time.Sleep(pause - time.Millisecond)
					synctest.Wait()
					require.Len(t, d.log(), tc.asked)
					time.Sleep(2 * time.Millisecond)
					synctest.Wait()
					require.Greater(t, len(d.log()), tc.asked)
				})
			})
		})
	}
}

func TestClientBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &trunk{answer: func(n int, _ *sip.Request) (sip.Status, error) { return sip.Status{}, ua.ErrTimeout }}
		runClient(t, clientConfig(d), d, func(c *Client) {
			want := retryBase
			for range 10 {
				pause := time.Until(c.Status().Next)
				require.GreaterOrEqual(t, pause, want/2)
				require.LessOrEqual(t, pause, want)
				want = min(2*want, retryMax)
				time.Sleep(pause)
				synctest.Wait()
			}
			require.Equal(t, "ua: no final response in time", c.Status().Err)
		})
		require.Contains(t, d.log()[len(d.log())-1], "expires=3600") // nothing to unregister
	})
}

// TestClientRefreshFails keeps the registration until its end.
func TestClientRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &trunk{answer: func(n int, _ *sip.Request) (sip.Status, error) {
			if n == 1 {
				return ok("Contact", ourContact+";expires=600"), nil
			}
			return sip.Status{}, ua.ErrTransport
		}}
		runClient(t, clientConfig(d), d, func(c *Client) {
			time.Sleep(540 * time.Second)
			synctest.Wait()
			s := c.Status()
			require.Equal(t, ClientRegistered, s.State)
			require.NotEmpty(t, s.Err)
			require.LessOrEqual(t, time.Until(s.Next), 30*time.Second)
			time.Sleep(59 * time.Second)
			synctest.Wait()
			require.Equal(t, ClientRegistered, c.Status().State)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			s = c.Status()
			require.Equal(t, ClientTrying, s.State)
			require.True(t, s.Until.IsZero())
		})
	})
}

func TestClientOutbound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &trunk{answer: func(n int, req *sip.Request) (sip.Status, error) {
			if strings.Contains(sip.Value(req, "Contact"), "reg-id") && n == 1 {
				return *refuse(439, ""), nil
			}
			return ok("Contact", `<sip:carrier@198.51.100.1:99>;expires=600;+sip.instance="<urn:uuid:A>";pub-gruu="sip:+4930123@carrier.example;gr=urn:uuid:a", <sip:x@192.0.2.5>`), nil
		}}
		cfg := clientConfig(d)
		cfg.Instance = "urn:uuid:a"
		runClient(t, cfg, d, func(c *Client) {
			require.Equal(t, "sip:+4930123@carrier.example;gr=urn:uuid:a", c.Status().GRUU.String())
		})
		require.Equal(t, `1 REGISTER expires=3600 supported="path, outbound, gruu" contact=<sip:carrier@192.0.2.1:5060>;+sip.instance="<urn:uuid:a>";reg-id=1`, d.log()[0])
		require.Equal(t, `2 REGISTER expires=3600 supported="path, gruu" contact=<sip:carrier@192.0.2.1:5060>;+sip.instance="<urn:uuid:a>"`, d.log()[1])
	})
}

// TestClientStops ends a client whose trunk is silent.
// A lost connection is registered anew: at once, but not more than once a minute.
func TestClientConnectionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &trunk{answer: func(int, *sip.Request) (sip.Status, error) { return ok("Contact", ourContact+";expires=3600"), nil }}
		runClient(t, clientConfig(d), d, func(c *Client) {
			lost := c.cfg.Target.KeepAlive.Lost
			lost()
			lost()
			synctest.Wait()
			require.Len(t, d.log(), 1)
			require.Equal(t, time.Now().Add(time.Minute), c.Status().Next)
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Len(t, d.log(), 2)
			time.Sleep(10 * time.Minute)
			lost()
			synctest.Wait()
			require.Len(t, d.log(), 3)
			require.Equal(t, ClientRegistered, c.Status().State)
		})
	})
}

func TestClientStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &trunk{answer: func(n int, _ *sip.Request) (sip.Status, error) {
			if n == 1 {
				return ok("Contact", ourContact+";expires=600"), nil
			}
			return sip.Status{}, nil
		}}
		begin := time.Now()
		runClient(t, clientConfig(d), d, func(c *Client) {
			time.Sleep(541 * time.Second) // a refresh is under way
		})
		require.Equal(t, 541*time.Second+goodbyeTimeout, time.Since(begin))
	})
}

func TestClientConfig(t *testing.T) {
	d := &trunk{}
	for _, change := range []func(*ClientConfig){
		func(c *ClientConfig) { c.Name = "" },
		func(c *ClientConfig) { c.Sender = nil },
		func(c *ClientConfig) { c.AOR = sip.URI{Scheme: "tel", User: "+1"} },
		func(c *ClientConfig) { c.Contact = sip.URI{} },
	} {
		cfg := clientConfig(d)
		change(&cfg)
		_, err := NewClient(cfg)
		require.ErrorIs(t, err, ErrConfig)
	}
	c, err := NewClient(clientConfig(d))
	require.NoError(t, err)
	require.Equal(t, "sip:carrier.example", c.cfg.Target.URI.String())
	require.Equal(t, "unknown trying registered refused stopped",
		fmt.Sprint(ClientUnknown, ClientTrying, ClientRegistered, ClientRefused, ClientStopped))
	require.Equal(t, "unknown up down", fmt.Sprint(ProbeUnknown, ProbeUp, ProbeDown))
}

func TestProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		code := 200
		answer := func(c int) { mu.Lock(); defer mu.Unlock(); code = c }
		d := &trunk{start: time.Now(), answer: func(int, *sip.Request) (sip.Status, error) {
			mu.Lock()
			defer mu.Unlock()
			if code == -1 {
				return sip.Status{}, errors.New("connection refused")
			}
			return sip.Status{Code: code}, nil
		}}
		var states []ProbeState
		p, err := NewProber(ProberConfig{
			Name: "pbx", Sender: d, URI: sip.URI{Scheme: "sip", Host: "192.0.2.10"},
			From: sip.URI{Scheme: "sip", Host: domain}, Changed: func(s ProbeStatus) { states = append(states, s.State) },
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { p.Run(ctx); close(done) }()
		asked := 0
		next := func() ProbeStatus {
			t.Helper()
			before := p.Status().Last
			start := time.Now()
			for p.Status().Last.Equal(before) {
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
			}
			asked++
			require.Len(t, d.log(), asked)
			require.Less(t, time.Since(start), 77*time.Second)
			return p.Status()
		}
		require.Equal(t, ProbeUnknown, p.Status().State)
		require.Equal(t, ProbeUp, next().State)
		for _, c := range []int{404, 405, 481, 401, 500} { // whoever answers is there
			answer(c)
			s := next()
			require.Equal(t, ProbeUp, s.State)
			require.Equal(t, c, s.Code)
		}
		for i, c := range []int{503, 0, 408} { // 0: silence
			answer(c)
			s := next()
			require.Equal(t, i+1, s.Misses)
			require.Equal(t, i == 2, s.State == ProbeDown)
		}
		answer(-1)
		require.Equal(t, "connection refused", next().Err)
		answer(200)
		s := next()
		require.Equal(t, ProbeUp, s.State)
		require.Zero(t, s.Misses)
		require.Empty(t, s.Err)
		answer(503)
		next()
		next()
		answer(404)
		require.Equal(t, ProbeUp, next().State)
		require.Equal(t, []ProbeState{ProbeUp, ProbeDown, ProbeUp}, states)
		d.mu.Lock()
		for i := 2; i < len(d.times); i++ {
			require.GreaterOrEqual(t, d.times[i]-d.times[i-1], 30*time.Second)
		}
		d.mu.Unlock()
		answer(0)
		last := p.Status().Last
		for len(d.log()) == asked { // until one is under way
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		cancel()
		<-done
		require.Equal(t, last, p.Status().Last)
		_, err = NewProber(ProberConfig{})
		require.ErrorIs(t, err, ErrConfig)
	})
}

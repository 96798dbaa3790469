package event

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// passwords are the digest users of the tests.
type passwords map[string]string

func (p passwords) HA1(user, realm, algorithm string) (string, bool) {
	pw, ok := p[user]
	h := siptest.HA1(algorithm, user, realm, pw)
	return h, ok && h != ""
}

func (p passwords) Trusted(netip.Addr, string, *tls.ConnectionState) bool { return false }

// rig is a gateway's SIP side on loopback: real sockets, a notifier whose owner tells
// what the test says, a subscriber, a publication server and a publisher.
type rig struct {
	t        *testing.T
	ua       *ua.UA
	notifier *Notifier
	watchers *fakeOwner
	subs     *Subscriber
	counter  *PublicationServer
	composer *fakeComposer
	press    *Publisher
}

func newRig(t *testing.T, change ...func(*ua.Config)) *rig {
	t.Helper()
	r := &rig{t: t, watchers: &fakeOwner{}, composer: &fakeComposer{}}
	cfg := ua.Config{
		Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}, {Transport: "tcp", Host: "127.0.0.1"}, {Transport: "ws", Host: "127.0.0.1"}},
		Timers: ua.Timers{T1: 100 * time.Millisecond, T2: 400 * time.Millisecond, T4: 500 * time.Millisecond},
		Auth:   passwords{"otto": "secret"}, Supported: []string{"eventlist"}, UserAgent: "stoxgate/test", Log: zerolog.Nop(),
		Resolver: ua.NewResolver(ua.ResolverConfig{Servers: []string{"127.0.0.1:9"}, Hosts: "testdata/none"}),
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	r.ua, err = ua.New(cfg)
	require.NoError(t, err)
	timeout := 64 * cfg.Timers.T1
	r.notifier, err = NewNotifier(NotifierConfig{Sender: r.ua, Timeout: timeout, Packages: []Package{
		{Name: "presence", Accept: []string{pidfType}, Owner: r.watchers, Interval: 20 * time.Millisecond, MinExpires: time.Second},
	}})
	require.NoError(t, err)
	r.subs, err = NewSubscriber(SubscriberConfig{Sender: r.ua, Timeout: timeout})
	require.NoError(t, err)
	r.counter, err = NewPublicationServer(PublicationConfig{Packages: []PublicationPackage{{Name: "presence", Accept: []string{pidfType}, Owner: r.composer}}})
	require.NoError(t, err)
	r.press, err = NewPublisher(PublisherConfig{Sender: r.ua, Timeout: timeout})
	require.NoError(t, err)
	r.ua.Handle(sip.SUBSCRIBE, func(in *ua.Inbound) {
		if in.Authenticate("voice.example") {
			r.notifier.Handle(in, sip.NameAddr{})
		}
	})
	r.ua.Handle(sip.NOTIFY, r.subs.Handle)
	r.ua.Handle(sip.PUBLISH, func(in *ua.Inbound) { r.counter.Handle(in, sip.NameAddr{}) })
	require.NoError(t, r.ua.Start(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{r.notifier.Run, r.subs.Run, r.counter.Run, r.press.Run} {
		wg.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.ua.Shutdown(ctx)
	})
	return r
}

// phone is a strict phone.
func (r *rig) phone(transport string, change ...func(*siptest.Config)) *siptest.UA {
	r.t.Helper()
	cfg := siptest.Config{
		Transport: transport, Proxy: r.ua.Addr(transport).String(), AOR: "sip:otto@voice.example",
		Credentials: siptest.Credentials{User: "otto", Password: "secret"}, ReuseNonce: true,
	}
	for _, f := range change {
		f(&cfg)
	}
	return siptest.Start(r.t, cfg)
}

func (r *rig) deadline() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	r.t.Cleanup(cancel)
	return ctx
}

// until waits for a condition that real goroutines bring about.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("%s did not happen", what)
		}
	}
}

// subscribe makes a phone subscribe; the answer to it and the subscription are returned.
func (r *rig) subscribe(phone *siptest.UA, headers ...string) (*siptest.Message, *siptest.Message, *Subscription) {
	r.t.Helper()
	r.watchers.mu.Lock()
	before := len(r.watchers.subs)
	r.watchers.mu.Unlock()
	req := phone.NewRequest("SUBSCRIBE", "sip:mira@chat.example", append([]string{
		"Event: presence", "Expires: 600", "Accept: " + pidfType, "Contact: <" + phone.ContactURI() + ">",
	}, headers...)...)
	res, err := phone.Do(r.deadline(), req)
	require.NoError(r.t, err)
	require.Equal(r.t, 200, res.Status, res)
	var s *Subscription
	until(r.t, "Subscribed", func() bool {
		r.watchers.mu.Lock()
		defer r.watchers.mu.Unlock()
		if len(r.watchers.subs) > before {
			s = r.watchers.subs[before]
		}
		return s != nil
	})
	return req, res, s
}

// again is a SUBSCRIBE in the dialog.
func (r *rig) again(phone *siptest.UA, req, res *siptest.Message, cseq int, expires string) *siptest.Message {
	r.t.Helper()
	in := phone.NewRequest("SUBSCRIBE", res.URI("Contact"), "Event: presence", "Expires: "+expires, "Accept: "+pidfType,
		"Contact: <"+phone.ContactURI()+">", "Call-ID: "+req.Get("Call-ID"), "From: "+req.Get("From"), "To: "+res.Get("To"), fmt.Sprintf("CSeq: %d SUBSCRIBE", cseq))
	answer, err := phone.Do(r.deadline(), in)
	require.NoError(r.t, err)
	return answer
}

// TestPhoneWatches is a phone's day as a watcher, over each transport.
func TestPhoneWatches(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t)
			phone := r.phone(transport)
			phone.Answer(siptest.Is("NOTIFY"), siptest.Status(200))
			req, res, s := r.subscribe(phone)
			require.NoError(t, s.Notify(Notification{State: sip.SubscriptionPending}))
			in := phone.Want(t, siptest.Is("NOTIFY"))
			require.Equal(t, "pending;expires=600", in.Get("Subscription-State"))
			require.Equal(t, res.Tag("To"), in.Tag("From"))
			require.Equal(t, req.Tag("From"), in.Tag("To"))
			require.Equal(t, req.Get("Call-ID"), in.Get("Call-ID"))
			require.Empty(t, in.Body)

			require.NoError(t, s.Notify(active("<presence/>")))
			in = phone.Want(t, siptest.Is("NOTIFY"))
			require.Contains(t, in.Get("Subscription-State"), "active;expires=")
			require.Equal(t, "<presence/>", string(in.Body))

			require.Equal(t, 200, r.again(phone, req, res, 100, "300").Status)
			until(t, "Refreshed", func() bool { return s.Expires() < 301*time.Second })
			require.NoError(t, s.Notify(active("<again/>")))
			require.Contains(t, phone.Want(t, siptest.Is("NOTIFY")).Get("Subscription-State"), "active;expires=")
			require.Equal(t, 500, r.again(phone, req, res, 99, "300").Status)

			require.Equal(t, 200, r.again(phone, req, res, 110, "0").Status)
			require.Equal(t, "terminated;reason=timeout", phone.Want(t, siptest.Is("NOTIFY")).Get("Subscription-State"))
			until(t, "end", func() bool { return r.notifier.Len() == 0 })
			require.Equal(t, 481, r.again(phone, req, res, 120, "300").Status)
			phone.AssertClean(t)
		})
	}
}

// TestPhoneMisbehaves: answers that get lost, come twice, are wrong or do not come.
func TestPhoneMisbehaves(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer siptest.Answer
		ends   string
	}{
		{"lost twice", siptest.Series(siptest.Drop(2)), ""},
		{"twice", siptest.Twice(siptest.Status(200)), ""},
		{"wrong branch", siptest.WrongBranch(200), "ended unreachable 0"},
		{"garbage", siptest.Garbage("SIP/2.0 nonsense\r\n\r\n"), "ended unreachable 0"},
		{"silence", siptest.Silent(), "ended unreachable 0"},
		{"481", siptest.Status(481), "ended refused 481"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(cfg *ua.Config) {
				if strings.Contains(c.ends, "unreachable") {
					cfg.Timers.T1 = 15 * time.Millisecond // 64*T1 is 0.96 s
				}
			})
			phone := r.phone("udp")
			if c.name == "lost twice" {
				phone.Answer(siptest.Is("NOTIFY"), siptest.Drop(2), siptest.Status(200))
			} else {
				phone.Answer(siptest.Is("NOTIFY"), c.answer)
			}
			_, _, s := r.subscribe(phone)
			require.NoError(t, s.Notify(active("1")))
			if c.ends == "" {
				phone.Want(t, siptest.Is("NOTIFY"))
				require.NoError(t, s.Notify(active("2")))
				require.Equal(t, "2", string(phone.Want(t, siptest.Is("NOTIFY")).Body))
				phone.AssertClean(t)
				return
			}
			until(t, "end", func() bool { return r.notifier.Len() == 0 })
			events := r.watchers.events()
			require.Equal(t, c.ends, events[len(events)-1])
		})
	}
}

// TestPhoneReconnects: a TCP phone that lost its connection is reached at its contact.
func TestPhoneReconnects(t *testing.T) {
	r := newRig(t)
	phone := r.phone("tcp")
	phone.Answer(siptest.Is("NOTIFY"), siptest.Status(200))
	_, _, s := r.subscribe(phone)
	require.NoError(t, s.Notify(active("1")))
	phone.Want(t, siptest.Is("NOTIFY"))
	phone.Hangup()
	until(t, "closed connection", func() bool { return !r.ua.Alive(*s.flow) })
	require.NoError(t, s.Notify(active("2")))
	require.Equal(t, "2", string(phone.Want(t, siptest.Is("NOTIFY")).Body))
}

// TestBrowserLeaves: a WebSocket phone cannot be reached when it has gone.
func TestBrowserLeaves(t *testing.T) {
	r := newRig(t)
	phone := r.phone("ws")
	_, _, s := r.subscribe(phone)
	phone.Hangup()
	until(t, "closed connection", func() bool { return !r.ua.Alive(*s.flow) })
	require.NoError(t, s.Notify(active("1")))
	until(t, "end", func() bool { return r.notifier.Len() == 0 })
}

// presentity answers a SUBSCRIBE and sends NOTIFYs.
type presentity struct {
	t     *testing.T
	phone *siptest.UA
	in    *siptest.Incoming
	tag   string
	cseq  int
}

// notify sends one.
func (p *presentity) notify(state, body string) *siptest.Message {
	p.t.Helper()
	p.cseq++
	req := p.phone.NewRequest("NOTIFY", p.in.URI("Contact"), "From: <sip:otto@voice.example>;tag="+p.tag, "To: "+p.in.Get("From"),
		"Call-ID: "+p.in.Get("Call-ID"), fmt.Sprintf("CSeq: %d NOTIFY", p.cseq), "Event: presence", "Subscription-State: "+state,
		"Contact: <"+p.phone.ContactURI()+">")
	if body != "" {
		req.Add("Content-Type", pidfType)
		req.Body = []byte(body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := p.phone.Do(ctx, req)
	require.NoError(p.t, err)
	return res
}

// watch subscribes to a phone and waits for the SUBSCRIBE there.
func (r *rig) watch(phone *siptest.UA) (*Watch, *fakeWatcher, *presentity) {
	r.t.Helper()
	owner := &fakeWatcher{}
	uri, err := sip.ParseURI(phone.ContactURI())
	require.NoError(r.t, err)
	w, err := r.subs.Subscribe(WatchOptions{
		From: sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}},
		To:   sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, URI: uri,
		Package: "presence", Accept: []string{pidfType}, Owner: owner,
	})
	require.NoError(r.t, err)
	in := phone.Want(r.t, siptest.Is("SUBSCRIBE"))
	return w, owner, &presentity{t: r.t, phone: phone, in: in}
}

func (w *fakeWatcher) saw(event string) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, l := range w.log {
			if l == event {
				return true
			}
		}
		return false
	}
}

func TestPhoneIsWatched(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprint(transport, early), func(t *testing.T) {
				r := newRig(t)
				phone, other := r.phone(transport), r.phone(transport)
				w, owner, p := r.watch(phone)
				fork := &presentity{t: t, phone: other, in: p.in, tag: "fork"}
				res := p.in.Response(200, "Expires: 600", "Contact: <"+phone.ContactURI()+">")
				p.tag = res.Tag("To")
				if !early {
					require.NoError(t, p.in.Send(res))
				}
				require.Equal(t, 200, p.notify("pending;expires=600", "").Status)
				until(t, "pending", owner.saw("pending"))
				require.Equal(t, 200, fork.notify("active;expires=600", "<fork/>").Status)
				if early {
					require.NoError(t, p.in.Send(res))
				}
				require.Equal(t, 200, p.notify("active;expires=600", "<1/>").Status)
				until(t, "document", owner.saw(p.tag+": active <1/>"))
				require.True(t, owner.saw("fork: active <fork/>")())
				require.Equal(t, []string{p.tag, "fork"}, w.Status().Live)

				p.cseq -= 2
				require.Equal(t, 500, p.notify("active;expires=600", "<old/>").Status)
				p.cseq += 5
				require.Equal(t, 481, p.notifyAs("Call-ID: unknown").Status)
				require.Equal(t, 489, p.notifyAs("Event: dialog").Status)

				w.Refresh()
				for _, p := range []*presentity{p, fork} {
					in := p.phone.Want(t, siptest.Is("SUBSCRIBE"))
					require.Equal(t, "3600", in.Get("Expires"))
					require.Equal(t, p.tag, in.Tag("To"))
					require.NoError(t, in.Respond(200, "Expires: 3600", "Contact: <"+p.phone.ContactURI()+">"))
					require.Equal(t, 200, p.notify("active;expires=3600", "").Status)
				}
				w.Unsubscribe()
				for _, p := range []*presentity{p, fork} {
					in := p.phone.Want(t, siptest.Is("SUBSCRIBE"))
					require.Equal(t, "0", in.Get("Expires"))
					require.NoError(t, in.Respond(200, "Expires: 0", "Contact: <"+p.phone.ContactURI()+">"))
					require.Equal(t, 200, p.notify("terminated;reason=timeout", "").Status)
				}
				until(t, "end", func() bool { return w.Status().State == WatchTerminated })
				require.Zero(t, r.subs.Len())
				phone.AssertClean(t)
				other.AssertClean(t)
			})
		}
	}
}

// notifyAs is notify with other headers.
func (p *presentity) notifyAs(headers ...string) *siptest.Message {
	p.t.Helper()
	p.cseq++
	req := p.phone.NewRequest("NOTIFY", p.in.URI("Contact"),
		"From: <sip:otto@voice.example>;tag="+p.tag, "To: "+p.in.Get("From"), "Call-ID: "+p.in.Get("Call-ID"),
		fmt.Sprintf("CSeq: %d NOTIFY", p.cseq), "Event: presence", "Subscription-State: active", "Contact: <"+p.phone.ContactURI()+">")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := p.phone.Do(ctx, req)
	require.NoError(p.t, err)
	return res
}

// TestChallengedSubscribe: the CSeq goes on behind an answered challenge.
func TestChallengedSubscribe(t *testing.T) {
	r := newRig(t)
	r.subs.cfg.Route = func(_, to sip.URI) (Hop, error) {
		return Hop{Target: ua.Target{Credentials: &ua.Credentials{Username: "gw", Password: "pw"}}}, nil
	}
	phone := r.phone("udp")
	phone.Answer(siptest.Is("SUBSCRIBE"), siptest.Authenticated(siptest.ServerAuth{Realm: "voice.example", User: "gw", Password: "pw"},
		siptest.Reply(func(in *siptest.Incoming) *siptest.Message {
			return in.Response(200, "Expires: 600", "Contact: <"+phone.ContactURI()+">")
		})))
	w, owner, p := r.watch(phone)
	p.in = phone.Want(t, siptest.Is("SUBSCRIBE"))
	require.NotEmpty(t, p.in.Get("Authorization"))
	p.tag = "x"
	require.Equal(t, 200, p.notify("active;expires=600", "<1/>").Status)
	until(t, "document", owner.saw("x: active <1/>"))
	phone.Answer(siptest.Is("SUBSCRIBE"), siptest.Status(200, "Expires: 600"))
	until(t, "answer", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.granted != 0
	})
	w.Refresh()
	n, _ := phone.Want(t, siptest.Is("SUBSCRIBE")).CSeq()
	require.Equal(t, uint32(3), n)
	phone.AssertClean(t)
}

// TestPublishOverTheWire: our publisher at a strict server, a strict phone at ours.
func TestPublishOverTheWire(t *testing.T) {
	r := newRig(t)
	server := r.phone("udp")
	n := 0
	server.Answer(siptest.Is("PUBLISH"), siptest.Reply(func(in *siptest.Incoming) *siptest.Message {
		n++
		return in.Response(200, fmt.Sprint("SIP-ETag: t", n), "Expires: 600")
	}))
	to, err := sip.ParseURI(server.ContactURI())
	require.NoError(t, err)
	owner := &fakePoster{}
	x, err := r.press.Publish(PostOptions{
		From: sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}}, To: to, Package: "presence",
		ContentType: pidfType, Body: []byte("<1/>"), Owner: owner,
	})
	require.NoError(t, err)
	require.Equal(t, "<1/>", string(server.Want(t, siptest.Is("PUBLISH")).Body))
	until(t, "published", func() bool { return x.Status().ETag == "t1" })
	require.NoError(t, x.Update(pidfType, []byte("<2/>")))
	in := server.Want(t, siptest.Is("PUBLISH"))
	require.Equal(t, "t1", in.Get("SIP-If-Match"))
	until(t, "published", func() bool { return x.Status().ETag == "t2" })
	x.Remove()
	require.Equal(t, "0", server.Want(t, siptest.Is("PUBLISH")).Get("Expires"))
	until(t, "removed", func() bool { return x.Status().State == PostEnded })
	server.AssertClean(t)

	phone := r.phone("tcp")
	publish := func(headers ...string) *siptest.Message {
		t.Helper()
		req := phone.NewRequest("PUBLISH", "sip:otto@voice.example", "Event: presence", "Expires: 600", "Contact:")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			req.Set(name, value)
		}
		if !strings.Contains(strings.Join(headers, " "), "SIP-If-Match") {
			req.Add("Content-Type", pidfType)
			req.Body = []byte("<phone/>")
		}
		res, err := phone.Do(r.deadline(), req)
		require.NoError(t, err)
		return res
	}
	res := publish()
	require.Equal(t, 200, res.Status)
	res = publish("SIP-If-Match: " + res.Get("SIP-ETag"))
	require.Equal(t, 200, res.Status)
	require.Equal(t, 412, publish("SIP-If-Match: other").Status)
	require.Equal(t, 200, publish("SIP-If-Match: "+res.Get("SIP-ETag"), "Expires: 0").Status)
	require.Equal(t, 489, publish("Event: dialog").Status)
	require.Equal(t, 423, publish("Expires: 5").Status)
	phone.AssertClean(t)
}

// TestFlood: many watchers at once, all are told the last state, and a dead one holds up
// nobody.
func TestFlood(t *testing.T) {
	r := newRig(t, func(c *ua.Config) { c.Timers = ua.Timers{} }) // the dead one is dead for 32 s
	const each = 50
	phones := make([]*siptest.UA, 4)
	for i := range phones {
		phones[i] = r.phone([]string{"udp", "tcp"}[i%2])
		phones[i].Answer(siptest.Is("NOTIFY"), siptest.Status(200))
	}
	dead := r.phone("udp")
	dead.Answer(siptest.Is("NOTIFY"), siptest.Silent())
	var wg sync.WaitGroup
	for _, phone := range slices.Concat(phones, []*siptest.UA{dead}) {
		wg.Go(func() {
			for i := range each {
				req := phone.NewRequest("SUBSCRIBE", fmt.Sprintf("sip:m%d@chat.example", i), "Event: presence", "Expires: 600", "Contact: <"+phone.ContactURI()+">")
				if res, err := phone.Do(r.deadline(), req); err != nil || res.Status != 200 {
					t.Errorf("SUBSCRIBE: %v %v", res, err)
				}
			}
		})
	}
	wg.Wait()
	until(t, "Subscribed", func() bool {
		r.watchers.mu.Lock()
		defer r.watchers.mu.Unlock()
		return len(r.watchers.subs) == each*(len(phones)+1)
	})
	for i := range 5 {
		for _, s := range r.watchers.subs {
			if err := s.Notify(active(fmt.Sprint("state ", i))); err != nil {
				require.ErrorIs(t, err, ErrEnded) // one of the dead phone's
			}
		}
	}
	for _, phone := range phones {
		last := map[string]string{}
		for len(last) < each || !all(last, "state 4") {
			in, err := phone.Expect(r.deadline(), siptest.Is("NOTIFY"))
			require.NoError(t, err)
			last[in.Get("Call-ID")] = string(in.Body)
		}
		phone.AssertClean(t)
	}
	require.Equal(t, each*(len(phones)+1), r.notifier.Len())
}

func all(m map[string]string, want string) bool {
	for _, v := range m {
		if v != want {
			return false
		}
	}
	return true
}

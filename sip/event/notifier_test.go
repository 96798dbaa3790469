package event

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// fakeOwner remembers what it is told and may answer.
type fakeOwner struct {
	mu         sync.Mutex
	log        []string
	subs       []*Subscription
	last       Subscribed
	subscribed func(Subscribed)
	refreshed  func(*Subscription, Refreshed)
}

// on sets what the owner does; nil: nothing.
func (o *fakeOwner) on(subscribed func(Subscribed), refreshed func(*Subscription, Refreshed)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.subscribed, o.refreshed = subscribed, refreshed
}

func (o *fakeOwner) Subscribed(s Subscribed) {
	o.note("subscribed %s by %s for %v", s.Resource.Key(), s.Watcher.URI.Key(), s.Expires)
	o.mu.Lock()
	o.subs, o.last = append(o.subs, s.Subscription), s
	f := o.subscribed
	o.mu.Unlock()
	if f != nil {
		f(s)
	}
}

func (o *fakeOwner) Refreshed(s *Subscription, r Refreshed) {
	o.note("refreshed for %v", r.Expires)
	o.mu.Lock()
	f := o.refreshed
	o.mu.Unlock()
	if f != nil {
		f(s, r)
	}
}

func (o *fakeOwner) Ended(_ *Subscription, e Ended) { o.note("ended %v %d", e.Cause, e.Code) }

func (o *fakeOwner) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, fmt.Sprintf(format, args...))
}

func (o *fakeOwner) events() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log
	o.log = nil
	return l
}

const pidfType = "application/pidf+xml"

// desk is a notifier with its fakes.
type desk struct {
	t     *testing.T
	n     *Notifier
	net   *fakeSender
	owner *fakeOwner
	tags  int
}

func newDesk(t *testing.T, change ...func(*NotifierConfig)) *desk {
	d := &desk{t: t, net: &fakeSender{}, owner: &fakeOwner{}}
	cfg := NotifierConfig{Sender: d.net, Packages: []Package{
		{Name: "presence", Accept: []string{pidfType, "multipart/related"}, Bodies: []string{"application/simple-filter+xml"}, Owner: d.owner},
		{Name: "presence.winfo", Accept: []string{"application/watcherinfo+xml"}, Owner: d.owner},
	}}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	d.n, err = NewNotifier(cfg)
	require.NoError(t, err)
	return d
}

// run starts it inside a bubble.
func (d *desk) run() (stop func()) { return runUntilStop(d.t, d.n.Run) }

var subscribeDefaults = []string{
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1", "Max-Forwards: 70",
	"From: \"Otto\" <sip:otto@voice.example>;tag=f1", "To: <sip:mira@chat.example>", "Call-ID: c1", "CSeq: 1 SUBSCRIBE",
	"Contact: <sip:otto@192.0.2.9:5060>", "Event: presence", "Expires: 3600", "Accept: " + pidfType,
}

// send is Handle without a socket.
func (d *desk) send(change ...string) sip.Status {
	d.t.Helper()
	return d.sendFrom(func(*arrival) {}, change...)
}

func (d *desk) sendFrom(mod func(*arrival), change ...string) sip.Status {
	d.t.Helper()
	d.tags++
	a := arrived(lines(d.t, "SUBSCRIBE", subscribeDefaults, change), fmt.Sprintf("n%d", d.tags))
	mod(&a)
	st, s := d.n.take(&a, sip.NameAddr{})
	if s != nil {
		s.answered()
	}
	return st
}

// subscribe makes a subscription and returns it.
func (d *desk) subscribe(change ...string) *Subscription {
	d.t.Helper()
	before := len(d.owner.subs)
	require.Equal(d.t, 200, d.send(change...).Code)
	require.Len(d.t, d.owner.subs, before+1)
	return d.owner.subs[before]
}

// inDialog is the change of lines for a SUBSCRIBE in the dialog of s.
func inDialog(s *Subscription, cseq int, change ...string) []string {
	return append([]string{"To: <sip:mira@chat.example>;tag=" + s.ID(), fmt.Sprintf("CSeq: %d SUBSCRIBE", cseq), "URI: sip:mira@192.0.2.1:5060"}, change...)
}

func active(body string) Notification {
	return Notification{State: sip.SubscriptionActive, ContentType: pidfType, Body: []byte(body)}
}

func TestSubscribeAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		change []string
		code   int
		want   []string // header lines of the answer
	}{
		{"accepted", nil, 200, []string{"Expires: 3600", "Contact: <sip:mira@192.0.2.1:5060>", "Allow-Events: presence, presence.winfo"}},
		{"default duration", []string{"Expires:"}, 200, []string{"Expires: 3600"}},
		{"unreadable duration is none", []string{"Expires: soon"}, 200, []string{"Expires: 3600"}},
		{"huge duration", []string{"Expires: 99999999999999999999"}, 200, []string{"Expires: 7200"}},
		{"shortened", []string{"Expires: 7201"}, 200, []string{"Expires: 7200"}},
		{"at the minimum", []string{"Expires: 60"}, 200, []string{"Expires: 60"}},
		{"poll", []string{"Expires: 0"}, 200, []string{"Expires: 0"}},
		{"too brief", []string{"Expires: 59"}, 423, []string{"Min-Expires: 60"}},
		{"unknown package", []string{"Event: conference"}, 489, []string{"Allow-Events: presence, presence.winfo"}},
		{"packages are case-sensitive", []string{"Event: Presence"}, 489, nil},
		{"no event", []string{"Event:"}, 489, nil},
		{"broken event", []string{"Event: pres ence"}, 489, nil},
		{"compact event", []string{"Event:", "o: presence"}, 200, nil},
		{"event id", []string{"Event: presence;id=7"}, 200, nil},
		{"two events", []string{"Event: presence", "o: presence"}, 489, nil},
		{"unknown dialog", []string{"To: <sip:mira@chat.example>;tag=nobody"}, 481, nil},
		{"sips request-uri", []string{"URI: sips:mira@chat.example"}, 416, nil},
		{"sips to", []string{"To: <sips:mira@chat.example>"}, 416, nil},
		{"no accept", []string{"Accept:"}, 200, nil},
		{"accept all", []string{"Accept: */*"}, 200, nil},
		{"accept a class", []string{"Accept: application/*"}, 200, nil},
		{"accept another class", []string{"Accept: text/*"}, 406, []string{"Accept: application/pidf+xml, multipart/related"}},
		{"accept other types", []string{"Accept: application/xpidf+xml, text/plain"}, 406, nil},
		{"accept several", []string{"Accept: application/xpidf+xml, " + pidfType + ";level=1"}, 200, nil},
		{"accept not this", []string{"Accept: " + pidfType + ";q=0.0"}, 406, nil},
		{"no contact", []string{"Contact:"}, 400, nil},
		{"two contacts", []string{"Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>"}, 400, nil},
		{"star contact", []string{"Contact: *"}, 400, nil},
		{"tel contact", []string{"Contact: <tel:+4930>"}, 400, nil},
		{"broken contact", []string{"Contact: <sip:otto@>>"}, 400, nil},
		{"broken record-route", []string{"Record-Route: <sip:>"}, 400, nil},
		{"filter", []string{"Content-Type: application/simple-filter+xml", "Body: <filter-set/>"}, 200, nil},
		{"unknown body", []string{"Content-Type: text/plain", "Body: hello"}, 415, []string{"Accept: application/simple-filter+xml"}},
		{"unknown optional body", []string{"Content-Type: text/plain", "Content-Disposition: session;handling=optional", "Body: hello"}, 200, nil},
		{"endless dialog state", []string{"Call-ID: " + strings.Repeat("x", 5000)}, 513, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			st := d.send(c.change...)
			require.Equal(t, c.code, st.Code, st)
			for _, w := range c.want {
				name, value, _ := strings.Cut(w, ": ")
				require.Equal(t, value, valueOf(st, name))
			}
			held := 0
			if c.code == 200 {
				held = 1
			}
			require.Equal(t, held, d.n.Len())
			require.Len(t, d.owner.subs, held)
		})
	}
}

func TestSubscribedTellsAll(t *testing.T) {
	d := newDesk(t, func(c *NotifierConfig) {
		c.Admit = func(s *Subscribe) Admission {
			if s.Resource.User == "nobody" {
				return Admission{Refuse: &sip.Status{Code: 404}}
			}
			return Admission{Require: "eventlist"}
		}
	})
	require.Equal(t, 404, d.send("URI: sip:nobody@chat.example").Code)
	require.Zero(t, d.n.Len())
	st := d.send("Event: presence;id=x", "Supported: eventlist", "Accept: "+pidfType+", multipart/related", "User-Agent: phone/1",
		"Content-Type: application/simple-filter+xml", "Body: <f/>", "URI: sip:list@chat.example", "Expires: 100")
	require.Equal(t, 200, st.Code)
	require.Equal(t, "eventlist", valueOf(st, "Require"))
	s := d.owner.last
	require.Equal(t, "presence", s.Package)
	require.Equal(t, "x", s.EventID)
	require.Equal(t, "sip:list@chat.example", s.Resource.String())
	require.Equal(t, "sip:mira@chat.example", s.To.String())
	require.Equal(t, "Otto", s.Watcher.Display)
	require.Equal(t, []string{pidfType, "multipart/related"}, s.Accept)
	require.True(t, s.EventList)
	require.Equal(t, "<f/>", string(s.Body))
	require.Equal(t, "phone/1", s.UserAgent)
	require.Equal(t, 100*time.Second, s.Expires)
	require.False(t, s.Poll())
	require.Equal(t, "sip:list@chat.example", s.Subscription.Resource().String())
	require.Equal(t, "sip:otto@voice.example", s.Subscription.Watcher().String())
	require.True(t, s.Subscription.Accepts("multipart/related"))
	require.False(t, s.Subscription.Accepts("text/plain"))

	// A watcher that the caller has found out is not who From says.
	a := arrived(lines(t, "SUBSCRIBE", subscribeDefaults, nil), "n99")
	st, sub := d.n.take(&a, sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "asserted", Host: "pbx.example"}})
	require.Equal(t, 200, st.Code)
	require.Equal(t, "sip:asserted@pbx.example", sub.Watcher().String())
	require.Equal(t, "sip:otto@voice.example", sub.Record().Remote)
}

func TestNotifyRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t, func(c *NotifierConfig) {
			c.Credentials = func(r sip.URI) *ua.Credentials { return &ua.Credentials{Username: r.User} }
		})
		defer d.run()()
		s := d.subscribe("Event: presence;id=7", "Record-Route: <sip:p2.example;lr>", "Record-Route: <sip:p1.example;lr>")
		pass(10 * time.Second)
		require.Empty(t, d.net.requests()[1:], "silence is told once")
		require.NoError(t, s.Notify(Notification{State: sip.SubscriptionActive, ContentType: pidfType, Body: []byte("<presence/>"), Language: "en"}))
		pass(5 * time.Second)
		req := d.net.one(t)
		require.Equal(t, "sip:otto@192.0.2.9:5060", sip.RequestURI(req.Request).String())
		require.Equal(t, s.ID(), sip.FromTag(req.Request))
		require.Equal(t, "f1", sip.ToTag(req.Request))
		require.Equal(t, "c1", sip.CallID(req.Request))
		require.Equal(t, "<sip:mira@192.0.2.1:5060>", req.value("Contact"))
		require.Equal(t, "presence;id=7", req.value("Event"))
		require.Equal(t, "active;expires=3585", req.value("Subscription-State"))
		require.Equal(t, pidfType, sip.ContentType(req.Request))
		require.Equal(t, "en", req.value("Content-Language"))
		require.Equal(t, "<presence/>", string(req.Body()))
		seq, _ := sip.CSeq(req.Request)
		require.Equal(t, uint32(2), seq)
		require.Equal(t, "<sip:p2.example;lr>, <sip:p1.example;lr>", routesText(req.target.Routes))
		require.True(t, req.target.URI.IsZero())
		require.Equal(t, "mira", req.target.Credentials.Username)
	})
}

// TestWay is where NOTIFYs go: to the contact, over the connection, or to the source.
func TestWay(t *testing.T) {
	tcp := func(a *arrival) {
		a.transport = "tcp"
		a.flow = ua.Flow{Transport: "tcp", Local: a.flow.Local, Remote: a.flow.Remote, ID: 7}
	}
	for _, c := range []struct {
		name   string
		mod    func(*arrival)
		change []string
		flow   string // transport of it, "" for none
		dead   bool
	}{
		{"contact is the source", nil, nil, "", false},
		{"rport", nil, []string{"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1;rport=5060"}, "udp", false},
		{"nat", nil, []string{"Contact: <sip:otto@10.0.0.4:5060>"}, "udp", false},
		{"other port", nil, []string{"Contact: <sip:otto@192.0.2.9:5066>"}, "udp", false},
		{"host name", nil, []string{"Contact: <sip:otto@phone.example>"}, "udp", false},
		{"through a proxy", nil, []string{"Contact: <sip:otto@10.0.0.4:5060>", "Also: SIP/2.0/UDP 10.0.0.4;branch=z9hG4bK2"}, "", false},
		{"record-routed", nil, []string{"Contact: <sip:otto@10.0.0.4:5060>", "Record-Route: <sip:p.example;lr>"}, "", false},
		{"connection", tcp, nil, "tcp", false},
		{"closed connection", tcp, nil, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.run()()
				if c.mod == nil {
					c.mod = func(*arrival) {}
				}
				var flow ua.Flow
				require.Equal(t, 200, d.sendFrom(func(a *arrival) { c.mod(a); flow = a.flow }, c.change...).Code)
				if c.dead {
					d.net.dead = map[ua.Flow]bool{flow: true}
				}
				require.NoError(t, d.owner.subs[0].Notify(active("x")))
				pass(0)
				got := d.net.one(t).target
				require.Equal(t, c.flow, got.Flow.Transport)
				if c.flow != "" {
					require.Equal(t, flow, got.Flow)
				}
			})
		})
	}
}

func TestCoalescing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		s := d.subscribe()
		start := time.Now()
		require.NoError(t, s.Notify(Notification{State: sip.SubscriptionPending}))
		pass(0)
		require.Equal(t, "pending;expires=3600", d.net.one(t).value("Subscription-State"), "the first goes out at once")
		for i := range 40 { // ten seconds of changes
			require.NoError(t, s.Notify(active(fmt.Sprint(i))))
			pass(250 * time.Millisecond)
		}
		pass(10 * time.Second)
		var got []string
		for _, r := range d.net.requests() {
			got = append(got, fmt.Sprintf("%v %s", r.at.Sub(start), r.Body()))
		}
		require.Equal(t, []string{"5s 19", "10s 39"}, got, "one in five seconds, the last state always")

		require.NoError(t, s.Notify(active("a")))
		pass(time.Second)
		d.net.requests()
		require.NoError(t, s.Notify(active("b")))
		require.NoError(t, s.Notify(Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonRejected}))
		pass(0)
		require.Equal(t, "terminated;reason=rejected", d.net.one(t).value("Subscription-State"), "an end goes out at once and is the last")
		require.ErrorIs(t, s.Notify(active("c")), ErrEnded)
		pass(time.Hour)
		require.Empty(t, d.net.requests())
		require.Zero(t, d.n.Len())
		require.Equal(t, "ended told 0", d.owner.events()[1])
	})
}

// TestOneOutstanding: while a NOTIFY has no answer, others wait and are merged.
func TestOneOutstanding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t, func(c *NotifierConfig) { c.Packages[0].Interval = time.Millisecond })
		defer d.run()()
		s := d.subscribe()
		d.net.script(func(req *sip.Request) (*sip.Response, error) {
			time.Sleep(20 * time.Second)
			return reply(req, sip.Status{Code: 200}), nil
		})
		for i := range 30 {
			require.NoError(t, s.Notify(active(fmt.Sprint(i))))
			pass(time.Second)
		}
		pass(time.Minute)
		var got []string
		for _, r := range d.net.requests() {
			got = append(got, string(r.Body()))
		}
		require.Equal(t, []string{"0", "19", "29"}, got)

		// An end waits for the answer too, and is not lost.
		require.NoError(t, s.Notify(active("x")))
		pass(time.Second)
		require.NoError(t, s.Notify(Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonDeactivated}))
		pass(time.Second)
		require.Len(t, d.net.requests(), 1)
		pass(time.Minute)
		require.Equal(t, "terminated;reason=deactivated", d.net.one(t).value("Subscription-State"))
	})
}

func TestStates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		for _, c := range []struct {
			n    Notification
			want string
		}{
			{Notification{State: sip.SubscriptionPending}, "pending;expires=3600"},
			{Notification{}, "pending;expires=3600"},
			{active("x"), "active;expires=3600"},
			{Notification{State: sip.SubscriptionTerminated}, "terminated"},
			{Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonGiveUp, RetryAfter: 86400 * time.Second}, "terminated;reason=giveup;retry-after=86400"},
			{Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonProbation, RetryAfter: 1500 * time.Millisecond}, "terminated;reason=probation;retry-after=2"},
			{Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonNoResource}, "terminated;reason=noresource"},
		} {
			s := d.subscribe()
			require.NoError(t, s.Notify(c.n))
			pass(0)
			require.Equal(t, c.want, d.net.one(t).value("Subscription-State"))
		}
		require.Equal(t, 3, d.n.Len())
	})
}

// TestPoll: one NOTIFY, whatever its owner says.
func TestPoll(t *testing.T) {
	for _, c := range []struct {
		name string
		tell *Notification
		want string
		at   time.Duration
	}{
		{"active", &Notification{State: sip.SubscriptionActive, ContentType: pidfType, Body: []byte("x")}, "terminated;reason=timeout", 0},
		{"pending", &Notification{State: sip.SubscriptionPending}, "terminated;reason=timeout", 0},
		{"refused", &Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonRejected}, "terminated;reason=rejected", 0},
		{"silence", nil, "terminated;reason=timeout", 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.run()()
				s := d.subscribe("Expires: 0")
				require.True(t, d.owner.last.Poll())
				require.Equal(t, 481, d.send(inDialog(s, 2)...).Code, "a poll has no dialog to refresh")
				start := time.Now()
				if c.tell != nil {
					require.NoError(t, s.Notify(*c.tell))
				}
				pass(10 * time.Second)
				req := d.net.one(t)
				require.Equal(t, c.at, req.at.Sub(start))
				require.Equal(t, c.want, req.value("Subscription-State"))
				require.Zero(t, d.n.Len())
				require.ErrorIs(t, s.Notify(active("y")), ErrEnded)
				require.Equal(t, []string{"subscribed sip:mira@chat.example by sip:otto@voice.example for 0s", "ended polled 0"}, d.owner.events())
				pass(time.Hour)
				require.Empty(t, d.net.requests())
			})
		})
	}
}

func TestRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		s := d.subscribe("Expires: 600")
		require.NoError(t, s.Notify(active("1")))
		pass(time.Second)
		d.net.requests()
		d.owner.on(nil, func(s *Subscription, _ Refreshed) { require.NoError(t, s.Notify(active("2"))) })

		pass(500 * time.Second)
		st := d.send(inDialog(s, 5, "Expires: 300", "Contact: <sip:otto@192.0.2.9:5060;ob>", "Record-Route: <sip:late.example;lr>")...)
		require.Equal(t, 200, st.Code)
		require.Equal(t, "300", valueOf(st, "Expires"))
		pass(0)
		req := d.net.one(t)
		require.Equal(t, "active;expires=300", req.value("Subscription-State"))
		require.Equal(t, "sip:otto@192.0.2.9:5060;ob", sip.RequestURI(req.Request).String(), "target refresh")
		require.Empty(t, req.target.Routes, "the route set stays (RFC 3261 §12.2)")
		require.Equal(t, "2", string(req.Body()))

		require.Equal(t, 500, d.send(inDialog(s, 4)...).Code, "an older CSeq")
		require.Equal(t, 423, d.send(inDialog(s, 6, "Expires: 5")...).Code)
		require.Equal(t, 481, d.send(inDialog(s, 6, "Call-ID: other")...).Code)
		require.Equal(t, 481, d.send(inDialog(s, 6, "From: <sip:otto@voice.example>;tag=other")...).Code)
		require.Equal(t, 481, d.send(inDialog(s, 6, "Event: presence;id=2")...).Code)
		require.Equal(t, 481, d.send(inDialog(s, 6, "Event: presence.winfo", "Accept:")...).Code)
		require.Equal(t, 489, d.send(inDialog(s, 6, "Event: dialog")...).Code)
		require.Equal(t, 400, d.send(inDialog(s, 6, "Contact: *")...).Code)
		pass(299 * time.Second)
		require.Equal(t, 1, d.n.Len(), "it lives as long as it was refreshed for")
		require.Equal(t, 200, d.send(inDialog(s, 6, "Contact:", "Expires:")...).Code)
		pass(0)
		require.Equal(t, "active;expires=3600", d.net.one(t).value("Subscription-State"))
		require.Equal(t, []string{
			"subscribed sip:mira@chat.example by sip:otto@voice.example for 10m0s", "refreshed for 5m0s", "refreshed for 1h0m0s",
		}, d.owner.events())

		// A change that waits for the interval goes out with the answer to a refresh.
		pass(time.Second)
		require.NoError(t, s.Notify(active("waits")))
		d.owner.on(nil, nil)
		require.Equal(t, 200, d.send(inDialog(s, 7)...).Code)
		pass(0)
		require.Equal(t, "waits", string(d.net.one(t).Body()))
	})
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(d *desk, s *Subscription)
		want string
	}{
		{"expiry", func(d *desk, s *Subscription) { pass(600 * time.Second) }, "ended expired 0"},
		{"unsubscribe", func(d *desk, s *Subscription) {
			require.Equal(d.t, 200, d.send(inDialog(s, 2, "Expires: 0")...).Code)
			require.Equal(d.t, 481, d.send(inDialog(s, 3)...).Code)
			pass(0)
		}, "ended unsubscribed 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.run()()
				s := d.subscribe("Expires: 600")
				require.NoError(t, s.Notify(active("1")))
				pass(0)
				d.net.requests()
				c.do(d, s)
				require.Equal(t, "terminated;reason=timeout", d.net.one(t).value("Subscription-State"))
				require.Equal(t, c.want, d.owner.events()[1])
				require.Zero(t, d.n.Len())
				require.Zero(t, d.n.alarms.len())
				require.ErrorIs(t, s.Notify(active("2")), ErrEnded)
				pass(time.Hour)
				require.Empty(t, d.net.requests())
			})
		})
	}
}

// TestNotifyAnswers is what becomes of the subscription after each answer.
func TestNotifyAnswers(t *testing.T) {
	const (
		lives = ""
		gone  = "ended refused %d"
		lost  = "ended unreachable %d"
	)
	for _, c := range []struct {
		answer func(*sip.Request) (*sip.Response, error)
		code   int
		want   string
		sent   int // NOTIFYs within ten minutes
	}{
		{nil, 200, lives, 1},
		{nil, 202, lives, 1},
		{nil, 204, lives, 1},
		{nil, 404, gone, 1},
		{nil, 405, gone, 1},
		{nil, 410, gone, 1},
		{nil, 416, gone, 1},
		{nil, 480, gone, 1},
		{nil, 481, gone, 1},
		{nil, 482, gone, 1},
		{nil, 483, gone, 1},
		{nil, 484, gone, 1},
		{nil, 485, gone, 1},
		{nil, 489, gone, 1},
		{nil, 501, gone, 1},
		{nil, 604, gone, 1},
		{nil, 408, lost, 1},
		{silent, 0, lost, 1},
		{nil, 400, lives, 1},
		{nil, 401, lives, 1},
		{nil, 403, lives, 1},
		{nil, 406, lives, 1},
		{nil, 413, lives, 1},
		{nil, 415, lives, 1},
		{nil, 420, lives, 1},
		{nil, 488, lives, 1},
		{nil, 603, lives, 1},
		{nil, 302, lives, 1},
		{nil, 500, lives, 4},
		{nil, 503, lives, 4},
		{nil, 486, lives, 4},
		{nil, 491, lives, 4},
		{nil, 600, lives, 4},
		{broken, 0, lives, 4},
		{status(sip.Status{Code: 503, RetryAfter: 4 * time.Minute}), 503, lives, 3},
	} {
		name := fmt.Sprint(c.code)
		if c.answer == nil {
			c.answer = codes(c.code)
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.run()()
				s := d.subscribe()
				d.net.script(c.answer)
				require.NoError(t, s.Notify(active("1")))
				pass(10*time.Minute - time.Second)
				require.Len(t, d.net.requests(), c.sent)
				events := d.owner.events()[1:]
				if c.want == lives {
					require.Empty(t, events)
					require.Equal(t, 1, d.n.Len())
					d.net.script(nil)
					require.NoError(t, s.Notify(active("2")))
					pass(5 * time.Minute)
					require.NotEmpty(t, d.net.requests())
					return
				}
				require.Equal(t, []string{fmt.Sprintf(c.want, c.code)}, events)
				require.Zero(t, d.n.Len())
				require.ErrorIs(t, s.Notify(active("2")), ErrEnded)
			})
		})
	}
}

// TestRetry: what did not get through is sent again after the pause, in its last form.
func TestRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		s := d.subscribe()
		start := time.Now()
		d.net.script(status(sip.Status{Code: 503, RetryAfter: time.Minute}))
		require.NoError(t, s.Notify(active("1")))
		pass(30 * time.Second)
		d.net.script(nil)
		require.NoError(t, s.Notify(active("2")))
		pass(5 * time.Minute)
		var got []string
		for _, r := range d.net.requests() {
			got = append(got, fmt.Sprintf("%v %s", r.at.Sub(start), r.Body()))
		}
		require.Equal(t, []string{"0s 1", "1m0s 2"}, got)

		// An end does not wait for a Retry-After.
		d.net.script(status(sip.Status{Code: 503, RetryAfter: time.Hour}))
		require.NoError(t, s.Notify(active("3")))
		pass(time.Second)
		require.NoError(t, s.Notify(Notification{State: sip.SubscriptionTerminated}))
		pass(0)
		require.Len(t, d.net.requests(), 2)
		require.Zero(t, d.n.Len())
	})
}

// TestWebSocketGone: a browser that has closed its connection cannot be reached again.
func TestWebSocketGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		var flow ua.Flow
		require.Equal(t, 200, d.sendFrom(func(a *arrival) {
			a.transport, a.flow.Transport, a.flow.ID = "wss", "wss", 3
			flow = a.flow
		}, "Contact: <sip:otto@df7jal23ls0d.invalid;transport=ws>").Code)
		s := d.owner.subs[0]
		require.NoError(t, s.Notify(active("1")))
		pass(6 * time.Second)
		require.Equal(t, flow, d.net.one(t).target.Flow)
		d.net.dead = map[ua.Flow]bool{flow: true}
		d.net.script(broken)
		require.NoError(t, s.Notify(active("2")))
		pass(0)
		require.Equal(t, "ended unreachable 0", d.owner.events()[1])
	})
}

// TestAnswerUpdatesDialog: CSeq of an answered challenge, Contact of a 2xx.
func TestAnswerUpdatesDialog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		s := d.subscribe()
		d.net.script(func(req *sip.Request) (*sip.Response, error) {
			res := reply(req, sip.Status{Code: 200, Headers: []sip.Header{header("Contact", "<sip:otto@192.0.2.10:5070>")}})
			n, m := sip.CSeq(req)
			sip.SetCSeq(res, n+1, m)
			return res, nil
		})
		require.NoError(t, s.Notify(active("1")))
		pass(5 * time.Second)
		require.NoError(t, s.Notify(active("2")))
		pass(0)
		list := d.net.requests()
		require.Len(t, list, 2)
		n, _ := sip.CSeq(list[1].Request)
		require.Equal(t, uint32(3), n)
		require.Equal(t, "sip:otto@192.0.2.10:5070", sip.RequestURI(list[1].Request).String())
	})
}

func TestBuild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		s := d.subscribe()
		var versions []uint32
		n := Notification{State: sip.SubscriptionActive, Build: func(v uint32) (string, []byte) {
			versions = append(versions, v)
			require.Equal(t, sip.SubscriptionActive, s.State()) // no lock is held
			return pidfType, []byte(fmt.Sprint("v", v))
		}}
		require.NoError(t, s.Notify(n))
		pass(0)
		for range 2 {
			for range 5 {
				require.NoError(t, s.Notify(n))
			}
			pass(5 * time.Second)
		}
		require.Equal(t, []uint32{0, 1, 2}, versions, "made when it is sent")
		require.Len(t, d.net.requests(), 3)
	})
}

// TestUrgent: a document in pieces does not wait for the interval between them.
func TestUrgent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.run()()
		s := d.subscribe()
		var n Notification
		n = Notification{State: sip.SubscriptionActive, Build: func(v uint32) (string, []byte) {
			if v < 3 {
				n.Urgent = true
				require.NoError(t, s.Notify(n))
			}
			return pidfType, []byte(fmt.Sprint("piece ", v))
		}}
		require.NoError(t, s.Notify(n))
		pass(0)
		require.Len(t, d.net.requests(), 4)
		require.NoError(t, s.Notify(active("news")))
		pass(0)
		require.Empty(t, d.net.requests(), "what is new waits")
		pass(5 * time.Second)
		require.Len(t, d.net.requests(), 1)
	})
}

func TestNotifierLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t, func(c *NotifierConfig) { c.Limits = Limits{Total: 12, PerSource: 6, PerWatcher: 4, PerPair: 2} })
		defer d.run()()
		n := 0
		from := func(ip string) func(*arrival) {
			return func(a *arrival) { a.source = netip.AddrPortFrom(netip.MustParseAddr(ip), 5060) }
		}
		send := func(ip, watcher, resource string) sip.Status {
			n++
			return d.sendFrom(from(ip), fmt.Sprint("Call-ID: l", n), "From: <sip:"+watcher+"@voice.example>;tag=1", "URI: sip:"+resource+"@chat.example")
		}
		require.Equal(t, 200, send("192.0.2.9", "otto", "mira").Code)
		require.Equal(t, 200, send("192.0.2.9", "otto", "mira").Code)
		require.Equal(t, 403, send("192.0.2.9", "otto", "mira").Code, "pair")
		require.Equal(t, 200, send("192.0.2.9", "otto", "m2").Code)
		require.Equal(t, 200, send("192.0.2.9", "otto", "m3").Code)
		require.Equal(t, 403, send("192.0.2.9", "otto", "m4").Code, "watcher")
		require.Equal(t, 200, send("192.0.2.9", "o2", "mira").Code)
		require.Equal(t, 200, send("192.0.2.9", "o3", "mira").Code)
		st := send("192.0.2.9", "o4", "mira")
		require.Equal(t, 503, st.Code, "source")
		require.Positive(t, st.RetryAfter)
		require.Equal(t, 200, send("127.0.0.1", "otto", "mira").Code, "loopback is exempt")
		trusted := func(a *arrival) { a.auth.Kind = ua.AuthTrusted }
		require.Equal(t, 200, d.sendFrom(trusted, "Call-ID: t").Code)
		for i := range 4 {
			require.Equal(t, 200, send("192.0.2.10", fmt.Sprint("x", i), "mira").Code)
		}
		require.Equal(t, 503, send("192.0.2.11", "y", "mira").Code, "total")

		// Ended subscriptions make room, and nothing is left behind.
		for _, s := range d.owner.subs {
			require.NoError(t, s.Notify(Notification{State: sip.SubscriptionTerminated, Reason: sip.ReasonNoResource}))
		}
		pass(time.Second)
		require.Zero(t, d.n.Len())
		require.Empty(t, d.n.pairs)
		require.Empty(t, d.n.watchers)
		require.Empty(t, d.n.sources)
		require.Equal(t, 200, send("192.0.2.9", "otto", "mira").Code)
	})
}

// TestClosed: a notifier that goes down ends nothing.
func TestClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDesk(t)
		stop := d.run()
		s := d.subscribe()
		d.net.script(silent)
		require.NoError(t, s.Notify(active("1")))
		pass(time.Second)
		stop()
		require.Equal(t, 503, d.send("Call-ID: c2").Code)
		require.Equal(t, 503, d.send(inDialog(s, 2)...).Code, "481 would end the subscription")
		require.Len(t, d.owner.events(), 1)
	})
}

func TestNotifierConfig(t *testing.T) {
	owner := &fakeOwner{}
	for _, cfg := range []NotifierConfig{
		{},
		{Sender: &fakeSender{}},
		{Sender: &fakeSender{}, Packages: []Package{{Name: "presence", Owner: owner}}},
		{Sender: &fakeSender{}, Packages: []Package{{Name: "pres ence", Accept: []string{pidfType}, Owner: owner}}},
		{Sender: &fakeSender{}, Packages: []Package{{Name: "presence", Accept: []string{pidfType}}}},
		{Sender: &fakeSender{}, Packages: []Package{
			{Name: "presence", Accept: []string{pidfType}, Owner: owner}, {Name: "presence", Accept: []string{pidfType}, Owner: owner},
		}},
	} {
		_, err := NewNotifier(cfg)
		require.ErrorIs(t, err, ErrConfig)
	}
}

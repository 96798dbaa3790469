package event

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// fakeWatcher remembers what it is told.
type fakeWatcher struct {
	mu    sync.Mutex
	log   []string
	last  WatchStatus
	notes []Notified
}

func (o *fakeWatcher) WatchChanged(_ *Watch, s WatchStatus) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := s.State.String()
	if s.Code != 0 {
		l += fmt.Sprint(" ", s.Code)
	}
	if s.Reason != "" {
		l += " " + string(s.Reason)
	}
	if s.Next != 0 {
		l += " " + s.Next.Round(time.Second).String()
	}
	o.log, o.last = append(o.log, l), s
}

func (o *fakeWatcher) Notified(_ *Watch, n Notified) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, fmt.Sprintf("%s: %s %s", n.Dialog, n.State, n.Body))
	o.notes = append(o.notes, n)
}

// events are what was told since the last call.
func (o *fakeWatcher) events() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.log
	o.log = nil
	return l
}

// station is a subscriber with its fakes.
type station struct {
	t     *testing.T
	s     *Subscriber
	net   *fakeSender
	owner *fakeWatcher
}

func newStation(t *testing.T, change ...func(*SubscriberConfig)) *station {
	st := &station{t: t, net: &fakeSender{}, owner: &fakeWatcher{}}
	cfg := SubscriberConfig{Sender: st.net}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	st.s, err = NewSubscriber(cfg)
	require.NoError(t, err)
	return st
}

func (st *station) run() (stop func()) { return runUntilStop(st.t, st.s.Run) }

func (st *station) options() WatchOptions {
	return WatchOptions{
		From: sip.NameAddr{Display: "Mira", URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}},
		To:   sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}, Package: "presence", Accept: []string{pidfType}, Owner: st.owner,
	}
}

// watch subscribes and returns the Watch and the SUBSCRIBE.
func (st *station) watch(change ...func(*WatchOptions)) (*Watch, sentRequest) {
	st.t.Helper()
	o := st.options()
	for _, f := range change {
		f(&o)
	}
	w, err := st.s.Subscribe(o)
	require.NoError(st.t, err)
	pass(0)
	return w, st.net.one(st.t)
}

// notify is a NOTIFY for a SUBSCRIBE of ours, from a notifier with that tag.
func (st *station) notify(sub sentRequest, tag string, cseq int, state string, change ...string) sip.Status {
	st.t.Helper()
	defaults := []string{
		"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1", "Max-Forwards: 70", "From: <sip:otto@voice.example>;tag=" + tag,
		"To: <sip:mira@chat.example>;tag=" + sip.FromTag(sub.Request), "Call-ID: " + sip.CallID(sub.Request), fmt.Sprintf("CSeq: %d NOTIFY", cseq),
		"Contact: <sip:otto@192.0.2.9:5060>", "Event: presence", "Subscription-State: " + state,
	}
	a := arrived(lines(st.t, "NOTIFY", defaults, change), "")
	status, w := st.s.take(&a)
	if w != nil {
		w.settle()
	}
	return status
}

// next waits for the next request, second by second.
func (st *station) next(limit time.Duration) sentRequest {
	st.t.Helper()
	for end := time.Now().Add(limit); ; pass(time.Second) {
		if r, ok := st.net.pop(); ok {
			return r
		}
		require.False(st.t, time.Now().After(end), "no request")
	}
}

func document(body string) []string { return []string{"Content-Type: " + pidfType, "Body: " + body} }

func (st *station) ok(s sip.Status) {
	st.t.Helper()
	require.Equal(st.t, 200, s.Code, s)
}

func TestSubscribeRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t, func(c *SubscriberConfig) {
			c.Node = "n1.chat.example"
			c.Route = func(from, to sip.URI) (Hop, error) {
				return Hop{Target: ua.Target{URI: sip.URI{Scheme: "sip", Host: "sbc.example"}, Credentials: &ua.Credentials{Username: to.User}}}, nil
			}
		})
		defer st.run()()
		w, req := st.watch(func(o *WatchOptions) {
			o.EventList, o.EventID, o.Accept = true, "7", append(o.Accept, "multipart/related")
		})
		require.Equal(t, "sip:otto@voice.example", sip.RequestURI(req.Request).String())
		require.Equal(t, `"Mira" <sip:mira@chat.example>;tag=`+sip.FromTag(req.Request), req.value("From"))
		require.Empty(t, sip.ToTag(req.Request))
		require.True(t, strings.HasSuffix(sip.CallID(req.Request), "@n1.chat.example"))
		require.Equal(t, "presence;id=7", req.value("Event"))
		require.Equal(t, "3600", req.value("Expires"))
		require.Equal(t, pidfType+", multipart/related", req.value("Accept"))
		require.Equal(t, "eventlist", req.value("Supported"))
		require.Equal(t, "<sip:mira@192.0.2.1:5060>", req.value("Contact"))
		require.Equal(t, "sbc.example", req.target.URI.Host)
		require.Equal(t, "otto", req.target.Credentials.Username)
		require.Equal(t, "sip:otto@voice.example", w.To().String())
		require.Equal(t, "sip:mira@chat.example", w.From().String())
		require.Equal(t, WatchSubscribing, w.Status().State, "202 is not subscribed")
	})
}

// TestWatchLife: pending, active, refresh, unsubscribe.
func TestWatchLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		st.net.script(status(sip.Status{Code: 202, Headers: []sip.Header{header("Expires", "600")}}))
		w, sub := st.watch()
		require.Equal(t, []string{"subscribing"}, st.owner.events())
		st.ok(st.notify(sub, "p", 1, "pending;expires=600"))
		st.ok(st.notify(sub, "p", 2, "active;expires=599", document("<1/>")...))
		st.ok(st.notify(sub, "p", 5, "active;expires=598", document("<2/>")...))
		require.Equal(t, []string{"pending", "p: pending ", "active", "p: active <1/>", "p: active <2/>"}, st.owner.events())
		require.Equal(t, []string{"p"}, st.owner.notes[2].Live)
		require.Equal(t, uint32(5), st.owner.notes[2].Version)
		require.Equal(t, pidfType, st.owner.notes[2].ContentType)

		// The refresh is in the dialog, at 85–90 % of what was granted.
		start := time.Now()
		st.net.script(status(sip.Status{Code: 200, Headers: []sip.Header{header("Expires", "600"), header("Contact", "<sip:otto@192.0.2.10>")}}))
		req := st.next(541 * time.Second)
		require.GreaterOrEqual(t, req.at.Sub(start), 508*time.Second)
		require.LessOrEqual(t, req.at.Sub(start), 540*time.Second)
		require.Equal(t, "sip:otto@192.0.2.9:5060", sip.RequestURI(req.Request).String())
		require.Equal(t, "p", sip.ToTag(req.Request))
		require.Equal(t, sip.CallID(sub.Request), sip.CallID(req.Request))
		require.Equal(t, sip.FromTag(sub.Request), sip.FromTag(req.Request))
		n, _ := sip.CSeq(req.Request)
		require.Equal(t, uint32(2), n)
		require.Equal(t, "3600", req.value("Expires"))
		require.Equal(t, []string{"active"}, st.owner.events(), "the record has changed")
		st.ok(st.notify(sub, "p", 6, "active;expires=600", "Contact: <sip:otto@192.0.2.11>"))
		require.Equal(t, []string{"p: active "}, st.owner.events())

		w.Unsubscribe()
		pass(0)
		req = st.net.one(t)
		require.Equal(t, "0", req.value("Expires"))
		require.Equal(t, "sip:otto@192.0.2.11", sip.RequestURI(req.Request).String())
		st.ok(st.notify(sub, "p", 7, "active;expires=100", document("late")...))
		st.ok(st.notify(sub, "p", 8, "terminated;reason=timeout", document("end")...))
		require.Equal(t, []string{"ending", "terminated timeout"}, st.owner.events(), "what is not wanted any more is not told")
		require.Equal(t, 481, st.notify(sub, "p", 9, "active").Code)
		require.Zero(t, st.s.Len())
		require.Empty(t, st.s.byCall)
		w.Unsubscribe()
		w.Refresh()
		pass(2 * time.Hour)
		require.Empty(t, st.net.requests())
		require.Zero(t, st.s.alarms.len())
	})
}

// TestFirstAnswers is the fate of the first SUBSCRIBE by its answer.
func TestFirstAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(*sip.Request) (*sip.Response, error)
		want   []string // prefixes
	}{
		{"403", codes(403), []string{"terminated 403"}},
		{"603", codes(603), []string{"terminated 603"}},
		{"404", codes(404), []string{"terminated 404"}},
		{"489", codes(489), []string{"terminated 489"}},
		{"405", codes(405), []string{"terminated 405"}},
		{"501", codes(501), []string{"terminated 501"}},
		{"407 that the credentials did not answer", codes(407), []string{"terminated 407"}},
		{"302", codes(302), []string{"terminated 302"}},
		{"423 without Min-Expires", codes(423), []string{"terminated 423"}},
		{"480", codes(480), []string{"waiting 480 "}},
		{"503 with Retry-After", status(sip.Status{Code: 503, RetryAfter: 2 * time.Hour}), []string{"waiting 503 2h"}},
		{"500", codes(500), []string{"waiting 500 "}},
		{"transport", broken, []string{"waiting "}},
		{"timeout", silent, []string{"waiting "}},
		{"no NOTIFY", codes(200), []string{"waiting "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newStation(t)
				defer st.run()()
				st.net.script(c.answer)
				w, first := st.watch()
				if c.name == "timeout" || c.name == "no NOTIFY" {
					pass(32 * time.Second)
				}
				got := st.owner.events()
				require.Len(t, got, 2, "%q", got)
				require.True(t, strings.HasPrefix(got[1], c.want[0]), "%q", got)
				require.Equal(t, 481, st.notify(first, "p", 1, "active").Code, "the attempt is over")
				if w.Status().State == WatchTerminated {
					require.Zero(t, st.s.Len())
					pass(48 * time.Hour)
					require.Empty(t, st.net.requests(), "final means final")
					return
				}
				// The next attempt has another Call-ID and tag.
				next := w.Status().Next
				require.Positive(t, next)
				require.Empty(t, st.net.requests())
				st.net.script(nil)
				pass(next + time.Second)
				second := st.net.one(t)
				require.NotEqual(t, sip.CallID(first.Request), sip.CallID(second.Request))
				require.NotEqual(t, sip.FromTag(first.Request), sip.FromTag(second.Request))
				st.ok(st.notify(second, "q", 1, "active;expires=3600"))
				require.Equal(t, WatchActive, w.Status().State)
			})
		})
	}
}

// TestBackoff: failures in a row make the pauses longer, up to an hour.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		st.net.script(codes(500))
		_, first := st.watch()
		pass(12 * time.Hour)
		list := st.net.requests()
		require.Less(t, len(list), 32)
		last := first.at
		for i, r := range list {
			pause := r.at.Sub(last)
			last = r.at
			full := min(30*time.Second<<min(i, 10), time.Hour)
			require.GreaterOrEqual(t, pause, full/2, i)
			require.LessOrEqual(t, pause, full+time.Second, i)
		}
	})
}

func TestMinExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		st.net.script(func(req *sip.Request) (*sip.Response, error) {
			if sip.Value(req, "Expires") != "1800" {
				return reply(req, sip.Status{Code: 423, Headers: []sip.Header{header("Min-Expires", "1800")}}), nil
			}
			return reply(req, sip.Status{Code: 200}), nil
		})
		o := st.options()
		o.Expires = 300 * time.Second
		w, err := st.s.Subscribe(o)
		require.NoError(t, err)
		pass(time.Second)
		list := st.net.requests()
		require.Len(t, list, 2)
		require.Equal(t, sip.CallID(list[0].Request), sip.CallID(list[1].Request), "the same attempt")
		a, _ := sip.CSeq(list[0].Request)
		b, _ := sip.CSeq(list[1].Request)
		require.Equal(t, []uint32{1, 2}, []uint32{a, b})
		require.Equal(t, WatchSubscribing, w.Status().State)
		st.ok(st.notify(list[1], "p", 1, "active;expires=1800"))

		// Once only; and not for ever.
		for _, least := range []string{"900", "99999999"} {
			st2 := newStation(t)
			stop := st2.run()
			st2.net.script(status(sip.Status{Code: 423, Headers: []sip.Header{header("Min-Expires", least)}}))
			o.Owner = st2.owner
			w, err = st2.s.Subscribe(o)
			require.NoError(t, err)
			pass(time.Minute)
			require.Equal(t, WatchTerminated, w.Status().State)
			require.LessOrEqual(t, len(st2.net.requests()), 2)
			stop()
		}
	})
}

// TestReasonsOfAnEnd: what follows a terminated NOTIFY.
func TestReasonsOfAnEnd(t *testing.T) {
	for _, c := range []struct {
		state    string
		min, max time.Duration // until the next SUBSCRIBE; 0: never
	}{
		{"terminated;reason=deactivated", 1, time.Second},
		{"terminated;reason=timeout", 1, time.Second},
		{"terminated;reason=probation", 60 * time.Second, 66 * time.Second},
		{"terminated;reason=probation;retry-after=300", 300 * time.Second, 330 * time.Second},
		{"terminated;reason=giveup;retry-after=86400", 86400 * time.Second, 95040 * time.Second},
		{"terminated;reason=giveup", 60 * time.Second, 66 * time.Second},
		{"terminated", 60 * time.Second, 66 * time.Second},
		{"terminated;reason=strange;retry-after=10", 10 * time.Second, 11 * time.Second},
		{"terminated;reason=rejected", 0, 0},
		{"terminated;reason=noresource", 0, 0},
		{"terminated;reason=invariant", 0, 0},
	} {
		for _, lived := range []bool{true, false} { // as the first NOTIFY as well
			t.Run(fmt.Sprint(c.state, lived), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					st := newStation(t)
					defer st.run()()
					w, sub := st.watch()
					n := 1
					if lived {
						st.ok(st.notify(sub, "p", n, "active;expires=3600"))
						pass(2 * time.Minute)
						n++
					}
					st.owner.events()
					st.ok(st.notify(sub, "p", n, c.state, document("last")...))
					require.Equal(t, "p: terminated last", st.owner.events()[0], "the document of the last NOTIFY counts")
					require.Empty(t, st.owner.notes[len(st.owner.notes)-1].Live)
					end := time.Now()
					if c.max == 0 {
						require.Equal(t, WatchTerminated, w.Status().State)
						pass(72 * time.Hour)
						require.Empty(t, st.net.requests())
						return
					}
					require.Equal(t, WatchWaiting, w.Status().State)
					next := st.next(c.max)
					require.GreaterOrEqual(t, next.at.Sub(end), c.min-1)
					require.NotEqual(t, sip.CallID(sub.Request), sip.CallID(next.Request))
					require.Empty(t, sip.ToTag(next.Request))
				})
			})
		}
	}
}

// TestNoLoop: a notifier that ends every subscription at once is not asked at once for ever.
func TestNoLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		_, sub := st.watch()
		count := 0
		for end := time.Now().Add(time.Hour); time.Now().Before(end); {
			st.ok(st.notify(sub, "p", 1, "terminated;reason=deactivated"))
			sub = st.next(2 * time.Hour)
			count++
		}
		require.Less(t, count, 12)
	})
}

// TestRefreshAnswers is the fate of a dialog by the answer to its refresh.
func TestRefreshAnswers(t *testing.T) {
	const (
		anew  = "anew"  // a new Call-ID at once
		keep  = "keep"  // lives on, the refresh is tried again in the dialog
		final = "final" // told and over
	)
	for _, c := range []struct {
		name   string
		answer func(*sip.Request) (*sip.Response, error)
		want   string
	}{
		{"481", codes(481, 200), anew},
		{"404", codes(404, 200), anew},
		{"410", codes(410, 200), anew},
		{"489", codes(489, 200), anew},
		{"501", codes(501, 200), anew},
		{"604", codes(604, 200), anew},
		{"480", codes(480, 200), anew},
		{"408", codes(408, 200), anew},
		{"timeout", nil, anew},
		{"500", codes(500), keep},
		{"503", codes(503), keep},
		{"400", codes(400), keep},
		{"403", codes(403), keep},
		{"401", codes(401), keep},
		{"503 with Retry-After", status(sip.Status{Code: 503, RetryAfter: 20 * time.Second}), keep},
		{"404 and again", codes(404), final},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newStation(t)
				defer st.run()()
				w, sub := st.watch()
				st.ok(st.notify(sub, "p", 1, "active;expires=3600"))
				pass(50 * time.Minute)
				if c.answer == nil {
					c.answer = func(req *sip.Request) (*sip.Response, error) {
						if sip.ToTag(req) != "" {
							return silent(req)
						}
						return reply(req, sip.Status{Code: 200}), nil
					}
				}
				st.net.script(c.answer)
				require.Equal(t, "p", sip.ToTag(st.next(4*time.Minute).Request))
				switch c.want {
				case keep:
					require.Equal(t, WatchActive, w.Status().State)
					require.Equal(t, []string{"p"}, w.Status().Live)
					st.net.script(codes(200))
					require.Equal(t, "p", sip.ToTag(st.next(4*time.Minute+30*time.Second).Request))
					st.ok(st.notify(sub, "p", 2, "active;expires=3600"))
					require.Equal(t, WatchActive, w.Status().State)
				case anew:
					fresh := st.next(34 * time.Second)
					require.NotEqual(t, sip.CallID(sub.Request), sip.CallID(fresh.Request))
					require.Empty(t, sip.ToTag(fresh.Request))
					require.Equal(t, 481, st.notify(sub, "p", 2, "active").Code)
					st.ok(st.notify(fresh, "q", 1, "active;expires=3600"))
					require.Equal(t, []string{"q"}, w.Status().Live)
				case final:
					st.next(time.Second)
					require.Equal(t, WatchTerminated, w.Status().State)
					require.Equal(t, 404, w.Status().Code)
				}
			})
		})
	}
}

// TestRefreshNeedsNotify is timer N of a refresh; 204 announces that there is none.
func TestRefreshNeedsNotify(t *testing.T) {
	for code, lives := range map[int]bool{200: false, 204: true} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newStation(t)
				defer st.run()()
				w, sub := st.watch()
				st.ok(st.notify(sub, "p", 1, "active;expires=3600"))
				st.net.script(codes(code, 200))
				w.Refresh()
				pass(31 * time.Second)
				require.Len(t, st.net.requests(), 1)
				require.Equal(t, WatchActive, w.Status().State)
				pass(3 * time.Second)
				require.Equal(t, !lives, len(st.net.requests()) == 1)
			})
		})
	}
}

// TestRefreshBrief: 423 to a refresh, once.
func TestRefreshBrief(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		w, sub := st.watch(func(o *WatchOptions) { o.Expires = 600 * time.Second })
		st.ok(st.notify(sub, "p", 1, "active;expires=600"))
		st.net.script(func(req *sip.Request) (*sip.Response, error) {
			if sip.Value(req, "Expires") == "600" {
				return reply(req, sip.Status{Code: 423, Headers: []sip.Header{header("Min-Expires", "900")}}), nil
			}
			return reply(req, sip.Status{Code: 200}), nil
		})
		w.Refresh()
		pass(time.Second)
		list := st.net.requests()
		require.Len(t, list, 2)
		require.Equal(t, "900", list[1].value("Expires"))
		require.Equal(t, "p", sip.ToTag(list[1].Request))
		st.ok(st.notify(sub, "p", 2, "active;expires=900"))
		pass(700 * time.Second)
		require.Equal(t, WatchActive, w.Status().State)
	})
}

// TestExpiry: what is not refreshed in time is lost and started anew.
func TestExpiry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		w, sub := st.watch()
		st.ok(st.notify(sub, "p", 1, "active;expires=600"))
		st.net.script(func(req *sip.Request) (*sip.Response, error) {
			if sip.ToTag(req) != "" {
				return reply(req, sip.Status{Code: 503, RetryAfter: time.Hour}), nil
			}
			return reply(req, sip.Status{Code: 200}), nil
		})
		pass(599 * time.Second)
		require.Len(t, st.net.requests(), 1)
		require.Equal(t, []string{"p"}, w.Status().Live)
		pass(3 * time.Second)
		require.Empty(t, sip.ToTag(st.net.one(t).Request))
		require.Equal(t, WatchSubscribing, w.Status().State)
		require.Empty(t, w.Status().Live)
	})
}

// TestExpiresRules: who says how long it lasts (RFC 6665 §4.1.2.1, §4.1.3).
func TestExpiresRules(t *testing.T) {
	hour := 3600 * time.Second
	for _, c := range []struct {
		ok, notify string
		want       time.Duration
	}{
		{"3600", "active;expires=3600", hour},
		{"3600", "active;expires=600", 600 * time.Second},
		{"600", "active", 600 * time.Second},
		{"600", "active;expires=600", 600 * time.Second},
		{"", "active", hour},
		{"", "active;expires=7200", hour},
		{"7200", "active", hour},
		{"600", "active;expires=nonsense", 600 * time.Second},
		{"600", "active;expires=0", 600 * time.Second},
	} {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			s := sip.Status{Code: 200}
			if c.ok != "" {
				s.Headers = []sip.Header{header("Expires", c.ok)}
			}
			st.net.script(status(s))
			w, sub := st.watch()
			st.ok(st.notify(sub, "p", 1, c.notify))
			left := w.dialogs[0].expires - st.s.alarms.now()
			require.Equal(t, c.want, left.Round(time.Second), "%+v", c)
		})
	}
}

// TestNotifyAnswersOfOurs is what a NOTIFY is answered with.
func TestNotifyAnswersOfOurs(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  string
		change []string
		code   int
		told   bool
	}{
		{"taken", "active", nil, 200, true},
		{"unknown state is pending", "waiting", nil, 200, true},
		{"other call-id", "active", []string{"Call-ID: other"}, 481, false},
		{"other tag of ours", "active", []string{"To: <sip:mira@chat.example>;tag=other"}, 481, false},
		{"no tag of ours", "active", []string{"To: <sip:mira@chat.example>"}, 481, false},
		{"no tag of theirs", "active", []string{"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=1", "From: <sip:otto@voice.example>"}, 481, false},
		{"other package", "active", []string{"Event: dialog"}, 489, false},
		{"no package", "active", []string{"Event:"}, 400, false},
		{"other id", "active", []string{"Event: presence;id=1"}, 481, false},
		{"no state", "", nil, 400, false},
		{"two states", "active", []string{"subscription-state: pending"}, 400, false},
		{"broken contact", "active", []string{"Contact: *"}, 400, false},
		{"no contact is tolerated", "active", []string{"Contact:"}, 200, true},
		{"document without type", "active", []string{"Body: <p/>"}, 200, true},
		{"document of another type", "active", []string{"Content-Type: text/html", "Body: <p/>"}, 415, false},
		{"endless target", "active", []string{"Contact: <sip:" + strings.Repeat("x", 5000) + "@192.0.2.9>"}, 513, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newStation(t)
				defer st.run()()
				_, sub := st.watch()
				st.owner.events()
				got := st.notify(sub, "p", 1, c.state, c.change...)
				require.Equal(t, c.code, got.Code, got)
				require.Equal(t, c.told, len(st.owner.notes) == 1)
				if c.code == 489 {
					require.NotEmpty(t, valueOf(got, "Allow-Events"))
				}
				if c.code == 415 {
					require.Equal(t, pidfType, valueOf(got, "Accept"))
					require.Equal(t, []string{"active"}, st.owner.events(), "the state counts, the document does not")
				}
			})
		})
	}
}

func TestNotifyOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		_, sub := st.watch()
		st.ok(st.notify(sub, "p", 10, "active", document("10")...))
		require.Equal(t, 500, st.notify(sub, "p", 9, "active", document("9")...).Code, "older")
		st.ok(st.notify(sub, "p", 10, "active", document("10")...)) // its answer was lost
		st.ok(st.notify(sub, "p", 12, "active", document("12")...))
		require.Equal(t, 500, st.notify(sub, "p", 11, "terminated;reason=rejected").Code)
		require.Equal(t, []string{"subscribing", "active", "p: active 10", "p: active 12"}, st.owner.events())
	})
}

// TestForkStaysEnded: a NOTIFY that was overtaken by the one that ended its dialog does not
// bring the dialog back, while another fork lives.
func TestForkStaysEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		defer st.run()()
		w, sub := st.watch()
		st.ok(st.notify(sub, "a", 1, "active", document("a")...))
		st.ok(st.notify(sub, "b", 1, "active", document("b")...))
		st.ok(st.notify(sub, "b", 3, "terminated;reason=noresource"))
		require.Equal(t, 481, st.notify(sub, "b", 2, "active", document("late")...).Code)
		require.Equal(t, []string{"a"}, w.Status().Live)
		st.ok(st.notify(sub, "c", 1, "active", document("c")...))
		require.NotContains(t, st.owner.events(), "b: active late")
	})
}

// TestNotifyBeforeAnswer: the NOTIFY is faster than the 200, and the 200 may be lost.
func TestNotifyBeforeAnswer(t *testing.T) {
	for _, lost := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			st.net.script(func(req *sip.Request) (*sip.Response, error) {
				r := sentRequest{Request: req}
				st.ok(st.notify(r, "p", 1, "active;expires=3600", document("first")...))
				if lost {
					return silent(req)
				}
				res := reply(req, sip.Status{Code: 200, Headers: []sip.Header{header("Expires", "600")}})
				res.To().Params.Remove("tag")
				res.To().Params.Add("tag", "p")
				sip.SetCSeq(res, 3, sip.SUBSCRIBE) // challenges were answered
				return res, nil
			})
			w, _ := st.watch()
			pass(40 * time.Second)
			require.Equal(t, []string{"subscribing", "active", "p: active first"}, st.owner.events())
			require.Equal(t, WatchActive, w.Status().State)
			if !lost {
				require.LessOrEqual(t, w.dialogs[0].expires-st.s.alarms.now(), 600*time.Second)
				st.net.requests()
				st.net.script(nil)
				w.Refresh()
				pass(0)
				n, _ := sip.CSeq(st.net.one(t).Request)
				require.Equal(t, uint32(4), n)
			}
		})
	}
}

func TestRouteErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var fail error
		st := newStation(t, func(c *SubscriberConfig) {
			c.Route = func(_, to sip.URI) (Hop, error) {
				return Hop{RequestURI: sip.URI{Scheme: "sip", User: "x", Host: "10.0.0.1"}}, fail
			}
		})
		defer st.run()()
		fail = fmt.Errorf("no such user: %w", sip.Status{Code: 404})
		w, err := st.s.Subscribe(st.options())
		require.NoError(t, err)
		pass(0)
		require.Equal(t, WatchTerminated, w.Status().State)
		require.Equal(t, 404, w.Status().Code)
		fail = errDisk
		w, err = st.s.Subscribe(st.options())
		require.NoError(t, err)
		pass(0)
		require.Equal(t, WatchWaiting, w.Status().State)
		require.ErrorIs(t, w.Status().Err, errDisk)
		fail = nil
		w.Refresh() // now, not at the time of the next attempt
		pass(0)
		require.Equal(t, "sip:x@10.0.0.1", sip.RequestURI(st.net.one(t).Request).String())
	})
}

func TestWatchLimits(t *testing.T) {
	st := newStation(t, func(c *SubscriberConfig) { c.Limits.Total = 2 })
	for range 2 {
		_, err := st.s.Subscribe(st.options())
		require.NoError(t, err)
	}
	_, err := st.s.Subscribe(st.options())
	require.ErrorIs(t, err, ErrLimit)
	for _, change := range []func(*WatchOptions){
		func(o *WatchOptions) { o.Owner = nil },
		func(o *WatchOptions) { o.To = sip.URI{} },
		func(o *WatchOptions) { o.From.URI = sip.URI{} },
		func(o *WatchOptions) { o.Package = "a b" },
		func(o *WatchOptions) { o.EventID = "a;b" },
		func(o *WatchOptions) { o.Accept = nil },
		func(o *WatchOptions) { o.Expires = -1 },
	} {
		o := st.options()
		change(&o)
		_, err := st.s.Subscribe(o)
		require.ErrorIs(t, err, ErrConfig)
	}
	_, err = NewSubscriber(SubscriberConfig{})
	require.ErrorIs(t, err, ErrConfig)
}

func TestWatchClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t)
		stop := st.run()
		w, sub := st.watch()
		st.ok(st.notify(sub, "p", 1, "active"))
		st.net.script(silent)
		w.Refresh()
		pass(time.Second)
		stop()
		require.Equal(t, WatchActive, w.Status().State, "a stop ends nothing")
		require.Equal(t, 503, st.notify(sub, "p", 2, "active").Code)
		_, err := st.s.Subscribe(st.options())
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestContactOf(t *testing.T) {
	st := newStation(t)
	from := sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}
	for _, h := range []Hop{
		{RequestURI: sip.URI{Scheme: "sip", Host: "voice.example"}},
		{RequestURI: sip.URI{Scheme: "sip", Host: "[2001:db8::1]", Params: sip.Params{{Name: "transport", Value: "TCP"}}}},
		{Target: ua.Target{Routes: []sip.NameAddr{{URI: sip.URI{Scheme: "sip", Host: "192.0.2.7"}}}}},
		{Target: ua.Target{Flow: ua.Flow{Transport: "tls", Remote: phoneAddr}}},
	} {
		require.Equal(t, "sip:mira@192.0.2.1:5060", st.s.contactOf(from, h).String())
	}
	require.Equal(t, "192.0.2.1", st.s.contactOf(sip.URI{Scheme: "sip", User: "%zz", Host: "x"}, Hop{}).Host)
}

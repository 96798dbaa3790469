package event

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// TestFork: several dialogs under one Watch, merged and refreshed each for itself.
func TestFork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newStation(t, func(c *SubscriberConfig) { c.Forks = 3 })
		defer st.run()()
		w, sub := st.watch()
		st.ok(st.notify(sub, "a", 1, "pending;expires=3600", "Contact: <sip:a@192.0.2.9>"))
		st.ok(st.notify(sub, "b", 7, "active;expires=600", append(document("B"), "Contact: <sip:b@192.0.2.9>", "Record-Route: <sip:p.example;lr>")...))
		st.ok(st.notify(sub, "c", 3, "pending;expires=3600"))
		require.Equal(t, 481, st.notify(sub, "d", 1, "active").Code, "not more than the limit")
		require.Equal(t, []string{"subscribing", "pending", "a: pending ", "active", "b: active B", "active", "c: pending "}, st.owner.events())
		require.Equal(t, []string{"a", "b", "c"}, w.Status().Live)

		st.ok(st.notify(sub, "c", 4, "terminated;reason=rejected"))
		require.Equal(t, []string{"c: terminated ", "active rejected"}, st.owner.events(), "one of several ends")
		require.Equal(t, []string{"a", "b"}, w.Status().Live)
		require.Equal(t, 200, st.notify(sub, "c2", 1, "terminated;reason=noresource").Code)
		require.Equal(t, WatchActive, w.Status().State, "a fork that ends at once")
		pass(33 * time.Second)
		require.Equal(t, 481, st.notify(sub, "e", 1, "active").Code, "the time for forks is over")

		req := st.next(520 * time.Second)
		require.Equal(t, "b", sip.ToTag(req.Request), "each is refreshed at its own time")
		require.Equal(t, "<sip:p.example;lr>", routesText(req.target.Routes))
		st.ok(st.notify(sub, "b", 8, "active;expires=600"))

		// The last active one is lost: pending remains, without a new attempt.
		st.net.script(func(req *sip.Request) (*sip.Response, error) {
			return reply(req, sip.Status{Code: map[string]int{"a": 200, "b": 481, "": 200}[sip.ToTag(req)]}), nil
		})
		st.owner.events()
		w.Refresh()
		pass(0)
		require.Len(t, st.net.requests(), 2)
		st.ok(st.notify(sub, "a", 2, "pending;expires=3600"))
		require.Equal(t, []string{"a"}, w.Status().Live)
		require.Equal(t, WatchPending, w.Status().State)

		w.Unsubscribe()
		pass(0)
		req = st.net.one(t)
		require.Equal(t, "a", sip.ToTag(req.Request))
		require.Equal(t, "0", req.value("Expires"))
		pass(33 * time.Second)
		require.Equal(t, WatchTerminated, w.Status().State, "timer N without the last NOTIFY")
	})
}

func TestUnsubscribe(t *testing.T) {
	t.Run("before any NOTIFY", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			w, sub := st.watch()
			w.Unsubscribe()
			require.Equal(t, WatchTerminated, w.Status().State)
			require.Equal(t, 481, st.notify(sub, "p", 1, "active").Code, "which removes it there")
		})
	})
	t.Run("while a refresh is under way", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			w, sub := st.watch()
			st.ok(st.notify(sub, "p", 1, "active"))
			st.net.script(func(req *sip.Request) (*sip.Response, error) {
				time.Sleep(5 * time.Second)
				return reply(req, sip.Status{Code: 200}), nil
			})
			w.Refresh()
			pass(time.Second)
			w.Unsubscribe()
			pass(5 * time.Second)
			list := st.net.requests()
			require.Len(t, list, 2, "one at a time")
			require.Equal(t, "0", list[1].value("Expires"))
			st.ok(st.notify(sub, "p", 2, "terminated;reason=timeout"))
			require.Equal(t, WatchTerminated, w.Status().State)
			pass(time.Hour)
			require.Empty(t, st.net.requests())
		})
	})
	t.Run("refused", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			w, sub := st.watch()
			st.ok(st.notify(sub, "p", 1, "active"))
			st.net.script(codes(481))
			w.Unsubscribe()
			pass(0)
			require.Equal(t, WatchTerminated, w.Status().State)
		})
	})
	t.Run("while waiting", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			st.net.script(codes(500))
			w, _ := st.watch()
			require.Equal(t, WatchWaiting, w.Status().State)
			w.Unsubscribe()
			require.Equal(t, WatchTerminated, w.Status().State)
			pass(time.Hour)
			require.Empty(t, st.net.requests())
		})
	})
}

func TestFetch(t *testing.T) {
	poll := func(o *WatchOptions) { o.Poll = true }
	t.Run("answered", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			w, sub := st.watch(poll)
			require.Equal(t, "0", sub.value("Expires"))
			st.ok(st.notify(sub, "p", 1, "terminated;reason=timeout", document("now")...))
			st.ok(st.notify(sub, "q", 1, "terminated;reason=timeout", document("fork")...))
			require.Equal(t, []string{"subscribing", "p: terminated now", "ending timeout", "q: terminated fork"}, st.owner.events())
			pass(3 * time.Second)
			require.Equal(t, WatchTerminated, w.Status().State)
			require.Equal(t, 481, st.notify(sub, "r", 1, "terminated").Code)
			require.Zero(t, st.s.Len())
			pass(time.Hour)
			require.Empty(t, st.net.requests())
		})
	})
	t.Run("answered with a living state", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := newStation(t)
			defer st.run()()
			w, sub := st.watch(poll)
			st.ok(st.notify(sub, "p", 1, "active;expires=0", document("now")...))
			pass(3 * time.Second)
			require.Equal(t, WatchTerminated, w.Status().State)
			require.Contains(t, st.owner.events(), "p: active now")
		})
	})
	for name, answer := range map[string]func(*sip.Request) (*sip.Response, error){"refused": codes(403), "busy": codes(503), "silent": silent, "no NOTIFY": nil} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newStation(t)
				defer st.run()()
				st.net.script(answer)
				w, _ := st.watch(poll)
				pass(33 * time.Second)
				require.Equal(t, WatchTerminated, w.Status().State)
				pass(time.Hour)
				require.Empty(t, st.net.requests())
			})
		})
	}
}

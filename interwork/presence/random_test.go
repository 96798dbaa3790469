package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// watchfulWorld checks, after every event, what must never happen.
type watchfulWorld struct {
	*world
	asked    bool                 // she asked, and has no answer yet
	granted  bool                 // she lets him see her
	open     []string             // subscriptions to him that live
	dialogs  map[string]time.Time // his dialogs, and since when a NOTIFY is due; zero: none is
	shown    map[string]bool      // devices that she sees
	lastAsk  time.Time
	linkHeld bool // the link was down at some time: what was owed moves in time
	n        int
}

func (w *watchfulWorld) do(e Event) {
	before := w.stored
	lines := w.world.do(e)
	if t, ok := w.t.(interface{ Logf(string, ...any) }); ok {
		t.Logf("%s %T%+v: %q, %v", w.now.Format("2T15:04:05.000"), e, e, lines, w.pair)
	}
	w.check(lines, before, e)
}

func (w *watchfulWorld) check(lines []string, before Record, e Event) {
	t := w.t
	for _, l := range lines {
		f := strings.Fields(l)
		switch {
		case l == "xmpp subscribed":
			require.True(t, w.asked, "subscribed, but she did not ask: %+v", e)
			w.asked = false
		case l == "xmpp unsubscribed", strings.HasPrefix(l, "xmpp error"):
			w.asked = false
		case l == "xmpp subscribe":
			if !w.lastAsk.IsZero() && !w.linkHeld {
				require.GreaterOrEqual(t, w.now.Sub(w.lastAsk), 24*time.Hour, "asked too often: %+v", e)
			}
			w.lastAsk = w.now
		case l == "xmpp probe":
			require.True(t, w.granted, "a probe without permission would end it: %+v", e)
		case strings.HasPrefix(l, "xmpp available /"):
			require.Equal(t, Granted, w.pair.watch.Authorisation(), "shown without permission: %+v", e)
			w.shown[f[2]] = true
		case strings.HasPrefix(l, "xmpp unavailable /") && !strings.HasPrefix(f[2], "to"):
			// While the link is down it is not known what arrived.
			require.True(t, w.shown[f[2]] || w.linkHeld, "%s was not there: %+v", f[2], e)
			delete(w.shown, f[2])
		case f[0] == "sip" && f[1] == "subscribe":
			w.open = append(w.open, f[2])
			require.Len(t, w.open, 1, "two dialogs at a time: %+v", e)
		case f[0] == "sip" && f[1] == "unsubscribe":
			w.close(f[2])
		case f[0] == "notify":
			if strings.Contains(l, "[") || f[2] == "active" {
				require.True(t, w.granted, "told without permission: %q after %+v", l, e)
			}
			if strings.HasPrefix(f[2], "terminated") {
				delete(w.dialogs, f[1])
			} else if _, ok := w.dialogs[f[1]]; ok {
				w.dialogs[f[1]] = time.Time{}
			}
		}
	}
	for d, since := range w.dialogs {
		require.True(t, since.IsZero() || w.now.Sub(since) <= heldOffline, "%s got no NOTIFY for its SUBSCRIBE", d)
	}
	if len(w.open) == 0 {
		require.Empty(t, w.pair.sub)
	}
	if w.pair.Idle() {
		require.Empty(t, w.open)
		require.Empty(t, w.dialogs)
	}
	if w.pair.isLoaded {
		require.Equal(t, w.pair.watch.Authorisation(), w.stored.Watch)
		require.Equal(t, w.pair.share.Authorisation(), w.stored.Share)
	}
	w.checkPermissions(before, e)
}

// checkPermissions: nothing but a word about the authorisation changes it.
func (w *watchfulWorld) checkPermissions(before Record, e Event) {
	t := w.t
	if before.Watch == Granted && w.stored.Watch != Granted {
		switch e := e.(type) {
		case StanzaReceived:
			require.Equal(t, xmpp.PresenceUnsubscribe, e.Presence.Type)
		case SubscribeAnswered:
			require.Contains(t, []int{403, 489}, e.Cause.Status().Code)
		case Notified:
			require.Equal(t, sip.ReasonRejected, e.Reason)
		case Removed, Decided:
		case LocalChanged, TimerFired:
			require.Equal(t, Refuse, w.policy[Watching])
		default:
			require.Fail(t, "authorisation lost", "%+v", e)
		}
	}
	if before.Share == Granted && w.stored.Share != Granted {
		switch e := e.(type) {
		case StanzaReceived:
			require.Equal(t, xmpp.PresenceUnsubscribed, e.Presence.Type)
		case Removed:
		default:
			require.Fail(t, "authorisation lost", "%+v", e)
		}
	}
}

func (w *watchfulWorld) close(id string) {
	w.open = slices.DeleteFunc(w.open, func(s string) bool { return s == id })
}

// pass lets time go by in steps, for a NOTIFY may be due in between.
func (w *watchfulWorld) pass(d time.Duration) {
	end := w.now.Add(d)
	for !w.timer.IsZero() && !w.timer.After(end) {
		w.now = w.timer
		w.timer = time.Time{}
		w.do(TimerFired{})
	}
	w.now = end
}

func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &watchfulWorld{world: newWorld(t), dialogs: map[string]time.Time{}, shown: map[string]bool{}}
		if rapid.Bool().Draw(t, "ours") {
			w.who = Presentity{Ours: true, Registered: rapid.Bool().Draw(t, "registered")}
			w.policy[Watching] = rapid.SampledFrom([]Decision{Allow, Allow, Confirm}).Draw(t, "policy")
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			w.step(t)
		}
		// Time heals: the link comes back, and everybody has an answer.
		w.link = true
		w.do(LinkUp{})
		w.pass(time.Minute)
		require.Zero(t, w.stored.Owed)
		for d, since := range w.dialogs {
			require.True(t, since.IsZero(), "%s waits for ever", d)
		}
	})
}

func (w *watchfulWorld) step(t *rapid.T) {
	who := rapid.SampledFrom([]xmpp.JID{desk, phone}).Draw(t, "resource")
	doc := rapid.SampledFrom([]string{"", "a", "a=away", "a b", "b=dnd", "a- b"}).Draw(t, "document")
	sub := w.pair.sub
	if sub == "" || rapid.IntRange(0, 9).Draw(t, "stale") == 0 {
		sub = "s0"
	}
	event := rapid.IntRange(0, 27).Draw(t, "event")
	if event <= 9 && !w.link {
		event = 24 // she cannot be heard
	}
	switch event {
	case 0, 1:
		w.asked = true
		w.do(from(mira, xmpp.PresenceSubscribe))
	case 2:
		w.asked = false
		w.do(from(mira, xmpp.PresenceUnsubscribe))
	case 3:
		w.do(from(who, xmpp.PresenceProbe))
	case 4, 5:
		w.do(shows(who, rapid.SampledFrom([]xmpp.Show{"", "away"}).Draw(t, "show")))
	case 6:
		w.do(from(who, xmpp.PresenceUnavailable))
	case 7:
		w.granted = true
		w.do(from(mira, xmpp.PresenceSubscribed))
	case 8:
		w.granted = false
		w.do(from(mira, xmpp.PresenceUnsubscribed))
	case 9:
		id := rapid.SampledFrom([]string{idAsk, idProbe, ""}).Draw(t, "id")
		if id == idAsk {
			w.lastAsk = time.Time{}
		}
		w.do(bounce(id, rapid.SampledFrom([]xmpp.Condition{xmpp.ConditionItemNotFound, xmpp.ConditionRemoteServerTimeout, xmpp.ConditionForbidden}).Draw(t, "condition")))
	case 10, 11:
		w.n++
		id := fmt.Sprintf("d%d", w.n)
		w.dialogs[id] = w.now
		w.do(Watched{Watcher: id, Poll: rapid.IntRange(0, 3).Draw(t, "poll") == 0, Quiet: rapid.IntRange(0, 5).Draw(t, "quiet") == 0})
	case 12, 13:
		if id := w.anyDialog(t); id != "" {
			if rapid.Bool().Draw(t, "end") {
				delete(w.dialogs, id)
				w.do(WatcherEnded{Watcher: id})
			} else {
				w.dialogs[id] = w.now
				w.do(Refreshed{Watcher: id})
			}
		}
	case 14:
		w.do(status(sub, 200))
	case 15:
		e := SubscribeAnswered{ID: sub, Cause: rapid.SampledFrom([]*cause.Cause{
			status("", 403).Cause, status("", 404).Cause, status("", 489).Cause, status("", 503).Cause, cause.Timeout(nil), cause.Unreachable(nil),
		}).Draw(t, "cause")}
		w.close(sub)
		w.do(e)
	case 16, 17, 18:
		e := active(sub, doc)
		e.Fork = rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "fork")
		switch rapid.IntRange(0, 12).Draw(t, "odd") {
		case 0:
			e.Document = nil
		case 1:
			e.Document, e.Unreadable = nil, true
		case 2:
			e = terminated(sub, sip.ReasonTimeout)
			e.Fork, e.Others = "b", true
		}
		w.do(e)
	case 19:
		w.do(pendingNotify(sub))
	case 20:
		w.close(sub)
		w.do(terminated(sub, rapid.SampledFrom([]Reason{
			sip.ReasonDeactivated, sip.ReasonTimeout, sip.ReasonProbation, sip.ReasonGiveUp, sip.ReasonNoResource, sip.ReasonInvariant, sip.ReasonRejected, "", "odd",
		}).Draw(t, "reason")))
	case 21:
		w.close(sub)
		w.do(SubscriptionLost{ID: sub})
	case 22:
		if w.watch {
			e := registered()
			if w.who.Registered = rapid.Bool().Draw(t, "registered"); w.who.Registered {
				e = registered("a")
				if rapid.IntRange(0, 3).Draw(t, "publishes") == 0 {
					e = published(doc)
				}
			}
			w.do(e)
		}
	case 23:
		w.do(CallChanged{User: rapid.Bool().Draw(t, "she"), Busy: rapid.Bool().Draw(t, "busy")})
	case 24:
		if w.link = !w.link; w.link {
			w.do(LinkUp{})
		} else {
			w.linkHeld = true
		}
	case 25:
		w.restart()
	case 26:
		switch rapid.IntRange(0, 5).Draw(t, "rare") {
		case 0:
			w.granted = false
			w.do(Removed{Direction: Sharing})
		case 1:
			w.asked = false
			w.do(Removed{Direction: Watching})
		case 2:
			w.do(Decided{Grant: rapid.Bool().Draw(t, "grant")})
		default:
			w.do(rapid.SampledFrom([]Event{UserSeen{}, UserGone{}}).Draw(t, "user"))
		}
	default:
		w.pass(rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, 2 * time.Minute, time.Hour, 25 * time.Hour, 8 * 24 * time.Hour}).Draw(t, "time"))
	}
}

func (w *watchfulWorld) anyDialog(t *rapid.T) string {
	var list []string
	for d := range w.dialogs {
		list = append(list, d)
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return rapid.SampledFrom(list).Draw(t, "dialog")
}

// restart keeps the record and the dialogs, as the store does.
func (w *watchfulWorld) restart() {
	e := Restored{Record: w.stored}
	if len(w.open) > 0 {
		e.Subscription = w.open[0]
	}
	for d := range w.dialogs {
		e.Watchers = append(e.Watchers, d)
		w.dialogs[d] = time.Time{} // the wire tells those who wait that they are pending
	}
	slices.Sort(e.Watchers)
	w.fresh()
	w.linkHeld = true
	w.do(e)
}

package presence

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// spec/presence.md §9, first flow, with every line of it.
func TestFlowXMPPWatchesSIP(t *testing.T) {
	w := newWorld(t)
	w.expect(from(mira, xmpp.PresenceSubscribe), "sip subscribe s1")
	w.expect(status("s1", 202)) // grants nothing
	w.expect(pendingNotify("s1"))
	require.Equal(t, Asked, w.stored.Watch)
	w.after(time.Hour)
	w.expect(active("s1", "res=away"), "xmpp subscribed", "xmpp available /res away")
	w.expect(active("s1", "res=away")) // nothing new
	require.Equal(t, Granted, w.stored.Watch)

	w.expect(from(desk, xmpp.PresenceUnavailable))
	w.after(59 * time.Second)
	w.after(time.Second, "sip unsubscribe s1")
	require.Equal(t, Granted, w.stored.Watch, "the authorisation outlives the dialog")
	require.False(t, w.stored.Wanted)
	require.True(t, w.pair.Idle(), "who is offline costs nothing")
	w.expect(active("s1", "res")) // a straggler
	w.expect(terminated("s1", sip.ReasonTimeout))

	w.fresh() // the pair was dropped
	w.expect(shows(desk, ""), "sip subscribe s2")
	w.expect(from(mira, xmpp.PresenceProbe)) // the NOTIFY answers it
	w.expect(status("s2", 200))
	w.expect(active("s2", "res"), "xmpp available /res")
	w.expect(from(desk, xmpp.PresenceProbe), "xmpp available /res to /desk")

	w.expect(from(mira, xmpp.PresenceUnsubscribe), "sip unsubscribe s2", "xmpp unavailable /res", "xmpp unsubscribed")
	require.True(t, w.stored.IsZero())
}

// The second flow.
func TestFlowSIPWatchesXMPP(t *testing.T) {
	w := newWorld(t)
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
	w.expect(shows(desk, "")) // directed: not authorised
	w.expect(from(mira, xmpp.PresenceSubscribed))
	w.expect(shows(desk, "away"))
	w.expect(shows(phone, "dnd"))
	w.after(time.Second, "notify d1 active [desk=away,phone=dnd]")
	w.expect(shows(desk, ""), "notify d1 active [desk,phone=dnd]")
	w.expect(shows(desk, "")) // nothing new
	w.expect(from(phone, xmpp.PresenceUnavailable), "notify d1 active [desk,phone-]")
	w.expect(Refreshed{Watcher: "d1"}, "notify d1 active [desk]")
	w.expect(from(desk, xmpp.PresenceUnavailable), "notify d1 active [desk-]")
	w.expect(Refreshed{Watcher: "d1"}, "notify d1 active []")
	w.expect(WatcherEnded{Watcher: "d1"})
	require.Equal(t, Granted, w.stored.Share)

	w.fresh()
	w.expect(Watched{Watcher: "d2"}, "xmpp probe")
	w.expect(shows(desk, ""))
	w.after(time.Second, "notify d2 active [desk]")
	require.Equal(t, 1, w.pair.Watchers())
}

func TestEveryAnswerToTheFirstSubscribe(t *testing.T) {
	for _, tc := range []struct {
		event Event
		want  []string
		state WatchState
	}{
		{status("s1", 200), nil, WatchAsking},
		{status("s1", 403), []string{"xmpp unsubscribed"}, WatchDenied},
		{status("s1", 603), []string{"xmpp unsubscribed"}, WatchDenied},
		{terminated("s1", sip.ReasonRejected), []string{"xmpp unsubscribed"}, WatchDenied},
		{status("s1", 404), []string{"xmpp error item-not-found m-1"}, WatchNone},
		{status("s1", 604), []string{"xmpp error item-not-found m-1"}, WatchNone},
		{status("s1", 410), []string{"xmpp error gone m-1"}, WatchNone},
		{status("s1", 489), []string{"xmpp unsubscribed"}, WatchDenied}, // RFC 8048 §5.2.2
		{status("s1", 607), []string{"xmpp unsubscribed"}, WatchDenied},
		{status("s1", 405), []string{"xmpp error feature-not-implemented m-1"}, WatchNone},
		{status("s1", 501), []string{"xmpp error feature-not-implemented m-1"}, WatchNone},
		{status("s1", 407), []string{"xmpp error registration-required m-1"}, WatchNone},
		{status("s1", 480), nil, WatchAskRetry},
		{status("s1", 503), nil, WatchAskRetry},
		{SubscribeAnswered{ID: "s1", Cause: cause.Timeout(nil)}, nil, WatchAskRetry},
		{SubscribeAnswered{ID: "s1", Cause: cause.Unreachable(nil)}, []string{"xmpp error remote-server-not-found m-1"}, WatchNone},
		{terminated("s1", sip.ReasonNoResource), []string{"xmpp error item-not-found m-1"}, WatchNone},
		{terminated("s1", sip.ReasonProbation), nil, WatchAskRetry},
		{terminated("s1", sip.ReasonGiveUp), nil, WatchAskRetry},
		{terminated("s1", "odd"), nil, WatchAskRetry},
		{terminated("s1", sip.ReasonInvariant), nil, WatchAskParked},
		{pendingNotify("s1"), nil, WatchPending},
		{active("s0", "res"), nil, WatchAsking}, // of another dialog
		{status("s0", 403), nil, WatchAsking},
	} {
		w := newWorld(t)
		w.expect(from(mira, xmpp.PresenceSubscribe), "sip subscribe s1")
		w.expect(tc.event, tc.want...)
		require.Equal(t, tc.state, w.pair.watch, "%+v", tc.event)
		require.Equal(t, tc.state.Authorisation(), w.stored.Watch)
	}
}

func TestEveryEndOfAnActiveDialog(t *testing.T) {
	for _, tc := range []struct {
		event Event
		want  []string
		state WatchState
	}{
		{terminated("s1", sip.ReasonDeactivated), []string{"sip subscribe s2"}, WatchOpening},
		{terminated("s1", sip.ReasonTimeout), []string{"sip subscribe s2"}, WatchOpening},
		{SubscriptionLost{ID: "s1"}, []string{"sip subscribe s2"}, WatchOpening},
		{terminated("s1", sip.ReasonProbation), nil, WatchRetry},
		{terminated("s1", sip.ReasonGiveUp), nil, WatchRetry},
		{terminated("s1", ""), nil, WatchRetry},
		{terminated("s1", sip.ReasonNoResource), []string{"xmpp unavailable /res"}, WatchParked},
		{terminated("s1", sip.ReasonInvariant), nil, WatchParked},
		{terminated("s1", sip.ReasonRejected), []string{"xmpp unavailable /res", "xmpp unsubscribed"}, WatchDenied},
		{pendingNotify("s1"), nil, WatchOpening},
	} {
		w := grantedWorld(t, "res")
		w.expect(tc.event, tc.want...)
		require.Equal(t, tc.state, w.pair.watch, "%+v", tc.event)
		want := Granted
		if tc.state == WatchDenied {
			want = Denied
		}
		require.Equal(t, want, w.stored.Watch, "the end of a dialog is no end of the authorisation")
	}
}

func TestReSubscriptionShowsNothingToXMPP(t *testing.T) {
	w := grantedWorld(t, "res=away other")
	w.expect(SubscriptionLost{ID: "s1"}, "sip subscribe s2")
	w.expect(from(mira, xmpp.PresenceProbe), "xmpp available /res away", "xmpp available /other")
	w.expect(status("s2", 200))
	w.expect(active("s2", "res=away other"))
	w.expect(active("s2", "res=away"), "xmpp unavailable /other")
}

func TestProbationWaits(t *testing.T) {
	w := grantedWorld(t, "res")
	e := terminated("s1", sip.ReasonProbation)
	e.RetryAfter = 10 * time.Minute
	w.expect(e)
	w.after(10*time.Minute - time.Second)
	w.after(10*time.Minute/4+time.Second, "sip subscribe s2")
	w.expect(active("s2", "res"))
}

// A notifier that ends every dialog at once is asked less and less often.
func TestNoCircleWithABadNotifier(t *testing.T) {
	w := grantedWorld(t, "res")
	w.expect(terminated("s1", sip.ReasonTimeout), "sip subscribe s2")
	sent := 0
	for range 50 {
		w.do(status(w.pair.sub, 200))
		w.do(terminated(w.pair.sub, sip.ReasonTimeout))
		require.Equal(t, WatchRetry, w.pair.watch)
		sent += len(w.wait(w.timer.Sub(w.now)))
	}
	require.LessOrEqual(t, sent, 51)
	require.Greater(t, w.now.Sub(time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC)), 24*time.Hour)
}

func TestFailuresBackOffAndShowUnavailable(t *testing.T) {
	w := grantedWorld(t, "res")
	w.expect(SubscriptionLost{ID: "s1"}, "sip subscribe s2")
	last := time.Duration(0)
	for n := range 12 {
		var want []string
		if n == 2 { // not at once: servers are restarted
			want = []string{"xmpp unavailable /res"}
		}
		w.expect(SubscribeAnswered{ID: w.pair.sub, Cause: cause.Unreachable(nil)}, want...)
		start := w.now
		for len(w.wait(time.Second)) == 0 {
		}
		pause := w.now.Sub(start)
		require.GreaterOrEqual(t, pause, last)
		require.LessOrEqual(t, pause, 75*time.Minute+time.Second)
		last = pause
	}
	require.Greater(t, last, time.Hour-time.Second)
	w.expect(from(mira, xmpp.PresenceProbe)) // the NOTIFY would answer
	w.expect(active(w.pair.sub, "res"), "xmpp available /res")
	w.now = w.now.Add(time.Hour)
	w.expect(SubscriptionLost{ID: w.pair.sub}, "sip subscribe s15") // what failed before is forgotten
	require.Zero(t, w.pair.failures)
}

func TestVanishedUserIsTriedAtLoginAndDaily(t *testing.T) {
	w := grantedWorld(t, "res")
	w.expect(terminated("s1", sip.ReasonNoResource), "xmpp unavailable /res")
	w.after(23 * time.Hour)
	w.after(4*time.Hour, "sip subscribe s2")
	w.expect(status("s2", 404))
	w.expect(shows(desk, ""))
	w.expect(from(desk, xmpp.PresenceUnavailable))
	w.after(time.Hour)
	require.Equal(t, WatchOffline, w.pair.watch)
	w.expect(shows(desk, ""), "sip subscribe s3")
	require.Equal(t, Granted, w.stored.Watch)
}

func TestDenialAndAskingAgain(t *testing.T) {
	w := newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.expect(status("s1", 403), "xmpp unsubscribed")
	w.after(30 * 24 * time.Hour)
	w.expect(shows(desk, ""))
	w.expect(from(mira, xmpp.PresenceProbe), "xmpp unsubscribed")
	w.expect(from(mira, xmpp.PresenceSubscribe), "sip subscribe s2")
	w.expect(active("s2", "res"), "xmpp subscribed", "xmpp available /res")
	w.expect(from(mira, xmpp.PresenceSubscribe), "xmpp subscribed", "xmpp available /res") // RFC 6121 §3.1.3
}

func TestProbesOfStrangers(t *testing.T) {
	w := newWorld(t)
	w.expect(from(mira, xmpp.PresenceProbe), "xmpp unsubscribed")
	w.expect(from(mira, xmpp.PresenceUnsubscribe), "xmpp unsubscribed")
	w.expect(from(mira, xmpp.PresenceUnsubscribed)) // never answered
	w.expect(bounce("x", xmpp.ConditionItemNotFound))
	require.True(t, w.pair.Idle())
	require.True(t, w.stored.IsZero())
}

func TestNobodyDecidesInAWeek(t *testing.T) {
	w := newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.expect(pendingNotify("s1"))
	w.after(7*24*time.Hour, "sip unsubscribe s1")
	require.Equal(t, Asked, w.stored.Watch, "her request stands")
	require.True(t, w.pair.Idle())
	w.fresh()
	w.expect(shows(desk, ""), "sip subscribe s2") // and is taken up when she shows up
}

func TestGrantedWhileSheIsOffline(t *testing.T) {
	w := newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(pendingNotify("s1"))
	w.expect(from(desk, xmpp.PresenceUnavailable))
	w.after(24 * time.Hour) // the request is durable: the dialog waits for the answer
	w.expect(active("s1", "res"), "xmpp subscribed", "xmpp available /res")
	w.after(time.Minute, "sip unsubscribe s1")
	require.Equal(t, WatchOffline, w.pair.watch)
}

func TestShortLogoutCostsNothing(t *testing.T) {
	w := grantedWorld(t, "res")
	w.do(shows(desk, ""))
	for range 5 {
		w.expect(from(desk, xmpp.PresenceUnavailable))
		w.after(50 * time.Second)
		w.expect(shows(desk, ""))
	}
	w.after(time.Hour)
	w.expect(shows(phone, ""))
	w.expect(from(desk, xmpp.PresenceUnavailable)) // the other is there
	w.after(time.Hour)
	require.Equal(t, WatchActive, w.pair.watch)
}

func TestUnseenUserIsNotWatchedForForEver(t *testing.T) {
	w := newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(active("s1", "res"))
	w.after(6 * 24 * time.Hour)
	w.do(from(mira, xmpp.PresenceProbe))
	w.after(6 * 24 * time.Hour)
	w.after(24*time.Hour, "sip unsubscribe s1")
	require.Equal(t, Granted, w.stored.Watch)
}

func TestGatewayWideSignsOfHer(t *testing.T) {
	w := grantedWorld(t, "res")
	w.expect(UserGone{})
	w.after(time.Minute, "sip unsubscribe s1")
	w.expect(UserSeen{}, "sip subscribe s2")
}

func TestForkedSubscriptionIsMerged(t *testing.T) {
	w := grantedWorld(t, "one")
	e := active("s1", "two")
	e.Fork = "b"
	w.expect(e, "xmpp available /two")
	w.expect(active("s1", "one=away"), "xmpp available /one away")
	w.expect(from(mira, xmpp.PresenceProbe), "xmpp available /two", "xmpp available /one away")
	w.expect(SubscriptionLost{ID: "s1"}, "sip subscribe s2")
	w.expect(active("s2", "one=away two")) // one dialog tells both now
	w.expect(active("s2", "two"), "xmpp unavailable /one")
}

func TestEmptyDocuments(t *testing.T) {
	w := grantedWorld(t, "one two")
	e := active("s1", "")
	e.Document = nil
	w.expect(e, "xmpp unavailable /one", "xmpp unavailable /two")
	w.expect(e)
	w.expect(from(desk, xmpp.PresenceProbe), "xmpp unavailable to /desk")
	w.expect(active("s1", "one-")) // closed from the start is no news
	w.expect(active("s1", "one"), "xmpp available /one")
	w.expect(active("s1", "one-"), "xmpp unavailable /one")
	w.expect(active("s1", "")) // unavailable once
}

func TestForkThatEnds(t *testing.T) {
	w := grantedWorld(t, "one")
	e := active("s1", "two")
	e.Fork = "b"
	w.expect(e, "xmpp available /two")
	e = terminated("s1", sip.ReasonTimeout)
	e.Fork, e.Others = "b", true
	w.expect(e, "xmpp unavailable /two")
	require.Equal(t, "s1", w.pair.sub)
	w.expect(active("s1", "one=dnd"), "xmpp available /one dnd")
}

func TestUnreadableDocumentChangesNothing(t *testing.T) {
	w := grantedWorld(t, "res=away")
	e := active("s1", "")
	e.Document, e.Unreadable = nil, true
	w.expect(e)
	w.expect(from(mira, xmpp.PresenceProbe), "xmpp available /res away")
	w = newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.expect(e, "xmpp subscribed", "xmpp unavailable") // the permission is readable
}

func TestFetchOnly(t *testing.T) {
	w := newWorld(t)
	w.pair.settings.FetchOnly = true
	w.expect(from(mira, xmpp.PresenceSubscribe), "sip subscribe s1")
	w.expect(active("s1", "res"), "xmpp subscribed", "xmpp available /res", "sip unsubscribe s1")
	w.expect(from(mira, xmpp.PresenceProbe), "sip fetch f2")
	w.expect(from(mira, xmpp.PresenceProbe)) // one is under way
	f := active("f2", "res=dnd")
	f.State, f.Reason = DialogTerminated, sip.ReasonTimeout
	w.expect(f, "xmpp available /res dnd")
	w.expect(from(mira, xmpp.PresenceProbe), "sip fetch f3")
	w.expect(status("f3", 200))
	w.expect(terminated("f3", sip.ReasonTimeout), "xmpp unavailable")
	w.expect(from(mira, xmpp.PresenceProbe), "sip fetch f4")
	w.expect(status("f4", 480), "xmpp unavailable")
	w.expect(from(mira, xmpp.PresenceProbe), "sip fetch f5")
	w.expect(status("f5", 403), "xmpp unsubscribed")
	require.Equal(t, Denied, w.stored.Watch)
}

func TestPolicyRefuses(t *testing.T) {
	w := newWorld(t)
	w.policy[Watching], w.policy[Sharing] = Refuse, Refuse
	w.expect(from(mira, xmpp.PresenceSubscribe), "xmpp unsubscribed")
	w.expect(Watched{Watcher: "d1"}, "notify d1 terminated;rejected")
	require.Zero(t, w.pair.Watchers())
}

func TestHops(t *testing.T) {
	w := newWorld(t)
	e := from(mira, xmpp.PresenceSubscribe)
	e.Presence.Extensions = append(e.Presence.Extensions, hopsElement(0))
	w.expect(e, "xmpp error policy-violation m-1")
	e.Presence.Extensions[0] = hopsElement(17)
	w.expect(e, "sip subscribe s1h17")
	w.expect(Watched{Watcher: "d1", Hops: 17}, "xmpp subscribe hops=16", "notify d1 pending")
	w = newWorld(t)
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
}

func TestSubscriptionThatCannotBeMade(t *testing.T) {
	w := newWorld(t)
	w.noSubs = true
	w.expect(from(mira, xmpp.PresenceSubscribe))
	require.Equal(t, WatchAskRetry, w.pair.watch)
	w.noSubs = false
	w.after(2*time.Minute, "sip subscribe s1")
}

func TestOperatorRemoves(t *testing.T) {
	w := grantedWorld(t, "res")
	w.expect(Removed{Direction: Watching}, "sip unsubscribe s1", "xmpp unavailable /res", "xmpp unsubscribed")
	w = sharedWorld(t)
	w.expect(Removed{Direction: Sharing}, "xmpp unsubscribe", "notify d1 terminated;rejected")
	require.Equal(t, None, w.stored.Share)
}

func TestRecordThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.pair.Handle(from(mira, xmpp.PresenceSubscribe))
	w.pair.Handle(Watched{Watcher: "d1"})
	require.Empty(t, w.look(), "nothing is decided without the record")
	w.pair.Handle(Refreshed{Watcher: "d0"})
	w.loads[0](Record{}, errors.New("disk"))
	w.loads = nil
	w.do(w.events[0])
	w.events = nil
	w.do(TimerFired{})
	w.do(LinkUp{})
	require.Equal(t, 1, w.pair.Watchers())
	for range 100 {
		w.pair.Handle(Watched{Watcher: "d1"})
	}
	require.True(t, contains(w.look(), "notify d1 terminated;probation;1m0s"), "the queue is bounded")
	require.Len(t, w.loads, 1)
}

func TestStoreThatIsFull(t *testing.T) {
	w := newWorld(t)
	w.saveErr = errors.New("full")
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(active("s1", "res"))
	require.True(t, w.stored.IsZero())
	w.wait(10 * time.Second)
	w.saveErr = nil
	w.wait(2 * time.Second)
	require.Equal(t, Granted, w.stored.Watch)

	// What changes while a record is being written is written after it.
	w.autoSave = false
	w.do(terminated("s1", sip.ReasonNoResource))
	w.do(from(mira, xmpp.PresenceUnsubscribe))
	require.Len(t, w.saves, 1)
	require.False(t, w.pair.Idle())
	w.saves[0](nil)
	w.do(w.events[0])
	require.Len(t, w.saves, 2)
	w.saves[1](errors.New("disk"))
	w.events = w.events[len(w.events)-1:]
	w.do(w.events[0])
	require.False(t, w.pair.Idle())
	w.autoSave = true
	w.wait(3 * time.Second)
	require.True(t, w.stored.IsZero())
	require.True(t, w.pair.Idle())
}

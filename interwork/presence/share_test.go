package presence

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestSeveralWatchersOneSubscription(t *testing.T) {
	w := newWorld(t)
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
	w.expect(Watched{Watcher: "d2"}, "notify d2 pending")
	w.expect(Watched{Watcher: "d3", Poll: true}, "notify d3 terminated;timeout")
	w.do(from(mira, xmpp.PresenceSubscribed))
	w.do(shows(desk, ""))
	w.after(time.Second, "notify d2 active [desk]", "notify d1 active [desk]")
	w.expect(Watched{Watcher: "d4"}, "notify d4 active [desk]") // known: no probe
	w.expect(shows(desk, "xa"), "notify d4 active [desk=xa]", "notify d2 active [desk=xa]", "notify d1 active [desk=xa]")
	w.expect(Watched{Watcher: "p1", Poll: true}, "notify p1 terminated;timeout [desk=xa]")
	w.expect(WatcherEnded{Watcher: "d2"})
	w.expect(WatcherEnded{Watcher: "d2"})
	w.expect(from(mira, xmpp.PresenceUnsubscribed), "notify d1 terminated;rejected", "notify d4 terminated;rejected")
	require.Zero(t, w.pair.Watchers())
	require.Equal(t, None, w.stored.Share, "taken back, not denied")
}

func TestNothingForThoseWhoMayNotSee(t *testing.T) {
	w := newWorld(t)
	w.expect(Watched{Watcher: "p0", Poll: true}, "notify p0 terminated;timeout") // and nobody is asked
	w.expect(shows(desk, ""))
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
	w.expect(shows(desk, "away"))
	w.expect(Refreshed{Watcher: "d1"}, "notify d1 pending")
	w.expect(CallChanged{User: true, Busy: true})
	w.expect(Watched{Watcher: "p1", Poll: true}, "notify p1 terminated;timeout")
	w.expect(from(mira, xmpp.PresenceUnsubscribed), "notify d1 terminated;rejected")
	require.Equal(t, Denied, w.stored.Share)
	w.expect(shows(desk, "dnd"))
	w.expect(Watched{Watcher: "d2"}, "notify d2 terminated;rejected")
	w.expect(Watched{Watcher: "p2", Poll: true}, "notify p2 terminated;rejected")
	w.expect(Refreshed{Watcher: "d3"}, "notify d3 terminated;rejected")
	require.Zero(t, w.pair.Watchers())
	// Her later yes counts.
	w.expect(from(mira, xmpp.PresenceSubscribed))
	w.expect(Watched{Watcher: "d4"}, "xmpp probe")
}

func TestDirectedPresenceIsNeverTold(t *testing.T) {
	w := newWorld(t)
	w.do(shows(desk, "")) // a call is coming: XEP-0353
	w.do(Watched{Watcher: "d1"})
	w.do(from(mira, xmpp.PresenceSubscribed))
	w.after(3*time.Second, "notify d1 active []") // her server sends nothing: she is invisible
	w.expect(shows(desk, "away"), "notify d1 active [desk=away]")
	w.expect(from(desk, xmpp.PresenceUnavailable), "notify d1 active [desk-]")
}

func TestRefusalLapses(t *testing.T) {
	var refusals Refusals
	w := newWorld(t)
	w.do(Watched{Watcher: "d1"})
	w.do(from(mira, xmpp.PresenceUnsubscribed))
	refusals.Note("pair", &w.stored)
	require.True(t, refusals.Denied("pair", w.pair.settings))
	require.NotNil(t, Admit(sip.URI{Scheme: "sip", User: "otto", Host: "h"}, Confirm, true))
	w.after(29 * 24 * time.Hour)
	w.expect(Watched{Watcher: "d2"}, "notify d2 terminated;rejected")
	w.after(25 * time.Hour)
	require.False(t, refusals.Denied("pair", w.pair.settings))
	w.expect(Watched{Watcher: "d3"}, "xmpp subscribe", "notify d3 pending")
	refusals.Note("pair", &w.stored)
	require.Empty(t, refusals.pairs)
}

func TestSheIsAskedOnceADay(t *testing.T) {
	w := newWorld(t)
	asked := 0
	count := func(lines []string) {
		if contains(lines, "xmpp subscribe") {
			asked++
		}
	}
	count(w.do(Watched{Watcher: "d1"}))
	for i := range 6 * 24 { // a phone that refreshes, and subscribes anew after each answer
		count(w.wait(30 * time.Minute))
		count(w.do(Refreshed{Watcher: "d1"}))
		count(w.wait(30 * time.Minute))
		count(w.do(Watched{Watcher: fmt.Sprint("e", i)}))
		w.do(WatcherEnded{Watcher: fmt.Sprint("e", i)})
	}
	require.Equal(t, 7, asked)
	w.after(24*time.Hour, "notify d1 terminated;giveup;24h0m0s")
	require.Equal(t, None, w.stored.Share)

	// She said yes and took it back: whoever subscribes again is not let through to her at once.
	w = sharedWorld(t)
	w.do(from(mira, xmpp.PresenceUnsubscribed))
	w.expect(Watched{Watcher: "d2"}, "notify d2 pending")
	require.False(t, w.stored.ShareAsked.IsZero())
	w.fresh()
	w.expect(Watched{Watcher: "d3"}, "notify d3 pending")
	w.after(25 * time.Hour)
	w.expect(Refreshed{Watcher: "d3"}, "xmpp subscribe", "notify d3 pending")
}

func TestErrorsToTheQuestion(t *testing.T) {
	for c, want := range map[xmpp.Condition]struct {
		line string
		auth Authorisation
	}{
		xmpp.ConditionItemNotFound:         {"notify d1 terminated;noresource", None},
		xmpp.ConditionServiceUnavailable:   {"notify d1 terminated;rejected", Denied},
		xmpp.ConditionRemoteServerTimeout:  {"notify d1 terminated;probation;5m0s", None},
		xmpp.ConditionRemoteServerNotFound: {"notify d1 terminated;probation;5m0s", None},
		xmpp.ConditionForbidden:            {"notify d1 terminated;rejected", Denied},
		xmpp.ConditionNotAllowed:           {"notify d1 terminated;rejected", Denied},
	} {
		w := newWorld(t)
		w.do(Watched{Watcher: "d1"})
		w.expect(bounce(idAsk, c), want.line)
		require.Equal(t, want.auth, w.stored.Share, c)
		if want.auth == None { // the question never arrived: it may be asked again
			w.expect(Watched{Watcher: "d2"}, "xmpp subscribe", "notify d2 pending")
		}
	}
}

func TestErrorsToAProbe(t *testing.T) {
	w := sharedWorld(t)
	w.expect(bounce(idProbe, xmpp.ConditionRemoteServerTimeout), "notify d1 active [desk-]")
	require.Equal(t, Granted, w.stored.Share)
	w.expect(bounce(idProbe, xmpp.ConditionItemNotFound), "notify d1 active []")
	w.expect(bounce(idProbe, xmpp.ConditionForbidden), "notify d1 active []")
	w.expect(shows(desk, ""), "notify d1 active [desk]")
}

// What she was shown bounces: nobody is there.
func TestErrorsToNotifications(t *testing.T) {
	w := grantedWorld(t, "res")
	w.do(shows(desk, ""))
	w.expect(bounce("", xmpp.ConditionForbidden)) // a word of policy, not of absence
	w.after(time.Hour)
	w.expect(bounce("", xmpp.ConditionRemoteServerNotFound))
	w.after(time.Minute, "sip unsubscribe s1")
}

func TestUnknownStateIsProbedForTwoSeconds(t *testing.T) {
	w := sharedWorld(t)
	w.do(WatcherEnded{Watcher: "d1"})
	w.fresh()
	w.expect(Watched{Watcher: "d1"}, "xmpp probe")
	w.expect(Watched{Watcher: "p1", Poll: true}) // shares the probe
	w.after(1999 * time.Millisecond)
	w.after(time.Millisecond, "notify p1 terminated;timeout []", "notify d1 active []")

	w.fresh()
	w.expect(Watched{Watcher: "d1"}, "xmpp probe")
	w.do(shows(desk, ""))
	w.after(100 * time.Millisecond)
	w.do(shows(phone, ""))
	w.after(100*time.Millisecond, "notify d1 active [desk,phone]") // one NOTIFY for both

	w.fresh()
	w.link = false
	w.expect(Watched{Watcher: "d1"})
	w.after(20*time.Second, "notify d1 active []")
	w.link = true
}

func TestSheCalls(t *testing.T) {
	w := sharedWorld(t)
	w.expect(CallChanged{User: true, Busy: true}, "notify d1 active [desk] calling")
	w.expect(CallChanged{User: true, Busy: true})
	w.expect(from(desk, xmpp.PresenceUnavailable), "notify d1 active [desk-]")
	w.expect(CallChanged{User: true, Busy: false}, "notify d1 active []")
}

func TestQuietWatchersAskNobody(t *testing.T) {
	w := newWorld(t)
	w.expect(Watched{Watcher: "l1", Quiet: true}, "notify l1 pending")
	require.True(t, w.stored.IsZero())
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
	w.do(from(mira, xmpp.PresenceSubscribed))
	w.do(shows(desk, ""))
	w.after(time.Second, "notify d1 active [desk]", "notify l1 active [desk]")
}

func TestAnonymousWatchers(t *testing.T) {
	for text, want := range map[string]bool{
		"sip:anonymous@anonymous.invalid": true, "sip:anonymous@voice.quay.example": true, "sip:voice.quay.example": true,
		"sip:otto@voice.quay.example": false, "": true,
	} {
		u, _ := sip.ParseURI(text)
		require.Equal(t, want, Anonymous(u), text)
		require.Equal(t, want, Admit(u, Confirm, false) != nil, text)
	}
	otto := sip.URI{Scheme: "sip", User: "otto", Host: "h"}
	require.Equal(t, 403, Admit(otto, Refuse, false).Code)
	require.Equal(t, Allow, DefaultPolicy(Watching, true, false))
	require.Equal(t, Confirm, DefaultPolicy(Watching, true, true))
	require.Equal(t, Confirm, DefaultPolicy(Watching, false, false))
	require.Equal(t, Confirm, DefaultPolicy(Sharing, true, false))
}

// The link breaks and comes back: no watcher sees anything of it.
func TestLinkThatBreaksDoesNotFlap(t *testing.T) {
	w := sharedWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(active("s1", "res"))
	w.do(shows(phone, ""))
	w.now = w.now.Add(time.Hour)
	w.link = false
	w.after(time.Hour)
	w.expect(active("s1", "res=away")) // kept
	w.expect(active("s1", "res=away other"))
	w.link = true
	w.expect(LinkUp{})
	w.after(30*time.Second, "xmpp probe", "xmpp available /res away", "xmpp available /other")
	w.expect(shows(desk, ""))
	w.expect(shows(phone, ""))
	w.after(time.Hour)

	// Her server was restarted meanwhile, and she is only at her desk now.
	w.link = false
	w.expect(active("s1", "res=away")) // the other is gone
	w.link = true
	w.expect(LinkUp{})
	w.after(30*time.Second, "xmpp probe", "xmpp unavailable /other", "xmpp available /res away")
	w.expect(shows(desk, ""))
	w.after(time.Minute, "notify d1 active [desk,phone-]")

	// And then she is gone.
	w.link = false
	w.link = true
	w.expect(LinkUp{})
	w.after(30*time.Second, "xmpp probe", "xmpp available /res away")
	w.expect(from(mira, xmpp.PresenceUnavailable), "notify d1 active [desk-]")
	w.after(2*time.Minute, "sip unsubscribe s1")
}

func TestWhatIsOwedIsSentWhenTheLinkIsBack(t *testing.T) {
	w := newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.link = false
	w.expect(active("s1", "res"))
	w.expect(Watched{Watcher: "d1"}, "notify d1 pending")
	require.Equal(t, OwedSubscribed|OwedSubscribe, w.stored.Owed)
	require.False(t, w.pair.Idle())
	w.link = true
	w.expect(LinkUp{})
	w.after(30*time.Second, "xmpp subscribed", "xmpp subscribe", "xmpp available /res")
	require.Zero(t, w.stored.Owed)

	w.link = false
	w.expect(terminated("s1", sip.ReasonRejected))
	w.link = true
	w.expect(LinkUp{})
	w.after(30*time.Second, "xmpp unsubscribed", "xmpp unavailable /res")
	require.True(t, w.stored.Watch == Denied && w.stored.Owed == 0)

	// An error that cannot be told becomes unsubscribed.
	w = newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.link = false
	w.expect(status("s1", 404))
	w.fresh()
	w.expect(Restored{Record: w.stored})
	w.link = true
	w.expect(LinkUp{})
	w.after(30*time.Second, "xmpp unsubscribed")
	require.True(t, w.stored.IsZero())
}

func TestStanzaThatWasNotWrittenIsSentAgain(t *testing.T) {
	w := newWorld(t)
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
	w.written[0](errors.New("connection reset"))
	w.expect(LinkUp{})
	require.Equal(t, OwedSubscribe, w.stored.Owed)
	w.after(30*time.Second, "xmpp subscribe")
	w.written[1](nil)
	require.Empty(t, w.events)

	w = grantedWorld(t, "res")
	w.sendErr = errors.New("queue full")
	w.expect(active("s1", "res=dnd"))
	w.expect(Removed{Direction: Sharing})
	w.sendErr = nil
	w.after(5*time.Second, "xmpp available /res dnd")

	// A probe that was not sent proves nothing.
	w = sharedWorld(t)
	w.sendErr = errors.New("queue full")
	w.expect(LinkUp{})
	w.after(5 * time.Minute)
	w.sendErr = nil
	w.after(5*time.Second, "xmpp probe")
	w.expect(LinkUp{}) // and the link was away once more
	w.after(20*time.Second, "xmpp probe")
	w.after(45 * time.Second)
	w.after(15*time.Second, "notify d1 active [desk-]")
}

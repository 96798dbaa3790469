package presence

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Nobody on either side sees a restart.
func TestRestartIsNotSeen(t *testing.T) {
	w := sharedWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(active("s1", "res=away other"))
	w.link = false
	w.fresh()
	w.now = w.now.Add(time.Minute)
	w.expect(Restored{Record: w.stored, Watchers: []string{"d1"}, Subscription: "s1"})
	require.Equal(t, WatchActive, w.pair.watch)
	require.Equal(t, ShareGranted, w.pair.share)
	w.expect(Refreshed{Watcher: "d1"}) // waits for the link
	w.link = true
	w.expect(LinkUp{}, "xmpp probe")                           // a watcher waits
	w.expect(from(mira, xmpp.PresenceProbe), "sip refresh s1") // nothing is known but names
	for _, l := range w.wait(19 * time.Second) {
		require.Equal(t, "xmpp probe", l)
	}
	w.expect(shows(desk, ""))
	w.after(time.Second, "notify d1 active [desk]") // what it had
	w.do(active("s1", "res=away other"))
	w.expect(active("s1", "res=away other"))
	w.expect(active("s1", "res=away"), "xmpp unavailable /other")
	require.Equal(t, WatchActive, w.pair.watch)
}

// A device that vanished while the gateway was down is taken back.
func TestRestartKnowsWhatWasShown(t *testing.T) {
	w := grantedWorld(t, "res other")
	w.fresh()
	w.expect(Restored{Record: w.stored, Subscription: "s1"})
	w.expect(active("s1", "res"), "xmpp available /res", "xmpp unavailable /other")
	w.fresh()
	w.expect(Restored{Record: w.stored, Subscription: "s1"})
	w.expect(from(mira, xmpp.PresenceUnsubscribe), "sip unsubscribe s1", "xmpp unavailable /res", "xmpp unsubscribed")
}

func TestRestartWithoutTheDialog(t *testing.T) {
	w := grantedWorld(t, "res")
	w.fresh()
	w.expect(Restored{Record: w.stored})
	require.Equal(t, WatchRetry, w.pair.watch)
	w.expect(from(mira, xmpp.PresenceProbe)) // not known yet
	w.after(30*time.Second, "sip subscribe s2")
	w.expect(active("s2", "res=dnd"), "xmpp available /res dnd")

	// Asked: the same, and the week goes on.
	w = newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(pendingNotify("s1"))
	w.after(3 * 24 * time.Hour)
	w.fresh()
	w.expect(Restored{Record: w.stored})
	w.after(30*time.Second, "sip subscribe s2")
	w.do(pendingNotify("s2"))
	w.after(4*24*time.Hour, "sip unsubscribe s2")
	w.fresh()
	w.expect(Restored{Record: w.stored})
	require.Equal(t, WatchAskParked, w.pair.watch)

	// Pending with its dialog.
	w = newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.fresh()
	w.expect(Restored{Record: w.stored, Subscription: "s1"})
	w.expect(active("s1", "res"), "xmpp subscribed", "xmpp available /res")
}

func TestRestartOfThoseWhoAreOffline(t *testing.T) {
	w := grantedWorld(t, "res")
	w.do(from(desk, xmpp.PresenceUnavailable))
	w.wait(time.Minute)
	w.fresh()
	w.expect(Restored{Record: w.stored})
	require.True(t, w.pair.Idle())
	require.True(t, w.timer.IsZero())
	w.expect(from(mira, xmpp.PresenceProbe), "sip subscribe s2")

	// A dialog of which the record knows nothing.
	w.fresh()
	w.expect(Restored{Record: Record{}, Subscription: "s9"}, "sip unsubscribe s9")
}

func TestRestoreAfterTheFirstEvents(t *testing.T) {
	w := grantedWorld(t, "res")
	w.fresh()
	w.pair.Handle(from(mira, xmpp.PresenceProbe)) // came first, and waits for the record
	w.expect(Restored{Record: w.stored, Watchers: []string{"d1"}, Subscription: "s1"}, "sip refresh s1")
	require.Equal(t, 1, w.pair.Watchers())
	w.expect(active("s1", "res"), "xmpp available /res")
	// A second one brings what the first did not know.
	w.expect(Restored{Watchers: []string{"d1", "d2"}, Subscription: "s1"})
	w.expect(Restored{Subscription: "s7"}, "sip unsubscribe s7")
	require.Equal(t, 2, w.pair.Watchers())
	require.Equal(t, WatchActive, w.pair.watch)
}

func TestClockThatJumps(t *testing.T) {
	base := time.Now() // with a monotonic reading, as in the program
	w := grantedWorld(t, "res")
	w.now = base
	w.do(from(desk, xmpp.PresenceUnavailable)) // 60 s from now
	require.Equal(t, base.Add(time.Minute), w.timer)

	// A record from the future is no reason to give up, nor one to wait for ever.
	w = newWorld(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(pendingNotify("s1"))
	r := w.stored
	r.WatchSince = w.now.Add(100 * 24 * time.Hour)
	w.fresh()
	w.expect(Restored{Record: r, Subscription: "s1"})
	w.after(7*24*time.Hour+time.Second, "sip unsubscribe s1")
}

func TestRecordKeepsNamesOfDevices(t *testing.T) {
	rs, stale := resourcesShown([]string{"1a 2b with space", "x", "1 2 ", "! 2 n", "1 1 with space"})
	require.True(t, stale)
	require.Len(t, rs, 2)
	require.Equal(t, "with space", rs[0].Name)
	require.Equal(t, uint64(46), rs[0].Tuple)
	require.Equal(t, "", rs[1].Name)
	require.Equal(t, "1a 2b with space", shownText(&rs[0]))
}

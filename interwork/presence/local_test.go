package presence

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

func deskPhone(t testingT) *world {
	w := newWorld(t)
	w.who = Presentity{Ours: true, Registered: true}
	w.policy[Watching] = Allow
	return w
}

func published(docs ...string) LocalChanged {
	var e LocalChanged
	for i, d := range docs {
		e.Documents = append(e.Documents, LocalDocument{Source: uint32(i + 1), Document: document(d)})
	}
	e.Devices = []string{"gr1"}
	return e
}

// Most phones take no SUBSCRIBE for presence: registered is available, and a call shows.
func TestPhoneThatTakesNoSubscribe(t *testing.T) {
	for _, refusal := range []SubscribeAnswered{
		status("s1", 489), status("s1", 405), status("s1", 501), status("s1", 480), status("s1", 404),
		{ID: "s1", Cause: cause.Timeout(nil)},
		{ID: "s1", Cause: cause.Offline()},
	} {
		w := deskPhone(t)
		w.expect(from(mira, xmpp.PresenceSubscribe), "watch-local true", "sip subscribe s1")
		w.expect(registered("gr1"))
		w.expect(refusal)
		require.True(t, w.who.Silent)
		w.expect(registered("gr1"), "xmpp subscribed", "xmpp available /gr1", "winfo active subscribe")
		w.expect(registered("gr1"))
		w.expect(CallChanged{Busy: true}, "xmpp available /gr1 dnd On the phone")
		w.expect(registered("gr1", "gr2"), "xmpp available /gr2 dnd On the phone")
		w.expect(CallChanged{Busy: false}, "xmpp available /gr1", "xmpp available /gr2")
		w.expect(registered("gr2"), "xmpp unavailable /gr1")
		w.who.Registered = false
		w.expect(registered(), "xmpp unavailable /gr2")
		w.expect(from(desk, xmpp.PresenceProbe), "xmpp unavailable to /desk")
		w.who.Registered = true
		w.expect(registered("gr1"), "xmpp available /gr1")
		w.do(shows(desk, ""))
		w.expect(from(desk, xmpp.PresenceUnavailable))
		w.after(time.Minute, "watch-local false", "winfo terminated timeout")
		w.expect(registered("gr1"))
		w.expect(shows(desk, ""), "watch-local true", "winfo active subscribe") // no SUBSCRIBE any more
		w.expect(registered("gr1"), "xmpp available /gr1")
		w.expect(from(mira, xmpp.PresenceUnsubscribe), "watch-local false", "xmpp unavailable /gr1", "xmpp unsubscribed", "winfo terminated timeout")
	}
}

func TestPhoneThatAnswersForItself(t *testing.T) {
	w := deskPhone(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.expect(active("s1", "gr1=away"), "xmpp subscribed", "xmpp available /gr1 away", "winfo active subscribe")
	w.expect(registered("gr1")) // it knows better
	w.who.Registered = false
	w.expect(registered(), "sip unsubscribe s1", "xmpp unavailable /gr1")
	w.who.Registered = true
	w.expect(registered("gr1"), "sip subscribe s2")
	w.expect(active("s2", "gr1"), "xmpp available /gr1")
	// It begins to publish.
	w.expect(published("gr1=dnd"), "sip unsubscribe s2", "xmpp available /gr1 dnd")
	w.expect(published("gr1=dnd", "gr2"), "xmpp available /gr2")
	w.expect(published("gr1=dnd"), "xmpp unavailable /gr2")
	w.who.Silent = true
	w.expect(registered("gr1"), "xmpp available /gr1") // the publication ran out
}

func TestPhoneThatSaysNo(t *testing.T) {
	w := deskPhone(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.expect(status("s1", 603), "watch-local false", "xmpp unsubscribed")
	require.Equal(t, Denied, w.stored.Watch)
}

func TestPhoneThatIsNotRegistered(t *testing.T) {
	w := deskPhone(t)
	w.who.Registered = false
	w.expect(from(mira, xmpp.PresenceSubscribe), "watch-local true")
	w.expect(registered(), "xmpp subscribed", "xmpp unavailable", "winfo active subscribe")
	w.who.Registered = true
	w.expect(registered("gr1"), "sip subscribe s1")
	w.expect(status("s1", 489))
	w.expect(registered("gr1"), "xmpp available /gr1")
}

// The owner has a phone that shows who waits (presence.winfo), or an operator decides.
func TestOwnerDecides(t *testing.T) {
	w := deskPhone(t)
	w.policy[Watching] = Confirm
	w.who.Silent = true
	w.expect(from(mira, xmpp.PresenceSubscribe), "watch-local true")
	w.expect(registered("gr1"), "winfo pending subscribe")
	w.expect(registered("gr1"))
	w.expect(from(mira, xmpp.PresenceProbe)) // nothing leaks
	w.expect(Decided{Grant: true})
	w.expect(registered("gr1"), "xmpp subscribed", "xmpp available /gr1", "winfo active approved")
	w.expect(Decided{Grant: true})
	w.expect(Decided{}, "watch-local false", "xmpp unavailable /gr1", "xmpp unsubscribed", "winfo terminated rejected")
	w.expect(Decided{Grant: true}) // she has to ask again
	require.Equal(t, Denied, w.stored.Watch)

	// Nobody decided in a week; then the owner does.
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(registered("gr1"))
	w.after(7*24*time.Hour, "watch-local false", "winfo waiting giveup")
	w.expect(Decided{Grant: true}, "watch-local true")
	w.expect(registered("gr1"), "xmpp subscribed", "xmpp available /gr1", "winfo active subscribe")

	w = newWorld(t) // not ours to decide
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.expect(Decided{Grant: true})
	w.expect(Decided{}, "sip unsubscribe s1", "xmpp unsubscribed")
}

func TestPolicyChangesItsMind(t *testing.T) {
	w := deskPhone(t)
	w.who.Silent = true
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(registered("gr1"))
	w.policy[Watching] = Confirm // granted is granted
	w.expect(registered("gr1", "gr2"), "xmpp available /gr2")
	w.policy[Watching] = Refuse
	w.expect(registered("gr1"), "watch-local false", "xmpp unavailable /gr1", "xmpp unavailable /gr2", "xmpp unsubscribed", "winfo terminated rejected")
}

func TestPhoneAfterARestart(t *testing.T) {
	w := deskPhone(t)
	w.who.Silent = true
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(registered("gr1", "gr2"))
	w.fresh()
	w.expect(Restored{Record: w.stored})
	w.after(30*time.Second, "watch-local true", "winfo active subscribe")
	w.expect(registered("gr1"), "xmpp available /gr1", "xmpp unavailable /gr2")

	// With a dialog: the phone answers for itself.
	w = deskPhone(t)
	w.do(from(mira, xmpp.PresenceSubscribe))
	w.do(active("s1", "gr1"))
	w.fresh()
	w.expect(Restored{Record: w.stored, Subscription: "s1"}, "watch-local true", "winfo active subscribe")
	w.expect(registered("gr1"))
	w.expect(active("s1", "gr1"), "xmpp available /gr1")
}

func TestWatchers(t *testing.T) {
	now := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	uri := func(text string) sip.URI { u, _ := sip.ParseURI(text); return u }
	c := mapping.WatchersContext{Resource: uri("sip:otto@h"), Now: now.Add(90 * time.Second)}
	short := func(f *WatcherFeed, full bool) (list []string) {
		t.Helper()
		c.Full = full
		d, changed := f.Next(c)
		require.Equal(t, changed, !d.Partial || len(d.Lists[0].Watchers) > 0)
		if !d.Partial {
			list = append(list, "full")
		}
		for _, w := range d.Lists[0].Watchers {
			list = append(list, w.URI+" "+string(w.Status)+" "+string(w.Event)+" "+w.Subscribed.String())
		}
		return list
	}
	var w Watchers
	update := func(text string, s watcherinfo.Status, e watcherinfo.Event) {
		w.Update(mapping.Watcher{URI: uri(text), Status: s, Event: e, Since: now})
	}
	update("sip:mira@h", watcherinfo.Terminated, watcherinfo.Timeout) // whom nobody knew
	require.Zero(t, w.Len())
	update("sip:mira@h", watcherinfo.Pending, watcherinfo.Subscribe)
	a := w.Subscribe()
	require.Equal(t, []string{"full", "sip:mira@h pending subscribe 1m30s"}, short(a, false))
	require.Empty(t, short(a, false))
	b := w.Subscribe()
	require.Equal(t, 2, w.Feeds())
	now = now.Add(time.Minute)
	update("sip:mira@h", watcherinfo.Active, watcherinfo.Approved)
	require.Equal(t, []string{"sip:mira@h active approved 1m30s"}, short(a, false), "since the first time")
	update("sip:eva@h", watcherinfo.Active, watcherinfo.Subscribe)
	update("sip:mira@h", watcherinfo.Terminated, watcherinfo.Rejected)
	require.Equal(t, []string{"sip:eva@h active subscribe 30s", "sip:mira@h terminated rejected 1m30s"}, short(a, false))
	require.Equal(t, []string{"full", "sip:eva@h active subscribe 30s"}, short(b, false))
	require.Equal(t, []string{"full", "sip:eva@h active subscribe 30s"}, short(a, true))
	b.Close()
	require.Equal(t, 1, w.Feeds())
	require.Equal(t, 1, w.Len())
}

// A picture that comes later is shown once, by the devices that have it, to who sees them.
func TestPictureComesLater(t *testing.T) {
	const one, two = "https://quay.example/1", "https://quay.example/2"
	w := deskPhone(t)
	w.photos = map[string]string{}
	icon := func(d *pidf.Document, uri string) LocalDocument {
		d.Persons = []pidf.Person{{Card: pidf.Card{Icon: uri}}}
		return LocalDocument{Source: 1, Document: d}
	}
	w.expect(PhotoChanged{Icon: one}) // nothing is known of the pair, and nothing is loaded for it
	w.expect(from(mira, xmpp.PresenceSubscribe), "watch-local true", "sip subscribe s1")
	w.expect(LocalChanged{Documents: []LocalDocument{icon(document("desk"), one)}, Devices: []string{"gr1"}},
		"sip unsubscribe s1", "xmpp subscribed", "xmpp available /desk", "winfo active subscribe")
	w.expect(PhotoChanged{Icon: two})
	w.photos[one] = "01b87fcd030b72895ff8e88db57ec525450f000d"
	w.expect(PhotoChanged{Icon: one}, "xmpp available /desk photo 01b8")
	w.expect(from(desk, xmpp.PresenceProbe), "xmpp available /desk to /desk photo 01b8")
	w.expect(from(mira, xmpp.PresenceUnsubscribe), "watch-local false", "xmpp unavailable /desk", "xmpp unsubscribed", "winfo terminated timeout")
	w.expect(PhotoChanged{Icon: one})
}

package presence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	mira  = xmpp.MustJID("mira@chat.harbor.example")
	desk  = xmpp.MustJID("mira@chat.harbor.example/desk")
	phone = xmpp.MustJID("mira@chat.harbor.example/phone")
	otto  = xmpp.MustJID("otto\\40voice.quay.example@sip.harbor.example")
)

// testingT is testing.T and rapid.T.
type testingT interface {
	require.TestingT
	Helper()
}

// world is the gateway around one pair: it writes down what the pair does, one line each,
// and the test decides what happens.
type world struct {
	t    testingT
	pair *Pair
	now  time.Time
	link bool

	lines  []string // since the last look
	events []Event

	timer  time.Time // zero: not set
	who    Presentity
	photos map[string]string // URI → SHA-1
	policy map[Direction]Decision
	subs   int
	noSubs bool
	watch  bool // WatchLocal

	stored   Record
	loads    []func(Record, error)
	saves    []func(error)
	autoSave bool
	saveErr  error
	sendErr  error
	written  []func(error)
}

func newWorld(t testingT) *world {
	w := &world{t: t, now: time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC), link: true, autoSave: true, policy: map[Direction]Decision{}}
	w.fresh()
	return w
}

// fresh starts a process of which only the store is old.
func (w *world) fresh() {
	s := Settings{Now: func() time.Time { return w.now }}
	w.pair = NewPair(s.WithDefaults(), w)
	w.timer, w.watch, w.events, w.loads, w.saves = time.Time{}, false, nil, nil, nil
}

func (w *world) add(format string, args ...any) {
	w.lines = append(w.lines, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (w *world) LinkUp() bool                    { return w.link }
func (w *world) Addresses() (user, con xmpp.JID) { return mira, otto }
func (w *world) Nick() string                    { return "Otto" }
func (w *world) Presentity() Presentity          { return w.who }
func (w *world) Allow(d Direction) Decision      { return w.policy[d] }
func (w *world) Post(e Event)                    { w.events = append(w.events, e) }
func (w *world) Log(string) *zerolog.Logger      { l := zerolog.Nop(); return &l }
func (w *world) Count(Direction, string)         {}
func (w *world) Load(loaded func(Record, error)) { w.loads = append(w.loads, loaded) }
func (w *world) Silent()                         { w.who.Silent = true }
func (w *world) Refresh(_, id string)            { w.add("sip refresh %s", id) }
func (w *world) Unsubscribe(_, id string)        { w.add("sip unsubscribe %s", id) }
func (w *world) Watched(s watcherinfo.Status, e watcherinfo.Event) {
	w.add("winfo %s %s", s, e)
}

func (w *world) Photo(r *mapping.Resource) *xmpp.Element {
	return mapping.PhotoElement(w.photos[r.Avatar], r.Avatar == "" || w.photos[r.Avatar] != "")
}

func (w *world) Caps(*mapping.Resource) *xmpp.Element { return xmpp.NewElement(xmpp.NSCaps, "c") }

func (w *world) Send(_ string, p *xmpp.Presence, written func(error)) error {
	if !w.link {
		return errors.New("link down")
	}
	if w.sendErr != nil {
		return w.sendErr
	}
	if written != nil {
		w.written = append(w.written, written)
	}
	w.add("xmpp %s", stanzaLine(p))
	return nil
}

func stanzaLine(p *xmpp.Presence) string {
	kind := string(p.Type)
	if p.Type == xmpp.PresenceAvailable {
		kind = "available"
	}
	s := kind
	if r := p.From.Resource(); r != "" {
		s += " /" + r
	}
	if r := p.To.Resource(); r != "" {
		s += " to /" + r
	}
	if p.Show != "" {
		s += " " + string(p.Show)
	}
	if p.Status() != "" {
		s += " " + p.Status()
	}
	if hash := p.Extension(xmpp.NSVCardUpdate, "x").Child(xmpp.NSVCardUpdate, "photo").Text(); hash != "" {
		s += " photo " + hash[:4]
	}
	if p.Error != nil {
		s += " " + string(p.Error.Condition) + " " + p.ID
	}
	if n, ok := hopsOf(p); ok {
		s += fmt.Sprintf(" hops=%d", n)
	}
	return s
}

func (w *world) Subscribe(_ string, hops int) string {
	if w.noSubs {
		return ""
	}
	w.subs++
	id := fmt.Sprintf("s%d", w.subs)
	if hops > 0 {
		id += fmt.Sprintf("h%d", hops)
	}
	w.add("sip subscribe %s", id)
	return id
}

func (w *world) Fetch(string) string {
	w.subs++
	id := fmt.Sprintf("f%d", w.subs)
	w.add("sip fetch %s", id)
	return id
}

func (w *world) WatchLocal(on bool) {
	if on != w.watch {
		w.add("watch-local %v", on)
	}
	w.watch = on
}

func (w *world) Notify(_, watcher string, n Notification) {
	s := watcher + " " + n.State.String()
	if n.Reason != "" {
		s += ";" + string(n.Reason)
	}
	if n.RetryAfter > 0 {
		s += ";" + n.RetryAfter.String()
	}
	if n.Document {
		s += " ["
		for i, r := range n.Resources {
			if i > 0 {
				s += ","
			}
			s += r.Name
			if r.Closed {
				s += "-"
			}
			if r.Show != "" {
				s += "=" + string(r.Show)
			}
		}
		s += "]"
	}
	if n.OnThePhone {
		s += " calling"
	}
	w.add("notify %s", s)
}

func (w *world) Save(r Record, saved func(error)) error {
	if w.saveErr != nil {
		return w.saveErr
	}
	w.stored = r
	if w.autoSave {
		w.Post(savedOf(saved))
		return nil
	}
	w.saves = append(w.saves, saved)
	return nil
}

// savedOf runs the callback when it is handled, as the writer goroutine would later.
type savedOf func(error)

func (savedOf) isEvent() {}

func (w *world) SetTimer(after time.Duration) {
	w.timer = time.Time{}
	if after > 0 {
		w.timer = w.now.Add(after)
	}
}

// do handles an event and what follows, and returns what the pair did.
func (w *world) do(e Event) []string {
	w.events = append(w.events, e)
	for len(w.events) > 0 {
		e := w.events[0]
		w.events = w.events[1:]
		if f, ok := e.(savedOf); ok {
			f(nil)
			continue
		}
		w.pair.Handle(e)
		for len(w.loads) > 0 {
			load := w.loads[0]
			w.loads = w.loads[1:]
			load(w.stored, nil)
		}
	}
	return w.look()
}

func (w *world) look() []string {
	lines := w.lines
	w.lines = nil
	return lines
}

// wait lets time pass, timers included.
func (w *world) wait(d time.Duration) []string {
	end := w.now.Add(d)
	var lines []string
	for !w.timer.IsZero() && !w.timer.After(end) {
		w.now = w.timer
		w.timer = time.Time{}
		lines = append(lines, w.do(TimerFired{})...)
	}
	w.now = end
	return lines
}

// expect handles an event and compares what the pair did.
func (w *world) expect(e Event, want ...string) {
	w.t.Helper()
	w.same(w.do(e), want)
}

func (w *world) after(d time.Duration, want ...string) {
	w.t.Helper()
	w.same(w.wait(d), want)
}

func (w *world) same(got, want []string) {
	w.t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	require.Equal(w.t, want, got)
}

// Stanzas of hers.

func from(j xmpp.JID, t xmpp.PresenceType) StanzaReceived {
	return StanzaReceived{Presence: &xmpp.Presence{From: j, To: otto, Type: t, ID: "m-1"}}
}

func shows(j xmpp.JID, s xmpp.Show) StanzaReceived {
	e := from(j, xmpp.PresenceAvailable)
	e.Presence.Show = s
	return e
}

func bounce(id string, c xmpp.Condition) StanzaReceived {
	e := from(mira, xmpp.PresenceError)
	e.Presence.ID, e.Presence.Error = id, xmpp.NewStanzaError(c, "")
	return e
}

// What the SIP side says. doc is "desk=away phone-": devices with an activity, or closed.

func document(doc string) *pidf.Document {
	d := &pidf.Document{Entity: "sip:otto@voice.quay.example"}
	for _, f := range strings.Fields(doc) {
		name, show, _ := strings.Cut(f, "=")
		t := pidf.Tuple{ID: mapping.ResourceToTupleID(strings.TrimSuffix(name, "-")), Basic: pidf.Open, Show: show}
		if strings.HasSuffix(name, "-") {
			t.Basic = pidf.Closed
		}
		d.Tuples = append(d.Tuples, t)
	}
	return d
}

func active(id, doc string) Notified {
	return Notified{ID: id, Fork: "a", State: DialogActive, Document: document(doc)}
}

func pendingNotify(id string) Notified { return Notified{ID: id, Fork: "a", State: DialogPending} }

func terminated(id string, r Reason) Notified {
	return Notified{ID: id, Fork: "a", State: DialogTerminated, Reason: r}
}

func status(id string, code int) SubscribeAnswered {
	if code/100 == 2 {
		return SubscribeAnswered{ID: id}
	}
	return SubscribeAnswered{ID: id, Cause: cause.FromStatus(sip.Status{Code: code})}
}

func registered(devices ...string) LocalChanged { return LocalChanged{Devices: devices} }

// granted is a world in which she watches him and the dialog s1 is active.
func grantedWorld(t testingT, doc string) *world {
	t.Helper()
	w := newWorld(t)
	w.expect(from(mira, xmpp.PresenceSubscribe), "sip subscribe s1")
	w.do(active("s1", doc))
	require.Equal(t, WatchActive, w.pair.watch)
	require.Equal(t, Granted, w.stored.Watch)
	w.now = w.now.Add(time.Hour)
	return w
}

// sharedWorld is a world in which he watches her with the dialog d1, and she is online
// at her desk.
func sharedWorld(t testingT) *world {
	t.Helper()
	w := newWorld(t)
	w.expect(Watched{Watcher: "d1"}, "xmpp subscribe", "notify d1 pending")
	w.do(from(mira, xmpp.PresenceSubscribed))
	w.do(shows(desk, ""))
	w.after(time.Second, "notify d1 active [desk]")
	return w
}

func contains(lines []string, part string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, part) })
}

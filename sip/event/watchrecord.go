package event

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// DialogRecord is one dialog of a WatchRecord.
type DialogRecord struct {
	RemoteTag string
	Target    string // URI
	Routes    string // value of Route
	Flow      string // see ua.Flow
	State     string
	RemoteSeq int64 // CSeq of the last NOTIFY
	Expires   time.Time
}

// WatchRecord is a Watch as a store keeps it: text and numbers only. It is worth storing
// after every WatchChanged.
type WatchRecord struct {
	From, FromDisplay, To, URI string
	Package, EventID           string
	Accept                     string
	EventList                  bool
	Ask                        int64 // seconds
	State                      string
	CallID, LocalTag, Contact  string
	LocalSeq                   int64 // CSeq of the last SUBSCRIBE
	Dialogs                    []DialogRecord
}

// Record gives what is to be stored. A poll is not worth it.
func (w *Watch) Record() WatchRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := WatchRecord{
		From: w.from, FromDisplay: w.display, To: w.to, URI: w.uri, Package: w.pkg, EventID: w.id, Accept: w.accept.Value(), EventList: w.list,
		Ask: int64(w.ask / time.Second), State: w.state.String(), CallID: w.callID, LocalTag: w.tag, Contact: w.contact,
		LocalSeq: int64(w.seq),
	}
	now, wall := w.s.alarms.now(), time.Now().Round(0)
	for _, d := range w.dialogs {
		x := DialogRecord{
			RemoteTag: d.tag, Target: d.texts.get(textTarget), Routes: d.texts.get(textRoutes), State: string(d.state),
			RemoteSeq: int64(d.remoteSeq), Expires: wall.Add(d.expires - now),
		}
		if d.flow != nil {
			x.Flow = d.flow.String()
		}
		r.Dialogs = append(r.Dialogs, x)
	}
	return r
}

// Restore takes a Watch back after a restart: its dialogs go on, and are refreshed at
// their time, but not all at once. What has expired meanwhile is subscribed to anew
// within SubscriberConfig.Spread; so is what was waiting. A record of a Watch that is
// ending or terminated gives ErrEnded.
func (s *Subscriber) Restore(r WatchRecord, owner WatchOwner, data any) (*Watch, error) {
	bad := func(err error) (*Watch, error) { return nil, fmt.Errorf("%w: watch of %s: %w", ErrRecord, r.To, err) }
	if r.State == WatchEnding.String() || r.State == WatchTerminated.String() {
		return nil, ErrEnded
	}
	o := WatchOptions{
		From: sip.NameAddr{Display: r.FromDisplay}, Package: r.Package, EventID: r.EventID, Accept: strings.Split(r.Accept, ", "),
		EventList: r.EventList, Expires: time.Duration(r.Ask) * time.Second, Owner: owner, Data: data,
	}
	var err error
	for _, u := range []struct {
		text string
		to   *sip.URI
		must bool
	}{{r.From, &o.From.URI, true}, {r.To, &o.To, true}, {r.URI, &o.URI, false}} {
		if u.text == "" && !u.must {
			continue
		}
		if *u.to, err = sip.ParseURI(u.text); err != nil {
			return bad(err)
		}
	}
	w, err := s.watch(o)
	if err != nil {
		return bad(err)
	}
	now := s.alarms.now()
	w.contact, w.closes, w.seq = r.Contact, true, uint32(r.LocalSeq)+seqGap
	for _, x := range r.Dialogs {
		left := min(time.Until(x.Expires), w.ask)
		if left <= 0 || r.CallID == "" || r.LocalTag == "" || x.RemoteTag == "" {
			continue
		}
		d := &watchDialog{
			tag: x.RemoteTag, state: sip.SubState(x.State), asked: w.ask, silence: never,
			remoteSeq: uint32(x.RemoteSeq),
		}
		var p peer
		if p.target, err = sip.ParseURI(x.Target); err != nil {
			return bad(err)
		}
		if p.routes, err = parseRoutes(x.Routes); err != nil {
			return bad(err)
		}
		if p.flow, err = ua.ParseFlow(x.Flow); err != nil {
			return bad(err)
		}
		if err = d.keep(p); err != nil {
			return bad(err)
		}
		w.schedule(d, left)
		// The plan was 85–90 % of the whole time; what is left may be short for many.
		due := refreshAfter(w.ask, lot()) - (w.ask - left)
		spread := min(s.cfg.Spread, left/2)
		if due < spread {
			due = time.Duration(lot() * float64(spread))
		}
		d.refresh = now + due
		w.dialogs = append(w.dialogs, d)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	if len(w.dialogs) == 0 {
		w.state, w.until = WatchWaiting, now+time.Duration(lot()*float64(s.cfg.Spread))
	} else {
		w.callID, w.tag, w.attempt, w.state = r.CallID, r.LocalTag, 1, WatchPending
		if slices.ContainsFunc(w.dialogs, func(d *watchDialog) bool { return d.state == sip.SubscriptionActive }) {
			w.state = WatchActive
		}
		s.register(w, "")
	}
	w.arrange()
	return w, nil
}

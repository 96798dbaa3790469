package event

import (
	"fmt"
	"net/netip"
	"time"
	"unique"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Record is a Subscription as a store keeps it: text and numbers only. It is worth
// storing after Subscribed and after Refreshed, not after each NOTIFY: what has been
// counted since is skipped by Restore.
type Record struct {
	ID               string // key
	Package, EventID string
	Resource         string // URI of what is watched
	Watcher          string // URI of who watches

	CallID, RemoteTag string
	Local, Remote     string // URIs of our From and To
	Target            string // URI
	Routes            string // value of Route
	Contact           string // URI, ours
	Flow              string // see ua.Flow; only a UDP flow is of use after a restart
	Source            string // IP address that the subscription counts for, "" for none
	Accept            string // value of Accept
	Require           string // option tag, "" for none
	State             string // pending, active; "" when nothing was told yet

	LocalSeq, RemoteSeq int64 // CSeq of our last NOTIFY and of the last SUBSCRIBE
	Version             int64 // documents sent
	Granted             int64 // seconds
	Expires             time.Time
}

// seqGap is how much further the CSeq and the document version go on after a restart:
// more NOTIFYs than that cannot have been sent since the record was stored, at one in
// five seconds. Gaps in CSeq are no error (RFC 3261 §12.2.2).
const seqGap = 10_000

// Record gives what is to be stored.
func (s *Subscription) Record() Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	get := s.texts.get
	r := Record{
		ID: s.tag, Package: s.pkg.Name, EventID: get(textEventID), Resource: get(textResource), Watcher: get(textWatcher),
		CallID: get(textCallID), RemoteTag: get(textRemoteTag), Local: get(textLocal), Remote: get(textRemote),
		Target: get(textTarget), Routes: get(textRoutes), Contact: get(textContact), Accept: s.accept.Value(), Require: get(textRequire),
		LocalSeq: int64(s.localSeq), RemoteSeq: int64(s.remoteSeq), Version: int64(s.version), Granted: int64(s.granted / time.Second),
		// The wall clock is used here and in Restore only.
		Expires: time.Now().Add(s.expires - s.n.alarms.now()).Round(0),
	}
	if r.Resource == "" {
		r.Resource = r.Local
	}
	if r.Watcher == "" {
		r.Watcher = r.Remote
	}
	if s.state == sip.SubscriptionPending || s.state == sip.SubscriptionActive {
		r.State = string(s.state)
	}
	if s.flow != nil {
		r.Flow = s.flow.String()
	}
	if s.counted {
		r.Source = s.source.String()
	}
	return r
}

// Restore takes a subscription back after a restart. Its watcher is told nothing by
// that; the next Notify goes on with the dialog. ErrExpired means that it has ended
// meanwhile, ErrRecord that it cannot be read or that its package is not served.
//
// A clock that was put back does not make a subscription longer than it was granted.
func (n *Notifier) Restore(r Record) (*Subscription, error) {
	bad := func(what string, err error) (*Subscription, error) {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrRecord, r.ID, what, err)
	}
	pkg := n.packages[r.Package]
	if pkg == nil || r.ID == "" || r.CallID == "" {
		return nil, fmt.Errorf("%w: %s: package %q", ErrRecord, r.ID, r.Package)
	}
	for _, u := range []string{r.Resource, r.Watcher, r.Local, r.Remote, r.Target, r.Contact} {
		if _, err := sip.ParseURI(u); err != nil {
			return bad("uri", err)
		}
	}
	resource, _ := sip.ParseURI(r.Resource)
	watcher, _ := sip.ParseURI(r.Watcher)
	flow, err := ua.ParseFlow(r.Flow)
	if err != nil {
		return bad("flow", err)
	}
	left := min(time.Until(r.Expires), time.Duration(r.Granted)*time.Second)
	if left <= 0 {
		return nil, fmt.Errorf("%w: %s", ErrExpired, r.ID)
	}
	now := n.alarms.now()
	s := &Subscription{
		n: n, pkg: pkg, tag: r.ID, accept: unique.Make(r.Accept),
		pair: pairOf(&Subscribe{Watcher: sip.NameAddr{URI: watcher}, Resource: resource, Package: r.Package}), watcher: hashOf(watcher.Key()),
		localSeq: uint32(r.LocalSeq) + seqGap, remoteSeq: uint32(r.RemoteSeq), version: uint32(r.Version) + seqGap,
		granted: time.Duration(r.Granted) * time.Second, expires: now + left, sent: now - pkg.Interval,
	}
	switch s.state = sip.SubState(r.State); s.state {
	case sip.SubscriptionActive:
		s.phase = phaseActive
	case sip.SubscriptionPending:
		s.phase = phasePending
	default:
		s.phase, s.state, s.sent, s.urgent = phaseNew, "", now, true
	}
	list := [textCount]string{
		textCallID: r.CallID, textRemoteTag: r.RemoteTag, textLocal: r.Local, textRemote: r.Remote, textTarget: r.Target,
		textRoutes: r.Routes, textContact: r.Contact, textEventID: r.EventID, textRequire: r.Require,
	}
	if r.Resource != r.Local {
		list[textResource] = r.Resource
	}
	if r.Watcher != r.Remote {
		list[textWatcher] = r.Watcher
	}
	if s.texts, err = packTexts(list); err != nil {
		return bad("texts", err)
	}
	p, err := s.peer()
	if err != nil {
		return bad("routes", err)
	}
	p.flow = flow
	s.reach(p)
	n.mu.Lock()
	if n.byTag[s.tag] != nil {
		n.mu.Unlock()
		return nil, fmt.Errorf("%w: %s is there already", ErrRecord, r.ID)
	}
	if addr, err := netip.ParseAddr(r.Source); err == nil {
		n.countSource(s, addr)
	}
	n.insert(s)
	n.mu.Unlock()
	s.settle()
	return s, nil
}

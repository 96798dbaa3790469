package interwork

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

// presencePorts is a pair seen as presence.Ports; its names would clash with those of
// chat.Ports.
type presencePorts struct{ *pair }

var _ presence.Ports = presencePorts{}

// Addresses implements presence.Ports.
func (p presencePorts) Addresses() (user, contact xmpp.JID) { return p.key.jid, p.contact }

// Nick implements presence.Ports.
func (p presencePorts) Nick() string {
	if id, ok := p.g.table.ByAOR(p.uri); ok {
		return id.Name
	}
	return ""
}

// Send implements presence.Ports.
func (p presencePorts) Send(flow string, s *xmpp.Presence, written func(error)) error {
	if p.g.journal.Enabled() {
		p.g.journal.Add(journal.Entry{
			Flow: flow, From: journal.Gateway, To: s.To.Bare().String(), Protocol: journal.XMPP, Summary: presenceSummary(s), Raw: rawStanza(s),
		})
	}
	return p.g.xmpp.Send(s, written)
}

func presenceSummary(s *xmpp.Presence) string {
	switch {
	case s.Type != "":
		return "presence " + string(s.Type)
	case s.Show != "":
		return "presence " + string(s.Show)
	}
	return "presence available"
}

// Caps implements presence.Ports.
func (p presencePorts) Caps(*mapping.Resource) *xmpp.Element {
	return p.g.disco.Caps(disco.Subject{Kind: disco.SubjectResource, Capabilities: p.g.capabilities(p.uri)}).Element()
}

// Photo implements presence.Ports.
func (p presencePorts) Photo(r *mapping.Resource) *xmpp.Element { return p.g.avatars.photo(p.pair, r) }

// Presentity implements presence.Ports.
func (p presencePorts) Presentity() presence.Presentity {
	_, known := p.g.table.ByAOR(p.uri)
	return presence.Presentity{
		Ours: known && p.g.isOurs(p.uri.Host), Registered: len(p.g.registrar.Lookup(p.uri)) > 0,
		Silent: p.g.events.isSilent(p.key.aor) || len(p.g.publications.documents(p.key.aor)) > 0,
	}
}

// Subscribe implements presence.Ports.
func (p presencePorts) Subscribe(flow string, hops int) string { return p.watch(flow, false, hops) }

// Fetch implements presence.Ports.
func (p presencePorts) Fetch(flow string) string { return p.watch(flow, true, 0) }

func (p presencePorts) watch(flow string, poll bool, hops int) string {
	id := p.g.flows.next('s')
	err := p.g.events.begin(&watchRef{key: p.key, id: id, flow: flow, poll: poll}, event.WatchOptions{
		From: p.g.addresses.CallerToSIP(p.key.jid, p.uri), To: p.uri, Package: presencePackage,
		Accept: []string{pidf.ContentType}, Poll: poll, MaxForwards: hops,
	})
	if err != nil {
		p.Log(flow).Warn().Err(err).Msg("no subscription")
		return ""
	}
	p.g.note(flow, journal.Gateway, p.uri.String(), "SUBSCRIBE")
	return id
}

// Refresh implements presence.Ports.
func (p presencePorts) Refresh(_, id string) {
	if w := p.g.events.watchOf(id); w != nil {
		w.Refresh()
	}
}

// Unsubscribe implements presence.Ports.
func (p presencePorts) Unsubscribe(flow, id string) {
	if w := p.g.events.dropWatch(id); w != nil {
		p.g.note(flow, journal.Gateway, p.uri.String(), "SUBSCRIBE (end)")
		w.Unsubscribe()
	}
}

// WatchLocal implements presence.Ports.
func (p presencePorts) WatchLocal(on bool) {
	p.g.events.watchLocal(p.key, on)
	if on {
		p.g.localChanged(p.key, p.g.registrar.Lookup(p.uri))
	}
}

// Silent implements presence.Ports.
func (p presencePorts) Silent() { p.g.events.setSilent(p.key.aor) }

// Notify implements presence.Ports.
func (p presencePorts) Notify(flow, watcher string, n presence.Notification) {
	s := p.g.events.subscriptionOf(watcher)
	if s == nil {
		p.g.lists.told(watcher, p.key.jid, n)
		return
	}
	out := event.Notification{RetryAfter: n.RetryAfter, Reason: n.Reason}
	switch n.State {
	case presence.DialogActive:
		out.State = sip.SubscriptionActive
	case presence.DialogTerminated:
		out.State = sip.SubscriptionTerminated
	default:
		out.State = sip.SubscriptionPending
	}
	if n.Document {
		shown := p.g.addresses.CallerToSIP(p.key.jid, p.uri)
		doc, lang := mapping.PresenceToPIDF(n.Resources, mapping.PresenceContext{Entity: shown.URI, Name: shown.Display, OnThePhone: n.OnThePhone, IconBase: p.g.avatars.base})
		p.g.avatars.offer(doc, p.key.jid, p.contact)
		out.ContentType, out.Body, out.Language = pidf.ContentType, doc.Append(nil), lang
	}
	p.g.note(flow, journal.Gateway, p.uri.String(), "NOTIFY "+string(out.State))
	if err := s.Notify(out); err != nil {
		p.Log(flow).Debug().Err(err).Msg("watcher not told")
	}
}

// Allow implements presence.Ports.
func (p presencePorts) Allow(d presence.Direction) presence.Decision {
	return presence.DefaultPolicy(d, p.Presentity().Ours, p.g.cfg.ConfirmWatchers)
}

// Watched implements presence.Ports.
func (p presencePorts) Watched(s watcherinfo.Status, e watcherinfo.Event) {
	p.g.winfo.update(p.uri, p.key.jid, s, e)
}

// Load implements presence.Ports.
func (p presencePorts) Load(loaded func(presence.Record, error)) {
	p.g.loads.add(func() {
		row, _, err := p.g.store.Authorisation(p.g.workCtx, p.key.jid.String(), p.key.aor)
		if p.g.workCtx.Err() != nil {
			return // the gateway ends, and so does the pair
		}
		loaded(recordOf(row), err)
	})
}

// Save implements presence.Ports.
func (p presencePorts) Save(r presence.Record, saved func(error)) error {
	p.g.events.refusals.Note(p.key.String(), &r)
	p.g.lists.recorded(p.key, &r)
	if r.Watch != presence.Granted {
		p.g.avatars.hide(p.pair)
	}
	if r.Share != presence.Granted {
		p.g.avatars.gallery.Revoke(p.key.jid, p.contact)
	}
	if r.IsZero() {
		return p.g.store.DeleteAuthorisation(p.key.jid.String(), p.key.aor, saved)
	}
	return p.g.store.PutAuthorisation(rowOf(p.key, &r), saved)
}

// SetTimer implements presence.Ports.
func (p presencePorts) SetTimer(after time.Duration) {
	if p.presenceTimer != nil {
		p.presenceTimer.Stop()
		p.presenceTimer = nil
	}
	if after > 0 {
		p.presenceTimer = time.AfterFunc(after, func() { p.box.post(presence.TimerFired{}) })
	}
}

// Post implements presence.Ports.
func (p presencePorts) Post(e presence.Event) { p.box.post(e) }

// Log implements presence.Ports.
func (p presencePorts) Log(flow string) *zerolog.Logger { return p.pair.Log(flow) }

// Count implements presence.Ports.
func (p presencePorts) Count(d presence.Direction, what string) {
	p.g.metrics.presence.WithLabelValues(d.String(), what).Inc()
}

func recordOf(r store.AuthorisationRow) presence.Record {
	return presence.Record{
		Watch: presence.ParseAuthorisation(r.Watch), WatchSince: r.WatchSince, WatchAsked: r.WatchAsked,
		Share: presence.ParseAuthorisation(r.Share), ShareSince: r.ShareSince, ShareAsked: r.ShareAsked,
		Wanted: r.Wanted, Owed: presence.Owed(r.Owed), Shown: r.Shown,
	}
}

func rowOf(k pairKey, r *presence.Record) store.AuthorisationRow {
	return store.AuthorisationRow{
		JID: k.jid.String(), AOR: k.aor,
		Watch: r.Watch.String(), WatchSince: r.WatchSince, WatchAsked: r.WatchAsked,
		Share: r.Share.String(), ShareSince: r.ShareSince, ShareAsked: r.ShareAsked,
		Wanted: r.Wanted, Owed: int64(r.Owed), Shown: r.Shown,
	}
}

// note adds a line to the journal.
func (g *Gateway) note(flow, from, to, what string) {
	if flow != "" && g.journal.Enabled() {
		g.journal.Add(journal.Entry{Flow: flow, From: from, To: to, Protocol: journal.SIP, Summary: what})
	}
}

// restoreContext bounds reading the store at the start.
const restoreTimeout = 5 * time.Minute

func (g *Gateway) restoreContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, restoreTimeout)
}

package interwork

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// kindPosting marks rows in the store's table of event dialogs: what we publish.
const kindPosting = "posting"

// refusedFor is how long a presence server that refuses to take somebody's presence is
// left alone.
const refusedFor = time.Hour

// posters publish the presence of XMPP users at the SIP presence server of a trunk
// (Trunk.Publish): of those whose identity has an address in a domain of the trunk, and
// who let the gateway see them. One publication is one user with all resources, because
// presence servers put publications together in their own ways.
type posters struct {
	g         *Gateway
	publisher *event.Publisher
	on        bool // some trunk wants it

	mu sync.Mutex
	m  map[xmpp.JID]*poster
}

// poster is one user. It belongs to who holds posters.mu.
type poster struct {
	jid       xmpp.JID
	aor       sip.URI
	resources mapping.Resources
	posting   *event.Posting // nil: nothing is published
	etag      string         // of a publication before a restart
	refused   time.Time      // the server said no
}

// postingRecord is what the store keeps of a publication of ours.
type postingRecord struct{ ETag string }

func (g *Gateway) buildPosters() (err error) {
	p := &posters{g: g, m: map[xmpp.JID]*poster{}}
	for i := range g.cfg.Trunks {
		p.on = p.on || g.cfg.Trunks[i].Publish
	}
	g.posters = p
	p.publisher, err = event.NewPublisher(event.PublisherConfig{Sender: g.ua, Route: g.events.route, Log: g.log})
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	return nil
}

// aorOf is the address whose presence a trunk wants.
func (p *posters) aorOf(j xmpp.JID) (sip.URI, bool) {
	id, ok := p.g.table.ByJID(j)
	if !ok {
		return sip.URI{}, false
	}
	for _, aor := range id.AORs {
		if t := p.g.router.trunkFor(aor, j); t != nil && t.Publish {
			return aor, true
		}
	}
	return sip.URI{}, false
}

// presence takes what a user shows the gateway.
func (p *posters) presence(s *xmpp.Presence) {
	if !p.on || s.Type != xmpp.PresenceAvailable && s.Type != xmpp.PresenceUnavailable {
		return
	}
	jid := s.From.Bare()
	aor, ok := p.aorOf(jid)
	if !ok {
		return
	}
	r, _ := mapping.ResourceOf(s, time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.m[jid]
	if u == nil {
		u = &poster{jid: jid}
		p.m[jid] = u
	}
	u.aor = aor
	var changed bool
	if u.resources, changed = u.resources.Update(r); changed {
		p.tell(u)
	}
	u.resources = u.resources.Told()
}

// tell publishes what a user shows now; p.mu is held.
func (p *posters) tell(u *poster) {
	if time.Now().Before(u.refused) {
		return
	}
	if !u.resources.Available() {
		p.withdraw(u)
		return
	}
	d, _ := mapping.PresenceToPIDF(u.resources, mapping.PresenceContext{Entity: u.aor, IconBase: p.g.avatars.base})
	p.g.avatars.offer(d, u.jid, p.g.self)
	body := d.Append(nil)
	if u.posting != nil && u.posting.Update(pidf.ContentType, body) == nil {
		return
	}
	posting, err := p.publisher.Publish(event.PostOptions{
		From: sip.NameAddr{URI: u.aor}, To: u.aor, Package: presencePackage, ContentType: pidf.ContentType, Body: body,
		ETag: u.etag, Owner: p, Data: u.jid,
	})
	if err != nil {
		p.g.log.Warn().Err(err).Stringer("jid", u.jid).Msg("presence not published")
		return
	}
	u.posting, u.etag = posting, ""
}

// withdraw takes back what is published, also before a restart; p.mu is held.
func (p *posters) withdraw(u *poster) {
	if u.posting != nil {
		u.posting.Remove()
		u.posting = nil
		return
	}
	tag := u.etag
	if u.etag = ""; tag == "" {
		return
	}
	if _, err := p.publisher.Publish(event.PostOptions{
		From: sip.NameAddr{URI: u.aor}, To: u.aor, Package: presencePackage, ETag: tag, Owner: p, Data: u.jid,
	}); err != nil {
		p.g.log.Warn().Err(err).Stringer("jid", u.jid).Msg("presence not taken back")
	}
}

// up lets those of whom something was published before a restart show that they are still
// there: when the link is up the gateway asks (gates.up).
func (p *posters) up() {
	p.mu.Lock()
	waiting := slices.ContainsFunc(slices.Collect(maps.Values(p.m)), func(u *poster) bool { return u.etag != "" })
	p.mu.Unlock()
	if !waiting {
		return
	}
	p.g.work.Go(func() {
		timer := time.NewTimer(p.g.events.settings.Confirm)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.unconfirmed()
		case <-p.g.workCtx.Done():
		}
	})
}

// unconfirmed takes back what was published before a restart of those who did not show
// themselves: it would last for up to an hour.
func (p *posters) unconfirmed() {
	if !p.g.xmpp.Up() {
		return // asked again with the next link
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.m {
		if u.etag == "" {
			continue
		}
		if aor, ok := p.aorOf(u.jid); ok {
			u.aor = aor
			p.withdraw(u)
		}
	}
}

var _ event.PostOwner = (*posters)(nil)

// PostChanged implements event.PostOwner. The publisher calls it while nothing of ours is
// locked but, at the first time, p.mu by tell; so the rest goes on a goroutine.
func (p *posters) PostChanged(x *event.Posting, st event.PostStatus) {
	jid, ok := x.Data.(xmpp.JID)
	if !ok {
		return
	}
	switch st.State {
	case event.PostPublished:
		row := store.EventDialogRow{Kind: kindPosting, ID: jid.String(), Expires: time.Now().Add(st.Expires)}
		p.g.events.keep(row, pairKey{jid: jid}, postingRecord{st.ETag})
		p.g.note(p.g.flows.next('p'), journal.Gateway, jid.String(), "PUBLISH published")
	case event.PostEnded:
		p.g.events.forget(kindPosting, jid.String())
		if st.Code == 0 && st.Err == nil || st.Code == 412 { // taken back, or over by itself
			return
		}
		p.g.log.Warn().Err(st.Err).Int("status", st.Code).Stringer("jid", jid).Msg("presence server refuses presence")
		p.g.work.Go(func() { p.gaveUp(jid, x) })
	}
}

func (p *posters) gaveUp(jid xmpp.JID, x *event.Posting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.m[jid]; u != nil && u.posting == x {
		u.posting, u.refused = nil, time.Now().Add(refusedFor)
	}
}

// restore takes the tag of a publication before a restart, so that it is replaced and not
// doubled. Whether the tag still counts is for the server to say, which answers 412 to one
// that does not (RFC 3903 §4.1): the publication is made anew then. The clock here says
// nothing about it.
func (p *posters) restore(row store.EventDialogRow) error {
	var r postingRecord
	if err := json.Unmarshal(row.Record, &r); err != nil {
		return err
	}
	jid, err := xmpp.ParseJID(row.JID)
	if err != nil {
		return err
	}
	p.m[jid] = &poster{jid: jid, etag: r.ETag}
	return nil
}

package interwork

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/event"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// kindPublication marks rows in the store's table of event dialogs: what a phone of ours
// publishes.
const kindPublication = "publication"

// publications is the presence that our phones publish (RFC 3903): the gateway is the
// presence agent of its own domains, and what a phone publishes counts for more than its
// registration.
type publications struct {
	g      *Gateway
	server *event.PublicationServer

	mu      sync.Mutex
	current map[string][]presence.LocalDocument // by AOR
}

var _ event.PublicationOwner = (*publications)(nil)

func (g *Gateway) buildPublications() error {
	p := &publications{g: g, current: map[string][]presence.LocalDocument{}}
	g.publications = p
	var err error
	p.server, err = event.NewPublicationServer(event.PublicationConfig{
		Admit: p.admit, Log: g.log,
		Packages: []event.PublicationPackage{{
			Name: presencePackage, Accept: []string{pidf.ContentType}, Check: checkDocument, Owner: p,
		}},
	})
	if err != nil {
		return fmt.Errorf("interwork: %w", err)
	}
	g.ua.Handle(sip.PUBLISH, g.sipPublish)
	return nil
}

// sipPublish takes a PUBLISH from the SIP side.
func (g *Gateway) sipPublish(in *ua.Inbound) {
	if g.draining.Load() {
		g.answer(in, "", cause.Overloaded(nil).Status())
		return
	}
	caller, ok := g.caller(in)
	if !ok {
		return // answered already
	}
	g.publications.server.Handle(in, caller)
}

// admit lets a phone publish for the addresses of its own identity, and nobody else.
func (p *publications) admit(r *event.Publish) *sip.Status {
	if !p.g.isOurs(r.Resource.Host) {
		return &sip.Status{Code: 404} // RFC 3903 §6 step 1
	}
	id, known := p.g.table.ByAOR(r.Resource)
	switch {
	case !known:
		return &sip.Status{Code: 404}
	case !id.Owns(r.Publisher.URI):
		return &sip.Status{Code: 403, Reason: "Forbidden - not your presence"}
	}
	return nil
}

// checkDocument refuses what cannot be read before it is taken.
func checkDocument(_ string, body []byte) *sip.Status {
	_, err := pidf.Parse(body)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pidf.ErrTooLarge):
		return &sip.Status{Code: 413}
	case errors.Is(err, pidf.ErrUnsupported):
		return &sip.Status{Code: 415, Headers: []sip.Header{sip.MustHeader("Accept", pidf.ContentType)}}
	}
	return &sip.Status{Code: 400, Reason: "Bad Request - malformed document"}
}

// Published implements event.PublicationOwner.
func (p *publications) Published(e event.Published) {
	aor := e.Resource.Key()
	switch e.Operation {
	case event.PublicationRemoved, event.PublicationExpired:
		p.g.events.forget(kindPublication, e.Changed.ID)
	default:
		p.keep(aor, &e.Changed)
	}
	if e.Operation == event.PublicationRefreshed {
		return // what it says is known
	}
	p.set(aor, e.Current)
	p.g.note(p.g.flows.next('p'), e.Resource.AOR().String(), journal.Gateway, "PUBLISH "+e.Operation.String())
	p.g.events.localMoved(e.Resource)
}

// set reads the documents of an AOR. Its pairs share them and do not change them.
func (p *publications) set(aor string, list []event.Publication) {
	var documents []presence.LocalDocument
	for i := range list {
		d, err := pidf.Parse(list[i].Body)
		if err != nil {
			continue // it was readable when it was taken
		}
		documents = append(documents, presence.LocalDocument{Source: sourceOf(list[i].ID), Document: d, Lang: list[i].Language})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(documents) == 0 {
		delete(p.current, aor)
		return
	}
	p.current[aor] = documents
}

// sourceOf is the number of a publication for as long as it lives, also over a restart.
func sourceOf(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return max(h.Sum32(), 1) // 0 is the registration
}

// documents are what the phones of an AOR publish now.
func (p *publications) documents(aor string) []presence.LocalDocument {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current[aor]
}

func (p *publications) keep(aor string, x *event.Publication) {
	p.g.events.keep(store.EventDialogRow{Kind: kindPublication, ID: x.ID, Expires: x.Expires}, pairKey{aor: aor}, x)
}

// restore takes one publication back; the pairs hear of it when they are restored.
func (p *publications) restore(row store.EventDialogRow, found map[string][]event.Publication) error {
	var x event.Publication
	if err := json.Unmarshal(row.Record, &x); err != nil {
		return err
	}
	if err := p.server.Restore(x); err != nil {
		return err
	}
	found[row.AOR] = append(found[row.AOR], x)
	return nil
}

package presence

import (
	"slices"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// localChanged takes what is known here of his phones, and decides whether it counts.
func (p *Pair) localChanged(e *LocalChanged) {
	if !p.ours || !p.watch.HasDialog() {
		return
	}
	switch {
	case !p.local:
		// The phone answers for itself, until it publishes or is gone.
		if len(e.Documents) == 0 && len(e.Devices) > 0 {
			return
		}
		if p.sub != "" {
			p.ports.Unsubscribe(p.flow, p.sub)
			p.sub, p.forks = "", nil
		}
		p.local = true
	case len(e.Documents) == 0 && len(e.Devices) > 0 && !p.ports.Presentity().Silent:
		// It is back, and may answer for itself.
		p.applyWatch(WatchEnded, watchDetail{})
		return
	}
	switch p.ports.Allow(Watching) {
	case Refuse:
		p.applyWatch(WatchRejected, watchDetail{})
		return
	case Confirm:
		if p.watch.Authorisation() == Asked && !p.approved {
			p.applyWatch(WatchUndecided, watchDetail{})
			return
		}
	}
	p.applyWatch(WatchApproved, watchDetail{changes: p.takeLocal(e)})
}

// takeLocal keeps what is known of his phones and gives what is new: their publications,
// else one device for each registration.
func (p *Pair) takeLocal(e *LocalChanged) (changes []*xmpp.Presence) {
	documents := e.Documents
	if len(documents) == 0 {
		documents = []LocalDocument{{Document: registrationDocument(e.Devices)}}
	}
	for i := range p.peer {
		if !slices.ContainsFunc(documents, func(d LocalDocument) bool { return d.Source == p.peer[i].Source }) {
			p.peer[i].Source = documents[0].Source // its successor
		}
	}
	for _, d := range documents {
		changes = append(changes, p.takeDocument(d.Document, d.Source, d.Lang)...)
	}
	return changes
}

// registrationDocument is the document that registered phones would publish.
func registrationDocument(devices []string) *pidf.Document {
	d := &pidf.Document{Tuples: make([]pidf.Tuple, len(devices))}
	for i, name := range devices {
		d.Tuples[i] = pidf.Tuple{ID: mapping.ResourceToTupleID(name), Basic: pidf.Open}
	}
	return d
}

// decided takes the word of the owner of a phone, or of an operator. It cannot give her
// what she did not ask for.
func (p *Pair) decided(grant bool) {
	if !grant {
		if p.watch.Authorisation() == Asked || p.watch.Authorisation() == Granted {
			if p.sub != "" {
				p.ports.Unsubscribe(p.flow, p.sub)
			}
			p.applyWatch(WatchRejected, watchDetail{})
		}
		return
	}
	if p.watch.Authorisation() != Asked || !p.ports.Presentity().Ours {
		return
	}
	p.approved = true
	if p.watch.HasDialog() {
		if p.local {
			p.ports.WatchLocal(true)
		}
		return
	}
	p.applyWatch(WatchSubscribe, watchDetail{})
}

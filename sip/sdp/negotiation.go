package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Errors of a Negotiation. After one nothing has changed.
var (
	// ErrPending: an offer is unanswered, so there can be no other: glare (RFC 3264 §4; SIP answers 491 or 500).
	ErrPending = errors.New("sdp: an offer is pending")
	// ErrNoOffer: there is nothing to answer.
	ErrNoOffer = errors.New("sdp: no offer to answer")
	// ErrSlots: the m= lines do not fit those before: another kind of medium in a living slot, or too many.
	ErrSlots = errors.New("sdp: media do not fit the session")
)

// Side is one of the two parties of a negotiation.
type Side uint8

// The sides.
const (
	Nobody Side = iota
	Local
	Remote
)

func (s Side) String() string { return [...]string{"nobody", "local", "remote"}[min(s, Remote)] }

// Negotiation is the offer/answer state of one dialog (RFC 3264). What it is given it copies, what it gives out is
// not to be changed. Every m= line has its slot, the index in Media, for the life of the session; a medium that
// ends leaves its slot behind with port 0 (RFC 3264 §8). The caller's descriptions have their media at these
// indices; slots they leave out at the end are written as refused. The o= line of ours is kept here: its version
// grows by one exactly when the description differs from the last one sent, and an origin without address gets that
// of the first description.
type Negotiation struct {
	origin        Origin
	sent          []byte // content of the last description that went out
	local, remote *Description
	offer         *Description // of pending
	pending       Side
	offerer       Side // of what is agreed
	slots         []Media
	roles         []Setup // ours, of each slot that has keys
}

// NewNegotiation begins a session. origin is our o= line, with the version of the first description.
func NewNegotiation(origin Origin) *Negotiation { return &Negotiation{origin: origin} }

// Local is our side of what is agreed; nil before the first answer.
func (n *Negotiation) Local() *Description { return n.local }

// Remote is the peer's side of what is agreed; nil before the first answer.
func (n *Negotiation) Remote() *Description { return n.remote }

// Pending is whose offer is unanswered.
func (n *Negotiation) Pending() Side { return n.pending }

// PendingOffer is the unanswered offer; nil when there is none.
func (n *Negotiation) PendingOffer() *Description { return n.offer }

// living reports whether the slot carries an agreed medium.
func (n *Negotiation) living(i int) bool {
	return n.local != nil && i < len(n.local.Media) && !n.local.Media[i].Rejected() &&
		i < len(n.remote.Media) && !n.remote.Media[i].Rejected()
}

// Role is who of us connects for the keys of a slot: SetupActive when we are the DTLS client (RFC 5763 §5), empty
// when nothing is agreed about it. While the peer's offer is pending it is what our answer will say.
func (n *Negotiation) Role(slot int) Setup {
	if n.pending == Remote && slot < len(n.offer.Media) {
		if m := n.offer.Effective(slot); len(m.Fingerprints) > 0 {
			return answerRole("", m.Setup, n.agreed(slot))
		}
	}
	return n.agreed(slot)
}

// agreed is the role of the last answer.
func (n *Negotiation) agreed(slot int) Setup {
	if slot < len(n.roles) {
		return n.roles[slot]
	}
	return ""
}

// LocalOffer makes the offer to send from the media we want. The errors are ErrPending and ErrSlots.
func (n *Negotiation) LocalOffer(d *Description) (*Description, error) {
	if n.pending != Nobody {
		return nil, fmt.Errorf("%w: that of the %s side", ErrPending, n.pending)
	}
	if err := n.fits(d); err != nil {
		return nil, err
	}
	out := d.Clone()
	for i := range out.Media {
		m := &out.Media[i]
		switch {
		case m.Rejected() && i < len(n.slots):
			*m = rejected(&n.slots[i])
		case m.Rejected():
			*m = rejected(m)
		default:
			*m = d.flat(i)
		}
	}
	for i := len(out.Media); i < len(n.slots); i++ {
		out.Media = append(out.Media, rejected(&n.slots[i]))
	}
	out.flatten()
	n.stamp(out)
	n.offer, n.pending = out, Local
	return out, nil
}

// RemoteOffer takes the peer's offer. The errors are ErrPending and ErrSlots.
func (n *Negotiation) RemoteOffer(d *Description) error {
	if n.pending != Nobody {
		return fmt.Errorf("%w: that of the %s side", ErrPending, n.pending)
	}
	if err := n.fits(d); err != nil {
		return err
	}
	n.offer, n.pending = d.Clone(), Remote
	return nil
}

// Refuse drops the pending offer, whoever made it: the session stays what it was (RFC 3264 §8).
func (n *Negotiation) Refuse() { n.offer, n.pending = nil, Nobody }

// LocalAnswer makes the answer to the peer's offer from the media we want, slot by slot. What RFC 3264 §6 and its
// relatives forbid in an answer is put right: protocol and mid are those of the offer; directions, rtcp-mux,
// feedback, header extensions and groups shrink to what was offered; there is no ICE that was not offered; actpass
// becomes the role that was agreed before, or active. The errors are ErrNoOffer and ErrSlots.
func (n *Negotiation) LocalAnswer(d *Description) (*Description, error) {
	if n.pending != Remote {
		return nil, ErrNoOffer
	}
	offer := n.offer
	if len(d.Media) > len(offer.Media) {
		return nil, fmt.Errorf("%w: %d media in the answer to %d", ErrSlots, len(d.Media), len(offer.Media))
	}
	for i := range d.Media {
		if m := &d.Media[i]; !m.Rejected() && m.Kind != offer.Media[i].Kind {
			return nil, fmt.Errorf("%w: %.16s in the slot of %.16s", ErrSlots, m.Kind, offer.Media[i].Kind)
		}
	}
	out := d.Clone()
	out.Media = make([]Media, len(offer.Media))
	mids := map[string]string{} // ours to theirs, of accepted media
	roles := make([]Setup, len(offer.Media))
	for i := range out.Media {
		offered := offer.Effective(i)
		if i >= len(d.Media) || d.Media[i].Rejected() || offered.Rejected() {
			out.Media[i] = rejected(&offered)
			continue
		}
		m := d.flat(i)
		mids[or(m.MID, offered.MID)] = offered.MID
		roles[i] = answerRole(m.Setup, offered.Setup, n.agreed(i))
		legalAnswer(&m, &offered, roles[i])
		out.Media[i] = m
	}
	out.flatten()
	out.ExtmapAllowMixed = d.ExtmapAllowMixed && offer.ExtmapAllowMixed
	out.Groups = answerGroups(d.Groups, offer, mids)
	bundle := out.Group("BUNDLE")
	for i := range out.Media {
		if m := &out.Media[i]; offer.Media[i].BundleOnly && (bundle == nil || !slices.Contains(bundle.MIDs, m.MID)) {
			*m = rejected(m) // outside a bundle it has no transport (RFC 9143 §7.3.3)
		}
	}
	n.stamp(out)
	n.local, n.remote, n.offerer = out, offer, Remote
	n.offer, n.pending, n.roles = nil, Nobody, roles
	n.remember(out)
	return out, nil
}

// RemoteAnswer takes the peer's answer to our offer. What the peer must not answer is put right: media left out are refused, those of a refused offer too, directions shrink to what was
// offered. A second answer to the same offer replaces the first, since a 183 may tell other things than the 200
// after it. The errors are ErrNoOffer and ErrSlots.
func (n *Negotiation) RemoteAnswer(d *Description) error {
	offer := n.offer
	if n.pending == Nobody && n.offerer == Local {
		offer = n.local
	} else if n.pending != Local {
		return ErrNoOffer
	}
	answer := d.Clone()
	if len(answer.Media) > len(offer.Media) {
		answer.Media = answer.Media[:len(offer.Media)]
	}
	roles := make([]Setup, len(offer.Media))
	for i := range offer.Media {
		if i == len(answer.Media) {
			answer.Media = append(answer.Media, rejected(&offer.Media[i]))
			continue
		}
		offered, m := offer.Effective(i), &answer.Media[i]
		switch {
		case offered.Rejected():
			*m = rejected(&offered)
		case m.Rejected():
			m.Kind = offered.Kind
		case m.Kind != offered.Kind:
			return fmt.Errorf("%w: %.16s in the slot of %.16s", ErrSlots, m.Kind, offered.Kind)
		default:
			e := answer.Effective(i)
			if m.Direction = e.Direction.Answer(offered.Direction); m.MID == "" {
				m.MID = offered.MID
			}
			if len(e.Fingerprints) > 0 {
				roles[i] = otherRole(e.Setup, offered.Setup, n.agreed(i))
			}
		}
	}
	n.remember(offer)
	n.local, n.remote, n.offerer = offer, answer, Local
	n.offer, n.pending, n.roles = nil, Nobody, roles
	return nil
}

// flat is a copy of a medium with all that the session level says for it, but for an address that they share. So
// the same media give the same text, wherever a caller says what.
func (d *Description) flat(i int) Media {
	effective := d.Effective(i)
	m := effective.Clone()
	m.ICE.Lite = false
	if m.Connection != nil && d.Connection != nil && *m.Connection == *d.Connection {
		m.Connection = nil
	}
	return m
}

// flatten drops from the session level what is in flat media.
func (d *Description) flatten() {
	d.Direction, d.Setup, d.Fingerprints, d.ICE = "", "", nil, ICE{Lite: d.ICE.Lite}
}

// fits checks the media of an offer against the slots.
func (n *Negotiation) fits(d *Description) error {
	if len(d.Media) > MaxMedia {
		return fmt.Errorf("%w: more than %d", ErrSlots, MaxMedia)
	}
	for i := range d.Media {
		if m := &d.Media[i]; i < len(n.slots) && n.living(i) && !m.Rejected() && m.Kind != n.slots[i].Kind {
			return fmt.Errorf("%w: %.16s in the slot of %.16s", ErrSlots, m.Kind, n.slots[i].Kind)
		}
	}
	return nil
}

// remember keeps what a slot looks like when nothing is in it.
func (n *Negotiation) remember(d *Description) {
	for i := range d.Media {
		r := rejected(&d.Media[i])
		if i < len(n.slots) {
			n.slots[i] = r
		} else {
			n.slots = append(n.slots, r)
		}
	}
}

// stamp writes the o= line.
func (n *Negotiation) stamp(d *Description) {
	var w writer
	w.content(d)
	if n.sent != nil && !bytes.Equal(n.sent, w.b) {
		n.origin.Version++
	}
	if n.origin.Address == "" && d.Connection != nil {
		n.origin.Address = d.Connection.Address
	}
	n.sent, d.Origin = w.b, n.origin
}

// rejected is a medium as it is refused: one format, no transport.
func rejected(m *Media) Media {
	r := Media{Kind: m.Kind, Protocol: m.Protocol, MID: m.MID}
	if len(m.Codecs) > 0 {
		r.Codecs = []Codec{{PayloadType: m.Codecs[0].PayloadType, Name: m.Codecs[0].Name, ClockRate: m.Codecs[0].ClockRate, Channels: m.Codecs[0].Channels}}
	}
	if len(m.Formats) > 0 {
		r.Formats = []string{m.Formats[0]}
	}
	return r
}

package sdp

import (
	"slices"
	"strings"
)

// legalAnswer shrinks a medium to what may answer the offered one. Both are effective.
func legalAnswer(m, offered *Media, role Setup) {
	m.Protocol, m.MID, m.Ports, m.BundleOnly = offered.Protocol, offered.MID, 0, false
	m.Direction = m.Direction.Answer(offered.Direction)
	m.RTCPMux = m.RTCPMux && offered.RTCPMux
	m.RTCPMuxOnly = false // it belongs into offers (RFC 8858)
	m.RTCPRSize = m.RTCPRSize && offered.RTCPRSize
	m.ExtmapAllowMixed = m.ExtmapAllowMixed && offered.ExtmapAllowMixed
	m.ICE.Lite = false
	if offered.ICE.Ufrag == "" {
		m.ICE, m.Candidates, m.EndOfCandidates = ICE{}, nil, false
	}
	if m.Setup = ""; len(m.Fingerprints) > 0 {
		m.Setup = role
	}
	m.Extensions = slices.DeleteFunc(m.Extensions, func(e Extension) bool {
		return !slices.ContainsFunc(offered.Extensions, func(o Extension) bool { return o.URI == e.URI && o.ID == e.ID })
	})
	// RFC 4585 §4.2: an answer removes feedback, it never adds any.
	m.Feedback = slices.DeleteFunc(m.Feedback, func(f Feedback) bool { return !slices.Contains(offered.Feedback, f) })
	for i := range m.Codecs {
		c := &m.Codecs[i]
		o, _ := offered.Codec(c.PayloadType)
		c.Feedback = slices.DeleteFunc(c.Feedback, func(f Feedback) bool {
			return !slices.Contains(o.Feedback, f) && !slices.Contains(offered.Feedback, f)
		})
	}
}

// answerRole is our role in an answer: the opposite of a role that the offer fixes; else that of before, since the
// association lives on; else the one we want, active when that is left open (RFC 5763 §5, RFC 8842 §5.3).
func answerRole(want, offered, before Setup) Setup {
	switch offered {
	case SetupActive:
		return SetupPassive
	case SetupPassive:
		return SetupActive
	case SetupHoldconn:
		return SetupHoldconn
	}
	if before == SetupActive || before == SetupPassive {
		return before
	}
	if want == SetupPassive {
		return SetupPassive
	}
	return SetupActive
}

// otherRole is our role after the peer's answer. An answer that fixes nothing (none, or an actpass that it must not
// have) leaves the role of before, or ours to be passive, since such peers wait for nobody.
func otherRole(answered, offered, before Setup) Setup {
	switch {
	case answered == SetupActive:
		return SetupPassive
	case answered == SetupPassive:
		return SetupActive
	case offered == SetupActive || offered == SetupPassive:
		return offered
	case before != "":
		return before
	}
	return SetupPassive
}

// answerGroups keeps the groups that the offer has too, with the media that are accepted and in the offered group.
func answerGroups(ours []Group, offer *Description, mids map[string]string) []Group {
	var list []Group
	for _, g := range ours {
		o := offer.Group(g.Semantics)
		if o == nil {
			continue
		}
		answer := Group{Semantics: o.Semantics}
		for _, mid := range g.MIDs {
			if theirs := mids[mid]; theirs != "" && slices.Contains(o.MIDs, theirs) {
				answer.MIDs = append(answer.MIDs, theirs)
			}
		}
		if len(answer.MIDs) > 0 {
			list = append(list, answer)
		}
	}
	return list
}

// Change is what is new in one slot of a description.
type Change uint16

// The changes; several may come together. A slot that appears or ends has no other.
const (
	Added     Change = 1 << iota // a medium appeared
	Removed                      // the medium ended
	Turned                       // another direction
	Held                         // the peer stopped receiving
	Resumed                      // the peer receives again
	Moved                        // another address or port
	Recoded                      // other codecs, parameters, packet times
	Restarted                    // other ICE credentials (RFC 8839 §4.4.1.1.1)
	Rekeyed                      // other fingerprints or crypto keys
	Altered                      // anything else
)

var changeNames = [...]string{"added", "removed", "turned", "held", "resumed", "moved", "recoded", "restarted", "rekeyed", "altered"}

// Has reports whether all of these changes are among those of the slot.
func (c Change) Has(other Change) bool { return c&other == other }

func (c Change) String() string {
	var list []string
	for i, name := range changeNames {
		if c.Has(1 << i) {
			list = append(list, name)
		}
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, " ")
}

// Changes has one Change for each slot.
type Changes []Change

// None reports a refresh: nothing is new (RFC 3264 §8, RFC 4028 §7.4).
func (l Changes) None() bool { return !slices.ContainsFunc(l, func(c Change) bool { return c != 0 }) }

// news tells what is new in a description of the peer, against what is agreed. A medium that we refused and that
// the peer's next offer has again unchanged is nothing new: session refreshes repeat what was refused.
func (n *Negotiation) news(after *Description, offer bool) Changes {
	before := n.remote
	count := len(after.Media)
	if before != nil {
		count = max(count, len(before.Media))
	}
	list := make(Changes, count)
	for i := range list {
		was, is := n.living(i), i < len(after.Media) && !after.Media[i].Rejected()
		repeated := offer && before != nil && i < len(before.Media) && !before.Media[i].Rejected()
		switch {
		case is && (was || repeated):
			a, b := before.Effective(i), after.Effective(i)
			if list[i] = difference(&a, &b); !was && (list[i] != 0 || a.Kind != b.Kind) {
				list[i] = Added
			}
		case is:
			list[i] = Added
		case was:
			list[i] = Removed
		}
	}
	return list
}

// difference compares two effective media. The setup attribute is left out, since an offer says actpass for what
// was answered before, and so are candidates, which come and go without meaning.
func difference(a, b *Media) (c Change) {
	mark := func(differs bool, what Change) {
		if differs {
			c |= what
		}
	}
	mark(a.Direction != b.Direction, Turned)
	mark(a.Direction.Receives() && !b.Direction.Receives(), Held)
	mark(!a.Direction.Receives() && b.Direction.Receives(), Resumed)
	mark(a.Address() != b.Address() || a.RTCPAddress() != b.RTCPAddress(), Moved)
	mark(a.PTime != b.PTime || a.MaxPTime != b.MaxPTime || !slices.Equal(a.Formats, b.Formats), Recoded)
	mark(!slices.EqualFunc(a.Codecs, b.Codecs, func(x, y Codec) bool {
		return x.PayloadType == y.PayloadType && strings.EqualFold(x.Name, y.Name) && x.ClockRate == y.ClockRate && x.Format == y.Format &&
			x.Channels == y.Channels
	}), Recoded)
	mark(a.ICE.Ufrag != b.ICE.Ufrag || a.ICE.Pwd != b.ICE.Pwd, Restarted)
	mark(!slices.Equal(a.Fingerprints, b.Fingerprints) || !slices.Equal(a.Cryptos, b.Cryptos), Rekeyed)
	mark(a.Protocol != b.Protocol || a.RTCPMux != b.RTCPMux || a.RTCPRSize != b.RTCPRSize || a.MSID != b.MSID ||
		!slices.Equal(a.Content, b.Content) || !slices.Equal(a.Extensions, b.Extensions) || !slices.Equal(a.Bandwidths, b.Bandwidths), Altered)
	return c
}

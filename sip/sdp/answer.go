package sdp

import (
	"slices"
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

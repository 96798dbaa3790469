package disco

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Features is an immutable set of feature names, kept sorted by bytes (the
// i;octet order of XEP-0115) and without repetitions. The zero value is empty.
type Features struct{ vars []string }

// NewFeatures returns the set of the given names; empty names are left out.
func NewFeatures(vars ...string) Features { return Features{}.With(vars...) }

func featuresOf(set map[string]bool) Features {
	return Features{vars: slices.Sorted(maps.Keys(set))}
}

// With returns the set enlarged by the given names.
func (f Features) With(vars ...string) Features {
	out := make([]string, 0, len(f.vars)+len(vars))
	out = append(out, f.vars...)
	for _, v := range vars {
		if v != "" {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return Features{vars: slices.Compact(out)}
}

// Union returns the names that are in either set.
func (f Features) Union(g Features) Features { return f.With(g.vars...) }

// Has reports whether v is in the set.
func (f Features) Has(v string) bool {
	_, ok := slices.BinarySearch(f.vars, v)
	return ok
}

// HasAll reports whether every name of g is in the set.
func (f Features) HasAll(g Features) bool {
	for _, v := range g.vars {
		if !f.Has(v) {
			return false
		}
	}
	return true
}

// Equal reports whether both sets hold the same names.
func (f Features) Equal(g Features) bool { return slices.Equal(f.vars, g.vars) }

// Len returns the number of names.
func (f Features) Len() int { return len(f.vars) }

// All yields the names in order.
func (f Features) All() iter.Seq[string] { return slices.Values(f.vars) }

// String returns the names, one a line.
func (f Features) String() string { return strings.Join(f.vars, "\n") }

// Capabilities says what one party can do beyond plain messages, as a set of
// bits. It is read from both ends of the gateway: what a SIP user's device can
// do decides what we announce in its name, and what an XMPP client announces
// tells what may be sent to it (Info.Capabilities).
type Capabilities uint16

// The capabilities. What each announces and what it asks of a peer is the table
// in this file, and nothing else may name features: what is announced and what
// is hashed cannot drift apart. Announcing what is not served is what most
// gateways before us got wrong.
const (
	// ChatStates: typing notifications can cross (XEP-0085 ↔ RFC 3994).
	ChatStates Capabilities = 1 << iota
	// Receipts: delivery receipts can cross (XEP-0184 ↔ RFC 5438 delivery).
	Receipts
	// Markers: display markers can cross (XEP-0333 ↔ RFC 5438 display).
	Markers
	// Files: links to files can cross (XEP-0066 ↔ file transfer over HTTP).
	Files
	// HTML: formatted text can cross (XEP-0071 ↔ text/html).
	HTML
	// Audio: calls can cross (XEP-0167 over ICE-UDP with DTLS-SRTP ↔ INVITE).
	Audio
	// Video: calls with video can cross; only ever together with Audio.
	Video
	// SMS: the user is a bare phone number that gets text messages: it is shown
	// as client/sms, not as client/phone. It announces nothing.
	SMS

	allCapabilities = SMS<<1 - 1
)

// callFeatures is what Conversations, Dino, Gajim, Movim and Monal look for
// before they offer a call button, together: Jingle RTP over ICE with DTLS-SRTP
// (XEP-0167, 0176, 0320), Jingle Message Initiation (XEP-0353), and the RTP
// extensions that come with BUNDLE (XEP-0293, 0294, 0338, 0339).
var callFeatures = NewFeatures(
	xmpp.NSJingle, xmpp.NSJingleRTP, xmpp.NSJingleRTPAudio, xmpp.NSJingleICEUDP, xmpp.NSJingleDTLS,
	xmpp.NSJingleMessage, xmpp.NSJingleRTCPFB, xmpp.NSJingleRTPHdrExt,
	xmpp.FeatureOfferAnswer, xmpp.FeatureSourceAttrs, xmpp.FeatureSDPGrouping,
)

// capabilityTable: announce is the set we answer with for a device that has the
// capability; need is what a peer's answer must hold for the capability to be
// his. They differ where we offer more than we ask for.
var capabilityTable = [...]struct {
	bit            Capabilities
	name           string
	announce, need Features
}{
	{ChatStates, "chat states", NewFeatures(xmpp.NSChatStates), NewFeatures(xmpp.NSChatStates)},
	{Receipts, "receipts", NewFeatures(xmpp.NSReceipts), NewFeatures(xmpp.NSReceipts)},
	{Markers, "markers", NewFeatures(xmpp.NSMarkers), NewFeatures(xmpp.NSMarkers)},
	{Files, "files", NewFeatures(xmpp.NSOOB), NewFeatures(xmpp.NSOOB)},
	{HTML, "html", NewFeatures(xmpp.NSXHTMLIM), NewFeatures(xmpp.NSXHTMLIM)},
	{Audio, "audio", callFeatures, NewFeatures(xmpp.NSJingle, xmpp.NSJingleRTP, xmpp.NSJingleRTPAudio, xmpp.NSJingleICEUDP)},
	{Video, "video", callFeatures.With(xmpp.NSJingleRTPVideo), NewFeatures(xmpp.NSJingle, xmpp.NSJingleRTP, xmpp.NSJingleRTPVideo, xmpp.NSJingleICEUDP)},
	{SMS, "sms", Features{}, Features{}},
}

// Has reports whether all capabilities of d are in c.
func (c Capabilities) Has(d Capabilities) bool { return c&d == d }

// Features returns what is announced for the capabilities, without the features
// of the answering entity itself.
func (c Capabilities) Features() Features {
	var vars []string
	for _, row := range capabilityTable {
		if c.Has(row.bit) {
			vars = append(vars, row.announce.vars...)
		}
	}
	return NewFeatures(vars...)
}

// String names the capabilities, separated by commas; "none" when empty.
func (c Capabilities) String() string {
	var names []string
	for _, row := range capabilityTable {
		if c.Has(row.bit) {
			names = append(names, row.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Capabilities tells what a peer that gave this answer can do.
func (i Info) Capabilities() Capabilities {
	var c Capabilities
	for _, row := range capabilityTable {
		if row.need.Len() > 0 && i.Features.HasAll(row.need) {
			c |= row.bit
		}
	}
	if i.HasIdentity("client", "sms") {
		c |= SMS
	}
	return c
}

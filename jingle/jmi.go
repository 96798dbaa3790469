package jingle

import (
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Kind is the element of a Jingle message (XEP-0353).
type Kind string

// The messages of XEP-0353. KindAccept is of versions before 0.6: it goes to the own account only.
const (
	KindPropose Kind = "propose"
	KindRinging Kind = "ringing"
	KindProceed Kind = "proceed"
	KindReject  Kind = "reject"
	KindRetract Kind = "retract"
	KindAccept  Kind = "accept"
	KindFinish  Kind = "finish"
)

// Message is what negotiates a session before it starts (XEP-0353).
type Message struct {
	Kind     Kind
	ID       string          // of the later session
	Media    []string        // of a propose: the media of its RTP descriptions, in order
	Reason   *Reason         // of reject, retract and finish
	TieBreak bool            // the reason is a collision of two proposals
	Migrated string          // of finish: the session that goes on; empty: absent
	Other    []*xmpp.Element // every other child, in order
}

// kinds lists what is known.
var kinds = []Kind{KindPropose, KindRinging, KindProceed, KindReject, KindRetract, KindAccept, KindFinish}

// FromMessage returns the Jingle message that a stanza carries. It is false when there is none, and for a
// stanza of type error: see Bounced for those. The error is a *xmpp.StanzaError for a Jingle message that can
// not be used.
func FromMessage(m *xmpp.Message) (*Message, bool, error) {
	if m.IsError() {
		return nil, false, nil
	}
	for _, e := range m.Extensions {
		if e.Name.Space == xmpp.NSJingleMessage && slices.Contains(kinds, Kind(e.Name.Local)) {
			v, err := ParseMessage(e)
			return v, true, err
		}
	}
	return nil, false, nil
}

// ParseMessage reads an element of XEP-0353. The error is a *xmpp.StanzaError: bad-request for an unknown
// element, for one without id and for a propose without description.
func ParseMessage(e *xmpp.Element) (*Message, error) {
	if e == nil || e.Name.Space != xmpp.NSJingleMessage || !slices.Contains(kinds, Kind(e.Name.Local)) {
		return nil, badRequest("jingle: unknown message")
	}
	r := &reader{}
	m := &Message{Kind: Kind(e.Name.Local), ID: r.attr(e, "id")}
	described := false
	for c := range e.Elements() {
		described = described || c.Name.Local == "description"
		switch {
		case m.Kind == KindPropose && plainDescription(c) && len(m.Media) < maxContents:
			m.Media = append(m.Media, r.attr(c, "media"))
		case m.Reason == nil && c.Is(xmpp.NSJingle, "reason"):
			m.Reason = r.reason(c)
		case c.Is(xmpp.NSJingleMessage, "tie-break"):
			m.TieBreak = true
		case c.Is(xmpp.NSJingleMessage, "migrated") && c.Attribute("to") != "":
			m.Migrated = r.attr(c, "to")
		default:
			r.other(&m.Other, c)
		}
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case m.ID == "":
		return nil, badRequest("jingle: message without id")
	case m.Kind == KindPropose && !described:
		return nil, badRequest("jingle: propose without description")
	}
	return m, nil
}

// plainDescription tells whether e is the description of an RTP medium.
func plainDescription(e *xmpp.Element) bool {
	return e.Is(xmpp.NSJingleRTP, "description") && e.Attribute("media") != ""
}

// Element returns the element of XEP-0353.
func (m *Message) Element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleMessage, string(m.Kind)).Set("id", m.ID)
	for _, media := range m.Media {
		e.Add(xmpp.NewElement(xmpp.NSJingleRTP, "description").Set("media", media))
	}
	e.Add(m.Reason.Element())
	if m.TieBreak {
		e.Add(xmpp.NewElement(xmpp.NSJingleMessage, "tie-break"))
	}
	if m.Migrated != "" {
		e.Add(xmpp.NewElement(xmpp.NSJingleMessage, "migrated").Set("to", m.Migrated))
	}
	return e.Add(m.Other...)
}

// Wrap returns the stanza that carries m as XEP-0353 §3 wants it: type chat, with a store hint. Its id is made
// of kind and session, "jm-propose-<sid>", as Conversations has it: a propose asks for a receipt (XEP-0184),
// and the receipt, like a bounce, names nothing but that id. Propose and retract go to the bare address, all
// others to the full one.
func (m *Message) Wrap(from, to xmpp.JID) *xmpp.Message {
	w := &xmpp.Message{
		From: from, To: to, ID: idPrefix + string(m.Kind) + "-" + m.ID, Type: xmpp.MessageChat,
		Extensions: []*xmpp.Element{m.Element()},
	}
	if m.Kind == KindPropose {
		w.Extensions = append(w.Extensions, xmpp.NewElement(xmpp.NSReceipts, "request"))
	}
	w.Extensions = append(w.Extensions, xmpp.NewElement(xmpp.NSHints, "store"))
	return w
}

// idPrefix starts the id of every stanza that Wrap makes.
const idPrefix = "jm-"

// splitID takes apart the id of a stanza that Wrap made.
func splitID(id string) (kind Kind, sid string, ok bool) {
	rest, ok := strings.CutPrefix(id, idPrefix)
	if !ok {
		return "", "", false
	}
	for _, k := range kinds {
		if sid, ok := strings.CutPrefix(rest, string(k)+"-"); ok && sid != "" {
			return k, sid, true
		}
	}
	return "", "", false
}

// Bounced tells which of our Jingle messages came back as an error.
func Bounced(m *xmpp.Message) (kind Kind, sid string, ok bool) {
	if !m.IsError() {
		return "", "", false
	}
	return splitID(m.ID)
}

// Received tells which of our Jingle messages a device confirms to have got (XEP-0184). For a propose that is
// as good as ringing where clients send no ringing.
func Received(m *xmpp.Message) (kind Kind, sid string, ok bool) {
	if m.IsError() {
		return "", "", false
	}
	e := m.Extension(xmpp.NSReceipts, "received")
	if e == nil {
		return "", "", false
	}
	return splitID(e.Attribute("id"))
}

// Receipt returns the confirmation that a Jingle message asks for, nil if it asks for none. Conversations
// shows that the other side rings when it gets the one for its propose.
func Receipt(m *xmpp.Message) *xmpp.Message {
	if m.IsError() || m.ID == "" || m.Extension(xmpp.NSReceipts, "request") == nil {
		return nil
	}
	return &xmpp.Message{
		From: m.To, To: m.From, ID: m.ID + "-received", Type: m.Type,
		Extensions: []*xmpp.Element{
			xmpp.NewElement(xmpp.NSReceipts, "received").Set("id", m.ID), xmpp.NewElement(xmpp.NSHints, "store"),
		},
	}
}

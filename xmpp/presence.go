package xmpp

import (
	"strconv"
	"strings"
)

// PresenceType is the type of a presence (RFC 6121 §4.7.1).
type PresenceType string

// The types of RFC 6121 §4.7.1; available presence has none.
const (
	PresenceAvailable    PresenceType = ""
	PresenceUnavailable  PresenceType = "unavailable"
	PresenceSubscribe    PresenceType = "subscribe"
	PresenceSubscribed   PresenceType = "subscribed"
	PresenceUnsubscribe  PresenceType = "unsubscribe"
	PresenceUnsubscribed PresenceType = "unsubscribed"
	PresenceProbe        PresenceType = "probe"
	PresenceError        PresenceType = "error"
)

// Show is the kind of availability (RFC 6121 §4.7.2.1).
type Show string

// The values of RFC 6121 §4.7.2.1; plain available presence has none.
const (
	ShowNone Show = ""
	ShowAway Show = "away"
	ShowChat Show = "chat"
	ShowDND  Show = "dnd"
	ShowXA   Show = "xa"
)

// Presence is a <presence/> (RFC 6121 §4).
type Presence struct {
	From, To   JID
	ID         string
	Type       PresenceType
	Lang       string // xml:lang of the stanza
	Show       Show
	Statuses   []LangText
	Priority   int8
	Error      *StanzaError // of type error only, and then never nil after parsing
	Extensions []*Element   // all other children in order
}

// Addresses implements Stanza.
func (p *Presence) Addresses() (from, to JID) { return p.From, p.To }

// StanzaID implements Stanza.
func (p *Presence) StanzaID() string { return p.ID }

// IsError implements Stanza.
func (p *Presence) IsError() bool { return p.Type == PresenceError }

// Status returns the status text in the language of the presence, else the one without a language, else the
// first.
func (p *Presence) Status() string { return pickText(p.Statuses, p.Lang) }

// Extension returns the first extension with this exact name, or nil.
func (p *Presence) Extension(space, local string) *Element {
	return findExtension(p.Extensions, space, local)
}

// ErrorReply returns the error for the sender of p. It must not be used on a presence of type error.
func (p *Presence) ErrorReply(e StanzaError) *Presence {
	return &Presence{From: p.To, To: p.From, ID: p.ID, Type: PresenceError, Error: &e}
}

// Append implements Stanza.
func (p *Presence) Append(dst []byte) []byte {
	dst = append(openTag(dst, "presence", p.From, p.To, p.ID, string(p.Type), p.Lang), '>')
	open := len(dst)
	if p.Show != ShowNone {
		dst = textElement(dst, "show", "", string(p.Show))
	}
	for i := range p.Statuses {
		dst = textElement(dst, "status", p.Statuses[i].Lang, p.Statuses[i].Text)
	}
	if p.Priority != 0 {
		dst = append(dst, "<priority>"...)
		dst = strconv.AppendInt(dst, int64(p.Priority), 10)
		dst = append(dst, "</priority>"...)
	}
	for _, e := range p.Extensions {
		dst = appendExtension(dst, e)
	}
	if p.Error != nil {
		dst = p.Error.Element(NSClient).Append(dst, NSClient)
	}
	return closeTag(dst, "presence", open)
}

// Element implements Stanza.
func (p *Presence) Element() *Element {
	e := stanzaElement("presence", p.From, p.To, p.ID, string(p.Type), p.Lang)
	if p.Show != ShowNone {
		addText(e, "show", "", string(p.Show))
	}
	for _, t := range p.Statuses {
		addText(e, "status", t.Lang, t.Text)
	}
	if p.Priority != 0 {
		addText(e, "priority", "", strconv.Itoa(int(p.Priority)))
	}
	e.Add(p.Extensions...)
	if p.Error != nil {
		e.Add(p.Error.Element(NSClient))
	}
	return e
}

func parsePresence(e *Element, h *header) (Stanza, error) {
	p := &Presence{From: h.from, To: h.to, ID: h.id, Type: PresenceType(h.stanzaType), Lang: h.lang}
	switch p.Type {
	case PresenceAvailable, PresenceUnavailable, PresenceSubscribe, PresenceSubscribed, PresenceUnsubscribe,
		PresenceUnsubscribed, PresenceProbe, PresenceError:
	default:
		return nil, h.malformed(ConditionBadRequest, "unknown presence type")
	}
	for c := range e.Elements() {
		if c.Name.Space != e.Name.Space {
			p.Extensions = append(p.Extensions, c)
			continue
		}
		switch c.Name.Local {
		case "show":
			p.Show = readShow(c.Text())
		case "status":
			p.Statuses = append(p.Statuses, langText(c))
		case "priority":
			n, err := strconv.ParseInt(strings.TrimSpace(c.Text()), 10, 8)
			if err != nil {
				return nil, h.malformed(ConditionBadRequest, "priority is no integer between -128 and 127")
			}
			p.Priority = int8(n)
		default:
			if c.Name.Local != "error" || p.Type != PresenceError {
				p.Extensions = append(p.Extensions, c)
			}
		}
	}
	if p.Type == PresenceError {
		p.Error = readError(e)
	}
	return p, nil
}

// readShow takes an unknown value for plain availability: bots and old clients send "online", and their
// presence is worth more than the word.
func readShow(s string) Show {
	switch show := Show(strings.TrimSpace(s)); show {
	case ShowAway, ShowChat, ShowDND, ShowXA:
		return show
	}
	return ShowNone
}

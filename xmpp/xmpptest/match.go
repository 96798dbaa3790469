package xmpptest

import (
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Matcher selects stanzas. Where several are given, all must match.
type Matcher struct {
	desc  string
	match func(xmpp.Stanza) bool
}

// String describes what is matched.
func (m Matcher) String() string { return m.desc }

// Match makes a matcher of a function; desc appears in failures.
func Match(desc string, match func(xmpp.Stanza) bool) Matcher { return Matcher{desc, match} }

// Messages matches messages, Presences presence stanzas and IQs IQ stanzas.
func Messages() Matcher {
	return Match("a message", func(s xmpp.Stanza) bool { _, ok := s.(*xmpp.Message); return ok })
}

// Presences matches presence stanzas.
func Presences() Matcher {
	return Match("a presence", func(s xmpp.Stanza) bool { _, ok := s.(*xmpp.Presence); return ok })
}

// IQs matches IQ stanzas.
func IQs() Matcher {
	return Match("an IQ", func(s xmpp.Stanza) bool { _, ok := s.(*xmpp.IQ); return ok })
}

// Body matches messages with exactly this body.
func Body(text string) Matcher {
	return Match("body "+text, func(s xmpp.Stanza) bool {
		m, ok := s.(*xmpp.Message)
		return ok && m.Body() == text
	})
}

// Type matches stanzas of this type attribute; "" and "normal" are one for
// messages.
func Type(typ string) Matcher {
	return Match("type "+typ, func(s xmpp.Stanza) bool {
		switch s := s.(type) {
		case *xmpp.Message:
			return string(s.Type) == typ || s.Type == xmpp.MessageNormal && typ == "" || s.Type == "" && typ == string(xmpp.MessageNormal)
		case *xmpp.Presence:
			return string(s.Type) == typ
		case *xmpp.IQ:
			return string(s.Type) == typ
		}
		return false
	})
}

// ID matches stanzas with this id.
func ID(id string) Matcher {
	return Match("id "+id, func(s xmpp.Stanza) bool { return s.StanzaID() == id })
}

// From matches stanzas from exactly this JID; from a bare JID it matches all its
// resources too.
func From(jid string) Matcher {
	want := xmpp.MustJID(jid)
	return Match("from "+jid, func(s xmpp.Stanza) bool {
		from, _ := s.Addresses()
		return from == want || want.IsBare() && from.Bare() == want
	})
}

// Extension matches messages and presence with this child, and IQs with this
// payload.
func Extension(space, local string) Matcher {
	return Match("<"+local+" xmlns='"+space+"'/>", func(s xmpp.Stanza) bool {
		switch s := s.(type) {
		case *xmpp.Message:
			return s.Extension(space, local) != nil
		case *xmpp.Presence:
			return s.Extension(space, local) != nil
		case *xmpp.IQ:
			return s.Payload.Is(space, local)
		}
		return false
	})
}

// Error matches error stanzas of this condition.
func Error(c xmpp.Condition) Matcher {
	return Match("error "+string(c), func(s xmpp.Stanza) bool {
		e := errorOf(s)
		return e != nil && e.Condition == c
	})
}

func errorOf(s xmpp.Stanza) *xmpp.StanzaError {
	switch s := s.(type) {
	case *xmpp.Message:
		return s.Error
	case *xmpp.Presence:
		return s.Error
	case *xmpp.IQ:
		return s.Error
	}
	return nil
}

func matches(s xmpp.Stanza, ms []Matcher) bool {
	for _, m := range ms {
		if !m.match(s) {
			return false
		}
	}
	return true
}

func describe(ms []Matcher) string {
	if len(ms) == 0 {
		return "any stanza"
	}
	parts := make([]string, len(ms))
	for i, m := range ms {
		parts[i] = m.desc
	}
	return strings.Join(parts, ", ")
}

package xmpptest

import (
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// fault is a stanza that breaks a rule without ending the stream.
type fault struct {
	rule      string
	condition xmpp.Condition
}

// checkStream applies the rules whose breach ends a component's stream in one of
// the real servers: what may stand at the first level, who may speak, and that
// there is a recipient (XEP-0114 §4). Prosody 0.12 ends it for
// unsupported-stanza-type and invalid-from, but answers a stanza in the client
// namespace or without to with an error and fills in a missing from; ejabberd
// 23.01 ends it for a missing to (improper-addressing). Here all of them do.
func checkStream(e *xmpp.Element, domain string) *StreamError {
	switch {
	case e.Name.Space != xmpp.NSComponentAccept:
		return &StreamError{"invalid-namespace", "stanza in " + e.Name.Space}
	case e.Name.Local != "message" && e.Name.Local != "presence" && e.Name.Local != "iq":
		return &StreamError{"unsupported-stanza-type", e.Name.Local}
	}
	from := e.Attribute("from")
	if from == "" {
		return &StreamError{"invalid-from", "stanza without from"}
	}
	if domainOf(from) != domain {
		return &StreamError{"invalid-from", "component tried to send from <" + from + "> which is not in " + domain}
	}
	if e.Attribute("to") == "" {
		return &StreamError{"improper-addressing", "stanza without to"}
	}
	return nil
}

// domainOf cuts the domain out of an address without judging it.
func domainOf(jid string) string {
	if i := strings.IndexByte(jid, '/'); i >= 0 {
		jid = jid[:i]
	}
	return jid[strings.IndexByte(jid, '@')+1:]
}

// checkStanza applies the rules of RFC 6120 §8 and RFC 6121 to one stanza.
func checkStanza(e *xmpp.Element) *fault {
	for _, name := range [...]string{"from", "to"} {
		if _, err := xmpp.ParseJID(e.Attribute(name)); err != nil {
			return &fault{"malformed " + name + " (RFC 7622)", xmpp.ConditionJIDMalformed}
		}
	}
	typ := e.Attribute("type")
	switch e.Name.Local {
	case "iq":
		return checkIQ(e, typ)
	case "message":
		switch typ {
		case "", "normal", "chat", "groupchat", "headline":
		case "error":
			return checkError(e)
		default:
			return &fault{"unknown message type (RFC 6121 §5.2.2)", xmpp.ConditionBadRequest}
		}
	case "presence":
		switch typ {
		case "", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe":
		case "error":
			return checkError(e)
		default:
			return &fault{"unknown presence type (RFC 6121 §4.7.1)", xmpp.ConditionBadRequest}
		}
		return checkPresence(e)
	}
	return nil
}

func checkIQ(e *xmpp.Element, typ string) *fault {
	if e.Attribute("id") == "" {
		return &fault{"IQ without id (RFC 6120 §8.2.3)", xmpp.ConditionBadRequest}
	}
	children := 0
	for range e.Elements() {
		children++
	}
	switch {
	case typ == "error":
		return checkError(e)
	case typ == "result" && children <= 1, (typ == "get" || typ == "set") && children == 1:
		return nil
	case typ == "result" || typ == "get" || typ == "set":
		return &fault{"IQ with a wrong number of children (RFC 6120 §8.2.3)", xmpp.ConditionBadRequest}
	}
	return &fault{"unknown IQ type (RFC 6120 §8.2.3)", xmpp.ConditionBadRequest}
}

func checkPresence(e *xmpp.Element) *fault {
	seen := make(map[string]bool)
	for c := range e.Elements() {
		if c.Name.Space != e.Name.Space {
			continue
		}
		switch c.Name.Local {
		case "show":
			switch c.Text() {
			case "away", "chat", "dnd", "xa":
			default:
				return &fault{"unknown show (RFC 6121 §4.7.2.1)", xmpp.ConditionBadRequest}
			}
		case "priority":
			if n, err := strconv.Atoi(c.Text()); err != nil || n < -128 || n > 127 {
				return &fault{"priority out of range (RFC 6121 §4.7.2.3)", xmpp.ConditionBadRequest}
			}
		default:
			continue
		}
		if seen[c.Name.Local] {
			return &fault{c.Name.Local + " repeated (RFC 6121 §4.7.2)", xmpp.ConditionBadRequest}
		}
		seen[c.Name.Local] = true
	}
	return nil
}

// checkError wants an <error/> with a known type and exactly one defined
// condition (RFC 6120 §8.3.2).
func checkError(e *xmpp.Element) *fault {
	bad := func(what string) *fault { return &fault{what + " (RFC 6120 §8.3)", ""} }
	err := e.Child(e.Name.Space, "error")
	if err == nil {
		return bad("error stanza without <error/>")
	}
	switch xmpp.ErrorType(err.Attribute("type")) {
	case xmpp.ErrorAuth, xmpp.ErrorCancel, xmpp.ErrorContinue, xmpp.ErrorModify, xmpp.ErrorWait:
	default:
		return bad("error without a known type")
	}
	conditions := 0
	for c := range err.Elements() {
		if c.Name.Space != xmpp.NSStanzas || c.Name.Local == "text" {
			continue
		}
		conditions++
		if !knownCondition(xmpp.Condition(c.Name.Local)) {
			return bad("unknown error condition")
		}
	}
	if conditions != 1 {
		return bad("error without exactly one condition")
	}
	return nil
}

func knownCondition(c xmpp.Condition) bool {
	for _, known := range xmpp.AllConditions {
		if c == known {
			return true
		}
	}
	return false
}

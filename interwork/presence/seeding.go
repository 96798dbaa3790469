package presence

import (
	"strconv"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Contact is a SIP user who is offered to an XMPP user for her roster.
type Contact struct {
	JID    xmpp.JID // bare
	Name   string
	Groups []string
}

// item is the roster item of RFC 6121 §2.1.2, whose form XEP-0144 shares.
func (c *Contact) item(space string) *xmpp.Element {
	e := xmpp.NewElement(space, "item").Set("jid", c.JID.Bare().String())
	if c.Name != "" {
		e.Set("name", c.Name)
	}
	for _, g := range c.Groups {
		if g != "" {
			e.Add(xmpp.NewElement(space, "group").AddText(g))
		}
	}
	return e
}

// ExchangeAction is what XEP-0144 suggests to do with the contacts.
type ExchangeAction string

// The actions of XEP-0144 §3.
const (
	ExchangeAdd    ExchangeAction = "add"
	ExchangeDelete ExchangeAction = "delete"
	ExchangeModify ExchangeAction = "modify"
)

// maxExchange is how many contacts stand in one stanza, so that it stays well under the
// limits of servers.
const maxExchange = 64

// RosterExchange offers contacts to an XMPP user (XEP-0144 §5): her client asks her about
// them. Actions are never mixed in one stanza (§3.1). body is for clients that do not
// know the protocol; id is the start of the ids.
func RosterExchange(from, to xmpp.JID, id string, action ExchangeAction, contacts []Contact, body string) (messages []*xmpp.Message) {
	for n := 0; n < len(contacts); n += maxExchange {
		x := xmpp.NewElement(xmpp.NSRosterX, "x")
		for i := n; i < min(n+maxExchange, len(contacts)); i++ {
			x.Add(contacts[i].item(xmpp.NSRosterX).Set("action", string(action)))
		}
		m := &xmpp.Message{From: from, To: to, ID: id + "-" + strconv.Itoa(n/maxExchange), Type: xmpp.MessageNormal, Extensions: []*xmpp.Element{x}}
		if body != "" {
			m.Bodies = []xmpp.LangText{{Text: body}}
		}
		messages = append(messages, m)
	}
	return messages
}

// RosterSets put contacts into the roster of a user of a server that grants it (XEP-0356
// §4.3): each is one request with one item (RFC 6121 §2.1.5). self is the component.
func RosterSets(self, user xmpp.JID, id string, contacts []Contact) (requests []*xmpp.IQ) {
	for i := range contacts {
		query := xmpp.NewElement(xmpp.NSRoster, "query").Add(contacts[i].item(xmpp.NSRoster))
		requests = append(requests, &xmpp.IQ{From: self, To: user.Bare(), ID: id + "-" + strconv.Itoa(i), Type: xmpp.IQSet, Payload: query})
	}
	return requests
}

// RosterRemoval is the request that takes a contact out of a roster again.
func RosterRemoval(self, user xmpp.JID, id string, contact xmpp.JID) *xmpp.IQ {
	item := xmpp.NewElement(xmpp.NSRoster, "item").Set("jid", contact.Bare().String()).Set("subscription", "remove")
	return &xmpp.IQ{From: self, To: user.Bare(), ID: id, Type: xmpp.IQSet, Payload: xmpp.NewElement(xmpp.NSRoster, "query").Add(item)}
}

// Privileges is what a server grants a component (XEP-0356 §4.2).
type Privileges struct {
	RosterGet, RosterSet bool
	Message              bool // messages in the name of its users
	Presence             bool // the coming and going of its users is told
}

// PrivilegesOf reads the announcement of a server, which it repeats when anything
// changes: what is not in it is not granted any more. ok is false for messages that are
// none; the caller checks that it comes from the server itself.
func PrivilegesOf(m *xmpp.Message) (p Privileges, ok bool) {
	space := xmpp.NSPrivilege
	x := m.Extension(space, "privilege")
	if x == nil {
		space = xmpp.NSPrivilege1 // COMPAT: ejabberd 23.01
		x = m.Extension(space, "privilege")
	}
	if x == nil || m.Type == xmpp.MessageError {
		return p, false
	}
	for e := range x.Elements() {
		if !e.Is(space, "perm") {
			continue
		}
		kind := e.Attribute("type")
		switch e.Attribute("access") {
		case "roster":
			p.RosterGet = kind == "get" || kind == "both"
			p.RosterSet = kind == "set" || kind == "both"
		case "message":
			p.Message = kind == "outgoing"
		case "presence":
			p.Presence = kind == "managed_entity" || kind == "roster"
		}
		ok = true
	}
	return p, ok
}

package jingle

import (
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Services is a request or an answer of external service discovery (XEP-0215).
type Services struct {
	Credentials bool      // <credentials/>: of services that are known already; else <services/>
	Type        string    // asked for; empty: all
	List        []Service // of a request for credentials: Host, Type and Port
}

// Service is a server outside XMPP, such as one for TURN.
type Service struct {
	Action             ServiceAction
	Type               string // "stun", "turn", "stuns", "turns"
	Host               string // a name or an address, IPv6 without brackets
	Port               uint16 // 0: that of the type
	Transport          string // "udp", "tcp"; empty: not told
	Name               string // for people
	Username, Password string
	Expires            time.Time // of the credentials; zero: not told
	Restricted         bool      // needs credentials
}

// ServiceAction says what a push changes (XEP-0215 §2).
type ServiceAction string

// The actions of XEP-0215 §2. The zero value is ServiceAdd, which is not written.
const (
	ServiceAdd    ServiceAction = ""
	ServiceModify ServiceAction = "modify"
	ServiceRemove ServiceAction = "remove"
)

// ParseServices reads <services/> or <credentials/>. Services without type or host are left out, and what is
// beyond 64; the error is bad-request for another element.
func ParseServices(e *xmpp.Element) (*Services, error) {
	s := &Services{Credentials: e.Is(xmpp.NSExtDisco, "credentials")}
	if !s.Credentials && !e.Is(xmpp.NSExtDisco, "services") {
		return nil, badRequest("jingle: not a list of services")
	}
	r := &reader{}
	s.Type = r.attr(e, "type")
	for c := range e.Elements() {
		if !c.Is(xmpp.NSExtDisco, "service") {
			continue
		}
		if v, ok := r.service(c); ok && r.room(len(s.List), maxItems, "service") {
			s.List = append(s.List, v)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

func (r *reader) service(e *xmpp.Element) (Service, bool) {
	s := Service{
		Type: strings.ToLower(r.attr(e, "type")), Host: strings.TrimSpace(r.attr(e, "host")),
		Port: uint16(r.hint(e, "port", 16)), Transport: strings.ToLower(r.attr(e, "transport")),
		Name: r.attr(e, "name"), Username: r.attr(e, "username"), Password: r.attr(e, "password"),
	}
	switch r.attr(e, "action") {
	case "modify":
		s.Action = ServiceModify
	case "remove", "delete": // XEP-0215: the table and the example differ
		s.Action = ServiceRemove
	}
	switch strings.TrimSpace(r.attr(e, "restricted")) {
	case "1", "true":
		s.Restricted = true
	}
	if t, err := time.Parse(time.RFC3339, r.attr(e, "expires")); err == nil && t.UTC().Year() > 0 && t.UTC().Year() < 10000 {
		s.Expires = t.UTC()
	}
	return s, s.Type != "" && s.Host != ""
}

// Element returns the payload of the IQ.
func (s *Services) Element() *xmpp.Element {
	name := "services"
	if s.Credentials {
		name = "credentials"
	}
	e := xmpp.NewElement(xmpp.NSExtDisco, name)
	setText(e, "type", s.Type)
	for i := range s.List {
		e.Add(s.List[i].element())
	}
	return e
}

func (s *Service) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSExtDisco, "service")
	setText(e, "action", string(s.Action))
	e.Set("type", s.Type).Set("host", s.Host)
	setHint(e, "port", s.Port)
	setText(e, "transport", s.Transport)
	setText(e, "name", s.Name)
	setText(e, "username", s.Username)
	setText(e, "password", s.Password)
	if !s.Expires.IsZero() {
		e.Set("expires", s.Expires.UTC().Format(time.RFC3339Nano)) // a dateTime of XEP-0082
	}
	if s.Restricted {
		e.Set("restricted", "1")
	}
	return e
}

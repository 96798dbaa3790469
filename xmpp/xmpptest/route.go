package xmpptest

import (
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// receive handles one first-level element of the component's stream to its end.
func (s *Server) receive(l *link, e *xmpp.Element) error {
	if e.Name.Space == xmpp.NSStream && e.Name.Local == "error" {
		s.mu.Lock()
		s.peerError = parseStreamError(e)
		s.mu.Unlock()
		return errStreamEnd
	}
	if se := checkStream(e, s.cfg.Domain); se != nil {
		return se
	}
	if f := checkStanza(e); f != nil {
		s.violate(f.rule, e.String(), false)
		if f.condition != "" {
			s.reject(l, e, f.condition)
		}
		return nil
	}
	if s.muted() && e.Child(xmpp.NSPing, "ping") != nil && domainOf(e.Attribute("to")) == e.Attribute("to") {
		return nil
	}
	if sink := s.sink.Load(); sink != nil {
		s.sinkStanza(l, e, *sink)
		return nil
	}
	st, err := xmpp.ParseStanza(e)
	if err != nil {
		s.violate("not understood: "+err.Error(), e.String(), false)
		return nil
	}
	if iq, ok := st.(*xmpp.IQ); ok && !iq.IsRequest() {
		s.answered(iq, e)
	}
	s.route(st, func(reply xmpp.Stanza) { _ = l.out.write(reply.Append(nil)) })
	return nil
}

// LastStreamError returns the stream error that a component sent last, or nil.
func (s *Server) LastStreamError() *StreamError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peerError
}

// reject answers a stanza that could not even be parsed, if it may be answered.
func (s *Server) reject(l *link, e *xmpp.Element, c xmpp.Condition) {
	typ := e.Attribute("type")
	if typ == "error" || e.Name.Local == "iq" && typ == "result" {
		return
	}
	reply := xmpp.NewElement(xmpp.NSComponentAccept, e.Name.Local).Set("from", e.Attribute("to")).Set("to", e.Attribute("from"))
	if id := e.Attribute("id"); id != "" {
		reply.Set("id", id)
	}
	reply.Set("type", "error").Add(xmpp.NewStanzaError(c, "").Element(xmpp.NSComponentAccept))
	_ = l.out.write(reply.Append(nil, xmpp.NSComponentAccept))
}

// sinkStanza gives a stanza to the sink, but for what keeps the link going: pings
// to the hosted domains, and what the component sends to itself.
func (s *Server) sinkStanza(l *link, e *xmpp.Element, sink func(*xmpp.Element)) {
	to := e.Attribute("to")
	switch {
	case domainOf(to) == s.cfg.Domain:
		_ = l.out.write(e.Append(nil, xmpp.NSComponentAccept))
	case e.Name.Local == "iq" && e.Attribute("type") == "get" && e.Child(xmpp.NSPing, "ping") != nil && s.hosted(to):
		_ = l.out.write(xmpp.NewElement(xmpp.NSComponentAccept, "iq").Set("from", to).Set("to", e.Attribute("from")).
			Set("id", e.Attribute("id")).Set("type", "result").Append(nil, xmpp.NSComponentAccept))
	default:
		sink(e)
	}
}

func (s *Server) hosted(domain string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[domain]
}

func (s *Server) muted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mutePings
}

// asked remembers a request to the component, and answered checks that no request
// is answered twice (RFC 6120 §8.2.3).
func (s *Server) asked(iq *xmpp.IQ) {
	const remembered = 4096
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= remembered {
		clear(s.requests) // a demo runs for days
	}
	s.requests[request{iq.From, iq.ID}] = false
}

func (s *Server) answered(iq *xmpp.IQ, e *xmpp.Element) {
	key := request{iq.To, iq.ID}
	s.mu.Lock()
	before, known := s.requests[key]
	if known {
		s.requests[key] = true
	}
	s.mu.Unlock()
	if before {
		s.violate("request answered twice (RFC 6120 §8.2.3)", e.String(), false)
	}
}

// route delivers a stanza of the component or of a user. reply goes back to
// whoever sent it.
func (s *Server) route(st xmpp.Stanza, reply func(xmpp.Stanza)) {
	_, to := st.Addresses()
	switch {
	case to.Domain() == s.cfg.Domain:
		s.toComponent(st, reply)
	case !s.hosted(to.Domain()):
		bounce(st, xmpp.ConditionRemoteServerNotFound, reply)
	case to.Local() == "":
		s.toHost(st, reply)
	default:
		switch st := st.(type) {
		case *xmpp.Message:
			s.messageToUser(st, reply)
		case *xmpp.Presence:
			s.presenceToUser(st, reply)
		case *xmpp.IQ:
			s.iqToUser(st, reply)
		}
	}
}

// toComponent writes a stanza to the component, or bounces it as Prosody 0.12
// does while none is connected.
func (s *Server) toComponent(st xmpp.Stanza, reply func(xmpp.Stanza)) {
	if l := s.current(); l != nil && l.out.write(st.Append(nil)) == nil {
		return
	}
	if iq, ok := st.(*xmpp.IQ); st.IsError() || ok && !iq.IsRequest() {
		return
	}
	reply(errorReply(st, xmpp.StanzaError{
		Type: xmpp.ErrorWait, Condition: xmpp.ConditionRemoteServerTimeout, Text: "Component unavailable",
	}))
}

// bounce answers with an error, unless the stanza may not be answered.
func bounce(st xmpp.Stanza, c xmpp.Condition, reply func(xmpp.Stanza)) {
	switch st := st.(type) {
	case *xmpp.IQ:
		if !st.IsRequest() {
			return
		}
	case *xmpp.Presence:
		return // RFC 6121 §8.5: presence is dropped
	}
	if !st.IsError() {
		reply(errorReply(st, *xmpp.NewStanzaError(c, "")))
	}
}

func errorReply(st xmpp.Stanza, e xmpp.StanzaError) xmpp.Stanza {
	switch st := st.(type) {
	case *xmpp.Message:
		return st.ErrorReply(e)
	case *xmpp.Presence:
		return st.ErrorReply(e)
	case *xmpp.IQ:
		return st.ErrorReply(e)
	}
	panic("xmpptest: unknown kind of stanza")
}

// toHost is the server itself: ping and the discovery that Prosody answers.
func (s *Server) toHost(st xmpp.Stanza, reply func(xmpp.Stanza)) {
	iq, ok := st.(*xmpp.IQ)
	if !ok || iq.Type != xmpp.IQGet {
		bounce(st, xmpp.ConditionServiceUnavailable, reply)
		return
	}
	switch p := iq.Payload; {
	case p.Is(xmpp.NSPing, "ping"):
		reply(iq.Result(nil))
	case p.Is(xmpp.NSDiscoInfo, "query") && p.Attribute("node") == "":
		q := xmpp.NewElement(xmpp.NSDiscoInfo, "query").Add(
			xmpp.NewElement(xmpp.NSDiscoInfo, "identity").Set("category", "server").Set("type", "im").Set("name", "xmpptest"))
		for _, f := range [...]string{xmpp.NSDiscoInfo, xmpp.NSDiscoItems, xmpp.NSPing} {
			q.Add(xmpp.NewElement(xmpp.NSDiscoInfo, "feature").Set("var", f))
		}
		reply(iq.Result(q))
	case p.Is(xmpp.NSDiscoItems, "query") && p.Attribute("node") == "":
		reply(iq.Result(xmpp.NewElement(xmpp.NSDiscoItems, "query").Add(
			xmpp.NewElement(xmpp.NSDiscoItems, "item").Set("jid", s.cfg.Domain))))
	default:
		bounce(st, xmpp.ConditionServiceUnavailable, reply)
	}
}

// iqToUser delivers to a connected resource; for a bare JID the server answers
// itself (RFC 6121 §8.5.2.1.3), here to pings and for the vCard.
func (s *Server) iqToUser(iq *xmpp.IQ, reply func(xmpp.Stanza)) {
	s.mu.Lock()
	a := s.accounts[iq.To.Bare()]
	var u *User
	var vcard *xmpp.Element
	if a != nil {
		u, vcard = a.users[iq.To.Resource()], a.vcard
	}
	s.mu.Unlock()
	switch {
	case u != nil:
		u.deliver(iq)
	case a != nil && iq.To.IsBare() && iq.Type == xmpp.IQGet && iq.Payload.Is(xmpp.NSPing, "ping"):
		reply(iq.Result(nil))
	case vcard != nil && iq.To.IsBare() && iq.Type == xmpp.IQGet && iq.Payload.Is(xmpp.NSVCard, "vCard"):
		reply(iq.Result(vcard))
	default:
		bounce(iq, xmpp.ConditionServiceUnavailable, reply)
	}
}

// messageToUser follows RFC 6121 §8.5 with Prosody's choices: all resources of
// the highest priority get a message for the bare JID, and one for a resource
// that is gone is treated as one for the bare JID.
func (s *Server) messageToUser(m *xmpp.Message, reply func(xmpp.Stanza)) {
	s.mu.Lock()
	a := s.accounts[m.To.Bare()]
	var users []*User
	stored := false
	if a != nil {
		users, stored = s.recipients(a, m)
	}
	s.mu.Unlock()
	for _, u := range users {
		u.deliver(m)
	}
	if len(users) == 0 && !stored && m.Type != xmpp.MessageHeadline {
		bounce(m, xmpp.ConditionServiceUnavailable, reply)
	}
}

// recipients picks who gets a message; the lock is held.
func (s *Server) recipients(a *account, m *xmpp.Message) (users []*User, stored bool) {
	if u := a.users[m.To.Resource()]; u != nil {
		return []*User{u}, false
	}
	best := int8(0)
	switch m.Type {
	case xmpp.MessageError, xmpp.MessageGroupchat:
		return nil, false
	case xmpp.MessageHeadline:
		if !m.To.IsBare() {
			return nil, false
		}
	default:
		for _, u := range a.users {
			if u.available() {
				best = max(best, u.presence.Priority)
			}
		}
	}
	for _, u := range a.sorted() {
		if u.available() && u.presence.Priority >= best {
			users = append(users, u)
		}
	}
	if len(users) > 0 || a.offline == OfflineBounce || m.Type == xmpp.MessageHeadline {
		return users, false
	}
	late := *m
	late.Extensions = append(late.Extensions[:len(m.Extensions):len(m.Extensions)],
		xmpp.NewElement(xmpp.NSDelay, "delay").Set("from", m.To.Domain()).Set("stamp", s.cfg.Now().UTC().Format(time.RFC3339)))
	a.stored = append(a.stored, &late)
	return nil, true
}

package xmpptest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// account is one account of a hosted domain. The server's lock guards it.
type account struct {
	jid     xmpp.JID // bare
	users   map[string]*User
	roster  map[xmpp.JID]*contact
	stored  []*xmpp.Message
	offline Offline
	vcard   *xmpp.Element // nil: none
}

// sorted returns the connected resources by name, so that the order of delivery
// does not change from run to run.
func (a *account) sorted() []*User {
	users := make([]*User, 0, len(a.users))
	for _, u := range a.users {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b *User) int { return strings.Compare(a.jid.Resource(), b.jid.Resource()) })
	return users
}

// User is one connected resource of an account on a Server.
type User struct {
	*Endpoint
	srv *Server
	acc *account

	// guarded by the server's lock
	presence *xmpp.Presence // the last one sent without to; nil before
	directed map[xmpp.JID]bool
}

// available tells whether the resource gets messages to the bare JID; the
// server's lock is held.
func (u *User) available() bool {
	return u.presence != nil && u.presence.Type == xmpp.PresenceAvailable
}

// Account makes sure that an account exists; it has no resource, so it is
// offline until User connects one. It panics on a malformed JID.
func (s *Server) Account(bare string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account(xmpp.MustJID(bare))
}

// account finds or makes an account; the lock is held.
func (s *Server) account(jid xmpp.JID) *account {
	jid = jid.Bare()
	if a := s.accounts[jid]; a != nil {
		return a
	}
	s.hosts[jid.Domain()] = true
	a := &account{jid: jid, users: make(map[string]*User), roster: make(map[xmpp.JID]*contact), offline: s.cfg.Offline}
	s.accounts[jid] = a
	return a
}

// SetOffline sets what happens to messages for one account while it is offline.
func (s *Server) SetOffline(bare string, o Offline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account(xmpp.MustJID(bare)).offline = o
}

// SetVCard stores the vCard (XEP-0054) that the server gives to who asks an account for it;
// nil takes it away. The caller does not change it any more.
func (s *Server) SetVCard(bare string, vcard *xmpp.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account(xmpp.MustJID(bare)).vcard = vcard
}

// User connects a resource of an account, which is made if need be, sends its
// initial presence, with caps, and gets the messages that were stored. It panics
// on a malformed JID; a JID without resource gets the resource "x". A resource
// that is connected already is replaced.
func (s *Server) User(full string) *User {
	jid := xmpp.MustJID(full)
	if jid.IsBare() {
		jid = xmpp.MustJID(full + "/x")
	}
	u := &User{srv: s, directed: make(map[xmpp.JID]bool)}
	u.Endpoint = newEndpoint(jid, s.timeout, s.cfg.Auto, u.submit, u.submitRaw)
	s.mu.Lock()
	u.acc = s.account(jid)
	old := u.acc.users[jid.Resource()]
	u.acc.users[jid.Resource()] = u
	s.mu.Unlock()
	if old != nil {
		old.end(ErrClosed)
	}
	initial := &xmpp.Presence{}
	if !s.cfg.Auto.Off {
		initial.Extensions = []*xmpp.Element{s.cfg.Auto.caps().Element()}
	}
	_ = u.Send(initial) // a new endpoint is open
	return u
}

// Leave disconnects the resource; its contacts get unavailable presence.
func (u *User) Leave() {
	_ = u.Send(&xmpp.Presence{Type: xmpp.PresenceUnavailable}) // when it has left before, nobody waits for it
	u.srv.mu.Lock()
	if u.acc.users[u.jid.Resource()] == u {
		delete(u.acc.users, u.jid.Resource())
	}
	u.srv.mu.Unlock()
	u.end(ErrClosed)
}

// submitRaw sends a stanza given as XML in jabber:client.
func (u *User) submitRaw(xml string) error {
	var p parser
	e, err := p.parse(xml, []binding{{"", xmpp.NSClient}})
	if err != nil {
		return err
	}
	st, err := xmpp.ParseStanza(e)
	if err != nil {
		return fmt.Errorf("xmpptest: user's stanza: %w", err)
	}
	return u.submit(st)
}

// submit takes a stanza from the user's client: stamps it and routes it, as the
// server of RFC 6120 §8.1.2.1 does.
func (u *User) submit(st xmpp.Stanza) error {
	switch st := st.(type) {
	case *xmpp.Message:
		m := *st
		m.From, m.Lang = u.jid, u.lang(m.Lang)
		if m.To.IsZero() {
			m.To = u.jid.Bare()
		}
		u.srv.route(&m, u.deliver)
	case *xmpp.IQ:
		iq := *st
		iq.From, iq.Lang = u.jid, u.lang(iq.Lang)
		if iq.To.IsZero() {
			iq.To = u.jid.Bare()
		}
		if iq.IsRequest() && iq.To.Domain() == u.srv.cfg.Domain {
			u.srv.asked(&iq)
		}
		u.srv.route(&iq, u.deliver)
	case *xmpp.Presence:
		p := *st
		p.From, p.Lang = u.jid, u.lang(p.Lang)
		u.submitPresence(&p)
	default:
		return fmt.Errorf("xmpptest: cannot send a %T", st)
	}
	return nil
}

func (u *User) lang(lang string) string {
	if lang == "" {
		return u.srv.cfg.Lang
	}
	return lang
}

package xmpptest

import (
	"maps"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// contact is a roster item: the subscription states of RFC 6121 §3 towards one
// bare JID. The server's lock guards it.
type contact struct {
	to, from   bool // we see them, they see us
	pendingOut bool
	pendingIn  *xmpp.Presence // their request, kept until it is decided
}

// contact finds or makes a roster item; the lock is held.
func (a *account) contact(jid xmpp.JID) *contact {
	c := a.roster[jid.Bare()]
	if c == nil {
		c = new(contact)
		a.roster[jid.Bare()] = c
	}
	return c
}

// Befriend sets both subscriptions between a user's account and a contact, as if
// they had asked and agreed before.
func (s *Server) Befriend(bare, contact string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.account(xmpp.MustJID(bare)).contact(xmpp.MustJID(contact))
	c.to, c.from = true, true
}

// submitPresence handles presence that the user's client sent (RFC 6121 §3, §4).
// Its from is set.
func (u *User) submitPresence(p *xmpp.Presence) {
	s := u.srv
	send := func(out *xmpp.Presence) { s.route(out, u.deliver) }
	switch {
	case p.To.IsZero():
		u.broadcast(p, send)
	case p.Type == xmpp.PresenceSubscribe || p.Type == xmpp.PresenceUnsubscribe ||
		p.Type == xmpp.PresenceSubscribed || p.Type == xmpp.PresenceUnsubscribed:
		p.From, p.To = p.From.Bare(), p.To.Bare()
		s.mu.Lock()
		out := u.acc.subscriptionOut(p)
		s.mu.Unlock()
		for _, o := range out {
			send(o)
		}
	default: // directed (RFC 6121 §4.6)
		s.mu.Lock()
		switch p.Type {
		case xmpp.PresenceAvailable:
			u.directed[p.To] = true
		case xmpp.PresenceUnavailable:
			delete(u.directed, p.To)
		}
		s.mu.Unlock()
		send(p)
	}
}

// subscriptionOut changes the roster for a subscription stanza of the user and
// returns what goes out; the lock is held.
func (a *account) subscriptionOut(p *xmpp.Presence) []*xmpp.Presence {
	c := a.contact(p.To)
	out := []*xmpp.Presence{p}
	switch p.Type {
	case xmpp.PresenceSubscribe:
		c.pendingOut = !c.to
	case xmpp.PresenceUnsubscribe:
		c.to, c.pendingOut = false, false
	case xmpp.PresenceSubscribed:
		if c.pendingIn == nil {
			return nil // nobody asked
		}
		c.pendingIn, c.from = nil, true
		out = append(out, a.presences(p.To)...)
		if c.to {
			out = append(out, &xmpp.Presence{From: a.jid, To: p.To, Type: xmpp.PresenceProbe})
		}
	case xmpp.PresenceUnsubscribed:
		had := c.from
		if !had && c.pendingIn == nil {
			return nil
		}
		c.from, c.pendingIn = false, nil
		if had {
			for _, u := range a.sorted() {
				if u.available() {
					out = append(out, &xmpp.Presence{From: u.jid, To: p.To, Type: xmpp.PresenceUnavailable})
				}
			}
		}
	}
	return out
}

// presences returns the present presence of the available resources, addressed;
// the lock is held.
func (a *account) presences(to xmpp.JID) []*xmpp.Presence {
	var out []*xmpp.Presence
	for _, u := range a.sorted() {
		if u.available() {
			p := *u.presence
			p.To = to
			out = append(out, &p)
		}
	}
	return out
}

// broadcast handles presence without to (RFC 6121 §4.2 to §4.5).
func (u *User) broadcast(p *xmpp.Presence, send func(*xmpp.Presence)) {
	s := u.srv
	s.mu.Lock()
	out, late := u.acc.broadcast(u, p)
	s.mu.Unlock()
	for _, o := range out {
		send(o)
	}
	for _, st := range late {
		u.deliver(st)
	}
}

// broadcast notes the presence of a resource and returns what goes out, and what
// the resource gets that waited for it; the lock is held.
func (a *account) broadcast(u *User, p *xmpp.Presence) (out []*xmpp.Presence, late []xmpp.Stanza) {
	initial := !u.available() && p.Type == xmpp.PresenceAvailable
	u.presence = p
	address := func(jid xmpp.JID) {
		o := *p
		o.To = jid
		out = append(out, &o)
	}
	for _, jid := range sortedJIDs(a.roster) {
		c := a.roster[jid]
		if c.from {
			address(jid)
		}
		if initial && c.to {
			out = append(out, &xmpp.Presence{From: a.jid, To: jid, Type: xmpp.PresenceProbe})
		}
		if initial && c.pendingIn != nil {
			late = append(late, c.pendingIn)
		}
	}
	if p.Type == xmpp.PresenceUnavailable {
		for _, jid := range sortedJIDs(u.directed) {
			if c := a.roster[jid.Bare()]; c == nil || !c.from {
				address(jid)
			}
		}
		clear(u.directed)
	}
	if u.available() && p.Priority >= 0 {
		for _, m := range a.stored {
			late = append(late, m)
		}
		a.stored = nil
	}
	return out, late
}

// sortedJIDs returns the keys in a fixed order.
func sortedJIDs[V any](m map[xmpp.JID]V) []xmpp.JID {
	return slices.SortedFunc(maps.Keys(m), func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
}

// presenceToUser handles presence that arrives for an account (RFC 6121 §3, §4,
// with what Prosody does where there is a choice).
func (s *Server) presenceToUser(p *xmpp.Presence, reply func(xmpp.Stanza)) {
	s.mu.Lock()
	var users []*User
	var answers []*xmpp.Presence
	a := s.accounts[p.To.Bare()]
	switch {
	case a == nil:
		if p.Type == xmpp.PresenceProbe {
			answers = []*xmpp.Presence{{From: p.To.Bare(), To: p.From.Bare(), Type: xmpp.PresenceUnsubscribed}}
		}
	case p.Type == xmpp.PresenceAvailable || p.Type == xmpp.PresenceUnavailable || p.Type == xmpp.PresenceError:
		if u := a.users[p.To.Resource()]; u != nil {
			users = []*User{u}
		} else if p.To.IsBare() {
			users = a.online()
		}
	case p.Type == xmpp.PresenceProbe:
		answers = a.probed(p.From)
	default:
		bare := *p
		bare.From, bare.To = p.From.Bare(), p.To.Bare()
		p = &bare
		var deliver bool
		if deliver, answers = a.subscriptionIn(p); deliver {
			users = a.online()
		}
	}
	s.mu.Unlock()
	for _, o := range answers {
		reply(o)
	}
	for _, u := range users {
		u.deliver(p)
	}
}

// probed answers a probe (RFC 6121 §4.3.2); the lock is held.
func (a *account) probed(from xmpp.JID) []*xmpp.Presence {
	if c := a.roster[from.Bare()]; c == nil || !c.from {
		return []*xmpp.Presence{{From: a.jid, To: from.Bare(), Type: xmpp.PresenceUnsubscribed}}
	}
	if out := a.presences(from); len(out) > 0 {
		return out
	}
	return []*xmpp.Presence{{From: a.jid, To: from, Type: xmpp.PresenceUnavailable}}
}

// subscriptionIn changes the roster for a subscription stanza of a contact. It
// tells whether the user's clients see the stanza, and what is answered at once;
// the lock is held.
func (a *account) subscriptionIn(p *xmpp.Presence) (deliver bool, answers []*xmpp.Presence) {
	c := a.contact(p.From)
	switch p.Type {
	case xmpp.PresenceSubscribe:
		if c.from {
			answers = []*xmpp.Presence{{From: a.jid, To: p.From, Type: xmpp.PresenceSubscribed}}
			return false, append(answers, a.probed(p.From)...)
		}
		deliver = c.pendingIn == nil
		c.pendingIn = p
		// Prosody acknowledges with unavailable presence of the bare JID.
		return deliver, []*xmpp.Presence{{From: a.jid, To: p.From, Type: xmpp.PresenceUnavailable}}
	case xmpp.PresenceUnsubscribe:
		deliver = c.from || c.pendingIn != nil
		c.from, c.pendingIn = false, nil
	case xmpp.PresenceSubscribed:
		deliver = c.pendingOut
		c.to, c.pendingOut = c.to || deliver, false
	case xmpp.PresenceUnsubscribed:
		deliver = c.to || c.pendingOut
		c.to, c.pendingOut = false, false
	}
	return deliver, answers
}

// online returns the available resources; the lock is held.
func (a *account) online() []*User {
	users := a.sorted()
	return slices.DeleteFunc(users, func(u *User) bool { return !u.available() })
}

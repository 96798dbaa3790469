package interwork

import (
	"context"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/xmpp"
)

// seeder offers the phones of the identity table to XMPP users who add the gateway to
// their contacts, when the operator wants it: through the roster where the server lets us
// (XEP-0356), else by asking them (XEP-0144).
type seeder struct {
	g *Gateway

	mu         sync.Mutex
	privileges map[string]presence.Privileges // by domain of a server
}

const (
	// maxSeed bounds a contact list.
	maxSeed = 500
	// seedWait bounds each change of a roster.
	seedWait  = 10 * time.Second
	seedGroup = "SIP"
	seedText  = "These are the telephones here. Your client may offer to add them to your contacts."
)

func newSeeder(g *Gateway) *seeder {
	return &seeder{g: g, privileges: map[string]presence.Privileges{}}
}

// privilege takes what a server grants the component, which it tells by a message; false
// when m is something else.
func (s *seeder) privilege(m *xmpp.Message) bool {
	if m.From.Local() != "" || m.From.Resource() != "" || m.To.Local() != "" {
		return false
	}
	p, ok := presence.PrivilegesOf(m)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.privileges[m.From.Domain()] = p
	s.g.log.Info().Stringer("server", m.From).Bool("roster", p.RosterSet).Msg("server grants privileges")
	return true
}

func (s *seeder) granted(domain string) presence.Privileges {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.privileges[domain]
}

// offer offers the contacts to a user of the table.
func (s *seeder) offer(user xmpp.JID) {
	if !s.g.cfg.SeedContacts {
		return
	}
	if _, known := s.g.table.ByJID(user); !known {
		return // a directory is not for everybody
	}
	s.g.work.Go(func() {
		contacts := s.contacts()
		id := s.g.flows.next('x')
		if s.granted(user.Domain()).RosterSet {
			n := s.enrol(user, id, contacts)
			contacts = contacts[n:]
		}
		for _, m := range presence.RosterExchange(s.g.self, user, id, presence.ExchangeAdd, contacts, seedText) {
			s.g.send(m)
		}
	})
}

// enrol puts contacts into the roster, and tells how many are there.
// COMPAT: ejabberd 23.01 grants it and fails to do it.
func (s *seeder) enrol(user xmpp.JID, id string, contacts []presence.Contact) int {
	for n, iq := range presence.RosterSets(s.g.self, user, id, contacts) {
		ctx, cancel := context.WithTimeout(s.g.workCtx, seedWait)
		_, err := s.g.xmpp.IQ(ctx, iq)
		cancel()
		if err != nil {
			s.g.log.Warn().Err(err).Stringer("jid", user).Msg("contact not put into the roster, it is suggested")
			return n
		}
	}
	return len(contacts)
}

// contacts are the telephones: identities without a JID.
func (s *seeder) contacts() (list []presence.Contact) {
	for after := ""; ; {
		page, next := s.g.table.List("", after, maxSeed)
		for _, id := range page {
			if !id.JID.IsZero() || len(id.AORs) == 0 || !s.g.isOurs(id.AORs[0].Host) {
				continue
			}
			jid, err := s.g.addresses.CallerToXMPP(id.AORs[0])
			if err != nil || len(list) == maxSeed {
				continue
			}
			list = append(list, presence.Contact{JID: jid, Name: id.Name, Groups: []string{seedGroup}})
		}
		if after = next; after == "" {
			return list
		}
	}
}

package interwork

import (
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/xmpp"
)

// gates are the XMPP users who know the gateway itself: the JID that is only its domain
// (XEP-0100 §4). They are all in memory, for a link that stands again concerns them all.
type gates struct {
	g *Gateway

	mu sync.Mutex
	m  map[xmpp.JID]*gateUser
}

// gateUser is one of them; it implements presence.GatePorts and belongs to who holds
// gates.mu.
type gateUser struct {
	gs     *gates
	user   xmpp.JID
	gate   *presence.Gate
	online bool // her pairs know that she is there
}

var _ presence.GatePorts = (*gateUser)(nil)

// gatePace and gateBatch spread what a new link makes the gateway tell.
const (
	gatePace  = 50 * time.Millisecond
	gateBatch = 100
)

func newGates(g *Gateway) *gates { return &gates{g: g, m: map[xmpp.JID]*gateUser{}} }

func (gs *gates) add(user xmpp.JID, r presence.Record) *gateUser {
	u := &gateUser{gs: gs, user: user}
	u.gate = presence.NewGate(user, gs.g.self, r, u)
	gs.m[user] = u
	return u
}

// restore takes what the store has of one user.
func (gs *gates) restore(user xmpp.JID, r presence.Record) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.add(user, r)
}

// stanza takes presence for the gateway itself.
func (gs *gates) stanza(p *xmpp.Presence) {
	if p.Type == xmpp.PresenceError {
		return
	}
	flow := gs.g.flows.next('p')
	if gs.g.journal.Enabled() {
		gs.g.journal.Add(journal.Entry{
			Flow: flow, From: p.From.Bare().String(), To: journal.Gateway, Protocol: journal.XMPP, Summary: presenceSummary(p), Raw: rawStanza(p),
		})
	}
	user := p.From.Bare()
	gs.mu.Lock()
	defer gs.mu.Unlock()
	u := gs.m[user]
	if u == nil {
		u = gs.add(user, presence.Record{})
	}
	was := u.gate.State()
	u.gate.Stanza(flow, p)
	state := u.gate.State()
	if state == presence.GateNone {
		delete(gs.m, user)
	}
	if was&presence.GateSeen == 0 && state&presence.GateSeen != 0 {
		gs.g.seeder.offer(user)
	}
	if state&presence.GateSees != 0 {
		gs.g.posters.presence(p)
	}
}

// up tells all that the gateway is there, and asks who of them is.
func (gs *gates) up() {
	gs.mu.Lock()
	users := make([]xmpp.JID, 0, len(gs.m))
	for j := range gs.m {
		users = append(users, j)
	}
	gs.mu.Unlock()
	if len(users) == 0 {
		return
	}
	gs.g.work.Go(func() {
		tick := time.NewTicker(gatePace)
		defer tick.Stop()
		for len(users) > 0 && gs.g.xmpp.Up() {
			n := min(gateBatch, len(users))
			gs.each(users[:n], (*presence.Gate).Up)
			users = users[n:]
			select {
			case <-gs.g.workCtx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (gs *gates) each(users []xmpp.JID, f func(*presence.Gate)) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, j := range users {
		if u := gs.m[j]; u != nil {
			f(u.gate)
		}
	}
}

// down tells all that the gateway goes; what the link does not take is not told.
func (gs *gates) down() {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, u := range gs.m {
		u.gate.Down()
	}
}

// Send implements presence.GatePorts.
func (u *gateUser) Send(flow string, p *xmpp.Presence, written func(error)) error {
	g := u.gs.g
	if flow != "" && g.journal.Enabled() {
		g.journal.Add(journal.Entry{
			Flow: flow, From: journal.Gateway, To: p.To.Bare().String(), Protocol: journal.XMPP, Summary: presenceSummary(p), Raw: rawStanza(p),
		})
	}
	return g.xmpp.Send(p, written)
}

// Caps implements presence.GatePorts.
func (u *gateUser) Caps() *xmpp.Element {
	return u.gs.g.disco.Caps(u.gs.g.subject(u.gs.g.self)).Element()
}

// Save implements presence.GatePorts.
func (u *gateUser) Save(r presence.Record, saved func(error)) error {
	g := u.gs.g
	if r.IsZero() {
		return g.store.DeleteAuthorisation(u.user.String(), "", saved)
	}
	return g.store.PutAuthorisation(rowOf(pairKey{jid: u.user}, &r), saved)
}

// Seen implements presence.GatePorts. Every presence of hers says it, but her pairs need
// it once.
func (u *gateUser) Seen(flow string) {
	if !u.online {
		u.online = true
		u.gs.g.pairs.postUser(u.user, presence.UserSeen{Flow: flow})
	}
}

// Gone implements presence.GatePorts.
func (u *gateUser) Gone(flow string) {
	u.online = false
	u.gs.g.pairs.postUser(u.user, presence.UserGone{Flow: flow})
}

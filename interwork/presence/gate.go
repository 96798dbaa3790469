package presence

import (
	"slices"

	"github.com/stoxgate/stoxgate/xmpp"
)

// GateState is what an XMPP user and the gateway itself, the JID that is only the
// component's domain, know of each other (XEP-0100 §4). To be subscribed to the gateway
// is not needed for anything; it shows her whether the gateway is up, and it shows the
// gateway when she comes and goes, which it otherwise learns only from those contacts
// that may see her.
type GateState uint8

const (
	// GateNone is the zero value: strangers.
	GateNone GateState = iota
	// GateSeen: she sees the gateway.
	GateSeen
	// GateSees: the gateway sees her.
	GateSees
	// GateMutual: both; the states are sets, and this is GateSeen | GateSees.
	GateMutual

	gateStates
)

var gateStateNames = [...]string{"none", "seen", "sees", "mutual"}

func (s GateState) String() string { return name(gateStateNames[:], int(s)) }

// GateEvent is what can happen between them.
type GateEvent uint8

const (
	// GateSubscribe and the others up to GateUnavailable are her stanzas.
	GateSubscribe GateEvent = iota
	// GateUnsubscribe: she does not want to see the gateway any more.
	GateUnsubscribe
	// GateSubscribed: the gateway may see her.
	GateSubscribed
	// GateUnsubscribed: it may not.
	GateUnsubscribed
	// GateProbe: her server asks whether the gateway is up.
	GateProbe
	// GateAvailable: a resource of hers is online.
	GateAvailable
	// GateUnavailable: her last resource is gone.
	GateUnavailable
	// GateUp: the component link stands again.
	GateUp
	// GateDown: the gateway is shut down.
	GateDown

	gateEvents
)

var gateEventNames = [...]string{
	"subscribe", "unsubscribe", "subscribed", "unsubscribed", "probe", "available", "unavailable", "up", "down",
}

func (e GateEvent) String() string { return name(gateEventNames[:], int(e)) }

// GateEffects is a set of what follows, in the order of declaration.
type GateEffects uint16

const (
	// GateTellSubscribed sends subscribed.
	GateTellSubscribed GateEffects = 1 << iota
	// GateTellAvailable sends the presence of the gateway.
	GateTellAvailable
	// GateTellUnavailable sends unavailable.
	GateTellUnavailable
	// GateTellUnsubscribed sends unsubscribed.
	GateTellUnsubscribed
	// GateAsk sends subscribe (XEP-0100 §4.1.1).
	GateAsk
	// GateAskState sends probe.
	GateAskState
	// GateLogin tells her pairs that she is there: [UserSeen].
	GateLogin
	// GateLogout tells them that she is gone: [UserGone].
	GateLogout
)

var gateEffectNames = [...]string{
	"tell-subscribed", "tell-available", "tell-unavailable", "tell-unsubscribed", "ask", "ask-state", "login", "logout",
}

func (f GateEffects) String() string { return setName(gateEffectNames[:], uint32(f)) }

// NextGate is the subscription between an XMPP user and the gateway itself.
//
//	none    --subscribe-->     seen    tell-subscribed tell-available ask
//	none    --unsubscribe-->   none    tell-unsubscribed
//	none    --probe-->         none    tell-unsubscribed
//	none    --subscribed-->    sees
//
//	seen    --subscribe-->     seen    tell-subscribed tell-available
//	seen    --unsubscribe-->   none    tell-unavailable tell-unsubscribed
//	seen    --subscribed-->    mutual
//	seen    --probe-->         seen    tell-available login
//	seen    --available-->     seen    login                 (directed, so its end will come too)
//	seen    --unavailable-->   seen    logout
//	seen    --up-->            seen    tell-available
//	seen    --down-->          seen    tell-unavailable
//
//	sees    --subscribe-->     mutual  tell-subscribed tell-available
//	sees    --unsubscribe-->   sees    tell-unsubscribed
//	sees    --unsubscribed-->  none
//	sees    --probe-->         sees    tell-unsubscribed
//	sees    --available-->     sees    login
//	sees    --unavailable-->   sees    logout
//	sees    --up-->            sees    ask-state
//
//	mutual  --subscribe-->     mutual  tell-subscribed tell-available
//	mutual  --unsubscribe-->   sees    tell-unavailable tell-unsubscribed
//	mutual  --unsubscribed-->  seen
//	mutual  --probe-->         mutual  tell-available login
//	mutual  --available-->     mutual  login
//	mutual  --unavailable-->   mutual  logout
//	mutual  --up-->            mutual  tell-available ask-state
//	mutual  --down-->          mutual  tell-unavailable
//
// Everything else changes nothing.
func NextGate(s GateState, e GateEvent) (GateState, GateEffects) {
	seen, sees := s&GateSeen != 0, s&GateSees != 0
	switch e {
	case GateSubscribe:
		if s == GateNone {
			return GateSeen, GateTellSubscribed | GateTellAvailable | GateAsk
		}
		return s | GateSeen, GateTellSubscribed | GateTellAvailable
	case GateUnsubscribe:
		if !seen {
			return s, GateTellUnsubscribed
		}
		return s &^ GateSeen, GateTellUnavailable | GateTellUnsubscribed
	case GateSubscribed:
		return s | GateSees, 0
	case GateUnsubscribed:
		return s &^ GateSees, 0
	case GateProbe:
		if !seen {
			return s, GateTellUnsubscribed
		}
		return s, GateTellAvailable | GateLogin
	case GateAvailable:
		if s != GateNone {
			return s, GateLogin
		}
	case GateUnavailable:
		if s != GateNone {
			return s, GateLogout
		}
	case GateUp:
		var f GateEffects
		if seen {
			f |= GateTellAvailable
		}
		if sees {
			f |= GateAskState
		}
		return s, f
	case GateDown:
		if seen {
			return s, GateTellUnavailable
		}
	}
	return s, 0
}

// GatePorts is what a Gate asks of the gateway around it. No method waits.
type GatePorts interface {
	// Send puts a stanza on the stream.
	Send(flow string, p *xmpp.Presence, written func(error)) error
	// Caps is the capabilities element of the gateway itself, nil for none.
	Caps() *xmpp.Element
	// Save writes the record, or deletes it when it is zero; the AOR of its pair is "".
	Save(r Record, saved func(error)) error
	// Seen and Gone give [UserSeen] and [UserGone] to those of her pairs that are there.
	Seen(flow string)
	Gone(flow string)
}

// Gate is one XMPP user's subscription with the gateway itself. It must be used by one
// goroutine at a time.
type Gate struct {
	ports      GatePorts
	user, self xmpp.JID // both bare
	state      GateState
	dirty      bool     // the store has an older record
	resources  []string // hers that are online
}

// NewGate makes a Gate of what the store has of it, a zero record for nothing. self is
// the gateway's own JID.
func NewGate(user, self xmpp.JID, r Record, p GatePorts) *Gate {
	g := &Gate{ports: p, user: user.Bare(), self: self}
	if r.Watch == Granted {
		g.state |= GateSeen
	}
	if r.Share == Granted {
		g.state |= GateSees
	}
	return g
}

// State tells where the subscription stands. A Gate in GateNone may be dropped.
func (g *Gate) State() GateState { return g.state }

// Stanza takes a presence stanza of hers to the gateway itself.
func (g *Gate) Stanza(flow string, s *xmpp.Presence) {
	resource := s.From.Resource()
	switch s.Type {
	case xmpp.PresenceSubscribe:
		g.apply(flow, GateSubscribe)
	case xmpp.PresenceUnsubscribe:
		g.apply(flow, GateUnsubscribe)
	case xmpp.PresenceSubscribed:
		g.apply(flow, GateSubscribed)
	case xmpp.PresenceUnsubscribed:
		g.apply(flow, GateUnsubscribed)
	case xmpp.PresenceProbe:
		g.apply(flow, GateProbe)
	case xmpp.PresenceAvailable:
		if len(g.resources) < maxNames && !slices.Contains(g.resources, resource) {
			g.resources = append(g.resources, resource)
		}
		g.apply(flow, GateAvailable)
	case xmpp.PresenceUnavailable:
		if g.resources = without(g.resources, resource); resource == "" {
			g.resources = nil
		}
		if len(g.resources) == 0 {
			g.apply(flow, GateUnavailable)
		}
	}
}

// Up is a link that stands (again), Down the end of the program.
func (g *Gate) Up()   { g.apply("", GateUp) }
func (g *Gate) Down() { g.apply("", GateDown) }

func (g *Gate) apply(flow string, e GateEvent) {
	next, effects := NextGate(g.state, e)
	g.dirty = g.dirty || next != g.state
	g.state = next
	send := func(effect GateEffects, t xmpp.PresenceType) {
		if effects&effect == 0 {
			return
		}
		p := &xmpp.Presence{From: g.self, To: g.user, Type: t}
		if t == xmpp.PresenceAvailable {
			if c := g.ports.Caps(); c != nil {
				p.Extensions = append(p.Extensions, c)
			}
		}
		// What is lost with the link is asked for again: a server repeats subscribe and
		// probe, and Up repeats the rest.
		_ = g.ports.Send(flow, p, nil)
	}
	send(GateTellSubscribed, xmpp.PresenceSubscribed)
	send(GateTellAvailable, xmpp.PresenceAvailable)
	send(GateTellUnavailable, xmpp.PresenceUnavailable)
	send(GateTellUnsubscribed, xmpp.PresenceUnsubscribed)
	send(GateAsk, xmpp.PresenceSubscribe)
	send(GateAskState, xmpp.PresenceProbe)
	if effects&GateLogin != 0 {
		g.ports.Seen(flow)
	}
	if effects&GateLogout != 0 {
		g.ports.Gone(flow)
	}
	if g.dirty {
		// A store that refuses is tried again with the next event.
		g.dirty = g.ports.Save(g.record(), func(error) {}) != nil
	}
}

func (g *Gate) record() (r Record) {
	if g.state&GateSeen != 0 {
		r.Watch = Granted
	}
	if g.state&GateSees != 0 {
		r.Share = Granted
	}
	return r
}

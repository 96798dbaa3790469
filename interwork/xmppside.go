package interwork

import (
	"errors"
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/xmpp"
)

// HandleStanza implements component.Handler. It runs on the stream's reader goroutine,
// so it only finds the actor that a stanza belongs to.
func (g *Gateway) HandleStanza(s xmpp.Stanza) {
	switch s := s.(type) {
	case *xmpp.Message:
		g.stanzaMessage(s)
	case *xmpp.IQ:
		g.stanzaIQ(s)
	case *xmpp.Presence:
		g.stanzaPresence(s)
	}
}

// Hold implements component.Batcher: what the stanzas lead to goes out together.
func (g *Gateway) Hold() { g.ua.Hold() }

// Release implements component.Batcher.
func (g *Gateway) Release() { g.ua.Release() }

// LinkChanged implements component.Handler.
func (g *Gateway) LinkChanged(up bool, err error) {
	g.linkSince.Store(time.Now().UnixNano())
	if !up && err == nil {
		g.log.Info().Msg("xmpp link closed")
		g.metrics.link.Set(0)
		g.calls.linkDown()
		return
	}
	if !up {
		g.log.Warn().Err(err).Msg("xmpp link down, messages are kept")
		g.metrics.link.Set(0)
		g.calls.linkDown()
		return
	}
	g.log.Info().Msg("xmpp link up")
	g.metrics.link.Set(1)
	g.pairs.linkUp()
	g.calls.linkUp()
	g.gates.up()
	g.posters.up()
}

func (g *Gateway) stanzaMessage(m *xmpp.Message) {
	if g.callMessage(m) {
		return
	}
	if m.Type == xmpp.MessageError {
		if !g.deliverer.bounced(m) {
			g.log.Debug().Stringer("from", m.From).Stringer("to", m.To).Str("id", m.ID).Msg("bounce of nothing that is remembered")
		}
		return
	}
	if m.From.IsZero() || m.To.IsZero() {
		return // a server never sends that on a component stream
	}
	if g.seeder.privilege(m) {
		return
	}
	uri, err := g.addresses.ToSIP(m.To)
	if err != nil {
		g.refuse(m, addressError(err))
		return
	}
	if id, ok := g.table.ByJID(m.From); ok && !id.Policy.CallOut {
		g.refuse(m, *xmpp.NewStanzaError(xmpp.ConditionForbidden, "You may not write to SIP users"))
		return
	}
	flow := g.flows.next('m')
	if g.journal.Enabled() {
		g.journal.Add(journal.Entry{
			Flow: flow, From: m.From.Bare().String(), To: journal.Gateway, Protocol: journal.XMPP,
			Summary: "message " + string(m.Type), Raw: rawStanza(m),
		})
	}
	key := newPairKey(m.From, uri)
	offer := g.pairs.offerHere
	if len(m.Bodies) == 0 {
		offer = g.pairs.offer // a receipt is looked up on the disk
	}
	if !offer(key, chat.StanzaReceived{Flow: flow, Message: m}) {
		g.metrics.count(chat.XMPPToSIP, "overloaded")
		g.refuse(m, cause.Overloaded(nil).StanzaError())
	}
}

// refuse answers a message that no pair takes.
func (g *Gateway) refuse(m *xmpp.Message, e xmpp.StanzaError) {
	if m.Type == xmpp.MessageError {
		return
	}
	if err := g.xmpp.Send(m.ErrorReply(e), nil); err != nil {
		g.log.Warn().Err(err).Stringer("to", m.From).Msg("refusal could not be sent")
	}
}

// addressError is the stanza error of an address that has no SIP form.
func addressError(err error) xmpp.StanzaError {
	var e *xmpp.StanzaError
	if errors.As(err, &e) {
		return *e
	}
	return mapping.AddressError(err)
}

// stanzaPresence leaves presence to the pair, and what is for the gateway itself to gates.
func (g *Gateway) stanzaPresence(p *xmpp.Presence) {
	if p.From.IsZero() || p.To.IsZero() {
		return
	}
	g.calls.presence(p)
	if p.To.Local() == "" {
		g.gates.stanza(p)
		return
	}
	uri, err := g.addresses.ToSIP(p.To)
	if err != nil {
		if p.Type == xmpp.PresenceSubscribe {
			g.send(p.ErrorReply(addressError(err)))
		}
		return
	}
	flow := g.flows.next('p')
	if g.journal.Enabled() {
		g.journal.Add(journal.Entry{
			Flow: flow, From: p.From.Bare().String(), To: journal.Gateway, Protocol: journal.XMPP, Summary: presenceSummary(p), Raw: rawStanza(p),
		})
	}
	if !g.pairs.offer(newPairKey(p.From, uri), presence.StanzaReceived{Flow: flow, Presence: p}) && p.Type != xmpp.PresenceError {
		g.send(p.ErrorReply(cause.Overloaded(nil).StanzaError()))
	}
}

// send puts a stanza on the stream whose fate nobody waits for.
func (g *Gateway) send(s xmpp.Stanza) {
	if err := g.xmpp.Send(s, nil); err != nil {
		g.log.Debug().Err(err).Msg("stanza not sent")
	}
}

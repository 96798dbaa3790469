package interwork

import (
	"errors"
	"strconv"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
)

// sipMessage takes a MESSAGE from the SIP side (RFC 3428). It runs on the request's own
// goroutine, finds out who asks and for whom, and leaves the rest to the pair.
func (g *Gateway) sipMessage(in *ua.Inbound) {
	if g.draining.Load() {
		g.answer(in, "", cause.Overloaded(nil).Status())
		return
	}
	if refused := sip.RefuseSIPS(in.Request); refused != nil {
		g.answer(in, "", *refused)
		return
	}
	ruri := sip.RequestURI(in.Request)
	caller, ok := g.caller(in)
	if !ok {
		return // answered already
	}
	to, err := g.addresses.ToXMPP(ruri)
	if err != nil {
		g.answer(in, "", addressStatus(err))
		return
	}
	from, err := g.addresses.CallerToXMPP(caller.URI)
	if err != nil {
		g.answer(in, "", addressStatus(err))
		return
	}
	// Both directions of a conversation must meet in one pair, however a carrier or a
	// phone writes the caller's address.
	aor, err := g.addresses.Canonical(caller.URI)
	if err != nil {
		aor = caller.URI.AOR()
	}
	flow := g.flows.next('m')
	if g.journal.Enabled() {
		g.journal.Add(journal.Entry{
			Flow: flow, From: caller.URI.AOR().String(), To: journal.Gateway, Protocol: journal.SIP,
			Summary: "MESSAGE", Raw: rawRequest(in.Request),
		})
	}
	key := newPairKey(to, aor)
	taken := g.pairs.offerHere(key, chat.RequestReceived{
		Flow: flow, Request: in.Request,
		Context: mapping.RequestContext{
			From: from, To: to, Type: xmpp.MessageType(g.cfg.MessageType), Component: g.self.Domain(),
		},
		Answer: func(s sip.Status) { g.answer(in, flow, s) },
	})
	if !taken {
		g.metrics.count(chat.SIPToXMPP, "overloaded")
		g.answer(in, flow, cause.Overloaded(nil).Status())
	}
}

// caller finds out who sent a request: a peer that is trusted is believed (RFC 3325),
// anyone else proves to be an identity whose address From is (RFC 3261 §22). When it
// returns false the request has been answered.
func (g *Gateway) caller(in *ua.Inbound) (sip.NameAddr, bool) {
	from, err := sip.FromOf(in.Request)
	if err != nil {
		g.answer(in, "", sip.Status{Code: 400, Reason: "Bad From"})
		return sip.NameAddr{}, false
	}
	if in.Auth.Kind == ua.AuthTrusted {
		if pai, ok := sip.AssertedIdentity(in.Request); ok {
			return pai, true
		}
		return from, true
	}
	realm := from.URI.Host
	if !g.isOurs(realm) {
		if g.cfg.PublicMessages && in.Request.Method == sip.MESSAGE {
			return from, true // messages only: a forged watcher would see who is online
		}
		// Nobody vouches for a foreign domain; challenge with our own realm, so that a
		// phone with a wrong From gets a second chance, and refuse what fails.
		realm = g.cfg.SIPDomains[0]
	}
	if !in.Authenticate(realm) {
		return sip.NameAddr{}, false
	}
	id, ok := g.table.ByUser(in.Auth.User, in.Auth.Realm)
	if !ok || !id.Owns(from.URI) {
		g.answer(in, "", sip.Status{Code: 403, Reason: "From is not yours"})
		return sip.NameAddr{}, false
	}
	return from, true
}

// addressStatus is the answer to an address that has no JID.
func addressStatus(err error) sip.Status {
	var s *sip.Status
	if errors.As(err, &s) {
		return *s
	}
	return mapping.AddressStatus(err)
}

func (g *Gateway) answer(in *ua.Inbound, flow string, s sip.Status) {
	if flow != "" && g.journal.Enabled() {
		g.journal.Add(journal.Entry{
			Flow: flow, From: journal.Gateway, To: sip.FromLib(in.Request.From().Address).AOR().String(), Protocol: journal.SIP,
			Summary: strconv.Itoa(s.Code) + " " + s.Phrase(),
		})
	}
	if err := in.Respond(s); err != nil {
		g.log.Debug().Err(err).Int("status", s.Code).Str("flow", flow).Msg("response not sent")
	}
}

package interwork

import (
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/disco"
)

// stanzaIQ answers requests; results were taken by the component's tracker before.
func (g *Gateway) stanzaIQ(iq *xmpp.IQ) {
	if !iq.IsRequest() {
		g.callAnswered(iq)
		return
	}
	if g.callIQ(iq) || g.avatars.items(iq) {
		return
	}
	answer := g.disco.Answer(iq, g.subject(iq.To))
	if answer == nil || g.avatars.decorate(iq, answer) {
		return
	}
	if err := g.xmpp.Send(answer, nil); err != nil {
		g.log.Debug().Err(err).Stringer("to", answer.To).Msg("iq answer not sent")
	}
}

// subject says what a JID of our domain is.
func (g *Gateway) subject(j xmpp.JID) disco.Subject {
	if j.Local() == "" {
		if j.Resource() != "" {
			return disco.Subject{}
		}
		return disco.Subject{Kind: disco.SubjectGateway, Numbers: g.router.numbers()}
	}
	uri, err := g.addresses.ToSIP(j)
	if err != nil {
		return disco.Subject{}
	}
	if g.router.isOurs(uri.Host) {
		if _, known := g.table.ByAOR(uri); !known && g.router.trunkFor(uri, xmpp.JID{}) == nil {
			return disco.Subject{} // one of our own domain that nobody has
		}
	}
	s := disco.Subject{Kind: disco.SubjectUser, Name: g.displayName(uri), URI: uri.String()}
	if n := numberOf(uri); n != "" {
		s.Number = n
	}
	if j.Resource() != "" {
		s.Kind = disco.SubjectResource
	}
	s.Capabilities = g.capabilities(uri)
	return s
}

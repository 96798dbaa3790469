package interwork

import (
	"errors"

	"github.com/stoxgate/stoxgate/interwork/presence"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// ErrNotOurs tells that an address has no account here.
var ErrNotOurs = errors.New("interwork: no SIP user of ours")

// DecideWatcher is the word of an operator on an XMPP user who sees a SIP user of ours, or
// waits to (Config.ConfirmWatchers): grant lets her in if she waits, otherwise she is
// refused, and what she sees is taken back. It does not wait.
func (g *Gateway) DecideWatcher(user xmpp.JID, aor sip.URI, grant bool) error {
	if _, known := g.table.ByAOR(aor); !known || !g.isOurs(aor.Host) {
		return ErrNotOurs
	}
	g.pairs.post(newPairKey(user, aor), presence.Decided{Flow: g.flows.next('p'), Grant: grant})
	return nil
}

// RemoveWatch takes an authorisation away as if it had never been: of an XMPP user to see
// a SIP user, or, with sharing, of the SIP user to see her. It does not wait.
func (g *Gateway) RemoveWatch(user xmpp.JID, aor sip.URI, sharing bool) {
	d := presence.Watching
	if sharing {
		d = presence.Sharing
	}
	g.pairs.post(newPairKey(user, aor), presence.Removed{Flow: g.flows.next('p'), Direction: d})
}

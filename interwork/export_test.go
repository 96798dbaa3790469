package interwork

import (
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// CallState is what the code of calls uses.
func (g *Gateway) CallState(user xmpp.JID, aor sip.URI, busy bool) { g.callState(user, aor, busy) }

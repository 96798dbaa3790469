package presence

import (
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// A request to subscribe that runs in a circle through gateways has to end somewhere
// (RFC 7247 §8). SIP counts hops down in Max-Forwards; XMPP has no such count, so it is
// carried across in the header of that name that XEP-0131 registers, as for messages.
// Notifications need none: they follow subscriptions, and what is not new is not told on.

const hopsHeader = "Max-Forwards"

func hopsElement(n int) *xmpp.Element {
	return xmpp.NewElement(xmpp.NSSHIM, "headers").Add(
		xmpp.NewElement(xmpp.NSSHIM, "header").Set("name", hopsHeader).AddText(strconv.Itoa(n)))
}

// hopsOf reads the count; ok is false when there is none.
func hopsOf(p *xmpp.Presence) (n int, ok bool) {
	headers := p.Extension(xmpp.NSSHIM, "headers")
	if headers == nil {
		return 0, false
	}
	for h := range headers.Elements() {
		if !h.Is(xmpp.NSSHIM, "header") || !strings.EqualFold(h.Attribute("name"), hopsHeader) {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(h.Text()), 10, 8); err == nil {
			return int(n), true
		}
	}
	return 0, false
}

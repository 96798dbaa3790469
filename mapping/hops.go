package mapping

import (
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// A message that runs in a circle through the gateway and back has to end somewhere (RFC 7247 §8, RFC 5393).
// SIP counts hops down in Max-Forwards; XMPP has no such count, so it is carried across as the header of that
// name that XEP-0131 registers. Every crossing from SIP takes one, and at zero the answer is 483.

const (
	maxForwards  = 70 // RFC 3261 §8.1.1.6
	hopsHeader   = "Max-Forwards"
	textTooFar   = "the message went through too many gateways"
	reasonTooFar = "Too Many Hops"
)

// hopsElement carries a hop count over XMPP.
func hopsElement(n int) *xmpp.Element {
	return xmpp.NewElement(xmpp.NSSHIM, "headers").Add(
		xmpp.NewElement(xmpp.NSSHIM, "header").Set("name", hopsHeader).AddText(strconv.Itoa(n)))
}

// hopsOf reads the count from a <headers/> element; ok is false when it has none.
func hopsOf(headers *xmpp.Element) (n int, ok bool) {
	for h := range headers.Elements() {
		if h.Is(xmpp.NSSHIM, "header") && strings.EqualFold(h.Attribute("name"), hopsHeader) {
			if n, err := strconv.ParseUint(strings.TrimSpace(h.Text()), 10, 8); err == nil {
				return int(n), true
			}
		}
	}
	return 0, false
}

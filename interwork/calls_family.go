package interwork

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// familyLookup bounds finding the address of a next hop, to offer it media of its family.
const familyLookup = 3 * time.Second

// offerTo is an offer as it goes to one way: with our address of the family that the
// signalling takes there. The relay listens on both families with the same ports until the
// answer tells which it is, so only the addresses in the offer differ.
func (a *actor) offerTo(ruri sip.URI, h hop, offer []byte) []byte {
	if len(a.calls.cfg.Relay.Addresses) < 2 {
		return offer
	}
	ctx, cancel := context.WithTimeout(a.g.workCtx, familyLookup)
	defer cancel()
	peer, err := a.g.ua.Peer(ctx, ruri, h.target)
	if err != nil {
		return offer // sending the INVITE will tell
	}
	return a.calls.facing(peer, offer)
}

// facing is a description of ours with our address of the family of peer.
func (c *calls) facing(peer netip.Addr, body []byte) []byte {
	own, ok := c.relay.Facing(peer.Unmap())
	if !ok {
		return body
	}
	d, err := sdp.Parse(body)
	if err != nil {
		return body
	}
	d.Origin.Address, d.Connection = own.String(), sdp.NewConnection(own)
	return d.Append(nil)
}

// unreachable tells whether all that an offer names is of a family that we have no address
// of. It is refused before anybody's phone rings.
func (c *calls) unreachable(offer []byte) bool {
	own := c.cfg.Relay.Addresses
	if len(own) > 1 || !bytes.Contains(offer, []byte(" IP")) {
		return false
	}
	d, err := sdp.Parse(offer)
	if err != nil {
		return false // whoever reads it next says so
	}
	here, found := len(own) == 0 || own[0].Is4(), false
	for i := range d.Media {
		m := d.Effective(i)
		if a := m.Address().Addr().Unmap(); m.Kind == "audio" && !m.Rejected() && a.IsValid() && m.ICE.Ufrag == "" {
			if found = true; a.Is4() == here || a.IsUnspecified() {
				return false
			}
		}
	}
	return found
}

// otherFamily is the answer to such an offer (RFC 3261 §20.43).
func (c *calls) otherFamily() sip.Status {
	s := sip.Status{Code: 488}
	if h, err := sip.NewHeader("Warning", `301 `+c.host()+` "Incompatible network address formats"`); err == nil {
		s.Headers = append(s.Headers, h)
	}
	return s
}

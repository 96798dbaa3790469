package mapping

import (
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// CallHeaders are the parts of an INVITE that name the parties and the session.
type CallHeaders struct {
	RequestURI sip.URI
	From, To   sip.NameAddr
	Contact    sip.NameAddr // of the caller's device
	CallID     string
}

// CallHeaderContext is what they are made of besides the stanza. From and To are what the addresses of the stanza
// are in SIP, for which somebody else has the table.
type CallHeaderContext struct {
	Sender   xmpp.JID // from of the stanza, a full JID
	From, To sip.NameAddr
	Host     string // our own name, in the Call-ID
}

// InitiateToHeaders makes the names of the INVITE for a session-initiate or of a <propose/>, whose id is the sid.
// The device of the caller is the gr of the Contact (RFC 7247 §6.3). An initiator that is not the sender is
// not believed (XEP-0166 §7.1).
func InitiateToHeaders(sid string, c CallHeaderContext) CallHeaders {
	h := CallHeaders{RequestURI: c.To.URI, From: c.From, To: c.To, Contact: sip.NameAddr{URI: c.From.URI}}
	h.From.URI.Params, h.To.URI.Params = withoutGR(c.From.URI.Params), withoutGR(c.To.URI.Params)
	h.Contact.URI.Params = h.From.URI.Params.Clone()
	if r := c.Sender.Resource(); r != "" {
		h.Contact.URI.Params.Set("gr", r)
	}
	h.CallID = SIDToCallID(sid, h.From.URI.AOR().String(), h.To.URI.AOR().String(), c.Host)
	return h
}

func withoutGR(p sip.Params) sip.Params {
	if !p.Has("gr") {
		return p
	}
	p = p.Clone()
	p.Del("gr")
	return p
}

// InviteToInitiate makes sid, initiator and responder of the session for an INVITE. from and to are what its
// addresses are in XMPP; the device that calls is the resource of the initiator, which is the sender of all
// stanzas of the call.
func InviteToInitiate(r *sip.Request, from, to xmpp.JID) *jingle.Jingle {
	n, _ := sip.CSeq(r)
	j := &jingle.Jingle{Action: jingle.ActionSessionInitiate, Initiator: DeviceOf(r, from), Responder: to}
	j.SID, _ = CallIDToSID(sip.CallID(r), sip.FromTag(r), n)
	return j
}

// DeviceOf is the full JID of the device that sent a request or response: from with the resource of its first
// Contact (see DeviceResource), or from itself when there is none.
func DeviceOf(m sip.Message, from xmpp.JID) xmpp.JID {
	for _, h := range m.GetHeaders("Contact") {
		list, err := sip.ParseNameAddrs(h.Value())
		if err != nil {
			continue
		}
		if full, err := from.WithResource(DeviceResource(list[0])); err == nil {
			return full
		}
	}
	return from
}

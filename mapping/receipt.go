package mapping

import (
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/cpim"
	"github.com/stoxgate/stoxgate/sip/imdn"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Receipts (XEP-0184) and display markers (XEP-0333) stand for IMDN (RFC 5438). Only what a client really said
// is translated: a 2xx is no receipt, and no receipt is made up in anybody's name (XEP-0184 §8).

// ReceiptToIMDN maps a <received/> or <displayed/> to the kind and status of a notification and the id that it
// names. Other elements map to nothing. The markers received and acknowledged of XEP-0333 before version 0.5
// are still sent by old clients; received means what XEP-0184 says, acknowledged counts as displayed.
func ReceiptToIMDN(e *xmpp.Element) (kind imdn.Kind, status imdn.Status, id string, ok bool) {
	id = e.Attribute("id")
	if id == "" || len(id) > maxID {
		return 0, "", "", false
	}
	switch e.Name.Space + " " + e.Name.Local {
	case xmpp.NSReceipts + " received", xmpp.NSMarkers + " received":
		return imdn.Delivery, imdn.Delivered, id, true
	case xmpp.NSMarkers + " displayed", xmpp.NSMarkers + " acknowledged":
		return imdn.Display, imdn.Displayed, id, true
	}
	return 0, "", "", false
}

// ErrorToIMDN maps the failure of a message that its SIP sender thinks to be under way to the status of a
// delivery notification (RFC 5438 §7.2.1.1).
func ErrorToIMDN(e xmpp.StanzaError) imdn.Status {
	switch e.Condition {
	case xmpp.ConditionForbidden, xmpp.ConditionNotAllowed, xmpp.ConditionPolicyViolation, xmpp.ConditionNotAuthorized:
		return imdn.Forbidden
	case xmpp.ConditionInternalServerError, xmpp.ConditionResourceConstraint, xmpp.ConditionUndefinedCondition:
		return imdn.Error
	}
	return imdn.Failed
}

// ReportToRequest builds the MESSAGE that tells the SIP sender of the message with this stanza id what became
// of it: for a client's receipt, or for a bounce after the MESSAGE was answered. c.From is the one who
// received, or should have received, the message; c.Sent is when it was sent. The error is ErrNothing when the
// sender could not use it: it knows no IMDN, or its message had no imdn.Message-ID.
func ReportToRequest(id string, kind imdn.Kind, status imdn.Status, c MessageContext) (*sip.Request, error) {
	o := outbound{c: &c, hops: c.hops()}
	if err := o.report(id, kind, status); err != nil {
		return nil, err
	}
	return o.reqs[0], nil
}

// report adds the request for a notification.
func (o *outbound) report(id string, kind imdn.Kind, status imdn.Status) error {
	if !o.c.Peer.AcceptsIMDN || isMadeID(id) {
		return ErrNothing
	}
	sent := o.c.Sent
	if sent.IsZero() {
		sent = o.c.Now
	}
	// RFC 5438 §7.2.1.1: the time is that of the message, the recipient is who reports.
	recipient := o.c.From.URI.AOR().String()
	body := imdn.Document{
		MessageID: id, DateTime: sent, Recipient: recipient, OriginalRecipient: recipient, Kind: kind, Status: status,
	}.Append(nil)
	if !o.c.Peer.AcceptsCPIM {
		return o.add(imdn.ContentType, body, "")
	}
	// A notification has an id of its own and asks for none (RFC 5438 §7.2.1).
	m := o.envelope(o.c.Now)
	m.Set(cpim.NSIMDN, "Message-ID", o.madeID())
	m.Fields = []cpim.Field{{Name: "Content-Type", Value: imdn.ContentType}, {Name: "Content-Disposition", Value: "notification"}}
	m.Body = body
	return o.add(cpim.ContentType, m.Append(nil), "")
}

// Disposition is what the sender of a SIP message wants to be told (imdn.Disposition-Notification).
type Disposition struct {
	MessageID                   string
	Sent                        time.Time // DateTime of the envelope, which a notification repeats; zero when absent
	Positive, Negative, Display bool
}

func dispositionOf(m *cpim.Message) (d Disposition) {
	d.MessageID, _ = m.Get(cpim.NSIMDN, "Message-ID")
	d.Sent, _ = m.DateTime()
	for _, h := range m.Headers {
		if h.Space != cpim.NSIMDN || h.Name != "Disposition-Notification" {
			continue
		}
		for want := range strings.SplitSeq(h.Value, ",") {
			want, _, _ = strings.Cut(want, ";")
			switch strings.ToLower(strings.TrimSpace(want)) {
			case imdn.WantPositiveDelivery:
				d.Positive = true
			case imdn.WantNegativeDelivery:
				d.Negative = true
			case imdn.WantDisplay:
				d.Display = true
			}
		}
	}
	return d
}

// RequestDisposition reads from a MESSAGE what its sender wants to be told, so that a caller who answered 202
// knows whether a later failure has to be reported. The positive wishes are in the stanza already.
func RequestDisposition(r *sip.Request) Disposition {
	if !sip.MediaTypeIs(sip.ContentType(r), cpim.ContentType) {
		return Disposition{}
	}
	body, status := decodeContent(r.Body(), sip.Value(r, "Content-Encoding"))
	if status != nil {
		return Disposition{}
	}
	m, err := cpim.Parse(body)
	if err != nil {
		return Disposition{}
	}
	return dispositionOf(m)
}

// notification maps an IMDN document to what the sender's XMPP client is told. msg is nil when that is nothing.
func notification(d imdn.Document, c *RequestContext, loss *[]string) *xmpp.Message {
	id := messageIDToStanza(d.MessageID)
	if text, changed := cleanText(id); changed || text != id || len(id) > maxID {
		lose(loss, "imdn: message-id that is no id of ours")
		return nil
	}
	m := &xmpp.Message{From: c.From, To: c.To, Type: xmpp.MessageChat}
	tell := func(space, name string) {
		m.Extensions = append(m.Extensions, xmpp.NewElement(space, name).Set("id", id), xmpp.NewElement(xmpp.NSHints, "store"))
	}
	switch {
	case d.Kind == imdn.Delivery && d.Status == imdn.Delivered:
		tell(xmpp.NSReceipts, "received")
	case d.Kind == imdn.Display && d.Status == imdn.Displayed:
		tell(xmpp.NSMarkers, "displayed")
	case d.Kind == imdn.Delivery && d.Status == imdn.Failed:
		m.ID, m.Type = id, xmpp.MessageError
		m.Error = stanzaError(xmpp.ConditionRecipientUnavailable, "the message was not delivered")
	case d.Kind == imdn.Delivery && d.Status == imdn.Error:
		m.ID, m.Type = id, xmpp.MessageError
		m.Error = stanzaError(xmpp.ConditionInternalServerError, "the message could not be delivered")
	default:
		// processed, stored, forbidden: the message is where it should be, or nothing may be told of it.
		lose(loss, "imdn: "+d.Kind.String()+" "+string(d.Status))
		return nil
	}
	return m
}

// delayElement tells when an old message was sent (XEP-0203).
func delayElement(at time.Time, by string) *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSDelay, "delay")
	if by != "" {
		e.Set("from", by)
	}
	return e.Set("stamp", at.UTC().Format("2006-01-02T15:04:05Z"))
}

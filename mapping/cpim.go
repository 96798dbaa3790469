package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/cpim"
	"github.com/stoxgate/stoxgate/sip/imdn"
)

// A message is put into a CPIM envelope (RFC 3862) when its sender asked for receipts and the peer can give
// them, because that is where RFC 5438 has its headers. Coming in, an envelope may hold anything that a MESSAGE
// may hold, and tells when the message was sent.

// envelope starts a CPIM message between the two parties.
func (o *outbound) envelope(at time.Time) *cpim.Message {
	m := new(cpim.Message)
	m.Set("", "From", cpimAddress(o.c.From, o.display()))
	m.Set("", "To", cpimAddress(o.c.to(), o.c.to().Display))
	m.Set("", "DateTime", at.UTC().Format(time.RFC3339))
	return m
}

var noBrackets = strings.NewReplacer("<", "", ">", "")

// cpimAddress writes "Formal Name <URI>"; a name with angle brackets would be read as an address.
func cpimAddress(n sip.NameAddr, display string) string {
	display = noBrackets.Replace(cleanLine(display, maxDisplay))
	return cpim.Address{Name: display, URI: n.URI.AOR().String()}.String()
}

// wrap puts content into an envelope that asks for what the sender of the stanza asked for (RFC 5438 §7.1.1).
func (o *outbound) wrap(contentType string, body []byte, lang, messageID string) []byte {
	m := o.envelope(o.sentAt())
	for _, s := range o.subjects {
		m.Headers = append(m.Headers, cpim.Header{Name: "Subject", Lang: validLang(s.Lang), Value: cleanLine(s.Text, maxSubject)})
	}
	m.Set(cpim.NSIMDN, "Message-ID", messageID)
	var want []string
	if o.wantReceipt {
		want = append(want, imdn.WantPositiveDelivery, imdn.WantNegativeDelivery)
	}
	if o.wantMarker {
		want = append(want, imdn.WantDisplay)
	}
	m.Set(cpim.NSIMDN, "Disposition-Notification", strings.Join(want, ", "))
	m.Fields = append(m.Fields, cpim.Field{Name: "Content-Type", Value: contentType})
	if lang != "" {
		m.Fields = append(m.Fields, cpim.Field{Name: "Content-Language", Value: lang})
	}
	m.Fields = append(m.Fields, cpim.Field{Name: "Content-Length", Value: strconv.Itoa(len(body))})
	m.Body = body
	return m.Append(make([]byte, 0, 512+len(body)))
}

// cpimKnown are the headers that a Require may name (RFC 3862 §4, RFC 5438 §6).
var cpimKnown = map[string][]string{
	cpim.NSHeaders: {"From", "To", "cc", "DateTime", "Subject", "NS", "Require"},
	cpim.NSIMDN:    {"Message-ID", "Disposition-Notification", "Original-To", "IMDN-Record-Route", "IMDN-Route"},
}

// envelope reads a CPIM message that came in.
func (in *inbound) envelope(body []byte, depth int) *sip.Status {
	if in.enveloped {
		return in.unsupported("message/cpim inside message/cpim")
	}
	m, err := cpim.Parse(body)
	if err != nil {
		return &sip.Status{Code: 400, Reason: "Bad Request - message/cpim"}
	}
	for _, r := range m.Require {
		if !slices.Contains(cpimKnown[r.Space], r.Local) {
			return &sip.Status{Code: 420, Reason: validReason("Bad Extension - CPIM header " + cleanLine(r.Local, 64))}
		}
	}
	in.enveloped = true
	in.want = dispositionOf(m)
	if at, ok := m.DateTime(); ok {
		in.sent = at
	}
	in.subjects = append(in.subjects, m.Subjects()...)
	in.author(m)
	e := entity{
		contentType: m.Field("Content-Type"), encoding: m.Field("Content-Encoding"), transfer: m.Field("Content-Transfer-Encoding"),
		lang: m.Field("Content-Language"), disposition: m.Field("Content-Disposition"), body: m.Body,
	}
	return in.entity(e, depth+1)
}

// author judges the From of an envelope. It is nobody's proof: only a conference focus may say that a message
// is from somebody else than who sent the request. RCS hides the address in one-to-one messages on purpose.
func (in *inbound) author(m *cpim.Message) {
	from, ok := m.From()
	if !ok || from.IsAnonymous() {
		return
	}
	u, err := sip.ParseURI(from.URI)
	sender, err2 := sip.FromOf(in.r)
	if err == nil && err2 == nil && u.Key() == sender.URI.Key() {
		return
	}
	if !in.c.Focus {
		in.lose("cpim: From differs from the SIP identity")
		return
	}
	in.participant = cleanLine(from.Name, maxDisplay)
	if in.participant == "" {
		in.participant = cleanLine(from.URI, maxDisplay)
	}
}

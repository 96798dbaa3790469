package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/cpim"
	"github.com/stoxgate/stoxgate/sip/fthttp"
	"github.com/stoxgate/stoxgate/sip/imdn"
	"github.com/stoxgate/stoxgate/sip/iscomposing"
	"github.com/stoxgate/stoxgate/sip/multipart"
	"github.com/stoxgate/stoxgate/xmpp"
)

// RequestContext is what RequestToMessages cannot find out itself.
type RequestContext struct {
	From, To  xmpp.JID         // both parties as XMPP sees them; From is the identity that was authenticated
	Type      xmpp.MessageType // of content: normal (also when empty) or chat; states and receipts are always chat
	Now       time.Time        // when the request arrived
	Component string           // our own domain, which vouches for the time of an old message
	Focus     bool             // the peer is a conference focus: the From of a CPIM envelope is believed
	PlainOnly bool             // no XHTML-IM beside the text
	Nick      bool             // the first message of a pair: bring the display name (XEP-0172 §4.2)
	States    bool             // the SIP peer takes isComposing: <active/> invites the client to send states (XEP-0085 §5.1)
}

const (
	// delayAfter is from what age on a message tells its time (XEP-0203).
	delayAfter = 30 * time.Second
	// brokenClock is the age from which on a Date says more about the phone than about the message.
	brokenClock = 366 * 24 * time.Hour
)

// accepted are the body types that RequestToMessages reads.
var accepted = []string{
	"text/plain", "text/html", cpim.ContentType, imdn.ContentType, iscomposing.ContentType, fthttp.ContentType,
	"multipart/mixed", "multipart/alternative", "multipart/related",
}

// AcceptedTypes are the media types that RequestToMessages reads, for Accept headers.
func AcceptedTypes() []string { return append([]string(nil), accepted...) }

var acceptHeader = sip.MustHeader("Accept", strings.Join(accepted, ", "))

// RequestToMessages maps a MESSAGE request to message stanzas (RFC 7572 §5): one in most cases, several for
// several files, and none, without an error, for what has no meaning in XMPP: an empty text, or a notification
// that nobody asked for. Those are answered 200 all the same. loss is as in MessageToRequests.
//
// The error is a *sip.Status to answer with. Who may send, and to whom, was decided before.
func RequestToMessages(r *sip.Request, c RequestContext) (msgs []*xmpp.Message, loss []string, err error) {
	if r.Method != sip.MESSAGE {
		return nil, nil, &sip.Status{Code: 405, Headers: []sip.Header{sip.MustHeader("Allow", "MESSAGE, OPTIONS")}}
	}
	in := inbound{r: r, c: &c, hops: sip.MaxForwards(r)}
	if in.hops < 0 || in.hops > maxForwards {
		in.hops = maxForwards
	}
	if in.hops == 0 {
		return nil, nil, &sip.Status{Code: 483}
	}
	e := entity{body: r.Body()}
	in.headers(&e)
	if in.expired() {
		return nil, in.loss, &sip.Status{Code: 480, Reason: "Message Expired"}
	}
	if status := in.entity(e, 0); status != nil {
		return nil, in.loss, status
	}
	if in.refused != nil && in.isEmpty() {
		return nil, in.loss, in.refused
	}
	return in.messages(), in.loss, nil
}

// inbound is one request on its way to XMPP.
type inbound struct {
	r    *sip.Request
	c    *RequestContext
	hops int
	loss []string

	subject   string
	subjects  []cpim.Header
	sent      time.Time // as the sender says; zero: not said
	expires   time.Duration
	enveloped bool
	want      Disposition

	participant string // of a conference, who wrote it
	bodies      []xmpp.LangText
	xhtml       []*xmpp.Element
	files       []file
	state       string
	reports     []imdn.Document
	refused     *sip.Status // what a part that nobody reads would get alone
}

func (in *inbound) lose(what string) { lose(&in.loss, what) }

// headers reads the fields of the request that become something.
func (in *inbound) headers(e *entity) {
	for _, h := range in.r.Headers() {
		name := h.Name()
		switch {
		case is(name, "Content-Type", "c"):
			e.contentType = h.Value()
		case is(name, "Content-Encoding", "e"):
			e.encoding = h.Value()
		case is(name, "Content-Language", ""):
			e.lang = h.Value()
		case is(name, "Content-Disposition", ""):
			e.disposition = h.Value()
		case is(name, "Subject", "s"):
			in.subject = cleanLine(h.Value(), maxSubject)
		case is(name, "Date", ""):
			if t, err := time.Parse(time.RFC1123, strings.TrimSpace(h.Value())); err == nil {
				in.sent = t
			}
		case is(name, "Expires", ""):
			if n, err := strconv.ParseUint(strings.TrimSpace(h.Value()), 10, 31); err == nil {
				in.expires = time.Duration(n) * time.Second
			}
		}
	}
}

// is compares a header name with its long and compact form, without case.
func is(name, long, compact string) bool {
	if len(name) == len(long) {
		return name == long || strings.EqualFold(name, long)
	}
	return len(name) == 1 && len(compact) == 1 && name[0]|0x20 == compact[0]
}

// expired carries out RFC 3428 §4.1 (Expires with Date). Without a Date the time counts from now on.
func (in *inbound) expired() bool {
	if in.sent.IsZero() {
		return false
	}
	if age := in.c.Now.Sub(in.sent); age > brokenClock || age < -brokenClock {
		in.lose("date: not plausible")
		in.sent = time.Time{}
		return false
	}
	return in.expires > 0 && in.sent.Add(in.expires).Before(in.c.Now)
}

// entity is a body with the fields that say how to read it: of the request, an envelope or a part.
type entity struct {
	contentType, encoding, transfer, lang, disposition string
	body                                               []byte
}

// entity reads a body. The status is for the request as a whole; a part that nobody reads only sets refused, for
// the case that nothing else can be read.
func (in *inbound) entity(e entity, depth int) *sip.Status {
	if depth > 4 {
		return in.unsupported("nested too deep")
	}
	if len(e.body) == 0 {
		return nil
	}
	media, charset := mediaTypeOf(e.contentType)
	if media == "" {
		// RFC 3261 §20.15 wants a type; what comes without one is text in practice.
		media = "text/plain"
	}
	body, status := decodeContent(e.body, e.encoding)
	if status == nil {
		body, status = decodeTransfer(body, e.transfer)
	}
	if status != nil {
		return status
	}
	switch media {
	case "text/plain":
		text, status := in.decodeCharset(body, charset)
		if status != nil {
			return status
		}
		if !isBlank(text) {
			in.addText(xmpp.LangText{Lang: firstLang(e.lang), Text: text})
		}
	case "text/html":
		text, status := in.decodeCharset(body, charset)
		if status != nil {
			return status
		}
		in.html(text, firstLang(e.lang))
	case cpim.ContentType:
		return in.envelope(body, depth)
	case imdn.ContentType:
		d, err := imdn.Parse(body)
		if err != nil {
			return &sip.Status{Code: 400, Reason: "Bad Request - message/imdn+xml"}
		}
		in.reports = append(in.reports, d)
	case iscomposing.ContentType:
		d, err := iscomposing.Parse(body)
		if err != nil {
			return &sip.Status{Code: 400, Reason: "Bad Request - isComposing"}
		}
		in.state = ComposingToChatState(d)
	case fthttp.ContentType:
		d, err := fthttp.Parse(body)
		if err != nil {
			return &sip.Status{Code: 400, Reason: "Bad Request - file transfer"}
		}
		files := documentFiles(d, &in.loss)
		if len(files) == 0 {
			in.refuse(in.unsupported("file without a usable URL"))
		}
		in.files = append(in.files, files...)
	default:
		if strings.HasPrefix(media, "multipart/") {
			return in.multipart(e.contentType, body, depth)
		}
		in.unread(media, e.disposition)
	}
	return nil
}

// unread notes a part of a type that nobody here reads. RFC 5621 §8.3: one that is optional may be ignored, any
// other makes the request fail, unless there is text to be told.
func (in *inbound) unread(media, disposition string) {
	in.lose("body: " + cleanLine(media, 64))
	if !strings.Contains(strings.ToLower(disposition), "handling=optional") {
		in.refuse(in.unsupported(media))
	}
}

func (in *inbound) refuse(s *sip.Status) {
	if in.refused == nil {
		in.refused = s
	}
}

// unsupported is 415 with what is supported (RFC 3261 §21.4.13).
func (in *inbound) unsupported(what string) *sip.Status {
	return &sip.Status{
		Code: 415, Reason: validReason("Unsupported Media Type - " + cleanLine(what, 64)), Headers: []sip.Header{acceptHeader},
	}
}

// addText adds the texts of one body: one, or one per language. What comes after a text goes on below it,
// whatever its language is: of bodies in several languages a client shows only one.
func (in *inbound) addText(texts ...xmpp.LangText) {
	if len(texts) == 0 {
		return
	}
	if len(in.bodies) == 0 {
		in.bodies = append(in.bodies, texts...)
		return
	}
	for i := range in.bodies {
		in.bodies[i].Text += "\n" + texts[len(texts)-1].Text
	}
}

// html reads a text/html body: its text, and the markup if there is any.
func (in *inbound) html(doc, lang string) {
	body, text, marked := HTMLToXHTML([]byte(doc))
	if text == "" {
		return
	}
	in.addText(xmpp.LangText{Lang: lang, Text: text})
	in.markup(body, lang, marked)
}

func (in *inbound) markup(body *xmpp.Element, lang string, marked bool) {
	switch {
	case !marked:
	case in.c.PlainOnly:
		in.lose("markup: text/html")
	default:
		if lang != "" {
			body.SetNS(xmpp.NSXML, "lang", lang)
		}
		in.xhtml = append(in.xhtml, body)
	}
}

// multipart reads the parts of a multipart body.
func (in *inbound) multipart(contentType string, body []byte, depth int) *sip.Status {
	m, err := multipart.Parse(contentType, body)
	if err != nil {
		return &sip.Status{Code: 400, Reason: "Bad Request - multipart"}
	}
	return in.parts(m, depth)
}

func (in *inbound) parts(m *multipart.Message, depth int) *sip.Status {
	switch m.Subtype {
	case "alternative":
		return in.alternative(m, depth)
	case "related": // RFC 2387: the first part is the document, the others are what it shows
		for i := range m.Parts {
			if i > 0 {
				media, _ := mediaTypeOf(m.Parts[i].Field("Content-Type"))
				in.lose("body: " + cleanLine(media, 64))
			}
		}
		return in.part(&m.Parts[0], depth)
	}
	for i := range m.Parts {
		if status := in.part(&m.Parts[i], depth); status != nil {
			return status
		}
	}
	return nil
}

func (in *inbound) part(p *multipart.Part, depth int) *sip.Status {
	return in.entity(entity{
		contentType: p.Field("Content-Type"), encoding: p.Field("Content-Encoding"), transfer: p.Field("Content-Transfer-Encoding"),
		lang: p.Field("Content-Language"), disposition: p.Field("Content-Disposition"), body: p.Body,
	}, depth+1)
}

// alternative takes the texts, one per language, and the markup of the last text/html. Without a text the last
// alternative that can be read counts, for it is the richest (RFC 2046 §5.1.4).
func (in *inbound) alternative(m *multipart.Message, depth int) *sip.Status {
	plain, marked := 0, -1
	for i := range m.Parts {
		switch media, _ := mediaTypeOf(m.Parts[i].Field("Content-Type")); media {
		case "text/plain", "":
			plain++
		case "text/html":
			marked = i
		}
	}
	if plain == 0 {
		for i := len(m.Parts) - 1; i >= 0; i-- {
			media, _ := mediaTypeOf(m.Parts[i].Field("Content-Type"))
			if slices.Contains(accepted, media) {
				return in.part(&m.Parts[i], depth)
			}
		}
		return in.part(&m.Parts[len(m.Parts)-1], depth)
	}
	var texts []xmpp.LangText
	for i := range m.Parts {
		p := &m.Parts[i]
		media, charset := mediaTypeOf(p.Field("Content-Type"))
		if media != "text/plain" && media != "" {
			continue
		}
		text, status := in.partText(p, charset)
		if status != nil {
			return status
		}
		if isBlank(text) {
			continue
		}
		t := xmpp.LangText{Lang: firstLang(p.Field("Content-Language")), Text: text}
		// Two texts in one language are alternatives too: only the last one counts.
		texts = slices.DeleteFunc(texts, func(x xmpp.LangText) bool { return x.Lang == t.Lang })
		texts = append(texts, t)
	}
	in.addText(texts...)
	if marked < 0 || len(texts) == 0 {
		return nil
	}
	p := &m.Parts[marked]
	_, charset := mediaTypeOf(p.Field("Content-Type"))
	doc, status := in.partText(p, charset)
	if status != nil {
		return status
	}
	if tree, text, rich := HTMLToXHTML([]byte(doc)); text != "" {
		in.markup(tree, firstLang(p.Field("Content-Language")), rich)
	}
	return nil
}

// partText decodes a part that holds text.
func (in *inbound) partText(p *multipart.Part, charset string) (string, *sip.Status) {
	body, status := decodeContent(p.Body, p.Field("Content-Encoding"))
	if status == nil {
		body, status = decodeTransfer(body, p.Field("Content-Transfer-Encoding"))
	}
	if status != nil {
		return "", status
	}
	return in.decodeCharset(body, charset)
}

func (in *inbound) isEmpty() bool {
	return len(in.bodies) == 0 && len(in.files) == 0 && len(in.reports) == 0 && in.state == ""
}

// messages builds the stanzas: notifications first, then text, then files, and a state only when it is alone.
func (in *inbound) messages() (msgs []*xmpp.Message) {
	for _, d := range in.reports {
		if m := notification(d, in.c, &in.loss); m != nil {
			msgs = append(msgs, in.carry(m))
		}
	}
	first := len(msgs)
	if len(in.bodies) > 0 {
		m := in.content()
		m.Bodies = in.bodies
		if len(in.bodies) == 1 {
			// The language of a lone text is that of the stanza (RFC 7572 §5).
			m.Lang, in.bodies[0].Lang = in.bodies[0].Lang, ""
		}
		if len(in.xhtml) > 0 {
			m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSXHTMLIM, "html").Add(in.xhtml...))
		}
		msgs = append(msgs, m)
	}
	for i := range in.files {
		m := in.content()
		m.Bodies = []xmpp.LangText{{Text: in.files[i].url}}
		m.Extensions = append(m.Extensions, in.files[i].extensions()...)
		msgs = append(msgs, m)
	}
	if len(msgs) == 0 && in.state != "" {
		return append(msgs, in.composing())
	}
	in.number(msgs, first)
	return msgs
}

// content starts a stanza with content: type, subject, thread, time.
func (in *inbound) content() *xmpp.Message {
	m := &xmpp.Message{From: in.from(), To: in.c.To, Type: in.c.Type}
	if m.Type == "" {
		m.Type = xmpp.MessageNormal
	}
	m.Thread, _ = CallIDToThread(sip.CallID(in.r))
	switch {
	case in.subject != "":
		m.Subjects = []xmpp.LangText{{Text: in.subject}}
	default:
		for _, s := range in.subjects {
			if text := cleanLine(s.Value, maxSubject); text != "" {
				m.Subjects = append(m.Subjects, xmpp.LangText{Lang: validLang(s.Lang), Text: text})
			}
		}
	}
	m.Extensions = make([]*xmpp.Element, 0, 4)
	if age := in.c.Now.Sub(in.sent); !in.sent.IsZero() && age > delayAfter && age < brokenClock {
		m.Extensions = append(m.Extensions, delayElement(in.sent, in.c.Component))
	}
	if sender, err := sip.FromOf(in.r); in.c.Nick && err == nil {
		if name := cleanLine(sender.Display, maxDisplay); name != "" {
			m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSNick, "nick").AddText(name))
		}
	}
	if in.c.States && m.Type == xmpp.MessageChat {
		m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSChatStates, "active"))
	}
	return in.carry(m)
}

// from is the sender: for a conference, who wrote the message.
func (in *inbound) from() xmpp.JID {
	if in.participant != "" {
		if j, err := in.c.From.WithResource(in.participant); err == nil {
			return j
		}
	}
	return in.c.From
}

// carry adds the count that ends loops.
func (in *inbound) carry(m *xmpp.Message) *xmpp.Message {
	if m.Type != xmpp.MessageError {
		m.Extensions = append(m.Extensions, hopsElement(in.hops-1))
	}
	return m
}

// number gives ids and the wishes for receipts. The first stanza with content, at index first, has the id of the
// SIP message, so a receipt for it is a receipt for the message; nobody on the SIP side knows the ids of the
// others. A message error keeps the id of the message that it is about.
func (in *inbound) number(msgs []*xmpp.Message, first int) {
	for i, m := range msgs {
		switch {
		case m.Type == xmpp.MessageError:
		case i != first:
			m.ID, _ = requestID("", in.r)
			if i > 0 {
				m.ID += "-" + strconv.Itoa(i+1)
			}
		default:
			var known bool
			if m.ID, known = requestID(in.want.MessageID, in.r); !known {
				continue
			}
			if in.want.Positive && m.Type != xmpp.MessageGroupchat { // XEP-0184 §5.3
				m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSReceipts, "request"))
			}
			if in.want.Display {
				m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSMarkers, "markable"))
			}
		}
	}
}

// composing is a standalone chat state (XEP-0085 §5.5): no body, and a thread only when threads are in use, which
// a Call-ID that the phone made up does not show.
func (in *inbound) composing() *xmpp.Message {
	m := &xmpp.Message{From: in.c.From, To: in.c.To, Type: xmpp.MessageChat}
	m.ID, _ = requestID("", in.r)
	if thread, ours := CallIDToThread(sip.CallID(in.r)); ours {
		m.Thread = thread
	}
	m.Extensions = []*xmpp.Element{
		xmpp.NewElement(xmpp.NSChatStates, in.state), xmpp.NewElement(xmpp.NSHints, "no-store"), hopsElement(in.hops - 1),
	}
	return m
}

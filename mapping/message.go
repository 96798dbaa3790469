package mapping

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/cpim"
	"github.com/stoxgate/stoxgate/sip/fthttp"
	"github.com/stoxgate/stoxgate/sip/iscomposing"
	"github.com/stoxgate/stoxgate/sip/multipart"
	"github.com/stoxgate/stoxgate/xmpp"
)

// ErrNothing says that a message has nothing that the other side could be told. It is no failure.
var ErrNothing = errors.New("mapping: nothing to send")

const (
	plainUTF8  = "text/plain;charset=UTF-8"
	htmlUTF8   = "text/html;charset=UTF-8"
	dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT" // SIP-date, RFC 3261 §25.1
	maxSubject = 512                             // bytes
	maxDisplay = 128                             // bytes of a display name
	// requestsPerSeq is how many CSeq numbers one outbox number is worth. CSeq has 31 bits (RFC 3261 §8.1.1.5)
	// and starts over after 33 million messages; the tag is another for every request, so none is mistaken.
	requestsPerSeq = 64
)

// PeerCaps is what the SIP peer is known to accept; the zero value is a phone that shows text/plain.
type PeerCaps struct {
	AcceptsCPIM         bool // message/cpim
	AcceptsIsComposing  bool // application/im-iscomposing+xml
	AcceptsIMDN         bool // message/imdn+xml; together with AcceptsCPIM receipts are asked for
	AcceptsFileTransfer bool // application/vnd.gsma.rcs-ft-http+xml
	AcceptsHTML         bool // text/html
	AcceptsMultipart    bool // multipart/alternative
	ShortText           int  // bytes of text that one request may carry to a peer like SMS; 0: no limit
}

// PeerCapsOf reads capabilities from the media types of an Accept header (RFC 3261 §20.1). Wildcards count for
// nothing: phones that send "*/*" show XML as text.
func PeerCapsOf(accept []string) (p PeerCaps) {
	for _, t := range accept {
		t, _, _ = strings.Cut(t, ";")
		switch strings.ToLower(strings.TrimSpace(t)) {
		case cpim.ContentType:
			p.AcceptsCPIM = true
		case iscomposing.ContentType:
			p.AcceptsIsComposing = true
		case "message/imdn+xml":
			p.AcceptsIMDN = true
		case fthttp.ContentType:
			p.AcceptsFileTransfer = true
		case "text/html":
			p.AcceptsHTML = true
		case "multipart/alternative", "multipart/*":
			p.AcceptsMultipart = true
		}
	}
	return p
}

// Union is what either set accepts; of two limits for short texts the first counts.
func (p PeerCaps) Union(q PeerCaps) PeerCaps {
	p.AcceptsCPIM = p.AcceptsCPIM || q.AcceptsCPIM
	p.AcceptsIsComposing = p.AcceptsIsComposing || q.AcceptsIsComposing
	p.AcceptsIMDN = p.AcceptsIMDN || q.AcceptsIMDN
	p.AcceptsFileTransfer = p.AcceptsFileTransfer || q.AcceptsFileTransfer
	p.AcceptsHTML = p.AcceptsHTML || q.AcceptsHTML
	p.AcceptsMultipart = p.AcceptsMultipart || q.AcceptsMultipart
	if p.ShortText == 0 {
		p.ShortText = q.ShortText
	}
	return p
}

// MessageContext is what MessageToRequests cannot find out itself.
type MessageContext struct {
	From, To    sip.NameAddr // both parties as SIP sees them; parameters of the fields are ignored
	RequestURI  sip.URI      // zero: that of To
	Host        string       // our own host, the right side of Call-IDs
	Seq         uint64       // number of the message in the outbox; CSeq, tags and ids are made from it
	Now         time.Time    // when the message was taken, not when it is sent again
	Sent        time.Time    // for receipts: when the SIP message that they are about was sent; zero: Now
	Peer        PeerCaps
	MaxForwards int // of a message that brings no count of its own; 0: 70
}

func (c *MessageContext) hops() int {
	if c.MaxForwards > 0 {
		return c.MaxForwards
	}
	return maxForwards
}

func (c *MessageContext) to() sip.NameAddr {
	if c.To.URI.IsZero() {
		return sip.NameAddr{URI: c.RequestURI}
	}
	return c.To
}

// MessageToRequests maps a message stanza to MESSAGE requests (RFC 7572 §4): one in most cases; more for a long
// text to a short-text peer, for a file with text, for a receipt that comes with a body. The requests go out in
// order. loss tells in short English phrases what could not be carried.
//
// The error is ErrNothing when there is nothing to send, or a *xmpp.StanzaError for the sender. The same
// message and context give the same bytes.
func MessageToRequests(m *xmpp.Message, c MessageContext) (reqs []*sip.Request, loss []string, err error) {
	switch m.Type {
	case xmpp.MessageError:
		// Never a request (RFC 6120 §8.3.1); whoever waits for it has to look at errors himself.
		return nil, nil, ErrNothing
	case xmpp.MessageGroupchat:
		// RFC 6121 §8.5.2: nobody but a group chat takes these.
		return nil, nil, stanzaError(xmpp.ConditionServiceUnavailable, textNoGroup)
	}
	o := outbound{m: m, c: &c, hops: c.hops()}
	if err := o.scan(); err != nil {
		return nil, nil, err
	}
	if err := o.content(); err != nil {
		return nil, o.loss, err
	}
	if len(o.reqs) == 0 {
		return nil, o.loss, ErrNothing
	}
	return o.reqs, o.loss, nil
}

// outbound is one stanza on its way to SIP.
type outbound struct {
	m    *xmpp.Message
	c    *MessageContext
	reqs []*sip.Request
	loss []string

	// Found by scan.
	wantReceipt, wantMarker bool
	receipts                []*xmpp.Element
	state                   string
	xhtml                   *xmpp.Element
	corrected, retracted    bool
	replied                 bool
	hasFile                 bool
	sentence                string // what stands in for a body
	fallbacks               []*xmpp.Element
	delay                   time.Time
	expires                 int // seconds
	nick                    string
	hops                    int

	subjects []xmpp.LangText // for an envelope, when there are several
	callID   string
	fromTag  uint64
}

// scan goes through the extensions once.
func (o *outbound) scan() error {
	worst, scheme, keys := unencrypted, "", false
	for _, e := range o.m.Extensions {
		if isCopy(e) {
			return ErrNothing
		}
		if s, name := encryption(e); s != unencrypted {
			keys = keys || s == keyOnly
			if s > worst {
				worst, scheme = s, name
			}
			continue
		}
		if s := chatState(e); s != "" {
			o.state = s
			continue
		}
		o.extension(e)
	}
	if o.m.Type == xmpp.MessageHeadline {
		// messages.md §1: a headline is read and forgotten.
		o.wantReceipt, o.wantMarker, o.state = false, false, ""
	}
	if o.m.ID == "" || len(o.m.ID) > maxID {
		o.wantReceipt, o.wantMarker = false, false // XEP-0184 §5.1: no id, no receipt
	}
	switch {
	case keys && worst < ciphertext && (worst == marked || len(o.m.Bodies) == 0):
		return ErrNothing
	case worst >= marked:
		return stanzaError(xmpp.ConditionNotAcceptable, scheme+": "+textEncrypted)
	}
	for _, b := range o.m.Bodies {
		if isOTR(b.Text) {
			return stanzaError(xmpp.ConditionNotAcceptable, "OTR: "+textEncrypted)
		}
	}
	if o.hops < 1 {
		e := StatusToStanzaError(sip.Status{Code: 483, Reason: reasonTooFar})
		e.Text = textTooFar
		return &e
	}
	return nil
}

func (o *outbound) extension(e *xmpp.Element) {
	name := e.Name.Local
	switch e.Name.Space {
	case xmpp.NSReceipts:
		switch name {
		case "request":
			o.wantReceipt = true
		case "received":
			o.receipts = append(o.receipts, e)
		}
	case xmpp.NSMarkers:
		switch name {
		case "markable":
			o.wantMarker = true
		case "received", "displayed", "acknowledged":
			o.receipts = append(o.receipts, e)
		}
	case xmpp.NSXHTMLIM:
		if name == "html" {
			o.xhtml = e
		}
	case xmpp.NSCorrect:
		o.corrected = o.corrected || name == "replace"
	case xmpp.NSRetract, xmpp.NSRetract0:
		if name == "retract" {
			o.retracted, o.sentence = true, textRetracted
		}
	case xmpp.NSFasten: // XEP-0424 before version 0.4
		if e.Child(xmpp.NSRetract0, "retract") != nil {
			o.retracted, o.sentence = true, textRetracted
		}
	case xmpp.NSReactions:
		if name == "reactions" {
			if o.sentence = reactionText(e); o.sentence == "" {
				o.lose("reactions: withdrawn")
			}
		}
	case xmpp.NSConference:
		if name == "x" && len(o.m.Bodies) == 0 {
			o.sentence = inviteText(e)
		}
	case xmpp.NSReply:
		o.replied = o.replied || name == "reply"
	case xmpp.NSFallback:
		if name == "fallback" {
			o.fallbacks = append(o.fallbacks, e)
		}
	case xmpp.NSFileSharing, xmpp.NSReference, xmpp.NSOOB:
		o.hasFile = true
	case xmpp.NSDelay:
		if name == "delay" {
			if t, err := time.Parse(time.RFC3339, e.Attribute("stamp")); err == nil && t.Before(o.c.Now) {
				o.delay = t
			}
		}
	case xmpp.NSEphemeral:
		if n, err := strconv.ParseUint(e.Attribute("timer"), 10, 31); err == nil && name == "ephemeral" && n > 0 {
			o.expires = int(n)
		}
	case xmpp.NSNick:
		o.nick = e.Text()
	case xmpp.NSSHIM:
		if n, ok := hopsOf(e); ok && name == "headers" {
			o.hops = min(o.hops, n)
		}
	case xmpp.NSSigned:
		o.lose("signature: XEP-0027")
	}
}

func (o *outbound) lose(what string) { lose(&o.loss, what) }

// sentAt is the time of the message as its sender knows it.
func (o *outbound) sentAt() time.Time {
	if !o.delay.IsZero() {
		return o.delay
	}
	return o.c.Now
}

func (o *outbound) display() string {
	if o.c.From.Display != "" {
		return o.c.From.Display
	}
	return o.nick
}

// content builds the requests: receipts first, for they are about what was before; then text, then files.
func (o *outbound) content() error {
	for _, e := range o.receipts {
		if kind, status, id, ok := ReceiptToIMDN(e); ok {
			if err := o.report(id, kind, status); err != nil && !errors.Is(err, ErrNothing) {
				return err
			} else if err != nil {
				o.lose("receipt: the peer takes none")
			}
		}
	}
	bodies, files := o.texts()
	var text, lang string
	if best := textIn(bodies, o.m.Lang); best >= 0 {
		text, lang = bodies[best].Text, langOf(bodies[best], o.m.Lang)
		// The best one goes last: RFC 2046 §5.1.4 wants the richest alternative there.
		bodies[best], bodies[len(bodies)-1] = bodies[len(bodies)-1], bodies[best]
	}
	switch {
	case text == "" && len(files) == 0:
		switch {
		case len(o.reqs) > 0:
			return nil
		case slices.Contains(o.loss, lostFile):
			// Nothing at all would arrive, and the sender would not know.
			return stanzaError(xmpp.ConditionNotAcceptable, textLostFile)
		case len(o.m.Subjects) > 0:
			o.lose("subject: there is no text with it")
		}
		return o.composing()
	case text != "":
		if err := o.text(text, lang, bodies, len(files) == 0); err != nil {
			return err
		}
	}
	for i, f := range files {
		if err := o.send(fthttp.ContentType, f.document(o.c.Now).Append(nil), "", i == len(files)-1); err != nil {
			return err
		}
	}
	return nil
}

// composing sends a state that stands alone.
func (o *outbound) composing() error {
	d, ok := ChatStateToComposing(o.state)
	if !ok {
		return nil
	}
	if !o.c.Peer.AcceptsIsComposing {
		o.lose("chat state: the peer takes none")
		return nil
	}
	return o.add(iscomposing.ContentType, d.Append(nil), "")
}

// texts are the bodies as SIP should show them, without the empty ones, and the files that go in a form of
// their own. The returned slice may be reordered.
func (o *outbound) texts() (bodies []xmpp.LangText, files []file) {
	plain := o.sentence == "" && !o.corrected && !o.hasFile && !o.retracted
	for _, b := range o.m.Bodies {
		if !isBlank(b.Text) {
			if len(o.m.Bodies) == 1 && plain {
				if o.replied && len(o.fallbacks) == 0 {
					o.lose("reply: the quoted message")
				}
				return o.m.Bodies, nil
			}
			bodies = append(bodies, b)
		}
	}
	if len(bodies) == 0 && o.xhtml != nil { // XEP-0071 §4 wants a body too, but not every client writes one
		if _, text, _ := XHTMLToHTML(o.xhtml.Child(xmpp.NSXHTML, "body")); text != "" {
			bodies = append(bodies, xmpp.LangText{Lang: o.m.Lang, Text: text})
		}
	}
	if o.hasFile {
		bodies, files = o.withFiles(bodies)
	}
	if o.replied && len(o.fallbacks) == 0 {
		o.lose("reply: the quoted message")
	}
	switch {
	case o.retracted, o.sentence != "" && o.standsAlone(bodies):
		return []xmpp.LangText{{Text: o.sentence}}, files
	case o.corrected:
		for i := range bodies {
			bodies[i].Text = correctionMark + bodies[i].Text
		}
	}
	return bodies, files
}

// standsAlone reports whether the bodies only repeat what the sentence says.
func (o *outbound) standsAlone(bodies []xmpp.LangText) bool {
	if len(bodies) == 0 {
		return true
	}
	_, whole := fallbackRegions(o.fallbacks, xmpp.NSReactions)
	return whole
}

// withFiles takes the text that stands in for files out of the bodies. Files that the peer cannot be told about
// otherwise become lines of text.
func (o *outbound) withFiles(bodies []xmpp.LangText) ([]xmpp.LangText, []file) {
	files := sharedFiles(o.m.Extensions, &o.loss)
	if len(files) == 0 {
		return bodies, nil
	}
	regions, whole := fallbackRegions(o.fallbacks, xmpp.NSFileSharing, xmpp.NSSIMS, xmpp.NSReference, xmpp.NSOOB)
	var rest []xmpp.LangText
	for _, b := range bodies {
		if whole {
			break
		}
		b.Text = strings.TrimSpace(without(b.Text, regions))
		onlyURL := false
		for i := range files {
			onlyURL = onlyURL || b.Text == files[i].url
		}
		if b.Text != "" && !onlyURL {
			rest = append(rest, b)
		}
	}
	var lines []string
	var own []file
	for _, f := range files {
		described := f
		described.describe()
		// A bare link is a file only if it looks like one.
		if o.c.Peer.AcceptsFileTransfer && (f.declared || described.mediaType != "") {
			own = append(own, f)
			continue
		}
		if shown(rest, f.url) {
			continue
		}
		lines = append(lines, f.line())
	}
	if len(lines) > 0 {
		text := strings.Join(lines, "\n")
		if len(rest) == 0 {
			rest = []xmpp.LangText{{Lang: o.m.Lang, Text: text}}
		} else {
			for i := range rest {
				rest[i].Text += "\n" + text
			}
		}
	}
	return rest, own
}

func shown(bodies []xmpp.LangText, url string) bool {
	for _, b := range bodies {
		if strings.Contains(b.Text, url) {
			return true
		}
	}
	return false
}

// text sends the text in the richest form that the peer takes. last tells whether it ends the message.
func (o *outbound) text(text, lang string, bodies []xmpp.LangText, last bool) error {
	p := &o.c.Peer
	if p.ShortText > 0 && len(text) > p.ShortText {
		pieces, ok := SplitText(text, p.ShortText)
		if !ok {
			return stanzaError(xmpp.ConditionPolicyViolation, "the message is too long for this recipient")
		}
		for i, piece := range pieces {
			if err := o.send(plainUTF8, []byte(piece), lang, last && i == len(pieces)-1); err != nil {
				return err
			}
		}
		o.loseAlternatives(bodies)
		return nil
	}
	if len(bodies) == 1 && o.xhtml == nil {
		return o.send(plainUTF8, []byte(text), lang, last)
	}
	var doc []byte
	if o.xhtml != nil && !o.corrected && o.sentence == "" {
		if p.AcceptsHTML && p.ShortText == 0 {
			doc = o.html(lang)
		} else {
			o.lose("markup: the peer takes no text/html")
		}
	}
	switch {
	case p.AcceptsMultipart && p.ShortText == 0 && (len(bodies) > 1 || doc != nil):
		return o.alternatives(bodies, doc, lang, last)
	case doc != nil:
		o.loseAlternatives(bodies)
		return o.send(htmlUTF8, doc, lang, last)
	}
	o.loseAlternatives(bodies)
	return o.send(plainUTF8, []byte(text), lang, last)
}

func (o *outbound) loseAlternatives(bodies []xmpp.LangText) {
	if len(bodies) > 1 {
		o.lose("languages: all bodies but one")
	}
}

// html is the marked-up body in the language of the text, nil when it says no more than the text.
func (o *outbound) html(lang string) []byte {
	var body *xmpp.Element
	for b := range o.xhtml.Elements() {
		if b.Is(xmpp.NSXHTML, "body") && (body == nil || lang != "" && b.AttributeNS(xmpp.NSXML, "lang") == lang) {
			body = b
		}
	}
	if body == nil {
		return nil
	}
	doc, text, marked := XHTMLToHTML(body)
	if !marked || text == "" {
		return nil
	}
	return doc
}

func (o *outbound) alternatives(bodies []xmpp.LangText, doc []byte, lang string, last bool) error {
	m := multipart.Message{Subtype: "alternative"}
	add := func(contentType string, body []byte, lang string) {
		p := multipart.Part{Fields: []multipart.Field{{Name: "Content-Type", Value: contentType}}, Body: body}
		if lang != "" {
			p.Fields = append(p.Fields, multipart.Field{Name: "Content-Language", Value: lang})
		}
		m.Parts = append(m.Parts, p)
	}
	for _, b := range bodies {
		add(plainUTF8, []byte(b.Text), langOf(b, o.m.Lang))
	}
	if doc != nil {
		add(htmlUTF8, doc, lang)
	}
	m.Boundary = multipart.NewBoundary("alt-"+strconv.FormatUint(o.c.Seq, 36), m.Parts)
	return o.send(m.ContentType(), m.Append(nil), "", last)
}

// send adds the request for content. The last one of a stanza asks for what its sender wants to know, so that
// one message gets one receipt.
func (o *outbound) send(contentType string, body []byte, lang string, last bool) error {
	if !last || !o.wantReceipt && !o.wantMarker {
		return o.add(contentType, body, lang)
	}
	if !o.c.Peer.AcceptsCPIM || !o.c.Peer.AcceptsIMDN {
		o.lose("receipt: the peer gives none")
		return o.add(contentType, body, lang)
	}
	id, _ := stanzaToMessageID(o.m.ID)
	if len(o.m.Subjects) > 1 {
		o.subjects = o.m.Subjects
	}
	return o.add(cpim.ContentType, o.wrap(contentType, body, lang, id), "")
}

// add builds one MESSAGE (RFC 3428 §4): no Contact, Via is up to the transport.
func (o *outbound) add(contentType string, body []byte, lang string) error {
	n := len(o.reqs)
	if n == requestsPerSeq {
		return stanzaError(xmpp.ConditionPolicyViolation, "the message has too many parts")
	}
	to := o.c.to()
	ruri := o.c.RequestURI
	if ruri.IsZero() {
		ruri = to.URI
	}
	if o.callID == "" {
		o.identify(to)
	}
	r := sip.NewRequest(sip.MESSAGE, ruri)
	sip.SetMaxForwards(r, o.hops)
	var tag [13]byte
	sip.SetFrom(r, sip.NameAddr{
		Display: cleanLine(o.display(), maxDisplay), URI: o.c.From.URI,
		Params: sip.Params{{Name: "tag", Value: string(appendHash(tag[:0], o.fromTag+uint64(n)*0x9E3779B97F4A7C15, 13))}},
	})
	sip.SetTo(r, sip.NameAddr{Display: to.Display, URI: to.URI})
	sip.SetCallID(r, o.callID)
	sip.SetCSeq(r, uint32((o.c.Seq*requestsPerSeq+uint64(n)+1)&0x7fffffff), sip.MESSAGE)
	if o.m != nil {
		if err := o.headers(r); err != nil {
			return err
		}
	}
	if lang != "" {
		if err := sip.Add(r, "Content-Language", lang); err != nil {
			return stanzaError(xmpp.ConditionInternalServerError, "the message cannot be written in SIP")
		}
	}
	if err := sip.SetBody(r, contentType, body); err != nil {
		return stanzaError(xmpp.ConditionInternalServerError, "the message cannot be written in SIP")
	}
	o.reqs = append(o.reqs, r)
	return nil
}

// identify makes what names the requests of this stanza: from the outbox number and the addresses, never from
// the time, so that a message that is sent again after a crash is the same message.
func (o *outbound) identify(to sip.NameAddr) {
	var room [96]byte
	pair := fnvBytes(fnvStart, o.c.From.URI.AOR().Append(room[:0]))
	pair = fnvBytes(fnv(pair, "\x00"), to.URI.AOR().Append(room[:0]))
	thread, id := "", ""
	if o.m != nil {
		thread, id = o.m.Thread, o.m.ID
	}
	o.callID = callIDOf(thread, pair, o.c.Host, o.c.Seq)
	o.fromTag = (fnv(fnv(pair, o.c.Host), id) ^ o.c.Seq) * 0x9E3779B97F4A7C15
}

// madeID is an imdn.Message-ID for a request that has no stanza id, such as a notification.
func (o *outbound) madeID() string {
	if o.callID == "" {
		o.identify(o.c.to())
	}
	return string(appendHash([]byte(madeID), o.fromTag+uint64(len(o.reqs))*0x9E3779B97F4A7C15, 13))
}

// headers writes what comes from the stanza: Subject, and the two about time.
func (o *outbound) headers(r *sip.Request) error {
	var subject string
	if best := textIn(o.m.Subjects, o.m.Lang); best >= 0 {
		subject = cleanLine(o.m.Subjects[best].Text, maxSubject)
	}
	if subject != "" {
		if err := sip.Add(r, "Subject", subject); err != nil {
			o.lose("subject: characters that SIP does not allow")
		}
	}
	if !o.delay.IsZero() {
		r.AppendHeader(sip.MustHeader("Date", o.delay.UTC().Format(dateFormat)))
	}
	if o.expires > 0 {
		r.AppendHeader(sip.MustHeader("Expires", strconv.Itoa(o.expires)))
	}
	return nil
}

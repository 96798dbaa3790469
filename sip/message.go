package sip

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	siplib "github.com/emiago/sipgo/sip"
)

// sipgo's message types under our name.
type (
	Message  = siplib.Message
	Request  = siplib.Request
	Response = siplib.Response
	Header   = siplib.Header
	Via      = siplib.ViaHeader
	Method   = siplib.RequestMethod
)

// Methods.
const (
	INVITE    = siplib.INVITE
	ACK       = siplib.ACK
	CANCEL    = siplib.CANCEL
	BYE       = siplib.BYE
	REGISTER  = siplib.REGISTER
	OPTIONS   = siplib.OPTIONS
	SUBSCRIBE = siplib.SUBSCRIBE
	NOTIFY    = siplib.NOTIFY
	REFER     = siplib.REFER
	INFO      = siplib.INFO
	MESSAGE   = siplib.MESSAGE
	PRACK     = siplib.PRACK
	UPDATE    = siplib.UPDATE
	PUBLISH   = siplib.PUBLISH
)

// ErrHeader tells that a header name or value may not be sent.
var ErrHeader = errors.New("sip: illegal header")

// NewRequest starts a request: Request-Line only. The Via, and a Max-Forwards of
// 70 when there is none, are added by the one who sends it.
func NewRequest(method Method, ruri URI) *Request {
	return siplib.NewRequest(method, ruri.Lib())
}

// NewResponse builds the answer to req (RFC 3261 §8.2.6): Via, From, To, Call-ID
// and CSeq as they came, Record-Route where a dialog may start. The tag is put
// into To when there is none and the code is not 100. Headers of s whose value
// may not be sent are left out.
func NewResponse(req *Request, s Status, tag string) *Response {
	res := siplib.NewResponse(s.Code, oneLine(s.Phrase()))
	eachResponseHeader(req, s, tag, res.AppendHeader)
	attachBody(res, s.Body)
	return res
}

// WriteResponse writes what NewResponse builds, for those who need only the bytes.
func WriteResponse(w *Writer, req *Request, s Status, tag string) {
	w.StatusLine(s.Code, oneLine(s.Phrase()))
	eachResponseHeader(req, s, tag, w.Header)
}

// eachResponseHeader gives the headers of a response but for Content-Length.
func eachResponseHeader(req *Request, s Status, tag string, add func(Header)) {
	dialog := s.Code > 100 && s.Code < 300 && (req.Method == INVITE || req.Method == SUBSCRIBE || req.Method == REFER || req.Method == NOTIFY)
	for _, h := range req.Headers() {
		switch fieldOf(h) {
		case viaField, fromField, callIDField, cseqField:
			add(h)
		case toField:
			to, ok := h.(*siplib.ToHeader)
			if !ok || s.Code == 100 || tag == "" || to.Params.Has("tag") {
				add(h)
				continue
			}
			own := &siplib.ToHeader{DisplayName: to.DisplayName, Address: to.Address}
			own.Params = append(make(siplib.HeaderParams, 0, len(to.Params)+1), to.Params...)
			own.Params = append(own.Params, siplib.HeaderKV{K: "tag", V: tag})
			add(own)
		case recordRouteField:
			if dialog {
				add(h)
			}
		case timestampField:
			if s.Code == 100 {
				add(h)
			}
		}
	}
	for _, h := range s.Headers {
		if checkHeader(h.Name(), h.Value()) == nil {
			add(h)
		}
	}
	if s.RetryAfter > 0 {
		secs := (s.RetryAfter + time.Second - 1) / time.Second
		add(siplib.NewHeader("Retry-After", strconv.FormatInt(int64(secs), 10)))
	}
}

// oneLine makes a reason phrase safe.
func oneLine(s string) string {
	for i := range len(s) {
		if isControl(s[i]) {
			b := []byte(s)
			for i, c := range b {
				if isControl(c) {
					b[i] = ' '
				}
			}
			return string(b)
		}
	}
	return s
}

// attachBody is SetBody of a message that has no Content-Length yet; sipgo would
// look for one among all headers, by name.
func attachBody(msg Message, body []byte) {
	n := siplib.ContentLengthHeader(len(body))
	msg.AppendHeader(&n)
	msg.SetBody(body)
}

// NewHeader makes a header of any name. A name that is no token and a value with
// a control character are refused with ErrHeader.
func NewHeader(name, value string) (Header, error) {
	if err := checkHeader(name, value); err != nil {
		return nil, err
	}
	return siplib.NewHeader(name, value), nil
}

// MustHeader is NewHeader for constants; it panics.
func MustHeader(name, value string) Header {
	h, err := NewHeader(name, value)
	if err != nil {
		panic(err)
	}
	return h
}

func checkHeader(name, value string) error {
	if !isToken(name) {
		return fmt.Errorf("%w: name %q", ErrHeader, clip(name))
	}
	for i := range len(value) {
		if isControl(value[i]) {
			return fmt.Errorf("%w: control character in %s", ErrHeader, name)
		}
	}
	return nil
}

// NewContact makes a Contact header.
func NewContact(n NameAddr) Header { return siplib.NewHeader("Contact", n.String()) }

// Set replaces every header of that name by h, which takes the place of the
// first, or appends h.
func Set(msg Message, h Header) {
	data := dataOf(msg)
	old := headersNamed(data.Headers(), h.Name())
	if len(old) == 0 {
		data.AppendHeader(h)
		return
	}
	for _, x := range old[1:] {
		data.RemoveHeader(x.Name())
	}
	if left := headersNamed(data.Headers(), h.Name()); len(left) == 1 && left[0].Name() == h.Name() {
		data.ReplaceHeader(h)
		return
	}
	Remove(msg, h.Name())
	data.AppendHeader(h)
}

// Remove deletes every header of that name, in its long and its compact form.
func Remove(msg Message, name string) {
	data := dataOf(msg)
	for _, x := range headersNamed(data.Headers(), name) {
		data.RemoveHeader(x.Name())
	}
}

func dataOf(msg Message) *siplib.MessageData {
	switch m := msg.(type) {
	case *Request:
		return &m.MessageData
	case *Response:
		return &m.MessageData
	}
	panic("sip: neither request nor response") // there is no third kind
}

func headersNamed(list []Header, name string) (found []Header) {
	for _, h := range list {
		if sameName(h.Name(), name) {
			found = append(found, h)
		}
	}
	return found
}

// SetFrom sets From; the text of n is escaped, so nothing in it can become a
// header of its own.
func SetFrom(msg Message, n NameAddr) {
	Set(msg, &siplib.FromHeader{DisplayName: libDisplay(n.Display), Address: n.URI.Lib(), Params: libHeaderParams(n.Params)})
}

// SetTo is described at SetFrom.
func SetTo(msg Message, n NameAddr) {
	Set(msg, &siplib.ToHeader{DisplayName: libDisplay(n.Display), Address: n.URI.Lib(), Params: libHeaderParams(n.Params)})
}

// SetDialogHeaders sets From, To, Call-ID and CSeq of a request. A From without a
// tag gets one that is derived from the Call-ID, so that the same request is built
// the same way twice.
func SetDialogHeaders(req *Request, from, to NameAddr, callID string, cseq uint32) {
	if from.Tag() == "" {
		sum := sha256.Sum256([]byte(callID))
		from.Params = append(from.Params.Clone(), Param{"tag", hex.EncodeToString(sum[:8])})
	}
	SetFrom(req, from)
	SetTo(req, to)
	SetCallID(req, callID)
	SetCSeq(req, cseq, req.Method)
}

// SetContact is described at SetFrom.
func SetContact(msg Message, n NameAddr) { Set(msg, NewContact(n)) }

// libDisplay is the text that sipgo puts between two quotes as it stands.
func libDisplay(s string) string {
	if s == "" {
		return ""
	}
	return string(appendQuotedInner(nil, s))
}

// libHeaderParams: sipgo writes header parameter values as they stand, but puts
// quotes around those with a blank. So a value that needs quotes is handed over
// with them, and one that has a blank without them; both with quoted-pairs.
func libHeaderParams(p Params) siplib.HeaderParams {
	if len(p) == 0 {
		return nil
	}
	l := make(siplib.HeaderParams, len(p))
	for i, x := range p {
		v := x.Value
		switch {
		case v == "" || isTokenOrHost(v):
		case strings.ContainsAny(v, " \t"):
			v = string(appendQuotedInner(nil, v))
		default:
			v = string(appendQuoted(nil, v))
		}
		l[i] = siplib.HeaderKV{K: keep(x.Name, tokenChars), V: v}
	}
	return l
}

// requoteLib brings parameters that sipgo has read into the form that it writes.
func requoteLib(p siplib.HeaderParams) {
	for i := range p {
		p[i].K, p[i].V = strings.TrimSpace(p[i].K), strings.TrimSpace(p[i].V)
		if v := p[i].V; len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' && strings.ContainsAny(v, " \t") {
			p[i].V = v[1 : len(v)-1]
		}
	}
}

// SetCallID sets the Call-ID; characters outside "word" and "@" are dropped.
func SetCallID(msg Message, id string) {
	h := siplib.CallIDHeader(keep(id, wordChars))
	Set(msg, &h)
}

// SetCSeq sets the CSeq.
func SetCSeq(msg Message, n uint32, method Method) {
	Set(msg, &siplib.CSeqHeader{SeqNo: n, MethodName: method})
}

// SetMaxForwards sets Max-Forwards, 0–255.
func SetMaxForwards(msg Message, n int) {
	h := siplib.MaxForwardsHeader(min(max(n, 0), 255))
	Set(msg, &h)
}

// SetBody sets the body with its Content-Type and Content-Length. An empty type
// removes the Content-Type. The type is refused with ErrHeader when it may not
// be sent.
func SetBody(msg Message, contentType string, body []byte) error {
	if contentType == "" {
		Remove(msg, "Content-Type")
	} else {
		if err := checkHeader("Content-Type", contentType); err != nil {
			return err
		}
		h := siplib.ContentTypeHeader(contentType)
		Set(msg, &h)
	}
	msg.SetBody(body)
	return nil
}

// Add appends a header of any name; see NewHeader.
func Add(msg Message, name, value string) error {
	h, err := NewHeader(name, value)
	if err != nil {
		return err
	}
	msg.AppendHeader(h)
	return nil
}

// RequestURI is the Request-URI.
func RequestURI(req *Request) URI { return FromLib(req.Recipient) }

// FromOf is the From field; ErrNameAddr when there is none that can be read.
func FromOf(msg Message) (NameAddr, error) {
	h := msg.From()
	if h == nil || !readable(&h.Address) {
		return NameAddr{}, fmt.Errorf("%w: From", ErrNameAddr)
	}
	return NameAddr{Display: unquotePairs(h.DisplayName), URI: FromLib(h.Address), Params: fromLibParams(h.Params, false)}, nil
}

// ToOf is the To field; ErrNameAddr when there is none that can be read.
func ToOf(msg Message) (NameAddr, error) {
	h := msg.To()
	if h == nil || !readable(&h.Address) {
		return NameAddr{}, fmt.Errorf("%w: To", ErrNameAddr)
	}
	return NameAddr{Display: unquotePairs(h.DisplayName), URI: FromLib(h.Address), Params: fromLibParams(h.Params, false)}, nil
}

// AssertedIdentity is the P-Asserted-Identity that names the caller, the sip: or
// sips: one before the tel: one (RFC 3325 §9.1). Whether the peer may assert
// anything is for the caller to know.
func AssertedIdentity(msg Message) (NameAddr, bool) {
	list, err := NameAddrs(msg, "P-Asserted-Identity")
	if err != nil || len(list) == 0 {
		return NameAddr{}, false
	}
	for _, n := range list {
		if n.URI.IsSIP() {
			return n, true
		}
	}
	return list[0], true
}

// FromTag is the tag of From, "" when absent.
func FromTag(msg Message) string {
	if h := msg.From(); h != nil {
		return libTag(h.Params)
	}
	return ""
}

// ToTag is the tag of To, "" when absent.
func ToTag(msg Message) string {
	if h := msg.To(); h != nil {
		return libTag(h.Params)
	}
	return ""
}

func libTag(p siplib.HeaderParams) string {
	for i := range p {
		if strings.EqualFold(strings.TrimSpace(p[i].K), "tag") {
			return strings.TrimSpace(p[i].V)
		}
	}
	return ""
}

// CallID is the Call-ID, "" when absent.
func CallID(msg Message) string {
	if h := msg.CallID(); h != nil {
		return string(*h)
	}
	return ""
}

// CSeq is the number and the method of CSeq; the method is empty when absent.
func CSeq(msg Message) (uint32, Method) {
	if h := msg.CSeq(); h != nil {
		return h.SeqNo, h.MethodName
	}
	return 0, ""
}

// MaxForwards is the value of Max-Forwards, -1 when absent or unreadable.
func MaxForwards(req *Request) int {
	if h := req.MaxForwards(); h != nil {
		return int(*h)
	}
	return -1
}

// ContentType is the Content-Type as it stands, "" when absent.
func ContentType(msg Message) string { return Value(msg, "Content-Type") }

// Contacts reads all Contact fields; star tells the "*" of a REGISTER.
func Contacts(msg Message) (list []NameAddr, star bool, err error) {
	for _, v := range Values(msg, "Contact") {
		if strings.TrimSpace(v) == "*" {
			star = true
			continue
		}
		n, err := ParseNameAddrs(v)
		if err != nil {
			return nil, false, err
		}
		list = append(list, n...)
	}
	return list, star, nil
}

// NameAddrs reads all fields of that name as one list: Route, Record-Route,
// Path, Service-Route, P-Asserted-Identity …
func NameAddrs(msg Message, name string) (list []NameAddr, err error) {
	for _, v := range Values(msg, name) {
		n, err := ParseNameAddrs(v)
		if err != nil {
			return nil, err
		}
		list = append(list, n...)
	}
	return list, nil
}

// Reasons reads the Reason fields (RFC 3326); what cannot be read is left out.
func Reasons(msg Message) (list []Reason) {
	for _, v := range Values(msg, "Reason") {
		if r, err := ParseReasons(v); err == nil {
			list = append(list, r...)
		}
	}
	return list
}

// Value is the value of the first header of that name, long or compact, "" when
// there is none.
func Value(msg Message, name string) string {
	for _, h := range dataOf(msg).Headers() {
		if sameName(h.Name(), name) {
			return h.Value()
		}
	}
	return ""
}

// Values are the values of all headers of that name, one per line.
func Values(msg Message, name string) (list []string) {
	for _, h := range dataOf(msg).Headers() {
		if sameName(h.Name(), name) {
			list = append(list, h.Value())
		}
	}
	return list
}

// Tokens reads all headers of that name as one comma-separated list: Require,
// Supported, Allow, Accept …
func Tokens(msg Message, name string) (list []string) {
	for _, v := range Values(msg, name) {
		for v != "" {
			var t string
			t, v, _ = strings.Cut(v, ",")
			if t = strings.TrimSpace(t); t != "" {
				list = append(list, t)
			}
		}
	}
	return list
}

// HasToken tells whether one of Tokens is that token, without case.
func HasToken(msg Message, name, token string) bool {
	for _, t := range Tokens(msg, name) {
		if strings.EqualFold(t, token) {
			return true
		}
	}
	return false
}

// MediaTypeIs tells whether a Content-Type value is that media type ("text/plain"),
// whatever its parameters.
func MediaTypeIs(value, mediaType string) bool {
	value, _, _ = strings.Cut(value, ";")
	return strings.EqualFold(strings.TrimSpace(value), mediaType)
}

// sameName compares header names: without case, and a compact form with its long
// one (RFC 3261 §7.3.1, §7.3.3).
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	if len(a) == 1 {
		a = longName(a)
	}
	if len(b) == 1 {
		b = longName(b)
	}
	return len(a) == len(b) && strings.EqualFold(a, b)
}

func longName(name string) string {
	if long, ok := compactNames[name[0]|0x20]; ok {
		return long
	}
	return name
}

// field is a number for the names that are looked at for every message.
type field uint8

const (
	otherField field = iota
	viaField
	fromField
	toField
	callIDField
	cseqField
	maxForwardsField
	contentLengthField
	contentTypeField
	recordRouteField
	timestampField
	retryAfterField
)

// fieldOf finds the number of a header. sipgo's own types need no look at the name.
func fieldOf(h Header) field {
	switch h.(type) {
	case *siplib.ViaHeader:
		return viaField
	case *siplib.FromHeader:
		return fromField
	case *siplib.ToHeader:
		return toField
	case *siplib.CallIDHeader:
		return callIDField
	case *siplib.CSeqHeader:
		return cseqField
	case *siplib.MaxForwardsHeader:
		return maxForwardsField
	case *siplib.ContentLengthHeader:
		return contentLengthField
	case *siplib.ContentTypeHeader:
		return contentTypeField
	}
	name := h.Name()
	if len(name) == 1 {
		name = longName(name)
	}
	for _, f := range fieldNames {
		if len(f.name) == len(name) && strings.EqualFold(f.name, name) {
			return f.field
		}
	}
	return otherField
}

var fieldNames = [...]struct {
	name  string
	field field
}{
	{"via", viaField},
	{"from", fromField},
	{"to", toField},
	{"call-id", callIDField},
	{"cseq", cseqField},
	{"max-forwards", maxForwardsField},
	{"content-length", contentLengthField},
	{"content-type", contentTypeField},
	{"record-route", recordRouteField},
	{"timestamp", timestampField},
	{"retry-after", retryAfterField},
}

// compactNames: RFC 3261 §7.3.3 and the registry.
var compactNames = map[byte]string{
	'a': "accept-contact", 'b': "referred-by", 'c': "content-type", 'd': "request-disposition", 'e': "content-encoding",
	'f': "from", 'i': "call-id", 'j': "reject-contact", 'k': "supported", 'l': "content-length", 'm': "contact", 'n': "identity-info",
	'o': "event", 'r': "refer-to", 's': "subject", 't': "to", 'u': "allow-events", 'v': "via", 'x': "session-expires", 'y': "identity",
}

package sip

import (
	"errors"
	"fmt"
	"strings"

	siplib "github.com/emiago/sipgo/sip"
)

// CheckRequest judges a request that arrived (RFC 3261 §8.1.1, §8.2.2, §16.3,
// §18.3): nil, or what to answer.
//
//   - 400: a mandatory field is missing, doubled or unreadable, the CSeq names
//     another method, Content-Length is doubled or more than the body
//   - 505: not SIP/2.0
//   - 416: a Request-URI scheme that nobody here reads
//   - 483: Max-Forwards is 0; not for OPTIONS, REGISTER and what ends here by
//     itself (ACK, BYE, CANCEL)
//   - 420 with Unsupported: Require names none of supported; not for ACK, CANCEL
//   - 513 or 400: no answer to it could be written, see answerable. The 400 cannot be
//     written either: such a request is dropped by whoever tries.
func CheckRequest(req *Request, supported ...string) *Status {
	bad := func(format string, a ...any) *Status {
		return &Status{Code: 400, Reason: "Bad Request - " + fmt.Sprintf(format, a...)}
	}
	if req.SipVersion != "SIP/2.0" {
		return &Status{Code: 505}
	}
	if !isToken(string(req.Method)) {
		return bad("method")
	}
	if field := doubled(req.Headers()); field != "" {
		return bad("more than one %s", field)
	}
	if via := req.Via(); via == nil || !strings.EqualFold(via.ProtocolName, "SIP") || via.ProtocolVersion != "2.0" {
		return bad("no valid Via")
	}
	if field := unreadableAddress(req); field != "" {
		return bad("no valid %s", field)
	}
	if FromTag(req) == "" && rfc3261(req) { // RFC 2543 had no mandatory tag
		return bad("no tag in From")
	}
	if id := CallID(req); id == "" || strings.ContainsAny(id, " \t") {
		return bad("no valid Call-ID")
	}
	switch _, method := CSeq(req); method {
	case req.Method:
	case "":
		return bad("no valid CSeq")
	default:
		return bad("CSeq method differs")
	}
	switch req.Recipient.Scheme {
	case "sip", "sips", "tel", "im", "pres":
	default:
		return &Status{Code: 416}
	}
	if !readable(&req.Recipient) {
		return bad("no valid Request-URI")
	}
	if n := MaxForwards(req); n < 0 || n > 255 {
		if n > 255 || Value(req, "Max-Forwards") != "" { // absent is what RFC 2543 had
			return bad("no valid Max-Forwards")
		}
	} else if n == 0 && !endsHere(req.Method) {
		return &Status{Code: 483}
	}
	if req.Method == ACK || req.Method == CANCEL {
		return nil
	}
	if st := answerable(req); st != nil {
		return st
	}
	return checkRequire(req, supported)
}

// answerHead is the size in bytes that an answer may spend on what it adds to the fields
// that it copies.
const answerHead = 8 << 10

// answerable tests what every answer copies from the request. A Writer refuses control
// characters and long heads; a request that passes here must not be one that nothing can be
// answered to, or whoever waits for its answer waits for ever.
func answerable(req *Request) *Status {
	w := NewWriter()
	defer w.Free()
	for _, h := range req.Headers() {
		switch fieldOf(h) {
		case viaField, fromField, toField, callIDField, cseqField, recordRouteField:
			w.Header(h)
		}
	}
	switch {
	case w.err != nil:
		return &Status{Code: 400}
	case len(w.b) > maxHead-answerHead:
		return &Status{Code: 513}
	}
	return nil
}

func endsHere(m Method) bool {
	return m == OPTIONS || m == REGISTER || m == ACK || m == BYE || m == CANCEL
}

// rfc3261 tells whether the sender marks its transactions as RFC 3261 does.
func rfc3261(req *Request) bool {
	branch, _ := req.Via().Params.Get("branch")
	return strings.HasPrefix(branch, siplib.RFC3261BranchMagicCookie)
}

func checkRequire(req *Request, supported []string) *Status {
	var unknown []string
next:
	for _, tag := range Tokens(req, "Require") {
		for _, s := range supported {
			if strings.EqualFold(s, tag) {
				continue next
			}
		}
		if isToken(tag) {
			unknown = append(unknown, tag)
		}
	}
	if unknown == nil {
		return nil
	}
	return &Status{Code: 420, Headers: []Header{siplib.NewHeader("Unsupported", strings.Join(unknown, ", "))}}
}

// doubled names a field that stands more than once although it may not.
func doubled(list []Header) string {
	var seen uint
	for _, h := range list {
		f := fieldOf(h)
		if f < fromField || f > contentTypeField {
			continue
		}
		if seen&(1<<f) != 0 {
			return h.Name()
		}
		seen |= 1 << f
	}
	return ""
}

// unreadableAddress names From or To when it is missing or holds no URI.
func unreadableAddress(msg Message) string {
	if h := msg.From(); h == nil || !readable(&h.Address) {
		return "From"
	}
	if h := msg.To(); h == nil || !readable(&h.Address) {
		return "To"
	}
	return ""
}

// readable judges a URI that sipgo has taken apart, without doing it again.
func readable(u *siplib.Uri) bool {
	if u.Scheme != "sip" && u.Scheme != "sips" {
		if u.Scheme == "tel" || hasHost(u.Scheme) {
			_, err := ParseURI(u.Scheme + ":" + u.Raw())
			return err == nil
		}
		return u.Scheme != "" && u.Raw() != ""
	}
	if u.Port < 0 || u.Port >= 1<<16 || !all(u.User, wireUser) || !all(u.Password, wireUser) {
		return false
	}
	for i := range len(u.User) {
		if u.User[i] == '%' && (i+2 >= len(u.User) || unhex(u.User[i+1]) < 0 || unhex(u.User[i+2]) < 0) {
			return false
		}
	}
	if strings.HasPrefix(u.Host, "[") {
		_, _, err := parseHostPort(u.Host)
		return err == nil
	}
	return validHost(u.Host)
}

// ErrResponse tells that a response that arrived is to be dropped.
var ErrResponse = errors.New("sip: malformed response")

// CheckResponse judges a response that arrived.
func CheckResponse(res *Response) error {
	switch {
	case res.SipVersion != "SIP/2.0":
		return fmt.Errorf("%w: version", ErrResponse)
	case res.StatusCode < 100 || res.StatusCode > 699:
		return fmt.Errorf("%w: status code %d", ErrResponse, res.StatusCode)
	case doubled(res.Headers()) != "":
		return fmt.Errorf("%w: more than one %s", ErrResponse, doubled(res.Headers()))
	case res.Via() == nil:
		return fmt.Errorf("%w: no valid Via", ErrResponse)
	case unreadableAddress(res) != "":
		return fmt.Errorf("%w: no valid %s", ErrResponse, unreadableAddress(res))
	case CallID(res) == "":
		return fmt.Errorf("%w: no Call-ID", ErrResponse)
	case res.CSeq() == nil:
		return fmt.Errorf("%w: no valid CSeq", ErrResponse)
	}
	return nil
}

// RefuseSIPS is 416 when the Request-URI or the To is a sips: URI, which XMPP
// cannot honour hop by hop (RFC 7247 §8), and nil otherwise.
func RefuseSIPS(req *Request) *Status {
	to := req.To()
	if req.Recipient.Scheme != "sips" && (to == nil || to.Address.Scheme != "sips") {
		return nil
	}
	return &Status{Code: 416, Headers: []Header{
		siplib.NewHeader("Warning", `399 stoxgate "sips cannot be carried on to XMPP"`),
	}}
}

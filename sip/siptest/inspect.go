package siptest

import (
	"fmt"
	"mime"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// maxDatagramMessage is the largest MESSAGE that may go over UDP (RFC 3428 §8).
const maxDatagramMessage = 1300

// inspector checks what the gateway sends and remembers what it has sent.
type inspector struct {
	cfg     Config
	allowed map[string]bool // lower case header names beyond knownHeaders

	mu         sync.Mutex
	violations []string
	requests   *memory[*history]   // by Call-ID
	arrivals   *memory[*Message]   // by transaction key: what was seen, dropped ones included
	pending    map[string]*pending // by From/To pair
}

// history is what is known of one Call-ID.
type history struct {
	fromTag string
	cseq    uint32
	method  string
	answer  int // final status sent for cseq, 0 = none
}

type pending struct {
	callID string
	cseq   uint32
	since  time.Time
}

func newInspector(cfg Config) *inspector {
	i := &inspector{
		cfg: cfg, allowed: map[string]bool{}, requests: newMemory[*history](),
		arrivals: newMemory[*Message](), pending: map[string]*pending{},
	}
	for _, h := range cfg.AllowHeaders {
		i.allowed[strings.ToLower(h)] = true
	}
	return i
}

func (i *inspector) add(format string, args ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.addLocked(format, args...)
}

func (i *inspector) addLocked(format string, args ...any) {
	if len(i.violations) < 1000 { // enough to see, not enough to fill memory
		i.violations = append(i.violations, fmt.Sprintf(format, args...))
	}
}

func (i *inspector) list() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.violations...)
}

func (i *inspector) faults(m *Message, faults []string) {
	for _, f := range faults {
		i.add("%s: %s", m.title(), f)
	}
}

// request checks a request when it is seen for the first time.
func (i *inspector) request(key string, m *Message, faults []string) {
	i.mu.Lock()
	_, again := i.arrivals.get(key)
	if !again {
		i.arrivals.put(key, m)
	}
	i.mu.Unlock()
	if again { // an earlier copy was dropped by a script
		return
	}
	i.faults(m, faults)
	bad := func(format string, args ...any) { i.add("%s: %s", m.title(), fmt.Sprintf(format, args...)) }
	i.headers(m, bad)
	checkStart(m, bad)
	checkVia(m, bad)
	checkBody(m, bad)
	if m.Method != "ACK" && m.Method != "CANCEL" {
		i.sequence(m, bad)
	}
}

// headers checks names and the mandatory headers of RFC 3261 §8.1.1.
func (i *inspector) headers(m *Message, bad func(string, ...any)) {
	for _, h := range m.Headers {
		low := strings.ToLower(h.Name)
		if knownHeaders[low] == "" && !i.allowed[low] {
			bad("unexpected header %s: %.80q", h.Name, h.Value)
		}
	}
	for _, name := range []string{"From", "To"} {
		v := m.Get(name)
		uri := addrURI(v)
		if host, _ := uriHost(uri); host == "" && !strings.HasPrefix(strings.ToLower(uri), "tel:") {
			bad("%s %q holds no usable URI", name, v)
		}
		if strings.ContainsAny(uri, " \"") {
			bad("%s URI %q holds a blank or quote", name, uri)
		}
		if strings.Count(strings.ReplaceAll(strings.ReplaceAll(v, `\\`, ""), `\"`, ""), `"`)%2 != 0 {
			bad("%s %q has an open quoted-string", name, v)
		}
	}
	if m.Tag("From") == "" {
		bad("no From tag")
	}
	id := m.Get("Call-ID")
	if id == "" || strings.ContainsAny(id, " \t,;") {
		bad("Call-ID %q is no word", id)
	}
	n, method := m.CSeq()
	if method == "" || n >= 1<<31 {
		bad("CSeq %q is broken", m.Get("CSeq"))
	} else if m.IsRequest() && method != m.Method {
		bad("CSeq method is %s", method)
	}
}

// checkStart checks the parts that only requests have.
func checkStart(m *Message, bad func(string, ...any)) {
	scheme, _, ok := strings.Cut(m.RequestURI, ":")
	if !ok || !isToken(scheme) || strings.ContainsAny(m.RequestURI, "<>\"") {
		bad("Request-URI is no URI")
	}
	if n, err := strconv.Atoi(m.Get("Max-Forwards")); err != nil || n < 1 || n > 70 {
		bad("Max-Forwards is %q, want 1 to 70", m.Get("Max-Forwards"))
	}
	switch m.Method {
	case "MESSAGE", "OPTIONS", "REGISTER", "PUBLISH":
		// RFC 3261 §8.1.1.2: outside of a dialog the To has no tag.
		if m.Tag("To") != "" {
			bad("To has a tag outside of a dialog")
		}
	}
	switch m.Method {
	case "MESSAGE", "BYE", "CANCEL", "ACK", "PRACK", "PUBLISH":
		if m.Has("Contact") { // RFC 3428 §4: "MUST NOT insert Contact header fields"
			bad("has a Contact")
		}
	case "INVITE", "SUBSCRIBE", "NOTIFY", "REFER", "UPDATE":
		if len(m.List("Contact")) != 1 {
			bad("has %d Contacts, want 1", len(m.List("Contact")))
		}
	}
	if m.Method == "MESSAGE" && m.Transport == "UDP" && len(m.Raw) > maxDatagramMessage {
		bad("%d bytes over UDP, at most %d (RFC 3428 §8)", len(m.Raw), maxDatagramMessage)
	}
	if m.Has("Require") && m.Method == "MESSAGE" {
		bad("requires %q of a pager phone", m.Get("Require"))
	}
}

// checkVia checks the Via of the hop that reached us.
func checkVia(m *Message, bad func(string, ...any)) {
	vias := m.List("Via")
	if len(vias) == 0 {
		bad("no Via")
		return
	}
	head, _, _ := strings.Cut(vias[0], ";")
	proto, sentBy, _ := strings.Cut(strings.TrimSpace(head), " ")
	host, port := splitHostPort(strings.TrimSpace(sentBy))
	if proto != "SIP/2.0/"+m.Transport {
		bad("Via says %s, it came over %s", proto, m.Transport)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		bad("Via sent-by %q cannot be reached", sentBy)
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			bad("Via port %q", port)
		}
	}
	if branch := m.Branch(); !strings.HasPrefix(branch, "z9hG4bK") || len(branch) < len("z9hG4bK")+4 {
		bad("branch %q lacks the cookie or is too short to be unique", branch)
	}
	if v, ok := headerParam(vias[0], "rport"); m.Transport == "UDP" && (!ok || v != "") {
		bad("Via %q has no empty rport (RFC 3581 §3)", vias[0])
	}
	if _, ok := headerParam(vias[0], "received"); ok {
		bad("Via %q brings its own received", vias[0])
	}
}

// checkBody checks type and charset of a body.
func checkBody(m *Message, bad func(string, ...any)) {
	ct := m.Get("Content-Type")
	if len(m.Body) == 0 {
		return
	}
	if ct == "" {
		bad("body without Content-Type")
		return
	}
	media, params, err := mime.ParseMediaType(ct)
	if err != nil {
		bad("Content-Type %q: %v", ct, err)
		return
	}
	if !strings.HasPrefix(media, "text/") {
		return
	}
	ascii := true
	for _, b := range m.Body {
		ascii = ascii && b < 0x80
	}
	switch charset := strings.ToLower(params["charset"]); charset {
	case "utf-8":
		if !utf8.Valid(m.Body) {
			bad("body is not UTF-8 as its charset says")
		}
	case "", "us-ascii": // the default is UTF-8 (RFC 3261 §7.4.1), but not every phone knows
		if !ascii {
			bad("text beyond ASCII needs charset=UTF-8, Content-Type is %q", ct)
		}
	default:
		bad("charset %q", charset)
	}
}

// sequence checks Call-ID, CSeq and pending MESSAGEs.
func (i *inspector) sequence(m *Message, bad func(string, ...any)) {
	var found []string
	i.mu.Lock()
	n, _ := m.CSeq()
	id := m.Get("Call-ID")
	h, known := i.requests.get(id)
	failover := false
	switch {
	case !known:
		h = &history{}
		i.requests.put(id, h)
	case n < h.cseq:
		found = append(found, fmt.Sprintf("CSeq goes back from %d to %d in Call-ID %s", h.cseq, n, id))
	case n == h.cseq && m.Method == h.method:
		// The same request to another place (RFC 3263 §4.3) is right only when the
		// first was not answered, or by 503, 408 or 430 (flow failed).
		failover = true
		if h.answer != 0 && h.answer != 503 && h.answer != 408 && h.answer != 430 && !i.cfg.AllowResend {
			found = append(found, fmt.Sprintf("sent again after %d: Call-ID %s CSeq %d", h.answer, id, n))
		}
	case h.fromTag != m.Tag("From"):
		found = append(found, "another From tag in the same Call-ID "+id)
	}
	h.cseq, h.method, h.answer, h.fromTag = n, m.Method, 0, m.Tag("From")

	if m.Method == "MESSAGE" { // RFC 3428 §8: one at a time to one destination
		pair := m.URI("From") + " " + m.URI("To")
		if p := i.pending[pair]; p != nil && !failover && m.At.Sub(p.since) < i.cfg.PeerTimeout {
			found = append(found, fmt.Sprintf("while Call-ID %s CSeq %d is still pending for %s", p.callID, p.cseq, pair))
		}
		i.pending[pair] = &pending{id, n, m.At}
	}
	i.mu.Unlock()
	for _, f := range found {
		bad("%s", f)
	}
}

// answered notes the final response that the phone gave.
func (i *inspector) answered(m *Message, status int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, _ := m.CSeq()
	if h, ok := i.requests.get(m.Get("Call-ID")); ok && h.cseq == n {
		h.answer = status
	}
	pair := m.URI("From") + " " + m.URI("To")
	if p := i.pending[pair]; p != nil && p.callID == m.Get("Call-ID") && p.cseq == n {
		delete(i.pending, pair)
	}
}

// required are headers that a response of this code must bring.
var required = map[int][]string{
	401: {"WWW-Authenticate"}, 407: {"Proxy-Authenticate"}, 405: {"Allow"},
	415: {"Accept"}, 420: {"Unsupported"}, 423: {"Min-Expires"}, 489: {"Allow-Events"},
}

// response checks a response against its request.
func (i *inspector) response(tx *Transaction, l link, m *Message, faults []string) {
	i.faults(m, faults)
	req := tx.Request
	bad := func(format string, args ...any) { i.add("%s: %s", m.title(), fmt.Sprintf(format, args...)) }
	i.headers(m, bad)
	checkBody(m, bad)
	for _, h := range []string{"From", "Call-ID", "CSeq"} { // RFC 3261 §8.2.6.2
		if m.Get(h) != req.Get(h) {
			bad("%s is %q, the request had %q", h, m.Get(h), req.Get(h))
		}
	}
	to, reqTo := m.Get("To"), req.Get("To")
	if !strings.HasPrefix(to, reqTo) {
		bad("To is %q, the request had %q", to, reqTo)
	}
	if m.Status > 100 && m.Tag("To") == "" {
		bad("To has no tag")
	}
	for _, prior := range tx.Responses() {
		if t := prior.Tag("To"); t != "" && t != m.Tag("To") && req.Method != "INVITE" {
			bad("To tag changes from %s to %s", t, m.Tag("To"))
		}
	}
	i.responseVia(tx, m, bad)
	if l.transport() != "UDP" && l != tx.link {
		bad("came on another connection than the request went")
	}
	for _, h := range required[m.Status] {
		if !m.Has(h) {
			bad("lacks %s", h)
		}
	}
	if v := m.Get("Retry-After"); v != "" {
		digits, _, _ := strings.Cut(strings.TrimSpace(strings.SplitN(v, "(", 2)[0]), ";")
		if _, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32); err != nil {
			bad("Retry-After %q", v)
		}
	}
	if req.Method == "MESSAGE" && m.Status/100 == 2 {
		if m.Has("Contact") { // RFC 3428 §7
			bad("2xx to MESSAGE has a Contact")
		}
		if len(m.Body) > 0 {
			bad("2xx to MESSAGE has a body")
		}
	}
}

// responseVia checks that the Vias came back as they were, the top one with the
// addresses of RFC 3581.
func (i *inspector) responseVia(tx *Transaction, m *Message, bad func(string, ...any)) {
	sent, got := tx.Request.List("Via"), m.List("Via")
	if len(got) != len(sent) {
		bad("%d Vias, the request had %d", len(got), len(sent))
		return
	}
	for n := range sent {
		if n > 0 && !strings.EqualFold(got[n], sent[n]) {
			bad("Via %d is %q, was %q", n+1, got[n], sent[n])
		}
	}
	sentHead, _, _ := strings.Cut(sent[0], ";")
	gotHead, _, _ := strings.Cut(got[0], ";")
	if !strings.EqualFold(sentHead, gotHead) {
		bad("top Via is %q, was %q", got[0], sent[0])
	}
	if v, ok := headerParam(sent[0], "rport"); ok && v == "" && m.Transport == "UDP" {
		_, port, _ := net.SplitHostPort(m.Local)
		if p, _ := headerParam(got[0], "rport"); p != port {
			bad("top Via %q has rport %q, want %s (RFC 3581 §4)", got[0], p, port)
		}
		if r, _ := headerParam(got[0], "received"); r == "" {
			bad("top Via %q has no received (RFC 3581 §4)", got[0])
		}
	}
}

package interworktest

import (
	"strings"
)

// SIPMessage is one SIP request or response as a peer traced it. It is taken
// apart only as far as tests need it, and on purpose not with package sip.
type SIPMessage struct {
	Out    bool   // sent by the peer
	Local  string // host:port; empty when the peer's trace doesn't tell
	Remote string
	Start  string // request or status line
	Header []SIPHeader
	Body   string
}

// SIPHeader is one header line with folding undone, otherwise as it came.
type SIPHeader struct{ Name, Value string }

// compactNames has the short forms of RFC 3261 §7.3.3 and its extensions that
// may appear in traces.
var compactNames = map[string]string{
	"c": "content-type", "e": "content-encoding", "f": "from", "i": "call-id",
	"k": "supported", "l": "content-length", "m": "contact", "o": "event",
	"s": "subject", "t": "to", "u": "allow-events", "v": "via",
}

// parseSIPMessage takes apart the text of one message. ok is false for what
// doesn't look like SIP.
func parseSIPMessage(text string) (m SIPMessage, ok bool) {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	m.Start, m.Body = lines[0], body
	if !strings.HasPrefix(m.Start, "SIP/2.0 ") && !strings.HasSuffix(m.Start, " SIP/2.0") {
		return SIPMessage{}, false
	}
	for _, line := range lines[1:] {
		if n := len(m.Header); n > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			m.Header[n-1].Value += " " + strings.TrimSpace(line)
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			return SIPMessage{}, false
		}
		m.Header = append(m.Header, SIPHeader{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return m, true
}

// Method is that of a request, and that of the CSeq for a response.
func (m SIPMessage) Method() string {
	if m.Status() == 0 {
		method, _, _ := strings.Cut(m.Start, " ")
		return method
	}
	_, method, _ := strings.Cut(m.Get("CSeq"), " ")
	return strings.TrimSpace(method)
}

// RequestURI is that of a request; empty for a response.
func (m SIPMessage) RequestURI() string {
	if m.Status() != 0 {
		return ""
	}
	_, rest, _ := strings.Cut(m.Start, " ")
	return strings.TrimSuffix(rest, " SIP/2.0")
}

// Status is the code of a response; 0 for a request.
func (m SIPMessage) Status() int {
	rest, ok := strings.CutPrefix(m.Start, "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0
	}
	code := 0
	for _, c := range []byte(rest[:3]) {
		if c < '0' || c > '9' {
			return 0
		}
		code = code*10 + int(c-'0')
	}
	return code
}

// Get returns the first header of a name, in its long or compact form; empty
// when there is none.
func (m SIPMessage) Get(name string) string {
	for _, h := range m.Header {
		if canonicalName(h.Name) == canonicalName(name) {
			return h.Value
		}
	}
	return ""
}

// Transaction tells which messages belong together: Call-ID and CSeq.
func (m SIPMessage) Transaction() string { return m.Get("Call-ID") + " " + m.Get("CSeq") }

func (m SIPMessage) String() string {
	arrow := "<- "
	if m.Out {
		arrow = "-> "
	}
	var b strings.Builder
	b.WriteString(arrow)
	b.WriteString(m.Start)
	for _, h := range m.Header {
		b.WriteString("\n     ")
		b.WriteString(h.Name)
		b.WriteString(": ")
		b.WriteString(h.Value)
	}
	if m.Body != "" {
		b.WriteString("\n\n     ")
		b.WriteString(strings.ReplaceAll(m.Body, "\n", "\n     "))
	}
	return b.String()
}

func canonicalName(name string) string {
	name = strings.ToLower(name)
	if long, ok := compactNames[name]; ok {
		return long
	}
	return name
}

// Package cpim reads and writes message/cpim bodies: RFC 3862, with the IMDN headers of RFC 5438.
//
// A CPIM message is a block of message headers, an empty line, a block of MIME headers, an empty
// line and the content. Decisions that bind the package:
//
//   - A header is known by namespace URI and name. Prefixes exist only on the wire: they are
//     resolved by the NS headers above them when read (RFC 3862 §3.4) and chosen when written.
//   - Header values are held unescaped. Escapes (RFC 3862 §2.3.1) are undone when read and made
//     when written, so no value can start a new header line.
//   - Reading is lenient where real peers are loose (bare LF, no space after the colon, no space
//     before "<", several empty lines between the blocks) and strict about size and structure.
package cpim

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Namespaces of message headers.
const (
	// NSHeaders is the default namespace of the core headers (RFC 3862 §3.4).
	NSHeaders = "urn:ietf:params:cpim-headers:"
	// NSIMDN is the namespace of Message-ID, Disposition-Notification and their kin (RFC 5438 §6).
	NSIMDN = "urn:ietf:params:imdn"
)

// ContentType is the media type of the format.
const ContentType = "message/cpim"

// Limits of Parse: what is over them is no message that a person wrote.
const (
	maxHeaders     = 128
	maxHeaderValue = 16 << 10 // bytes of one header line
)

// Errors of Parse; both are wrapped with what was found.
var (
	ErrMalformed = errors.New("cpim: malformed message")
	ErrTooMany   = errors.New("cpim: too many headers")
)

// Header is one message header.
type Header struct {
	Space string // namespace URI; NSHeaders or empty means a core header
	Name  string // case-sensitive (RFC 3862 §2.3)
	Lang  string // the lang parameter (RFC 3862 §2.3.3)
	Value string // unescaped
}

// Field is one MIME header of the content.
type Field struct{ Name, Value string }

// Name is a header name with its namespace.
type Name struct{ Space, Local string }

// Message is a whole message/cpim body.
type Message struct {
	Headers []Header // all but NS and Require, which are resolved
	Require []Name   // headers that a receiver must know or else refuse the message (RFC 3862 §4.8)
	Fields  []Field
	Body    []byte
}

// Address is "Formal Name <URI>" (RFC 3862 §4.1).
type Address struct{ Name, URI string }

func (a Address) String() string {
	if a.Name == "" {
		return "<" + a.URI + ">"
	}
	return a.Name + " <" + a.URI + ">"
}

// IsAnonymous reports whether the address hides who is meant. RCS puts it into both From and To of
// one-to-one messages; the identity is then the one of the SIP headers.
func (a Address) IsAnonymous() bool {
	uri := strings.ToLower(a.URI)
	return uri == "" || strings.HasSuffix(uri, "@anonymous.invalid") || uri == "sip:anonymous.invalid"
}

// ParseAddress reads "Formal Name <URI>", "\"Formal Name\" <URI>", "<URI>" and a bare URI.
func ParseAddress(s string) (Address, error) {
	s = strings.TrimSpace(s)
	open := strings.LastIndexByte(s, '<')
	if open < 0 {
		if s == "" || strings.ContainsAny(s, " \t>") {
			return Address{}, fmt.Errorf("%w: address without <uri>", ErrMalformed)
		}
		return Address{URI: s}, nil
	}
	end := strings.IndexByte(s[open:], '>')
	if end < 0 {
		return Address{}, fmt.Errorf("%w: address without closing >", ErrMalformed)
	}
	name := strings.TrimSpace(s[:open])
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.ReplaceAll(name[1:len(name)-1], `\"`, `"`)
	}
	return Address{Name: name, URI: strings.TrimSpace(s[open+1 : open+end])}, nil
}

// Get returns the value of the first header with this namespace and name, and whether there is one.
func (m *Message) Get(space, name string) (string, bool) {
	for i := range m.Headers {
		if m.Headers[i].is(space, name) {
			return m.Headers[i].Value, true
		}
	}
	return "", false
}

func (h *Header) is(space, name string) bool {
	if h.Name != name {
		return false
	}
	return h.Space == space || h.Space == "" && space == NSHeaders || h.Space == NSHeaders && space == ""
}

// Set appends a header of the given namespace.
func (m *Message) Set(space, name, value string) *Message {
	m.Headers = append(m.Headers, Header{Space: space, Name: name, Value: value})
	return m
}

// Field returns the value of a MIME header; names compare without case.
func (m *Message) Field(name string) string {
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// From is the sender; ok is false when the header is missing or no address.
func (m *Message) From() (a Address, ok bool) {
	v, ok := m.Get(NSHeaders, "From")
	if !ok {
		return Address{}, false
	}
	a, err := ParseAddress(v)
	return a, err == nil
}

// DateTime is the time of sending; ok is false when the header is missing or no RFC 3339 time.
func (m *Message) DateTime() (t time.Time, ok bool) {
	v, ok := m.Get(NSHeaders, "DateTime")
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(v))
	return t, err == nil
}

// Subjects are the Subject headers in order; each may carry a language.
func (m *Message) Subjects() []Header {
	var out []Header
	for _, h := range m.Headers {
		if h.is(NSHeaders, "Subject") {
			out = append(out, h)
		}
	}
	return out
}

// validText replaces bytes that are not UTF-8: CPIM headers are UTF-8 (RFC 3862 §2.2).
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

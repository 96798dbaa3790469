package siptest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Header is one header field. Name is the long form in its usual spelling when
// it is known, Value is the text between the colon and the line end without
// surrounding white space.
type Header struct {
	Name, Value string
}

// Message is a SIP request (Method is set) or response (Status is set).
type Message struct {
	Method, RequestURI string

	Status int
	Reason string

	Headers []Header
	Body    []byte

	// Raw are the bytes as they were received; nil for a message made here.
	Raw []byte
	// Transport, Source and Local tell how a received message came; At tells when.
	Transport, Source, Local string
	At                       time.Time
}

// IsRequest tells requests from responses.
func (m *Message) IsRequest() bool { return m.Method != "" }

// Get returns the value of the first header of that name (long or compact form,
// any case), or "".
func (m *Message) Get(name string) string {
	name = longName(name)
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Has tells whether a header of that name is present.
func (m *Message) Has(name string) bool { return m.count(longName(name)) > 0 }

// Values returns the values of all headers of that name in order. A header that
// holds a comma separated list is one value here; see [Message.List].
func (m *Message) Values(name string) []string {
	name = longName(name)
	var out []string
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			out = append(out, h.Value)
		}
	}
	return out
}

// List returns the elements of all headers of that name, split at the commas
// that separate them (not at those in quotes or angle brackets).
func (m *Message) List(name string) []string {
	var out []string
	for _, v := range m.Values(name) {
		out = append(out, splitList(v)...)
	}
	return out
}

// Set replaces all headers of that name by one, at the place of the first.
func (m *Message) Set(name, value string) *Message {
	name = longName(name)
	done := false
	kept := m.Headers[:0]
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, name) {
			if done {
				continue
			}
			h.Value, done = value, true
		}
		kept = append(kept, h)
	}
	m.Headers = kept
	if !done {
		m.Headers = append(m.Headers, Header{name, value})
	}
	return m
}

// Add appends a header.
func (m *Message) Add(name, value string) *Message {
	m.Headers = append(m.Headers, Header{longName(name), value})
	return m
}

// Del removes all headers of that name.
func (m *Message) Del(name string) *Message {
	name = longName(name)
	kept := m.Headers[:0]
	for _, h := range m.Headers {
		if !strings.EqualFold(h.Name, name) {
			kept = append(kept, h)
		}
	}
	m.Headers = kept
	return m
}

// CSeq returns number and method of the CSeq header, 0 and "" when it is broken.
func (m *Message) CSeq() (uint32, string) {
	num, method, ok := strings.Cut(m.Get("CSeq"), " ")
	n, err := strconv.ParseUint(num, 10, 32)
	if !ok || err != nil {
		return 0, ""
	}
	return uint32(n), strings.TrimSpace(method)
}

// Tag returns the tag of "From" or "To".
func (m *Message) Tag(header string) string {
	v, _ := headerParam(m.Get(header), "tag")
	return v
}

// Branch returns the branch of the top Via.
func (m *Message) Branch() string {
	vias := m.List("Via")
	if len(vias) == 0 {
		return ""
	}
	v, _ := headerParam(vias[0], "branch")
	return v
}

// URI returns the URI in a name-addr header such as From, To or Contact.
func (m *Message) URI(header string) string { return addrURI(m.Get(header)) }

func (m *Message) count(longname string) int {
	n := 0
	for _, h := range m.Headers {
		if strings.EqualFold(h.Name, longname) {
			n++
		}
	}
	return n
}

func (m *Message) clone() *Message {
	c := *m
	c.Headers = append([]Header(nil), m.Headers...)
	return &c
}

// Bytes writes the message as it is, with nothing escaped or checked: tests send
// broken messages too. A Content-Length is added only when there is none.
func (m *Message) Bytes() []byte {
	var b bytes.Buffer
	b.Grow(512 + len(m.Body))
	if m.IsRequest() {
		fmt.Fprintf(&b, "%s %s SIP/2.0\r\n", m.Method, m.RequestURI)
	} else {
		fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", m.Status, m.Reason)
	}
	for _, h := range m.Headers {
		b.WriteString(h.Name)
		b.WriteString(": ")
		b.WriteString(h.Value)
		b.WriteString("\r\n")
	}
	if !m.Has("Content-Length") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(m.Body))
	}
	b.WriteString("\r\n")
	b.Write(m.Body)
	return b.Bytes()
}

// String is the message as text, for failure reports.
func (m *Message) String() string {
	if m == nil {
		return "<no message>"
	}
	if m.Raw != nil {
		return string(m.Raw)
	}
	return string(m.Bytes())
}

// title is the message in a few words, for violations.
func (m *Message) title() string {
	if m.IsRequest() {
		return m.Method + " " + m.RequestURI
	}
	return strconv.Itoa(m.Status) + " for " + m.Get("CSeq")
}

// addLines adds headers given as "Name: value".
func (m *Message) addLines(lines []string) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		m.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
}

// setLines sets headers given as "Name: value": the first line of a name
// replaces what was there, further lines of that name are added, a line without
// a value removes the header.
func (m *Message) setLines(lines []string) {
	seen := map[string]bool{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		name, value = longName(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case value == "":
			m.Del(name)
		case seen[name]:
			m.Add(name, value)
		default:
			m.Set(name, value)
		}
		seen[name] = true
	}
}

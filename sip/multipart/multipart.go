// Package multipart reads and writes multipart bodies (RFC 2046 §5.1) as SIP carries them (RFC 5621):
// mixed, alternative, related and whatever else has a boundary; every unknown kind is read as mixed.
//
// Decisions that bind the package:
//
//   - Parts are slices of the body that was given; nothing is copied, nothing is decoded. Transfer and
//     content encodings are up to the reader of a part.
//   - A message without its closing delimiter is accepted if at least one part is complete in itself:
//     truncation is noticed by Content-Length, and several SIP stacks forget the closing delimiter.
//   - Nesting and number of parts are bounded before anything is built.
package multipart

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strconv"
	"strings"
)

// Limits of Parse.
const (
	maxDepth  = 4
	maxParts  = 64 // in all, over every level
	maxFields = 32 // headers of one part
	maxHeader = 8 << 10
)

// Errors of Parse, wrapped with the reason.
var (
	ErrMalformed = errors.New("multipart: malformed body")
	ErrTooMany   = errors.New("multipart: too many parts")
)

// Field is one header of a part.
type Field struct{ Name, Value string }

// Part is one body part.
type Part struct {
	Fields []Field
	Body   []byte
	Nested *Message // when the part is a multipart itself; Body holds the same bytes
}

// Message is a multipart body.
type Message struct {
	Subtype  string // lower case: "mixed", "alternative", "related" …
	Boundary string
	Parts    []Part
}

// Field returns the value of a header; names compare without case.
func (p *Part) Field(name string) string {
	for _, f := range p.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Parse reads body by its Content-Type, which must be multipart with a boundary.
func Parse(contentType string, body []byte) (*Message, error) {
	left := maxParts
	return parse(contentType, body, 1, &left)
}

func parse(contentType string, body []byte, depth int, left *int) (*Message, error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("%w: content type: %w", ErrMalformed, err)
	}
	subtype, ok := strings.CutPrefix(mediaType, "multipart/")
	boundary := params["boundary"]
	if !ok || boundary == "" || len(boundary) > 70 {
		return nil, fmt.Errorf("%w: no usable boundary", ErrMalformed)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrTooMany, maxDepth)
	}
	m := &Message{Subtype: subtype, Boundary: boundary}
	raw, ok := split(body, []byte("--"+boundary), *left)
	if !ok {
		return nil, fmt.Errorf("%w: more than %d", ErrTooMany, maxParts)
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("%w: boundary not found", ErrMalformed)
	}
	*left -= len(raw)
	for _, r := range raw {
		p, err := part(r)
		if err != nil {
			return nil, err
		}
		if t := p.Field("Content-Type"); len(t) > 10 && strings.EqualFold(t[:10], "multipart/") {
			if p.Nested, err = parse(t, p.Body, depth+1, left); err != nil {
				return nil, err
			}
		}
		m.Parts = append(m.Parts, p)
	}
	return m, nil
}

// split cuts the body at its delimiter lines; preamble and epilogue are dropped (RFC 2046 §5.1.1).
// ok is false when there are more than limit parts.
func split(body, delimiter []byte, limit int) (parts [][]byte, ok bool) {
	start := -1 // where the current part begins; -1 in the preamble
	for at := 0; at < len(body); {
		end := at + bytes.IndexByte(body[at:], '\n')
		next := end + 1
		if end < at {
			end, next = len(body), len(body)
		}
		rest, found := bytes.CutPrefix(body[at:end], delimiter)
		closing := found && bytes.HasPrefix(rest, []byte("--"))
		if found && !closing && len(bytes.TrimSpace(rest)) > 0 {
			found = false // another boundary that begins like ours
		}
		if found {
			if start >= 0 {
				if len(parts) == limit {
					return nil, false
				}
				parts = append(parts, trimLineEnd(body[start:at]))
			}
			start = next
			if closing {
				return parts, true
			}
		}
		at = next
	}
	if start >= 0 && start < len(body) {
		if len(parts) == limit {
			return nil, false
		}
		parts = append(parts, trimLineEnd(body[start:]))
	}
	return parts, true
}

// trimLineEnd drops the line end that belongs to the delimiter line which follows.
func trimLineEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n > 1 && b[n-2] == '\r' {
			b = b[:n-2]
		}
	}
	return b
}

func part(raw []byte) (Part, error) {
	var p Part
	size := 0
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		l := raw
		if end >= 0 {
			l, raw = raw[:end], raw[end+1:]
		} else {
			raw = nil
		}
		if l = bytes.TrimSuffix(l, []byte("\r")); len(l) == 0 {
			break
		}
		if size += len(l); size > maxHeader {
			return Part{}, fmt.Errorf("%w: headers of more than %d bytes", ErrMalformed, maxHeader)
		}
		if l[0] == ' ' || l[0] == '\t' { // folded
			if n := len(p.Fields); n > 0 {
				p.Fields[n-1].Value += " " + string(bytes.TrimSpace(l))
				continue
			}
			return Part{}, fmt.Errorf("%w: part begins with a folded line", ErrMalformed)
		}
		name, value, ok := strings.Cut(string(l), ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return Part{}, fmt.Errorf("%w: header line without a name", ErrMalformed)
		}
		if len(p.Fields) == maxFields {
			return Part{}, fmt.Errorf("%w: more than %d headers", ErrMalformed, maxFields)
		}
		p.Fields = append(p.Fields, Field{name, strings.TrimSpace(value)})
	}
	p.Body = raw
	return p, nil
}

// ContentType returns the value of the Content-Type header that goes with the body. Boundaries made
// by NewBoundary need no quotes; others get them.
func (m *Message) ContentType() string {
	for i := 0; i < len(m.Boundary); i++ {
		if c := m.Boundary[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return "multipart/" + m.Subtype + `;boundary="` + strings.NewReplacer(`\`, ``, `"`, ``).Replace(m.Boundary) + `"`
		}
	}
	return "multipart/" + m.Subtype + ";boundary=" + m.Boundary
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// NewBoundary derives from seed (letters, digits, - and _) a boundary that occurs in no part. It is
// the same for the same input.
func NewBoundary(seed string, parts []Part) string {
	for n := 0; ; n++ {
		boundary := seed
		if n > 0 {
			boundary += "-" + strconv.Itoa(n)
		}
		if !occurs([]byte("--"+boundary), parts) {
			return boundary
		}
	}
}

func occurs(delimiter []byte, parts []Part) bool {
	for _, p := range parts {
		if bytes.Contains(p.Body, delimiter) {
			return true
		}
	}
	return false
}

// Append writes the body and returns the extended buffer. A part with Nested is written from it.
func (m *Message) Append(dst []byte) []byte {
	for _, p := range m.Parts {
		dst = append(dst, "--"...)
		dst = append(dst, m.Boundary...)
		dst = append(dst, "\r\n"...)
		for _, f := range p.Fields {
			dst = appendLine(dst, f)
		}
		dst = append(dst, "\r\n"...)
		if p.Nested != nil {
			dst = p.Nested.Append(dst)
		} else {
			dst = append(dst, p.Body...)
		}
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "--"...)
	dst = append(dst, m.Boundary...)
	return append(dst, "--\r\n"...)
}

func (m *Message) String() string { return string(m.Append(nil)) }

// appendLine writes a header; control characters are dropped, so that a value stays one line.
func appendLine(dst []byte, f Field) []byte {
	start := len(dst)
	for i := 0; i < len(f.Name); i++ {
		if c := f.Name[i]; c > ' ' && c < 0x7f && c != ':' {
			dst = append(dst, c)
		}
	}
	if len(dst) == start {
		return dst
	}
	dst = append(dst, ": "...)
	for i := 0; i < len(f.Value); i++ {
		if c := f.Value[i]; c >= ' ' && c != 0x7f {
			dst = append(dst, c)
		}
	}
	return append(dst, "\r\n"...)
}

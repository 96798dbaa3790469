package cpim

import (
	"strconv"
	"strings"
)

// Append writes the message in wire form and returns the extended buffer. Headers come in order;
// namespaces other than NSHeaders are declared right before their first use, NSIMDN as "imdn".
func (m *Message) Append(dst []byte) []byte {
	var prefixes []string // prefixes[i] belongs to spaces[i]
	var spaces []string
	prefix := func(space string) string {
		if space == "" || space == NSHeaders {
			return ""
		}
		for i, s := range spaces {
			if s == space {
				return prefixes[i]
			}
		}
		p := "ns" + strconv.Itoa(len(spaces)+1)
		if space == NSIMDN {
			p = "imdn" // many peers look for the prefix, not for the namespace
		}
		spaces, prefixes = append(spaces, space), append(prefixes, p)
		dst = append(dst, "NS: "...)
		dst = append(dst, p...)
		dst = append(dst, " <"...)
		dst = appendEscaped(dst, strings.ReplaceAll(space, ">", ""))
		dst = append(dst, ">\r\n"...)
		return p
	}
	for _, h := range m.Headers {
		name := token(h.Name)
		if name == "" {
			continue
		}
		if p := prefix(h.Space); p != "" {
			dst = append(dst, p...)
			dst = append(dst, '.')
		}
		dst = append(dst, name...)
		dst = append(dst, ':')
		if lang := token(h.Lang); lang != "" {
			dst = append(dst, ";lang="...)
			dst = append(dst, lang...)
		}
		dst = append(dst, ' ')
		dst = appendEscaped(dst, h.Value)
		dst = append(dst, "\r\n"...)
	}
	for _, r := range m.Require {
		p := prefix(r.Space)
		dst = append(dst, "Require: "...)
		if p != "" {
			dst = append(dst, p...)
			dst = append(dst, '.')
		}
		dst = append(dst, token(r.Local)...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	for _, f := range m.Fields {
		name := token(f.Name)
		if name == "" {
			continue
		}
		dst = append(dst, name...)
		dst = append(dst, ": "...)
		for i := 0; i < len(f.Value); i++ { // MIME headers have no escape: a control character is dropped
			if c := f.Value[i]; c >= ' ' && c != 0x7f {
				dst = append(dst, c)
			}
		}
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, m.Body...)
}

func (m *Message) String() string { return string(m.Append(nil)) }

// token keeps what may stand in a header name or a language tag.
func token(s string) string {
	for i := 0; i < len(s); i++ {
		if !isToken(s[i]) {
			return strings.Map(func(r rune) rune {
				if r < 0x80 && isToken(byte(r)) {
					return r
				}
				return -1
			}, s)
		}
	}
	return s
}

func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-^_`|~", c) >= 0
}

// appendEscaped writes a header value with backslashes doubled and control characters as \uXXXX
// (RFC 3862 §2.3.1). Leading and trailing white space would be trimmed by readers.
func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	s = strings.TrimSpace(validText(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			dst = append(dst, `\\`...)
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

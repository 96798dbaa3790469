package journal

import (
	"bytes"
	"fmt"
	"strconv"
)

const hidden = "[hidden]"

// Redact returns a copy of one message for people to read. Credentials and
// media keys are always hidden: digest answers, component handshakes, SASL,
// passwords, SDES keys, ICE passwords. With bodies set, everything that people
// wrote to each other is replaced by its length as well.
//
// It works on any bytes, also on those that a parser refused; what it cannot
// make out it treats as a body.
func Redact(protocol string, raw []byte, bodies bool) []byte {
	if protocol == SIP {
		return redactSIP(raw, bodies)
	}
	return redactXML(raw, bodies)
}

func lengthOf(b []byte) string { return "[" + strconv.Itoa(len(b)) + " bytes]" }

// redactSIP keeps the start line and the header field names.
func redactSIP(raw []byte, bodies bool) []byte {
	head, body := raw, []byte(nil)
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		head, body = raw[:i+4], raw[i+4:]
	} else if i := bytes.Index(raw, []byte("\n\n")); i >= 0 {
		head, body = raw[:i+2], raw[i+2:]
	}
	out := make([]byte, 0, len(raw)+32)
	hide := ""
	for line := range bytes.Lines(head) {
		text := bytes.TrimRight(line, "\r\n")
		end := line[len(text):]
		if len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
			if hide == "" {
				out = append(out, line...)
			}
			continue // a folded line of a hidden field goes with it
		}
		name, value, _ := bytes.Cut(text, []byte(":"))
		if hide = sipHidden(name, value, bodies); hide == "" {
			out = append(out, line...)
			continue
		}
		out = append(out, name...)
		out = append(out, ": "...)
		out = append(out, hide...)
		out = append(out, end...)
	}
	switch {
	case len(body) == 0:
	case bodies:
		out = append(out, lengthOf(body)...)
	default:
		out = append(out, hideKeys(body)...)
	}
	return out
}

// sipHidden returns what stands for the value of a header field, "" when the
// value may be seen.
func sipHidden(name, value []byte, bodies bool) string {
	name = bytes.TrimSpace(name)
	is := func(s string) bool { return bytes.EqualFold(name, []byte(s)) }
	value = bytes.TrimSpace(value)
	switch {
	case is("Authorization"), is("Proxy-Authorization"):
		if scheme, _, ok := bytes.Cut(value, []byte(" ")); ok {
			return string(scheme) + " " + hidden
		}
		return hidden
	case bodies && (is("Subject") || is("s")): // RFC 3261 §20.36: what the caller wants to say
		return lengthOf(value)
	}
	return ""
}

// keyMarks begin a secret that runs up to a quote, a white space or a bar.
var keyMarks = [][]byte{[]byte("inline:"), []byte("a=ice-pwd:")}

// hideKeys blanks SDES keys (RFC 4568 §6.1) and ICE passwords in SDP and in
// Jingle attributes.
func hideKeys(b []byte) []byte {
	for _, mark := range keyMarks {
		if !bytes.Contains(b, mark) {
			continue
		}
		var out []byte
		for rest := b; ; {
			i := bytes.Index(rest, mark)
			if i < 0 {
				b = append(out, rest...)
				break
			}
			out = append(out, rest[:i+len(mark)]...)
			out = append(out, hidden...)
			rest = rest[i+len(mark):]
			if n := bytes.IndexAny(rest, "|\"' \t\r\n<>"); n >= 0 {
				rest = rest[n:]
			} else {
				rest = nil
			}
		}
	}
	return b
}

// secretElements hold credentials as their text; SASL elements are among them
// because traces of the test client pass here too.
var secretElements = map[string]bool{
	"handshake": true, "password": true, "auth": true, "response": true, "challenge": true, "digest": true, "success": true,
}

// contentAttributes can hold what people share; they go with the bodies.
var contentAttributes = map[string]bool{"url": true, "uri": true, "href": true, "src": true, "target": true, "desc": true}

// redactXML walks over the markup without checking it.
func redactXML(raw []byte, bodies bool) []byte {
	out := make([]byte, 0, len(raw)+32)
	element := ""
	for len(raw) > 0 {
		if raw[0] == '<' && !bytes.HasPrefix(raw, []byte("<![CDATA[")) {
			n := tagEnd(raw)
			if len(raw) > 1 && raw[1] != '/' {
				element = tagName(raw[1:n])
			} else {
				element = ""
			}
			out = append(out, redactTag(raw[:n], bodies)...)
			raw = raw[n:]
			continue
		}
		n := textEnd(raw)
		text := raw[:n]
		raw = raw[n:]
		switch {
		case len(bytes.TrimSpace(text)) == 0:
			out = append(out, text...)
		case secretElements[element]:
			out = append(out, hidden...)
		case bodies:
			out = append(out, lengthOf(text)...)
		default:
			out = append(out, hideKeys(text)...)
		}
	}
	return out
}

// textEnd returns the length of the character data at the start of b, CDATA
// sections included.
func textEnd(b []byte) int {
	const open, shut = "<![CDATA[", "]]>"
	for i := 0; i < len(b); i++ {
		if b[i] != '<' {
			continue
		}
		if !bytes.HasPrefix(b[i:], []byte(open)) {
			return i
		}
		n := bytes.Index(b[i:], []byte(shut))
		if n < 0 {
			return len(b)
		}
		i += n + len(shut) - 1
	}
	return len(b)
}

// tagEnd returns the length of the tag at the start of b; a > inside quotes
// does not end it.
func tagEnd(b []byte) int {
	quote := byte(0)
	for i, c := range b {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(b)
}

// tagName returns the local name of the element whose tag begins with b.
func tagName(b []byte) string {
	if i := bytes.IndexAny(b, " \t\r\n/>"); i >= 0 {
		b = b[:i]
	}
	if i := bytes.IndexByte(b, ':'); i >= 0 {
		b = b[i+1:]
	}
	return string(b)
}

// redactTag blanks attribute values. The ICE password of a Jingle transport is
// an attribute of its own (XEP-0176), SDES keys are part of one (XEP-0167).
func redactTag(tag []byte, bodies bool) []byte {
	if bytes.HasPrefix(tag, []byte("<!--")) {
		return []byte(fmt.Sprintf("<!-- %d bytes -->", len(tag)))
	}
	var out []byte
	for {
		eq := bytes.IndexByte(tag, '=')
		if eq < 0 || eq+1 >= len(tag) {
			return append(out, hideKeys(tag)...)
		}
		end := -1
		if q := tag[eq+1]; q == '"' || q == '\'' {
			end = bytes.IndexByte(tag[eq+2:], q)
		}
		if end < 0 { // not an attribute; nothing can be told apart from here on
			return append(append(out, tag[:eq+1]...), hidden+">"...)
		}
		name := tagAttribute(tag[:eq])
		value := tag[eq+2 : eq+2+end]
		out = append(out, tag[:eq+2]...)
		switch {
		case name == "pwd" || name == "password":
			out = append(out, hidden...)
		case bodies && contentAttributes[name]:
			out = append(out, lengthOf(value)...)
		default:
			out = append(out, hideKeys(value)...)
		}
		out = append(out, tag[eq+2+end])
		tag = tag[eq+2+end+1:]
	}
}

// tagAttribute returns the local name of the attribute that ends b.
func tagAttribute(b []byte) string {
	b = bytes.TrimRight(b, " \t\r\n")
	if i := bytes.LastIndexAny(b, " \t\r\n:"); i >= 0 {
		b = b[i+1:]
	}
	return string(b)
}

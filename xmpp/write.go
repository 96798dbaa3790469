package xmpp

import "unicode/utf8"

// Kinds of bytes for the writers below.
const (
	plain    = iota
	inText   // escaped in text and attributes
	inAttr   // escaped in attributes only
	illegal  // no XML character (XML 1.0 §2.2)
	nonASCII // start of a UTF-8 sequence, or a stray byte
)

var byteKinds = func() (t [256]byte) {
	for c := range 0x20 {
		t[c] = illegal
	}
	t['\t'], t['\n'], t['\r'] = inAttr, inAttr, inText
	t['&'], t['<'], t['>'] = inText, inText, inText
	t['\''], t['"'] = inAttr, inAttr
	for c := 0x80; c <= 0xff; c++ {
		t[c] = nonASCII
	}
	return t
}()

// appendText writes character data. What XML can not carry becomes U+FFFD: a server ends the whole stream
// for one forbidden character (RFC 6120 §4.9.3.13).
func appendText(dst []byte, s string) []byte { return appendEscaped(dst, s, inText) }

// appendAttr writes the value of an attribute, fit for either kind of quotes.
func appendAttr(dst []byte, s string) []byte { return appendEscaped(dst, s, inAttr) }

func appendEscaped(dst []byte, s string, level byte) []byte {
	done := 0
	for i := 0; i < len(s); {
		kind := byteKinds[s[i]]
		if kind == plain || kind == inAttr && level == inText {
			i++
			continue
		}
		size, with := 1, "\uFFFD"
		if kind == nonASCII {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != 0xFFFE && r != 0xFFFF && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		} else if kind != illegal {
			with = entity(s[i])
		}
		dst = append(dst, s[done:i]...)
		dst = append(dst, with...)
		i += size
		done = i
	}
	return append(dst, s[done:]...)
}

func entity(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '\'':
		return "&apos;"
	case '"':
		return "&quot;"
	case '\t':
		return "&#x9;"
	case '\n':
		return "&#xA;"
	}
	return "&#xD;"
}

// attr writes one attribute without namespace; an empty value writes nothing.
func attr(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '\'')
	dst = appendAttr(dst, value)
	return append(dst, '\'')
}

// attrJID writes an address as an attribute; the zero JID writes nothing.
func attrJID(dst []byte, name string, j JID) []byte {
	if j.IsZero() {
		return dst
	}
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '\'')
	dst = j.append(dst)
	return append(dst, '\'')
}

// textElement writes <name xml:lang='lang'>text</name> in the namespace of its parent.
func textElement(dst []byte, name, lang, text string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = attr(dst, "xml:lang", lang)
	if text == "" {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	dst = appendText(dst, text)
	dst = append(dst, '<', '/')
	dst = append(dst, name...)
	return append(dst, '>')
}

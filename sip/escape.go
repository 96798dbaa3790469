package sip

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrEscape tells that percent-encoding is malformed or does not give UTF-8.
var ErrEscape = errors.New("sip: malformed escape")

// charset is a set of ASCII characters.
type charset [256]bool

func newCharset(extra string) *charset {
	var c charset
	for i := range c {
		c[i] = 'a' <= i && i <= 'z' || 'A' <= i && i <= 'Z' || '0' <= i && i <= '9'
	}
	for i := range len(extra) {
		c[extra[i]] = true
	}
	return &c
}

// RFC 3261 §25.1.
const mark = "-_.!~*'()"

var (
	userChars     = newCharset(mark + "&=+$,;?/")  // user
	passwordChars = newCharset(mark + "&=+$,")     // password
	paramChars    = newCharset(mark + "/:&+$")     // pname, pvalue; "[" and "]" are legal, but
	headerChars   = newCharset(mark + "/?:+$")     // hname, hvalue; parsers take them for IPv6
	tokenChars    = newCharset("-.!%*_+`'~")       // token
	telChars      = newCharset(mark + "[]/:&+$%#") // raw text of a tel: or an opaque URI parameter
	hostChars     = newCharset("-._[]:")           // host, with the IPv6 brackets
	wordChars     = newCharset("-.!%*_+`'~()<>:\\\"/[]?{}@")
)

// EscapeUser turns plain text into the user part of a SIP URI: the UTF-8 bytes
// that RFC 3261 does not allow there become %HH with upper-case digits.
func EscapeUser(s string) string {
	for i := range len(s) {
		if !userChars[s[i]] {
			return string(appendEscaped(make([]byte, 0, len(s)+8), s, userChars))
		}
	}
	return s
}

// UnescapeUser is the inverse of EscapeUser for every spelling of the same user.
// It fails with ErrEscape on a broken %HH and on bytes that are no UTF-8.
func UnescapeUser(s string) (string, error) {
	u, err := unescape(s)
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(u) {
		return "", fmt.Errorf("%w: %q is not UTF-8", ErrEscape, clip(s))
	}
	return u, nil
}

// canonicalEscapes rewrites s with the fewest possible escapes and upper-case
// digits; a broken escape is escaped itself.
func canonicalEscapes(s string, plain *charset) string {
	clean := true
	for i := range len(s) {
		if !plain[s[i]] {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	u, err := unescape(s)
	if err != nil {
		u = s
	}
	return string(appendEscaped(nil, u, plain))
}

func appendEscaped(dst []byte, s string, plain *charset) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; plain[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// appendWire writes text that is already escaped; characters that could end it
// early are escaped nevertheless, "%" stays.
func appendWire(dst []byte, s string, plain *charset) []byte {
	for i := range len(s) {
		if c := s[i]; plain[c] || c == '%' {
			dst = append(dst, c)
		} else {
			dst = appendEscaped(dst, s[i:i+1], plain)
		}
	}
	return dst
}

// wireText is appendWire for a string that mostly needs no change.
func wireText(s string, plain *charset) string {
	for i := range len(s) {
		if c := s[i]; !plain[c] && c != '%' {
			return string(appendWire(nil, s, plain))
		}
	}
	return s
}

// escapedText is appendEscaped for a string that mostly needs no change.
func escapedText(s string, plain *charset) string {
	if all(s, plain) {
		return s
	}
	return string(appendEscaped(nil, s, plain))
}

func unescape(s string) (string, error) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, nil
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%w: %q", ErrEscape, clip(s))
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("%w: %q", ErrEscape, clip(s))
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendQuoted writes s as a quoted-string: backslash and quote are escaped,
// control characters become spaces, invalid UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendQuotedInner(dst, s)
	return append(dst, '"')
}

func appendQuotedInner(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case isControl(c):
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// cutQuoted reads a quoted-string at the start of s and returns its plain text.
func cutQuoted(s string) (text, rest string, err error) {
	var b []byte // only needed when there is an escape
	start := 1
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i+1 == len(s) || s[i+1] == '\r' || s[i+1] == '\n' {
				return "", "", fmt.Errorf("%w: broken quoted-pair in %q", ErrParams, clip(s))
			}
			b = append(b, s[start:i]...)
			i++
			b = append(b, s[i])
			start = i + 1
		case '"':
			if b == nil {
				return s[start:i], s[i+1:], nil
			}
			return string(append(b, s[start:i]...)), s[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("%w: unterminated quoted string %q", ErrParams, clip(s))
}

// unquotePairs resolves the quoted-pairs of a quoted-string without its quotes.
func unquotePairs(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func appendToken(dst []byte, s string) []byte {
	for i := range len(s) {
		if tokenChars[s[i]] {
			dst = append(dst, s[i])
		}
	}
	return dst
}

func isToken(s string) bool { return s != "" && all(s, tokenChars) }

func isTokenOrHost(s string) bool {
	return isToken(s) || s != "" && all(s, hostChars)
}

func all(s string, set *charset) bool {
	for i := range len(s) {
		if !set[s[i]] {
			return false
		}
	}
	return true
}

// isControl tells the bytes that may not stand in a header field: CTL without
// the horizontal tab (RFC 3261 §25.1 TEXT-UTF8).
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

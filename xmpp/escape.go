package xmpp

import (
	"errors"
	"fmt"
	"strings"
)

// ErrEdgeSpace says that a text starts or ends with a space, which no escaped localpart can carry
// (XEP-0106: \20 must not be its first or last sequence).
var ErrEdgeSpace = errors.New("xmpp: a localpart can not start or end with a space")

const hexDigits = "0123456789abcdef"

// escapable tells whether XEP-0106 has a sequence for c. The backslash is on the list too, but is escaped
// only where it would read as the start of a sequence.
func escapable(c byte) bool {
	switch c {
	case ' ', '"', '&', '\'', '/', ':', '<', '>', '@':
		return true
	}
	return false
}

// sequence returns the character that s, which starts with a backslash, stands for if it starts with one of
// the ten sequences of XEP-0106 (lower-case hex).
func sequence(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '\\' {
		return 0, false
	}
	hi, lo := strings.IndexByte(hexDigits, s[1]), strings.IndexByte(hexDigits, s[2])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	c := byte(hi<<4 | lo)
	return c, escapable(c) || c == '\\'
}

// EscapeLocal turns any text into a localpart (XEP-0106 §4.2). A backslash becomes \5c only in front of what
// looks like a sequence, in either case of the hex digits: the localpart is case-mapped afterwards, and "\3A"
// left alone would come back as ":". The error is ErrEdgeSpace. The result still has to pass NewJID.
func EscapeLocal(s string) (string, error) {
	if s == "" {
		return s, nil
	}
	if s[0] == ' ' || s[len(s)-1] == ' ' {
		return "", fmt.Errorf("%w: %.80q", ErrEdgeSpace, s)
	}
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if _, ok := sequence(strings.ToLower(s[i:min(i+3, len(s))])); !ok {
				continue
			}
		} else if !escapable(c) {
			continue
		}
		b.WriteString(s[done:i])
		b.WriteByte('\\')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
		done = i + 1
	}
	if done == 0 {
		return s, nil
	}
	b.WriteString(s[done:])
	return b.String(), nil
}

// UnescapeLocal gives back the text that EscapeLocal was given. Only the ten sequences of XEP-0106 are
// touched; s must be the localpart of a prepared JID.
func UnescapeLocal(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c, ok := sequence(s[i:]); ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

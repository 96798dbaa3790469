package mapping

import (
	"strings"
	"unicode/utf8"
)

// cleanLine makes text fit for one header line: line ends and other control characters become one space
// each run, bytes that are no UTF-8 become U+FFFD, and it is cut at max bytes between two characters.
func cleanLine(s string, max int) string {
	clean := len(s) <= max
	for i := 0; clean && i < len(s); i++ {
		if c := s[i]; c < ' ' || c == 0x7f || c >= 0x80 {
			clean = false
		}
	}
	if clean {
		return strings.TrimSpace(s)
	}
	var b strings.Builder
	b.Grow(min(len(s), max))
	gap := false
	for _, r := range s {
		// NEL, LS and PS end a line in some terminals; C1 controls mean nothing in a header.
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			gap = true
			continue
		}
		if b.Len()+utf8.RuneLen(r)+1 > max {
			break
		}
		if gap {
			gap = false
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// cleanText makes text from SIP fit for XMPP: line ends become LF, and what XML cannot carry (RFC 6120 §11.4,
// XML 1.0 §2.2) becomes U+FFFD. changed tells whether characters were lost; line ends do not count.
func cleanText(s string) (text string, changed bool) {
	i := 0
	for i < len(s) && (s[i] >= ' ' && s[i] < 0x80 || s[i] == '\n' || s[i] == '\t') {
		i++
	}
	if i == len(s) {
		return s, false
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:i])
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < ' ' && r != '\n' && r != '\t' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			changed = true
			b.WriteRune(utf8.RuneError)
		case r == '\r':
			if i+1 == len(s) || s[i+1] != '\n' {
				b.WriteByte('\n')
			}
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String(), changed
}

// isBlank reports whether nobody could see anything of the text.
func isBlank(s string) bool { return strings.TrimSpace(s) == "" }

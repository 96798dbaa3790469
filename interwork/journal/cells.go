package journal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// maxText is more than anybody reads beside an arrow.
const maxText = 1000

// clean replaces what could move a cursor, start an escape sequence, turn the
// direction of writing or break an SVG document: control, format and private
// characters and those that are none. Line ends and tabs become spaces. What is
// longer than maxText is cut.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	plain := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case r == utf8.RuneError, r&0xFFFE == 0xFFFE, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// runeWidth is the number of terminal cells of r: 0 for combining marks, 2 for
// East Asian wide characters and most emoji, else 1 (Unicode Annex 11).
func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// truncate shortens s to n cells; what is cut off is marked.
func truncate(s string, n int, mark string) string {
	if textWidth(s) <= n {
		return s
	}
	n -= textWidth(mark)
	used := 0
	for i, r := range s {
		if used += runeWidth(r); used > n {
			return s[:i] + mark
		}
	}
	return s
}

// wrap breaks s into lines of at most n cells, at spaces where there are some.
func wrap(s string, n int) []string {
	n = max(n, 1)
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(s) {
		for {
			w := textWidth(word)
			switch {
			case used == 0 && w <= n:
				line, used = word, w
			case used > 0 && used+1+w <= n:
				line += " " + word
				used += 1 + w
			case used > 0:
				lines = append(lines, line)
				line, used = "", 0
				continue
			default: // a word longer than the line
				head := head(word, n)
				lines = append(lines, head)
				word = word[len(head):]
				continue
			}
			break
		}
	}
	if used > 0 {
		lines = append(lines, line)
	}
	return lines
}

// head returns as many characters of s as fit n cells, but at least one. It
// breaks after punctuation of addresses where there is some near the end.
func head(s string, n int) string {
	used := 0
	for i, r := range s {
		if used += runeWidth(r); used > n && i > 0 {
			if at := strings.LastIndexAny(s[:i], "@;,:/?&="); at >= i/2 {
				return s[:at+1]
			}
			return s[:i]
		}
	}
	return s
}

// line is one row of terminal cells. A wide character sits in its first cell
// and leaves the second empty.
type line []string

func newLine(n int) line {
	l := make(line, n)
	for i := range l {
		l[i] = " "
	}
	return l
}

func (l *line) extend(n int) {
	for len(*l) < n {
		*l = append(*l, " ")
	}
}

// put writes s from cell x on.
func (l *line) put(x int, s string) {
	for _, r := range s {
		w := runeWidth(r)
		if w == 0 {
			if x > 0 && x <= len(*l) {
				(*l)[x-1] += string(r)
			}
			continue
		}
		l.extend(x + w)
		(*l)[x] = string(r)
		if w == 2 {
			(*l)[x+1] = ""
		}
		x += w
	}
}

func (l *line) String() string {
	return strings.TrimRight(strings.Join(*l, ""), " ")
}

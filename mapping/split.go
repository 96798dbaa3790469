package mapping

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// maxPieces bounds into how many requests one text is split; more is no short message.
const maxPieces = 20

// SplitText cuts text into pieces of at most limit bytes, each with its number in front: "(1/3) ". It cuts
// between user-perceived characters, at a space where one is near, and loses nothing: the pieces without
// their numbers are the text. Text that fits is returned as it is, without a number. ok is false when it
// would take more than 20 pieces.
func SplitText(text string, limit int) (pieces []string, ok bool) {
	if limit <= 0 || len(text) <= limit {
		return []string{text}, true
	}
	// The number needs room, and how much depends on how many pieces there are.
	for _, number := range [...]int{len("(1/9) "), len("(10/20) ")} {
		room := limit - number
		if room < 8 {
			break
		}
		pieces = cut(text, room)
		if n := len(pieces); n <= 9 || number > 6 && n <= maxPieces {
			for i, p := range pieces {
				pieces[i] = "(" + strconv.Itoa(i+1) + "/" + strconv.Itoa(n) + ") " + p
			}
			return pieces, true
		}
	}
	return nil, false
}

func cut(text string, room int) (pieces []string) {
	for len(text) > room {
		end, space := 0, 0
		for end < len(text) {
			n := graphemeLen(text[end:])
			if end+n > room {
				break
			}
			end += n
			if text[end-1] == ' ' || text[end-1] == '\n' {
				space = end
			}
		}
		switch {
		case end == 0: // one character longer than a piece: it has to be torn, but not inside a code point
			for end < len(text) {
				_, n := utf8.DecodeRuneInString(text[end:])
				if end+n > room {
					break
				}
				end += n
			}
		case space > room*2/3:
			end = space
		}
		pieces = append(pieces, text[:end])
		text = text[end:]
		if len(pieces) > maxPieces {
			return pieces
		}
	}
	return append(pieces, text)
}

// graphemeLen is the length in bytes of the user-perceived character that s begins with: an extended
// grapheme cluster of UAX 29, with the character classes taken from the general categories of package
// unicode instead of its own table. It differs from the full algorithm only for Indic conjuncts and the
// handful of prepended marks. s must not be empty.
func graphemeLen(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r == '\r' && len(s) > n && s[n] == '\n' {
		return n + 1 // GB3
	}
	if isBreakingControl(r) {
		return n // GB4
	}
	single := isRegional(r) // half of a flag
	for n < len(s) {
		next, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case extends(next): // GB9, GB9a
		case single && isRegional(next): // GB12
		case r == zeroWidthJoiner && isPictographic(next): // GB11
		case joinsHangul(r, next): // GB6, GB7, GB8
		default:
			return n
		}
		single = false
		r = next
		n += size
	}
	return n
}

const zeroWidthJoiner = 0x200D

func isBreakingControl(r rune) bool {
	return r < ' ' || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029
}

// extends covers Extend and SpacingMark: marks, variation selectors, skin tones, tags, the two joiners.
func extends(r rune) bool {
	if r < 0x300 {
		return false
	}
	return unicode.Is(unicode.M, r) || r == zeroWidthJoiner || r == 0x200C ||
		0x1F3FB <= r && r <= 0x1F3FF || 0xE0020 <= r && r <= 0xE007F || r == 0xFF9E || r == 0xFF9F ||
		r == 0x0E33 || r == 0x0EB3 // Thai and Lao AM are letters, but belong to the one before
}

func isRegional(r rune) bool { return 0x1F1E6 <= r && r <= 0x1F1FF }

// isPictographic covers what people join with U+200D; a wider range does no harm behind a joiner.
func isPictographic(r rune) bool {
	return 0x2190 <= r && r <= 0x2BFF || 0x1F000 <= r && r <= 0x1FAFF || r == 0x00A9 || r == 0x00AE || r == 0x3030 || r == 0x303D
}

// joinsHangul: syllables of leading consonant, vowel and trailing consonant.
func joinsHangul(a, b rune) bool {
	lead := func(r rune) bool { return 0x1100 <= r && r <= 0x115F || 0xA960 <= r && r <= 0xA97C }
	vowel := func(r rune) bool { return 0x1160 <= r && r <= 0x11A7 || 0xD7B0 <= r && r <= 0xD7C6 }
	trail := func(r rune) bool { return 0x11A8 <= r && r <= 0x11FF || 0xD7CB <= r && r <= 0xD7FB }
	syllable := func(r rune) bool { return 0xAC00 <= r && r <= 0xD7A3 }
	switch {
	case lead(a):
		return lead(b) || vowel(b) || syllable(b)
	case vowel(a) || syllable(a) && (a-0xAC00)%28 == 0:
		return vowel(b) || trail(b)
	case trail(a) || syllable(a):
		return trail(b)
	}
	return false
}

package mapping

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestGraphemes(t *testing.T) {
	for in, want := range map[string]int{
		"ab":                       1,
		"e\u0301x":                 3,  // combining acute
		"\r\nx":                    2,  // one line end
		"\n\u0301":                 1,  // nothing joins a line end
		"👍🏽x":                      8,  // skin tone
		"👩‍👩‍👧‍👦x":                 25, // family
		"🇩🇪🇫🇷":                     8,  // two flags
		"🇩x":                       4,
		"🏴\U000E0067\U000E007Fx":   12, // tag sequence
		"❤️x":                      6,  // variation selector
		"한글":                       3,  // syllables
		"\u1112\u1161\u11ab\u1100": 9,  // conjoining jamo
		"กำx":                      6,  // Thai with a spacing vowel
		"कीx":                      6,  // Devanagari vowel sign
		"\u200dx":                  3,
		"\xffx":                    1,
		"👩‍x":                      7, // a joiner with nothing to join
	} {
		if got := graphemeLen(in); got != want {
			t.Errorf("graphemeLen(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestSplitText(t *testing.T) {
	pieces, ok := SplitText("eins zwei drei vier", 16)
	if want := "(1/2) eins zwei |(2/2) drei vier"; !ok || strings.Join(pieces, "|") != want {
		t.Errorf("%q, %v", strings.Join(pieces, "|"), ok)
	}
	for _, limit := range []int{0, -1, 19, 100} {
		if pieces, ok := SplitText("eins zwei drei vier", limit); !ok || len(pieces) != 1 || pieces[0] != "eins zwei drei vier" {
			t.Errorf("limit %d: %q", limit, pieces)
		}
	}
	if _, ok := SplitText(strings.Repeat("x", 1000), 20); ok {
		t.Error("more than 20 pieces")
	}
	if _, ok := SplitText("eins zwei drei vier", 10); ok {
		t.Error("no room for text")
	}
	if pieces, ok := SplitText(strings.Repeat("x", 150), 20); !ok || len(pieces) != 13 || !strings.HasPrefix(pieces[12], "(13/13) ") {
		t.Errorf("%d %v", len(pieces), ok)
	}
	// One "character" larger than a piece is torn between code points.
	if pieces, ok := SplitText("a"+strings.Repeat("\u0301", 40), 30); !ok || !utf8.ValidString(pieces[0]) {
		t.Errorf("%q %v", pieces, ok)
	}
}

func TestSplitTextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab \n👍🏽\u0301é漢🇩🇪\u200d👩"))).Draw(t, "text")
		limit := rapid.IntRange(14, 80).Draw(t, "limit")
		pieces, ok := SplitText(text, limit)
		if !ok {
			return
		}
		var joined strings.Builder
		for _, p := range pieces {
			if len(p) > limit || !utf8.ValidString(p) {
				t.Fatalf("piece %q of %d bytes", p, len(p))
			}
			if len(pieces) > 1 {
				p = p[strings.Index(p, ") ")+2:]
			}
			joined.WriteString(p)
		}
		if joined.String() != text {
			t.Fatalf("%q became %q", text, joined.String())
		}
	})
}

func FuzzSplitText(f *testing.F) {
	f.Add("eins zwei drei", 16)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		pieces, ok := SplitText(text, limit)
		for _, p := range pieces {
			if ok && limit > 0 && len(p) > limit {
				t.Fatalf("%q is longer than %d", p, limit)
			}
		}
	})
}

func TestCleanLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", " a ": "a", "a\r\nb": "a b", "a\x00\x1b\tb": "a b", "a\u0085b\u2028c": "a b c", "\xff": "\uFFFD", "a\u00a0b": "a\u00a0b",
	} {
		if got := cleanLine(in, 100); got != want {
			t.Errorf("cleanLine(%q) = %q", in, got)
		}
	}
	if got := cleanLine(strings.Repeat("é", 10), 5); got != "éé" {
		t.Errorf("%q", got)
	}
}

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\t": "plain\n\t", "a\r\nb\rc": "a\nb\nc", "a\x00\x0b\x1fb": "a\uFFFD\uFFFD\uFFFDb", "\uFFFE\uFFFF": "\uFFFD\uFFFD", "\xc3": "\uFFFD",
		"\uFFFD": "\uFFFD", "é漢😀": "é漢😀", "\xed\xa0\x80": "\uFFFD\uFFFD\uFFFD", "a\x7f": "a\x7f",
	} {
		if got, _ := cleanText(in); got != want {
			t.Errorf("cleanText(%q) = %q", in, got)
		}
	}
	if _, changed := cleanText("a\r\nb\uFFFD"); changed {
		t.Error("line ends and a U+FFFD that was there are no loss")
	}
}

package xmpp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The vectors of XEP-0106 and of the project's digest (spec/core.md §2.6, §2.7), after percent decoding.
func TestEscapeLocal(t *testing.T) {
	for _, c := range []struct{ plain, escaped string }{
		{"", ""},
		{"mira", "mira"},
		{"o'hara", `o\27hara`},
		{"rock&roll/live", `rock\26roll\2flive`},
		{"café", "café"},
		{"a@b.example", `a\40b.example`},
		{`dom\user`, `dom\user`},
		{`dom\20x`, `dom\5c20x`},
		{`c:\cool`, `c\3a\cool`},
		{`c:\5commas`, `c\3a\5c5commas`},
		{"d'art#1", `d\27art#1`},
		{"50%25", "50%25"},
		{"space cadet", `space\20cadet`},
		{`call me "ishmael"`, `call\20me\20\22ishmael\22`},
		{"at&t guy", `at\26t\20guy`},
		{"/.fanboy", `\2f.fanboy`},
		{"::foo::", `\3a\3afoo\3a\3a`},
		{"<foo>", `\3cfoo\3e`},
		{"user@host", `user\40host`},
		{`c:\net`, `c\3a\net`},
		{`c:\\net`, `c\3a\\net`},
		{`\5c5c`, `\5c5c5c`},
		{`\41\2p\2`, `\41\2p\2`},
		{`tail\`, `tail\`},
	} {
		got, err := EscapeLocal(c.plain)
		require.NoError(t, err, c.plain)
		assert.Equal(t, c.escaped, got)
		assert.Equal(t, c.plain, UnescapeLocal(got))
	}
}

func TestEscapeLocalUpperHex(t *testing.T) {
	// The localpart is case-mapped after escaping: without the \5c this would come back as "a:b".
	got, err := EscapeLocal(`a\3Ab`)
	require.NoError(t, err)
	assert.Equal(t, `a\5c3Ab`, got)
	j, err := NewJID(got, "x.example", "")
	require.NoError(t, err)
	assert.Equal(t, `a\3ab`, UnescapeLocal(j.Local()))
}

func TestEscapeLocalEdgeSpace(t *testing.T) {
	for _, s := range []string{" ", " a", "a ", " a "} {
		_, err := EscapeLocal(s)
		assert.ErrorIs(t, err, ErrEdgeSpace)
	}
}

func TestUnescapeLocal(t *testing.T) {
	for in, want := range map[string]string{
		`\41\2p`: `\41\2p`, `\3A`: `\3A`, `\`: `\`, `\4`: `\4`, `user\5c3a`: `user\3a`, `\40\40`: "@@", `\5c5c`: `\5c`,
	} {
		assert.Equal(t, want, UnescapeLocal(in), in)
	}
}

func TestEscapeRoundTrip(t *testing.T) {
	gen := rapid.StringMatching(`([ "&'/:<>@\\a-f0-9]|\\[0-9a-fA-F]{2}|.){0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		s := gen.Draw(t, "text")
		escaped, err := EscapeLocal(s)
		if strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
			if err == nil {
				t.Fatalf("edge space accepted: %q", s)
			}
			return
		}
		if err != nil || UnescapeLocal(escaped) != s {
			t.Fatalf("%q -> %q -> %q, %v", s, escaped, UnescapeLocal(escaped), err)
		}
		if strings.ContainsAny(escaped, ` "&'/:<>@`) {
			t.Fatalf("%q -> %q", s, escaped)
		}
	})
}

func FuzzUnescapeLocal(f *testing.F) {
	f.Add(`user\5c3a`)
	f.Add(`\`)
	f.Fuzz(func(t *testing.T, s string) {
		plain := UnescapeLocal(s)
		if escaped, err := EscapeLocal(plain); err == nil && UnescapeLocal(escaped) != plain {
			t.Fatalf("%q -> %q -> %q", plain, escaped, UnescapeLocal(escaped))
		}
	})
}

package sip

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseNameAddr(t *testing.T) {
	uri := URI{Scheme: "sip", User: "otto", Host: "h.example"}
	for _, tt := range []struct {
		text string
		want NameAddr
		out  string
	}{
		{"<sip:otto@h.example>", NameAddr{URI: uri}, ""},
		{"sip:otto@h.example;tag=1", NameAddr{URI: uri, Params: Params{{"tag", "1"}}}, "<sip:otto@h.example>;tag=1"},
		{`"Otto" <sip:otto@h.example>;tag=a`, NameAddr{Display: "Otto", URI: uri, Params: Params{{"tag", "a"}}}, ""},
		{"Otto  von  Hafen <sip:otto@h.example>", NameAddr{Display: "Otto von Hafen", URI: uri}, `"Otto von Hafen" <sip:otto@h.example>`},
		{`"O \"the\\ <x>\", K" <sip:otto@h.example>`, NameAddr{Display: `O "the\ <x>", K`, URI: uri}, ""},
		{`"" <sip:otto@h.example>`, NameAddr{URI: uri}, "<sip:otto@h.example>"},
		{`  "Ötto"<sip:otto@h.example> ; Tag = 5 `, NameAddr{Display: "Ötto", URI: uri, Params: Params{{"Tag", "5"}}}, `"Ötto" <sip:otto@h.example>;Tag=5`},
		{
			`<sip:otto@h.example;lr>;q=0.5;+sip.instance="<urn:uuid:1-2;3>";x`,
			NameAddr{URI: URI{Scheme: "sip", User: "otto", Host: "h.example", Params: Params{{"lr", ""}}}, Params: Params{{"q", "0.5"}, {"+sip.instance", "<urn:uuid:1-2;3>"}, {"x", ""}}},
			"",
		},
		{"<tel:+49123>;tag=1", NameAddr{URI: URI{Scheme: "tel", User: "+49123"}, Params: Params{{"tag", "1"}}}, ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseNameAddr(tt.text)
			require.NoError(t, err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Fatal(d)
			}
			out := tt.out
			if out == "" {
				out = tt.text
			}
			require.Equal(t, out, got.String())
		})
	}
}

func TestParseNameAddrs(t *testing.T) {
	got, err := ParseNameAddrs(`"A, B" <sip:a@h;x=1>;q=1, sip:c@h;tag="p,q" , <sip:d@h>`)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, "A, B", got[0].Display)
	require.Equal(t, "p,q", got[1].Params.Value("tag"))
	require.Equal(t, "sip:d@h", got[2].URI.String())
}

func TestParseNameAddrErrors(t *testing.T) {
	for _, text := range []string{
		"", "<>", "<sip:a@b", `"a`, `"a" sip:a@b`, "<sip:a@b> x", `<sip:a@b>;x="`, "<sip:a@b>;=1", "*", "<sip:a@b>,", "\"a\rb\" <sip:a@b>",
		"\"a\\\r\n\" <sip:a@b>", "<sip:a@b\r\n>", "sip:a@b?x=y z",
	} {
		_, err := ParseNameAddr(text)
		require.ErrorIs(t, err, ErrNameAddr, text)
	}
}

// Any display name and any parameter value give one line that reads back.
func TestNameAddrRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := NameAddr{Display: rapid.String().Draw(t, "display"), URI: drawURI(t)}
		for _, p := range drawParams(t, "params") {
			n.Params = append(n.Params, Param{p.Name, clean(p.Value)})
		}
		text := n.String()
		if strings.ContainsAny(text, "\r\n\x00") {
			t.Fatalf("%q", text)
		}
		back, err := ParseNameAddr(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		n.Display = clean(n.Display)
		if d := cmp.Diff(n, back); d != "" {
			t.Fatalf("%q: %s", text, d)
		}
		// And through a message of sipgo.
		req := NewRequest(MESSAGE, n.URI)
		SetFrom(req, n)
		from, err := FromOf(req)
		if err != nil || from.String() != text {
			t.Fatalf("through a From header: %q, was %q (%v)", from.String(), text, err)
		}
		wire := req.From().Value()
		if again, err := ParseNameAddr(wire); err != nil || again.String() != text {
			t.Fatalf("on the wire: %q, was %q (%v)", wire, text, err)
		}
	})
}

// clean is what String does to control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isControl(byte(r)) {
			return ' '
		}
		return r
	}, s)
}

func FuzzParseNameAddr(f *testing.F) {
	for _, s := range []string{`"A" <sip:a@b>;tag=1`, "sip:a@b;x=y", `A <sip:a@b>, B <sip:c@d>`, `<sip:a@b>;x="\""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseNameAddrs(s)
		if err != nil {
			return
		}
		for _, n := range list {
			text := n.String()
			if strings.ContainsAny(text, "\r\n\x00") {
				t.Fatalf("%q -> %q", s, text)
			}
			v, err := ParseNameAddr(text)
			if err != nil {
				t.Fatalf("%q -> %q: %v", s, text, err)
			}
			if again := v.String(); again != text {
				t.Fatalf("%q -> %q -> %q", s, text, again)
			}
		}
	})
}

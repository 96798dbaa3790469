package sip

import (
	"errors"
	"testing"
	"unicode/utf8"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseURI(t *testing.T) {
	for _, tt := range []struct {
		text string
		want URI
		out  string // "" when it is the text
	}{
		{text: "sip:mira@chat.example", want: URI{Scheme: "sip", User: "mira", Host: "chat.example"}},
		{text: "SIP:Mira@Chat.Example:5070", want: URI{Scheme: "sip", User: "Mira", Host: "chat.example", Port: 5070}, out: "sip:Mira@chat.example:5070"},
		{text: "sips:chat.example", want: URI{Scheme: "sips", Host: "chat.example"}},
		{
			text: "sip:o%27hara@voice.example;gr=desk%20top;lr",
			want: URI{Scheme: "sip", User: "o%27hara", Host: "voice.example", Params: Params{{"gr", "desk top"}, {"lr", ""}}},
		},
		{
			text: "sip:+358-555-1234567;postd=pp22@foo.example;user=phone",
			want: URI{Scheme: "sip", User: "+358-555-1234567;postd=pp22", Host: "foo.example", Params: Params{{"user", "phone"}}},
		},
		{text: "sip:alice:secret%3F@h.example", want: URI{Scheme: "sip", User: "alice", Password: "secret%3F", Host: "h.example"}},
		{
			text: "sip:[2001:db8::1]:5061;transport=tls",
			want: URI{Scheme: "sip", Host: "[2001:db8::1]", Port: 5061, Params: Params{{"transport", "tls"}}},
		},
		{text: "sip:otto@192.0.2.7", want: URI{Scheme: "sip", User: "otto", Host: "192.0.2.7"}},
		{
			text: "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
			want: URI{Scheme: "sip", User: "alice", Host: "atlanta.com", Headers: Params{{"subject", "project x"}, {"priority", "urgent"}}},
		},
		{
			text: "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
			want: URI{Scheme: "sip", Host: "biloxi.com", Params: Params{{"transport", "tcp"}, {"method", "REGISTER"}}, Headers: Params{{"to", "sip:bob@biloxi.com"}}},
		},
		{text: "sip:what?ever@host.example", want: URI{Scheme: "sip", User: "what?ever", Host: "host.example"}},
		{text: "sip:a;b=c@d.example", want: URI{Scheme: "sip", User: "a;b=c", Host: "d.example"}},
		{text: "sip:*21#@pbx.example", want: URI{Scheme: "sip", User: "*21#", Host: "pbx.example"}, out: "sip:*21%23@pbx.example"},
		{text: "tel:+1-201-555-0123", want: URI{Scheme: "tel", User: "+1-201-555-0123"}},
		{text: "tel:7042;phone-context=example.com", want: URI{Scheme: "tel", User: "7042", Params: Params{{"phone-context", "example.com"}}}},
		{text: "im:juliet@example.com", want: URI{Scheme: "im", User: "juliet", Host: "example.com"}},
		{text: "urn:service:sos.police", want: URI{Scheme: "urn", User: "service:sos.police"}},
		{text: "sip:;;transport=udp@h.example", want: URI{Scheme: "sip", User: ";;transport=udp", Host: "h.example"}},
		{text: "sip:h.example;;lr", want: URI{Scheme: "sip", Host: "h.example", Params: Params{{"lr", ""}}}, out: "sip:h.example;lr"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseURI(tt.text)
			require.NoError(t, err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Fatal(d)
			}
			out := tt.out
			if out == "" {
				out = tt.text
			}
			require.Equal(t, out, got.String())
			back := FromLib(got.Lib())
			require.Equal(t, got.String(), back.String(), "through sipgo's form")
		})
	}
}

func TestParseURIErrors(t *testing.T) {
	for _, text := range []string{
		"", "sip", ":a@b", "sip:", "sip:@h", "sip:a@", "sip:a@b:", "sip:a@b:0", "sip:a@b:70000", "sip:a@b:x", "sip:a b@c", "sip:a@b\r\nX: y",
		"sip:a@[::1", "sip:a@[zz]", "sip:a@[::1]x", "sip:a@h;=v", "sip:a%4@h", "sip:a%zz@h", "sip:a@h;x=%4", "sip:a@-h", "sip:a@h,h",
		"tel:", "tel:+", "tel:12x4z", "1sip:a@b", "sip:<a@b>", "sip:a@\"b\"", "urn:", "sip:a@b@c",
	} {
		_, err := ParseURI(text)
		if !errors.Is(err, ErrURI) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The examples of RFC 3261 §19.1.4 and RFC 3966 §5.
func TestURIEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:a@b", "sips:a@b", false},
		{"sip:a@b;user=phone", "sip:a@b", false},
		{"sip:a@b;maddr=x", "sip:a@b", false},
		{"sip:a:p@b", "sip:a@b", false},
		{"tel:+358(555)1234567", "tel:+358-555-1234567", true},
		{"tel:+3585551234567", "tel:3585551234567;phone-context=x.example", false},
		{"tel:7042;phone-context=example.com", "tel:7042;phone-context=Example.COM", true},
		{"tel:7042;phone-context=example.com", "tel:7042;phone-context=other.example", false},
	} {
		a, err := ParseURI(tt.a)
		require.NoError(t, err)
		b, err := ParseURI(tt.b)
		require.NoError(t, err)
		require.Equal(t, tt.want, a.Equal(b), "%s = %s", tt.a, tt.b)
		require.Equal(t, tt.want, b.Equal(a), "%s = %s", tt.b, tt.a)
		require.True(t, a.Equal(a))
	}
}

func TestURIKey(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"sip:Mira@Chat.Example.:5060;transport=tcp;user=phone?x=y", "sip:Mira@chat.example"},
		{"sip:%6dira@chat.example", "sip:mira@chat.example"},
		{"sip:caf%c3%a9@h.example", "sip:caf%C3%A9@h.example"},
		{"sip:a%2fb@h.example", "sip:a/b@h.example"},
		{"sip:a%40b@h.example", "sip:a%40b@h.example"},
		{"sip:a:pw@h.example:5080", "sip:a@h.example:5080"},
		{"sips:a@h.example:5061", "sips:a@h.example"},
		{"tel:+1-(201).555;ext=1-2;foo=bar;phone-context=X", "tel:+1201555;ext=12;phone-context=x"},
		{"sip:%ff@h.example", "sip:%FF@h.example"}, // no UTF-8, still one spelling
	} {
		u, err := ParseURI(tt.text)
		require.NoError(t, err)
		require.Equal(t, tt.want, u.Key())
		k, err := ParseURI(u.Key())
		require.NoError(t, err)
		require.Equal(t, u.Key(), k.Key(), "a key is its own key")
	}
}

func TestEscapeUser(t *testing.T) {
	for plain, want := range map[string]string{
		"mira": "mira", "jürgen": "j%C3%BCrgen", "d'art#1": "d'art%231", "50%25": "50%2525", "a@b:c\"<>": "a%40b%3Ac%22%3C%3E",
		"x\r\nVia: y": "x%0D%0AVia%3A%20y", "+49;ext=1": "+49;ext=1", "": "",
	} {
		require.Equal(t, want, EscapeUser(plain))
		back, err := UnescapeUser(want)
		require.NoError(t, err)
		require.Equal(t, plain, back)
	}
	for _, bad := range []string{"%", "%4", "%zz", "%ff", "a%"} {
		_, err := UnescapeUser(bad)
		require.ErrorIs(t, err, ErrEscape, bad)
	}
}

// A URI value of any content gives text that reads back as the same value, and
// that has nothing in it which could end a header line or a bracket.
func TestURIRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := drawURI(t)
		text := u.String()
		for i := range len(text) {
			if c := text[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' || c == '"' || c == ',' && u.User == "" {
				t.Fatalf("%q holds %q", text, c)
			}
		}
		back, err := ParseURI(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d := cmp.Diff(u, back); d != "" {
			t.Fatalf("%q: %s", text, d)
		}
		if !u.Equal(back) || u.Key() != back.Key() {
			t.Fatalf("%q is not equal to itself", text)
		}
		if lib := FromLib(u.Lib()); lib.String() != text {
			t.Fatalf("through sipgo: %q, was %q", lib.String(), text)
		}
		var parsed siplib.Uri
		if err := siplib.ParseUri(text, &parsed); err != nil {
			t.Fatalf("sipgo cannot read %q: %v", text, err)
		}
	})
}

func drawURI(t *rapid.T) URI {
	u := URI{Scheme: rapid.SampledFrom([]string{"sip", "sips"}).Draw(t, "scheme")}
	u.Host = rapid.SampledFrom([]string{"h.example", "192.0.2.1", "[2001:db8::1]", "xn--fiq.example"}).Draw(t, "host")
	u.Port = rapid.IntRange(0, 65535).Draw(t, "port")
	if plain := rapid.String().Draw(t, "user"); plain != "" {
		u.User = EscapeUser(plain)
		if pw := rapid.StringMatching(`[a-z0-9]{0,4}`).Draw(t, "password"); pw != "" {
			u.Password = pw
		}
	}
	u.Params = drawParams(t, "params")
	u.Headers = drawParams(t, "headers")
	return u
}

func drawParams(t *rapid.T, label string) (p Params) {
	for range rapid.IntRange(0, 3).Draw(t, label) {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,6}`).Draw(t, "name")
		if p.Has(name) {
			continue
		}
		value := rapid.String().Draw(t, "value")
		p = append(p, Param{name, value})
	}
	return p
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{
		"sip:a@b", "sip:a:b@c:5060;lr?x=y", "tel:+1;ext=2", "sips:[::1]:1", "sip:%41@h;gr=%20", "urn:service:sos", "sip:a@b;p=\"x\"", "sip:x?a=b@c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		text := u.String()
		v, err := ParseURI(text)
		if err != nil {
			t.Fatalf("%q -> %q: %v", s, text, err)
		}
		if again := v.String(); again != text {
			t.Fatalf("%q -> %q -> %q", s, text, again)
		}
		if u.Key() != v.Key() {
			t.Fatalf("%q: key %q, then %q", s, u.Key(), v.Key())
		}
		if utf8.ValidString(s) && !u.Equal(u) {
			t.Fatalf("%q is not equal to itself", s)
		}
	})
}

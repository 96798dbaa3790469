package disco

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stoxgate/stoxgate/xmpp"
	"pgregory.net/rapid"
)

func parse(t testing.TB, s string) *xmpp.Element {
	t.Helper()
	e, err := xmpp.ParseElement([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return e
}

func mustInfo(t testing.TB, s string) Info {
	t.Helper()
	i, err := ParseInfo(parse(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// query builds a disco#info answer.
func query(content string) string {
	return "<query xmlns='http://jabber.org/protocol/disco#info'>" + content + "</query>"
}

// TestVerificationGolden: the hashes that others have published or computed.
func TestVerificationGolden(t *testing.T) {
	for _, tt := range []struct {
		name string
		info Info
		want string
	}{
		{"XEP-0115 §5.2", Info{
			Identities: []Identity{{Category: "client", Type: "pc", Name: "Exodus 0.9.1"}},
			Features:   NewFeatures(xmpp.NSMUC, xmpp.NSDiscoItems, xmpp.NSDiscoInfo, xmpp.NSCaps),
		}, "QgayPKawpkPSDYmwT/WM94uAlu0="},
		{"XEP-0115 §5.3", Info{
			Identities: []Identity{
				{Category: "client", Type: "pc", Lang: "en", Name: "Psi 0.11"},
				{Category: "client", Type: "pc", Lang: "el", Name: "Ψ 0.11"},
			},
			Features: NewFeatures(xmpp.NSCaps, xmpp.NSDiscoInfo, xmpp.NSDiscoItems, xmpp.NSMUC),
			Forms: []Form{{Type: "urn:xmpp:dataforms:softwareinfo", Fields: []Field{
				{Var: "software_version", Values: []string{"0.11"}},
				{Var: "ip_version", Type: "text-multi", Values: []string{"ipv6", "ipv4"}},
				{Var: "os", Values: []string{"Mac"}},
				{Var: "os_version", Values: []string{"10.5.1"}},
				{Var: "software", Values: []string{"Psi"}},
			}}},
		}, "q07IKJEyjvHSyhy//CH0CxmKi8w="},
		// Our own vector, computed by another program from the same list of features.
		{
			"SIP phone", NewResponder(Config{}).Info(Subject{Kind: SubjectResource, Capabilities: ChatStates | Receipts | Files | Audio}),
			"ueM/aUhZSksX0nam4uwTP4I/y7o=",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.info.Verification(); got != tt.want {
				t.Errorf("got %s, want %s of\n%s", got, tt.want, tt.info.verificationInput())
			}
			if back := mustInfo(t, tt.info.Element().String()); back.Verification() != tt.want {
				t.Errorf("after a round trip: %s", back.verificationInput())
			}
		})
	}
}

// TestVerificationInput: what enters the hash, and in which order.
func TestVerificationInput(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{
			"identities by category, type, lang", "<identity category='b' type='a'/><identity category='a' type='b' xml:lang='x'/><identity category='a' type='b' xml:lang='de' name='N'/><identity category='a' type='a'/>",
			"a/a//<a/b/de/N<a/b/x/<b/a//<",
		},
		{"bytes, not letters", "<feature var='b'/><feature var='a'/><feature var='B'/><feature var='é'/><feature var='~'/>", "B<a<b<~<é<"},
		{"escaped < stays escaped", "<identity category='c' type='t' name='x&lt;urn:evil'/><feature var='a&lt;b'/>", "c/t//x&lt;urn:evil<a&lt;b<"},
		{
			"forms by type, fields by var, values", `<x xmlns='jabber:x:data' type='result'><field var='z'/><field var='FORM_TYPE' type='hidden'><value>t2</value></field></x>
			<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>t1</value></field><field var='y'><value>2</value><value>1</value></field><field var='a'><value>3</value></field></x>`,
			"t1<a<3<y<1<2<t2<z<",
		},
		{"form without hidden type", `<feature var='f'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>t</value></field></x>
			<x xmlns='jabber:x:data' type='result'><field var='a'><value>t</value></field></x>`, "f<"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustInfo(t, query(tt.in)).verificationInput(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseInfo(t *testing.T) {
	got := mustInfo(t, query(`<identity category='client' type='phone' name='C' xml:lang='en'/><feature var='b'/><feature var='a'/><other/>
		<feature xmlns='u' var='c'/><x xmlns='jabber:x:data' type='result'><title/><field var='FORM_TYPE' type='hidden'><value>t</value><value>t</value></field><field var='v' type='text-multi'><value>1</value></field></x>`))
	want := Info{
		Identities: []Identity{{"client", "phone", "en", "C"}},
		Features:   NewFeatures("a", "b"),
		Forms:      []Form{{Type: "t", Fields: []Field{{"v", "text-multi", []string{"1"}}}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"other element", "<query xmlns='u'/>", ErrNotInfo},
		{"items", "<query xmlns='http://jabber.org/protocol/disco#items'/>", ErrNotInfo},
		{"identity twice", query("<identity category='c' type='t' name='n'/><identity category='c' type='t' name='n'/>"), ErrIllFormed},
		{"identity without type", query("<identity category='c'/>"), ErrIllFormed},
		{"identity without category", query("<identity type='c'/>"), ErrIllFormed},
		{"feature twice", query("<feature var='a'/><feature var='a'/>"), ErrIllFormed},
		{"feature without var", query("<feature/>"), ErrIllFormed},
		{"form twice", query(strings.Repeat("<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>t</value></field></x>", 2)), ErrIllFormed},
		{"FORM_TYPE with two values", query("<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>t</value><value>u</value></field></x>"), ErrIllFormed},
		{"two FORM_TYPEs", query("<x xmlns='jabber:x:data'>" + strings.Repeat("<field var='FORM_TYPE' type='hidden'><value>t</value></field>", 2) + "</x>"), ErrIllFormed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParseInfo(parse(t, tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	if _, err := ParseInfo(nil); !errors.Is(err, ErrNotInfo) {
		t.Error(err)
	}
}

func TestFeatures(t *testing.T) {
	a := NewFeatures("b", "", "a", "b")
	if a.String() != "a\nb" || a.Len() != 2 || !a.Has("a") || a.Has("") || a.Has("c") {
		t.Error(a)
	}
	b := a.With("c")
	if a.Has("c") || !b.HasAll(a) || a.HasAll(b) || !a.Union(b).Equal(b) || !slices.Equal(slices.Collect(b.All()), []string{"a", "b", "c"}) {
		t.Error(a, b)
	}
}

func TestCapabilities(t *testing.T) {
	if s := (ChatStates | Audio).String(); s != "chat states, audio" {
		t.Error(s)
	}
	if s := Capabilities(0).String(); s != "none" {
		t.Error(s)
	}
	r := NewResponder(Config{})
	for c := range allCapabilities + 1 {
		want := c
		if c.Has(Video) {
			want |= Audio // a phone with video takes calls without it
		}
		if got := r.Info(Subject{Kind: SubjectResource, Capabilities: c}).Capabilities(); got != want {
			t.Errorf("%s comes back as %s", c, got)
		}
	}
	// Gajim has no DTLS and no message initiation, and can be called all the same.
	gajim := Info{Features: NewFeatures(xmpp.NSJingle, xmpp.NSJingleRTP, xmpp.NSJingleRTPAudio, xmpp.NSJingleICEUDP)}
	if got := gajim.Capabilities(); got != Audio {
		t.Error(got)
	}
}

func TestCaps(t *testing.T) {
	e := parse(t, "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://x' ver='v='/>")
	c, ok := ParseCaps(e)
	if !ok || c != (Caps{"sha-1", "http://x", "v="}) || c.Element().String() != e.String() {
		t.Error(c, ok)
	}
	if got := c.Query().String(); got != "<query xmlns='http://jabber.org/protocol/disco#info' node='http://x#v='/>" {
		t.Error(got)
	}
	for _, s := range []string{
		"<c xmlns='u' hash='sha-1' node='n' ver='v'/>", "<c xmlns='http://jabber.org/protocol/caps' node='n' ver='0.9' ext='x y'/>",
		"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n'/>", "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='n'/>",
	} {
		if _, ok := ParseCaps(parse(t, s)); ok {
			t.Error(s)
		}
	}
	if _, ok := ParseCaps(nil); ok {
		t.Error("nil")
	}
}

func entry(n int) (Caps, Info) {
	i := Info{
		Identities: []Identity{{Category: "client", Type: "pc", Name: strconv.Itoa(n)}},
		Features:   NewFeatures(xmpp.NSDiscoInfo),
		Forms:      []Form{{Type: "t", Fields: []Field{{"v", "text-single", []string{"1"}}}}},
	}
	return Caps{HashSHA1, "http://x", i.Verification()}, i
}

func TestCache(t *testing.T) {
	c := NewCache(2)
	var caps [3]Caps
	var infos [3]Info
	for n := range caps {
		caps[n], infos[n] = entry(n)
	}
	for n := range 2 {
		if err := c.Put(caps[n], infos[n]); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := c.Get(Caps{"sha-1", "http://elsewhere", caps[0].Ver}); !ok { // 0 is now younger than 1
		t.Error("0 is not kept")
	}
	if err := c.Put(caps[2], infos[2]); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(caps[2], infos[2]); err != nil || c.Len() != 2 {
		t.Fatal(err, c.Len())
	}
	for n, want := range []bool{true, false, true} {
		got, ok := c.Get(caps[n])
		if ok != want || ok && !cmp.Equal(got, infos[n]) {
			t.Errorf("%d: %v", n, ok)
		}
	}
	forged := infos[0]
	forged.Features = forged.Features.With("urn:evil")
	if err := c.Put(caps[0], forged); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
	if err := c.Put(Caps{"md5", "n", caps[0].Ver}, infos[0]); !errors.Is(err, ErrHash) {
		t.Error(err)
	}
	bare := Info{Features: NewFeatures("client/pc//0")}
	if err := c.Put(Caps{HashSHA1, "n", bare.Verification()}, bare); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
	big := infos[0]
	big.Features = big.Features.With(strings.Repeat("x", maxKept))
	if err := c.Put(Caps{HashSHA1, "n", big.Verification()}, big); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if NewCache(0).max != DefaultCacheSize {
		t.Error("no default")
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := NewCache(8)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 200 {
				caps, info := entry((n * (w + 1)) % 16)
				if err := c.Put(caps, info); err != nil {
					t.Error(err)
				}
				if got, ok := c.Get(caps); ok && got.Identities[0] != info.Identities[0] {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	if c.Len() != 8 {
		t.Error(c.Len())
	}
}

// TestInfoRoundTrip: what is written reads the same, in whatever order, and has
// the same hash.
func TestInfoRoundTrip(t *testing.T) {
	word := rapid.StringMatching(`[ -~é]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		info := Info{Features: NewFeatures(rapid.SliceOfN(word, 0, 6).Draw(t, "features")...)}
		for id := range rapid.MapOfN(word, word, 0, 3).Draw(t, "identities") {
			info.Identities = append(info.Identities, Identity{id, word.Draw(t, "type"), rapid.SampledFrom([]string{"", "de"}).Draw(t, "lang"), rapid.StringMatching(`[ -~]{0,5}`).Draw(t, "name")})
		}
		for typ, vars := range rapid.MapOfN(word, rapid.MapOfN(word, rapid.SliceOfN(word, 1, 3), 0, 3), 0, 2).Draw(t, "forms") {
			f := Form{Type: typ}
			for v, values := range vars {
				if v != "FORM_TYPE" {
					f.Fields = append(f.Fields, Field{Var: v, Values: values})
				}
			}
			info.Forms = append(info.Forms, f)
		}
		e, err := xmpp.ParseElement([]byte(info.Element().String()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseInfo(e)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(info, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		slices.Reverse(got.Identities)
		slices.Reverse(got.Forms)
		if got.Verification() != info.Verification() {
			t.Fatal("the hash depends on the order")
		}
		if d := cmp.Diff(info, info.clone(), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	seeds, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		f.Fatal(err)
	}
	for s := range strings.SplitSeq(string(seeds), "\n") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := xmpp.ParseElement(data)
		if err != nil {
			return
		}
		info, err := ParseInfo(e)
		if err != nil {
			return
		}
		again, err := xmpp.ParseElement([]byte(info.Element().String()))
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseInfo(again)
		if err != nil {
			t.Fatalf("%v: %s", err, info.Element())
		}
		if info.Verification() != back.Verification() {
			t.Fatalf("%q\n%q", info.verificationInput(), back.verificationInput())
		}
		info.Capabilities()
	})
}

func ExampleInfo_Verification() {
	info := Info{
		Identities: []Identity{{Category: "client", Type: "pc", Name: "Exodus 0.9.1"}},
		Features:   NewFeatures(xmpp.NSCaps, xmpp.NSDiscoInfo, xmpp.NSDiscoItems, xmpp.NSMUC),
	}
	fmt.Println(info.Verification())
	// Output: QgayPKawpkPSDYmwT/WM94uAlu0=
}

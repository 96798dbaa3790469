package xmpp

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestElementAppend(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *Element
		want string
	}{
		{"empty", NewElement("", "a"), "<a/>"},
		{"namespace", NewElement("u", "a"), "<a xmlns='u'/>"},
		{"child in the same", NewElement("u", "a").Add(NewElement("u", "b")), "<a xmlns='u'><b/></a>"},
		{"child in another", NewElement("u", "a").Add(NewElement("v", "b")), "<a xmlns='u'><b xmlns='v'/></a>"},
		{"child in none", NewElement("u", "a").Add(NewElement("", "b")), "<a xmlns='u'><b xmlns=''/></a>"},
		{"mixed", NewElement("", "a").AddText("1").Add(NewElement("", "b"), nil).AddText("2").AddText("3"), "<a>1<b/>23</a>"},
		{"attributes", NewElement("", "a").Set("x", "1").SetNS(NSXML, "lang", "de").Set("x", "2"), "<a x='2' xml:lang='de'/>"},
		{"foreign attribute", NewElement("", "a").Set("from", "m").SetNS("u'", "from", "o"), "<a from='m' xmlns:ns1='u&apos;' ns1:from='o'/>"},
		{"text", NewElement("", "a").AddText("<&>'\"\t\n\r]]>"), "<a>&lt;&amp;&gt;'\"\t\n&#xD;]]&gt;</a>"},
		{"attribute text", NewElement("", "a").Set("x", "<&>'\"\t\n\r"), "<a x='&lt;&amp;&gt;&apos;&quot;&#x9;&#xA;&#xD;'/>"},
		{"forbidden", NewElement("", "a").AddText("\x00\x0b\x1f\xff\xc3(\ufffe\uffff\ufffd\U0001F600é"), "<a>\ufffd\ufffd\ufffd\ufffd\ufffd(\ufffd\ufffd\ufffd\U0001F600é</a>"},
		{"surrogate bytes", NewElement("", "a").AddText("\xed\xa0\x80"), "<a>\ufffd\ufffd\ufffd</a>"},
		{"stray declaration", &Element{Name: xml.Name{Local: "a"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: "u"}}}, "<a/>"},
	} {
		assert.Equal(t, c.want, c.e.String(), c.name)
	}
	assert.Equal(t, "x<a/>", string(NewElement("u", "a").Append([]byte("x"), "u")))
	assert.Equal(t, "", (*Element)(nil).String())
}

func TestElementAccess(t *testing.T) {
	e, err := ParseElement([]byte(`<a xmlns='u' x='1' xml:lang='de' xmlns:p='v' p:x='2'>t1<b/>t2<b xmlns='v' n='2'>x</b>&#65;</a>`))
	require.NoError(t, err)
	assert.Equal(t, "1", e.Attribute("x"))
	assert.Equal(t, "2", e.AttributeNS("v", "x"))
	assert.Equal(t, "de", e.AttributeNS(NSXML, "lang"))
	assert.Equal(t, "", e.Attribute("lang"))
	assert.Len(t, e.Attr, 3)
	assert.Equal(t, "2", e.Child("v", "b").Attribute("n"))
	assert.Equal(t, "x", e.Child("v", "b").Text())
	assert.Nil(t, e.Child("v", "a"))
	assert.Nil(t, e.Child("w", "b").Child("", "c"))
	assert.Equal(t, "t1t2A", e.Text())
	assert.Equal(t, "", e.Child("u", "b").Text())
	assert.Equal(t, "", (*Element)(nil).Text())
	n := 0
	for range e.Elements() {
		n++
	}
	assert.Equal(t, 2, n)
	for range e.Elements() {
		break
	}
	for range (*Element)(nil).Elements() {
		t.Fatal("element of nil")
	}
}

func TestElementClone(t *testing.T) {
	e, err := ParseElement([]byte(`<a x='1'>t<b y='2'><c/></b></a>`))
	require.NoError(t, err)
	c := e.Clone()
	assert.Equal(t, e, c)
	c.Set("x", "9").Children[1].Elem.Set("y", "9")
	assert.Equal(t, `<a x='1'>t<b y='2'><c/></b></a>`, e.String())
	assert.Nil(t, (*Element)(nil).Clone())
}

func TestParseElement(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"<?xml version='1.0'?>\n<a/>\n", "<a/>"},
		{" <a b = \"c\" ></a > ", "<a b='c'/>"},
		{"<p:a xmlns:p='u'><p:b/><b/></p:a>", "<a xmlns='u'><b/><b xmlns=''/></a>"},
		{"<a xmlns='u'><b xmlns=''/></a>", "<a xmlns='u'><b xmlns=''/></a>"},
		{"<a xmlns:p='u'><b xmlns:p='v'><p:c/></b><p:c/></a>", "<a><b><c xmlns='v'/></b><c xmlns='u'/></a>"},
		{"<a><![CDATA[<b>]]]]><![CDATA[>&amp;]]>x</a>", "<a>&lt;b&gt;]]&gt;&amp;amp;x</a>"},
		{"<a>]]]</a>", "<a>]]]</a>"},
		{"<a b='x>y'>1</a>", "<a b='x&gt;y'>1</a>"},
		{"<a b='\"' c=\"'/>\"/>", "<a b='&quot;' c='&apos;/&gt;'/>"},
		{"<a>&lt;&#x20AC;&#8364;&apos;</a>", "<a>&lt;€€'</a>"},
		{"<a xml:lang='de'/>", "<a xml:lang='de'/>"},
		{"<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='de'/>", "<a xml:lang='de'/>"},
		{"<ä ö='ü'/>", "<ä ö='ü'/>"},
		{"<a xmlns:p='u' p:b='1' b='2'/>", "<a xmlns:ns0='u' ns0:b='1' b='2'/>"},
		{"<a>one\r\ntwo</a>", "<a>one\ntwo</a>"},
	} {
		e, err := ParseElement([]byte(c.in))
		if assert.NoError(t, err, c.in) {
			assert.Equal(t, c.want, e.String(), c.in)
		}
	}
}

func TestParseElementErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", ErrNotWellFormed},
		{" ", ErrNotWellFormed},
		{"x", ErrNotWellFormed},
		{"<", ErrNotWellFormed},
		{"<a", ErrNotWellFormed},
		{"<a>", ErrNotWellFormed},
		{"</a>", ErrNotWellFormed},
		{"<a></b>", ErrNotWellFormed},
		{"<a/><b/>", ErrNotWellFormed},
		{"<a/>x", ErrNotWellFormed},
		{"<>", ErrNotWellFormed},
		{"<a b/>", ErrNotWellFormed},
		{"<a b=c/>", ErrNotWellFormed},
		{"<a b='<'/>", ErrNotWellFormed},
		{"<a>&x;</a>", ErrNotWellFormed},
		{"<a>&#0;</a>", ErrNotWellFormed},
		{"<a>\x01</a>", ErrNotWellFormed},
		{"<a>\xff</a>", ErrNotWellFormed},
		{"<a>]]></a>", ErrNotWellFormed},
		{"<a b='1' b='2'/>", ErrNotWellFormed},
		{"<p:a/>", ErrNotWellFormed},
		{"<a p:b='1'/>", ErrNotWellFormed},
		{"<vcard-temp:vCard/>", ErrNotWellFormed},
		{"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", ErrNotWellFormed},
		{"<a xmlns:p=''/>", ErrNotWellFormed},
		{"<a xmlns='u' xmlns='v'/>", ErrNotWellFormed},
		{"<a xmlns:p='u' xmlns:p='u'/>", ErrNotWellFormed},
		{"<a xmlns:xml='u'/>", ErrNotWellFormed},
		{"<a xmlns:xmlns='u'/>", ErrNotWellFormed},
		{"<a xmlns='http://www.w3.org/XML/1998/namespace'/>", ErrNotWellFormed},
		{"<a xmlns='http://www.w3.org/2000/xmlns/'/>", ErrNotWellFormed},
		{"<a:b:c/>", ErrNotWellFormed},
		{"<:a/>", ErrNotWellFormed},
		{"<a xmlns:p='u'><p:1/></a>", ErrNotWellFormed},
		{"<a xmlns:p='u'><p:a></q:a></a>", ErrNotWellFormed},
		{"<a xmlns:p='u' xmlns:q='u'><p:a></q:a></a>", ErrNotWellFormed},
		{"<a><b></a></b>", ErrNotWellFormed},
		{"<a '>'/>", ErrNotWellFormed},
		{"<a></a'>'</a>", ErrNotWellFormed},
		{"<![CDATA[x]]>", ErrNotWellFormed},
		{"<a/><![CDATA[x]]>", ErrNotWellFormed},
		{"<a><!-- c --></a>", ErrRestrictedXML},
		{"<a><?p i?></a>", ErrRestrictedXML},
		{"<!DOCTYPE a><a/>", ErrRestrictedXML},
		{"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", ErrRestrictedXML},
		{"<!-- c --><a/>", ErrRestrictedXML},
		{"<a><!ELEMENT x></a>", ErrRestrictedXML},
		{"<a><![INCLUDE[x]]></a>", ErrRestrictedXML},
		{"<?p i?><a/>", ErrRestrictedXML},
		{"<?xml-stylesheet href='x'?><a/>", ErrRestrictedXML},
		{"<?xml><a/>", ErrNotWellFormed},
		{"<?xml version='1.0' encoding='latin1'?><a/>", ErrNotWellFormed},
	} {
		e, err := ParseElement([]byte(c.in))
		assert.ErrorIs(t, err, c.want, "%s gave %s", c.in, e)
	}
	_, err := ParseElement([]byte(strings.Repeat("<a>", 65) + strings.Repeat("</a>", 65)))
	var tooLarge *ErrTooLarge
	assert.ErrorAs(t, err, &tooLarge)
}

func TestParseElementKeepsInput(t *testing.T) {
	in := []byte("<?xml version='1.0'?> <a b='c'>d</a>")
	before := string(in)
	_, err := ParseElement(in)
	require.NoError(t, err)
	assert.Equal(t, before, string(in))
}

// elements draws elements that can be written: names are names, text is XML text, and adjacent texts are
// one.
func elements() *rapid.Generator[*Element] {
	name := rapid.StringMatching(`[a-zA-Z_é][a-zA-Z0-9_.é-]{0,5}`)
	space := rapid.SampledFrom([]string{"", "u", "urn:x:1", "a'b&c", NSClient})
	text := rapid.StringOfN(rapid.RuneFrom([]rune{'a', '<', '>', '&', '\'', '"', '\t', '\n', '\r', ']', 'é', '😀', ' ', '\uFFFD'}), 1, 8, -1)
	var element func(depth int) *rapid.Generator[*Element]
	element = func(depth int) *rapid.Generator[*Element] {
		return rapid.Custom(func(t *rapid.T) *Element {
			e := NewElement(space.Draw(t, "space"), name.Draw(t, "name"))
			for range rapid.IntRange(0, 3).Draw(t, "attributes") {
				e.SetNS(rapid.SampledFrom([]string{"", "", "u", NSXML, "v'"}).Draw(t, "space"), name.Draw(t, "name"), text.Draw(t, "value"))
			}
			for range rapid.IntRange(0, 3).Draw(t, "children") {
				if depth > 0 && rapid.Bool().Draw(t, "element") {
					e.Add(element(depth-1).Draw(t, "child"))
				} else {
					e.AddText(text.Draw(t, "text"))
				}
			}
			return e
		})
	}
	return element(3)
}

func TestElementRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := elements().Draw(t, "element")
		got, err := ParseElement(e.Append(nil, ""))
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Fatalf("%s:\n%s", e, d)
		}
	})
}

// FuzzParseElement also asks encoding/xml on its own: whatever is accepted here is well-formed there and
// has the same tokens, and what is written is stable.
func FuzzParseElement(f *testing.F) {
	for _, s := range []string{
		sample, "<a/>", "<a><![CDATA[x]]>y</a>", "<p:a xmlns:p='u' p:b='c'/>", "<a b='x>y'/>", "<a><!-- --></a>",
		"<?xml version='1.0'?><a/>", "<a>&#65;&lt;</a>", "<a xmlns:p='u'><p:1/></a>", "<a b=\"'\" c='\"'>]]]</a>", "<a\n/>",
		"<a></a >", "<a><b></b></a>", "<a 'x'/>", "<?xml><a/>", "<?xml version='1.0' encoding='latin1'?><a/>", "<a></a><b/>", "<a:b/>", "<a xmlns=''/>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseElement(data)
		if err != nil {
			return
		}
		out := e.Append(nil, "")
		again, err := ParseElement(out)
		if err != nil {
			t.Fatalf("%q -> %q: %v", data, out, err)
		}
		if d := cmp.Diff(e, again); d != "" {
			t.Fatalf("%q -> %q:\n%s", data, out, d)
		}
		if a, b := tokens(t, data), tokens(t, out); a != b {
			t.Fatalf("%q -> %q:\n%s\n%s", data, out, a, b)
		}
	})
}

// tokens renders a document by the names and texts that encoding/xml finds in it.
func tokens(t *testing.T, data []byte) string {
	var b strings.Builder
	d := xml.NewDecoder(strings.NewReader(string(data)))
	depth := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatalf("encoding/xml refuses %q: %v", data, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			b.WriteString("<" + token.Name.Space + "|" + token.Name.Local)
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					b.WriteString(" " + a.Name.Space + "|" + a.Name.Local + "=" + a.Value)
				}
			}
			b.WriteString(">")
		case xml.EndElement:
			depth--
			b.WriteString("</>")
		case xml.CharData:
			if depth > 0 {
				b.Write(token)
			}
		}
	}
}

package xmpptest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/stoxgate/stoxgate/xmpp"
)

const header = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='sip.example'>"

var streamScope = []binding{{"", xmpp.NSComponentAccept}, {"stream", xmpp.NSStream}}

func parseString(s string) (*xmpp.Element, error) {
	var p parser
	return p.parse(s, streamScope)
}

func TestParseElement(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", `<a/>`, `<a xmlns='jabber:component:accept'/>`},
		{"quotes", `<a b="it's" c='"x"'/>`, `<a xmlns='jabber:component:accept' b='it&apos;s' c='&quot;x&quot;'/>`},
		{"gt in attribute", `<a b='>'>1</a >`, `<a xmlns='jabber:component:accept' b='&gt;'>1</a>`},
		{"default namespace", `<a xmlns='u'><b/><c xmlns=''/></a>`, `<a xmlns='u'><b/><c xmlns=''/></a>`},
		{"prefixes", `<p:a xmlns:p='u' p:k='v' k='w'><p:b/></p:a>`, `<a xmlns='u' xmlns:ns0='u' ns0:k='v' k='w'><b/></a>`},
		{"prefix undone at the end", `<a><p:b xmlns:p='u'/><c xmlns='w'/><d/></a>`, `<a xmlns='jabber:component:accept'><b xmlns='u'/><c xmlns='w'/><d/></a>`},
		{"stream prefix", `<stream:error/>`, `<error xmlns='http://etherx.jabber.org/streams'/>`},
		{"language", `<a xml:lang='de'/>`, `<a xmlns='jabber:component:accept' xml:lang='de'/>`},
		{"references", `<a>&lt;&gt;&amp;&apos;&quot;&#65;&#x42;&#x1F600;</a>`, "<a xmlns='jabber:component:accept'>&lt;&gt;&amp;'\"AB\U0001F600</a>"},
		{"CDATA", `<a>x<![CDATA[<y>&amp;]]>z</a>`, `<a xmlns='jabber:component:accept'>x&lt;y&gt;&amp;amp;z</a>`},
		{"line ends", "<a b='1\r\n2\t3'>1\r\n2\r3</a>", "<a xmlns='jabber:component:accept' b='1 2 3'>1\n2\n3</a>"},
		{"kept line end", "<a>&#13;</a>", "<a xmlns='jabber:component:accept'>&#xD;</a>"},
		{"mixed", `<a>1<b/>2<c>3</c></a>`, `<a xmlns='jabber:component:accept'>1<b/>2<c>3</c></a>`},
		{"names", `<é_-.1 ü='1'/>`, `<é_-.1 xmlns='jabber:component:accept' ü='1'/>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := parseString(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1)
	for _, tt := range []struct{ name, in, condition string }{
		{"undeclared prefix", `<p:a/>`, "not-well-formed"},
		{"undeclared attribute prefix", `<a p:b='1'/>`, "not-well-formed"},
		{"repeated attribute", `<a to='1' to='2'/>`, "not-well-formed"},
		{"attribute repeated by namespace", `<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>`, "not-well-formed"},
		{"wrong end tag", `<a></b>`, "not-well-formed"},
		{"end tag too long", `<a></ab>`, "not-well-formed"},
		{"unquoted", `<a b=1/>`, "not-well-formed"},
		{"no value", `<a b/>`, "not-well-formed"},
		{"no space", `<a b='1'c='2'/>`, "not-well-formed"},
		{"lt in attribute", `<a b='<'/>`, "not-well-formed"},
		{"bare ampersand", `<a>AT&T</a>`, "not-well-formed"},
		{"end of CDATA in text", `<a>]]></a>`, "not-well-formed"},
		{"control character", "<a>\x01</a>", "not-well-formed"},
		{"control character in attribute", "<a b='\x0b'/>", "not-well-formed"},
		{"control character by reference", "<a>&#1;</a>", "not-well-formed"},
		{"surrogate by reference", "<a>&#xD800;</a>", "not-well-formed"},
		{"beyond Unicode", "<a>&#x110000;</a>", "not-well-formed"},
		{"huge reference", "<a>&#99999999999999999999;</a>", "not-well-formed"},
		{"empty reference", "<a>&#;</a>", "not-well-formed"},
		{"U+FFFE", "<a>\uFFFE</a>", "not-well-formed"},
		{"not UTF-8", "<a>\xff</a>", "not-well-formed"},
		{"name starts with digit", "<1/>", "not-well-formed"},
		{"two colons", "<a:b:c/>", "not-well-formed"},
		{"prefix xmlns", "<xmlns:a/>", "not-well-formed"},
		{"prefix unbound", "<a xmlns:p=''/>", "not-well-formed"},
		{"xml rebound", "<a xmlns:xml='u'/>", "not-well-formed"},
		{"data behind", "<a/>x", "not-well-formed"},
		{"not closed", "<a><b/>", "not-well-formed"},
		{"comment", "<a><!-- x --></a>", "restricted-xml"},
		{"instruction", "<a><?x y?></a>", "restricted-xml"},
		{"entity", "<a>&nbsp;</a>", "restricted-xml"},
		{"deep", deep, "policy-violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := parseString(tt.in)
			var se *StreamError
			if !errors.As(err, &se) || se.Condition != tt.condition {
				t.Errorf("got %v, %v; want %s", e, err, tt.condition)
			}
		})
	}
}

// FuzzParse holds the parser against encoding/xml: what ours accepts, that one
// accepts too, and reads alike.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`<message to='a@b' type="chat"><body>hi &lt; &#x41;</body><x xmlns='u' xmlns:p='v' p:q='1'/></message>`,
		`<a><![CDATA[x]]>&amp;</a>`, "<a b='1\r\n'>\r</a>", `<a xml:lang='x'/>`, `<stream:error/>`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseString(s)
		if err != nil {
			return
		}
		std, err := stdParse(s)
		if err != nil {
			t.Fatalf("encoding/xml: %v", err)
		}
		if d := cmp.Diff(std, e); d != "" {
			t.Fatalf("-encoding/xml +ours\n%s", d)
		}
		// What the gateway's writer makes of it reads the same again. It replaces
		// nothing, since only valid characters came in.
		back, err := parseString(string(e.Append(nil, xmpp.NSComponentAccept)))
		if err != nil {
			t.Fatalf("written: %v", err)
		}
		if d := cmp.Diff(e, back); d != "" {
			t.Fatalf("-before +after\n%s", d)
		}
	})
}

func stdParse(s string) (*xmpp.Element, error) {
	d := xml.NewDecoder(strings.NewReader(header + s + "</stream:stream>"))
	if _, err := d.Token(); err != nil { // declaration
		return nil, err
	}
	if _, err := d.Token(); err != nil { // stream header
		return nil, err
	}
	var stack []*xmpp.Element
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			e := &xmpp.Element{Name: tok.Name}
			for _, a := range tok.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				a.Value = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(a.Value)
				e.Attr = append(e.Attr, a)
			}
			if len(stack) > 0 {
				stack[len(stack)-1].Add(e)
			}
			stack = append(stack, e)
		case xml.EndElement:
			if len(stack) == 1 {
				return stack[0], nil
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			stack[len(stack)-1].AddText(string(tok))
		}
	}
}

func TestWireReader(t *testing.T) {
	stanzas := []string{
		`<message to='a'><body>1 &gt; 0</body></message>`, `<iq/>`, `<a b='/>'><c><![CDATA[</c>]]></c></a>`,
		`<presence><status>` + strings.Repeat("x", 100_000) + `</status></presence>`,
	}
	stream := header + " \n" + strings.Join(stanzas, "\n ") + "</stream:stream >"
	for name, r := range map[string]io.Reader{
		"at once": strings.NewReader(stream), "by byte": iotest.OneByteReader(strings.NewReader(stream)),
		"by half": iotest.HalfReader(strings.NewReader(stream)), "with error": iotest.DataErrReader(strings.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWireReader(r, 200_000)
			h, err := w.open()
			if err != nil || h.Attribute("to") != "sip.example" || w.defaultSpace() != xmpp.NSComponentAccept {
				t.Fatal(h, err)
			}
			for _, s := range stanzas {
				want, err := parseString(s)
				if err != nil {
					t.Fatal(err)
				}
				got, err := w.next()
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Error(d)
				}
			}
			if _, err := w.next(); !errors.Is(err, errStreamEnd) {
				t.Error(err)
			}
		})
	}
}

func TestWireReaderRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, condition string }{
		{"text between stanzas", header + "<a/>x<b/>", "not-well-formed"},
		{"stray end tag", header + "</a>", "not-well-formed"},
		{"comment", header + "<!-- -->", "restricted-xml"},
		{"CDATA between stanzas", header + "<![CDATA[x]]>", "restricted-xml"},
		{"instruction", header + "<?a?>", "restricted-xml"},
		{"doctype", "<!DOCTYPE x>", "not-well-formed"},
		{"other encoding", "<?xml version='1.0' encoding='latin-1'?><a>", "unsupported-encoding"},
		{"other version", "<?xml version='1.1'?><a>", "not-well-formed"},
		{"instruction first", "<?php x?><a>", "restricted-xml"},
		{"no header", "hello", "not-well-formed"},
		{"header closed", "<stream:stream xmlns:stream='u'/>", "not-well-formed"},
		{"lt in tag", header + "<a <b/>", "not-well-formed"},
		{"too large", header + "<a>" + strings.Repeat("x", 40_000) + "</a>", "policy-violation"},
		{"endless tag", header + "<a " + strings.Repeat("x", 40_000), "policy-violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWireReader(strings.NewReader(tt.in), 10_000)
			_, err := w.open()
			for err == nil {
				_, err = w.next()
			}
			var se *StreamError
			if !errors.As(err, &se) || se.Condition != tt.condition {
				t.Errorf("got %v, want %s", err, tt.condition)
			}
		})
	}
	w := newWireReader(strings.NewReader(header+"<a><b/>"), 10_000)
	_, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func BenchmarkParse(b *testing.B) {
	s := []byte(`<message from='mira@chat.example/desk' to='otto@sip.example' id='m-1' type='chat' xml:lang='en'><body>Which berth tonight?</body><thread>t-9f2</thread><request xmlns='urn:xmpp:receipts'/></message>`)
	b.ReportAllocs()
	var stream bytes.Buffer
	stream.WriteString(header)
	for range b.N {
		stream.Write(s)
	}
	w := newWireReader(&stream, 1<<20)
	if _, err := w.open(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		if _, err := w.next(); err != nil {
			b.Fatal(err)
		}
	}
}

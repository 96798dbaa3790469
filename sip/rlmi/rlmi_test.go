package rlmi

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// RFC 4662 §5.1.
const sampleList = `<?xml version="1.0"?>
<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:adam-friends@lists.vancouver.example.com" version="7" fullState="true">
 <name xml:lang="en">Buddy List</name><name xml:lang="fr">Liste d'amis</name>
 <resource uri="sip:bob@vancouver.example.com"><name>Bob Smith</name><instance id="juwigmtboe" state="active" cid="12345.aaa@vancouver.example.com"/></resource>
 <resource uri="sip:jim@vancouver.example.com"><name>Jim</name><instance id="oflzxqzuvg" state="terminated" reason="rejected" /></resource>
 <resource uri="sip:ed@vancouver.example.com"><instance id="grqhzsppxb" state="pending"/><x:y xmlns:x="urn:x"><name>no</name></x:y></resource>
 <resource uri="sip:new@vancouver.example.com"/>
</list>`

// RFC 4662 §6, abridged, with the LF of a text editor in the list.
var sampleBody = strings.ReplaceAll(`preamble
--50UBfW7LSCVLtggUPe5z
Content-Transfer-Encoding: binary
Content-ID: <bUZBsM@pres.vancouver.example.com>
Content-Type: application/pidf+xml;charset="UTF-8"

<presence/>
--50UBfW7LSCVLtggUPe5z
Content-Transfer-Encoding: binary
Content-ID: <nXYxAE@pres.vancouver.example.com>
Content-Type: Application/rlmi+xml;charset="UTF-8"

<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:l@x" version="1" fullState="0"><resource uri="sip:bob@x"><instance id="a" state="active" cid="&lt;bUZBsM@pres.vancouver.example.com&gt;"/></resource></list>
--50UBfW7LSCVLtggUPe5z
Content-Transfer-Encoding: base64
Content-Type: text/plain

aGVs
bG8=
--50UBfW7LSCVLtggUPe5z--
`, "\n", "\r\n")

const sampleType = `multipart/related;type="application/rlmi+xml";start="<nXYxAE@pres.vancouver.example.com>";boundary="50UBfW7LSCVLtggUPe5z"`

var parsedList = &List{
	URI: "sip:adam-friends@lists.vancouver.example.com", Version: 7, Full: true,
	Names: []Name{{"en", "Buddy List"}, {"fr", "Liste d'amis"}},
	Resources: []Resource{
		{URI: "sip:bob@vancouver.example.com", Names: []Name{{"", "Bob Smith"}}, Instances: []Instance{{"juwigmtboe", Active, "", "12345.aaa@vancouver.example.com"}}},
		{URI: "sip:jim@vancouver.example.com", Names: []Name{{"", "Jim"}}, Instances: []Instance{{"oflzxqzuvg", Terminated, "rejected", ""}}},
		{URI: "sip:ed@vancouver.example.com", Instances: []Instance{{"grqhzsppxb", Pending, "", ""}}},
		{URI: "sip:new@vancouver.example.com"},
	},
}

func TestParseList(t *testing.T) {
	got, err := ParseList([]byte(sampleList))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(parsedList, got); d != "" {
		t.Fatal(d)
	}
	again, err := ParseList([]byte(got.String()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, again); d != "" {
		t.Fatal(d)
	}
}

func TestParseListErrors(t *testing.T) {
	const head = `<list xmlns="` + NS + `" uri="u" version="0" fullState="true">`
	tests := []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"cut off", head + "<resource uri='a'>", ErrMalformed},
		{"document type", "<!DOCTYPE l>" + head + "</list>", ErrMalformed},
		{"no uri", `<list xmlns="` + NS + `" version="0" fullState="true"/>`, ErrMalformed},
		{"no version", `<list xmlns="` + NS + `" uri="u" fullState="true"/>`, ErrMalformed},
		{"version", `<list xmlns="` + NS + `" uri="u" version="4294967296" fullState="true"/>`, ErrMalformed},
		{"no fullState", `<list xmlns="` + NS + `" uri="u" version="0"/>`, ErrMalformed},
		{"resource without uri", head + "<resource/></list>", ErrMalformed},
		{"instance without id", head + "<resource uri='a'><instance state='active'/></resource></list>", ErrMalformed},
		{"instance without state", head + "<resource uri='a'><instance id='a'/></resource></list>", ErrMalformed},
		{"other root", "<list xmlns='urn:x'/>", ErrUnsupported},
		{"deep", head + strings.Repeat("<a>", 100), ErrTooLarge},
		{"resources", head + strings.Repeat("<resource uri='a'/>", maxResources+1), ErrTooLarge},
		{"instances", head + "<resource uri='a'>" + strings.Repeat("<instance id='a' state='pending'/>", maxInstances+1), ErrTooLarge},
		{"big", strings.Repeat(" ", MaxSize+1), ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if l, err := ParseList([]byte(tt.in)); !errors.Is(err, tt.want) || l != nil {
				t.Fatalf("%+v, %v", l, err)
			}
		})
	}
	l, err := ParseList([]byte(head + strings.Repeat("<name>a</name>", 100) + "</list>"))
	if err != nil || len(l.Names) != maxNames {
		t.Fatal(err)
	}
}

func TestParseBody(t *testing.T) {
	got, err := ParseBody(sampleType, []byte(sampleBody))
	if err != nil {
		t.Fatal(err)
	}
	want := &Body{
		List: List{URI: "sip:l@x", Version: 1, Resources: []Resource{{URI: "sip:bob@x", Instances: []Instance{{"a", Active, "", "bUZBsM@pres.vancouver.example.com"}}}}},
		Parts: []Part{
			{"bUZBsM@pres.vancouver.example.com", `application/pidf+xml;charset="UTF-8"`, []byte("<presence/>")},
			{"", "text/plain", []byte("hello")},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	if p := got.Part(got.List.Resources[0].Instances[0].CID); p != &got.Parts[0] {
		t.Fatal("part of the instance")
	}
	if got.Part("") != nil || got.Part("x") != nil {
		t.Fatal("part of nothing")
	}
}

func TestParseBodyErrors(t *testing.T) {
	tests := []struct {
		name, contentType, in string
		want                  error
	}{
		{"other type", "application/pidf+xml", sampleBody, ErrUnsupported},
		{"other multipart", `multipart/mixed;boundary=x`, sampleBody, ErrUnsupported},
		{"unreadable type", `multipart/related;;;=`, sampleBody, ErrUnsupported},
		{"no boundary", `multipart/related`, sampleBody, ErrMalformed},
		{"other boundary", `multipart/related;boundary=x`, sampleBody, ErrMalformed},
		{"empty", sampleType, "", ErrMalformed},
		{"root of another type", `multipart/related;boundary="50UBfW7LSCVLtggUPe5z"`, sampleBody, ErrUnsupported},
		{"transfer encoding", sampleType, strings.Replace(sampleBody, "base64", "x-uuencode", 1), ErrMalformed},
		{"bad base64", sampleType, strings.Replace(sampleBody, "aGVs", "a!!s", 1), ErrMalformed},
		{"bad list", sampleType, strings.Replace(sampleBody, "fullState", "x", 1), ErrMalformed},
		{"parts", "multipart/related;boundary=x", strings.Repeat("--x\r\n\r\na\r\n", maxParts+2) + "--x--", ErrTooLarge},
		{"big", sampleType, strings.Repeat(" ", MaxSize+1), ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			if b, err := ParseBody(tt.contentType, []byte(tt.in)); !errors.Is(err, tt.want) || b != nil {
				t.Fatalf("%+v, %v", b, err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Error(took)
			}
		})
	}
}

func TestAppendBody(t *testing.T) {
	b := Body{
		Domain: "gw.harbor.example",
		List: List{URI: "sip:friends@gw.harbor.example", Full: true, Resources: []Resource{{
			URI: "sip:mira@chat.harbor.example", Names: []Name{{"", "Mira & <co>"}}, Instances: []Instance{{"1", Active, "", "r1@gw.harbor.example"}},
		}}},
		Parts: []Part{{"r1@gw.harbor.example", "application/pidf+xml", []byte("<presence/>--rlmi-0")}},
	}
	body, contentType := b.Append([]byte("x"))
	want := "x" + strings.ReplaceAll(`--rlmi-1
Content-Transfer-Encoding: binary
Content-ID: <list@gw.harbor.example>
Content-Type: application/rlmi+xml;charset="UTF-8"

<?xml version="1.0" encoding="UTF-8"?>
<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:friends@gw.harbor.example" version="0" fullState="true"><resource uri="sip:mira@chat.harbor.example"><name>Mira &amp; &lt;co&gt;</name><instance id="1" state="active" cid="r1@gw.harbor.example"/></resource></list>
--rlmi-1
Content-Transfer-Encoding: binary
Content-ID: <r1@gw.harbor.example>
Content-Type: application/pidf+xml

<presence/>--rlmi-0
--rlmi-1--
`, "\n", "\r\n")
	want = strings.Replace(want, "\"?>\r\n<list", "\"?>\n<list", 1)
	if d := cmp.Diff(want, string(body)); d != "" {
		t.Error(d)
	}
	if contentType != `multipart/related;type="application/rlmi+xml";start="<list@gw.harbor.example>";boundary="rlmi-1"` {
		t.Error(contentType)
	}
}

// Nothing in an id or a media type can become a header of its own.
func TestAppendBodyHostile(t *testing.T) {
	b := Body{Domain: "a\r\nX: y>", List: List{URI: "u"}, Parts: []Part{{"b>\r\nX: y", "text/plain\r\nX: y", nil}}}
	body, contentType := b.Append(nil)
	if bytes.Contains(body, []byte("\nX:")) || strings.ContainsAny(contentType, "\r\n") {
		t.Fatalf("%s\n%s", contentType, body)
	}
	if _, err := ParseBody(contentType, body); err != nil {
		t.Fatal(err)
	}
}

func splitBody(n, document int) Body {
	b := Body{List: List{URI: "u", Full: true, Names: []Name{{"", "n"}}}}
	for i := range n {
		r := Resource{URI: fmt.Sprint("r", i)}
		if i%5 != 1 {
			r.Instances = []Instance{{"a", Active, "", fmt.Sprint("c", i)}}
			b.Parts = append(b.Parts, Part{CID: fmt.Sprint("c", i), Data: make([]byte, document)})
		}
		b.List.Resources = append(b.List.Resources, r)
	}
	return b
}

func TestSplit(t *testing.T) {
	b := splitBody(5, 1000)
	got := b.Split(2700)
	if len(got) != 2 || !got[0].List.Full || got[1].List.Full || got[1].List.Version != 1 || got[1].List.Names != nil {
		t.Fatalf("%+v", got)
	}
	if len(got[0].Parts) != 2 || len(got[1].Parts) != 2 || len(got[0].List.Resources) != 5 || len(got[1].List.Resources) != 2 {
		t.Fatalf("%+v", got)
	}
	if got[0].List.Resources[3].Instances != nil || got[1].List.Resources[0].Instances == nil || len(b.List.Resources) != 5 {
		t.Fatalf("%+v", got)
	}
	if got := b.Split(10_000); len(got) != 1 || cmp.Diff(b, got[0]) != "" {
		t.Fatalf("%+v", got)
	}
	if got := b.Split(1400); len(got) != 4 || len(got[3].Parts) != 1 || got[3].List.Version != 3 {
		t.Fatalf("%+v", got)
	}
	b.List.Full = false
	if got := b.Split(2700); len(got[0].List.Resources) != 3 {
		t.Fatalf("%+v", got)
	}
}

// Whatever the size of a list and of its documents, no body is larger than it may be, and all is told once.
func TestSplitLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := splitBody(rapid.IntRange(0, 400).Draw(t, "resources"), rapid.IntRange(0, 600).Draw(t, "document"))
		b.List.Full = rapid.Bool().Draw(t, "full")
		limit := rapid.IntRange(1500, 20_000).Draw(t, "limit")
		told, named := map[string]int{}, map[string]bool{}
		for i, x := range b.Split(limit) {
			if data, _ := x.Append(nil); len(data) > limit {
				t.Fatalf("body %d has %d bytes", i, len(data))
			}
			if x.List.Version != b.List.Version+uint32(i) || x.List.Full != (b.List.Full && i == 0) {
				t.Fatalf("body %d: version %d, full %v", i, x.List.Version, x.List.Full)
			}
			for _, r := range x.List.Resources {
				named[r.URI] = true
				for _, instance := range r.Instances {
					told[r.URI]++
					if x.Part(instance.CID) == nil {
						t.Fatalf("body %d: %s has no part", i, r.URI)
					}
				}
			}
		}
		for _, r := range b.List.Resources {
			if !named[r.URI] || told[r.URI] != len(r.Instances) {
				t.Fatalf("%s: named %v, told %d times", r.URI, named[r.URI], told[r.URI])
			}
		}
	})
}

func TestRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[ -~éß漢]{1,20}`).Filter(func(s string) bool { return s == strings.TrimSpace(s) && s != "" })
	id := rapid.StringMatching(`[a-z0-9.]{1,9}@x`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Name {
			return Name{rapid.SampledFrom([]string{"", "de"}).Draw(t, "lang"), text.Draw(t, "name")}
		}), 0, 2)
		instance := rapid.Custom(func(t *rapid.T) Instance {
			switch rapid.IntRange(0, 2).Draw(t, "state") {
			case 0:
				return Instance{id.Draw(t, "id"), Active, "", id.Draw(t, "cid")}
			case 1:
				return Instance{id.Draw(t, "id"), Pending, "", ""}
			}
			return Instance{id.Draw(t, "id"), Terminated, "rejected", ""}
		})
		resource := rapid.Custom(func(t *rapid.T) Resource {
			return Resource{text.Draw(t, "uri"), names.Draw(t, "names"), rapid.SliceOfN(instance, 0, 3).Draw(t, "instances")}
		})
		b := &Body{List: List{
			URI: text.Draw(t, "list"), Version: rapid.Uint32().Draw(t, "version"), Full: rapid.Bool().Draw(t, "full"), Names: names.Draw(t, "names"),
			Resources: rapid.SliceOfN(resource, 0, 4).Draw(t, "resources"),
		}}
		b.Parts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Part {
			return Part{id.Draw(t, "cid"), "application/pidf+xml", rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
		}), 0, 3).Draw(t, "parts")
		body, contentType := b.Append(nil)
		got, err := ParseBody(contentType, body)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if diff := cmp.Diff(b, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q\n%s", body, diff)
		}
	})
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(sampleList))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseList(data)
		if err != nil {
			return
		}
		wire := l.Append(nil)
		again, err := ParseList(wire)
		if errors.Is(err, ErrTooLarge) && len(wire) > MaxSize {
			return
		}
		if err != nil || !bytes.Equal(again.Append(nil), wire) {
			t.Fatalf("%s: %v", wire, err)
		}
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add(sampleType, []byte(sampleBody))
	f.Fuzz(func(t *testing.T, contentType string, data []byte) {
		b, err := ParseBody(contentType, data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		body, contentType := b.Append(nil)
		again, err := ParseBody(contentType, body)
		if errors.Is(err, ErrTooLarge) && len(body) > MaxSize {
			return
		}
		if err != nil || len(again.Parts) != len(b.Parts) {
			t.Fatalf("%s\n%s: %v", contentType, body, err)
		}
	})
}

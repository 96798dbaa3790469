package fthttp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	until := time.Date(2026, 6, 4, 0, 0, 0, 0, time.UTC)
	pier := Document{[]Info{
		{Thumbnail: true, Size: 9011, ContentType: "image/jpeg", URL: "https://up.harbor.example/t/91.jpg", Until: until},
		{Size: 231044, Name: "pier.jpg", ContentType: "image/jpeg", URL: "https://up.harbor.example/f/91.jpg?a=1&b=2", Until: until},
	}}
	tests := []struct {
		name, in string
		want     Document
	}{
		{"picture with thumbnail", `<?xml version="1.0" encoding="UTF-8"?>
<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp">
 <file-info type="thumbnail"><file-size>9011</file-size><content-type>image/jpeg</content-type>
  <data url="https://up.harbor.example/t/91.jpg" until="2026-06-04T00:00:00Z"/></file-info>
 <file-info type="file"><file-size>231044</file-size><file-name>pier.jpg</file-name><content-type>image/jpeg</content-type>
  <data url = "https://up.harbor.example/f/91.jpg?a=1&amp;b=2" until="2026-06-04T02:00:00.000+02:00"/></file-info>
</file>`, pier},
		{
			"audio message", `<file xmlns="` + NS + `" xmlns:am="` + NSAudio + `"><file-info type="file" file-disposition="render">
<file-size>4046</file-size><content-type>audio/wav;voice-recording=yes</content-type><am:playing-length>4046</am:playing-length>
<data url="https://x.example/a"/></file-info></file>`,
			Document{[]Info{{
				Disposition: Render, Size: 4046, ContentType: "audio/wav;voice-recording=yes",
				URL: "https://x.example/a", PlayingLength: 4046 * time.Millisecond,
			}}},
		},
		{
			"extension", `<file xmlns="` + NS + `" xmlns:x="` + NSExt + `"><file-info type="file"><file-size>x</file-size>
<content-type>a/b</content-type><data url="u" until="soon"/><x:branded-url>b</x:branded-url><x:file-hash>h</x:file-hash></file-info></file>`,
			Document{[]Info{{ContentType: "a/b", URL: "u", BrandedURL: "b", Hash: "h"}}},
		},
		{
			"children without namespace", `<file xmlns="` + NS + `"><file-info type="file" xmlns=""><file-name>n</file-name><data url="u"/></file-info></file>`,
			Document{[]Info{{Name: "n", URL: "u"}}},
		},
		{
			"encrypted by Linphone", `<file xmlns="` + NS + `"><file-info type="file"><data url="u"/><file-key>k</file-key></file-info></file>`,
			Document{[]Info{{URL: "u", Encrypted: true}}},
		},
		{
			"unknown elements", `<file xmlns="` + NS + `"><x/><file-info type="file" file-disposition="eat"><y><data url="no"/></y><data url="u"/><file-exist>1</file-exist></file-info></file>`,
			Document{[]Info{{URL: "u"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	const file = `<file-info type="file"><data url="u"/></file-info>`
	for name, in := range map[string]string{
		"empty":        "",
		"other root":   `<files xmlns="` + NS + `"/>`,
		"no namespace": `<file>` + file + `</file>`,
		"no file":      `<file xmlns="` + NS + `"/>`,
		"no url":       `<file xmlns="` + NS + `"><file-info type="file"><data/></file-info></file>`,
		"many files":   `<file xmlns="` + NS + `">` + strings.Repeat(file, maxFiles+1) + `</file>`,
		"entity":       `<!DOCTYPE f [<!ENTITY a "u">]><file xmlns="` + NS + `"><file-info><data url="&a;"/></file-info></file>`,
		"nested":       `<file xmlns="` + NS + `">` + strings.Repeat("<a>", 12_000),
		"too big":      `<file xmlns="` + NS + `">` + strings.Repeat(" ", maxSize),
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := Parse([]byte(in)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%+v, %v", d, err)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[ -~éß漢]{0,20}`).Filter(func(s string) bool { return s == strings.TrimSpace(s) })
	rapid.Check(t, func(t *rapid.T) {
		var d Document
		for range rapid.IntRange(1, 3).Draw(t, "files") {
			f := Info{
				Thumbnail:     rapid.Bool().Draw(t, "thumbnail"),
				Disposition:   rapid.SampledFrom([]Disposition{"", Render, Attachment}).Draw(t, "disposition"),
				Size:          rapid.Int64Range(0, 1<<62).Draw(t, "size"),
				Name:          text.Draw(t, "name"),
				ContentType:   text.Draw(t, "type"),
				URL:           rapid.StringMatching(`https://[!-~]{1,30}`).Draw(t, "url"),
				BrandedURL:    text.Draw(t, "branded"),
				Hash:          text.Draw(t, "hash"),
				PlayingLength: time.Duration(rapid.IntRange(0, 1e6).Draw(t, "length")) * time.Millisecond,
			}
			if rapid.Bool().Draw(t, "timed") {
				f.Until = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "until"), 0).UTC()
			}
			d.Files = append(d.Files, f)
		}
		got, err := Parse([]byte(d.String()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Document{[]Info{{Size: 1, Name: "n", ContentType: "a/b", URL: "https://x/y", Hash: "h", PlayingLength: time.Second}}}.String()))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse([]byte(d.String()))
		if err != nil || len(again.Files) != len(d.Files) {
			t.Fatalf("%q: %v", d, err)
		}
	})
}

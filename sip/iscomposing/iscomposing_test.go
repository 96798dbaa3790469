package iscomposing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	at := time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC)
	tests := []struct {
		name, in string
		want     Document
	}{
		{
			"full", `<?xml version="1.0" encoding="UTF-8"?>
<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="urn:ietf:params:xml:ns:im-composing iscomposing.xsd">
 <state>active</state><lastactive>2026-05-04T18:22:01Z</lastactive>
 <contenttype>text/plain</contenttype><refresh>90</refresh></isComposing>`,
			Document{Active, at, "text/plain", 90 * time.Second},
		},
		{
			"prefixed", `<i:isComposing xmlns:i="urn:ietf:params:xml:ns:im-iscomposing"><i:state> idle </i:state></i:isComposing>`,
			Document{},
		},
		{"unknown state is idle", `<isComposing xmlns="` + NS + `"><state>dancing</state></isComposing>`, Document{}},
		{
			"bad refresh is absent", `<isComposing xmlns="` + NS + `"><state>active</state><refresh>-4</refresh></isComposing>`,
			Document{State: Active},
		},
		{
			"huge refresh is absent", `<isComposing xmlns="` + NS + `"><state>active</state><refresh>99999999999</refresh></isComposing>`,
			Document{State: Active},
		},
		{
			"foreign state is not ours", `<isComposing xmlns="` + NS + `"><state>idle</state><x:state xmlns:x="urn:x">active</x:state></isComposing>`,
			Document{},
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
	for name, in := range map[string]string{
		"empty":        "",
		"text":         "hello",
		"other root":   `<x xmlns="` + NS + `"/>`,
		"no namespace": `<isComposing><state>active</state></isComposing>`,
		"no state":     `<isComposing xmlns="` + NS + `"/>`,
		"cut off":      `<isComposing xmlns="` + NS + `"><state>active`,
		"bomb": `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><isComposing xmlns="` + NS +
			`"><state>&b;</state></isComposing>`,
		"nested":  `<isComposing xmlns="` + NS + `">` + strings.Repeat("<a>", 4000),
		"too big": `<isComposing xmlns="` + NS + `">` + strings.Repeat(" ", maxSize) + `<state>idle</state></isComposing>`,
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := Parse([]byte(in)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%+v, %v", d, err)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Document{
			State:       State(rapid.IntRange(0, 1).Draw(t, "state")),
			ContentType: rapid.SampledFrom([]string{"", "text/plain", `a&<b>"`}).Draw(t, "type"),
			Refresh:     time.Duration(rapid.IntRange(0, 1<<31-1).Draw(t, "refresh")) * time.Second,
		}
		if rapid.Bool().Draw(t, "timed") {
			d.LastActive = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC()
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
	f.Add([]byte(Document{State: Active, Refresh: time.Minute}.String()))
	f.Add([]byte(`<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>idle</state></isComposing>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		if _, err := Parse([]byte(d.String())); err != nil {
			t.Fatalf("%q: %v", d, err)
		}
	})
}

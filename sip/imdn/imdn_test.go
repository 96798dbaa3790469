package imdn

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var at = time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC)

func TestParse(t *testing.T) {
	const head = `<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>m-42</message-id><datetime>2026-05-04T18:22:01Z</datetime>`
	base := Document{MessageID: "m-42", DateTime: at}
	with := func(k Kind, s Status) Document { d := base; d.Kind, d.Status = k, s; return d }
	full := with(Delivery, Delivered)
	full.Recipient, full.OriginalRecipient, full.Subject = "sip:otto@voice.quay.example", "sip:o@voice.quay.example", "a<b"
	tests := []struct {
		name, in string
		want     Document
	}{
		{"delivered, all elements", head + `
 <recipient-uri>sip:otto@voice.quay.example</recipient-uri>
 <original-recipient-uri>sip:o@voice.quay.example</original-recipient-uri><subject>a&lt;b</subject>
 <delivery-notification><status><delivered/></status></delivery-notification></imdn>`, full},
		{"displayed", head + `<display-notification><status><displayed/></status></display-notification></imdn>`, with(Display, Displayed)},
		{"processed", head + `<processing-notification><status><processed/></status></processing-notification></imdn>`, with(Processing, Processed)},
		{"failed with Linphone's reason", head + `<delivery-notification><status><failed/><reason xmlns="urn:x" code="488">no</reason></status></delivery-notification></imdn>`, with(Delivery, Failed)},
		{"extension first", head + `<delivery-notification><status><e:delivered xmlns:e="urn:x"/><forbidden/></status></delivery-notification></imdn>`, with(Delivery, Forbidden)},
		{
			"prefixed", `<i:imdn xmlns:i="` + NS + `"><i:message-id> x </i:message-id><i:display-notification><i:status><i:error/></i:status></i:display-notification></i:imdn>`,
			Document{MessageID: "x", Kind: Display, Status: Error},
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
	const id = `<imdn xmlns="` + NS + `"><message-id>m</message-id>`
	for name, in := range map[string]string{
		"empty":            "",
		"other root":       `<x xmlns="` + NS + `"/>`,
		"no namespace":     strings.Replace(id, ` xmlns="`+NS+`"`, "", 1) + `<display-notification><status><displayed/></status></display-notification></imdn>`,
		"no id":            `<imdn xmlns="` + NS + `"><display-notification><status><displayed/></status></display-notification></imdn>`,
		"no notification":  id + `</imdn>`,
		"no status":        id + `<display-notification/></imdn>`,
		"wrong status":     id + `<display-notification><status><delivered/></status></display-notification></imdn>`,
		"unknown status":   id + `<display-notification><status><eaten/></status></display-notification></imdn>`,
		"undefined entity": `<!DOCTYPE i [<!ENTITY a "m">]><imdn xmlns="` + NS + `"><message-id>&a;</message-id></imdn>`,
		"nested":           id + strings.Repeat("<a>", 10_000),
		"too big":          id + strings.Repeat(" ", maxSize),
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := Parse([]byte(in)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%+v, %v", d, err)
			}
		})
	}
}

func TestValid(t *testing.T) {
	valid := map[Kind]string{
		Unknown: "", Delivery: "delivered failed forbidden error",
		Processing: "processed stored forbidden error", Display: "displayed forbidden error", 9: "",
	}
	for k, list := range valid {
		for _, s := range []Status{Delivered, Failed, Displayed, Processed, Stored, Forbidden, Error, "", "x"} {
			want := s != "" && strings.Contains(" "+list+" ", " "+string(s)+" ")
			if got := (Document{Kind: k, Status: s}).Valid(); got != want {
				t.Errorf("%v %v valid %v", k, s, got)
			}
		}
	}
	if Kind(200).String() != "unknown" {
		t.Error("name of no kind")
	}
}

func TestRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[ -~éß漢]{0,20}`).Filter(func(s string) bool { return s == strings.TrimSpace(s) })
	rapid.Check(t, func(t *rapid.T) {
		d := Document{
			MessageID: rapid.StringMatching(`[!-~]{1,20}`).Draw(t, "id"),
			Recipient: text.Draw(t, "recipient"), OriginalRecipient: text.Draw(t, "original"), Subject: text.Draw(t, "subject"),
		}
		if rapid.Bool().Draw(t, "timed") {
			d.DateTime = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC()
		}
		pair := rapid.SampledFrom([]Document{
			{Kind: Delivery, Status: Delivered},
			{Kind: Delivery, Status: Failed},
			{Kind: Display, Status: Displayed},
			{Kind: Processing, Status: Stored},
			{Kind: Display, Status: Forbidden},
			{Kind: Delivery, Status: Error},
		}).Draw(t, "status")
		d.Kind, d.Status = pair.Kind, pair.Status
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
	f.Add([]byte(Document{MessageID: "m", DateTime: at, Recipient: "sip:a@b", Kind: Delivery, Status: Delivered}.String()))
	f.Add([]byte(`<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>m</message-id><display-notification><status><displayed/></status></display-notification></imdn>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse([]byte(d.String()))
		if err != nil || again.Kind != d.Kind || again.Status != d.Status {
			t.Fatalf("%q: %+v, %v", d, again, err)
		}
	})
}

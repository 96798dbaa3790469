package watcherinfo

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

const head = `<watcherinfo xmlns="` + NS + `" version="0" state="full">`

// RFC 3858 §5, and what Kamailio makes of it.
const (
	sampleRFC = `<?xml version="1.0"?>
<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="0" state="full">
 <watcher-list resource="sip:professor@example.net" package="presence">
  <watcher status="active" id="8ajksjda7s" duration-subscribed="509" event="approved" >sip:userA@example.net</watcher>
  <watcher status="pending" id="hh8juja87s997-ass7" display-name="Mr. Subscriber" event="subscribe" xml:lang="en">sip:userB@example.org</watcher>
 </watcher-list>
</watcherinfo>`
	sampleKamailio = `<?xml version="1.0"?>
<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="3" state="partial"><watcher-list resource="sip:otto@voice.quay.example" package="presence"><watcher id="a@192.0.2.1" event="subscribe" status="pending">sip:mira@chat.harbor.example</watcher></watcher-list></watcherinfo>
`
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		want     *Document
	}{
		{"RFC 3858", sampleRFC, &Document{Lists: []List{{Resource: "sip:professor@example.net", Package: "presence", Watchers: []Watcher{
			{ID: "8ajksjda7s", URI: "sip:userA@example.net", Status: Active, Event: Approved, Subscribed: 509 * time.Second},
			{ID: "hh8juja87s997-ass7", URI: "sip:userB@example.org", Status: Pending, Event: Subscribe, Name: "Mr. Subscriber", Lang: "en"},
		}}}}},
		{"Kamailio", sampleKamailio, &Document{Version: 3, Partial: true, Lists: []List{{Resource: "sip:otto@voice.quay.example", Package: "presence", Watchers: []Watcher{
			{ID: "a@192.0.2.1", URI: "sip:mira@chat.harbor.example", Status: Pending, Event: Subscribe},
		}}}}},
		{"no lists", `<w:watcherinfo xmlns:w="` + NS + `" version="7" state="partial"/>`, &Document{Version: 7, Partial: true}},
		{
			"unknown state, no URI, foreign elements", head + `<x xmlns="urn:x"><watcher-list/></x><watcher-list resource="r" package="p"><watcher id="1" status="dancing" event="approved">a</watcher><watcher id="2" status="active" event="approved"> </watcher>
<x:watcher xmlns:x="urn:x"/><watcher id="3" status="waiting" event="giveup" expiration="99999999999999"><b>x</b>c</watcher></watcher-list></watcherinfo>`,
			&Document{Dropped: 2, Lists: []List{{Resource: "r", Package: "p", Watchers: []Watcher{
				{ID: "3", URI: "c", Status: Waiting, Event: GiveUp, Expiration: 100 * 365 * 24 * time.Hour},
			}}}},
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
	tests := []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"cut off", head + "<watcher-list", ErrMalformed},
		{"document type", `<!DOCTYPE w [<!ENTITY a "b">]>` + head + `</watcherinfo>`, ErrMalformed},
		{"entity", head + "&a;</watcherinfo>", ErrMalformed},
		{"no version", `<watcherinfo xmlns="` + NS + `" state="full"/>`, ErrMalformed},
		{"no state", `<watcherinfo xmlns="` + NS + `" version="1"/>`, ErrMalformed},
		{"no resource", head + "<watcher-list package='p'/></watcherinfo>", ErrMalformed},
		{"no id", head + "<watcher-list resource='r' package='p'><watcher/></watcher-list></watcherinfo>", ErrMalformed},
		{"lists", head + strings.Repeat("<watcher-list resource='r' package='p'/>", 100) + "</watcherinfo>", ErrMalformed},
		{"skipped and broken", head + "<x>", ErrMalformed},
		{"other root", "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>", ErrUnsupported},
		{"no namespace", "<watcherinfo version='0' state='full'/>", ErrUnsupported},
		{"deep", head + "<watcher-list resource='r' package='p'>" + strings.Repeat("<a>", 100), ErrTooLarge},
		{"big", head + strings.Repeat(" ", MaxSize), ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d, err := Parse([]byte(tt.in)); !errors.Is(err, tt.want) || d != nil {
				t.Fatalf("%+v, %v", d, err)
			}
		})
	}
}

func TestHostile(t *testing.T) {
	w := "<watcher id='1' status='active' event='approved'>a</watcher>"
	in := head + "<watcher-list resource='r' package='p'>" + strings.Repeat(w, (MaxSize-200)/len(w)) + "</watcher-list></watcherinfo>"
	start := time.Now()
	d, err := Parse([]byte(in))
	if err != nil || len(d.Lists[0].Watchers) != maxWatchers || d.Dropped == 0 {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Error(took)
	}
}

func TestAppend(t *testing.T) {
	d := &Document{Version: 4, Lists: []List{{Resource: "sip:otto@voice.quay.example", Package: "presence", Watchers: []Watcher{{
		ID: "a1", URI: "sip:mira@chat.harbor.example;a=\"b\"", Status: Waiting, Event: GiveUp, Name: "M & <\x01\n>", Lang: "en",
		Expiration: time.Minute, Subscribed: 90 * time.Second,
	}}}}}
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="4" state="full"><watcher-list resource="sip:otto@voice.quay.example" package="presence">` +
		`<watcher display-name="M &amp; &lt;` + "\ufffd" + ` &gt;" status="waiting" event="giveup" expiration="60" id="a1" duration-subscribed="90" xml:lang="en">sip:mira@chat.harbor.example;a=&quot;b&quot;</watcher></watcher-list></watcherinfo>`
	if diff := cmp.Diff(want, d.String()); diff != "" {
		t.Fatal(diff)
	}
}

func TestRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[ -~éß漢]{1,20}`).Filter(func(s string) bool { return s == strings.TrimSpace(s) && s != "" })
	rapid.Check(t, func(t *rapid.T) {
		watcher := rapid.Custom(func(t *rapid.T) Watcher {
			w := Watcher{
				ID: rapid.StringMatching(`[a-z0-9]{1,9}`).Draw(t, "id"), URI: text.Draw(t, "uri"), Name: rapid.OneOf(rapid.Just(""), text).Draw(t, "name"),
				Status:     rapid.SampledFrom([]Status{Pending, Active, Waiting, Terminated}).Draw(t, "status"),
				Event:      rapid.SampledFrom([]Event{Subscribe, Approved, Deactivated, Probation, Rejected, Timeout, GiveUp, NoResource}).Draw(t, "event"),
				Expiration: time.Duration(rapid.IntRange(0, 1e6).Draw(t, "expiration")) * time.Second,
			}
			if w.Name != "" {
				w.Lang = rapid.SampledFrom([]string{"", "de"}).Draw(t, "lang")
			}
			return w
		})
		list := rapid.Custom(func(t *rapid.T) List {
			return List{text.Draw(t, "resource"), "presence", rapid.SliceOfN(watcher, 0, 4).Draw(t, "watchers")}
		})
		d := &Document{Version: rapid.Uint64().Draw(t, "version"), Partial: rapid.Bool().Draw(t, "partial"), Lists: rapid.SliceOfN(list, 0, 3).Draw(t, "lists")}
		got, err := Parse(d.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", d, diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sampleRFC))
	f.Add([]byte(sampleKamailio))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		wire := d.Append(nil)
		again, err := Parse(wire)
		if errors.Is(err, ErrTooLarge) && len(wire) > MaxSize {
			return
		}
		if err != nil || !bytes.Equal(again.Append(nil), wire) {
			t.Fatalf("%s: %v", wire, err)
		}
	})
}

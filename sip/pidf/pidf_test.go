package pidf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var at = time.Date(2026, 5, 4, 18, 20, 0, 0, time.UTC)

func one(entity string, t Tuple) *Document { return &Document{Entity: entity, Tuples: []Tuple{t}} }

func TestParseField(t *testing.T) {
	busy := Rich{Activities: []Term{{Name: "busy"}}}
	phone := Rich{Activities: []Term{{Name: "on-the-phone"}}}
	away := Rich{Activities: []Term{{Name: "away"}}}
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UTC()
	}
	otto := "sip:otto@voice.quay.example"
	tests := []struct {
		name, in string
		want     *Document
	}{
		{"baresip", sampleBaresip, &Document{
			Entity: otto, Persons: []Person{{ID: "p4159"}},
			Tuples: []Tuple{{ID: "t4109", Basic: Open, Contact: Contact{URI: otto}}},
		}},
		{"linphone", sampleLinphone, &Document{
			Entity: otto, Persons: []Person{{ID: "ur3z0-", Rich: away, Timestamp: at.Add(time.Second)}},
			Tuples: []Tuple{{
				ID: "x8b3k1", Basic: Open, Contact: Contact{otto + ";transport=tls", 800, true},
				Notes: []Note{{"en", "Back at four"}}, Timestamp: at,
			}},
		}},
		{"asterisk", sampleAsterisk, &Document{
			Entity: "sip:6002@192.0.2.4", Persons: []Person{{Rich: busy}}, Notes: []Note{{"", "On the phone"}},
			Tuples: []Tuple{{ID: "6002", Basic: Open, Contact: Contact{"sip:6002@192.0.2.4", 1000, true}}, {ID: "digium-presence"}},
		}},
		{"eyebeam", sampleEyebeam, &Document{
			Entity: "sip:6001@192.0.2.4", Persons: []Person{{Rich: away}}, Notes: []Note{{"", "Unavailable"}},
			Tuples: []Tuple{{ID: "6001", Basic: Closed, Contact: Contact{"sip:6001@192.0.2.4", 1000, true}}},
		}},
		{"freeswitch", sampleFreeSWITCH, &Document{
			Entity: "sip:1000@voice.quay.example", Persons: []Person{{ID: "p06360c4a", Rich: phone, Notes: []Note{{"", "Talk 07700900123"}}}},
			Tuples: []Tuple{{ID: "t6a5ed77e", Basic: Open}},
		}},
		{"cisco", sampleCisco, &Document{
			Entity:  "sip:4711@192.0.2.9",
			Persons: []Person{{Rich: Rich{Activities: []Term{{Name: "on-the-phone"}, {Space: "urn:cisco:params:xml:ns:pidf:rpid", Name: "dnd"}}}}},
		}},
		{"draft", sampleDraft, one(otto, Tuple{
			ID: "sg89ae", Basic: Open, Rich: Rich{Activities: []Term{{Name: "in-transit"}}},
			Contact: Contact{otto, 800, true}, Notes: []Note{{"", "be right back"}},
		})},
		{"kamailio", sampleKamailio, &Document{
			Entity: otto, Persons: []Person{{ID: "1", Rich: away, Notes: []Note{{"", "away"}}}}, Tuples: []Tuple{{Basic: Open}},
		}},
		{"sipnetic", sampleSipnetic, &Document{
			Entity: "sip:bob@192.0.2.7", Persons: []Person{{ID: "PBs", Rich: phone}},
			Tuples: []Tuple{{
				ID: "Td6lzgp", Basic: Open, Rich: phone, Timestamp: utc("2026-03-16T08:06:06Z"),
				Capabilities: Capabilities{Audio: Supported, Video: NotSupported, Message: Supported},
			}},
		}},
		{"undeclared", sampleUndeclared, &Document{
			Entity: "sip:a@b.example", Persons: []Person{{Rich: busy}}, Tuples: []Tuple{{ID: "1", Basic: Open}},
		}},
		{"rpid", sampleRPID, &Document{
			Entity: "pres:someone@example.com", Notes: []Note{{"", "I'll be in Tokyo next week"}},
			Tuples: []Tuple{
				{
					ID: "bs35r9", Basic: Open, DeviceID: "urn:device:0003ba4811e3", Relationship: "self",
					Contact: Contact{"im:someone@mobile.example.net", 800, true}, Timestamp: utc("2005-10-27T16:49:29Z"),
					Notes: []Note{{"en", "Don't Disturb Please!"}, {"fr", "Ne dérangez pas, s'il vous plaît"}},
					Timed: []TimedStatus{{utc("2026-08-15T15:20:00.5Z"), utc("2026-08-23T00:30:00Z"), Closed, Note{"en", "Tokyo"}}},
				},
				{ID: "ty4658", Basic: Open, Relationship: "assistant", Contact: Contact{"mailto:secretary@example.com", 1000, true}},
			},
			Devices: []Device{{
				ID: "pc147", DeviceID: "urn:device:0003ba4811e3", Notes: []Note{{"", "PC"}},
				Input: UserInput{Idle, utc("2004-10-21T18:20:00Z"), 10 * time.Minute},
			}},
			Persons: []Person{{
				ID: "p1", Notes: []Note{{"", "Scoring 120"}}, Timestamp: utc("2005-05-30T11:09:44Z"),
				Card: Card{Names: []Note{{"", "Someone"}}, Icon: "https://example.com/me.png"},
				Rich: Rich{
					Activities:    []Term{{Name: "away", From: utc("2005-05-30T07:00:00Z"), Until: utc("2005-05-30T12:00:00Z")}, {Name: "other", Text: "dnd"}},
					ActivityNotes: []Note{{"", "Far away"}},
					Moods:         []Term{{Name: "angry"}, {Name: "other", Text: "brooding"}},
					Places:        []Term{{Space: NSPlace, Name: "residence"}},
					PlaceIs:       Surroundings{Audio: "noisy"},
				},
			}},
		}},
		{"prefixed, CDATA, comments, instructions, entities", "\ufeff <?x y?><!-- - --><p:presence xmlns:p='" + NS + "' entity='sip:a&amp;b@c' >" +
			"<p:tuple id = \"x\"\n><p:status ><p:basic>o<!-- x -->pen</p:basic ></p:status><p:note>a<![CDATA[<b>]]>&#x263a;&#1;\r\nc</p:note></p:tuple></p:presence >\x00\x00", one("sip:a&b@c",
			Tuple{ID: "x", Basic: Open, Notes: []Note{{"", "a<b>\u263a\ufffd\nc"}}})},
		{"Latin-1", "<presence xmlns='" + NS + "'><note>Caf\xe9</note></presence>", &Document{Notes: []Note{{"", "Café"}}}},
		{
			"foreign elements", `<presence xmlns="` + NS + `" xmlns:x="urn:x"><x:tuple><basic>open</basic></x:tuple><tuple id="a"><x:status><basic>open</basic></x:status><status><x:basic>open</x:basic><basic>closed</basic></status><x:contact>sip:x</x:contact></tuple></presence>`,
			one("", Tuple{ID: "a", Basic: Closed}),
		},
		{
			"show of RFC 8048", `<presence xmlns="` + NS + `"><tuple id="a"><status><basic>open</basic><show xmlns="jabber:client">dnd</show></status></tuple></presence>`,
			one("", Tuple{ID: "a", Basic: Open, Show: "dnd"}),
		},
		{"show of somebody else", `<presence xmlns="` + NS + `"><tuple id="a"><status><show>dnd</show></status></tuple></presence>`, one("", Tuple{ID: "a"})},
		{
			"person inside a tuple", `<presence xmlns="` + NS + `" xmlns:m="` + NSDataModel + `"><tuple id="a"><status><basic>open</basic></status><m:person id="p"><m:note>x</m:note></m:person></tuple></presence>`,
			&Document{Tuples: []Tuple{{ID: "a", Basic: Open}}, Persons: []Person{{ID: "p", Notes: []Note{{"", "x"}}}}},
		},
		{"full state of RFC 5262", `<d:pidf-full xmlns="` + NS + `" xmlns:d="urn:ietf:params:xml:ns:pidf-diff" entity="e" version="1"><tuple id="a"/></d:pidf-full>`, one("e", Tuple{ID: "a"})},
		{"no tuples", `<presence xmlns="` + NS + `" entity="e"/>`, &Document{Entity: "e"}},
		{
			"unreadable values", `<presence xmlns="` + NS + `"><tuple id=" a "><status><basic>ajar</basic></status><contact priority="-1">c</contact><timestamp>now</timestamp></tuple></presence>`,
			one("", Tuple{ID: "a", Contact: Contact{URI: "c"}}),
		},
		{"time without a zone", `<presence xmlns="` + NS + `"><tuple><timestamp> 2026-05-04T18:20:00 </timestamp></tuple></presence>`, one("", Tuple{Timestamp: at})},
		{
			"description of other", `<presence xmlns="` + NS + `" xmlns:rpid="` + NSRPID + `"><tuple><rpid:activities><rpid:other description="dnd"/><rpid:away/><rpid:away/></rpid:activities></tuple></presence>`,
			one("", Tuple{Rich: Rich{Activities: []Term{{Name: "other", Text: "dnd"}, {Name: "away"}}}}),
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
			// What was understood survives being written, but for ids that were none.
			again, err := Parse(got.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, again, ids); d != "" {
				t.Fatal(d)
			}
		})
	}
}

var ids = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".ID" }, cmp.Ignore())

func TestParseErrors(t *testing.T) {
	const head = `<presence xmlns="` + NS + `">`
	tests := []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"blank", " \r\n", ErrMalformed},
		{"text", "open", ErrMalformed},
		{"text first", "x" + head + "</presence>", ErrMalformed},
		{"cut off", head + "<tuple id='a'><status>", ErrMalformed},
		{"cut off in a tag", head + "<tuple id='a'", ErrMalformed},
		{"cut off in a value", head + "<tuple id='a", ErrMalformed},
		{"cut off in a comment", head + "<!-- ", ErrMalformed},
		{"cut off in CDATA", head + "<![CDATA[ ", ErrMalformed},
		{"cut off in an instruction", "<?xml", ErrMalformed},
		{"crossed tags", head + "<tuple><status></tuple></status></presence>", ErrMalformed},
		{"end tag of eXosip", head + "<note>x</note\n</presence>", ErrMalformed},
		{"unknown entity", head + "<note>&nbsp;</note></presence>", ErrMalformed},
		{"endless entity", head + "<note>&" + strings.Repeat("a", 1000) + "</note></presence>", ErrMalformed},
		{"bad reference", head + "<note>&#xzz;</note></presence>", ErrMalformed},
		{"document type", `<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + head + "<note>&b;</note></presence>", ErrMalformed},
		{"document type in the content", head + "<!DOCTYPE p></presence>", ErrMalformed},
		{"unquoted", head + "<tuple id=a/></presence>", ErrMalformed},
		{"no value", head + "<tuple id/></presence>", ErrMalformed},
		{"glued attributes", head + "<tuple id='a'x='b'/></presence>", ErrMalformed},
		{"markup in a value", head + "<tuple id='<'/></presence>", ErrMalformed},
		{"bad name", head + "<1/></presence>", ErrMalformed},
		{"two colons", head + "<a:b:c/></presence>", ErrMalformed},
		{"only a prefix", head + "<a:/></presence>", ErrMalformed},
		{"no namespace", "<presence entity='sip:a@b'><tuple/></presence>", ErrUnsupported},
		{"other root", "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info'/>", ErrUnsupported},
		{"other element", "<tuple xmlns='" + NS + "'/>", ErrUnsupported},
		{"UTF-16", "\xff\xfe<\x00p\x00", ErrUnsupported},
		{"deep", head + strings.Repeat("<a>", 1000), ErrTooLarge},
		{"attributes", head + "<a " + strings.Repeat("b='c' ", 1000) + "/></presence>", ErrTooLarge},
		{"namespaces", "<presence " + strings.Repeat("xmlns='"+NS+"' ", 1000) + "/>", ErrTooLarge},
		{"big", head + strings.Repeat(" ", MaxSize) + "</presence>", ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d, err := Parse([]byte(tt.in)); !errors.Is(err, tt.want) || d != nil {
				t.Fatalf("%+v, %v", d, err)
			}
		})
	}
}

// Hostile documents cost time in proportion to their size, which is bounded, and little memory beyond it.
func TestHostile(t *testing.T) {
	const head, tail = `<presence xmlns="` + NS + `">`, "</presence>"
	fill := func(s string) string { return head + strings.Repeat(s, (MaxSize-len(head)-len(tail))/len(s)) + tail }
	for name, in := range map[string]string{
		"tuples":      fill("<tuple id='a'><status><basic>open</basic></status></tuple>"),
		"bare tuples": fill("<tuple/>"),
		"notes":       fill("<note>a</note>"),
		"text pieces": head + "<note>" + strings.Repeat("a<!---->", (MaxSize-200)/8) + "</note>" + tail,
		"entities":    head + "<note>" + strings.Repeat("&amp;", (MaxSize-200)/5) + "</note>" + tail,
		"ampersands":  head + "<note>" + strings.Repeat("&", MaxSize-200) + "</note>" + tail,
		"opened":      head + strings.Repeat("<", MaxSize-200),
		"comments":    head + strings.Repeat("<!--", (MaxSize-200)/4),
		"namespaces":  fill("<a xmlns:b='c'/>"),
		"activities":  head + "<tuple><activities>" + strings.Repeat("<a/>", (MaxSize-200)/4) + "</activities></tuple>" + tail,
		"unknown":     fill("<x/>"),
		"persons":     fill("<person/>"),
		"devices":     fill("<device/>"),
		"timed":       head + "<tuple xmlns:t='" + NSTimedStatus + "'>" + strings.Repeat("<t:timed-status from='2026-05-04T18:20:00Z'/>", 5000) + "</tuple>" + tail,
	} {
		t.Run(name, func(t *testing.T) {
			var d *Document
			start := time.Now()
			allocs := testing.AllocsPerRun(1, func() { d, _ = Parse([]byte(in)) })
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%v", took)
			}
			if allocs > 3000 {
				t.Errorf("%v allocations", allocs)
			}
			if d != nil && (len(d.Tuples) > maxTuples || len(d.Notes) > maxNotes) {
				t.Errorf("%d tuples, %d notes", len(d.Tuples), len(d.Notes))
			}
			if name == "tuples" && (len(d.Tuples) != maxTuples || d.Dropped == 0) {
				t.Errorf("%d tuples, %d dropped", len(d.Tuples), d.Dropped)
			}
			if d != nil {
				if _, err := Parse(d.Append(nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestAppend(t *testing.T) {
	d := &Document{
		Entity: "sip:mira@chat.harbor.example",
		Tuples: []Tuple{
			{
				ID: "ID-desk", Basic: Open, Show: "dnd", DeviceID: "urn:uuid:1", Relationship: "self",
				Contact: Contact{`sip:mira@chat.harbor.example;gr=a&b"`, 78, true}, Notes: []Note{{"en", "a<b>\x01"}, {}}, Timestamp: at,
				Rich:         Rich{Input: UserInput{Idle, at, time.Minute}},
				Capabilities: Capabilities{Video: NotSupported, Audio: Supported},
				Timed:        []TimedStatus{{From: at, Basic: Closed}, {}},
			},
			{ID: "ID-desk"},
			{ID: "1x", Basic: Closed},
		},
		Notes: []Note{{"", "note"}},
		Persons: []Person{{
			Rich:  Rich{Activities: []Term{{Name: "busy"}, {Space: "urn:x&", Name: "dnd"}, {Name: "no name"}, {Name: "away", Until: at}}, ActivityNotes: []Note{{"", "n"}}},
			Card:  Card{Names: []Note{{"de", "Mira"}}, Icon: "https://x/"},
			Notes: []Note{{"", "p"}},
		}},
		Devices: []Device{{ID: "t3", DeviceID: "urn:uuid:1"}},
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:c="urn:ietf:params:xml:ns:pidf:cipid" xmlns:caps="urn:ietf:params:xml:ns:pidf:caps" xmlns:ts="urn:ietf:params:xml:ns:pidf:timed-status" entity="sip:mira@chat.harbor.example">` +
		`<tuple id="ID-desk"><status><basic>open</basic><show xmlns="jabber:client">dnd</show></status><dm:deviceID>urn:uuid:1</dm:deviceID>` +
		`<rpid:relationship><rpid:self/></rpid:relationship><rpid:user-input idle-threshold="60" last-input="2026-05-04T18:20:00Z">idle</rpid:user-input>` +
		`<caps:servcaps><caps:audio>true</caps:audio><caps:video>false</caps:video></caps:servcaps>` +
		`<ts:timed-status from="2026-05-04T18:20:00Z"><ts:basic>closed</ts:basic></ts:timed-status>` +
		`<contact priority="0.078">sip:mira@chat.harbor.example;gr=a&amp;b"</contact><note xml:lang="en">a&lt;b&gt;` + "\ufffd" + `</note><timestamp>2026-05-04T18:20:00Z</timestamp></tuple>` +
		`<tuple id="t2"><status></status></tuple><tuple id="t3-"><status><basic>closed</basic></status></tuple><note>note</note>` +
		`<dm:person id="p1"><rpid:activities><rpid:note>n</rpid:note><rpid:busy/><dnd xmlns="urn:x&amp;"/></rpid:activities><rpid:activities until="2026-05-04T18:20:00Z"><rpid:away/></rpid:activities>` +
		`<c:display-name xml:lang="de">Mira</c:display-name><c:icon>https://x/</c:icon><dm:note>p</dm:note></dm:person>` +
		`<dm:device id="t3"><dm:deviceID>urn:uuid:1</dm:deviceID></dm:device></presence>`
	if diff := cmp.Diff(want, d.String()); diff != "" {
		t.Fatal(diff)
	}
}

func TestQValue(t *testing.T) {
	for in, want := range map[string]int{
		"0": 0, "1": 1000, "0.8": 800, "1.0": 1000, ".5": 500, "0,25": 250, "0.0079": 7, "00.5": 500, "7": 1000, " 0.1 ": 100, "0.": 0,
		"": -1, "-1": -1, "x": -1, ".": -1, "1e3": -1, "0.5.5": -1, "10000000000": -1,
	} {
		got, ok := qvalue(in)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d", in, got)
		}
	}
	for milli := range 1001 {
		text := string(appendQValue(nil, milli))
		if got, ok := qvalue(text); !ok || got != milli || len(text) > 5 {
			t.Errorf("%d: %s, %d", milli, text, got)
		}
	}
	if got := string(appendQValue(appendQValue(nil, -5), 2000)); got != "01" {
		t.Error(got)
	}
}

func TestNames(t *testing.T) {
	if Open.String()+Closed.String()+NoBasic.String() != "openclosed" || Active.String()+Idle.String()+UsageUnknown.String() != "activeidle" {
		t.Error("names of values")
	}
}

func document(t *rapid.T) *Document {
	text := rapid.StringMatching(`[ -~éß漢]{1,12}`).Filter(func(s string) bool { return s == strings.TrimSpace(s) && s != "" })
	maybe := rapid.OneOf(rapid.Just(""), text)
	name := rapid.StringMatching(`[a-z_][a-z0-9._-]{0,8}`)
	lang := rapid.SampledFrom([]string{"", "en", "de-CH"})
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "no time") {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "at")).UTC()
	})
	notes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Note { return Note{lang.Draw(t, "lang"), text.Draw(t, "note")} }), 0, 3)
	terms := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Term {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return Term{Name: "other", Text: text.Draw(t, "other")}
		case 1:
			return Term{Space: "urn:x", Name: name.Draw(t, "name")}
		}
		return Term{Name: rapid.SampledFrom([]string{"away", "busy", "tv", "unknown"}).Draw(t, "name")}
	}), 0, 3, func(t Term) Term { return t })
	rich := rapid.Custom(func(t *rapid.T) Rich {
		r := Rich{Activities: terms.Draw(t, "activities"), Moods: terms.Draw(t, "moods"), Places: terms.Draw(t, "places")}
		if len(r.Activities) > 0 {
			r.ActivityNotes = notes.Draw(t, "activity notes")
			r.Activities[0].Until = when.Draw(t, "until")
		}
		if rapid.Bool().Draw(t, "idle") {
			r.Input = UserInput{Idle, when.Draw(t, "last"), time.Duration(rapid.IntRange(0, 1e6).Draw(t, "threshold")) * time.Second}
		}
		r.PlaceIs.Audio = rapid.SampledFrom([]string{"", "quiet"}).Draw(t, "audio")
		return r
	})
	card := rapid.Custom(func(t *rapid.T) Card {
		return Card{Names: notes.Draw(t, "names"), Icon: maybe.Draw(t, "icon"), Card: maybe.Draw(t, "card"), Homepage: maybe.Draw(t, "homepage"), Map: maybe.Draw(t, "map"), Sound: maybe.Draw(t, "sound")}
	})
	support := rapid.Custom(func(t *rapid.T) Support { return Support(rapid.IntRange(0, 2).Draw(t, "support")) })
	d := &Document{Entity: maybe.Draw(t, "entity"), Notes: notes.Draw(t, "notes")}
	n := 0
	id := func() string { n++; return "i" + strings.Repeat("-", n) }
	for range rapid.IntRange(0, 3).Draw(t, "tuples") {
		x := Tuple{
			ID: id(), Basic: Basic(rapid.IntRange(0, 2).Draw(t, "basic")), Show: rapid.SampledFrom([]string{"", "away"}).Draw(t, "show"), Notes: notes.Draw(t, "tuple notes"),
			Timestamp: when.Draw(t, "timestamp"), DeviceID: maybe.Draw(t, "device"), Relationship: rapid.SampledFrom([]string{"", "self", "family"}).Draw(t, "relationship"),
			Rich: rich.Draw(t, "rich"), Card: card.Draw(t, "card"),
			Capabilities: Capabilities{support.Draw(t, "audio"), support.Draw(t, "focus"), support.Draw(t, "message"), support.Draw(t, "text"), support.Draw(t, "video")},
		}
		if x.URI = maybe.Draw(t, "contact"); x.URI != "" && rapid.Bool().Draw(t, "ranked") {
			x.Ranked, x.Priority = true, rapid.IntRange(0, 1000).Draw(t, "priority")
		}
		if from := when.Draw(t, "from"); !from.IsZero() {
			x.Timed = []TimedStatus{{from, when.Draw(t, "until"), Closed, Note{}}}
		}
		d.Tuples = append(d.Tuples, x)
	}
	for range rapid.IntRange(0, 2).Draw(t, "persons") {
		d.Persons = append(d.Persons, Person{id(), rich.Draw(t, "person"), card.Draw(t, "card"), notes.Draw(t, "person notes"), when.Draw(t, "person time")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "devices") {
		d.Devices = append(d.Devices, Device{ID: id(), DeviceID: maybe.Draw(t, "urn"), Notes: notes.Draw(t, "device notes"), Timestamp: when.Draw(t, "device time")})
	}
	return d
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := document(t)
		wire := d.Append(nil)
		got, err := Parse(wire)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", wire, diff)
		}
		if again := got.Append(nil); !bytes.Equal(wire, again) {
			t.Fatalf("%s\n%s", wire, again)
		}
		if err := wellFormed(wire); err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
	})
}

// wellFormed reads a root element with encoding/xml.
func wellFormed(data []byte) error {
	x := xml.NewDecoder(bytes.NewReader(data))
	x.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for depth := 0; ; {
		tok, err := x.Token()
		if err != nil {
			return err
		}
		switch tok.(type) {
		case xml.Directive:
			return errors.New("directive")
		case xml.StartElement:
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				return nil
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Add([]byte(`<presence xmlns='` + NS + `'><tuple id='a'><![CDATA[x]]><note>&#65;<!-- --></note></tuple></presence>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			if d != nil {
				t.Fatal("a document with an error")
			}
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			if errors.Is(err, ErrMalformed) && wellFormed(data) == nil && bytes.HasPrefix(data, []byte("<presence xmlns='"+NS+"'>")) {
				t.Fatalf("encoding/xml reads what gave %v", err)
			}
			return
		}
		wire := d.Append(nil)
		if err := wellFormed(wire); err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
		again, err := Parse(wire)
		if errors.Is(err, ErrTooLarge) && len(wire) > MaxSize {
			return // escapes make a document longer
		}
		if err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
		if len(again.Tuples) != len(d.Tuples) || len(again.Persons) != len(d.Persons) {
			t.Fatalf("%s\n%+v\n%+v", wire, d, again)
		}
		for i := range d.Tuples {
			if a, b := &again.Tuples[i], &d.Tuples[i]; a.Basic != b.Basic || a.Show != b.Show || !a.Timestamp.Equal(b.Timestamp) {
				t.Fatalf("%s\n%+v\n%+v", wire, a, b)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, x := range []struct{ name, in string }{{"linphone", sampleLinphone}, {"baresip", sampleBaresip}, {"rpid", sampleRPID}} {
		data := []byte(x.in)
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	d, err := Parse([]byte(sampleRPID))
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = d.Append(buf[:0])
	}
}

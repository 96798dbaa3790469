package mapping

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	miraSIP = sip.URI{Scheme: "sip", User: "mira", Host: "chat.harbor.example"}
	asOtto  = PIDFContext{
		From: xmpp.MustJID("otto@sip.harbor.example"), To: xmpp.MustJID("mira@chat.harbor.example"), Now: goldenNow, Domain: "sip.harbor.example",
	}
)

func available(resource string, edit func(*xmpp.Presence)) *xmpp.Presence {
	p := &xmpp.Presence{From: xmpp.MustJID("mira@chat.harbor.example/" + resource)}
	if edit != nil {
		edit(p)
	}
	return p
}

func TestResourceOf(t *testing.T) {
	for _, typ := range []xmpp.PresenceType{xmpp.PresenceSubscribe, xmpp.PresenceProbe, xmpp.PresenceError, xmpp.PresenceUnsubscribed} {
		if r, ok := ResourceOf(available("a", func(p *xmpp.Presence) { p.Type = typ }), goldenNow); ok {
			t.Errorf("%s: %+v", typ, r)
		}
	}
	r, ok := ResourceOf(available("a", func(p *xmpp.Presence) {
		p.Lang, p.Show, p.Priority = "de\r\nX: y", "online", -3
		p.Statuses = []xmpp.LangText{{Lang: "", Text: " a\x01\r\n "}, {Lang: "", Text: "twice"}, {Lang: "en", Text: strings.Repeat("ß", maxStatus)}, {Lang: "fr", Text: "c"}, {Lang: "it", Text: "d"}, {Lang: "es", Text: "e"}}
		p.Extensions = []*xmpp.Element{
			xmpp.NewElement(xmpp.NSIdle, "idle").Set("since", "2030-01-01T00:00:00Z"),
			xmpp.NewElement(xmpp.NSDelay, "delay").Set("stamp", "yesterday"),
			xmpp.NewElement(xmpp.NSVCardUpdate, "x").Add(xmpp.NewElement(xmpp.NSVCardUpdate, "photo").AddText("../../etc")),
			xmpp.NewElement(xmpp.NSVCardUpdate, "x"),
		}
	}), goldenNow)
	if !ok || r.Lang != "" || r.Show != xmpp.ShowNone || r.Priority != -3 || r.Idle != 0 || r.Changed != goldenNow.Unix() || r.Avatar != "" {
		t.Fatalf("%+v", r)
	}
	if len(r.Statuses) != maxLanguages || r.Statuses[0].Text != "a\ufffd" || len(r.Statuses[1].Text) > maxStatus || !strings.HasSuffix(r.Statuses[1].Text, "ß…") {
		t.Fatalf("%q", r.Statuses)
	}
	r, _ = ResourceOf(available("a", func(p *xmpp.Presence) {
		p.Type, p.Show, p.Priority = xmpp.PresenceUnavailable, xmpp.ShowAway, 5
		p.Extensions = []*xmpp.Element{xmpp.NewElement(xmpp.NSLast, "query").Set("seconds", "5"), xmpp.NewElement(xmpp.NSIdle, "idle").Set("since", "2026-05-04T18:00:00Z")}
	}), goldenNow)
	if want := (Resource{Name: "a", Closed: true, Changed: goldenNow.Unix()}); cmp.Diff(want, r) != "" {
		t.Fatal(cmp.Diff(want, r))
	}
}

func TestResources(t *testing.T) {
	var rs Resources
	step := func(what string, r Resource, changed bool, names string) {
		t.Helper()
		var got bool
		rs, got = rs.Update(r)
		var list []string
		for _, r := range rs {
			if r.Closed {
				r.Name += "-"
			}
			list = append(list, r.Name)
		}
		if got != changed || strings.Join(list, " ") != names {
			t.Fatalf("%s: changed %v, %v", what, got, list)
		}
	}
	step("gone that never came", Resource{Name: "a", Closed: true}, false, "")
	step("came", Resource{Name: "a", Capabilities: pidf.Capabilities{Audio: pidf.Supported}}, true, "a")
	step("the same, later", Resource{Name: "a", Changed: 5}, false, "a")
	if rs[0].Capabilities.Audio != pidf.Supported {
		t.Fatal("capabilities forgotten")
	}
	step("another show", Resource{Name: "a", Show: xmpp.ShowAway}, true, "a")
	step("another", Resource{Name: "b"}, true, "a b")
	step("gone", Resource{Name: "a", Closed: true}, true, "a- b")
	step("gone twice", Resource{Name: "a", Closed: true}, false, "a- b")
	if rs = rs.Told(); len(rs) != 1 || !rs.Available() {
		t.Fatal(rs)
	}
	step("all gone", Resource{Closed: true, Statuses: []xmpp.LangText{{Text: "bye"}}}, true, "b-")
	step("all gone twice", Resource{Closed: true}, false, "b-")
	if rs.Available() || rs[0].Statuses[0].Text != "bye" {
		t.Fatal(rs)
	}
	if rs = rs.Told(); rs != nil {
		t.Fatal(rs)
	}
	for i := range 2 * maxResources {
		rs, _ = rs.Update(Resource{Name: fmt.Sprint(i)})
	}
	if len(rs) != maxResources {
		t.Fatal(len(rs))
	}
	if d, _ := PresenceToPIDF(append(rs, rs...), PresenceContext{Entity: miraSIP}); len(d.Tuples) != maxResources {
		t.Fatal(len(d.Tuples))
	}
}

// A pair keeps one Resources for each direction: 100,000 subscriptions have 4 KB each.
func TestResourceSize(t *testing.T) {
	if n := unsafe.Sizeof(Resource{}); n > 160 {
		t.Errorf("%d bytes", n)
	}
}

// What is kept owns its memory: a stanza of 256 KiB must not live on because of one word.
func TestResourceOwnsStrings(t *testing.T) {
	big := strings.Repeat("x", 1<<16) + "away"
	inside := func(s string) bool {
		if s == "" {
			return false
		}
		p, start := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.StringData(big)))
		return start <= p && p < start+uintptr(len(big))
	}
	tail := big[len(big)-4:]
	r, _ := ResourceOf(available("a", func(p *xmpp.Presence) {
		p.Show, p.Lang, p.Statuses = xmpp.Show(tail), tail, []xmpp.LangText{{Lang: tail, Text: tail}}
	}), goldenNow)
	if inside(string(r.Show)) || inside(r.Lang) || inside(r.Statuses[0].Lang) || inside(r.Statuses[0].Text) || r.Show != xmpp.ShowAway {
		t.Error("stanza is kept")
	}
	d := &pidf.Document{Entity: tail, Tuples: []pidf.Tuple{{ID: "ID-" + tail, Basic: pidf.Open, Show: tail, Notes: []pidf.Note{{Lang: tail, Text: tail}}, Card: pidf.Card{Icon: tail}}}}
	c := asOtto
	c.Lang = tail
	for _, r := range PIDFToPresences(nil, d, c).Resources {
		if inside(r.Name) || inside(string(r.Show)) || inside(r.Lang) || inside(r.Statuses[0].Lang) || inside(r.Statuses[0].Text) || inside(r.Avatar) {
			t.Error("document is kept")
		}
	}
}

func TestTupleIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resource := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9_.-]{0,20}`), rapid.StringMatching(`ID[XH]?-[_0-9a-f]{0,6}`)).Draw(t, "resource")
		id := ResourceToTupleID(resource)
		for i := range len(id) {
			if !plainID(id[i]) {
				t.Fatalf("%q is no NCName", id)
			}
		}
		if len(id) > maxTupleID+len(plainTuple) {
			t.Fatalf("%d bytes", len(id))
		}
		got, ok := TupleIDToResource(id)
		if strings.HasPrefix(id, hashedTuple) {
			if ok || len(resource) < maxTupleID/4 {
				t.Fatalf("%q: %q, %v", resource, got, ok)
			}
			return
		}
		if !ok || got != resource || !ofXMPP(id) {
			t.Fatalf("%q: %q, %q, %v", resource, id, got, ok)
		}
	})
	for _, id := range []string{"", "t1", "IDX-_", "IDX-_2", "IDX-_2G", "IDH-abc", "id-a"} {
		if r, ok := TupleIDToResource(id); ok {
			t.Errorf("%q: %q", id, r)
		}
	}
}

func TestPriority(t *testing.T) {
	// RFC 8048 §6.2, note 6.
	for p, milli := range map[int8]int{0: 0, 1: 7, 2: 15, 126: 992, 127: 1000, -1: 0, -128: 0} {
		if got := priorityToMilli(p); got != milli {
			t.Errorf("%d: %d", p, got)
		}
	}
	for p := range 128 {
		if got := milliToPriority(priorityToMilli(int8(p))); int(got) != p {
			t.Errorf("%d: %d", p, got)
		}
	}
	if milliToPriority(-5) != 0 || milliToPriority(5000) != 127 {
		t.Error("out of range")
	}
}

// One row for each activity of RFC 4480 §3.2.
func TestActivities(t *testing.T) {
	want := map[string]string{
		"permanent-absence": "closed",
		"busy":              "dnd", "meeting": "dnd", "on-the-phone": "dnd", "presentation": "dnd", "appointment": "dnd", "performance": "dnd", "worship": "dnd", "steering": "dnd",
		"vacation": "xa", "holiday": "xa", "sleeping": "xa", "travel": "xa", "looking-for-work": "xa",
		"away": "away", "in-transit": "away", "meal": "away", "breakfast": "away", "dinner": "away", "shopping": "away", "playing": "away", "spectator": "away", "tv": "away",
		"working": "", "other": "", "unknown": "", "dnd": "dnd", "of tomorrow": "",
	}
	for name, show := range want {
		e := activities(goldenNow, []pidf.Term{{Name: name}})
		got := ""
		if e.row != nil {
			if got = string(e.row.Show); e.row.Closed {
				got = "closed"
			}
		}
		if got != show {
			t.Errorf("%s: %q", name, got)
		}
	}
	if rows := Activities(); len(rows) != len(want)-1 {
		t.Errorf("%d rows", len(rows))
	}
	for _, tt := range []struct {
		list []pidf.Term
		want xmpp.Show
	}{
		{[]pidf.Term{{Name: "away"}, {Name: "vacation"}, {Name: "meeting"}}, xmpp.ShowDND},
		{[]pidf.Term{{Name: "other", Text: "DND"}}, xmpp.ShowDND},
		{[]pidf.Term{{Space: "urn:cisco:params:xml:ns:pidf:rpid", Name: "dnd"}}, xmpp.ShowDND},
		{[]pidf.Term{{Space: "urn:x", Name: "busy"}}, xmpp.ShowNone},
		{[]pidf.Term{{Name: "meeting", Until: goldenNow}, {Name: "travel", From: goldenNow.Add(time.Second)}, {Name: "tv", From: goldenNow}}, xmpp.ShowAway},
	} {
		e := activities(goldenNow, tt.list)
		var got xmpp.Show
		if e.row != nil {
			got = e.row.Show
		}
		if got != tt.want {
			t.Errorf("%v: %q", tt.list, got)
		}
	}
}

// Every show that goes out comes back from the activity alone, as far as phones can say it.
func TestShowToActivity(t *testing.T) {
	for show, back := range map[xmpp.Show]xmpp.Show{xmpp.ShowNone: "", xmpp.ShowChat: "", xmpp.ShowAway: "away", xmpp.ShowXA: "away", xmpp.ShowDND: "dnd"} {
		e := activities(goldenNow, []pidf.Term{{Name: ShowToActivity(show)}})
		if e.row == nil && back != "" || e.row != nil && e.row.Show != back {
			t.Errorf("%q: %+v", show, e.row)
		}
	}
}

func TestMoods(t *testing.T) {
	for _, name := range slices.Concat(moods, xmppMoods) {
		e := xmpp.NewElement(nsMood, "mood").Add(xmpp.NewElement(nsMood, name)).Add(xmpp.NewElement(nsMood, "text").AddText(" why "))
		term, note := MoodToRPID(e)
		if note != "why" || term.Name == "" || term.Name != name && (term.Name != "other" || term.Text != name) {
			t.Errorf("%s: %+v, %q", name, term, note)
		}
		back := RPIDToMood([]pidf.Term{{Name: "unknown"}, term}, []pidf.Note{{Text: note}})
		if back.Child(nsMood, name) == nil || back.Child(nsMood, "text").Text() != "why" {
			t.Errorf("%s: %s", name, back)
		}
	}
	if term, _ := MoodToRPID(xmpp.NewElement(nsMood, "mood")); term.Name != "" {
		t.Error(term)
	}
	if term, _ := MoodToRPID(xmpp.NewElement(nsMood, "mood").Add(xmpp.NewElement("urn:x", "happy")).Add(xmpp.NewElement(nsMood, "undefined"))); term.Name != "unknown" {
		t.Error(term)
	}
	if e := RPIDToMood([]pidf.Term{{Space: "urn:x", Name: "happy"}, {Name: "unknown"}}, nil); e != nil {
		t.Error(e)
	}
	if e := RPIDToMood([]pidf.Term{{Name: "other", Text: "brooding"}}, nil); e.Child(nsMood, "undefined") == nil || e.Child(nsMood, "text").Text() != "brooding" {
		t.Error(e)
	}
}

func TestUserActivities(t *testing.T) {
	for _, p := range activityPairs {
		general := xmpp.NewElement(nsActivity, p.general)
		if p.specific != "" {
			general.Add(xmpp.NewElement(nsActivity, p.specific))
		}
		term, note := ActivityToRPID(xmpp.NewElement(nsActivity, "activity").Add(general).Add(xmpp.NewElement(nsActivity, "text").AddText("x")))
		if term.Name != p.rpid || note != "x" {
			t.Errorf("%v: %+v", p, term)
		}
		back := RPIDToActivity([]pidf.Term{{Name: "busy"}, term}, []pidf.Note{{Text: "x"}})
		again, _ := ActivityToRPID(back)
		if again != term || back.Child(nsActivity, "text").Text() != "x" {
			t.Errorf("%v: %s", p, back)
		}
	}
	for in, want := range map[string]pidf.Term{
		"<drinking><having_a_beer/></drinking>": {Name: "other", Text: "having a beer"},
		"<grooming/>":                           {Name: "other", Text: "grooming"},
		"<working><studying/></working>":        {Name: "working"},
		"<eating><other/></eating>":             {Name: "meal"},
		"<undefined/>":                          {Name: "unknown"},
		"<x xmlns='urn:x'/>":                    {},
		"":                                      {},
	} {
		if got, _ := ActivityToRPID(element(t, "<activity xmlns='"+nsActivity+"'>"+in+"</activity>")); got != want {
			t.Errorf("%s: %+v", in, got)
		}
	}
	if e := RPIDToActivity([]pidf.Term{{Name: "busy"}, {Name: "away"}, {Space: "urn:x", Name: "tv"}}, []pidf.Note{{Text: "x"}}); e != nil {
		t.Error(e)
	}
}

// drawResources makes what ResourceOf can make.
func drawResources(t *rapid.T) Resources {
	name := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9._-]{1,12}`), rapid.StringMatching(`[ -~]{1,8}`), rapid.StringMatching(`[äß漢😀 ]{1,6}`), rapid.StringMatching(`[a-f ]{150,170}`),
	)
	text := rapid.StringMatching(`[ -~äß漢😀]{0,20}`)
	var rs Resources
	for range rapid.IntRange(0, 4).Draw(t, "resources") {
		from, err := asOtto.From.WithResource(name.Draw(t, "name"))
		if err != nil {
			continue
		}
		p := &xmpp.Presence{
			From: from, Show: rapid.SampledFrom([]xmpp.Show{"", "away", "chat", "dnd", "xa"}).Draw(t, "show"), Priority: rapid.Int8().Draw(t, "priority"),
			Lang: rapid.SampledFrom([]string{"", "en", "de-CH"}).Draw(t, "lang"),
		}
		if rapid.IntRange(0, 5).Draw(t, "closed") == 0 {
			p.Type = xmpp.PresenceUnavailable
		}
		for range rapid.IntRange(0, 2).Draw(t, "statuses") {
			p.Statuses = append(p.Statuses, xmpp.LangText{Lang: rapid.SampledFrom([]string{"", "fr"}).Draw(t, "status lang"), Text: text.Draw(t, "status")})
		}
		if rapid.Bool().Draw(t, "idle") {
			since := goldenNow.Add(-time.Duration(rapid.IntRange(0, 1e6).Draw(t, "since")) * time.Second)
			p.Extensions = append(p.Extensions, xmpp.NewElement(xmpp.NSIdle, "idle").Set("since", since.Format(time.RFC3339)))
		}
		r, _ := ResourceOf(p, goldenNow)
		if i := slices.IndexFunc(rs, func(o Resource) bool { return o.Name == r.Name }); i < 0 {
			rs = append(rs, r)
		}
	}
	return rs
}

// What XMPP tells SIP comes back from a gateway like this one: resources, shows, statuses, priorities, idle times.
func TestPresenceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := drawResources(t)
		d, lang := PresenceToPIDF(rs, PresenceContext{Entity: miraSIP})
		wire := d.Append(nil)
		parsed, err := pidf.Parse(wire)
		if err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
		c := asOtto
		c.Lang = lang
		u := PIDFToPresences(nil, parsed, c)
		if len(rs) == 0 {
			if len(u.Presences) != 1 || u.Presences[0].Type != xmpp.PresenceUnavailable {
				t.Fatalf("%s: %v", wire, u.Presences)
			}
			return
		}
		if len(u.Presences) != len(rs) || len(u.Loss) > 0 {
			t.Fatalf("%s: %d presences for %d resources, %v", wire, len(u.Presences), len(rs), u.Loss)
		}
		for i := range rs {
			r := &rs[i]
			at := slices.IndexFunc(u.Presences, func(p *xmpp.Presence) bool { return p.From.Resource() == r.Name })
			if at < 0 {
				t.Fatalf("%s: no resource %q", wire, r.Name)
			}
			p := u.Presences[at]
			if s, err := xmpp.ReadStanza(p.Append(nil)); err != nil {
				t.Fatal(err)
			} else if p = s.(*xmpp.Presence); (p.Type == xmpp.PresenceUnavailable) != r.Closed {
				t.Fatalf("%s: %s", wire, p.Append(nil))
			}
			if p.Show != r.Show || p.Priority != max(r.Priority, 0) && !r.Closed {
				t.Fatalf("%s: show %q, priority %d of %+v", wire, p.Show, p.Priority, r)
			}
			idle := ""
			if r.Idle > 0 {
				idle = time.Unix(r.Idle, 0).UTC().Format(time.RFC3339)
			}
			if e := p.Extension(xmpp.NSIdle, "idle"); (e == nil) != (idle == "") || e != nil && e.Attribute("since") != idle {
				t.Fatalf("%s: %s", wire, p.Append(nil))
			}
			labelled := func(list []xmpp.LangText, lang string) (out []xmpp.LangText) {
				for _, s := range list {
					if s.Lang == "" {
						s.Lang = lang
					}
					if s.Text != "" && !slices.ContainsFunc(out, func(o xmpp.LangText) bool { return o.Lang == s.Lang }) {
						out = append(out, s)
					}
				}
				return out
			}
			// A text without a language is in that of the best resource, which is all that SIP can say.
			want := labelled(r.Statuses, r.Lang)
			if r.Lang == "" {
				want = labelled(r.Statuses, lang)
			}
			if diff := cmp.Diff(want, labelled(p.Statuses, p.Lang)); diff != "" {
				t.Fatalf("%s: %s", wire, diff)
			}
		}
		// The same document again is nothing new, and the end of the dialog is the end of all.
		if again := PIDFToPresences(u.Resources, parsed, c); len(again.Presences) != 0 || cmp.Diff(u.Resources, again.Resources) != "" {
			t.Fatalf("%s: %v", wire, again.Presences)
		}
		end := PIDFToPresences(u.Resources, nil, c)
		open := 0
		for i := range rs {
			if !rs[i].Closed {
				open++
			}
		}
		if len(end.Resources) != 0 || len(end.Presences) != open {
			t.Fatalf("%v", end)
		}
	})
}

func FuzzPIDFToPresences(f *testing.F) {
	const head = `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:a@b">`
	f.Add([]byte(head+`<tuple id="t1"><status><basic>open</basic></status><contact>sip:a@b</contact></tuple></presence>`), []byte(head+`<tuple id="t2"><status><basic>open</basic></status><contact>sip:a@b;gr=x</contact></tuple></presence>`), "en", false)
	f.Add([]byte(head+`<dm:person><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person></presence>`), []byte(head+`<tuple><note>On the phone</note><status><basic>open</basic></status><dm:deviceID>urn:x</dm:deviceID></tuple><tuple id="ID-"/></presence>`), "", true)
	f.Fuzz(func(t *testing.T, first, second []byte, lang string, phone bool) {
		c := asOtto
		c.Lang, c.OnThePhone = lang, phone
		var rs Resources
		for i, data := range [][]byte{first, second, first} {
			d, err := pidf.Parse(data)
			if err != nil {
				return
			}
			c.Source = uint32(i % 2)
			u := PIDFToPresences(rs, d, c)
			names := map[string]bool{}
			for _, r := range u.Resources {
				if names[r.Name] || r.Name == "" {
					t.Fatalf("name %q", r.Name)
				}
				names[r.Name] = true
			}
			if len(u.Resources) > maxResources || len(u.Presences) > 2*maxResources {
				t.Fatalf("%d resources, %d presences", len(u.Resources), len(u.Presences))
			}
			for _, p := range u.Presences {
				s, err := xmpp.ReadStanza(p.Append(nil))
				if err != nil {
					t.Fatalf("%s: %v", p.Append(nil), err)
				}
				if from, _ := s.Addresses(); from.IsBare() || from.Bare() != c.From {
					t.Fatalf("from %s", from)
				}
			}
			if again := PIDFToPresences(u.Resources, d, c); len(again.Presences) > 0 {
				t.Fatalf("%s\nagain: %s", data, again.Presences[0].Append(nil))
			}
			rs = u.Resources
		}
	})
}

func TestProbe(t *testing.T) {
	got := ResourcesToPresences(nil, asOtto)
	if len(got) != 1 || !got[0].From.IsBare() || got[0].Type != xmpp.PresenceUnavailable {
		t.Fatal(got)
	}
	got = ResourcesToPresences(Resources{{Name: "a", Closed: true}, {Name: "b", Phone: PhoneCall, Show: xmpp.ShowChat}, {Name: "c", Phone: PhoneTold, Show: xmpp.ShowXA}}, asOtto)
	if len(got) != 2 || got[0].From.Resource() != "b" || got[0].Show != xmpp.ShowDND || got[1].Show != xmpp.ShowXA || got[1].Status() != textOnPhone {
		t.Fatalf("%+v", got)
	}
}

func TestCallToPresences(t *testing.T) {
	c := asOtto
	c.OnThePhone = true
	prev := Resources{{Name: "a"}, {Name: "b", Closed: true}, {Name: "c", Phone: PhoneTold}}
	next, got := CallToPresences(prev, c)
	if len(got) != 1 || got[0].From.Resource() != "a" || got[0].Show != xmpp.ShowDND || prev[0].Phone != 0 || next[1].Phone != 0 {
		t.Fatalf("%+v", got)
	}
	c.OnThePhone = false
	if next, got = CallToPresences(next, c); len(got) != 1 || got[0].Show != xmpp.ShowNone || next[2].Phone != PhoneTold {
		t.Fatalf("%+v", got)
	}
	// A document of one dialog tells the call to what the others told.
	c.OnThePhone, c.Source = true, 1
	u := PIDFToPresences(next, &pidf.Document{Tuples: []pidf.Tuple{{Basic: pidf.Open}}}, c)
	if len(u.Presences) != 2 {
		t.Fatalf("%+v", u.Presences)
	}
}

// Many tuples, and tuples by the thousand of one device, cost little and cause few stanzas.
func TestPIDFHostile(t *testing.T) {
	d := &pidf.Document{}
	for i := range 256 {
		d.Tuples = append(d.Tuples, pidf.Tuple{ID: fmt.Sprint("t", i), Basic: pidf.Open, Notes: make([]pidf.Note, 16)})
	}
	for range 16 {
		p := pidf.Person{Notes: make([]pidf.Note, 16)}
		p.Notes[15].Text = "x"
		for range 32 {
			p.Activities = append(p.Activities, pidf.Term{Name: "of tomorrow"})
		}
		d.Persons = append(d.Persons, p)
	}
	d.Dropped = 10000
	start := time.Now()
	u := PIDFToPresences(nil, d, asOtto)
	if len(u.Presences) != maxResources || len(u.Loss) != 2 {
		t.Fatalf("%d presences, loss %v", len(u.Presences), u.Loss)
	}
	if took := time.Since(start); took > time.Second {
		t.Error(took)
	}
	// Names that are taken by another dialog.
	c := asOtto
	for c.Source = 1; c.Source < 4; c.Source++ {
		u = PIDFToPresences(u.Resources[:2], &pidf.Document{Tuples: []pidf.Tuple{{ID: "ID-" + u.Resources[0].Name, Basic: pidf.Open}}}, c)
		if len(u.Resources) != 3 || u.Resources[2].Name == u.Resources[0].Name {
			t.Fatalf("%+v", u.Resources)
		}
	}
}

// What a tuple is called by, beyond the golden pairs.
func TestTupleNames(t *testing.T) {
	long := "https://x/" + strings.Repeat("a", maxStatus)
	tests := []struct {
		name   string
		entity string
		tuple  pidf.Tuple
		want   string // resource; "": ignored
	}{
		{"name-addr", "sip:otto@quay.example", pidf.Tuple{Contact: pidf.Contact{URI: `"Otto" <sip:otto@quay.example;gr=desk>`}}, "desk"},
		{"entity without scheme", "otto@192.0.2.4", pidf.Tuple{ID: "x", Contact: pidf.Contact{URI: "sip:otto@192.0.2.4"}}, "sip"},
		{"entity of presence", "pres:otto@192.0.2.4", pidf.Tuple{ID: "x", Contact: pidf.Contact{URI: "sip:otto@192.0.2.4"}}, "sip"},
		{"unreadable entity", "\x00", pidf.Tuple{ID: "x", Contact: pidf.Contact{URI: "sip:otto@quay.example"}}, "sip"},
		{"unreadable contact", "sip:otto@quay.example", pidf.Tuple{ID: "x", Contact: pidf.Contact{URI: "<<<"}}, "sip"},
		{"telephone", "tel:+4930123456", pidf.Tuple{ID: "x", Contact: pidf.Contact{URI: "tel:+4930123456"}}, "sip"},
		{"another's telephone", "sip:otto@quay.example", pidf.Tuple{ID: "x", Contact: pidf.Contact{URI: "tel:+4930123456"}}, ""},
		{"himself", "", pidf.Tuple{Relationship: "self"}, "sip"},
		{"long icon", "", pidf.Tuple{Card: pidf.Card{Icon: long}}, "sip"},
		{"GRUU that is no resource", "", pidf.Tuple{ID: "ID-a", Contact: pidf.Contact{URI: "sip:otto@quay.example;gr=%07"}}, "a"},
	}
	for _, tt := range tests {
		tt.tuple.Basic = pidf.Open
		u := PIDFToPresences(nil, &pidf.Document{Entity: tt.entity, Tuples: []pidf.Tuple{tt.tuple}}, asOtto)
		got := ""
		if len(u.Resources) > 0 {
			got = u.Resources[0].Name
		}
		if got != tt.want || (got == "") != (len(u.Loss) == 1) {
			t.Errorf("%s: %q, %v", tt.name, got, u.Loss)
		}
	}
	// A device is called the same in messages, presence and calls.
	id := "urn:uuid:F81D4FAE-7dec-11d0-a765-00a0c91e6bf6"
	u := PIDFToPresences(nil, &pidf.Document{Tuples: []pidf.Tuple{{Basic: pidf.Open, DeviceID: id}, {
		Basic: pidf.Open, DeviceID: id, Capabilities: pidf.Capabilities{Audio: pidf.Supported, Video: pidf.NotSupported}, Notes: []pidf.Note{{Text: "x"}},
	}}}, asOtto)
	contact, err := sip.ParseNameAddr(`<sip:9@192.0.2.1>;+sip.instance="<` + strings.ToLower(id) + `>"`)
	if err != nil {
		t.Fatal(err)
	}
	if r := u.Resources; len(r) != 1 || r[0].Name != DeviceResource(contact) || r[0].Capabilities.Audio != pidf.Supported || r[0].Statuses == nil {
		t.Errorf("%+v", r)
	}
	// The input of a person is that of all.
	u = PIDFToPresences(nil, &pidf.Document{
		Tuples:  []pidf.Tuple{{ID: "x", Basic: pidf.Open}},
		Persons: []pidf.Person{{Rich: pidf.Rich{Input: pidf.UserInput{State: pidf.Idle, Last: goldenNow.Add(-time.Hour)}}}},
	}, asOtto)
	if r := u.Resources[0]; r.Show != xmpp.ShowAway || r.Idle != goldenNow.Add(-time.Hour).Unix() {
		t.Errorf("%+v", r)
	}
	if d, _ := PresenceToPIDF(Resources{{Name: "a"}}, PresenceContext{Entity: sip.URI{Scheme: "tel", User: "+4930123456"}}); d.Tuples[0].URI != "tel:+4930123456" {
		t.Error(d.Tuples[0].URI)
	}
}

func benchResources() Resources {
	a, _ := ResourceOf(available("desk.k3x9", func(p *xmpp.Presence) {
		p.Lang, p.Show, p.Priority, p.Statuses = "en", xmpp.ShowDND, 10, []xmpp.LangText{{Text: "on deck until six"}}
	}), goldenNow)
	b, _ := ResourceOf(available("phone", func(p *xmpp.Presence) {
		p.Show = xmpp.ShowAway
		p.Extensions = []*xmpp.Element{xmpp.NewElement(xmpp.NSIdle, "idle").Set("since", "2026-05-04T18:00:00Z")}
	}), goldenNow)
	return Resources{a, b}
}

// Two resources to the bytes of a NOTIFY.
func BenchmarkPresenceToPIDF(b *testing.B) {
	rs := benchResources()
	c := PresenceContext{Entity: miraSIP}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		d, _ := PresenceToPIDF(rs, c)
		buf = d.Append(buf[:0])
	}
}

// The bytes of a NOTIFY with two tuples to stanzas: parsed, compared, and one of them changed.
func BenchmarkPIDFToPresences(b *testing.B) {
	rs := benchResources()
	d, lang := PresenceToPIDF(rs, PresenceContext{Entity: miraSIP})
	first := d.Append(nil)
	rs[1].Show = xmpp.ShowNone
	d, _ = PresenceToPIDF(rs, PresenceContext{Entity: miraSIP})
	second := d.Append(nil)
	c := asOtto
	c.Lang = lang
	var kept Resources
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		data := first
		if i%2 == 1 {
			data = second
		}
		d, err := pidf.Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		u := PIDFToPresences(kept, d, c)
		if kept = u.Resources; len(u.Presences) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkResourceOf(b *testing.B) {
	p := available("desk.k3x9", func(p *xmpp.Presence) {
		p.Lang, p.Show, p.Priority, p.Statuses = "en", xmpp.ShowDND, 10, []xmpp.LangText{{Text: "on deck until six"}}
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ResourceOf(p, goldenNow); !ok {
			b.Fatal("nothing")
		}
	}
}

// What an available resource says of the picture: not yet, none, this one (XEP-0153).
func TestPhotoElement(t *testing.T) {
	const hash = "01b87fcd030b72895ff8e88db57ec525450f000d"
	for _, tt := range []struct {
		hash  string
		known bool
		want  string
	}{
		{"", false, "<x xmlns='vcard-temp:x:update'/>"},
		{hash, false, "<x xmlns='vcard-temp:x:update'/>"},
		{"", true, "<x xmlns='vcard-temp:x:update'><photo/></x>"},
		{"../../etc/passwd", true, "<x xmlns='vcard-temp:x:update'><photo/></x>"},
		{strings.ToUpper(hash), true, "<x xmlns='vcard-temp:x:update'><photo>" + hash + "</photo></x>"},
	} {
		if got := PhotoElement(tt.hash, tt.known).String(); got != tt.want {
			t.Errorf("%q, %v: %s", tt.hash, tt.known, got)
		}
	}
}

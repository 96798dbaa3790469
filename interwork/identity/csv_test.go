package identity

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestImport(t *testing.T) {
	tab := newTable(t, openStore(t, t.TempDir(), false))
	file := "\ufeffID, jid,aors,numbers,name,call_out,password\r\n" +
		"mira,mira@chat.example,Mira@voice.example|sip:100@pbx.example,030 123456|+4930999999,\"Müller, \"\"Mira\"\"\",no,geheim\r\n" +
		",,otto@voice.example,,,,\r\n" +
		"\r\n" +
		"eva,xmpp:eva@chat.example,,,,1,\r\n"
	for _, dry := range []bool{true, false} {
		got, err := tab.ImportCSV(t.Context(), strings.NewReader(file), dry)
		if err != nil || got != (ImportResult{Added: 3}) {
			t.Fatal(got, err)
		}
		if dry && tab.Len() != 0 {
			t.Fatal("a dry run changed something")
		}
	}
	m, _ := tab.Get("mira")
	if m.Name != `Müller, "Mira"` || m.Policy != (Policy{CallIn: true, ShowCallerID: true}) || len(m.AORs) != 2 || len(m.Numbers) != 2 {
		t.Errorf("%+v", m)
	}
	want, _ := sha256Hex("100", "pbx.example", "geheim")
	if got, _ := tab.HA1("100", "pbx.example", "SHA-256"); got != want {
		t.Error("the password was not hashed")
	}
	if o, ok := tab.Get("otto"); !ok || o.Policy != AllowAll {
		t.Errorf("%+v", o)
	}

	// The same again changes nothing: the password gives the same hashes.
	got, err := tab.ImportCSV(t.Context(), strings.NewReader(strings.Replace(file, "\n,,otto", "\notto,,otto", 1)), false)
	if err != nil || got != (ImportResult{Unchanged: 3}) {
		t.Fatal(got, err)
	}
	// Columns that are missing stay, and two may trade.
	got, err = tab.ImportCSV(t.Context(), strings.NewReader("id,aors\nmira,otto@voice.example|100@pbx.example\notto,Mira@voice.example\n"), false)
	if err != nil || got != (ImportResult{Updated: 2}) {
		t.Fatal(got, err)
	}
	m, _ = tab.Get("mira")
	if m.Name != `Müller, "Mira"` || !m.HasPassword() || m.AORs[0].String() != "sip:otto@voice.example" {
		t.Errorf("%+v", m)
	}
}

// sha256Hex is the SHA-256 as text.
func sha256Hex(user, realm, password string) (string, bool) {
	c := NewCredential(user, realm, password)
	return c.HA1("SHA-256")
}

func TestImportErrors(t *testing.T) {
	tab := newTable(t, openStore(t, t.TempDir(), false))
	add(t, tab, mira(t), "")
	file := strings.Join([]string{
		"id,jid,aors,numbers,call_in,password,credentials",
		"a,not a jid,,,,,",                       // 2
		"b,b@chat.example,sip:,12,perhaps,,",     // 3: three errors
		"c,mira@chat.harbor.example,,,,,",        // 4
		"d,d@chat.example,d@x.example",           // 5
		"e,e@chat.example,e@x.example,,,,",       // 6: fine
		"\"f\n\",f@chat.example,E@x.example,,,,", // 7 and 8
		"e,g@chat.example,,,,,",                  // 9
		"h,,,,,,",                                // 10
		"i,i@chat.example,,,,secret,",            // 11
		"j,,j@x.example,,,,j@x.example:zz:",      // 12
		"k,,k@x.example,,,,k@elsewhere.example:" + strings.Repeat("0a", 16) + ":", // 13
		"l,,l@x.example,,,,nonsense",      // 14
		"m,,m@x.example,,,,m@x.example::", // 15
	}, "\n")
	for _, dry := range []bool{true, false} {
		_, err := tab.ImportCSV(t.Context(), strings.NewReader(file), dry)
		var list *ImportError
		if !errors.As(err, &list) {
			t.Fatal(err)
		}
		var got []string
		for _, l := range list.Lines {
			got = append(got, fmt.Sprintf("%d: %s", l.Line, strings.ReplaceAll(l.Err.Error(), "\n", " / ")))
		}
		want := []string{
			`2: jid: xmpp: malformed JID`,
			`3: aors: sip: malformed URI: no valid host in "sip:" / call_in: identity: invalid: "perhaps"`,
			`4: identity: xmpp:mira@chat.harbor.example belongs to "mira"`,
			`5: identity: invalid: 3 fields, the header has 7`,
			`7: identity: sip:E@x.example belongs to "e" (line 6)`,
			`9: identity: invalid: id "e" is on line 6 too`,
			`10: identity: invalid: has neither`,
			`11: identity: invalid: a password needs`,
			`12: credentials: identity: invalid: HA1 by MD5`,
			`13: identity: invalid: credentials: each`,
			`14: credentials: identity: invalid: not of the form`,
			`15: identity: invalid: credentials: each`,
		}
		if len(got) != len(want) {
			t.Fatalf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("got  %s\nwant %s", got[i], want[i])
			}
		}
		if !strings.Contains(got[1], "number \"12\"") {
			t.Errorf("not all errors of the line: %s", got[1])
		}
		if strings.Contains(err.Error(), "secret") || !errors.Is(err, ErrTaken) || !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if tab.Len() != 1 {
			t.Error("something was imported")
		}
	}
	for _, c := range []struct{ file, want string }{
		{"", "no header row"},
		{"id,jid,what,jid\n", `unknown column "what"`},
		{"id,jid,what,jid\n", `column "jid" comes twice`},
		{"id,jid\n\"a\nb,c", "line 2"},
		{"id,jid\na,a@b.example\nx\"y,z\n", "line 3"},
	} {
		if _, err := tab.ImportCSV(t.Context(), strings.NewReader(c.file), false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.file, err)
		}
	}
}

func drawIdentity(t *rapid.T, n int) Identity {
	user := rapid.StringMatching(`[a-zA-Z0-9"'&%:;|,/ü=+-]{1,12}`)
	host := rapid.SampledFrom([]string{"x.example", "y.example", "192.0.2.1", "[2001:db8::1]"})
	id := Identity{
		ID:     fmt.Sprintf("%s-%d", rapid.StringMatching(`[a-zA-Z0-9._@+-]{1,8}`).Draw(t, "id"), n),
		Name:   rapid.StringMatching(`[^\p{C}]{0,20}`).Draw(t, "name"),
		Trunk:  rapid.StringMatching(`[a-z," ]{0,8}`).Draw(t, "trunk"),
		Policy: Policy{rapid.Bool().Draw(t, "out"), rapid.Bool().Draw(t, "in"), rapid.Bool().Draw(t, "show")},
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "aors") {
		u := sip.URI{Scheme: "sip", User: sip.EscapeUser(fmt.Sprintf("%s%d.%d", user.Draw(t, "user"), n, i)), Host: host.Draw(t, "host")}
		if _, err := mapping.URIToJID(u); err == nil { // not every Unicode text is a localpart
			id.AORs = append(id.AORs, u)
		}
	}
	if len(id.AORs) == 0 || rapid.Bool().Draw(t, "jid") {
		id.JID = xmpp.MustJID(fmt.Sprintf("j%d@chat.example", n))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "numbers") {
		id.Numbers = append(id.Numbers, fmt.Sprintf("+49301%05d%d", n, i))
	}
	return id
}

func TestExportImportRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from := newTable(t, nil)
		for n := range rapid.IntRange(0, 5).Draw(rt, "identities") {
			id := drawIdentity(rt, n)
			password := ""
			if len(id.AORs) > 0 {
				password = rapid.String().Draw(rt, "password")
			}
			if _, err := from.Add(t.Context(), id, password); err != nil {
				rt.Fatal(err)
			}
		}
		var file, again bytes.Buffer
		if err := from.ExportCSV(&file); err != nil {
			rt.Fatal(err)
		}
		text := file.String()
		to := newTable(t, nil)
		got, err := to.ImportCSV(t.Context(), &file, false)
		if err != nil || got != (ImportResult{Added: from.Len()}) {
			rt.Fatalf("%v %v\n%s", got, err, text)
		}
		if d := cmp.Diff(all(from), all(to), cmp.AllowUnexported(xmpp.JID{}), cmpEmpty); d != "" {
			rt.Fatal(d)
		}
		if err := to.ExportCSV(&again); err != nil || again.String() != text {
			rt.Fatalf("%v\n%s\n%s", err, text, again.String())
		}
		if got, err := to.ImportCSV(t.Context(), &again, false); err != nil || got != (ImportResult{Unchanged: from.Len()}) {
			rt.Fatal(got, err)
		}
	})
}

func TestRowRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tab := newTable(t, nil)
		id := drawIdentity(rt, 1)
		password := ""
		if len(id.AORs) > 0 {
			password = rapid.String().Draw(rt, "password")
		}
		want, err := tab.Add(t.Context(), id, password)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := fromRow(toRow(want))
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(xmpp.JID{}), cmpEmpty); d != "" {
			rt.Fatal(d)
		}
	})
}

func FuzzImport(f *testing.F) {
	f.Add("id,jid,aors,numbers,credentials\na,a@b.example,a@c.example|b@c.example,+4930123456,a@c.example:" + strings.Repeat("0a", 16) + ":\n")
	f.Add("id\n\"")
	f.Add("\ufeffjid\n@\n")
	f.Fuzz(func(t *testing.T, file string) {
		tab, err := New(t.Context(), Config{Numbers: german})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tab.ImportCSV(t.Context(), strings.NewReader(file), false)
		if err != nil {
			if tab.Len() != 0 {
				t.Fatal("an error, but something was imported")
			}
			return
		}
		if tab.Len() != got.Added {
			t.Fatalf("%d identities, %+v", tab.Len(), got)
		}
		var out bytes.Buffer
		if err := tab.ExportCSV(&out); err != nil {
			t.Fatal(err)
		}
		if again, err := tab.ImportCSV(t.Context(), &out, true); err != nil || again.Unchanged != tab.Len() {
			t.Fatalf("%+v %v", again, err)
		}
	})
}

var cmpEmpty = cmpopts.EquateEmpty()

package cpim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const berth = "From: Mira <sip:mira@chat.harbor.example>\r\n" +
	"To: <sip:otto@voice.quay.example>\r\n" +
	"DateTime: 2026-05-04T18:22:01Z\r\n" +
	"Subject: berth\r\n" +
	"Subject:;lang=de Liegeplatz\r\n" +
	"NS: imdn <urn:ietf:params:imdn>\r\n" +
	"imdn.Message-ID: m-42\r\n" +
	"imdn.Disposition-Notification: positive-delivery, display\r\n" +
	"\r\n" +
	"Content-Type: text/plain;charset=utf-8\r\n" +
	"\r\n" +
	"Berth four."

func TestParse(t *testing.T) {
	m, err := Parse([]byte(berth))
	if err != nil {
		t.Fatal(err)
	}
	want := &Message{
		Headers: []Header{
			{NSHeaders, "From", "", "Mira <sip:mira@chat.harbor.example>"},
			{NSHeaders, "To", "", "<sip:otto@voice.quay.example>"},
			{NSHeaders, "DateTime", "", "2026-05-04T18:22:01Z"},
			{NSHeaders, "Subject", "", "berth"},
			{NSHeaders, "Subject", "de", "Liegeplatz"},
			{NSIMDN, "Message-ID", "", "m-42"},
			{NSIMDN, "Disposition-Notification", "", "positive-delivery, display"},
		},
		Fields: []Field{{"Content-Type", "text/plain;charset=utf-8"}},
		Body:   []byte("Berth four."),
	}
	if d := cmp.Diff(want, m); d != "" {
		t.Fatal(d)
	}
	if got := m.String(); got != berth {
		t.Fatalf("written:\n%s", got)
	}
	if from, ok := m.From(); !ok || from != (Address{"Mira", "sip:mira@chat.harbor.example"}) {
		t.Errorf("from %v %v", from, ok)
	}
	if at, ok := m.DateTime(); !ok || !at.Equal(time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC)) {
		t.Errorf("time %v %v", at, ok)
	}
	if len(m.Subjects()) != 2 || m.Field("content-type") == "" {
		t.Error("subjects or field not found")
	}
	if v, ok := m.Get(NSIMDN, "Message-ID"); !ok || v != "m-42" {
		t.Errorf("message id %q %v", v, ok)
	}
	if _, ok := m.Get("", "Message-ID"); ok {
		t.Error("a name of another namespace was found")
	}
}

// Bodies of this shape were seen from RCS servers and clients.
func TestParseLoose(t *testing.T) {
	tests := map[string]string{
		"bare LF":                  strings.ReplaceAll(berth, "\r\n", "\n"),
		"no space after NS prefix": strings.Replace(berth, "imdn <urn", "imdn<urn", 1),
		"other prefix":             strings.NewReplacer("imdn <", "m <", "imdn.", "m.").Replace(berth),
		"undeclared imdn":          strings.Replace(berth, "NS: imdn <urn:ietf:params:imdn>\r\n", "", 1),
		"two empty lines":          strings.Replace(berth, "display\r\n\r\n", "display\r\n\r\n\r\n", 1),
		"outer type in front":      "Content-Type: message/cpim\r\n" + berth,
		"folded":                   strings.Replace(berth, "positive-delivery, display", "positive-delivery,\r\n display", 1),
		"no space after colon":     strings.Replace(berth, "DateTime: ", "DateTime:", 1),
		"unknown prefix":           "x.Colour: red\r\n" + berth,
		"quoted name":              strings.Replace(berth, "Mira <", `"Mira" <`, 1),
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := Parse([]byte(in))
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := m.Get(NSIMDN, "Disposition-Notification"); v != "positive-delivery, display" {
				t.Errorf("disposition %q", v)
			}
			if from, _ := m.From(); from.Name != "Mira" {
				t.Errorf("from %+v", from)
			}
			if _, ok := m.DateTime(); !ok {
				t.Error("no time")
			}
			if string(m.Body) != "Berth four." {
				t.Errorf("body %q", m.Body)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	long := strings.Repeat("x", maxHeaderValue)
	tests := []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"only body", "\r\nhello", ErrMalformed},
		{"no colon", "hello there\r\n\r\n", ErrMalformed},
		{"name with space", "From x: y\r\n\r\n", ErrMalformed},
		{"NS without uri", "NS: imdn <>\r\nFrom: <a:b>\r\n\r\n", ErrMalformed},
		{"open parameter", "Subject:;lang= \"x\r\n\r\n", nil},
		{"open quote", "Subject:;lang=\"x\r\n\r\n", ErrMalformed},
		{"long line", "From: " + long + "\r\n\r\n", ErrTooMany},
		{"many headers", strings.Repeat("From: <a:b>\r\n", maxHeaders+1), ErrTooMany},
		{"many fields", "From: <a:b>\r\n\r\n" + strings.Repeat("X: y\r\n", maxHeaders+1), ErrTooMany},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.in))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestNamespaceScope(t *testing.T) {
	m, err := Parse([]byte("a.X: before\r\nNS: a <urn:one>\r\na.X: 1\r\nNS: a <urn:two>\r\na.X: 2\r\n" +
		"Require: a.X, Zap, b.Y\r\n\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Header{{"urn:one", "X", "", "1"}, {"urn:two", "X", "", "2"}}, m.Headers); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Name{{"urn:two", "X"}, {NSHeaders, "Zap"}, {"", "b.Y"}}, m.Require); d != "" {
		t.Error(d)
	}
}

func TestEscapes(t *testing.T) {
	for in, want := range map[string]string{
		`plain`:         "plain",
		`a\\b`:          `a\b`,
		`a\u000ab`:      "a\nb",
		`\u00e9t\u00E9`: "été",
		`a\nb\tc\rd\be`: "a\nb\tc\rd\be",
		`q\"q\'`:        `q"q'`,
		`c:\dir`:        `c:\dir`,
		`\u12`:          `\u12`,
		`\uzzzz`:        `\uzzzz`,
		`\ud800x`:       "\uFFFDx",
		`end\`:          `end\`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

// A value that holds a line break must not become a header of its own.
func TestInjection(t *testing.T) {
	m := new(Message)
	m.Set("", "Subject", "x\r\nFrom: <sip:boss@bank.example>\r\n\r\nContent-Type: text/html\r\n\r\n<b>")
	m.Set("urn:x>\r\nEvil: 1", "A\r\nB", "v")
	m.Fields = []Field{{"Content-Type", "text/plain\r\nX-Evil: 1"}, {"Bad\r\nName", "v"}, {"\r\n", "v"}}
	got, err := Parse(m.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.From(); ok || len(got.Headers) != 2 || len(got.Fields) != 2 || len(got.Body) != 0 {
		t.Fatalf("injected: %q", m.String())
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]Address{
		"<sip:a@b>":                  {"", "sip:a@b"},
		"sip:a@b":                    {"", "sip:a@b"},
		"Otto <sip:a@b>":             {"Otto", "sip:a@b"},
		"22<sip:+1@b>":               {"22", "sip:+1@b"},
		`"Otto \"O\"" <sip:a@b>`:     {`Otto "O"`, "sip:a@b"},
		"A <B> C <sip:a@b;x=y> tail": {"A <B> C", "sip:a@b;x=y"},
	} {
		if got, err := ParseAddress(in); err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "   ", "Otto", "Otto Ott", "<sip:a@b"} {
		if a, err := ParseAddress(in); err == nil && in != "Otto" {
			t.Errorf("ParseAddress(%q) = %+v", in, a)
		}
	}
	for uri, want := range map[string]bool{
		"sip:anonymous@anonymous.invalid": true, "sip:Anonymous@Anonymous.Invalid": true, "": true,
		"sip:anonymous@voice.quay.example": false,
	} {
		if (Address{URI: uri}).IsAnonymous() != want {
			t.Errorf("IsAnonymous(%q) != %v", uri, want)
		}
	}
	if s := (Address{"Otto", "sip:a@b"}).String(); s != "Otto <sip:a@b>" {
		t.Error(s)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z][A-Za-z0-9-]{0,10}`).Filter(func(s string) bool {
			return s != "NS" && s != "Require" && !strings.EqualFold(s, "Content-Type")
		})
		m := &Message{Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")}
		for range rapid.IntRange(1, 6).Draw(t, "headers") {
			m.Headers = append(m.Headers, Header{
				Space: rapid.SampledFrom([]string{NSHeaders, NSIMDN, "urn:a", "urn:b"}).Draw(t, "space"),
				Name:  name.Draw(t, "name"),
				Lang:  rapid.SampledFrom([]string{"", "de", "en-GB"}).Draw(t, "lang"),
				Value: strings.TrimSpace(validText(rapid.String().Draw(t, "value"))),
			})
		}
		m.Fields = append(m.Fields, Field{"Content-Type", "text/plain"})
		got, err := Parse(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Body) == 0 {
			got.Body = m.Body
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(berth))
	f.Add([]byte("NS: <urn:x>\r\nA: \\u0041\r\n\r\n\r\n"))
	f.Add([]byte("Subject:;lang=\"x\";y=z text\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse(m.Append(nil))
		if err != nil {
			// A header whose name is no token is not written; nothing may be left of such a message.
			return
		}
		if len(again.Headers) > len(m.Headers) || len(again.Fields) > len(m.Fields) {
			t.Fatalf("headers appeared: %q -> %q", data, m.String())
		}
	})
}

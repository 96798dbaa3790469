package interworktest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFeed(t *testing.T) {
	var f Feed[string]
	isA := func(s string) bool { return strings.HasPrefix(s, "a") }
	f.Add("b1")
	f.Add("a1")
	if got := f.Take(t, "an a", isA); got != "a1" {
		t.Errorf("took %q", got)
	}
	from := f.Len()
	go f.Add("a2")
	if got := f.Next(t, from, "the next a", isA); got != "a2" {
		t.Errorf("saw %q", got)
	}
	if got := f.Take(t, "another a", isA); got != "a2" {
		t.Errorf("took %q", got)
	}
	if got := f.Take(t, "anything", func(string) bool { return true }); got != "b1" {
		t.Errorf("took %q", got)
	}
	if n := f.Count(isA); n != 2 {
		t.Errorf("%d entries", n)
	}
	if diff := cmp.Diff([]string{"b1", "a1", "a2"}, f.All()); diff != "" {
		t.Error(diff)
	}
	f.Add("c")
	failed := inTest(t, func(t TB) { f.TakeWithin(t, 10*time.Millisecond, "an a", isA) })
	if failed.outcome != "failed" || !strings.Contains(failed.log.String(), "for an a; seen and not taken:\n  c") {
		t.Errorf("%s: %s", failed.outcome, failed.log.String())
	}
}

func TestLedger(t *testing.T) {
	var l Ledger
	for _, key := range []string{"1", "2", "3", "4", "5", "6"} {
		l.Sent(key)
	}
	l.Arrived("1", "id-1")
	l.Arrived("2", "id-2")
	l.Arrived("2", "id-2")
	l.Arrived("3", "id-3")
	l.Arrived("3", "other")
	l.Refused("4")
	l.Arrived("5", "id-5")
	l.Refused("5")
	l.Arrived("never sent", "x")
	want := LedgerReport{
		Sent: 6, Arrived: 4, Refused: 1, Both: 1, Repeated: 2, Different: 1, Unsolicited: 1, Lost: []string{"6"},
	}
	if diff := cmp.Diff(want, l.Report()); diff != "" {
		t.Error(diff)
	}
	if l.Open() != 1 {
		t.Errorf("%d open", l.Open())
	}
}

func TestParseSIPMessage(t *testing.T) {
	m, ok := parseSIPMessage("MESSAGE sip:otto@h SIP/2.0\r\nf: <sip:mira@h>;tag=1\r\nSubject: a\r\n\tb\r\nCall-ID:x@y\r\nCSeq: 7 MESSAGE\r\n\r\nbody\r\n\r\nmore")
	if !ok || m.Method() != "MESSAGE" || m.RequestURI() != "sip:otto@h" || m.Status() != 0 {
		t.Errorf("%v %v", ok, m)
	}
	for name, want := range map[string]string{"From": "<sip:mira@h>;tag=1", "subject": "a b", "i": "x@y", "Via": ""} {
		if got := m.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if m.Body != "body\r\n\r\nmore" || m.Transaction() != "x@y 7 MESSAGE" {
		t.Errorf("%q %q", m.Body, m.Transaction())
	}
	r, ok := parseSIPMessage("SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n")
	if !ok || r.Status() != 486 || r.Method() != "INVITE" || r.RequestURI() != "" {
		t.Errorf("%v %v", ok, r)
	}
	for _, junk := range []string{"", "\r\n\r\n", "hello", "SIP/2.0 x\r\nno colon", "GET / HTTP/1.1\r\n\r\n"} {
		if m, ok := parseSIPMessage(junk); ok && m.Status() != 0 {
			t.Errorf("%q gives %v", junk, m)
		}
	}
}

func FuzzParseSIPMessage(f *testing.F) {
	f.Add("SIP/2.0 200 OK\r\nCSeq: 1 MESSAGE\r\n\r\n")
	f.Add("MESSAGE sip:a SIP/2.0\r\n folded\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, ok := parseSIPMessage(text); ok {
			_ = m.Method() + m.RequestURI() + m.Transaction() + m.String()
		}
	})
}

func TestNamesInConfigurations(t *testing.T) {
	for name, want := range map[string]string{"mira": "mira", "chat.harbor.example": "chat%2eharbor%2eexample", "a b": "a%20b"} {
		if got := prosodyStore(name); got != want {
			t.Errorf("prosodyStore(%q) = %q, want %q", name, got, want)
		}
	}
	if got, want := luaQuote("a\"b\\c\nd"), `"a\"b\\c\010d"`; got != want {
		t.Errorf("luaQuote: %s, want %s", got, want)
	}
	if got, want := erlangBinary("aé"), "<<97,195,169>>"; got != want {
		t.Errorf("erlangBinary: %s, want %s", got, want)
	}
	if got, want := dbText("a:b\\"), `a\:b\\`; got != want {
		t.Errorf("dbText: %s, want %s", got, want)
	}
}

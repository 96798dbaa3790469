package mapping

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const (
	miraURI = "sip:mira@chat.harbor.example"
	ottoURI = "sip:otto@voice.quay.example"
)

func TestThreadToCallID(t *testing.T) {
	id := func(thread, from, to string, seq uint64) string {
		return ThreadToCallID(thread, from, to, "gw.harbor.example", seq)
	}
	base := id("t-9f2", miraURI, ottoURI, 1)
	if !strings.HasPrefix(base, "t-9f2.") || !strings.HasSuffix(base, "@gw.harbor.example") {
		t.Error(base)
	}
	if id("t-9f2", miraURI, ottoURI, 2) != base {
		t.Error("the same thread gave another Call-ID")
	}
	for name, other := range map[string]string{
		"another thread":    id("t-9f3", miraURI, ottoURI, 1),
		"another sender":    id("t-9f2", "sip:x@y", ottoURI, 1),
		"the way back":      id("t-9f2", ottoURI, miraURI, 1),
		"no thread":         id("", miraURI, ottoURI, 1),
		"no thread, second": id("", miraURI, ottoURI, 2),
	} {
		if other == base {
			t.Errorf("%s gave the same Call-ID %s", name, other)
		}
	}
	if id("", miraURI, ottoURI, 1) == id("", miraURI, ottoURI, 2) {
		t.Error("two messages without a thread share a Call-ID")
	}
	if long := strings.Repeat("t", maxThread+1); len(id(long, miraURI, ottoURI, 1)) > 64 || id(long, miraURI, ottoURI, 1) == id(long+"x", miraURI, ottoURI, 1) {
		t.Error("long threads")
	}
}

func TestCallIDToThread(t *testing.T) {
	none := ThreadToCallID("", miraURI, ottoURI, "h", 1)
	long := ThreadToCallID(strings.Repeat("t", maxThread+1), miraURI, ottoURI, "h", 1)
	ours := ThreadToCallID("a~b@c", miraURI, ottoURI, "h", 1)
	tests := []struct {
		callID, thread string
		ours           bool
	}{
		{"8Jd0-3@198.51.100.4", "8Jd0-3@198.51.100.4", false},
		{"x.y", "x.y", false},
		{"", "", false},
		{"a\r\nb@h", "a b@h", false},
		{"\x00<é>", "<é>", false},
		{none, "", true},
		{long, "", true},
		{ours, "a~b@c", true},
		{strings.Replace(ours, "@h", "@other.host", 1), "a~b@c", true}, // an SBC in between hides hosts
		{strings.TrimSuffix(ours, "@h"), "a~b@c", true},
		{"x" + ours, "x" + ours, false}, // check fails
	}
	for _, tt := range tests {
		if thread, isOurs := CallIDToThread(tt.callID); thread != tt.thread || isOurs != tt.ours {
			t.Errorf("CallIDToThread(%q) = %q, %v; want %q, %v", tt.callID, thread, isOurs, tt.thread, tt.ours)
		}
	}
}

func TestThreadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		thread := rapid.StringN(1, -1, maxThread/3).Draw(t, "thread")
		id := ThreadToCallID(thread, rapid.String().Draw(t, "from"), rapid.String().Draw(t, "to"), "gw.example", rapid.Uint64().Draw(t, "seq"))
		for i := 0; i < len(id); i++ {
			if c := id[i]; !plainThread(c) && c != threadEscape && c != '@' {
				t.Fatalf("Call-ID %q has %q", id, c)
			}
		}
		if got, ours := CallIDToThread(id); got != thread || !ours {
			t.Fatalf("%q -> %q -> %q, %v", thread, id, got, ours)
		}
	})
}

// A thread that is a foreign Call-ID comes back as that Call-ID, but never goes out as one.
func TestForeignThreadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		foreign := rapid.StringMatching(`[A-Za-z0-9.!%*_+~-]{1,30}(@[a-z0-9.]{1,20})?`).Draw(t, "callID")
		thread, ours := CallIDToThread(foreign)
		if ours {
			t.Skip("one in 2^25")
		}
		id := ThreadToCallID(thread, miraURI, ottoURI, "gw.example", 1)
		if id == foreign {
			t.Fatal("reused")
		}
		if back, _ := CallIDToThread(id); back != foreign {
			t.Fatalf("%q -> %q", foreign, back)
		}
	})
}

func FuzzCallIDToThread(f *testing.F) {
	f.Add("8Jd0-3@198.51.100.4")
	f.Add(ThreadToCallID("t", miraURI, ottoURI, "h", 1))
	f.Add("~zz.aaaaaaaaaaaaa@h")
	f.Fuzz(func(t *testing.T, id string) {
		thread, _ := CallIDToThread(id)
		if !utf8.ValidString(thread) {
			t.Fatalf("%q", thread)
		}
	})
}

func TestMessageIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, -1, maxID).Draw(t, "id")
		mid, ok := stanzaToMessageID(id)
		if !ok || !isIDToken(mid) {
			t.Fatalf("%q -> %q, %v", id, mid, ok)
		}
		if back := messageIDToStanza(mid); back != id {
			t.Fatalf("%q -> %q -> %q", id, mid, back)
		}
	})
	for _, id := range []string{"", strings.Repeat("x", maxID+1)} {
		if _, ok := stanzaToMessageID(id); ok {
			t.Errorf("%d bytes accepted", len(id))
		}
	}
	for in, want := range map[string]string{
		"sgid-!!":            "sgid-!!",
		"sgid-_w":            "sgid-_w", // not UTF-8
		"sgid-YQ":            "a",
		"plain":              "plain",
		"stoxgate-something": "stoxgate-something",
	} {
		if got := messageIDToStanza(in); got != want {
			t.Errorf("messageIDToStanza(%q) = %q", in, got)
		}
	}
}

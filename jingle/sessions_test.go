package jingle_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestPrevails(t *testing.T) {
	a, b := xmpp.MustJID("a@x/1"), xmpp.MustJID("b@x/1")
	for _, tc := range []struct {
		sid   string
		from  xmpp.JID
		other string
		peer  xmpp.JID
		want  bool
	}{
		{"1", b, "2", a, true},
		{"2", a, "1", b, false},
		{"Z", b, "a", a, true}, // by octets
		{"1", a, "1", b, true},
		{"1", b, "1", a, false},
	} {
		if got := jingle.Prevails(tc.sid, tc.from, tc.other, tc.peer); got != tc.want {
			t.Errorf("%s of %s against %s of %s: %v", tc.sid, tc.from, tc.other, tc.peer, got)
		}
	}
}

// TestSessions follows a session through the table.
func TestSessions(t *testing.T) {
	var table jingle.Sessions
	s, overruled, err := table.Receive(action(jingle.ActionSessionInitiate, "i/voice"), otto, mira, noon)
	if err != nil || overruled != nil || s.Role() != jingle.RoleResponder || s.State() != jingle.StatePending {
		t.Fatal(s, overruled, err)
	}
	if table.Len() != 1 || table.Get(otto.Bare(), mira, sid) != s || table.Get(otto, mira.Bare(), sid) != nil {
		t.Error("the session is not found by its key, or by another one")
	}
	stranger := xmpp.MustJID("eve@x.example/phone")
	for _, who := range []struct{ local, peer xmpp.JID }{{otto, stranger}, {xmpp.MustJID("olga@sip.example"), mira}} {
		if _, _, err := table.Receive(action(jingle.ActionSessionTerminate), who.local, who.peer, noon); err == nil || refusal(err) != "u" {
			t.Errorf("%v of another party: %v", who, err)
		}
	}
	if _, _, err := table.Receive(action(jingle.ActionSessionInitiate, "i/voice"), otto, mira, noon); refusal(err) != "o" {
		t.Errorf("a second session-initiate: %v", err)
	}
	if err := table.Add(jingle.NewSession(sid, otto, mira, jingle.RoleInitiator), noon); !errors.Is(err, jingle.ErrSessionExists) {
		t.Errorf("added twice: %v", err)
	}
	if got, _, err := table.Receive(action(jingle.ActionSessionTerminate), otto, mira, noon); err != nil || got != s {
		t.Fatal(err)
	}
	table.Remove(s, noon)
	table.Remove(s, noon.Add(time.Second)) // changes nothing
	late := noon.Add(jingle.TombstoneTime - 1)
	if table.Len() != 0 || !table.Ended(otto, mira, sid, late) {
		t.Error("no tombstone")
	}
	for a, want := range map[jingle.Action]string{jingle.ActionSessionInitiate: "o", jingle.ActionTransportInfo: "u"} {
		if _, _, err := table.Receive(suitable(a, jingle.RoleInitiator), otto, mira, late); refusal(err) != want {
			t.Errorf("%s after the end: %v", a, err)
		}
	}
	if err := table.Add(jingle.NewSession(sid, otto, mira, jingle.RoleInitiator), late); !errors.Is(err, jingle.ErrSessionExists) {
		t.Errorf("a dead sid was added: %v", err)
	}
	if after := noon.Add(jingle.TombstoneTime); table.Ended(otto, mira, sid, after) {
		t.Error("the tombstone stays")
	} else if err := table.Add(s, after); err != nil {
		t.Error(err)
	}
}

// TestCollidingInitiates lets both call each other (XEP-0166 §7.2.16).
func TestCollidingInitiates(t *testing.T) {
	start := func(id string) (*jingle.Sessions, *jingle.Session) {
		table := new(jingle.Sessions)
		s := jingle.NewSession(id, otto, mira, jingle.RoleInitiator)
		j := action(jingle.ActionSessionInitiate, "i/voice")
		j.SID = id
		if err := s.Send(j); err != nil {
			t.Fatal(err)
		}
		if err := table.Add(s, noon); err != nil {
			t.Fatal(err)
		}
		return table, s
	}
	theirs := func(media string) *jingle.Jingle {
		j := action(jingle.ActionSessionInitiate, "i/voice")
		j.SID, j.Contents[0].Description.Media = "m", media
		return j
	}
	for _, tc := range []struct {
		name      string
		ours      string
		media     string
		answered  bool
		peer      xmpp.JID
		refused   bool
		overruled bool
	}{
		{"ours is lower", "a", "audio", false, mira, true, false},
		{"ours is higher", "z", "audio", false, mira, false, true},
		{"another medium", "a", "video", false, mira, false, false},
		{"ours got its result before", "a", "audio", true, mira, false, false},
		{"another device", "a", "audio", false, xmpp.MustJID("mira@x.example/laptop"), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table, ours := start(tc.ours)
			if tc.answered {
				ours.Answered(jingle.ActionSessionInitiate, nil)
			}
			s, overruled, err := table.Receive(theirs(tc.media), otto, tc.peer, noon)
			switch {
			case tc.refused:
				if refusal(err) != "t" || s != nil || table.Len() != 1 {
					t.Errorf("%v %v", s, err)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			if s.SID() != "m" || (overruled == ours) != tc.overruled || table.Len() != 2 {
				t.Errorf("%v, overruled %v", s, overruled)
			}
			table.Remove(ours, noon)
			if table.Get(otto, tc.peer, "m") != s || table.Len() != 1 {
				t.Error("the other session went as well")
			}
		})
	}
}

// BenchmarkReceive measures a whole session of an incoming call in a table that holds 10,000 others.
func BenchmarkReceive(b *testing.B) {
	var table jingle.Sessions
	now := noon
	call := func(peer xmpp.JID) *jingle.Session {
		s, _, err := table.Receive(action(jingle.ActionSessionInitiate, "i/voice"), otto, peer, now)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	for i := range 10000 {
		peer, err := mira.WithResource(string(rune(0x4e00 + i)))
		if err != nil {
			b.Fatal(err)
		}
		call(peer)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(jingle.TombstoneTime / 1000)
		peer := mira
		if table.Ended(otto, peer, sid, now) {
			now = now.Add(jingle.TombstoneTime)
		}
		s := call(peer)
		if _, _, err := table.Receive(action(jingle.ActionSessionTerminate), otto, peer, now); err != nil {
			b.Fatal(err)
		}
		table.Remove(s, now)
	}
}

// BenchmarkParse measures a session-initiate as Conversations sends it.
func BenchmarkParse(b *testing.B) {
	var e *xmpp.Element
	for _, in := range goldenInputs(b) {
		if p := read(b, string(in)); jingle.Is(p) && p.Attribute("action") == "session-initiate" {
			e = p
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jingle.Parse(e); err != nil {
			b.Fatal(err)
		}
	}
}

package interworktest

import (
	"strings"
	"testing"
	"time"
)

// TestContactsAreOffered has a Jabber user add the gateway to her contacts: the telephones
// are suggested to her (XEP-0144). ejabberd grants the way straight into her roster
// (XEP-0356), but version 23.01 fails when it is taken; then they are suggested too.
func TestContactsAreOffered(t *testing.T) {
	for _, c := range []struct {
		software, extra string
		roster          bool
	}{
		{"prosody", "", false},
		{"ejabberd", "  mod_privilege:\n    roster:\n      both: all\n", true},
	} {
		t.Run(c.software, func(t *testing.T) {
			r := NewRig(t, RigOptions{
				Software: c.software, Server: ServerOptions{Extra: c.extra}, Phones: []string{"otto"},
				Gateway: GatewayOptions{Set: map[string]any{"presence.seed": true}},
			})
			mira := r.asked("mira", "desk")
			component := r.Server.Options().Component
			mira.Presence(component, "subscribe", "", "")
			mira.ExpectPresence(component, "subscribed")
			m := mira.Expect("a suggestion", func(s Stanza) bool { return strings.Contains(s.XML, "http://jabber.org/protocol/rosterx") })
			if !strings.Contains(m.XML, r.JID("otto")) || m.Body == "" {
				t.Errorf("%s", m.XML)
			}
			if granted := strings.Contains(r.Gateway.Log(), "server grants privileges"); granted != c.roster {
				t.Errorf("privileges granted: %v", granted)
			}
		})
	}
}

// TestContactsArePutIntoTheRoster has a Prosody that lets the gateway write rosters
// (XEP-0356): the telephones are there without a question. What is granted less is not taken.
func TestContactsArePutIntoTheRoster(t *testing.T) {
	for _, c := range []struct {
		privilege string
		roster    bool
	}{
		{`roster = "both"`, true},
		{`roster = "get"`, false},
		{`message = "outgoing"`, false},
	} {
		t.Run(c.privilege, func(t *testing.T) {
			r := NewRig(t, RigOptions{
				Software: "prosody", Server: ServerOptions{Privilege: c.privilege}, Phones: []string{"otto", "nina"},
				Gateway: GatewayOptions{Set: map[string]any{"presence.seed": true}},
			})
			mira := r.asked("mira", "desk")
			component := r.Server.Options().Component
			mira.Presence(component, "subscribe", "", "")
			mira.ExpectPresence(component, "subscribed")
			if !c.roster {
				m := mira.Expect("a suggestion", func(s Stanza) bool { return strings.Contains(s.XML, "http://jabber.org/protocol/rosterx") })
				if !strings.Contains(m.XML, r.JID("otto")) {
					t.Errorf("%s", m.XML)
				}
				return
			}
			var xml string
			has := func(what string) bool { return strings.Contains(xml, what) }
			for deadline := time.Now().Add(20 * time.Second); !has(r.JID("otto")) || !has(r.JID("nina")); {
				var e *StanzaError
				if xml, e = mira.Query("", "get", "<query xmlns='jabber:iq:roster'/>"); e != nil || time.Now().After(deadline) {
					t.Fatalf("roster: %s, %v", xml, e)
				}
			}
			if !has("<group>SIP</group>") {
				t.Errorf("roster: %s", xml)
			}
			if log := r.Gateway.Log(); strings.Contains(log, "it is suggested") {
				t.Errorf("the gateway fell back to a suggestion:\n%s", log)
			}
		})
	}
}

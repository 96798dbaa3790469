package interworktest

import (
	"strings"
	"testing"
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

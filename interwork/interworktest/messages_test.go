package interworktest

import (
	"fmt"
	"strings"
	"testing"
)

// onEachRig runs a test in a house with each XMPP server.
func onEachRig(t *testing.T, o RigOptions, f func(t *testing.T, r *Rig)) {
	for _, software := range ServerSoftware {
		t.Run(software, func(t *testing.T) {
			o := o
			o.Software = software
			f(t, NewRig(t, o))
		})
	}
}

func TestMessagesBothWays(t *testing.T) {
	onEachRig(t, RigOptions{}, func(t *testing.T, r *Rig) {
		mira := r.Jabber("mira")
		otto := r.Phone("otto", BaresipOptions{})

		for i, text := range []string{"Which berth?", "häfen & \"quays\" <7>", "two\nlines"} {
			mira.Send(Chat{To: r.JID("otto"), Body: text, Lang: "en"})
			m := otto.ExpectMessage(text)
			if got := m.Get("From"); !strings.Contains(got, "<"+r.URI("mira")) {
				t.Errorf("message %d is from %s", i, got)
			}
			if got := m.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
				t.Errorf("message %d is %s", i, got)
			}
		}
		for i, text := range []string{"Berth four.", "ja, schön", "<b>not markup</b> & so"} {
			if status := otto.Message(r.URI("mira"), text); status != 200 {
				t.Errorf("otto sees %d for message %d", status, i)
			}
			s := mira.ExpectBody(text)
			if bare, _, _ := strings.Cut(s.From, "/"); bare != r.JID("otto") || s.Type != "chat" {
				t.Errorf("message %d is from %s, of type %s", i, s.From, s.Type)
			}
		}
		Eventually(t, Patience, "an empty outbox", func() error {
			if n := r.Gateway.Undelivered(); n != 0 {
				return fmt.Errorf("%d messages", n)
			}
			return nil
		})
	})
}

func TestFailuresAreTold(t *testing.T) {
	onEachRig(t, RigOptions{}, func(t *testing.T, r *Rig) {
		mira := r.Jabber("mira")
		otto := r.Phone("otto", BaresipOptions{})
		for name, status := range map[string]string{"nobody": "404", "mira": "200"} {
			if got := otto.Message(r.URI(name), "to "+name); fmt.Sprint(got) != status {
				t.Errorf("otto sees %d for %s, want %s", got, name, status)
			}
		}
		mira.ExpectBody("to mira")

		for _, c := range []struct{ to, condition string }{
			{r.JID("nora"), "recipient-unavailable"}, // known, no phone
			{r.JID("nobody"), "item-not-found"},
		} {
			id := mira.Send(Chat{To: c.to, Body: "to " + c.to})
			if e := mira.ExpectError(id).Error; e.Condition != c.condition {
				t.Errorf("mira sees %v for %s, want %s", e, c.to, c.condition)
			}
		}
		r.SIPpPhone("nora", "486 Busy Here")
		id := mira.Send(Chat{To: r.JID("nora"), Body: "busy?"})
		t.Logf("486 is %v", mira.ExpectError(id).Error)
	})
}

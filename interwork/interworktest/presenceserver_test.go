package interworktest

import (
	"strings"
	"testing"
)

// TestPresenceServer has Kamailio as the presence server of another SIP domain: the
// gateway watches its users, its users watch Jabber users, and the gateway publishes
// there whose Jabber user has an address in that domain.
func TestPresenceServer(t *testing.T) {
	const domain = "voice.quay.example"
	server := StartProsody(t, ServerOptions{})
	sip := FreePort(t)
	k := StartKamailio(t, KamailioOptions{Domain: domain, Gateway: loopback(sip)})
	jonas := "sip:jonas@" + domain
	g := StartGateway(t, GatewayOptions{
		Server: server, SIPPort: sip,
		Trunks: []Trunk{{Name: "quay", URI: "sip:" + k.Address(), Domains: []string{domain}, Publish: true}},
		Set:    map[string]any{"sip.trusted": []string{"127.0.0.1/32"}},
	})
	g.AddIdentity(Identity{JID: "jonas@" + DefaultDomain, AORs: []string{jonas}, Name: "Jonas"})
	component := server.Options().Component
	ask := func(t TB, name string) *Slixmpp {
		return StartSlixmpp(t, SlixmppOptions{Server: server, Name: name, Ask: true, Reconnect: true})
	}
	aor := func(name string) string { return "sip:" + name + "@" + domain }
	sipp := func(t TB, user, to, event, accept string) *SIPp {
		return StartSIPp(t, SIPpOptions{
			Scenario: Subscribe, Remote: k.Address(), User: user, Calls: 1, Stay: stay,
			Keys: map[string]string{"to": to, "from": aor(user), "event": event, "accept": accept, "expires": "3600", "supported": "eventlist"},
		})
	}

	t.Run("a phone there publishes and is seen", func(t *testing.T) {
		mira := ask(t, "mira")
		otto := StartSIPp(t, SIPpOptions{
			Scenario: Publish, Remote: k.Address(), User: "otto", Calls: 1, Stay: stay,
			Keys: map[string]string{"aor": aor("otto"), "to": aor("otto"), "expires": "3600", "type": pidfType, "text": `<?xml version="1.0"?>` +
				`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="` + aor("otto") + `"><tuple id="bridge"><status><basic>open</basic></status><note>on the bridge</note></tuple></presence>`},
		})
		if m := otto.Final("PUBLISH"); m.Status() != 200 {
			t.Fatalf("kamailio answers %v", m)
		}
		contact := `otto\40` + domain + "@" + component
		mira.Presence(contact, "subscribe", "", "")
		mira.ExpectPresence(contact, "subscribed")
		s := mira.Expect("otto", func(s Stanza) bool { return s.Kind == "presence" && s.Status == "on the bridge" })
		if !strings.HasPrefix(s.From, contact+"/") {
			t.Errorf("otto is %s", s.From)
		}
		// He sees who watches him, at his own server.
		winfo := sipp(t, "otto", aor("otto"), "presence.winfo", "application/watcherinfo+xml")
		m := notified(t, &winfo.Wire, "active", "mira@"+DefaultDomain, "active")
		t.Logf("%s", m.Body)
		winfo.Kill()
		otto.Kill()
	})

	t.Run("a phone there watches", func(t *testing.T) {
		mira := ask(t, "mira")
		nora := sipp(t, "nora", "sip:mira@"+DefaultDomain, "presence", pidfType)
		notified(t, &nora.Wire, "pending")
		contact := `nora\40` + domain + "@" + component
		mira.ExpectPresence(contact, "subscribe")
		mira.Presence(contact, "subscribed", "", "")
		notified(t, &nora.Wire, "active", "open")
		mira.Show("away", "ashore", 0)
		notified(t, &nora.Wire, "active", "away", "ashore")
		nora.Kill()
	})

	t.Run("the gateway publishes", func(t *testing.T) {
		user := ask(t, "jonas")
		user.Presence(component, "subscribe", "", "")
		user.ExpectPresence(component, "subscribed")
		user.ExpectPresence(component, "subscribe")
		user.Presence(component, "subscribed", "", "")
		nora := sipp(t, "nora", jonas, "presence", pidfType)
		user.Show("dnd", "in the engine room", 1)
		notified(t, &nora.Wire, "active", "open", "in the engine room", "busy")
		user.Presence("", "unavailable", "", "")
		nora.Wire.Take(t, "the end of the publication", func(m SIPMessage) bool {
			return !m.Out && m.Method() == "NOTIFY" && !strings.Contains(m.Body, "<basic>open")
		})
		nora.Kill()
	})
}

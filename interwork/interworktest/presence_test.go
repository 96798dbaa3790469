package interworktest

import (
	"fmt"
	"strings"
	"testing"
)

// pidfType is the media type of presence documents (RFC 3863).
const pidfType = "application/pidf+xml"

// TestPresence runs all of it in one house for each XMPP server.
func TestPresence(t *testing.T) {
	for _, software := range ServerSoftware {
		t.Run(software, func(t *testing.T) {
			r := NewRig(t, RigOptions{Software: software, Phones: []string{"otto", "nora", "emil", "rosa", "pavel"}})
			t.Run("jabber watches phones", func(t *testing.T) { jabberWatchesPhones(t, r.With(t)) })
			t.Run("phones watch jabber", func(t *testing.T) { phonesWatchJabber(t, r.With(t)) })
			t.Run("restart", func(t *testing.T) { nobodySeesARestart(t, r.With(t)) })
		})
	}
}

// asked is mira with a client that asks before anybody may see her.
func (r *Rig) asked(name, resource string) *Slixmpp {
	r.t.Helper()
	return StartSlixmpp(r.t, SlixmppOptions{Server: r.Server, Name: name, Resource: resource, Reconnect: true, Ask: true})
}

// sippWatches subscribes to a URI with the digest of an identity, for an hour.
func (r *Rig) sippWatches(name, to, event, accept string) *SIPp {
	r.t.Helper()
	return StartSIPp(r.t, SIPpOptions{
		Scenario: Subscribe, Remote: r.Gateway.SIPAddress(), User: name, Calls: 1, Stay: stay,
		Keys: map[string]string{"to": to, "from": r.URI(name), "event": event, "accept": accept, "expires": "3600", "supported": "eventlist"},
	})
}

// notified waits for a NOTIFY in that state whose body has all the texts.
func notified(t TB, wire *Feed[SIPMessage], state string, texts ...string) SIPMessage {
	t.Helper()
	return wire.Take(t, fmt.Sprintf("NOTIFY %s with %q", state, texts), func(m SIPMessage) bool {
		if m.Out || m.Status() != 0 || m.Method() != "NOTIFY" || !strings.HasPrefix(m.Get("Subscription-State"), state) {
			return false
		}
		for _, text := range texts {
			if !strings.Contains(m.Body, text) {
				return false
			}
		}
		return true
	})
}

func jabberWatchesPhones(t *testing.T, r *Rig) {
	desk := r.asked("mira", "desk")
	pocket := r.asked("mira", "pocket")
	both := func(name, presenceType string) (s Stanza) {
		t.Helper()
		pocket.ExpectPresence(r.JID(name), presenceType)
		return desk.ExpectPresence(r.JID(name), presenceType)
	}

	// A phone that serves presence itself.
	otto := r.Phone("otto", BaresipOptions{Presence: true})
	desk.Presence(r.JID("otto"), "subscribe", "", "")
	both("otto", "subscribed")
	otto.Command("presence_online", "")
	s := both("otto", "")
	if !strings.Contains(s.From, "/") || !strings.Contains(s.XML, "http://jabber.org/protocol/caps") {
		t.Errorf("otto is shown as %s", s.XML)
	}
	otto.Command("presence_offline", "")
	for _, c := range []*Slixmpp{desk, pocket} {
		c.ExpectPresence(s.From, "unavailable")
	}

	// One that knows nothing of presence: it is there while it is registered.
	rosa := r.Phone("rosa", BaresipOptions{})
	desk.Presence(r.JID("rosa"), "subscribe", "", "")
	both("rosa", "subscribed")
	both("rosa", "")
	rosa.Stop() // which unregisters
	both("rosa", "unavailable")

	// One with a document that has all.
	StartSIPp(t, SIPpOptions{
		Scenario: Register, OutOfCall: PresenceUAS, Remote: r.Gateway.SIPAddress(), User: "nora", Calls: 1, Stay: stay,
		Keys: map[string]string{
			"aor": r.URI("nora"), "domain": r.Gateway.Domain(), "expires": "600",
			"document": `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" entity="` + r.URI("nora") + `">` +
				`<tuple id="ID-bridge"><status><basic>open</basic></status><note xml:lang="en">on the bridge</note></tuple>` +
				`<dm:person id="p1"><r:activities><r:meeting/></r:activities></dm:person></presence>`,
		},
	}).Final("REGISTER")
	desk.Presence(r.JID("nora"), "subscribe", "", "")
	both("nora", "subscribed")
	bridge := both("nora", "")
	if s := bridge; s.Show != "dnd" || s.Status != "on the bridge" || !strings.HasSuffix(s.From, "/bridge") {
		t.Errorf("nora is shown as %s", s.XML)
	}

	// One that publishes (RFC 3903), and looks who watches it (RFC 3857).
	emil := StartSIPp(t, SIPpOptions{
		Scenario: Publish, Remote: r.Gateway.SIPAddress(), User: "emil", Calls: 1, Stay: stay,
		Keys: map[string]string{"aor": r.URI("emil"), "to": r.URI("emil"), "expires": "600", "type": pidfType, "text": `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="` +
			r.URI("emil") + `"><tuple id="mast"><status><basic>open</basic></status><note>in the mast</note></tuple></presence>`},
	})
	if m := emil.Final("PUBLISH"); m.Status() != 200 || m.Get("SIP-ETag") == "" {
		t.Errorf("PUBLISH: %v", m)
	}
	desk.Presence(r.JID("emil"), "subscribe", "", "")
	both("emil", "subscribed")
	if s := both("emil", ""); s.Status != "in the mast" {
		t.Errorf("emil is shown as %s", s.XML)
	}
	winfo := r.sippWatches("emil", r.URI("emil"), "presence.winfo", "application/watcherinfo+xml")
	notified(t, &winfo.Wire, "active", r.URI("mira"), `status="active"`)
	winfo.Kill()
	emil.Kill()

	// A known user without a phone, and nobody: an answer that says which.
	desk.Presence(r.JID("nobody"), "subscribe", "", "")
	e := desk.Expect("an answer about nobody", func(s Stanza) bool {
		return s.Kind == "presence" && strings.HasPrefix(s.From, r.JID("nobody")) && (s.Type == "error" || s.Type == "unsubscribed")
	})
	t.Logf("nobody: %s", e.XML)
	// She does not want to see nora any more.
	desk.Presence(r.JID("nora"), "unsubscribe", "", "")
	desk.ExpectPresence(bridge.From, "unavailable")
}

func phonesWatchJabber(t *testing.T, r *Rig) {
	desk := r.asked("mira", "desk")
	nora := r.sippWatches("nora", r.URI("mira"), "presence", pidfType)
	if m := notified(t, &nora.Wire, "pending"); m.Body != "" {
		t.Errorf("nora sees before mira agrees: %v", m)
	}
	desk.ExpectPresence(r.JID("nora"), "subscribe")
	desk.Presence(r.JID("nora"), "subscribed", "", "")
	notified(t, &nora.Wire, "active", "<basic>open</basic>", `id="ID-desk"`)

	// A second resource makes a second tuple; what they show crosses.
	pocket := r.asked("mira", "pocket")
	pocket.Show("dnd", "in the engine room", 5)
	m := notified(t, &nora.Wire, "active", `id="ID-desk"`, `id="ID-pocket"`, "busy/>", "in the engine room")
	if m.Get("Content-Type") != pidfType || m.Get("Event") != "presence" {
		t.Errorf("%v", m)
	}

	// All contacts at once (RFC 4662).
	list := r.sippWatches("nora", "sip:contacts@"+r.Gateway.Domain(), "presence", pidfType+", application/rlmi+xml, multipart/related")
	m = notified(t, &list.Wire, "active", "rlmi", r.URI("mira"), `id="ID-desk"`)
	if m.Get("Require") != "eventlist" || !strings.HasPrefix(m.Get("Content-Type"), "multipart/related") {
		t.Errorf("%v", m)
	}
	list.Kill()

	// A phone that is no SIPp, with a lamp.
	otto := r.Phone("otto", BaresipOptions{Watches: []string{r.URI("mira")}})
	desk.ExpectPresence(r.JID("otto"), "subscribe")
	desk.Presence(r.JID("otto"), "subscribed", "", "")
	notified(t, &otto.Wire, "active", "<basic>open</basic>")
	Eventually(t, Patience, "the lamp on otto's phone", func() error {
		if text := otto.Command("contacts", ""); !strings.Contains(text, "Busy") && !strings.Contains(text, "Online") {
			return fmt.Errorf("contacts: %q", text)
		}
		return nil
	})

	// She goes: first one device, then all. The subscriptions stay.
	pocket.Stop()
	notified(t, &nora.Wire, "active", `id="ID-desk"`, "closed")
	desk.Presence("", "unavailable", "", "")
	gone := nora.Wire.Take(t, "mira offline", func(m SIPMessage) bool {
		return !m.Out && m.Method() == "NOTIFY" && strings.Contains(m.Body, "closed") && !strings.Contains(m.Body, "open")
	})
	if !strings.HasPrefix(gone.Get("Subscription-State"), "active") {
		t.Errorf("%v", gone)
	}
	desk.Presence("", "", "", "back")
	notified(t, &nora.Wire, "active", "open", "back")

	// She takes it back: the watcher is told that for good.
	desk.Presence(r.JID("nora"), "unsubscribed", "", "")
	if m := notified(t, &nora.Wire, "terminated"); !strings.Contains(m.Get("Subscription-State"), "reason=rejected") {
		t.Errorf("%v", m)
	}
	nora.Success(Patience)
	// She is not asked twice a day: he waits, and sees nothing.
	again := r.sippWatches("nora", r.URI("mira"), "presence", pidfType)
	if m := notified(t, &again.Wire, "pending"); m.Body != "" {
		t.Errorf("%v", m)
	}
	again.Kill()

	// A no to the first question counts for longer.
	jonas := r.asked("jonas", "desk")
	first := r.sippWatches("nora", r.URI("jonas"), "presence", pidfType)
	jonas.ExpectPresence(r.JID("nora"), "subscribe")
	jonas.Presence(r.JID("nora"), "unsubscribed", "", "")
	if m := notified(t, &first.Wire, "terminated"); !strings.Contains(m.Get("Subscription-State"), "reason=rejected") {
		t.Errorf("%v", m)
	}
	first.Success(Patience)
	second := r.sippWatches("nora", r.URI("jonas"), "presence", pidfType)
	second.Wire.Take(t, "403", func(m SIPMessage) bool { return m.Status() == 403 })
	second.Kill()

	// A package that nobody serves.
	odd := r.sippWatches("nora", r.URI("mira"), "message-summary", "application/simple-message-summary")
	bad := odd.Wire.Take(t, "489", func(m SIPMessage) bool { return m.Status() == 489 })
	if allow := bad.Get("Allow-Events"); !strings.Contains(allow, "presence") {
		t.Errorf("Allow-Events %q", allow)
	}
	odd.Kill()
}

// nobodySeesARestart stops the gateway while both sides watch each other.
func nobodySeesARestart(t *testing.T, r *Rig) {
	desk := r.asked("jonas", "desk")
	otto := r.Phone("pavel", BaresipOptions{Presence: true})
	desk.Presence(r.JID("pavel"), "subscribe", "", "")
	desk.ExpectPresence(r.JID("pavel"), "subscribed")
	otto.Command("presence_online", "")
	shown := desk.ExpectPresence(r.JID("pavel"), "")
	emil := r.sippWatches("emil", r.URI("jonas"), "presence", pidfType)
	desk.ExpectPresence(r.JID("emil"), "subscribe")
	desk.Presence(r.JID("emil"), "subscribed", "", "")
	notified(t, &emil.Wire, "active", "open")

	was := desk.Stanzas.Len()
	r.Gateway.Restart()
	desk.Presence("", "", "away", "after the storm")
	notified(t, &emil.Wire, "active", "after the storm")
	otto.Command("presence_offline", "")
	desk.ExpectPresence(shown.From, "unavailable")
	for _, s := range desk.Stanzas.All()[was:] {
		if strings.HasPrefix(s.From, r.JID("pavel")) && s.Type != "unavailable" && s.Type != "" && s.Type != "probe" {
			t.Errorf("the restart is seen: %s", s.XML)
		}
	}
	if n := emil.Wire.Count(func(m SIPMessage) bool { return strings.HasPrefix(m.Get("Subscription-State"), "terminated") }); n != 0 {
		t.Errorf("%d subscriptions ended by the restart", n)
	}
}

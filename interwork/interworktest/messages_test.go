package interworktest

import (
	"fmt"
	"strings"
	"testing"
)

// TestMessages runs all of it in one house for each XMPP server.
func TestMessages(t *testing.T) {
	for _, software := range ServerSoftware {
		t.Run(software, func(t *testing.T) {
			r := NewRig(t, RigOptions{Software: software, Phones: []string{"otto", "nora", "emil", "rosa"}})
			t.Run("both ways", func(t *testing.T) { bothWays(t, r.With(t)) })
			t.Run("failures", func(t *testing.T) { failuresAreTold(t, r.With(t)) })
			t.Run("receipts and states", func(t *testing.T) { receiptsAndChatStates(t, r.With(t)) })
		})
	}
}

func bothWays(t *testing.T, r *Rig) {
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
}

func failuresAreTold(t *testing.T, r *Rig) {
	mira := r.Jabber("mira")
	otto := r.Phone("otto", BaresipOptions{})
	for name, status := range map[string]string{"nobody": "404", "mira": "200"} {
		if got := otto.Message(r.URI(name), "to "+name); fmt.Sprint(got) != status {
			t.Errorf("otto sees %d for %s, want %s", got, name, status)
		}
	}
	mira.ExpectBody("to mira")

	for _, c := range []struct{ to, condition string }{
		{r.JID("emil"), "recipient-unavailable"}, // known, no phone
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
}

func receiptsAndChatStates(t *testing.T, r *Rig) {
	mira := r.Jabber("mira")
	rosa := r.RichPhone("rosa")

	// The first message makes the gateway ask what the phone understands.
	mira.Send(Chat{To: r.JID("rosa"), Body: "first"})
	rosa.Wire.Take(t, "the answer to OPTIONS", func(m SIPMessage) bool { return m.Out && m.Method() == "OPTIONS" })
	rosa.ExpectMessage("first")

	// XMPP to SIP: asking for receipts, and the phone's answers.
	id := mira.Send(Chat{To: r.JID("rosa"), Body: "Which berth?", Request: true, Markable: true})
	m := rosa.Wire.Take(t, "a CPIM message", func(m SIPMessage) bool {
		return !m.Out && m.Get("Content-Type") == "message/cpim" && strings.HasSuffix(m.Body, "Which berth?")
	})
	messageID := cpimHeader(m.Body, "imdn.Message-ID")
	if want := cpimHeader(m.Body, "imdn.Disposition-Notification"); messageID == "" ||
		!strings.Contains(want, "positive-delivery") || !strings.Contains(want, "display") {
		t.Errorf("message id %q, wants %q", messageID, want)
	}
	r.SIPpSends("rosa", r.URI("mira"), "message/cpim", imdn(r, "rosa", "mira", messageID, "delivery", "delivered"), 1, 1).Success(Patience)
	mira.ExpectReceipt(id)
	r.SIPpSends("rosa", r.URI("mira"), "message/cpim", imdn(r, "rosa", "mira", messageID, "display", "displayed"), 1, 1).Success(Patience)
	mira.Expect("displayed", func(s Stanza) bool { return s.Marker != nil && *s.Marker == Marker{"displayed", id} })

	// SIP to XMPP: the client of the other project answers by itself.
	r.SIPpSends("rosa", r.URI("mira"), "message/cpim", cpim(r, "rosa", "mira",
		"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: berth-4\r\nimdn.Disposition-Notification: positive-delivery\r\n",
		"text/plain", "Berth four."), 1, 1).Success(Patience)
	if s := mira.ExpectBody("Berth four."); !s.Request {
		t.Errorf("no receipt asked for: %s", s.XML)
	}
	rosa.Wire.Take(t, "the IMDN", func(m SIPMessage) bool {
		return !m.Out && strings.Contains(m.Body, "<message-id>berth-4</message-id>") && strings.Contains(m.Body, "<delivered")
	})

	// Chat states.
	mira.Send(Chat{To: r.JID("rosa"), State: "composing"})
	rosa.Wire.Take(t, "isComposing active", func(m SIPMessage) bool {
		return !m.Out && m.Get("Content-Type") == "application/im-iscomposing+xml" && strings.Contains(m.Body, "<state>active</state>")
	})
	r.SIPpSends("rosa", r.URI("mira"), "application/im-iscomposing+xml",
		`<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`, 1, 1).Success(Patience)
	mira.ExpectState("composing")
}

// cpim wraps a body (RFC 3862); headers are complete lines.
func cpim(r *Rig, from, to, headers, contentType, body string) string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nDateTime: 2026-05-04T18:22:01Z\r\n%s\r\nContent-Type: %s\r\n\r\n%s",
		r.URI(from), r.URI(to), headers, contentType, body)
}

// imdn is a disposition notification (RFC 5438) in CPIM.
func imdn(r *Rig, from, to, id, kind, status string) string {
	return cpim(r, from, to, "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: n-"+status+"\r\n", "message/imdn+xml",
		fmt.Sprintf(`<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>%s</message-id><datetime>2026-05-04T18:22:05Z</datetime>`+
			`<%s-notification><status><%s/></status></%s-notification></imdn>`, id, kind, status, kind))
}

func cpimHeader(body, name string) string {
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestCommands runs commands of the program beside the running gateway.
func TestCommands(t *testing.T) {
	r := NewRig(t, RigOptions{})
	out, errs, code := r.Gateway.Run("", "identity", "list", "--config", r.Gateway.ConfigFile())
	if code != 0 || !strings.Contains(out, "mira@chat.harbor.example") || !strings.Contains(out, "sip:otto@sip.harbor.example") {
		t.Errorf("identity list: code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := r.Gateway.Run("", "no-such-command"); code != 2 || out != "" || errs == "" {
		t.Errorf("unknown command: code %d\n%s%s", code, out, errs)
	}
	if !strings.Contains(r.Gateway.Get("/metrics"), "# TYPE ") {
		t.Error("no metrics")
	}
}

package jingle_test

import (
	"errors"
	"testing"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	otto = xmpp.MustJID("otto@sip.example/gw-1")
	mira = xmpp.MustJID("mira@x.example/phone")
)

func message(tb testing.TB, xml string) *xmpp.Message {
	tb.Helper()
	st, err := xmpp.ReadStanza([]byte(xml))
	if err != nil {
		tb.Fatal(err)
	}
	m, ok := st.(*xmpp.Message)
	if !ok {
		tb.Fatal("no message")
	}
	return m
}

func TestWrap(t *testing.T) {
	for _, tc := range []struct {
		m    jingle.Message
		to   xmpp.JID
		want string
	}{
		{
			jingle.Message{Kind: jingle.KindPropose, ID: "s1", Media: []string{"audio", "video"}},
			mira.Bare(),
			`<message from='otto@sip.example/gw-1' to='mira@x.example' id='jm-propose-s1' type='chat'><propose xmlns='urn:xmpp:jingle-message:0' id='s1'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></propose><request xmlns='urn:xmpp:receipts'/><store xmlns='urn:xmpp:hints'/></message>`,
		},
		{
			jingle.Message{Kind: jingle.KindRinging, ID: "s1"},
			mira,
			`<message from='otto@sip.example/gw-1' to='mira@x.example/phone' id='jm-ringing-s1' type='chat'><ringing xmlns='urn:xmpp:jingle-message:0' id='s1'/><store xmlns='urn:xmpp:hints'/></message>`,
		},
		{
			jingle.Message{Kind: jingle.KindRetract, ID: "s1", TieBreak: true, Reason: &jingle.Reason{Condition: jingle.ReasonExpired, Text: "Tie-Break"}},
			mira.Bare(),
			`<message from='otto@sip.example/gw-1' to='mira@x.example' id='jm-retract-s1' type='chat'><retract xmlns='urn:xmpp:jingle-message:0' id='s1'><reason xmlns='urn:xmpp:jingle:1'><expired/><text>Tie-Break</text></reason><tie-break/></retract><store xmlns='urn:xmpp:hints'/></message>`,
		},
		{
			jingle.Message{Kind: jingle.KindFinish, ID: "s1", Migrated: "s2", Reason: &jingle.Reason{Condition: jingle.ReasonExpired}},
			mira,
			`<message from='otto@sip.example/gw-1' to='mira@x.example/phone' id='jm-finish-s1' type='chat'><finish xmlns='urn:xmpp:jingle-message:0' id='s1'><reason xmlns='urn:xmpp:jingle:1'><expired/></reason><migrated to='s2'/></finish><store xmlns='urn:xmpp:hints'/></message>`,
		},
	} {
		if got := string(tc.m.Wrap(otto, tc.to).Append(nil)); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestFromMessage(t *testing.T) {
	for _, xml := range []string{
		`<message><body>hi</body></message>`,
		`<message><call xmlns='urn:xmpp:jingle-message:0' id='1'/></message>`,
		`<message type='error' id='jm-propose-1'><propose xmlns='urn:xmpp:jingle-message:0' id='1'/><error type='cancel'/></message>`,
		`<message><propose xmlns='urn:xmpp:jingle-message:9' id='1'/></message>`,
	} {
		if m, ok, err := jingle.FromMessage(message(t, xml)); m != nil || ok || err != nil {
			t.Errorf("%s: %v %v %v", xml, m, ok, err)
		}
	}
	for _, xml := range []string{
		`<message><ringing xmlns='urn:xmpp:jingle-message:0'/></message>`,
		`<message><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>`,
	} {
		var se *xmpp.StanzaError
		if _, ok, err := jingle.FromMessage(message(t, xml)); !ok || !errors.As(err, &se) || se.Condition != xmpp.ConditionBadRequest {
			t.Errorf("%s: %v %v", xml, ok, err)
		}
	}
	if _, err := jingle.ParseMessage(nil); err == nil {
		t.Error("nothing was read")
	}
	m, ok, err := jingle.FromMessage(message(t, `<message><accept xmlns='urn:xmpp:jingle-message:0' id='1'/></message>`))
	if err != nil || !ok || m.Kind != jingle.KindAccept {
		t.Errorf("accept of the old version: %v %v", m, err)
	}
}

func TestAnswersToMessages(t *testing.T) {
	type answer struct {
		kind jingle.Kind
		sid  string
		ok   bool
	}
	get := func(k jingle.Kind, sid string, ok bool) answer { return answer{k, sid, ok} }
	bounce := message(t, `<message type='error' id='jm-propose-a-b/c'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
	if got, want := get(jingle.Bounced(bounce)), (answer{jingle.KindPropose, "a-b/c", true}); got != want {
		t.Errorf("bounce: %v", got)
	}
	received := message(t, `<message type='chat' id='x'><received xmlns='urn:xmpp:receipts' id='jm-propose-s1'/></message>`)
	if got, want := get(jingle.Received(received)), (answer{jingle.KindPropose, "s1", true}); got != want {
		t.Errorf("receipt: %v", got)
	}
	if got := get(jingle.Bounced(received)); got != (answer{}) {
		t.Errorf("a receipt bounced: %v", got)
	}
	for _, xml := range []string{
		`<message id='x'/>`,
		`<message><received xmlns='urn:xmpp:receipts' id='other'/></message>`,
		`<message><received xmlns='urn:xmpp:receipts' id='jm-call-1'/></message>`,
		`<message><received xmlns='urn:xmpp:receipts' id='jm-propose-'/></message>`,
		`<message type='error' id='jm-propose-1'><received xmlns='urn:xmpp:receipts' id='jm-propose-1'/><error type='cancel'/></message>`,
	} {
		if got := get(jingle.Received(message(t, xml))); got != (answer{}) {
			t.Errorf("%s: %v", xml, got)
		}
	}
}

func TestReceipt(t *testing.T) {
	m := message(t, `<message from='mira@x.example/phone' to='otto@sip.example' type='chat' id='jm-propose-s1'><propose xmlns='urn:xmpp:jingle-message:0' id='s1'/><request xmlns='urn:xmpp:receipts'/></message>`)
	want := `<message from='otto@sip.example' to='mira@x.example/phone' id='jm-propose-s1-received' type='chat'><received xmlns='urn:xmpp:receipts' id='jm-propose-s1'/><store xmlns='urn:xmpp:hints'/></message>`
	if got := string(jingle.Receipt(m).Append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, xml := range []string{
		`<message id='1'/>`,
		`<message><request xmlns='urn:xmpp:receipts'/></message>`,
		`<message type='error' id='1'><request xmlns='urn:xmpp:receipts'/><error type='cancel'/></message>`,
	} {
		if r := jingle.Receipt(message(t, xml)); r != nil {
			t.Errorf("%s is confirmed: %s", xml, r.Append(nil))
		}
	}
}

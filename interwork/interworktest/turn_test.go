package interworktest

import (
	"strings"
	"testing"
	"time"
)

// TestRelayedCalls: the gateway gets TURN credentials from its XMPP server (XEP-0215), and
// clients that see nothing but relayed candidates reach it by those, whoever calls.
func TestRelayedCalls(t *testing.T) {
	s := newStage(t)
	turn := StartCoturn(s)
	o := callGateway(t)
	o.Set["media.turn_from"] = DefaultDomain
	r := NewRig(s, RigOptions{Server: ServerOptions{WebSocket: true, TURN: turn}, Gateway: o, Phones: []string{"otto"}})
	r.Gateway.WaitLog("TURN servers listed")
	browser := StartBrowser(s)
	mira := r.client(s, browser, WebClientOptions{Name: "mira", JMI: true, Tone: 440, Relayed: turn})
	otto := r.Phone("otto", BaresipOptions{Codecs: []string{CodecPCMA}, Tone: 1020, Record: true})
	relays := func(t *testing.T) {
		t.Helper()
		mira.Stanzas.Take(t, "a relayed candidate of the gateway", func(x WebStanza) bool {
			return !x.Out && strings.Contains(x.XML, "type='relay'") || !x.Out && strings.Contains(x.XML, `type="relay"`)
		})
	}
	s.run("from the phone", func(t *testing.T) {
		otto.Call(r.URI("mira"))
		sid := answerNext(mira)
		hears(t, mira, sid, 1020)
		clearly(t, "otto", 440, func() Recording { return otto.Listen(time.Second) })
		relays(t)
		otto.Hangup()
		expectEnd(t, mira, sid, "success")
	})
	s.run("to the phone", func(t *testing.T) {
		sid := mira.Dial(r.JID("otto"))
		otto.ExpectCall("CALL_INCOMING")
		otto.Accept()
		mira.ExpectConnected(sid)
		hears(t, mira, sid, 1020)
		clearly(t, "otto", 440, func() Recording { return otto.Listen(time.Second) })
		relays(t)
		mira.End(sid, "")
	})
}

package xmpptest

import (
	"strings"
	"testing"

	"github.com/stoxgate/stoxgate/xmpp"
)

// TestStrictStream: what Prosody closes the stream for.
func TestStrictStream(t *testing.T) {
	for _, tt := range []struct{ name, in, condition string }{
		{"foreign from", "<message from='mira@chat.example' to='a@chat.example'/>", "invalid-from"},
		{"no from", "<message to='a@chat.example'/>", "invalid-from"},
		{"from above", "<message from='example' to='a@chat.example'/>", "invalid-from"},
		{"from below", "<message from='x.sip.example' to='a@chat.example'/>", "invalid-from"},
		{"from in resource", "<message from='evil/@sip.example' to='a@chat.example'/>", "invalid-from"},
		{"spoofed by prefix", "<message xmlns:x='u' x:from='sip.example' to='a@chat.example'/>", "invalid-from"},
		{"no to", "<message from='otto@sip.example' id='1'/>", "improper-addressing"},
		{"client namespace", "<message xmlns='jabber:client' from='sip.example' to='a@chat.example'/>", "invalid-namespace"},
		{"unknown stanza", "<hello from='sip.example' to='a@chat.example'/>", "unsupported-stanza-type"},
		{"control character", "<message from='sip.example' to='a@chat.example'><body>\x00</body></message>", "not-well-formed"},
		{"two to", "<message from='sip.example' to='a@chat.example' to='b@chat.example'/>", "not-well-formed"},
		{"comment", "<message from='sip.example' to='a@chat.example'><!-- --></message>", "restricted-xml"},
		{"too large", "<message from='sip.example' to='a@chat.example'><body>" + strings.Repeat("x", 40_000) + "</body></message>", "policy-violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Start(t, Config{MaxStanza: 10_000})
			u := s.User("a@chat.example/x")
			p := up(t, s)
			go func() { _, _ = p.conn.Write([]byte(tt.in)) }() // a pipe: the server may stop reading
			p.ends(tt.condition)
			v := s.TakeViolations()
			if len(v) != 1 || !v[0].Closed || !strings.Contains(v[0].Error(), tt.condition) {
				t.Errorf("violations %v", v)
			}
			u.Refute(t)
		})
	}
}

// TestStrictStanza: what is answered with an error, and recorded.
func TestStrictStanza(t *testing.T) {
	const a = "from='otto@sip.example' to='a@chat.example/x'"
	reply := func(kind, id, condition, typ string) string {
		if id != "" {
			id = " id='" + id + "'"
		}
		return "<" + kind + " from='a@chat.example/x' to='otto@sip.example'" + id + " type='error'><error type='" + typ +
			"'><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></" + kind + ">"
	}
	for _, tt := range []struct{ name, in, want string }{
		{
			"bad to", "<message from='otto@sip.example' to='@x'/>",
			"<message from='@x' to='otto@sip.example' type='error'><error type='modify'><jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
		},
		{"IQ without id", "<iq type='get' " + a + "><ping xmlns='urn:xmpp:ping'/></iq>", reply("iq", "", "bad-request", "modify")},
		{"IQ without type", "<iq id='1' " + a + "><ping xmlns='urn:xmpp:ping'/></iq>", reply("iq", "1", "bad-request", "modify")},
		{"IQ without child", "<iq id='1' type='set' " + a + "/>", reply("iq", "1", "bad-request", "modify")},
		{"IQ with two children", "<iq id='1' type='get' " + a + "><a/><b/></iq>", reply("iq", "1", "bad-request", "modify")},
		{"result with two children", "<iq id='1' type='result' " + a + "><a/><b/></iq>", ""},
		{"message type", "<message type='x' " + a + "/>", reply("message", "", "bad-request", "modify")},
		{"presence type", "<presence type='available' " + a + "/>", reply("presence", "", "bad-request", "modify")},
		{"show", "<presence " + a + "><show>online</show></presence>", reply("presence", "", "bad-request", "modify")},
		{"priority", "<presence " + a + "><priority>128</priority></presence>", reply("presence", "", "bad-request", "modify")},
		{"two priorities", "<presence " + a + "><priority>1</priority><priority>1</priority></presence>", reply("presence", "", "bad-request", "modify")},
		{"error without error", "<message type='error' " + a + "/>", ""},
		{"error without type", "<message type='error' " + a + "><error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>", ""},
		{"error without condition", "<message type='error' " + a + "><error type='wait'/></message>", ""},
		{"error with unknown condition", "<message type='error' " + a + "><error type='wait'><busy xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>", ""},
		{"error with two conditions", "<presence type='error' " + a + "><error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Start(t, Config{})
			u := s.User("a@chat.example/x")
			p := up(t, s)
			p.write(tt.in)
			if tt.want != "" {
				p.want(tt.want)
			}
			p.barrier()
			if v := s.TakeViolations(); len(v) != 1 || v[0].Closed {
				t.Errorf("violations %v", v)
			}
			u.Refute(t)
		})
	}
}

func TestAnsweredTwice(t *testing.T) {
	s := Start(t, Config{})
	u := s.User("a@chat.example/x")
	p := up(t, s)
	done := make(chan error, 1)
	go func() {
		_, err := u.IQ(t.Context(), &xmpp.IQ{To: xmpp.MustJID("sip.example"), ID: "q", Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPing, "ping")})
		done <- err
	}()
	p.want("<iq from='a@chat.example/x' to='sip.example' id='q' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.write("<iq type='result' id='q' from='sip.example' to='a@chat.example/x'/>")
	if err := <-done; err != nil {
		t.Error(err)
	}
	p.write("<iq type='result' id='q' from='sip.example' to='a@chat.example/x'/>")
	p.barrier()
	if v := s.TakeViolations(); len(v) != 1 {
		t.Error(v)
	}
}

package interworktest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// onEachServer runs a test against every XMPP server there is a driver for.
func onEachServer(t *testing.T, o ServerOptions, f func(t *testing.T, s Server)) {
	for _, software := range ServerSoftware {
		t.Run(software, func(t *testing.T) {
			start := time.Now()
			s := StartServer(t, software, o)
			t.Logf("%s ready after %v", software, time.Since(start).Round(time.Millisecond))
			f(t, s)
		})
	}
}

func TestServersTwoUsersTalk(t *testing.T) {
	onEachServer(t, ServerOptions{}, func(t *testing.T, s Server) {
		start := time.Now()
		mira := StartSlixmpp(t, SlixmppOptions{Server: s, Name: "mira"})
		t.Logf("client on line after %v", time.Since(start).Round(time.Millisecond))
		jonas := StartSlixmpp(t, SlixmppOptions{Server: s, Name: "jonas", Resource: "phone"})

		id := mira.Send(Chat{
			To: jonas.BareJID(), Body: "Which berth?", Subject: "tonight", Thread: "t-1", Lang: "en",
			State: "active", Request: true, Markable: true,
			Extra: "<x xmlns='jabber:x:oob'><url>https://files.example/a.png</url></x>",
		})
		got := jonas.ExpectBody("Which berth?")
		want := Stanza{
			Kind: "message", From: mira.JID(), To: jonas.BareJID(), ID: id, Type: "chat", Lang: "en",
			Body: "Which berth?", Subject: "tonight", Thread: "t-1", State: "active", Request: true, Markable: true,
		}
		// Two servers write the same stanza in two ways.
		if !strings.Contains(got.XML, "https://files.example/a.png") || got.Bodies["en"] != want.Body {
			t.Errorf("got %s", got.XML)
		}
		got.XML, got.Bodies = "", nil
		if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}

		if r := mira.ExpectReceipt(id); r.From != jonas.JID() {
			t.Errorf("receipt from %s", r.From)
		}
		jonas.Send(Chat{To: mira.JID(), Marker: &Marker{Name: "displayed", ID: id}})
		mira.Expect("displayed", func(s Stanza) bool { return s.Marker != nil && *s.Marker == Marker{"displayed", id} })
		jonas.Send(Chat{To: mira.JID(), State: "composing"})
		mira.ExpectState("composing")

		id = mira.Send(Chat{To: "nobody@" + s.Options().Domain, Body: "hello?"})
		if e := mira.ExpectError(id).Error; e.Condition != "service-unavailable" {
			t.Errorf("unknown user: %v", e)
		}

		// Without the component.
		id = mira.Send(Chat{To: "otto@" + s.Options().Component, Body: "anyone?"})
		e := mira.ExpectError(id).Error
		t.Logf("%s without the component: %v", s.Software(), e)
		// Each in its own words (Prosody: "wait", so the sender may try again).
		if want := map[string]string{
			"prosody": "wait/remote-server-timeout", "ejabberd": "auth/forbidden",
		}[s.Software()]; want != e.Type+"/"+e.Condition {
			t.Errorf("no component: %v, want %s", e, want)
		}

		xml, e := mira.Query(s.Options().Domain, "get", "<query xmlns='http://jabber.org/protocol/disco#items'/>")
		if e != nil || !strings.Contains(xml, s.Options().Component) {
			t.Errorf("the gateway is not in the server's items: %v %s", e, xml)
		}
	})
}

func TestServersComeBack(t *testing.T) {
	onEachServer(t, ServerOptions{}, func(t *testing.T, s Server) {
		mira := StartSlixmpp(t, SlixmppOptions{Server: s, Name: "mira", Reconnect: true})
		for _, stop := range []func(){s.Stop, s.Kill} {
			stop()
			mira.States.Take(t, "loss of the server", func(l LinkState) bool { return l == OffLine })
			s.Start()
			mira.WaitOnline()
		}
		id := mira.Send(Chat{To: mira.JID(), Body: "to myself"})
		if got := mira.ExpectBody("to myself"); got.ID != id {
			t.Errorf("id %q, want %q", got.ID, id)
		}
	})
}

func TestSlixmppRestart(t *testing.T) {
	s := StartProsody(t, ServerOptions{})
	mira := StartSlixmpp(t, SlixmppOptions{Server: s, Name: "mira"})
	mira.Restart()
	mira.WaitOnline()
	mira.Kill()
	mira.Start()
	mira.WaitOnline()
}

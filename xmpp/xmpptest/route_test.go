package xmpptest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stoxgate/stoxgate/xmpp"
)

func TestRouting(t *testing.T) {
	s := Start(t, Config{Offline: OfflineBounce})
	desk := s.User("mira@chat.example/desk")
	phone := s.User("mira@chat.example/phone")
	low := s.User("mira@chat.example/low")
	if err := low.Send(&xmpp.Presence{Priority: -1}); err != nil {
		t.Fatal(err)
	}
	s.Account("away@chat.example")
	s.Account("store@chat.example")
	s.SetOffline("store@chat.example", OfflineStore)
	p := up(t, s)

	const unavailable = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
	bounced := func(kind, to string) string {
		return "<" + kind + " from='" + to + "' to='otto@sip.example' id='1' type='error'>" + unavailable + "</" + kind + ">"
	}
	for _, tt := range []struct {
		name, in string
		gets     []*User
		back     string
	}{
		{"chat to bare", "<message ID type='chat' TO='mira@chat.example'><body>x</body></message>", []*User{desk, phone}, ""},
		{"chat to full", "<message ID type='chat' TO='mira@chat.example/desk'><body>x</body></message>", []*User{desk}, ""},
		{"chat to lost resource", "<message ID type='chat' TO='mira@chat.example/lost'><body>x</body></message>", []*User{desk, phone}, ""},
		{"headline to bare", "<message ID type='headline' TO='mira@chat.example'/>", []*User{desk, phone}, ""},
		{"headline to lost resource", "<message ID type='headline' TO='mira@chat.example/lost'/>", nil, ""},
		{"groupchat to bare", "<message ID type='groupchat' TO='mira@chat.example'/>", nil, bounced("message", "mira@chat.example")},
		{"error to full", "<message ID type='error' TO='mira@chat.example/low'>" + unavailable + "</message>", []*User{low}, ""},
		{"error to bare", "<message ID type='error' TO='mira@chat.example'>" + unavailable + "</message>", nil, ""},
		{"to nobody", "<message ID TO='nobody@chat.example'><body>x</body></message>", nil, bounced("message", "nobody@chat.example")},
		{"error to nobody", "<message ID type='error' TO='nobody@chat.example'>" + unavailable + "</message>", nil, ""},
		{"to offline", "<message ID TO='away@chat.example'><body>x</body></message>", nil, bounced("message", "away@chat.example")},
		{"to offline, stored", "<message ID TO='store@chat.example'><body>x</body></message>", nil, ""},
		{"headline to offline", "<message ID type='headline' TO='store@chat.example'/>", nil, ""},
		{"to the host", "<message ID TO='chat.example'/>", nil, bounced("message", "chat.example")},
		{
			"to elsewhere", "<message ID TO='a@elsewhere.example'/>", nil,
			"<message from='a@elsewhere.example' to='otto@sip.example' id='1' type='error'><error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
		},
		{"to itself", "<message ID TO='sip.example'/>", nil, "<message from='otto@sip.example' to='sip.example' id='1'/>"},
		{"IQ to full", "<iq ID type='set' TO='mira@chat.example/low'><a xmlns='u'/></iq>", []*User{low}, ""},
		{"IQ to bare", "<iq ID type='set' TO='mira@chat.example'><a xmlns='u'/></iq>", nil, bounced("iq", "mira@chat.example")},
		{"IQ to lost resource", "<iq ID type='set' TO='mira@chat.example/lost'><a xmlns='u'/></iq>", nil, bounced("iq", "mira@chat.example/lost")},
		{"IQ result to lost resource", "<iq ID type='result' TO='mira@chat.example/lost'/>", nil, ""},
		{"ping to bare", "<iq ID type='get' TO='mira@chat.example'><ping xmlns='urn:xmpp:ping'/></iq>", nil, "<iq from='mira@chat.example' to='otto@sip.example' id='1' type='result'/>"},
		{"ping to nobody", "<iq ID type='get' TO='nobody@chat.example'><ping xmlns='urn:xmpp:ping'/></iq>", nil, bounced("iq", "nobody@chat.example")},
		{"ping to full", "<iq ID type='get' TO='mira@chat.example/desk'><ping xmlns='urn:xmpp:ping'/></iq>", nil, "<iq from='mira@chat.example/desk' to='otto@sip.example' id='1' type='result'/>"},
		{"set to host", "<iq ID type='set' TO='chat.example'><a xmlns='u'/></iq>", nil, bounced("iq", "chat.example")},
		{
			"items of host", "<iq ID type='get' TO='chat.example'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>", nil,
			"<iq from='chat.example' to='otto@sip.example' id='1' type='result'><query xmlns='http://jabber.org/protocol/disco#items'><item jid='sip.example'/></query></iq>",
		},
		{"presence to bare", "<presence ID TO='mira@chat.example'/>", []*User{desk, low, phone}, ""},
		{"presence to nobody", "<presence ID TO='nobody@chat.example'/>", nil, ""},
		{"presence to elsewhere", "<presence ID TO='a@elsewhere.example'/>", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.t = t
			in := strings.NewReplacer("ID", "id='1' from='otto@sip.example'", "TO=", "to=").Replace(tt.in)
			p.write(in)
			if tt.back != "" {
				p.want(tt.back)
			}
			p.barrier()
			for _, u := range []*User{desk, phone, low} {
				got := u.Received()
				want := 0
				for _, g := range tt.gets {
					if g == u {
						want++
					}
				}
				if len(got) != want {
					t.Errorf("%s got %d stanzas: %v", u.JID(), len(got), got)
				}
				u.Clear()
			}
		})
	}
	late := s.User("store@chat.example/x").ExpectMessage(t, Body("x"), From("otto@sip.example"))
	if late.Extension(xmpp.NSDelay, "delay").Attribute("from") != "chat.example" {
		t.Error(late)
	}
}

func TestUserSends(t *testing.T) {
	s := Start(t, Config{Lang: "en"})
	u := s.User("mira@chat.example")
	other := s.User("nils@chat.example/y")

	if err := u.Say(xmpp.MustJID("otto@sip.example"), "m0", "too early"); err != nil {
		t.Fatal(err)
	}
	u.ExpectMessage(t, Error(xmpp.ConditionRemoteServerTimeout), ID("m0"), From("otto@sip.example"))

	p := up(t, s)
	if err := u.Say(xmpp.MustJID("otto@sip.example"), "m1", "hello", xmpp.NewElement(xmpp.NSReceipts, "request")); err != nil {
		t.Fatal(err)
	}
	p.want("<message from='mira@chat.example/x' to='otto@sip.example' id='m1' type='chat' xml:lang='en'><body>hello</body><request xmlns='urn:xmpp:receipts'/></message>")
	if err := u.SendRaw("<message to='otto@sip.example' from='evil@sip.example'><body>raw</body><x:y xmlns:x='u'/></message>"); err != nil {
		t.Fatal(err)
	}
	p.want("<message from='mira@chat.example/x' to='otto@sip.example' xml:lang='en'><body>raw</body><y xmlns='u'/></message>")
	if err := u.SendRaw("<message"); err == nil {
		t.Error("broken XML sent")
	}
	if err := u.SendRaw("<hello/>"); err == nil {
		t.Error("no stanza sent")
	}
	if err := u.Say(other.JID(), "m2", "inside"); err != nil {
		t.Fatal(err)
	}
	other.ExpectMessage(t, Body("inside"), From("mira@chat.example"), Type("chat"))
	if err := u.Send(&xmpp.Message{ID: "m3", Bodies: []xmpp.LangText{{Text: "to me"}}}); err != nil {
		t.Fatal(err)
	}
	u.ExpectMessage(t, ID("m3"), Type("normal"), Type(""))

	ctx := t.Context()
	if _, err := u.IQ(ctx, &xmpp.IQ{Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPing, "ping")}); err != nil {
		t.Error(err)
	}
	if _, err := u.IQ(ctx, &xmpp.IQ{To: xmpp.MustJID("chat.example"), Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSDiscoInfo, "query")}); err != nil {
		t.Error(err)
	}
	_, err := u.IQ(ctx, &xmpp.IQ{To: xmpp.MustJID("chat.example"), Type: xmpp.IQGet, Payload: xmpp.NewElement("u", "a")})
	var se *xmpp.StanzaError
	if !errors.As(err, &se) || se.Condition != xmpp.ConditionServiceUnavailable {
		t.Error(err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := u.IQ(short, &xmpp.IQ{To: xmpp.MustJID("sip.example"), Type: xmpp.IQGet, Payload: xmpp.NewElement("u", "a")}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	u.Leave()
	u.Leave()
	if err := u.Say(other.JID(), "", "x"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := u.Await(ctx); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	again := s.User("nils@chat.example/y")
	if err := other.SendRaw("<presence/>"); !errors.Is(err, ErrClosed) {
		t.Error("replaced resource still there")
	}
	if again.JID() != other.JID() {
		t.Error(again.JID())
	}
}

// TestOrder: what a stanza causes comes before the answer to a ping behind it.
func TestOrder(t *testing.T) {
	s := Start(t, Config{Auto: Auto{Receipts: true, Displayed: true}, WriteChunk: 7})
	s.User("mira@chat.example/desk")
	p := up(t, s)
	p.write("<message from='otto@sip.example' to='mira@chat.example' id='1' type='chat'><body>x</body><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>" +
		"<message from='otto@sip.example' to='nobody@chat.example' id='2' type='chat'><body>x</body></message>")
	go p.write("<iq type='get' id='3' from='sip.example' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.want("<message from='mira@chat.example/desk' to='otto@sip.example' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>")
	p.want("<message from='mira@chat.example/desk' to='otto@sip.example' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>")
	if e := p.next(); e.Attribute("type") != "error" || e.Attribute("id") != "2" {
		t.Error(e)
	}
	p.want("<iq from='chat.example' to='sip.example' id='3' type='result'/>")
}

func TestAuto(t *testing.T) {
	s := Start(t, Config{})
	u := s.User("mira@chat.example/desk")
	p := up(t, s)
	caps := Auto{}.caps()
	ask := func(node string) string {
		if node != "" {
			node = " node='" + node + "'"
		}
		return "<iq type='get' id='1' from='sip.example' to='mira@chat.example/desk'><query xmlns='http://jabber.org/protocol/disco#info'" + node + "/></iq>"
	}
	for _, node := range []string{"", caps.InfoNode()} {
		p.write(ask(node))
		q := p.next().Child(xmpp.NSDiscoInfo, "query")
		if q.Attribute("node") != node || !strings.Contains(q.String(), xmpp.NSReceipts) {
			t.Error(q)
		}
	}
	p.write(ask("other"))
	if e := p.next(); e.Attribute("type") != "error" {
		t.Error(e)
	}
	u.SetAuto(Auto{Off: true})
	p.write(ask(""))
	u.ExpectIQ(t, Extension(xmpp.NSDiscoInfo, "query"), Type("get"))
	seen := 0
	u.Handle(func(xmpp.Stanza) bool { seen++; return true })
	p.write(ask(""))
	p.barrier()
	if u.Refute(t); seen != 1 {
		t.Error(seen)
	}
	u.Handle(nil)
	p.write(ask(""))
	p.barrier()
	tb := new(fakeTB)
	if u.Refute(tb, IQs()); len(tb.errors) != 1 {
		t.Error(tb.errors)
	}
}

func TestRoster(t *testing.T) {
	s := Start(t, Config{})
	u := s.User("mira@chat.example/desk")
	p := up(t, s)
	otto := xmpp.MustJID("otto@sip.example")
	sub := func(typ xmpp.PresenceType) { // user → contact
		t.Helper()
		if err := u.Send(&xmpp.Presence{To: otto, Type: typ}); err != nil {
			t.Fatal(err)
		}
	}
	in := func(typ string) { // contact → user
		p.write("<presence from='otto@sip.example/d' to='mira@chat.example' type='" + typ + "'/>")
	}
	out := func(from, typ string) { // what the contact gets
		t.Helper()
		e := p.next()
		if e.Attribute("from") != from || e.Attribute("type") != typ || e.Name.Local != "presence" {
			t.Errorf("got %s, want %s from %s", e, typ, from)
		}
	}
	in("probe")
	out("mira@chat.example", "unsubscribed")

	sub(xmpp.PresenceSubscribe)
	out("mira@chat.example", "subscribe")
	in("subscribed")
	u.ExpectPresence(t, Type("subscribed"), From("otto@sip.example"))
	in("subscribed")
	p.barrier()
	u.Refute(t)

	sub(xmpp.PresenceSubscribed) // nobody asked: dropped
	p.barrier()
	in("subscribe")
	out("mira@chat.example", "unavailable")
	u.ExpectPresence(t, Type("subscribe"))
	in("subscribe")
	out("mira@chat.example", "unavailable")
	p.barrier()
	u.Refute(t)
	u2 := s.User("mira@chat.example/late")
	u2.ExpectPresence(t, Type("subscribe"))
	out("mira@chat.example", "probe") // of the new resource, since mira is subscribed
	sub(xmpp.PresenceSubscribed)
	out("mira@chat.example", "subscribed")
	out("mira@chat.example/desk", "")
	out("mira@chat.example/late", "")
	out("mira@chat.example", "probe")
	in("subscribe")
	out("mira@chat.example", "subscribed")
	out("mira@chat.example/desk", "")
	out("mira@chat.example/late", "")
	in("probe")
	out("mira@chat.example/desk", "")
	out("mira@chat.example/late", "")
	if err := u.Send(&xmpp.Presence{Show: xmpp.ShowAway}); err != nil {
		t.Fatal(err)
	}
	out("mira@chat.example/desk", "")
	u2.Leave()
	out("mira@chat.example/late", "unavailable")
	sub(xmpp.PresenceUnsubscribed)
	out("mira@chat.example", "unsubscribed")
	out("mira@chat.example/desk", "unavailable")
	sub(xmpp.PresenceUnsubscribe)
	out("mira@chat.example", "unsubscribe")
	in("unsubscribed") // known already
	p.barrier()
	u.Refute(t)

	if err := u.Send(&xmpp.Presence{To: otto}); err != nil {
		t.Fatal(err)
	}
	out("mira@chat.example/desk", "")
	u.Leave()
	out("mira@chat.example/desk", "unavailable") // to whom it was directed
	s.Befriend("mira@chat.example", "otto@sip.example")
	in("probe")
	out("mira@chat.example", "unavailable")
	in("unsubscribe")
	in("probe")
	out("mira@chat.example", "unsubscribed")
	p.write("<presence from='otto@sip.example/d' to='nobody@chat.example' type='probe'/>")
	out("nobody@chat.example", "unsubscribed")
}

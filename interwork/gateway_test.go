package interwork_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

func TestMessagesBothWays(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t, nil)
			otto := r.phone("otto", func(c *siptest.Config) { c.Transport = transport })

			require.NoError(t, r.mira.Say(jid("otto"), "m-1", "Which berth?"))
			in := otto.Want(t, siptest.Is("MESSAGE"))
			require.Equal(t, "Which berth?", string(in.Body))
			require.Equal(t, "sip:mira@"+chatDomain, in.URI("From"))
			require.Equal(t, "sip:otto@"+sipDomain, in.URI("To"))

			require.Equal(t, 200, r.say(otto, mira, "Berth four."))
			m := r.mira.ExpectMessage(t, xmpptest.Body("Berth four."))
			require.Equal(t, "otto@"+sipDomain, m.From.Bare().String())
			require.Equal(t, xmpp.MessageChat, m.Type)
		})
	}
}

func TestFailuresAreTold(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	r.identity("nora", "") // has no phone

	for _, c := range []struct {
		to     xmpp.JID
		answer []siptest.Answer
		want   xmpp.Condition
	}{
		{jid("nobody"), nil, xmpp.ConditionItemNotFound},
		{jid("nora"), nil, xmpp.ConditionRecipientUnavailable},
		{jid("otto"), []siptest.Answer{siptest.Status(486)}, xmpp.ConditionRecipientUnavailable},
		{jid("otto"), []siptest.Answer{siptest.Status(403)}, xmpp.ConditionForbidden},
		{jid("otto"), []siptest.Answer{siptest.Status(603)}, xmpp.ConditionRecipientUnavailable},
		{jid("otto"), []siptest.Answer{siptest.Status(500)}, xmpp.ConditionInternalServerError},
		{jid("otto"), []siptest.Answer{siptest.Silent()}, xmpp.ConditionRemoteServerTimeout},
		{xmpp.MustJID(sipDomain), nil, xmpp.ConditionItemNotFound},
	} {
		t.Run(fmt.Sprintf("%s %s", c.to, c.want), func(t *testing.T) {
			if c.answer != nil {
				otto.Answer(siptest.Is("MESSAGE"), c.answer...)
			}
			id := fmt.Sprintf("m-%d", time.Now().UnixNano())
			require.NoError(t, r.mira.Say(c.to, id, "hello"))
			e := r.mira.ExpectMessage(t, xmpptest.ID(id))
			require.Equal(t, xmpp.MessageError, e.Type)
			require.Equal(t, c.want, e.Error.Condition)
		})
	}
	otto.Forget()

	for to, want := range map[string]int{
		"sip:ghost@" + chatDomain:                    480, // the server does not say whether there is such a user
		"sip:nobody@" + sipDomain:                    404,
		"sip:nora@" + sipDomain:                      404, // a phone, not an XMPP user
		"sip:mira%40" + chatDomain + "@" + sipDomain: 200,
	} {
		require.Equal(t, want, r.say(otto, to, "hello"), to)
	}
	require.Equal(t, 415, status(r, otto, "Content-Type: application/x-unknown"))
	require.Equal(t, 483, status(r, otto, "Max-Forwards: 0"))
}

func status(r *rig, p *siptest.UA, header string) int {
	req := p.NewRequest("MESSAGE", mira, header)
	if !req.Has("Content-Type") {
		req.Add("Content-Type", "text/plain")
	}
	req.Body = []byte("x")
	res, err := p.Do(r.ctx(), req)
	require.NoError(r.t, err)
	return res.Status
}

func TestSIPSIsRefused(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	res, err := otto.Do(r.ctx(), otto.NewRequest("MESSAGE", "sips:mira@"+chatDomain, "Content-Type: text/plain"))
	require.NoError(t, err)
	require.Equal(t, 416, res.Status)
}

func TestNobodySpeaksForOthers(t *testing.T) {
	r := newRig(t, nil)
	r.identity("otto", "")
	r.identity("nora", "")
	stranger := r.unregistered("otto", func(c *siptest.Config) { c.Credentials.Password = "wrong" })
	require.Contains(t, []int{401, 403, 407}, r.say(stranger, mira, "x"))
	nora := r.unregistered("otto", func(c *siptest.Config) { c.Credentials.User = "nora" }) // From: otto
	require.Equal(t, 403, r.say(nora, mira, "x"))
	foreign := r.unregistered("otto", func(c *siptest.Config) { c.AOR = "sip:otto@elsewhere.example" })
	require.Equal(t, 403, r.say(foreign, mira, "x"))
	r.mira.Refute(t, xmpptest.Messages())
}

func TestTrustedPeerSpeaksForItsUsers(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	trunk := r.unregistered("x", func(c *siptest.Config) { c.AOR = "sip:anybody@voice.quay.example" })
	require.Equal(t, 200, r.say(trunk, mira, "from", `P-Asserted-Identity: "Otto" <sip:otto@voice.quay.example>`))
	m := r.mira.ExpectMessage(t, xmpptest.Body("from"))
	require.Equal(t, `otto\40voice.quay.example@`+sipDomain, m.From.Bare().String())
}

func TestReceiptsCross(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	otto.Answer(siptest.Is("OPTIONS"), siptest.Status(200, "Accept: text/plain, message/cpim, message/imdn+xml"))
	require.NoError(t, r.mira.Say(jid("otto"), "m-1", "first"))
	otto.Want(t, siptest.Is("MESSAGE"))
	otto.Want(t, siptest.Is("OPTIONS"))

	// What the phone accepts is known a moment after it answered.
	id := ""
	r.eventually("an envelope that asks for a receipt", func() bool {
		require.NoError(t, r.mira.Say(jid("otto"), "m-2", "second", xmpp.NewElement(xmpp.NSReceipts, "request")))
		in := otto.Want(t, siptest.Is("MESSAGE"))
		_, rest, ok := strings.Cut(string(in.Body), "Message-ID: ")
		id, _, _ = strings.Cut(rest, "\r\n")
		return ok
	})
	require.Equal(t, "m-2", id)
	req := otto.NewRequest("MESSAGE", mira, "Content-Type: message/imdn+xml")
	req.Body = []byte(`<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>m-2</message-id><datetime>2026-05-04T18:22:01Z</datetime>` +
		`<delivery-notification><status><delivered/></status></delivery-notification></imdn>`)
	res, err := otto.Do(r.ctx(), req)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	m := r.mira.ExpectMessage(t, xmpptest.Extension(xmpp.NSReceipts, "received"))
	require.Equal(t, "m-2", m.Extension(xmpp.NSReceipts, "received").Attribute("id"))

	// The other way: otto wants to know, and mira's client tells.
	req = otto.NewRequest("MESSAGE", mira, "Content-Type: message/cpim")
	req.Body = []byte("From: <sip:otto@" + sipDomain + ">\r\nTo: <" + mira + ">\r\nDateTime: 2026-05-04T18:22:01Z\r\n" +
		"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: im-7\r\nimdn.Disposition-Notification: positive-delivery\r\n\r\n" +
		"Content-Type: text/plain\r\n\r\nthird")
	res, err = otto.Do(r.ctx(), req)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	m = r.mira.ExpectMessage(t, xmpptest.Body("third"))
	require.NotNil(t, m.Extension(xmpp.NSReceipts, "request"))
	require.NoError(t, r.mira.Send(&xmpp.Message{
		To: m.From, ID: "r-1", Type: xmpp.MessageChat,
		Extensions: []*xmpp.Element{xmpp.NewElement(xmpp.NSReceipts, "received").Set("id", m.ID)},
	}))
	in := otto.Want(t, siptest.Is("MESSAGE"))
	require.Contains(t, string(in.Body), "<message-id>im-7</message-id>")
	require.Contains(t, string(in.Body), "<datetime>2026-05-04T18:22:01Z</datetime>")
	require.Contains(t, string(in.Body), "delivered")
}

func TestEveryDeviceRings(t *testing.T) {
	r := newRig(t, nil)
	desk := r.phone("otto", nil)
	mobile := r.unregistered("otto", func(c *siptest.Config) { c.Transport = "tcp" })
	_, err := mobile.Register(r.ctx(), 600)
	require.NoError(t, err)
	desk.Answer(siptest.Is("MESSAGE"), siptest.Status(486))
	require.NoError(t, r.mira.Say(jid("otto"), "m-1", "to all"))
	desk.Want(t, siptest.Is("MESSAGE"))
	mobile.Want(t, siptest.Is("MESSAGE"))
	// One of them took it, so nobody is told of a failure: the next message comes through.
	require.NoError(t, r.mira.Say(jid("otto"), "m-2", "again"))
	mobile.Want(t, siptest.Is("MESSAGE"))
	r.mira.Refute(t, xmpptest.Type("error"))
}

func TestSecondSRVTarget(t *testing.T) {
	dns := siptest.StartDNS(t)
	first := siptest.Start(t, siptest.Config{})
	second := siptest.Start(t, siptest.Config{})
	first.Answer(siptest.Is("MESSAGE"), siptest.Status(503))
	second.Answer(siptest.Is("MESSAGE"), siptest.Status(200))
	for _, p := range []*siptest.UA{first, second} {
		p.Answer(siptest.Is("OPTIONS"), siptest.Status(404))
	}
	_, port1, _ := net.SplitHostPort(first.Addr())
	_, port2, _ := net.SplitHostPort(second.Addr())
	require.NoError(t, dns.Add(
		"_sip._udp.voice.quay.example. 60 IN SRV 10 0 "+port1+" a.voice.quay.example.",
		"_sip._udp.voice.quay.example. 60 IN SRV 20 0 "+port2+" b.voice.quay.example.",
		"a.voice.quay.example. 60 IN A 127.0.0.1", "b.voice.quay.example. 60 IN A 127.0.0.1"))
	r := newRig(t, func(c *interwork.Config) {
		c.SIP.Resolver = ua.NewResolver(ua.ResolverConfig{Servers: []string{dns.Addr()}})
	})
	require.NoError(t, r.mira.Say(jid("otto@voice.quay.example"), "m-1", "hello"))
	a := first.Want(t, siptest.Is("MESSAGE"))
	b := second.Want(t, siptest.Is("MESSAGE"))
	require.Equal(t, a.Get("Call-ID"), b.Get("Call-ID"))
	require.NotEqual(t, a.Branch(), b.Branch())
	first.AssertClean(t)
	second.AssertClean(t)
}

func TestKeptWhileTheServerIsAway(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	r.server.Refuse(xmpptest.RefuseClose)
	r.server.Drop()
	r.eventually("the link is down", func() bool { return !r.gateway.Status().Link })
	require.Equal(t, 202, r.say(otto, mira, "one"))
	r.restart() // and the gateway goes too
	r.mira.ExpectMessage(t, xmpptest.Body("one"))
	// 202 while the fate of the first is awaited: the second must not overtake it.
	require.Contains(t, []int{200, 202}, r.say(r.again("otto"), mira, "two"))
	r.mira.ExpectMessage(t, xmpptest.Body("two"))
}

// again is a phone that was registered before a restart; a UDP binding survives it.
func (r *rig) again(name string) *siptest.UA { return r.unregistered(name, nil) }

func TestOutboxIsSentAfterARestart(t *testing.T) {
	r := newRig(t, func(c *interwork.Config) { c.Drain = time.Millisecond })
	otto := r.phone("otto", func(c *siptest.Config) { c.AllowResend = true })
	otto.Answer(siptest.Is("MESSAGE"), siptest.Silent())
	require.NoError(t, r.mira.Say(jid("otto"), "m-1", "are you there?"))
	before := otto.Want(t, siptest.Is("MESSAGE"))
	otto.Forget()
	otto.Answer(siptest.Is("MESSAGE"), siptest.Status(200))
	r.restart()
	after := otto.Want(t, siptest.Is("MESSAGE"))
	require.Equal(t, before.Get("Call-ID"), after.Get("Call-ID"))
	require.Equal(t, before.Get("CSeq"), after.Get("CSeq"))
	require.Equal(t, before.Tag("From"), after.Tag("From"))
	require.Equal(t, before.Body, after.Body)
}

func TestBadStanzasGetAnswers(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	for _, c := range []struct{ stanza, want string }{
		{`<message from='mira@` + chatDomain + `/desk' to='@` + sipDomain + `' id='b1'><body>x</body></message>`, "jid-malformed"},
		{`<message from='mira@` + chatDomain + `/desk' to='otto@` + sipDomain + `' type='groupchat' id='b2'><body>x</body></message>`, "service-unavailable"},
		{`<message from='mira@` + chatDomain + `/desk' to='otto@` + sipDomain + `' type='chat' id='b3'><encrypted xmlns='eu.siacs.conversations.axolotl'><payload>x</payload></encrypted></message>`, "not-acceptable"},
		{`<iq from='mira@` + chatDomain + `/desk' to='otto@` + sipDomain + `' type='get' id='b4'><query xmlns='urn:example:unknown'/></iq>`, "service-unavailable"},
	} {
		require.NoError(t, r.server.Inject([]byte(c.stanza)))
		id := c.stanza[strings.Index(c.stanza, "id='")+4:]
		id = id[:strings.IndexByte(id, '\'')]
		s := r.mira.Expect(t, xmpptest.ID(id))
		require.True(t, s.IsError(), c.stanza)
		require.Contains(t, s.Element().String(), c.want, c.stanza)
	}
	// A header cannot be smuggled through a subject or a thread, and the link still stands.
	require.NoError(t, r.mira.Send(&xmpp.Message{
		To: jid("otto"), ID: "b5", Thread: "t\r\nX-Evil: 1", Subjects: []xmpp.LangText{{Text: "s\r\nX-Evil: 1"}}, Bodies: []xmpp.LangText{{Text: "ok"}},
	}))
	in := otto.Want(t, siptest.Is("MESSAGE"))
	require.False(t, in.Has("X-Evil"), in)
	require.Equal(t, "ok", string(in.Body))
}

func TestOrderAndNothingLostUnderLoad(t *testing.T) {
	r := newRig(t, nil)
	const users, each = 8, 40
	phones := make([]*siptest.UA, users)
	for i := range phones {
		phones[i] = r.phone(fmt.Sprintf("otto%d", i), nil)
	}
	for n := range each {
		for i := range phones {
			require.NoError(t, r.mira.Say(jid(fmt.Sprintf("otto%d", i)), fmt.Sprintf("m-%d-%d", i, n), fmt.Sprintf("%d", n)))
		}
	}
	var wg sync.WaitGroup
	for i, p := range phones {
		wg.Go(func() {
			for n := range each {
				if got := string(p.Want(t, siptest.Is("MESSAGE")).Body); got != fmt.Sprint(n) {
					t.Errorf("otto%d got %q as message %d", i, got, n)
					return
				}
			}
		})
		wg.Go(func() {
			for n := range each {
				res, err := p.Message(t.Context(), mira, fmt.Sprintf("%d %d", i, n))
				if err != nil || res.Status != 200 {
					t.Errorf("otto%d: message %d: %v %v", i, n, res, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range phones {
		for n := range each {
			r.mira.ExpectMessage(t, xmpptest.Body(fmt.Sprintf("%d %d", i, n)))
		}
	}
	r.mira.Refute(t, xmpptest.Messages())
}

func TestNumbersAreLookedUpInTheDNS(t *testing.T) {
	dns := siptest.StartDNS(t)
	otto := siptest.Start(t, siptest.Config{Auto: true})
	_, port, _ := net.SplitHostPort(otto.Addr())
	require.NoError(t, dns.Add(
		`8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa. 60 IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:otto@127.0.0.1:`+port+`!" .`,
		`9.4.1.0.6.4.9.7.0.2.4.4.e164.arpa. 60 IN NAPTR 100 10 "u" "E2U+xmpp" "!^.*$!xmpp:jonas@`+chatDomain+`!" .`))
	r := newRig(t, func(c *interwork.Config) {
		var err error
		c.ENUM, err = interwork.NewENUM([]string{dns.Addr()})
		require.NoError(t, err)
	})
	require.NoError(t, r.mira.Say(jid("+442079460148"), "m-1", "hello"))
	require.Equal(t, "hello", string(otto.Want(t, siptest.Is("MESSAGE")).Body))
	require.NoError(t, r.mira.Say(jid("+442079460149"), "m-2", "hello"))
	e := r.mira.ExpectMessage(t, xmpptest.ID("m-2"))
	require.Equal(t, xmpp.ConditionRedirect, e.Error.Condition)
	require.Equal(t, "xmpp:jonas@"+chatDomain, e.Error.Address)
	otto.AssertClean(t)
}

func TestRegistersAtATrunkWithAContactThatWorks(t *testing.T) {
	carrier := siptest.Start(t, siptest.Config{})
	carrier.Answer(siptest.Is("REGISTER"), siptest.AcceptRegister(600, "Service-Route: <sip:"+carrier.Addr()+";lr>"))
	carrier.Answer(siptest.Is("MESSAGE"), siptest.Status(200))
	carrier.Answer(siptest.Is("OPTIONS"), siptest.Status(404))
	r := newRig(t, func(c *interwork.Config) {
		c.Trunks = []interwork.Trunk{{
			Name: "carrier", URI: uri(t, "sip:"+carrier.Addr()), Numbers: []string{"+"}, Username: "acc", Password: "p", Register: true,
		}}
	})
	reg := carrier.Want(t, siptest.Is("REGISTER"))
	require.Contains(t, reg.URI("Contact"), r.gateway.SIPAddr("udp"))
	r.eventually("registered", func() bool {
		trunks := r.gateway.Status().Trunks
		return len(trunks) == 1 && trunks[0].State == "registered"
	})
	require.NoError(t, r.mira.Say(jid("+442079460148"), "m-1", "hello"))
	in := carrier.Want(t, siptest.Is("MESSAGE"))
	require.Contains(t, in.Get("Route"), carrier.Addr(), "RFC 3608 §5")
}

package journal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRedact(t *testing.T) {
	for _, tc := range []struct {
		name, protocol, in string
		bodies             bool
		want               string
	}{
		{
			"sip credentials", SIP, "REGISTER sip:h SIP/2.0\r\nAuthorization: Digest username=\"u\",\r\n response=\"00\"\r\nproxy-authorization: x\r\nVia: v\r\n\r\n", false,
			"REGISTER sip:h SIP/2.0\r\nAuthorization: Digest [hidden]\r\nproxy-authorization: [hidden]\r\nVia: v\r\n\r\n",
		},
		{
			"sip body and subject", SIP, "MESSAGE sip:h SIP/2.0\r\nSubject: hi you\r\ns:x\r\nVia: v\r\n\r\nhello", true,
			"MESSAGE sip:h SIP/2.0\r\nSubject: [6 bytes]\r\ns: [1 bytes]\r\nVia: v\r\n\r\n[5 bytes]",
		},
		{"sip body shown", SIP, "MESSAGE sip:h SIP/2.0\r\nSubject: hi\r\n\r\nhello", false, "MESSAGE sip:h SIP/2.0\r\nSubject: hi\r\n\r\nhello"},
		{"sip bare line ends", SIP, "MESSAGE sip:h SIP/2.0\n\nhello", true, "MESSAGE sip:h SIP/2.0\n\n[5 bytes]"},
		{
			"sdes and ice keys", SIP, "INVITE sip:h SIP/2.0\r\n\r\na=crypto:1 X inline:c2VjcmV0|2^20\r\na=ice-pwd:pw\r\na=mid:0", false,
			"INVITE sip:h SIP/2.0\r\n\r\na=crypto:1 X inline:[hidden]|2^20\r\na=ice-pwd:[hidden]\r\na=mid:0",
		},
		{
			"xml text", XMPP, `<message to='a@b' type="chat"><body>hey &amp; you</body><x> </x></message>`, true,
			`<message to='a@b' type="chat"><body>[13 bytes]</body><x> </x></message>`,
		},
		{"xml text shown", XMPP, `<message><body>hey</body></message>`, false, `<message><body>hey</body></message>`},
		{"handshake", XMPP, `<handshake>abcd</handshake>`, false, `<handshake>[hidden]</handshake>`},
		{"prefixed password", XMPP, `<r:password>p</r:password>`, false, `<r:password>[hidden]</r:password>`},
		{"cdata", XMPP, `<body>a<![CDATA[<b>]]>c</body><i/>`, true, `<body>[17 bytes]</body><i/>`},
		{"shared link", XMPP, `<url-data target='https://files.example/x'/>`, true, `<url-data target='[23 bytes]'/>`},
		{"jingle keys", XMPP, `<t pwd="p" ufrag="u"/><crypto key-params='inline:abc|1'/>`, false, `<t pwd="[hidden]" ufrag="u"/><crypto key-params='inline:[hidden]|1'/>`},
		{"greater in a value", XMPP, `<a b='x>y'>text</a>`, true, `<a b='x>y'>[4 bytes]</a>`},
		{"comment", XMPP, `<!-- secret -->`, true, `<!-- 15 bytes -->`},
		{"garbage", XMPP, `<a b=c d>text`, true, `<a b=[hidden]>[4 bytes]`},
		{"open tag", XMPP, `<a b='c`, true, `<a b=[hidden]>`},
		{"open cdata", XMPP, `<![CDATA[abc`, true, `[12 bytes]`},
		{"lone bracket", XMPP, `<`, true, `<`},
		{"empty", SIP, ``, true, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, string(Redact(tc.protocol, []byte(tc.in), tc.bodies)))
		})
	}
}

func FuzzRedact(f *testing.F) {
	f.Add(someMessage, true)
	f.Add(`<message a='b'><body>hey<![CDATA[x]]></body></message>`, false)
	f.Fuzz(func(t *testing.T, raw string, bodies bool) {
		in := []byte(raw)
		Redact(SIP, in, bodies)
		Redact(XMPP, in, bodies)
		if string(in) != raw {
			t.Fatal("the input was changed")
		}
		const secret = "TheSecretBody"
		if out := Redact(XMPP, []byte(`<message><body>`+secret+`</body></message>`+raw), true); strings.Contains(string(out[:40]), secret) {
			t.Fatalf("body shows in %s", out)
		}
	})
}

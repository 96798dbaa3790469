package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/tools/txtar"
)

const sipText = `MESSAGE sip:mira@chat.example SIP/2.0
Via: SIP/2.0/TCP phone.voice.example;branch=z9hG4bK776sgdkse
Max-Forwards: 70
From: "Otto" <sip:otto@voice.example>;tag=49583
To: <sip:mira@chat.example>
Call-ID: asd88asd77a@192.0.2.7
CSeq: 1 MESSAGE
Subject: Lunch
Content-Type: text/plain
l: 99

Watson, come here.
`

func TestTranslateStanza(t *testing.T) {
	const time = "2026-11-20T12:00:00Z"
	for _, tc := range []struct {
		name, in  string
		args      []string
		out, lost []string
		code      int
	}{
		{
			name: "plain", in: `<message from='mira@chat.example/desk' to='otto@sip.example.org' id='a1' type='chat' xml:lang='de'><subject>Essen</subject><body>Hi</body></message>`,
			out: []string{"MESSAGE sip:otto@sip.example.org SIP/2.0\r\n", "From: <sip:mira@chat.example;gr=desk>", "Subject: Essen\r\n", "Content-Language: de\r\n", "\r\n\r\nHi\n"},
		},
		{
			name: "component form", in: `<message xmlns='jabber:client' from='mira@chat.example' to='otto\40voice.example@gw.example'><body>Hi</body></message>`,
			args: []string{"--component", "gw.example", "--from-name", `Mira "M"`}, out: []string{"MESSAGE sip:otto@voice.example SIP/2.0", `From: "Mira \"M\"" <sip:mira@chat.example>`},
		},
		{
			name: "addresses by hand", in: `<message><body>Hi</body></message>`,
			args: []string{"--from-uri", "sip:+4930@gw.example;user=phone", "--to-uri", "sip:x@y"}, out: []string{"MESSAGE sip:x@y SIP/2.0", "<sip:+4930@gw.example;user=phone>"},
		},
		{
			name: "receipt", in: `<message from='a@b/c' to='d@e' id='m1'><body>Hi</body><request xmlns='urn:xmpp:receipts'/></message>`,
			args: []string{"--accept", "message/cpim,message/imdn+xml"}, out: []string{"Content-Type: message/cpim", "imdn.Disposition-Notification", "DateTime: 2026-11-20T12:00:00Z"},
		},
		{
			name: "split", in: `<message from='a@b' to='d@e'><body>` + strings.Repeat("word ", 20) + `</body></message>`,
			args: []string{"--short-text", "70"}, out: []string{"(1/2) word", "\r\nMESSAGE sip:d@e", "(2/2) "},
		},
		{
			name: "loss", in: `<message from='a@b' to='d@e' id='m1'><body>Hi</body><request xmlns='urn:xmpp:receipts'/></message>`,
			out: []string{"MESSAGE"}, lost: []string{"lost: receipt"},
		},
		{
			name: "nothing to send", in: `<message from='a@b' to='d@e' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
			lost: []string{"nothing to send"},
		},
		{
			name: "refused", in: `<message from='a@b' to='d@e' type='groupchat'><body>Hi</body></message>`, code: exitFailed,
			lost: []string{"refused, the sender gets: <message ", "type='error'"},
		},
		{
			name: "an error", in: `<message from='a@b/r' to='d@e' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
			out: []string{"SIP/2.0 "},
		},
		{name: "an error that says nothing", in: `<message from='a@b/r' type='error'/>`, out: []string{"SIP/2.0 400 "}},
		{name: "presence", in: `<presence from='a@b'/>`, code: exitFailed, lost: []string{"<presence/> has no counterpart"}},
		{name: "no sender", in: `<message to='a@b'><body>x</body></message>`, code: exitFailed, lost: []string{"sender: the stanza has no such address"}},
		{name: "no receiver", in: `<message from='a@b'><body>x</body></message>`, code: exitFailed, lost: []string{"receiver: "}},
		{name: "bad address", in: `<message from='a@@b' to='d@e'><body>x</body></message>`, code: exitFailed, lost: []string{"not an XMPP stanza"}},
		{name: "other element", in: `<html/>`, code: exitFailed, lost: []string{"not an XMPP stanza"}},
		{name: "not closed", in: `<message`, code: exitFailed, lost: []string{"not an XMPP stanza"}},
		{name: "nothing", in: " \n", code: exitFailed, lost: []string{"standard input is empty"}},
		{name: "too much", in: "<" + strings.Repeat("x", maxInput), code: exitFailed, lost: []string{"larger than"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := execute(t, tc.in, append([]string{"translate", "--time", time}, tc.args...)...)
			assert.Equal(t, tc.code, r.code, r.err)
			for _, want := range tc.out {
				assert.Contains(t, r.out, want)
			}
			for _, want := range tc.lost {
				assert.Contains(t, r.err, want)
			}
			if tc.out == nil {
				assert.Empty(t, r.out)
			}
		})
	}
}

func TestTranslateSIP(t *testing.T) {
	response := strings.Replace(sipText, "MESSAGE sip:mira@chat.example SIP/2.0", "SIP/2.0 404 Not Found", 1)
	for _, tc := range []struct {
		name, in  string
		args      []string
		out, lost []string
		code      int
	}{
		{
			name: "LF and a wrong length", in: sipText,
			out: []string{`from='otto\40voice.example@sip.example.org'`, `to='mira@chat.example'`, "type='chat'", "<subject>Lunch</subject><body>Watson, come here.</body>"},
		},
		{name: "on the wire", in: string(wireForm([]byte(sipText))), out: []string{"<body>Watson, come here.</body>"}},
		{name: "home domain", in: sipText, args: []string{"--component", "voice.example", "--type", "normal"}, out: []string{"from='otto@voice.example'"}},
		{name: "addresses by hand", in: sipText, args: []string{"--from-jid", "o@x", "--to-jid", "m@y/z"}, out: []string{"from='o@x'", "to='m@y/z'"}},
		{name: "refused", in: strings.Replace(sipText, "text/plain", "image/png", 1), code: exitFailed, lost: []string{"refused, the sender gets: 415"}},
		{name: "other method", in: strings.ReplaceAll(sipText, "MESSAGE", "PUBLISH"), code: exitFailed, lost: []string{"PUBLISH has no counterpart"}},
		{name: "failure", in: response, out: []string{"type='error'", "item-not-found"}},
		{name: "success", in: strings.Replace(response, "404 Not Found", "200 OK", 1), lost: []string{"nothing to send"}},
		{name: "garbage", in: "hello\n", code: exitFailed, lost: []string{"neither an XMPP stanza nor a SIP message"}},
		{name: "bad JID", in: sipText, args: []string{"--to-jid", "@"}, code: exitFailed, lost: []string{"receiver: "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := execute(t, tc.in, append([]string{"translate"}, tc.args...)...)
			assert.Equal(t, tc.code, r.code, r.err)
			for _, want := range tc.out {
				assert.Contains(t, r.out, want)
			}
			for _, want := range tc.lost {
				assert.Contains(t, r.err, want)
			}
			if tc.out == nil {
				assert.Empty(t, r.out)
			}
		})
	}
}

// What one direction makes the other one reads.
func TestTranslateRoundTrip(t *testing.T) {
	there := execute(t, `<message from='mira@chat.example/desk' to='otto@sip.example.org' id='a1'><body>round &amp; trip</body></message>`, "translate")
	back := execute(t, there.out, "translate")
	assert.Equal(t, exitOK, back.code, back.err)
	assert.Contains(t, back.out, "<body>round &amp; trip</body>")
}

func FuzzTranslate(f *testing.F) {
	f.Add(sipText)
	f.Add(`<message from='a@b' to='c@d'><body>x</body></message>`)
	files, err := filepath.Glob("testdata/translate/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Files[0].Data))
	}
	f.Fuzz(func(t *testing.T, in string) {
		if r := execute(t, in, "translate"); r.code != exitOK && r.code != exitFailed {
			t.Fatalf("exit code %d: %s", r.code, r.err)
		}
	})
}

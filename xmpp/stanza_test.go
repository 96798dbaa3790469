package xmpp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	mira = MustJID("mira@chat.harbor.example/desk")
	otto = MustJID("otto@sip.harbor.example")
)

func TestParseMessage(t *testing.T) {
	s, err := ReadStanza([]byte(sample))
	require.NoError(t, err)
	m := s.(*Message)
	from, to := m.Addresses()
	assert.Equal(t, mira, from)
	assert.Equal(t, otto, to)
	assert.Equal(t, "b0c4f2aa", m.StanzaID())
	assert.Equal(t, MessageChat, m.Type)
	assert.Equal(t, "en", m.Lang)
	assert.Equal(t, "Shall we meet at the quay?", m.Body())
	assert.Len(t, m.Extensions, 3)
	assert.NotNil(t, m.Extension(NSReceipts, "request"))
	assert.Nil(t, m.Extension(NSReceipts, "received"))
	assert.False(t, m.IsError())
	assert.Equal(t, sample, string(m.Append(nil)))
}

func TestStanzaNamespaces(t *testing.T) {
	for _, ns := range []string{NSClient, NSServer, NSComponentAccept} {
		e, err := ParseElement([]byte("<message xmlns='" + ns + "'><body>hi</body><own/><x xmlns='u'/></message>"))
		require.NoError(t, err)
		s, err := ParseStanza(e)
		require.NoError(t, err)
		assert.Equal(t, "hi", s.(*Message).Body())
		assert.Equal(t, "<message><body>hi</body><own/><x xmlns='u'/></message>", string(s.Append(nil)))
	}
	for _, in := range []string{
		"<message/>", "<message xmlns='u'/>", "<handshake xmlns='" + NSComponentAccept + "'/>", "<iq xmlns='urn:xmpp:sm:3'/>",
	} {
		e, err := ParseElement([]byte(in))
		require.NoError(t, err)
		_, err = ParseStanza(e)
		assert.ErrorIs(t, err, ErrNotStanza, in)
	}
}

// Attributes in a namespace are never addresses, and only direct children in the stanza's namespace are its
// texts (libraries.md §1.1 rows 5 and 6).
func TestParseStanzaSpoofing(t *testing.T) {
	s, err := ReadStanza([]byte(`<message xmlns:x='u' from='mallory@evil.example' x:from='admin@good.example' x:to='a@b' x:id='1' x:type='chat' x:lang='de'>` +
		`<body xmlns='u'>one</body><wrap xmlns='u'><body xmlns='jabber:client'>two</body></wrap>` +
		`<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>three</body></message></forwarded>` +
		`<body>real</body><message><body>four</body></message></message>`))
	require.NoError(t, err)
	m := s.(*Message)
	assert.Equal(t, MustJID("mallory@evil.example"), m.From)
	assert.True(t, m.To.IsZero())
	assert.Empty(t, m.ID)
	assert.Empty(t, m.Lang)
	assert.Equal(t, MessageNormal, m.Type)
	assert.Equal(t, []LangText{{"", "real"}}, m.Bodies)
	assert.Len(t, m.Extensions, 4)
}

func TestMessageTexts(t *testing.T) {
	s, err := ReadStanza([]byte(`<message xml:lang='de'><subject xml:lang='en'>E</subject><body xml:lang='en'>hello</body>` +
		`<body>hallo</body><body xml:lang='fr'>salut</body><thread parent='p'>t</thread></message>`))
	require.NoError(t, err)
	m := s.(*Message)
	assert.Equal(t, "hallo", m.Body())
	assert.Equal(t, "E", m.Subject())
	assert.Equal(t, "t", m.Thread)
	assert.Equal(t, "p", m.ParentThread)
	m.Lang = "fr"
	assert.Equal(t, "salut", m.Body())
	assert.Equal(t, "", (&Message{}).Body())
}

func TestParseMessageTypes(t *testing.T) {
	for in, want := range map[string]MessageType{
		"": MessageNormal, "normal": MessageNormal, "nonsense": MessageNormal, "chat": MessageChat,
		"groupchat": MessageGroupchat, "headline": MessageHeadline, "error": MessageError,
	} {
		s, err := ReadStanza([]byte("<message type='" + in + "'/>"))
		require.NoError(t, err)
		assert.Equal(t, want, s.(*Message).Type)
		assert.Equal(t, want == MessageError, s.IsError())
		assert.Equal(t, want == MessageError, s.(*Message).Error != nil)
	}
	s, err := ReadStanza([]byte("<message><error/></message>"))
	require.NoError(t, err)
	assert.Len(t, s.(*Message).Extensions, 1, "an error element counts in errors only")
}

func TestParsePresence(t *testing.T) {
	s, err := ReadStanza([]byte(`<presence from='mira@chat.harbor.example/desk'><show> away </show><status xml:lang='de'>Mittag</status>` +
		`<status>lunch</status><priority>
			-5</priority><c xmlns='http://jabber.org/protocol/caps'/><show xmlns='u'>dnd</show></presence>`))
	require.NoError(t, err)
	p := s.(*Presence)
	assert.Equal(t, &Presence{
		From: mira, Show: ShowAway, Statuses: []LangText{{"de", "Mittag"}, {"", "lunch"}}, Priority: -5, Extensions: p.Extensions,
	}, p)
	assert.Equal(t, "lunch", p.Status())
	assert.NotNil(t, p.Extension(NSCaps, "c"))
	assert.Len(t, p.Extensions, 2)

	s, err = ReadStanza([]byte(`<presence><show>online</show><priority>127</priority></presence>`))
	require.NoError(t, err)
	assert.Equal(t, &Presence{Priority: 127}, s)
}

func TestParseStanzaMalformed(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for _, c := range []struct {
		in    string
		want  Condition
		reply string // "" when none may be sent
	}{
		{
			`<presence from='m@x/d' to='o@y' id='1'><priority>999</priority></presence>`, ConditionBadRequest,
			`<presence from='o@y' to='m@x/d' id='1' type='error'>`,
		},
		{`<presence from='m@x/d' to='o@y'><priority>x</priority></presence>`, ConditionBadRequest, `<presence from='o@y' to='m@x/d' type='error'>`},
		{`<presence from='m@x/d' to='o@y'><priority/></presence>`, ConditionBadRequest, `<presence from='o@y' to='m@x/d' type='error'>`},
		{`<presence from='m@x/d' to='o@y' type='invisible'/>`, ConditionBadRequest, `<presence from='o@y' to='m@x/d' type='error'>`},
		{`<presence from='m@x/d' to='o@y' type='error'><priority>x</priority></presence>`, ConditionBadRequest, ""},
		{`<iq from='m@x/d' to='o@y' id='1'><a xmlns='u'/></iq>`, ConditionBadRequest, `<iq from='o@y' to='m@x/d' id='1' type='error'>`},
		{`<iq from='m@x/d' to='o@y' id='1' type='get'/>`, ConditionBadRequest, `<iq from='o@y' to='m@x/d' id='1' type='error'>`},
		{`<iq from='m@x/d' to='o@y' id='1' type='set'><a/><b/></iq>`, ConditionBadRequest, `<iq from='o@y' to='m@x/d' id='1' type='error'>`},
		{`<iq from='m@x/d' to='o@y' id='1' type='result'><a/><b/></iq>`, ConditionBadRequest, ""},
		{`<iq from='m@x/d' to='o@y' type='get'><a/></iq>`, ConditionBadRequest, ""},
		{`<message from='m@x/d' to='a b@y/z' id='1'/>`, ConditionJIDMalformed, `<message from='y' to='m@x/d' id='1' type='error'>`},
		{`<message from='m@x/d' to='o@y/' id='1'/>`, ConditionJIDMalformed, `<message from='y' to='m@x/d' id='1' type='error'>`},
		{`<message from='m@x/d' to='o@..' id='1'/>`, ConditionJIDMalformed, `<message to='m@x/d' id='1' type='error'>`},
		{`<message from='m@x/d' to='` + long + `@y' id='1'/>`, ConditionJIDMalformed, `<message from='y' to='m@x/d' id='1' type='error'>`},
		{`<message from='@' to='o@y' id='1'/>`, ConditionJIDMalformed, ""},
		{`<message from='m@x/d' to='@' type='error'/>`, ConditionJIDMalformed, ""},
	} {
		_, err := ReadStanza([]byte(c.in))
		var m *MalformedError
		if !assert.ErrorAs(t, err, &m, c.in) {
			continue
		}
		var se *StanzaError
		assert.ErrorAs(t, err, &se)
		assert.Equal(t, c.want, m.Err.Condition, c.in)
		assert.Equal(t, ErrorModify, m.Err.Type)
		assert.Contains(t, err.Error(), string(c.want))
		reply, ok := m.ErrorReply()
		assert.Equal(t, c.reply != "", ok, c.in)
		if ok {
			out := string(reply.Append(nil))
			assert.True(t, strings.HasPrefix(out, c.reply), out)
			assert.Contains(t, out, "<"+string(c.want)+" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>")
		}
	}
	_, ok := (&MalformedError{Kind: "other", From: "m@x"}).ErrorReply()
	assert.False(t, ok)
}

func TestStanzaReplies(t *testing.T) {
	e := *NewStanzaError(ConditionItemNotFound, "who?")
	m := (&Message{From: mira, To: otto, ID: "1", Type: MessageChat, Bodies: []LangText{{"", "x"}}}).ErrorReply(e)
	assert.Equal(t, &Message{From: otto, To: mira, ID: "1", Type: MessageError, Error: &e}, m)
	p := (&Presence{From: mira, To: otto, Type: PresenceSubscribe}).ErrorReply(e)
	assert.Equal(t, &Presence{From: otto, To: mira, Type: PresenceError, Error: &e}, p)
	request := &IQ{From: mira, To: otto, ID: "2", Type: IQGet, Payload: NewElement(NSPing, "ping")}
	assert.True(t, request.IsRequest())
	assert.Equal(t, &IQ{From: otto, To: mira, ID: "2", Type: IQError, Error: &e}, request.ErrorReply(e))
	assert.Equal(t, &IQ{From: otto, To: mira, ID: "2", Type: IQResult}, request.Result(nil))
	assert.False(t, request.Result(nil).IsRequest())
	assert.Equal(t, `<iq from='otto@sip.harbor.example' to='mira@chat.harbor.example/desk' id='2' type='result'/>`,
		string(request.Result(nil).Append(nil)))
}

func TestStanzaAppendEscapes(t *testing.T) {
	from, err := NewJID("m", "x.example", `a'b<&">`)
	require.NoError(t, err)
	m := &Message{From: from, ID: "'1'", Bodies: []LangText{{"", "a\x00<b>"}}}
	assert.Equal(t, `<message from='m@x.example/a&apos;b&lt;&amp;&quot;&gt;' id='&apos;1&apos;'><body>a`+"\ufffd"+`&lt;b&gt;</body></message>`,
		string(m.Append(nil)))
	assert.Equal(t, "x<presence/>", string((&Presence{}).Append([]byte("x"))))
	assert.Equal(t, "<message><body/></message>", string((&Message{Type: MessageNormal, Bodies: []LangText{{}}}).Append(nil)))
}

func TestConditions(t *testing.T) {
	assert.Len(t, AllConditions, 22)
	for _, c := range AllConditions {
		assert.True(t, c.DefaultType().known())
		e := NewStanzaError(c, "")
		assert.Equal(t, e, ParseStanzaError(e.Element(NSClient)))
	}
	assert.Equal(t, ErrorCancel, Condition("no-such").DefaultType())
}

func TestStanzaError(t *testing.T) {
	for _, c := range []struct {
		in   string
		want StanzaError
	}{
		{`<error/>`, StanzaError{Type: ErrorCancel, Condition: ConditionUndefinedCondition}},
		{
			`<error type='strange'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`,
			StanzaError{Type: ErrorAuth, Condition: ConditionForbidden},
		},
		{
			`<error type='wait' by='x.example' code='500'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone>` +
				`<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>moved</text><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='de'>weg</text><x xmlns='u'/><y xmlns='v'/></error>`,
			StanzaError{ErrorWait, ConditionGone, "moved", "en", MustJID("x.example"), "xmpp:a@b", NewElement("u", "x")},
		},
		{
			`<error type='cancel' by='@'><no-such xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>text</conflict><own/></error>`,
			StanzaError{Type: ErrorCancel, Condition: ConditionConflict},
		},
	} {
		e, err := ParseElement([]byte(c.in))
		require.NoError(t, err)
		got := ParseStanzaError(e)
		assert.Equal(t, &c.want, got, c.in)
		assert.Equal(t, got, ParseStanzaError(got.Element("")))
	}
	assert.EqualError(t, &StanzaError{}, "xmpp: stanza error undefined-condition")
	assert.EqualError(t, NewStanzaError(ConditionGone, "moved"), "xmpp: stanza error gone: moved")
	assert.Equal(t, `<error type='cancel'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`,
		(&StanzaError{}).Element("").String())
	var target *StanzaError
	assert.True(t, errors.As(error(NewStanzaError(ConditionGone, "")), &target))
}

// stanzas draws stanzas that survive a round trip.
func stanzas() *rapid.Generator[Stanza] {
	jid := rapid.Map(rapid.SampledFrom([]string{"", "mira@x.example/a'b", "x.example", "jürgen@bücher.example"}), func(s string) JID {
		if s == "" {
			return JID{}
		}
		return MustJID(s)
	})
	str := rapid.SampledFrom([]string{"", "a", "<'\"&>", "é\n😀"})
	lang := rapid.SampledFrom([]string{"", "de", "en-GB"})
	texts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) LangText {
		return LangText{lang.Draw(t, "lang"), str.Draw(t, "text")}
	}), 0, 3)
	some := func(t *rapid.T, n int) (list []*Element) {
		for range rapid.IntRange(0, n).Draw(t, "extensions") {
			e := elements().Draw(t, "extension")
			if e.Name.Space == NSClient {
				e.Name.Local = "x" + e.Name.Local
			}
			list = append(list, e)
		}
		return list
	}
	stanzaError := func(t *rapid.T) *StanzaError {
		e := NewStanzaError(rapid.SampledFrom(AllConditions).Draw(t, "condition"), str.Draw(t, "text"))
		if e.Text != "" {
			e.Lang = lang.Draw(t, "lang")
		}
		e.By = jid.Draw(t, "by")
		return e
	}
	nilIfEmpty := func(l []LangText) []LangText {
		if len(l) == 0 {
			return nil
		}
		return l
	}
	return rapid.Custom(func(t *rapid.T) Stanza {
		from, to, id, l := jid.Draw(t, "from"), jid.Draw(t, "to"), str.Draw(t, "id"), lang.Draw(t, "lang")
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			m := &Message{
				From: from, To: to, ID: id, Lang: l, Extensions: some(t, 3),
				Subjects: nilIfEmpty(texts.Draw(t, "subjects")), Bodies: nilIfEmpty(texts.Draw(t, "bodies")), Thread: str.Draw(t, "thread"),
			}
			m.Type = rapid.SampledFrom([]MessageType{MessageNormal, MessageChat, MessageGroupchat, MessageHeadline, MessageError}).Draw(t, "type")
			if m.Thread != "" {
				m.ParentThread = str.Draw(t, "parent")
			}
			if m.IsError() {
				m.Error = stanzaError(t)
			}
			return m
		case 1:
			p := &Presence{From: from, To: to, ID: id, Lang: l, Extensions: some(t, 3), Statuses: nilIfEmpty(texts.Draw(t, "statuses"))}
			p.Type = rapid.SampledFrom([]PresenceType{PresenceAvailable, PresenceUnavailable, PresenceProbe, PresenceSubscribe, PresenceError}).Draw(t, "type")
			p.Show = rapid.SampledFrom([]Show{ShowNone, ShowAway, ShowChat, ShowDND, ShowXA}).Draw(t, "show")
			p.Priority = rapid.Int8().Draw(t, "priority")
			if p.IsError() {
				p.Error = stanzaError(t)
			}
			return p
		}
		iq := &IQ{From: from, To: to, ID: "i" + id, Lang: l}
		iq.Type = rapid.SampledFrom([]IQType{IQGet, IQSet, IQResult, IQError}).Draw(t, "type")
		if e := some(t, 1); len(e) > 0 || iq.IsRequest() {
			iq.Payload = NewElement(NSPing, "ping")
			if len(e) > 0 {
				iq.Payload = e[0]
			}
		}
		if iq.IsError() {
			iq.Error = stanzaError(t)
		}
		return iq
	})
}

// Append, Element and the two ways of reading agree.
func TestStanzaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stanzas().Draw(t, "stanza")
		out := s.Append(nil)
		got, err := ReadStanza(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if d := cmp.Diff(s, got, cmp.Comparer(func(a, b JID) bool { return a == b })); d != "" {
			t.Fatalf("%s:\n%s", out, d)
		}
		if e := string(s.Element().Append(nil, NSClient)); e != string(out) {
			t.Fatalf("%s\n%s", out, e)
		}
		got, err = ParseStanza(s.Element())
		if err != nil || string(got.Append(nil)) != string(out) {
			t.Fatalf("%s: %v", out, err)
		}
	})
}

func FuzzParseStanza(f *testing.F) {
	for _, s := range []string{
		sample, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "<presence><priority>-1</priority></presence>",
		"<message type='error'><error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>x</gone></error></message>",
		"<message xmlns='jabber:server' from='a@b' to='@'/>", "<iq type='error' id='1'><a/><error/><b/></iq>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadStanza(data)
		var m *MalformedError
		if errors.As(err, &m) {
			if reply, ok := m.ErrorReply(); ok {
				if _, err := ReadStanza(reply.Append(nil)); err != nil {
					t.Fatalf("%q: reply %q: %v", data, reply.Append(nil), err)
				}
			}
			return
		}
		if err != nil {
			return
		}
		out := s.Append(nil)
		again, err := ReadStanza(out)
		if err != nil {
			t.Fatalf("%q -> %q: %v", data, out, err)
		}
		if string(again.Append(nil)) != string(out) {
			t.Fatalf("%q -> %q -> %q", data, out, again.Append(nil))
		}
	})
}

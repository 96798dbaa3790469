package sip

import (
	"bytes"
	"strings"
	"testing"
	"time"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func mustURI(t testing.TB, s string) URI {
	t.Helper()
	u, err := ParseURI(s)
	require.NoError(t, err)
	return u
}

func testRequest(t testing.TB) *Request {
	req := NewRequest(MESSAGE, mustURI(t, "sip:otto@voice.example"))
	SetDialogHeaders(req, NameAddr{Display: `Mira "M" Ö`, URI: mustURI(t, "sip:mira@chat.example")}, NameAddr{URI: mustURI(t, "sip:otto@voice.example")}, "abc@gw.example", 7)
	SetMaxForwards(req, 69)
	require.NoError(t, SetBody(req, "text/plain;charset=UTF-8", []byte("Grüße")))
	return req
}

func TestRequestWire(t *testing.T) {
	req := testRequest(t)
	require.NoError(t, Add(req, "X-Note", "a\tb"))
	require.NoError(t, Validate(req))
	b, err := AppendMessage(nil, req)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(`MESSAGE sip:otto@voice.example SIP/2.0
From: "Mira \"M\" Ö" <sip:mira@chat.example>;tag=`+FromTag(req)+`
To: <sip:otto@voice.example>
Call-ID: abc@gw.example
CSeq: 7 MESSAGE
Max-Forwards: 69
Content-Type: text/plain;charset=UTF-8
Content-Length: 7
X-Note: a	b

Grüße`, "\n", "\r\n"), string(b))

	msg, err := ParseMessage(b)
	require.NoError(t, err)
	from, err := FromOf(msg)
	require.NoError(t, err)
	require.Equal(t, `Mira "M" Ö`, from.Display)
	require.Equal(t, []byte("Grüße"), msg.Body())
	require.Equal(t, "text/plain;charset=UTF-8", ContentType(msg))
	require.True(t, MediaTypeIs(ContentType(msg), "TEXT/plain"))
	require.False(t, MediaTypeIs(ContentType(msg), "text/html"))

	// The tag is derived from the Call-ID: the same request is built twice alike.
	again, err := AppendMessage(nil, testRequest(t))
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(b, again[:bytes.Index(again, []byte("Content-Length"))]))
}

func TestNewResponse(t *testing.T) {
	msg, err := ParseMessage(crlf(`
INVITE sip:otto@voice.example SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport=5060;received=192.0.2.9, SIP/2.0/TCP p.example;branch=z9hG4bK0
v: SIP/2.0/UDP q.example;branch=z9hG4bK00
Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>
Max-Forwards: 70
From: "A \"q\" B" <sip:a@h.example>;x="p q";tag=1
t: <sip:otto@voice.example>
i: c1
CSeq: 1 INVITE
Timestamp: 54
Subject: not copied
Content-Length: 0

`))
	require.NoError(t, err)
	req := msg.(*Request)
	evil := siplib.NewHeader("X-Bad", "a\r\nX-Evil: 1")
	res := NewResponse(req, Status{Code: 183, Reason: "One\r\nTwo", RetryAfter: 1500 * time.Millisecond, Headers: []Header{evil, MustHeader("X-Good", "1")}}, "tt")
	b, err := AppendMessage(nil, res)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(`SIP/2.0 183 One  Two
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport=5060;received=192.0.2.9
Via: SIP/2.0/TCP p.example;branch=z9hG4bK0
Via: SIP/2.0/UDP q.example;branch=z9hG4bK00
Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>
From: "A \"q\" B" <sip:a@h.example>;x="p q";tag=1
To: <sip:otto@voice.example>;tag=tt
Call-ID: c1
CSeq: 1 INVITE
X-Good: 1
Retry-After: 2
Content-Length: 0

`, "\n", "\r\n"), string(b))
	require.NoError(t, Validate(res))
	require.Empty(t, ToTag(req), "the request keeps its To")

	trying := NewResponse(req, Status{Code: 100}, "tt")
	require.Empty(t, ToTag(trying))
	require.Equal(t, "54", Value(trying, "timestamp"))
	require.Empty(t, Values(NewResponse(req, Status{Code: 486}, "x"), "Record-Route"))

	st := StatusOf(res)
	require.Equal(t, 183, st.Code)
	require.Equal(t, 2*time.Second, st.RetryAfter)
	require.Len(t, st.Headers, 1)
	require.EqualError(t, Status{Code: 404}, "404 Not Found")
	require.Equal(t, "Bad Request", Text(499))
	require.Equal(t, "Unknown", Text(999))
}

func TestSetAndRemove(t *testing.T) {
	msg, err := ParseMessage(crlf(`
MESSAGE sip:a@h SIP/2.0
s: one
Subject: two
m: <sip:a@h>
Contact: <sip:b@h>, <sip:c@h>
k: path, gruu
Supported: 100rel
Content-Length: 0

`))
	require.NoError(t, err)
	req := msg.(*Request)
	require.Equal(t, []string{"one", "two"}, Values(req, "subject"))
	require.Equal(t, []string{"path", "gruu", "100rel"}, Tokens(req, "Supported"))
	require.True(t, HasToken(req, "supported", "GRUU"))
	contacts, star, err := Contacts(req)
	require.NoError(t, err)
	require.False(t, star)
	require.Len(t, contacts, 3)
	Set(req, MustHeader("Subject", "three"))
	require.Equal(t, []string{"three"}, Values(req, "s"))
	Remove(req, "Contact")
	require.Empty(t, Values(req, "Contact"))
	SetContact(req, NameAddr{URI: mustURI(t, "sip:d@h")})
	require.Equal(t, "<sip:d@h>", Value(req, "m"))
	SetMaxForwards(req, 999)
	require.Equal(t, 255, MaxForwards(req))
	SetMaxForwards(req, 3)
	require.Equal(t, 3, MaxForwards(req))
	require.NoError(t, SetBody(req, "text/plain", []byte("x")))
	require.NoError(t, SetBody(req, "", nil))
	require.Empty(t, ContentType(req))
	require.ErrorIs(t, SetBody(req, "text/plain\r\nX: y", nil), ErrHeader)
	Set(req, MustHeader("Contact", "*"))
	_, star, err = Contacts(req)
	require.NoError(t, err)
	require.True(t, star)
}

func TestNewHeaderRefuses(t *testing.T) {
	for _, h := range [][2]string{
		{"", "x"}, {"A B", "x"}, {"A:", "x"}, {"A\r\n", "x"}, {"A", "x\r\nB: y"}, {"A", "x\ny"}, {"A", "\x00"}, {"A", "\x7f"},
	} {
		_, err := NewHeader(h[0], h[1])
		require.ErrorIs(t, err, ErrHeader, "%q", h)
	}
	_, err := NewHeader("Subject", "Grüße\tund \"mehr\"")
	require.NoError(t, err)
}

// Nothing that a remote user chooses can become a header of its own.
func TestInjection(t *testing.T) {
	const evil = "x\"<sip:e@e>\\\r\nX-Evil: 1\r\n\r\nbody\x00"
	req := NewRequest(MESSAGE, URI{Scheme: "sip", User: EscapeUser("a@b\r\nX-Evil: 1"), Host: "h.example"})
	SetDialogHeaders(req,
		NameAddr{Display: evil, URI: URI{Scheme: "sip", User: evil, Password: evil, Host: "h.example" + evil, Params: Params{{evil, evil}}, Headers: Params{{evil, evil}}}, Params: Params{{"x" + evil, evil}}},
		NameAddr{Display: evil, URI: URI{Scheme: "tel", User: evil}}, evil, 1)
	SetContact(req, NameAddr{Display: evil, URI: URI{Scheme: "urn", User: evil}})
	require.NoError(t, Add(req, "Reason", Reason{Protocol: evil, Cause: 1, Text: evil}.String()))
	b, err := AppendMessage(nil, req)
	require.NoError(t, err)
	require.NotContains(t, string(b), "\r\nX-Evil")
	require.Equal(t, 7+2, strings.Count(string(b), "\r\n"), "%s", b)
	require.NoError(t, Validate(req))

	// What does not come through our constructors is stopped at the end.
	for name, spoil := range map[string]func(*Request){
		"method":      func(r *Request) { r.Method = "MESSAGE\r\nX: y" },
		"uri user":    func(r *Request) { r.Recipient.User = "a\r\nX: y" },
		"uri space":   func(r *Request) { r.Recipient.User = "a b" },
		"uri host":    func(r *Request) { r.Recipient.Host = "h\r\n\r\n" },
		"uri bracket": func(r *Request) { r.Recipient.Host = "h>" },
		"display":     func(r *Request) { r.From().DisplayName = "a\"\r\nX: y" },
		"quote":       func(r *Request) { r.From().DisplayName = `a" <sip:eve@evil.example>, "` },
		"backslash":   func(r *Request) { r.From().DisplayName = `a\` },
		"param":       func(r *Request) { r.To().Params = siplib.HeaderParams{{K: "a", V: "b\nc"}} },
		"value":       func(r *Request) { r.AppendHeader(siplib.NewHeader("A", "b\rc")) },
		"name":        func(r *Request) { r.AppendHeader(siplib.NewHeader("A\r\nB", "c")) },
		"name space":  func(r *Request) { r.AppendHeader(siplib.NewHeader("A B", "c")) },
		"length":      func(r *Request) { n := siplib.ContentLengthHeader(99); r.ReplaceHeader(&n) },
		"two lengths": func(r *Request) { n := siplib.ContentLengthHeader(len(r.Body())); r.AppendHeader(&n) },
		"head":        func(r *Request) { r.AppendHeader(siplib.NewHeader("A", strings.Repeat("x", maxHead))) },
	} {
		req := testRequest(t)
		spoil(req)
		require.ErrorIs(t, Validate(req), ErrInvalid, name)
		b, err := AppendMessage([]byte("before"), req)
		require.ErrorIs(t, err, ErrInvalid, name)
		require.Equal(t, "before", string(b), name)
	}
	for name, spoil := range map[string]func(*Request){
		"from":     func(r *Request) { Remove(r, "From") },
		"from tag": func(r *Request) { r.From().Params = nil },
		"to":       func(r *Request) { Remove(r, "To") },
		"call-id":  func(r *Request) { Remove(r, "Call-ID") },
		"cseq":     func(r *Request) { Remove(r, "CSeq") },
		"method":   func(r *Request) { SetCSeq(r, 1, INVITE) },
		"size":     func(r *Request) { r.SetBody(make([]byte, MaxMessage)) },
	} {
		req := testRequest(t)
		spoil(req)
		require.ErrorIs(t, Validate(req), ErrInvalid, name)
	}
}

func TestReasons(t *testing.T) {
	for text, want := range map[string][]Reason{
		`SIP ;cause=200 ;text="Call completed elsewhere"`: {{"SIP", 200, "Call completed elsewhere"}},
		`Q.850;cause=16;text="a, \"b\"", SIP;cause=486`:   {{"Q.850", 16, `a, "b"`}, {"SIP", 486, ""}},
		`preemption`: {{Protocol: "preemption"}},
	} {
		got, err := ParseReasons(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := ParseReasons(got[0].String())
		require.NoError(t, err)
		require.Equal(t, got[:1], again)
	}
	for _, bad := range []string{"", ";cause=1", "SIP;cause=x", `SIP;text="`} {
		_, err := ParseReasons(bad)
		require.ErrorIs(t, err, ErrReason, bad)
	}
	req := testRequest(t)
	require.NoError(t, Add(req, "Reason", "SIP;cause=487"))
	require.NoError(t, Add(req, "Reason", "=broken"))
	require.Equal(t, []Reason{{"SIP", 487, ""}}, Reasons(req))
}

func TestParseAuth(t *testing.T) {
	scheme, p, err := ParseAuth(`Digest  realm="a \"b\", c" ,nonce=abc, qop="auth,auth-int",algorithm=MD5,,stale=TRUE`)
	require.NoError(t, err)
	require.Equal(t, "Digest", scheme)
	require.Equal(t, Params{{"realm", `a "b", c`}, {"nonce", "abc"}, {"qop", "auth,auth-int"}, {"algorithm", "MD5"}, {"stale", "TRUE"}}, p)
	for _, bad := range []string{"", "Digest realm", "Digest =x", `Digest a="`, `Digest a="b"c=d`, `Digest "a"=b`} {
		_, _, err := ParseAuth(bad)
		require.ErrorIs(t, err, ErrAuth, bad)
	}
}

func TestIdentityHelpers(t *testing.T) {
	req := testRequest(t)
	_, ok := AssertedIdentity(req)
	require.False(t, ok)
	require.NoError(t, Add(req, "P-Asserted-Identity", `<tel:+49301>, "M" <sip:+49301@carrier.example>`))
	n, ok := AssertedIdentity(req)
	require.True(t, ok)
	require.Equal(t, "sip:+49301@carrier.example", n.URI.String())

	require.Nil(t, RefuseSIPS(req))
	SetTo(req, NameAddr{URI: mustURI(t, "sips:otto@voice.example")})
	require.Equal(t, 416, RefuseSIPS(req).Code)
	req = NewRequest(MESSAGE, mustURI(t, "sips:otto@voice.example"))
	require.Equal(t, 416, RefuseSIPS(req).Code)
	_, err := FromOf(req)
	require.ErrorIs(t, err, ErrNameAddr)
	_, err = ToOf(req)
	require.ErrorIs(t, err, ErrNameAddr)
}

func TestRetryAfter(t *testing.T) {
	for v, want := range map[string]time.Duration{"5": 5 * time.Second, " 120;duration=3600": 2 * time.Minute, "18000 (busy)": 5 * time.Hour} {
		d, ok := ParseRetryAfter(v)
		require.True(t, ok)
		require.Equal(t, want, d)
	}
	for _, v := range []string{"", "x", "-1", "99999999999"} {
		_, ok := ParseRetryAfter(v)
		require.False(t, ok, v)
	}
}

// Any message that AppendMessage accepts reads back with the same headers.
func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		req := testRequest(t)
		for range rapid.IntRange(0, 5).Draw(rt, "headers") {
			req.AppendHeader(siplib.NewHeader(rapid.StringMatching(`X-[A-Za-z0-9-]{1,8}`).Draw(rt, "name"), rapid.String().Draw(rt, "value")))
		}
		body := []byte(rapid.String().Draw(rt, "body"))
		_ = SetBody(req, "text/plain", body)
		b, err := AppendMessage(nil, req)
		if err != nil {
			return
		}
		msg, err := ParseMessage(b)
		if err != nil {
			rt.Fatalf("%q: %v", b, err)
		}
		got := msg.(*Request).Headers()
		if len(got) != len(req.Headers()) {
			rt.Fatalf("%q has %d headers, was built with %d", b, len(got), len(req.Headers()))
		}
		for i, h := range req.Headers() {
			if got[i].Name() != h.Name() || strings.TrimSpace(got[i].Value()) != strings.TrimSpace(h.Value()) {
				rt.Fatalf("%q became %q", h.String(), got[i].String())
			}
		}
		if !bytes.Equal(msg.Body(), body) {
			rt.Fatalf("body %q became %q", body, msg.Body())
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	f.Add(crlf("OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>\nCall-ID: x\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n"))
	f.Add(crlf("SIP/2.0 200 OK\nv: SIP / 2.0 / UDP h : 5060 ; branch = x\nf: a <sip:a@b>;x=\"p q\"\nt: sip:c@d;tag=2\ni: x\nCSeq: 1\tINVITE\nl: 3\n\nabc"))
	f.Add([]byte("INVITE <sip:a@b> SIP/2.0\r\nVia: SIP/2.0/UDP [::1]:5;rport\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		msg, err := ParseMessage(raw)
		if msg == nil {
			if err == nil {
				t.Fatal("neither message nor error")
			}
			return
		}
		switch m := msg.(type) {
		case *Request:
			st := CheckRequest(m, "path")
			if st == nil {
				st = &Status{Code: 200}
			}
			RefuseSIPS(m)
			_, _ = FromOf(m)
			_, _, _ = Contacts(m)
			_, _ = AssertedIdentity(m)
			b, err := AppendMessage(nil, NewResponse(m, *st, "tag"))
			if err != nil {
				if st.Code == 200 && m.Method != ACK && m.Method != CANCEL {
					t.Fatalf("no answer can be written: %v", err)
				}
				return
			}
			back, err := ParseMessage(b)
			if err != nil {
				t.Fatalf("own answer %q: %v", b, err)
			}
			if res := back.(*Response); res.StatusCode != st.Code {
				t.Fatalf("own answer %q", b)
			}
		case *Response:
			_ = CheckResponse(m)
			_ = StatusOf(m)
		}
	})
}

package siptest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const sample = "MESSAGE sip:otto@127.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKabcd;rport\r\n" +
	"Max-Forwards: 70\r\nf: \"O, \\\"T\\\" <x>\" <sip:mira@example.org>;tag=a1\r\nt: <sip:otto@127.0.0.1>\r\n" +
	"i: abc@siptest\r\nCSeq: 1 MESSAGE\r\nc: text/plain\r\nl: 2\r\n\r\nhi"

func TestParse(t *testing.T) {
	m, faults, err := Parse([]byte(sample))
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Equal(t, "hi", string(m.Body))
	require.Equal(t, "a1", m.Tag("From"))
	require.Equal(t, "sip:mira@example.org", m.URI("From"))
	require.Equal(t, "z9hG4bKabcd", m.Branch())
	require.Equal(t, "text/plain", m.Get("content-type"))
	require.Len(t, m.List("From"), 1)

	for _, tc := range []struct{ name, old, new, want string }{
		{"smuggled line", "CSeq: 1", "Subject: x\rX-Evil: 1\r\nCSeq: 1", "stands alone"},
		{"lone LF", "CSeq: 1", "Subject: x\nX-Evil: 1\r\nCSeq: 1", "stands alone"},
		{"short length", "l: 2", "l: 1", "Content-Length is 1"},
		{"long length", "l: 2", "l: 3", "Content-Length is 3"},
		{"no length", "l: 2\r\n", "", "no Content-Length"},
		{"bad length", "l: 2", "l: two", "no number"},
		{"two lengths", "l: 2", "l: 2\r\nContent-Length: 2", "stands 2 times"},
		{"folded", "Max-Forwards: 70", "Max-Forwards:\r\n 70", "folded"},
		{"control", "abc@", "a\x01c@", "control character"},
		{"latin-1", "abc@", "a\xe9c@", "not UTF-8"},
		{"no colon", "CSeq: 1", "nonsense\r\nCSeq: 1", "without a colon"},
		{"name", "CSeq: 1", "My Header: 1\r\nCSeq: 1", "no token"},
	} {
		_, faults, err := Parse([]byte(strings.Replace(sample, tc.old, tc.new, 1)))
		require.NoError(t, err, tc.name)
		require.Contains(t, strings.Join(faults, "\n"), tc.want, tc.name)
	}
	for _, bad := range []string{
		"", "\r\n\r\n", "MESSAGE sip:x\r\n\r\n", "SIP/2.0 42 x\r\n\r\n", "MESSAGE  sip:x SIP/2.0\r\n\r\n",
		"M sip:x SIP/3.0\r\n\r\n", "MESSAGE sip:x SIP/2.0\r\nA: b\r\n",
	} {
		_, _, err := Parse([]byte(bad))
		require.ErrorIs(t, err, ErrNotSIP, bad)
	}
}

func TestMessageEditing(t *testing.T) {
	m := &Message{Method: "MESSAGE", RequestURI: "sip:x@y"}
	m.Add("t", "<sip:x@y>").Add("Via", "one, two;a=\"b,c\"").Add("Via", "three")
	require.Equal(t, []string{"one", `two;a="b,c"`, "three"}, m.List("via"))
	m.Set("VIA", "four")
	require.Equal(t, []string{"four"}, m.Values("Via"))
	m.setLines([]string{"Subject: a", "Subject: b", "To: <sip:z@y>"})
	require.Equal(t, []string{"a", "b"}, m.Values("Subject"))
	require.Equal(t, "<sip:z@y>", m.Get("To"))
	m.setLines([]string{"Subject:"})
	require.False(t, m.Has("Subject"))
	m.Add("s", "x").Del("subject")
	require.False(t, m.Has("Subject"))
	require.Equal(t, "MESSAGE sip:x@y SIP/2.0\r\nTo: <sip:z@y>\r\nVia: four\r\nContent-Length: 0\r\n\r\n", m.String())
	require.Equal(t, "<no message>", (*Message)(nil).String())
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct{ value, uri, host, port string }{
		{"<sip:a@b:5070;x=y>;tag=1", "sip:a@b:5070;x=y", "b", "5070"},
		{"sip:a@b;tag=1", "sip:a@b", "b", ""},
		{`"<sip:evil@x>" <sip:a@[2001:db8::1]:5060>`, "sip:a@[2001:db8::1]:5060", "2001:db8::1", "5060"},
		{`"a \" <sip:evil@x>" <sips:b>`, "sips:b", "b", ""},
		{"<sip:a", "", "", ""},
	} {
		uri := addrURI(tc.value)
		host, port := uriHost(uri)
		require.Equal(t, []string{tc.uri, tc.host, tc.port}, []string{uri, host, port}, tc.value)
	}
	require.Equal(t, `a"\b`, unquote(quote(`a"\b`)))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, _, err := Parse(raw)
		if err != nil {
			return
		}
		m.Raw = nil
		_ = m.Branch()
		_ = m.Tag("To")
		_ = m.URI("From")
		_, _ = m.CSeq()
		if _, _, err := Parse(m.Bytes()); err != nil {
			t.Fatalf("written message cannot be read: %v\n%q", err, m.Bytes())
		}
		cutMessage(raw)
	})
}

package sip

import (
	"bytes"
	"strings"
	"testing"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// What the quick parsers take, they take as the careful ones do.
func TestPlainFormsAgree(t *testing.T) {
	opts := cmp.Options{cmpopts.IgnoreUnexported(siplib.Uri{}), cmpopts.EquateEmpty()}
	address := rapid.OneOf(
		rapid.StringMatching(`("[A-Za-z äö,<>;=]{0,8}" ?|[A-Z][a-z .]{0,6} ?|)<sips?:([a-z0-9+.;=?&]{1,6}@)?[a-z0-9.-]{1,8}(:[0-9]{1,5})?(;[a-z]{1,4}(=[a-z0-9:%]{0,4})?){0,2}>(;[a-z]{1,4}(=[a-z0-9.:-]{0,5})?){0,3}`),
		rapid.StringMatching(`[a-z"<>@:;= ]{0,12}`),
	)
	via := rapid.OneOf(
		rapid.StringMatching(`SIP/2\.0/(UDP|TCP|TLS|WSS) [a-z0-9.-]{1,10}(:[0-9]{1,5})?(;[a-z]{1,4}(=[a-zA-Z0-9.:+-]{0,6})?){0,4}`),
		rapid.StringMatching(`SIP/2\.0/U?DP [a-z:;=, ]{0,12}`),
	)
	took := 0
	rapid.Check(t, func(t *rapid.T) {
		text := address.Draw(t, "address")
		if d, u, p, ok := plainAddress(text); ok {
			took++
			h, err := libTo(nil, text)
			if err != nil {
				t.Fatalf("%q: sipgo says %v", text, err)
			}
			got := &siplib.ToHeader{DisplayName: d, Address: u, Params: p}
			if diff := cmp.Diff(h, Header(got), opts); diff != "" {
				t.Fatalf("%q: %s", text, diff)
			}
			if _, err := ParseNameAddr(text); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		text = via.Draw(t, "via")
		if v, ok := plainVia(text); ok {
			took++
			h, err := libVia(nil, text)
			if err != nil {
				t.Fatalf("%q: sipgo says %v", text, err)
			}
			if diff := cmp.Diff(h, Header(v), opts); diff != "" {
				t.Fatalf("%q: %s", text, diff)
			}
		}
	})
	if took == 0 {
		t.Fatal("nothing was plain")
	}
}

// samePlain fails when both parsers take raw and differ.
func samePlain(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte,
) (took bool) {
	t.Helper()
	quick, ok := plainMessage(raw, MaxMessage)
	if !ok {
		return false
	}
	if res, ok := quick.(*Response); ok && len(res.Reason) >= 3 && strings.EqualFold(res.Reason[:3], "sip") {
		return true // sipgo takes "SIP/2.0 200 SIP" for a request
	}
	careful, err := defaultParser.ParseSIP(raw)
	if err != nil {
		t.Fatalf("%q: sipgo says %v", raw, err)
	}
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(siplib.Uri{}, siplib.MessageData{}, siplib.Request{}, siplib.Response{})}
	if diff := cmp.Diff(careful, quick, opts); diff != "" {
		t.Fatalf("%q: %s", raw, diff)
	}
	a, b := dataOf(careful), dataOf(quick)
	if len(a.Headers()) != len(b.Headers()) {
		t.Fatalf("%q: %d headers, sipgo has %d", raw, len(b.Headers()), len(a.Headers()))
	}
	for i := range a.Headers() {
		x, y := a.Headers()[i], b.Headers()[i]
		if fieldOf(x) != fieldOf(y) || x.Name() != y.Name() || x.Value() != y.Value() {
			t.Fatalf("%q: %q, sipgo has %q", raw, y.String(), x.String())
		}
	}
	if !bytes.Equal(a.Body(), b.Body()) || (a.Body() == nil) != (b.Body() == nil) {
		t.Fatalf("%q: body %q, sipgo has %q", raw, b.Body(), a.Body())
	}
	if careful.Via() != nil && careful.Via().Value() != quick.Via().Value() || CallID(careful) != CallID(quick) {
		t.Fatalf("%q: the references differ", raw)
	}
	return true
}

func plainSeeds(t testing.TB) [][]byte {
	req := testRequest(t)
	wire, err := AppendMessage(nil, req)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{
		wire,
		crlf("MESSAGE sip:a@b.example;lr SIP/2.0\nVia: SIP/2.0/UDP h:5070;branch=z9hG4bK1;rport\nVia: SIP/2.0/TCP i\nMax-Forwards: 70\nFrom: A b <sip:a@b>;tag=1\nTo: \"C\" <sips:c@d:5061>\nCall-ID: x@y\nCSeq: 1 MESSAGE\nX-A: b\nContent-Type: text/plain\nContent-Length: 3\n\nabc"),
		crlf("SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=x;received=192.0.2.1\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nRecord-Route: <sip:p;lr>\nContent-Length: 0\n\n"),
	}
}

func TestPlainMessage(t *testing.T) {
	for _, raw := range plainSeeds(t)[1:] {
		if !samePlain(t, raw) {
			t.Fatalf("%q is plain", raw)
		}
	}
	for _, change := range [][2]string{
		{"\r\nX-A: b", "\r\nX-A: b\r\n c"},
		{"Content-Length: 3", "Content-Length: 4"},
		{"Content-Length: 3", "l: 3"},
		{"Content-Length: 3\r\n", ""},
		{"X-A: b", "Content-Length: 3"},
		{"From:", "f:"},
		{"From:", "FROM:"},
		{"MESSAGE sip:a", "message sip:a"},
		{"SIP/2.0\r\n", "SIP/3.0\r\n"},
		{"b.example;lr", "b.example ;lr"},
		{"X-A: b", "X A: b"},
		{"X-A: b", "X-A b"},
		{"X-A: b", "X-A: b\rc"},
		{"X-A: b", "X-A: b\nc"},
		{"z9hG4bK1;rport", "z9hG4bK1,SIP/2.0/UDP x"},
		{"1 MESSAGE", "1MESSAGE"},
		{"Call-ID: x@y", "Call-ID:"},
	} {
		raw := bytes.Replace(plainSeeds(t)[1], []byte(change[0]), []byte(change[1]), 1)
		if _, ok := plainMessage(raw, MaxMessage); ok {
			t.Errorf("%q is taken for plain", raw)
		}
	}
}

func FuzzPlainMessage(f *testing.F) {
	for _, s := range plainSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { samePlain(t, raw) })
}

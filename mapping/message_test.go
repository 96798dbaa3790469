package mapping

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/imdn"
	"github.com/stoxgate/stoxgate/sip/iscomposing"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	mira = xmpp.MustJID("mira@chat.harbor.example/desk")
	otto = xmpp.MustJID("otto@voice.quay.example")
)

func messageContext() MessageContext {
	return MessageContext{
		From: sip.NameAddr{Display: "Mira", URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.harbor.example"}},
		To:   sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "otto", Host: "voice.quay.example"}},
		Host: "gw.harbor.example", Seq: 41, Now: goldenNow,
	}
}

// overTheWire writes a request and reads it back, as the next hop would.
func overTheWire(t interface{ Fatalf(string, ...any) }, r *sip.Request) *sip.Request {
	if err := sip.Validate(r); err != nil {
		t.Fatalf("%v", err)
	}
	wire, err := sip.AppendMessage(nil, r)
	if err != nil {
		t.Fatalf("%v", err)
	}
	msg, err := sip.ParseMessage(wire)
	if err != nil {
		t.Fatalf("%v in %q", err, wire)
	}
	return msg.(*sip.Request)
}

// message -> request -> message keeps body, subject, thread, languages and what was asked for.
func TestMessageRoundTrip(t *testing.T) {
	lang := rapid.SampledFrom([]string{"", "de", "en-GB", "nds"})
	text := rapid.StringOfN(rapid.RuneFrom([]rune("abc XYZ 0189\n\t<>&\"']];:@/\\%~éßж漢👍🏽")), 1, 60, -1).Filter(func(s string) bool { return !isBlank(s) })
	peers := []PeerCaps{
		{},
		{AcceptsCPIM: true, AcceptsIMDN: true},
		{AcceptsMultipart: true},
		{AcceptsCPIM: true, AcceptsIMDN: true, AcceptsMultipart: true, AcceptsHTML: true, AcceptsFileTransfer: true, AcceptsIsComposing: true},
	}
	rapid.Check(t, func(t *rapid.T) {
		c := messageContext()
		c.Peer = rapid.SampledFrom(peers).Draw(t, "peer")
		m := &xmpp.Message{
			From: mira, To: otto, Type: xmpp.MessageChat, Lang: lang.Draw(t, "lang"),
			ID:     rapid.StringN(1, 20, 60).Draw(t, "id"),
			Thread: rapid.StringN(0, 30, 80).Draw(t, "thread"),
			Bodies: []xmpp.LangText{{Text: text.Draw(t, "body")}},
		}
		if s := cleanLine(rapid.StringN(0, 40, -1).Draw(t, "subject"), maxSubject); s != "" {
			m.Subjects = []xmpp.LangText{{Text: s}}
		}
		if c.Peer.AcceptsMultipart && rapid.Bool().Draw(t, "two") {
			m.Lang = "en"
			m.Bodies = []xmpp.LangText{{Lang: "de", Text: text.Draw(t, "other")}, {Lang: "en", Text: m.Bodies[0].Text}}
		}
		receipt := rapid.Bool().Draw(t, "receipt")
		if receipt {
			m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSReceipts, "request"))
		}
		reqs, _, err := MessageToRequests(m, c)
		if err != nil || len(reqs) != 1 {
			t.Fatalf("%d requests, %v", len(reqs), err)
		}
		msgs, loss, err := RequestToMessages(overTheWire(t, reqs[0]), RequestContext{From: mira, To: otto, Type: xmpp.MessageChat, Now: goldenNow})
		if err != nil || len(msgs) != 1 || loss != nil {
			t.Fatalf("%d messages, %q, %v", len(msgs), loss, err)
		}
		got := msgs[0]
		asked := got.Extension(xmpp.NSReceipts, "request") != nil
		if enveloped := receipt && c.Peer.AcceptsCPIM; asked != enveloped {
			t.Fatalf("asked for a receipt: %v", asked)
		} else if !enveloped {
			got.ID = m.ID
		}
		if back := messageIDToStanza(got.ID); back != m.ID {
			t.Fatalf("id %q became %q", m.ID, got.ID)
		}
		got.ID, got.Extensions, m.Extensions = m.ID, nil, nil
		if len(got.Bodies) > 1 {
			m.Lang = "" // every body tells its own
		}
		if d := cmp.Diff(m, got, cmp.Comparer(func(a, b xmpp.JID) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

// The same Seq gives the same bytes; another one gives another request.
func TestDeterminism(t *testing.T) {
	m := &xmpp.Message{From: mira, To: otto, ID: "m-1", Type: xmpp.MessageChat, Bodies: []xmpp.LangText{{Text: "hi"}}}
	wire := func(seq uint64, id string) string {
		c := messageContext()
		c.Seq = seq
		m.ID = id
		reqs, _, err := MessageToRequests(m, c)
		if err != nil {
			t.Fatal(err)
		}
		b, err := sip.AppendMessage(nil, reqs[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if first, again := wire(7, "m-1"), wire(7, "m-1"); first != again {
		t.Error("not the same")
	}
	if wire(7, "m-1") == wire(8, "m-1") || wire(7, "m-1") == wire(7, "m-2") {
		t.Error("not another")
	}
	// CSeq stays in its range (RFC 3261 §8.1.1.5) and grows with Seq inside a thread.
	m.Thread = "t"
	var last uint32
	for _, seq := range []uint64{0, 1, 2, 1 << 20, 1<<25 - 1} {
		c := messageContext()
		c.Seq = seq
		reqs, _, _ := MessageToRequests(m, c)
		n, _ := sip.CSeq(reqs[0])
		if n <= last || n >= 1<<31 {
			t.Errorf("Seq %d: CSeq %d after %d", seq, n, last)
		}
		last = n
	}
	c := messageContext()
	c.Seq = 1<<64 - 1
	if _, _, err := MessageToRequests(m, c); err != nil {
		t.Error(err)
	}
}

func TestInputIsNotChanged(t *testing.T) {
	m := &xmpp.Message{
		From: mira, To: otto, ID: "m-1", Type: xmpp.MessageChat, Lang: "en",
		Bodies:     []xmpp.LangText{{Lang: "en", Text: "one https://x.example/a.jpg"}, {Lang: "de", Text: "eins"}},
		Extensions: []*xmpp.Element{xmpp.NewElement(xmpp.NSCorrect, "replace"), xmpp.NewElement(xmpp.NSOOB, "x").Add(xmpp.NewElement(xmpp.NSOOB, "url").AddText("https://x.example/a.jpg"))},
	}
	before := m.Append(nil)
	for _, p := range []PeerCaps{{}, {AcceptsMultipart: true}, {AcceptsFileTransfer: true}, {ShortText: 20}} {
		c := messageContext()
		c.Peer = p
		if _, _, err := MessageToRequests(m, c); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, m.Append(nil)) {
			t.Fatal("the stanza was changed")
		}
	}
}

// Whatever stands in a stanza, it stays in the field that it belongs to.
func TestInjectionToSIP(t *testing.T) {
	evil := "x\r\nX-Evil: 1\r\n\r\nbody\x00\x1b\u0085\u2028\" <sip:evil@evil>;tag=evil ]]> &a; \\"
	m := &xmpp.Message{
		From: mira, To: otto, ID: evil, Type: xmpp.MessageChat, Lang: evil, Thread: evil, ParentThread: evil,
		Subjects: []xmpp.LangText{{Lang: evil, Text: evil}, {Lang: "de", Text: evil}}, Bodies: []xmpp.LangText{{Lang: evil, Text: evil}, {Lang: "de", Text: evil}},
		Extensions: []*xmpp.Element{
			xmpp.NewElement(xmpp.NSNick, "nick").AddText(evil),
			xmpp.NewElement(xmpp.NSReceipts, "request"), xmpp.NewElement(xmpp.NSMarkers, "markable"),
			xmpp.NewElement(xmpp.NSReceipts, "received").Set("id", evil),
			xmpp.NewElement(xmpp.NSReactions, "reactions").Add(xmpp.NewElement(xmpp.NSReactions, "reaction").AddText(evil)),
			xmpp.NewElement(xmpp.NSConference, "x").Set("jid", evil).Set("reason", evil),
			xmpp.NewElement(xmpp.NSFileSharing, "file-sharing").Set("disposition", evil).Add(
				xmpp.NewElement(xmpp.NSFileMetadata, "file").Add(xmpp.NewElement(xmpp.NSFileMetadata, "name").AddText(evil), xmpp.NewElement(xmpp.NSFileMetadata, "media-type").AddText(evil)),
				xmpp.NewElement(xmpp.NSFileSharing, "sources").Add(xmpp.NewElement(xmpp.NSURLData, "url-data").Set("target", "https://x.example/"+evil))),
			xmpp.NewElement(xmpp.NSXHTMLIM, "html").Add(xmpp.NewElement(xmpp.NSXHTML, "body").SetNS(xmpp.NSXML, "lang", evil).Add(xmpp.NewElement(xmpp.NSXHTML, "b").AddText(evil))),
			xmpp.NewElement(xmpp.NSSHIM, "headers").Add(xmpp.NewElement(xmpp.NSSHIM, "header").Set("name", "Max-Forwards").AddText(evil)),
			xmpp.NewElement(xmpp.NSDelay, "delay").Set("stamp", evil), xmpp.NewElement(xmpp.NSEphemeral, "ephemeral").Set("timer", evil),
		},
	}
	all := PeerCaps{AcceptsCPIM: true, AcceptsIMDN: true, AcceptsIsComposing: true, AcceptsFileTransfer: true, AcceptsHTML: true, AcceptsMultipart: true}
	for _, p := range []PeerCaps{{}, all, {ShortText: 40}, {AcceptsCPIM: true, AcceptsIMDN: true}} {
		c := messageContext()
		c.From.Display, c.To.Display, c.Host, c.Peer = evil, evil, "gw\r\n.example", p
		reqs, _, err := MessageToRequests(m, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reqs {
			got := overTheWire(t, r)
			if sip.Value(got, "X-Evil") != "" || len(got.Headers()) > 12 {
				t.Fatalf("injected: %s", got)
			}
			from, err := sip.FromOf(got)
			if err != nil || from.URI.String() != "sip:mira@chat.harbor.example" || from.Tag() == "evil" {
				t.Fatalf("From %v, %v", from, err)
			}
			msgs, _, err := RequestToMessages(got, RequestContext{From: mira, To: otto, Now: goldenNow})
			if err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			for _, m := range msgs {
				if _, err := xmpp.ReadStanza(m.Append(nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestInjectionToXMPP(t *testing.T) {
	head := strings.Replace(string(requestHead), "sip:otto@", "sip:o%3C%26%22o@", 1)
	for _, body := range []string{
		"Content-Type: text/plain\nSubject: <x/>]]>&a;\nContent-Language: x' y='z\n\n</body><body>]]>&a;<!-- \x00 \xff",
		"Content-Type: message/cpim\n\nFrom: <x><y>\nSubject: \\u0000\\u003c/subject\\u003e\nNS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: <a' b=\"c\">&\nimdn.Disposition-Notification: display\n\nContent-Type: text/plain\n\n]]>",
		"Content-Type: text/html\n\n<p>&lt;/body&gt;]]&gt;<b>\x00",
		"Content-Type: message/imdn+xml\n\n<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>&lt;/received&gt;'\"</message-id><delivery-notification><status><delivered/></status></delivery-notification></imdn>",
		"Content-Type: application/vnd.gsma.rcs-ft-http+xml\n\n<file xmlns='urn:gsma:params:xml:ns:rcs:rcs:fthttp'><file-info type='file'><file-name>&lt;x&gt;&#10;</file-name><data url='https://x/&lt;&#39;&quot;'/></file-info></file>",
	} {
		r := parseRequest(t, head+body+"\n")
		msgs, _, err := RequestToMessages(r, RequestContext{From: otto, To: mira, Now: goldenNow, Component: "sip.harbor.example", Nick: true})
		if err != nil || len(msgs) == 0 {
			t.Errorf("%q: %d messages, %v", body, len(msgs), err)
		}
		for _, m := range msgs {
			s, err := xmpp.ReadStanza(m.Append(nil))
			if err != nil {
				t.Fatalf("%q: %v", m.Append(nil), err)
			}
			got := s.(*xmpp.Message)
			if len(got.Bodies) != len(m.Bodies) || len(got.Extensions) != len(m.Extensions) || got.From != otto {
				t.Fatalf("%q became %q", m.Append(nil), got.Append(nil))
			}
		}
	}
}

const requestHead = `MESSAGE sip:mira@chat.harbor.example SIP/2.0
Via: SIP/2.0/TCP 198.51.100.4:5060;branch=z9hG4bK77
Max-Forwards: 70
From: "Otto" <sip:otto@voice.quay.example>;tag=9fx
To: <sip:mira@chat.harbor.example>
Call-ID: 8Jd0-3@198.51.100.4
CSeq: 7 MESSAGE
`

// Bombs: small messages that would become large or deep.
func TestBombs(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	for range 1 << 10 {
		_, _ = z.Write(make([]byte, 1<<10))
	}
	_ = z.Close()
	deep := "x"
	for i := range 6 {
		b := string(rune('a' + i))
		deep = "--" + b + "\nContent-Type: multipart/mixed;boundary=" + string(rune('a'+i-1)) + "\n\n" + deep + "\n--" + b + "--"
	}
	tests := []struct {
		name, headers, body string
		code                int
	}{
		{"gzip", "Content-Type: text/plain\nContent-Encoding: gzip", zipped.String(), 413},
		{"gzip of nothing", "Content-Type: text/plain\nContent-Encoding: gzip", "hello", 400},
		{"gzip cut off", "Content-Type: text/plain\nContent-Encoding: gzip", zipped.String()[:100], 400},
		{"entities", "Content-Type: message/imdn+xml", `<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>&b;</message-id></imdn>`, 400},
		{"tags", "Content-Type: application/im-iscomposing+xml", strings.Repeat("<a>", 10_000), 400},
		{"html tags", "Content-Type: text/html", strings.Repeat("<b><blockquote>", 4000) + "x", 0},
		{"multipart in multipart", "Content-Type: multipart/mixed;boundary=f", deep, 400},
		{"parts", "Content-Type: multipart/mixed;boundary=b", strings.Repeat("--b\n\nx\n", 100) + "--b--", 400},
		{"base64", "Content-Type: multipart/mixed;boundary=b", "--b\nContent-Transfer-Encoding: base64\n\n!!!\n--b--", 400},
		{"transfer encoding", "Content-Type: multipart/mixed;boundary=b", "--b\nContent-Transfer-Encoding: x-rot13\n\nx\n--b--", 400},
		{"charset in alternative", "Content-Type: multipart/alternative;boundary=b", "--b\nContent-Type: text/plain;charset=utf-7\n\nx\n--b--", 415},
		{"cpim headers", "Content-Type: message/cpim", strings.Repeat("A: b\n", 1000), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := RequestToMessages(parseRequest(t, requestHead+tt.headers+"\n\n"+tt.body+"\n"), RequestContext{From: otto, To: mira, Now: goldenNow})
			var s *sip.Status
			if tt.code == 0 && err == nil {
				return
			}
			if !errors.As(err, &s) || s.Code != tt.code {
				t.Fatalf("%v, want %d", err, tt.code)
			}
		})
	}
}

func TestEncodings(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("Größe"))
	_ = z.Close()
	for name, tt := range map[string]struct{ headers, body, want string }{
		"latin 1":     {"Content-Type: text/plain;charset=iso-8859-1", "Gr\xf6\xdfe", "Größe"},
		"latin 9":     {"Content-Type: text/plain;charset=ISO-8859-15", "\xa4", "€"},
		"windows":     {"Content-Type: text/plain;charset=windows-1252", "\x80", "€"},
		"ascii":       {"Content-Type: text/plain;charset=us-ascii", "abc", "abc"},
		"not ascii":   {"Content-Type: text/plain;charset=us-ascii", "Größe", "Größe"},
		"not utf-8":   {"Content-Type: text/plain", "a\xf6", "a\uFFFD"},
		"gzip":        {"Content-Type: text/plain\nContent-Encoding: gzip", zipped.String(), "Größe"},
		"identity":    {"Content-Type: text/plain\nContent-Encoding: identity", "x", "x"},
		"line ends":   {"Content-Type: text/plain", "a\r\nb\rc\n", "a\nb\nc\n"},
		"odd type":    {"Content-Type: TEXT/Plain; Charset=\"UTF-8\"; format=flowed", "x", "x"},
		"broken type": {"Content-Type: text/plain; =", "x", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			msgs, _, err := RequestToMessages(parseRequest(t, requestHead+tt.headers+"\n\n"+tt.body+"\n"), RequestContext{From: otto, To: mira, Now: goldenNow})
			if err != nil || len(msgs) != 1 || msgs[0].Body() != tt.want {
				t.Fatalf("%+v, %v", msgs, err)
			}
		})
	}
}

func TestReports(t *testing.T) {
	c := messageContext()
	c.Peer = PeerCaps{AcceptsCPIM: true, AcceptsIMDN: true}
	c.Sent = goldenNow.Add(-time.Hour)
	for cond, want := range map[xmpp.Condition]imdn.Status{
		xmpp.ConditionRecipientUnavailable: imdn.Failed, xmpp.ConditionForbidden: imdn.Forbidden, xmpp.ConditionInternalServerError: imdn.Error, "": imdn.Failed,
	} {
		if got := ErrorToIMDN(xmpp.StanzaError{Condition: cond}); got != want {
			t.Errorf("%s: %s", cond, got)
		}
	}
	r, err := ReportToRequest("Msg2BCqcBUWKA", imdn.Delivery, imdn.Failed, c)
	if err != nil {
		t.Fatal(err)
	}
	r = overTheWire(t, r)
	if d := RequestDisposition(r); d.Positive || d.Negative || d.Display || !isMadeID(d.MessageID) {
		t.Errorf("a notification asks for one: %+v", d) // RFC 5438 §7.2.1
	}
	if !strings.Contains(string(r.Body()), "<datetime>2026-05-04T17:22:01Z</datetime>") {
		t.Errorf("%s", r.Body())
	}
	for name, change := range map[string]func(*MessageContext) string{
		"no IMDN":    func(c *MessageContext) string { c.Peer.AcceptsIMDN = false; return "x" },
		"our own id": func(*MessageContext) string { return madeID + "x" },
	} {
		c := c
		id := change(&c)
		if _, err := ReportToRequest(id, imdn.Delivery, imdn.Failed, c); !errors.Is(err, ErrNothing) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, want := range map[string]Disposition{
		"Content-Type: message/cpim\n\nFrom: <a:b>\nNS: x <urn:ietf:params:imdn>\nx.Message-ID: 1\nx.Disposition-Notification: Positive-Delivery;a=b,negative-delivery\nx.Disposition-Notification: display\n\n\n": {MessageID: "1", Positive: true, Negative: true, Display: true},
		"Content-Type: text/plain\n\nx":                                        {},
		"Content-Type: message/cpim\n\nx":                                      {},
		"Content-Type: message/cpim\nContent-Encoding: x\n\nFrom: <a:b>\n\n\n": {},
	} {
		if got := RequestDisposition(parseRequest(t, requestHead+in+"\n")); got != want {
			t.Errorf("%q: %+v", in, got)
		}
	}
	for _, e := range []*xmpp.Element{xmpp.NewElement(xmpp.NSReceipts, "received"), xmpp.NewElement(xmpp.NSReceipts, "request").Set("id", "x"), xmpp.NewElement(xmpp.NSMarkers, "markable").Set("id", "x")} {
		if _, _, _, ok := ReceiptToIMDN(e); ok {
			t.Errorf("%s is a receipt", e)
		}
	}
}

// A receipt finds its message over both crossings, whatever the ids look like.
func TestReceiptRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 30, 200).Draw(t, "id")
		if clean, changed := cleanText(id); changed || clean != id {
			t.Skip("no XML text")
		}
		c := messageContext()
		c.Peer = PeerCaps{AcceptsCPIM: true, AcceptsIMDN: true}
		m := &xmpp.Message{From: mira, To: otto, ID: id, Type: xmpp.MessageChat, Bodies: []xmpp.LangText{{Text: "hi"}}, Extensions: []*xmpp.Element{xmpp.NewElement(xmpp.NSReceipts, "request")}}
		reqs, _, err := MessageToRequests(m, c)
		if err != nil {
			t.Fatal(err)
		}
		// The phone answers with the id it saw.
		seen := RequestDisposition(overTheWire(t, reqs[0])).MessageID
		body := imdn.Document{MessageID: seen, DateTime: goldenNow, Kind: imdn.Display, Status: imdn.Displayed}.String()
		r := overTheWire(t, reqs[0])
		if err := sip.SetBody(r, imdn.ContentType, []byte(body)); err != nil {
			t.Fatal(err)
		}
		msgs, loss, err := RequestToMessages(overTheWire(t, r), RequestContext{From: otto, To: mira, Now: goldenNow})
		if err != nil || len(msgs) != 1 || msgs[0].Extension(xmpp.NSMarkers, "displayed").Attribute("id") != id {
			t.Fatalf("%q: %+v, %q, %v", id, msgs, loss, err)
		}
	})
}

func TestHops(t *testing.T) {
	m := &xmpp.Message{From: mira, To: otto, ID: "m", Type: xmpp.MessageChat, Bodies: []xmpp.LangText{{Text: "hi"}}}
	c := messageContext()
	crossings := 0
	for {
		reqs, _, err := MessageToRequests(m, c)
		var e *xmpp.StanzaError
		if errors.As(err, &e) {
			if s := StanzaErrorToStatus(*e, ErrorContext{}); s.Code != 483 {
				t.Fatalf("the loop ended with %d", s.Code)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		crossings++
		msgs, _, err := RequestToMessages(reqs[0], RequestContext{From: mira, To: otto, Now: goldenNow})
		if err != nil {
			t.Fatal(err)
		}
		m = msgs[0]
	}
	if crossings != maxForwards {
		t.Errorf("%d crossings", crossings)
	}
	c.MaxForwards = 3
	reqs, _, err := MessageToRequests(&xmpp.Message{From: mira, To: otto, ID: "m", Bodies: []xmpp.LangText{{Text: "hi"}}}, c)
	if err != nil || sip.MaxForwards(reqs[0]) != 3 {
		t.Error("the caller's count")
	}
}

func TestChatStates(t *testing.T) {
	for state, want := range map[string]iscomposing.State{
		"composing": iscomposing.Active, "active": iscomposing.Idle, "paused": iscomposing.Idle, "inactive": iscomposing.Idle, "gone": iscomposing.Idle,
	} {
		d, ok := ChatStateToComposing(state)
		if !ok || d.State != want || (d.Refresh > 0) != (want == iscomposing.Active) {
			t.Errorf("%s: %+v, %v", state, d, ok)
		}
		if got := ComposingToChatState(d); (got == "composing") != (state == "composing") {
			t.Errorf("%s came back as %s", state, got)
		}
	}
	if _, ok := ChatStateToComposing("dancing"); ok {
		t.Error("unknown state")
	}
}

func TestPeerCapsOf(t *testing.T) {
	got := PeerCapsOf(append(AcceptedTypes(), "application/sdp"))
	if want := (PeerCaps{true, true, true, true, true, true, 0}); got != want {
		t.Errorf("%+v", got)
	}
	if got := PeerCapsOf([]string{"*/*", "text/plain", "Message/CPIM;q=0.5"}); got != (PeerCaps{AcceptsCPIM: true}) {
		t.Errorf("%+v", got)
	}
}

func TestTooManyFiles(t *testing.T) {
	m := &xmpp.Message{From: mira, To: otto, ID: "m", Type: xmpp.MessageChat}
	for i := range 100 {
		u := "https://x.example/" + strings.Repeat("a", i+1) + ".jpg"
		m.Extensions = append(m.Extensions, xmpp.NewElement(xmpp.NSOOB, "x").Add(xmpp.NewElement(xmpp.NSOOB, "url").AddText(u)), xmpp.NewElement(xmpp.NSReceipts, "received").Set("id", u))
	}
	c := messageContext()
	c.Peer = PeerCaps{AcceptsFileTransfer: true, AcceptsIMDN: true}
	_, _, err := MessageToRequests(m, c)
	var e *xmpp.StanzaError
	if !errors.As(err, &e) || e.Condition != xmpp.ConditionPolicyViolation {
		t.Error(err)
	}
}

func FuzzMessageToRequests(f *testing.F) {
	f.Add([]byte("<message from='a@b/c' to='d@e' id='1' type='chat' xml:lang='en'><subject>s</subject><body>b</body><thread>t</thread><request xmlns='urn:xmpp:receipts'/></message>"), 0)
	f.Add([]byte("<message from='a@b/c' to='d@e'><body>b</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><b>b</b></body></html></message>"), 127)
	f.Add([]byte("<message from='a@b/c' to='d@e'><body>https://x/y.jpg</body><x xmlns='jabber:x:oob'><url>https://x/y.jpg</url></x><fallback xmlns='urn:xmpp:fallback:0' for='jabber:x:oob'><body start='2' end='1'/></fallback></message>"), 8)
	f.Fuzz(func(t *testing.T, data []byte, caps int) {
		s, err := xmpp.ReadStanza(data)
		if err != nil {
			return
		}
		m, ok := s.(*xmpp.Message)
		if !ok {
			return
		}
		c := messageContext()
		c.Peer = PeerCaps{caps&1 > 0, caps&2 > 0, caps&4 > 0, caps&8 > 0, caps&16 > 0, caps&32 > 0, caps >> 6}
		reqs, _, err := MessageToRequests(m, c)
		if err == nil && len(reqs) == 0 {
			t.Fatal("neither requests nor an error")
		}
		for _, r := range reqs {
			got := overTheWire(t, r)
			if _, _, err := RequestToMessages(got, RequestContext{From: mira, To: otto, Now: goldenNow}); err != nil {
				t.Fatalf("what we sent we cannot read: %v\n%s", err, got)
			}
		}
	})
}

func FuzzRequestToMessages(f *testing.F) {
	f.Add("text/plain", "", "", []byte("hello"))
	f.Add("message/cpim", "", "", []byte("From: <sip:a@b>\nDateTime: 2026-05-04T18:22:01Z\n\nContent-Type: text/plain\n\nhi"))
	f.Add("multipart/alternative;boundary=b", "", "", []byte("--b\nContent-Type: text/plain\n\nhi\n--b\nContent-Type: text/html\n\n<b>hi</b>\n--b--"))
	f.Add("application/vnd.gsma.rcs-ft-http+xml", "", "", []byte("<file xmlns='urn:gsma:params:xml:ns:rcs:rcs:fthttp'><file-info type='file'><data url='https://x/y'/></file-info></file>"))
	f.Add("text/plain", "gzip", "Mon, 04 May 2026 10:00:00 GMT", []byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, contentType, encoding, date string, body []byte) {
		r := sip.NewRequest(sip.MESSAGE, mustURI(t, "sip:mira@chat.harbor.example"))
		sip.SetCallID(r, "x@y")
		_ = sip.Add(r, "Content-Encoding", encoding)
		_ = sip.Add(r, "Date", date)
		if sip.SetBody(r, contentType, body) != nil {
			return
		}
		msgs, _, err := RequestToMessages(r, RequestContext{From: otto, To: mira, Now: goldenNow, Component: "sip.harbor.example", Nick: true})
		var s *sip.Status
		if err != nil && (!errors.As(err, &s) || s.Code < 400) {
			t.Fatal(err)
		}
		for _, m := range msgs {
			if _, err := xmpp.ReadStanza(m.Append(nil)); err != nil {
				t.Fatalf("%v: %q", err, m.Append(nil))
			}
		}
	})
}

func BenchmarkMessageToRequests(b *testing.B) {
	s, err := xmpp.ReadStanza([]byte("<message from='mira@chat.harbor.example/desk' to='otto@voice.quay.example' id='b6f1a9c2-7d11' type='chat'><body>Which berth tonight?</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><thread>t-9f2</thread></message>"))
	if err != nil {
		b.Fatal(err)
	}
	m := s.(*xmpp.Message)
	c := messageContext()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := MessageToRequests(m, c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessageToRequestsCPIM(b *testing.B) {
	m := &xmpp.Message{From: mira, To: otto, ID: "m-1", Type: xmpp.MessageChat, Bodies: []xmpp.LangText{{Text: "Which berth tonight?"}}, Extensions: []*xmpp.Element{xmpp.NewElement(xmpp.NSReceipts, "request")}}
	c := messageContext()
	c.Peer = PeerCaps{AcceptsCPIM: true, AcceptsIMDN: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := MessageToRequests(m, c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequestToMessages(b *testing.B) {
	r := parseRequest(b, requestHead+"Content-Type: text/plain;charset=UTF-8\n\nWhich berth tonight?\n")
	c := RequestContext{From: otto, To: mira, Now: goldenNow, Type: xmpp.MessageChat, Component: "sip.harbor.example"}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := RequestToMessages(r, c); err != nil {
			b.Fatal(err)
		}
	}
}

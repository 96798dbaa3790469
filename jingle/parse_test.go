package jingle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

var jids = cmp.Comparer(func(a, b xmpp.JID) bool { return a == b })

// read parses XML in which the namespace of Jingle is the default one.
func read(tb testing.TB, xml string) *xmpp.Element {
	tb.Helper()
	e, err := xmpp.ParseElement([]byte(xml))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func number(n uint32) *uint32 { return &n }

// TestValues reads one stanza with a different value in every attribute, so that no two can be mixed up.
func TestValues(t *testing.T) {
	got, err := jingle.Parse(read(t, `
<jingle xmlns='urn:xmpp:jingle:1' action='content-accept' initiator='a@x/1' responder='b@x/2' sid='s1'>
<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='LS'><content name='n1'/><content name='n2'/></group>
<content creator='responder' name='n1' senders='none' disposition='d1'>
<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='m1' ssrc='5'>
<payload-type id='100' name='c1' clockrate='16000' channels='2' ptime='30' maxptime='40'><parameter name='p1' value='v1'/>
<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='t1' subtype='u1'><parameter name='p2' value='v2'/></rtcp-fb>
<rtcp-fb-trr-int xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' value='6'/></payload-type>
<rtcp-mux/><encryption required='true'><crypto tag='7' crypto-suite='c2' key-params='k1' session-params='k2'/></encryption>
<bandwidth type='AS'>8</bandwidth>
<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='t2' subtype='u2'/>
<rtcp-fb-trr-int xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' value='9'/>
<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='10' uri='urn:u' senders='initiator'><parameter name='p3' value='v3'/></rtp-hdrext>
<extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>
<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='11'><parameter name='p4' value='v4'/><parameter name='p5'/></source>
<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='12'/><source ssrc='13'/></ssrc-group>
<category xmlns='urn:xmpp:jingle:apps:category:0' name='sl'/>
</description>
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='f1' pwd='w1'>
<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-1' setup='passive'>ab:CD</fingerprint>
<candidate component='2' foundation='f2' generation='14' id='i1' ip='192.0.2.1' network='15' port='16' priority='17' protocol='udp' type='relay' rel-addr='192.0.2.2' rel-port='18'/>
<remote-candidate component='3' ip='192.0.2.3' port='19'/>
</transport>
</content>
<reason><timeout/><text>x1</text></reason>
</jingle>`))
	if err != nil {
		t.Fatal(err)
	}
	want := &jingle.Jingle{
		Action: jingle.ActionContentAccept, SID: "s1",
		Initiator: xmpp.MustJID("a@x/1"), Responder: xmpp.MustJID("b@x/2"),
		Contents: []jingle.Content{{
			Creator: jingle.RoleResponder, Name: "n1", Senders: jingle.SendersNone, Disposition: "d1",
			Description: &jingle.Description{
				Media: "m1", SSRC: "5",
				PayloadTypes: []jingle.PayloadType{{
					ID: 100, Name: "c1", ClockRate: 16000, Channels: 2, PTime: 30, MaxPTime: 40,
					Parameters: []jingle.Parameter{{Name: "p1", Value: "v1"}},
					Feedback:   []jingle.Feedback{{Type: "t1", Subtype: "u1", Parameters: []jingle.Parameter{{Name: "p2", Value: "v2"}}}},
					TRRInt:     number(6),
				}},
				Bandwidths: []jingle.Bandwidth{{Type: "AS", Value: "8"}},
				RTCPMux:    true,
				Encryption: &jingle.Encryption{Required: true, Cryptos: []jingle.Crypto{{Tag: "7", Suite: "c2", KeyParams: "k1", SessionParams: "k2"}}},
				Feedback:   []jingle.Feedback{{Type: "t2", Subtype: "u2"}},
				TRRInt:     number(9),
				HeaderExtensions: []jingle.HeaderExtension{{
					ID: 10, URI: "urn:u", Senders: jingle.SendersInitiator, Parameters: []jingle.Parameter{{Name: "p3", Value: "v3"}},
				}},
				ExtmapAllowMixed: true,
				Sources:          []jingle.Source{{SSRC: 11, Parameters: []jingle.Parameter{{Name: "p4", Value: "v4"}, {Name: "p5"}}}},
				SourceGroups:     []jingle.SourceGroup{{Semantics: "FID", Sources: []uint32{12, 13}}},
				Categories:       []string{"sl"},
			},
			Transport: &jingle.Transport{
				Kind: jingle.TransportICE, Ufrag: "f1", Pwd: "w1",
				Fingerprints: []jingle.Fingerprint{{Hash: "sha-1", Setup: "passive", Value: "AB:CD"}},
				Candidates: []jingle.Candidate{{
					Component: 2, Foundation: "f2", Generation: 14, ID: "i1", IP: "192.0.2.1", Network: 15, Port: 16,
					Priority: 17, Protocol: "udp", Type: "relay", RelAddr: "192.0.2.2", RelPort: 18,
				}},
				RemoteCandidates: []jingle.Candidate{{Component: 3, IP: "192.0.2.3", Port: 19}},
			},
		}},
		Groups: []jingle.Group{{Semantics: "LS", Contents: []string{"n1", "n2"}}},
		Reason: &jingle.Reason{Condition: jingle.ReasonTimeout, Text: "x1"},
	}
	if d := cmp.Diff(want, got, jids); d != "" {
		t.Error(d)
	}
}

const content = `<content creator='initiator' name='n'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></content>`

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for name, tc := range map[string]struct{ xml, text string }{
		"other element":     {`<query xmlns='urn:xmpp:jingle:1'/>`, "not a jingle element"},
		"old namespace":     {`<jingle xmlns='urn:xmpp:jingle:0' action='session-info' sid='1'/>`, "not a jingle element"},
		"no action":         {`<jingle xmlns='urn:xmpp:jingle:1' sid='1'/>`, "unknown action"},
		"unknown action":    {`<jingle xmlns='urn:xmpp:jingle:1' action='session-hold' sid='1'/>`, "unknown action"},
		"no sid":            {`<jingle xmlns='urn:xmpp:jingle:1' action='session-info'/>`, "no sid"},
		"long sid":          {`<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='` + long + `'/>`, "no sid"},
		"initiate nothing":  {`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='1'/>`, "no content of the session"},
		"initiate early":    {`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='1'><content name='a' creator='initiator' disposition='early-session'/></jingle>`, "no content of the session"},
		"accept nothing":    {`<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='1'/>`, "no content"},
		"add nothing":       {`<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='1'/>`, "no content"},
		"replace nothing":   {`<jingle xmlns='urn:xmpp:jingle:1' action='transport-replace' sid='1'/>`, "no content"},
		"no name":           {`<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='1'><content creator='initiator'/></jingle>`, "content without name"},
		"creator":           {`<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='1'><content creator='me' name='n'/></jingle>`, "unknown creator"},
		"senders":           {`<jingle xmlns='urn:xmpp:jingle:1' action='content-modify' sid='1'><content creator='initiator' name='n' senders='all'/></jingle>`, "unknown senders"},
		"long attribute":    {`<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='1'><content creator='initiator' name='n'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='` + long + `'/></content></jingle>`, "attribute media too long"},
		"too many contents": {`<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='1'>` + many(33, `<content creator='initiator' name='%d'/>`) + `</jingle>`, "too many contents"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jingle.Parse(read(t, tc.xml))
			var se *xmpp.StanzaError
			if !errors.As(err, &se) || se.Condition != xmpp.ConditionBadRequest || !strings.Contains(se.Text, tc.text) {
				t.Fatalf("%v, want bad-request with %q", err, tc.text)
			}
		})
	}
	for _, iq := range []*xmpp.IQ{
		{Type: xmpp.IQGet, Payload: read(t, `<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='1'/>`)},
		{Type: xmpp.IQSet},
	} {
		if _, err := jingle.ParseIQ(iq); err == nil {
			t.Errorf("%s was read", iq.Append(nil))
		}
	}
}

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestBounds tells that what repeats too often is cut, with a note.
func TestBounds(t *testing.T) {
	j, err := jingle.Parse(read(t, `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='1'>
<content creator='initiator' name='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>`+
		many(100, `<payload-type id='%d' name='x'/>`)+many(100, `<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='%d'/>`)+
		many(100, `<unknown%d/>`)+`</description><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>`+
		many(40, `<candidate ip='192.0.2.%d' port='1'/>`)+many(10, `<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='h%d'>AA</fingerprint>`)+
		`</transport></content>
<content creator='initiator' name='b'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>`+
		many(40, `<candidate ip='192.0.2.%d' port='1'/>`)+`</transport></content>`+
		`<content creator='initiator' name='a'/>`+
		`<reason><success/><text>`+strings.Repeat("a", 1023)+`é</text></reason></jingle>`))
	if err != nil {
		t.Fatal(err)
	}
	d, tr := j.Contents[0].Description, j.Contents[0].Transport
	if len(j.Contents) != 2 {
		t.Errorf("%d contents; the alternative should be left out", len(j.Contents))
	}
	if n := len(d.PayloadTypes); n != 64 {
		t.Errorf("%d payload types", n)
	}
	if n := len(d.Sources); n != 64 {
		t.Errorf("%d sources", n)
	}
	if n := len(d.Other); n != 64 {
		t.Errorf("%d unknown children", n)
	}
	if n := len(tr.Candidates) + len(j.Contents[1].Transport.Candidates); n != 64 {
		t.Errorf("%d candidates", n)
	}
	if n := len(tr.Fingerprints); n != 8 {
		t.Errorf("%d fingerprints", n)
	}
	if len(j.Ignored) != 32 {
		t.Errorf("%d notes", len(j.Ignored))
	}
	if j.Reason.Text != strings.Repeat("a", 1023) {
		t.Errorf("text of %d bytes, cut within a character", len(j.Reason.Text))
	}
}

func TestSenders(t *testing.T) {
	for _, tc := range []struct {
		s         jingle.Senders
		initiator bool
		responder bool
	}{
		{"", true, true},
		{jingle.SendersBoth, true, true},
		{jingle.SendersInitiator, true, false},
		{jingle.SendersResponder, false, true},
		{jingle.SendersNone, false, false},
	} {
		if i, r := tc.s.Sends(jingle.RoleInitiator), tc.s.Sends(jingle.RoleResponder); i != tc.initiator || r != tc.responder {
			t.Errorf("%q: %v %v", tc.s, i, r)
		}
	}
	if jingle.RoleInitiator.Other() != jingle.RoleResponder || jingle.RoleResponder.Other() != jingle.RoleInitiator {
		t.Error("the other role is wrong")
	}
}

// TestErrors prints the errors of XEP-0166 §10.
func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		e    *xmpp.StanzaError
		want string
	}{
		{jingle.UnknownSession(), `<error xmlns='jabber:client' type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unknown-session xmlns='urn:xmpp:jingle:errors:1'/></error>`},
		{jingle.OutOfOrder("why"), `<error xmlns='jabber:client' type='wait'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>why</text><out-of-order xmlns='urn:xmpp:jingle:errors:1'/></error>`},
		{jingle.TieBreak(), `<error xmlns='jabber:client' type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><tie-break xmlns='urn:xmpp:jingle:errors:1'/></error>`},
		{jingle.UnsupportedInfo(), `<error xmlns='jabber:client' type='modify'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unsupported-info xmlns='urn:xmpp:jingle:errors:1'/></error>`},
	} {
		if got := tc.e.Element(xmpp.NSClient).String(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
	bare := xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "")
	for _, e := range []*xmpp.StanzaError{nil, jingle.TieBreak(), xmpp.NewStanzaError(xmpp.ConditionGone, "")} {
		if jingle.IsUnknownSession(e) {
			t.Errorf("%v is an unknown session", e)
		}
	}
	if !jingle.IsUnknownSession(jingle.UnknownSession()) || !jingle.IsUnknownSession(bare) {
		t.Error("not an unknown session")
	}
	if jingle.IsTieBreak(nil) || jingle.IsTieBreak(bare) || !jingle.IsTieBreak(jingle.TieBreak()) {
		t.Error("tie-break not told apart")
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range goldenInputs(f) {
		f.Add(in)
	}
	f.Add([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='1'>` + content + `</jingle>`))
	f.Add([]byte(`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='5' duration='250' volume='40'/>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := xmpp.ParseElement(in)
		if err != nil {
			return
		}
		if i, err := jingle.ParseInfo(e); err == nil {
			again, err := jingle.ParseInfo(i.Element())
			if err != nil || again != i {
				t.Errorf("%v became %v, %v", i, again, err)
			}
		}
		if s, err := jingle.ParseServices(e); err == nil {
			again, err := jingle.ParseServices(s.Element())
			if d := cmp.Diff(s, again); err != nil || d != "" {
				t.Error(err, d)
			}
		}
		if m, err := jingle.ParseMessage(e); err == nil {
			again, err := jingle.ParseMessage(m.Element())
			if d := cmp.Diff(m, again); err != nil || d != "" {
				t.Error(err, d)
			}
		}
		j, err := jingle.Parse(e)
		if err != nil {
			var se *xmpp.StanzaError
			if !errors.As(err, &se) {
				t.Errorf("%v is not for the sender", err)
			}
			return
		}
		again, err := jingle.Parse(j.Element())
		if err != nil {
			t.Fatalf("%s: %v", j.Element(), err)
		}
		j.Ignored = nil
		if d := cmp.Diff(j, again, jids); d != "" {
			t.Error(d)
		}
	})
}

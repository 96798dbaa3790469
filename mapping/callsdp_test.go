package mapping

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestDirectionTruthTable(t *testing.T) {
	table := []struct {
		senders              jingle.Senders
		initiator, responder sdp.Direction
	}{
		{jingle.SendersBoth, sdp.SendRecv, sdp.SendRecv},
		{jingle.SendersInitiator, sdp.SendOnly, sdp.RecvOnly},
		{jingle.SendersResponder, sdp.RecvOnly, sdp.SendOnly},
		{jingle.SendersNone, sdp.Inactive, sdp.Inactive},
	}
	for _, row := range table {
		for author, d := range map[jingle.Role]sdp.Direction{jingle.RoleInitiator: row.initiator, jingle.RoleResponder: row.responder} {
			require.Equal(t, d, SendersToDirection(row.senders, author))
			require.Equal(t, row.senders, directionToSenders(d, author))
			require.Equal(t, d.Reverse(), SendersToDirection(row.senders, author.Other()))
		}
	}
	for _, author := range []jingle.Role{jingle.RoleInitiator, jingle.RoleResponder} {
		require.Equal(t, sdp.SendRecv, SendersToDirection("", author))
		require.Equal(t, jingle.SendersBoth, directionToSenders("", author))
	}
	for from, to := range map[sdp.Direction]sdp.Direction{sdp.SendRecv: sdp.SendOnly, sdp.SendOnly: sdp.SendOnly, sdp.RecvOnly: sdp.Inactive, sdp.Inactive: sdp.Inactive, "": sdp.SendOnly} {
		require.Equal(t, to, HoldDirection(from))
	}
}

func TestCallIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sid := rapid.StringMatching(`[a-zA-Z0-9._:é-]{1,60}`).Draw(t, "sid")
		id := SIDToCallID(sid, "sip:mira@chat.harbor.example", "sip:otto@voice.quay.example", "gw.example")
		if back, ours := CallIDToSID(id, "tag", 1); back != sid || !ours {
			t.Fatal(id, back)
		}
		foreign := rapid.String().Draw(t, "call-id")
		made, ours := CallIDToSID(foreign, "tag", 1)
		if again, _ := CallIDToSID(foreign, "tag", 1); again != made || !isSID(made) {
			t.Fatal(made, again)
		}
		if !ours && (len(made) != 36 || made[14] != '4') {
			t.Fatal(made)
		}
	})
	id := SIDToCallID("a1", "x", "y", "h")
	require.NotEqual(t, id, SIDToCallID("a1", "x", "z", "h"))
	require.NotEqual(t, id, ThreadToCallID("a1", "x", "y", "h", 0), "a message of that thread is another dialog")
	one, _ := CallIDToSID("c@h", "t", 1)
	for _, other := range [][2]string{{"d@h", "t"}, {"c@h", "u"}} {
		two, _ := CallIDToSID(other[0], other[1], 1)
		require.NotEqual(t, one, two)
	}
	again, _ := CallIDToSID("c@h", "t", 2)
	require.NotEqual(t, one, again, "a phone that calls again")
	spaced := SIDToCallID("not a token", "x", "y", "h")
	made, ours := CallIDToSID(spaced, "t", 1)
	require.False(t, ours)
	require.True(t, isSID(made))
}

func TestCallHeaders(t *testing.T) {
	from, err := sip.ParseNameAddr(`"Mira" <sip:mira@chat.harbor.example;gr=phone>`)
	require.NoError(t, err)
	to, err := sip.ParseNameAddr("<sip:otto@voice.quay.example>")
	require.NoError(t, err)
	h := InitiateToHeaders("0b0d5f5e", CallHeaderContext{Sender: xmpp.MustJID("mira@chat.harbor.example/phone"), From: from, To: to, Host: "gw.example"})
	require.Equal(t, `"Mira" <sip:mira@chat.harbor.example>`, h.From.String())
	require.Equal(t, "sip:mira@chat.harbor.example;gr=phone", h.Contact.URI.String())
	require.Equal(t, "sip:otto@voice.quay.example", h.RequestURI.String())

	r := parseRequest(t, "INVITE sip:mira@chat.harbor.example SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.4;branch=z9hG4bK77\nMax-Forwards: 70\n"+
		"From: <sip:otto@voice.quay.example>;tag=9fx\nTo: <sip:mira@chat.harbor.example>\nCall-ID: "+h.CallID+"\nCSeq: 7 INVITE\n"+
		"Contact: <sip:otto@198.51.100.4:5060>\n")
	j := InviteToInitiate(r, xmpp.MustJID("otto@voice.quay.example"), xmpp.MustJID("mira@chat.harbor.example"))
	require.Equal(t, "0b0d5f5e", j.SID)
	require.Equal(t, xmpp.MustJID("mira@chat.harbor.example"), j.Responder)
	require.Equal(t, xmpp.MustJID("otto@voice.quay.example"), j.Initiator.Bare())
	require.False(t, j.Initiator.IsBare())
}

// A whole session through both translations is the session it was: the golden files show what is lost.
func TestSessionsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		author := rapid.SampledFrom([]jingle.Role{jingle.RoleInitiator, jingle.RoleResponder}).Draw(t, "author")
		j := &jingle.Jingle{Action: jingle.ActionSessionInitiate, SID: "a1", Contents: rapid.SliceOfN(callContent(author), 1, 3).Draw(t, "contents")}
		g := jingle.Group{Semantics: "BUNDLE"}
		for i := range j.Contents {
			j.Contents[i].Name = []string{"audio", "2", "x-y"}[i]
			g.Contents = append(g.Contents, j.Contents[i].Name)
		}
		if rapid.Bool().Draw(t, "bundle") {
			j.Groups = []jingle.Group{g}
		}
		d, loss, err := ContentsToSDP(j, CallContext{Author: author})
		if err != nil || loss != nil {
			t.Fatal(err, loss)
		}
		wire := d.Append(nil)
		if d, err = sdp.Parse(wire); err != nil {
			t.Fatal(err)
		}
		contents, groups, loss, err := SDPToContents(d, CallContext{Author: author})
		if err != nil || loss != nil {
			t.Fatal(err, loss)
		}
		ids := cmpopts.IgnoreFields(jingle.Candidate{}, "ID")
		if diff := cmp.Diff(j.Contents, contents, ids, cmpopts.EquateEmpty()) + cmp.Diff(j.Groups, groups); diff != "" {
			t.Fatalf("%s\n%s", diff, wire)
		}
		// The answer of the other party finds its contents again.
		answer := d.Clone()
		accepted, _, _, err := SDPToContents(answer, CallContext{Author: author.Other(), Offered: j})
		if err != nil || len(accepted) != len(j.Contents) {
			t.Fatal(err, len(accepted))
		}
		for i := range accepted {
			if accepted[i].Name != j.Contents[i].Name || accepted[i].Creator != author {
				t.Fatal(accepted[i])
			}
		}
	})
}

func callContent(author jingle.Role) *rapid.Generator[jingle.Content] {
	word := rapid.StringMatching(`[a-z0-9-]{1,8}`)
	return rapid.Custom(func(t *rapid.T) jingle.Content {
		d := &jingle.Description{
			Media: rapid.SampledFrom([]string{"audio", "video"}).Draw(t, "media"), RTCPMux: rapid.Bool().Draw(t, "mux"),
			ExtmapAllowMixed: rapid.Bool().Draw(t, "mixed"),
		}
		ptime := rapid.SampledFrom([]uint32{0, 20}).Draw(t, "ptime")
		for i := range rapid.IntRange(1, 4).Draw(t, "payload types") {
			p := jingle.PayloadType{ID: uint8(96 + i), Name: word.Draw(t, "name") + "x", ClockRate: rapid.SampledFrom([]uint32{8000, 90000}).Draw(t, "rate"), PTime: ptime}
			for range rapid.IntRange(0, 2).Draw(t, "parameters") {
				p.Parameters = append(p.Parameters, jingle.Parameter{Name: word.Draw(t, "n"), Value: word.Draw(t, "v")})
			}
			if rapid.Bool().Draw(t, "feedback") {
				p.Feedback = []jingle.Feedback{{Type: "nack"}, {Type: "ccm", Subtype: "fir"}}
			}
			d.PayloadTypes = append(d.PayloadTypes, p)
		}
		if rapid.Bool().Draw(t, "extension") {
			d.HeaderExtensions = []jingle.HeaderExtension{{ID: 3, URI: "urn:x", Senders: rapid.SampledFrom([]jingle.Senders{"both", "initiator", "responder", "none"}).Draw(t, "s")}}
		}
		if rapid.Bool().Draw(t, "source") {
			d.Sources = []jingle.Source{{SSRC: rapid.Uint32().Draw(t, "ssrc"), Parameters: []jingle.Parameter{{Name: "cname", Value: word.Draw(t, "cname")}}}}
		}
		c := jingle.Content{
			Creator: author, Description: d,
			Senders: rapid.SampledFrom([]jingle.Senders{"both", "initiator", "responder", "none"}).Draw(t, "senders"),
		}
		c.Transport = &jingle.Transport{
			Kind: jingle.TransportICE, Ufrag: word.Draw(t, "ufrag"), Pwd: word.Draw(t, "pwd"),
			Fingerprints: []jingle.Fingerprint{{Hash: "sha-256", Setup: "actpass", Value: "AA:BB"}},
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "candidates") {
			v := jingle.Candidate{
				Component: rapid.Uint8Range(1, 2).Draw(t, "component"), Foundation: word.Filter(func(s string) bool { return iceWord(s) == s }).Draw(t, "foundation"),
				Generation: rapid.Uint32Range(0, 3).Draw(t, "generation"), IP: "192.0.2.1", Network: rapid.Uint32Range(0, 3).Draw(t, "network"),
				Port: uint16(4000 + i), Priority: rapid.Uint32Range(1, 1<<31).Draw(t, "priority"), Protocol: "udp", Type: "host",
			}
			c.Transport.Candidates = append(c.Transport.Candidates, v)
		}
		return c
	})
}

// FuzzSDPToContents: any SDP gives contents that Jingle can carry, and these give SDP again.
func FuzzSDPToContents(f *testing.F) {
	f.Add([]byte("v=0\nm=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=sendonly\n"))
	f.Add([]byte("v=0\na=group:BUNDLE a\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\na=mid:a\na=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n" +
		"a=ice-ufrag:a\na=ice-pwd:b\na=fingerprint:sha-1 AA\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\na=ssrc:1 cname:x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := sdp.Parse(b)
		if err != nil {
			return
		}
		contents, groups, _, err := SDPToContents(d, CallContext{Author: jingle.RoleInitiator})
		if err != nil {
			require.ErrorIs(t, err, ErrNoMedia)
			return
		}
		j := &jingle.Jingle{Action: jingle.ActionSessionInitiate, SID: "a", Contents: contents, Groups: groups}
		wire := j.Element().Append(nil, "")
		if len(contents) > 32 || len(wire) > 1<<16 {
			return // more than the other side reads
		}
		e, err := xmpp.ParseElement(wire)
		if err != nil {
			t.Fatalf("%v: %s", err, wire)
		}
		again, err := jingle.Parse(e)
		if err != nil {
			return // texts may be too long for it
		}
		if out, _, err := ContentsToSDP(again, CallContext{Author: jingle.RoleInitiator}); err == nil {
			if _, err := sdp.Parse(out.Append(nil)); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	})
}

// FuzzContentsToSDP: any Jingle gives SDP that is read again, and nothing of it becomes a line of its own.
func FuzzContentsToSDP(f *testing.F) {
	files, _ := filepath.Glob("../testdata/mapping/call/x2s-*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil && a.Files[0].Name == "jingle" {
			f.Add(a.Files[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmpp.ParseElement(b)
		if err != nil {
			return
		}
		j, err := jingle.Parse(e)
		if err != nil {
			return
		}
		for _, author := range []jingle.Role{jingle.RoleInitiator, jingle.RoleResponder} {
			d, _, err := ContentsToSDP(j, CallContext{Author: author})
			if err != nil {
				require.ErrorIs(t, err, ErrNoMedia)
				continue
			}
			text := d.Append(nil)
			if len(text) > sdp.MaxSize {
				continue
			}
			again, err := sdp.Parse(text)
			if err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if len(again.Media) != len(d.Media) {
				t.Fatalf("%s", text)
			}
			if _, _, err := ContentsToSDP(j, CallContext{Author: author.Other(), Offer: again}); err != nil {
				require.ErrorIs(t, err, ErrNoMedia) // names that are no tokens
			}
		}
	})
}

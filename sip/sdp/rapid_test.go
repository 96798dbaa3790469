package sdp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var (
	// Drawn from lists where many are needed: texts made from expressions take most of the time.
	token     = rapid.SampledFrom([]string{"a", "0", "-1", "+/", "x.y", "IN", "AbC", "9f8e7d6c5b4a", "v=0", "m", "a=b", "2130706431"})
	ident     = rapid.SampledFrom([]string{"x", "xa", "x-b", "x0", "x-google", "xyz123"})
	value     = rapid.OneOf(rapid.SampledFrom([]string{"a", "a b", "a:b=c;d", "v=0 m=audio"}), rapid.StringMatching(`[!-~]([ -~]{0,20}[!-~])?`))
	maybeText = rapid.OneOf(rapid.Just(""), value)
	host      = rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1", "0.0.0.0", "pbx.quay.example"})
	direction = rapid.SampledFrom([]Direction{"", SendRecv, SendOnly, RecvOnly, Inactive})
	setup     = rapid.SampledFrom([]Setup{"", SetupActive, SetupPassive, SetupActpass, SetupHoldconn})
)

func listOf[T any](t *rapid.T, name string, g *rapid.Generator[T]) []T {
	return rapid.SliceOfN(g, 0, 3).Draw(t, name)
}

func drawConnection(t *rapid.T) *Connection {
	if rapid.Bool().Draw(t, "c=") {
		return &Connection{Address: host.Draw(t, "host")}
	}
	return nil
}

var (
	bandwidth   = rapid.Custom(func(t *rapid.T) Bandwidth { return Bandwidth{ident.Draw(t, "type"), token.Draw(t, "value")} })
	attribute   = rapid.Custom(func(t *rapid.T) Attribute { return Attribute{ident.Draw(t, "name"), maybeText.Draw(t, "value")} })
	fingerprint = rapid.Custom(func(t *rapid.T) Fingerprint {
		return Fingerprint{rapid.SampledFrom([]string{"sha-1", "sha-256"}).Draw(t, "hash"), rapid.StringMatching(`[0-9A-F]{2}(:[0-9A-F]{2}){1,4}`).Draw(t, "sum")}
	})
	feedback = rapid.Custom(func(t *rapid.T) Feedback {
		f := Feedback{Type: token.Draw(t, "type")}
		if rapid.Bool().Draw(t, "subtype") {
			f.Subtype, f.Parameter = token.Draw(t, "sub"), maybeText.Draw(t, "parameter")
		}
		return f
	})
	candidate = rapid.Custom(func(t *rapid.T) Candidate {
		c := Candidate{
			Foundation: token.Draw(t, "foundation"), Component: rapid.Uint16Range(1, 256).Draw(t, "component"), Protocol: "udp",
			Priority: rapid.Uint32().Draw(t, "priority"), Address: host.Draw(t, "address"), Port: rapid.Uint16().Draw(t, "port"),
			Type: rapid.SampledFrom([]string{"host", "srflx", "relay"}).Draw(t, "type"),
		}
		if rapid.Bool().Draw(t, "rel") {
			c.RelAddr, c.RelPort = host.Draw(t, "raddr"), rapid.Uint16().Draw(t, "rport")
		}
		for _, n := range listOf(t, "extensions", ident) {
			c.Extensions = append(c.Extensions, Parameter{n, token.Draw(t, "value")})
		}
		return c
	})
)

func drawICE(t *rapid.T) ICE {
	i := ICE{Options: listOf(t, "options", token)}
	if rapid.Bool().Draw(t, "ice") {
		i.Ufrag, i.Pwd = token.Draw(t, "ufrag"), token.Draw(t, "pwd")
	}
	return i
}

func distinct[T comparable](list []T) []T {
	var out []T
	seen := map[T]bool{}
	for _, v := range list {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

var media = rapid.Custom(func(t *rapid.T) Media {
	m := Media{
		Kind: rapid.SampledFrom([]string{"audio", "video", "message"}).Draw(t, "kind"), Port: rapid.IntRange(0, 65535).Draw(t, "port"),
		Protocol:   rapid.SampledFrom([]string{"RTP/AVP", "UDP/TLS/RTP/SAVPF", "TCP/MSRP", "udptl"}).Draw(t, "protocol"),
		Connection: drawConnection(t), Bandwidths: listOf(t, "bandwidths", bandwidth), Direction: direction.Draw(t, "direction"),
		MID: rapid.OneOf(rapid.Just(""), token).Draw(t, "mid"), MSID: maybeText.Draw(t, "msid"),
		RTCPMux: rapid.Bool().Draw(t, "mux"), RTCPMuxOnly: rapid.Bool().Draw(t, "muxonly"), RTCPRSize: rapid.Bool().Draw(t, "rsize"),
		ICE: drawICE(t), Candidates: listOf(t, "candidates", candidate), EndOfCandidates: rapid.Bool().Draw(t, "end"),
		Fingerprints: distinct(listOf(t, "fingerprints", fingerprint)), Setup: setup.Draw(t, "setup"), BundleOnly: rapid.Bool().Draw(t, "only"),
		Content: listOf(t, "content", ident), Attributes: listOf(t, "attributes", attribute),
	}
	if rapid.Bool().Draw(t, "rtcp") {
		m.RTCP = &RTCP{Port: rapid.IntRange(0, 65535).Draw(t, "port"), Connection: drawConnection(t)}
	}
	for range rapid.IntRange(0, 2).Draw(t, "cryptos") {
		m.Cryptos = append(m.Cryptos, Crypto{token.Draw(t, "tag"), token.Draw(t, "suite"), token.Draw(t, "key"), maybeText.Draw(t, "session")})
	}
	for _, id := range distinct(listOf(t, "ssrcs", rapid.Uint32())) {
		m.SSRCs = append(m.SSRCs, SSRC{id, rapid.SliceOfN(attribute, 1, 3).Draw(t, "attributes")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "groups") {
		m.SSRCGroups = append(m.SSRCGroups, SSRCGroup{token.Draw(t, "semantics"), rapid.SliceOfN(rapid.Uint32(), 1, 3).Draw(t, "ids")})
	}
	if !m.IsRTP() {
		m.Formats = listOf(t, "formats", token)
		return m
	}
	m.ExtmapAllowMixed = rapid.Bool().Draw(t, "mixed")
	m.PTime, m.MaxPTime = rapid.IntRange(0, 200).Draw(t, "ptime"), rapid.IntRange(0, 200).Draw(t, "maxptime")
	for range rapid.IntRange(0, 2).Draw(t, "extensions") {
		m.Extensions = append(m.Extensions, Extension{rapid.Uint16().Draw(t, "id"), direction.Draw(t, "d"), token.Draw(t, "uri"), maybeText.Draw(t, "attrs")})
	}
	m.Feedback = listOf(t, "feedback", feedback)
	for _, pt := range distinct(rapid.SliceOfN(rapid.Uint8Range(96, 127), 1, 5).Draw(t, "types")) {
		m.Codecs = append(m.Codecs, Codec{
			PayloadType: pt, Name: rapid.SampledFrom([]string{"opus", "VP8", "telephone-event"}).Draw(t, "name"),
			ClockRate: rapid.Uint32Range(1, 1<<31).Draw(t, "rate"), Channels: rapid.SampledFrom([]uint8{0, 2, 6}).Draw(t, "channels"),
			Format: maybeText.Draw(t, "fmtp"), Feedback: listOf(t, "feedback", feedback),
		})
	}
	return m
})

// TestRoundTrip: what is written is read again as it was.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Description{
			Origin: Origin{rapid.OneOf(rapid.Just(""), token).Filter(func(s string) bool { return s != "-" }).Draw(t, "user"), rapid.Uint64().Draw(t, "id"), rapid.Uint64().Draw(t, "version"), host.Draw(t, "address")},
			Name:   rapid.OneOf(rapid.Just(""), value).Filter(func(s string) bool { return s != "-" }).Draw(t, "name"), Connection: drawConnection(t),
			Bandwidths: listOf(t, "bandwidths", bandwidth), Direction: direction.Draw(t, "direction"), ICE: drawICE(t),
			Fingerprints: distinct(listOf(t, "fingerprints", fingerprint)), Setup: setup.Draw(t, "setup"),
			ExtmapAllowMixed: rapid.Bool().Draw(t, "mixed"), Attributes: listOf(t, "attributes", attribute),
			Media: rapid.SliceOfN(media, 0, 3).Draw(t, "media"),
		}
		d.ICE.Lite = rapid.Bool().Draw(t, "lite")
		for range rapid.IntRange(0, 2).Draw(t, "groups") {
			d.Groups = append(d.Groups, Group{token.Draw(t, "semantics"), listOf(t, "mids", token)})
		}
		text := d.Append(nil)
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", diff, text)
		}
		if diff := cmp.Diff(d, d.Clone()); diff != "" {
			t.Fatal("clone", diff)
		}
	})
}

// TestAnswersAreLegal: whatever two parties want, an answer fits the offer, and both see the same.
func TestAnswersAreLegal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *Description {
			return &Description{Connection: &Connection{Address: "192.0.2.1"}, Direction: direction.Draw(t, name+" direction"), Media: rapid.SliceOfN(media, 0, 4).Draw(t, name)}
		}
		a, b := NewNegotiation(Origin{SessionID: 1}), NewNegotiation(Origin{SessionID: 2})
		slots := 0
		for round := range 4 {
			if round%2 == 1 {
				a, b = b, a
			}
			offer, err := a.LocalOffer(draw("offer"))
			if err != nil {
				continue
			}
			if len(offer.Media) < slots {
				t.Fatal("slots were lost")
			}
			slots = len(offer.Media)
			if err := b.RemoteOffer(offer); err != nil {
				t.Fatal(err)
			}
			want := draw("answer")
			want.Media = want.Media[:min(len(want.Media), len(offer.Media))]
			for i := range want.Media {
				want.Media[i].Kind = offer.Media[i].Kind
			}
			answer, err := b.LocalAnswer(want)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.RemoteAnswer(answer); err != nil {
				t.Fatal(err)
			}
			if len(answer.Media) != len(offer.Media) {
				t.Fatal("slots")
			}
			for i := range answer.Media {
				o, m := offer.Effective(i), answer.Effective(i)
				if m.Kind != o.Kind || m.Protocol != o.Protocol || o.Rejected() && !m.Rejected() || m.Setup == SetupActpass {
					t.Fatal(m)
				}
				if agreedDirection(a, i) != agreedDirection(b, i).Reverse() {
					t.Fatal(agreedDirection(a, i), agreedDirection(b, i))
				}
				if r := a.Role(i); len(o.Fingerprints) > 0 && len(m.Fingerprints) > 0 && !m.Rejected() && m.Setup != SetupHoldconn && r == b.Role(i) {
					t.Fatal("both are", r)
				}
			}
		}
	})
}

package jingle_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

// text draws a text for attributes that is not empty, with whatever XML has to escape.
func text() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-zA-Z0-9<>&'" /+=äß猫-]{0,12}[a-z0-9]`)
}

// maybe draws nothing or a few.
func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[[]T] {
	return rapid.Custom(func(t *rapid.T) []T {
		list := rapid.SliceOfN(g, 0, 3).Draw(t, "list")
		if len(list) == 0 {
			return nil
		}
		return list
	})
}

func optional(t *rapid.T, name string) string {
	return rapid.OneOf(rapid.Just(""), text()).Draw(t, name)
}

var (
	roles   = rapid.SampledFrom([]jingle.Role{jingle.RoleInitiator, jingle.RoleResponder})
	senders = rapid.SampledFrom([]jingle.Senders{
		jingle.SendersBoth, jingle.SendersInitiator, jingle.SendersNone, jingle.SendersResponder,
	})
	addresses = rapid.SampledFrom([]xmpp.JID{{}, xmpp.MustJID("mira@x.example/a'b"), xmpp.MustJID("sip.example")})
	unknown   = rapid.Custom(func(t *rapid.T) *xmpp.Element {
		return xmpp.NewElement("urn:example:"+text().Draw(t, "space"), "x").Set("a", text().Draw(t, "a")).AddText(text().Draw(t, "text"))
	})
	parameters = maybe(rapid.Custom(func(t *rapid.T) jingle.Parameter {
		return jingle.Parameter{Name: optional(t, "name"), Value: text().Draw(t, "value")}
	}))
	feedback = rapid.Custom(func(t *rapid.T) jingle.Feedback {
		return jingle.Feedback{Type: text().Draw(t, "type"), Subtype: optional(t, "subtype"), Parameters: parameters.Draw(t, "parameters")}
	})
	ips    = rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1", "abc.local"})
	trrInt = rapid.Ptr(rapid.Uint32(), true)
)

var codecs = rapid.Custom(func(t *rapid.T) jingle.PayloadType {
	return jingle.PayloadType{
		ID: rapid.Uint8Max(127).Draw(t, "id"), Name: text().Draw(t, "name"),
		ClockRate: rapid.Uint32().Draw(t, "clockrate"), Channels: rapid.Uint8().Draw(t, "channels"),
		PTime: rapid.Uint32().Draw(t, "ptime"), MaxPTime: rapid.Uint32().Draw(t, "maxptime"),
		Parameters: parameters.Draw(t, "parameters"), Feedback: maybe(feedback).Draw(t, "feedback"), TRRInt: trrInt.Draw(t, "trr-int"),
	}
})

var encryptions = rapid.Custom(func(t *rapid.T) *jingle.Encryption {
	return &jingle.Encryption{
		Required: rapid.Bool().Draw(t, "required"),
		Cryptos: maybe(rapid.Custom(func(t *rapid.T) jingle.Crypto {
			return jingle.Crypto{Tag: text().Draw(t, "tag"), Suite: text().Draw(t, "suite"), KeyParams: text().Draw(t, "key"), SessionParams: optional(t, "session")}
		})).Draw(t, "cryptos"),
	}
})

var descriptions = rapid.Custom(func(t *rapid.T) *jingle.Description {
	d := &jingle.Description{
		Media: optional(t, "media"), SSRC: optional(t, "ssrc"),
		RTCPMux: rapid.Bool().Draw(t, "mux"), ExtmapAllowMixed: rapid.Bool().Draw(t, "mixed"),
		Bandwidths: maybe(rapid.Custom(func(t *rapid.T) jingle.Bandwidth {
			return jingle.Bandwidth{Type: text().Draw(t, "type"), Value: rapid.StringMatching(`[0-9]{1,6}`).Draw(t, "value")}
		})).Draw(t, "bandwidths"),
		Feedback: maybe(feedback).Draw(t, "feedback"), TRRInt: trrInt.Draw(t, "trr-int"),
		HeaderExtensions: maybe(rapid.Custom(func(t *rapid.T) jingle.HeaderExtension {
			return jingle.HeaderExtension{
				ID: rapid.Uint16Min(1).Draw(t, "id"), URI: text().Draw(t, "uri"), Senders: senders.Draw(t, "senders"),
				Parameters: parameters.Draw(t, "parameters"),
			}
		})).Draw(t, "extensions"),
		Sources: maybe(rapid.Custom(func(t *rapid.T) jingle.Source {
			return jingle.Source{SSRC: rapid.Uint32().Draw(t, "ssrc"), Parameters: maybe(rapid.Custom(func(t *rapid.T) jingle.Parameter {
				return jingle.Parameter{Name: text().Draw(t, "name"), Value: optional(t, "value")}
			})).Draw(t, "parameters")}
		})).Draw(t, "sources"),
		SourceGroups: maybe(rapid.Custom(func(t *rapid.T) jingle.SourceGroup {
			return jingle.SourceGroup{Semantics: text().Draw(t, "semantics"), Sources: maybe(rapid.Uint32()).Draw(t, "sources")}
		})).Draw(t, "groups"),
		Categories: maybe(text()).Draw(t, "categories"),
		Other:      maybe(unknown).Draw(t, "other"),
	}
	if rapid.Bool().Draw(t, "encrypted") {
		d.Encryption = encryptions.Draw(t, "encryption")
	}
	seen := make(map[uint8]bool)
	for _, p := range maybe(codecs).Draw(t, "codecs") {
		if !seen[p.ID] {
			d.PayloadTypes = append(d.PayloadTypes, p)
		}
		seen[p.ID] = true
	}
	return d
})

var fingerprints = rapid.Custom(func(t *rapid.T) jingle.Fingerprint {
	return jingle.Fingerprint{
		Hash: rapid.SampledFrom([]string{"sha-1", "sha-256"}).Draw(t, "hash"), Value: rapid.StringMatching(`[0-9A-F]{2}(:[0-9A-F]{2}){1,31}`).Draw(t, "value"),
		Setup: rapid.SampledFrom([]string{"", "active", "passive", "actpass"}).Draw(t, "setup"),
	}
})

func candidates(kind jingle.TransportKind) *rapid.Generator[jingle.Candidate] {
	return rapid.Custom(func(t *rapid.T) jingle.Candidate {
		c := jingle.Candidate{
			Component: rapid.Uint8Min(1).Draw(t, "component"), IP: ips.Draw(t, "ip"), Port: rapid.Uint16().Draw(t, "port"),
			Generation: rapid.Uint32().Draw(t, "generation"), ID: optional(t, "id"), Type: optional(t, "type"),
		}
		if kind == jingle.TransportRawUDP {
			return c
		}
		c.Type = rapid.SampledFrom([]string{"host", "srflx", "prflx", "relay"}).Draw(t, "type")
		c.Foundation, c.Network = optional(t, "foundation"), rapid.Uint32().Draw(t, "network")
		c.Priority, c.Protocol = rapid.Uint32().Draw(t, "priority"), "udp"
		c.RelAddr, c.RelPort = optional(t, "rel-addr"), rapid.Uint16().Draw(t, "rel-port")
		return c
	})
}

var transports = rapid.Custom(func(t *rapid.T) *jingle.Transport {
	v := &jingle.Transport{
		Kind:  rapid.SampledFrom([]jingle.TransportKind{jingle.TransportICE, jingle.TransportRawUDP}).Draw(t, "kind"),
		Other: maybe(unknown).Draw(t, "other"),
	}
	v.Candidates = maybe(candidates(v.Kind)).Draw(t, "candidates")
	if v.Kind == jingle.TransportICE {
		v.Ufrag, v.Pwd = optional(t, "ufrag"), optional(t, "pwd")
		v.Fingerprints = maybe(fingerprints).Draw(t, "fingerprints")
		v.RemoteCandidates = maybe(rapid.Custom(func(t *rapid.T) jingle.Candidate {
			return jingle.Candidate{Component: rapid.Uint8Min(1).Draw(t, "component"), IP: ips.Draw(t, "ip"), Port: rapid.Uint16().Draw(t, "port")}
		})).Draw(t, "remote")
	}
	return v
})

var reasons = rapid.Custom(func(t *rapid.T) *jingle.Reason {
	if rapid.Bool().Draw(t, "none") {
		return nil
	}
	r := &jingle.Reason{Condition: rapid.SampledFrom(jingle.Conditions).Draw(t, "condition"), Text: optional(t, "text")}
	if r.Condition == jingle.ReasonAlternativeSession {
		r.SID = optional(t, "sid")
	}
	if rapid.Bool().Draw(t, "app") {
		r.App = unknown.Draw(t, "app")
	}
	return r
})

var stanzas = rapid.Custom(func(t *rapid.T) *jingle.Jingle {
	j := &jingle.Jingle{
		Action: rapid.SampledFrom(jingle.Actions).Draw(t, "action"), SID: text().Draw(t, "sid"),
		Initiator: addresses.Draw(t, "initiator"), Responder: addresses.Draw(t, "responder"),
		Groups: maybe(rapid.Custom(func(t *rapid.T) jingle.Group {
			return jingle.Group{Semantics: text().Draw(t, "semantics"), Contents: maybe(text()).Draw(t, "contents")}
		})).Draw(t, "groups"),
		Reason: reasons.Draw(t, "reason"), Info: maybe(unknown).Draw(t, "info"),
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "contents") {
		c := jingle.Content{
			Creator: roles.Draw(t, "creator"), Name: text().Draw(t, "name") + string(rune('a'+i)), Senders: senders.Draw(t, "senders"),
			Disposition: rapid.SampledFrom([]string{"", "session"}).Draw(t, "disposition"), Other: maybe(unknown).Draw(t, "other"),
		}
		if rapid.Bool().Draw(t, "described") {
			c.Description = descriptions.Draw(t, "description")
		}
		if rapid.Bool().Draw(t, "transported") {
			c.Transport = transports.Draw(t, "transport")
		}
		j.Contents = append(j.Contents, c)
	}
	return j
})

// TestRoundTrip writes any value, sends it through bytes and reads it again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stanzas.Draw(t, "jingle")
		e, err := xmpp.ParseElement([]byte(want.Element().String()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := jingle.Parse(e)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, jids); d != "" {
			t.Fatal(d)
		}
	})
}

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &jingle.Message{
			Kind: rapid.SampledFrom([]jingle.Kind{
				jingle.KindPropose, jingle.KindRinging, jingle.KindProceed, jingle.KindReject, jingle.KindRetract, jingle.KindFinish,
			}).Draw(t, "kind"),
			ID: text().Draw(t, "id"), Reason: reasons.Draw(t, "reason"), TieBreak: rapid.Bool().Draw(t, "tie-break"),
			Migrated: optional(t, "migrated"), Other: maybe(unknown).Draw(t, "other"),
		}
		if want.Kind == jingle.KindPropose {
			want.Media = rapid.SliceOfN(text(), 1, 3).Draw(t, "media")
		}
		from, to := xmpp.MustJID("otto@sip.example/gw"), xmpp.MustJID("mira@x.example/phone")
		st, err := xmpp.ReadStanza(want.Wrap(from, to).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := jingle.FromMessage(st.(*xmpp.Message))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestServicesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &jingle.Services{
			Credentials: rapid.Bool().Draw(t, "credentials"), Type: optional(t, "type"),
			List: maybe(rapid.Custom(func(t *rapid.T) jingle.Service {
				s := jingle.Service{
					Action: rapid.SampledFrom([]jingle.ServiceAction{jingle.ServiceAdd, jingle.ServiceModify, jingle.ServiceRemove}).Draw(t, "action"),
					Type:   rapid.SampledFrom([]string{"stun", "turn", "turns"}).Draw(t, "type"), Host: rapid.StringMatching(`[a-z.]{1,9}`).Draw(t, "host"),
					Port: rapid.Uint16().Draw(t, "port"), Transport: rapid.SampledFrom([]string{"", "udp", "tcp"}).Draw(t, "transport"),
					Name: optional(t, "name"), Username: optional(t, "username"), Password: optional(t, "password"),
					Restricted: rapid.Bool().Draw(t, "restricted"),
				}
				if n := rapid.Int64Range(0, 4e9).Draw(t, "expires"); n > 0 {
					s.Expires = time.Unix(n, 0).UTC()
				}
				return s
			})).Draw(t, "list"),
		}
		e, err := xmpp.ParseElement([]byte(want.Element().String()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := jingle.ParseServices(e)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

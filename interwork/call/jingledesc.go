package call

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// contentName is what we call the one content of our sessions: a token without white
// space, for clients make a mid of it.
const contentName = "0"

// audioContent finds the first content with sound over a transport that we speak.
func audioContent(j *jingle.Jingle) *jingle.Content {
	if j == nil {
		return nil
	}
	for i := range j.Contents {
		c := &j.Contents[i]
		if c.Description != nil && c.Description.Media == "audio" && c.Transport != nil && c.Transport.Kind == jingle.TransportICE &&
			(c.Disposition == "" || c.Disposition == "session") {
			return c
		}
	}
	return nil
}

// protectionOf is what a content of hers asks for: DTLS when she tells a fingerprint,
// SDES when she tells keys.
func protectionOf(c *jingle.Content) relay.Protection {
	switch {
	case len(c.Transport.Fingerprints) > 0:
		return relay.DTLS
	case c.Description != nil && c.Description.Encryption != nil && len(c.Description.Encryption.Cryptos) > 0:
		return relay.SDES
	}
	return relay.None
}

// remoteOf is what the relay must know of a content of hers. active says that we are the
// client of DTLS.
func remoteOf(c *jingle.Content, active bool) relay.Remote {
	r := relay.Remote{Ufrag: c.Transport.Ufrag, Pwd: c.Transport.Pwd, Mux: true, Active: active, Candidates: candidatesOf(c.Transport)}
	for _, f := range c.Transport.Fingerprints {
		r.Fingerprints = append(r.Fingerprints, relay.Fingerprint{Hash: f.Hash, Value: f.Value})
	}
	if c.Description == nil {
		return r
	}
	r.Mux = c.Description.RTCPMux
	if e := c.Description.Encryption; e != nil {
		for _, k := range e.Cryptos {
			tag, err := strconv.Atoi(k.Tag)
			if err != nil {
				continue
			}
			r.Cryptos = append(r.Cryptos, relay.Crypto{Tag: tag, Suite: k.Suite, KeyParams: k.KeyParams, SessionParams: k.SessionParams})
		}
	}
	return r
}

func candidatesOf(t *jingle.Transport) []relay.Candidate {
	if t == nil || t.Kind != jingle.TransportICE {
		return nil
	}
	var list []relay.Candidate
	for _, c := range t.Candidates {
		r := relay.Candidate{
			Foundation: c.Foundation, Component: c.Component, Priority: c.Priority, Address: c.IP, Port: c.Port, Type: c.Type,
			Generation: c.Generation, Protocol: c.Protocol,
		}
		if a, err := netip.ParseAddr(c.RelAddr); err == nil {
			r.Related = netip.AddrPortFrom(a, c.RelPort)
		}
		list = append(list, r)
	}
	return list
}

// dtlsClient tells who starts DTLS when she says this: actpass leaves it to us, and the
// one who answers had better be active (RFC 5763 §5).
func dtlsClient(t *jingle.Transport) bool {
	for _, f := range t.Fingerprints {
		if f.Setup == "active" {
			return false
		}
	}
	return true
}

// transport writes where we receive, for XMPP. setup is empty without DTLS.
func transport(l relay.Local, setup string, generation uint32) *jingle.Transport {
	t := &jingle.Transport{Ufrag: l.Ufrag, Pwd: l.Pwd, Candidates: jingleCandidates(l.Candidates, 0, generation)}
	if setup != "" && l.Fingerprint.Value != "" {
		t.Fingerprints = []jingle.Fingerprint{{Hash: l.Fingerprint.Hash, Value: l.Fingerprint.Value, Setup: setup}}
	}
	return t
}

// jingleCandidates writes candidates; from counts those that were sent before, so that
// ids stay unique (an id must be an NCName).
func jingleCandidates(list []relay.Candidate, from int, generation uint32) []jingle.Candidate {
	out := make([]jingle.Candidate, 0, len(list))
	for i, c := range list {
		j := jingle.Candidate{
			Component: max(c.Component, 1), Foundation: c.Foundation, Generation: max(c.Generation, generation),
			ID: "c" + strconv.FormatUint(uint64(generation), 10) + "-" + strconv.Itoa(from+i), IP: c.Address, Port: c.Port,
			Priority: c.Priority, Protocol: "udp", Type: c.Type,
		}
		if c.Type != "host" {
			j.RelAddr, j.RelPort = "0.0.0.0", 9
			if c.Related.IsValid() {
				j.RelAddr, j.RelPort = c.Related.Addr().String(), c.Related.Port()
			}
		}
		out = append(out, j)
	}
	return out
}

// description writes our audio for XMPP. The source has a stream and a track, without
// which some web clients find no stream to play.
func description(codecs []sdp.Codec, l relay.Local, encryption *jingle.Encryption, ptime int) *jingle.Description {
	d := &jingle.Description{Media: "audio", PayloadTypes: payloadTypes(codecs), RTCPMux: true, Encryption: encryption}
	for i := range d.PayloadTypes {
		if ptime > 0 && d.PayloadTypes[i].Name != eventName {
			d.PayloadTypes[i].PTime = uint32(ptime)
		}
	}
	if l.SSRC != 0 && l.CNAME != "" {
		d.Sources = []jingle.Source{{SSRC: l.SSRC, Parameters: []jingle.Parameter{
			{Name: "cname", Value: l.CNAME}, {Name: "msid", Value: "stoxgate audio"},
		}}}
	}
	return d
}

// cryptoOf answers keys with one of ours, or offers ours.
func cryptoOf(l relay.Local, required bool) *jingle.Encryption {
	if len(l.Cryptos) == 0 {
		return nil
	}
	e := &jingle.Encryption{Required: required}
	for _, c := range l.Cryptos {
		e.Cryptos = append(e.Cryptos, jingle.Crypto{
			Tag: strconv.Itoa(c.Tag), Suite: c.Suite, KeyParams: c.KeyParams, SessionParams: c.SessionParams,
		})
	}
	return e
}

// acceptContents answers her contents: the audio with what was chosen; everything else
// stays, with nobody sending, when it shares the transport of the audio, because
// Conversations ends a call whose media do not all come back; and is left out otherwise.
func acceptContents(her *jingle.Jingle, audio *jingle.Content, codecs []sdp.Codec, l relay.Local, p relay.Protection, active bool) ([]jingle.Content, []jingle.Group) {
	setup := ""
	if p == relay.DTLS {
		setup = "passive"
		if active {
			setup = "active"
		}
	}
	bundle := bundleOf(her)
	var encryption *jingle.Encryption
	if p == relay.SDES {
		encryption = cryptoOf(l, audio.Description.Encryption.Required)
	}
	var out []jingle.Content
	var names []string
	for i := range her.Contents {
		c := &her.Contents[i]
		switch {
		case c == audio:
			d := description(codecs, l, encryption, 0)
			d.RTCPMux = audio.Description.RTCPMux
			out = append(out, jingle.Content{
				Creator: c.Creator, Name: c.Name, Senders: c.Senders, Description: d, Transport: transport(l, setup, 0),
			})
		case c.Description != nil && slices.Contains(bundle, c.Name) && slices.Contains(bundle, audio.Name):
			out = append(out, jingle.Content{
				Creator: c.Creator, Name: c.Name, Senders: jingle.SendersNone,
				Description: &jingle.Description{Media: c.Description.Media, PayloadTypes: c.Description.PayloadTypes, RTCPMux: true},
				Transport:   transport(l, setup, 0),
			})
		default:
			continue
		}
		if slices.Contains(bundle, c.Name) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return out, nil
	}
	return out, []jingle.Group{{Semantics: "BUNDLE", Contents: names}}
}

func bundleOf(j *jingle.Jingle) []string {
	for _, g := range j.Groups {
		if g.Semantics == "BUNDLE" {
			return g.Contents
		}
	}
	return nil
}

package jingletest

import (
	"strconv"

	"github.com/stoxgate/stoxgate/jingle"
)

// Transport returns a transport with credentials and a fingerprint that nobody can use, and one candidate.
func Transport(setup string, port uint16) *jingle.Transport {
	return &jingle.Transport{
		Ufrag: "tEst", Pwd: "aPasswordOfTwentyTwoChars",
		Fingerprints: []jingle.Fingerprint{{
			Hash: "sha-256", Setup: setup,
			Value: "0F:1E:2D:3C:4B:5A:69:78:87:96:A5:B4:C3:D2:E1:F0:0F:1E:2D:3C:4B:5A:69:78:87:96:A5:B4:C3:D2:E1:F0",
		}},
		Candidates: []jingle.Candidate{{
			Component: 1, Foundation: "1", ID: "c" + strconv.Itoa(int(port)), IP: "192.0.2.10", Port: port,
			Priority: 2130706431, Protocol: "udp", Type: "host",
		}},
	}
}

// Audio returns a content of the initiator with sound: Opus, PCMU, PCMA and keys.
func Audio(name string, t *jingle.Transport) jingle.Content {
	return jingle.Content{
		Creator: jingle.RoleInitiator, Name: name, Senders: jingle.SendersBoth,
		Description: &jingle.Description{
			Media: "audio", RTCPMux: true,
			PayloadTypes: []jingle.PayloadType{
				{ID: 111, Name: "opus", ClockRate: 48000, Channels: 2, Parameters: []jingle.Parameter{{Name: "minptime", Value: "10"}, {Name: "useinbandfec", Value: "1"}}},
				{ID: 0, Name: "PCMU", ClockRate: 8000},
				{ID: 8, Name: "PCMA", ClockRate: 8000},
				{ID: 110, Name: "telephone-event", ClockRate: 48000},
				{ID: 101, Name: "telephone-event", ClockRate: 8000},
			},
		},
		Transport: t,
	}
}

// Video returns a content of the initiator with a picture: VP8.
func Video(name string, t *jingle.Transport) jingle.Content {
	return jingle.Content{
		Creator: jingle.RoleInitiator, Name: name, Senders: jingle.SendersBoth,
		Description: &jingle.Description{
			Media: "video", RTCPMux: true,
			PayloadTypes: []jingle.PayloadType{{
				ID: 96, Name: "VP8", ClockRate: 90000,
				Feedback: []jingle.Feedback{{Type: "nack", Subtype: "pli"}, {Type: "ccm", Subtype: "fir"}},
			}},
		},
		Transport: t,
	}
}

// Answer returns contents that accept all those offered: same names, codecs and numbers, with this transport.
func Answer(offer *jingle.Jingle, t *jingle.Transport) []jingle.Content {
	var contents []jingle.Content
	for _, c := range offer.Contents {
		contents = append(contents, jingle.Content{
			Creator: c.Creator, Name: c.Name, Senders: c.Senders, Description: c.Description, Transport: t,
		})
	}
	return contents
}

// bundle groups all contents, as WebRTC clients do.
func bundle(contents []jingle.Content) []jingle.Group {
	g := jingle.Group{Semantics: "BUNDLE"}
	for i := range contents {
		g.Contents = append(g.Contents, contents[i].Name)
	}
	return []jingle.Group{g}
}

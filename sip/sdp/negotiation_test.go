package sdp

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func mustParse(t *testing.T, body string) *Description {
	t.Helper()
	d, err := Parse([]byte("v=0\no=- 7 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n" + body))
	require.NoError(t, err)
	return d
}

// ours is a description of the gateway with these media at 192.0.2.1.
func ours(media ...Media) *Description {
	return &Description{Connection: &Connection{Address: "192.0.2.1"}, Media: media}
}

func audio(port int) Media {
	c, _ := StaticCodec(0)
	return Media{Kind: "audio", Port: port, Protocol: "RTP/AVP", Codecs: []Codec{c}}
}

func video(port int) Media {
	return Media{Kind: "video", Port: port, Protocol: "RTP/AVP", Codecs: []Codec{{PayloadType: 96, Name: "VP8", ClockRate: 90000}}}
}

const (
	theirAudio = "m=audio 4000 RTP/AVP 0 8\n"
	theirVideo = "m=video 4002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"
)

func kinds(d *Description) string {
	var b strings.Builder
	for i := range d.Media {
		b.WriteString(d.Media[i].Kind[:1])
		if d.Media[i].Rejected() {
			b.WriteByte('-')
		}
	}
	return b.String()
}

func TestAnswerKeepsSlots(t *testing.T) {
	n := NewNegotiation(Origin{SessionID: 1, Version: 5})
	err := n.RemoteOffer(mustParse(t, theirAudio+"m=image 4004 udptl t38\n"+theirVideo))
	require.NoError(t, err)
	require.Equal(t, Remote, n.Pending())
	answer, err := n.LocalAnswer(ours(audio(20000)))
	require.NoError(t, err)
	require.Equal(t, "ai-v-", kinds(answer))
	require.Equal(t, "udptl", answer.Media[1].Protocol)
	require.Equal(t, []string{"t38"}, answer.Media[1].Formats)
	require.Equal(t, uint64(5), answer.Origin.Version)

	// Our own offer keeps the slots, and uses one that is free.
	offer, err := n.LocalOffer(ours(audio(20000)))
	require.NoError(t, err)
	require.Equal(t, "ai-v-", kinds(offer))
	require.Equal(t, uint64(5), offer.Origin.Version, "nothing is new")
	n.Refuse()

	offer, err = n.LocalOffer(ours(audio(20000), Media{Kind: "image", Protocol: "udptl"}, video(20002)))
	require.NoError(t, err)
	require.Equal(t, "ai-v", kinds(offer))
	require.Equal(t, uint64(6), offer.Origin.Version)
	err = n.RemoteAnswer(mustParse(t, theirAudio+"m=image 0 udptl t38\n"+theirVideo))
	require.NoError(t, err)
	require.Equal(t, SendRecv, agreedDirection(n, 2))

	// A refresh repeats what was refused.
	refused := theirAudio + "m=image 4004 udptl t38\n" + theirVideo
	for range 2 {
		err = n.RemoteOffer(mustParse(t, refused))
		require.NoError(t, err)
		_, err = n.LocalAnswer(n.Local())
		require.NoError(t, err)
	}

	// The video ends and leaves its slot behind for ever.
	err = n.RemoteOffer(mustParse(t, theirAudio+"m=image 0 udptl t38\nm=video 0 RTP/AVP 96\n"))
	require.NoError(t, err)
	answer, err = n.LocalAnswer(ours(audio(20000), Media{Kind: "image"}, video(20002)))
	require.NoError(t, err)
	require.Equal(t, "ai-v-", kinds(answer), "what is not offered cannot be accepted")
	require.Equal(t, Inactive, agreedDirection(n, 2))
}

func TestPeerDropsLines(t *testing.T) {
	n := NewNegotiation(Origin{})
	err := n.RemoteOffer(mustParse(t, theirAudio+theirVideo))
	require.NoError(t, err)
	_, err = n.LocalAnswer(ours(audio(20000), video(20002)))
	require.NoError(t, err)
	err = n.RemoteOffer(mustParse(t, theirAudio)) // RFC 3264 §8 forbids it, phones do it
	require.NoError(t, err)
	answer, err := n.LocalAnswer(ours(audio(20000)))
	require.NoError(t, err)
	require.Equal(t, "a", kinds(answer))
	offer, err := n.LocalOffer(ours(audio(20000)))
	require.NoError(t, err)
	require.Equal(t, "av-", kinds(offer), "our offers keep the slot")
}

func TestVersions(t *testing.T) {
	n := NewNegotiation(Origin{SessionID: 9, Version: 1})
	offer := func(port int) uint64 {
		t.Helper()
		d, err := n.LocalOffer(ours(audio(port)))
		require.NoError(t, err)
		require.Equal(t, uint64(9), d.Origin.SessionID)
		return d.Origin.Version
	}
	require.Equal(t, uint64(1), offer(20000))
	n.Refuse()
	require.Equal(t, uint64(1), offer(20000))
	n.Refuse()
	require.Equal(t, uint64(2), offer(20002))
	n.Refuse()
	require.Equal(t, uint64(3), offer(20000), "what was sent last counts, refused or not")
	err := n.RemoteAnswer(mustParse(t, theirAudio))
	require.NoError(t, err)

	err = n.RemoteOffer(mustParse(t, theirAudio))
	require.NoError(t, err)
	answer, err := n.LocalAnswer(n.Local())
	require.NoError(t, err)
	again, err := n.LocalOffer(n.Local())
	require.NoError(t, err)
	require.Equal(t, answer.Origin.Version, again.Origin.Version)
}

func TestResumeAfterOldHold(t *testing.T) {
	n := NewNegotiation(Origin{})
	d := mustParse(t, theirAudio)
	d.Connection = &Connection{Address: "0.0.0.0"}
	err := n.RemoteOffer(d)
	require.NoError(t, err)
	answer, err := n.LocalAnswer(ours(audio(20000)))
	require.NoError(t, err)
	require.Equal(t, Inactive, answer.Media[0].Direction)
	err = n.RemoteOffer(mustParse(t, theirAudio))
	require.NoError(t, err)
}

func TestDirectionOfAnswers(t *testing.T) {
	for _, offered := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
		for _, want := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
			n := NewNegotiation(Origin{})
			err := n.RemoteOffer(mustParse(t, theirAudio+"a="+string(offered)+"\n"))
			require.NoError(t, err)
			m := audio(20000)
			m.Direction = want
			answer, err := n.LocalAnswer(ours(m))
			require.NoError(t, err)
			require.Equal(t, want.Answer(offered), answer.Media[0].Direction)
			require.Equal(t, want.Answer(offered), agreedDirection(n, 0))

			// The other way round, with a peer that answers what it likes.
			n = NewNegotiation(Origin{})
			m.Direction = offered
			_, err = n.LocalOffer(ours(m))
			require.NoError(t, err)
			err = n.RemoteAnswer(mustParse(t, theirAudio+"a="+string(want)+"\n"))
			require.NoError(t, err)
			require.Equal(t, offered.Answer(want), agreedDirection(n, 0))
		}
	}
}

func TestAnswerIsLegal(t *testing.T) {
	n := NewNegotiation(Origin{})
	err := n.RemoteOffer(mustParse(t, `a=group:BUNDLE x y
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
a=mid:x
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=rtcp-fb:* nack
a=extmap:1 urn:a
a=rtcp-mux
a=ice-ufrag:u
a=ice-pwd:p
a=fingerprint:sha-1 AA
a=setup:actpass
m=video 0 UDP/TLS/RTP/SAVPF 96
a=mid:y
a=bundle-only
a=ice-ufrag:u
a=ice-pwd:p
`))
	require.NoError(t, err)
	m := Media{
		Kind: "audio", Port: 20000, Protocol: "RTP/AVP", MID: "ours", RTCPMux: true, RTCPMuxOnly: true, RTCPRSize: true, Setup: SetupActpass,
		Codecs: []Codec{{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2, Feedback: []Feedback{
			{Type: "transport-cc"}, {Type: "nack"}, {Type: "ccm", Subtype: "fir"},
		}}},
		Feedback:   []Feedback{{Type: "nack"}, {Type: "goog-remb"}},
		Extensions: []Extension{{ID: 1, URI: "urn:a"}, {ID: 2, URI: "urn:b"}, {ID: 3, URI: "urn:a"}},
		ICE:        ICE{Ufrag: "g", Pwd: "w"}, Fingerprints: []Fingerprint{{"sha-256", "BB"}}, BundleOnly: true,
	}
	d := ours(m, video(20002))
	d.Groups = []Group{{"BUNDLE", []string{"ours", "none"}}, {"LS", []string{"ours"}}}
	answer, err := n.LocalAnswer(d)
	require.NoError(t, err)
	a := answer.Media[0]
	require.Equal(t, "UDP/TLS/RTP/SAVPF", a.Protocol)
	require.Equal(t, "x", a.MID)
	require.Equal(t, SetupActive, a.Setup)
	require.Equal(t, SetupActive, n.Role(0))
	require.True(t, a.RTCPMux)
	require.False(t, a.RTCPMuxOnly || a.RTCPRSize || a.BundleOnly)
	require.Equal(t, []Feedback{{Type: "transport-cc"}, {Type: "nack"}}, a.Codecs[0].Feedback)
	require.Equal(t, []Feedback{{Type: "nack"}}, a.Feedback)
	require.Equal(t, []Extension{{ID: 1, URI: "urn:a"}}, a.Extensions)
	require.Equal(t, []Group{{"BUNDLE", []string{"x"}}}, answer.Groups)
	require.True(t, answer.Media[1].Rejected(), "bundle-only outside the bundle")

	// A later offer leaves the role open: the association lives on.
	offer := n.Remote().Clone()
	err = n.RemoteOffer(offer)
	require.NoError(t, err)
	again := d.Clone()
	again.Media[0].Setup = SetupPassive
	answer, err = n.LocalAnswer(again)
	require.NoError(t, err)
	require.Equal(t, SetupActive, answer.Media[0].Setup)
}

func TestAnswerWithoutICE(t *testing.T) {
	n := NewNegotiation(Origin{})
	err := n.RemoteOffer(mustParse(t, theirAudio))
	require.NoError(t, err)
	m := audio(20000)
	m.ICE, m.RTCPMux = ICE{Ufrag: "g", Pwd: "w"}, true
	m.Candidates = []Candidate{{Foundation: "1", Component: 1, Protocol: "udp", Address: "192.0.2.1", Port: 1, Type: "host"}}
	answer, err := n.LocalAnswer(ours(m))
	require.NoError(t, err)
	require.NotContains(t, answer.String(), "ice")
	require.NotContains(t, answer.String(), "candidate")
	require.NotContains(t, answer.String(), "rtcp-mux")
}

func TestRoles(t *testing.T) {
	tests := []struct {
		offered, answered string
		want              Setup
	}{
		{"actpass", "active", SetupPassive},
		{"actpass", "passive", SetupActive},
		{"actpass", "actpass", SetupPassive}, // forbidden, and sent
		{"actpass", "", SetupPassive},
		{"active", "", SetupActive},
	}
	for _, tt := range tests {
		n := NewNegotiation(Origin{})
		m := audio(20000)
		m.Fingerprints, m.Setup = []Fingerprint{{"sha-1", "AA"}}, Setup(tt.offered)
		_, err := n.LocalOffer(ours(m))
		require.NoError(t, err)
		body := theirAudio + "a=fingerprint:sha-1 BB\n"
		if tt.answered != "" {
			body += "a=setup:" + tt.answered + "\n"
		}
		err = n.RemoteAnswer(mustParse(t, body))
		require.NoError(t, err)
		require.Equal(t, tt.want, n.Role(0), tt)
	}
	for offered, want := range map[Setup]Setup{SetupActive: SetupPassive, SetupPassive: SetupActive, SetupHoldconn: SetupHoldconn, "": SetupActive} {
		require.Equal(t, want, answerRole(SetupActpass, offered, ""))
	}
	require.Equal(t, SetupPassive, answerRole(SetupPassive, SetupActpass, ""))
}

func TestTolerantAnswers(t *testing.T) {
	n := NewNegotiation(Origin{})
	_, err := n.LocalOffer(ours(audio(20000), Media{Kind: "image", Protocol: "udptl"}, video(20002)))
	require.NoError(t, err)
	err = n.RemoteAnswer(mustParse(t, theirAudio+theirVideo))
	require.NoError(t, err, "the line of a refused offer is nobody's")
	require.Equal(t, "ai-v-", kinds(n.Remote()))

	// A 200 after a 183 with another answer.
	err = n.RemoteAnswer(mustParse(t, strings.Replace(theirAudio, "4000", "4040", 1)+"m=image 0 udptl t38\n"+theirVideo+theirAudio))
	require.NoError(t, err)
	err = n.RemoteAnswer(n.Remote())
	require.NoError(t, err)
}

func TestStates(t *testing.T) {
	n := NewNegotiation(Origin{})
	_, err := n.LocalAnswer(ours(audio(1)))
	require.ErrorIs(t, err, ErrNoOffer)
	err = n.RemoteAnswer(ours(audio(1)))
	require.ErrorIs(t, err, ErrNoOffer)
	_, err = n.LocalOffer(ours(audio(1)))
	require.NoError(t, err)
	_, err = n.LocalAnswer(ours(audio(1)))
	require.ErrorIs(t, err, ErrNoOffer)
	err = n.RemoteOffer(ours(audio(1)))
	require.ErrorIs(t, err, ErrPending)
	_, err = n.LocalOffer(ours(audio(1)))
	require.ErrorIs(t, err, ErrPending)
	err = n.RemoteAnswer(mustParse(t, theirVideo))
	require.ErrorIs(t, err, ErrSlots)
	require.Equal(t, Local, n.Pending(), "nothing has changed")
	require.NotNil(t, n.PendingOffer())
	err = n.RemoteAnswer(mustParse(t, theirAudio))
	require.NoError(t, err)
	err = n.RemoteOffer(mustParse(t, theirVideo))
	require.ErrorIs(t, err, ErrSlots)
	_, err = n.LocalOffer(ours(video(1)))
	require.ErrorIs(t, err, ErrSlots)
	_, err = n.LocalOffer(&Description{Media: make([]Media, MaxMedia+1)})
	require.ErrorIs(t, err, ErrSlots)
	err = n.RemoteOffer(mustParse(t, theirAudio))
	require.NoError(t, err)
	err = n.RemoteAnswer(mustParse(t, theirAudio))
	require.ErrorIs(t, err, ErrNoOffer)
	_, err = n.LocalAnswer(ours(audio(1), video(2)))
	require.ErrorIs(t, err, ErrSlots)
	_, err = n.LocalAnswer(ours(video(2)))
	require.True(t, errors.Is(err, ErrSlots))
	require.Equal(t, "local", Local.String())
}

// A slot that the caller leaves empty is written as what was refused there, and an origin without address has the
// one of the description.
func TestEmptySlots(t *testing.T) {
	n := NewNegotiation(Origin{SessionID: 1})
	require.NoError(t, n.RemoteOffer(mustParse(t, theirVideo+theirAudio)))
	answer, err := n.LocalAnswer(ours(Media{}, audio(20000)))
	require.NoError(t, err)
	require.Equal(t, "v-a", kinds(answer))
	require.Equal(t, "192.0.2.1", answer.Origin.Address)
	offer, err := n.LocalOffer(ours(Media{}, audio(20000)))
	require.NoError(t, err)
	require.Equal(t, answer.String(), offer.String())
}

// While an offer of the peer is pending, the role is that of the answer to come.
func TestRoleOfThePendingOffer(t *testing.T) {
	keys := theirAudio + "a=fingerprint:sha-1 AA\na=setup:"
	n := NewNegotiation(Origin{})
	require.NoError(t, n.RemoteOffer(mustParse(t, keys+"active\n")))
	require.Equal(t, SetupPassive, n.Role(0))
	m := audio(20000)
	m.Fingerprints = []Fingerprint{{"sha-1", "BB"}}
	_, err := n.LocalAnswer(ours(m))
	require.NoError(t, err)
	require.NoError(t, n.RemoteOffer(mustParse(t, keys+"actpass\n")))
	require.Equal(t, SetupPassive, n.Role(0), "the association lives on")
}

// What a Negotiation is given it copies.
func TestNothingIsShared(t *testing.T) {
	n := NewNegotiation(Origin{})
	d := mustParse(t, theirAudio+"a=group:x\n")
	err := n.RemoteOffer(d)
	require.NoError(t, err)
	d.Media[0].Codecs[0].Name = "changed"
	want := ours(audio(20000))
	answer, err := n.LocalAnswer(want)
	require.NoError(t, err)
	want.Media[0].Codecs[0].Name = "changed"
	want.Connection.Address = "192.0.2.99"
	require.Equal(t, "PCMU", n.Remote().Media[0].Codecs[0].Name)
	require.Equal(t, "PCMU", answer.Media[0].Codecs[0].Name)
	require.NotContains(t, answer.String(), "192.0.2.99")
}

func TestBundledMediaShare(t *testing.T) {
	d := mustParse(t, `a=group:BUNDLE 1 0
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=mid:0
m=video 9 UDP/TLS/RTP/SAVPF 96
a=mid:1
a=ice-ufrag:u
a=ice-pwd:p
a=fingerprint:sha-1 AA
a=setup:active
a=rtcp-mux
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=mid:2
`)
	m := d.Effective(0)
	require.Equal(t, ICE{Ufrag: "u", Pwd: "p"}, m.ICE)
	require.Equal(t, []Fingerprint{{"sha-1", "AA"}}, m.Fingerprints)
	require.Equal(t, SetupActive, m.Setup)
	require.True(t, m.RTCPMux)
	m = d.Effective(2)
	require.Empty(t, m.ICE.Ufrag)
	require.Empty(t, m.Fingerprints)
}

// agreedDirection is what is agreed for a slot, seen from our side.
func agreedDirection(n *Negotiation, slot int) Direction {
	if !n.living(slot) {
		return Inactive
	}
	return n.local.Effective(slot).Direction.Answer(n.remote.Effective(slot).Direction)
}

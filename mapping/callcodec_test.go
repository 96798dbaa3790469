package mapping

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

func codec(pt uint8, name string, rate uint32, format string) sdp.Codec {
	return sdp.Codec{PayloadType: pt, Name: name, ClockRate: rate, Format: format}
}

var (
	opus   = sdp.Codec{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2, Format: "useinbandfec=1"}
	pcmu   = codec(0, "PCMU", 8000, "")
	pcma   = codec(8, "PCMA", 8000, "")
	g722   = codec(9, "G722", 8000, "")
	tone8  = codec(101, "telephone-event", 8000, "0-15")
	tone48 = codec(110, "telephone-event", 48000, "0-15")
	vp8    = codec(96, "VP8", 90000, "")
	rtx    = codec(97, "rtx", 90000, "apt=96")
	red    = codec(63, "red", 48000, "111/111")
)

func TestSameCodec(t *testing.T) {
	h264 := func(format string) sdp.Codec { return codec(102, "H264", 90000, format) }
	tests := []struct {
		name string
		a, b sdp.Codec
		want bool
	}{
		{"numbers do not matter", pcmu, codec(96, "pcmu", 8000, ""), true},
		{"names do", pcmu, pcma, false},
		{"clock rates do", tone8, tone48, false},
		{"channels do", pcmu, sdp.Codec{Name: "PCMU", ClockRate: 8000, Channels: 2}, false},
		{"one channel is none said", pcmu, sdp.Codec{Name: "PCMU", ClockRate: 8000, Channels: 1}, true},
		{"but not of opus", opus, codec(96, "OPUS", 48000, ""), true},
		{"nameless", codec(96, "", 0, ""), codec(96, "", 0, ""), false},
		{"H264 level", h264("profile-level-id=42e01f;packetization-mode=1"), h264("packetization-mode=1;profile-level-id=42E00D"), true},
		{"H264 mode", h264("profile-level-id=42e01f;packetization-mode=1"), h264("profile-level-id=42e01f"), false},
		{"H264 mode 0 is the default", h264("packetization-mode=0"), h264(""), true},
		{"H264 profile", h264("profile-level-id=42e01f"), h264("profile-level-id=640c1f"), false},
		{"H264 constrained baseline", h264("profile-level-id=42c01f"), h264("profile-level-id=4d801f"), true},
		{"H264 baseline", h264("profile-level-id=42001f"), h264("profile-level-id=42e01f"), false},
		{"H264 odd", h264("profile-level-id=4"), h264("profile-level-id=42e01f"), false},
		{"AMR", codec(96, "AMR", 8000, "octet-align=1"), codec(96, "AMR", 8000, ""), false},
		{"VP9", codec(98, "VP9", 90000, "profile-id=2"), codec(98, "VP9", 90000, ""), false},
		{"iLBC", codec(98, "iLBC", 8000, "mode=20"), codec(98, "iLBC", 8000, "mode=30"), false},
		{"G7221", codec(98, "G7221", 16000, "bitrate=24000"), codec(98, "G7221", 16000, "bitrate=32000"), false},
		{"H265", codec(98, "H265", 90000, ""), codec(98, "H265", 90000, "profile-id=1"), true},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, SameCodec(tt.a, tt.b), tt.name)
		require.Equal(t, tt.want, SameCodec(tt.b, tt.a), tt.name)
	}
}

func names(list []sdp.Codec) (out []uint8) {
	for _, c := range list {
		out = append(out, c.PayloadType)
	}
	return out
}

func TestAnswerCodecs(t *testing.T) {
	all := []sdp.Codec{opus, g722, pcma, pcmu, tone48, tone8, vp8, rtx, red, codec(13, "CN", 8000, "")}
	tests := []struct {
		name                  string
		offered, known, other []sdp.Codec
		want                  []uint8
	}{
		{"the offerer's order and numbers", []sdp.Codec{codec(120, "opus", 48000, ""), pcmu, tone8}, all, nil, []uint8{120, 0, 101}},
		{"what the far leg has comes first", []sdp.Codec{opus, pcmu, pcma, tone8, tone48}, all, []sdp.Codec{pcma}, []uint8{8, 111, 0, 101, 110}},
		{"events of a rate without audio", []sdp.Codec{opus, tone8}, all, nil, []uint8{111}},
		{"repair of what is left", []sdp.Codec{vp8, rtx, codec(98, "VP9", 90000, ""), codec(99, "rtx", 90000, "apt=98")}, all, nil, []uint8{96, 97}},
		{"redundancy", []sdp.Codec{opus, red, tone48}, all, nil, []uint8{111, 63, 110}},
		{"redundancy alone", []sdp.Codec{pcmu, red}, all, nil, []uint8{0}},
		{"once", []sdp.Codec{pcmu, codec(96, "PCMU", 8000, "")}, all, nil, []uint8{0}},
		{"nothing but events", []sdp.Codec{tone8, codec(18, "G729", 8000, "")}, all, nil, nil},
		{"broken rtx", []sdp.Codec{vp8, codec(97, "rtx", 90000, "apt=x")}, all, nil, []uint8{96, 97}},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, names(AnswerCodecs(tt.offered, tt.known, tt.other)), tt.name)
	}
}

func TestSharedCodecs(t *testing.T) {
	pairs := SharedCodecs([]sdp.Codec{opus, pcma, tone8, pcmu}, []sdp.Codec{pcmu, tone8, codec(120, "OPUS", 48000, "")})
	require.Len(t, pairs, 2)
	require.Equal(t, uint8(111), pairs[0].A.PayloadType)
	require.Equal(t, uint8(120), pairs[0].B.PayloadType)
	require.Equal(t, CodecPair{pcmu, pcmu}, pairs[1])
	require.Nil(t, SharedCodecs([]sdp.Codec{opus, tone8}, []sdp.Codec{pcma, tone8}))
}

func TestEventsFor(t *testing.T) {
	list := []sdp.Codec{opus, tone8, tone48}
	for rate, want := range map[uint32]uint8{48000: 110, 8000: 101, 16000: 101} {
		got, ok := EventsFor(list, rate)
		require.True(t, ok)
		require.Equal(t, want, got.PayloadType)
	}
	_, ok := EventsFor([]sdp.Codec{opus}, 48000)
	require.False(t, ok)
}

func TestNumberCodecs(t *testing.T) {
	got := NumberCodecs([]sdp.Codec{opus, pcmu, codec(0, "speex", 16000, ""), tone8, red}, []sdp.Codec{codec(96, "opus", 48000, ""), codec(101, "iLBC", 8000, "")}, true)
	require.Equal(t, []uint8{96, 0, 97, 98, 99}, names(got))
	require.Equal(t, "96/96", got[4].Format)

	got = NumberCodecs([]sdp.Codec{vp8, rtx}, []sdp.Codec{codec(100, "VP8", 90000, "")}, true)
	require.Equal(t, []uint8{100, 97}, names(got))
	require.Equal(t, "apt=100", got[1].Format)

	many := make([]sdp.Codec, 0, 70)
	for i := range 70 {
		many = append(many, codec(0, "x", uint32(1000+i), ""))
	}
	require.Len(t, NumberCodecs(many, nil, false), 32)
	require.Len(t, NumberCodecs(many, nil, true), 32+29)
}

func TestNumbersAreUnique(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) sdp.Codec {
		return codec(rapid.Uint8Range(0, 127).Draw(t, "pt"), rapid.SampledFrom([]string{"opus", "PCMU", "rtx", "red", "VP8", "x"}).Draw(t, "name"),
			rapid.SampledFrom([]uint32{8000, 48000, 90000}).Draw(t, "rate"), rapid.SampledFrom([]string{"", "apt=96", "96/96", "a=b"}).Draw(t, "format"))
	})
	rapid.Check(t, func(t *rapid.T) {
		taken := rapid.SliceOfNDistinct(one, 0, 8, func(c sdp.Codec) uint8 { return c.PayloadType }).Draw(t, "taken")
		seen := map[uint8]bool{}
		for _, c := range NumberCodecs(rapid.SliceOfN(one, 0, 20).Draw(t, "list"), taken, rapid.Bool().Draw(t, "mux")) {
			if n := c.PayloadType; seen[n] || n > 127 || n >= 64 && n < 96 && !has(taken, n) {
				t.Fatal(n)
			}
			seen[c.PayloadType] = true
		}
	})
}

func has(list []sdp.Codec, n uint8) bool {
	for _, c := range list {
		if c.PayloadType == n {
			return true
		}
	}
	return false
}

package mapping

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

func codec(pt uint8, name string, rate uint32) sdp.Codec {
	return sdp.Codec{PayloadType: pt, Name: name, ClockRate: rate}
}

var all = OwnCodecs([]string{"opus", "g722", "pcma", "pcmu"})

var (
	opus, g722, pcma, pcmu = all[0], all[1], all[2], all[3]
	g729                   = codec(18, "G729", 8000)
)

func TestSameCodec(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b sdp.Codec
		want bool
	}{
		{"numbers do not matter", pcmu, codec(96, "pcmu", 8000), true},
		{"names do", pcmu, pcma, false},
		{"clock rates do", events8k, events48k, false},
		{"channels do", pcmu, sdp.Codec{Name: "PCMU", ClockRate: 8000, Channels: 2}, false},
		{"one channel is none said", pcmu, sdp.Codec{Name: "PCMU", ClockRate: 8000, Channels: 1}, true},
		{"but not of opus", opus, codec(96, "OPUS", 48000), true},
		{"nameless", codec(96, "", 0), codec(96, "", 0), false},
	} {
		require.Equal(t, tt.want, sameCodec(tt.a, tt.b), tt.name)
		require.Equal(t, tt.want, sameCodec(tt.b, tt.a), tt.name)
	}
}

func numbers(list []sdp.Codec) []uint8 {
	out := make([]uint8, 0, len(list))
	for _, c := range list {
		out = append(out, c.PayloadType)
	}
	return out
}

func TestOfferCodecs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other []sdp.Codec
		want  []uint8
	}{
		{"nothing known", nil, []uint8{111, 9, 8, 0, 110, 101}},
		{"the other's order, our numbers", []sdp.Codec{g729, codec(97, "PCMU", 8000), codec(96, "opus", 48000), events8k}, []uint8{0, 111, 9, 8, 110, 101}},
		{"each once", []sdp.Codec{pcma, codec(97, "PCMA", 8000)}, []uint8{8, 111, 9, 0, 110, 101}},
		{"nothing in common", []sdp.Codec{g729}, []uint8{111, 9, 8, 0, 110, 101}},
	} {
		require.Equal(t, tt.want, numbers(OfferCodecs(all, tt.other)), tt.name)
	}
	require.Equal(t, []uint8{8, 101}, numbers(OfferCodecs(OwnCodecs([]string{"PCMA", "pcma", "g729"}), nil)), "no events of a rate that nothing has")
}

func TestChoice(t *testing.T) {
	for _, tt := range []struct {
		name        string
		list, other []sdp.Codec
		want        uint8
		none        bool
	}{
		{name: "in common", list: []sdp.Codec{opus, pcmu}, other: []sdp.Codec{pcma, pcmu}, want: 0},
		{name: "in common, its own order", list: []sdp.Codec{opus, pcmu}, other: []sdp.Codec{pcmu, opus}, want: 111},
		{name: "nothing in common: transcoded", list: []sdp.Codec{pcma, pcmu}, other: []sdp.Codec{opus}, want: 8},
		{name: "the other side is not known", list: []sdp.Codec{pcma, pcmu}, want: 8},
		{name: "none", none: true},
	} {
		got, ok := ChooseCodec(tt.list, tt.other)
		require.Equal(t, !tt.none, ok, tt.name)
		require.Equal(t, tt.want, got.PayloadType, tt.name)
	}
	require.Equal(t, []sdp.Codec{opus, events48k}, WithEvents(opus, []sdp.Codec{opus, events8k, events48k}))
	require.Equal(t, []sdp.Codec{opus, events8k}, WithEvents(opus, []sdp.Codec{opus, events8k, codec(102, telephoneEvent, 16000)}))
	require.Equal(t, []sdp.Codec{pcmu}, WithEvents(pcmu, []sdp.Codec{pcmu, g722}))
	theirs := []sdp.Codec{g729, pcmu, events8k, opus, events48k}
	require.Equal(t, []sdp.Codec{pcmu, opus, events8k, events48k}, HeardCodecs(theirs, all))
	require.Equal(t, []sdp.Codec{pcmu, opus}, SharedCodecs(theirs, all))
}

func TestNumberCodecs(t *testing.T) {
	taken := []sdp.Codec{codec(96, "opus", 48000), codec(101, "iLBC", 8000), codec(97, "speex", 8000)}
	require.Equal(t, []uint8{96, 9, 8, 0, 110, 98}, numbers(NumberCodecs(OfferCodecs(all, nil), taken)))
	require.Equal(t, []uint8{111, 9, 8, 0, 110, 101}, numbers(NumberCodecs(OfferCodecs(all, nil), nil)))
	var full []sdp.Codec
	for n := range 128 {
		full = append(full, codec(uint8(n), "x", 8000))
	}
	require.Empty(t, NumberCodecs(all, full))
}

func TestNumbersAreUnique(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) sdp.Codec {
		return codec(rapid.Uint8Range(0, 127).Draw(t, "pt"), rapid.SampledFrom([]string{"opus", "PCMU", "G722", "x", telephoneEvent}).Draw(t, "name"),
			rapid.SampledFrom([]uint32{8000, 48000}).Draw(t, "rate"))
	})
	rapid.Check(t, func(t *rapid.T) {
		taken := rapid.SliceOfNDistinct(one, 0, 8, func(c sdp.Codec) uint8 { return c.PayloadType }).Draw(t, "taken")
		seen := map[uint8]bool{}
		for _, c := range NumberCodecs(OfferCodecs(all, taken), taken) {
			i := slices.IndexFunc(taken, func(t sdp.Codec) bool { return t.PayloadType == c.PayloadType })
			if seen[c.PayloadType] || i >= 0 && !sameCodec(taken[i], c) {
				t.Fatal(c)
			}
			seen[c.PayloadType] = true
		}
	})
}

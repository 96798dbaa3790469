package mapping

import (
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

// The codecs of a call that ends at the gateway on both sides: what it offers one side, and what it chooses from
// what a side has, so that sound passes as it is wherever both have one codec, and is transcoded elsewhere.

// ownCodecs are the codecs that the relay makes sound of, by the names of the configuration, with the numbers that
// they are offered with (RFC 3551 §6, RFC 7587 §7).
var ownCodecs = map[string]sdp.Codec{
	"opus": {PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2, Format: "minptime=10;useinbandfec=1"},
	"g722": {PayloadType: 9, Name: "G722", ClockRate: 8000},
	"pcma": {PayloadType: 8, Name: "PCMA", ClockRate: 8000},
	"pcmu": {PayloadType: 0, Name: "PCMU", ClockRate: 8000},
}

// The events of the two clock rates (RFC 4733 §2.4.1).
var (
	events8k  = sdp.Codec{PayloadType: 101, Name: telephoneEvent, ClockRate: 8000, Format: "0-15"}
	events48k = sdp.Codec{PayloadType: 110, Name: telephoneEvent, ClockRate: 48000, Format: "0-15"}
)

const telephoneEvent = "telephone-event"

// The payload types that are free for any codec (RFC 3551 §6).
const firstDynamic, lastDynamic = 96, 127

// IsEvents reports whether the codec carries telephone events, which is no sound (RFC 4733).
func IsEvents(c sdp.Codec) bool { return strings.EqualFold(c.Name, telephoneEvent) }

// isAuxiliary reports whether the codec is of no use alone: it repairs, repeats or accompanies another one.
func isAuxiliary(c sdp.Codec) bool {
	switch strings.ToLower(c.Name) {
	case telephoneEvent, "cn", "rtx", "red", "ulpfec", "flexfec", "flexfec-03", "tone":
		return true
	}
	return false
}

// sameCodec reports whether two payload types are one codec, so that packets can pass from one to the other with a
// new number and nothing else. Nobody who writes the channels of Opus wrongly means something else (RFC 7587 §7).
func sameCodec(a, b sdp.Codec) bool {
	return a.Name != "" && a.Is(b.Name, b.ClockRate) && (max(a.Channels, 1) == max(b.Channels, 1) || a.Is("opus", 48000))
}

func hasCodec(list []sdp.Codec, c sdp.Codec) bool {
	return slices.ContainsFunc(list, func(o sdp.Codec) bool { return sameCodec(o, c) })
}

// OwnCodecs are the codecs with these names, which are those of the configuration: opus, g722, pcma, pcmu. Others
// are left out.
func OwnCodecs(names []string) []sdp.Codec {
	var list []sdp.Codec
	for _, n := range names {
		if c, ok := ownCodecs[strings.ToLower(n)]; ok && !hasCodec(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// SharedCodecs are those of a peer's codecs that we speak, with its numbers and in its order, each once; what is no
// sound is left out.
func SharedCodecs(theirs, own []sdp.Codec) []sdp.Codec {
	var list []sdp.Codec
	for _, c := range theirs {
		if hasCodec(own, c) && !hasCodec(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// OfferCodecs is what one side is offered when the other has these codecs, none when that is not known yet: what
// we speak, the common ones first in the other's order, so that nothing needs transcoding; and telephone events.
// Those of 8000 Hz are always there: they are what phones take, whatever the sound is.
func OfferCodecs(own, other []sdp.Codec) []sdp.Codec {
	list := make([]sdp.Codec, 0, len(own)+2)
	for _, c := range append(SharedCodecs(other, own), own...) {
		if i := slices.IndexFunc(own, func(o sdp.Codec) bool { return sameCodec(o, c) }); !hasCodec(list, c) {
			list = append(list, own[i]) // with our number
		}
	}
	if slices.ContainsFunc(list, func(c sdp.Codec) bool { return c.ClockRate == events48k.ClockRate }) {
		list = append(list, events48k)
	}
	return append(list, events8k)
}

// ChooseCodec chooses what a side is sent among the codecs that it and we speak, most wanted first: one that the
// other side has too, else the first. ok is false for an empty list.
func ChooseCodec(list, other []sdp.Codec) (c sdp.Codec, ok bool) {
	for _, c := range list {
		if hasCodec(other, c) {
			return c, true
		}
	}
	if len(list) == 0 {
		return c, false
	}
	return list[0], true
}

// WithEvents is a codec with the telephone events that go with it, if the peer has any: those of its clock rate
// (RFC 4733 §2.1), or else the first ones of another rate, since phones rarely have more than those of 8000 Hz.
func WithEvents(c sdp.Codec, theirs []sdp.Codec) []sdp.Codec {
	var found *sdp.Codec
	for i := range theirs {
		switch e := &theirs[i]; {
		case !IsEvents(*e):
		case e.ClockRate == c.ClockRate:
			return []sdp.Codec{c, *e}
		case found == nil:
			found = e
		}
	}
	if found == nil {
		return []sdp.Codec{c}
	}
	return []sdp.Codec{c, *found}
}

// HeardCodecs are those of a peer's codecs that it may send after it answered an offer of ours: what we speak, and
// telephone events.
func HeardCodecs(theirs, own []sdp.Codec) []sdp.Codec {
	list := SharedCodecs(theirs, own)
	for _, c := range theirs {
		if IsEvents(c) {
			list = append(list, c)
		}
	}
	return list
}

// NumberCodecs gives every codec the payload type that it has in the session already, taken, and a number of its own
// to one that is new: a number never changes its meaning within a session (RFC 3264 §8.3.2). Codecs that find no
// number are left out.
func NumberCodecs(list, taken []sdp.Codec) []sdp.Codec {
	out := make([]sdp.Codec, 0, len(list))
	var used [128]bool
	for _, t := range taken {
		used[t.PayloadType&127] = true
	}
	for _, c := range list {
		if i := slices.IndexFunc(taken, func(t sdp.Codec) bool { return sameCodec(t, c) }); i >= 0 {
			c.PayloadType = taken[i].PayloadType
		} else {
			for n := firstDynamic; n <= lastDynamic && used[c.PayloadType&127]; n++ {
				c.PayloadType = uint8(n)
			}
			if used[c.PayloadType&127] {
				continue
			}
		}
		used[c.PayloadType&127] = true
		out = append(out, c)
	}
	return out
}

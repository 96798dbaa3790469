package mapping

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

// The number range of RTP payload types (RFC 3551 §3, RFC 5761 §4). Those from 64 to 95 look like RTCP to who
// multiplexes it with RTP.
const (
	firstDynamic, lastDynamic = 96, 127
	firstSpare, lastSpare     = 35, 63
)

const telephoneEvent = "telephone-event"

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

// SameCodec reports whether two payload types are one codec, so that packets can pass from one to the other with a
// new number and nothing else: name, clock rate, channels, and the parameters that change the format of packets.
func SameCodec(a, b sdp.Codec) bool {
	if !a.Is(b.Name, b.ClockRate) || a.Name == "" {
		return false
	}
	switch strings.ToLower(a.Name) {
	case "opus":
		return true // RFC 7587 §7: always written with two channels, whatever is in it
	case "h264":
		return sameParameter(a, b, "packetization-mode", "0") && h264Profile(a) == h264Profile(b)
	case "h265":
		return sameParameter(a, b, "profile-id", "1")
	case "vp9", "av1":
		return sameParameter(a, b, "profile-id", "0") && sameParameter(a, b, "profile", "0")
	case "amr", "amr-wb":
		return sameParameter(a, b, "octet-align", "0") && max(a.Channels, 1) == max(b.Channels, 1)
	case "ilbc":
		return sameParameter(a, b, "mode", "30")
	case "g7221":
		return sameParameter(a, b, "bitrate", "")
	}
	return max(a.Channels, 1) == max(b.Channels, 1)
}

func sameParameter(a, b sdp.Codec, name, fallback string) bool {
	x, _ := a.Parameter(name)
	y, _ := b.Parameter(name)
	return or(x, fallback) == or(y, fallback)
}

// h264Profile is the profile of profile-level-id without the level, which an answer may change (RFC 6184 §8.1).
// Constrained baseline has two spellings.
func h264Profile(c sdp.Codec) string {
	id, _ := c.Parameter("profile-level-id")
	id = strings.ToLower(or(id, "42000a"))
	if len(id) != 6 {
		return id
	}
	flags, err := strconv.ParseUint(id[2:4], 16, 8)
	if err == nil && (id[:2] == "42" && flags&0x40 != 0 || id[:2] == "4d" && flags&0x80 != 0) {
		return "42e0"
	}
	return id[:2]
}

// CodecPair is one codec with its form on both sides.
type CodecPair struct{ A, B sdp.Codec }

// SharedCodecs are the codecs that both sides have, in the order of a, each once. What only accompanies a codec
// (events, comfort noise, repair) is left out.
func SharedCodecs(a, b []sdp.Codec) []CodecPair {
	var list []CodecPair
	for _, x := range a {
		if isAuxiliary(x) || slices.ContainsFunc(list, func(p CodecPair) bool { return SameCodec(p.A, x) }) {
			continue
		}
		if i := slices.IndexFunc(b, func(y sdp.Codec) bool { return SameCodec(x, y) }); i >= 0 {
			list = append(list, CodecPair{x, b[i]})
		}
	}
	return list
}

// AnswerCodecs are the codecs to answer an offer with: those that known has too, in the offerer's order and with
// its payload types and parameters, each once. Codecs that other has too, which are those of the far leg, come
// first, so that nothing needs to be transcoded. Events and comfort noise stay when known has them and an audio
// codec with their clock rate is left, repair when its codec is left. None is no codec in common.
func AnswerCodecs(offered, known, other []sdp.Codec) []sdp.Codec {
	var main, rest []sdp.Codec
	has := func(list []sdp.Codec, c sdp.Codec) bool {
		return slices.ContainsFunc(list, func(k sdp.Codec) bool { return SameCodec(k, c) })
	}
	for _, c := range offered {
		switch {
		case isAuxiliary(c) || !has(known, c) || has(main, c) || has(rest, c):
		case has(other, c):
			main = append(main, c)
		default:
			rest = append(rest, c)
		}
	}
	list := append(main, rest...)
	if list == nil {
		return nil
	}
	codecs := list
	for _, c := range offered {
		if isAuxiliary(c) && has(known, c) && accompanies(c, codecs) {
			list = append(list, c)
		}
	}
	return list
}

// accompanies reports whether what the auxiliary codec is for is in the list.
func accompanies(c sdp.Codec, list []sdp.Codec) bool {
	if numbers, ok := references(c); ok {
		for _, n := range numbers {
			if !slices.ContainsFunc(list, func(k sdp.Codec) bool { return k.PayloadType == n }) {
				return false
			}
		}
		return true
	}
	return slices.ContainsFunc(list, func(k sdp.Codec) bool { return k.ClockRate == c.ClockRate })
}

// references are the payload types inside the parameters: "apt=96" of rtx (RFC 4588 §8.1), "96/96" of red
// (RFC 2198 §5).
func references(c sdp.Codec) (list []uint8, ok bool) {
	var texts []string
	switch strings.ToLower(c.Name) {
	case "rtx":
		v, _ := c.Parameter("apt")
		texts = []string{v}
	case "red":
		texts = strings.Split(strings.TrimSpace(c.Format), "/")
	}
	for _, t := range texts {
		n, err := strconv.ParseUint(t, 10, 7)
		if err != nil {
			return nil, false
		}
		list = append(list, uint8(n))
	}
	return list, list != nil
}

// EventsFor finds the telephone events that go with a clock rate in Hz (RFC 4733 §2.1), or else the first ones of
// another rate, since phones rarely have more than those of 8000 Hz.
func EventsFor(list []sdp.Codec, clockRate uint32) (sdp.Codec, bool) {
	var found sdp.Codec
	for _, c := range list {
		switch {
		case !IsEvents(c):
		case c.ClockRate == clockRate:
			return c, true
		case found.Name == "":
			found = c
		}
	}
	return found, found.Name != ""
}

// NumberCodecs gives every codec a payload type for an offer: static ones their own, those that the peer has
// numbered before (taken) the same again, all others a free one: from 96 up, then with rtcp-mux from 35 up. Codecs
// that find no number are left out. Numbers inside parameters follow.
func NumberCodecs(list, taken []sdp.Codec, mux bool) []sdp.Codec {
	out := make([]sdp.Codec, 0, len(list))
	numbers := map[uint8]uint8{} // old to new
	var used [128]bool
	for _, t := range taken {
		used[t.PayloadType&127] = true
	}
	for _, c := range list {
		number, ok := c.PayloadType, false
		if i := slices.IndexFunc(taken, func(t sdp.Codec) bool { return SameCodec(t, c) && !assigned(out, t.PayloadType) }); i >= 0 {
			number, ok = taken[i].PayloadType, true
		} else if static, fixed := sdp.StaticCodec(number); number >= firstDynamic && number <= lastDynamic || fixed && SameCodec(static, c) {
			ok = !used[number] // the number it has is as good as any
		}
		if !ok {
			if number, ok = freeNumber(&used, mux); !ok {
				continue
			}
		}
		used[number] = true
		if _, twice := numbers[c.PayloadType]; !twice {
			numbers[c.PayloadType] = number
		}
		c.PayloadType = number
		out = append(out, c)
	}
	for i := range out {
		out[i].Format = renumber(out[i], numbers)
	}
	return out
}

func assigned(list []sdp.Codec, number uint8) bool {
	return slices.ContainsFunc(list, func(c sdp.Codec) bool { return c.PayloadType == number })
}

func freeNumber(used *[128]bool, mux bool) (uint8, bool) {
	for n := firstDynamic; n <= lastDynamic; n++ {
		if !used[n] {
			return uint8(n), true
		}
	}
	for n := firstSpare; mux && n <= lastSpare; n++ {
		if !used[n] {
			return uint8(n), true
		}
	}
	return 0, false
}

// renumber writes the fmtp text with new payload types in it.
func renumber(c sdp.Codec, numbers map[uint8]uint8) string {
	old, ok := references(c)
	if !ok {
		return c.Format
	}
	text := func(n uint8) string {
		if to, ok := numbers[n]; ok {
			n = to
		}
		return strconv.Itoa(int(n))
	}
	if strings.EqualFold(c.Name, "red") {
		parts := make([]string, len(old))
		for i, n := range old {
			parts[i] = text(n)
		}
		return strings.Join(parts, "/")
	}
	params := c.Parameters()
	for i := range params {
		if strings.EqualFold(params[i].Name, "apt") {
			params[i].Value = text(old[0])
		}
	}
	return sdp.FormatParameters(params)
}

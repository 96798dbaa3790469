package call

import (
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// ours are the codecs that the relay can make sound of, by the names of the
// configuration, with the numbers that we offer them with (RFC 3551 §6, RFC 7587 §7).
var ours = map[string]sdp.Codec{
	"opus": {PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2, Format: "minptime=10;useinbandfec=1"},
	"g722": {PayloadType: 9, Name: "G722", ClockRate: 8000},
	"pcma": {PayloadType: 8, Name: "PCMA", ClockRate: 8000},
	"pcmu": {PayloadType: 0, Name: "PCMU", ClockRate: 8000},
}

// The events that go with a clock rate (RFC 4733 §2.4.1 wants that of the audio).
var (
	event8k  = sdp.Codec{PayloadType: 101, Name: eventName, ClockRate: 8000, Format: "0-15"}
	event48k = sdp.Codec{PayloadType: 110, Name: eventName, ClockRate: 48000, Format: "0-15"}
)

const eventName = "telephone-event"

func isEvent(c sdp.Codec) bool { return strings.EqualFold(c.Name, eventName) }

// same tells whether two payload types are one codec. Nobody writes the channels of Opus
// wrongly and means something else (RFC 7587 §7).
func same(a, b sdp.Codec) bool {
	return a.Is(b.Name, b.ClockRate) && (max(a.Channels, 1) == max(b.Channels, 1) || a.Is("opus", 48000))
}

func indexOf(list []sdp.Codec, c sdp.Codec) int {
	return slices.IndexFunc(list, func(o sdp.Codec) bool { return same(o, c) })
}

// speak are the codecs of the configuration.
func (s *Settings) speak() []sdp.Codec {
	var list []sdp.Codec
	for _, n := range s.Codecs {
		if c, ok := ours[strings.ToLower(n)]; ok {
			list = append(list, c)
		}
	}
	return list
}

// offer is what we offer one side when the other side has these codecs: the common ones
// first, in the other's order, so that nothing needs transcoding; nil: it is not known.
func (s *Settings) offer(other []sdp.Codec) []sdp.Codec {
	all := s.speak()
	list := make([]sdp.Codec, 0, len(all)+2)
	for _, o := range other {
		if i := indexOf(all, o); i >= 0 && indexOf(list, o) < 0 {
			list = append(list, all[i])
		}
	}
	for _, c := range all {
		if indexOf(list, c) < 0 {
			list = append(list, c)
		}
	}
	return append(list, eventsFor(list)...)
}

// eventsFor are the telephone-events that go with a list of audio codecs. The clock of 8000
// is always there: it is what phones take, whatever the audio is.
func eventsFor(audio []sdp.Codec) []sdp.Codec {
	if slices.ContainsFunc(audio, func(c sdp.Codec) bool { return c.ClockRate == 48000 }) {
		return []sdp.Codec{event48k, event8k}
	}
	return []sdp.Codec{event8k}
}

// audio are those of a peer's codecs that we speak, with its numbers and in its order.
func (s *Settings) audio(theirs []sdp.Codec) []sdp.Codec {
	all := s.speak()
	var list []sdp.Codec
	for _, c := range theirs {
		if indexOf(all, c) >= 0 && indexOf(list, c) < 0 {
			list = append(list, c)
		}
	}
	return list
}

// spoken are those of a peer's codecs that it may send: what we speak, and the events.
func (s *Settings) spoken(theirs []sdp.Codec) []sdp.Codec {
	list := s.audio(theirs)
	for _, c := range theirs {
		if isEvent(c) {
			list = append(list, c)
		}
	}
	return list
}

// pick chooses the codec of each side: one that both have, in the order of first, else
// what each likes best.
func pick(first, second []sdp.Codec) (a, b sdp.Codec, ok bool) {
	if len(first) == 0 || len(second) == 0 {
		return a, b, false
	}
	for _, c := range first {
		if i := indexOf(second, c); i >= 0 {
			return c, second[i], true
		}
	}
	return first[0], second[0], true
}

// chosen is a codec with the telephone-event that goes with it, if the peer has one.
func chosen(c sdp.Codec, theirs []sdp.Codec) []sdp.Codec {
	list := []sdp.Codec{c}
	other := -1
	for i, e := range theirs {
		switch {
		case !isEvent(e):
		case e.ClockRate == c.ClockRate:
			return append(list, e)
		case other < 0:
			other = i
		}
	}
	if other >= 0 {
		list = append(list, theirs[other])
	}
	return list
}

func relayCodecs(list []sdp.Codec) []relay.Codec {
	out := make([]relay.Codec, 0, len(list))
	for _, c := range list {
		r := relay.Codec{PayloadType: c.PayloadType, Name: c.Name, ClockRate: c.ClockRate, Channels: c.Channels}
		for _, p := range c.Parameters() {
			r.Parameters = append(r.Parameters, relay.Parameter(p))
		}
		out = append(out, r)
	}
	return out
}

// payloadTypes writes codecs for XMPP (XEP-0167 §4): name and clock rate always, and no
// parameters for telephone-event, whose form no specification gives.
func payloadTypes(list []sdp.Codec) []jingle.PayloadType {
	out := make([]jingle.PayloadType, 0, len(list))
	for _, c := range list {
		p := jingle.PayloadType{ID: c.PayloadType, Name: c.Name, ClockRate: c.ClockRate, Channels: c.Channels}
		if !isEvent(c) {
			for _, v := range c.Parameters() {
				if v.Name != "" && v.Value != "" {
					p.Parameters = append(p.Parameters, jingle.Parameter(v))
				}
			}
		}
		out = append(out, p)
	}
	return out
}

// codecsOf reads the payload types of a Jingle description.
func codecsOf(d *jingle.Description) []sdp.Codec {
	if d == nil {
		return nil
	}
	list := make([]sdp.Codec, 0, len(d.PayloadTypes))
	for _, p := range d.PayloadTypes {
		c := sdp.Codec{PayloadType: p.ID, Name: p.Name, ClockRate: p.ClockRate, Channels: p.Channels}
		if st, ok := sdp.StaticCodec(p.ID); ok {
			if c.Name == "" {
				c.Name = st.Name
			}
			if c.ClockRate == 0 {
				c.ClockRate = st.ClockRate
			}
		}
		if c.Name == "" {
			continue
		}
		var params []sdp.Parameter
		for _, v := range p.Parameters {
			if isEvent(c) && strings.EqualFold(v.Name, "events") {
				v.Name = ""
			}
			params = append(params, sdp.Parameter(v))
		}
		c.Format = sdp.FormatParameters(params)
		list = append(list, c)
	}
	return list
}

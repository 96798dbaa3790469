// Package transcode is one direction of the sound of a call between two parties that
// share no codec: packets of one format go in as they arrive, packets of the other come
// out every packet time.
//
//	Push → jitter buffer → decoder or concealment → samples → encoder → Pull
//
// Decisions that bind the package:
//
//   - A [Direction] has no goroutine and no clock: whoever owns the sockets pushes, and
//     pulls every [Direction.PTime]. A call has two of them.
//   - What goes out is one stream whatever comes in: one SSRC, sequence numbers without
//     gaps, timestamps on one clock, the marker where sound begins (RFC 3551 §4.1).
//   - Key presses travel as events (RFC 4733) past the jitter buffer. Their timestamps
//     are those of the sound, because one SSRC has one clock; their durations are in the
//     clock of the event format, so that 8000 and 48000 mix. While an event goes out no
//     sound does. Where the receiver has no events it gets tones in the sound, and where
//     the sender has none tones can be recognised.
//   - Comfort noise (RFC 3389) and what Opus makes of its own silence are played, not
//     sent on: the other party may have neither. Silence of which Opus says that it need
//     not be sent is not sent.
//   - Nothing goes out before something came in.
//   - Clocks that drift apart are reconciled by leaving out or repeating a pitch period,
//     which is not heard.
package transcode

import (
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
)

// Kind is what a payload is. The payload types of both sides are the caller's business.
type Kind uint8

// Kinds of payloads.
const (
	KindUnknown      Kind = iota // ignored by Push
	KindAudio                    // of the format from or to
	KindComfortNoise             // RFC 3389
	KindEvent                    // RFC 4733
)

// Packet is one RTP packet without what the caller keeps for itself.
type Packet struct {
	Kind      Kind
	Marker    bool
	Seq       uint16
	Timestamp uint32
	SSRC      uint32 // of the sender; 0 in what Pull gives: the caller has one for each side
	Payload   []byte // Push copies it; of Pull: valid until the next Pull
}

// Options are what may be different for a Direction; the zero value is of use.
type Options struct {
	// EventClockIn is the clock rate of the telephone-event format in which the sender
	// sends, 0 if it has none.
	EventClockIn int
	// EventClockOut is the same for the receiver; 0: it gets tones in the sound.
	EventClockOut int
	// Detect looks for tones of keys in the sound of a sender without events and makes
	// events of them. The tone itself is heard for the first 40 ms.
	Detect bool
	// Digit, if not nil, is called by Push or Pull once for each key of the sender, when
	// its end is known. It must not block.
	Digit func(digit byte, d time.Duration)
	// Seq and Timestamp are the first that go out; they should be random (RFC 3550 §5.1).
	Seq       uint16
	Timestamp uint32
	// MinDelay and MaxDelay bound the jitter buffer; 0 is 20 ms and 200 ms.
	MinDelay, MaxDelay time.Duration
}

// Format is codec.Format, for callers that need no more of package codec.
type Format = codec.Format

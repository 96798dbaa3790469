// Package codec turns payloads of RTP into samples and back: PCMU and PCMA (ITU-T G.711,
// RFC 3551 §4.5.14), G.722 (RFC 3551 §4.5.2) and Opus (RFC 6716, RFC 7587) behind one
// [Encoder] and one [Decoder].
//
// Decisions that bind the package:
//
//   - Samples are mono, 16 bits, at 8000 or 16000 Hz. Nothing is ever resampled: Opus
//     encodes and decodes at either rate by itself, and the lower band of G.722 is a
//     signal of 8000 Hz already. [Rate] picks the rate of a pair of formats.
//   - Opus is github.com/thesyncim/gopus, which is young: it is seen in opus.go only, and
//     the tests decode what it encodes with github.com/pion/opus. Its state is some 200 kB
//     a direction, so that states are pooled: Close gives one back.
//   - The complexity of the Opus encoder is what two directions of a call may cost, at
//     most 130 microseconds for 20 ms; see opusComplexity.
//   - A sender of stereo is heard in mono and gets mono: the telephone has one channel.
//   - G.722 and the concealment of G.711 and G.722 are our own.
//   - A payload that cannot be read gives [ErrPayload] and never a panic. The decoder may
//     be used further. A panic of the library is an error as well and costs its state.
//
// Encoders and decoders belong to one goroutine and allocate nothing once they are warm,
// except the encoder of Opus at 16000 Hz while it sends redundancy.
package codec

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnsupported is a format that the package does not know or a rate that the
	// format cannot have.
	ErrUnsupported = errors.New("codec: unsupported format")
	// ErrPayload is a payload that its codec cannot read, or that is longer than 120 ms.
	ErrPayload = errors.New("codec: malformed payload")
	// ErrFrame is a number of samples that is no frame of the codec.
	ErrFrame = errors.New("codec: wrong number of samples")
)

// MaxPayloadMillis is the longest packet, in milliseconds: that of Opus (RFC 6716 §3.1).
const MaxPayloadMillis = 120

// Encoder makes payloads of samples.
type Encoder interface {
	// Encode appends the payload of pcm, one packet of 10, 20, 40 or 60 ms, to dst. If
	// nothing was appended the packet is silence that is not sent (DTX).
	Encode(dst []byte, pcm []int16) ([]byte, error)
	// SetLoss tells which part of the packets the receiver misses, 0 to 1: Opus adds
	// redundancy if the receiver can use it.
	SetLoss(part float64)
	// SampleRate is the rate of pcm in Hz.
	SampleRate() int
	// Close gives the state back for another call; the encoder is not used afterwards.
	Close()
}

// Decoder makes samples of payloads.
type Decoder interface {
	// Decode appends the samples of payload to dst.
	Decode(dst []int16, payload []byte) ([]int16, error)
	// Conceal appends samples samples for a packet that is missing. next is the packet
	// right after the samples asked for if it is there already, else nil: Opus may carry
	// the missing one in it (RFC 6716 §2.1.7).
	Conceal(dst []int16, samples int, next []byte) []int16
	// Samples is the length of a payload in samples; 0 if it cannot be read.
	Samples(payload []byte) int
	// SampleRate is the rate of the samples in Hz.
	SampleRate() int
	// Close gives the state back for another call; the decoder is not used afterwards.
	Close()
}

// NewEncoder makes an encoder of what f asks for, fed with samples of rate Hz. The
// parameters of f are those its receiver asked for in its description.
func NewEncoder(f Format, rate int) (Encoder, error) {
	k, err := f.kind(rate)
	if err != nil {
		return nil, err
	}
	switch k {
	case kindPCMU, kindPCMA:
		return g711Encoder{law: lawOf(k), rate: rate}, nil
	case kindG722:
		return newG722Encoder(rate), nil
	default:
		return newOpusEncoder(f, rate)
	}
}

// NewDecoder makes a decoder of f that gives samples of rate Hz.
func NewDecoder(f Format, rate int) (Decoder, error) {
	k, err := f.kind(rate)
	if err != nil {
		return nil, err
	}
	switch k {
	case kindPCMU, kindPCMA:
		return newG711Decoder(lawOf(k), rate), nil
	case kindG722:
		return newG722Decoder(rate), nil
	default:
		return newOpusDecoder(rate)
	}
}

type kind uint8

const (
	kindUnknown kind = iota
	kindPCMU
	kindPCMA
	kindG722
	kindOpus
)

func kindOf(name string) kind {
	switch {
	case strings.EqualFold(name, "PCMU"):
		return kindPCMU
	case strings.EqualFold(name, "PCMA"):
		return kindPCMA
	case strings.EqualFold(name, "G722"):
		return kindG722
	case strings.EqualFold(name, "opus"):
		return kindOpus
	default:
		return kindUnknown
	}
}

// kind checks that the format exists with this sample rate.
func (f Format) kind(rate int) (kind, error) {
	k := kindOf(f.Name)
	ok := false
	switch k {
	case kindPCMU, kindPCMA:
		ok = f.ClockRate == 8000 && f.Channels <= 1 && rate == 8000
	case kindG722:
		// The clock rate of G.722 is 8000 although it has 16000 samples (RFC 3551 §4.5.2).
		ok = f.ClockRate == 8000 && f.Channels <= 1 && (rate == 8000 || rate == 16000)
	case kindOpus:
		ok = f.ClockRate == 48000 && f.Channels <= 2 && (rate == 8000 || rate == 16000)
	}
	if !ok {
		return kindUnknown, fmt.Errorf("%w: %s/%d/%d at %d Hz", ErrUnsupported, f.Name, f.ClockRate, f.Channels, rate)
	}
	return k, nil
}

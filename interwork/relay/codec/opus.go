package codec

import (
	"errors"
	"fmt"
	"sync"

	"github.com/thesyncim/gopus"
)

// opusMaxPayload is the longest payload that is sent, in bytes: with all headers it
// stays below the MTU of a tunnel.
const opusMaxPayload = 1200

// opusMaxReceived is the longest payload that is taken, in bytes.
const opusMaxReceived = 1500

// opusComplexity is the complexity of the encoder, by redundancy. Both directions of a
// call with G.711 may cost 130 microseconds of one core for 20 ms, of which 15 to 25 are
// needed for all but encoding Opus. BenchmarkOpusComplexity with speech without pauses,
// on a busy machine, in microseconds:
//
//	complexity   0    1    2    3    4    5    8
//	 8000 Hz    46   47   63   62   82   77  107   (the worst of several runs: 64 66 81 83 111 129 178)
//	16000 Hz    79   77  120  157  139  163  253
//
// What the other implementation decodes of it is as like what was said as this, in dB of
// signal to noise (speech, a tone of 1000 Hz; its resampler bounds the figures at 8000 Hz):
//
//	complexity   0           1           3           5           8
//	 8000 Hz     7.0, 12.0   7.0, 17.7   7.2, 18.0   7.3, 18.4   7.3, 16.6
//	16000 Hz    11.8, 28.2  11.5, 30.5  12.1, 34.5  12.3, 32.8  12.3, 35.7
//
// so that 8000 Hz gets 1: the quarter less than 3 costs is worth 0.2 dB. Wideband is worth
// more and gets 3. Redundancy is a second encoder and gets 1. For it gopus v0.1.2 allocates
// 12 kB in every packet, at 8000 Hz from complexity 2 on, at 16000 Hz always.
func opusComplexity(rate int, fec bool) int {
	if fec || rate == 8000 {
		return 1
	}
	return 3
}

// opusBitrate is the default bit rate: RFC 7587 §3.1.1 has 8 to 12 kbit/s for narrowband
// and 16 to 20 for wideband speech as the sweet spots; some more, because it is encoded
// at low complexity and may have been through another codec.
func opusBitrate(rate int) int {
	if rate == 8000 {
		return 16000
	}
	return 24000
}

// States by rate.
var opusEncoders, opusDecoders [2]sync.Pool

func opusPool(pools *[2]sync.Pool, rate int) *sync.Pool { return &pools[rate/8000-1] }

type opusEncoder struct {
	enc       *gopus.Encoder
	rate      int
	format    Format
	canFEC    bool
	fec       bool
	dtx       bool
	limit     int // of the receiver, bit/s
	frameSize int
	packet    [opusMaxPayload]byte
}

func newOpusEncoder(f Format, rate int) (*opusEncoder, error) {
	e, _ := opusPool(&opusEncoders, rate).Get().(*opusEncoder)
	if e == nil {
		e = &opusEncoder{rate: rate}
		if err := e.renew(); err != nil {
			return nil, fmt.Errorf("codec: opus encoder: %w", err)
		}
	}
	e.enc.Reset()
	e.format, e.canFEC, e.fec, e.frameSize = f, f.flag("useinbandfec"), false, 0
	if err := e.configure(f); err != nil {
		return nil, fmt.Errorf("codec: opus encoder: %w", err)
	}
	return e, nil
}

func (e *opusEncoder) renew() (err error) {
	e.enc, err = gopus.NewEncoder(gopus.EncoderConfig{SampleRate: e.rate, Channels: 1, Application: gopus.ApplicationVoIP})
	return err
}

// configure carries out what the receiver asked for (RFC 7587 §6.1). What is out of
// range is brought into it.
func (e *opusEncoder) configure(f Format) error {
	e.limit = 510000
	if n, ok := f.integer("maxaveragebitrate"); ok {
		e.limit = max(n, 6000)
	}
	band := gopus.BandwidthNarrowband
	if n, ok := f.integer("maxplaybackrate"); e.rate == 16000 && (!ok || n >= 16000) {
		band = gopus.BandwidthWideband
	} else if e.rate == 16000 && n >= 12000 {
		band = gopus.BandwidthMediumband
	}
	mode := gopus.BitrateModeCVBR
	if f.flag("cbr") {
		mode = gopus.BitrateModeCBR
	}
	e.dtx = f.flag("usedtx") && mode != gopus.BitrateModeCBR
	e.enc.SetDTX(e.dtx)
	e.enc.SetFEC(false)
	for _, set := range [...]error{
		e.enc.SetComplexity(opusComplexity(e.rate, false)),
		e.enc.SetSignal(gopus.SignalVoice),
		e.enc.SetMaxBandwidth(band),
		e.enc.SetBitrate(e.bitrate()),
		e.enc.SetBitrateMode(mode),
		e.enc.SetPacketLoss(0),
	} {
		if set != nil {
			return set
		}
	}
	return nil
}

// bitrate is half as much again with redundancy: otherwise there would be none, because
// the encoder finds the rate too low for it at a few percent of loss.
func (e *opusEncoder) bitrate() int {
	n := opusBitrate(e.rate)
	if e.fec {
		n += n / 2
	}
	return min(n, e.limit)
}

func (e *opusEncoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	if len(pcm) != e.frameSize {
		if err := e.enc.SetFrameSize(len(pcm)); err != nil {
			return dst, fmt.Errorf("%w: %d for opus: %w", ErrFrame, len(pcm), err)
		}
		e.frameSize = len(pcm)
	}
	n, err := e.encode(pcm)
	if err != nil {
		return dst, fmt.Errorf("codec: opus: %w", err)
	}
	if e.dtx && n <= 2 {
		return dst, nil // RFC 6716 §2.1.9: such a packet need not be sent
	}
	return append(dst, e.packet[:n]...), nil
}

// errPanic is a fault of the library: one sender's packet must not end the calls of all
// others.
var errPanic = errors.New("the codec failed")

func (e *opusEncoder) encode(pcm []int16) (n int, err error) {
	defer func() {
		if recover() != nil {
			n, err, e.frameSize = 0, errPanic, 0
			if e.renew() == nil {
				e.fec = false
				_ = e.configure(e.format) // as it was before
			}
		}
	}()
	return e.enc.EncodeInt16(pcm, e.packet[:])
}

// SetLoss switches redundancy on from 2 % of loss, and off below 1 %.
func (e *opusEncoder) SetLoss(part float64) {
	percent := int(min(max(part, 0), 0.3)*100 + 0.5)
	on := e.canFEC && (percent >= 2 || e.fec && percent >= 1)
	if !on {
		percent = 0
	}
	if on != e.fec {
		e.fec = on
		e.enc.SetFEC(on)
		_ = e.enc.SetComplexity(opusComplexity(e.rate, on)) // in range
		_ = e.enc.SetBitrate(e.bitrate())                   // in range
	}
	_ = e.enc.SetPacketLoss(percent) // in range
}

func (e *opusEncoder) SampleRate() int { return e.rate }

// Close sends silence through the state first: Reset of gopus v0.1.2 leaves what is in
// its input filters.
func (e *opusEncoder) Close() {
	e.canFEC = false
	e.SetLoss(0)
	var quiet [16000 / 50]int16
	for range 3 {
		if _, err := e.Encode(nil, quiet[:e.rate/50]); err != nil {
			return
		}
	}
	opusPool(&opusEncoders, e.rate).Put(e)
}

type opusDecoder struct {
	dec   *gopus.Decoder
	rate  int
	fresh bool // nothing was decoded yet
	pcm   []int16
	float []float32
}

func newOpusDecoder(rate int) (*opusDecoder, error) {
	d, _ := opusPool(&opusDecoders, rate).Get().(*opusDecoder)
	if d == nil {
		d = &opusDecoder{rate: rate, pcm: make([]int16, rate*MaxPayloadMillis/1000)}
		if err := d.renew(); err != nil {
			return nil, fmt.Errorf("codec: opus decoder: %w", err)
		}
	}
	d.dec.Reset()
	d.fresh = true
	return d, nil
}

func (d *opusDecoder) renew() (err error) {
	d.dec, err = gopus.NewDecoder(gopus.DecoderConfig{SampleRate: d.rate, Channels: 1, MaxPacketSamples: len(d.pcm), MaxPacketBytes: opusMaxReceived})
	return err
}

// recovered makes a panic of the library an error, and a new decoder of it.
func (d *opusDecoder) recovered(n *int, err *error) {
	if recover() != nil {
		*n, *err = 0, errPanic
		d.fresh = true
		_ = d.renew() // as it was before
	}
}

func (d *opusDecoder) decode(payload []byte, pcm []int16) (n int, err error) {
	defer d.recovered(&n, &err)
	return d.dec.DecodeInt16(payload, pcm)
}

func (d *opusDecoder) decodeFEC(next []byte, pcm []float32) (n int, err error) {
	defer d.recovered(&n, &err)
	return d.dec.DecodeWithFEC(next, pcm, true)
}

func hasRedundancy(payload []byte) (yes bool) {
	defer func() { yes = recover() == nil && yes }()
	return gopus.PacketHasLBRR(payload)
}

func (d *opusDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	if d.Samples(payload) == 0 {
		return dst, ErrPayload
	}
	n, err := d.decode(payload, d.pcm)
	if err != nil {
		return dst, fmt.Errorf("%w: opus: %w", ErrPayload, err)
	}
	d.fresh = false
	return append(dst, d.pcm[:n]...), nil
}

// Conceal first conceals all but the frame before next, which next may carry.
func (d *opusDecoder) Conceal(dst []int16, samples int, next []byte) []int16 {
	if d.fresh {
		return silence(dst, samples)
	}
	end := len(dst) + samples
	if frame := opusFrame(next, d.rate); frame > 0 && frame <= samples && hasRedundancy(next) {
		dst = d.plc(dst, samples-frame)
		if d.float == nil {
			d.float = make([]float32, d.rate*MaxPayloadMillis/1000)
		}
		if n, err := d.decodeFEC(next, d.float[:frame]); err == nil {
			for _, f := range d.float[:n] {
				dst = append(dst, int16(min(max(f*32768, -32768), 32767)))
			}
		}
	}
	return d.plc(dst, end-len(dst))
}

// plc lets the decoder conceal; it does so in units of 2.5 ms, of which the last may be
// cut.
func (d *opusDecoder) plc(dst []int16, samples int) []int16 {
	unit := d.rate / 400
	for samples > 0 {
		n := min((samples+unit-1)/unit*unit, d.rate/50)
		got, err := d.decode(nil, d.pcm[:n])
		if err != nil || got == 0 {
			return silence(dst, samples)
		}
		got = min(got, samples)
		dst = append(dst, d.pcm[:got]...)
		samples -= got
	}
	return dst
}

func (d *opusDecoder) Samples(payload []byte) int {
	frame, count := opusFrame(payload, d.rate), 1
	if frame == 0 || len(payload) > opusMaxReceived {
		return 0
	}
	switch payload[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(payload) < 2 {
			return 0
		}
		count = int(payload[1] & 63)
	}
	if frame*count > d.rate*MaxPayloadMillis/1000 {
		return 0
	}
	return frame * count
}

// opusFrame is the length of the frames of a payload in samples (RFC 6716 §3.1).
func opusFrame(payload []byte, rate int) int {
	if len(payload) == 0 {
		return 0
	}
	switch config := payload[0] >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return [4]int{1, 2, 4, 6}[config&3] * rate / 100
	case config < 16: // hybrid: 10, 20 ms
		return (1 + int(config&1)) * rate / 100
	default: // CELT: 2.5, 5, 10, 20 ms
		return rate / 400 << (config & 3)
	}
}

func (d *opusDecoder) SampleRate() int { return d.rate }

func (d *opusDecoder) Close() { opusPool(&opusDecoders, d.rate).Put(d) }

func silence(dst []int16, n int) []int16 {
	for range n {
		dst = append(dst, 0)
	}
	return dst
}

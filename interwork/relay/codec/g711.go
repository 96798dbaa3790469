package codec

import "math/bits"

// law is one of the two laws of G.711: tables, because a lookup costs half a nanosecond.
type law struct {
	decode  [256]int16
	encode  []byte // by the sample, shifted
	shift   uint   // low bits of a sample that the law does not see
	silence byte
}

var (
	uLaw = newULaw()
	aLaw = newALaw()
)

func lawOf(k kind) *law {
	if k == kindPCMA {
		return aLaw
	}
	return uLaw
}

// newULaw builds μ-law (G.711 table 2): eight segments of sixteen steps on each side
// after 33 was added to the magnitude, which has 13 bits; all bits are sent inverted.
func newULaw() *law {
	const bias, top = 33, 8191 - 33
	l := &law{shift: 2, encode: make([]byte, 1<<14), silence: 0xff}
	for c := range l.decode {
		v := ^byte(c)
		segment, step := v>>4&7, int(v&15)
		magnitude := (2*step+bias)<<segment - bias
		if v&0x80 != 0 {
			magnitude = -magnitude
		}
		l.decode[c] = int16(magnitude << l.shift)
	}
	for i := range l.encode {
		x := int(int16(i<<l.shift)) >> l.shift
		sign := byte(0)
		if x < 0 {
			x, sign = -x, 0x80
		}
		x = min(x, top) + bias
		segment := bits.Len(uint(x)) - 6
		l.encode[i] = ^(sign | byte(segment)<<4 | byte(x>>(segment+1)&15))
	}
	return l
}

// newALaw builds A-law (G.711 table 1): the two lowest segments have the same steps;
// every other bit is sent inverted.
func newALaw() *law {
	l := &law{shift: 4, encode: make([]byte, 1<<12), silence: 0xd5}
	for c := range l.decode {
		v := byte(c) ^ 0x55
		segment, magnitude := v>>4&7, int(v&15)<<1+1 // half steps: the middle of a step
		if segment > 0 {
			magnitude = (magnitude + 32) << (segment - 1)
		}
		if v&0x80 == 0 {
			magnitude = -magnitude
		}
		l.decode[c] = int16(magnitude << 3)
	}
	for i := range l.encode {
		x := int(int16(i<<l.shift)) >> l.shift
		sign := byte(0x80)
		if x < 0 {
			x, sign = ^x, 0
		}
		v := byte(x)
		if segment := bits.Len(uint(x)) - 4; segment > 0 {
			v = byte(segment)<<4 | byte(x>>(segment-1)&15)
		}
		l.encode[i] = (sign | v) ^ 0x55
	}
	return l
}

type g711Encoder struct {
	law  *law
	rate int
}

func (e g711Encoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	table, shift := e.law.encode, e.law.shift
	mask := 1<<(16-shift) - 1
	for _, s := range pcm {
		dst = append(dst, table[int(uint16(s)>>shift)&mask])
	}
	return dst, nil
}

func (e g711Encoder) SetLoss(float64) {}
func (e g711Encoder) SampleRate() int { return e.rate }
func (e g711Encoder) Close()          {}

type g711Decoder struct {
	law *law
	concealer
}

func newG711Decoder(l *law, rate int) *g711Decoder {
	return &g711Decoder{law: l, concealer: newConcealer(rate)}
}

func (d *g711Decoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	n := d.Samples(payload)
	if n == 0 {
		return dst, ErrPayload
	}
	start := len(dst)
	for _, c := range payload {
		dst = append(dst, d.law.decode[c])
	}
	d.heard(dst[start:])
	return dst, nil
}

func (d *g711Decoder) Conceal(dst []int16, samples int, _ []byte) []int16 {
	return d.conceal(dst, samples)
}

func (d *g711Decoder) Samples(payload []byte) int {
	if len(payload) > d.rate*MaxPayloadMillis/1000 {
		return 0
	}
	return len(payload)
}

func (d *g711Decoder) SampleRate() int { return d.rate }
func (d *g711Decoder) Close()          {}

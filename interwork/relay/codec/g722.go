package codec

// subband is the adaptive predictor and quantiser of one of the two bands of G.722
// (ITU-T G.722 §3.5, §3.6), the same in encoder and decoder. Names of the recommendation
// are in the comments.
type subband struct {
	s, sp, sz int    // s, sp, sz: the prediction, of the poles and of the zeros
	r, p      [2]int // rlt, plt: what was reconstructed
	a         [2]int // al: coefficients of the poles
	d         [6]int // dlt: quantised differences
	b         [6]int // bl: coefficients of the zeros
	nb, det   int    // nbl, detl: the logarithmic and the linear step
}

func saturate(v int) int { return min(max(v, -32768), 32767) }

// sameSign compares sign bits, of which 0 has that of the positive numbers.
func sameSign(a, b int) bool { return a^b >= 0 }

// predict takes the quantised difference in and gives the next prediction.
func (q *subband) predict(d int) {
	r := saturate(q.s + d)  // RECONS
	p := saturate(q.sz + d) // PARREC

	// UPPOL2: the second pole.
	a := saturate(q.a[0] << 2)
	if sameSign(p, q.p[0]) {
		a = min(-a, 32767)
	}
	step := -128
	if sameSign(p, q.p[1]) {
		step = 128
	}
	a2 := min(max(step+a>>7+(q.a[1]*32512)>>15, -12288), 12288)

	// UPPOL1: the first one, within what the second leaves stable.
	step = -192
	if sameSign(p, q.p[0]) {
		step = 192
	}
	bound := saturate(15360 - a2)
	a1 := min(max(saturate(step+(q.a[0]*32640)>>15), -bound), bound)

	// UPZERO and DELAYA; FILTEZ with the new coefficients.
	gain := 128
	if d == 0 {
		gain = 0
	}
	sz := 0
	last := d
	for i := range q.d {
		step := -gain
		if sameSign(d, q.d[i]) {
			step = gain
		}
		q.b[i] = saturate(step + (q.b[i]*32640)>>15)
		q.d[i], last = last, q.d[i]
		sz += (q.b[i] * saturate(2*q.d[i])) >> 15
	}

	// FILTEP and PREDIC.
	q.r[1], q.r[0] = q.r[0], r
	q.p[1], q.p[0] = q.p[0], p
	q.a = [2]int{a1, a2}
	q.sp = saturate((a1*saturate(2*q.r[0]))>>15 + (a2*saturate(2*q.r[1]))>>15)
	q.sz = saturate(sz)
	q.s = saturate(q.sp + q.sz)
}

// scale moves the step of the quantiser (LOGSCL and SCALEL, or LOGSCH and SCALEH).
func (q *subband) scale(by, top, shift int) {
	q.nb = min(max((q.nb*127)>>7+by, 0), top)
	v := ilb[q.nb>>6&31]
	if n := shift - q.nb>>11; n >= 0 {
		v >>= n
	} else {
		v <<= -n
	}
	q.det = v << 2
}

// low and high do for a code what both sides do: reconstruct, adapt, predict. The code
// of the lower band is taken at its four high bits (block 1L of the recommendation).
func (q *subband) low(code int) {
	d := (q.det * qm4[code>>2]) >> 15
	q.scale(wl[code>>2], 18432, 8)
	q.predict(d)
}

func (q *subband) high(code int) {
	d := (q.det * qm2[code]) >> 15
	q.scale(wh[code], 22528, 10)
	q.predict(d)
}

// g722State is what both sides keep: the bands and the memory of the QMF.
type g722State struct {
	lower, upper subband
	x            [24]int
	rate         int
}

func newG722State(rate int) g722State {
	return g722State{lower: subband{det: 32}, upper: subband{det: 8}, rate: rate}
}

// shift puts two values into the memory of the QMF and filters: even and odd taps.
func (g *g722State) shift(a, b int) (odd, even int) {
	copy(g.x[:22], g.x[2:])
	g.x[22], g.x[23] = a, b
	for i, c := range qmf {
		odd += g.x[2*i] * c
		even += g.x[2*i+1] * qmf[11-i]
	}
	return odd, even
}

type g722Encoder struct{ g722State }

func newG722Encoder(rate int) *g722Encoder { return &g722Encoder{newG722State(rate)} }

// Encode at 8000 Hz fills the lower band and leaves the upper one silent.
func (e *g722Encoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	if e.rate == 8000 {
		for _, s := range pcm {
			dst = append(dst, byte(e.encodeLow(int(s)>>1)|0xc0))
		}
		return dst, nil
	}
	if len(pcm)%2 != 0 {
		return dst, ErrFrame
	}
	for i := 0; i+1 < len(pcm); i += 2 {
		odd, even := e.shift(int(pcm[i]), int(pcm[i+1]))
		code := e.encodeLow((even + odd) >> 14)
		dst = append(dst, byte(e.encodeHigh((even-odd)>>14)<<6|code))
	}
	return dst, nil
}

// encodeLow quantises with 60 levels (QUANTL).
func (e *g722Encoder) encodeLow(x int) int {
	q := &e.lower
	el := saturate(x - q.s)
	m := el
	if el < 0 {
		m = ^el
	}
	lo, hi := 1, 30 // the first i in 1..29 with m < q6[i]·det, else 30
	for lo < hi {
		if i := (lo + hi) / 2; m < (q6[i]*q.det)>>12 {
			hi = i
		} else {
			lo = i + 1
		}
	}
	code := codeLow(lo, el < 0)
	q.low(code)
	return code
}

// codeLow numbers the levels as table 6 of the recommendation does: going outwards
// from zero, the codes fall, and the two innermost are at the top of their half.
func codeLow(level int, negative bool) int {
	switch {
	case !negative:
		return 62 - level
	case level <= 2:
		return 64 - level
	default:
		return 34 - level
	}
}

// encodeHigh quantises with four levels (QUANTH).
func (e *g722Encoder) encodeHigh(x int) int {
	q := &e.upper
	eh := saturate(x - q.s)
	m, code := eh, 3
	if eh < 0 {
		m, code = ^eh, 1
	}
	if m >= (q.det*564)>>12 {
		code--
	}
	q.high(code)
	return code
}

func (e *g722Encoder) SetLoss(float64) {}
func (e *g722Encoder) SampleRate() int { return e.rate }
func (e *g722Encoder) Close()          {}

type g722Decoder struct {
	g722State
	concealer
}

func newG722Decoder(rate int) *g722Decoder {
	return &g722Decoder{newG722State(rate), newConcealer(rate)}
}

func (d *g722Decoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	if d.Samples(payload) == 0 {
		return dst, ErrPayload
	}
	start := len(dst)
	for _, c := range payload {
		dst = d.octet(dst, int(c))
	}
	d.heard(dst[start:])
	return dst, nil
}

func (d *g722Decoder) octet(dst []int16, c int) []int16 {
	const top = 1 << 14
	code := c & 0x3f
	low := min(max(d.lower.s+(d.lower.det*qm6[code])>>15, -top), top-1)
	d.lower.low(code)
	if d.g722State.rate == 8000 {
		return append(dst, int16(low<<1))
	}
	code = c >> 6
	high := min(max(d.upper.s+(d.upper.det*qm2[code])>>15, -top), top-1)
	d.upper.high(code)
	odd, even := d.shift(low+high, low-high)
	return append(dst, int16(saturate(even>>11)), int16(saturate(odd>>11)))
}

func (d *g722Decoder) Conceal(dst []int16, samples int, _ []byte) []int16 {
	return d.conceal(dst, samples)
}

func (d *g722Decoder) Samples(payload []byte) int {
	if len(payload) > 8*MaxPayloadMillis {
		return 0
	}
	return len(payload) * (d.g722State.rate / 8000)
}

func (d *g722Decoder) SampleRate() int { return d.g722State.rate }
func (d *g722Decoder) Close()          {}

// Tables of G.722.
var (
	qmf = [12]int{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}
	q6  = [30]int{
		0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650,
		714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
	}
	ilb = [32]int{
		2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
		2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
	}
	// Levels by code: of the lower band with four and six bits, of the upper one.
	qm4 = [16]int{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}
	qm6 = [64]int{
		-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
		-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
		4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
	}
	qm2 = [4]int{-7408, -1616, 7408, 1616}
	// How much a code moves the step, by code.
	wl = [16]int{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
	wh = [4]int{798, -214, 798, -214}
)

package codec

import "math"

// Noise is comfort noise (RFC 3389): it sounds until the next packet of speech.
type Noise struct {
	level  float64
	gain   float64 // of the filter, evened out
	k      [noiseOrder]float64
	order  int
	memory [noiseOrder + 1]float64
	seed   uint32
}

// noiseOrder is how many coefficients are used of those that come: RFC 3389 §3.2 has
// up to 255 octets, its models twelve.
const noiseOrder = 16

// Set takes the payload of a comfort noise packet: the level, and reflection
// coefficients for its colour. An empty payload leaves what was there.
func (n *Noise) Set(payload []byte) {
	if len(payload) == 0 {
		return
	}
	// -dBov (RFC 3389 §3.1); the highest bit is to be ignored.
	n.level = 32768 * math.Pow(10, -float64(payload[0]&0x7f)/20)
	coefficients := payload[1:min(len(payload), 1+noiseOrder)]
	n.order, n.gain = len(coefficients), 1
	for i, c := range coefficients {
		// RFC 3389 §3.2, kept inside what a stable filter may have.
		k := min(max(258*(float64(c)-127)/32768, -0.98), 0.98)
		n.k[i] = k
		n.gain *= 1 - k*k
	}
	n.gain = math.Sqrt(n.gain)
}

// Fill appends samples samples of noise to dst. Before the first Set it is silence.
func (n *Noise) Fill(dst []int16, samples int) []int16 {
	for range samples {
		v := n.white() * n.level * n.gain
		// The lattice of the synthesis filter.
		for i := n.order - 1; i >= 0; i-- {
			v -= n.k[i] * n.memory[i]
			n.memory[i+1] = n.memory[i] + n.k[i]*v
		}
		n.memory[0] = v
		dst = append(dst, int16(min(max(v, -32768), 32767)))
	}
	return dst
}

// white is a random number of which the mean is 0 and the variance 1.
func (n *Noise) white() float64 {
	n.seed = n.seed*1664525 + 1013904223
	return float64(int32(n.seed)) * (math.Sqrt(3) / (1 << 31))
}

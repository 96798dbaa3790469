package codec

import (
	"fmt"
	"testing"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

func BenchmarkEncode(b *testing.B) {
	for _, c := range formats {
		for _, rate := range c.rates {
			for _, fec := range []bool{false, true} {
				if fec && c.name != "opus" {
					continue
				}
				b.Run(fmt.Sprintf("%s/%dHz/fec=%v", c.name, rate, fec), func(b *testing.B) {
					f := c.f
					f.Parameters = []Parameter{{"useinbandfec", "1"}}
					e, err := NewEncoder(f, rate)
					if err != nil {
						b.Fatal(err)
					}
					defer e.Close()
					if fec {
						e.SetLoss(0.05)
					}
					n := rate / 50
					pcm := tone.Speech(nil, rate, 4*time.Second, -20, 1)
					dst := make([]byte, 0, 1500)
					bytes := 0
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						at := i * n % (len(pcm) - n)
						i++
						p, err := e.Encode(dst, pcm[at:at+n])
						if err != nil {
							b.Fatal(err)
						}
						bytes += len(p)
					}
					b.ReportMetric(float64(bytes)/float64(b.N), "B/packet")
				})
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range formats {
		for _, rate := range c.rates {
			b.Run(fmt.Sprintf("%s/%dHz", c.name, rate), func(b *testing.B) {
				packets := encodeAll(b, c.f, rate, 20*time.Millisecond, tone.Speech(nil, rate, 4*time.Second, -20, 1))
				d, err := NewDecoder(c.f, rate)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				dst := make([]int16, 0, 2000)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if _, err := d.Decode(dst, packets[i%len(packets)]); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}

// What opusComplexity is chosen from: speech without pauses.
func BenchmarkOpusComplexity(b *testing.B) {
	for _, rate := range []int{8000, 16000} {
		for _, complexity := range []int{0, 1, 2, 3, 4, 5, 8} {
			for _, fec := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dHz/complexity=%d/fec=%v", rate, complexity, fec), func(b *testing.B) {
					e, err := newOpusEncoder(opusFormat("useinbandfec", "1"), rate)
					if err != nil {
						b.Fatal(err)
					}
					if fec {
						e.SetLoss(0.05)
					}
					if err := e.enc.SetComplexity(complexity); err != nil {
						b.Fatal(err)
					}
					n := rate / 50
					pcm := tone.Speech(nil, rate, 2900*time.Millisecond, -20, 1)
					dst := make([]byte, 0, 1500)
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						at := i * n % (len(pcm) - n)
						i++
						if _, err := e.Encode(dst, pcm[at:at+n]); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

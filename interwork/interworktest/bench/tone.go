package main

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/thesyncim/gopus"
)

// sound is what both sides say: syllables of a voice with harmonics, and hiss between
// them. A codec has less work with a tone or with silence.
type sound struct{ noise uint32 }

func (s *sound) fill(pcm []int16, at, rate int) {
	for i := range pcm {
		t := float64(at+i) / float64(rate)
		v := 0.0
		for h := 1.0; h <= 12; h++ {
			v += math.Sin(2*math.Pi*h*(140*t+3*math.Sin(2*math.Pi*2*t))) / h
		}
		s.noise = s.noise*1664525 + 1013904223
		loud := math.Max(0, math.Sin(2*math.Pi*4*t))
		pcm[i] = int16(5000*loud*v + 400*(float64(s.noise)/(1<<31)-1))
	}
}

// sounds is a second of it as packets of 20 ms.
type sounds struct{ opus, pcmu [][]byte }

func newSounds() (sounds, error) {
	e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: 48000, Channels: 1, Application: gopus.ApplicationVoIP})
	if err != nil {
		return sounds{}, fmt.Errorf("opus: %w", err)
	}
	var out sounds
	var s sound
	wide, narrow, packet := make([]int16, opusFrame), make([]int16, g711Frame), make([]byte, 1500)
	for f := range 50 {
		s.fill(wide, f*opusFrame, 48000)
		n, err := e.EncodeInt16(wide, packet)
		if err != nil {
			return sounds{}, fmt.Errorf("opus: %w", err)
		}
		out.opus = append(out.opus, append([]byte(nil), packet[:n]...))
		s.fill(narrow, f*g711Frame, 8000)
		p := make([]byte, g711Frame)
		for i, v := range narrow {
			p[i] = muLaw(v)
		}
		out.pcmu = append(out.pcmu, p)
	}
	return out, nil
}

// muLaw is ITU-T G.711 §3.2 in the well-known form with 14 bits.
func muLaw(v int16) byte {
	sign, x := byte(0x80), int(v)
	if x < 0 {
		sign, x = 0, -x
	}
	x = min(x>>2, 8158) + 33
	exponent := bits.Len(uint(x)) - 6
	return ^(byte(exponent<<4|(x>>(exponent+1)&0x0f)) | (sign ^ 0x80))
}

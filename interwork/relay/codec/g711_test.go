package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Values of the tables 1 and 2 of G.711, scaled to 16 bits.
func TestG711Tables(t *testing.T) {
	for _, c := range []struct {
		law  *law
		code byte
		want int16
	}{
		{uLaw, 0xff, 0},
		{uLaw, 0x7f, 0},
		{uLaw, 0xfe, 8},
		{uLaw, 0x80, 32124},
		{uLaw, 0x00, -32124},
		{uLaw, 0x8f, 16764},
		{aLaw, 0xd5, 8},
		{aLaw, 0x55, -8},
		{aLaw, 0xaa, 32256},
		{aLaw, 0x2a, -32256},
		{aLaw, 0xd4, 24},
		{aLaw, 0xba, 16384 - 16384/64},
	} {
		require.Equal(t, c.want, c.law.decode[c.code], "%#x", c.code)
	}
}

func TestG711Law(t *testing.T) {
	for name, l := range map[string]*law{"PCMU": uLaw, "PCMA": aLaw} {
		e, d := g711Encoder{law: l, rate: 8000}, newG711Decoder(l, 8000)
		pass := func(s int16) int16 {
			p, _ := e.Encode(nil, []int16{s})
			out, err := d.Decode(nil, p)
			require.NoError(t, err)
			return out[0]
		}
		last := int16(-32768)
		for s := -32768; s <= 32767; s++ {
			v := pass(int16(s))
			if v < last {
				t.Fatalf("%s: %d gives %d after %d", name, s, v, last)
			}
			last = v
			if w := pass(v); w != v {
				t.Fatalf("%s: %d gives %d, which gives %d", name, s, v, w)
			}
			// The step of a segment is at most a sixteenth of where it begins.
			if off := max(s-int(v), int(v)-s); off > max(s, -s)/32+16 && s > -32200 && s < 32200 {
				t.Fatalf("%s: %d gives %d", name, s, v)
			}
		}
		seen := map[byte]bool{}
		for c := range 256 {
			p, _ := e.Encode(nil, []int16{l.decode[c]})
			seen[p[0]] = true
			require.Equal(t, l.decode[c], l.decode[p[0]])
		}
		require.GreaterOrEqual(t, len(seen), 255, name) // μ-law has two zeros
	}
}

// Between the laws: what went through one law and then the other does not change when
// it goes through both again.
func TestG711Tandem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.Int16().Draw(t, "s")
		through := func(l *law, s int16) int16 {
			p, _ := g711Encoder{law: l, rate: 8000}.Encode(nil, []int16{s})
			return l.decode[p[0]]
		}
		once := through(aLaw, through(uLaw, s))
		if twice := through(aLaw, through(uLaw, once)); twice != once {
			t.Fatalf("%d gives %d and then %d", s, once, twice)
		}
	})
}

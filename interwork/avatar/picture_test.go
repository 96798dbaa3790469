package avatar

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// hugePNG says in its header that it is very large; its bytes are few.
func hugePNG(t testing.TB, width, height uint32) []byte {
	b := pngOf(t, 1, 1, 0)
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

func TestInspect(t *testing.T) {
	small := pngOf(t, 96, 64, 1)
	lossy := append([]byte{0, 0, 0, 0x9d, 0x01, 0x2a, 96, 0, 64, 0x40}, make([]byte, 10)...) // with a scale of 1
	for _, tt := range []struct {
		name string
		data []byte
		kind string
		w, h int
		err  error
	}{
		{"png", small, "image/png", 96, 64, nil},
		{"jpeg", jpegOf(t, 32, 48), "image/jpeg", 32, 48, nil},
		{"gif", gifOf(t, 7, 5), "image/gif", 7, 5, nil},
		{"webp, lossy", webpOf("VP8 ", lossy), "image/webp", 96, 64, nil},
		{"webp, lossless", webpOf("VP8L", append([]byte{0x2f, 95, 0xc0, 15, 0}, make([]byte, 10)...)), "image/webp", 96, 64, nil},
		{"webp, extended", webpOf("VP8X", []byte{0, 0, 0, 0, 95, 0, 0, 63, 0, 0}), "image/webp", 96, 64, nil},
		{"largest", hugePNG(t, 4096, 4096), "image/png", 4096, 4096, nil},

		{"nothing", nil, "", 0, 0, errType},
		{"html", []byte("<!DOCTYPE html><html><body>hello"), "", 0, 0, errType},
		{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "", 0, 0, errType},
		{"bmp", append([]byte("BM"), make([]byte, 60)...), "", 0, 0, errType},
		{"magic alone", []byte("\x89PNG\r\n\x1a\n"), "", 0, 0, errType},
		{"jpeg without a frame", []byte("\xff\xd8\xff\xe0\x00\x02"), "", 0, 0, errType},
		{"webp, cut", webpOf("VP8X", []byte{0, 0}), "", 0, 0, errType},
		{"webp, unknown chunk", webpOf("JUNK", make([]byte, 20)), "", 0, 0, errType},
		{"too wide", hugePNG(t, 4097, 1), "", 0, 0, errDimensions},
		{"bomb", hugePNG(t, 60000, 60000), "", 0, 0, errDimensions},
		{"webp bomb", webpOf("VP8X", []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), "", 0, 0, errDimensions},
		{"webp without width", webpOf("VP8 ", append([]byte{0, 0, 0, 0x9d, 0x01, 0x2a, 0, 0, 64, 0}, make([]byte, 10)...)), "", 0, 0, errDimensions},
		{"too many bytes", append(bytes.Clone(small), make([]byte, 64<<10)...), "", 0, 0, errTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := inspect(tt.data, 64<<10)
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				require.Nil(t, p)
				return
			}
			require.Equal(t, [3]any{tt.kind, tt.w, tt.h}, [3]any{p.Type, p.Width, p.Height})
			name, ok := parseHash(p.Hash)
			require.True(t, ok)
			require.Equal(t, p.Hash, name.String())
		})
	}
}

func FuzzInspect(f *testing.F) {
	for _, b := range [][]byte{
		pngOf(f, 3, 2, 0), jpegOf(f, 3, 2), gifOf(f, 3, 2), hugePNG(f, 1<<31, 1), webpOf("VP8X", make([]byte, 10)), webpOf("VP8L", make([]byte, 10)), webpOf("VP8 ", make([]byte, 10)),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := inspect(data, 64<<10)
		if (p == nil) == (err == nil) {
			t.Fatal(p, err)
		}
		if p != nil && (p.Width < 1 || p.Width > maxSide || p.Height < 1 || p.Height > maxSide || p.Type == "" || len(p.Hash) != 40) {
			t.Fatal(p)
		}
	})
}

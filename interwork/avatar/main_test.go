package avatar

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pngOf makes a picture that no other shade has.
func pngOf(t testing.TB, width, height int, shade uint8) []byte {
	t.Helper()
	p := image.NewGray(image.Rect(0, 0, width, height))
	p.SetGray(0, 0, color.Gray{Y: shade})
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, p))
	return b.Bytes()
}

func jpegOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil))
	return b.Bytes()
}

func gifOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, gif.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil))
	return b.Bytes()
}

// webpOf makes the header of a WebP file with one chunk.
func webpOf(kind string, chunk []byte) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WEBP" + kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(chunk)))
	return append(b, chunk...)
}

func pictureOf(t testing.TB, shade uint8) *Picture {
	t.Helper()
	p, err := inspect(pngOf(t, 8, 8, shade), DefaultMaxBytes)
	require.NoError(t, err)
	return p
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

package avatar

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
)

// maxSide is the greatest width and height of a picture in pixels: what phones take with
// their cameras is sent smaller, and what is larger costs whoever shows it dearly.
const maxSide = 4096

// Why bytes are no picture that may cross.
var (
	errTooLarge   = errors.New("avatar: too many bytes")
	errType       = errors.New("avatar: neither PNG, JPEG, GIF nor WebP")
	errDimensions = errors.New("avatar: dimensions out of bounds")
)

// Picture is a picture that may cross. It is never changed.
type Picture struct {
	Data          []byte
	Hash          string // SHA-1 of Data in lower-case hexadecimal, its name in XEP-0153 and XEP-0084
	Type          string // media type, by the content
	Width, Height int    // in pixels, 1 to 4096
}

// inspect takes bytes of at most max bytes for a picture if they begin like one.
func inspect(data []byte, max int) (*Picture, error) {
	if len(data) > max {
		return nil, fmt.Errorf("%w: %d, at most %d", errTooLarge, len(data), max)
	}
	p := &Picture{Data: data}
	var c image.Config
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		p.Type = "image/png"
		c, err = png.DecodeConfig(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		p.Type = "image/jpeg"
		c, err = jpeg.DecodeConfig(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		p.Type = "image/gif"
		c, err = gif.DecodeConfig(bytes.NewReader(data))
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		p.Type = "image/webp"
		c.Width, c.Height, err = webpSize(data[12:])
	default:
		return nil, errType
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errType, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxSide || c.Height > maxSide {
		return nil, fmt.Errorf("%w: %d × %d, at most %d", errDimensions, c.Width, c.Height, maxSide)
	}
	p.Width, p.Height = c.Width, c.Height
	sum := sha1.Sum(data)
	p.Hash = hex.EncodeToString(sum[:])
	return p, nil
}

var errWebP = errors.New("webp: no header with the dimensions")

// webpSize reads the dimensions from the first chunk of a WebP file, which says them in
// one of three ways.
func webpSize(b []byte) (width, height int, err error) {
	if len(b) < 18 {
		return 0, 0, errWebP
	}
	kind, b := string(b[:4]), b[8:]
	switch {
	case kind == "VP8X": // extended: 24 bits each, less one
		u24 := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
		return u24(b[4:]) + 1, u24(b[7:]) + 1, nil
	case kind == "VP8L" && b[0] == 0x2f: // lossless: 14 bits each, less one
		v := binary.LittleEndian.Uint32(b[1:])
		return int(v&0x3fff) + 1, int(v>>14&0x3fff) + 1, nil
	case kind == "VP8 " && b[3] == 0x9d && b[4] == 0x01 && b[5] == 0x2a: // lossy: 14 bits each
		return int(binary.LittleEndian.Uint16(b[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(b[8:]) & 0x3fff), nil
	}
	return 0, 0, errWebP
}

// hashName is the binary form of a hash in hexadecimal.
type hashName [sha1.Size]byte

func (h hashName) String() string { return hex.EncodeToString(h[:]) }

// parseHash reads a hash in hexadecimal, of either case.
func parseHash(s string) (h hashName, ok bool) {
	if len(s) != 2*sha1.Size {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(s))
	return h, err == nil
}

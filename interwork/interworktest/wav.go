package interworktest

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"time"
)

// WriteTone writes a sine tone as a WAV file (16 bit, mono) into a folder and
// returns its path. The rate must be that of the codec in use: baresip 1.0
// does not resample what it plays.
func WriteTone(t TB, dir string, hertz float64, rate int, length time.Duration) string {
	t.Helper()
	samples := int(length.Seconds() * float64(rate))
	data := make([]byte, 44, 44+2*samples)
	copy(data, "RIFF")
	binary.LittleEndian.PutUint32(data[4:], uint32(36+2*samples))
	copy(data[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(data[16:], 16) // length of the format
	binary.LittleEndian.PutUint16(data[20:], 1)  // PCM
	binary.LittleEndian.PutUint16(data[22:], 1)  // channels
	binary.LittleEndian.PutUint32(data[24:], uint32(rate))
	binary.LittleEndian.PutUint32(data[28:], uint32(2*rate)) // bytes per second
	binary.LittleEndian.PutUint16(data[32:], 2)              // bytes per sample
	binary.LittleEndian.PutUint16(data[34:], 16)             // bits per sample
	copy(data[36:], "data")
	binary.LittleEndian.PutUint32(data[40:], uint32(2*samples))
	for i := range samples {
		v := int16(8000 * math.Sin(2*math.Pi*hertz*float64(i)/float64(rate)))
		data = binary.LittleEndian.AppendUint16(data, uint16(v))
	}
	path := filepath.Join(dir, "tone.wav")
	writeFile(t, path, string(data))
	return path
}

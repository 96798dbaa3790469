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
	return writeTone(t, filepath.Join(dir, "tone.wav"), hertz, rate, 1, length)
}

// writeTone is WriteTone for several channels with the same in each.
func writeTone(t TB, path string, hertz float64, rate, channels int, length time.Duration) string {
	t.Helper()
	samples := int(length.Seconds() * float64(rate))
	frame := 2 * channels
	data := make([]byte, 44, 44+frame*samples)
	copy(data, "RIFF")
	binary.LittleEndian.PutUint32(data[4:], uint32(36+frame*samples))
	copy(data[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(data[16:], 16) // length of the format
	binary.LittleEndian.PutUint16(data[20:], 1)  // PCM
	binary.LittleEndian.PutUint16(data[22:], uint16(channels))
	binary.LittleEndian.PutUint32(data[24:], uint32(rate))
	binary.LittleEndian.PutUint32(data[28:], uint32(frame*rate)) // bytes per second
	binary.LittleEndian.PutUint16(data[32:], uint16(frame))      // bytes per sample
	binary.LittleEndian.PutUint16(data[34:], 16)                 // bits per sample
	copy(data[36:], "data")
	binary.LittleEndian.PutUint32(data[40:], uint32(frame*samples))
	for i := range samples {
		v := int16(toneAmplitude * math.Sin(2*math.Pi*hertz*float64(i)/float64(rate)))
		for range channels {
			data = binary.LittleEndian.AppendUint16(data, uint16(v))
		}
	}
	writeFile(t, path, string(data))
	return path
}

// toneAmplitude makes a tone of -15 dBFS, as the pages' microphones do.
const toneAmplitude = 8192

package interworktest

import (
	"math"
	"path/filepath"
	"testing"
	"time"
)

// hum is a tone of -15 dBFS.
func hum(hertz float64, rate int, length time.Duration) Recording {
	r := Recording{Rate: rate}
	for i := range int(length.Seconds() * float64(rate)) {
		r.Samples = append(r.Samples, int16(toneAmplitude*math.Sin(2*math.Pi*hertz*float64(i)/float64(rate))))
	}
	return r
}

func (r Recording) silent(from, to time.Duration) Recording {
	for i := int(from.Seconds() * float64(r.Rate)); i < int(to.Seconds()*float64(r.Rate)); i++ {
		r.Samples[i] = 0
	}
	return r
}

func TestMeasure(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		for _, hertz := range []float64{300, 440, 1020, 1243, 3400} {
			if s := hum(hertz, rate, time.Second).Measure(); math.Abs(s.Frequency-hertz) > 1 || math.Abs(s.Level+15) > 0.2 || s.Purity < 0.98 || s.Gaps != 0 {
				t.Errorf("%v Hz at %d: %v", hertz, rate, s)
			}
		}
	}
	s := hum(440, 8000, time.Second).silent(300*time.Millisecond, 340*time.Millisecond).silent(700*time.Millisecond, 760*time.Millisecond).Measure()
	if s.Gaps != 2 || s.Silence != 100*time.Millisecond || !(math.Abs(s.Frequency-440) < 2) {
		t.Errorf("with two gaps: %v", s)
	}
	// Two tones at once: what a call that hears itself would sound like.
	mixed := hum(440, 8000, time.Second)
	for i, v := range hum(1020, 8000, time.Second).Samples {
		mixed.Samples[i] += v / 2
	}
	if s := mixed.Measure(); s.Purity > 0.85 || s.clear(440) {
		t.Errorf("two tones: %v", s)
	}
	if s := (Recording{Rate: 8000, Samples: make([]int16, 8000)}).Measure(); s.Frequency != 0 || !math.IsInf(s.Level, -1) {
		t.Errorf("silence: %v", s)
	}
	(Recording{Rate: 8000}).Measure()
}

func TestOnset(t *testing.T) {
	r := hum(440, 48000, time.Second).silent(200*time.Millisecond, 503*time.Millisecond)
	r.Start = 5 * time.Second
	at, err := r.Onset()
	if err != nil || (at-5503*time.Millisecond).Abs() > 2*time.Millisecond {
		t.Errorf("%v, %v", at, err)
	}
	if at, err := hum(440, 8000, time.Second).Onset(); err == nil {
		t.Errorf("without a pause: %v", at)
	}
	if at, err := (Recording{}).Onset(); err == nil {
		t.Errorf("without sound: %v", at)
	}
}

func TestReadWAV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stereo.wav")
	writeTone(t, path, 440, 48000, 2, 500*time.Millisecond)
	r, err := ReadWAV(path)
	if err != nil || r.Length() != 500*time.Millisecond || !r.Measure().clear(440) {
		t.Errorf("%v, %v: %v", r.Length(), err, r.Measure())
	}
	writeFile(t, path, "RIFF and no more")
	if _, err := ReadWAV(path); err == nil {
		t.Error("read what is no sound")
	}
}

func TestCodecOf(t *testing.T) {
	for body, want := range map[string]string{
		"v=0\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n": "PCMA",
		"v=0\r\nm=audio 4000 RTP/AVP 111 8\r\na=rtpmap:111 opus/48000/2\r\n":         "opus",
		"": "",
	} {
		if got := CodecOf(SIPMessage{Body: body}); got != want {
			t.Errorf("%q: %q", body, got)
		}
	}
}

package interworktest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Codecs of a phone, as BaresipOptions.Codecs takes them.
const (
	CodecPCMA = "PCMA/8000/1"
	CodecPCMU = "PCMU/8000/1"
	CodecG722 = "G722/16000/1"
	CodecOpus = "opus/48000/2"
)

// toneLength is how long a phone's tone is: longer than any call here.
const toneLength = 90 * time.Second

// baresipRate is what the first codec needs of a sound file.
func baresipRate(codecs []string) (rate, channels int) {
	switch {
	case len(codecs) == 0 || codecs[0] == CodecOpus: // it prefers opus
		return 48000, 2
	case codecs[0] == CodecG722:
		return 16000, 1
	}
	return 8000, 1
}

// Call calls a SIP URI and returns the Call-ID.
func (b *Baresip) Call(uri string) (callID string) {
	b.t.Helper()
	from := b.Wire.Len()
	b.Dial(uri)
	return b.Wire.Next(b.t, from, "INVITE to "+uri+" to be sent", func(m SIPMessage) bool {
		return m.Out && m.Status() == 0 && m.Method() == "INVITE"
	}).Get("Call-ID")
}

// Refuse refuses the incoming call with 486 Busy Here: baresip 1.0 knows no other
// answer.
func (b *Baresip) Refuse() {
	b.t.Helper()
	b.Command("hangup", "")
}

// ExpectInvite waits for an INVITE that comes in.
func (b *Baresip) ExpectInvite() SIPMessage {
	b.t.Helper()
	return b.Wire.Take(b.t, "an INVITE at "+b.options.User, func(m SIPMessage) bool {
		return !m.Out && m.Status() == 0 && m.Method() == "INVITE"
	})
}

// FinalOf waits for the final answer that ends the phone's INVITE transaction of
// this Call-ID, in either direction.
func (b *Baresip) FinalOf(callID string) SIPMessage {
	b.t.Helper()
	return b.Wire.Take(b.t, "the final answer to INVITE "+callID, func(m SIPMessage) bool {
		code := m.Status()
		return code >= 200 && code != 401 && code != 407 && m.Method() == "INVITE" && m.Get("Call-ID") == callID
	})
}

// Listen returns what the phone hears in the next so long. The phone was started
// with Record.
func (b *Baresip) Listen(length time.Duration) Recording {
	b.t.Helper()
	var file string
	var before, after Recording
	err := poll(Patience, nil, func() error {
		files, err := filepath.Glob(filepath.Join(b.Dir(), "dump-*-dec.wav"))
		if err != nil {
			return err
		}
		newest := time.Time{}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.ModTime().After(newest) {
				newest, file = info.ModTime(), f
			}
		}
		if time.Since(newest) > time.Second {
			return errors.New("it hears nothing")
		}
		before, err = ReadWAV(file)
		return err
	})
	if err == nil {
		err = poll(length+Patience, nil, func() error {
			if after, err = ReadWAV(file); err != nil {
				return err
			}
			if after.Length() < before.Length()+length {
				return fmt.Errorf("%v of %v", after.Length()-before.Length(), length)
			}
			return nil
		})
	}
	if err != nil {
		b.t.Fatalf("interworktest: %s listens: %v", b.options.User, err)
	}
	return Recording{Rate: after.Rate, Samples: after.Samples[len(before.Samples):]}
}

// CodecOf tells the codec that a call used, from the answer to its INVITE: the
// first format of its audio, by its name.
func CodecOf(answer SIPMessage) string {
	format, names := "", map[string]string{"0": "PCMU", "8": "PCMA", "9": "G722"}
	for line := range strings.Lines(answer.Body) {
		line = strings.TrimSpace(line)
		if fields := strings.Fields(line); strings.HasPrefix(line, "m=audio ") && len(fields) > 3 {
			format = cmp.Or(format, fields[3])
		}
		if rest, ok := strings.CutPrefix(line, "a=rtpmap:"); ok {
			number, name, _ := strings.Cut(rest, " ")
			names[number], _, _ = strings.Cut(name, "/")
		}
	}
	return names[format]
}

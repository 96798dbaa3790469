package interworktest

import (
	"math"
	"testing"
	"time"
)

// TestBaresipCodecs proves the phones and their ears without the gateway: two of
// them call each other in every codec and protection.
func TestBaresipCodecs(t *testing.T) {
	for _, c := range []struct{ codec, protection string }{
		{CodecPCMA, ""}, {CodecPCMU, "srtp-mand"}, {CodecG722, ""}, {CodecOpus, "dtls_srtp"},
	} {
		t.Run(c.codec[:4]+c.protection, func(t *testing.T) {
			t.Parallel()
			otto := StartBaresip(t, BaresipOptions{User: "otto", Codecs: []string{c.codec}, MediaEnc: c.protection, Tone: 440, Record: true})
			nora := StartBaresip(t, BaresipOptions{User: "nora", Codecs: []string{c.codec}, MediaEnc: c.protection, Tone: 1020, Record: true})
			otto.Dial(nora.URI())
			invite := nora.ExpectInvite()
			nora.ExpectCall("CALL_INCOMING")
			nora.Accept()
			otto.ExpectCall("CALL_ESTABLISHED")
			nora.ExpectCall("CALL_ESTABLISHED")
			answer := otto.FinalOf(invite.Get("Call-ID"))
			if got := CodecOf(answer); got != c.codec[:4] {
				t.Errorf("codec %q", got)
			}
			for _, end := range []struct {
				phone *Baresip
				tone  float64
			}{{otto, 1020}, {nora, 440}} {
				clearly(t, end.phone.URI(), end.tone, func() Recording { return end.phone.Listen(time.Second) })
			}
			otto.Hangup()
			otto.ExpectCall("CALL_CLOSED")
			nora.ExpectCall("CALL_CLOSED")
		})
	}
}

func TestBaresipRefuses(t *testing.T) {
	otto := StartBaresip(t, BaresipOptions{User: "otto"})
	nora := StartBaresip(t, BaresipOptions{User: "nora"})
	otto.Dial(nora.URI())
	invite := nora.ExpectInvite()
	nora.ExpectCall("CALL_INCOMING")
	nora.Refuse()
	if final := otto.FinalOf(invite.Get("Call-ID")); final.Status() != 486 {
		t.Errorf("refused with %d", final.Status())
	}

	otto.Dial(nora.URI())
	invite = nora.ExpectInvite()
	nora.ExpectCall("CALL_INCOMING")
	otto.Hangup() // before the answer: CANCEL
	if final := otto.FinalOf(invite.Get("Call-ID")); final.Status() != 487 {
		t.Errorf("cancelled: %d", final.Status())
	}
}

// clear judges what a peer heard of a tone that was sent at -15 dBFS.
func (s Sound) clear(hertz float64) bool {
	return math.Abs(s.Frequency-hertz) <= 3 && math.Abs(s.Level+15) <= 2 && s.Purity > 0.9 && s.Silence <= 30*time.Millisecond
}

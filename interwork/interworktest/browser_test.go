package interworktest

import (
	"testing"
	"time"
)

// TestBrowsersCall proves the rig itself: two clients in a browser call each
// other through a server alone.
func TestBrowsersCall(t *testing.T) {
	server := StartProsody(t, ServerOptions{WebSocket: true})
	browser := StartBrowser(t)
	for _, c := range []struct {
		name   string
		jmi    bool
		codecs []string
		codec  string
	}{{"JMI", true, nil, "opus"}, {"direct", false, []string{"PCMA"}, "PCMA"}} {
		t.Run(c.name, func(t *testing.T) {
			mira := browser.Client(t, WebClientOptions{Server: server, Name: "mira", JMI: c.jmi, Codecs: c.codecs, Tone: 440})
			jonas := browser.Client(t, WebClientOptions{Server: server, Name: "jonas", JMI: c.jmi, Tone: 620})
			sid := mira.Dial(jonas.JID())
			if incoming(jonas) != sid {
				t.Fatal("another call came")
			}
			expectRinging(mira, sid)
			jonas.Answer(sid)
			mira.Expect("answered", sid)
			mira.ExpectConnected(sid)
			jonas.ExpectConnected(sid)
			hears(t, mira, sid, 620)
			hears(t, jonas, sid, 440)
			if s := jonas.Stats(sid); s.CodecIn != c.codec || s.CodecOut != c.codec || s.DTLS != "connected" || s.Received == 0 || s.Sent == 0 {
				t.Errorf("%+v", s)
			}
			t.Logf("%v later", delay(t, mira, jonas, sid, sid))
			mira.End(sid, "")
			if e := jonas.Expect("terminated", sid); e.Reason != "success" {
				t.Errorf("ended by %v", e)
			}

			for _, reason := range []string{"busy", "decline"} {
				sid := mira.Dial(jonas.JID())
				incoming(jonas)
				jonas.End(sid, reason)
				if got := mira.refusal(sid); got != reason {
					t.Errorf("refused with %q instead of %q", got, reason)
				}
			}
			sid = mira.Dial(jonas.JID())
			incoming(jonas)
			mira.End(sid, "")
			if got := jonas.refusal(sid); got != "cancel" {
				t.Errorf("given up with %q", got)
			}
		})
	}
}

// clearly judges a second of what somebody hears; on a machine that is busy
// with other things it may take a few.
func clearly(t *testing.T, who string, hertz float64, listen func() Recording) Sound {
	t.Helper()
	var s Sound
	for range 4 {
		if s = listen().Measure(); s.clear(hertz) {
			return s
		}
		t.Logf("%s hears %v", who, s)
	}
	t.Errorf("%s hears %v instead of a clear tone of %.0f Hz", who, s, hertz)
	return s
}

// hears judges what a client hears.
func hears(t *testing.T, w *WebClient, sid string, hertz float64) Sound {
	t.Helper()
	return clearly(t, w.options.Name, hertz, func() Recording { return w.Listen(sid, time.Second) })
}

// delay tells how much later one client hears what the other's microphone does.
func delay(t *testing.T, from, to *WebClient, fromSID, toSID string) time.Duration {
	t.Helper()
	var err error
	for range 3 {
		heard := to.Listening(toSID, 1500*time.Millisecond)
		at := from.Mark()
		var onset time.Duration
		if onset, err = heard().Onset(); err == nil {
			return onset - at
		}
	}
	t.Errorf("delay from %s to %s: %v", from.options.Name, to.options.Name, err)
	return 0
}

package interworktest

import (
	"testing"
	"time"
)

// callRoom is a house with one browser, for tests of one kind of call each.
func callRoom(t *testing.T, phones ...string) (*stage, *Rig, *Browser) {
	t.Helper()
	s := newStage(t)
	r := NewRig(s, RigOptions{Server: ServerOptions{WebSocket: true}, Gateway: callGateway(t), Phones: phones})
	return s, r, StartBrowser(s)
}

// client opens a page for a user of the house.
func (r *Rig) client(t TB, b *Browser, o WebClientOptions) *WebClient {
	t.Helper()
	o.Server = r.Server.(*Prosody)
	return b.Client(t, o)
}

// TestCallFlows: calls in ways that a phone with a loudspeaker does not make.
func TestCallFlows(t *testing.T) {
	s, r, browser := callRoom(t, "echo")
	mira := r.client(s, browser, WebClientOptions{Name: "mira", JMI: true, Tone: 440})
	s.run("echo", func(t *testing.T) {
		// What comes back is her own tone: there and back, with a phone that adds
		// nothing.
		phone := r.With(t).CallPhone("echo", CallUAS, SIPpOptions{Codec: CodecPCMU})
		sid := mira.Dial(r.JID("echo"))
		mira.ExpectConnected(sid)
		hears(t, mira, sid, 440)
		t.Logf("%v there and back: %+v", delay(t, mira, mira, sid, sid), mira.Stats(sid))
		mira.End(sid, "")
		phone.Wire.Take(t, "BYE", isRequest("BYE"))
	})
	s.run("late offer", func(t *testing.T) {
		phone := r.With(t).SIPpCalls("echo", r.URI("mira"), CallUACLate, SIPpOptions{})
		sid := answerNext(mira)
		hears(t, mira, sid, 440)
		t.Logf("%+v", mira.Stats(sid))
		mira.End(sid, "")
		phone.Success(Patience)
	})
	s.run("hold", func(t *testing.T) {
		phone := r.With(t).SIPpCalls("echo", r.URI("mira"), CallUACHolds, SIPpOptions{Talk: 4 * time.Second})
		sid := answerNext(mira)
		hears(t, mira, sid, 440)
		answered := func(cseq string) SIPMessage {
			return phone.Wire.Take(t, "the answer to "+cseq, func(m SIPMessage) bool {
				return !m.Out && m.Status() >= 200 && m.Get("CSeq") == cseq
			})
		}
		if m := answered("3 INVITE"); m.Status() != 200 || !hasLine(m.Body, "a=recvonly") && !hasLine(m.Body, "a=inactive") {
			t.Errorf("hold is answered by %v", m)
		}
		if m := answered("4 INVITE"); m.Status() != 200 || hasLine(m.Body, "a=recvonly") || hasLine(m.Body, "a=inactive") {
			t.Errorf("the end of hold is answered by %v", m)
		}
		hears(t, mira, sid, 440)
		expectEnd(t, mira, sid, "success")
		phone.Success(Patience)
	})
}

// TestCallProtection: phones that protect their media, with keys in SDP or by
// DTLS.
func TestCallProtection(t *testing.T) {
	s, r, browser := callRoom(t, "otto")
	mira := r.client(s, browser, WebClientOptions{Name: "mira", JMI: true, Tone: 440})
	for _, protection := range []string{"srtp-mand", "dtls_srtp"} {
		s.run(protection, func(t *testing.T) {
			otto := r.With(t).Phone("otto", BaresipOptions{Codecs: []string{CodecPCMA}, MediaEnc: protection, Tone: 1020, Record: true})
			otto.Call(r.URI("mira"))
			sid := answerNext(mira)
			hears(t, mira, sid, 1020)
			clearly(t, "otto", 440, func() Recording { return otto.Listen(time.Second) })
			otto.Hangup()
			expectEnd(t, mira, sid, "success")
		})
	}
}

// TestCallDigits: keys that are pressed in a browser arrive at a phone.
func TestCallDigits(t *testing.T) {
	_, r, browser := callRoom(t, "otto")
	mira := r.client(t, browser, WebClientOptions{Name: "mira", JMI: true})
	otto := r.Phone("otto", BaresipOptions{Codecs: []string{CodecPCMA}, AnswerMode: "auto", Tone: 1020})
	sid := mira.Dial(r.JID("otto"))
	mira.ExpectConnected(sid)
	mira.DTMF(sid, "4#")
	for _, digit := range []string{"4", "#"} {
		otto.Events.Take(t, "digit "+digit, func(e BaresipEvent) bool { return e.Type == "CALL_DTMF_START" && e.Param == digit })
	}
	mira.End(sid, "")
	otto.ExpectCall("CALL_CLOSED")
}

// TestCallManyDevices: everything that somebody has rings, and one is answered.
func TestCallManyDevices(t *testing.T) {
	s, r, browser := callRoom(t, "otto")
	otto := r.Phone("otto", BaresipOptions{Codecs: []string{CodecPCMA}, Tone: 1020, Presence: true})
	otto.Command("presence_online", "")
	for _, jmi := range []bool{true, false} {
		name := map[bool]string{true: "JMI", false: "direct"}[jmi]
		s.run(name, func(t *testing.T) {
			user := map[bool]string{true: "mira", false: "jonas"}[jmi]
			var devices []*WebClient
			for _, resource := range []string{"desk", "pocket"} {
				c := r.client(t, browser, WebClientOptions{Name: user, Resource: resource, JMI: jmi})
				if !jmi {
					c.Befriend(r.JID("otto"))
				}
				devices = append(devices, c)
			}
			callID := otto.Call(r.URI(user))
			first, second := incoming(devices[0]), incoming(devices[1])
			devices[1].Answer(second)
			devices[1].ExpectConnected(second)
			if m := otto.FinalOf(callID); m.Status() != 200 {
				t.Errorf("answered by %d", m.Status())
			}
			if !jmi { // the other client of an account that does JMI sees it at home
				expectEnd(t, devices[0], first, "cancel")
			}
			otto.Hangup()
			expectEnd(t, devices[1], second, "success")
		})
	}
}

// answerNext has a client take the call that comes next.
func answerNext(w *WebClient) (sid string) {
	w.t.Helper()
	sid = incoming(w)
	w.Answer(sid)
	w.ExpectConnected(sid)
	return sid
}

func expectEnd(t *testing.T, w *WebClient, sid, condition string) {
	t.Helper()
	if e := w.Expect("terminated", sid); e.Reason != condition {
		t.Errorf("ended by %v instead of %s", e, condition)
	}
}

// TestCallTranscoding: a client and a phone without a codec in common.
func TestCallTranscoding(t *testing.T) {
	s, r, browser := callRoom(t, "pcma", "g722")
	for _, c := range []struct{ client, phone string }{{"opus", CodecPCMA}, {"opus", CodecG722}, {"PCMU", CodecG722}} {
		name := phoneName(c.phone)
		s.run(c.client+"-"+name, func(t *testing.T) {
			mira := r.client(t, browser, WebClientOptions{Name: "mira", JMI: true, Tone: 440, Codecs: []string{c.client}})
			phone := r.With(t).Phone(name, BaresipOptions{Codecs: []string{c.phone}, Tone: 1020, Record: true})
			callID := phone.Call(r.URI("mira"))
			sid := answerNext(mira)
			t.Logf("mira hears %v", hears(t, mira, sid, 1020))
			t.Logf("phone hears %v", clearly(t, name, 440, func() Recording { return phone.Listen(time.Second) }))
			stats := mira.Stats(sid)
			t.Logf("%+v", stats)
			if got := CodecOf(phone.FinalOf(callID)); got != c.phone[:4] || stats.CodecIn != c.client || stats.CodecOut != c.client {
				t.Errorf("codecs: %s at the phone, %+v", got, stats)
			}
			phone.Hangup()
			expectEnd(t, mira, sid, "success")
		})
	}
}

package interworktest

import (
	"strings"
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
	s, r, browser := callRoom(t, "echo", "otto", "nora")
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
	// Phones that protect their media: with keys in SDP, or by DTLS.
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
	nora := r.Phone("nora", BaresipOptions{Codecs: []string{CodecPCMA}, Tone: 1020, Presence: true})
	nora.Command("presence_online", "")
	s.run("digits", func(t *testing.T) {
		sid := mira.Dial(r.JID("nora"))
		nora.ExpectCall("CALL_INCOMING")
		nora.Accept()
		mira.ExpectConnected(sid)
		mira.DTMF(sid, "4#")
		for _, digit := range []string{"4", "#"} {
			nora.Events.Take(t, "digit "+digit, func(e BaresipEvent) bool { return e.Type == "CALL_DTMF_START" && e.Param == digit })
		}
		mira.End(sid, "")
		nora.ExpectCall("CALL_CLOSED")
	})
	// Everything that somebody has rings, and one is answered.
	for _, user := range []string{"mira", "jonas"} {
		s.run("devices of "+user, func(t *testing.T) {
			jmi := user == "mira"
			devices := []*WebClient{mira}
			if !jmi {
				devices[0] = r.client(t, browser, WebClientOptions{Name: user})
			}
			devices = append(devices, r.client(t, browser, WebClientOptions{Name: user, Resource: "pocket", JMI: jmi}))
			for _, c := range devices {
				if !jmi {
					c.Befriend(r.JID("nora"))
				}
			}
			if !jmi {
				asked(devices[0])
			}
			callID := nora.Call(r.URI(user))
			first, second := incoming(devices[0]), incoming(devices[1])
			devices[1].Answer(second)
			devices[1].ExpectConnected(second)
			if m := nora.FinalOf(callID); m.Status() != 200 {
				t.Errorf("answered by %d", m.Status())
			}
			if !jmi { // with JMI a client sees it from its own account
				expectEnd(t, devices[0], first, "cancel")
			}
			nora.Hangup()
			expectEnd(t, devices[1], second, "success")
		})
	}
}

// asked waits until a client has told the gateway what it can do (XEP-0115): once
// for all of its make.
func asked(w *WebClient) {
	w.t.Helper()
	w.Stanzas.Take(w.t, "the gateway to ask what "+w.options.Name+" can do", func(s WebStanza) bool {
		return s.Out && strings.Contains(s.XML, "disco#info") && strings.Contains(s.XML, "@"+DefaultComponent+`"`)
	})
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

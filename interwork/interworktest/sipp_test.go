package interworktest

import (
	"strings"
	"testing"
	"time"
)

func TestSIPpToSIPp(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		name := map[bool]string{false: "udp", true: "tcp"}[tcp]
		t.Run(name, func(t *testing.T) {
			in := StartSIPp(t, SIPpOptions{Scenario: MessageUAS, TCP: tcp})
			out := StartSIPp(t, SIPpOptions{
				Scenario: MessageUAC, Remote: in.Address(), User: "otto", TCP: tcp, Calls: 20, Rate: 200,
				Keys: messageKeys("sip:nora@"+in.Address(), "Which berth?"),
			})
			stats := out.Success(Patience)
			if stats.Succeeded != 20 || stats.Failed != 0 {
				t.Errorf("%+v", stats)
			}
			m := in.ExpectMessage("Which berth?")
			if m.Get("Content-Type") != "text/plain" || m.Get("f") == "" || m.RequestURI() != "sip:nora@"+in.Address() {
				t.Errorf("%v", m)
			}
			Eventually(t, Patience, "20 requests traced", func() error {
				if n := in.Wire.Count(func(m SIPMessage) bool { return !m.Out && m.Method() == "MESSAGE" }); n != 20 {
					return errNotYet
				}
				return nil
			})
			in.Stop()
		})
	}
}

func TestSIPpRefusals(t *testing.T) {
	for _, status := range []string{"202 Accepted", "404 Not Found", "486 Busy Here", "503 Service Unavailable"} {
		t.Run(status, func(t *testing.T) {
			in := StartSIPp(t, SIPpOptions{Scenario: MessageUAS, Status: status})
			out := StartSIPp(t, SIPpOptions{
				Scenario: MessageUAC, Remote: in.Address(), Calls: 1, Keys: messageKeys("sip:nora@"+in.Address(), "x"),
			})
			if got := out.Final("MESSAGE"); got.Start != "SIP/2.0 "+status {
				t.Errorf("got %v", got)
			}
			want := 1
			if status == "202 Accepted" {
				want = 0
			}
			if code := out.Wait(Patience); code != want {
				t.Errorf("exit code %d, %+v", code, out.Stats())
			}
		})
	}
}

func TestSIPpBusyFirst(t *testing.T) {
	in := StartSIPp(t, SIPpOptions{Scenario: MessageUASBusy, Keys: map[string]string{"after": "3"}})
	out := StartSIPp(t, SIPpOptions{
		Scenario: MessageUAC, Remote: in.Address(), Calls: 1, Keys: messageKeys("sip:nora@"+in.Address(), "x"),
	})
	if got := out.Final("MESSAGE"); got.Status() != 503 || got.Get("Retry-After") != "3" {
		t.Errorf("got %v", got)
	}
}

func TestSIPpSilent(t *testing.T) {
	in := StartSIPp(t, SIPpOptions{Scenario: MessageUASSilent})
	out := StartSIPp(t, SIPpOptions{
		Scenario: MessageUAC, Remote: in.Address(), Calls: 1, Keys: messageKeys("sip:nora@"+in.Address(), "x"),
	})
	in.ExpectMessage("x")
	in.ExpectMessage("x") // the first retransmission
	out.Kill()
	if answers := in.Wire.Count(func(m SIPMessage) bool { return m.Out }); answers != 0 {
		t.Errorf("%d answers", answers)
	}
}

func TestSIPpToBaresip(t *testing.T) {
	otto := StartBaresip(t, BaresipOptions{User: "otto"})
	out := StartSIPp(t, SIPpOptions{
		Scenario: MessageUAC, Remote: otto.Address(), Calls: 3, Rate: 50, Keys: messageKeys(otto.URI(), "häfen"),
	})
	out.Success(Patience)
	for range 3 {
		otto.ExpectMessage("häfen")
	}
	html := messageKeys(otto.URI(), "<b>x</b>")
	html["type"] = "text/html"
	out = StartSIPp(t, SIPpOptions{Scenario: MessageUAC, Remote: otto.Address(), Calls: 1, Keys: html})
	if got := out.Final("MESSAGE"); got.Status() != 415 || !strings.Contains(got.Get("Accept"), "text/plain") {
		t.Errorf("baresip answers %v", got)
	}

	in := StartSIPp(t, SIPpOptions{Scenario: MessageUAS, Status: "480 Away"})
	if status := otto.Message("sip:mira@"+in.Address(), "hello"); status != 480 {
		t.Errorf("baresip sees %d", status)
	}
	in.ExpectMessage("hello")
}

func TestSIPpStops(t *testing.T) {
	in := StartSIPp(t, SIPpOptions{Scenario: MessageUAS})
	start := time.Now()
	in.Stop()
	t.Logf("stopped after %v", time.Since(start))
	if in.Running() {
		t.Error("still running")
	}
}

// messageKeys are the keys of the scenario MessageUAC.
func messageKeys(to, text string) map[string]string {
	return map[string]string{"to": to, "from": "sip:otto@sip.harbor.example", "text": text, "type": "text/plain"}
}

package interworktest

import (
	"testing"
	"time"
)

func TestKamailioRegistersAndRelays(t *testing.T) {
	k := StartKamailio(t, KamailioOptions{})
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			otto := StartBaresip(t, BaresipOptions{User: "otto", Domain: k.Domain(), Proxy: k.Address(), Transport: transport})
			nora := StartBaresip(t, BaresipOptions{User: "nora", Domain: k.Domain(), Proxy: k.Address(), Transport: transport})
			if status := otto.Message(nora.URI(), "Which berth?"); status != 200 {
				t.Errorf("otto sees %d", status)
			}
			if m := nora.ExpectMessage("Which berth?"); m.Get("From") == "" {
				t.Errorf("%v", m)
			}
			if status := otto.Message("sip:nobody@"+k.Domain(), "lost"); status != 404 {
				t.Errorf("otto sees %d for nobody", status)
			}
			nora.Stop() // which unregisters
			if status := otto.Message(nora.URI(), "gone"); status != 404 {
				t.Errorf("otto sees %d for nora, who is gone", status)
			}
		})
	}
	stranger := PrepareBaresip(t, BaresipOptions{User: "otto", Password: "wrong", Domain: k.Domain(), Proxy: k.Address()})
	stranger.Start()
	for _, what := range []string{"challenge", "refusal"} {
		stranger.Wire.Take(t, what, func(m SIPMessage) bool { return m.Status() == 401 })
	}
}

func TestSIPpWithDigest(t *testing.T) {
	k := StartKamailio(t, KamailioOptions{})
	nora := "sip:nora@" + k.Domain()
	phone := StartSIPp(t, SIPpOptions{
		Scenario: Register, OutOfCall: MessageUAS, Remote: k.Address(), User: "nora", Calls: 1,
		Keys: map[string]string{"aor": nora, "domain": k.Domain(), "expires": "60"}, Stay: time.Minute,
	})
	if got := phone.Final("REGISTER"); got.Status() != 200 {
		t.Fatalf("registrar answers %v", got)
	}
	keys := messageKeys(nora, "Which berth?")
	keys["from"] = "sip:otto@" + k.Domain()
	out := StartSIPp(t, SIPpOptions{Scenario: MessageUAC, Remote: k.Address(), User: "otto", Keys: keys, Calls: 5, Rate: 100})
	if stats := out.Success(Patience); stats.Succeeded != 5 {
		t.Errorf("%+v", stats)
	}
	for range 5 {
		phone.ExpectMessage("Which berth?")
	}
}

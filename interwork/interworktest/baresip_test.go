package interworktest

import (
	"strings"
	"testing"
	"time"
)

func TestBaresipsTalk(t *testing.T) {
	otto := StartBaresip(t, BaresipOptions{User: "otto"})
	nora := StartBaresip(t, BaresipOptions{User: "nora", Display: "Nora"})
	for _, text := range []string{"Which berth?", "häfen: \"7\" & {8}\nand a second line", strings.Repeat("long ", 60)} {
		if status := otto.Message(nora.URI(), text); status != 200 {
			t.Errorf("nora answers %d", status)
		}
		got := nora.ExpectMessage(text)
		if got.RequestURI() != nora.URI() || !strings.HasPrefix(got.Get("Content-Type"), "text/plain") || got.Remote != otto.Address() {
			t.Errorf("from %s: %v", got.Remote, got)
		}
	}
	if status := nora.Message(otto.URI(), "back"); status != 200 {
		t.Errorf("otto answers %d", status)
	}
	otto.ExpectMessage("back")
	if status := nora.Message("sip:nobody@"+otto.Address(), "lost"); status != 404 {
		t.Errorf("an unknown user answers %d", status)
	}

	nora.Restart()
	if status := otto.Message(nora.URI(), "again"); status != 200 {
		t.Errorf("nora answers %d after her restart", status)
	}
	nora.ExpectMessage("again")
}

func TestBaresipsCall(t *testing.T) {
	tone := WriteTone(t, t.TempDir(), 440, 8000, 30*time.Second)
	otto := StartBaresip(t, BaresipOptions{User: "otto", Source: "aufile," + tone, Codecs: []string{"PCMA/8000/1"}})
	nora := StartBaresip(t, BaresipOptions{User: "nora", AnswerMode: "auto", Record: true})
	otto.Dial(nora.URI())
	otto.ExpectCall("CALL_ESTABLISHED")
	in := nora.ExpectCall("CALL_ESTABLISHED")
	if in.Direction != "incoming" || in.Peer != otto.URI() {
		t.Errorf("nora sees %+v", in)
	}
	Eventually(t, Patience, "a recording", func() error {
		if len(nora.Recordings()) == 0 {
			return errNotYet
		}
		return nil
	})
	nora.Hangup()
	otto.ExpectCall("CALL_CLOSED")
	nora.ExpectCall("CALL_CLOSED")

	otto.Dial("sip:nobody@" + nora.Address())
	if e := otto.ExpectCall("CALL_CLOSED"); !strings.Contains(e.Param, "404") {
		t.Errorf("a call to nobody ends with %v", e)
	}
}

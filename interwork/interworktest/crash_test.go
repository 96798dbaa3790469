package interworktest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// kills is how often TestKillUnderLoad kills the gateway: STOXGATE_KILLS, or a
// number that fits into every run of the tests.
func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("STOXGATE_KILLS"))
	if err != nil {
		return 10
	}
	return n
}

// TestKillUnderLoad kills the gateway (SIGKILL) at random moments while
// messages go both ways. Every message must arrive, at the latest after a
// restart, or its sender must have been told; copies must be recognisable.
//
// One loss is beyond a gateway's power: a component's stream (XEP-0114) has no
// acknowledgements, so what the server has written into the connection, and
// nobody has read and committed yet, dies with the connection. Such messages
// are the last ones before the server notices, which is when it begins to
// bounce: they are told apart by that, counted and printed.
func TestKillUnderLoad(t *testing.T) {
	r := NewRig(t, RigOptions{})
	mira := r.Jabber("mira")
	otto := r.SIPpPhone("otto", "200 OK")
	toSIP, toXMPP := &Ledger{}, &Ledger{}

	// To SIP: a message each 20 ms.
	stop := make(chan struct{})
	var senders sync.WaitGroup
	senders.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				key := "x" + strconv.Itoa(i)
				toSIP.Sent(key)
				mira.Send(Chat{To: r.JID("otto"), ID: key, Body: key})
			}
		}
	})
	defer senders.Wait()
	stopOnce := sync.OnceFunc(func() { close(stop) })
	defer stopOnce()

	// To XMPP: 25 calls a second, each with a body of its own. SIPp sends again
	// and again, as RFC 3261 has it, for half a minute.
	nora := StartSIPp(t, SIPpOptions{
		Scenario: strings.ReplaceAll(Scenario(t, MessageUAC), "[text]", "s[call_number]"),
		Remote:   r.Gateway.SIPAddress(), User: "nora", Rate: 25, Limit: 500,
		Keys: map[string]string{"to": r.URI("mira"), "from": r.URI("nora"), "type": "text/plain"},
	})

	for range kills(t) {
		pause := time.Duration(20+rand.IntN(500)) * time.Millisecond
		<-time.After(pause) // the moment is the point: nothing is awaited
		r.Gateway.Kill()
		r.Gateway.Start()
	}
	stopOnce()
	senders.Wait()
	nora.Finish()

	fates := func() {
		toSIP, toXMPP = toSIP.Again(), &Ledger{}
		for _, m := range otto.Wire.All() {
			if !m.Out && m.Method() == "MESSAGE" && m.Status() == 0 {
				toSIP.Arrived(m.Body, m.Transaction())
			}
		}
		sippLedger(toXMPP, nora, mira)
		for _, s := range mira.Stanzas.All() {
			if s.Error != nil {
				toSIP.Refused(s.ID)
			}
		}
	}
	onTheWire := func(key string) bool {
		for n, err := strconv.Atoi(key[1:]); err == nil; {
			n++
			next := "x" + strconv.Itoa(n)
			if toSIP.WasRefused(next) {
				return true
			}
			if !slices.Contains(toSIP.Report().Lost, next) {
				return false
			}
		}
		return false
	}
	settled := poll(90*time.Second, nil, func() error {
		fates()
		lost := slices.DeleteFunc(toSIP.Report().Lost, onTheWire)
		if len(lost) > 0 || toXMPP.Open() > 0 || r.Gateway.Undelivered() > 0 {
			return fmt.Errorf("lost to SIP %v, to XMPP %v, %d in the outbox", lost, toXMPP.Report().Lost, r.Gateway.Undelivered())
		}
		return nil
	})
	t.Logf("%d kills; XMPP to SIP (lost: on the wire when it was killed): %v", kills(t), toSIP.Report())
	t.Logf("SIP to XMPP: %v", toXMPP.Report())
	if settled != nil {
		t.Error(settled)
	}
	for direction, report := range map[string]LedgerReport{"XMPP to SIP": toSIP.Report(), "SIP to XMPP": toXMPP.Report()} {
		if report.Sent == 0 || report.Arrived == 0 || report.Different > 0 || report.Unsolicited > 0 {
			t.Errorf("%s: %v", direction, report)
		}
	}
}

// TestKillWithMessagesWaiting kills the gateway while its phone answers nothing:
// what was taken from the XMPP server is delivered after the restart, in order
// and as what it was.
func TestKillWithMessagesWaiting(t *testing.T) {
	for _, software := range ServerSoftware {
		t.Run(software, func(t *testing.T) {
			r := NewRig(t, RigOptions{Software: software})
			mira := r.Jabber("mira")
			port := FreePort(t)
			silent := r.SIPpPhoneOn(port, "otto", MessageUASSilent, "")
			texts := []string{"one", "two", "three", "four", "five"}
			for _, text := range texts {
				mira.Send(Chat{To: r.JID("otto"), Body: text})
			}
			silent.ExpectMessage("one")
			Eventually(t, Patience, "all of them in the outbox", func() error {
				if n := r.Gateway.Undelivered(); n != len(texts) {
					return fmt.Errorf("%d are", n)
				}
				return nil
			})
			r.Gateway.Kill()
			first := silent.Wire.Next(t, 0, "the first request", func(m SIPMessage) bool { return !m.Out && m.Method() == "MESSAGE" })
			silent.Kill()
			r.Gateway.Start()
			otto := r.SIPpPhoneOn(port, "otto", MessageUAS, "200 OK")
			var got []string
			Eventually(t, Patience, "all of them at the phone", func() error {
				got = got[:0]
				for _, m := range otto.Wire.All() {
					if !m.Out && m.Method() == "MESSAGE" && m.Status() == 0 && !slices.Contains(got, m.Body) {
						got = append(got, m.Body)
					}
				}
				if len(got) < len(texts) {
					return fmt.Errorf("%v", got)
				}
				return nil
			})
			if !slices.Equal(got, texts) {
				t.Errorf("they come as %v", got)
			}
			again := otto.ExpectMessage("one")
			if again.Transaction() != first.Transaction() {
				t.Errorf("the first comes again as %s, it was %s", again.Transaction(), first.Transaction())
			}
			for i, s := range mira.Stanzas.All() {
				if s.Error != nil {
					t.Errorf("error %d: %v", i, s)
				}
			}
		})
	}
}

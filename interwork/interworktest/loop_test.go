package interworktest

import (
	"fmt"
	"testing"
)

// otherComponent is the domain of a second gateway at the same server.
const otherComponent = "voice.harbor.example"

// componentOf is a server as the gateway of another of its components sees it.
type componentOf struct {
	Server
	component string
}

func (c componentOf) Options() ServerOptions {
	o := c.Server.Options()
	o.Component = c.component
	return o
}

// TestCallThroughTwoGateways: a call between two browsers that is SIP in the
// middle: Jingle, a gateway, SIP, another gateway, Jingle.
func TestCallThroughTwoGateways(t *testing.T) {
	server := StartProsody(t, ServerOptions{WebSocket: true, Extra: fmt.Sprintf(
		"Component %q\n\tcomponent_secret = %q\n", otherComponent, DefaultSecret)})
	far := callGateway(t)
	far.Server = componentOf{server, otherComponent}
	far.Identities = []Identity{{JID: "jonas@" + DefaultDomain, AORs: []string{"sip:jonas@" + otherComponent}}}
	far.Set["sip.trusted"] = []string{"127.0.0.1/32"}
	second := StartGateway(t, far)
	near := callGateway(t)
	near.Server = server
	near.Identities = []Identity{{JID: "mira@" + DefaultDomain, AORs: []string{"sip:mira@" + DefaultComponent}}}
	near.Trunks = []Trunk{{Name: "voice", URI: "sip:" + second.SIPAddress() + ";transport=udp", Domains: []string{otherComponent}}}
	StartGateway(t, near)

	browser := StartBrowser(t)
	mira := browser.Client(t, WebClientOptions{Server: server, Name: "mira", JMI: true, Tone: 440})
	jonas := browser.Client(t, WebClientOptions{Server: server, Name: "jonas", JMI: true, Tone: 620})

	sid := mira.Dial(`jonas\40` + otherComponent + "@" + DefaultComponent)
	there := incoming(jonas)
	if there != sid {
		t.Errorf("the session %s is %s behind the second gateway", sid, there)
	}
	expectRinging(mira, sid)
	jonas.Answer(there)
	mira.Expect("answered", sid)
	mira.ExpectConnected(sid)
	jonas.ExpectConnected(there)
	t.Logf("mira hears %v", hears(t, mira, sid, 620))
	t.Logf("jonas hears %v", hears(t, jonas, there, 440))
	for _, stats := range []WebStats{mira.Stats(sid), jonas.Stats(there)} {
		t.Logf("%+v", stats)
	}
	t.Logf("there %v later, back %v", delay(t, mira, jonas, sid, there), delay(t, jonas, mira, there, sid))
	jonas.End(there, "")
	if e := mira.Expect("terminated", sid); e.Reason != "success" {
		t.Errorf("ended by %v", e)
	}
}

package mapping_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func ExampleMessageToRequests() {
	m := &xmpp.Message{
		From: xmpp.MustJID("mira@chat.harbor.example/desk"), To: xmpp.MustJID("otto@voice.quay.example"),
		ID: "m-41", Type: xmpp.MessageChat, Thread: "t-9f2", Bodies: []xmpp.LangText{{Text: "Which berth tonight?"}},
	}
	from, _ := mapping.JIDToURI(m.From.Bare())
	to, _ := mapping.JIDToURI(m.To)
	reqs, loss, err := mapping.MessageToRequests(m, mapping.MessageContext{
		From: sip.NameAddr{Display: "Mira", URI: from}, To: sip.NameAddr{URI: to}, Host: "gw.harbor.example", Seq: 1,
		Now: time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC),
	})
	fmt.Println(len(reqs), loss, err)
	wire, _ := sip.AppendMessage(nil, reqs[0])
	fmt.Println(strings.ReplaceAll(string(wire), "\r\n", "\n"))
	// Output:
	// 1 [] <nil>
	// MESSAGE sip:otto@voice.quay.example SIP/2.0
	// Max-Forwards: 70
	// From: "Mira" <sip:mira@chat.harbor.example>;tag=cmad8o0rj6gb6
	// To: <sip:otto@voice.quay.example>
	// Call-ID: t-9f2.u5bm4ngpissiu@gw.harbor.example
	// CSeq: 65 MESSAGE
	// Content-Type: text/plain;charset=UTF-8
	// Content-Length: 20
	//
	// Which berth tonight?
}

func ExampleStatusToStanzaError() {
	e := mapping.StatusToStanzaError(sip.Status{Code: 486})
	fmt.Println(e.Type, e.Condition, e.Text)
	// Output: wait recipient-unavailable Busy Here
}

func ExampleURIToComponent() {
	u, _ := sip.ParseURI("sip:otto@voice.quay.example")
	j, _ := mapping.URIToComponent(u, "sip.harbor.example")
	fmt.Println(j)
	// Output: otto\40voice.quay.example@sip.harbor.example
}

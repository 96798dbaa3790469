package jingle_test

import (
	"fmt"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

// A gateway answers every action as the session says, and acts on those that were taken.
func ExampleSession() {
	gateway, phone := xmpp.MustJID("otto@sip.example/gw-1"), xmpp.MustJID("mira@example.org/phone")
	s := jingle.NewSession("a73sjj", gateway, phone, jingle.RoleResponder)
	voice := []jingle.Content{{Creator: jingle.RoleInitiator, Name: "voice", Senders: jingle.SendersBoth}}

	fmt.Println(s.Receive(&jingle.Jingle{Action: jingle.ActionSessionInitiate, SID: "a73sjj", Contents: voice}))
	fmt.Println(s.Send(&jingle.Jingle{Action: jingle.ActionSessionAccept, SID: "a73sjj", Contents: voice}), s.State())
	s.Answered(jingle.ActionSessionAccept, nil)
	fmt.Println(s.Receive(&jingle.Jingle{Action: jingle.ActionSessionInitiate, SID: "a73sjj", Contents: voice}))
	fmt.Println(s.Receive(&jingle.Jingle{Action: jingle.ActionSessionTerminate, SID: "a73sjj"}), s.State())
	// Output:
	// <nil>
	// <nil> active
	// xmpp: stanza error unexpected-request: session exists
	// <nil> ended
}

package identity_test

import (
	"context"
	"fmt"

	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func Example() {
	ctx := context.Background()
	table, _ := identity.New(ctx, identity.Config{Numbers: identity.Numbers{Region: "DE"}})
	_, _ = table.Add(ctx, identity.Identity{
		ID: "mira", JID: xmpp.MustJID("mira@chat.example"), Numbers: []string{"030 123456"},
		AORs: []sip.URI{{Scheme: "sip", User: "mira", Host: "sip.example"}}, Policy: identity.AllowAll,
	}, identity.NewPassword())
	addresses, _ := identity.NewAddresses(identity.AddressConfig{Component: "sip.example", Table: table, Region: "DE"})

	otto, _ := addresses.ToSIP(xmpp.MustJID(`otto\40voice.example@sip.example`))
	fmt.Println(otto)
	fmt.Println(addresses.CallerToSIP(xmpp.MustJID("mira@chat.example"), otto).URI)
	fmt.Println(addresses.ToXMPP(sip.URI{Scheme: "tel", User: "+49-30-123456"}))
	fmt.Println(addresses.CallerToXMPP(otto))
	fmt.Println(addresses.Prompt("030 7654321"))
	// Output:
	// sip:otto@voice.example
	// sip:mira@sip.example
	// mira@chat.example <nil>
	// otto\40voice.example@sip.example <nil>
	// +49307654321@sip.example <nil>
}

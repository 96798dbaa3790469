package dialog_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/dialog"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// A call to a party that answers at once and hangs up when it has its ACK.
func Example() {
	u, err := ua.New(ua.Config{Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}}, Supported: dialog.Supported()})
	if err != nil {
		panic(err)
	}
	layer := dialog.New(u, dialog.Config{Incoming: func(g *dialog.Leg) dialog.Handler {
		g.Accept([]byte("answer to " + string(g.SDP())))
		return func(e dialog.Event) {
			if _, ok := e.(dialog.Confirmed); ok {
				g.End(sip.Reason{Protocol: "Q.850", Cause: 16})
			}
		}
	}})
	for _, m := range dialog.Methods() {
		u.Handle(m, layer.Handle)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := u.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = u.Shutdown(ctx) }()
	defer func() { _ = layer.Close(ctx) }()

	to := sip.URI{Scheme: "sip", User: "otto", Host: "127.0.0.1", Port: int(u.Addr("udp").Port())}
	from := sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}}
	done := make(chan struct{})
	_, err = layer.Invite(dialog.Outgoing{From: from, To: sip.NameAddr{URI: to}, Offer: []byte("offer")}, func(e dialog.Event) {
		switch e := e.(type) {
		case dialog.Answered:
			fmt.Printf("answered: %s\n", e.SDP)
		case dialog.Failed:
			fmt.Printf("failed: %v\n", e.Status)
			close(done)
		case dialog.Ended:
			fmt.Printf("ended: %v\n", e.Reasons)
			close(done)
		}
	})
	if err != nil {
		panic(err)
	}
	<-done
	// Output:
	// answered: answer to offer
	// ended: [Q.850 ;cause=16]
}

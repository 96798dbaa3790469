package ua_test

import (
	"context"
	"fmt"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Two user agents on one machine: the second sends the first a MESSAGE.
func Example() {
	ctx := context.Background()
	server, err := ua.New(ua.Config{Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}}})
	if err != nil {
		panic(err)
	}
	server.Handle(sip.MESSAGE, func(in *ua.Inbound) {
		from, _ := sip.FromOf(in.Request)
		fmt.Printf("%s says %s\n", from.URI.User, in.Request.Body())
		_ = in.Respond(sip.Status{Code: 202})
	})
	if err := server.Start(ctx); err != nil {
		panic(err)
	}
	client, err := ua.New(ua.Config{Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}}})
	if err != nil {
		panic(err)
	}
	if err := client.Start(ctx); err != nil {
		panic(err)
	}

	to, _ := sip.ParseURI("sip:otto@" + server.Addr("udp").String())
	req := sip.NewRequest(sip.MESSAGE, to)
	sip.SetDialogHeaders(req, sip.NameAddr{URI: client.Contact("mira", "udp", server.Addr("udp").Addr())}, sip.NameAddr{URI: to}, "1@example", 1)
	_ = sip.SetBody(req, "text/plain", []byte("hello"))
	res, err := client.Do(ctx, req, ua.Target{})
	if err != nil {
		panic(err)
	}
	fmt.Println(res.StatusCode, res.Reason)

	_ = client.Shutdown(ctx)
	_ = server.Shutdown(ctx)
	// Output:
	// mira says hello
	// 202 Accepted
}

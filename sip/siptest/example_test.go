package siptest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/sip/siptest"
)

// A phone that is busy once, and a peer that asks it twice.
func Example() {
	phone, err := siptest.New(siptest.Config{AOR: "sip:otto@sip.example.org"})
	if err != nil {
		panic(err)
	}
	defer phone.Close()
	phone.Answer(siptest.Is("MESSAGE"), siptest.Status(503, "Retry-After: 1"), siptest.Status(200))

	peer, err := siptest.New(siptest.Config{AOR: "sip:mira@example.org", Proxy: phone.Addr()})
	if err != nil {
		panic(err)
	}
	defer peer.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for range 2 {
		res, err := peer.Message(ctx, "sip:otto@sip.example.org", "hello")
		if err != nil {
			panic(err)
		}
		in, err := phone.Expect(ctx, siptest.Is("MESSAGE"))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s → %d %s\n", in.Body, res.Status, res.Reason)
	}
	fmt.Println(phone.Violations())
	// Output:
	// hello → 503 Service Unavailable
	// hello → 200 OK
	// []
}

package siptest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip/siptest"
)

// Two phones call each other; one puts the other on hold and hangs up.
func ExamplePhone() {
	otto, err := siptest.NewPhone(siptest.Config{AOR: "sip:otto@sip.example.org"})
	if err != nil {
		panic(err)
	}
	defer otto.Close()
	mira, err := siptest.NewPhone(siptest.Config{AOR: "sip:mira@example.org", Proxy: otto.Addr()})
	if err != nil {
		panic(err)
	}
	defer mira.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	call, err := mira.Call("sip:otto@sip.example.org", siptest.CallConfig{SDP: []byte("offer")})
	if err != nil {
		panic(err)
	}
	taken, err := otto.Incoming(ctx, siptest.CallConfig{Offered: func(offer []byte) (int, []byte) {
		return 200, []byte("answer to " + string(offer))
	}})
	if err != nil {
		panic(err)
	}
	_ = taken.Ring(180, nil)
	_, _ = call.Progress(ctx, 180)
	_ = taken.Accept([]byte("answer to " + string(taken.SDP())))
	res, err := call.Wait(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Status, string(call.SDP()))
	res, _ = call.Do(ctx, "INVITE", []byte("hold"))
	fmt.Println(res.Status, string(call.SDP()))
	_, _ = call.Hangup(ctx, "Reason: Q.850;cause=16")
	bye, _ := taken.Ended(ctx)
	fmt.Println(bye.Method, bye.Get("Reason"))
	fmt.Println(otto.Violations(), mira.Violations())
	// Output:
	// 200 answer to offer
	// 200 answer to hold
	// BYE Q.850;cause=16
	// [] []
}

func phones(t *testing.T) (caller, callee *siptest.Phone) {
	callee = siptest.StartPhone(t, siptest.Config{AOR: "sip:otto@sip.example.org", T1: 20 * time.Millisecond})
	caller = siptest.StartPhone(t, siptest.Config{AOR: "sip:mira@example.org", T1: 20 * time.Millisecond, Proxy: callee.Addr()})
	t.Cleanup(func() {
		callee.AssertClean(t)
		caller.AssertClean(t)
	})
	return caller, callee
}

func TestPhoneReliable(t *testing.T) {
	caller, callee := phones(t)
	ctx := t.Context()
	call, err := caller.Call("sip:otto@sip.example.org", siptest.CallConfig{
		Answer: func(offer []byte) []byte { return []byte("answer to " + string(offer)) },
	})
	require.NoError(t, err)
	taken, err := callee.Incoming(ctx, siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, taken.Ring(183, nil, "Require: 100rel"))
	prack := callee.Want(t, siptest.Is("PRACK"))
	require.Equal(t, "101 1 INVITE", prack.Get("RAck"))
	require.NoError(t, taken.Accept([]byte("late offer")))
	ack, err := taken.Confirmed(ctx)
	require.NoError(t, err)
	require.Equal(t, "answer to late offer", string(ack.Body))
	require.Equal(t, "late offer", string(call.SDP()))
}

func TestPhoneCancel(t *testing.T) {
	caller, callee := phones(t)
	call, err := caller.Call("sip:otto@sip.example.org", siptest.CallConfig{SDP: []byte("offer")})
	require.NoError(t, err)
	taken, err := callee.Incoming(t.Context(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, taken.Ring(180, nil))
	_, err = call.Progress(t.Context(), 180)
	require.NoError(t, err)
	require.NoError(t, call.Cancel())
	res, err := call.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 487, res.Status)
	m, err := taken.Ended(t.Context())
	require.NoError(t, err)
	require.Equal(t, "CANCEL", m.Method)
	require.ErrorIs(t, taken.Accept(nil), siptest.ErrAnswered)
}

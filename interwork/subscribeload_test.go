package interwork_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/sip/siptest"
)

// A gateway that cannot keep up says so at once, and keeps what stands.
func TestNewSubscriptionsWaitForABacklog(t *testing.T) {
	r := newRig(t, nil)
	otto := r.phone("otto", nil)
	res := r.subscribe(otto, mira, "presence", "application/pidf+xml")
	require.Equal(t, 200, res.Status, res)
	notify := otto.Want(t, siptest.Is("NOTIFY"))

	release := r.gateway.HoldLoads(interwork.SubscribeBacklog)
	t.Cleanup(release)
	busy := r.subscribe(otto, "sip:jonas@"+chatDomain, "presence", "application/pidf+xml")
	require.Equal(t, 503, busy.Status, busy)
	require.NotEmpty(t, busy.Get("Retry-After"))

	refresh := otto.NewRequest("SUBSCRIBE", notify.URI("Contact"),
		"From: "+notify.Get("To"), "To: "+notify.Get("From"), "Call-ID: "+notify.Get("Call-ID"), "CSeq: 77 SUBSCRIBE",
		"Event: presence", "Expires: 600", "Accept: application/pidf+xml", "Contact: <"+otto.ContactURI()+">")
	res, err := otto.Do(r.ctx(), refresh)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status, res)

	release()
	r.eventually("the backlog is gone", func() bool {
		return r.subscribe(otto, "sip:jonas@"+chatDomain, "presence", "application/pidf+xml").Status == 200
	})
}

func TestTooBusy(t *testing.T) {
	require.False(t, interwork.TooBusy(0, 0))
	require.False(t, interwork.TooBusy(time.Second, interwork.SubscribeBacklog-1))
	require.True(t, interwork.TooBusy(0, interwork.SubscribeBacklog))
	require.True(t, interwork.TooBusy(time.Minute, 0), "it has waited for its turn: there is more to do than can be done")
}

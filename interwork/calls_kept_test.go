package interwork_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
)

// accounts reads what the store of a rig keeps of calls, the latest first.
func (r *rig) accounts() (list []store.CallRow) {
	r.t.Helper()
	require.NoError(r.t, r.store.Calls(r.t.Context(), store.CallQuery{}, func(c store.CallRow) error { list = append(list, c); return nil }))
	return list
}

// A call leaves an account: begun when both talk, whole at its end, and one that the
// program did not see end is closed when it comes back.
func TestCallsAreAccountedFor(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	d.sid, d.to = "a7", xmpp.MustJID("otto@"+sipDomain+"/any")
	d.initiate(pcmaCodec)
	phone := newEar(t)
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, c.Ring(180, nil))
	d.want(jingle.ActionSessionInfo)
	require.NoError(t, c.Accept(phone.sdp("8")))
	d.finishInitiate()
	r.talk(d, phone, mediaIn(t, c.SDP()))
	r.eventually("the account is begun", func() bool { return len(r.accounts()) == 1 })
	begun := r.accounts()[0]
	require.Equal(t, "x2s", begun.Direction)
	require.Equal(t, "mira@"+chatDomain, begun.JID)
	require.Equal(t, "sip:otto@"+sipDomain, begun.AOR)
	require.False(t, begun.Talked.IsZero())
	require.True(t, begun.Ended.IsZero())
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	d.want(jingle.ActionSessionTerminate)
	r.eventually("the account is whole", func() bool { return !r.accounts()[0].Ended.IsZero() })
	list := r.accounts()
	require.Len(t, list, 1)
	whole := list[0]
	require.Equal(t, begun.Started, whole.Started)
	require.Equal(t, begun.Flow, whole.Flow)
	require.Equal(t, "sip", whole.EndedBy)
	require.Equal(t, "success", whole.Reason)
	require.Equal(t, 200, whole.Status)
	require.Equal(t, 16, whole.Cause)
	require.Equal(t, "a7", whole.SID)
	require.NotEmpty(t, whole.CallID)
	require.Equal(t, "PCMA", whole.XMPP.Codec)
	require.Equal(t, "PCMA", whole.SIP.Codec)
	require.Equal(t, "dtls", whole.XMPP.Protection)
	require.Equal(t, "none", whole.SIP.Protection)
	require.Positive(t, whole.XMPP.Received)
	require.Positive(t, whole.SIP.Received)
	require.Positive(t, whole.SIP.MOS)
	require.False(t, whole.Rang.After(whole.Answered))
	require.False(t, whole.Answered.After(whole.Ended))

	// One that was up when the program died.
	died := begun
	died.Flow, died.Started = "c-died-1", time.Now().Add(-time.Minute)
	done := make(chan error, 1)
	require.NoError(t, r.store.PutCall(died, func(err error) { done <- err }))
	require.NoError(t, <-done)
	r.restart()
	byFlow := map[string]store.CallRow{}
	for _, c := range r.accounts() {
		byFlow[c.Flow] = c
	}
	require.Equal(t, store.CallInterrupted, byFlow[died.Flow].Reason)
	require.Equal(t, "gateway", byFlow[died.Flow].EndedBy)
	require.False(t, byFlow[died.Flow].Ended.IsZero())
	require.Equal(t, whole, byFlow[whole.Flow])
}

// Nobody takes a call: that is kept too, unless nothing is.
func TestMissedCallsAreAccountedFor(t *testing.T) {
	for _, keep := range []time.Duration{0, -1} {
		r := callRig(t, func(c *interwork.Config) { c.Calls.Keep = keep })
		otto := r.callPhone("otto")
		d := newDevice(t, r.mira)
		d.sid = "a8"
		d.send(jingle.KindPropose, jid("otto"), nil)
		c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
		require.NoError(t, err)
		require.NoError(t, c.Reject(486))
		d.wantMessage(jingle.KindReject)
		if keep < 0 {
			r.eventually("the call is over", func() bool { return r.gateway.Calls().Current == 0 })
			require.Empty(t, r.accounts())
			continue
		}
		r.eventually("the account", func() bool { return len(r.accounts()) == 1 })
		row := r.accounts()[0]
		require.Equal(t, "busy", row.Reason)
		require.Equal(t, 486, row.Status)
		require.Equal(t, 17, row.Cause)
		require.True(t, row.Answered.IsZero())
	}
}

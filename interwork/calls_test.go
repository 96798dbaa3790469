package interwork_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// A proposal rings the phone, and both talk.
func TestProposedCallHasSound(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	d.sid = "0b0d5f5e-0d55-4c42-9b6e-6f2a8f6a9c11"
	d.send(jingle.KindPropose, jid("otto"), nil)
	phone := newEar(t)
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.Contains(t, c.Invite().Get("From"), "mira@"+chatDomain)
	require.NoError(t, c.Ring(180, nil))
	d.wantMessage(jingle.KindRinging)
	r.mira.ExpectMessage(t, xmpptest.Extension(xmpp.NSReceipts, "received"))
	require.NoError(t, c.Accept(phone.sdp("8")))
	d.wantMessage(jingle.KindProceed)
	require.NotEmpty(t, d.to.Resource())
	d.initiate(opusCodec, pcmaCodec)
	d.finishInitiate()
	_, err = c.Confirmed(r.ctx())
	require.NoError(t, err)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	d.request(&jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}})
	bye, err := c.Ended(r.ctx())
	require.NoError(t, err)
	require.Contains(t, bye.Get("Reason"), "Q.850")
	d.wantMessage(jingle.KindFinish)
}

// A client without proposals calls, and the phone hangs up.
func TestDirectCallHasSound(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	d.sid, d.to = "a1", xmpp.MustJID("otto@"+sipDomain+"/any")
	d.initiate(pcmaCodec)
	phone := newEar(t)
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, c.Ring(180, nil))
	d.want(jingle.ActionSessionInfo)
	require.NoError(t, c.Accept(phone.sdp("8")))
	d.finishInitiate()
	r.talk(d, phone, mediaIn(t, c.SDP()))
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	end := d.want(jingle.ActionSessionTerminate)
	require.Equal(t, jingle.ReasonSuccess, end.Reason.Condition)
}

// The phone calls a Jabber user with two devices; one takes the call.
func TestCallToAJabberUserHasSound(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone := newEar(t)
	d := newDevice(t, r.mira)
	c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
	d.wantMessage(jingle.KindPropose)
	d.send(jingle.KindRinging, d.to, nil)
	_, err := c.Progress(r.ctx(), 180)
	require.NoError(t, err)
	d.send(jingle.KindProceed, d.to, nil)
	offer := d.want(jingle.ActionSessionInitiate)
	d.accept(offer, pcmaCodec)
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	r.talk(d, phone, mediaIn(t, res.Body))
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	d.want(jingle.ActionSessionTerminate)
	d.wantMessage(jingle.KindFinish)
}

// How calls to the phone end before they begin.
func TestPhoneRefuses(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	for status, want := range map[int]jingle.Condition{486: jingle.ReasonBusy, 603: jingle.ReasonDecline, 404: jingle.ReasonGone, 488: jingle.ReasonIncompatibleParameters} {
		d.sid = "r" + string(want)
		d.send(jingle.KindPropose, jid("otto"), nil)
		c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
		require.NoError(t, err)
		require.NoError(t, c.Reject(status))
		require.Equal(t, want, d.wantMessage(jingle.KindReject).Reason.Condition, status)
	}
	d.sid = "nobody"
	d.send(jingle.KindPropose, jid("nobody"), nil)
	require.Equal(t, jingle.ReasonGone, d.wantMessage(jingle.KindReject).Reason.Condition)
	d.to = xmpp.MustJID("otto@" + sipDomain + "/x")
	require.Equal(t, xmpp.ConditionItemNotFound, d.ask(&jingle.Jingle{Action: jingle.ActionSessionTerminate}).Condition)
}

// How calls to the Jabber user end before they begin.
func TestJabberUserRefuses(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone := newEar(t)
	d := newDevice(t, r.mira)
	for _, tt := range []struct {
		reason *jingle.Reason
		want   int
	}{{nil, 486}, {&jingle.Reason{Condition: jingle.ReasonBusy}, 486}, {&jingle.Reason{Condition: jingle.ReasonDecline}, 603}} {
		c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
		d.wantMessage(jingle.KindPropose)
		d.send(jingle.KindReject, d.to, tt.reason)
		res, err := c.Wait(r.ctx())
		require.NoError(t, err)
		require.Equal(t, tt.want, res.Status)
	}
	// Nobody of that name, and nobody there.
	c := r.dial(otto, "sip:absent@"+chatDomain, siptest.CallConfig{SDP: phone.sdp("8")})
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	require.Contains(t, []int{404, 480}, res.Status)
	// A caller that gives up.
	c = r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
	d.wantMessage(jingle.KindPropose)
	d.send(jingle.KindRinging, d.to, nil)
	_, err = c.Progress(r.ctx(), 180)
	require.NoError(t, err)
	require.NoError(t, c.Cancel())
	res, err = c.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 487, res.Status)
	require.Equal(t, jingle.ReasonCancel, d.wantMessage(jingle.KindRetract).Reason.Condition)
	// No codec in common.
	c = r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("18")})
	res, err = c.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 488, res.Status)
}

// She gives up while the phone rings.
func TestJabberUserGivesUp(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	d.sid = "g1"
	d.send(jingle.KindPropose, jid("otto"), nil)
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, c.Ring(180, nil))
	d.wantMessage(jingle.KindRinging)
	d.send(jingle.KindRetract, jid("otto"), &jingle.Reason{Condition: jingle.ReasonCancel})
	end, err := c.Ended(r.ctx())
	require.NoError(t, err)
	require.Equal(t, "CANCEL", end.Method)
}

func TestHoldBothWays(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone := newEar(t)
	d := newDevice(t, r.mira)
	offers := make(chan string, 4)
	c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8"), Offered: func(offer []byte) (int, []byte) {
		offers <- string(offer)
		return 200, []byte(strings.Replace(string(phone.sdp("8")), "sendrecv", "recvonly", 1))
	}})
	d.wantMessage(jingle.KindPropose)
	d.send(jingle.KindProceed, d.to, nil)
	d.accept(d.want(jingle.ActionSessionInitiate), pcmaCodec)
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	r.talk(d, phone, mediaIn(t, res.Body))
	d.request(&jingle.Jingle{Action: jingle.ActionSessionInfo, Info: []*xmpp.Element{jingle.Hold{}.Element()}})
	require.Contains(t, <-offers, "a=sendonly")
	d.request(&jingle.Jingle{Action: jingle.ActionSessionInfo, Info: []*xmpp.Element{jingle.Unhold{}.Element()}})
	require.Contains(t, <-offers, "a=sendrecv")
	res, err = c.Do(r.ctx(), "INVITE", []byte(strings.Replace(string(phone.sdp("8")), "sendrecv", "sendonly", 1)))
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Contains(t, string(res.Body), "a=recvonly")
	info := d.want(jingle.ActionSessionInfo)
	require.Equal(t, "hold", info.Info[0].Name.Local)
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	d.want(jingle.ActionSessionTerminate)
}

package interwork_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// Candidates come after the session-initiate, one by one.
func TestTrickledCall(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	d.sid, d.to = "trickle", xmpp.MustJID("otto@"+sipDomain+"/any")
	local := d.open(true, pcmaCodec)
	full := content(local, "actpass", pcmaCodec)
	bare := full
	bare.Transport = &jingle.Transport{Ufrag: local.Ufrag, Pwd: local.Pwd, Fingerprints: full.Transport.Fingerprints}
	d.request(&jingle.Jingle{Action: jingle.ActionSessionInitiate, Initiator: d.user.JID(), Contents: []jingle.Content{bare}})
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, c.Accept(phone.sdp("8")))
	d.finishInitiate()
	for _, k := range full.Transport.Candidates {
		d.request(&jingle.Jingle{Action: jingle.ActionTransportInfo, Contents: []jingle.Content{{
			Creator: jingle.RoleInitiator, Name: "0", Transport: &jingle.Transport{Ufrag: local.Ufrag, Pwd: local.Pwd, Candidates: []jingle.Candidate{k}},
		}}})
	}
	r.talk(d, phone, mediaIn(t, c.SDP()))
	// ICE begins anew in the middle of the call, as Conversations does it.
	fresh, err := d.session.Restart(relay.Jingle, 0)
	require.NoError(t, err)
	d.request(&jingle.Jingle{Action: jingle.ActionTransportInfo, Contents: []jingle.Content{{
		Creator: jingle.RoleInitiator, Name: "0", Transport: &jingle.Transport{Ufrag: fresh.Ufrag, Pwd: fresh.Pwd},
	}}})
	answer := d.want(jingle.ActionTransportInfo)
	require.NotEmpty(t, answer.Contents[0].Transport.Candidates)
	d.connect(&answer.Contents[0], false)
	var later []jingle.Candidate
	for i, k := range fresh.Candidates {
		later = append(later, jingle.Candidate{
			Component: 1, Foundation: k.Foundation, Generation: 1, ID: fmt.Sprint("g", i), IP: k.Address, Port: k.Port, Priority: k.Priority, Protocol: "udp", Type: k.Type,
		})
	}
	d.request(&jingle.Jingle{Action: jingle.ActionTransportInfo, Contents: []jingle.Content{{
		Creator: jingle.RoleInitiator, Name: "0", Transport: &jingle.Transport{Ufrag: fresh.Ufrag, Pwd: fresh.Pwd, Candidates: later},
	}}})
	phone.forget()
	d.ear.forget()
	r.talk(d, phone, mediaIn(t, c.SDP()))
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	d.want(jingle.ActionSessionTerminate)
}

// The certificate is not the one that was promised.
func TestWrongFingerprint(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
	d.wantMessage(jingle.KindPropose)
	d.send(jingle.KindProceed, d.to, nil)
	offer := d.want(jingle.ActionSessionInitiate)
	local := d.open(false, pcmaCodec)
	wrong := content(local, "active", pcmaCodec)
	f := wrong.Transport.Fingerprints[0]
	f.Value = "00" + f.Value[2:]
	wrong.Transport.Fingerprints[0] = f
	d.request(&jingle.Jingle{Action: jingle.ActionSessionAccept, Responder: d.user.JID(), Contents: []jingle.Content{wrong}})
	d.connect(&offer.Contents[0], true)
	require.Equal(t, jingle.ReasonSecurityError, d.want(jingle.ActionSessionTerminate).Reason.Condition)
	bye, err := c.Ended(r.ctx())
	require.NoError(t, err)
	require.Contains(t, bye.Get("Reason"), "cause=57")
}

// Nobody comes: ICE finds no path.
func TestNoPath(t *testing.T) {
	r := callRig(t, func(c *interwork.Config) { c.Calls.Relay.ConnectTimeout = 500 * time.Millisecond })
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	d.session.Close()
	bye, err := c.Ended(r.ctx())
	require.NoError(t, err)
	require.Contains(t, bye.Get("Reason"), "cause=41")
	require.Equal(t, jingle.ReasonConnectivityError, d.want(jingle.ActionSessionTerminate).Reason.Condition)
}

// The link to the XMPP server breaks: the two talk on, and she is told of the end when it
// stands again.
func TestCallOutlivesTheLink(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	r.server.Stall()
	r.server.Drop()
	r.eventually("the link is down", func() bool { return !r.gateway.Status().Link })
	phone.forget()
	d.ear.forget()
	r.talk(d, phone, mediaIn(t, c.SDP()))
	_, err := c.Hangup(r.ctx())
	require.NoError(t, err)
	r.eventually("the call is over", func() bool { return r.gateway.Calls().Current == 0 })
	r.server.Resume()
	require.Equal(t, jingle.ReasonSuccess, d.want(jingle.ActionSessionTerminate).Reason.Condition)
}

// The link breaks while the client is asked whether it is still there: that says nothing of
// the client.
func TestCallOutlivesTheLinkUnasked(t *testing.T) {
	r := callRig(t, func(c *interwork.Config) { c.Calls.Settings.Alive = 50 * time.Millisecond })
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	d.user.ExpectIQ(t, xmpptest.Match("a question", func(s xmpp.Stanza) bool {
		iq, ok := s.(*xmpp.IQ)
		return ok && iq.Type == xmpp.IQSet && jingle.Is(iq.Payload) && iq.Payload.Attribute("action") == string(jingle.ActionSessionInfo)
	}))
	r.server.Stall()
	r.server.Drop()
	r.eventually("the link is down", func() bool { return !r.gateway.Status().Link })
	phone.forget()
	d.ear.forget()
	r.talk(d, phone, mediaIn(t, c.SDP()))
	require.Equal(t, 1, r.gateway.Calls().Current)
	_, err := c.Hangup(r.ctx())
	require.NoError(t, err)
	r.eventually("the call is over", func() bool { return r.gateway.Calls().Current == 0 })
	r.server.Resume()
	require.Equal(t, jingle.ReasonSuccess, d.want(jingle.ActionSessionTerminate).Reason.Condition)
}

// What comes for a session that is over: another terminate is no error, everything else
// finds no session; and neither does anything for one that never was, or was with another
// of our users.
func TestWhatComesLate(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	end := func() *jingle.Jingle {
		return &jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}}
	}
	own := d.to
	d.to = xmpp.MustJID("anna@" + sipDomain + "/any")
	require.True(t, jingle.IsUnknownSession(d.ask(end())))
	d.to = own
	r.hangUp(c, d)
	require.Nil(t, d.ask(end()))
	for _, j := range []*jingle.Jingle{{Action: jingle.ActionSessionInfo}, {Action: jingle.ActionContentModify, Contents: []jingle.Content{{Creator: jingle.RoleInitiator, Name: "0"}}}} {
		e := d.ask(j)
		require.True(t, jingle.IsUnknownSession(e) && e.App != nil, j.Action)
	}
	d.sid = "never"
	e := d.ask(end())
	require.True(t, jingle.IsUnknownSession(e) && e.App != nil)
}

// She uses one id for calls with two of our users.
func TestOneIDForTwoCalls(t *testing.T) {
	r := callRig(t, nil)
	otto, anna := r.callPhone("otto"), r.callPhone("anna")
	d := newDevice(t, r.mira)
	d.sid = "same"
	for name, p := range map[string]*siptest.Phone{"otto": otto, "anna": anna} {
		d.send(jingle.KindPropose, jid(name), nil)
		c, err := p.Incoming(r.ctx(), siptest.CallConfig{})
		require.NoError(t, err)
		require.NoError(t, c.Ring(180, nil))
		d.wantMessage(jingle.KindRinging)
	}
	for _, name := range []string{"otto", "anna"} {
		d.send(jingle.KindRetract, jid(name), &jingle.Reason{Condition: jingle.ReasonCancel})
	}
	r.eventually("both calls are over", func() bool { return r.gateway.Calls().Current == 0 })
}

// After many calls of every kind nothing is left: no port, no dialog, no goroutine.
func TestNothingIsLeft(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	round := func(i int) {
		c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
		if i%2 == 0 {
			<-d.up
		}
		r.hangUp(c, d)
		d.session.Close()
		d.up = make(chan struct{})
		d.sid = fmt.Sprint("n", i)
		d.send(jingle.KindPropose, jid("otto"), nil)
		in, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
		require.NoError(t, err)
		require.NoError(t, in.Ring(180, nil))
		d.wantMessage(jingle.KindRinging)
		if i%3 == 0 {
			require.NoError(t, in.Reject(486))
			d.wantMessage(jingle.KindReject)
			return
		}
		d.send(jingle.KindRetract, jid("otto"), &jingle.Reason{Condition: jingle.ReasonCancel})
		_, err = in.Ended(r.ctx())
		require.NoError(t, err)
	}
	round(0)
	settled := func() bool {
		s := r.gateway.Calls()
		return s.Current == 0 && s.Dialogs == 0 && s.Media.Sessions == 0 && s.Media.PortsUsed == 0
	}
	r.eventually("the first calls are gone", settled)
	before := runtime.NumGoroutine()
	const rounds = 20
	for i := 1; i <= rounds; i++ {
		round(i)
	}
	if !waitFor(15*time.Second, settled) {
		t.Fatalf("left over: %+v", r.gateway.Calls())
	}
	// The phone of the test keeps a goroutine for each of the two INVITEs of a round, and the
	// gateway up to 32 for the next work.
	if !waitFor(15*time.Second, func() bool { return runtime.NumGoroutine() <= before+2*rounds+40 }) {
		buf := make([]byte, 1<<20)
		t.Fatalf("%d goroutines before, %d after\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
	}
}

// A phone that is forwarded to a number reaches it by the trunk, in the caller's name.
func TestPhoneForwardsToANumber(t *testing.T) {
	mobile := siptest.StartPhone(t, siptest.Config{AOR: "sip:mobile@carrier.example"})
	r := callRig(t, func(c *interwork.Config) {
		c.Trunks = []interwork.Trunk{{Name: "carrier", URI: uri(t, "sip:"+mobile.Addr()), Numbers: []string{"+"}}}
	})
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	d.sid = "forward"
	d.send(jingle.KindPropose, jid("otto"), nil)
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, c.Reject(302, "Contact: <sip:+4930123456@"+sipDomain+";user=phone>"))
	m, err := mobile.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.Contains(t, m.Invite().RequestURI, "+4930123456")
	require.NoError(t, m.Accept(phone.sdp("8")))
	d.wantMessage(jingle.KindProceed)
	d.initiate(pcmaCodec)
	d.finishInitiate()
	r.talk(d, phone, mediaIn(t, m.SDP()))
	d.request(&jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}})
	_, err = m.Ended(r.ctx())
	require.NoError(t, err)
}

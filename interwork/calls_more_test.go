package interwork_test

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// answered is a call of the phone that mira took.
func (r *rig) answered(otto *siptest.Phone, d *device, cfg siptest.CallConfig, codecs ...relay.Codec) *siptest.Call {
	r.t.Helper()
	c := r.dial(otto, mira, cfg)
	d.wantMessage(jingle.KindPropose)
	d.send(jingle.KindProceed, d.to, nil)
	d.accept(d.want(jingle.ActionSessionInitiate), codecs...)
	res, err := c.Wait(r.ctx())
	require.NoError(r.t, err)
	require.Equal(r.t, 200, res.Status)
	r.eventually("the phone has read the answer", func() bool { return c.SDP() != nil })
	return c
}

func (r *rig) hangUp(c *siptest.Call, d *device) {
	r.t.Helper()
	_, err := c.Hangup(r.ctx())
	require.NoError(r.t, err)
	d.want(jingle.ActionSessionTerminate)
}

// A client that has Opus only talks to a phone that has G.711 only.
func TestTranscodedCall(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, opusCodec)
	r.sing(d, phone, mediaIn(t, c.SDP()))
	r.hangUp(c, d)
}

// A phone that asks for SRTP with keys in the signalling gets it.
func TestPhoneWithSDES(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	other, err := relay.New(relay.Config{Ports: testPorts(), PortRest: time.Millisecond, Log: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	phone := newEar(t)
	up := make(chan struct{}, 4)
	s := other.Open("phone", func(e relay.Event) {
		if e.Kind == relay.Heard && e.Side == relay.SIP {
			up <- struct{}{}
		}
	})
	local, err := s.Prepare(relay.SIP, 0, relay.Setup{Protection: relay.SDES})
	require.NoError(t, err)
	plain, err := s.Prepare(relay.Jingle, 0, relay.Setup{})
	require.NoError(t, err)
	require.NoError(t, s.Connect(relay.Jingle, 0, relay.Remote{RTP: phone.conn.LocalAddr().(*net.UDPAddr).AddrPort()}))
	for _, side := range []relay.Side{relay.Jingle, relay.SIP} {
		require.NoError(t, s.Format(side, 0, relay.Format{Codecs: []relay.Codec{pcmaCodec}, Send: true, Recv: true}))
	}
	var offer strings.Builder
	offer.WriteString("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio " + strconv.Itoa(int(local.RTP.Port())) + " RTP/SAVP 8\r\n")
	for _, k := range local.Cryptos {
		offer.WriteString("a=crypto:" + strconv.Itoa(k.Tag) + " " + k.Suite + " " + k.KeyParams + "\r\n")
	}
	c := r.answered(otto, d, siptest.CallConfig{SDP: []byte(offer.String())}, pcmaCodec)
	answer := string(c.SDP())
	require.Contains(t, answer, "RTP/SAVP")
	_, line, ok := strings.Cut(answer, "a=crypto:")
	require.True(t, ok)
	f := strings.Fields(line)
	require.NoError(t, s.Connect(relay.SIP, 0, relay.Remote{
		RTP: mediaIn(t, c.SDP()), Cryptos: []relay.Crypto{{Tag: int(f[0][0] - '0'), Suite: f[1], KeyParams: f[2]}},
	}))
	r.talk(d, phone, plain.RTP)
	<-up
	r.hangUp(c, d)
}

// Keys reach the phone as events of its media, and by INFO when it has none.
func TestKeys(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8 101\r\na=rtpmap:101 telephone-event/8000")}, pcmaCodec, eventCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	require.NoError(t, d.session.SendDTMF(relay.Jingle, '5', 100*time.Millisecond))
	r.eventually("the phone hears a key", func() bool { return phone.count(101) > 0 })
	res, err := c.Do(r.ctx(), "INFO", []byte("Signal=7\r\nDuration=100\r\n"), "Content-Type: application/dtmf-relay")
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	r.eventually("the client hears a key", func() bool { return d.ear.count(101) > 0 })
	res, err = c.Do(r.ctx(), "INFO", []byte("x"), "Content-Type: text/plain")
	require.NoError(t, err)
	require.Equal(t, 415, res.Status)
	r.hangUp(c, d)

	c = r.answered(otto, newDeviceAgain(d), siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	<-d.up
	d.request(&jingle.Jingle{Action: jingle.ActionSessionInfo, Info: []*xmpp.Element{jingle.DTMF{Code: '9', Duration: 100 * time.Millisecond}.Element()}})
	in := otto.Want(t, siptest.Is("INFO"))
	require.Contains(t, string(in.Body), "Signal=9")
	r.hangUp(c, d)
}

// newDeviceAgain is the same device for another call.
func newDeviceAgain(d *device) *device {
	d.session.Close()
	d.up = make(chan struct{})
	return d
}

// The INVITE has no offer: ours is in the 200, his answer in the ACK.
func TestLateOfferHasSound(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{Answer: func([]byte) []byte { return phone.sdp("8") }}, pcmaCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	r.hangUp(c, d)
}

// The phone sends the call on to a colleague: she hears another voice.
func TestTransferToAnotherPhone(t *testing.T) {
	r := callRig(t, nil)
	otto, anna := r.callPhone("otto"), r.callPhone("anna")
	phone, second, d := newEar(t), newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	res, err := c.Do(r.ctx(), "REFER", nil, "Refer-To: <sip:anna@"+sipDomain+">")
	require.NoError(t, err)
	require.Equal(t, 202, res.Status)
	a, err := anna.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, a.Ring(180, nil))
	require.NoError(t, a.Accept(second.sdp("8")))
	_, err = a.Confirmed(r.ctx())
	require.NoError(t, err)
	n := otto.Want(t, siptest.Is("NOTIFY"))
	for !strings.Contains(string(n.Body), "200") {
		n = otto.Want(t, siptest.Is("NOTIFY"))
	}
	_, err = c.Hangup(r.ctx())
	require.NoError(t, err)
	r.talk(d, second, mediaIn(t, a.SDP()))
	d.request(&jingle.Jingle{Action: jingle.ActionSessionTerminate, Reason: &jingle.Reason{Condition: jingle.ReasonSuccess}})
	_, err = a.Ended(r.ctx())
	require.NoError(t, err)
}

// A colleague takes the call over (RFC 3891).
func TestReplacedDialog(t *testing.T) {
	r := callRig(t, nil)
	otto, anna := r.callPhone("otto"), r.callPhone("anna")
	phone, second, d := newEar(t), newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	a := r.dial(anna, mira, siptest.CallConfig{SDP: second.sdp("8"), Headers: []string{
		"Replaces: " + c.Invite().Get("Call-ID") + ";to-tag=" + res.Tag("To") + ";from-tag=" + c.Invite().Tag("From"),
	}})
	got, err := a.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 200, got.Status)
	r.eventually("the phone has read the answer", func() bool { return a.SDP() != nil })
	_, err = c.Ended(r.ctx())
	require.NoError(t, err)
	r.talk(d, second, mediaIn(t, a.SDP()))
	r.hangUp(a, d)
}

// A client that takes no proposals is invited by itself, and the others are told.
func TestClientWithoutProposals(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	info := gajim()
	user := r.server.User("mira@" + chatDomain + "/old")
	user.SetAuto(xmpptest.Auto{Info: &info})
	caps := xmpp.NewElement(xmpp.NSCaps, "c").Set("hash", "sha-1").Set("node", "https://stoxgate.example/xmpptest").Set("ver", info.Verification())
	require.NoError(t, user.Send(&xmpp.Presence{To: jid("otto"), Extensions: []*xmpp.Element{caps}}))
	phone, d := newEar(t), newDevice(t, user)
	var c *siptest.Call
	r.eventually("the client is invited", func() bool { // its capabilities are asked for first
		c = r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
		r.mira.ExpectMessage(t, xmpptest.Extension(xmpp.NSJingleMessage, "propose"))
		invited := func() bool {
			return slices.ContainsFunc(user.Received(), func(s xmpp.Stanza) bool { _, ok := s.(*xmpp.IQ); return ok })
		}
		if waitFor(500*time.Millisecond, invited) {
			return true
		}
		require.NoError(t, c.Cancel())
		_, _ = c.Wait(r.ctx())
		return false
	})
	offer := d.want(jingle.ActionSessionInitiate)
	d.request(&jingle.Jingle{Action: jingle.ActionSessionInfo, Info: []*xmpp.Element{jingle.Ringing{}.Element()}})
	_, err := c.Progress(r.ctx(), 180)
	require.NoError(t, err)
	d.accept(offer, pcmaCodec)
	res, err := c.Wait(r.ctx())
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	r.mira.ExpectMessage(t, xmpptest.Extension(xmpp.NSJingleMessage, "retract"))
	r.talk(d, phone, mediaIn(t, res.Body))
	// It goes offline without a word.
	require.NoError(t, user.Send(&xmpp.Presence{To: jid("otto"), Type: xmpp.PresenceUnavailable}))
	bye, err := c.Ended(r.ctx())
	require.NoError(t, err)
	require.Contains(t, bye.Get("Reason"), "cause=27")
}

func waitFor(d time.Duration, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

func TestLimitsAndPolicy(t *testing.T) {
	r := callRig(t, func(c *interwork.Config) { c.Calls.PerUser = 1 })
	otto := r.callPhone("otto")
	d := newDevice(t, r.mira)
	d.sid = "one"
	d.send(jingle.KindPropose, jid("otto"), nil)
	c, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	require.NoError(t, c.Ring(180, nil))
	d.wantMessage(jingle.KindRinging)
	d.sid = "two"
	d.send(jingle.KindPropose, jid("otto"), nil)
	require.Equal(t, jingle.ReasonBusy, d.wantMessage(jingle.KindReject).Reason.Condition)
	d.to = xmpp.MustJID("otto@" + sipDomain + "/x")
	require.Equal(t, xmpp.ConditionResourceConstraint, d.ask(&jingle.Jingle{
		Action: jingle.ActionSessionInitiate, Contents: []jingle.Content{content(relay.Local{Ufrag: "u", Pwd: "p"}, "actpass", pcmaCodec)},
	}).Condition)
	require.NoError(t, c.Reject(486))
	d.wantMessage(jingle.KindReject)

	_, err = r.table.Add(t.Context(), identity.Identity{
		ID: "mira", JID: xmpp.MustJID("mira@" + chatDomain), AORs: []sip.URI{uri(t, "sip:mira@"+sipDomain)}, Policy: identity.Policy{CallIn: true},
	}, password)
	require.NoError(t, err)
	d.sid = "three"
	d.send(jingle.KindPropose, jid("otto"), nil)
	require.Equal(t, jingle.ReasonSecurityError, d.wantMessage(jingle.KindReject).Reason.Condition)
}

// What nobody hung up is ended on both sides when the gateway goes down.
func TestShutdownEndsCalls(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	c := r.answered(otto, d, siptest.CallConfig{SDP: phone.sdp("8")}, pcmaCodec)
	r.talk(d, phone, mediaIn(t, c.SDP()))
	go r.stop()
	bye, err := c.Ended(r.ctx())
	require.NoError(t, err)
	require.Equal(t, "BYE", bye.Method)
	require.Equal(t, jingle.ReasonGone, d.want(jingle.ActionSessionTerminate).Reason.Condition)
}

// The id of a session and the Call-ID stand for each other, as translate shows them.
func TestSessionIDsAndCallIDs(t *testing.T) {
	r := callRig(t, nil)
	otto := r.callPhone("otto")
	phone, d := newEar(t), newDevice(t, r.mira)
	d.sid = "0b0d5f5e-0d55-4c42-9b6e-6f2a8f6a9c11"
	sid := d.sid
	d.send(jingle.KindPropose, jid("otto"), nil)
	in, err := otto.Incoming(r.ctx(), siptest.CallConfig{})
	require.NoError(t, err)
	got, ours := mapping.CallIDToSID(in.Invite().Get("Call-ID"), "", 0)
	require.True(t, ours)
	require.Equal(t, sid, got)
	require.NoError(t, in.Reject(486))
	d.wantMessage(jingle.KindReject)

	for range 2 { // the same Call-ID again: the second session has another id
		c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8"), Headers: []string{"Call-ID: " + in.Invite().Get("Call-ID")}})
		id := d.wantMessage(jingle.KindPropose).ID
		require.NotEqual(t, sid, id, "it is taken")
		d.send(jingle.KindReject, d.to, nil)
		_, err := c.Wait(r.ctx())
		require.NoError(t, err)
	}
	c := r.dial(otto, mira, siptest.CallConfig{SDP: phone.sdp("8")})
	n, _, _ := strings.Cut(c.Invite().Get("CSeq"), " ")
	cseq, err := strconv.Atoi(n)
	require.NoError(t, err)
	want, _ := mapping.CallIDToSID(c.Invite().Get("Call-ID"), c.Invite().Tag("From"), uint32(cseq))
	require.Equal(t, want, d.wantMessage(jingle.KindPropose).ID)
	d.send(jingle.KindReject, d.to, nil)
	_, err = c.Wait(r.ctx())
	require.NoError(t, err)
}

// Who sees a SIP user sees somebody who can be called.
func TestSIPUserTakesCalls(t *testing.T) {
	r := callRig(t, nil)
	r.callPhone("otto")
	res, err := r.mira.IQ(r.ctx(), &xmpp.IQ{To: xmpp.MustJID("otto@" + sipDomain + "/any"), Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSDiscoInfo, "query")})
	require.NoError(t, err)
	text := res.Payload.String()
	for _, f := range []string{xmpp.NSJingle, xmpp.NSJingleRTPAudio, xmpp.NSJingleICEUDP, xmpp.NSJingleDTLS, xmpp.NSJingleMessage, xmpp.FeatureOfferAnswer} {
		require.Contains(t, text, "'"+f+"'")
	}
}

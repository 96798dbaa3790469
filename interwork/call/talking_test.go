package call

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestHerHold(t *testing.T) {
	w, l := talkX2S(t)
	m := w.media[0]
	w.do(w.from(mira, info("s1", jingle.Hold{})), "result", "leg offer opus,G722,PCMA,PCMU RTP/AVP sendonly")
	require.False(t, m.format[relay.Jingle].Send)
	require.True(t, m.format[relay.Jingle].Recv)
	w.do(w.from(mira, info("s1", jingle.Unhold{})), "result")
	require.Equal(t, Modifying, w.c.State(), "one modification at a time")
	w.do(LegOfferAnswered{Leg: l, Body: withDirection(pcma, sdp.RecvOnly)}, "leg offer opus,G722,PCMA,PCMU RTP/AVP sendrecv")
	w.do(LegOfferAnswered{Leg: l, Body: []byte(pcma)})
	require.Equal(t, Active, w.c.State())
	require.True(t, m.format[relay.Jingle].Send)
	w.do(w.from(mira, info("s1", jingle.Mute{})), "result")
	w.do(w.from(mira, info("s1", jingle.Hold{})), "result", "leg offer opus,G722,PCMA,PCMU RTP/AVP sendonly")
	w.do(LegOfferRefused{Leg: l, Status: sip.Status{Code: 488}})
	require.Equal(t, Active, w.c.State())
}

func TestHisHold(t *testing.T) {
	w, l := talkS2X(t)
	m := w.media[0]
	w.do(LegOffered{Leg: l, Body: withDirection(pcma, sdp.SendOnly)}, "jingle session-info to phone hold", "leg answer PCMA RTP/AVP recvonly")
	require.False(t, m.format[relay.SIP].Send)
	require.True(t, m.format[relay.SIP].Recv, "music on hold flows")
	w.answer(nil)
	w.do(LegOffered{Leg: l, Body: []byte(pcma)}, "jingle session-info to phone unhold", "leg answer PCMA RTP/AVP sendrecv")
	w.answer(nil)
	w.do(LegOffered{Leg: l}, "leg answer PCMA,opus,G722,PCMU RTP/AVP sendrecv")
	w.do(LegOfferAnswered{Leg: l, Body: []byte(pcma)})
	w.do(LegOffered{Leg: l, Body: []byte("rubbish")}, "leg refuse 488")
	require.Equal(t, Active, w.c.State())
}

func TestDigits(t *testing.T) {
	w, l := talkX2S(t)
	w.do(w.from(mira, info("s1", jingle.DTMF{Code: '5'})), "result", "digit 5 to sip")
	w.do(LegInfo{Leg: l, Type: "application/dtmf-relay", Body: []byte("Signal=11\r\nDuration=160\r\n")}, "digit # to jingle")
	w.do(LegInfo{Leg: l, Type: "application/dtmf", Body: []byte("7")}, "digit 7 to jingle")
	w.do(LegInfo{Leg: l, Type: "text/plain", Body: []byte("7")})
	w.media[0].noDTMF = true
	w.do(w.from(mira, info("s1", jingle.DTMF{Code: '5'})), "result", "leg info Signal=5")
	w.do(LegInfo{Leg: l, Type: "application/dtmf", Body: []byte("*")}, "jingle session-info to phone dtmf")
	w.do(MediaHappened{Event: relay.Event{Kind: relay.Digit, Side: relay.SIP, Digit: '1'}}, "jingle session-info to phone dtmf")
	w.do(MediaHappened{Event: relay.Event{Kind: relay.Digit, Side: relay.SIP, Digit: '1', Passed: true}})
}

func TestActionsThatAreNotCarried(t *testing.T) {
	w, _ := talkX2S(t)
	video := sound(jingle.RoleInitiator, "actpass")
	video.Name, video.Description = "1", &jingle.Description{Media: "video"}
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionContentAdd, SID: "s1", Contents: []jingle.Content{video}}),
		"result", "jingle content-reject to phone unsupported-applications (Only sound is carried)")
	w.answer(nil)
	w.do(w.from(mira, info("s1", jingle.Transfer{To: miraDesk, SID: "x"})), "error feature-not-implemented unsupported-info")
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionSessionInfo, SID: "s1"}), "result")
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionSessionInfo, SID: "s1", Info: []*xmpp.Element{xmpp.NewElement("x", "y")}}),
		"error feature-not-implemented unsupported-info")
	w.do(w.from(miraDesk, info("s1", jingle.Active{})), "error item-not-found unknown-session")
}

func TestICERestart(t *testing.T) {
	w, _ := talkX2S(t)
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionTransportInfo, SID: "s1", Contents: []jingle.Content{{
		Creator: jingle.RoleInitiator, Name: contentName, Transport: &jingle.Transport{Ufrag: "new", Pwd: "newpassword"},
	}}}), "result", "jingle transport-info to phone")
	j := w.sent[len(w.sent)-1]
	require.Equal(t, "uf2", j.Contents[0].Transport.Ufrag)
	require.NotEmpty(t, j.Contents[0].Transport.Candidates, "Conversations takes it for an answer only so")
	require.Equal(t, "new", w.media[0].remote[relay.Jingle].Ufrag)
}

func TestMediaEnd(t *testing.T) {
	for _, tt := range []struct {
		event relay.Event
		want  jingle.Condition
		cause string
	}{
		{relay.Event{Kind: relay.Failed, Err: relay.ErrFingerprint}, jingle.ReasonSecurityError, "Q.850;57"},
		{relay.Event{Kind: relay.Failed, Err: relay.ErrICE}, jingle.ReasonConnectivityError, "Q.850;41"},
		{relay.Event{Kind: relay.Silent, Side: relay.SIP}, jingle.ReasonConnectivityError, "Q.850;41"},
	} {
		w, _ := talkX2S(t)
		w.now = w.now.Add(time.Minute)
		w.c.Handle(MediaHappened{Event: tt.event})
		require.Equal(t, tt.want, w.record.Reason)
		require.Contains(t, w.lines, "leg end "+tt.cause)
	}
}

// A side that has not begun to send gets its time.
func TestSilenceInTheBeginning(t *testing.T) {
	silent := MediaHappened{Event: relay.Event{Kind: relay.Silent, Side: relay.SIP}}
	w, _ := talkX2S(t)
	w.do(silent)
	require.Positive(t, w.timers[TimerSilence])
	w.now = w.now.Add(time.Minute)
	w.media[0].stats[relay.Jingle].LastReceived, w.media[0].stats[relay.SIP].LastReceived = w.now, w.now
	w.do(TimerFired{TimerSilence})
	require.Equal(t, Active, w.c.State())
	w.now = w.now.Add(time.Minute)
	w.media[0].stats[relay.Jingle].LastReceived = w.now
	w.c.Handle(TimerFired{TimerSilence})
	require.Equal(t, Ending, w.c.State())

	w, _ = talkX2S(t)
	w.now = w.now.Add(time.Minute)
	w.quiet(w.from(mira, info("s1", jingle.Hold{})))
	w.do(MediaHappened{Event: relay.Event{Kind: relay.Silent, Side: relay.Jingle}})
	require.Equal(t, Modifying, w.c.State(), "who holds needs not send")
}

func TestSheIsGone(t *testing.T) {
	w, _ := talkX2S(t)
	w.do(Unavailable{JID: miraDesk})
	w.do(Unavailable{JID: mira})
	require.Positive(t, w.timers[TimerGone])
	w.quiet(w.from(mira, &jingle.Jingle{Action: jingle.ActionSessionInfo, SID: "s1"}))
	require.Zero(t, w.timers[TimerGone], "she is heard of")
	w.quiet(Unavailable{JID: mira})
	w.c.Handle(TimerFired{TimerGone})
	require.Equal(t, jingle.ReasonGone, w.record.Reason)

	w, _ = talkX2S(t)
	w.now = w.now.Add(Settings{}.WithDefaults().Alive)
	w.do(TimerFired{TimerAlive}, "jingle session-info to phone")
	w.answer(&xmpp.StanzaError{Type: xmpp.ErrorWait, Condition: xmpp.ConditionRemoteServerTimeout})
	require.Equal(t, Active, w.c.State(), "Monal answers nothing")
	w.quiet(TimerFired{TimerAlive})
	f := w.pending[0]
	w.c.Handle(Done(func() { f(xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, "")) }))
	require.Equal(t, Ending, w.c.State())
}

func TestHeTransfers(t *testing.T) {
	w, l := talkX2S(t)
	boss := w.leg("boss")
	target := sip.URI{Scheme: "sip", User: "boss", Host: "sip.example"}
	w.do(LegReferred{Leg: l, Target: target, Replaces: "x;to-tag=1;from-tag=2"},
		"leg refer-answer 202", "leg progress 100", "transfer sip:boss@sip.example Replaces")
	w.do(Dialling{Leg: boss, Replaced: true})
	w.do(Dialled{Replaced: true})
	w.do(LegRang{Leg: boss, Code: 180}, "leg progress 180")
	w.do(LegAnswered{Leg: boss, Body: []byte(pcma)}, "leg progress 200")
	w.do(LegEnded{Leg: l, ByPeer: true})
	require.Equal(t, Active, w.c.State())
	w.do(w.from(mira, terminate("s1", jingle.ReasonSuccess)), "result", "boss end Q.850;16", "message finish to phone success", "recorded success by xmpp")

	// He hangs up at once, and the target does not answer.
	w, l = talkX2S(t)
	boss = w.leg("boss")
	w.quiet(LegReferred{Leg: l, Target: target})
	w.do(LegEnded{Leg: l, ByPeer: true})
	w.do(Dialling{Leg: boss, Replaced: true})
	w.do(Dialled{Replaced: true})
	w.do(LegFailed{Leg: boss, Status: sip.Status{Code: 486}},
		"jingle session-terminate to phone busy (Busy Here)", "message finish to phone busy (Busy Here)", "recorded busy by sip", "forget")

	// He stays, and the target does not answer.
	w, l = talkX2S(t)
	boss = w.leg("boss")
	w.quiet(LegReferred{Leg: l, Target: target})
	w.quiet(Dialling{Leg: boss, Replaced: true})
	w.do(LegFailed{Leg: boss, Status: sip.Status{Code: 486}})
	w.do(Dialled{Replaced: true}, "leg progress 486")
	w.quiet(LegReferred{Leg: l, Target: target})
	w.do(Dialled{Replaced: true, Status: &sip.Status{Code: 404}}, "leg progress 404")
	require.Equal(t, Active, w.c.State())
}

func TestSheTransfers(t *testing.T) {
	w, l := talkX2S(t)
	w.do(w.from(mira, info("s1", jingle.Transfer{To: xmpp.MustJID("boss@sip.example")})), "result", "leg refer sip:boss@sip.example")
	w.do(LegNotified{Leg: l, Status: sip.Status{Code: 100}})
	w.do(LegNotified{Leg: l, Status: sip.Status{Code: 200}},
		"jingle session-terminate to phone success", "message finish to phone success", "leg end Q.850;16", "recorded success by xmpp")
}

func TestReplaces(t *testing.T) {
	w, l := talkX2S(t)
	other := w.leg("other")
	w.do(InviteReplaced{Leg: other, Old: l, Offer: []byte(pcma)}, "other accept PCMA RTP/AVP sendrecv", "leg end SIP;200")
	w.do(LegEnded{Leg: l})
	w.do(LegEnded{Leg: other, ByPeer: true}, "jingle session-terminate to phone success", "message finish to phone success", "recorded success by sip", "forget")

	// Somebody picks up for a colleague.
	w = newWorld(t, XMPPToSIP)
	other = w.leg("other")
	l = w.leg("leg")
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.do(InviteReplaced{Leg: other, Old: l, Offer: []byte(pcma)},
		"other accept PCMA RTP/AVP sendrecv", "leg end SIP;200", "message proceed to phone")
}

func TestDrop(t *testing.T) {
	w, _ := talkX2S(t)
	w.do(Drop{jingle.Reason{Condition: jingle.ReasonGone, Text: "The gateway is shut down"}},
		"jingle session-terminate to phone gone (The gateway is shut down)", "message finish to phone gone (The gateway is shut down)",
		"leg end Q.850;27", "recorded gone by gateway")
}

func TestNoPorts(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	w.openErr = relay.ErrNoPorts
	w.do(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)},
		"message reject to phone general-error (The gateway is busy)", "recorded general-error by gateway", "forget")
	w = newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.openErr = relay.ErrNoPorts
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	if !slices.Contains(w.lines, "leg reject 503") { // sooner or later
		w.c.Handle(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	}
	require.Contains(t, w.lines, "leg reject 503")
}

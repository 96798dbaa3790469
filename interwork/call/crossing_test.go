package call

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// A terminate that crosses ours, or comes late, is no error: Conversations would show the
// call as failed. Everything else finds no session.
func TestBothTerminate(t *testing.T) {
	w, l := talkX2S(t)
	w.quiet(LegEnded{Leg: l, ByPeer: true})
	w.do(w.from(mira, terminate("s1", jingle.ReasonSuccess)), "result")
	w.do(w.from(mira, terminate("s1", jingle.ReasonSuccess)), "result")
	w.do(w.from(mira, info("s1", jingle.Active{})), "error item-not-found unknown-session")
	w.do(w.from(miraDesk, terminate("s1", jingle.ReasonSuccess)), "error item-not-found unknown-session")
	w.do(w.from(mira, terminate("s2", jingle.ReasonSuccess)), "error item-not-found unknown-session")
}

// CANCEL and her answer cross: the 2xx never left.
func TestCancelCrossesHerAnswer(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.answer(nil)
	w.quiet(w.from(mira, accept("id-1")))
	w.do(LegEnded{Leg: l, ByPeer: true}, "jingle session-terminate to phone cancel", "message finish to phone cancel", "recorded cancel by sip", "forget")
}

// She says proceed and then reject: the session that was offered meanwhile ends, too.
func TestRejectAfterProceed(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.do(MessageReceived{From: mira, Message: message(jingle.KindReject, "id-1", &jingle.Reason{Condition: jingle.ReasonBusy})},
		"jingle session-terminate to phone busy", "leg reject 486", "recorded busy by xmpp")
}

// What her client refuses the session with is what he is told.
func TestInitiateRefused(t *testing.T) {
	for c, want := range map[xmpp.Condition]string{
		xmpp.ConditionNotAcceptable: "488", xmpp.ConditionItemNotFound: "404", xmpp.ConditionResourceConstraint: "486", xmpp.ConditionServiceUnavailable: "480",
		xmpp.ConditionForbidden: "403",
	} {
		w := newWorld(t, SIPToXMPP)
		l := w.leg("leg")
		w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
		w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
		f := w.pending[0]
		w.c.Handle(Done(func() { f(xmpp.NewStanzaError(c, "")) }))
		require.Contains(t, w.lines, "leg reject "+want, c)
	}
}

func twoContents() *jingle.Jingle {
	j := initiate("s1")
	video := sound(jingle.RoleInitiator, "actpass")
	video.Name, video.Description = "1", &jingle.Description{Media: "video", PayloadTypes: []jingle.PayloadType{{ID: 96, Name: "VP8", ClockRate: 90000}}}
	j.Contents = append(j.Contents, video)
	j.Groups[0].Contents = []string{contentName, "1"}
	return j
}

// directCall is a call of hers without proposal that rings.
func directCall(t *testing.T, j *jingle.Jingle) (*world, *fakeLeg) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.quiet(w.from(mira, j))
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	return w, l
}

// Without its sound a call is over, whatever else is in the session.
func TestSoundIsRemoved(t *testing.T) {
	remove := &jingle.Jingle{Action: jingle.ActionContentRemove, SID: "s1", Contents: []jingle.Content{{Creator: jingle.RoleInitiator, Name: contentName}}}
	for _, j := range []*jingle.Jingle{initiate("s1"), twoContents()} {
		w, l := directCall(t, j)
		w.quiet(LegAnswered{Leg: l, Body: []byte(pcma)})
		w.answer(nil, "bridged")
		w.do(w.from(mira, remove), "result", "jingle session-terminate to phone success", "leg end Q.850;16", "recorded success by xmpp")
	}
	w, l := directCall(t, twoContents())
	w.quiet(LegAnswered{Leg: l, Body: []byte(pcma)})
	w.answer(nil, "bridged")
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionContentRemove, SID: "s1", Contents: []jingle.Content{{Creator: jingle.RoleInitiator, Name: "1"}}}), "result")
	require.Equal(t, Active, w.c.State())
}

// A content-modify before the answer counts in the answer.
func TestModifiedBeforeTheAnswer(t *testing.T) {
	w, l := directCall(t, initiate("s1"))
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionContentModify, SID: "s1", Contents: []jingle.Content{
		{Creator: jingle.RoleInitiator, Name: contentName, Senders: jingle.SendersResponder},
	}}), "result")
	w.do(LegAnswered{Leg: l, Body: []byte(pcma)}, "jingle session-accept to phone")
	require.Equal(t, jingle.SendersResponder, w.sent[len(w.sent)-1].Contents[0].Senders)
	require.False(t, w.media[0].format[relay.Jingle].Recv)
}

// A 200 without SDP means the description of its own phone's 183, not that of another one.
func TestPreviewIsOfItsPhone(t *testing.T) {
	w, a := directCall(t, initiate("s1"))
	b := w.leg("b")
	w.quiet(Dialling{Leg: b})
	w.quiet(LegRang{Leg: a, Code: 183, Body: []byte(pcma)})
	w.quiet(LegRang{Leg: b, Code: 183, Body: bytes.ReplaceAll([]byte(pcma), []byte("4000"), []byte("4444"))})
	w.do(LegAnswered{Leg: a}, "b end SIP;200", "jingle session-accept to phone")
	require.EqualValues(t, 4000, w.media[0].remote[relay.SIP].RTP.Port())
}

// Both hold: nothing flows (RFC 3264 §8.4).
func TestBothHold(t *testing.T) {
	w, l := talkX2S(t)
	w.quiet(LegOffered{Leg: l, Body: withDirection(pcma, sdp.SendOnly)})
	w.answer(nil)
	w.do(w.from(mira, info("s1", jingle.Hold{})), "result", "leg offer PCMA RTP/AVP inactive")
}

func version(t *testing.T, body []byte) uint64 {
	t.Helper()
	d, err := sdp.Parse(body)
	require.NoError(t, err)
	return d.Origin.Version
}

// His re-INVITE overtakes ours, which the dialog holds back: he gets his answer, and then a
// later version of ours.
func TestHisOfferOvertakesOurs(t *testing.T) {
	w, l := talkX2S(t)
	w.quiet(w.from(mira, info("s1", jingle.Hold{})))
	first := version(t, l.body)
	moved := bytes.ReplaceAll([]byte(pcma), []byte("4000"), []byte("4444"))
	w.do(LegOffered{Leg: l, Body: moved}, "leg offer PCMA RTP/AVP sendonly", "leg answer PCMA RTP/AVP sendonly")
	require.Greater(t, version(t, l.body), first)
	require.EqualValues(t, 4444, w.media[0].remote[relay.SIP].RTP.Port())
	w.do(LegOfferAnswered{Leg: l, Body: bytes.ReplaceAll(withDirection(pcma, sdp.RecvOnly), []byte("4000"), []byte("4444"))})
	require.Equal(t, Active, w.c.State())

	w, l = talkX2S(t)
	w.quiet(w.from(mira, info("s1", jingle.Hold{})))
	w.do(LegOffered{Leg: l, Body: []byte("rubbish")}, "leg offer opus,G722,PCMA,PCMU RTP/AVP sendonly", "leg refuse 488")
	require.Equal(t, Modifying, w.c.State())
}

// Who was asked for a modification is replaced before it answers.
func TestReplacedWhileModifying(t *testing.T) {
	w, l := talkX2S(t)
	w.quiet(w.from(mira, info("s1", jingle.Hold{})))
	other := w.leg("other")
	w.do(InviteReplaced{Leg: other, Old: l, Offer: []byte(pcma)}, "other accept PCMA RTP/AVP sendonly", "leg end SIP;200")
	require.Equal(t, Active, w.c.State())
	w.do(w.from(mira, info("s1", jingle.Unhold{})), "result", "other offer PCMA RTP/AVP sendrecv")

	w, l = talkX2S(t)
	boss := w.leg("boss")
	w.quiet(LegReferred{Leg: l, Target: sip.URI{Scheme: "sip", User: "boss", Host: "sip.example"}})
	w.quiet(Dialling{Leg: boss, Replaced: true})
	w.quiet(w.from(mira, info("s1", jingle.Hold{})))
	w.do(LegAnswered{Leg: boss, Body: []byte(pcma)}, "leg progress 200", "boss offer PCMA,opus,G722,PCMU RTP/AVP sendonly")
	require.Equal(t, Modifying, w.c.State())
}

// A device of the target that is called after another one took the call does not ring on.
func TestTargetRingsNoLonger(t *testing.T) {
	w, l := talkX2S(t)
	boss, late := w.leg("boss"), w.leg("late")
	w.quiet(LegReferred{Leg: l, Target: sip.URI{Scheme: "sip", User: "boss", Host: "sip.example"}})
	w.quiet(Dialling{Leg: boss, Replaced: true})
	w.quiet(LegAnswered{Leg: boss, Body: []byte(pcma)})
	w.do(Dialling{Leg: late, Replaced: true}, "late end SIP;200")
}

// He has hung up after his REFER: no sound of his is expected while the target rings.
func TestSilenceDuringTransfer(t *testing.T) {
	w, l := talkX2S(t)
	w.now = w.now.Add(time.Minute)
	w.quiet(LegReferred{Leg: l, Target: sip.URI{Scheme: "sip", User: "boss", Host: "sip.example"}})
	w.quiet(LegEnded{Leg: l, ByPeer: true})
	w.do(MediaHappened{Event: relay.Event{Kind: relay.Silent, Side: relay.SIP}})
	require.Equal(t, Active, w.c.State())
	require.Positive(t, w.timers[TimerSilence])
}

// His re-INVITE between his answer and her session-initiate.
func TestOfferedWhileProceeding(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.quiet(Dialling{Leg: l})
	w.quiet(LegAnswered{Leg: l, Body: []byte(pcma)})
	w.do(LegOffered{Leg: l, Body: []byte(pcma)}, "leg answer PCMA RTP/AVP sendrecv")
}

// Whoever picked up for a colleague is sent the codec that the answer named, not one that
// she likes better.
func TestPickedUpCodec(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l, other := w.leg("leg"), w.leg("other")
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.do(InviteReplaced{Leg: other, Old: l, Offer: bytes.ReplaceAll([]byte(pcma), []byte("AVP 8"), []byte("AVP 0 8"))},
		"other accept PCMU RTP/AVP sendrecv", "leg end SIP;200", "message proceed to phone")
	w.quiet(w.from(mira, initiate("s1"))) // opus and PCMA
	require.Equal(t, "PCMU", w.media[0].format[relay.SIP].Codecs[0].Name)
}

// A ringing call is nobody's to take over from our side (RFC 3891 §3).
func TestReplacesOfARingingCall(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l, other := w.leg("leg"), w.leg("other")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.do(InviteReplaced{Leg: other, Old: l, Offer: []byte(pcma)}, "other reject 481")
}

package call

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestProposedCall(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	desk, lobby := w.leg("desk"), w.leg("lobby")
	w.do(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil), ReceiptFor: "jm-propose-s1"},
		"dial opus,G722,PCMA,PCMU RTP/AVP sendrecv")
	w.do(Dialling{Leg: desk})
	w.do(Dialling{Leg: lobby})
	w.do(Dialled{})
	w.do(LegRang{Leg: desk, Code: 183})
	w.do(LegRang{Leg: desk, Code: 180}, "message ringing to phone", "receipt to phone")
	w.do(LegRang{Leg: lobby, Code: 180})
	w.do(LegAnswered{Leg: desk, Body: []byte(pcma)},
		"lobby end SIP;200", "message proceed to phone")
	w.do(LegEnded{Leg: lobby})
	require.Equal(t, Deadlines{}.WithDefaults().Proceed, w.timers[TimerState])
	w.do(w.from(mira, initiate("s1")), "result", "jingle session-accept to phone")
	a := w.sent[0].Contents
	require.Len(t, a, 1)
	require.Len(t, a[0].Description.PayloadTypes, 2, "one codec and its events")
	require.Equal(t, "PCMA", a[0].Description.PayloadTypes[0].Name, "what both have is passed through")
	require.Equal(t, "active", a[0].Transport.Fingerprints[0].Setup)
	require.Equal(t, []string{contentName}, w.sent[0].Groups[0].Contents)
	m := w.media[0]
	require.Equal(t, relay.DTLS, m.setup[relay.Jingle].Protection)
	require.False(t, m.setup[relay.Jingle].Controlling)
	require.Equal(t, "198.51.100.7:4000", m.remote[relay.SIP].RTP.String())
	require.Equal(t, "PCMA", m.format[relay.SIP].Codecs[0].Name)
	w.answer(nil, "bridged")
	w.do(w.from(mira, terminate("s1", jingle.ReasonSuccess)),
		"result", "desk end Q.850;16", "message finish to phone success", "recorded success by xmpp")
	require.True(t, m.closed)
	w.do(LegEnded{Leg: desk}, "forget")
	require.Equal(t, "s1", w.record.SID)
	require.Equal(t, "desk", w.record.CallID)
	require.False(t, w.record.Rang.IsZero() || w.record.Answered.IsZero() || w.record.Bridged.IsZero())
}

func TestDirectCall(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.do(w.from(mira, initiate("s1")), "result", "dial opus,PCMA,G722,PCMU RTP/AVP sendrecv")
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.do(LegRang{Leg: l, Code: 180}, "jingle session-info to phone ringing")
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionTransportInfo, SID: "s1", Contents: []jingle.Content{{
		Creator: jingle.RoleInitiator, Name: contentName, Transport: &jingle.Transport{Candidates: sound(jingle.RoleInitiator, "").Transport.Candidates},
	}}}), "result")
	w.do(LegAnswered{Leg: l, Body: []byte(pcma)}, "jingle session-accept to phone")
	require.Len(t, w.media[0].remote[relay.Jingle].Candidates, 2, "those that came before count")
	w.answer(nil)
	w.answer(nil, "bridged")
	w.do(w.from(mira, &jingle.Jingle{Action: jingle.ActionTransportInfo, SID: "s1", Contents: []jingle.Content{{
		Creator: jingle.RoleInitiator, Name: contentName, Transport: sound(jingle.RoleInitiator, "").Transport,
	}}}), "result", "candidates 1")
	w.do(LegEnded{Leg: l, ByPeer: true}, "jingle session-terminate to phone success", "recorded success by sip", "forget")
}

// What is said of his refusal, before and after it rang.
func TestHisRefusals(t *testing.T) {
	for _, tt := range []struct {
		status int
		rang   bool
		want   jingle.Condition
	}{
		{486, true, jingle.ReasonBusy},
		{600, false, jingle.ReasonBusy},
		{603, true, jingle.ReasonDecline},
		{404, false, jingle.ReasonGone},
		{480, true, jingle.ReasonTimeout},
		{480, false, jingle.ReasonGone},
		{408, false, jingle.ReasonTimeout},
		{488, false, jingle.ReasonIncompatibleParameters},
		{503, false, jingle.ReasonConnectivityError},
	} {
		for _, jmi := range []bool{true, false} {
			w := newWorld(t, XMPPToSIP)
			l := w.leg("leg")
			if jmi {
				w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
			} else {
				w.quiet(w.from(mira, initiate("s1")))
			}
			w.quiet(Dialling{Leg: l})
			w.quiet(Dialled{})
			if tt.rang {
				w.quiet(LegRang{Leg: l, Code: 180})
			}
			w.c.Handle(LegFailed{Leg: l, Status: sip.Status{Code: tt.status}})
			require.Equal(t, tt.want, w.record.Reason, "%d", tt.status)
			require.Equal(t, tt.status, w.record.Status)
			require.Equal(t, PartySIP, w.record.EndedBy)
			require.True(t, w.gone)
			if jmi {
				require.Contains(t, w.lines[0], "message reject to phone "+string(tt.want))
			} else {
				require.Contains(t, w.lines[0], "jingle session-terminate to phone "+string(tt.want))
			}
		}
	}
}

// The best of several refusals is told (RFC 3261 §16.7).
func TestForkRefuses(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	a, b := w.leg("a"), w.leg("b")
	w.quiet(w.from(mira, initiate("s1")))
	w.quiet(Dialling{Leg: a})
	w.quiet(Dialling{Leg: b})
	w.quiet(Dialled{})
	w.do(LegFailed{Leg: a, Status: sip.Status{Code: 486}})
	w.do(LegFailed{Leg: b, Status: sip.Status{Code: 480}},
		"jingle session-terminate to phone busy (Busy Here)", "recorded busy by sip", "forget")

	// 6xx speaks for all of his devices.
	w = newWorld(t, XMPPToSIP)
	a, b = w.leg("a"), w.leg("b")
	w.quiet(w.from(mira, initiate("s1")))
	w.quiet(Dialling{Leg: a})
	w.quiet(Dialling{Leg: b})
	w.quiet(Dialled{})
	w.do(LegFailed{Leg: a, Status: sip.Status{Code: 603}},
		"b end", "jingle session-terminate to phone decline (Decline)", "recorded decline by sip")
	w.do(LegFailed{Leg: b, Status: sip.Status{Code: 487}}, "forget")
}

func TestNoWayToHim(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.do(Dialled{Status: &sip.Status{Code: 404}}, "message reject to phone gone (Not Found)", "recorded gone by sip", "forget")
}

func TestSheGivesUp(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.do(MessageReceived{From: mira, Message: message(jingle.KindRetract, "s1", &jingle.Reason{Condition: jingle.ReasonCancel})}, "recorded cancel by xmpp")
	require.False(t, w.gone, "an INVITE may still go out")
	w.do(Dialling{Leg: l}, "leg end SIP;487")
	w.do(Dialled{})
	w.do(LegAnswered{Leg: l, Body: []byte(pcma)}, "leg end Q.850;16")
	w.do(LegEnded{Leg: l}, "forget")

	w = newWorld(t, XMPPToSIP)
	l = w.leg("leg")
	w.quiet(w.from(mira, initiate("s1")))
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.do(w.from(mira, terminate("s1", jingle.ReasonCancel)), "result", "leg end SIP;487", "recorded cancel by xmpp")
	w.do(w.from(mira, info("s1", jingle.Active{})), "error item-not-found unknown-session")
}

func TestNobodyInitiates(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindPropose, "s1", nil)})
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.quiet(LegAnswered{Leg: l, Body: []byte(pcma)})
	w.do(TimerFired{TimerState},
		"message finish to phone connectivity-error (No answer of the client)", "leg end Q.850;41", "recorded connectivity-error by gateway")
	w.do(w.from(mira, initiate("s1")), "result", "jingle session-terminate to phone connectivity-error (No answer of the client)")
}

func TestNoCodec(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	w.quiet(w.from(mira, initiate("s1")))
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.do(LegAnswered{Leg: l, Body: []byte("v=0\r\nc=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 18\r\n")},
		"jingle session-terminate to phone incompatible-parameters (The answer of the SIP side cannot be used)", "leg end Q.850;88",
		"recorded incompatible-parameters by gateway")
	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.do(InviteReceived{Leg: l, Offer: []byte("v=0\r\nc=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/AVP 18\r\n")},
		"leg reject 488", "recorded failed-application by gateway")
	w.do(LegEnded{Leg: l}, "forget")
}

func TestNotACall(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	j := initiate("s1")
	j.Contents[0].Description = nil
	w.do(w.from(mira, j), "result",
		"jingle session-terminate to phone unsupported-applications (A call needs sound over RTP and ICE)", "recorded unsupported-applications by gateway", "forget")
	w = newWorld(t, XMPPToSIP)
	w.do(MessageReceived{From: mira, Message: &jingle.Message{Kind: jingle.KindPropose, ID: "s1", Media: []string{"video"}}},
		"message reject to phone unsupported-applications (Only calls with sound are carried)", "recorded unsupported-applications by gateway", "forget")
}

// Conversations ends a call whose media do not all come back.
func TestVideoComesBackAsNone(t *testing.T) {
	w := newWorld(t, XMPPToSIP)
	l := w.leg("leg")
	j := initiate("s1")
	video := sound(jingle.RoleInitiator, "actpass")
	video.Name, video.Description = "1", &jingle.Description{Media: "video", PayloadTypes: []jingle.PayloadType{{ID: 96, Name: "VP8", ClockRate: 90000}}}
	j.Contents = append(j.Contents, video)
	j.Groups[0].Contents = []string{contentName, "1"}
	w.quiet(w.from(mira, j))
	w.quiet(Dialling{Leg: l})
	w.quiet(Dialled{})
	w.quiet(LegAnswered{Leg: l, Body: []byte(pcma)})
	a := w.sent[len(w.sent)-1]
	require.Len(t, a.Contents, 2)
	require.Equal(t, jingle.SendersNone, a.Contents[1].Senders)
	require.Equal(t, "VP8", a.Contents[1].Description.PayloadTypes[0].Name)
}

func TestCallToHer(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.do(InviteReceived{Leg: l, Offer: []byte(pcma + "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n")}, "message propose to all")
	w.do(MessageReceived{From: mira, Message: message(jingle.KindRinging, "id-1", nil)}, "leg ring 180")
	w.do(ReceiptReceived{From: miraDesk})
	w.do(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)}, "jingle session-initiate to phone")
	offer := w.sent[0]
	require.Equal(t, "id-1", offer.SID)
	require.Equal(t, "PCMA", offer.Contents[0].Description.PayloadTypes[0].Name, "what he has comes first")
	require.Equal(t, "actpass", offer.Contents[0].Transport.Fingerprints[0].Setup)
	require.True(t, w.media[0].setup[relay.Jingle].Controlling)
	w.answer(nil)
	w.do(MessageReceived{From: miraDesk, Message: message(jingle.KindProceed, "id-1", nil)},
		"message retract to desk cancel (answered elsewhere)", "message finish to desk cancel (answered elsewhere)")
	w.do(w.from(mira, accept("id-1")), "result", "leg accept PCMA RTP/AVP sendrecv; video refused")
	require.False(t, w.media[0].remote[relay.Jingle].Active, "she is the client")
	w.do(LegConfirmed{Leg: l}, "bridged")
	w.do(LegEnded{Leg: l, ByPeer: true, Reasons: []sip.Reason{{Protocol: "Q.850", Cause: 16}}},
		"jingle session-terminate to phone success", "message finish to phone success", "recorded success by sip", "forget")
}

func TestHerRefusals(t *testing.T) {
	for _, tt := range []struct {
		reason *jingle.Reason
		status string
	}{
		{nil, "486"},
		{&jingle.Reason{Condition: jingle.ReasonBusy}, "486"},
		{&jingle.Reason{Condition: jingle.ReasonDecline}, "603"},
		{&jingle.Reason{Condition: jingle.ReasonExpired}, "480"},
	} {
		w := newWorld(t, SIPToXMPP)
		l := w.leg("leg")
		w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
		w.c.Handle(MessageReceived{From: mira, Message: message(jingle.KindReject, "id-1", tt.reason)})
		require.Contains(t, w.lines, "leg reject "+tt.status)
		require.Equal(t, Ending, w.c.State())
	}
}

// A proposal that comes back, with and without another device that may still answer.
func TestBounce(t *testing.T) {
	bounce := MessageBounced{From: mira.Bare(), Kind: jingle.KindPropose, Error: xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, "")}
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(bounce, "leg reject 480", "recorded gone by xmpp")
	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	bounce.Error = xmpp.NewStanzaError(xmpp.ConditionItemNotFound, "")
	w.do(bounce, "leg reject 404", "recorded gone by xmpp")
	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.devices = []xmpp.JID{miraGajim}
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(bounce)
	w.answer(xmpp.NewStanzaError(xmpp.ConditionServiceUnavailable, ""), "leg reject 404", "recorded gone by xmpp")
}

// Dino 0.4 shows the call and says nothing until its user decides: no ringing, and no
// receipt either. Its reject has no reason, and a second one goes to her own account.
func TestSilentClient(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.do(InviteReceived{Leg: l, Offer: []byte(pcma)}, "message propose to all")
	require.Equal(t, 2*time.Second, w.timers[TimerAlert])
	w.do(TimerFired{TimerAlert}) // of a stranger's devices nothing is known

	w = newWorld(t, SIPToXMPP)
	w.online = true
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(TimerFired{TimerAlert}, "leg ring 180")
	require.Equal(t, Calling, w.c.State())
	require.Equal(t, Deadlines{}.WithDefaults().Reach, w.timers[TimerState], "nobody is known to ring")
	w.do(MessageReceived{From: mira, Message: &jingle.Message{Kind: jingle.KindReject, ID: "id-1"}},
		"leg reject 486", "recorded busy by xmpp")
	require.Zero(t, w.timers[TimerAlert])

	// Whoever takes it, or says that it rings, within that time needs no help.
	w = newWorld(t, SIPToXMPP)
	w.online = true
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(MessageReceived{From: mira, Message: message(jingle.KindRinging, "id-1", nil)}, "leg ring 180")
	w.do(TimerFired{TimerAlert})
	w.do(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)}, "jingle session-initiate to phone")
	w.do(TimerFired{TimerAlert})
}

// A proposal to all and a session-initiate to a client that takes none: who is first wins.
func TestMixedDevices(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	w.devices = []xmpp.JID{miraGajim}
	l := w.leg("leg")
	w.do(InviteReceived{Leg: l, Offer: []byte(pcma)}, "message propose to all", "jingle session-initiate to gajim")
	w.answer(nil)
	w.do(w.from(miraGajim, info("id-2", jingle.Ringing{})), "result", "leg ring 180")
	w.do(w.from(miraGajim, accept("id-2")), "result", "message retract to all cancel (answered elsewhere)", "leg accept PCMA RTP/AVP sendrecv")
	w.do(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)},
		"message retract to phone cancel (answered elsewhere)", "message finish to phone cancel (answered elsewhere)")
	w.do(LegConfirmed{Leg: l}, "bridged")

	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.devices = []xmpp.JID{miraGajim}
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.answer(nil)
	w.do(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)},
		"jingle session-terminate to gajim cancel (answered elsewhere)", "jingle session-initiate to phone")
	require.True(t, w.media[0].closed)
	w.do(w.from(miraGajim, accept("id-2")), "error item-not-found unknown-session")

	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.devices = []xmpp.JID{miraGajim}
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.answer(nil)
	w.do(w.from(miraGajim, terminate("id-2", jingle.ReasonBusy)), "result")
	require.Positive(t, w.timers[TimerSettle])
	w.do(MessageReceived{From: mira, Message: message(jingle.KindRinging, "id-1", nil)}, "leg ring 180")
	w.do(TimerFired{TimerSettle})
	w.do(MessageReceived{From: mira, Message: message(jingle.KindReject, "id-1", &jingle.Reason{Condition: jingle.ReasonDecline})},
		"leg reject 603", "recorded decline by xmpp")
}

// A device comes while he waits.
func TestDeviceComesLate(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(Available{JID: miraGajim}, "jingle session-initiate to gajim")
	w.do(Available{JID: miraGajim})
	w.answer(nil)
	w.do(w.from(miraGajim, accept("id-2")), "result", "message retract to all cancel (answered elsewhere)", "leg accept PCMA RTP/AVP sendrecv")
	w.do(Available{JID: miraDesk})
}

// A client that takes no proposals speaks for her when no other shows up.
func TestOnlyDirectDeviceRefuses(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	w.devices = []xmpp.JID{miraGajim}
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.answer(nil)
	w.do(ReceiptReceived{From: miraGajim})
	w.do(w.from(miraGajim, terminate("id-2", jingle.ReasonBusy)), "result")
	w.do(TimerFired{TimerSettle}, "message retract to all cancel", "leg reject 486", "recorded busy by xmpp")

	w = newWorld(t, SIPToXMPP)
	w.devices = []xmpp.JID{miraGajim}
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.answer(nil)
	w.do(w.from(miraGajim, terminate("id-2", jingle.ReasonDecline)), "result", "message retract to all cancel", "leg reject 603", "recorded decline by xmpp")
}

func TestHeCancels(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(LegEnded{Leg: l, ByPeer: true, Reasons: []sip.Reason{{Protocol: "SIP", Cause: 200}}},
		"message retract to all cancel (answered elsewhere)", "recorded cancel by sip", "forget")
	w.do(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)},
		"message retract to phone cancel", "message finish to phone cancel")

	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.do(LegEnded{Leg: l, ByPeer: true}, "jingle session-terminate to phone cancel", "message finish to phone cancel", "recorded cancel by sip", "forget")
	w.do(w.from(mira, accept("id-1")), "error item-not-found unknown-session")
}

func TestNobodyAnswers(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.do(TimerFired{TimerState}, "message retract to all timeout", "leg reject 480", "recorded timeout by gateway")
	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l, Offer: []byte(pcma)})
	w.quiet(ReceiptReceived{From: mira})
	w.do(TimerFired{TimerState}, "message retract to all timeout", "leg reject 480", "recorded timeout by gateway")
	w.do(TimerFired{TimerState}, "forget")
}

func TestLateOffer(t *testing.T) {
	w := newWorld(t, SIPToXMPP)
	l := w.leg("leg")
	w.quiet(InviteReceived{Leg: l})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.answer(nil)
	w.do(w.from(mira, accept("id-1")), "result", "leg accept opus,G722,PCMA,PCMU RTP/AVP sendrecv")
	w.do(LegConfirmed{Leg: l, Body: []byte(pcma)}, "bridged")
	require.Equal(t, "PCMA", w.media[0].format[relay.SIP].Codecs[0].Name)
	w = newWorld(t, SIPToXMPP)
	l = w.leg("leg")
	w.quiet(InviteReceived{Leg: l})
	w.quiet(MessageReceived{From: mira, Message: message(jingle.KindProceed, "id-1", nil)})
	w.answer(nil)
	w.quiet(w.from(mira, accept("id-1")))
	w.do(LegConfirmed{Leg: l}, "jingle session-terminate to phone incompatible-parameters (The answer of the SIP side cannot be used)",
		"message finish to phone incompatible-parameters (The answer of the SIP side cannot be used)", "leg end Q.850;88",
		"recorded incompatible-parameters by gateway")
}

package dialog

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func TestCall(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{Display: "Otto", URI: b.uri("otto")}, Offer: []byte("offer")})
	callee := b.incoming()
	require.Equal(t, "offer", string(callee.leg.SDP()))
	callee.leg.Ring(sip.Status{Code: 180}, nil)
	ringing := want[Progress](caller)
	require.Equal(t, 180, ringing.Status)
	require.Equal(t, callee.leg.LocalTag(), ringing.Tag)
	require.False(t, ringing.Reliable)
	callee.leg.Accept([]byte("answer"))
	up := want[Answered](caller)
	require.Equal(t, "answer", string(up.SDP))
	require.False(t, up.Offer)
	want[Confirmed](callee)
	require.Equal(t, callee.leg.LocalTag(), caller.leg.RemoteTag())
	require.Equal(t, caller.leg.LocalTag(), callee.leg.RemoteTag())
	require.Equal(t, 1, a.l.Len())

	caller.leg.Offer([]byte("hold"))
	require.Equal(t, Offered{SDP: []byte("hold")}, want[Offered](callee))
	callee.leg.Answer([]byte("held"))
	require.Equal(t, "held", string(want[OfferAnswered](caller).SDP))
	callee.leg.Offer([]byte("video"))
	want[Offered](caller)
	caller.leg.Refuse(sip.Status{Code: 488})
	require.Equal(t, 488, want[OfferRefused](callee).Status.Code)

	got := make(chan sip.Status, 1)
	caller.leg.Info("application/dtmf-relay", []byte("Signal=5"), func(s sip.Status) { got <- s })
	info := want[Info](callee)
	require.Equal(t, "Signal=5", string(info.Body))
	require.Equal(t, "application/dtmf-relay", info.ContentType)
	callee.leg.AnswerInfo(sip.Status{Code: 200})
	require.Equal(t, 200, (<-got).Code)

	callee.leg.End(sip.Reason{Protocol: "Q.850", Cause: 16})
	end := want[Ended](caller)
	require.True(t, end.ByPeer)
	require.NoError(t, end.Cause)
	require.Equal(t, []sip.Reason{{Protocol: "Q.850", Cause: 16}}, end.Reasons)
	require.False(t, want[Ended](callee).ByPeer)
	a.empty()
	b.empty()
	caller.leg.Info("text/plain", nil, func(s sip.Status) { got <- s })
	require.Equal(t, 481, (<-got).Code)
}

func TestRefused(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}, Offer: []byte("offer")})
	callee := b.incoming()
	callee.leg.Reject(sip.Status{Code: 486, Headers: []sip.Header{sip.MustHeader("Reason", "Q.850 ;cause=17")}})
	require.Equal(t, Ended{}, want[Ended](callee))
	f := want[Failed](caller)
	require.Equal(t, 486, f.Status.Code)
	require.Equal(t, []sip.Reason{{Protocol: "Q.850", Cause: 17}}, f.Reasons)
	a.empty()
	b.empty()
}

func TestCancel(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}, Offer: []byte("offer")})
	callee := b.incoming()
	callee.leg.Ring(sip.Status{Code: 180}, nil)
	want[Progress](caller)
	reason := sip.Reason{Protocol: "SIP", Cause: 200, Text: "Call completed elsewhere"}
	caller.leg.End(reason)
	end := want[Ended](callee)
	require.True(t, end.ByPeer)
	require.ErrorIs(t, end.Cause, ErrCancelled)
	require.Equal(t, []sip.Reason{reason}, end.Reasons)
	require.Equal(t, Ended{}, want[Ended](caller))
	a.empty()
	b.empty()
}

// A call that is given up before its INVITE is out, or before the 100: whichever it was.
func TestCancelAtOnce(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}, Offer: []byte("offer")})
	caller.leg.End()
	require.Equal(t, Ended{}, want[Ended](caller))
	a.empty()
	b.empty()
}

func TestLateOffer(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}})
	callee := b.incoming()
	require.Nil(t, callee.leg.SDP())
	callee.leg.Accept([]byte("offer of the callee"))
	up := want[Answered](caller)
	require.True(t, up.Offer)
	require.Equal(t, "offer of the callee", string(up.SDP))
	caller.leg.Answer([]byte("answer of the caller"))
	require.Equal(t, "answer of the caller", string(want[Confirmed](callee).SDP))
	// A re-INVITE without SDP comes only from others; see the phones.
	caller.leg.End()
	want[Ended](callee)
	want[Ended](caller)
}

func TestLateOfferUnanswered(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}})
	b.incoming().leg.Accept([]byte("offer"))
	want[Answered](caller)
	require.ErrorIs(t, want[Ended](caller).Cause, ErrNoAnswer)
	a.empty()
	b.empty()
}

func TestBothEnd(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	for range 20 {
		caller, callee := talk(t, a, b)
		go caller.leg.End()
		callee.leg.End()
		require.NoError(t, want[Ended](caller).Cause)
		require.NoError(t, want[Ended](callee).Cause)
	}
	a.empty()
	b.empty()
}

func TestRefer(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller, callee := talk(t, a, b)
	boss := name("sip:boss@voice.example")
	boss.URI = Replaces{CallID: "x@y", ToTag: "1", FromTag: "2"}.In(boss.URI)
	id := caller.leg.Refer(boss, sip.MustHeader("Referred-By", "<sip:mira@chat.example>"))
	r := want[Referred](callee)
	require.Equal(t, "sip:boss@voice.example", r.To.URI.AOR().String())
	require.Equal(t, &Replaces{CallID: "x@y", ToTag: "1", FromTag: "2"}, r.Replaces)
	require.Equal(t, "<sip:mira@chat.example>", r.ReferredBy)
	callee.leg.AnswerRefer(r.ID, sip.Status{Code: 202})
	require.Equal(t, Notified{ID: id, Status: sip.Status{Code: 100, Reason: "Trying"}}, want[Notified](caller))
	callee.leg.NotifyRefer(r.ID, sip.Status{Code: 180})
	callee.leg.NotifyRefer(r.ID, sip.Status{Code: 200})
	require.Equal(t, 180, want[Notified](caller).Status.Code)
	require.Equal(t, Notified{ID: id, Status: sip.Status{Code: 200, Reason: "OK"}, Done: true}, want[Notified](caller))

	id = caller.leg.Refer(boss)
	callee.leg.AnswerRefer(want[Referred](callee).ID, sip.Status{Code: 603})
	no := want[Notified](caller)
	require.Equal(t, id, no.ID)
	require.Equal(t, 603, no.Status.Code)
	require.True(t, no.Done)
	caller.leg.End()
	want[Ended](caller)
}

func TestReliable(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}, Offer: []byte("offer")})
	callee := b.incoming()
	callee.leg.Ring(sip.Status{Code: 183}, []byte("answer"))
	callee.leg.Accept([]byte("answer")) // waits for the PRACK
	p := want[Progress](caller)
	require.True(t, p.Reliable)
	require.Equal(t, "answer", string(p.SDP))
	require.Equal(t, "answer", string(want[Answered](caller).SDP))
	want[Confirmed](callee)
	caller.leg.End()
	want[Ended](caller)
}

// Offer in a reliable response, answer in the PRACK, then a new offer by UPDATE before the
// call is answered.
func TestReliableOffer(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller := a.invite(Outgoing{To: sip.NameAddr{URI: b.uri("otto")}})
	callee := b.incoming()
	callee.leg.Ring(sip.Status{Code: 183}, []byte("offer"))
	p := want[Progress](caller)
	require.True(t, p.Offer)
	caller.leg.Answer([]byte("answer"))
	require.Equal(t, "answer", string(want[OfferAnswered](callee).SDP))
	caller.leg.Offer([]byte("new"))
	require.Equal(t, Offered{SDP: []byte("new"), Update: true}, want[Offered](callee))
	callee.leg.Answer([]byte("yes"))
	require.Equal(t, "yes", string(want[OfferAnswered](caller).SDP))
	callee.leg.Offer([]byte("newer"))
	require.True(t, want[Offered](caller).Update)
	caller.leg.Refuse(sip.Status{Code: 504})
	require.Equal(t, 504, want[OfferRefused](callee).Status.Code)
	callee.leg.Accept(nil)
	require.Nil(t, want[Confirmed](callee).SDP)
	require.False(t, want[Answered](caller).Offer)
	caller.leg.End()
	want[Ended](caller)
}

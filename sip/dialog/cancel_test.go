package dialog

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// The CANCEL has been answered with 487, but the owner takes the call before the leg knows.
func TestCancelBeforeAccept(t *testing.T) {
	for _, end := range []bool{false, true} {
		s := newSim(t, 1, Config{}, []byte("offer"))
		s.start()
		s.run(time.Second)
		b := s.ends[1]
		ask := b.core.taking.ask
		require.NoError(t, ask.Respond(sip.Status{Code: 487}))
		b.input(inAccept{[]byte("answer")})
		if end {
			b.input(inEnd{})
		}
		b.input(inCancel{sip.NewRequest(sip.CANCEL, uri("sip:x@x")), ask})
		ended := eventsOf[Ended](b)
		require.Len(t, ended, 1, "not after 64*T1 only")
		require.True(t, ended[0].ByPeer)
		require.Equal(t, [timerCount]time.Duration{}, b.timers)
	}
}

// The same for a re-INVITE: the call goes on.
func TestCancelBeforeAnswer(t *testing.T) {
	s := up(t, Config{})
	a, b := s.ends[0], s.ends[1]
	a.input(inOffer{[]byte("hold")})
	s.run(s.now + time.Second)
	require.Len(t, eventsOf[Offered](b), 1)
	ask := b.core.offers.ask
	require.NoError(t, ask.Respond(sip.Status{Code: 487}))
	b.input(inAnswer{[]byte("held")})
	b.input(inCancel{sip.NewRequest(sip.CANCEL, uri("sip:x@x")), ask})
	require.Len(t, eventsOf[Withdrawn](b), 1)
	s.run(s.now + time.Minute)
	require.Empty(t, eventsOf[Ended](b), "a 2xx that was never sent gets no ACK")
	a.input(inOffer{[]byte("hold")})
	s.run(s.now + time.Second)
	require.Len(t, eventsOf[Offered](b), 2, "its owner is asked again")
}

// The CANCEL of a re-INVITE is there before the re-INVITE is looked at.
func TestCancelOvertakesReinvite(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, placed := p.called(phone, siptest.CallConfig{})
	wait := func(in *ua.Inbound) {
		if in.Request.Method == sip.INVITE {
			<-in.Done()
		}
	}
	p.before.Store(&wait)
	req := phone.NewRequest("INVITE", placed.Invite().RequestURI, "From: "+placed.Invite().Get("From"),
		"To: "+placed.Invite().Get("To")+";tag="+c.leg.LocalTag(), "Call-ID: "+c.leg.CallID(), "CSeq: 77 INVITE",
		"Contact: <"+phone.ContactURI()+">", "Content-Type: application/sdp",
		"Via: SIP/2.0/UDP "+phone.Addr()+";branch=z9hG4bKovertaken;rport")
	req.Body = []byte("hold")
	tx, err := phone.Send(req)
	require.NoError(t, err)
	cancel := phone.NewRequest("CANCEL", req.RequestURI, "From: "+req.Get("From"), "To: "+req.Get("To"), "Call-ID: "+req.Get("Call-ID"),
		"CSeq: 77 CANCEL", "Via: "+req.Get("Via"))
	_, err = phone.Send(cancel)
	require.NoError(t, err)
	want[Offered](c)
	want[Withdrawn](c)
	res, err := tx.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 487, res.Status)
	c.leg.End()
	want[Ended](c)
}

// Two copies of one INVITE that are handled at the same moment are one call.
func TestMergeIsAtomic(t *testing.T) {
	l := New(nil, Config{Contact: func(u sip.URI, _ string, _ netip.Addr) sip.NameAddr { return sip.NameAddr{URI: u} }})
	one := &Leg{l: l, key: legKey{"c", "1"}, merged: legKey{"c", "peer 1"}}
	two := &Leg{l: l, key: legKey{"c", "2"}, merged: one.merged}
	require.Nil(t, l.add(one))
	require.Equal(t, 482, l.add(two).Code)
	require.Equal(t, 1, l.Len())
	l.remove(one)
	require.Empty(t, l.merged)
}

// A call that changes its session often keeps no INVITE for ever.
func TestOldInvitesAreForgotten(t *testing.T) {
	a, b := newParty(t, nil), newParty(t, nil)
	caller, callee := talk(t, a, b)
	for i := range 2 * maxPlaced {
		caller.leg.Offer([]byte("offer " + strconv.Itoa(i)))
		want[Offered](callee)
		callee.leg.Answer([]byte("answer"))
		want[OfferAnswered](caller)
	}
	caller.leg.End()
	want[Ended](caller)
	a.empty()
	require.LessOrEqual(t, len(caller.leg.invites), maxPlaced)
}

// A body in an encoding that is not undone here is refused (RFC 3261 §8.2.3).
func TestEncodedBody(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	req := phone.NewRequest("INVITE", "sip:mira@"+p.u.Addr("udp").String(), "Contact: <"+phone.ContactURI()+">",
		"Content-Type: application/sdp", "e: gzip")
	req.Body = []byte("\x1f\x8b")
	tx, err := phone.Send(req)
	require.NoError(t, err)
	res, err := tx.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 415, res.Status)
	require.Equal(t, "identity", res.Get("Accept-Encoding"))
	c, placed := p.called(phone, siptest.CallConfig{})
	res, err = placed.Do(soon(t), "INFO", []byte("\x1f\x8b"), "Content-Type: application/dtmf", "Content-Encoding: gzip")
	require.NoError(t, err)
	require.Equal(t, 415, res.Status)
	_, err = placed.Hangup(soon(t))
	require.NoError(t, err)
	want[Ended](c)
}

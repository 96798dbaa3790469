package dialog

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// The peer takes back its re-INVITE.
func TestWithdrawn(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, placed := p.called(phone, siptest.CallConfig{})
	req := phone.NewRequest("INVITE", placed.Invite().RequestURI, "From: "+placed.Invite().Get("From"),
		"To: "+placed.Invite().Get("To")+";tag="+c.leg.LocalTag(), "Call-ID: "+c.leg.CallID(), "CSeq: 77 INVITE",
		"Contact: <"+phone.ContactURI()+">", "Content-Type: application/sdp",
		"Via: SIP/2.0/UDP "+phone.Addr()+";branch=z9hG4bKwithdrawn;rport")
	req.Body = []byte("hold")
	tx, err := phone.Send(req)
	require.NoError(t, err)
	want[Offered](c)
	cancel := phone.NewRequest("CANCEL", req.RequestURI, "From: "+req.Get("From"), "To: "+req.Get("To"), "Call-ID: "+req.Get("Call-ID"),
		"CSeq: 77 CANCEL", "Via: "+req.Get("Via"))
	_, err = phone.Send(cancel)
	require.NoError(t, err)
	want[Withdrawn](c)
	res, err := tx.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 487, res.Status)
	c.leg.Answer([]byte("too late"))
	c.leg.End()
	want[Ended](c)
}

func TestMultipartOffer(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	req := phone.NewRequest("INVITE", "sip:mira@"+p.u.Addr("udp").String(), "Contact: <"+phone.ContactURI()+">",
		"Content-Type: multipart/mixed;boundary=x", "Max-Forwards: 69")
	req.Body = []byte("--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n")
	_, err := phone.Send(req)
	require.NoError(t, err)
	c := p.incoming()
	require.Equal(t, "v=0", string(c.leg.SDP()))
	require.False(t, c.leg.Outgoing())
	require.Equal(t, req.Get("Call-ID"), sip.CallID(c.leg.Request()))
	c.leg.Reject(sip.Status{Code: 488})
	want[Ended](c)
}

// An owner that panics, and one that does not want the call.
func TestOwners(t *testing.T) {
	p := newParty(t, func(c *Config) {
		c.Incoming = func(g *Leg) Handler {
			if g.SDP() == nil {
				return nil
			}
			panic("owner")
		}
	})
	phone := p.phone("sip:otto@voice.example")
	placed, err := phone.Call("sip:mira@"+p.u.Addr("udp").String(), siptest.CallConfig{})
	require.NoError(t, err)
	res, err := placed.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 480, res.Status)
	placed, err = phone.Call("sip:mira@"+p.u.Addr("udp").String(), siptest.CallConfig{SDP: []byte("offer")})
	require.NoError(t, err)
	res, err = placed.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 480, res.Status)
	p.empty()
}

func TestClose(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	phone.Answer(siptest.All(siptest.Is("BYE"), siptest.Contains("To", "deaf")), siptest.Drop(-1))
	up, taken := p.upWith(phone, siptest.CallConfig{})
	ringing, err := phone.Call("sip:mira@"+p.u.Addr("udp").String(), siptest.CallConfig{SDP: []byte("offer")})
	require.NoError(t, err)
	in := p.incoming()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, p.l.Close(ctx))
	bye, err := taken.Ended(soon(t))
	require.NoError(t, err)
	require.Equal(t, "BYE", bye.Method)
	require.ErrorIs(t, want[Ended](up).Cause, ErrClosed)
	require.ErrorIs(t, want[Ended](in).Cause, ErrClosed)
	res, err := ringing.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 503, res.Status)
	_, err = p.l.Invite(Outgoing{From: name("sip:a@b"), To: name("sip:c@d")}, nil)
	require.ErrorIs(t, err, ErrClosed)
	up.leg.End() // nobody is there
}

// Close gives up what does not end in time.
func TestCloseInHaste(t *testing.T) {
	p := newParty(t, nil)
	phone := siptest.StartPhone(t, siptest.Config{AOR: "sip:otto@voice.example", Proxy: p.u.Addr("udp").String(), T1: fast.T1})
	phone.Answer(siptest.Is("INVITE"), siptest.Drop(-1))
	c := p.invite(Outgoing{To: name(phone.AOR()), RequestURI: uri(phone.ContactURI())})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.l.Close(ctx), ErrClosed)
	require.ErrorIs(t, want[Ended](c).Cause, ErrClosed)
	require.Zero(t, p.l.Len())
}

// REFERs without an end, and NOTIFYs of nothing.
func TestReferWithoutNotify(t *testing.T) {
	s := up(t, Config{})
	a, b := s.ends[0], s.ends[1]
	b.react = func(e Event) {
		if r, ok := e.(Referred); ok {
			b.input(inAnswerRefer{r.ID, sip.Status{Code: 202}})
		}
	}
	a.input(inRefer{7, name("sip:boss@voice.example"), []sip.Header{sip.MustHeader("Refer-Sub", "false")}})
	s.run(s.now + 10*time.Second)
	require.Equal(t, []Notified{{ID: 7, Status: eventsOf[Notified](a)[0].Status, Done: true}}, eventsOf[Notified](a), "RFC 4488")
	require.Equal(t, 202, eventsOf[Notified](a)[0].Status.Code)
	a.events = nil
	a.input(inRefer{8, name("sip:boss@voice.example"), nil})
	s.run(s.now + 10*time.Minute)
	require.Equal(t, []Notified{{ID: 8, Status: sip.Status{Code: 100, Reason: "Trying"}}, {ID: 8, Status: sip.Status{Code: 408}, Done: true}}, eventsOf[Notified](a))
	// What the callee tells afterwards gets 481, and the call lives on.
	b.input(inNotifyRefer{eventsOf[Referred](b)[1].ID, sip.Status{Code: 200}})
	s.run(s.now + time.Minute)
	require.Equal(t, phaseConfirmed, a.core.phase)
	require.Equal(t, phaseConfirmed, b.core.phase)
}

func TestMoreInfosThanAnswers(t *testing.T) {
	s := up(t, Config{})
	codes := map[int]int{}
	for range 10 {
		s.ends[0].input(inInfo{"text/plain", []byte("x"), func(st sip.Status) { codes[st.Code]++ }})
	}
	s.run(s.now + time.Second)
	require.Len(t, eventsOf[Info](s.ends[1]), 1, "one at a time")
	for range 12 {
		s.ends[1].input(inAnswerInfo{sip.Status{Code: 200}})
		s.run(s.now + time.Second)
	}
	require.Equal(t, map[int]int{200: 10}, codes)
	require.Len(t, eventsOf[Info](s.ends[1]), 10)
}

// A refresh that the peer does not know as UPDATE goes on as re-INVITE.
func TestRefreshFallsBack(t *testing.T) {
	s := up(t, Config{SessionExpires: 90 * time.Second})
	b := s.ends[1]
	require.True(t, b.core.session.ours)
	b.core.offers.tx, b.core.offers.byUpd, b.core.offers.renews = 99, true, true
	res := sip.NewResponse(b.wire(b.core.build(sip.UPDATE, &b.core.dlg, 50)), sip.Status{Code: 501}, "")
	b.input(inResponse{tx: 99, res: res})
	require.False(t, b.core.session.update)
	n := len(s.trace)
	s.run(s.now + 40*time.Second)
	require.Contains(t, s.trace[n], "INVITE")
}

func TestWayBack(t *testing.T) {
	require.True(t, pointsAt(uri("sip:a@192.0.2.1"), addrPort("192.0.2.1:5060")))
	require.False(t, pointsAt(uri("sip:a@192.0.2.1:5070"), addrPort("192.0.2.1:5060")))
	require.False(t, pointsAt(uri("sip:a@phone.example"), addrPort("192.0.2.1:5060")))
	require.True(t, pointsAt(uri("sip:a@[2001:db8::1]:5070"), addrPort("[2001:db8::1]:5070")))
}

func TestNobodyAnswers(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	phone.Answer(siptest.Is("INVITE"), siptest.Drop(-1))
	c := p.invite(Outgoing{To: name(phone.AOR()), RequestURI: uri(phone.ContactURI())})
	f := want[Failed](c)
	require.Equal(t, 408, f.Status.Code)
	require.ErrorIs(t, f.Cause, ua.ErrTimeout)
	c = p.invite(Outgoing{To: name(phone.AOR()), RequestURI: uri(phone.ContactURI()), Ring: 20 * time.Millisecond})
	require.ErrorIs(t, want[Failed](c).Cause, ErrRing)
	c = p.invite(Outgoing{To: name("sip:x@nowhere.invalid")})
	f = want[Failed](c)
	require.Equal(t, 503, f.Status.Code)
	require.Error(t, f.Cause)
	_, err := p.l.Invite(Outgoing{}, nil)
	require.ErrorIs(t, err, ErrOutgoing)
	p.empty()
}

func TestMergedAndStray(t *testing.T) {
	p := newParty(t, nil)
	phone := siptest.Start(t, siptest.Config{AOR: "sip:otto@voice.example", Proxy: p.u.Addr("udp").String(), T1: fast.T1})
	to := "sip:mira@" + p.u.Addr("udp").String()
	req := phone.NewRequest("INVITE", to, "Contact: <"+phone.ContactURI()+">")
	one, err := phone.Send(req)
	require.NoError(t, err)
	c := p.incoming()
	two, err := phone.Send(req)
	require.NoError(t, err)
	res, err := two.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 482, res.Status)
	c.leg.Reject(sip.Status{Code: 603})
	res, err = one.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 603, res.Status)
	req = phone.NewRequest("INVITE", to, "Contact: <"+phone.ContactURI()+">")
	one, err = phone.Send(req)
	require.NoError(t, err)
	c = p.incoming()
	c.leg.Accept([]byte("answer"))
	res, err = one.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	two, err = phone.Send(req)
	require.NoError(t, err)
	res, err = two.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 482, res.Status, "also when the first copy has been answered")
	for method, code := range map[string]int{"BYE": 481, "INFO": 481, "REFER": 403, "OPTIONS": 200} {
		res, err := phone.Do(soon(t), phone.NewRequest(method, to, "Contact: <"+phone.ContactURI()+">"))
		require.NoError(t, err)
		require.Equal(t, code, res.Status, method)
	}
	res, err = phone.Do(soon(t), phone.NewRequest("INVITE", to))
	require.NoError(t, err)
	require.Equal(t, 400, res.Status, "without a Contact")
}

package dialog

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// phone is a phone that calls p and is called by it; what p sends it must be right.
func (p *party) phone(aor string, change ...func(*siptest.Config)) *siptest.Phone {
	p.t.Helper()
	cfg := siptest.Config{AOR: aor, Proxy: p.u.Addr("udp").String(), T1: fast.T1}
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Transport == "tcp" {
		cfg.Proxy = p.u.Addr("tcp").String()
	}
	phone := siptest.StartPhone(p.t, cfg)
	p.t.Cleanup(func() { phone.AssertClean(p.t) })
	return phone
}

func (p *party) callPhone(phone *siptest.Phone, o Outgoing, cfg siptest.CallConfig) (*call, *siptest.Call) {
	p.t.Helper()
	o.To = name(phone.AOR())
	o.RequestURI = uri(phone.ContactURI())
	c := p.invite(o)
	taken, err := phone.Incoming(soon(p.t), cfg)
	require.NoError(p.t, err)
	return c, taken
}

// upWith is a call to a phone that has answered.
func (p *party) upWith(phone *siptest.Phone, cfg siptest.CallConfig) (*call, *siptest.Call) {
	p.t.Helper()
	c, taken := p.callPhone(phone, Outgoing{Offer: []byte("offer")}, cfg)
	require.NoError(p.t, taken.Accept([]byte("answer")))
	want[Answered](c)
	_, err := taken.Confirmed(soon(p.t))
	require.NoError(p.t, err)
	return c, taken
}

// called is a call from a phone that was answered.
func (p *party) called(phone *siptest.Phone, cfg siptest.CallConfig) (*call, *siptest.Call) {
	p.t.Helper()
	cfg.SDP = []byte("offer")
	placed, err := phone.Call("sip:mira@"+p.u.Addr("udp").String(), cfg)
	require.NoError(p.t, err)
	c := p.incoming()
	c.leg.Accept([]byte("answer"))
	want[Confirmed](c)
	return c, placed
}

func TestPhoneAnswers(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, taken := p.callPhone(phone, Outgoing{Offer: []byte("offer"), Headers: []sip.Header{sip.MustHeader("P-Asserted-Identity", "<sip:mira@chat.example>")}}, siptest.CallConfig{})
	in := taken.Invite()
	require.Equal(t, "offer", string(in.Body))
	require.Equal(t, "70", in.Get("Max-Forwards"))
	require.Equal(t, "1800", in.Get("Session-Expires"))
	require.Contains(t, in.Get("Supported"), "100rel")
	require.Contains(t, in.Get("Allow"), "UPDATE")
	require.NotEmpty(t, in.Get("P-Asserted-Identity"))
	require.NoError(t, taken.Ring(183, []byte("preview")))
	require.Equal(t, "preview", string(want[Progress](c).SDP))
	require.NoError(t, taken.Accept(nil))
	require.Equal(t, "preview", string(want[Answered](c).SDP), "a 200 without SDP: what the 183 had")
	ack, err := taken.Confirmed(soon(t))
	require.NoError(t, err)
	require.Empty(t, ack.Body)
	res, err := taken.Do(soon(t), "OPTIONS", nil)
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Equal(t, "application/sdp", res.Get("Accept"))
	_, err = taken.Hangup(soon(t), "Reason: Q.850;cause=16")
	require.NoError(t, err)
	require.Equal(t, []sip.Reason{{Protocol: "Q.850", Cause: 16}}, want[Ended](c).Reasons)
	res, err = taken.Do(soon(t), "OPTIONS", nil)
	require.NoError(t, err)
	require.Equal(t, 481, res.Status)
	p.empty()
}

// Two branches of a fork answer: the first is the call, the other gets ACK and BYE.
func TestFork(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, taken := p.callPhone(phone, Outgoing{Offer: []byte("offer")}, siptest.CallConfig{})
	contact := "Contact: <" + phone.ContactURI() + ">"
	answer := func(code int, tag string) {
		req := taken.Invite()
		m := &siptest.Message{Status: code, Reason: "OK"}
		for _, h := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
			v := req.Get(h)
			if h == "To" {
				v += ";tag=" + tag
			}
			m.Add(h, v)
		}
		m.Add("Contact", strings.TrimPrefix(contact, "Contact: ")).Add("Content-Type", "application/sdp")
		m.Body = []byte("answer of " + tag)
		require.NoError(t, phone.SendRaw(m.Bytes()))
	}
	answer(180, "one")
	answer(180, "two")
	require.Equal(t, "one", want[Progress](c).Tag)
	require.Equal(t, "two", want[Progress](c).Tag)
	answer(200, "two")
	answer(200, "one")
	answer(200, "one")
	require.Equal(t, "answer of two", string(want[Answered](c).SDP))
	acks := map[string]int{}
	for range 3 {
		ack := phone.Want(t, siptest.Is("ACK"))
		acks[ack.Tag("To")]++
	}
	require.Equal(t, map[string]int{"one": 2, "two": 1}, acks)
	bye := phone.Want(t, siptest.Is("BYE"))
	require.Equal(t, "one", bye.Tag("To"))
	require.NoError(t, bye.Respond(200))
	require.Equal(t, "two", c.leg.RemoteTag())
	c.leg.End()
	bye = phone.Want(t, siptest.Is("BYE"))
	require.Equal(t, "two", bye.Tag("To"))
	require.NoError(t, bye.Respond(200))
	require.NoError(t, want[Ended](c).Cause)
}

func TestRedirect(t *testing.T) {
	p := newParty(t, nil)
	first, second := p.phone("sip:otto@voice.example"), p.phone("sip:boss@voice.example")
	first.Answer(siptest.Is("INVITE"), siptest.Status(302, "Contact: <sip:nobody@127.0.0.1:9>;q=0.1, <"+second.ContactURI()+">;q=0.9"))
	c := p.invite(Outgoing{To: name(first.AOR()), RequestURI: uri(first.ContactURI()), Offer: []byte("offer")})
	taken, err := second.Incoming(soon(t), siptest.CallConfig{})
	require.NoError(t, err)
	require.Equal(t, "<sip:otto@voice.example>", taken.Invite().Get("To"))
	require.Equal(t, "2 INVITE", taken.Invite().Get("CSeq"))
	require.NoError(t, taken.Accept([]byte("answer")))
	want[Answered](c)
	c.leg.End()
	want[Ended](c)

	// Round and round: six INVITEs, then it is the owner's.
	var n atomic.Int32
	second.Answer(siptest.Is("INVITE"), siptest.Reply(func(in *siptest.Incoming) *siptest.Message {
		return in.Response(302, fmt.Sprintf("Contact: <sip:%d@%s>", n.Add(1), second.Addr()))
	}))
	c = p.invite(Outgoing{To: name(second.AOR()), RequestURI: uri(second.ContactURI())})
	f := want[Failed](c)
	require.Equal(t, 302, f.Status.Code)
	require.Len(t, f.Redirect, 1)
	require.EqualValues(t, 6, n.Load())
}

func TestDigest(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	auth := siptest.ServerAuth{Realm: "voice.example", User: "mira", Password: "pw", Proxy: true}
	ring := siptest.Series(siptest.Status(180))
	phone.Answer(siptest.Is("INVITE"), siptest.Authenticated(auth, ring))
	c := p.invite(Outgoing{
		To: name(phone.AOR()), RequestURI: uri(phone.ContactURI()), Offer: []byte("offer"),
		Target: ua.Target{Credentials: &ua.Credentials{Username: "mira", Password: "pw"}},
	})
	want[Progress](c)
	phone.Want(t, siptest.Is("INVITE"))
	in := phone.Want(t, siptest.Is("INVITE"))
	require.NoError(t, in.Respond(200, "Contact: <"+phone.ContactURI()+">", "Content-Type: application/sdp"))
	want[Answered](c)
	ack := phone.Want(t, siptest.Is("ACK"), siptest.Contains("CSeq", "2 ACK"))
	require.Equal(t, in.Get("Proxy-Authorization"), ack.Get("Proxy-Authorization"), "RFC 3261 §13.2.2.4")
	c.leg.End()
	bye := phone.Want(t, siptest.Is("BYE"))
	n, _ := bye.CSeq()
	require.Greater(t, n, uint32(2))
	require.NoError(t, bye.Respond(200))
	want[Ended](c)
}

func TestRecordRouteAndTargetRefresh(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, taken := p.callPhone(phone, Outgoing{Offer: []byte("offer")}, siptest.CallConfig{})
	hop := phone.Addr()
	require.NoError(t, taken.Accept([]byte("answer"), "Record-Route: <sip:p2@"+hop+";lr>, <sip:p1@"+hop+";lr>", "Contact: <sip:far@203.0.113.9>"))
	want[Answered](c)
	ack, err := taken.Confirmed(soon(t))
	require.NoError(t, err)
	require.Equal(t, []string{"<sip:p1@" + hop + ";lr>", "<sip:p2@" + hop + ";lr>"}, ack.List("Route"), "reversed for the caller")
	require.Equal(t, "sip:far@203.0.113.9", ack.RequestURI)

	res, err := taken.Do(soon(t), "UPDATE", nil, "Contact: <sip:farther@203.0.113.10>")
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	c.leg.Info("text/plain", []byte("x"), nil)
	info := phone.Want(t, siptest.Is("INFO"))
	require.Equal(t, "sip:farther@203.0.113.10", info.RequestURI)
	require.Len(t, info.List("Route"), 2)
	c.leg.End()
	want[Ended](c)
}

// A re-INVITE without SDP wants an offer, which its ACK answers; one that repeats the last
// offer is answered without the owner.
func TestReinviteWithoutSDP(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, placed := p.called(phone, siptest.CallConfig{Answer: func(offer []byte) []byte { return []byte("answer to " + string(offer)) }})
	done := make(chan *siptest.Message, 1)
	go func() {
		res, _ := placed.Do(soon(t), "INVITE", nil)
		done <- res
	}()
	require.Equal(t, Offered{}, want[Offered](c))
	c.leg.Answer([]byte("all we can"))
	require.Equal(t, "all we can", string((<-done).Body))
	require.Equal(t, "answer to all we can", string(want[OfferAnswered](c).SDP))

	go func() {
		res, _ := placed.Do(soon(t), "INVITE", []byte("hold"))
		done <- res
	}()
	want[Offered](c)
	c.leg.Answer([]byte("held"))
	require.Equal(t, "held", string((<-done).Body))
	res, err := placed.Do(soon(t), "INVITE", []byte("hold"))
	require.NoError(t, err)
	require.Equal(t, "held", string(res.Body))
	_, err = placed.Hangup(soon(t))
	require.NoError(t, err)
	require.True(t, want[Ended](c).ByPeer, "and no event for the repetition")
}

// A second re-INVITE before the first is answered, an old CSeq, a PRACK for nothing.
func TestOutOfOrder(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, placed := p.called(phone, siptest.CallConfig{})
	first := make(chan *siptest.Message, 1)
	go func() {
		res, _ := placed.Do(soon(t), "INVITE", []byte("one"))
		first <- res
	}()
	want[Offered](c)
	res, err := placed.Do(soon(t), "INVITE", []byte("two"))
	require.NoError(t, err)
	require.Equal(t, 500, res.Status)
	require.NotEmpty(t, res.Get("Retry-After"))
	res, err = placed.Do(soon(t), "UPDATE", []byte("three"))
	require.NoError(t, err)
	require.Equal(t, 500, res.Status)
	c.leg.Answer([]byte("answer to one"))
	require.Equal(t, 200, (<-first).Status)

	res, err = placed.Do(soon(t), "INFO", nil, "CSeq: 1 INFO")
	require.NoError(t, err)
	require.Equal(t, 500, res.Status)
	res, err = placed.Do(soon(t), "PRACK", nil, "RAck: 1 1 INVITE")
	require.NoError(t, err)
	require.Equal(t, 481, res.Status)
	res, err = placed.Do(soon(t), "REFER", nil)
	require.NoError(t, err)
	require.Equal(t, 400, res.Status)
	res, err = placed.Do(soon(t), "PUBLISH", nil)
	require.NoError(t, err)
	require.Equal(t, 405, res.Status)
	_, _ = placed.Hangup(soon(t))
	require.True(t, want[Ended](c).ByPeer)
}

// Requests that the peer answers with 481, and not at all, end the call.
func TestPeerIsGone(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	for _, method := range []string{"INVITE", "INFO"} {
		for _, answer := range []siptest.Answer{siptest.Status(481), siptest.Drop(-1)} {
			c, taken := p.upWith(phone, siptest.CallConfig{})
			id := taken.Invite().Get("Call-ID")
			phone.Answer(siptest.All(siptest.Is(method), siptest.Contains("Call-ID", id)), answer)
			got := make(chan sip.Status, 1)
			if method == "INVITE" {
				c.leg.Offer([]byte("hold"))
			} else {
				c.leg.Info("text/plain", []byte("x"), func(s sip.Status) { got <- s })
			}
			end := seek[Ended](c)
			require.False(t, end.ByPeer)
			require.Error(t, end.Cause)
			if method == "INFO" {
				require.Contains(t, []int{481, 408}, (<-got).Code)
			}
		}
	}
	p.empty()
}

// A phone that never ACKs gets its 200 for 64*T1, then BYE.
func TestPhoneNeverACKs(t *testing.T) {
	p := newParty(t, nil)
	phone := siptest.Start(t, siptest.Config{AOR: "sip:otto@voice.example", Proxy: p.u.Addr("udp").String(), T1: fast.T1})
	tx, err := phone.Send(phone.NewRequest("INVITE", "sip:mira@"+p.u.Addr("udp").String(), "Contact: <"+phone.ContactURI()+">"))
	require.NoError(t, err)
	c := p.incoming()
	c.leg.Accept([]byte("offer"))
	bye := phone.Want(t, siptest.Is("BYE"))
	require.NoError(t, bye.Respond(200))
	require.ErrorIs(t, want[Ended](c).Cause, ErrNoACK)
	require.Greater(t, len(tx.Responses()), 10)
	p.empty()
}

// 100rel as a carrier does it: required, repeated, in order.
func TestReliableRequired(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	placed, err := phone.Call("sip:mira@"+p.u.Addr("udp").String(), siptest.CallConfig{SDP: []byte("offer"), Headers: []string{"Require: 100rel"}})
	require.NoError(t, err)
	c := p.incoming()
	c.leg.Ring(sip.Status{Code: 180}, nil)
	c.leg.Ring(sip.Status{Code: 183}, []byte("answer"))
	c.leg.Accept([]byte("answer"))
	one, err := placed.Progress(soon(t), 180)
	require.NoError(t, err)
	require.Equal(t, "100rel", one.Get("Require"))
	res, err := placed.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, "answer", string(res.Body))
	want[Confirmed](c)
	c.leg.End(sip.Reason{Protocol: "Q.850", Cause: 31})
	bye, err := placed.Ended(soon(t))
	require.NoError(t, err)
	require.Equal(t, "Q.850 ;cause=31", bye.Get("Reason"))
	want[Ended](c)

	// Nobody sends a PRACK.
	raw := siptest.Start(t, siptest.Config{AOR: "sip:otto@voice.example", Proxy: p.u.Addr("udp").String(), T1: fast.T1})
	tx, err := raw.Send(raw.NewRequest("INVITE", "sip:mira@"+p.u.Addr("udp").String(), "Contact: <"+raw.ContactURI()+">", "Require: 100rel"))
	require.NoError(t, err)
	c = p.incoming()
	c.leg.Ring(sip.Status{Code: 180}, nil)
	final, err := tx.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 504, final.Status)
	require.ErrorIs(t, want[Ended](c).Cause, ErrNoPRACK)
}

func TestPhoneRingsReliably(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, taken := p.callPhone(phone, Outgoing{}, siptest.CallConfig{})
	require.NoError(t, taken.Ring(183, []byte("offer"), "Require: 100rel"))
	require.True(t, want[Progress](c).Offer)
	require.NoError(t, taken.Ring(180, nil, "Require: 100rel", "RSeq: 200"))
	c.leg.Answer([]byte("answer"))
	prack := phone.Want(t, siptest.Is("PRACK"))
	require.Equal(t, "answer", string(prack.Body))
	require.Equal(t, "101 1 INVITE", prack.Get("RAck"))
	require.Equal(t, "102 1 INVITE", phone.Want(t, siptest.Is("PRACK")).Get("RAck"), "the 180, when it came again")
	require.NoError(t, taken.Accept(nil))
	seek[Answered](c)
	c.leg.End()
	want[Ended](c)
}

func TestSessionExpiresTooSmall(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	placed, err := phone.Call("sip:mira@"+p.u.Addr("udp").String(), siptest.CallConfig{SDP: []byte("offer"), Headers: []string{"Session-Expires: 30"}})
	require.NoError(t, err)
	res, err := placed.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, 422, res.Status)
	require.Equal(t, "90", res.Get("Min-SE"))
	placed, err = phone.Call("sip:mira@"+p.u.Addr("udp").String(), siptest.CallConfig{SDP: []byte("offer"), Headers: []string{"Session-Expires: 90;refresher=uac"}})
	require.NoError(t, err)
	c := p.incoming()
	c.leg.Accept([]byte("answer"))
	res, err = placed.Wait(soon(t))
	require.NoError(t, err)
	require.Equal(t, "90;refresher=uac", res.Get("Session-Expires"))
	require.Equal(t, "timer", res.Get("Require"))
	want[Confirmed](c)
	c.leg.End()
	want[Ended](c)
}

func TestReplaces(t *testing.T) {
	p := newParty(t, nil)
	phone, boss := p.phone("sip:otto@voice.example"), p.phone("sip:boss@voice.example")
	c, _ := p.called(phone, siptest.CallConfig{})
	id := c.leg.Identity()
	to := "sip:mira@" + p.u.Addr("udp").String()
	value := Replaces{CallID: id.CallID, ToTag: id.FromTag, FromTag: id.ToTag}
	for code, v := range map[int]string{
		481: "nobody@home;to-tag=1;from-tag=2",
		486: value.String() + ";early-only",
		400: value.String() + ", " + value.String(),
	} {
		placed, err := boss.Call(to, siptest.CallConfig{Headers: []string{"Replaces: " + v}})
		require.NoError(t, err)
		res, err := placed.Wait(soon(t))
		require.NoError(t, err)
		require.Equal(t, code, res.Status, v)
	}
	_, err := boss.Call(to, siptest.CallConfig{SDP: []byte("offer"), Headers: []string{"Replaces: " + value.String(), "Require: replaces"}})
	require.NoError(t, err)
	new := p.incoming()
	require.Same(t, c.leg, new.leg.Replaced())
	new.leg.Accept([]byte("answer"))
	want[Confirmed](new)
	c.leg.End()
	want[Ended](c)
	new.leg.End()
	want[Ended](new)
	p.empty()
}

func TestOverTCP(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example", func(c *siptest.Config) { c.Transport = "tcp" })
	placed, err := phone.Call("sip:mira@"+p.u.Addr("tcp").String(), siptest.CallConfig{SDP: []byte("offer")})
	require.NoError(t, err)
	c := p.incoming()
	c.leg.Accept([]byte("answer"))
	want[Confirmed](c)
	require.Contains(t, placed.Invite().Get("Contact"), "transport=tcp")
	// The connection is lost; the phone listens where its Contact says.
	phone.Hangup()
	c.leg.End()
	_, err = placed.Ended(soon(t))
	require.NoError(t, err)
	require.NoError(t, want[Ended](c).Cause)
}

// The 200 of a phone crosses our CANCEL.
func TestPhoneAnswersCancel(t *testing.T) {
	p := newParty(t, nil)
	phone := p.phone("sip:otto@voice.example")
	c, taken := p.callPhone(phone, Outgoing{Offer: []byte("offer")}, siptest.CallConfig{})
	phone.Answer(siptest.Is("CANCEL"), siptest.Reply(func(in *siptest.Incoming) *siptest.Message {
		_ = taken.Accept([]byte("answer"))
		return in.Response(200)
	}))
	require.NoError(t, taken.Ring(180, nil))
	want[Progress](c)
	c.leg.End()
	bye, err := taken.Ended(soon(t))
	require.NoError(t, err)
	require.Equal(t, "BYE", bye.Method)
	require.Equal(t, Ended{}, want[Ended](c))
}

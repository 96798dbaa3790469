package ua

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

func (p *udpPeer) invite(u *UA, method, branch, callID string, extra ...string) {
	p.send(u.Addr("udp"), raw(method, branch, callID, viaUDP(p), extra...))
}

func TestInviteServer(t *testing.T) {
	in := make(chan *Inbound, 4)
	u := startUA(t, nil, handle(sip.INVITE, func(i *Inbound) { in <- i }))
	p := newUDPPeer(t)
	p.invite(u, "INVITE", "z9hG4bK1", "i1", "Record-Route: <sip:p.example;lr>")
	i := <-in
	require.NoError(t, i.Respond(sip.Status{Code: 180}))
	ringing := p.response()
	require.Equal(t, 180, ringing.StatusCode)
	require.Equal(t, i.Tag(), sip.ToTag(ringing))
	require.NotEmpty(t, sip.Value(ringing, "Record-Route"))
	p.invite(u, "INVITE", "z9hG4bK1", "i1", "Record-Route: <sip:p.example;lr>")
	require.Equal(t, 180, p.response().StatusCode, "a retransmission gets the last response")
	res := sip.NewResponse(i.Request, sip.Status{Code: 200, Headers: []sip.Header{sip.MustHeader("Content-Type", "application/sdp")}, Body: []byte("v=0\r\n")}, i.Tag())
	require.NoError(t, i.RespondWith(res))
	<-i.Done()
	ok := p.response()
	require.Equal(t, "v=0\r\n", string(ok.Body()))
	require.Equal(t, sip.ToTag(ringing), sip.ToTag(ok))
	require.NoError(t, i.RespondWith(res), "the dialog sends it again until the ACK")
	require.Equal(t, 200, p.response().StatusCode)
	require.ErrorIs(t, i.Respond(sip.Status{Code: 486}), ErrAnswered)
	p.invite(u, "ACK", "z9hG4bK2", "i1")
	ack := <-in
	require.Equal(t, sip.ACK, ack.Request.Method)
	require.ErrorIs(t, ack.Respond(sip.Status{Code: 200}), ErrRequest)
	<-ack.Done()
	require.False(t, ack.Cancelled())
	require.Zero(t, u.pending.Load())
}

func TestInviteServerRefuses(t *testing.T) {
	u := startUA(t, nil, handle(sip.INVITE, answerWith(486)))
	p := newUDPPeer(t)
	p.invite(u, "INVITE", "z9hG4bK1", "i2")
	busy := p.response()
	require.Equal(t, 486, busy.StatusCode)
	require.Equal(t, 486, p.response().StatusCode, "timer G until the ACK")
	p.invite(u, "ACK", "z9hG4bK1", "i2")
	require.Eventually(t, func() bool {
		msg, _, _ := p.receive(150 * time.Millisecond)
		return msg == nil
	}, patience, time.Millisecond)
}

func TestInviteServerCancel(t *testing.T) {
	in := make(chan *Inbound, 4)
	u := startUA(t, nil, handle(sip.INVITE, func(i *Inbound) { in <- i }))
	p := newUDPPeer(t)
	p.invite(u, "INVITE", "z9hG4bK1", "i3")
	i := <-in
	require.NoError(t, i.Respond(sip.Status{Code: 180}))
	tag := sip.ToTag(p.response())
	require.False(t, i.Cancelled())
	p.invite(u, "CANCEL", "z9hG4bK1", "i3")
	got := map[string]*sip.Response{}
	for range 2 {
		r := p.response()
		_, m := sip.CSeq(r)
		got[string(m)] = r
	}
	require.Equal(t, 200, got["CANCEL"].StatusCode)
	require.Equal(t, 487, got["INVITE"].StatusCode)
	require.Equal(t, tag, sip.ToTag(got["INVITE"]))
	<-i.Done()
	require.True(t, i.Cancelled())
	told := make(chan *sip.Request, 1)
	i.OnCancel(func(r *sip.Request) { told <- r })
	require.Equal(t, sip.CANCEL, (<-told).Method, "also when it came before somebody asked")
	require.ErrorIs(t, i.Respond(sip.Status{Code: 200}), ErrAnswered, "a 200 after the 487 would be a ghost call")
	p.invite(u, "ACK", "z9hG4bK1", "i3")
	require.Eventually(t, func() bool { return u.invites.servers.len() == 0 }, patience, time.Millisecond, "timer I")
}

func TestInviteServerTrying(t *testing.T) {
	in := make(chan *Inbound, 1)
	u := startUA(t, nil, handle(sip.INVITE, func(i *Inbound) { in <- i }))
	p := newUDPPeer(t)
	p.invite(u, "INVITE", "z9hG4bK1", "i4")
	i := <-in
	require.Equal(t, 100, p.response().StatusCode)
	require.NoError(t, i.Respond(sip.Status{Code: 200}))
	require.Equal(t, 200, p.response().StatusCode)
	p.invite(u, "ACK", "z9hG4bK1", "i4") // with the branch of the INVITE, as RFC 2543 had it
	require.Equal(t, sip.ACK, (<-in).Request.Method)
}

func inviteTo(t *testing.T, uri sip.URI) *sip.Request {
	req := sip.NewRequest(sip.INVITE, uri)
	sip.SetDialogHeaders(req, sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}}, sip.NameAddr{URI: uri}, "call-"+token(), 1)
	require.NoError(t, sip.SetBody(req, "application/sdp", []byte("v=0\r\n")))
	return req
}

// inviteOutcome collects what Invite tells.
type inviteOutcome struct {
	tx        *InviteTransaction
	responses chan *sip.Response
	err       chan error
}

func startInvite(t *testing.T, u *UA, req *sip.Request, target Target) *inviteOutcome {
	t.Helper()
	o := &inviteOutcome{responses: make(chan *sip.Response, 64), err: make(chan error, 1)}
	var err error
	o.tx, err = u.Invite(req, target, func(res *sip.Response, err error) {
		if err != nil {
			o.err <- err
			return
		}
		o.responses <- res
	})
	require.NoError(t, err)
	return o
}

func (o *inviteOutcome) next(t *testing.T) *sip.Response {
	t.Helper()
	select {
	case r := <-o.responses:
		return r
	case err := <-o.err:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("no response")
	}
	return nil
}

func (o *inviteOutcome) fails(t *testing.T) error {
	t.Helper()
	select {
	case err := <-o.err:
		return err
	case <-time.After(patience):
		t.Fatal("no error")
	}
	return nil
}

func TestInviteClient(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	tx := startInvite(t, u, inviteTo(t, p.uri()), Target{})
	req, from := p.request()
	require.Equal(t, sip.INVITE, req.Method)
	// All at once: the order must hold.
	codes := []int{100, 180, 183, 181, 182, 183, 200}
	for _, code := range codes {
		p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: code}, "callee")))
	}
	for _, code := range codes {
		require.Equal(t, code, tx.next(t).StatusCode)
	}
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "other")))
	require.Equal(t, "other", sip.ToTag(tx.next(t)), "another branch of a fork")
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 180}, "third")))
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "callee")))
	require.Equal(t, "callee", sip.ToTag(tx.next(t)), "a copy; the late 180 is dropped")

	cseq, credentials := tx.tx.Sent()
	require.EqualValues(t, 1, cseq)
	require.Empty(t, credentials)
	ack := sip.NewRequest(sip.ACK, p.uri())
	sip.SetDialogHeaders(ack, must(sip.FromOf(req)), sip.NameAddr{URI: p.uri(), Params: sip.Params{{Name: "tag", Value: "callee"}}}, sip.CallID(req), cseq)
	require.NoError(t, u.Ack(t.Context(), ack, Target{}))
	got, _ := p.request()
	require.Equal(t, sip.ACK, got.Method)
	require.ErrorIs(t, u.Ack(t.Context(), message(t, p.uri(), 1), Target{}), ErrRequest)
	require.Eventually(t, func() bool { return u.invites.clients.len() == 0 }, patience, time.Millisecond, "timer M")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestInviteClientRefusedIsAcked(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	tx := startInvite(t, u, inviteTo(t, p.uri()), Target{})
	req, from := p.request()
	for range 2 { // the ACK may get lost
		p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 486}, "callee")))
		ack, _ := p.request()
		require.Equal(t, sip.ACK, ack.Method)
		require.Equal(t, req.Via().Value(), ack.Via().Value())
		require.Equal(t, "callee", sip.ToTag(ack))
		require.Equal(t, "1 ACK", ack.CSeq().Value())
	}
	require.Equal(t, 486, tx.next(t).StatusCode)
	require.Empty(t, tx.responses)
}

func TestInviteClientCancel(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	tx := startInvite(t, u, inviteTo(t, p.uri()), Target{})
	req, from := p.request()
	tx.tx.Cancel(sip.MustHeader("Reason", "SIP ;cause=200"))
	_, _, _ = p.receive(30 * time.Millisecond) // no CANCEL before a provisional response
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 180}, "callee")))
	require.Equal(t, 180, tx.next(t).StatusCode)
	var cancel *sip.Request
	require.Eventually(t, func() bool {
		cancel, _ = p.request()
		return cancel.Method == sip.CANCEL // a copy of the INVITE may be under way
	}, patience, time.Millisecond)
	p.send(from, wireOf(t, sip.NewResponse(cancel, sip.Status{Code: 200}, "callee")))
	require.Equal(t, req.Via().Value(), cancel.Via().Value())
	require.Equal(t, "1 CANCEL", cancel.CSeq().Value())
	require.Equal(t, "SIP ;cause=200", sip.Value(cancel, "Reason"))
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 487}, "callee")))
	require.Equal(t, 487, tx.next(t).StatusCode)
}

func TestInviteClientCancelUnanswered(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers.T1 = 5 * time.Millisecond })
	p := newUDPPeer(t)
	tx := startInvite(t, u, inviteTo(t, p.uri()), Target{})
	req, from := p.request()
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 180}, "callee")))
	require.Equal(t, 180, tx.next(t).StatusCode)
	tx.tx.Cancel()
	require.ErrorIs(t, tx.fails(t), ErrTimeout, "64*T1 after the CANCEL (RFC 3261 §9.1)")
}

func TestInviteClientFails(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers.T1 = 5 * time.Millisecond })
	p := newUDPPeer(t)
	require.ErrorIs(t, startInvite(t, u, inviteTo(t, p.uri()), Target{}).fails(t), ErrTimeout)
	_, err := u.Invite(message(t, p.uri(), 1), Target{}, nil)
	require.ErrorIs(t, err, ErrRequest)
	nobody := sip.URI{Scheme: "sip", Host: "127.0.0.1", Port: 1, Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	require.ErrorIs(t, startInvite(t, u, inviteTo(t, nobody), Target{}).fails(t), ErrTransport)
	_, err = u.Invite(inviteTo(t, p.uri()), Target{Flow: Flow{Transport: "tcp", ID: 1}}, nil)
	require.ErrorIs(t, err, ErrFlow)
}

func TestInviteClientDigest(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	tx := startInvite(t, u, inviteTo(t, p.uri()), Target{Credentials: &Credentials{Username: "mira", Password: "pw"}})
	req, from := p.request()
	require.Empty(t, sip.Value(req, "Authorization"))
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 401, Headers: []sip.Header{
		sip.MustHeader("WWW-Authenticate", `Digest realm="voice.example", nonce="n1", algorithm=MD5, qop="auth"`),
	}}, "callee")))
	ack, _ := p.request()
	require.Equal(t, sip.ACK, ack.Method)
	again, _ := p.request()
	require.Equal(t, sip.INVITE, again.Method)
	require.Contains(t, sip.Value(again, "Authorization"), `nonce="n1"`)
	require.Equal(t, "2 INVITE", again.CSeq().Value())
	require.NotEqual(t, req.Via().Value(), again.Via().Value())
	p.send(from, wireOf(t, sip.NewResponse(again, sip.Status{Code: 200}, "callee")))
	require.Equal(t, 200, tx.next(t).StatusCode)
	cseq, credentials := tx.tx.Sent()
	require.EqualValues(t, 2, cseq)
	require.Len(t, credentials, 1)
}

// A 503 and a dead address lead to the next one.
func TestInviteClientFailover(t *testing.T) {
	a, b := newUDPPeer(t), newUDPPeer(t)
	d := newDNSServer(t,
		"_sip._udp.voice.example. 60 IN SRV 1 0 "+fmt.Sprint(a.addr().Port())+" a.voice.example.",
		"_sip._udp.voice.example. 60 IN SRV 2 0 "+fmt.Sprint(b.addr().Port())+" a.voice.example.",
		"a.voice.example. 60 IN A 127.0.0.1")
	u := startUA(t, func(c *Config) { c.Resolver = d.resolver() })
	tx := startInvite(t, u, inviteTo(t, sip.URI{Scheme: "sip", User: "otto", Host: "voice.example"}), Target{})
	req, from := a.request()
	a.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 503}, "a")))
	again, from := b.request()
	require.Equal(t, sip.CallID(req), sip.CallID(again))
	require.Equal(t, "1 INVITE", again.CSeq().Value())
	b.send(from, wireOf(t, sip.NewResponse(again, sip.Status{Code: 486}, "b")))
	require.Equal(t, 486, tx.next(t).StatusCode)
}

// A long INVITE goes by TCP, and by UDP after all where nobody listens on TCP.
func TestInviteClientLong(t *testing.T) {
	in := make(chan *Inbound, 1)
	server := startUA(t, nil, handle(sip.INVITE, func(i *Inbound) { in <- i; _ = i.Respond(sip.Status{Code: 486}) }))
	u := startUA(t, nil)
	long := func(uri sip.URI) *sip.Request {
		req := inviteTo(t, uri)
		require.NoError(t, sip.SetBody(req, "application/sdp", make([]byte, 1300)))
		return req
	}
	a := server.Addr("udp")
	both := sip.URI{Scheme: "sip", Host: a.Addr().String(), Port: int(server.Addr("tcp").Port())}
	require.Equal(t, 486, startInvite(t, u, long(both), Target{}).next(t).StatusCode)
	require.Equal(t, "tcp", (<-in).Transport)
	p := newUDPPeer(t)
	tx := startInvite(t, u, long(p.uri()), Target{})
	req, from := p.request()
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 486}, "callee")))
	require.Equal(t, 486, tx.next(t).StatusCode)
}

// A connection that the peer has closed is opened anew; one that dies under way ends the
// transaction.
func TestInviteClientConnection(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	u := startUA(t, nil)
	to := sip.URI{Scheme: "sip", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	tx := startInvite(t, u, inviteTo(t, to), Target{})
	c, err := l.Accept()
	require.NoError(t, err)
	_ = c.Close()
	require.ErrorIs(t, tx.fails(t), ErrTransport)
}

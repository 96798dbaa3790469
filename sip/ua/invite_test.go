package ua

import (
	"context"
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
	require.ErrorIs(t, i.Respond(sip.Status{Code: 200}), ErrAnswered, "a 200 after the 487 would be a ghost call")
	p.invite(u, "ACK", "z9hG4bK1", "i3")
}

func inviteTo(t *testing.T, uri sip.URI) *sip.Request {
	req := sip.NewRequest(sip.INVITE, uri)
	sip.SetDialogHeaders(req, sip.NameAddr{URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}}, sip.NameAddr{URI: uri}, "call-"+token(), 1)
	require.NoError(t, sip.SetBody(req, "application/sdp", []byte("v=0\r\n")))
	return req
}

func nextResponse(t *testing.T, tx *InviteTransaction) *sip.Response {
	t.Helper()
	select {
	case r := <-tx.Responses():
		return r
	case <-time.After(patience):
		t.Fatal("no response")
	}
	return nil
}

func TestInviteClient(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	tx, err := u.Invite(t.Context(), inviteTo(t, p.uri()), Target{})
	require.NoError(t, err)
	req, from := p.request()
	require.Equal(t, sip.INVITE, req.Method)
	// All at once: the order must hold.
	codes := []int{100, 180, 183, 181, 182, 183, 200}
	for _, code := range codes {
		p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: code}, "callee")))
	}
	for _, code := range codes {
		require.Equal(t, code, nextResponse(t, tx).StatusCode)
	}
	forked := make(chan *sip.Response, 1)
	tx.OnForked(func(r *sip.Response) { forked <- r })
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 200}, "other")))
	require.Equal(t, "other", sip.ToTag(<-forked))

	ack := sip.NewRequest(sip.ACK, p.uri())
	sip.SetDialogHeaders(ack, must(sip.FromOf(tx.Request())), sip.NameAddr{URI: p.uri(), Params: sip.Params{{Name: "tag", Value: "callee"}}}, sip.CallID(tx.Request()), 1)
	require.NoError(t, u.Ack(t.Context(), ack, Target{}))
	got, _ := p.request()
	require.Equal(t, sip.ACK, got.Method)
	require.ErrorIs(t, u.Ack(t.Context(), message(t, p.uri(), 1), Target{}), ErrRequest)
	tx.Terminate()
	<-tx.Done()
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
	tx, err := u.Invite(t.Context(), inviteTo(t, p.uri()), Target{})
	require.NoError(t, err)
	req, from := p.request()
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 486}, "callee")))
	require.Equal(t, 486, nextResponse(t, tx).StatusCode)
	ack, _ := p.request()
	require.Equal(t, sip.ACK, ack.Method)
	require.Equal(t, req.Via().Value(), ack.Via().Value())
	require.Equal(t, "callee", sip.ToTag(ack))
	tx.Terminate()
}

func TestInviteClientCancel(t *testing.T) {
	u := startUA(t, nil)
	p := newUDPPeer(t)
	tx, err := u.Invite(t.Context(), inviteTo(t, p.uri()), Target{})
	require.NoError(t, err)
	req, from := p.request()
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 180}, "callee")))
	require.Equal(t, 180, nextResponse(t, tx).StatusCode)
	done := make(chan error, 1)
	go func() { done <- tx.Cancel(context.Background()) }()
	cancel := p.answer(sip.Status{Code: 200})
	require.Equal(t, sip.CANCEL, cancel.Method)
	require.Equal(t, req.Via().Value(), cancel.Via().Value())
	require.Equal(t, "1 CANCEL", cancel.CSeq().Value())
	require.NoError(t, <-done)
	p.send(from, wireOf(t, sip.NewResponse(req, sip.Status{Code: 487}, "callee")))
	require.Equal(t, 487, nextResponse(t, tx).StatusCode)
	tx.Terminate()
}

func TestInviteClientFails(t *testing.T) {
	u := startUA(t, func(c *Config) { c.Timers.T1 = 5 * time.Millisecond })
	p := newUDPPeer(t)
	tx, err := u.Invite(t.Context(), inviteTo(t, p.uri()), Target{})
	require.NoError(t, err)
	<-tx.Done()
	require.ErrorIs(t, tx.Err(), ErrTimeout)
	_, err = u.Invite(t.Context(), message(t, p.uri(), 1), Target{})
	require.ErrorIs(t, err, ErrRequest)
	_, err = u.Invite(t.Context(), inviteTo(t, sip.URI{Scheme: "sip", Host: "127.0.0.1", Port: 1, Params: sip.Params{{Name: "transport", Value: "tcp"}}}), Target{})
	require.ErrorIs(t, err, ErrTransport)
	_, err = u.Invite(t.Context(), inviteTo(t, p.uri()), Target{Flow: Flow{Transport: "tcp", ID: 1}})
	require.ErrorIs(t, err, ErrFlow)
}

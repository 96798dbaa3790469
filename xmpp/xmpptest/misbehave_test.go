package xmpptest

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Config{})
		s.Refuse(RefuseConflict, RefuseHost, RefuseSecret, RefuseClose, RefuseSilent, RefuseHandshake, RefuseGarbage)
		for _, condition := range []string{"conflict", "host-unknown"} {
			p := connect(t, s)
			p.write(header)
			if _, err := p.dec.Open(); err != nil {
				t.Fatal(err)
			}
			p.ends(condition)
		}
		p := connect(t, s)
		p.handshake("sip.example", "secret")
		p.ends("not-authorized")

		p = connect(t, s)
		p.write(header)
		if _, err := p.dec.Open(); err == nil {
			t.Error("RefuseClose answered")
		}
		// The hour passes at once in the bubble.
		silent := connect(t, s)
		silent.write(header)
		_ = silent.conn.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := silent.dec.Open(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		p = connect(t, s)
		p.handshake("sip.example", "secret")
		_ = p.conn.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := p.dec.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		p = connect(t, s)
		p.write(header)
		if _, err := p.dec.Open(); err == nil {
			t.Error("garbage accepted")
		}
		p = up(t, s)
		p.barrier()
		go func() { _, _ = p.dec.Next() }() // takes the end of the stream
		s.Close()
	})
}

func TestMisbehaviour(t *testing.T) {
	s := Start(t, Config{})
	p := up(t, s)
	s.MutePings(true)
	p.write("<iq type='get' id='1' from='sip.example' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq><message id='2' from='sip.example' to='chat.example'/>")
	if e := p.next(); e.Attribute("id") != "2" {
		t.Errorf("muted ping answered: %s", e)
	}
	s.MutePings(false)
	p.barrier()

	if err := s.Inject([]byte("<garbage>")); err != nil {
		t.Fatal(err)
	}
	s.CloseWithError("system-shutdown", "bye")
	if _, err := p.dec.Next(); err == nil {
		t.Error("garbage understood")
	}
	_ = p.conn.Close()
	if err := s.WaitDisconnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(){s.CloseStream, s.Drop, s.ResumeReading, s.StopReading, s.Stall, s.Resume} {
		end() // nothing connected
	}
	if err := s.Inject([]byte("x")); !errors.Is(err, ErrNotConnected) {
		t.Error(err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, ErrNotConnected) || s.Buffered() != 0 {
		t.Error(err)
	}

	p = up(t, s)
	s.CloseWithError("system-shutdown", "bye")
	p.ends("system-shutdown")
	p = up(t, s)
	s.CloseStream()
	p.ends("")
	p = up(t, s)
	s.Drop()
	if _, err := p.dec.Next(); err == nil {
		t.Error("not dropped")
	}
	p = up(t, s)
	p.write("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>why</text></stream:error>")
	p.ends("")
	if se := s.LastStreamError(); se == nil || se.Error() != "xmpptest: stream error reset: why" {
		t.Error(se)
	}
}

// TestStall runs in a bubble: what is held back stays so for an hour.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Config{})
		defer s.Close()
		u := s.User("mira@chat.example/desk")
		p := up(t, s)
		got := make(chan *xmpp.Element)
		go func() {
			defer close(got)
			for {
				e, err := p.dec.Next()
				if err != nil {
					return
				}
				got <- e
			}
		}()
		quiet := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			select {
			case e := <-got:
				t.Errorf("got %s", e)
			case <-ctx.Done():
			}
		}
		const ping = "<iq type='get' id='1' from='sip.example' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq>"
		s.StopReading()
		go p.write(ping)
		quiet()
		if err := u.Say(xmpp.MustJID("otto@sip.example"), "", "x"); err != nil { // writing goes on
			t.Error(err)
		}
		<-got
		s.ResumeReading()
		<-got

		s.Stall()
		go p.write(ping)
		if err := u.Say(xmpp.MustJID("otto@sip.example"), "", "x"); err != nil {
			t.Error(err)
		}
		quiet()
		if s.Buffered() == 0 {
			t.Error("nothing buffered")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.Resume()
		<-got
		<-got
		if err := s.Flush(t.Context()); err != nil || s.Buffered() != 0 {
			t.Error(err, s.Buffered())
		}
		_ = p.conn.Close()
		<-got
	})
}

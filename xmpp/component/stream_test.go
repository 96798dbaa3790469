package component

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Whatever a user can make the server pass on, the stream goes on (spec/libraries.md §1.1 rows 5 to 7).
func TestBadStanzasKeepTheStream(t *testing.T) {
	const from = "from='m@x/d' to='otto@sip.harbor.example' id='1'"
	for _, c := range []struct {
		name, in string
		handled  []string // what the handler gets
		answered string   // condition that goes back, "" for none
	}{
		{
			"spoofed from",
			"<message xmlns:x='u' x:from='admin@good.example' from='m@x' x:to='a@b' to='otto@sip.harbor.example' x:type='chat'><body>hi</body></message>",
			[]string{"<message from='m@x' to='otto@sip.harbor.example'><body>hi</body></message>"},
			"",
		},
		{
			"injected body",
			"<message " + from + "><x xmlns='u'><body xmlns='jabber:component:accept'>evil</body><body>evil</body></x><body>good</body></message>",
			[]string{"<message from='m@x/d' to='otto@sip.harbor.example' id='1'><body>good</body><x xmlns='u'><body xmlns='jabber:component:accept'>evil</body><body>evil</body></x></message>"},
			"",
		},
		{
			"nested stanza",
			"<message " + from + "><message xmlns='jabber:component:accept' from='a@b'><body>evil</body></message></message>",
			[]string{"<message from='m@x/d' to='otto@sip.harbor.example' id='1'><message from='a@b'><body>evil</body></message></message>"},
			"",
		},
		{"priority", "<presence " + from + "><priority>999</priority></presence>", nil, "bad-request"},
		{"priority text", "<presence " + from + "><priority>x</priority></presence>", nil, "bad-request"},
		{"presence type", "<presence " + from + " type='x'/>", nil, "bad-request"},
		{"iq without payload", "<iq " + from + " type='get'/>", nil, "bad-request"},
		{"iq type", "<iq " + from + " type='x'><a/></iq>", nil, "bad-request"},
		{"iq result", "<iq " + from + " type='result'><a/><b/></iq>", nil, ""},
		{
			"maxchars", "<presence " + from + "><x xmlns='http://jabber.org/protocol/muc'><history maxchars='x'/></x></presence>",
			[]string{"<presence from='m@x/d' to='otto@sip.harbor.example' id='1'><x xmlns='http://jabber.org/protocol/muc'><history maxchars='x'/></x></presence>"},
			"",
		},
		{"to", "<message from='m@x/d' to='a b@sip.harbor.example' id='1'/>", nil, "jid-malformed"},
		{"to of an error", "<message from='m@x/d' to='a b@sip.harbor.example' id='1' type='error'/>", nil, ""},
		{"from", "<message from='@' to='otto@sip.harbor.example' id='1'/>", nil, ""},
		{"no from", "<message to='otto@sip.harbor.example'/>", nil, ""},
		{"foreign to", "<message from='m@x' to='chat.harbor.example'/>", nil, ""},
		{"no to", "<message from='m@x'/>", []string{"<message from='m@x' to='sip.harbor.example'/>"}, ""},
		{"deep", "<message " + from + ">" + strings.Repeat("<a>", 10_000) + strings.Repeat("</a>", 10_000) + "</message>", nil, "policy-violation"},
		{"long", "<message " + from + "><body>" + strings.Repeat("x", 300_000) + "</body></message>", nil, "policy-violation"},
		{"long error", "<message " + from + " type='error'><body>" + strings.Repeat("x", 300_000) + "</body></message>", nil, ""},
		{"unknown namespace", "<message xmlns='u'/>", nil, ""},
		{"unknown element", "<x:features xmlns:x='http://etherx.jabber.org/streams'/>", nil, ""},
		{"unknown name", "<route from='m@x' to='otto@sip.harbor.example'/>", nil, ""},
		{"late handshake", "<handshake/>", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, nil, func(r *rig) {
				p := r.connect()
				p.send(c.in)
				if c.answered != "" {
					s := p.stanza()
					assert.True(t, s.IsError())
					_, to := s.Addresses()
					assert.Equal(t, "m@x/d", to.String())
					assert.Contains(t, string(s.Append(nil)), "<"+c.answered+" ")
				}
				p.send("<presence from='m@x' to='sip.harbor.example'/>")
				synctest.Wait()
				assert.Equal(t, append(c.handled, "<presence from='m@x' to='sip.harbor.example'/>"), r.take())
				r.finish(p)
			})
		})
	}
}

// What ends a stream is told to the handler and to the server, and a new stream is made.
func TestStreamEnds(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
		told     string // condition that the server is told
	}{
		{"not well-formed", "<message></presence>", xmpp.ErrNotWellFormed, "not-well-formed"},
		{"forbidden character", "<message>\x01</message>", xmpp.ErrNotWellFormed, "not-well-formed"},
		{"text", "x", xmpp.ErrNotWellFormed, "not-well-formed"},
		{"comment", "<!-- x -->", xmpp.ErrRestrictedXML, "restricted-xml"},
		{"processing instruction", "<message><?x?></message>", xmpp.ErrRestrictedXML, "restricted-xml"},
		{"doctype", "<!DOCTYPE x>", xmpp.ErrRestrictedXML, "restricted-xml"},
		{"closed", "</stream:stream>", ErrServerClosed, ""},
		{"conflict", "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>replaced</text></stream:error></stream:stream>", ErrConflict, ""},
		{"shutdown", "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", &StreamError{Condition: "system-shutdown"}, ""},
		{"end of connection", "", io.EOF, ""},
		{"end within a stanza", "<message>", io.ErrUnexpectedEOF, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, nil, func(r *rig) {
				p := r.connect()
				p.send(c.in)
				if c.want == io.EOF || c.want == io.ErrUnexpectedEOF {
					p.close()
				} else {
					err := p.ended()
					var se *StreamError
					if c.told != "" {
						require.ErrorAs(t, err, &se)
						assert.Equal(t, c.told, se.Condition)
						err = p.ended()
					}
					assert.Equal(t, xmpp.ErrStreamClosed, err)
				}
				synctest.Wait()
				last := r.c.LastError()
				if want, ok := c.want.(*StreamError); ok {
					assert.Equal(t, want, last)
				} else {
					assert.ErrorIs(t, last, c.want)
				}
				assert.Equal(t, last.Error(), r.lost())
				assert.ErrorIs(t, r.c.Send(message("1"), nil), ErrLinkDown)
				p.close()
				q := r.connect()
				assert.NoError(t, r.c.LastError())
				r.finish(q)
			})
		})
	}
}

// What was queued when the link was lost is reported with the reason, once and in order; what was written before
// keeps its nil.
func TestLinkLossFailsQueue(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := r.connect()
		var w results
		require.NoError(t, r.c.Send(message("1"), w.of("1")))
		p.next()
		synctest.Wait()
		require.NoError(t, r.c.Send(message("2"), w.of("2")))
		synctest.Wait() // is being written
		require.NoError(t, r.c.Send(message("3"), w.of("3")))
		require.NoError(t, r.c.Send(message("4"), w.of("4")))
		p.send("</stream:stream>")
		time.Sleep(5 * second)
		list := w.take()
		require.Len(t, list, 4)
		assert.Equal(t, "1 <nil>", list[0])
		for i, id := range []string{"2", "3", "4"} {
			assert.True(t, strings.HasPrefix(list[i+1], id+" component: link is down: component: closed by the server"), list[i+1])
		}
		r.lost()
		p.close()
		r.finish(r.connect())
		assert.Empty(t, w.take())
	})
}

func TestHandshakeFailures(t *testing.T) {
	const header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
	streamError := func(condition string) string {
		return "<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
	}
	for _, c := range []struct {
		name          string
		before, after string // what the server says before and after the handshake
		want          error
	}{
		{"wrong secret", header, streamError("not-authorized"), ErrNotAuthorized},
		{"unknown host", header, streamError("host-unknown"), ErrHostUnknown},
		{"unknown host at once", header + streamError("host-unknown"), "", ErrHostUnknown},
		{"unknown host without id", strings.Replace(header, " id='1'", "", 1) + streamError("host-unknown"), "", ErrHostUnknown},
		{"conflict", header, streamError("conflict"), ErrConflict},
		{"c2s port", strings.Replace(header, "component:accept", "client", 1) + "<stream:features/>", "", ErrNotComponent},
		{"wrong namespace", header, streamError("invalid-namespace"), ErrNotComponent},
		{"no id", strings.Replace(header, " id='1'", "", 1), "<handshake/>", ErrNotComponent},
		{"other root", "<html>", "", ErrNotComponent},
		{"web server", "HTTP/1.1 400 Bad Request\r\n\r\n", "", ErrNotComponent},
		{"end", "", "close", ErrServerClosed},
		{"end after the header", header, "close", ErrServerClosed},
		{"goodbye", header, "</stream:stream>", ErrServerClosed},
		{"silence", "", "", ErrTimeout},
		{"silence after the header", header, "", ErrTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(c *Config) { c.FailFast = true }, func(r *rig) {
				p := <-r.dials
				done := make(chan struct{})
				go func() { // the component writes its handshake while the server still talks
					defer close(done)
					_, _ = io.Copy(io.Discard, p.conn)
				}()
				_, _ = io.WriteString(p.conn, c.before)
				synctest.Wait()
				if c.after == "close" {
					p.close()
				} else {
					_, _ = io.WriteString(p.conn, c.after)
				}
				if c.want == ErrTimeout {
					time.Sleep(10 * second)
				}
				synctest.Wait()
				assert.ErrorIs(t, r.c.LastError(), c.want)
				assert.NotEmpty(t, Hint(r.c.LastError()))
				assert.Empty(t, r.take(), "the link never came up, so nothing changed")
				if c.want == ErrNotAuthorized || c.want == ErrHostUnknown {
					assert.ErrorIs(t, <-r.result, c.want)
				} else {
					r.stop()
					assert.NoError(t, <-r.result)
				}
				p.close()
				<-done
			})
		})
	}
}

// Waits grow from 0.2 s to 60 s, start again after a link that lasted, and are longer from the start after a
// refusal.
func TestBackoff(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.refuse.Store(true)
		start := time.Now()
		time.Sleep(10 * time.Minute)
		assert.ErrorIs(t, r.c.LastError(), ErrRefused)
		r.refuse.Store(false)
		p := r.connect()
		assert.LessOrEqual(t, time.Since(start), 11*time.Minute)
		time.Sleep(20 * second)
		since := time.Now()
		p.close()
		q := <-r.dials
		assert.LessOrEqual(t, time.Since(since), 200*time.Millisecond)
		q.close()
		r.stop()
		<-r.result
	})
	var b backoff
	most := func(n int64) int64 { return n - 1 }
	least := func(int64) int64 { return 0 }
	var steps []time.Duration
	for range 11 {
		steps = append(steps, b.next(io.EOF, most))
	}
	assert.Equal(t, "[200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 51.2s 1m0s 1m0s]", fmt.Sprint(steps))
	assert.Equal(t, 30*second, b.next(io.EOF, least))
	b.reset()
	assert.Equal(t, 100*time.Millisecond, b.next(io.EOF, least))
	for _, err := range []error{ErrConflict, &StreamError{Condition: "host-unknown"}, &StreamError{Condition: "not-authorized"}} {
		b.reset()
		assert.Equal(t, 5*second, b.next(err, most), err)
	}
}

// Links that flap are reported up and down in turns, and a stanza never outside of its link.
func TestLinkChangedIsOrdered(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		sent := make(chan struct{})
		go func() { // somebody who sends all the time
			defer close(sent)
			for ctx.Err() == nil {
				_ = r.c.Send(message("1"), nil)
				time.Sleep(5 * time.Millisecond)
			}
		}()
		const n = 10
		for range n {
			p := (<-r.dials).accept()
			gone := make(chan error)
			go func() { gone <- p.ended() }()
			p.send("<message from='m@x' to='sip.harbor.example'/>")
			time.Sleep(20 * time.Millisecond)
			p.close()
			<-gone
		}
		cancel()
		<-sent
		synctest.Wait()
		lines := r.take()
		require.Len(t, lines, 3*n)
		for i := 0; i < len(lines); i += 3 {
			assert.Equal(t, "up", lines[i])
			assert.True(t, strings.HasPrefix(lines[i+1], "<message"), lines[i+1])
			assert.True(t, strings.HasPrefix(lines[i+2], "down: "), lines[i+2])
		}
		r.stop()
		<-r.result
	})
}

func TestWatchdog(t *testing.T) {
	t.Run("answered", func(t *testing.T) {
		bubble(t, func(c *Config) { c.PingTarget = xmpp.MustJID("chat.harbor.example") }, func(r *rig) {
			p := r.connect()
			start := time.Now()
			for range 10 {
				s := p.stanza().(*xmpp.IQ)
				assert.True(t, s.Payload.Is(xmpp.NSPing, "ping"))
				assert.Equal(t, "chat.harbor.example", s.To.String())
				p.send(string(s.Result(nil).Append(nil)))
			}
			assert.Equal(t, 300*second, time.Since(start))
			assert.Empty(t, r.take(), "pings are no business of the handler")
			r.finish(p)
		})
	})
	t.Run("error is an answer", func(t *testing.T) {
		bubble(t, nil, func(r *rig) {
			p := r.connect()
			for range 3 {
				s := p.stanza().(*xmpp.IQ)
				p.send(string(s.ErrorReply(xmpp.StanzaError{Condition: xmpp.ConditionServiceUnavailable}).Append(nil)))
			}
			assert.Empty(t, r.take())
			r.finish(p)
		})
	})
	t.Run("sent back", func(t *testing.T) { // a server that routes the ping to the component it is for
		bubble(t, nil, func(r *rig) {
			p := r.connect()
			for range 3 {
				p.send(string(p.stanza().Append(nil)))
			}
			assert.Empty(t, r.take())
			r.finish(p)
		})
	})
	t.Run("silence", func(t *testing.T) {
		bubble(t, nil, func(r *rig) {
			p := r.connect()
			start := time.Now()
			_, ok := p.stanza().(*xmpp.IQ)
			assert.True(t, ok)
			err := p.ended()
			var se *StreamError
			require.ErrorAs(t, err, &se)
			assert.Equal(t, "connection-timeout", se.Condition)
			assert.Equal(t, 50*second, time.Since(start))
			assert.Contains(t, r.lost(), "component: server is silent for 50s")
			p.close()
			r.finish(r.connect())
		})
	})
	t.Run("past a long queue", func(t *testing.T) { // a slow server gets its ping before the queue is through
		bubble(t, func(c *Config) { c.Limits.Bytes = 50_000 }, func(r *rig) {
			p := r.connect()
			m := message("1")
			m.Bodies[0].Text = strings.Repeat("x", 40_000)
			for range 100 {
				require.NoError(t, r.c.Send(m, nil))
			}
			for range 10 {
				time.Sleep(10 * second)
				if iq, ok := p.stanza().(*xmpp.IQ); ok {
					p.send(string(iq.Result(nil).Append(nil)))
				}
			}
			assert.True(t, r.c.Up())
			r.stop()
			<-r.result
			p.close()
		})
	})
	t.Run("space", func(t *testing.T) { // the server talks, we do not
		bubble(t, nil, func(r *rig) {
			p := r.connect()
			buf := make([]byte, 100)
			start := time.Now()
			go func() {
				for range 70 {
					time.Sleep(second)
					_, _ = p.conn.Write([]byte("\n"))
				}
			}()
			for range 2 {
				n, err := p.conn.Read(buf)
				require.NoError(t, err)
				assert.Equal(t, " ", string(buf[:n]))
			}
			assert.Equal(t, 60*second, time.Since(start))
			time.Sleep(15 * second)
			r.finish(p)
		})
	})
	t.Run("off", func(t *testing.T) {
		bubble(t, func(c *Config) { c.PingInterval = -1 }, func(r *rig) {
			p := r.connect()
			time.Sleep(24 * time.Hour)
			r.finish(p)
		})
	})
}

func TestHintKnowsEveryReason(t *testing.T) {
	for _, err := range []error{
		ErrRefused, ErrTimeout, ErrTLS, ErrNotComponent, ErrHostUnknown, ErrNotAuthorized, ErrConflict, ErrServerClosed,
		ErrServerSilent, ErrServerStalled,
	} {
		assert.NotEmpty(t, Hint(fmt.Errorf("x: %w", err)), err)
	}
	assert.Empty(t, Hint(errors.New("x")))
	assert.Empty(t, Hint(nil))
}

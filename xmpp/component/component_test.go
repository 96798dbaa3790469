package component

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

func TestNewChecksConfig(t *testing.T) {
	good := Config{Address: "127.0.0.1:5347", Domain: testDomain, Secret: "x"}
	c, err := New(good, &recorder{})
	require.NoError(t, err)
	assert.Equal(t, xmpp.MustJID(testDomain), c.Domain())
	assert.False(t, c.Up())
	assert.NoError(t, c.LastError())
	for name, change := range map[string]func(*Config){
		"domain":    func(c *Config) { c.Domain = "mira@chat.example" },
		"no domain": func(c *Config) { c.Domain = "" },
		"secret":    func(c *Config) { c.Secret = "" },
		"address":   func(c *Config) { c.Address = "localhost" },
	} {
		bad := good
		change(&bad)
		_, err := New(bad, &recorder{})
		assert.Error(t, err, name)
	}
	_, err = New(good, nil)
	assert.Error(t, err)
}

func TestHandshakeDigest(t *testing.T) {
	assert.Equal(t, "b92c08ad28eee93610df99f2bfe1ecfcf5201903", handshakeDigest("c9f2-77", "s3kr1t"))
}

// The id is hashed as the value of the attribute, after unescaping.
func TestHandshakeEscapedID(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := <-r.dials
		p.header("a&lt;&#x62;")
		assert.Equal(t, handshakeDigest("a<b", testSecret), p.next().Text())
		p.send("<handshake/>")
		synctest.Wait()
		r.take()
		r.finish(p)
	})
}

func TestStanzasBothWays(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		var w results
		r.up = func() { assert.NoError(t, r.c.Send(message("0"), w.of("0"))) } // at the earliest possible time
		p := (<-r.dials).accept()
		p.expect(string(message("0").Append(nil)))
		synctest.Wait()
		assert.Equal(t, []string{"up"}, r.take())
		assert.Equal(t, []string{"0 <nil>"}, w.take())

		p.send("<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='1'><body>hi</body></message>" +
			"<presence from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example'/>" +
			"<iq from='mira@chat.harbor.example/desk' to='sip.harbor.example' id='2' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
		synctest.Wait()
		assert.Equal(t, []string{
			"<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='1'><body>hi</body></message>",
			"<presence from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example'/>",
			"<iq from='mira@chat.harbor.example/desk' to='sip.harbor.example' id='2' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
		}, r.take())

		for _, id := range []string{"1", "2", "3"} {
			require.NoError(t, r.c.Send(message(id), w.of(id)))
		}
		p.expect(string(message("1").Append(nil)))
		p.expect(string(message("2").Append(nil)))
		p.expect(string(message("3").Append(nil)))
		synctest.Wait()
		assert.Equal(t, []string{"1 <nil>", "2 <nil>", "3 <nil>"}, w.take())
		r.finish(p)
		assert.ErrorIs(t, r.c.Send(message("4"), w.of("4")), ErrLinkDown)
		assert.Empty(t, w.take())
	})
}

func TestSendRefuses(t *testing.T) {
	bubble(t, func(c *Config) { c.Limits.Bytes = 1000 }, func(r *rig) {
		never := func(error) { t.Error("written called") }
		assert.ErrorIs(t, r.c.Send(message("1"), never), ErrLinkDown)
		p := r.connect()
		foreign := message("1")
		foreign.From = mira
		assert.ErrorIs(t, r.c.Send(foreign, never), ErrAddress)
		nowhere := message("1")
		nowhere.To = xmpp.JID{}
		assert.ErrorIs(t, r.c.Send(nowhere, never), ErrAddress)
		large := message("1")
		large.Bodies[0].Text = strings.Repeat("x", 1000)
		assert.ErrorIs(t, r.c.Send(large, never), ErrTooLarge)
		r.finish(p)
	})
}

func TestQueueFull(t *testing.T) {
	size := len(message("1").Append(nil))
	for name, change := range map[string]func(*Config){
		"stanzas": func(c *Config) { c.QueueStanzas = 3 },
		"bytes":   func(c *Config) { c.QueueBytes = 3 * size },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, change, func(r *rig) {
				p := r.connect()
				var w results
				require.NoError(t, r.c.Send(message("1"), w.of("1")))
				synctest.Wait() // the writer hangs in its write, as the peer does not read
				require.NoError(t, r.c.Send(message("2"), w.of("2")))
				require.NoError(t, r.c.Send(message("3"), w.of("3")))
				assert.ErrorIs(t, r.c.Send(message("4"), w.of("4")), ErrQueueFull)
				for _, id := range []string{"1", "2", "3"} {
					assert.Equal(t, id, p.stanza().StanzaID())
				}
				synctest.Wait()
				assert.Equal(t, []string{"1 <nil>", "2 <nil>", "3 <nil>"}, w.take())
				require.NoError(t, r.c.Send(message("5"), w.of("5")), "there is room again")
				p.next()
				r.finish(p)
			})
		})
	}
}

// countingConn counts writes and their sizes.
type countingConn struct {
	net.Conn
	sizes chan int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.sizes <- len(p)
	return c.Conn.Write(p)
}

func TestWritesAreBatched(t *testing.T) {
	sizes := make(chan int, 1000)
	bubble(t, func(c *Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context) (net.Conn, error) {
			conn, err := dial(ctx)
			return &countingConn{conn, sizes}, err
		}
	}, func(r *rig) {
		p := r.connect()
		require.NoError(t, r.c.Send(message("0"), nil))
		synctest.Wait()
		for len(sizes) > 0 {
			<-sizes
		}
		n, total := 2000, 0
		for range n {
			require.NoError(t, r.c.Send(message("1"), nil))
			total += len(message("1").Append(nil))
		}
		for range n + 1 {
			p.next()
		}
		synctest.Wait()
		writes := 0
		for len(sizes) > 0 {
			size := <-sizes
			assert.LessOrEqual(t, size, maxWrite)
			writes++
		}
		assert.LessOrEqual(t, writes, total/(maxWrite-200)+1)
		r.finish(p)
	})
}

// Shutdown writes what is queued, refuses what is new, and still hands out what comes in.
func TestShutdown(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := r.connect()
		var w results
		for _, id := range []string{"1", "2", "3"} {
			require.NoError(t, r.c.Send(message(id), w.of(id)))
			synctest.Wait()
		}
		r.stop()
		synctest.Wait()
		assert.False(t, r.c.Up())
		assert.ErrorIs(t, r.c.Send(message("4"), w.of("4")), ErrLinkDown)
		for _, id := range []string{"1", "2", "3"} {
			assert.Equal(t, id, p.stanza().StanzaID())
		}
		assert.Equal(t, xmpp.ErrStreamClosed, p.ended())
		p.send("<presence from='mira@chat.harbor.example' to='sip.harbor.example'/>")
		p.send("</stream:stream>")
		assert.NoError(t, <-r.result)
		assert.Equal(t, []string{"<presence from='mira@chat.harbor.example' to='sip.harbor.example'/>", "down: <nil>"}, r.take())
		assert.Equal(t, []string{"1 <nil>", "2 <nil>", "3 <nil>"}, w.take())
		p.close()
	})
}

// A server that neither reads nor says goodbye does not hold up the shutdown.
func TestShutdownDeadline(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := r.connect()
		var w results
		require.NoError(t, r.c.Send(message("1"), w.of("1")))
		synctest.Wait()
		require.NoError(t, r.c.Send(message("2"), w.of("2")))
		start := time.Now()
		r.stop()
		assert.NoError(t, <-r.result)
		assert.LessOrEqual(t, time.Since(start), 6*second)
		assert.Equal(t, []string{"down: <nil>"}, r.take())
		list := w.take()
		require.Len(t, list, 2)
		assert.Contains(t, list[0], "1 component: link is down")
		assert.Contains(t, list[1], "2 component: link is down")
		p.close()
	})
}

func TestShutdownWhileConnecting(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		p := <-r.dials
		synctest.Wait()
		r.stop()
		assert.NoError(t, <-r.result)
		assert.Empty(t, r.take())
		p.close()
	})
	bubble(t, nil, func(r *rig) { // while it dials
		synctest.Wait()
		r.stop()
		assert.NoError(t, <-r.result)
	})
	bubble(t, nil, func(r *rig) { // while it waits for the next attempt
		p := <-r.dials
		p.close()
		synctest.Wait()
		r.stop()
		assert.NoError(t, <-r.result)
	})
}

// A server that stops reading is given up after the write timeout; everything queued is reported in order.
func TestStalledServer(t *testing.T) {
	bubble(t, func(c *Config) { c.PingInterval = time.Hour }, func(r *rig) {
		p := r.connect()
		var w results
		start := time.Now()
		require.NoError(t, r.c.Send(message("1"), w.of("1")))
		synctest.Wait()
		require.NoError(t, r.c.Send(message("2"), w.of("2")))
		require.NoError(t, r.c.Send(message("3"), w.of("3")))
		q := (<-r.dials).accept() // the next connection
		assert.GreaterOrEqual(t, time.Since(start), 20*second)
		assert.LessOrEqual(t, time.Since(start), 21*second)
		synctest.Wait()
		lines := r.take()
		require.Len(t, lines, 2)
		assert.Contains(t, lines[0], "down: component: server does not read")
		assert.Equal(t, "up", lines[1])
		list := w.take()
		require.Len(t, list, 3)
		for i, id := range []string{"1", "2", "3"} {
			assert.True(t, strings.HasPrefix(list[i], id+" component: link is down: component: server does not read"), list[i])
		}
		p.close()
		r.finish(q)
	})
}

// What the handler does in a slow call is no reason to give up the link.
func TestSlowHandler(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		r.handle = func(xmpp.Stanza) { time.Sleep(10 * time.Minute) }
		p := r.connect()
		// The server reads and answers pings, but what it writes has to wait. One goroutine writes: synctest
		// does not see that two wait for each other on a pipe.
		writes := make(chan string, 1000)
		go func() {
			for w := range writes {
				_, _ = p.conn.Write([]byte(w))
			}
		}()
		for _, id := range []string{"1", "2"} {
			writes <- "<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='" + id + "'/>"
		}
		go func() {
			defer close(writes)
			for {
				e, err := p.dec.Next()
				if err != nil {
					return
				}
				if iq, ok := must(xmpp.ParseStanza(e)).(*xmpp.IQ); ok && iq.IsRequest() {
					writes <- string(iq.Result(nil).Append(nil))
				}
			}
		}()
		time.Sleep(time.Hour)
		assert.Equal(t, []string{
			"<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='1'/>",
			"<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='2'/>",
		}, r.take())
		assert.True(t, r.c.Up())
		r.stop()
		<-r.result
		p.close()
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTap(t *testing.T) {
	var lines []string
	bubble(t, func(c *Config) {
		c.Limits.Depth = 3
		c.Tap = func(out bool, at time.Time, raw func() []byte, s xmpp.Stanza) {
			assert.False(t, at.IsZero())
			line := "in "
			if out {
				line = "out "
			}
			line += string(raw())
			if s == nil {
				line += " (nil)"
			}
			lines = append(lines, line)
		}
	}, func(r *rig) {
		p := r.connect()
		r.handle = func(s xmpp.Stanza) {
			assert.NoError(t, r.c.Send(message("1"), nil))
		}
		p.send("<message from='m@x' to='sip.harbor.example' ><y xmlns='u'/></message>")
		p.next()
		p.send("<presence from='m@x' to='sip.harbor.example'><priority>x</priority></presence>")
		p.next()
		p.send("<message><a><a><a/></a></a></message>")
		synctest.Wait()
		assert.Equal(t, []string{
			"in <message from='m@x' to='sip.harbor.example' ><y xmlns='u'/></message>",
			"out " + string(message("1").Append(nil)),
			"in <presence from='m@x' to='sip.harbor.example'><priority>x</priority></presence> (nil)",
			"out <presence from='sip.harbor.example' to='m@x' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
				"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>priority is no integer between -128 and 127</text></error></presence>",
			"in  (nil)",
		}, lines)
		r.take()
		r.finish(p)
	})
}

func TestStreamErrorMatches(t *testing.T) {
	for condition, want := range map[string]error{
		"host-unknown": ErrHostUnknown, "host-gone": ErrHostUnknown, "not-authorized": ErrNotAuthorized,
		"conflict": ErrConflict, "invalid-namespace": ErrNotComponent,
	} {
		err := error(&StreamError{Condition: condition, Text: "why"})
		for _, e := range []error{ErrHostUnknown, ErrNotAuthorized, ErrConflict, ErrNotComponent, ErrRefused} {
			assert.Equal(t, e == want, errors.Is(err, e), condition)
		}
		assert.EqualError(t, err, "component: stream error "+condition+": why")
	}
}

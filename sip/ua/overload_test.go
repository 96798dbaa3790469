package ua

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// scriptedWire is a connection that brings bytes as they are written here.
type scriptedWire struct {
	parts     [][]byte
	deadlines []time.Time
}

func (w *scriptedWire) framed() bool                { return false }
func (w *scriptedWire) write([]byte) error          { return nil }
func (w *scriptedWire) setReadDeadline(t time.Time) { w.deadlines = append(w.deadlines, t) }
func (w *scriptedWire) close()                      {}

func (w *scriptedWire) read([]byte) ([]byte, error) {
	if len(w.parts) == 0 {
		return nil, io.EOF
	}
	b := w.parts[0]
	w.parts = w.parts[1:]
	return b, nil
}

// A peer that never stops sending ends hardly any read between two messages. The time
// that a message may take is that of each message, not of all that follow it.
func TestPartialIsPerMessage(t *testing.T) {
	u := startUA(t, nil, handle(sip.MESSAGE, answerWith(200)))
	var all []byte
	for i := range 4 {
		m := raw("MESSAGE", "z9hG4bKp"+fmt.Sprint(i), "part"+fmt.Sprint(i), "SIP/2.0/TCP client.invalid", "body hi")
		all = append(all, m...)
	}
	size := len(all) / 4
	half := size / 2
	addr := netip.MustParseAddrPort("127.0.0.1:5099")
	deadlines := func(cuts ...int) []time.Time {
		w := &scriptedWire{}
		for i := 1; i < len(cuts); i++ {
			w.parts = append(w.parts, bytes.Clone(all[cuts[i-1]:cuts[i]]))
		}
		s, err := u.newStream(w, "tcp", "", false, addr, addr, nil)
		require.NoError(t, err)
		s.read()
		return w.deadlines
	}
	d := deadlines(0, half, size+half, 2*size+half, 3*size+half)
	require.Len(t, d, 5)
	for i := 2; i < len(d); i++ {
		require.True(t, d[i].After(d[i-1]), "read %d has no time of its own", i)
	}
	d = deadlines(0, half, half+1, half+2)
	require.Len(t, d, 4)
	require.Equal(t, d[1], d[2], "a byte now and then buys no time")
	require.Equal(t, d[1], d[3])
}

// A request whose handler had no turn in time is told to come back; one whose handler
// says nothing has failed.
func TestNoTurnInTime(t *testing.T) {
	for _, turn := range []bool{false, true} {
		t.Run(fmt.Sprint(turn), func(t *testing.T) {
			u := startUA(t, func(c *Config) { c.Timers.Answer = 50 * time.Millisecond })
			p := newUDPPeer(t)
			msg, err := sip.Parse(u.parser, raw("MESSAGE", "z9hG4bKlate", "late", viaUDP(p), "body hi"))
			require.NoError(t, err)
			req := msg.(*sip.Request)
			tx := &serverTx{u: u, key: serverKey(req, req.Method), path: path{sock: u.sockets[0], remote: p.addr()}, toTag: "x"}
			tx.owner = tx
			tx.in.received(u, tx.path, req, tx)
			u.pending.Add(1)
			if turn {
				require.True(t, tx.begin())
			}
			tx.expire()
			res := p.response()
			if turn {
				require.Equal(t, 500, res.StatusCode)
				return
			}
			require.Equal(t, 503, res.StatusCode)
			require.NotEmpty(t, sip.Value(res, "Retry-After"))
			require.False(t, tx.begin(), "the handler is spared")
		})
	}
}

package ua

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"nhooyr.io/websocket"

	"github.com/stoxgate/stoxgate/sip"
)

// webSocket is SIP over WebSocket (RFC 7118), server side only: a browser cannot
// be connected to.
type webSocket struct {
	conn *websocket.Conn
	ctx  context.Context
	stop context.CancelFunc

	mu       sync.Mutex
	deadline time.Time
}

// upgrade turns a HTTP request into a stream and runs it.
func (l *listener) upgrade(w http.ResponseWriter, r *http.Request) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, "no address", http.StatusBadRequest)
		return
	}
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	local := remote
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }); ok {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			local = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		}
	}
	var state *tls.ConnectionState
	if r.TLS != nil {
		state = r.TLS
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"sip"},
		// Pages of any origin may connect: what counts is the digest, not a cookie.
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		l.u.log.Debug().Err(err).Str("remote", r.RemoteAddr).Msg("websocket upgrade failed")
		return
	}
	if c.Subprotocol() != "sip" {
		// RFC 7118 §4.1: the client must name it.
		_ = c.Close(websocket.StatusPolicyViolation, "sub-protocol sip is required")
		return
	}
	c.SetReadLimit(sip.MaxMessage)
	if !l.u.enter() {
		_ = c.CloseNow()
		return
	}
	defer l.u.running.Done()
	ws := &webSocket{conn: c}
	ws.ctx, ws.stop = context.WithCancel(l.u.ctx)
	s, err := l.u.newStream(ws, l.transport, "", false, local, remote, state)
	if err == nil {
		s.read()
	}
}

func (w *webSocket) framed() bool { return true }

func (w *webSocket) setReadDeadline(t time.Time) {
	w.mu.Lock()
	w.deadline = t
	w.mu.Unlock()
}

// read takes one message. It ignores buf: messages are of any size up to the
// read limit, and a text or a binary one may be split over frames.
func (w *webSocket) read([]byte) ([]byte, error) {
	w.mu.Lock()
	deadline := w.deadline
	w.mu.Unlock()
	ctx := w.ctx
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	_, b, err := w.conn.Read(ctx)
	return b, err
}

func (w *webSocket) write(b []byte) error {
	ctx, cancel := context.WithTimeout(w.ctx, writeTimeout)
	defer cancel()
	return w.conn.Write(ctx, websocket.MessageText, b)
}

func (w *webSocket) close() {
	w.stop()
	_ = w.conn.CloseNow()
}

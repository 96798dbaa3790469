package ua

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/stoxgate/stoxgate/sip"
)

// webSocket is SIP over WebSocket (RFC 7118), server side only: a browser cannot
// be connected to. The framing is by the library that sipgo uses.
type webSocket struct {
	conn    net.Conn
	in      *wsutil.Reader
	control wsutil.FrameHandlerFunc

	mu  sync.Mutex // one frame at a time: pongs come from the reader
	buf []byte
}

var errNoSIP = ws.RejectConnectionError(ws.RejectionStatus(400), ws.RejectionReason("sub-protocol sip is required"))

// upgradeWebSocket answers the HTTP request of a client. Pages of any origin may
// connect: what counts is the digest, not a cookie.
func upgradeWebSocket(c net.Conn) (*webSocket, error) {
	agreed := false
	u := ws.Upgrader{
		Protocol: func(p []byte) bool {
			agreed = agreed || string(p) == "sip" // RFC 7118 §4.1
			return string(p) == "sip"
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if !agreed {
				return nil, errNoSIP
			}
			return nil, nil
		},
	}
	if _, err := u.Upgrade(c); err != nil {
		return nil, err
	}
	w := &webSocket{conn: c}
	w.control = wsutil.ControlFrameHandler(rawFrames{w}, ws.StateServerSide)
	w.in = &wsutil.Reader{
		Source: bufio.NewReaderSize(c, 4<<10), State: ws.StateServerSide, MaxFrameSize: sip.MaxMessage,
		OnIntermediate: w.control,
	}
	return w, nil
}

func (w *webSocket) framed() bool { return true }

// read takes one message, text or binary, of however many frames; control frames
// between them are answered.
func (w *webSocket) read(buf []byte) ([]byte, error) {
	for {
		h, err := w.in.NextFrame()
		if err != nil {
			return nil, err
		}
		if h.OpCode.IsControl() {
			if err := w.control(h, w.in); err != nil {
				return nil, closed(err)
			}
			continue
		}
		b := buf[:0]
		for {
			if len(b) == cap(b) {
				b = append(b, 0)[:len(b)]
			}
			n, err := w.in.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			switch {
			case err == io.EOF:
				return b, nil
			case err != nil:
				return nil, closed(err)
			case len(b) > sip.MaxMessage:
				return nil, errTooLarge
			}
		}
	}
}

// closed makes an orderly end of the peer an end of the stream.
func closed(err error) error {
	var c wsutil.ClosedError
	if errors.As(err, &c) {
		return io.EOF
	}
	return err
}

// write sends one message as one frame, a binary one when it is no UTF-8 (RFC 7118
// §5).
func (w *webSocket) write(b []byte) error {
	op := ws.OpText
	if !utf8.Valid(b) {
		op = ws.OpBinary
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = w.buf[:0]
	if err := ws.WriteHeader(frameBuffer{w}, ws.Header{Fin: true, OpCode: op, Length: int64(len(b))}); err != nil {
		return err
	}
	w.buf = append(w.buf, b...)
	return w.flush(w.buf)
}

// flush writes bytes of a frame; w.mu is held.
func (w *webSocket) flush(b []byte) error {
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(b)
	return err
}

// frameBuffer collects a frame, rawFrames writes whole frames to the connection.
type (
	frameBuffer struct{ *webSocket }
	rawFrames   struct{ *webSocket }
)

func (f frameBuffer) Write(b []byte) (int, error) {
	f.buf = append(f.buf, b...)
	return len(b), nil
}

func (f rawFrames) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(b), f.flush(b)
}

func (w *webSocket) setReadDeadline(t time.Time) { _ = w.conn.SetReadDeadline(t) }
func (w *webSocket) close()                      { _ = w.conn.Close() }

package siptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/net/websocket"
)

// maxMessage bounds one message on a stream; the tests of size limits send more
// than they read.
const maxMessage = 1 << 20

// link is where a message goes out: the UDP socket towards one address, or one
// connection.
type link interface {
	send(raw []byte) error
	remote() string
	transport() string // as in Via: UDP, TCP, TLS, WS, WSS
	close()
}

// datagramLink is the UDP socket towards one address.
type datagramLink struct {
	conn *net.UDPConn
	addr *net.UDPAddr
}

func (l *datagramLink) send(raw []byte) error {
	_, err := l.conn.WriteToUDP(raw, l.addr)
	return err
}
func (l *datagramLink) remote() string    { return l.addr.String() }
func (l *datagramLink) transport() string { return "UDP" }
func (l *datagramLink) close()            {}

// streamLink is one TCP or TLS connection.
type streamLink struct {
	conn net.Conn
	name string
	mu   sync.Mutex
	pong chan struct{} // one CRLF received (RFC 5626 §4.4.1)
}

func (l *streamLink) send(raw []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.conn.Write(raw)
	return err
}
func (l *streamLink) remote() string    { return l.conn.RemoteAddr().String() }
func (l *streamLink) transport() string { return l.name }
func (l *streamLink) close()            { _ = l.conn.Close() }

// socketLink is one WebSocket connection (RFC 7118): a message is a WebSocket message.
type socketLink struct {
	conn *websocket.Conn
	name string
	peer string
	mu   sync.Mutex
}

func (l *socketLink) send(raw []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if utf8.Valid(raw) {
		return websocket.Message.Send(l.conn, string(raw)) // text frame
	}
	return websocket.Message.Send(l.conn, raw) // binary frame
}
func (l *socketLink) remote() string    { return l.peer }
func (l *socketLink) transport() string { return l.name }
func (l *socketLink) close()            { _ = l.conn.Close() }

// dial opens a connection to the proxy.
func dial(transport, proxy string, conf *tls.Config) (link, error) {
	switch transport {
	case "tcp", "tls":
		var conn net.Conn
		var err error
		if transport == "tls" {
			conn, err = tls.Dial("tcp", proxy, conf)
		} else {
			conn, err = net.Dial("tcp", proxy)
		}
		if err != nil {
			return nil, fmt.Errorf("siptest: %w", err)
		}
		return newStreamLink(conn, transport), nil
	case "ws", "wss":
		wc, err := websocket.NewConfig(transport+"://"+proxy+"/", "http://siptest.invalid/")
		if err != nil {
			return nil, fmt.Errorf("siptest: %w", err)
		}
		wc.Protocol = []string{"sip"} // RFC 7118 §4.1
		wc.TlsConfig = conf
		conn, err := websocket.DialConfig(wc)
		if err != nil {
			return nil, fmt.Errorf("siptest: %w", err)
		}
		if got := conn.Config().Protocol; len(got) != 1 || got[0] != "sip" {
			_ = conn.Close()
			return nil, fmt.Errorf("siptest: websocket subprotocol is %q, not sip", got)
		}
		conn.MaxPayloadBytes = maxMessage
		return &socketLink{conn: conn, name: strings.ToUpper(transport), peer: proxy}, nil
	}
	return nil, fmt.Errorf("siptest: no connections over %q", transport)
}

func newStreamLink(conn net.Conn, transport string) *streamLink {
	return &streamLink{conn: conn, name: strings.ToUpper(transport), pong: make(chan struct{}, 8)}
}

// errFraming ends a connection: what follows cannot be told apart any more.
var errFraming = errors.New("siptest: stream cannot be cut into messages")

// readStream cuts a stream into messages by Content-Length (RFC 3261 §18.3).
// keepAlive is told of the empty lines between messages: true for a ping
// (CRLFCRLF), false for a pong.
func readStream(r io.Reader, message func(raw []byte), keepAlive func(ping bool)) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		b, err := br.Peek(2)
		if err != nil {
			return err
		}
		if b[0] == '\r' && b[1] == '\n' {
			_, _ = br.Discard(2)
			// A ping is two CRLF; they come in one write, so what is buffered tells.
			if br.Buffered() >= 2 {
				if b, _ = br.Peek(2); b[0] == '\r' && b[1] == '\n' {
					_, _ = br.Discard(2)
					keepAlive(true)
					continue
				}
			}
			keepAlive(false)
			continue
		}
		raw, err := readOne(br)
		if err != nil {
			return err
		}
		message(raw)
	}
}

func readOne(br *bufio.Reader) ([]byte, error) {
	var raw []byte
	length := 0
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				err = errFraming
			}
			return nil, err
		}
		raw = append(raw, line...)
		if len(raw) > maxMessage {
			return nil, errFraming
		}
		if len(line) == 2 && line[0] == '\r' {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			if n := string(bytes.TrimSpace(name)); strings.EqualFold(n, "Content-Length") || strings.EqualFold(n, "l") {
				length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
				if err != nil || length < 0 || length > maxMessage {
					return nil, errFraming
				}
			}
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(br, body); err != nil {
		return nil, err
	}
	return append(raw, body...), nil
}

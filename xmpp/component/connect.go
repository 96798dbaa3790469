package component

import (
	"context"
	"crypto/sha1" // #nosec: XEP-0114 has nothing else
	"crypto/tls"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"time"

	"gosrc.io/xmpp/stanza"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Probe connects, shakes hands and closes again. The error tells the cases of the Err values of this package
// apart; Hint explains it. Beware: ejabberd lets a second connection of the same domain in and deals stanzas out to
// both, so one that comes in during the probe of a running gateway is lost.
func Probe(ctx context.Context, cfg Config) error {
	c, err := New(cfg, discard{})
	if err != nil {
		return err
	}
	l, err := c.connect(ctx)
	if err != nil {
		return err
	}
	l.closeWithin(farewell)
	_ = l.send([]byte(stanza.StreamClose))
	for err == nil { // wait until the server has closed its side too, so that its log shows no broken connection
		_, err = l.dec.Next()
	}
	_ = l.conn.Close()
	return nil
}

type discard struct{}

func (discard) HandleStanza(xmpp.Stanza) {}
func (discard) LinkChanged(bool, error)  {}

// connect makes a link: connection, TLS, stream header, handshake (XEP-0114 §3), all within DialTimeout.
func (c *Component) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, connectError(err)
	}
	// A context can not interrupt reading, closing can.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	l := newLink(&c.cfg, conn, c.domain, c.ids.next()+".")
	err = l.handshake()
	if !stop() {
		err = errors.Join(ctx.Err(), err) // the latter is only that the connection was closed
	}
	if err != nil {
		_ = conn.Close()
		return nil, connectError(err)
	}
	return l, nil
}

func (c *Component) dial(ctx context.Context) (net.Conn, error) {
	dial := c.cfg.Dial
	if dial == nil {
		dial = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", c.cfg.Address)
		}
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Go sets TCP_NODELAY and keepalives itself. Unacknowledged data is what keepalives do not cover.
		if err := setUserTimeout(tcp, c.cfg.WriteTimeout); err != nil {
			c.cfg.Log.Debug().Err(err).Msg("component: TCP_USER_TIMEOUT not set")
		}
	}
	if c.cfg.TLS == nil {
		return conn, nil
	}
	t := tls.Client(conn, c.cfg.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

// handshake opens the stream and proves that we know the secret.
func (l *link) handshake() error {
	if err := l.send(l.header()); err != nil {
		return err
	}
	id, err := stanza.InitStream(l.dec.XML())
	switch {
	case l.dec.Header() == nil:
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotComponent, err)
	case l.dec.Namespace() != xmpp.NSComponentAccept:
		return fmt.Errorf("%w: stream of %q", ErrNotComponent, l.dec.Namespace())
	case id == "":
		// host-unknown may come in a stream without id.
		if e, err := l.dec.Next(); err == nil && e.Is(xmpp.NSStream, "error") {
			return parseStreamError(e)
		}
		return fmt.Errorf("%w: stream without id", ErrNotComponent)
	}
	shake, err := xml.Marshal(stanza.Handshake{Value: handshakeDigest(id, l.cfg.Secret)})
	if err != nil {
		return err
	}
	if err := l.send(shake); err != nil {
		return err
	}
	e, err := l.dec.Next()
	switch {
	case err != nil:
		return err
	case e.Is(xmpp.NSStream, "error"):
		return parseStreamError(e)
	case !e.Is(xmpp.NSComponentAccept, "handshake"):
		return fmt.Errorf("%w: <%s xmlns='%s'/> instead of the handshake", ErrNotComponent, e.Name.Local, e.Name.Space)
	}
	return nil
}

// header is the stream header; its to is the component's own name (XEP-0114 §3).
func (l *link) header() []byte {
	e := xmpp.NewElement("", "x").Set("to", l.domain.String()).String() // <x to='...'/>, for the escaping
	return []byte("<?xml version='1.0'?><stream:stream xmlns='" + xmpp.NSComponentAccept + "' xmlns:stream='" +
		xmpp.NSStream + "'" + e[len("<x"):len(e)-len("/>")] + ">")
}

// handshakeDigest is the content of <handshake/>: the stream id as the XML attribute's value and the secret, both
// as UTF-8, without anything between them (XEP-0114 §3, step 3).
func handshakeDigest(id, secret string) string {
	sum := sha1.Sum([]byte(id + secret)) // #nosec
	return hex.EncodeToString(sum[:])
}

// lastWords is what the server is told before the connection is closed because of err.
func lastWords(err error) string {
	condition := ""
	var se *StreamError
	switch {
	case errors.Is(err, xmpp.ErrStreamClosed), errors.As(err, &se):
		return stanza.StreamClose
	case errors.Is(err, xmpp.ErrNotWellFormed):
		condition = "not-well-formed"
	case errors.Is(err, xmpp.ErrRestrictedXML):
		condition = "restricted-xml"
	case errors.Is(err, ErrServerSilent):
		condition = "connection-timeout"
	default:
		return ""
	}
	return "<stream:error><" + condition + " xmlns='" + xmpp.NSStreamErrors + "'/></stream:error>" + stanza.StreamClose
}

// backoff is the time between attempts to connect.
type backoff struct{ d time.Duration }

const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 60 * time.Second
	// slowBackoff is the least wait after a refusal that will not go away by itself in an instant. It also keeps
	// two processes with the same domain from throwing each other out many times a second.
	slowBackoff = 5 * time.Second
	// stableLink is how long a link must have lasted for the next attempt to be the first of a new series.
	stableLink = 10 * time.Second
)

// next returns a wait between half of the current step and all of it; the steps double.
func (b *backoff) next(err error, random func(n int64) int64) time.Duration {
	b.d = min(max(2*b.d, firstBackoff), maxBackoff)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrHostUnknown) || errors.Is(err, ErrNotAuthorized) {
		b.d = max(b.d, slowBackoff)
	}
	return b.d/2 + time.Duration(random(int64(b.d/2)+1))
}

func (b *backoff) reset() { b.d = 0 }

package ua

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// listener is one listening address of a stream transport.
type listener struct {
	u         *UA
	transport string
	l         net.Listener
}

func (u *UA) listenStream(ctx context.Context, l Listen) (*listener, error) {
	addr, err := listenAddr(ctx, l)
	if err != nil {
		return nil, err
	}
	network := "tcp4"
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	tl, err := (&net.ListenConfig{}).Listen(ctx, network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTransport, l, err)
	}
	return &listener{u: u, transport: l.Transport, l: countingListener{tl, u.guard, l.Transport}}, nil
}

// countingListener counts the connections of each source and closes at once what
// is over the limits. A connection gives its count back when it is closed.
type countingListener struct {
	net.Listener
	guard     *guard
	transport string
}

func (l countingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := addrPort(c.RemoteAddr()).Addr()
		if l.guard.connect(source, l.transport) {
			return &countedConn{Conn: c, release: func() { l.guard.disconnect(source) }}, nil
		}
		_ = c.Close()
	}
}

type countedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// serve accepts connections until the listener is closed.
func (l *listener) serve() {
	for {
		c, err := l.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely: it passes.
			l.u.log.Warn().Err(err).Str("local", l.l.Addr().String()).Msg("accept failed")
			select {
			case <-l.u.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !l.u.spawn(func() { l.accepted(c) }) {
			_ = c.Close()
		}
	}
}

// accepted runs one connection. Its handshakes must be done in the time for
// something partial.
func (l *listener) accepted(c net.Conn) {
	w, state, err := l.handshake(c)
	if err != nil {
		l.u.log.Debug().Err(err).Str("transport", l.transport).Str("remote", c.RemoteAddr().String()).Msg("handshake failed")
		_ = c.Close()
		return
	}
	s, err := l.u.newStream(w, l.transport, "", false, addrPort(c.LocalAddr()), addrPort(c.RemoteAddr()), state)
	if err == nil {
		s.read()
	}
}

func (l *listener) handshake(c net.Conn) (w wire, state *tls.ConnectionState, err error) {
	ctx, cancel := l.u.partialContext()
	defer cancel()
	if l.transport == "tls" || l.transport == "wss" {
		tc := tls.Server(c, l.u.serverTLS())
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, nil, err
		}
		st := tc.ConnectionState()
		c, state = tc, &st
	}
	if l.transport != "ws" && l.transport != "wss" {
		return connWire{c}, state, nil
	}
	// The library knows no context: when it ends, so does the connection.
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	ws, err := upgradeWebSocket(c)
	if err != nil {
		return nil, nil, err
	}
	return ws, state, nil
}

func (u *UA) partialContext() (context.Context, context.CancelFunc) {
	if d := u.cfg.Limits.Partial; d > 0 {
		return context.WithTimeout(u.ctx, d)
	}
	return context.WithCancel(u.ctx)
}

// serverTLS is the configuration of our listeners. Which certificates of a client
// are good enough is for Authenticator.Trusted to say, so one that was sent and
// does not verify ends the handshake only when the configuration asks for it.
func (u *UA) serverTLS() *tls.Config {
	c := u.cfg.TLS.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if c.ClientAuth == tls.NoClientCert && c.ClientCAs != nil {
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return c
}

package ua

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
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

// serve accepts connections until the listener is closed. A WebSocket starts as
// HTTP, so those are accepted by an http.Server.
func (l *listener) serve() {
	if l.transport == "ws" || l.transport == "wss" {
		l.serveWebSocket()
		return
	}
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

// accepted runs one connection.
func (l *listener) accepted(c net.Conn) {
	remote := addrPort(c.RemoteAddr())
	var state *tls.ConnectionState
	if l.transport == "tls" {
		tc := tls.Server(c, l.u.serverTLS())
		ctx, cancel := l.u.partialContext()
		err := tc.HandshakeContext(ctx)
		cancel()
		if err != nil {
			l.u.log.Debug().Err(err).Str("remote", remote.String()).Msg("tls handshake failed")
			_ = c.Close()
			return
		}
		st := tc.ConnectionState()
		c, state = tc, &st
	}
	s, err := l.u.newStream(connWire{c}, l.transport, "", false, addrPort(c.LocalAddr()), remote, state)
	if err == nil {
		s.read()
	}
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

func (l *listener) serveWebSocket() {
	srv := &http.Server{
		Handler:        http.HandlerFunc(l.upgrade),
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       stdlog.New(debugWriter{l.u.log}, "", 0),
	}
	if d := l.u.cfg.Limits.Partial; d > 0 {
		srv.ReadHeaderTimeout, srv.IdleTimeout = d, d
	}
	base := l.l
	if l.transport == "wss" {
		c := l.u.serverTLS()
		c.NextProtos = []string{"http/1.1"} // WebSocket upgrade does not exist in HTTP/2
		base = tls.NewListener(l.l, c)
	}
	_ = srv.Serve(base) // ends when the listener is closed
	_ = srv.Close()     // connections that have not become a WebSocket
}

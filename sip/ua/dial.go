package ua

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// dialTimeout bounds TCP connect and TLS handshake together.
const dialTimeout = 5 * time.Second

// dialing is a connection attempt that several requests wait for.
type dialing struct {
	done   chan struct{}
	stream *stream
	err    error
}

// connect gives the connection to d, an open one if there is any; fresh tells
// that it was made now.
func (u *UA) connect(ctx context.Context, d Dest) (s *stream, fresh bool, err error) {
	k := d.streamKey()
	t := u.streams
	t.mu.Lock()
	if s := t.peers[k]; s != nil && s.alive() {
		t.mu.Unlock()
		return s, false, nil
	}
	if t.closed {
		t.mu.Unlock()
		return nil, false, fmt.Errorf("%w: %w", ErrTransport, ErrClosed)
	}
	try := t.dialing[k]
	if try == nil {
		try = &dialing{done: make(chan struct{})}
		t.dialing[k] = try
		u.spawn(func() { u.dial(k, try) })
	}
	t.mu.Unlock()
	select {
	case <-try.done:
		return try.stream, true, try.err
	case <-ctx.Done():
		return nil, false, ended(ctx)
	}
}

// connectSoon is connect for one who has another address to try: after 2*T1 it does not wait
// any more (RFC 8305 §5 would try both). The attempt goes on for those who come later.
func (u *UA) connectSoon(ctx context.Context, d Dest, another bool) (s *stream, fresh bool, err error) {
	if another {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*u.cfg.Timers.T1)
		defer cancel()
	}
	return u.connect(ctx, d)
}

// streamKey names the connection to d: over TLS it is one for each domain, for the
// certificate was checked for that one only.
func (d Dest) streamKey() streamKey {
	k := streamKey{transport: d.Transport, remote: d.Addr}
	if d.Transport == "tls" {
		k.domain = strings.ToLower(d.Name)
	}
	return k
}

// open is the living connection to d, nil without one.
func (t *streamTable) open(d Dest) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.peers[d.streamKey()]; s != nil && s.alive() {
		return s
	}
	return nil
}

// dial makes the connection for everybody who waits; it does not end with the
// request that started it.
func (u *UA) dial(k streamKey, try *dialing) {
	ctx, cancel := context.WithTimeout(u.ctx, dialTimeout)
	defer cancel()
	s, err := u.dialStream(ctx, k)
	if err != nil {
		err = fmt.Errorf("%w: connect %s to %s: %w", ErrTransport, k.transport, k.remote, err)
	}
	u.streams.mu.Lock()
	delete(u.streams.dialing, k)
	u.streams.mu.Unlock()
	try.stream, try.err = s, err
	close(try.done)
	if s != nil {
		s.read()
	}
}

func (u *UA) dialStream(ctx context.Context, k streamKey) (*stream, error) {
	if n := u.cfg.Limits.Conns; n > 0 && u.streams.count() >= n {
		return nil, errors.New("too many connections")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", k.remote.String())
	if err != nil {
		return nil, err
	}
	var state *tls.ConnectionState
	if k.transport == "tls" {
		tc := tls.Client(c, u.clientTLS(k.domain))
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		st := tc.ConnectionState()
		c, state = tc, &st
	}
	return u.newStream(connWire{c}, k.transport, k.domain, true, addrPort(c.LocalAddr()), k.remote, state)
}

// clientTLS is the configuration to connect to a domain: the certificate must be
// valid for the domain of the URI, whatever host a SRV record named.
func (u *UA) clientTLS(domain string) *tls.Config {
	c := &tls.Config{}
	if u.cfg.TLS != nil {
		c = u.cfg.TLS.Clone()
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.ServerName = domain
	roots, skip := c.RootCAs, c.InsecureSkipVerify
	// Go's own check knows no sip: identities, so it is replaced, not dropped.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(st tls.ConnectionState) error {
		if skip {
			return nil
		}
		return verifyPeer(st, domain, roots)
	}
	return c
}

// verifyPeer checks the chain and the identity (RFC 5922 §7.1): a subjectAltName
// URI sip:domain, or else a DNS name (or address) that fits the domain. Wildcards
// are taken although §7.2 forbids them, because providers live on them.
func verifyPeer(st tls.ConnectionState, domain string, roots *x509.CertPool) error {
	if len(st.PeerCertificates) == 0 {
		return errors.New("peer sent no certificate")
	}
	leaf := st.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range st.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return err
	}
	sipIdentity := false
	for _, id := range leaf.URIs {
		if id.Scheme == "sip" {
			sipIdentity = true
			if strings.EqualFold(id.Opaque, domain) {
				return nil
			}
		}
	}
	if sipIdentity {
		return fmt.Errorf("certificate is for other SIP domains than %s", domain)
	}
	return leaf.VerifyHostname(strings.Trim(domain, "[]"))
}

// refused tells the errors after which RFC 3261 §18.1.1 lets a long request fall
// back to UDP: nobody listens on TCP there.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	case *net.UDPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

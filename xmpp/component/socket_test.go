package component

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

// These tests use real sockets; their waits are for conditions.

// listen returns a listener on loopback that the test closes.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// serve hands every connection to f on its own goroutine and waits for all of them at the end of the test.
func serve(t testing.TB, ln net.Listener, f func(p *peer)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f(newPeer(t, conn))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
}

// polite accepts the component and waits until it says goodbye.
func polite(p *peer) {
	p.accept()
	_ = p.ended()
	_, _ = p.conn.Write([]byte("</stream:stream>"))
}

func start(t testing.TB, cfg Config, h Handler) (c *Component, stop func()) {
	t.Helper()
	cfg.Domain, cfg.Secret = testDomain, testSecret
	c, err := New(cfg, h)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- c.Run(ctx) }()
	return c, func() {
		cancel()
		assert.NoError(t, <-result)
	}
}

func TestProbe(t *testing.T) {
	ctx := context.Background()
	cfg := Config{Domain: testDomain, Secret: testSecret, DialTimeout: 5 * time.Second}
	t.Run("good", func(t *testing.T) {
		ln := listen(t)
		serve(t, ln, polite)
		cfg.Address = ln.Addr().String()
		assert.NoError(t, Probe(ctx, cfg))
	})
	t.Run("refused", func(t *testing.T) {
		ln := listen(t)
		cfg.Address = ln.Addr().String()
		_ = ln.Close()
		err := Probe(ctx, cfg)
		assert.ErrorIs(t, err, ErrRefused)
		assert.Contains(t, Hint(err), "component")
	})
	for condition, want := range map[string]error{"not-authorized": ErrNotAuthorized, "host-unknown": ErrHostUnknown, "conflict": ErrConflict} {
		t.Run(condition, func(t *testing.T) {
			ln := listen(t)
			serve(t, ln, func(p *peer) {
				p.header("1")
				p.next()
				p.send("<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
			})
			cfg.Address = ln.Addr().String()
			err := Probe(ctx, cfg)
			assert.ErrorIs(t, err, want)
			assert.NotEmpty(t, Hint(err))
		})
	}
	t.Run("silent", func(t *testing.T) {
		ln := listen(t) // the kernel accepts, nobody answers
		short := cfg
		short.Address, short.DialTimeout = ln.Addr().String(), 50*time.Millisecond
		assert.ErrorIs(t, Probe(ctx, short), ErrTimeout)
	})
	t.Run("TLS to plain TCP", func(t *testing.T) {
		ln := listen(t)
		serve(t, ln, func(p *peer) { p.send("HTTP/1.1 400 Bad Request\r\n\r\n") })
		secure := cfg
		secure.Address, secure.TLS = ln.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS12}
		assert.ErrorIs(t, Probe(ctx, secure), ErrTLS)
	})
	t.Run("no such host", func(t *testing.T) {
		nowhere := cfg
		nowhere.Dial = func(context.Context) (net.Conn, error) { return nil, &net.DNSError{Err: "no such host", Name: "x"} }
		err := Probe(ctx, nowhere)
		assert.Error(t, err)
		assert.Contains(t, Hint(err), "resolved")
	})
	t.Run("bad config", func(t *testing.T) { assert.Error(t, Probe(ctx, Config{})) })
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)

	ln := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12})
	serve(t, ln, func(p *peer) {
		if p.conn.(*tls.Conn).Handshake() == nil {
			polite(p)
		}
	})
	cfg := Config{Address: ln.Addr().String(), Domain: testDomain, Secret: testSecret}
	cfg.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12} // the name comes from Address
	assert.NoError(t, Probe(context.Background(), cfg))
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	assert.ErrorIs(t, Probe(context.Background(), cfg), ErrTLS)
	cfg.TLS = &tls.Config{RootCAs: pool, ServerName: "other.example", MinVersion: tls.VersionTLS12}
	assert.ErrorIs(t, Probe(context.Background(), cfg), ErrTLS)
}

// The component finds a server that starts later, and comes back after the connection is cut off hard.
func TestReconnectsOverTCP(t *testing.T) {
	ln := listen(t)
	addr := ln.Addr().String()
	_ = ln.Close()
	h := &recorder{}
	c, stop := start(t, Config{Address: addr}, h)
	assert.Eventually(t, func() bool { return errors.Is(c.LastError(), ErrRefused) }, 5*time.Second, time.Millisecond)
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	var n atomic.Int32
	serve(t, ln, func(p *peer) {
		p.accept()
		if n.Add(1) == 1 {
			_ = p.conn.(*net.TCPConn).SetLinger(0) // a reset
			return
		}
		_ = p.ended()
		_, _ = p.conn.Write([]byte("</stream:stream>"))
	})
	assert.Eventually(t, func() bool { return n.Load() == 2 && c.Up() }, 10*time.Second, time.Millisecond)
	stop()
	lines := h.take()
	require.Len(t, lines, 4)
	assert.Equal(t, "up", lines[0])
	assert.True(t, strings.HasPrefix(lines[1], "down: component: read"), lines[1])
	assert.Equal(t, []string{"up", "down: <nil>"}, lines[2:])
}

// A server that stops reading: first the buffers of the sockets fill, then the queue, then the deadline passes.
func TestStallOverTCP(t *testing.T) {
	ln := listen(t)
	release := make(chan struct{})
	serve(t, ln, func(p *peer) {
		p.accept()
		<-release
	})
	h := &recorder{}
	c, stop := start(t, Config{Address: ln.Addr().String(), WriteTimeout: 500 * time.Millisecond, QueueStanzas: 20}, h)
	require.Eventually(t, c.Up, 5*time.Second, time.Millisecond)
	m := message("1")
	m.Bodies[0].Text = strings.Repeat("x", 50_000)
	var sent, written, failed atomic.Int32
	require.Eventually(t, func() bool {
		for {
			err := c.Send(m, func(err error) {
				if err == nil {
					written.Add(1)
				} else {
					failed.Add(1)
				}
			})
			if err != nil {
				return errors.Is(err, ErrLinkDown)
			}
			sent.Add(1)
		}
	}, 10*time.Second, time.Millisecond)
	assert.Eventually(t, func() bool { return written.Load()+failed.Load() == sent.Load() }, 5*time.Second, time.Millisecond)
	assert.Positive(t, failed.Load())
	close(release)
	stop()
	assert.Contains(t, strings.Join(h.take(), "\n"), "down: component: server does not read")
}

// Many senders over a real socket: everything arrives, in order for each of them, and each is told.
func TestManySenders(t *testing.T) {
	ln := listen(t)
	const senders, each = 8, 500
	got := make(chan *xmpp.Message, senders*each)
	serve(t, ln, func(p *peer) {
		p.accept()
		for range senders * each {
			got <- p.stanza().(*xmpp.Message)
		}
		_ = p.ended()
		_, _ = p.conn.Write([]byte("</stream:stream>"))
	})
	c, stop := start(t, Config{Address: ln.Addr().String(), QueueStanzas: senders * each}, &recorder{})
	require.Eventually(t, c.Up, 5*time.Second, time.Millisecond)
	var written atomic.Int32
	for s := range senders {
		go func() {
			for i := range each {
				m := message(string(rune('a' + s)))
				m.Bodies[0].Text = time.Duration(i).String()
				assert.NoError(t, c.Send(m, func(err error) {
					assert.NoError(t, err)
					written.Add(1)
				}))
			}
		}()
	}
	next := map[string]int{}
	for range senders * each {
		m := <-got
		assert.Equal(t, time.Duration(next[m.ID]).String(), m.Body())
		next[m.ID]++
	}
	assert.Eventually(t, func() bool { return written.Load() == senders*each }, 5*time.Second, time.Millisecond)
	stop()
}

package xmpptest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// ClientConfig is what a Client connects with.
type ClientConfig struct {
	// Address is host:port of the server; there is no DNS lookup of services.
	Address string
	// JID is the account. Its resource is asked for; without one the server picks.
	JID xmpp.JID
	// Password of the account.
	Password string
	// Mechanism is MechanismSCRAM or MechanismPlain; the first of these that the
	// server offers when empty.
	Mechanism string
	// TLS, if set, makes the client insist on STARTTLS with this configuration.
	TLS *tls.Config
	// Presence is sent after binding; available with caps when nil.
	Presence *xmpp.Presence
	// NoPresence leaves the initial presence out.
	NoPresence bool
	// Auto is what the client answers by itself.
	Auto Auto
	// Timeout is how long helpers with a TB wait; DefaultTimeout when 0.
	Timeout time.Duration
}

// Client is a connected client (RFC 6120, RFC 6121): no roster, no carbons, no
// stream management, no session element.
type Client struct {
	*Endpoint
	conn net.Conn
	in   *wireReader
	done chan struct{} // closed when the reader has ended

	mu sync.Mutex // serialises writes
}

// Dial is Connect for tests: it ends the test on failure and closes the client
// when the test ends.
func Dial(tb TB, cfg ClientConfig) *Client {
	tb.Helper()
	timeout := cfg.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := Connect(ctx, cfg)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Connect connects, authenticates, binds a resource and sends the initial
// presence. ctx bounds that, not the life of the client.
func Connect(ctx context.Context, cfg ClientConfig) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("xmpptest: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	c := &Client{conn: conn, done: make(chan struct{})}
	jid, err := c.negotiate(ctx, cfg)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, ErrAuth) {
			err = cause
		}
		return nil, fmt.Errorf("xmpptest: client %s: %w", cfg.JID, err)
	}
	c.Endpoint = newEndpoint(jid, cfg.Timeout, cfg.Auto, func(s xmpp.Stanza) error { return c.write(s.Append(nil)) },
		func(raw string) error { return c.write([]byte(raw)) })
	go c.read()
	if !cfg.NoPresence {
		p := cfg.Presence
		if p == nil {
			p = &xmpp.Presence{}
			if !cfg.Auto.Off {
				p.Extensions = []*xmpp.Element{cfg.Auto.caps().Element()}
			}
		}
		if err := c.Send(p); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// negotiate brings the stream up to the bound resource, whose JID it returns.
func (c *Client) negotiate(ctx context.Context, cfg ClientConfig) (xmpp.JID, error) {
	c.in = newWireReader(c.conn, DefaultMaxStanza)
	features, err := c.open(cfg.JID.Domain())
	if err != nil {
		return xmpp.JID{}, err
	}
	if cfg.TLS != nil {
		if err := c.startTLS(ctx, features, cfg); err != nil {
			return xmpp.JID{}, err
		}
		if features, err = c.open(cfg.JID.Domain()); err != nil {
			return xmpp.JID{}, err
		}
	}
	if err := c.authenticate(features, cfg); err != nil {
		return xmpp.JID{}, err
	}
	if _, err = c.open(cfg.JID.Domain()); err != nil {
		return xmpp.JID{}, err
	}
	return c.bind(cfg.JID.Resource())
}

// open starts or restarts the stream and returns the stream features.
func (c *Client) open(domain string) (*xmpp.Element, error) {
	to := string(xmpp.NewElement("", "x").Set("to", domain).Append(nil, ""))
	to = to[len("<x") : len(to)-len("/>")]
	if err := c.write([]byte("<?xml version='1.0'?><stream:stream xmlns='" + xmpp.NSClient + "' xmlns:stream='" +
		xmpp.NSStream + "' version='1.0'" + to + ">")); err != nil {
		return nil, err
	}
	header, err := c.in.open()
	if err != nil {
		return nil, err
	}
	if !header.Is(xmpp.NSStream, "stream") || c.in.defaultSpace() != xmpp.NSClient {
		return nil, fmt.Errorf("not a client stream: %s", header)
	}
	return c.expect(xmpp.NSStream, "features")
}

// expect reads one element of this name; a stream error becomes the error.
func (c *Client) expect(space, local string) (*xmpp.Element, error) {
	e, err := c.in.next()
	switch {
	case err != nil:
		return nil, err
	case e.Is(space, local):
		return e, nil
	case e.Is(xmpp.NSStream, "error"):
		return nil, parseStreamError(e)
	}
	return nil, fmt.Errorf("expected <%s xmlns='%s'/>, got %s", local, space, e)
}

func (c *Client) startTLS(ctx context.Context, features *xmpp.Element, cfg ClientConfig) error {
	if features.Child(xmpp.NSTLS, "starttls") == nil {
		return errors.New("server does not offer STARTTLS")
	}
	if err := c.write([]byte("<starttls xmlns='" + xmpp.NSTLS + "'/>")); err != nil {
		return err
	}
	if _, err := c.expect(xmpp.NSTLS, "proceed"); err != nil {
		return err
	}
	conf := cfg.TLS.Clone()
	if conf.ServerName == "" {
		conf.ServerName = cfg.JID.Domain()
	}
	secure := tls.Client(c.conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	// What was buffered in clear is dropped with the reader: it could have been
	// put there by somebody else.
	c.conn, c.in = secure, newWireReader(secure, DefaultMaxStanza)
	return nil
}

func (c *Client) authenticate(features *xmpp.Element, cfg ClientConfig) error {
	var offered []string
	for m := range features.Child(xmpp.NSSASL, "mechanisms").Elements() {
		offered = append(offered, m.Text())
	}
	name := cfg.Mechanism
	for _, m := range [...]string{MechanismSCRAM, MechanismPlain} {
		if name == "" && slices.Contains(offered, m) {
			name = m
		}
	}
	if !slices.Contains(offered, name) {
		return fmt.Errorf("%w: server offers %q", ErrAuth, offered)
	}
	var mech mechanism = plain{cfg.JID.Local(), cfg.Password}
	if name == MechanismSCRAM {
		mech = newScram(cfg.JID.Local(), cfg.Password)
	}
	auth := xmpp.NewElement(xmpp.NSSASL, "auth").Set("mechanism", name).AddText(base64.StdEncoding.EncodeToString(mech.first()))
	for {
		if err := c.write(auth.Append(nil, xmpp.NSClient)); err != nil {
			return err
		}
		e, err := c.in.next()
		if err != nil {
			return err
		}
		data, err := base64.StdEncoding.DecodeString(e.Text())
		switch {
		case e.Is(xmpp.NSSASL, "success") && err == nil:
			return mech.verify(data)
		case e.Is(xmpp.NSSASL, "challenge") && err == nil:
			answer, err := mech.next(data)
			if err != nil {
				return err
			}
			auth = xmpp.NewElement(xmpp.NSSASL, "response").AddText(base64.StdEncoding.EncodeToString(answer))
		default:
			return fmt.Errorf("%w: %s", ErrAuth, e)
		}
	}
}

func (c *Client) bind(resource string) (xmpp.JID, error) {
	bind := xmpp.NewElement(xmpp.NSBind, "bind")
	if resource != "" {
		bind.Add(xmpp.NewElement(xmpp.NSBind, "resource").AddText(resource))
	}
	if err := c.write((&xmpp.IQ{ID: "bind", Type: xmpp.IQSet, Payload: bind}).Append(nil)); err != nil {
		return xmpp.JID{}, err
	}
	e, err := c.expect(xmpp.NSClient, "iq")
	if err != nil {
		return xmpp.JID{}, err
	}
	bound := e.Child(xmpp.NSBind, "bind").Child(xmpp.NSBind, "jid")
	if e.Attribute("type") != string(xmpp.IQResult) || bound == nil {
		return xmpp.JID{}, fmt.Errorf("resource not bound: %s", e)
	}
	return xmpp.ParseJID(bound.Text())
}

// read delivers until the stream ends.
func (c *Client) read() {
	defer close(c.done)
	for {
		e, err := c.in.next()
		if err == nil && e.Is(xmpp.NSStream, "error") {
			err = parseStreamError(e)
		}
		if err != nil {
			c.end(fmt.Errorf("%w: %w", ErrClosed, err))
			_ = c.conn.Close()
			return
		}
		if st, err := xmpp.ParseStanza(e); err == nil {
			c.deliver(st)
		}
	}
}

func (c *Client) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.conn.Write(b); err != nil {
		return fmt.Errorf("xmpptest: client: %w", err)
	}
	return nil
}

// Close ends the stream, waits a moment for the server to do so too, and closes
// the connection.
func (c *Client) Close() error {
	_ = c.conn.SetDeadline(time.Now().Add(endTimeout))
	err := c.write([]byte("</stream:stream>"))
	<-c.done
	if errors.Is(err, net.ErrClosed) {
		return nil // ended before, by the server
	}
	return err
}

// Kill breaks the connection without a word, as a client does that loses its
// network.
func (c *Client) Kill() {
	_ = c.conn.Close()
	<-c.done
}

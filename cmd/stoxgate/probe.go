package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
	"github.com/stoxgate/stoxgate/xmpp/component"
)

// probe tries what a configuration names.
type probe struct {
	cfg     *config.Config
	report  *checkReport
	timeout time.Duration
}

func (c probe) all(ctx context.Context) {
	switch report, err := c.running(ctx); {
	case err != nil: // a probe could throw a running gateway off the server
		c.report.fail("console", fmt.Sprintf("something answers at %s: %v; XMPP and SIP ports are not probed", c.cfg.HTTP.Listen, err),
			"if it is a gateway with another token, check with its configuration; else take another port")
	case report != nil:
		c.daemon(*report)
	default:
		c.xmpp(ctx)
		c.listeners(ctx)
		c.media()
		c.console(ctx)
	}
	c.certificate()
	c.state(ctx)
	c.trunks(ctx)
}

// daemon shows what the running gateway says of itself.
func (c probe) daemon(report console.Report) {
	r := c.report
	r.ok("gateway", fmt.Sprintf("%s runs since %s; what it uses is not probed", report.Version, report.Started.Local().Format(time.DateTime)))
	if report.XMPP.Up {
		r.ok("XMPP", "connected to "+report.XMPP.Server+" as "+report.XMPP.Domain)
	} else {
		r.fail("XMPP", "the gateway has no connection to "+report.XMPP.Server+" "+report.XMPP.Error, "see its log")
	}
	for _, l := range report.SIP {
		if l.Up {
			r.ok("SIP", l.URL+" is open")
		} else {
			r.fail("SIP", l.URL+" is not open "+l.Error, "see its log")
		}
	}
}

// xmpp makes a whole component handshake.
func (c probe) xmpp(ctx context.Context) {
	cfg, err := componentConfig(c.cfg)
	if err != nil {
		c.report.fail("XMPP", err.Error(), "")
		return
	}
	cfg.DialTimeout = c.timeout
	ctx, cancel := context.WithTimeout(ctx, 2*c.timeout)
	defer cancel()
	if err := component.Probe(ctx, cfg); err != nil {
		c.report.fail("XMPP", err.Error(), component.Hint(err))
		return
	}
	c.report.ok("XMPP", fmt.Sprintf("%s accepts %s", cfg.Address, cfg.Domain))
}

// componentConfig is the part of the configuration that the component
// connection needs.
func componentConfig(c *config.Config) (component.Config, error) {
	x := &c.XMPP
	out := component.Config{
		Address: x.Component.String(), Domain: string(x.Domain), Secret: string(x.Secret), Log: zerolog.Nop(),
		QueueStanzas: x.Queue, PingInterval: x.Ping.D(), PingTimeout: x.PingTimeout.D(),
	}
	out.Limits.Bytes = int(x.MaxStanza)
	if !x.TLS.Enabled {
		return out, nil
	}
	out.TLS = &tls.Config{ServerName: x.TLS.ServerName, MinVersion: tls.VersionTLS12}
	if out.TLS.ServerName == "" {
		out.TLS.ServerName = x.Component.Host
	}
	if x.TLS.CA != "" {
		pool, err := certificatePool(x.TLS.CA)
		if err != nil {
			return out, fmt.Errorf("xmpp.tls.ca: %w", err)
		}
		out.TLS.RootCAs = pool
	}
	return out, nil
}

func certificatePool(file config.Path) (*x509.CertPool, error) {
	data, err := os.ReadFile(string(file))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// listeners opens and closes every SIP listener.
func (c probe) listeners(ctx context.Context) {
	for _, l := range c.cfg.SIP.Listen {
		c.listener(ctx, "SIP", l.String(), l.Transport == "udp", net.JoinHostPort(l.Host, strconv.Itoa(l.Port)))
	}
}

func (c probe) console(ctx context.Context) {
	if !c.cfg.HTTP.Listen.Off() {
		c.listener(ctx, "console", "http://"+c.cfg.HTTP.Listen.String(), false, c.cfg.HTTP.Listen.String())
	}
}

func (c probe) listener(ctx context.Context, what, name string, udp bool, address string) {
	var open net.ListenConfig
	var err error
	if udp {
		var conn net.PacketConn
		if conn, err = open.ListenPacket(ctx, "udp", address); err == nil {
			err = conn.Close()
		}
	} else {
		var l net.Listener
		if l, err = open.Listen(ctx, "tcp", address); err == nil {
			err = l.Close()
		}
	}
	if err != nil {
		c.report.fail(what, name+" cannot be opened: "+lastError(err), listenHint(err, udp, address))
		return
	}
	c.report.ok(what, name+" is free")
}

// lastError is the innermost message: "address already in use".
func lastError(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err.Error()
}

func listenHint(err error, udp bool, address string) string {
	_, port, _ := net.SplitHostPort(address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		kind := "t"
		if udp {
			kind = "u"
		}
		return fmt.Sprintf("another program has the port; find it with: ss -ln%sp 'sport = :%s'", kind, port)
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need the capability CAP_NET_BIND_SERVICE or another port number"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address; 0.0.0.0 means all of its own"
	}
	return ""
}

// certificateWarning is how long before its end a certificate is worth a word.
const certificateWarning = 21 * 24 * time.Hour

func (c probe) certificate() {
	t := c.cfg.SIP.TLS
	if t.Cert == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
	if err != nil || pair.Leaf == nil {
		return // the configuration was checked: it cannot have changed by much
	}
	left := time.Until(pair.Leaf.NotAfter)
	what := fmt.Sprintf("certificate for %s, until %s", strings.Join(pair.Leaf.DNSNames, ", "), pair.Leaf.NotAfter.Format(time.DateOnly))
	if left > 0 && left < certificateWarning {
		c.report.warn(what+fmt.Sprintf(" (%d days left)", int(left.Hours()/24)), "renew it and restart")
	} else if left > 0 {
		c.report.ok("TLS", what)
	}
	for _, d := range c.cfg.SIP.Domains {
		if err := pair.Leaf.VerifyHostname(string(d)); err != nil {
			c.report.warn("the certificate is not for "+string(d), "phones that check it will refuse the connection")
		}
	}
}

// state tries to write into the folder, or to log in to the database.
func (c probe) state(ctx context.Context) {
	if c.cfg.State.URL != "" {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		conn, err := pgx.Connect(ctx, string(c.cfg.State.URL))
		if err != nil {
			c.report.fail("database", withoutSecret(err, string(c.cfg.State.URL)), "check state.url, and that the user may create tables")
			return
		}
		_ = conn.Close(ctx)
		c.report.ok("database", "PostgreSQL accepts the login")
		return
	}
	dir := existing(string(c.cfg.State.Dir))
	f, err := os.CreateTemp(dir, ".stoxgate-check-")
	if err != nil {
		c.report.fail("state", "cannot write to "+dir+": "+lastError(err), "make the folder and give it to the user that stoxgate runs as")
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	if dir != string(c.cfg.State.Dir) {
		c.report.ok("state", fmt.Sprintf("%s does not exist yet and can be made", c.cfg.State.Dir))
		return
	}
	c.report.ok("state", dir+" can be written")
}

// existing returns dir or the nearest folder above it that exists.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return dir
		}
		dir = parent
	}
}

// withoutSecret keeps a database URL out of an error message.
func withoutSecret(err error, url string) string {
	return strings.ReplaceAll(err.Error(), url, "state.url")
}

// trunks looks every trunk up and asks it for its options.
func (c probe) trunks(ctx context.Context) {
	if len(c.cfg.SIP.Trunks) == 0 {
		return
	}
	agent, err := c.agent(ctx)
	if err != nil {
		c.report.fail("trunks", err.Error(), "")
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		_ = agent.Shutdown(ctx) // nothing is under way
	}()
	resolver := ua.NewResolver(resolverConfig(c.cfg))
	for i := range c.cfg.SIP.Trunks {
		c.trunk(ctx, agent, resolver, &c.cfg.SIP.Trunks[i])
	}
}

func resolverConfig(c *config.Config) ua.ResolverConfig {
	var out ua.ResolverConfig
	for _, s := range c.SIP.DNS {
		out.Servers = append(out.Servers, s.String())
	}
	return out
}

// agent is a SIP user agent on ports of its own.
func (c probe) agent(ctx context.Context) (*ua.UA, error) {
	agent, err := ua.New(ua.Config{
		Listen:    []ua.Listen{{Transport: "udp", Host: "0.0.0.0"}, {Transport: "tcp", Host: "0.0.0.0"}},
		UserAgent: "stoxgate-check", Resolver: ua.NewResolver(resolverConfig(c.cfg)), Log: zerolog.Nop(),
	})
	if err != nil {
		return nil, err
	}
	return agent, agent.Start(ctx)
}

func (c probe) trunk(ctx context.Context, agent *ua.UA, resolver *ua.Resolver, t *config.Trunk) {
	what := "trunk " + t.Name
	ctx, cancel := context.WithTimeout(ctx, 2*c.timeout)
	defer cancel()
	found, err := resolver.Resolve(ctx, t.URI.URI, ua.Transports{UDP: true, UDP4: true, UDP6: true, TCP: true, TLS: true})
	if err != nil {
		c.report.fail(what, "no address for "+t.URI.Host+": "+err.Error(), "check the name, and the DNS servers of this machine or sip.dns")
		return
	}
	names := make([]string, len(found))
	for i, d := range found {
		names[i] = d.String()
	}
	c.report.ok(what, t.URI.Host+" is "+strings.Join(names, ", "))
	c.options(ctx, agent, t, what)
}

func (c probe) options(ctx context.Context, agent *ua.UA, t *config.Trunk, what string) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req := sip.NewRequest("OPTIONS", t.URI.URI)
	from := sip.URI{Scheme: "sip", Host: string(c.cfg.SIP.Domains[0])}
	sip.SetDialogHeaders(req, sip.NameAddr{URI: from}, sip.NameAddr{URI: t.URI.AOR()}, uuid.NewString(), 1)
	sip.SetMaxForwards(req, 70)
	target := ua.Target{URI: t.URI.URI}
	if t.Username != "" {
		target.Credentials = &ua.Credentials{Username: t.Username, Password: string(t.Password), Realm: t.Realm}
	}
	started := time.Now()
	res, err := agent.Do(ctx, req, target)
	if err != nil {
		c.report.fail(what, "no answer to OPTIONS: "+err.Error(), "check address, transport and firewall; some trunks answer only known addresses")
		return
	}
	answer := fmt.Sprintf("OPTIONS answered %d %s in %d ms", res.StatusCode, res.Reason, time.Since(started).Milliseconds())
	switch res.StatusCode {
	case 401, 403, 407:
		c.report.warn(what+": "+answer, "it is there, but does not accept these credentials or this address for OPTIONS")
	case 408, 503:
		c.report.fail(what, answer, "it is there, but out of service")
	default:
		c.report.ok(what, answer)
	}
}

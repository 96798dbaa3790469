package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/journal"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// daemon is everything that serve runs: store, identity table, journal, gateway
// and console.
type daemon struct {
	cfg     *config.Config
	log     zerolog.Logger
	level   *logLevel
	store   *store.Store
	table   *identity.Table
	journal *journal.Journal
	gateway *interwork.Gateway
	console *console.Server // nil when http.listen is off
}

// newDaemon opens the store and makes the parts. The caller closes it.
func newDaemon(ctx context.Context, cfg *config.Config, log zerolog.Logger, level *logLevel) (_ *daemon, err error) {
	d := &daemon{cfg: cfg, log: log, level: level}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.store, err = store.Open(ctx, store.Config{Dir: string(cfg.State.Dir), URL: string(cfg.State.URL), Log: log}); err != nil {
		if errors.Is(err, store.ErrLocked) {
			err = fmt.Errorf("%w; is another stoxgate running?", err)
		}
		return nil, err
	}
	table := identityConfig(cfg, d.store)
	table.Log = log
	if d.table, err = identity.New(ctx, table); err != nil {
		return nil, err
	}
	keep := cfg.Trace.Keep
	if keep == 0 {
		keep = -1 // none
	}
	d.journal = journal.New(journal.Config{Entries: keep, Raw: cfg.Trace.Raw})
	registry := newRegistry()
	gw, err := gatewayConfig(cfg)
	if err != nil {
		return nil, err
	}
	gw.Store, gw.Identities, gw.Journal, gw.Metrics = d.store, d.table, d.journal, registry
	gw.Log, gw.XMPP.Log, gw.SIP.Log = log, log.With().Str("side", "xmpp").Logger(), log.With().Str("side", "sip").Logger()
	if d.gateway, err = interwork.New(ctx, gw); err != nil {
		return nil, err
	}
	if cfg.HTTP.Listen.Off() {
		return d, nil
	}
	d.console, err = console.New(console.Config{
		Listen: cfg.HTTP.Listen.String(), Token: string(cfg.HTTP.Token), Version: readBuild().version,
		Log: log.With().Str("side", "console").Logger(), Sources: d.sources(registry),
	})
	if err != nil {
		return nil, err
	}
	return d, d.console.Listen()
}

func (d *daemon) sources(metrics prometheus.Gatherer) console.Sources {
	return console.Sources{
		Status: d, Registrations: d, Trunks: d, Outbox: outbox{d.store}, Watchers: watchers{d.store, d.gateway}, Calls: callAccounts{d.store}, Flows: d.journal, Log: d.level, Metrics: metrics,
		Avatars: avatars{d.gateway}, Identities: identities{d.table, identityConfig(d.cfg, d.store).Numbers},
	}
}

// newRegistry makes the registry with the metrics of the program itself.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	b := readBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stoxgate_build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision},
	})
	info.Set(1)
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// gatewayConfig translates the file into what the gateway takes.
func gatewayConfig(c *config.Config) (interwork.Config, error) {
	link, err := componentConfig(c)
	if err != nil {
		return interwork.Config{}, err
	}
	out := interwork.Config{
		XMPP: link, Registrar: c.SIP.Registrar.Enabled, Version: readBuild().version,
		RegisterMin: c.SIP.Registrar.MinExpires.D(), RegisterDefault: c.SIP.Registrar.Expires.D(), RegisterMax: c.SIP.Registrar.MaxExpires.D(),
		KeepFor: c.Messages.KeepFor.D(), RefuseOffline: c.Messages.Offline == "refuse", MessageType: interwork.MessageType(c.Messages.Type),
		Region: string(c.Identity.DefaultRegion), Emergency: c.Identity.Emergency, Drain: c.Messages.Drain.D(), PublicMessages: c.Messages.Public,
		ConfirmWatchers: c.Presence.Confirm, ContactList: c.Presence.ContactList, SeedContacts: c.Presence.Seed,
	}
	out.Avatars = interwork.AvatarConfig{
		Fetch: c.Presence.Avatars.Fetch, IconBase: string(c.Presence.Avatars.IconBase), MaxBytes: int(c.Presence.Avatars.MaxSize),
	}
	for _, h := range c.Presence.Avatars.Hosts {
		out.Avatars.Hosts = append(out.Avatars.Hosts, string(h))
	}
	for _, d := range c.SIP.Domains {
		out.SIPDomains = append(out.SIPDomains, string(d))
	}
	for _, p := range c.SIP.Trusted {
		out.Trusted = append(out.Trusted, p.Prefix)
	}
	for _, t := range c.SIP.Trunks {
		out.Trunks = append(out.Trunks, interwork.Trunk{
			Name: t.Name, URI: t.URI.URI, Numbers: t.Numbers, Domains: t.Domains,
			Username: t.Username, Password: string(t.Password), Realm: t.Realm, Register: t.Register, Publish: t.Publish,
		})
	}
	if zone := string(c.Identity.ENUM); zone != "" {
		out.ENUMZone = zone
		if out.ENUM, err = interwork.NewENUM(resolverConfig(c).Servers); err != nil {
			return out, err
		}
	}
	if out.Calls, err = callConfig(c); err != nil {
		return out, err
	}
	out.SIP, err = userAgentConfig(c)
	return out, err
}

// userAgentConfig is the part for the SIP user agent.
func userAgentConfig(c *config.Config) (ua.Config, error) {
	limits := c.SIP.Limits
	out := ua.Config{
		Advertise: string(c.SIP.Advertise), UserAgent: "stoxgate/" + readBuild().version, Resolver: ua.NewResolver(resolverConfig(c)),
		Limits: ua.Limits{
			SourceRate: limits.Rate, SourceBurst: limits.Burst, Conns: limits.Connections, SourceConns: limits.ConnectionsPerSource,
			Idle: limits.Idle.D(), Ban: limits.Ban.D(),
		},
	}
	for _, d := range c.SIP.Digest {
		out.Digest = append(out.Digest, strings.ToUpper(d))
	}
	if limits.Ban == 0 {
		out.Limits.AuthFailure = -1 // never shut anybody out
	}
	for _, l := range c.SIP.Listen {
		out.Listen = append(out.Listen, ua.Listen{Transport: l.Transport, Host: l.Host, Port: l.Port})
	}
	t := c.SIP.TLS
	if t.Cert == "" {
		return out, nil
	}
	pair, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
	if err != nil {
		return out, fmt.Errorf("sip.tls: %w", err)
	}
	out.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if t.ClientCA != "" {
		if out.TLS.ClientCAs, err = certificatePool(t.ClientCA); err != nil {
			return out, fmt.Errorf("sip.tls.client_ca: %w", err)
		}
		out.TLS.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return out, nil
}

// run serves until ctx ends. The console outlives the gateway, so that the end
// of its work can be watched. side runs beside them until the end.
func (d *daemon) run(ctx context.Context, side func(context.Context)) error {
	d.started(d.log)
	rest, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	group, failed := errgroup.WithContext(rest)
	gatewayCtx, stopGateway := context.WithCancel(ctx)
	defer stopGateway()
	context.AfterFunc(failed, stopGateway) // nothing runs on without the others

	group.Go(func() error {
		defer stopRest()
		return d.gateway.Run(gatewayCtx)
	})
	group.Go(func() error { return d.table.Run(rest) })
	group.Go(func() error { side(rest); return nil })
	if d.console != nil {
		group.Go(func() error { return d.console.Run(rest) })
	}
	err := group.Wait()
	if err == nil {
		d.log.Info().Msg("stoxgate stopped")
	}
	return err
}

// close lets go of what newDaemon opened.
func (d *daemon) close() {
	if d.store == nil {
		return
	}
	if err := d.store.Close(); err != nil {
		d.log.Error().Err(err).Msg("store not closed in order")
	}
}

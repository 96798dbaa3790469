package main

import (
	"context"
	"fmt"
	"reflect"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
)

// serveCmd runs the gateway.
type serveCmd struct {
	configFlag `embed:""`
}

func (serveCmd) Help() string {
	return `Runs until SIGINT or SIGTERM, then stops taking new messages and lets those under way finish
(messages.drain). A second signal stops at once; what is not delivered stays in the outbox.
SIGHUP reads the configuration again and takes over log.level, trace.raw and identities that
another program changed.

Examples:
  stoxgate serve --config /etc/stoxgate/stoxgate.yaml
  STOXGATE_CONFIG=/etc/stoxgate/stoxgate.yaml stoxgate serve`
}

func (c serveCmd) Run(p *program) error {
	cfg, err := config.Load(c.Config, p.env)
	if err != nil {
		return c.explain(err)
	}
	log, level, err := newLogger(cfg.Log, p.stderr)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		log.Warn().Str("file", c.Config).Int("line", w.Line).Msg(w.String())
	}
	tuneGC(p.ctx, p.env)
	d, err := newDaemon(p.ctx, cfg, log, level)
	if err != nil {
		return err
	}
	defer d.close()
	return d.run(p.ctx, func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-p.hangup:
				c.reload(ctx, p, d)
			}
		}
	})
}

// reload takes over from the configuration file what can change in a running
// gateway, and says what cannot.
func (c serveCmd) reload(ctx context.Context, p *program, d *daemon) {
	next, err := config.Load(c.Config, p.env)
	if err != nil {
		d.log.Error().Err(c.explain(err)).Msg("configuration not reloaded, everything stays as it is")
		return
	}
	if err := d.level.SetLevel(next.Log.Level); err != nil {
		d.log.Error().Err(err).Msg("log level not changed")
	}
	d.journal.SetRaw(next.Trace.Raw)
	if err := d.table.Refresh(ctx); err != nil {
		d.log.Error().Err(err).Msg("identities not refreshed")
	}
	d.log.Info().Str("log_level", next.Log.Level).Bool("raw", next.Trace.Raw).Int("identities", d.table.Len()).Msg("reloaded log level, trace.raw and identities")
	if changed := needRestart(d.cfg, next); len(changed) > 0 {
		d.log.Warn().Strs("sections", changed).Msg("other changes in the configuration take effect with a restart")
	}
}

// needRestart names the sections that differ in what a reload does not take over.
func needRestart(running, next *config.Config) (sections []string) {
	a, b := *running, *next
	a.Log.Level, a.Trace.Raw = b.Log.Level, b.Trace.Raw
	for name, pair := range map[string][2]any{
		"xmpp": {a.XMPP, b.XMPP}, "sip": {a.SIP, b.SIP}, "messages": {a.Messages, b.Messages}, "presence": {a.Presence, b.Presence}, "identity": {a.Identity, b.Identity},
		"media": {a.Media, b.Media}, "calls": {a.Calls, b.Calls}, "state": {a.State, b.State}, "http": {a.HTTP, b.HTTP}, "log": {a.Log, b.Log}, "trace": {a.Trace, b.Trace},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			sections = append(sections, name)
		}
	}
	return sections
}

// started tells on the log where the gateway can be reached.
func (d *daemon) started(log zerolog.Logger) {
	e := log.Info().Str("version", readBuild().version).Str("component", string(d.cfg.XMPP.Domain)).Str("server", d.cfg.XMPP.Component.String())
	listeners := make([]string, len(d.cfg.SIP.Listen))
	for i, l := range d.cfg.SIP.Listen {
		listeners[i] = l.String()
	}
	e = e.Strs("sip", listeners).Int("identities", d.table.Len())
	if d.console != nil {
		e = e.Str("console", fmt.Sprintf("http://%s/", d.console.Addr()))
	}
	e.Msg("stoxgate starts")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
)

// checkCmd looks at the configuration and at everything it names.
type checkCmd struct {
	configFlag `embed:""`
	Offline    bool          `help:"Check the file only, connect to nothing."`
	Timeout    time.Duration `default:"5s" help:"How long to wait for each answer (${default})."`
}

func (checkCmd) Help() string {
	return `Reports every problem of the configuration at once, then probes what it names: the XMPP server
(a whole component handshake), the SIP ports, trunks (DNS and OPTIONS), the state folder or
database, the console. While a gateway runs on this configuration, its own state is shown
instead of probing what it uses: a second component connection could throw it off the server.

Examples:
  stoxgate check --config /etc/stoxgate/stoxgate.yaml
  stoxgate check --offline`
}

func (c checkCmd) Run(p *program) error {
	r := &checkReport{out: p.stdout}
	cfg, err := config.Load(c.Config, p.env)
	if err != nil {
		return c.explain(err)
	}
	for _, w := range cfg.Warnings {
		r.warn(strings.TrimPrefix(w.At(c.Config), c.Config), "")
	}
	r.ok("configuration", c.Config+" is valid")
	if !c.Offline {
		probe{cfg: cfg, report: r, timeout: c.Timeout}.all(p.ctx)
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	return r.summary()
}

// checkReport prints findings as they come.
type checkReport struct {
	out              io.Writer
	failed, warnings int
}

func (r *checkReport) line(mark, what, detail, hint string) {
	if detail != "" {
		what += ": " + detail
	}
	fmt.Fprintf(r.out, "%-5s %s\n", mark, what)
	if hint != "" {
		fmt.Fprintf(r.out, "      -> %s\n", hint)
	}
}

func (r *checkReport) ok(what, detail string) { r.line("ok", what, detail, "") }

func (r *checkReport) warn(what, hint string) {
	r.warnings++
	r.line("warn", what, "", hint)
}

func (r *checkReport) fail(what, detail, hint string) {
	r.failed++
	r.line("FAIL", what, detail, hint)
}

func (r *checkReport) summary() error {
	switch {
	case r.failed > 0:
		fmt.Fprintf(r.out, "\n%d failed, %d warnings\n", r.failed, r.warnings)
		return silentError{exitFailed}
	case r.warnings > 0:
		fmt.Fprintf(r.out, "\nworks, with %d warnings\n", r.warnings)
	default:
		fmt.Fprintln(r.out, "\neverything works")
	}
	return nil
}

// running asks the gateway that may run on this configuration how it is. There
// is a report when it answers, and an error when something does that does not
// let us in.
func (c probe) running(ctx context.Context) (*console.Report, error) {
	if c.cfg.HTTP.Listen.Off() {
		return nil, nil
	}
	client := console.NewClient(c.cfg.HTTP.Listen.String(), string(c.cfg.HTTP.Token))
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if errors.Is(client.Alive(ctx), console.ErrUnreachable) {
		return nil, nil
	}
	report, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &report, nil
}

package main

import (
	"context"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/store"
)

// Status implements console.Status.
func (d *daemon) Status(context.Context) console.Report {
	st := d.gateway.Status()
	stats := d.store.Stats()
	report := console.Report{
		Version: readBuild().version, Started: st.Started, Journal: d.journal.Stats(), Warnings: d.warnings(),
		XMPP:  console.Link{Domain: string(d.cfg.XMPP.Domain), Server: d.cfg.XMPP.Component.String(), Up: st.Link, Since: st.LinkSince, Error: st.LinkError},
		Store: console.Store{Engine: "sqlite", Writable: stats.Failing == nil},
		Counts: console.Counts{
			Identities: d.table.Len(), Outbox: stats.Pending, Pairs: int(st.Pairs),
		},
	}
	if d.cfg.State.URL != "" {
		report.Store.Engine = "postgresql"
	}
	if stats.Failing != nil {
		report.Store.Error = withoutSecret(stats.Failing, string(d.cfg.State.URL))
	}
	for range d.gateway.Registrations() {
		report.Counts.Registrations++
	}
	for _, l := range d.cfg.SIP.Listen { // the gateway opens all of them or none
		report.SIP = append(report.SIP, console.Listener{URL: l.String(), Up: st.Ready})
	}
	return report
}

// warnings are those of the configuration.
func (d *daemon) warnings() []string {
	out := make([]string, len(d.cfg.Warnings))
	for i, w := range d.cfg.Warnings {
		out[i] = w.String()
	}
	return out
}

// Trunks implements console.Trunks.
func (d *daemon) Trunks(context.Context) ([]console.Trunk, error) {
	var out []console.Trunk
	for _, t := range d.gateway.Status().Trunks {
		out = append(out, console.Trunk{
			Name: t.Name, URI: t.URI, State: t.State, Since: t.Since, Detail: t.Detail,
			Up: t.State == "up" || t.State == "registered" || t.State == "unknown",
		})
	}
	return out, nil
}

// outbox shows the store's outbox to the console.
type outbox struct{ store *store.Store }

// Counts implements console.Outbox.
func (o outbox) Counts(ctx context.Context) (console.OutboxCounts, error) {
	stats := o.store.Stats()
	out := console.OutboxCounts{Pending: stats.Pending, Queued: stats.Queued}
	oldest, err := o.store.Pending(ctx, 0, 1)
	if err != nil {
		return out, err
	}
	if len(oldest) > 0 {
		out.Oldest = oldest[0].Created
	}
	return out, nil
}

// Entries implements console.Outbox.
func (o outbox) Entries(ctx context.Context, after int64, limit int) ([]console.OutboxEntry, error) {
	found, err := o.store.Pending(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]console.OutboxEntry, len(found))
	for i, e := range found {
		out[i] = console.OutboxEntry{
			Seq: e.Seq, Direction: e.Direction, Pair: e.Pair, Flow: e.Flow, Bytes: len(e.Payload),
			Created: e.Created, Expires: e.Expires, Attempts: e.Attempts, NotBefore: e.NotBefore,
		}
	}
	return out, nil
}

// Registrations implements console.Registrations.
func (d *daemon) Registrations(context.Context) ([]console.Registration, error) {
	var out []console.Registration
	for b := range d.gateway.Registrations() {
		out = append(out, console.Registration{
			AOR: b.AOR, Contact: b.Contact.String(), Transport: b.Transport, Source: b.Source.String(), UserAgent: b.UserAgent,
			Q: float64(b.Q) / 1000, Expires: b.Expires,
		})
	}
	return out, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// watchers is the console's view of who sees whom.
type watchers struct {
	store   *store.Store
	gateway *interwork.Gateway
}

var _ console.Watchers = watchers{}

// parseAOR reads a SIP address with or without its scheme.
func parseAOR(s string) (sip.URI, error) {
	if !strings.Contains(s, ":") {
		s = "sip:" + s
	}
	u, err := sip.ParseURI(s)
	if err != nil {
		return u, fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	return u.AOR(), nil
}

// Watchers implements console.Watchers.
func (w watchers) Watchers(ctx context.Context, aor string) (list []console.Watcher, err error) {
	u, err := parseAOR(aor)
	if err != nil {
		return nil, err
	}
	err = w.store.AuthorisationsOfAOR(ctx, u.Key(), func(r store.AuthorisationRow) error {
		list = append(list, console.Watcher{
			JID: r.JID, AOR: u.String(), Watch: r.Watch, WatchSince: r.WatchSince, Share: r.Share, ShareSince: r.ShareSince,
		})
		return nil
	})
	return list, err
}

// Decide implements console.Watchers.
func (w watchers) Decide(_ context.Context, d console.WatcherDecision) error {
	jid, err := xmpp.ParseJID(d.JID)
	if err != nil || jid.Local() == "" {
		return fmt.Errorf("%w: jid: %w", console.ErrInvalid, errors.Join(err, xmpp.ErrJIDMalformed))
	}
	aor, err := parseAOR(d.AOR)
	if err != nil {
		return err
	}
	switch d.Decision {
	case "grant", "refuse":
		if err := w.gateway.DecideWatcher(jid, aor, d.Decision == "grant"); err != nil {
			return fmt.Errorf("%w: %w", console.ErrNotFound, err)
		}
	case "remove", "remove_share":
		w.gateway.RemoveWatch(jid, aor, d.Decision == "remove_share")
	default:
		return fmt.Errorf("%w: decision %q is none of grant, refuse, remove, remove_share", console.ErrInvalid, d.Decision)
	}
	return nil
}

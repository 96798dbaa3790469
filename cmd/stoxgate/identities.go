package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork/identity"
	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/xmpp"
)

// identities shows the identity table to the console and the command line.
type identities struct {
	table   *identity.Table
	numbers identity.Numbers
}

// openTable opens the identity table beside a gateway that may be running.
func openTable(ctx context.Context, c *config.Config) (console.Identities, func(), error) {
	s, err := store.Open(ctx, store.Config{Dir: string(c.State.Dir), URL: string(c.State.URL), Shared: true})
	if err != nil {
		return nil, nil, err
	}
	closeStore := func() { _ = s.Close() } // every change has been committed by then
	table, err := identity.New(ctx, identityConfig(c, s))
	if err != nil {
		closeStore()
		return nil, nil, err
	}
	return identities{table, identityConfig(c, s).Numbers}, closeStore, nil
}

func identityConfig(c *config.Config, s *store.Store) identity.Config {
	return identity.Config{
		Store: s, Component: string(c.XMPP.Domain),
		Numbers: identity.Numbers{Region: string(c.Identity.DefaultRegion)},
	}
}

// tableError translates what the table says into what the console answers.
func tableError(err error) error {
	var kind error
	var lines *identity.ImportError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrUnknown):
		kind = console.ErrNotFound
	case errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrTaken):
		kind = console.ErrConflict
	case errors.Is(err, identity.ErrInvalid), errors.As(err, &lines):
		kind = console.ErrInvalid
	default:
		return err
	}
	return classified{kind, err}
}

// classified is an error of the table that the console can tell apart.
type classified struct{ kind, err error }

func (c classified) Error() string   { return c.err.Error() }
func (c classified) Unwrap() []error { return []error{c.kind, c.err} }

// show makes the console's form of an identity.
func show(id *identity.Identity) console.Identity {
	out := console.Identity{
		ID: id.ID, Numbers: id.Numbers, Name: id.Name, Trunk: id.Trunk,
		CallOut: id.Policy.CallOut, CallIn: id.Policy.CallIn, ShowCallerID: id.Policy.ShowCallerID,
	}
	if !id.JID.IsZero() {
		out.JID = id.JID.String()
	}
	for _, a := range id.AORs {
		out.AORs = append(out.AORs, a.String())
	}
	for _, c := range id.Credentials {
		out.Logins = append(out.Logins, c.User+"@"+c.Realm)
	}
	return out
}

// read makes an identity of what a caller gave.
func read(in console.IdentityInput) (identity.Identity, error) {
	out := identity.Identity{
		ID: in.ID, Numbers: in.Numbers, Name: in.Name, Trunk: in.Trunk,
		Policy: identity.Policy{CallOut: allowed(in.CallOut), CallIn: allowed(in.CallIn), ShowCallerID: allowed(in.ShowCallerID)},
	}
	var errs []error
	if in.JID != "" {
		j, err := xmpp.ParseJID(in.JID)
		if err != nil {
			errs = append(errs, fmt.Errorf("JID %q: %w", in.JID, err))
		}
		out.JID = j
	}
	for _, text := range in.AORs {
		u, err := identity.ParseAOR(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("SIP address %q: %w", text, err))
			continue
		}
		out.AORs = append(out.AORs, u)
	}
	if errs != nil {
		return out, fmt.Errorf("%w: %w", console.ErrInvalid, errors.Join(errs...))
	}
	return out, nil
}

func allowed(policy *bool) bool { return policy == nil || *policy }

// find looks for an ID, then for an address of any kind.
func (i identities) find(name string) (*identity.Identity, error) {
	if id, ok := i.table.Get(name); ok {
		return id, nil
	}
	if j, err := xmpp.ParseJID(name); err == nil && j.Local() != "" {
		if id, ok := i.table.ByJID(j); ok {
			return id, nil
		}
	}
	if u, err := identity.ParseAOR(name); err == nil {
		if id, ok := i.table.ByAOR(u); ok {
			return id, nil
		}
	}
	if number, err := i.numbers.E164(strings.TrimPrefix(name, "tel:")); err == nil {
		if id, ok := i.table.ByNumber(number); ok {
			return id, nil
		}
	}
	return nil, fmt.Errorf("%w: no identity has the ID or address %q", console.ErrNotFound, name)
}

// List implements console.Identities.
func (i identities) List(_ context.Context, q console.IdentityQuery) (console.IdentityPage, error) {
	found, next := i.table.List(q.Search, q.After, q.Limit)
	page := console.IdentityPage{Next: next, Total: i.table.Len()}
	for _, id := range found {
		page.Identities = append(page.Identities, show(id))
	}
	return page, nil
}

// Get implements console.Identities.
func (i identities) Get(_ context.Context, name string) (console.Identity, error) {
	id, err := i.find(name)
	if err != nil {
		return console.Identity{}, err
	}
	return show(id), nil
}

// Add implements console.Identities.
func (i identities) Add(ctx context.Context, in console.IdentityInput) (console.Identity, error) {
	id, err := read(in)
	if err != nil {
		return console.Identity{}, err
	}
	added, err := i.table.Add(ctx, id, in.Password)
	if err != nil {
		return console.Identity{}, tableError(err)
	}
	return show(added), nil
}

// Update implements console.Identities.
func (i identities) Update(ctx context.Context, name string, in console.IdentityInput) (console.Identity, error) {
	old, err := i.find(name)
	if err != nil {
		return console.Identity{}, err
	}
	if in.ID != "" && in.ID != old.ID {
		return console.Identity{}, fmt.Errorf("%w: the ID of an identity cannot change", console.ErrInvalid)
	}
	id, err := read(in)
	if err != nil {
		return console.Identity{}, err
	}
	id.ID = old.ID
	updated, err := i.table.Update(ctx, id, in.Password)
	if err != nil {
		return console.Identity{}, tableError(err)
	}
	return show(updated), nil
}

// Remove implements console.Identities.
func (i identities) Remove(ctx context.Context, name string) error {
	id, err := i.find(name)
	if err != nil {
		return err
	}
	return tableError(i.table.Remove(ctx, id.ID))
}

// Import implements console.Identities.
func (i identities) Import(ctx context.Context, csv io.Reader, dryRun bool) (console.ImportResult, error) {
	result, err := i.table.ImportCSV(ctx, csv, dryRun)
	return console.ImportResult(result), tableError(err)
}

// Export implements console.Identities.
func (i identities) Export(_ context.Context, csv io.Writer) error {
	return i.table.ExportCSV(csv)
}

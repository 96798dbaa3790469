package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// IdentityRow is one person: the row is complete in itself, and a change replaces it as
// a whole.
type IdentityRow struct {
	ID           string
	Version      int64 // of the change that wrote it; filled in by the store
	Removed      bool  // only ID and Version are left
	JID          string
	AORs         []string
	Numbers      []string
	Name         string
	Trunk        string
	CallOut      bool
	CallIn       bool
	ShowCallerID bool
	Credentials  []CredentialRow

	// Keys are what no other identity may have, one per address in a form that is the
	// same for every spelling of it. They are written and not read back.
	Keys []string
}

// CredentialRow is what a user logs in with: HA1 of RFC 7616 §3.4.2 as hexadecimal text.
type CredentialRow struct {
	User   string `json:"user"`
	Realm  string `json:"realm"`
	MD5    string `json:"md5,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// identityVersions numbers the changes of identities.
const identityVersions = "identities.version"

func (r *IdentityRow) check() error {
	if r.ID == "" {
		return fmt.Errorf("%w: an identity needs an id", ErrInvalid)
	}
	if err := checkText(r.ID, r.JID, r.Name, r.Trunk); err != nil {
		return err
	}
	for _, list := range [][]string{r.AORs, r.Numbers, r.Keys} {
		if err := checkText(list...); err != nil {
			return err
		}
	}
	for _, c := range r.Credentials {
		if err := checkText(c.User, c.Realm, c.MD5, c.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// PutIdentity writes one identity; see ChangeIdentities.
func (s *Store) PutIdentity(ctx context.Context, r IdentityRow) (version int64, err error) {
	return s.ChangeIdentities(ctx, []IdentityRow{r}, nil)
}

// DeleteIdentity removes one identity; see ChangeIdentities.
func (s *Store) DeleteIdentity(ctx context.Context, id string) (version int64, err error) {
	return s.ChangeIdentities(ctx, nil, []string{id})
}

// ChangeIdentities removes and then writes identities in one transaction and returns the
// number of this change. A key with another owner gives *ConflictError and changes
// nothing. Unknown ids in remove are no error. Much at once holds up the outbox: give at
// most some hundreds.
func (s *Store) ChangeIdentities(ctx context.Context, put []IdentityRow, remove []string) (version int64, err error) {
	for i := range put {
		if err := put[i].check(); err != nil {
			return 0, fmt.Errorf("identity %q: %w", put[i].ID, err)
		}
	}
	if err := checkText(remove...); err != nil {
		return 0, err
	}
	err = s.change(ctx, true, func(c *writeConn) (err error) {
		if version, err = bumpCounter(c, identityVersions); err != nil {
			return err
		}
		for _, id := range remove {
			if err := writeRemoved(c, id, version); err != nil {
				return err
			}
		}
		// All rows give up their addresses before any takes one: they may trade.
		for i := range put {
			if err := writeIdentity(c, &put[i], version); err != nil {
				return err
			}
		}
		for i := range put {
			if err := writeAddresses(c, &put[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

func writeRemoved(c *writeConn, id string, version int64) error {
	if _, err := c.exec(`DELETE FROM identity_addresses WHERE identity = $1`, id); err != nil {
		return err
	}
	_, err := c.exec(`UPDATE identities SET version = $2, removed = 1, jid = '', aors = '[]', numbers = '[]', name = '', trunk = '',
		call_out = 0, call_in = 0, show_caller_id = 0, credentials = '[]' WHERE id = $1 AND removed = 0`, id, version)
	return err
}

func writeIdentity(c *writeConn, r *IdentityRow, version int64) error {
	if _, err := c.exec(`DELETE FROM identity_addresses WHERE identity = $1`, r.ID); err != nil {
		return err
	}
	aors, err := toJSON(r.AORs)
	if err != nil {
		return err
	}
	numbers, err := toJSON(r.Numbers)
	if err != nil {
		return err
	}
	credentials, err := toJSON(r.Credentials)
	if err != nil {
		return err
	}
	_, err = c.exec(`INSERT INTO identities (id, version, removed, jid, aors, numbers, name, trunk, call_out, call_in, show_caller_id, credentials)
		VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, removed = 0, jid = excluded.jid, aors = excluded.aors,
			numbers = excluded.numbers, name = excluded.name, trunk = excluded.trunk, call_out = excluded.call_out,
			call_in = excluded.call_in, show_caller_id = excluded.show_caller_id, credentials = excluded.credentials`,
		r.ID, version, r.JID, aors, numbers, r.Name, r.Trunk, flag(r.CallOut), flag(r.CallIn), flag(r.ShowCallerID), credentials)
	return err
}

func writeAddresses(c *writeConn, r *IdentityRow) error {
	for _, key := range r.Keys {
		n, err := c.exec(`INSERT INTO identity_addresses (address, identity) VALUES ($1, $2) ON CONFLICT DO NOTHING`, key, r.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		var owner string
		if err := c.queryRow(`SELECT identity FROM identity_addresses WHERE address = $1`, []any{key}, &owner); err != nil {
			return err
		}
		if owner != r.ID { // else the row names it twice
			return &ConflictError{Key: key, Owner: owner}
		}
	}
	return nil
}

// Identities calls f for each identity that was changed after that version (0: all), in
// no order, removed ones included, until f returns an error, which it returns.
func (s *Store) Identities(ctx context.Context, after int64, f func(IdentityRow) error) error {
	rows, err := s.db.QueryContext(ctx, `SELECT id, version, removed, jid, aors, numbers, name, trunk, call_out, call_in, show_caller_id, credentials
		FROM identities WHERE version > $1`, after)
	if err != nil {
		return fmt.Errorf("store: reading identities: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r IdentityRow
		var removed, out, in, show int
		var aors, numbers, credentials sql.RawBytes
		if err := rows.Scan(&r.ID, &r.Version, &removed, &r.JID, &aors, &numbers, &r.Name, &r.Trunk, &out, &in, &show, &credentials); err != nil {
			return fmt.Errorf("store: reading identities: %w", err)
		}
		r.Removed, r.CallOut, r.CallIn, r.ShowCallerID = removed != 0, out != 0, in != 0, show != 0
		if err := errors.Join(fromJSON(aors, &r.AORs), fromJSON(numbers, &r.Numbers), fromJSON(credentials, &r.Credentials)); err != nil {
			return fmt.Errorf("%w: identity %q: %w", ErrCorrupt, r.ID, err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: reading identities: %w", err)
	}
	return nil
}

// IdentitiesVersion is the number of the last change of identities by any process.
func (s *Store) IdentitiesVersion(ctx context.Context) (int64, error) {
	return s.Counter(ctx, identityVersions)
}

func toJSON[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

func fromJSON[T any](data []byte, list *[]T) error {
	if string(data) == "[]" {
		return nil
	}
	return json.Unmarshal(data, list)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

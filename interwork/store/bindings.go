package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// BindingRow is one contact that a phone has registered for an address of record. The
// fields are those of registrar.Row, so that one converts to the other.
type BindingRow struct {
	AOR       string // the AOR's key
	ID        string // tells the contacts of one AOR apart
	Node      string // which node it registered with; "" is filled in with this one
	Contact   string // name-addr with the feature parameters
	Path      string // route set, as header text
	Instance  string // +sip.instance
	RegID     int    // RFC 5626
	Q         int    // thousandths
	CallID    string
	CSeq      int64
	UserAgent string
	Transport string
	Source    string // address:port to send to; empty: where the contact points
	Updated   time.Time
	Expires   time.Time
}

const putBinding = `INSERT INTO bindings (aor, id, node, contact, path, instance, reg_id, q, call_id, cseq,
		user_agent, transport, source, updated, expires)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
	ON CONFLICT (aor, id) DO UPDATE SET node = excluded.node, contact = excluded.contact,
		path = excluded.path, instance = excluded.instance, reg_id = excluded.reg_id, q = excluded.q,
		call_id = excluded.call_id, cseq = excluded.cseq, user_agent = excluded.user_agent, transport = excluded.transport,
		source = excluded.source, updated = excluded.updated, expires = excluded.expires`

// PutBinding writes a binding, replacing the one with the same AOR and ID, and returns
// after the commit.
func (s *Store) PutBinding(ctx context.Context, b BindingRow) error {
	if b.Node == "" {
		b.Node = s.cfg.Node
	}
	// What is only shown must not keep a phone from registering.
	b.UserAgent = strings.ReplaceAll(strings.ToValidUTF8(b.UserAgent, "\uFFFD"), "\x00", "")
	if err := checkText(b.AOR, b.ID, b.Node, b.Contact, b.Path, b.Instance, b.CallID, b.Transport, b.Source); err != nil {
		return err
	}
	if b.AOR == "" || b.ID == "" {
		return fmt.Errorf("%w: a binding needs an AOR and an id", ErrInvalid)
	}
	return s.change(ctx, false, func(c *writeConn) error {
		_, err := c.exec(putBinding, b.AOR, b.ID, b.Node, b.Contact, b.Path, b.Instance, int64(b.RegID), int64(b.Q), b.CallID, b.CSeq,
			b.UserAgent, b.Transport, b.Source, toMillis(b.Updated), toMillis(b.Expires))
		return err
	})
}

// DeleteBinding removes a binding and returns after the commit; one that is not there is
// no error.
func (s *Store) DeleteBinding(ctx context.Context, aor, id string) error {
	if err := checkText(aor, id); err != nil {
		return err
	}
	return s.change(ctx, false, func(c *writeConn) error {
		_, err := c.exec(`DELETE FROM bindings WHERE aor = $1 AND id = $2`, aor, id)
		return err
	})
}

// Bindings calls f for each binding that has not expired, ordered by AOR and ID, until f
// returns an error, which it returns.
func (s *Store) Bindings(ctx context.Context, f func(BindingRow) error) error {
	rows, err := s.db.QueryContext(ctx, `SELECT aor, id, node, contact, path, instance, reg_id, q, call_id, cseq,
			user_agent, transport, source, updated, expires
		FROM bindings WHERE expires > $1 ORDER BY aor, id`, toMillis(s.now()))
	if err != nil {
		return fmt.Errorf("store: reading bindings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var b BindingRow
		var updated, expires int64
		if err := rows.Scan(&b.AOR, &b.ID, &b.Node, &b.Contact, &b.Path, &b.Instance, &b.RegID, &b.Q, &b.CallID, &b.CSeq,
			&b.UserAgent, &b.Transport, &b.Source, &updated, &expires); err != nil {
			return fmt.Errorf("store: reading bindings: %w", err)
		}
		b.Updated, b.Expires = fromMillis(updated), fromMillis(expires)
		if err := f(b); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: reading bindings: %w", err)
	}
	return nil
}

// purgeBindings deletes those that expired while nobody served; the registrar deletes the
// others.
func (s *Store) purgeBindings() error {
	return s.out.transaction(func(c *writeConn) error {
		_, err := c.exec(`DELETE FROM bindings WHERE expires <= $1`, toMillis(s.now()))
		return err
	})
}

package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// EventDialogRow is a dialog of RFC 6665 or a publication of RFC 3903, as its package
// wants it back after a restart.
type EventDialogRow struct {
	Kind    string // which table of that package: the ids of two kinds may be the same
	ID      string
	JID     string // the pair that it belongs to; "" for none
	AOR     string
	Record  []byte // opaque
	Expires time.Time
}

// eventDialogsKeptFor is how long a dialog that has expired is kept all the same. A clock
// that is wrong when the machine starts must not cost all dialogs; whoever reads them
// decides by its own clock.
const eventDialogsKeptFor = 7 * 24 * time.Hour

// PutEventDialog writes a dialog, replacing the one of the same kind and id. It does not
// wait: done (may be nil) is called once after the commit, from the writer goroutine,
// unless PutEventDialog itself returns an error. Changes of one dialog are committed in
// the order of the calls.
func (s *Store) PutEventDialog(r EventDialogRow, done func(error)) error {
	if err := checkText(r.Kind, r.ID, r.JID, r.AOR); err != nil {
		return err
	}
	if r.Kind == "" || r.ID == "" {
		return fmt.Errorf("%w: a dialog needs a kind and an id", ErrInvalid)
	}
	if r.Record == nil {
		r.Record = []byte{}
	}
	return s.enqueue(op{done: done, run: func(c *writeConn) error {
		_, err := c.exec(`INSERT INTO event_dialogs (node, kind, id, jid, aor, record, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (node, kind, id) DO UPDATE SET jid = excluded.jid, aor = excluded.aor, record = excluded.record, expires = excluded.expires`,
			c.node, r.Kind, r.ID, r.JID, r.AOR, r.Record, toMillis(r.Expires))
		return err
	}})
}

// DeleteEventDialog removes a dialog; one that is not there is no error. It does not
// wait, see PutEventDialog.
func (s *Store) DeleteEventDialog(kind, id string, done func(error)) error {
	if err := checkText(kind, id); err != nil {
		return err
	}
	return s.enqueue(op{done: done, run: func(c *writeConn) error {
		_, err := c.exec(`DELETE FROM event_dialogs WHERE node = $1 AND kind = $2 AND id = $3`, c.node, kind, id)
		return err
	}})
}

// EventDialogs calls f for each dialog of this node, ordered by kind and id, until f
// returns an error, which it returns. Those that have expired are among them; the ones
// that expired more than a week ago are deleted first, unless the store is shared.
func (s *Store) EventDialogs(ctx context.Context, f func(EventDialogRow) error) error {
	if !s.cfg.Shared {
		if err := s.change(ctx, false, func(c *writeConn) error {
			_, err := c.exec(`DELETE FROM event_dialogs WHERE node = $1 AND expires <= $2`, c.node, toMillis(s.now().Add(-eventDialogsKeptFor)))
			return err
		}); err != nil {
			return err
		}
	}
	rows, err := s.db.QueryContext(ctx, `SELECT kind, id, jid, aor, record, expires FROM event_dialogs WHERE node = $1 ORDER BY kind, id`, s.cfg.Node)
	if err != nil {
		return fmt.Errorf("store: reading dialogs: %w", err)
	}
	defer rows.Close()
	var record sql.RawBytes
	for rows.Next() {
		var r EventDialogRow
		var expires int64
		if err := rows.Scan(&r.Kind, &r.ID, &r.JID, &r.AOR, &record, &expires); err != nil {
			return fmt.Errorf("store: reading dialogs: %w", err)
		}
		r.Record, r.Expires = append([]byte(nil), record...), fromMillis(expires)
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: reading dialogs: %w", err)
	}
	return nil
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// AuthorisationRow is who may see whom of one pair. The words and bits belong to the
// presence service; "none" in both directions means that there is nothing to keep.
type AuthorisationRow struct {
	JID string // bare
	AOR string // the AOR's key; "" is the gateway itself

	Watch      string // the JID watches the AOR: none, asked, granted, denied
	WatchSince time.Time
	WatchAsked time.Time
	Share      string // the AOR watches the JID
	ShareSince time.Time
	ShareAsked time.Time

	Wanted bool     // somebody looks: the watching goes on after a restart
	Owed   int64    // bits: what has to be told still
	Shown  []string // resources of the AOR that the JID was shown as available
}

const authorisationColumns = `jid, aor, watch, watch_since, watch_asked, share, share_since, share_asked, wanted, owed, shown`

// PutAuthorisation writes a row, replacing the one of the same pair. It does not wait:
// done (may be nil) is called once after the commit, from the writer goroutine, unless
// PutAuthorisation itself returns an error. Changes of one pair are committed in the
// order of the calls.
func (s *Store) PutAuthorisation(r AuthorisationRow, done func(error)) error {
	if err := checkText(r.JID, r.AOR, r.Watch, r.Share); err != nil {
		return err
	}
	if r.JID == "" {
		return fmt.Errorf("%w: an authorisation needs a JID", ErrInvalid)
	}
	if err := checkText(r.Shown...); err != nil {
		return err
	}
	shown, err := toJSON(r.Shown)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s.enqueue(op{done: done, run: func(c *writeConn) error {
		_, err := c.exec(`INSERT INTO authorisations (`+authorisationColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (jid, aor) DO UPDATE SET watch = excluded.watch, watch_since = excluded.watch_since,
				watch_asked = excluded.watch_asked, share = excluded.share, share_since = excluded.share_since,
				share_asked = excluded.share_asked, wanted = excluded.wanted, owed = excluded.owed, shown = excluded.shown`,
			r.JID, r.AOR, r.Watch, toMillis(r.WatchSince), toMillis(r.WatchAsked), r.Share, toMillis(r.ShareSince), toMillis(r.ShareAsked),
			flag(r.Wanted), r.Owed, shown)
		return err
	}})
}

// DeleteAuthorisation removes the row of a pair; one that is not there is no error. It
// does not wait, see PutAuthorisation.
func (s *Store) DeleteAuthorisation(jid, aor string, done func(error)) error {
	if err := checkText(jid, aor); err != nil {
		return err
	}
	return s.enqueue(op{done: done, run: func(c *writeConn) error {
		_, err := c.exec(`DELETE FROM authorisations WHERE jid = $1 AND aor = $2`, jid, aor)
		return err
	}})
}

// Authorisation reads the row of a pair; false when there is none.
func (s *Store) Authorisation(ctx context.Context, jid, aor string) (AuthorisationRow, bool, error) {
	if err := checkText(jid, aor); err != nil {
		return AuthorisationRow{}, false, err
	}
	r, err := scanAuthorisation(s.db.QueryRowContext(ctx, `SELECT `+authorisationColumns+` FROM authorisations WHERE jid = $1 AND aor = $2`, jid, aor))
	if errors.Is(err, sql.ErrNoRows) {
		return AuthorisationRow{}, false, nil
	}
	if err != nil {
		return AuthorisationRow{}, false, fmt.Errorf("store: reading an authorisation: %w", err)
	}
	return r, true, nil
}

// Authorisations calls f for each row, ordered by JID and AOR, until f returns an error,
// which it returns.
func (s *Store) Authorisations(ctx context.Context, f func(AuthorisationRow) error) error {
	return s.authorisations(ctx, f, `ORDER BY jid, aor`)
}

// AuthorisationsOfAOR is Authorisations for one AOR: who watches a SIP user, and whom the
// SIP user watches.
func (s *Store) AuthorisationsOfAOR(ctx context.Context, aor string, f func(AuthorisationRow) error) error {
	if err := checkText(aor); err != nil {
		return err
	}
	return s.authorisations(ctx, f, `WHERE aor = $1 ORDER BY jid`, aor)
}

// AuthorisationsOfJID is Authorisations for one bare JID.
func (s *Store) AuthorisationsOfJID(ctx context.Context, jid string, f func(AuthorisationRow) error) error {
	if err := checkText(jid); err != nil {
		return err
	}
	return s.authorisations(ctx, f, `WHERE jid = $1 ORDER BY aor`, jid)
}

func (s *Store) authorisations(ctx context.Context, f func(AuthorisationRow) error, which string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, `SELECT `+authorisationColumns+` FROM authorisations `+which, args...)
	if err != nil {
		return fmt.Errorf("store: reading authorisations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanAuthorisation(rows)
		if err != nil {
			return fmt.Errorf("store: reading authorisations: %w", err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: reading authorisations: %w", err)
	}
	return nil
}

func scanAuthorisation(row interface{ Scan(...any) error }) (r AuthorisationRow, err error) {
	var watchSince, watchAsked, shareSince, shareAsked int64
	var wanted int
	var shown string
	if err := row.Scan(&r.JID, &r.AOR, &r.Watch, &watchSince, &watchAsked, &r.Share, &shareSince, &shareAsked, &wanted, &r.Owed, &shown); err != nil {
		return r, err
	}
	r.WatchSince, r.WatchAsked, r.ShareSince, r.ShareAsked = fromMillis(watchSince), fromMillis(watchAsked), fromMillis(shareSince), fromMillis(shareAsked)
	r.Wanted = wanted != 0
	if err := fromJSON([]byte(shown), &r.Shown); err != nil {
		return r, fmt.Errorf("%w: authorisation of %s and %s: %w", ErrCorrupt, r.JID, r.AOR, err)
	}
	return r, nil
}

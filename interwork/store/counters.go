package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Counter reads a number kept by name; 0 when it was never written.
func (s *Store) Counter(ctx context.Context, name string) (int64, error) {
	var v int64
	err := s.db.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = $1`, name).Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("store: reading %s: %w", name, err)
	}
	return v, nil
}

func setCounter(c *writeConn, name string, value int64) error {
	_, err := c.exec(`INSERT INTO counters (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// bumpCounter adds 1 and returns the new value. It keeps other processes off the counter
// until the transaction ends, so changes are numbered in the order of their commits.
func bumpCounter(c *writeConn, name string) (int64, error) {
	var v int64
	err := c.queryRow(`INSERT INTO counters (name, value) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`, []any{name}, &v)
	return v, err
}

// Meta reads a text kept by key; false when there is none.
func (s *Store) Meta(ctx context.Context, key string) (string, bool, error) {
	var v string
	err := s.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = $1`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("store: reading %s: %w", key, err)
	}
	return v, true, nil
}

// SetMeta keeps a text by key.
func (s *Store) SetMeta(ctx context.Context, key, value string) error {
	if err := checkText(key, value); err != nil {
		return err
	}
	return s.change(ctx, false, func(c *writeConn) error {
		_, err := c.exec(`INSERT INTO meta (key, value) VALUES ($1, $2)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
}

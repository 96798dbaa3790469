package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// The files are numbered from 1 without gaps; what is published is never changed.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations are the texts in order of their numbers.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(names))
	for i, name := range names {
		if want := fmt.Sprintf("migrations/%04d_", i+1); !strings.HasPrefix(name, want) {
			return nil, fmt.Errorf("store: %s should start with %s", name, want)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		texts[i] = string(text)
	}
	return texts, nil
}

// statements splits a migration; no statement in it holds a ";" of its own.
func statements(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			lines = append(lines, line)
		}
	}
	var list []string
	for s := range strings.SplitSeq(strings.Join(lines, ""), ";") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// migrate brings the schema up to date in one transaction, or refuses a newer one.
func (s *Store) migrate(ctx context.Context) error {
	texts, err := migrations()
	if err != nil {
		return err
	}
	version, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	if version == len(texts) {
		return nil
	}
	if version > len(texts) {
		return fmt.Errorf("%w: its schema is version %d, this program knows up to %d", ErrNewerSchema, version, len(texts))
	}
	if s.cfg.Shared {
		// Not under the feet of a daemon that serves with the older schema.
		unlock, err := s.engine.lock()
		if err != nil {
			return fmt.Errorf("store: the schema must be upgraded first, but a daemon is running: %w", err)
		}
		defer func() { _ = unlock() }() // the lock goes with the process at the latest
	}
	err = s.out.transaction(func(c *writeConn) error {
		if q := s.engine.migrating(); q != "" {
			if _, err := c.exec(q); err != nil {
				return err
			}
		}
		if _, err := c.exec(`CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY NOT NULL, applied BIGINT NOT NULL)`); err != nil {
			return err
		}
		// Another process may have been faster.
		var version int
		if err := c.queryRow(`SELECT COALESCE(MAX(version), 0) FROM schema_version`, nil, &version); err != nil {
			return err
		}
		for v := version + 1; v <= len(texts); v++ {
			for _, st := range statements(texts[v-1]) {
				if _, err := c.conn.ExecContext(c.ctx, st); err != nil {
					return fmt.Errorf("store: migration %d: %w", v, err)
				}
			}
			if _, err := c.exec(`INSERT INTO schema_version (version, applied) VALUES ($1, $2)`, v, toMillis(s.now())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: migrating: %w", err)
	}
	return nil
}

// schemaVersion is 0 for an empty database.
func (s *Store) schemaVersion(ctx context.Context) (int, error) {
	var tables, version int
	err := s.db.QueryRowContext(ctx, s.engine.tables(), "schema_version").Scan(&tables)
	if err == nil && tables > 0 {
		err = s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version)
	}
	if err != nil {
		return 0, errors.Join(errors.New("store: reading the schema version"), err)
	}
	return version, nil
}

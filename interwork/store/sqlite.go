package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

const (
	sqliteFile = "stoxgate.db"
	lockFile   = "stoxgate.lock"
)

// sqlite keeps the state in one file of dir.
type sqlite struct{ dir string }

func (e sqlite) open(ctx context.Context) (*sql.DB, error) {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(e.dir, sqliteFile)
	// The file holds digest secrets: it is made readable for its owner alone, and
	// SQLite gives its companions the same mode.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			// Another process commits in milliseconds, but an import of 100 000 identities
			// is one transaction of several seconds.
			"busy_timeout(20000)",
			"journal_mode(WAL)",
			"synchronous(FULL)",
			"foreign_keys(1)",
			"cache_size(-8192)",            // KiB
			"journal_size_limit(16777216)", // bytes; the WAL is cut to it after a burst
		},
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	// One connection is the writer's; each has a page cache, so readers are few.
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", file, err), db.Close())
	}
	return db, nil
}

func (e sqlite) lock() (func() error, error) {
	return lockDir(filepath.Join(e.dir, lockFile))
}

func (sqlite) claim(context.Context, *sql.Conn, string) error { return nil }

// A deferred transaction could fail at its first write when another process has
// committed since it began to read; an immediate one waits for its turn.
func (sqlite) begin() string { return "BEGIN IMMEDIATE" }

func (sqlite) tables() string {
	return "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
}

func (sqlite) migrating() string { return "" } // BEGIN IMMEDIATE does

func (sqlite) transaction() (context.Context, context.CancelFunc) {
	return context.Background(), func() {}
}

// transient: busy_timeout has waited already, but a checkpoint of another process may
// give SQLITE_BUSY without waiting.
func (sqlite) transient(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_BUSY
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// postgres keeps the state in a PostgreSQL database that several nodes share.
type postgres struct{ url string }

// migrationLock is the key of the advisory lock that migrating processes take.
const migrationLock = 0x73746f786d696772 // "stoxmigr"

func (e postgres) open(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("pgx", e.url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (postgres) lock() (func() error, error) { return func() error { return nil }, nil }

// claim takes a session lock for the node's name. It lives and dies with the writing
// connection, so a process that lost its connection cannot write before it has the name
// back.
func (postgres) claim(ctx context.Context, c *sql.Conn, node string) error {
	h := fnv.New64a()
	h.Write([]byte("stoxgate node " + node))
	var ok bool
	if err := c.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", int64(h.Sum64())).Scan(&ok); err != nil {
		return fmt.Errorf("store: claiming node %q: %w", node, err)
	}
	if !ok {
		return fmt.Errorf("%w: node %q is served already", ErrLocked, node)
	}
	return nil
}

func (postgres) begin() string { return "BEGIN" }

func (postgres) tables() string {
	return "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
}

func (postgres) migrating() string {
	return fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(migrationLock))
}

func (postgres) transaction() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Second)
}

// transient tells lost connections, restarts of the server and transactions that the
// server gave up for the sake of others (SQLSTATE classes 08, 40, 53, 57).
func (postgres) transient(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "40", "53", "57":
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, ErrLocked) // the server may not have noticed yet that our old connection is gone
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// engine is what differs between the databases.
type engine interface {
	// open makes the pool and proves that the database answers.
	open(ctx context.Context) (*sql.DB, error)
	// lock claims the place for serving; it returns how to give it back.
	lock() (unlock func() error, err error)
	// claim is lock for engines that hold it on the writing connection.
	claim(ctx context.Context, c *sql.Conn, node string) error
	// begin is the statement that starts a writing transaction.
	begin() string
	// tables is a query for the number of tables named $1.
	tables() string
	// migrating holds other processes off within the transaction that migrates.
	migrating() string
	// transaction is the context of one transaction: nothing may wait for ever, but the
	// embedded engine must not pay for a timer.
	transaction() (context.Context, context.CancelFunc)
	// transient tells errors that a new connection or a new try may heal.
	transient(err error) bool
}

// retryFor is how long the writer tries again after a transient error before it tells
// those who wait; the senders of messages have their own deadlines behind it.
const retryFor = 5 * time.Second

// writeConn is the one connection that writes. It belongs to the writer goroutine.
type writeConn struct {
	db     *sql.DB
	engine engine
	node   string
	shared bool
	log    zerolog.Logger

	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	ctx   context.Context // of the running transaction
}

// connect makes the connection when there is none.
func (c *writeConn) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if !c.shared {
		if err := c.engine.claim(ctx, conn, c.node); err != nil {
			_ = conn.Close()
			return err
		}
	}
	c.conn, c.stmts = conn, make(map[string]*sql.Stmt)
	return nil
}

func (c *writeConn) close() {
	if c.conn == nil {
		return
	}
	for _, st := range c.stmts {
		_ = st.Close()
	}
	// Not back to the pool: it may be broken, and it holds the claim of the node.
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.conn.Close()
	c.conn, c.stmts = nil, nil
}

// stmt prepares a statement once per connection.
func (c *writeConn) stmt(query string) (*sql.Stmt, error) {
	if st := c.stmts[query]; st != nil {
		return st, nil
	}
	st, err := c.conn.PrepareContext(c.ctx, query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = st
	return st, nil
}

// exec runs a statement and returns how many rows it changed.
func (c *writeConn) exec(query string, args ...any) (int64, error) {
	st, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(c.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// queryRow runs a query for one row; sql.ErrNoRows when there is none.
func (c *writeConn) queryRow(query string, args []any, dest ...any) error {
	st, err := c.stmt(query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(c.ctx, args...).Scan(dest...)
}

// transaction runs f between BEGIN and COMMIT, again on a new connection as long as the
// error is transient and the time for it has not run out. So f may run several times,
// and after an error of the COMMIT itself its first run may have taken effect: every
// change is written so that doing it twice does no harm.
func (c *writeConn) transaction(f func(c *writeConn) error) error {
	deadline := time.Now().Add(retryFor)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := c.try(f)
		if err == nil || !c.engine.transient(err) || !time.Now().Add(pause).Before(deadline) {
			return err
		}
		c.log.Warn().Err(err).Msg("store: trying the transaction again")
		time.Sleep(pause)
	}
}

func (c *writeConn) try(f func(c *writeConn) error) error {
	ctx, cancel := c.engine.transaction()
	defer cancel()
	if err := c.connect(ctx); err != nil {
		return err
	}
	c.ctx = ctx
	if _, err := c.exec(c.engine.begin()); err != nil {
		c.close()
		return fmt.Errorf("store: begin: %w", err)
	}
	err := f(c)
	if err == nil {
		if _, err = c.exec("COMMIT"); err == nil {
			return nil
		}
		err = fmt.Errorf("store: commit: %w", err)
	}
	if _, rerr := c.exec("ROLLBACK"); rerr != nil && c.engine.transient(errors.Join(err, rerr)) {
		c.close() // the connection is in no state to be used again
	}
	return err
}

// Package store is the memory of the gateway: identities, registrations, the message
// outbox with its duplicate keys, and what receipts need. It is a leaf: rows are plain
// strings and numbers, their meaning belongs to the callers.
//
// Decisions:
//   - One schema and one set of statements for SQLite (a directory, the default) and
//     PostgreSQL (a URL): $n parameters, BIGINT, TEXT, BYTEA, ON CONFLICT. What differs
//     between them is the engine interface and nothing else.
//   - One writer goroutine owns the only writing connection and puts everything that
//     waits (at most 256 changes) into one transaction, so that the flush to the disk,
//     which costs more than all else, is shared. It commits as soon as it has taken what
//     is there: a lone message does not wait for company.
//   - The transaction is BEGIN and COMMIT as prepared statements on a *sql.Conn, because
//     a sql.Tx starts a goroutine each time, which costs as much as the commit itself.
//   - The outbox is a log in a table: what one commit appends is one row (outbox.go), and
//     so are duplicate keys and receipts (keylog.go).
//   - Nothing is told to be safe before the commit has returned with
//     synchronous=FULL (SQLite) or synchronous_commit=on (PostgreSQL, its default).
//   - Nothing grows without bound: the queue refuses (ErrFull), rows that are done are
//     deleted and their pages used again, the write-ahead log is checkpointed by SQLite
//     every 1000 pages and cut to 16 MiB after a burst, keys are bounded in number.
//
// A SQLite directory is served by one process at a time (ErrLocked tells which has it);
// the command line edits identities meanwhile with Config.Shared. Of PostgreSQL each
// node name is served by one process at a time.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

var (
	// ErrFull tells that the queue in front of the writer is full: ask the sender to wait.
	ErrFull = errors.New("store: queue is full")
	// ErrClosed tells that the store is closed or closing.
	ErrClosed = errors.New("store: closed")
	// ErrLocked tells that another process serves from the same directory or as the same node.
	ErrLocked = errors.New("store: in use by another process")
	// ErrNewerSchema tells that the database was written by a newer program.
	ErrNewerSchema = errors.New("store: database is newer than this program")
	// ErrConflict tells that a key has an owner already; see *ConflictError.
	ErrConflict = errors.New("store: key has another owner")
	// ErrInvalid tells that a row cannot be stored as it is; the error says why.
	ErrInvalid = errors.New("store: invalid row")
	// ErrShared tells that the operation needs a store that serves (Config.Shared is set).
	ErrShared = errors.New("store: not available in shared mode")
	// ErrCorrupt tells that a row cannot be read back.
	ErrCorrupt = errors.New("store: corrupt row")
)

// ConflictError names the key that a change wanted and who has it.
type ConflictError struct {
	Key   string // of IdentityRow.Keys
	Owner string // identity id
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("store: %s belongs to identity %q", e.Key, e.Owner)
}

// Unwrap makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Unwrap() error { return ErrConflict }

const (
	defaultQueue      = 8192
	defaultQueueBytes = 64 << 20
	groupChanges      = 256 // changes per transaction
)

// Config tells where the state is. Dir or URL is needed; URL wins.
type Config struct {
	Dir  string // directory of the SQLite database; made when missing
	URL  string // postgres://…
	Node string // this node's name in a shared database; default "main"

	// Shared opens for a short edit of identities while a daemon serves from the same
	// place: no lock is taken, and the outbox, duplicates and receipts are not available.
	Shared bool

	Queue      int // entries that may wait for the writer; default 8192
	QueueBytes int // their bytes; default 64 MiB; no single entry may be larger

	Log zerolog.Logger

	now func() time.Time // tests
}

// Store is open until Close. All methods are safe for concurrent use.
type Store struct {
	cfg    Config
	engine engine
	db     *sql.DB   // readers
	out    writeConn // owned by the writer goroutine
	unlock func() error
	now    func() time.Time

	wake chan struct{} // capacity 1
	done chan struct{} // closed when the writer goroutine has ended

	mu       sync.Mutex // guards everything below
	closed   bool
	q        queue
	index    batchIndex
	dups     keyLog
	receipts keyLog
	failing  error // of the last transaction; nil when it went well
	failedAt time.Time
	stats    Stats

	reserved int64 // numbers up to here are reserved in the database
}

// Stats are counts since Open and the state now.
type Stats struct {
	Commits  uint64 // transactions
	Appended uint64 // outbox entries committed
	Pending  int    // outbox entries committed and not removed
	Queued   int    // changes waiting for the writer
	Failing  error  // why the last transaction failed; nil when it went well
}

// Open opens or makes the database, brings its schema up to date and reads the outbox's
// index. ctx bounds the opening only.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if cfg.Node == "" {
		cfg.Node = "main"
	}
	if cfg.Queue <= 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = defaultQueueBytes
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	s := &Store{
		cfg: cfg, now: cfg.now, wake: make(chan struct{}, 1), done: make(chan struct{}),
		dups: newKeyLog("duplicates", maxDuplicates), receipts: newKeyLog("receipts", maxReceipts),
	}
	switch {
	case cfg.URL != "":
		s.engine = postgres{url: cfg.URL}
	case cfg.Dir != "":
		s.engine = sqlite{dir: cfg.Dir}
	default:
		return nil, fmt.Errorf("%w: neither a directory nor a URL given", ErrInvalid)
	}
	s.unlock = func() error { return nil }
	defer func() {
		if err != nil {
			s.out.close()
			if s.db != nil {
				_ = s.db.Close()
			}
			_ = s.unlock()
		}
	}()

	if s.db, err = s.engine.open(ctx); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.out = writeConn{db: s.db, engine: s.engine, node: cfg.Node, shared: cfg.Shared, log: cfg.Log}
	if !cfg.Shared {
		unlock, err := s.engine.lock()
		if err != nil {
			return nil, err
		}
		s.unlock = unlock
		if err := s.out.connect(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	if !cfg.Shared {
		if err := s.load(ctx); err != nil {
			return nil, err
		}
	}
	go s.write()
	return s, nil
}

// load reads what the writer and the outbox keep in memory.
func (s *Store) load(ctx context.Context) error {
	if err := s.loadOutbox(ctx); err != nil {
		return fmt.Errorf("store: reading the outbox: %w", err)
	}
	for _, l := range []*keyLog{&s.dups, &s.receipts} {
		if err := l.load(ctx, s.db, s.cfg.Node, s.now().UnixMilli()); err != nil {
			return fmt.Errorf("store: reading %s: %w", l.table, err)
		}
	}
	if err := s.purgeBindings(); err != nil {
		return fmt.Errorf("store: purging bindings: %w", err)
	}
	return nil
}

// Close commits what was accepted, removals included, and closes the database. Later
// calls return ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.signal()
	<-s.done
	err := s.db.Close()
	return errors.Join(err, s.unlock())
}

// Stats tells how the store does.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Pending = s.index.pending
	st.Queued = s.q.changes()
	st.Failing = s.failing
	return st
}

// checkText refuses what PostgreSQL cannot hold in TEXT, so that both engines agree and
// a bad row cannot spoil the transaction of its neighbours.
func checkText(fields ...string) error {
	for _, f := range fields {
		if !utf8.ValidString(f) {
			return fmt.Errorf("%w: text is not UTF-8", ErrInvalid)
		}
		for i := range len(f) {
			if f[i] == 0 {
				return fmt.Errorf("%w: text holds a NUL", ErrInvalid)
			}
		}
	}
	return nil
}

// Times are stored as Unix milliseconds; 0 is the zero time.

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

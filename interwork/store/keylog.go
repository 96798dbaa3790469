package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// keyLog keeps short-lived keys with small values. They live in memory, at most max of
// them, and are logged to the database, one row for what a commit notes, so that they
// survive a restart. A row per key, at a random place of an index, took 30 µs of CPU, more
// than all else that a message costs here; this way it is 3.
//
// A key is kept as 16 bytes of its SHA-256, because peers choose the ids it is made of.
type keyLog struct {
	table string
	max   int

	keys   map[keyHash]keyEntry
	order  []keyTurn // oldest first
	queued []byte    // entries for the next row
	since  time.Time // when queued got its first
	row    int64     // id of the next row
	gone   int64     // rows up to this id are deleted
}

type keyHash [16]byte

type keyEntry struct {
	expires int64 // Unix milliseconds
	value   []byte
}

type keyTurn struct {
	hash    keyHash
	expires int64
	row     int64
}

func hashKey(key string) keyHash {
	h := sha256.Sum256([]byte(key))
	return keyHash(h[:16])
}

func newKeyLog(table string, max int) keyLog {
	return keyLog{table: table, max: max, keys: make(map[keyHash]keyEntry), row: 1}
}

// get returns a key that has not expired.
func (l *keyLog) get(h keyHash, now int64) (keyEntry, bool) {
	e, ok := l.keys[h]
	return e, ok && e.expires > now
}

// put keeps a key in memory and queues it for the log.
func (l *keyLog) put(h keyHash, now time.Time, e keyEntry) {
	l.remember(h, now.UnixMilli(), e, l.row)
	l.enqueue(h, now, e)
}

// forget takes a key back. The log takes it back by an entry that has expired.
func (l *keyLog) forget(h keyHash, now time.Time) {
	if _, ok := l.keys[h]; ok {
		delete(l.keys, h)
		l.enqueue(h, now, keyEntry{})
	}
}

func (l *keyLog) enqueue(h keyHash, now time.Time, e keyEntry) {
	if len(l.queued) == 0 {
		l.since = now
	}
	l.queued = append(l.queued, h[:]...)
	l.queued = binary.BigEndian.AppendUint64(l.queued, uint64(e.expires))
	l.queued = appendBytes(l.queued, e.value)
}

// due tells when the queued keys want to be written; the zero time: there are none.
func (l *keyLog) due() time.Time {
	if len(l.queued) == 0 {
		return time.Time{}
	}
	return l.since.Add(lazyFor)
}

func (l *keyLog) remember(h keyHash, now int64, e keyEntry, row int64) {
	l.expire(now)
	if len(l.order) >= l.max {
		l.drop()
	}
	l.keys[h] = e
	l.order = append(l.order, keyTurn{h, e.expires, row})
}

// expire drops the oldest as long as they have expired. One with a longer life holds up
// those behind it, which get no longer returns.
func (l *keyLog) expire(now int64) {
	for len(l.order) > 0 && l.order[0].expires <= now {
		l.drop()
	}
}

func (l *keyLog) drop() {
	k := l.order[0]
	l.order = l.order[1:]
	if l.keys[k.hash].expires == k.expires {
		delete(l.keys, k.hash)
	}
}

// keyWrite is what a transaction does to the log: a new row, and old ones to delete.
type keyWrite struct {
	table   string
	row     int64
	entries []byte
	gone    int64 // rows up to this id; 0: none
}

// worthDeleting rows have to be gone before they are deleted with one statement.
const worthDeleting = 64

// take gives what there is to write; ok is false when there is nothing.
func (l *keyLog) take(now int64) (w keyWrite, ok bool) {
	w.table = l.table
	if len(l.queued) > 0 {
		w.row, w.entries, l.queued = l.row, l.queued, nil
		l.row++
	}
	l.expire(now)
	gone := l.row - 1
	if len(l.order) > 0 {
		gone = l.order[0].row - 1
	}
	if gone-l.gone >= worthDeleting {
		w.gone, l.gone = gone, gone
	}
	return w, w.row > 0 || w.gone > 0
}

func (w *keyWrite) save(c *writeConn) error {
	if w.row > 0 {
		if _, err := c.exec(`INSERT INTO `+w.table+` (node, id, entries) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			c.node, w.row, w.entries); err != nil {
			return err
		}
	}
	if w.gone > 0 {
		if _, err := c.exec(`DELETE FROM `+w.table+` WHERE node = $1 AND id <= $2`, c.node, w.gone); err != nil {
			return err
		}
	}
	return nil
}

// load reads the log.
func (l *keyLog) load(ctx context.Context, db *sql.DB, node string, now int64) error {
	rows, err := db.QueryContext(ctx, `SELECT id, entries FROM `+l.table+` WHERE node = $1 ORDER BY id`, node)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row int64
		var entries sql.RawBytes
		if err := rows.Scan(&row, &entries); err != nil {
			return err
		}
		if err := l.loadRow(row, entries, now); err != nil {
			return fmt.Errorf("%s row %d: %w", l.table, row, err)
		}
		if l.row == 1 {
			l.gone = row - 1
		}
		l.row = row + 1
	}
	return rows.Err()
}

// loadRow reads what enqueue wrote. The error wraps ErrCorrupt.
func (l *keyLog) loadRow(row int64, entries []byte, now int64) error {
	r := reader{data: entries}
	for len(r.data) > 0 {
		if len(r.data) < 24 {
			r.fail("cut short")
			break
		}
		h := keyHash(r.data[:16])
		expires := binary.BigEndian.Uint64(r.data[16:24])
		r.data = r.data[24:]
		value := clone(r.bytes())
		if r.err != nil || expires > math.MaxInt64 {
			r.fail("bad expiry")
			break
		}
		if e := (keyEntry{int64(expires), value}); e.expires > now {
			l.remember(h, now, e, row)
		} else {
			delete(l.keys, h)
		}
	}
	return r.err
}

// Bounds of memory: a duplicate key takes about 100 bytes, a receipt some 30 more. Over
// them the oldest are forgotten early.
const (
	maxDuplicates = 1 << 20
	maxReceipts   = 1 << 18
)

// Seen tells whether key was noted within its lifetime, and notes it for ttl if not. The
// note is safe in the database no later than an outbox entry that is appended after it,
// and else written as lazily as Remove.
func (s *Store) Seen(key string, ttl time.Duration) bool {
	h, now := hashKey(key), s.now()
	s.mu.Lock()
	_, seen := s.dups.get(h, now.UnixMilli())
	wake := false
	if !seen {
		wake = s.lazily(func() { s.dups.put(h, now, keyEntry{expires: now.Add(ttl).UnixMilli()}) })
	}
	s.mu.Unlock()
	if wake {
		s.signal()
	}
	return seen
}

// Forget takes a key back that Seen has noted, because what it stands for was refused
// and may be tried again.
func (s *Store) Forget(key string) {
	h, now := hashKey(key), s.now()
	s.mu.Lock()
	wake := s.lazily(func() { s.dups.forget(h, now) })
	s.mu.Unlock()
	if wake {
		s.signal()
	}
}

// ReceiptFor is how long a receipt may come after its message (core.md §3.2: 24 h).
const ReceiptFor = 24 * time.Hour

// PutReceipt keeps a small value for who asks with key until ttl is over: what is needed
// to carry a receipt back that comes for a message long after. An older value is replaced.
// It is as safe as a note of Seen. At most 262 144 receipts are kept; with more than 3 a
// second all day long the oldest go before their time.
func (s *Store) PutReceipt(key string, value []byte, ttl time.Duration) error {
	if s.cfg.Shared {
		return ErrShared
	}
	h, now := hashKey(key), s.now()
	e := keyEntry{expires: now.Add(ttl).UnixMilli(), value: clone(value)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	wake := s.lazily(func() { s.receipts.put(h, now, e) })
	s.mu.Unlock()
	if wake {
		s.signal()
	}
	return nil
}

// Receipt returns what PutReceipt kept; false when there is nothing or it has expired.
// Memory answers, so ctx is not used and the error is nil as long as one node owns a pair.
func (s *Store) Receipt(_ context.Context, key string) (value []byte, ok bool, err error) {
	h, now := hashKey(key), s.now().UnixMilli()
	s.mu.Lock()
	e, ok := s.receipts.get(h, now)
	s.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	return clone(e.value), true, nil
}

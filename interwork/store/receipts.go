package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ReceiptFor is how long a receipt may come after its message (core.md §3.2: 24 h).
const ReceiptFor = 24 * time.Hour

// purgeEvery and purgeRows bound how much one transaction purges.
const (
	purgeEvery = time.Second
	purgeRows  = 512
)

// PutReceipt keeps value for who asks with key until ttl is over: what is needed to
// carry a receipt back that comes for a message long after. It does not wait; the row is
// safe no later than an outbox entry appended after it. An older value is replaced.
func (s *Store) PutReceipt(key string, value []byte, ttl time.Duration) error {
	if s.cfg.Shared {
		return ErrShared
	}
	h := hashKey(key)
	expires := toMillis(s.now().Add(ttl))
	return s.enqueue(op{run: func(c *writeConn) error {
		_, err := c.exec(`INSERT INTO receipts (key, value, expires) VALUES ($1, $2, $3)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires`, h[:], value, expires)
		return err
	}})
}

// Receipt returns what PutReceipt kept; false when there is nothing or it has expired.
func (s *Store) Receipt(ctx context.Context, key string) (value []byte, ok bool, err error) {
	h := hashKey(key)
	err = s.db.QueryRowContext(ctx, `SELECT value FROM receipts WHERE key = $1 AND expires > $2`, h[:], toMillis(s.now())).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("store: reading a receipt: %w", err)
	}
	return value, true, nil
}

// purgeReceipts deletes some of those that have expired, inside a transaction that takes
// place anyway.
func (s *Store) purgeReceipts(c *writeConn) error {
	now := s.now()
	if s.cfg.Shared || now.Before(s.nextPurge) && !s.purgeAgain {
		return nil
	}
	n, err := c.exec(`DELETE FROM receipts WHERE key IN (SELECT key FROM receipts WHERE expires <= $1 ORDER BY expires LIMIT $2)`,
		toMillis(now), purgeRows)
	s.nextPurge, s.purgeAgain = now.Add(purgeEvery), n == purgeRows
	return err
}

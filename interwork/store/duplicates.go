package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"
)

// Duplicate keys live in memory and are logged to the database, one row for what a
// commit notes, so that a request that is repeated across a restart is recognised. A key
// is kept as 16 bytes of its SHA-256, because who sends requests chooses their ids.

type keyHash [16]byte

func hashKey(key string) keyHash {
	h := sha256.Sum256([]byte(key))
	return keyHash(h[:16])
}

// keyBytes is a key in a row: hash and expiry (Unix milliseconds, big endian).
const keyBytes = 16 + 8

// maxDuplicates bounds the memory (about 80 bytes each); over it the oldest are forgotten.
const maxDuplicates = 1 << 20

type duplicates struct {
	expires map[keyHash]int64 // Unix milliseconds
	order   []dupKey          // oldest first
	rows    []dupRow          // oldest first
	lastRow int64             // id
}

type dupKey struct {
	hash    keyHash
	expires int64
}

type dupRow struct {
	id      int64
	expires int64 // of the last key in it to expire
}

// note adds a key; false when it is known and has not expired.
func (d *duplicates) note(h keyHash, now, expires int64) bool {
	for len(d.order) > 0 && (d.order[0].expires <= now || len(d.order) >= maxDuplicates) {
		k := d.order[0]
		d.order = d.order[1:]
		if d.expires[k.hash] == k.expires {
			delete(d.expires, k.hash)
		}
	}
	if e, ok := d.expires[h]; ok && e > now {
		return false
	}
	if d.expires == nil {
		d.expires = make(map[keyHash]int64)
	}
	d.expires[h] = expires
	d.order = append(d.order, dupKey{h, expires})
	return true
}

// addRow gives a new row its id.
func (d *duplicates) addRow(now time.Time, keys []byte) int64 {
	d.lastRow++
	d.rows = append(d.rows, dupRow{d.lastRow, max(lastExpiry(keys), now.UnixMilli())})
	return d.lastRow
}

// expiredRow takes the rows at the head that have expired, once there are enough of them
// to be worth a statement; 0: none.
func (d *duplicates) expiredRow(now time.Time) int64 {
	const worth = 64
	ms := now.UnixMilli()
	if len(d.rows) < worth || d.rows[worth-1].expires > ms {
		return 0
	}
	n := 0
	for n < len(d.rows) && d.rows[n].expires <= ms {
		n++
	}
	id := d.rows[n-1].id
	d.rows = d.rows[n:]
	return id
}

func lastExpiry(keys []byte) int64 {
	var last int64
	for ; len(keys) >= keyBytes; keys = keys[keyBytes:] {
		last = max(last, int64(binary.BigEndian.Uint64(keys[16:])))
	}
	return last
}

// Seen tells whether key was noted within its lifetime, and notes it for ttl if not. The
// note is safe in the database no later than an entry appended after it; until then and
// without such an entry, after the next commit.
func (s *Store) Seen(key string, ttl time.Duration) bool {
	h := hashKey(key)
	now := s.now()
	expires := now.Add(ttl).UnixMilli()
	s.mu.Lock()
	if !s.dups.note(h, now.UnixMilli(), expires) {
		s.mu.Unlock()
		return true
	}
	idle := len(s.q.keys) == 0
	if !s.cfg.Shared && !s.closed {
		s.q.keys = append(s.q.keys, h[:]...)
		s.q.keys = binary.BigEndian.AppendUint64(s.q.keys, uint64(expires))
	}
	s.mu.Unlock()
	if idle {
		s.signal()
	}
	return false
}

// Forget takes a key back that Seen has noted, because what it stands for was refused
// and may be tried again.
func (s *Store) Forget(key string) {
	h := hashKey(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.dups.expires[h]; !ok {
		return
	}
	delete(s.dups.expires, h)
	if !s.cfg.Shared && !s.closed { // an expiry in the past takes it back in the log too
		s.q.keys = append(s.q.keys, h[:]...)
		s.q.keys = binary.BigEndian.AppendUint64(s.q.keys, 0)
	}
}

// loadDuplicates reads the log.
func (s *Store) loadDuplicates(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, `SELECT id, keys FROM duplicates WHERE node = $1 ORDER BY id`, s.cfg.Node)
	if err != nil {
		return err
	}
	defer rows.Close()
	now := s.now().UnixMilli()
	for rows.Next() {
		var id int64
		var keys sql.RawBytes
		if err := rows.Scan(&id, &keys); err != nil {
			return err
		}
		if len(keys)%keyBytes != 0 {
			return fmt.Errorf("%w: duplicate keys of %d bytes", ErrCorrupt, len(keys))
		}
		s.dups.lastRow = id
		s.dups.rows = append(s.dups.rows, dupRow{id, lastExpiry(keys)})
		for ; len(keys) > 0; keys = keys[keyBytes:] {
			h := keyHash(keys[:16])
			expires := int64(binary.BigEndian.Uint64(keys[16:]))
			if expires > now {
				s.dups.note(h, now, expires)
			} else if expires == 0 {
				delete(s.dups.expires, h)
			}
		}
	}
	return rows.Err()
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The outbox is a log in a table. What one commit appends, 1 to 256 entries, is one row
// (first number, count, encoded entries); memory keeps which of them are still there
// (batch.go). When the last entry of a row is removed the row is deleted. A row that
// stays partly done for 50 ms gets its marks saved in outbox_state, and once half of
// what it stores is done it is written again without that half, so that one undeliverable
// message does not hold 255 delivered ones on the disk.
//
// Measured on SQLite with 560 bytes per entry, CPU for append and remove (go run of the
// three forms, 2026-11, virtio ext4): a row per entry 187 µs alone, 23 µs at 32 per
// commit, 13 µs at 256; one multi-row INSERT 188, 18 and 10; a row per commit 112, 5.3
// and 2.1. Of the last 108 µs are the commit, nearly all of it in the kernel.

// reserveAhead numbers are reserved in the database at a time, so that numbers that were
// told to others are not given again after a crash even when their rows are gone, or
// never were. The next ones are reserved when half of them are used: seconds before the
// last, at the highest rate, for a busy disk.
const reserveAhead = 1 << 18

func seqCounter(node string) string { return "outbox.seq." + node }

// Append puts e into the outbox with the next commit. It never blocks: ErrFull,
// ErrClosed, ErrInvalid (larger than Config.QueueBytes, no direction) and ErrShared come
// at once, and committed is not called then. Otherwise committed is called once, with
// the entry's number after the commit or with the error, from the writer goroutine: it
// must not block. e may be used again when Append returns.
func (s *Store) Append(e OutboxEntry, committed func(seq int64, err error)) error {
	_, err := s.AppendWithin(e, 0, committed)
	return err
}

// AppendWithin is Append for an entry that may be gone soon: its commit begins after
// patience, and when Remove comes before that there is nothing to write and committed
// is not called. The entry's number is given at once; it is good for ever, whatever
// becomes of the commit.
func (s *Store) AppendWithin(e OutboxEntry, patience time.Duration, committed func(seq int64, err error)) (int64, error) {
	if s.cfg.Shared {
		return 0, ErrShared
	}
	if e.Direction != X2S && e.Direction != S2X {
		return 0, fmt.Errorf("%w: outbox direction %q", ErrInvalid, e.Direction)
	}
	size := len(e.Payload) + len(e.Meta) + len(e.Pair) + len(e.Flow)
	if size > s.cfg.QueueBytes {
		return 0, fmt.Errorf("%w: outbox entry of %d bytes", ErrInvalid, size)
	}
	due := s.now().Add(patience)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	q := &s.q
	if q.entries >= s.cfg.Queue || q.bytes+size > s.cfg.QueueBytes || q.next > s.reserved {
		s.mu.Unlock()
		return 0, ErrFull
	}
	before := s.due()
	p := q.open(size)
	room := len(p.entries)
	p.entries = appendEntry(p.entries, p.span, &e)
	p.committed = append(p.committed, committed)
	p.due = append(p.due, due)
	p.span++
	p.live++
	p.after = q.opsIn
	seq := q.next
	q.next++
	q.entries++
	q.bytes += len(p.entries) - room
	wake := sooner(s.due(), before)
	s.mu.Unlock()
	if wake {
		s.signal()
	}
	return seq, nil
}

// open is the pack that takes the next entry of size bytes.
func (q *queue) open(size int) *pack {
	if n := len(q.packs); n > 0 && q.packs[n-1].span < groupChanges && len(q.packs[n-1].entries)+size <= packBytes {
		return q.packs[n-1]
	}
	return q.newPack()
}

// newPack starts a row behind the others.
func (q *queue) newPack() *pack {
	var p *pack
	if n := len(q.spare); n > 0 {
		p, q.spare = q.spare[n-1], q.spare[:n-1]
	} else {
		p = new(pack)
	}
	p.first = q.next
	p.entries = append(p.entries[:0], entriesVersion)
	q.packs = append(q.packs, p)
	q.bytes++
	return p
}

// recycle keeps a few packs for use again.
func (s *Store) recycle(p *pack) {
	if cap(p.entries) > 2*packBytes {
		return
	}
	clear(p.committed)
	*p = pack{entries: p.entries[:0], committed: p.committed[:0], due: p.due[:0]}
	s.mu.Lock()
	if len(s.q.spare) < 4 {
		s.q.spare = append(s.q.spare, p)
	}
	s.mu.Unlock()
}

// withdraw takes out an entry that is not committed yet; false if it is not among them.
func (q *queue) withdraw(seq int64) (empty *pack, ok bool) {
	if p := q.writing; p != nil && p.holds(seq) {
		p.withdraw(seq) // finish sees to it
		return nil, true
	}
	for i, p := range q.packs {
		if !p.holds(seq) {
			continue
		}
		if !p.withdraw(seq) {
			return nil, true
		}
		q.entries--
		if p.live > 0 {
			return nil, true
		}
		q.packs = slices.Delete(q.packs, i, i+1)
		q.bytes -= len(p.entries)
		return p, true
	}
	return nil, false
}

func (p *pack) holds(seq int64) bool { return seq >= p.first && seq < p.first+int64(p.span) }

// withdraw marks an entry; false when it was marked before.
func (p *pack) withdraw(seq int64) bool {
	i := int(seq - p.first)
	if p.gone[i/64]&(1<<(i%64)) != 0 {
		return false
	}
	p.gone[i/64] |= 1 << (i % 64)
	p.live--
	for p.head < p.span && p.isGone(p.head) {
		p.head++
	}
	return true
}

func (p *pack) isGone(i int) bool { return p.gone[i/64]&(1<<(i%64)) != 0 }

// Remove takes entries out: they are delivered, or their sender has been told. Unknown
// numbers are ignored. It is written with the next commit or within 50 ms; a crash
// before brings the entries back, so whoever gets them again must recognise them.
func (s *Store) Remove(seqs ...int64) {
	now := s.now()
	var empty *pack
	s.mu.Lock()
	wake := s.lazily(func() {
		for _, seq := range seqs {
			p, ok := s.q.withdraw(seq)
			if !ok {
				s.index.remove(seq, now)
			}
			if p != nil {
				empty = p
			}
		}
	})
	s.mu.Unlock()
	if empty != nil {
		s.recycle(empty)
	}
	if wake {
		s.signal()
	}
}

// Touch records a failed attempt, for Pending to show after a restart. It is written as
// lazily as Remove; an entry that is not there is ignored.
func (s *Store) Touch(seq int64, attempts int, notBefore time.Time) {
	now := s.now()
	n := note{attempts: max(attempts, 0), notBefore: toMillis(notBefore)}
	s.mu.Lock()
	wake := s.lazily(func() { s.index.touch(seq, n, now) })
	s.mu.Unlock()
	if wake {
		s.signal()
	}
}

// Pending returns up to limit committed entries with numbers larger than after, in
// order. Entries that wait for their commit are not among them.
func (s *Store) Pending(ctx context.Context, after int64, limit int) ([]OutboxEntry, error) {
	if s.cfg.Shared {
		return nil, ErrShared
	}
	var list []OutboxEntry
	for len(list) < limit {
		rows, err := s.rows(ctx, after, min(limit, 64))
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			list = append(list, row.entries...)
			after = row.last
		}
	}
	return list[:min(len(list), max(limit, 0))], nil
}

type outboxRow struct {
	last    int64
	entries []OutboxEntry
}

// rows reads rows that end behind after, with the entries behind after that are not
// done.
func (s *Store) rows(ctx context.Context, after int64, limit int) ([]outboxRow, error) {
	rows, err := s.db.QueryContext(ctx,
		// The first bound is for the index: a row is at most groupChanges long.
		`SELECT first, span, entries FROM outbox WHERE node = $1 AND first > $2 AND first + span - 1 > $3 ORDER BY first LIMIT $4`,
		s.cfg.Node, after-groupChanges, after, limit)
	if err != nil {
		return nil, fmt.Errorf("store: reading the outbox: %w", err)
	}
	defer rows.Close()
	var list []outboxRow
	for rows.Next() {
		var first, span int64
		var data sql.RawBytes
		if err := rows.Scan(&first, &span, &data); err != nil {
			return nil, fmt.Errorf("store: reading the outbox: %w", err)
		}
		entries, err := decodeEntries(first, data)
		if err != nil {
			return nil, fmt.Errorf("outbox row %d: %w", first, err)
		}
		list = append(list, outboxRow{first + span - 1, s.stillThere(entries, after)})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: reading the outbox: %w", err)
	}
	return list, nil
}

// stillThere filters the entries of one row by what memory knows better than the row.
func (s *Store) stillThere(entries []OutboxEntry, after int64) []OutboxEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := entries[:0]
	for _, e := range entries {
		b := s.index.find(e.Seq)
		if e.Seq <= after || b == nil || b.isDone(int32(e.Seq-b.first)) {
			continue
		}
		if n, ok := b.touched[int32(e.Seq-b.first)]; ok {
			e.Attempts, e.NotBefore = n.attempts, fromMillis(n.notBefore)
		}
		kept = append(kept, e)
	}
	return kept
}

// save writes the state, and the row again when much of it is done.
func (w *stateWrite) save(c *writeConn) error {
	if _, err := c.exec(`INSERT INTO outbox_state (node, first, state) VALUES ($1, $2, $3)
		ON CONFLICT (node, first) DO UPDATE SET state = excluded.state`, c.node, w.first, w.state); err != nil {
		return err
	}
	if !w.rewrite {
		return nil
	}
	var data []byte
	err := c.queryRow(`SELECT entries FROM outbox WHERE node = $1 AND first = $2`, []any{c.node, w.first}, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := decodeEntries(w.first, data)
	if err != nil {
		return err
	}
	b := w.batch()
	kept := []byte{entriesVersion}
	for i := range entries {
		if offset := int32(entries[i].Seq - w.first); !b.isDone(offset) {
			kept = appendEntry(kept, int(offset), &entries[i])
		}
	}
	_, err = c.exec(`UPDATE outbox SET stored = $3, entries = $4 WHERE node = $1 AND first = $2`, c.node, w.first, int64(b.live), kept)
	return err
}

// batch is the batch as it was when the round began.
func (w *stateWrite) batch() *batch {
	b := &batch{first: w.first, span: w.span}
	_ = b.restore(w.state) // our own writing
	return b
}

func (w *stateWrite) live() int32 { return w.batch().live }

func deleteRow(c *writeConn, d rowDelete) error {
	if _, err := c.exec(`DELETE FROM outbox WHERE node = $1 AND first = $2`, c.node, d.first); err != nil {
		return err
	}
	if !d.saved {
		return nil
	}
	_, err := c.exec(`DELETE FROM outbox_state WHERE node = $1 AND first = $2`, c.node, d.first)
	return err
}

// loadOutbox reads the index and finds the next number.
func (s *Store) loadOutbox(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, `SELECT first, span, stored FROM outbox WHERE node = $1 ORDER BY first`, s.cfg.Node)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := int64(0)
	byFirst := make(map[int64]*batch)
	for rows.Next() {
		b := new(batch)
		if err := rows.Scan(&b.first, &b.span, &b.stored); err != nil {
			return err
		}
		if b.span < 1 || b.span > groupChanges {
			return fmt.Errorf("%w: outbox row %d holds %d entries", ErrCorrupt, b.first, b.span)
		}
		b.live = b.span
		byFirst[b.first] = b
		s.index.list = append(s.index.list, b)
		last = max(last, b.first+int64(b.span)-1)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := s.loadStates(ctx, byFirst); err != nil {
		return err
	}
	now := s.now()
	list := s.index.list
	s.index.list = nil
	for _, b := range list {
		if b.live == 0 {
			s.index.drop(b, now)
			continue
		}
		s.index.add(b)
	}

	reserved, err := s.Counter(ctx, seqCounter(s.cfg.Node))
	if err != nil {
		return err
	}
	s.q.next = max(last, reserved) + 1
	return s.reserve()
}

// reserve makes the first numbers available.
func (s *Store) reserve() error {
	reserved := s.q.next + reserveAhead
	err := s.out.transaction(func(c *writeConn) error { return setCounter(c, seqCounter(c.node), reserved) })
	if err == nil {
		s.reserved = reserved
	}
	return err
}

func (s *Store) loadStates(ctx context.Context, byFirst map[int64]*batch) error {
	rows, err := s.db.QueryContext(ctx, `SELECT first, state FROM outbox_state WHERE node = $1`, s.cfg.Node)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var first int64
		var state sql.RawBytes
		if err := rows.Scan(&first, &state); err != nil {
			return err
		}
		if b := byFirst[first]; b != nil {
			if err := b.restore(state); err != nil {
				return fmt.Errorf("outbox row %d: %w", first, err)
			}
		}
	}
	return rows.Err()
}

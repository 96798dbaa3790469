package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
// told to others are not given again after a crash even when their rows are gone.
const reserveAhead = 4096

func seqCounter(node string) string { return "outbox.seq." + node }

// Append puts e into the outbox. It never blocks: ErrFull, ErrClosed, ErrInvalid (larger
// than Config.QueueBytes, no direction) and ErrShared come at once, and committed is not
// called then. Otherwise committed is called once, with the entry's number after the
// commit or with the error, from the writer goroutine: it must not block. e may be used
// again when Append returns.
func (s *Store) Append(e OutboxEntry, committed func(seq int64, err error)) error {
	if s.cfg.Shared {
		return ErrShared
	}
	if e.Direction != X2S && e.Direction != S2X {
		return fmt.Errorf("%w: outbox direction %q", ErrInvalid, e.Direction)
	}
	size := len(e.Payload) + len(e.Meta) + len(e.Pair) + len(e.Flow)
	if size > s.cfg.QueueBytes {
		return fmt.Errorf("%w: outbox entry of %d bytes", ErrInvalid, size)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	q := &s.q
	if q.entries >= s.cfg.Queue || q.bytes+size > s.cfg.QueueBytes {
		s.mu.Unlock()
		return ErrFull
	}
	var p *pack
	if n := len(q.packs); n > 0 && q.packs[n-1].span < groupChanges && len(q.packs[n-1].entries)+size <= packBytes {
		p = q.packs[n-1]
	} else {
		p = q.newPack()
	}
	before := len(p.entries)
	p.entries = appendEntry(p.entries, p.span, &e)
	p.committed = append(p.committed, committed)
	p.span++
	p.after = q.opsIn
	q.next++
	q.entries++
	q.bytes += len(p.entries) - before
	s.mu.Unlock()
	s.signal()
	return nil
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
	*p = pack{entries: p.entries[:0], committed: p.committed[:0]}
	s.mu.Lock()
	if len(s.q.spare) < 4 {
		s.q.spare = append(s.q.spare, p)
	}
	s.mu.Unlock()
}

// Remove takes entries out: they are delivered, or their sender has been told. Unknown
// numbers are ignored. It is written with the next commit or within 50 ms; a crash
// before brings the entries back, so whoever gets them again must recognise them.
func (s *Store) Remove(seqs ...int64) {
	now := s.now()
	s.mu.Lock()
	wake := s.lazily(func() {
		for _, seq := range seqs {
			s.index.remove(seq, now)
		}
	})
	s.mu.Unlock()
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
	s.reserved = reserved
	s.q.next = max(last, reserved) + 1
	return nil
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

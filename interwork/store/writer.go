package store

import (
	"context"
	"runtime"
	"slices"
	"time"
)

// lazyFor is how long removals, attempts and the like may wait for a commit that
// happens anyway.
const lazyFor = 50 * time.Millisecond

// lazyAfterFailure replaces it while the database refuses.
const lazyAfterFailure = time.Second

// op is a change other than of the outbox. It is run inside the transaction, perhaps
// more than once; done is called once, after the commit.
type op struct {
	run   func(c *writeConn) error
	done  func(error) // may be nil
	alone bool        // its failure must not fail others: it gets its own transaction
}

// pack is a row of the outbox that is being filled.
type pack struct {
	first     int64
	span      int
	entries   []byte
	committed []func(seq int64, err error)
	after     uint64 // ops that were queued before its last entry

	due  []time.Time               // when the commit of each entry is to begin
	gone [groupChanges / 64]uint64 // bit per entry that was removed meanwhile
	live int                       // entries that were not
	head int                       // the first of them
}

// packBytes closes a pack; a single entry may be larger.
const packBytes = 512 << 10

// queue is what waits for the writer.
type queue struct {
	packs   []*pack // all but the last are full; none is empty
	writing *pack   // being committed
	spare   []*pack // to use again
	entries int
	bytes   int
	next    int64 // the number of the next entry

	ops    []op
	opsIn  uint64 // ever queued
	opsOut uint64 // ever taken
}

func (q *queue) changes() int { return q.entries + len(q.ops) }

// round is what one transaction writes.
type round struct {
	pack    *pack
	ops     []op
	keys    []keyWrite
	emptied []*batch
	states  []stateWrite
	deletes []rowDelete
	reserve int64 // numbers up to here; 0: enough are
}

// rowDelete removes a row of the outbox and, when it has one, its state.
type rowDelete struct {
	first int64
	saved bool
}

// stateWrite saves the state of a batch as it was when the round began.
type stateWrite struct {
	b       *batch
	first   int64
	span    int32
	state   []byte
	rewrite bool // half of the stored entries are done: store the others alone
}

// signal wakes the writer.
func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// enqueue hands an op to the writer.
func (s *Store) enqueue(o op) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	if len(s.q.ops) >= s.cfg.Queue {
		s.mu.Unlock()
		return ErrFull
	}
	s.q.ops = append(s.q.ops, o)
	s.q.opsIn++
	s.mu.Unlock()
	s.signal()
	return nil
}

// change runs f in the writer and waits for its commit. When ctx ends first the change
// may still happen.
func (s *Store) change(ctx context.Context, alone bool, f func(c *writeConn) error) error {
	done := make(chan error, 1)
	if err := s.enqueue(op{run: f, done: func(err error) { done <- err }, alone: alone}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the writer goroutine.
func (s *Store) write() {
	defer close(s.done)
	defer s.out.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.gather()
		r, due, more := s.take()
		switch {
		case r != nil:
			s.finish(r, s.commit(r))
			continue
		case !more:
			s.sayGoodbye()
			return
		}
		if due.IsZero() {
			<-s.wake
			continue
		}
		timer.Reset(due.Sub(s.now()))
		select {
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// gatherRounds bounds how often the writer steps back for others.
const gatherRounds = 16

// gather lets whoever is ready to append do so now and share this commit, for as long as
// the queue grows: a commit costs the same for one message and for a hundred, and nobody
// waits who could run.
func (s *Store) gather() {
	for range gatherRounds {
		before := s.queued()
		runtime.Gosched()
		if s.queued() == before {
			return
		}
	}
}

func (s *Store) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.q.entries + len(s.q.ops)
}

// take collects the next round. When there is none, due tells when to look again (zero:
// when woken), and more is false when the store is closed and all is written.
func (s *Store) take() (r *round, due time.Time, more bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.q

	// What was queued before an entry is committed with it or earlier; so a pack that may
	// go can wait for no op, and a stream of ops or of entries cannot hold up the other.
	ready := func() bool {
		return len(q.packs) > 0 && q.opsOut >= q.packs[0].after && (s.closed || !q.due().After(now))
	}
	var ops []op
	if len(q.ops) > 0 && !(q.ops[0].alone && ready()) {
		ops = s.takeOps()
	}
	var p *pack
	if ready() && (len(ops) == 0 || !ops[0].alone) {
		p = q.packs[0]
		q.packs = slices.Delete(q.packs, 0, 1)
		q.writing = p
		q.entries -= p.live
		q.bytes -= len(p.entries)
	}
	due = s.due()
	if s.failing != nil && !due.IsZero() && !s.closed {
		due = due.Add(lazyAfterFailure - lazyFor)
	}
	if p == nil && len(ops) == 0 {
		if due.IsZero() || !s.closed && due.After(now) || s.closed && s.failing != nil {
			return nil, due, !s.closed
		}
	}

	r = &round{pack: p, ops: ops}
	if len(ops) > 0 && ops[0].alone {
		return r, due, true
	}
	for _, l := range []*keyLog{&s.dups, &s.receipts} {
		if w, ok := l.take(now.UnixMilli()); ok {
			r.keys = append(r.keys, w)
		}
	}
	s.takeLazy(r, now)
	if s.scarce() {
		r.reserve = q.next + reserveAhead
	}
	return r, due, true
}

// due tells when something wants to be written that is not queued as an op; the zero
// time: never.
func (s *Store) due() time.Time {
	t := earlier(s.index.due(), earlier(s.dups.due(), s.receipts.due()))
	if s.scarce() {
		t = earlier(t, s.failedAt.Add(lazyAfterFailure))
	}
	return earlier(t, s.q.due())
}

// scarce tells that numbers have to be reserved.
func (s *Store) scarce() bool {
	return s.reserved-s.q.next < reserveAhead/2 && !s.cfg.Shared && !s.closed
}

// due is when the first entry wants to be committed.
func (q *queue) due() time.Time {
	if len(q.packs) == 0 {
		return time.Time{}
	}
	return q.packs[0].due[q.packs[0].head]
}

// earlier treats the zero time as never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// lazily makes a change that can wait; mu is held. It tells whether the writer has to be
// woken to set its timer.
func (s *Store) lazily(change func()) (wake bool) {
	before := s.due()
	change()
	return sooner(s.due(), before)
}

// sooner tells whether the writer, who waits for before, has to be woken for due.
func sooner(due, before time.Time) bool {
	return !due.IsZero() && (before.IsZero() || due.Before(before))
}

// takeOps takes ops for one transaction: many of the common kind, or one that wants to
// be alone. There is at least one.
func (s *Store) takeOps() []op {
	q := &s.q
	n := 0
	for n < len(q.ops) && n < groupChanges && !q.ops[n].alone {
		n++
	}
	n = max(n, 1) // the first wants to be alone
	ops := q.ops[:n:n]
	if q.ops = q.ops[n:]; len(q.ops) == 0 {
		q.ops = nil
	}
	q.opsOut += uint64(n)
	return ops
}

// takeLazy adds removals and the states whose time has come.
func (s *Store) takeLazy(r *round, now time.Time) {
	x := &s.index
	n := min(len(x.emptied), groupChanges)
	r.emptied = x.emptied[:n:n]
	for _, b := range r.emptied {
		r.deletes = append(r.deletes, rowDelete{b.first, b.saved})
	}
	x.emptied = x.emptied[n:]

	for len(x.dirty) > 0 && len(r.states) < groupChanges {
		b := x.dirty[0]
		if !b.dirtySince.IsZero() && !s.closed && now.Sub(b.dirtySince) < lazyFor {
			break
		}
		x.dirty[0] = nil
		x.dirty = x.dirty[1:]
		if b.dirtySince.IsZero() { // emptied since
			continue
		}
		b.dirtySince = time.Time{}
		r.states = append(r.states, stateWrite{
			b: b, first: b.first, span: b.span, state: b.state(), rewrite: b.live <= b.stored/2,
		})
	}
}

// commit writes a round.
func (s *Store) commit(r *round) error {
	return s.out.transaction(func(c *writeConn) error {
		if p := r.pack; p != nil {
			// DO NOTHING: after an error of the commit itself the row may be there.
			if _, err := c.exec(`INSERT INTO outbox (node, first, span, stored, entries) VALUES ($1, $2, $3, $3, $4) ON CONFLICT DO NOTHING`,
				c.node, p.first, int64(p.span), p.entries); err != nil {
				return err
			}
		}
		if r.reserve > 0 {
			if err := setCounter(c, seqCounter(c.node), r.reserve); err != nil {
				return err
			}
		}
		for _, d := range r.deletes {
			if err := deleteRow(c, d); err != nil {
				return err
			}
		}
		for i := range r.states {
			if err := r.states[i].save(c); err != nil {
				return err
			}
		}
		for i := range r.keys {
			if err := r.keys[i].save(c); err != nil {
				return err
			}
		}
		for _, o := range r.ops {
			if err := o.run(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish takes the result of a round into memory and tells those who wait for it.
func (s *Store) finish(r *round, err error) {
	alone := len(r.ops) > 0 && r.ops[0].alone // such an error is about the change, not the database
	now := s.now()
	s.mu.Lock()
	if err == nil {
		s.stats.Commits++
		if s.failing != nil {
			s.cfg.Log.Info().Msg("store: writing again")
		}
		s.failing = nil
		s.reserved = max(s.reserved, r.reserve)
	} else if !alone {
		if s.failing == nil {
			s.cfg.Log.Error().Err(err).Msg("store: cannot write")
		}
		s.failing, s.failedAt = err, now
	}
	if p := r.pack; p != nil {
		b := &batch{first: p.first, span: int32(p.span), live: int32(p.span), stored: int32(p.span)}
		s.q.writing = nil
		if err == nil {
			s.index.add(b)
			s.stats.Appended += uint64(p.span)
			for i := range p.span {
				if p.isGone(i) {
					s.index.remove(p.first+int64(i), now)
				}
			}
		} else {
			// It may have been committed all the same; its senders are told that it
			// was not, so it must not come back after a restart.
			s.index.drop(b, now)
		}
	}
	if err == nil {
		for i := range r.states {
			w := &r.states[i]
			w.b.saved = true
			if w.rewrite {
				w.b.stored = w.live()
			}
		}
	} else {
		// Keys stay in memory only: they are good until a restart.
		if len(r.emptied) > 0 {
			s.index.emptied = append(r.emptied, s.index.emptied...)
			s.index.since = now
		}
		for i := range r.states {
			if w := &r.states[i]; w.b.live > 0 {
				s.index.markDirty(w.b, now)
			}
		}
	}
	s.mu.Unlock()

	if p := r.pack; p != nil {
		for i, committed := range p.committed {
			if committed != nil && !p.isGone(i) {
				committed(p.first+int64(i), err)
			}
		}
		s.recycle(p)
	}
	for _, o := range r.ops {
		if o.done != nil {
			o.done(err)
		}
	}
}

// sayGoodbye gives back the numbers that were reserved and not used, so that an orderly
// restart leaves no gap.
func (s *Store) sayGoodbye() {
	if s.cfg.Shared {
		return
	}
	last := s.q.next - 1
	if last >= s.reserved {
		return
	}
	if err := s.out.transaction(func(c *writeConn) error {
		return setCounter(c, seqCounter(c.node), last)
	}); err != nil {
		s.cfg.Log.Warn().Err(err).Msg("store: closing")
	}
}

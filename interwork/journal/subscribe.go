package journal

import (
	"context"
	"sync/atomic"
)

// Filter says what a subscriber wants to see. The zero value is everything
// without raw.
type Filter struct {
	Flow   string // only this flow
	Raw    bool   // with the bytes of each message (bodies blanked unless capture is on)
	Buffer int    // entries that may wait for the reader, 256 when 0
	After  uint64 // begin with the kept entries above this Seq
	Replay bool   // with After: also when After is 0, that is with everything kept
}

const defaultBuffer = 256

// Subscription delivers entries as they are added.
type Subscription struct {
	// C carries the entries in order. It is closed when the subscription ends.
	C <-chan Entry

	c       chan Entry
	j       *Journal
	filter  Filter
	dropped atomic.Uint64
	stop    func() bool // cuts the tie to the context
}

// Subscribe starts a subscription that ends with ctx or Close. When the reader
// falls behind by more than the buffer, entries are dropped for it and counted.
// Entries replayed because of Filter.After enlarge the buffer as needed, and
// no entry is missed or doubled between the replay and what follows.
func (j *Journal) Subscribe(ctx context.Context, f Filter) *Subscription {
	if f.Buffer <= 0 {
		f.Buffer = defaultBuffer
	}
	s := &Subscription{j: j, filter: f}
	j.readers.Add(1)
	if f.Raw {
		j.rawSubs.Add(1)
	}
	j.mu.Lock()
	var past []Entry
	if f.After > 0 || f.Replay {
		past = j.since(f.After)
	}
	s.c = make(chan Entry, f.Buffer+len(past))
	s.C = s.c
	for i := range past {
		s.offer(&past[i])
	}
	j.subs = append(j.subs, s)
	j.mu.Unlock()
	s.stop = context.AfterFunc(ctx, s.end)
	return s
}

// offer hands e over without waiting; it reports false when e was dropped.
// Called with the journal's lock held, so it cannot meet a closed channel.
func (s *Subscription) offer(e *Entry) bool {
	if s.filter.Flow != "" && s.filter.Flow != e.Flow {
		return true
	}
	copied := *e
	if !s.filter.Raw {
		copied.Message = nil
	}
	select {
	case s.c <- copied:
		return true
	default:
		s.dropped.Add(1)
		return false
	}
}

// Dropped returns how many entries this subscriber missed so far.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription and closes C. It may be called more than once.
func (s *Subscription) Close() {
	s.stop()
	s.end()
}

func (s *Subscription) end() {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	for i, other := range s.j.subs {
		if other == s {
			s.j.subs = append(s.j.subs[:i], s.j.subs[i+1:]...)
			s.j.readers.Add(-1)
			if s.filter.Raw {
				s.j.rawSubs.Add(-1)
			}
			close(s.c)
			return
		}
	}
}

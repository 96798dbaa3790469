package ua

import (
	"sync"
	"time"
)

// answers keeps the final responses of UDP transactions for retransmissions
// (RFC 3261 §17.2.2, completed until timer J). At 10,000 messages a second that
// is 320,000 of them, so they are bytes in large pages and a map without
// pointers: nothing that the garbage collector has to walk through. Pages fill in
// the order of time and are dropped as a whole.
type answers struct {
	life  time.Duration // timer J
	limit int           // entries; 0: none
	now   func() time.Time

	mu    sync.Mutex
	where map[txKey]spot
	pages []*page // the oldest first
	first uint32  // number of pages[0]
}

// spot is where an answer lies.
type spot struct{ page, start, end uint32 }

type page struct {
	bytes []byte
	keys  []txKey
	born  time.Time // of the first entry
	last  time.Time // of the last entry
}

const (
	pageBytes = 256 << 10
	pageSpan  = time.Second // a page is closed after that, so that it can die in time
)

func newAnswers(life time.Duration, limit int) *answers {
	return &answers{life: life, limit: max(limit, 0), now: time.Now, where: map[txKey]spot{}}
}

// put remembers a copy of b.
func (a *answers) put(k txKey, b []byte) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now)
	if a.limit > 0 {
		for len(a.where) >= a.limit && len(a.pages) > 0 {
			a.dropFirst() // memory before the standard: those count as new again
		}
	}
	var p *page
	if n := len(a.pages); n > 0 {
		p = a.pages[n-1]
	}
	if p == nil || now.Sub(p.born) > pageSpan || len(p.bytes)+len(b) > cap(p.bytes) {
		size := pageBytes
		if p == nil || len(p.bytes) < pageBytes/16 {
			size = pageBytes / 16 // there is not much traffic
		}
		p = &page{bytes: make([]byte, 0, max(size, len(b))), born: now}
		a.pages = append(a.pages, p)
	}
	start := len(p.bytes)
	p.bytes = append(p.bytes, b...)
	p.keys = append(p.keys, k)
	p.last = now
	a.where[k] = spot{a.first + uint32(len(a.pages)-1), uint32(start), uint32(len(p.bytes))}
}

// get returns the answer, which must not be changed; nil when there is none.
func (a *answers) get(k txKey) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.where[k]
	if !ok {
		return nil
	}
	p := a.pages[s.page-a.first]
	if a.now().Sub(p.last) > a.life {
		return nil
	}
	return p.bytes[s.start:s.end:s.end]
}

// expire drops pages whose last entry is old enough; a.mu is held.
func (a *answers) expire(now time.Time) {
	for len(a.pages) > 0 && now.Sub(a.pages[0].last) > a.life {
		a.dropFirst()
	}
}

func (a *answers) dropFirst() {
	p := a.pages[0]
	for _, k := range p.keys {
		if s := a.where[k]; s.page == a.first {
			delete(a.where, k)
		}
	}
	a.pages[0] = nil
	a.pages = a.pages[1:]
	a.first++
}

// sweep is expire for times without traffic.
func (a *answers) sweep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(a.now())
}

func (a *answers) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.where)
}

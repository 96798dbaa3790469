package ua

import (
	"net/netip"
	"sync"
	"time"
)

const (
	blockFor  = 32 * time.Second
	blockMax  = 10 * time.Minute // of a Retry-After that means well but is wrong
	maxBlocks = 10_000
)

// blocklist holds the addresses that failed lately.
type blocklist struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[blockKey]time.Time // until
}

type blockKey struct {
	transport string
	addr      netip.AddrPort
}

func newBlocklist() *blocklist { return &blocklist{now: time.Now, m: map[blockKey]time.Time{}} }

func (b *blocklist) add(d Dest, wait time.Duration) {
	if wait <= 0 {
		wait = blockFor
	}
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.m) >= maxBlocks {
		for k, until := range b.m {
			if now.After(until) {
				delete(b.m, k)
			}
		}
		if len(b.m) >= maxBlocks {
			clear(b.m)
		}
	}
	b.m[blockKey{d.Transport, d.Addr}] = now.Add(min(wait, blockMax))
}

func (b *blocklist) has(d Dest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hasLocked(d, b.now())
}

func (b *blocklist) hasLocked(d Dest, now time.Time) bool {
	until, ok := b.m[blockKey{d.Transport, d.Addr}]
	if ok && now.After(until) {
		delete(b.m, blockKey{d.Transport, d.Addr})
		ok = false
	}
	return ok
}

// order moves what is blocked to the end: when nothing else is left it is still
// better than giving up.
func (b *blocklist) order(list []Dest) []Dest {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.m) == 0 {
		return list
	}
	now := b.now()
	good := make([]Dest, 0, len(list))
	var bad []Dest
	for _, d := range list {
		if b.hasLocked(d, now) {
			bad = append(bad, d)
		} else {
			good = append(good, d)
		}
	}
	return append(good, bad...)
}

package relay

import (
	"runtime"
	"sync"
	"time"
)

// frame is how often the relay makes packets of its own.
const frame = 20 * time.Millisecond

// ticker calls the sessions that make packets (transcoding, telephone events) every frame.
// It has a few goroutines, each with its share of the sessions, that exist only while there
// are any.
type ticker struct {
	shards []*tickShard
	wg     *sync.WaitGroup
}

type tickShard struct {
	mu       sync.Mutex
	sessions map[*Session]struct{}
	running  bool
	stop     chan struct{}
}

func newTicker(wg *sync.WaitGroup) *ticker {
	t := &ticker{wg: wg}
	for range runtime.GOMAXPROCS(0) {
		t.shards = append(t.shards, &tickShard{sessions: map[*Session]struct{}{}, stop: make(chan struct{})})
	}
	return t
}

func (t *ticker) shard(s *Session) *tickShard { return t.shards[s.turn%len(t.shards)] }

func (t *ticker) add(s *Session) {
	h := t.shard(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[s] = struct{}{}
	if !h.running {
		h.running = true
		t.wg.Add(1)
		go func() {
			defer t.wg.Done()
			h.run()
		}()
	}
}

func (t *ticker) remove(s *Session) {
	h := t.shard(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
}

func (t *ticker) close() {
	for _, h := range t.shards {
		close(h.stop)
	}
}

func (h *tickShard) run() {
	c := time.NewTicker(frame)
	defer c.Stop()
	var list []*Session
	for {
		select {
		case <-h.stop:
			h.mu.Lock()
			h.running = false
			h.mu.Unlock()
			return
		case <-c.C:
		}
		now := time.Now()
		h.mu.Lock()
		if len(h.sessions) == 0 {
			h.running = false
			h.mu.Unlock()
			return
		}
		list = list[:0]
		for s := range h.sessions {
			list = append(list, s)
		}
		h.mu.Unlock()
		for _, s := range list {
			s.step(now)
		}
		clear(list)
	}
}

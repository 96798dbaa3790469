package ua

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// KeepAlive keeps the connection that a request of ours was answered over (RFC 5626 §4.4.1):
// it is pinged by a double CRLF, not closed for being idle, and given up when a peer that
// answers pings stops doing so. One value keeps one connection at a time; it is for requests
// of Do that get a 2xx.
type KeepAlive struct {
	// Interval between two pings, of which each waits a random 80 to 100 %. Zero: what the
	// 2xx says in Flow-Timer, else 120 s.
	Interval time.Duration
	// Lost, if not nil, is called when the connection has ended, once for each. It must not
	// block.
	Lost func()

	mu sync.Mutex
	on *stream
}

const (
	pingEvery  = 120 * time.Second
	pingLeast  = 15 * time.Second // between two, whatever a peer asks for
	pongWithin = 10 * time.Second
)

var ping = []byte("\r\n\r\n")

var errNoPong = errors.New("ua: keep-alive was not answered")

// keeper is what a stream has that is kept.
type keeper struct {
	k     *KeepAlive
	every time.Duration
	pongs bool // the peer answers pings
	asked bool // a ping waits for its answer
	heard bool // since then
	timer *time.Timer
}

// answered keeps the connection of a request that got this answer.
func (k *KeepAlive) answered(s *stream, res *sip.Response) {
	if res.StatusCode/100 != 2 {
		return
	}
	timer, told := sip.ParseRetryAfter(sip.Value(res, "Flow-Timer"))
	every := pingEvery
	switch {
	case k.Interval > 0:
		every = k.Interval
	case told && timer > 0:
		every = min(max(timer, pingLeast), pingEvery)
	}
	k.mu.Lock()
	old := k.on
	k.on = s
	k.mu.Unlock()
	if old != nil && old != s {
		old.release(k)
	}
	s.keep(k, every, told || sip.HasToken(res, "Require", "outbound"))
}

// Stop ends the keeping of a connection; Lost is not called any more.
func (k *KeepAlive) Stop() {
	k.mu.Lock()
	s := k.on
	k.on = nil
	k.mu.Unlock()
	if s != nil {
		s.release(k)
	}
}

// keep starts the pings; pongs tells that the peer is known to answer them.
func (s *stream) keep(k *KeepAlive, every time.Duration, pongs bool) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		if k.Lost != nil {
			k.Lost()
		}
		return
	}
	defer s.mu.Unlock()
	for _, x := range s.keepers {
		if x.k == k {
			x.every, x.pongs = every, x.pongs || pongs
			return
		}
	}
	x := &keeper{k: k, every: every, pongs: pongs}
	x.timer = time.AfterFunc(x.pause(), func() { s.pinged(x) })
	s.keepers = append(s.keepers, x)
}

func (x *keeper) pause() time.Duration { return x.every - rand.N(x.every/5+1) }

// pinged is the time of a ping, and that of its answer.
func (s *stream) pinged(x *keeper) {
	s.mu.Lock()
	if s.err != nil || x.k == nil {
		s.mu.Unlock()
		return
	}
	if dead := x.asked && !x.heard && x.pongs; x.asked && !dead {
		x.asked = false
		x.timer.Reset(max(x.pause()-pongWithin, 0))
		s.mu.Unlock()
		return
	} else if dead {
		s.mu.Unlock()
		s.close(fmt.Errorf("%w: %w: %s", ErrTransport, errNoPong, s.remote))
		return
	}
	x.asked, x.heard = true, false
	x.timer.Reset(pongWithin)
	s.mu.Unlock()
	_ = s.put(ping) // an error has closed the connection
}

// heard notes that the peer is there, and whether it said so by CRLF.
func (s *stream) heard(pong bool) {
	s.mu.Lock()
	for _, x := range s.keepers {
		x.heard = true
		x.pongs = x.pongs || pong && x.asked
	}
	s.mu.Unlock()
}

func (s *stream) kept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keepers) > 0
}

func (s *stream) release(k *KeepAlive) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.keepers {
		if x.k == k {
			x.k = nil
			x.timer.Stop()
			s.keepers = append(s.keepers[:i:i], s.keepers[i+1:]...)
			return
		}
	}
}

// lost ends the keepers of a closed connection and tells whom to tell; s.mu is held.
func (s *stream) lost() (tell []func()) {
	for _, x := range s.keepers {
		x.timer.Stop()
		if x.k.Lost != nil {
			tell = append(tell, x.k.Lost)
		}
	}
	s.keepers = nil
	return tell
}

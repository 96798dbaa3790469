package relay

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// ports hands out even ports of a range. A port that comes back rests before it is given
// out again, and those that rested longest come first, so late packets of an ended call
// meet a closed port and not a new call.
type ports struct {
	mu      sync.Mutex
	free    []uint16 // in the order of giving out
	resting []restingPort
	used    int
	rest    time.Duration
}

type restingPort struct {
	port  uint16
	since time.Time
}

func newPorts(r PortRange, rest time.Duration) *ports {
	p := &ports{rest: rest, free: pairs(r)}
	// Which port is next should not be for everyone to know.
	rand.Shuffle(len(p.free), func(i, j int) { p.free[i], p.free[j] = p.free[j], p.free[i] })
	return p
}

// pairs are the even ports of a range that have a next one in it.
func pairs(r PortRange) (list []uint16) {
	for n := (int(r.Min) + 1) &^ 1; n+1 <= int(r.Max); n += 2 {
		list = append(list, uint16(n))
	}
	return list
}

// without takes the pair of a port out for good. Nothing was given out yet.
func (p *ports) without(port uint16) {
	p.free = slices.DeleteFunc(p.free, func(n uint16) bool { return n == port&^1 })
}

// take gives out a pair by its even port.
func (p *ports) take(now time.Time) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.resting) && now.Sub(p.resting[n].since) >= p.rest {
		p.free = append(p.free, p.resting[n].port)
		n++
	}
	p.resting = p.resting[n:]
	if len(p.free) == 0 {
		return 0, ErrNoPorts
	}
	port := p.free[0]
	p.free = p.free[1:]
	p.used++
	return port, nil
}

// give takes a pair back.
func (p *ports) give(port uint16, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.resting = append(p.resting, restingPort{port, now})
}

func (p *ports) counts() (used, resting, free int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, len(p.resting), len(p.free)
}

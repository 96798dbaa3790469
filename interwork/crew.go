package interwork

import (
	"sync"
	"sync/atomic"
)

// crew runs short jobs, each on a goroutine of its own. Those that become free wait
// for the next job: their stacks have grown already, which costs more than most of
// the jobs do. A job never waits for a free goroutine.
type crew struct {
	jobs chan func()
	idle atomic.Int32
	quit chan struct{}
	wg   sync.WaitGroup
}

// crewIdle is how many goroutines stay.
const crewIdle = 32

func newCrew() *crew { return &crew{jobs: make(chan func()), quit: make(chan struct{})} }

func (c *crew) run(job func()) {
	select {
	case c.jobs <- job:
	default:
		c.wg.Go(func() { c.work(job) })
	}
}

func (c *crew) work(job func()) {
	for {
		job()
		if c.idle.Add(1) > crewIdle {
			c.idle.Add(-1)
			return
		}
		select {
		case job = <-c.jobs:
			c.idle.Add(-1)
		case <-c.quit:
			return
		}
	}
}

// close ends the waiting goroutines; no job may come after it.
func (c *crew) close() {
	close(c.quit)
	c.wg.Wait()
}

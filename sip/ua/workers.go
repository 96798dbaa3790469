package ua

import "github.com/stoxgate/stoxgate/sip"

// job is a handler to run.
type job struct {
	in *Inbound
	h  func(*Inbound)
}

// idleWorkers is how many goroutines stay for the next request: their stacks have
// grown already, which is a third of the cost of a handler.
const idleWorkers = 64

// work runs a handler on a goroutine of its own: one that has become free, or a
// new one. It never waits.
func (u *UA) work(in *Inbound, h func(*Inbound)) {
	j := job{in, h}
	select {
	case u.jobs <- j:
		return
	default:
	}
	if !u.spawn(func() { u.worker(j) }) {
		_ = in.Respond(sip.Status{Code: 503})
	}
}

func (u *UA) worker(j job) {
	for {
		j.in.handle(j.h)
		j = job{}
		if u.idle.Add(1) > idleWorkers {
			u.idle.Add(-1)
			return
		}
		select {
		case j = <-u.jobs:
			u.idle.Add(-1)
		case <-u.ctx.Done():
			return
		}
	}
}

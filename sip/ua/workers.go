package ua

import (
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// job is a handler to run.
type job struct {
	in     *Inbound
	h      func(*Inbound)
	dialog txKey // zero: its order does not matter
}

// run runs the handler, and those of the dialog that have come meanwhile.
func (j job) run(u *UA) {
	for ok := true; ok; j, ok = u.lanes.next(j.dialog) {
		j.in.handle(j.h)
	}
}

// lanes hold back the requests of a dialog while the handler of an earlier one runs: a peer
// may pipeline them, and a handler that judges them by their CSeq must see them in the order
// in which they were sent (RFC 3261 §12.2.2).
type lanes struct {
	mu sync.Mutex
	m  map[txKey][]job // of the dialogs whose handler runs
}

// maxLane bounds what one dialog may have waiting.
const maxLane = 256

// dialogKey names the dialog of a request; zero outside of one.
func dialogKey(req *sip.Request) txKey {
	tag := sip.ToTag(req)
	if tag == "" {
		return txKey{}
	}
	return hashKey(sip.CallID(req), sip.FromTag(req), tag)
}

// enter tells whether j may run now; else it waits, or full tells that it cannot.
func (l *lanes) enter(j job) (now, full bool) {
	if j.dialog == (txKey{}) {
		return true, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, busy := l.m[j.dialog]
	switch {
	case !busy:
		l.m[j.dialog] = nil
		return true, false
	case len(waiting) >= maxLane:
		return false, true
	}
	l.m[j.dialog] = append(waiting, j)
	return false, false
}

// next takes the next job of a dialog when one has ended.
func (l *lanes) next(dialog txKey) (job, bool) {
	if dialog == (txKey{}) {
		return job{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.m[dialog]
	if len(waiting) == 0 {
		delete(l.m, dialog)
		return job{}, false
	}
	j := waiting[0]
	waiting[0] = job{}
	l.m[dialog] = waiting[1:]
	return j, true
}

// idleWorkers is how many goroutines stay for the next request: their stacks have
// grown already, which is a third of the cost of a handler.
const idleWorkers = 64

// work runs a handler on a goroutine of its own: one that has become free, or a
// new one; within a dialog after those before it. It never waits.
func (u *UA) work(in *Inbound, h func(*Inbound)) {
	j := job{in, h, dialogKey(in.Request)}
	switch now, full := u.lanes.enter(j); {
	case full:
		_ = in.Respond(sip.Status{Code: 503, RetryAfter: time.Second})
		return
	case !now:
		return
	}
	select {
	case u.jobs <- j:
		return
	default:
	}
	if !u.spawn(func() { u.worker(j) }) {
		for ok := true; ok; j, ok = u.lanes.next(j.dialog) {
			_ = j.in.Respond(sip.Status{Code: 503})
		}
	}
}

func (u *UA) worker(j job) {
	for {
		j.run(u)
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

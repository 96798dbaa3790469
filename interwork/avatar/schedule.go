package avatar

import (
	"net"
	"slices"
	"time"
)

const (
	// slots is how many pictures are fetched at a time, and hostSlots from one host.
	slots     = 16
	hostSlots = 4
	// A contact may name contactBurst pictures at once and another every contactEvery; of
	// a host hostBurst are fetched at once and another every hostEvery.
	contactBurst = 5
	contactEvery = time.Minute
	hostBurst    = 20
	hostEvery    = 200 * time.Millisecond
	// longestWait is how far ahead a fetch is planned. What would have to wait longer is
	// forgotten until it is shown again.
	longestWait = 10 * time.Minute
	// maxPaced bounds the contacts and hosts whose rate is known.
	maxPaced = 65536
)

var defaultResolver Resolver = net.DefaultResolver

// schedule plans the fetch of a picture for the sake of a contact. A contact has one
// that waits for its turn at most: a later one takes the place of an earlier.
func (x *Icons) schedule(i *icon, contact string) {
	if x.closed || i.host == "" || i.state != iconIdle && (i.state != iconWaiting || i.owner == contact) {
		return
	}
	now := time.Now()
	byHost := x.pace.slot("h "+i.host, hostBurst, hostEvery, now)
	at := x.pace.slot("c "+contact, contactBurst, contactEvery, now)
	earlier := x.waiting[contact]
	if earlier != nil {
		at = earlier.at
	}
	at = later(at, byHost)
	if i.state == iconWaiting && !at.Before(i.at) || at.Sub(now) > longestWait {
		return
	}
	if !x.pace.room(now) {
		return
	}
	x.pace.take("h "+i.host, hostEvery, now)
	if earlier != nil {
		x.unwait(earlier)
		if !earlier.known && len(earlier.contacts) < 2 {
			x.drop(earlier)
		}
	} else {
		x.pace.take("c "+contact, contactEvery, now)
	}
	x.unwait(i)
	if !at.After(now) {
		x.enqueue(i)
		return
	}
	i.state, i.owner, i.at = iconWaiting, contact, at
	x.waiting[contact] = i
	i.timer = time.AfterFunc(at.Sub(now), func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.closed && i.state == iconWaiting && !time.Now().Before(i.at) {
			x.unwait(i)
			x.enqueue(i)
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// unwait takes a picture out of its place in time.
func (x *Icons) unwait(i *icon) {
	if i.state != iconWaiting {
		return
	}
	i.timer.Stop()
	i.timer = nil
	delete(x.waiting, i.owner)
	i.state, i.owner = iconIdle, ""
}

func (x *Icons) enqueue(i *icon) {
	i.state = iconQueued
	x.queue.list = append(x.queue.list, i)
	x.pump()
}

// pump starts fetches while there are slots.
func (x *Icons) pump() {
	for !x.closed {
		i := x.queue.next()
		if i == nil {
			return
		}
		i.state = iconFetching
		v := i.v
		if i.picture == nil {
			v = validators{} // there is nothing to be still the same
		}
		x.fetching.Go(func() { x.fetch(i, v) })
	}
}

// queue shares the slots out. The zero value is empty.
type queue struct {
	list    []*icon // in order
	running int
	hosts   map[string]int // running
}

// next takes the first whose host has a slot free; nil when there is none.
func (q *queue) next() *icon {
	if q.running >= slots {
		return nil
	}
	n := slices.IndexFunc(q.list, func(i *icon) bool { return q.hosts[i.host] < hostSlots })
	if n < 0 {
		return nil
	}
	i := q.list[n]
	q.list = slices.Delete(q.list, n, n+1)
	if q.hosts == nil {
		q.hosts = make(map[string]int)
	}
	q.running++
	q.hosts[i.host]++
	return i
}

func (q *queue) done(i *icon) {
	q.running--
	if q.hosts[i.host]--; q.hosts[i.host] == 0 {
		delete(q.hosts, i.host)
	}
}

// pace spaces events of one name: so many at once, and another each interval. It keeps
// the moment at which all that were taken would be over. The zero value is empty.
type pace struct{ m map[string]time.Time }

// slot is when the next may be, now at the earliest.
func (p *pace) slot(name string, burst int, every time.Duration, now time.Time) time.Time {
	return later(now, p.m[name].Add(-time.Duration(burst-1)*every))
}

func (p *pace) take(name string, every time.Duration, now time.Time) {
	if p.m == nil {
		p.m = make(map[string]time.Time)
	}
	p.m[name] = later(now, p.m[name]).Add(every)
}

// room tells whether further names can be kept, once those are gone of whom nothing is
// to be known.
func (p *pace) room(now time.Time) bool {
	if len(p.m) < maxPaced {
		return true
	}
	for name, at := range p.m {
		if !at.After(now) {
			delete(p.m, name)
		}
	}
	return len(p.m) < maxPaced
}

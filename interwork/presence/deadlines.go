package presence

import "time"

// deadlineKind names what a pair waits for.
type deadlineKind uint8

const (
	dueGrace    deadlineKind = iota // SessionGraceOver
	dueUnseen                       // SessionUnseen
	dueRetry                        // WatchDue
	dueWatch                        // WatchGivenUp
	dueShare                        // ShareGivenUp
	dueHeld                         // watchers that wait for the answer to a probe
	dueConfirm                      // what a probe did not confirm is gone
	dueAnnounce                     // the link is back: tell and ask again
	dueResend                       // the send queue was full: tell again
	dueSave                         // the store was full
	dueSilent                       // a phone of ours has not answered the SUBSCRIBE
)

// deadlines are few, so they are a list; the pair has one timer for all of them. Times
// are on a monotonic clock that counts from epoch: a change of the wall clock moves none.
type deadlines []deadline

type deadline struct {
	at   time.Duration
	kind deadlineKind
}

var epoch = time.Now()

func (d deadlines) find(k deadlineKind) int {
	for i := range d {
		if d[i].kind == k {
			return i
		}
	}
	return -1
}

func (d deadlines) has(k deadlineKind) bool { return d.find(k) >= 0 }

// set moves a deadline or adds it.
func (d *deadlines) set(k deadlineKind, at time.Duration) {
	if i := d.find(k); i >= 0 {
		(*d)[i].at = at
		return
	}
	if *d == nil {
		*d = make(deadlines, 0, 2)
	}
	*d = append(*d, deadline{at, k})
}

func (d *deadlines) clear(k deadlineKind) {
	i := d.find(k)
	if i < 0 {
		return
	}
	last := len(*d) - 1
	(*d)[i] = (*d)[last]
	*d = (*d)[:last]
	if last == 0 {
		*d = nil
	}
}

// next is the earliest; false when there is none.
func (d deadlines) next() (at time.Duration, ok bool) {
	for i := range d {
		if !ok || d[i].at < at {
			at, ok = d[i].at, true
		}
	}
	return at, ok
}

// take removes the earliest that is due.
func (d *deadlines) take(now time.Duration) (k deadlineKind, ok bool) {
	at, ok := d.next()
	if !ok || at > now {
		return 0, false
	}
	for i := range *d {
		if (*d)[i].at == at {
			k = (*d)[i].kind
			break
		}
	}
	d.clear(k)
	return k, true
}

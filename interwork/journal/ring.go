package journal

// ring is a first-in first-out buffer that grows by doubling up to limit
// entries, so that an idle gateway does not pay for a large bound.
type ring struct {
	buf   []Entry
	head  int // index of the oldest entry
	count int
	limit int
}

const firstRing = 256

func (r *ring) full() bool { return r.count == r.limit }

// at returns the i-th entry, 0 being the oldest.
func (r *ring) at(i int) *Entry {
	i += r.head
	if i >= len(r.buf) {
		i -= len(r.buf)
	}
	return &r.buf[i]
}

// push appends a copy of e; the caller has made room.
func (r *ring) push(e *Entry) {
	if r.count == len(r.buf) {
		r.grow()
	}
	r.count++
	*r.at(r.count - 1) = *e
}

// pop drops the oldest entry and returns its size.
func (r *ring) pop() int {
	e := r.at(0)
	n := e.size()
	*e = Entry{}
	r.count--
	if r.head++; r.head == len(r.buf) {
		r.head = 0
	}
	return n
}

func (r *ring) grow() {
	next := make([]Entry, min(max(2*len(r.buf), firstRing), r.limit))
	n := copy(next, r.buf[r.head:])
	copy(next[n:], r.buf[:r.head])
	r.buf, r.head = next, 0
}

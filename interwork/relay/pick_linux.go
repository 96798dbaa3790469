package relay

// How much a reader is given before the next one gets any: half of what a core can do.
// Two readers that are half busy cost a fifth more than one.
const (
	fullRate    = 40000 // packets a second
	fullSockets = 1600  // 400 calls of plain RTP
)

// pick is the reader for the sockets of a new session.
func (e *engine) pick() int {
	least, at := 0, 0
	for i, r := range e.readers {
		r.mu.Lock()
		n := len(r.slots) - len(r.free)
		r.mu.Unlock()
		if n < fullSockets && r.rate.Load() < fullRate {
			return i
		}
		if i == 0 || n < least {
			least, at = n, i
		}
	}
	return at
}

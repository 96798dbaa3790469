package relay

import (
	"net/netip"
	"time"
)

const (
	// probation is how many packets in order one source must send to be locked on, from the
	// host that the description names and from elsewhere.
	probationNear, probationFar = 3, 5
	// moveSilence is how long the source must be silent before the same stream may go on
	// from another address: a phone that changes its network, or its NAT binding.
	moveSilence = 500 * time.Millisecond
	// moveGap is how far the sequence may have gone on meanwhile.
	moveGap = 3000
)

// source is where media of a leg without ICE comes from (RFC 7362). The address of the
// description always counts; others must prove themselves.
type source struct {
	signalled netip.AddrPort // of the description; zero: on hold or unknown
	addr      netip.AddrPort // locked on; zero: not yet
	ssrc      uint32
	seq       uint16
	last      time.Time
	candidate struct {
		addr netip.AddrPort
		ssrc uint32
		seq  uint16
		n    int
	}
}

// describe takes the address of a new description. One that changed forgets the lock.
func (l *source) describe(a netip.AddrPort) {
	if a == l.signalled {
		return
	}
	*l = source{signalled: a}
}

// accept tells whether a packet that nothing authenticates belongs to the leg. Nobody can
// be answered at port 0, so such a source is none.
func (l *source) accept(from netip.AddrPort, ssrc uint32, seq uint16, now time.Time) bool {
	if from.Port() == 0 {
		return false
	}
	if from == l.addr || from == l.signalled {
		l.lock(from, ssrc, seq, now)
		return true
	}
	if l.addr.IsValid() && (now.Sub(l.last) < moveSilence || ssrc != l.ssrc || seq-l.seq > moveGap) {
		return false
	}
	c := &l.candidate
	if c.addr == from && c.ssrc == ssrc && seq-c.seq-1 < 3 {
		c.n++
	} else {
		c.n = 1
	}
	c.addr, c.ssrc, c.seq = from, ssrc, seq
	need := probationFar
	if from.Addr() == l.signalled.Addr() {
		need = probationNear
	}
	if c.n < need {
		return false
	}
	l.lock(from, ssrc, seq, now)
	return true
}

// lock takes an address as the source: it is the described one, has proved itself, or
// sent a packet that is authentic.
func (l *source) lock(from netip.AddrPort, ssrc uint32, seq uint16, now time.Time) {
	l.addr, l.ssrc, l.seq, l.last = from, ssrc, seq, now
	l.candidate.n = 0
}

// target is where to send: to where media comes from, else to where the description says.
func (l *source) target() netip.AddrPort {
	if !l.signalled.IsValid() {
		return netip.AddrPort{}
	}
	if l.addr.IsValid() {
		return l.addr
	}
	return l.signalled
}

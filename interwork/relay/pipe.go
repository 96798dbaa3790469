package relay

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// pipe is the datagram connection that DTLS sees: what the reader hands over, and a way
// to send.
type pipe struct {
	in     chan datagram
	out    func([]byte)
	local  netip.AddrPort
	mu     sync.Mutex
	closed chan struct{}
	once   sync.Once
	late   chan struct{} // closed when the read deadline is over
	timer  *time.Timer
}

// pipeDepth is how many datagrams wait: a flight of a handshake and some.
const pipeDepth = 16

func newPipe(local netip.AddrPort, out func([]byte)) *pipe {
	return &pipe{in: make(chan datagram, pipeDepth), out: out, local: local, closed: make(chan struct{}), late: make(chan struct{})}
}

// datagram is a copy of what came.
type datagram struct {
	b    []byte
	from netip.AddrPort
}

// put hands a datagram over; with nobody reading the rest is dropped.
func (p *pipe) put(b []byte, from netip.AddrPort) {
	select {
	case p.in <- datagram{slices.Clone(b), from}:
	default:
	}
}

// readFrom waits for a datagram.
func (p *pipe) readFrom(b []byte) (int, netip.AddrPort, error) {
	p.mu.Lock()
	late := p.late
	p.mu.Unlock()
	select {
	case <-p.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	case <-late:
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case d := <-p.in:
		return copy(b, d.b), d.from, nil
	}
}

// ReadFrom is net.PacketConn's.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.readFrom(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo sends; where to is not for DTLS to say.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	default:
	}
	p.out(b)
	return len(b), nil
}

// Close ends reads and writes.
func (p *pipe) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.timer != nil {
			p.timer.Stop()
		}
	})
	return nil
}

// LocalAddr is our address.
func (p *pipe) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// RemoteAddr stands for the peer, whatever its address is now.
func (p *pipe) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// SetReadDeadline is how the DTLS connection interrupts its reads.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if isDone(p.late) {
		p.late = make(chan struct{})
	}
	late := p.late
	if t.IsZero() {
		return nil
	}
	if d := time.Until(t); d > 0 {
		p.timer = time.AfterFunc(d, func() { p.expire(late) })
		return nil
	}
	close(late)
	return nil
}

// SetDeadline and SetWriteDeadline: writes never wait.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline has nothing to do.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

func isDone(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// expire ends the reads that wait on a deadline; a timer that was stopped too late does it
// to a deadline nobody waits on.
func (p *pipe) expire(late chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !isDone(late) {
		close(late)
	}
}

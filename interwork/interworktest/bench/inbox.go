package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// inbox is the datagram connection that ICE or DTLS sees of a socket that somebody else
// reads.
type inbox struct {
	local net.Addr
	write func(b []byte, to net.Addr)

	mu       sync.Mutex
	queue    []datagram
	closed   bool
	deadline time.Time
	timer    *time.Timer
	wake     chan struct{} // closed at the next change
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

// inboxDepth is how many datagrams wait; the rest is dropped.
const inboxDepth = 64

var _ net.PacketConn = (*inbox)(nil)

func newInbox(local netip.AddrPort, write func(b []byte, to net.Addr)) *inbox {
	return &inbox{local: net.UDPAddrFromAddrPort(local), write: write, wake: make(chan struct{})}
}

// change wakes the reader; p.mu is held.
func (p *inbox) change() {
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *inbox) put(b []byte, from netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) < inboxDepth && !p.closed {
		p.queue = append(p.queue, datagram{slices.Clone(b), from})
		p.change()
	}
}

// ReadFrom implements net.PacketConn.
func (p *inbox) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p.mu.Lock()
		wake := p.wake
		switch {
		case p.closed:
			p.mu.Unlock()
			return 0, nil, net.ErrClosed
		case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
			p.mu.Unlock()
			return 0, nil, os.ErrDeadlineExceeded
		case len(p.queue) > 0:
			d := p.queue[0]
			p.queue = p.queue[1:]
			p.mu.Unlock()
			return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
		}
		p.mu.Unlock()
		<-wake
	}
}

// WriteTo implements net.PacketConn.
func (p *inbox) WriteTo(b []byte, to net.Addr) (int, error) {
	p.write(b, to)
	return len(b), nil
}

// Close implements net.PacketConn.
func (p *inbox) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.change()
	}
	return nil
}

// LocalAddr implements net.PacketConn.
func (p *inbox) LocalAddr() net.Addr { return p.local }

// SetDeadline implements net.PacketConn; writes do not wait.
func (p *inbox) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (p *inbox) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (p *inbox) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if d := time.Until(t); !t.IsZero() && d > 0 {
		p.timer = time.AfterFunc(d, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.change()
		})
	}
	p.change()
	return nil
}

//go:build !linux

package relay

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// engine reads each socket with a goroutine of its own, where there is no epoll.
type engine struct {
	mu      sync.Mutex
	sockets map[*socket]struct{}
	closed  bool
	wg      sync.WaitGroup
	c       socketCounters
}

// socket is one UDP socket.
type socket struct {
	e     *engine
	conn  *net.UDPConn
	local netip.AddrPort
	sink  sink
}

// reader exists where several sockets share a goroutine.
type reader struct{}

func newEngine(int) (*engine, error) { return &engine{sockets: map[*socket]struct{}{}}, nil }

func (e *engine) pick() int { return 0 }

func (e *engine) listen(at netip.AddrPort, s sink, _ int) (*socket, error) { return e.open(at, s) }

func (e *engine) share(at netip.AddrPort, s sink) (*socket, error) {
	k, err := e.open(at, s)
	if err == nil {
		_ = k.conn.SetReadBuffer(4 << 20)
		_ = k.conn.SetWriteBuffer(4 << 20)
	}
	return k, err
}

func (e *engine) open(at netip.AddrPort, s sink) (*socket, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("relay: bind %s: %w", at, err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	k := &socket{e: e, conn: conn, sink: s, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		conn.Close()
		return nil, ErrClosed
	}
	e.sockets[k] = struct{}{}
	e.wg.Add(1)
	go k.run()
	return k, nil
}

func (k *socket) run() {
	defer k.e.wg.Done()
	b := make([]byte, bufferSize)
	var w writer
	for {
		n, from, err := k.conn.ReadFromUDPAddrPort(b[:maxPacket])
		if err != nil {
			k.e.mu.Lock()
			_, open := k.e.sockets[k]
			k.e.mu.Unlock()
			if !open {
				return
			}
			atomic.AddUint64(&k.e.c.errors, 1)
			continue
		}
		w.now = time.Now()
		atomic.AddUint64(&k.e.c.packets, 1)
		atomic.AddUint64(&k.e.c.bytes, uint64(n))
		if n > 0 {
			k.sink.packet(b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), k, &w)
		}
	}
}

func (k *socket) close() {
	k.e.mu.Lock()
	delete(k.e.sockets, k)
	k.e.mu.Unlock()
	k.conn.Close()
}

func (e *engine) close() {
	e.mu.Lock()
	e.closed = true
	for k := range e.sockets {
		delete(e.sockets, k)
		k.conn.Close()
	}
	e.mu.Unlock()
	e.wg.Wait()
}

func (w *writer) send(k *socket, b []byte, to netip.AddrPort) { k.send(b, to) }

func (w *writer) drop() {}

func (k *socket) send(b []byte, to netip.AddrPort) {
	if len(b) == 0 || !to.IsValid() {
		return
	}
	if _, err := k.conn.WriteToUDPAddrPort(b, to); err != nil {
		atomic.AddUint64(&k.e.c.errors, 1)
	}
}

func (e *engine) counts() socketCounters {
	return socketCounters{packets: atomic.LoadUint64(&e.c.packets), bytes: atomic.LoadUint64(&e.c.bytes), errors: atomic.LoadUint64(&e.c.errors)}
}

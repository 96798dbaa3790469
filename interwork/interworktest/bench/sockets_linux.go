package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sockets reads all sockets of media on one goroutine: one for each would cost the load
// more than what it loads. The kernel says when a packet came, so that the time until the
// load gets round to reading it is not counted.
type sockets struct {
	epoll int
	byFD  [maxFD]atomic.Pointer[socket]
	over  atomic.Bool
	wg    sync.WaitGroup
}

const maxFD = 1 << 16

// socket is one end of media.
type socket struct {
	fd    int
	local netip.AddrPort
	// take gets each datagram, which is the reader's again when it returns, and when it
	// came, in nanoseconds of CLOCK_REALTIME.
	take func(b []byte, from netip.AddrPort, at int64)

	mu     sync.Mutex // held while reading, so that a closed socket is read no more
	closed bool
}

func newSockets() (*sockets, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	e := &sockets{epoll: ep}
	e.wg.Go(e.read)
	return e, nil
}

// open binds a free port of the loopback address; watch has it read.
func (e *sockets) open() (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	k := &socket{fd: fd}
	if err := k.bind(); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return k, nil
}

func (k *socket) bind() error {
	if k.fd >= maxFD {
		return errors.New("too many sockets")
	}
	_ = unix.SetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20) // best effort
	if err := unix.SetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("timestamps: %w", err)
	}
	if err := unix.Bind(k.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	name, err := unix.Getsockname(k.fd)
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	k.local = addrPort(name)
	return nil
}

// watch has take called for what arrives.
func (e *sockets) watch(k *socket, take func(b []byte, from netip.AddrPort, at int64)) error {
	k.take = take
	e.byFD[k.fd].Store(k)
	if err := unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, k.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(k.fd)}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	if v4, ok := a.(*unix.SockaddrInet4); ok {
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port))
	}
	return netip.AddrPort{}
}

func (e *sockets) shut(k *socket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.closed = true
	e.byFD[k.fd].Store(nil)
	_ = unix.Close(k.fd)
}

// close ends the reader; sockets that are open stay so.
func (e *sockets) close() {
	e.over.Store(true)
	e.wg.Wait()
	_ = unix.Close(e.epoll)
}

func (e *sockets) read() {
	events := make([]unix.EpollEvent, 256)
	buf, oob := make([]byte, 2048), make([]byte, 64)
	for !e.over.Load() {
		n, err := unix.EpollWait(e.epoll, events, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, ev := range events[:max(n, 0)] {
			if k := e.byFD[ev.Fd].Load(); k != nil {
				k.read(buf, oob)
			}
		}
	}
}

func (k *socket) read(buf, oob []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	n, oobn, _, from, err := unix.Recvmsg(k.fd, buf, oob, 0)
	if err != nil || n == 0 {
		return
	}
	at := time.Now().UnixNano()
	// One control message: its header is two words, then come seconds and nanoseconds.
	if oobn >= 32 && binary.NativeEndian.Uint32(oob[12:]) == unix.SCM_TIMESTAMPNS {
		at = int64(binary.NativeEndian.Uint64(oob[16:]))*int64(time.Second) + int64(binary.NativeEndian.Uint64(oob[24:]))
	}
	k.take(buf[:n], addrPort(from), at)
}

// target is where a socket sends, kept so that sending allocates nothing.
type target = unix.SockaddrInet4

func newTarget(to netip.AddrPort) *target {
	return &target{Addr: to.Addr().Unmap().As4(), Port: int(to.Port())}
}

// send sends one datagram; what the system does not take is lost, as in a network.
func (k *socket) send(b []byte, to *target) { _ = unix.Sendto(k.fd, b, 0, to) }

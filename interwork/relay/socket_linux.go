package relay

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many packets a shared socket gives or takes in one call of the system. A
// socket of one leg has one packet at a time; there a plain call is cheaper.
const batch = 32

// buffers of a reader: what one round may hold before the batches are sent.
const buffers = 4 * batch

// engine reads all sockets with a few goroutines (libraries: a goroutine per socket costs
// half as much again per packet).
type engine struct {
	readers []*reader
	wg      sync.WaitGroup
}

// socket is one UDP socket. Only its reader receives from it and closes it.
type socket struct {
	fd    int
	slot  uint64
	local netip.AddrPort
	sink  sink
	r     *reader
	group *group // of a shared socket
	out   *outbox
}

// group is a shared port: one socket per reader on it, so that readers need not meet.
type group struct{ sockets []*socket }

// outbox gathers packets that a reader sends through its shared socket.
type outbox struct {
	n    int
	hdrs [batch]mmsghdr
	iovs [batch]unix.Iovec
	addr [batch]unix.RawSockaddrInet6
}

// mmsghdr is struct mmsghdr; Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

type reader struct {
	index    int
	epoll    int
	pace     *pace
	rate     atomic.Int64 // packets a second of late
	wake     int
	counters socketCounters

	mu      sync.Mutex
	slots   []*socket // by the lower half of socket.slot
	free    []uint32
	closing []*socket
	stop    bool
	turn    uint32 // upper half of the next slot: an event for a socket that is gone finds nothing

	closed atomic.Bool

	// of the goroutine
	w       writer
	events  [128]unix.EpollEvent
	bufs    [][]byte
	used    int
	taken   int       // packets of this round
	pending []*socket // shared sockets with a filled outbox
	in      struct {
		hdrs [batch]mmsghdr
		iovs [batch]unix.Iovec
		addr [batch]unix.RawSockaddrInet6
	}
}

func newEngine(n int) (*engine, error) {
	e := &engine{}
	for i := range n {
		r, err := newReader(i)
		if err != nil {
			e.close()
			return nil, err
		}
		e.readers = append(e.readers, r)
		e.wg.Add(1)
		go func() {
			defer e.wg.Done()
			r.run()
		}()
	}
	return e, nil
}

func newReader(i int) (*reader, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, os.NewSyscallError("eventfd", err)
	}
	r := &reader{index: i, epoll: ep, wake: wake}
	r.slots = []*socket{nil} // slot 0 is the wake descriptor
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		_ = unix.Close(ep)
		_ = unix.Close(wake)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	if r.pace, err = newPace(); err != nil {
		_ = unix.Close(ep)
		_ = unix.Close(wake)
		return nil, err
	}
	r.bufs = make([][]byte, buffers)
	all := make([]byte, buffers*bufferSize)
	for k := range r.bufs {
		r.bufs[k] = all[k*bufferSize : (k+1)*bufferSize : (k+1)*bufferSize]
	}
	r.w.r = r
	return r, nil
}

// listen opens a socket of one leg, read by reader i.
func (e *engine) listen(at netip.AddrPort, s sink, i int) (*socket, error) {
	r := e.readers[i%len(e.readers)]
	k, err := r.make(at, s, false)
	if err != nil {
		return nil, err
	}
	if err := r.register(k); err != nil {
		return nil, err
	}
	return k, nil
}

// share opens a port with a socket for each reader.
func (e *engine) share(at netip.AddrPort, s sink) (*socket, error) {
	// Another program that shares the port as we do would get a part of what comes; this
	// tells whether there is one.
	alone, err := bind(at, false)
	if err != nil {
		return nil, err
	}
	_ = unix.Close(alone)
	g := &group{}
	for _, r := range e.readers {
		k, err := r.make(at, s, true)
		if err != nil {
			for _, k := range g.sockets {
				_ = unix.Close(k.fd)
			}
			return nil, err
		}
		k.group, k.out = g, &outbox{}
		g.sockets = append(g.sockets, k)
	}
	for i, k := range g.sockets {
		if err := k.r.register(k); err != nil {
			for _, k := range g.sockets[i+1:] {
				_ = unix.Close(k.fd)
			}
			return nil, err // the readers close the others when they end
		}
	}
	return g.sockets[0], nil
}

// make opens a socket that nobody reads yet.
func (r *reader) make(at netip.AddrPort, s sink, shared bool) (*socket, error) {
	fd, err := bind(at, shared)
	if err != nil {
		return nil, err
	}
	k := &socket{fd: fd, sink: s, r: r}
	if k.local, err = boundTo(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return k, nil
}

// register has the reader read a socket; on failure the socket is closed.
func (r *reader) register(k *socket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop {
		_ = unix.Close(k.fd)
		return ErrClosed
	}
	r.turn++
	var at32 uint32
	if n := len(r.free); n > 0 {
		at32 = r.free[n-1]
		r.free = r.free[:n-1]
	} else {
		at32 = uint32(len(r.slots))
		r.slots = append(r.slots, nil)
	}
	k.slot = uint64(r.turn)<<32 | uint64(at32)
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(at32), Pad: int32(r.turn)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, k.fd, &ev); err != nil {
		r.free = append(r.free, at32)
		_ = unix.Close(k.fd)
		return os.NewSyscallError("epoll_ctl", err)
	}
	r.slots[at32] = k
	return nil
}

// close lets the reader close the socket: nobody else may, since the number of the
// descriptor could come back as another socket while the reader is about to read it. The
// owner must not send on it any more.
func (k *socket) close() {
	sockets := []*socket{k}
	if k.group != nil {
		sockets = k.group.sockets
	}
	for _, k := range sockets {
		k.r.mu.Lock()
		stopped := k.r.stop
		if !stopped {
			k.r.closing = append(k.r.closing, k)
		}
		k.r.mu.Unlock()
		if !stopped {
			k.r.kick()
		}
	}
}

func (r *reader) kick() {
	one := [8]byte{}
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(r.wake, one[:])
}

// close ends the readers; sockets still open are closed by them.
func (e *engine) close() {
	for _, r := range e.readers {
		r.mu.Lock()
		r.stop = true
		r.mu.Unlock()
		r.kick()
	}
	e.wg.Wait()
}

func (r *reader) run() {
	defer func() {
		for _, k := range r.slots {
			if k != nil {
				_ = unix.Close(k.fd)
			}
		}
		r.pace.close()
		_ = unix.Close(r.epoll)
		_ = unix.Close(r.wake)
		r.closed.Store(true)
	}()
	for {
		n, err := r.wait()
		if err != nil {
			return
		}
		r.w.now = time.Now()
		woken := false
		for i := range max(n, 0) {
			ev := &r.events[i]
			if ev.Fd == 0 {
				woken = true
				continue
			}
			if k := r.socket(ev); k != nil {
				r.receive(k)
			}
			if r.used > buffers-batch {
				r.flush()
			}
		}
		r.flush()
		if rate, known := r.pace.count(r.taken, r.w.now); known {
			r.rate.Store(int64(rate))
		}
		r.taken = 0
		if woken && !r.tidy() {
			return
		}
	}
}

// wait waits for sockets with packets, 0 when a busy reader found none. While little
// comes it blocks in the system, and a packet is sent on as soon as the system wakes it.
func (r *reader) wait() (int, error) {
	if n := r.poll(); n > 0 {
		return n, nil
	}
	if r.pace.busy {
		err := r.pace.wait()
		return r.poll(), err
	}
	for {
		n, err := unix.EpollWait(r.epoll, r.events[:], -1)
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, os.NewSyscallError("epoll_wait", err)
		}
	}
}

func (r *reader) poll() int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(r.epoll), uintptr(unsafe.Pointer(&r.events[0])), uintptr(len(r.events)), 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

func (r *reader) socket(ev *unix.EpollEvent) *socket {
	r.mu.Lock()
	k := r.slots[uint32(ev.Fd)]
	r.mu.Unlock()
	if k == nil || uint32(k.slot>>32) != uint32(ev.Pad) {
		return nil
	}
	return k
}

// tidy closes what is to be closed and tells whether to go on.
func (r *reader) tidy() bool {
	var b [8]byte
	_, _ = unix.Read(r.wake, b[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.closing {
		at := uint32(k.slot)
		if r.slots[at] == k {
			r.slots[at] = nil
			r.free = append(r.free, at)
			_ = unix.Close(k.fd) // leaves epoll as well
		}
	}
	clear(r.closing)
	r.closing = r.closing[:0]
	return !r.stop
}

// receive reads one packet of a leg's socket (epoll tells again if there are more, so a
// flood on one does not starve the others), a batch of a shared one.
func (r *reader) receive(k *socket) {
	if k.group != nil {
		r.receiveBatch(k)
		return
	}
	b := r.bufs[r.used]
	sa, salen := &r.in.addr[0], uint32(unix.SizeofSockaddrInet6)
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(k.fd), uintptr(unsafe.Pointer(&b[0])), maxPacket,
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(sa)), uintptr(unsafe.Pointer(&salen)))
	if e != 0 {
		if e != unix.EAGAIN && e != unix.EINTR {
			r.counters.add(&r.counters.errors, 1)
		}
		return
	}
	r.used++
	r.hand(k, b[:n], sa)
}

func (r *reader) receiveBatch(k *socket) {
	free := r.bufs[r.used : r.used+batch]
	for i := range r.in.hdrs {
		r.in.iovs[i].Base = &free[i][0]
		r.in.iovs[i].SetLen(maxPacket)
		h := &r.in.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.in.addr[i]))
		h.Namelen = unix.SizeofSockaddrInet6
		h.Iov = &r.in.iovs[i]
		h.SetIovlen(1)
	}
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(k.fd), uintptr(unsafe.Pointer(&r.in.hdrs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		if e != unix.EAGAIN && e != unix.EINTR {
			r.counters.add(&r.counters.errors, 1)
		}
		return
	}
	r.used += int(n)
	for i := range int(n) {
		r.hand(k, free[i][:r.in.hdrs[i].n], &r.in.addr[i])
	}
}

func (r *reader) hand(k *socket, b []byte, sa *unix.RawSockaddrInet6) {
	r.taken++
	r.counters.add(&r.counters.packets, 1)
	r.counters.add(&r.counters.bytes, uint64(len(b)))
	if len(b) > 0 {
		k.sink.packet(b, address(sa), k, &r.w)
	}
}

func (c *socketCounters) add(p *uint64, n uint64) { atomic.AddUint64(p, n) }

// send sends b; through a shared socket it may wait until the reader's round is over.
func (w *writer) send(k *socket, b []byte, to netip.AddrPort) {
	if k.group != nil && w.r != nil {
		w.r.gather(k.group.sockets[w.r.index], b, to)
		return
	}
	k.send(b, to)
}

// drop counts a packet that was not for anybody.
func (w *writer) drop() {
	if w.r != nil {
		w.r.counters.add(&w.r.counters.dropped, 1)
	}
}

// send sends b at once.
func (k *socket) send(b []byte, to netip.AddrPort) {
	if len(b) == 0 || !to.IsValid() {
		return
	}
	var sa unix.RawSockaddrInet6
	n := sockaddr(&sa, to)
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(k.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&sa)), uintptr(n))
	if e != 0 {
		k.r.counters.add(&k.r.counters.errors, 1)
	}
}

func (r *reader) gather(k *socket, b []byte, to netip.AddrPort) {
	if len(b) == 0 || !to.IsValid() {
		return
	}
	o := k.out
	if o.n == batch {
		r.sendBatch(k)
	}
	if o.n == 0 {
		r.pending = append(r.pending, k)
	}
	i := o.n
	o.n++
	o.iovs[i].Base = &b[0]
	o.iovs[i].SetLen(len(b))
	h := &o.hdrs[i].hdr
	h.Name = (*byte)(unsafe.Pointer(&o.addr[i]))
	h.Namelen = sockaddr(&o.addr[i], to)
	h.Iov = &o.iovs[i]
	h.SetIovlen(1)
}

func (r *reader) flush() {
	for _, k := range r.pending {
		r.sendBatch(k)
	}
	r.pending = r.pending[:0]
	r.used = 0
}

func (r *reader) sendBatch(k *socket) {
	o := k.out
	for at := 0; at < o.n; {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(k.fd), uintptr(unsafe.Pointer(&o.hdrs[at])), uintptr(o.n-at),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 || n == 0 { // the first of them cannot be sent
			r.counters.add(&r.counters.errors, 1)
			n = 1
		}
		at += int(n)
	}
	o.n = 0
}

// counts adds up the counters.
func (e *engine) counts() (c socketCounters) {
	for _, r := range e.readers {
		c.packets += atomic.LoadUint64(&r.counters.packets)
		c.bytes += atomic.LoadUint64(&r.counters.bytes)
		c.dropped += atomic.LoadUint64(&r.counters.dropped)
		c.errors += atomic.LoadUint64(&r.counters.errors)
	}
	return c
}

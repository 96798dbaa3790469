package ua

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/stoxgate/stoxgate/sip"
)

// maxBatch is how many datagrams one system call moves at most. A batch of four costs less
// than half of four single ones, most of it because a peer that waits is woken once; more
// than a few gain little and make the first wait for the last.
const maxBatch = 8

// batcher moves several datagrams in one system call; ipv4.PacketConn and ipv6.PacketConn
// do, with messages of one type.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// newBatcher is nil where the system has no such call: there the first message of a batch
// would be the only one, or none.
func newBatcher(pc *net.UDPConn, v6 bool) batcher {
	switch {
	case runtime.GOOS != "linux":
		return nil
	case v6:
		return ipv6.NewPacketConn(pc)
	default:
		return ipv4.NewPacketConn(pc)
	}
}

// datagram waits to be sent.
type datagram struct {
	b      []byte
	to     netip.AddrPort
	failed func(error)
}

// held is what a socket keeps back while somebody brings several things to send.
type held struct {
	mu      sync.Mutex
	holders int
	list    []datagram
}

// outward are the messages of one WriteBatch, reused.
type outward struct {
	mu    sync.Mutex
	ms    [maxBatch]ipv4.Message
	addrs [maxBatch]net.UDPAddr
	ips   [maxBatch][16]byte
}

// Hold keeps datagrams back until Release, so that they go out in few system calls. It is
// for a goroutine that works through several events at once and does not wait in between;
// what others send meanwhile waits as well. No more than a batch is ever kept back.
func (u *UA) Hold() {
	for _, s := range u.sockets {
		s.hold()
	}
}

// Release ends what Hold began. When nobody holds any more, all that was kept back is sent.
func (u *UA) Release() {
	for _, s := range u.sockets {
		s.release()
	}
}

func (s *socket) hold() {
	if s.batch == nil {
		return
	}
	s.held.mu.Lock()
	s.held.holders++
	s.held.mu.Unlock()
}

func (s *socket) release() {
	if s.batch == nil {
		return
	}
	var buf [maxBatch]datagram
	var list []datagram
	s.held.mu.Lock()
	if s.held.holders--; s.held.holders == 0 {
		list = s.held.take(&buf)
	}
	s.held.mu.Unlock()
	s.flush(list)
}

// take empties the list into buf; h.mu is held.
func (h *held) take(buf *[maxBatch]datagram) []datagram {
	n := copy(buf[:], h.list)
	clear(h.list)
	h.list = h.list[:0]
	return buf[:n]
}

// post sends b, or keeps it back while somebody holds; b is not changed any more. failed
// is told, on any goroutine and maybe before post returns, that it was not sent.
func (s *socket) post(b []byte, to netip.AddrPort, failed func(error)) {
	if s.batch == nil || len(b) > sip.MaxMessage {
		if err := s.send(b, to); err != nil {
			failed(err)
		}
		return
	}
	s.held.mu.Lock()
	if s.held.holders == 0 {
		s.held.mu.Unlock()
		if err := s.send(b, to); err != nil {
			failed(err)
		}
		return
	}
	s.held.list = append(s.held.list, datagram{b, to, failed})
	var buf [maxBatch]datagram
	var list []datagram
	if len(s.held.list) == maxBatch {
		list = s.held.take(&buf)
	}
	s.held.mu.Unlock()
	s.flush(list)
}

// flush sends what was kept back. Failures are told on a goroutine of their own, since what
// follows from one may be more to send.
func (s *socket) flush(list []datagram) {
	switch len(list) {
	case 0:
		return
	case 1:
		if err := s.send(list[0].b, list[0].to); err != nil {
			s.tell(list[0], err)
		}
		return
	}
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, d := range list {
		ip := append(o.ips[i][:0], d.to.Addr().AsSlice()...)
		o.addrs[i] = net.UDPAddr{IP: ip, Port: int(d.to.Port()), Zone: d.to.Addr().Zone()}
		if o.ms[i].Buffers == nil {
			o.ms[i].Buffers = make([][]byte, 1)
		}
		o.ms[i].Buffers[0] = d.b
		o.ms[i].Addr = &o.addrs[i]
	}
	for from := 0; from < len(list); {
		n, err := s.batch.WriteBatch(o.ms[from:len(list)], 0)
		if err != nil {
			// It is the first one that cannot be sent.
			s.tell(list[from], fmt.Errorf("%w: %w", ErrTransport, err))
			from++
			continue
		}
		for _, d := range list[from : from+n] {
			s.u.tapped(true, path{sock: s, remote: d.to}, d.b)
		}
		from += max(n, 1)
	}
	for i := range list {
		o.ms[i].Buffers[0] = nil
	}
}

func (s *socket) tell(d datagram, err error) {
	if !s.u.spawn(func() { d.failed(err) }) {
		d.failed(err)
	}
}

// readBatches takes datagrams until the socket is closed, several at a time when several
// are there.
func (s *socket) readBatches() {
	ms := make([]ipv4.Message, maxBatch)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, 65536)}
	}
	for {
		n, err := s.batch.ReadBatch(ms, 0)
		if err != nil {
			if s.over(err) {
				return
			}
			continue
		}
		if n > 1 {
			s.hold()
		}
		for _, m := range ms[:n] {
			if from, ok := m.Addr.(*net.UDPAddr); ok {
				a := from.AddrPort()
				s.datagram(m.Buffers[0][:m.N], netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
			}
		}
		if n > 1 {
			s.release()
		}
	}
}

package siptest

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
)

// batchSize is how many datagrams one system call moves at most (Linux; one
// elsewhere). It is what makes a load generator cheaper than what it loads.
const batchSize = 64

// batchConn is a UDP socket with batched reads and writes; used by one goroutine.
type batchConn struct {
	udp  *net.UDPConn
	pc   *ipv4.PacketConn
	in   []ipv4.Message
	out  []ipv4.Message
	used int // of out
}

func newBatchConn(listen string) (*batchConn, error) {
	addr, err := net.ResolveUDPAddr("udp4", listen)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp4", addr)
	if err != nil {
		return nil, err
	}
	_ = udp.SetReadBuffer(8 << 20) // best effort
	_ = udp.SetWriteBuffer(8 << 20)
	b := &batchConn{udp: udp, pc: ipv4.NewPacketConn(udp)}
	for range batchSize {
		b.in = append(b.in, ipv4.Message{Buffers: [][]byte{make([]byte, 64<<10)}})
		b.out = append(b.out, ipv4.Message{Buffers: [][]byte{make([]byte, 0, 2048)}})
	}
	return b, nil
}

// read waits for datagrams and calls f for each; the bytes are f's until it returns.
func (b *batchConn) read(f func(raw []byte, from net.Addr)) error {
	n, err := b.pc.ReadBatch(b.in, 0)
	if err != nil {
		return err
	}
	for i := range b.in[:n] {
		f(b.in[i].Buffers[0][:b.in[i].N], b.in[i].Addr)
	}
	return nil
}

// next returns an empty buffer to fill for queue.
func (b *batchConn) next() []byte { return b.out[b.used].Buffers[0][:0] }

// queue puts a filled buffer of next into the batch and sends the batch when full.
func (b *batchConn) queue(raw []byte, to net.Addr) error {
	b.out[b.used].Buffers[0] = raw
	b.out[b.used].Addr = to
	if b.used++; b.used == len(b.out) {
		return b.flush()
	}
	return nil
}

func (b *batchConn) flush() error {
	batch := b.out[:b.used]
	b.used = 0
	for len(batch) > 0 {
		n, err := b.pc.WriteBatch(batch, 0)
		if err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

func (b *batchConn) deadline(t time.Time) { _ = b.udp.SetReadDeadline(t) }

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort()
	}
	return netip.AddrPort{}
}

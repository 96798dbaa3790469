package relay

import (
	"net/netip"
	"time"
)

const (
	// maxPacket is the longest datagram that is read; longer ones are cut and then fail.
	maxPacket = 1664
	// bufferSize leaves room behind a packet for what SRTP appends.
	bufferSize = 2048
)

// sink takes what a socket received. b may be changed in place and has room behind it; it
// is the sink's until the writer is flushed, which is after packet returned to the reader.
type sink interface {
	packet(b []byte, from netip.AddrPort, on *socket, w *writer)
}

// writer is what a packet is sent with. A reader's one gathers packets for shared sockets
// and sends them in batches; the zero value but for the time sends each at once.
type writer struct {
	now time.Time
	r   *reader
}

// counters of one engine; each reader has its own so that they share no cache line.
type socketCounters struct {
	packets, bytes, dropped, errors uint64
	_                               [4]uint64
}

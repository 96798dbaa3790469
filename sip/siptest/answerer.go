package siptest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// AnswererConfig describes an [Answerer].
type AnswererConfig struct {
	Transport string // udp (default) or tcp
	Listen    string // 127.0.0.1:0 when empty
	Code      int    // status of every answer, 200 when zero
	// Seen is called with each request that arrives, repeats included, before it is
	// answered; it must be quick and must not keep the bytes. Calls come from one
	// goroutine over UDP, from one per connection over TCP.
	Seen func(raw []byte)
}

// Answerer answers every request with one status, as fast as it can: the phone
// side of a load test. It reads by hand only what a response needs and judges
// nothing. Repeats get the same answer again.
type Answerer struct {
	cfg    AnswererConfig
	status string
	udp    *batchConn
	ln     net.Listener
	wg     sync.WaitGroup

	received atomic.Int64
	unread   atomic.Int64

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// NewAnswerer opens the socket and starts to answer.
func NewAnswerer(cfg AnswererConfig) (*Answerer, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Code == 0 {
		cfg.Code = 200
	}
	a := &Answerer{cfg: cfg, conns: map[net.Conn]struct{}{}}
	a.status = fmt.Sprintf("SIP/2.0 %d %s\r\n", cfg.Code, reasonPhrase(cfg.Code))
	var err error
	switch cfg.Transport {
	case "", "udp":
		if a.udp, err = newBatchConn(cfg.Listen); err != nil {
			return nil, fmt.Errorf("siptest: %w", err)
		}
		a.wg.Go(a.serveUDP)
	case "tcp":
		if a.ln, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("siptest: %w", err)
		}
		a.wg.Go(a.serveTCP)
	default:
		return nil, fmt.Errorf("siptest: answerer has no transport %q", cfg.Transport)
	}
	return a, nil
}

// Addr is host:port of the socket.
func (a *Answerer) Addr() string {
	if a.udp != nil {
		return a.udp.udp.LocalAddr().String()
	}
	return a.ln.Addr().String()
}

// Received counts the requests answered.
func (a *Answerer) Received() int64 { return a.received.Load() }

// Unread counts what came and was not a request to answer.
func (a *Answerer) Unread() int64 { return a.unread.Load() }

// Close closes the sockets and waits.
func (a *Answerer) Close() error {
	a.mu.Lock()
	a.closed = true
	for c := range a.conns {
		_ = c.Close()
	}
	a.mu.Unlock()
	var err error
	if a.udp != nil {
		err = a.udp.udp.Close()
	} else {
		err = a.ln.Close()
	}
	a.wg.Wait()
	return err
}

func (a *Answerer) serveUDP() {
	for {
		err := a.udp.read(func(raw []byte, from net.Addr) {
			if res := a.take(a.udp.next(), raw, addrPort(from)); res != nil {
				_ = a.udp.queue(res, from)
			}
		})
		if err != nil {
			return
		}
		_ = a.udp.flush() // a full socket buffer loses answers like a network does
	}
}

func (a *Answerer) serveTCP() {
	for {
		conn, err := a.ln.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		if a.closed {
			_ = conn.Close()
			a.mu.Unlock()
			return
		}
		a.conns[conn] = struct{}{}
		a.mu.Unlock()
		a.wg.Go(func() {
			a.serveConn(conn)
			_ = conn.Close()
			a.mu.Lock()
			delete(a.conns, conn)
			a.mu.Unlock()
		})
	}
}

// serveConn answers one connection: all requests of one read get their answers
// in one write.
func (a *Answerer) serveConn(conn net.Conn) {
	from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	in := make([]byte, 0, 256<<10)
	var out []byte
	for {
		if len(in) == cap(in) {
			return // a message larger than the buffer
		}
		n, err := conn.Read(in[len(in):cap(in)])
		if err != nil {
			return
		}
		in = in[:len(in)+n]
		rest := in
		out = out[:0]
		for {
			raw, more, ok := cutMessage(rest)
			if !ok {
				break
			}
			rest = more
			if res := a.take(out, raw, from); res != nil {
				out = res
			}
		}
		in = in[:copy(in, rest)]
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	}
}

// take appends the answer to dst, nil when there is none to give.
func (a *Answerer) take(dst, raw []byte, from netip.AddrPort) []byte {
	res := appendAnswer(dst, raw, a.status, from)
	if res == nil {
		a.unread.Add(1)
		return nil
	}
	a.received.Add(1)
	if a.cfg.Seen != nil {
		a.cfg.Seen(raw)
	}
	return res
}

// cutMessage takes the first message out of a stream buffer; keep-alives before
// it are skipped.
func cutMessage(b []byte) (raw, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, "\r\n")
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, b, false
	}
	total := end + 4
	for line := range bytes.SplitSeq(b[:end], []byte("\r\n")) {
		if name, value, found := bytes.Cut(line, []byte(":")); found && headerIs(name, "Content-Length", "l") {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err == nil && n > 0 {
				total += n
			}
		}
	}
	if len(b) < total {
		return nil, b, false
	}
	return b[:total], b[total:], true
}

func headerIs(name []byte, long, compact string) bool {
	name = bytes.TrimRight(name, " \t")
	return len(name) == len(long) && strings.EqualFold(string(name), long) ||
		len(name) == 1 && len(compact) == 1 && name[0]|0x20 == compact[0]
}

// appendAnswer appends the response to a request: its Vias (the top one with the
// source, RFC 3581), From, To with a tag, Call-ID and CSeq. It returns nil for
// what is no request, and for ACK.
func appendAnswer(dst, req []byte, status string, from netip.AddrPort) []byte {
	if bytes.HasPrefix(req, []byte("SIP/2.0 ")) || bytes.HasPrefix(req, []byte("ACK ")) {
		return nil
	}
	dst = append(dst, status...)
	top, complete, first := true, 0, true
	for {
		end := bytes.Index(req, []byte("\r\n"))
		if end < 0 {
			return nil
		}
		line := req[:end]
		req = req[end+2:]
		if len(line) == 0 {
			break
		}
		if first {
			first = false
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 {
			continue
		}
		name := line[:colon]
		switch {
		case headerIs(name, "Via", "v"):
			if top {
				top = false
				complete++
				dst = appendVia(dst, line, from)
				break
			}
			dst = append(dst, line...)
		case headerIs(name, "To", "t"):
			complete++
			dst = append(dst, line...)
			// The tag of an in-dialog request stands behind the URI.
			if !bytes.Contains(line[bytes.LastIndexByte(line, '>')+1:], []byte(";tag=")) {
				dst = append(dst, ";tag=load"...)
			}
		case headerIs(name, "From", "f"), headerIs(name, "Call-ID", "i"), headerIs(name, "CSeq", ""):
			complete++
			dst = append(dst, line...)
		default:
			continue
		}
		dst = append(dst, "\r\n"...)
	}
	if complete != 5 {
		return nil
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// appendVia appends the top Via line with rport filled in when it is asked for.
func appendVia(dst, line []byte, from netip.AddrPort) []byte {
	i := bytes.Index(line, []byte(";rport"))
	if i < 0 || i+6 < len(line) && line[i+6] != ';' && line[i+6] != ',' {
		return append(dst, line...)
	}
	dst = append(dst, line[:i+6]...)
	dst = append(dst, '=')
	dst = strconv.AppendUint(dst, uint64(from.Port()), 10)
	dst = append(dst, ";received="...)
	dst = from.Addr().Unmap().AppendTo(dst)
	return append(dst, line[i+6:]...)
}

var _ io.Closer = (*Answerer)(nil)

package ua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// socketBuffer is asked of the kernel for each UDP socket: the default of 208 kB
// is 300 messages, less than one burst.
const socketBuffer = 4 << 20

// socket is one UDP listener.
type socket struct {
	u     *UA
	pc    *net.UDPConn
	local netip.AddrPort

	batch batcher // nil: one at a time
	held  held
	out   outward
}

func (u *UA) listenUDP(ctx context.Context, l Listen) (*socket, error) {
	addr, err := listenAddr(ctx, l)
	if err != nil {
		return nil, err
	}
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	pc, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTransport, l, err)
	}
	_ = pc.SetReadBuffer(socketBuffer) // the kernel may grant less
	_ = pc.SetWriteBuffer(socketBuffer)
	return &socket{u: u, pc: pc, local: pc.LocalAddr().(*net.UDPAddr).AddrPort(), batch: newBatcher(pc, addr.Addr().Is6())}, nil
}

// listenAddr resolves the host of a listener.
func listenAddr(ctx context.Context, l Listen) (netip.AddrPort, error) {
	if l.Host == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(l.Port)), nil
	}
	host := l.Host
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a.Unmap(), uint16(l.Port)), nil
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %s: %w", ErrResolve, l, err)
	}
	return netip.AddrPortFrom(list[0].Unmap(), uint16(l.Port)), nil
}

// read takes datagrams until the socket is closed.
func (s *socket) read() {
	if s.batch != nil {
		s.readBatches()
		return
	}
	buf := make([]byte, 65536)
	for {
		n, from, err := s.pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			if s.over(err) {
				return
			}
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		s.datagram(buf[:n], from)
	}
}

// over tells the end of the socket from an ICMP error or a transient lack of memory, after
// which it still works.
func (s *socket) over(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	s.u.log.Debug().Err(err).Str("local", s.local.String()).Msg("udp read failed")
	select {
	case <-s.u.ctx.Done():
		return true
	case <-time.After(time.Millisecond):
		return false
	}
}

func (s *socket) datagram(b []byte, from netip.AddrPort) {
	if keepAlive(b) || !s.u.guard.admit(from.Addr(), "udp") {
		return
	}
	if isSTUN(b) {
		if a := stunAnswer(b, from); a != nil {
			_, _ = s.pc.WriteToUDPAddrPort(a, from) // it asks again
		}
		return
	}
	p := path{sock: s, remote: from}
	s.u.tapped(false, p, b)
	msg, err := sip.Parse(s.u.parser, b)
	s.u.dispatch(p, msg, err)
}

// keepAlive tells datagrams that carry nothing: empty, CRLF, or the NULs that
// some phones send (RFC 5626 §4.4.1 as used on UDP).
func keepAlive(b []byte) bool {
	if len(b) > 8 {
		return false
	}
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 && c != ' ' {
			return false
		}
	}
	return true
}

func (s *socket) send(b []byte, to netip.AddrPort) error {
	if len(b) > sip.MaxMessage {
		return fmt.Errorf("%w: %d bytes do not fit into a datagram", ErrTransport, len(b))
	}
	if _, err := s.pc.WriteToUDPAddrPort(b, to); err != nil {
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	s.u.tapped(true, path{sock: s, remote: to}, b)
	return nil
}

func (u *UA) tapped(out bool, p path, b []byte) {
	if u.cfg.Tap != nil {
		u.cfg.Tap(out, time.Now(), p.transport(), p.local().String(), p.remote.String(), b)
	}
}

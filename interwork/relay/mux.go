package relay

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// mux divides what comes to a port of ICE among the transports behind it: binding
// requests by the user fragment in them, everything else by an address that one of those
// requests came from, authenticated, or that the transport sent a check to. RTP and DTLS
// therefore reach a transport only from where its peer is.
type mux struct {
	sockets []*socket // one per address family; set before the first packet counts

	mu        sync.RWMutex
	fragments map[string]*muxUser
	addresses map[netip.AddrPort]*muxUser
}

const (
	// maxAddresses is how many remote addresses one transport may have.
	maxAddresses = 64
	// maxChecks is how many STUN packets a second one transport takes.
	maxChecks = 400
)

// muxUser is one transport behind a mux. It is the UDPMux its ICE agent sees.
type muxUser struct {
	m         *mux
	t         *transport
	passwords map[string]string // by our user fragment: of now and of before a restart
	order     []string
	addresses []netip.AddrPort
	conns     []*muxConn
	limit     limiter
}

func newMux() *mux {
	return &mux{fragments: map[string]*muxUser{}, addresses: map[netip.AddrPort]*muxUser{}}
}

// join adds a transport.
func (m *mux) join(t *transport) *muxUser {
	return &muxUser{m: m, t: t, passwords: map[string]string{}}
}

// credentials makes new credentials known; those before the last are forgotten.
func (u *muxUser) credentials(ufrag, pwd string) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	u.passwords[ufrag] = pwd
	u.m.fragments[ufrag] = u
	u.order = append(u.order, ufrag)
	if len(u.order) > 2 {
		old := u.order[0]
		u.order = u.order[1:]
		delete(u.passwords, old)
		delete(u.m.fragments, old)
	}
}

// leave removes a transport.
func (u *muxUser) leave() {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for f := range u.passwords {
		delete(u.m.fragments, f)
	}
	for _, a := range u.addresses {
		if u.m.addresses[a] == u {
			delete(u.m.addresses, a)
		}
	}
	for _, c := range u.conns {
		c.pipe.Close()
	}
	u.conns = nil
}

// own makes an address lead to the transport, of several the latest that proves to be
// there; false: it does not. u.m.mu is held.
func (u *muxUser) own(a netip.AddrPort, proved bool) bool {
	owner := u.m.addresses[a]
	if owner == u {
		return true
	}
	if owner != nil && !proved || len(u.addresses) >= maxAddresses {
		return false
	}
	u.m.addresses[a] = u
	if !slices.Contains(u.addresses, a) {
		u.addresses = append(u.addresses, a)
	}
	return true
}

func (m *mux) packet(b []byte, from netip.AddrPort, on *socket, w *writer) {
	if b[0] > 3 {
		m.mu.RLock()
		u := m.addresses[from]
		m.mu.RUnlock()
		if u == nil {
			w.drop()
			return
		}
		u.t.packet(b, from, on, w)
		return
	}
	m.check(b, from, on, w)
}

// check takes a packet of STUN to the agent it is for.
func (m *mux) check(b []byte, from netip.AddrPort, on *socket, w *writer) {
	if !stun.IsMessage(b) {
		w.drop()
		return
	}
	var u *muxUser
	request := binary.BigEndian.Uint16(b)&0x0110 == 0
	m.mu.Lock()
	defer m.mu.Unlock()
	if request {
		name := username(b)
		ours, _, _ := bytes.Cut(name, []byte{':'})
		if u = m.fragments[string(ours)]; u == nil || !u.limit.allow(w.now, maxChecks) || !authentic(b, u.passwords[string(ours)]) || !u.own(from, true) {
			w.drop()
			return
		}
	} else if u = m.addresses[from]; u == nil || !u.limit.allow(w.now, maxChecks) {
		w.drop()
		return
	}
	for _, c := range u.conns {
		if c.local == on.local {
			c.pipe.put(b, from)
			return
		}
	}
}

// username finds the attribute (RFC 8489 §14.3) without reading the rest.
func username(b []byte) []byte {
	for at := 20; at+4 <= len(b); {
		kind, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		if at+4+n > len(b) {
			return nil
		}
		if kind == 0x0006 {
			return b[at+4 : at+4+n]
		}
		at += 4 + (n+3)&^3
	}
	return nil
}

func authentic(b []byte, password string) bool {
	m := stun.Message{Raw: slices.Clone(b)}
	return m.Decode() == nil && stun.NewShortTermIntegrity(password).Check(&m) == nil
}

// GetConn gives the agent its end for one of our addresses (ice.UDPMux).
func (u *muxUser) GetConn(_ string, addr net.Addr) (net.PacketConn, error) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for _, k := range u.m.sockets {
		if a, ok := addr.(*net.UDPAddr); ok && a.AddrPort() == k.local || addr.String() == k.local.String() {
			c := &muxConn{u: u, socket: k, local: k.local, pipe: newPipe(k.local, nil)}
			u.conns = append(u.conns, c)
			return c, nil
		}
	}
	return nil, net.ErrClosed
}

// RemoveConnByUfrag ends what a restart leaves behind. Addresses stay: media goes on over
// the old path until there is a new one (RFC 8445 §9).
func (u *muxUser) RemoveConnByUfrag(string) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for _, c := range u.conns {
		c.pipe.Close()
	}
	u.conns = nil
}

// GetListenAddresses are what host candidates are made of.
func (u *muxUser) GetListenAddresses() []net.Addr {
	out := make([]net.Addr, 0, 2)
	for _, k := range u.m.sockets {
		out = append(out, net.UDPAddrFromAddrPort(k.local))
	}
	return out
}

// Close does nothing: the relay owns the sockets.
func (u *muxUser) Close() error { return nil }

// muxConn is an agent's end of a mux: STUN only.
type muxConn struct {
	*pipe

	u      *muxUser
	socket *socket
	local  netip.AddrPort
}

// WriteTo sends a check or an answer to one.
func (c *muxConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.ErrClosed
	}
	to := a.AddrPort()
	return c.WriteToAddrPort(b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}

// ReadFromAddrPort and WriteToAddrPort spare the agent conversions.
func (c *muxConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) { return c.pipe.readFrom(b) }

// WriteToAddrPort sends a check or an answer to one.
func (c *muxConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if isDone(c.pipe.closed) {
		return 0, net.ErrClosed
	}
	c.u.m.mu.Lock()
	defer c.u.m.mu.Unlock() // the socket is closed after leave only
	if !slices.Contains(c.u.conns, c) {
		return 0, net.ErrClosed
	}
	c.u.own(to, false)
	c.socket.send(b, to)
	return len(b), nil
}

// Close ends this end.
func (c *muxConn) Close() error {
	c.u.m.mu.Lock()
	defer c.u.m.mu.Unlock()
	c.u.conns = slices.DeleteFunc(c.u.conns, func(o *muxConn) bool { return o == c })
	return c.pipe.Close()
}

// SetDeadline interrupts reads, which is how an agent ends them.
func (c *muxConn) SetDeadline(t time.Time) error { return c.pipe.SetReadDeadline(t) }

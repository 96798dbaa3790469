package ua

import (
	"net"
	"net/netip"
	"sync"
	"time"

	siplib "github.com/emiago/sipgo/sip"

	"github.com/stoxgate/stoxgate/sip"
)

// localCache remembers which of our addresses leads to a peer, when a listener is
// bound to all of them.
type localCache struct {
	mu    sync.Mutex
	m     map[netip.Addr]localEntry
	texts map[netip.Addr]string
}

type localEntry struct {
	addr  netip.Addr
	until time.Time
}

const (
	localFor  = 30 * time.Second // addresses change: DHCP, a VPN
	maxLocals = 10_000
)

func newLocalCache() *localCache {
	return &localCache{m: map[netip.Addr]localEntry{}, texts: map[netip.Addr]string{}}
}

// text is an address as the host of a Via, which is asked for with every request.
func (c *localCache) text(a netip.Addr) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.texts[a]
	if !ok {
		if len(c.texts) >= maxLocals {
			clear(c.texts)
		}
		t = bracketed(a.WithZone("").String())
		c.texts[a] = t
	}
	return t
}

// toward is the local address from which the kernel sends to peer.
func (c *localCache) toward(peer netip.Addr) netip.Addr {
	now := time.Now()
	c.mu.Lock()
	e, ok := c.m[peer]
	c.mu.Unlock()
	if ok && now.Before(e.until) {
		return e.addr
	}
	e = localEntry{until: now.Add(localFor)}
	// Connecting a UDP socket sends nothing; it asks the routing table.
	if conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, 9))); err == nil {
		e.addr = addrPort(conn.LocalAddr()).Addr()
		_ = conn.Close()
	}
	c.mu.Lock()
	if len(c.m) >= maxLocals {
		clear(c.m)
	}
	c.m[peer] = e
	c.mu.Unlock()
	return e.addr
}

// via writes our Via: the host and the port that a peer finds us at, and rport
// (RFC 3581) against the NATs on the way.
func (u *UA) via(w *sip.Writer, p path, branch string) {
	local := p.local()
	port := int(local.Port())
	if p.stream != nil {
		// The port where we listen, so that the peer can come back when this
		// connection is gone; its own port when we do not listen.
		if a := u.Addr(p.stream.transport); a.IsValid() {
			port = int(a.Port())
		}
	}
	w.Header(&siplib.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: siplib.NetworkToUpper(p.transport()),
		Host: u.hostToward(local.Addr(), p.remote.Addr()), Port: port,
		Params: siplib.HeaderParams{{K: "branch", V: branch}, {K: "rport"}},
	})
}

// hostToward is the host that we call ourselves towards a peer.
func (u *UA) hostToward(bound, peer netip.Addr) string {
	if u.cfg.Advertise != "" {
		return bracketed(u.cfg.Advertise)
	}
	if bound.IsValid() && !bound.IsUnspecified() {
		return u.locals.text(bound)
	}
	if a := u.locals.toward(peer); a.IsValid() {
		return u.locals.text(a)
	}
	return u.locals.text(bound)
}

// Contact is the URI under which a peer at that address reaches this UA over the
// transport: Advertise or our address, and the listening port. user is plain
// text, "" for none.
func (u *UA) Contact(user, transport string, peer netip.Addr) sip.URI {
	a := u.addrToward(transport, peer)
	c := sip.URI{Scheme: "sip", User: sip.EscapeUser(user), Host: u.hostToward(a.Addr(), peer), Port: int(a.Port())}
	if transport != "udp" {
		c.Params = sip.Params{{Name: "transport", Value: transport}}
	}
	return c
}

// addrToward is the listening address of a transport that a peer can send to: one of its
// family, else the first.
func (u *UA) addrToward(transport string, peer netip.Addr) netip.AddrPort {
	first := u.Addr(transport)
	if !peer.IsValid() || first.Addr().Is4() == peer.Is4() {
		return first
	}
	if transport == "udp" {
		if s := u.socketFor(peer); s != nil {
			return s.local
		}
		return first
	}
	for _, l := range u.listeners {
		if a := addrPort(l.l.Addr()); l.transport == transport && a.Addr().Is4() == peer.Is4() {
			return a
		}
	}
	return first
}

// socketFor is the UDP socket to send to peer from: one that is bound to the
// address the kernel would choose, else one that is bound to all addresses of the
// family, else any of the family.
func (u *UA) socketFor(peer netip.Addr) *socket {
	var best *socket
	rank := 0
	for _, s := range u.sockets {
		a := s.local.Addr()
		if a.Is4() != peer.Is4() {
			continue
		}
		r := 1
		switch {
		case a.IsUnspecified():
			r = 2
		case len(u.sockets) > 1 && a == u.locals.toward(peer):
			r = 3
		}
		if r > rank {
			best, rank = s, r
		}
	}
	return best
}

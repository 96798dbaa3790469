package relay

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// transport is what one or more bundled legs send and receive through: sockets, ICE, keys.
type transport struct {
	s     *Session
	side  Side
	setup Setup
	legs  []*leg // the first speaks for all; never empty once used

	port      uint16 // of the range; 0: none
	rtp, rtcp *socket
	spare     [2]*socket // RTP and RTCP on the same ports of our address of the other family
	mux       *mux       // with ICE; own, or the relay's
	ice       *iceLeg
	muxed     bool // RTCP on the port of RTP

	src      source
	rtcpTo   netip.AddrPort // described
	rtcpFrom netip.AddrPort // learned

	protection   Protection // in force
	cert         *certificate
	offered      []srtpKey // SDES: ours, in the order of their tags
	chosen       int       // index in offered; -1: not yet
	tag          int       // of the chosen, as the peer's description has it
	in, old, out *cryptoContext
	oldUntil     time.Time
	fingerprints []Fingerprint
	active       bool
	assoc        *association
	dtlsFrom     netip.AddrPort
	early        []datagram // DTLS that came before we were ready for it
	described    bool       // Connect succeeded

	limit, foreign, control limiter
	strangers               uint64
	limited                 uint64
	unauthentic             uint64
	connected, failed       bool
	deadline                time.Time // of connecting; zero: none
	loop                    writer    // for what does not come from a reader
	scratch                 [1500]byte
}

const (
	// oldKeys is how long packets under the peer's keys of before a new key are taken.
	oldKeys = 2 * time.Second
	// maxAttempts is how many packets a second from addresses other than the peer's are
	// tried against the keys: a peer that moved needs one.
	maxAttempts = 50
	// maxControl is how many packets of RTCP a second are read.
	maxControl = 200
)

// openTransport opens sockets and makes keys; s.mu is held.
func (s *Session) openTransport(side Side, stream int, p Setup) (*transport, error) {
	t := &transport{s: s, side: side, setup: p, protection: p.Protection, chosen: -1}
	now := time.Now()
	if p.Protection == SDES {
		if err := t.makeKeys(p.Suites); err != nil {
			return nil, err
		}
	}
	if p.Protection == DTLS {
		t.cert = s.relay.certificate(now)
	}
	var err error
	if p.ICE {
		t.setup.Mux, t.muxed = true, true
		err = t.openICE(stream)
	} else {
		err = t.openPair()
	}
	if err != nil {
		t.release(now)
		return nil, err
	}
	return t, nil
}

// bindTries is how many ports are tried when others of the machine sit on some.
const bindTries = 16

// openPair opens an even port for RTP and the next for RTCP (RFC 3550 §11), on our
// address of the family that is preferred and, with the same numbers, on that of the
// other: the peer's description tells only later where it is.
func (t *transport) openPair() error {
	r := t.s.relay
	own, other := r.c.Addresses[0], netip.Addr{}
	if len(r.c.Addresses) > 1 {
		other = r.c.Addresses[1]
		if other.Is6() == t.setup.IPv6 {
			own, other = other, own
		}
	}
	var last error
	for range bindTries {
		now := time.Now()
		port, err := r.ports.take(now)
		if err != nil {
			return err
		}
		if t.rtp, t.rtcp, last = t.listenPair(own, port); last == nil && other.IsValid() {
			t.spare[0], t.spare[1], last = t.listenPair(other, port)
		}
		if last == nil {
			t.port = port
			return nil
		}
		t.closePairs()
		r.ports.give(port, now)
	}
	return fmt.Errorf("%w: %w", ErrNoPorts, last)
}

func (t *transport) listenPair(a netip.Addr, port uint16) (rtp, rtcp *socket, err error) {
	e := t.s.relay.engine
	if rtp, err = e.listen(netip.AddrPortFrom(a, port), t, t.s.shard); err != nil {
		return nil, nil, err
	}
	if rtcp, err = e.listen(netip.AddrPortFrom(a, port+1), t, t.s.shard); err != nil {
		rtp.close()
		return nil, nil, err
	}
	return rtp, rtcp, nil
}

func (t *transport) closePairs() {
	for _, k := range []*socket{t.rtp, t.rtcp, t.spare[0], t.spare[1]} {
		if k != nil {
			k.close()
		}
	}
	t.rtp, t.rtcp, t.spare = nil, nil, [2]*socket{}
}

// reaches tells whether we have an address of the family of a.
func (c *Config) reaches(a netip.Addr) bool {
	return slices.ContainsFunc(c.Addresses, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
}

// face makes our address of the peer's family the one that is described.
func (t *transport) face(peer netip.Addr) {
	if t.spare[0] != nil && peer.IsValid() && peer.Is4() != t.rtp.local.Addr().Is4() {
		t.rtp, t.rtcp, t.spare = t.spare[0], t.spare[1], [2]*socket{t.rtp, t.rtcp}
	}
}

// by is the one of two sockets that reaches the family of a; spare may be nil.
func by(k, spare *socket, a netip.Addr) *socket {
	if spare != nil && k.local.Addr().Is4() != a.Is4() {
		return spare
	}
	return k
}

// openOwnMux opens one port for ICE in every family.
func (t *transport) openOwnMux() error {
	r := t.s.relay
	var last error
	for range bindTries {
		now := time.Now()
		port, err := r.ports.take(now)
		if err != nil {
			return err
		}
		t.mux, last = r.openMux(port, func(at netip.AddrPort, m sink) (*socket, error) { return r.engine.listen(at, m, t.s.shard) })
		if last == nil {
			t.port = port
			return nil
		}
		r.ports.give(port, now)
	}
	return fmt.Errorf("%w: %w", ErrNoPorts, last)
}

// release closes the sockets; nothing may be sent after it.
func (t *transport) release(now time.Time) {
	t.closePairs()
	if t.mux != nil && t.mux != t.s.relay.shared {
		for _, k := range t.mux.sockets {
			k.close()
		}
	}
	if t.port != 0 {
		t.s.relay.ports.give(t.port, now)
		t.port = 0
	}
}

// close ends everything. The session is closed already, so no packet enters; s.mu is not
// held, because the agent's goroutines may be waiting for it.
func (t *transport) close(now time.Time) {
	if t.assoc != nil {
		t.assoc.close()
	}
	if t.ice == nil {
		t.release(now)
		return
	}
	t.ice.user.leave()
	t.release(now)
	r := t.s.relay
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		t.ice.close()
	}()
}

// local is our description.
func (t *transport) local() Local {
	c := &t.s.relay.c
	var out Local
	if t.ice != nil {
		t.ice.describe(&out)
	} else {
		out.RTP = netip.AddrPortFrom(c.advertised(t.rtp.local.Addr()), t.rtp.local.Port())
		out.RTCP = netip.AddrPortFrom(out.RTP.Addr(), out.RTP.Port()+1)
		if t.muxed {
			out.RTCP = out.RTP
		}
	}
	switch t.protection {
	case DTLS:
		out.Fingerprint = t.cert.fingerprint
	case SDES:
		if t.chosen >= 0 {
			k := t.offered[t.chosen]
			out.Cryptos = []Crypto{{Tag: t.tag, Suite: k.suite.name, KeyParams: k.inline()}}
			break
		}
		for i, k := range t.offered {
			out.Cryptos = append(out.Cryptos, Crypto{Tag: i + 1, Suite: k.suite.name, KeyParams: k.inline()})
		}
	}
	return out
}

// connect takes the peer's description; s.mu is held. Nothing is changed before all of it
// is known to be usable.
func (t *transport) connect(r Remote, now time.Time) error {
	r.RTP = netip.AddrPortFrom(r.RTP.Addr().Unmap(), r.RTP.Port())
	r.RTCP = netip.AddrPortFrom(r.RTCP.Addr().Unmap(), r.RTCP.Port())
	if r.RTP.Addr().IsMulticast() || r.RTCP.Addr().IsMulticast() {
		return fmt.Errorf("%w: multicast address", ErrDescription)
	}
	if a := r.RTP.Addr(); t.ice == nil && a.IsValid() && !a.IsUnspecified() && !t.s.relay.c.reaches(a) {
		return fmt.Errorf("%w: no address of the family of %s here", ErrDescription, a)
	}
	protection := t.protection
	switch prepared := t.setup.Protection; {
	case r.Plain:
		protection = None
	case prepared == SDES && len(r.Cryptos) > 0, prepared == DTLS && len(r.Fingerprints) > 0:
		protection = prepared
	}
	var in *cryptoContext
	chosen, tag := t.chosen, t.tag
	prints := usable(r.Fingerprints)
	switch protection {
	case SDES:
		var err error
		if in, chosen, tag, err = t.choose(r.Cryptos); err != nil {
			return err
		}
	case DTLS:
		if len(r.Fingerprints) > 0 && prints == nil || prints == nil && t.fingerprints == nil {
			return fmt.Errorf("%w: no usable fingerprint", ErrDescription)
		}
	}
	if t.ice != nil {
		if err := t.ice.connect(r); err != nil {
			return err
		}
	} else {
		t.direct(r)
	}
	t.protection = protection
	if in != nil {
		if err := t.rekey(in, chosen, tag, now); err != nil {
			return err
		}
	}
	if !t.described && !t.connected {
		t.deadline = now.Add(t.s.relay.c.ConnectTimeout)
	}
	t.described = true
	if protection == DTLS {
		t.secure(prints, r.Active)
	}
	t.progress()
	return nil
}

// direct takes the addresses of a leg without ICE.
func (t *transport) direct(r Remote) {
	to := r.RTP
	if !to.IsValid() || to.Addr().IsUnspecified() || to.Port() == 0 {
		to = netip.AddrPort{}
	}
	t.face(to.Addr())
	t.src.describe(to)
	rtcp := r.RTCP
	if (!rtcp.IsValid() || rtcp.Addr().IsUnspecified() || rtcp.Port() == 0) && to.IsValid() && to.Port() < 65535 {
		rtcp = netip.AddrPortFrom(to.Addr(), to.Port()+1)
	}
	if rtcp != t.rtcpTo {
		t.rtcpTo, t.rtcpFrom = rtcp, netip.AddrPort{}
	}
	t.muxed = r.Mux && t.setup.Mux
}

// progress starts what can start now and reports when all works; s.mu is held.
func (t *transport) progress() {
	if !t.described || t.failed || t.s.closed {
		return
	}
	if t.ice != nil && !t.ice.up {
		return
	}
	if t.protection == DTLS {
		if t.assoc == nil {
			t.handshake()
		}
		if t.out == nil {
			return
		}
	}
	if t.connected {
		return
	}
	t.connected, t.deadline = true, time.Time{}
	t.event(Connected, nil)
}

// fail gives the leg up; s.mu is held.
func (t *transport) fail(err error) {
	if t.failed {
		return
	}
	t.failed, t.deadline = true, time.Time{}
	t.s.log.Info().Err(err).Stringer("side", t.side).Msg("media leg failed")
	t.event(Failed, err)
}

// event tells something of every leg of the transport.
func (t *transport) event(k EventKind, err error) {
	for _, l := range t.legs {
		t.s.events.add(Event{Kind: k, Side: t.side, Stream: l.stream, Err: err})
	}
}

// ready tells whether media may be sent.
func (t *transport) ready() bool {
	return t.connected && !t.failed && (t.protection == None || t.out != nil)
}

// write sends a datagram to the peer by the path of RTP; s.mu is held.
func (t *transport) write(w *writer, b []byte) {
	if t.ice != nil {
		t.ice.write(w, b)
		return
	}
	to := t.src.target()
	if t.dtlsFrom.IsValid() && !t.src.addr.IsValid() {
		to = t.dtlsFrom
	}
	if to.IsValid() && t.rtp != nil {
		w.send(by(t.rtp, t.spare[0], to.Addr()), b, to)
	}
}

// sendRTP protects a packet in place and sends it.
func (t *transport) sendRTP(w *writer, b []byte) {
	if t.protection != None {
		var err error
		if b, err = t.out.seal(b); err != nil {
			return
		}
	}
	t.write(w, b)
}

// sendRTCP protects a compound packet in place and sends it.
func (t *transport) sendRTCP(w *writer, b []byte) {
	if t.protection != None {
		var err error
		if b, err = t.out.sealRTCP(b); err != nil {
			return
		}
	}
	if t.muxed || t.rtcp == nil {
		t.write(w, b)
		return
	}
	to := t.rtcpTo
	switch media := t.src.addr; {
	case t.rtcpFrom.IsValid():
		to = t.rtcpFrom
	case media.IsValid() && media.Addr() != to.Addr() && media.Port() < 65535: // a NAT is in between
		to = netip.AddrPortFrom(media.Addr(), media.Port()+1)
	}
	if t.src.signalled.IsValid() {
		w.send(by(t.rtcp, t.spare[1], to.Addr()), b, to)
	}
}

package relay

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	piontransport "github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// Relay is the media side of a gateway. Its methods and those of its sessions may be
// called from any goroutine.
type Relay struct {
	c      Config
	engine *engine
	ports  *ports
	shared *mux // of all ICE legs; nil: each has its own
	net    piontransport.Net
	tick   *ticker

	mu       sync.Mutex
	cert     *certificate
	sessions map[*Session]struct{}
	closed   bool
	every    uint64
	dropped  uint64 // by sessions that are closed
	servers  []Server

	stop chan struct{}
	wg   sync.WaitGroup
}

// Defaults of Config.
const (
	defaultPortMin, defaultPortMax = 20000, 29999
	defaultPortRest                = 20 * time.Second
	defaultMediaTimeout            = 30 * time.Second
	defaultConnectTimeout          = 20 * time.Second
	defaultMaxPacketRate           = 4000
	defaultMaxCandidates           = 32
)

func (c Config) filled() (Config, error) {
	if len(c.Addresses) == 0 {
		c.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	c.Addresses, c.Advertise = unmapped(c.Addresses), unmapped(c.Advertise)
	for _, list := range [][]netip.Addr{c.Addresses, c.Advertise} {
		if len(list) > 2 || len(list) == 2 && list[0].Is4() == list[1].Is4() {
			return c, fmt.Errorf("%w: more than one address of a family", ErrConfig)
		}
		for _, a := range list {
			if !a.IsValid() || a.IsMulticast() {
				return c, fmt.Errorf("%w: address %s", ErrConfig, a)
			}
		}
	}
	for _, a := range c.Addresses {
		if a.IsUnspecified() && c.advertised(a).IsUnspecified() {
			return c, fmt.Errorf("%w: %s needs an address to advertise", ErrConfig, a)
		}
		if a.IsLoopback() {
			c.Candidates.AllowLoopback = true
		}
		if isPrivate(a) || a.IsLoopback() {
			c.Candidates.AllowPrivate = true
		}
	}
	set(&c.Ports, PortRange{defaultPortMin, defaultPortMax})
	set(&c.PortRest, defaultPortRest)
	set(&c.MediaTimeout, defaultMediaTimeout)
	set(&c.ConnectTimeout, defaultConnectTimeout)
	set(&c.MaxPacketRate, defaultMaxPacketRate)
	set(&c.Candidates.Max, defaultMaxCandidates)
	set(&c.Readers, min(4, runtime.GOMAXPROCS(0)))
	if int(c.Ports.Max)-int(c.Ports.Min) < 1 || c.Ports.Min == 0 {
		return c, fmt.Errorf("%w: ports %d–%d", ErrConfig, c.Ports.Min, c.Ports.Max)
	}
	if c.ShareICE && c.ICEPort == 0 && len(pairs(c.Ports)) < 2 {
		return c, fmt.Errorf("%w: ports %d–%d are too few to share one for ICE", ErrConfig, c.Ports.Min, c.Ports.Max)
	}
	return c, nil
}

func set[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func unmapped(in []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(in))
	for _, a := range in {
		out = append(out, a.Unmap())
	}
	return out
}

// advertised is the address peers are told for one of ours.
func (c *Config) advertised(a netip.Addr) netip.Addr {
	for _, b := range c.Advertise {
		if b.Is4() == a.Is4() {
			return b
		}
	}
	return a
}

// New opens the shared sockets and starts the readers.
func New(c Config) (*Relay, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	r := &Relay{c: c, servers: slices.Clone(c.Servers), ports: newPorts(c.Ports, c.PortRest), sessions: map[*Session]struct{}{}, stop: make(chan struct{})}
	if r.net, err = stdnet.NewNet(); err != nil {
		return nil, fmt.Errorf("relay: network interfaces: %w", err)
	}
	if r.cert, err = newCertificate(time.Now()); err != nil {
		return nil, err
	}
	if r.engine, err = newEngine(c.Readers); err != nil {
		return nil, err
	}
	if err := r.openShared(); err != nil {
		r.engine.close()
		return nil, err
	}
	r.tick = newTicker(&r.wg)
	r.wg.Add(1)
	go r.housekeeping()
	return r, nil
}

// openShared opens the port that all ICE legs share, if they do.
func (r *Relay) openShared() (err error) {
	try := []uint16{r.c.ICEPort}
	if r.c.ICEPort == 0 {
		if !r.c.ShareICE {
			return nil
		}
		try = pairs(r.c.Ports)
		try = try[:min(len(try)-1, bindTries)]
	}
	for _, port := range try {
		if r.shared, err = r.openMux(port, r.engine.share); err == nil {
			r.ports.without(port)
			return nil
		}
	}
	return err
}

// openMux opens a port for ICE on all our addresses.
func (r *Relay) openMux(port uint16, open func(netip.AddrPort, sink) (*socket, error)) (*mux, error) {
	m := newMux()
	for _, a := range r.c.Addresses {
		k, err := open(netip.AddrPortFrom(a, port), m)
		if err != nil {
			for _, k := range m.sockets {
				k.close()
			}
			return nil, err
		}
		m.sockets = append(m.sockets, k)
	}
	return m, nil
}

// Facing is the address that a peer at the given one is told, of its family; false: we
// have addresses of one family only.
func (r *Relay) Facing(peer netip.Addr) (netip.Addr, bool) {
	if len(r.c.Addresses) < 2 || !peer.IsValid() {
		return netip.Addr{}, false
	}
	for _, a := range r.c.Addresses {
		if a.Is4() == peer.Is4() {
			return r.c.advertised(a), true
		}
	}
	return netip.Addr{}, false
}

// ICEPort is the port that all ICE legs share; 0: they do not.
func (r *Relay) ICEPort() uint16 {
	if r.shared == nil {
		return 0
	}
	return r.shared.sockets[0].local.Port()
}

// Close ends every session and waits for all goroutines.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	open := r.all()
	r.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	close(r.stop)
	r.tick.close()
	r.wg.Wait()
	r.engine.close()
	return nil
}

// all sessions; r.mu is held.
func (r *Relay) all() []*Session {
	out := make([]*Session, 0, len(r.sessions))
	for s := range r.sessions {
		out = append(out, s)
	}
	return out
}

// Open starts a session. flow is its correlation id in logs. events is called in order,
// by one goroutine at a time, and must not block; nil: nobody wants them.
func (r *Relay) Open(flow string, f func(Event)) *Session {
	s := &Session{relay: r, flow: flow, log: r.c.Log.With().Str("flow", flow).Logger(), cname: token(16)}
	s.events.f, s.events.wg = f, &r.wg
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		s.closed = true
		return s
	}
	r.every++
	s.turn, s.shard = int(r.every), r.engine.pick()
	r.sessions[s] = struct{}{}
	return s
}

func (r *Relay) forget(s *Session, dropped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s)
	r.dropped += dropped
}

// SetServers replaces Config.Servers for the legs prepared from now on: credentials of
// TURN servers expire.
func (r *Relay) SetServers(list []Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers = slices.Clone(list)
}

// certificate is the one for a new leg.
func (r *Relay) certificate(now time.Time) *certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.cert.made) > certificateUse {
		if c, err := newCertificate(now); err == nil {
			r.cert = c
		}
	}
	return r.cert
}

// tendEvery is how often sessions are looked after: reports that are due, timeouts.
const tendEvery = 100 * time.Millisecond

func (r *Relay) housekeeping() {
	defer r.wg.Done()
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	var list []*Session
	for {
		select {
		case <-r.stop:
			return
		case now := <-t.C:
			r.mu.Lock()
			list = slices.Grow(list[:0], len(r.sessions))
			for s := range r.sessions {
				list = append(list, s)
			}
			r.mu.Unlock()
			for _, s := range list {
				s.tend(now)
			}
			clear(list)
		}
	}
}

// Stats are the figures of the whole relay.
func (r *Relay) Stats() Stats {
	c := r.engine.counts()
	out := Stats{Packets: c.packets, Bytes: c.bytes, Dropped: c.dropped, SocketErrors: c.errors}
	out.PortsUsed, out.PortsResting, out.PortsFree = r.ports.counts()
	r.mu.Lock()
	open := r.all()
	out.Sessions, out.EverySessions = len(open), r.every
	out.Dropped += r.dropped
	r.mu.Unlock()
	for _, s := range open {
		n, dropped := s.gauges()
		out.Transcoding += n
		out.Dropped += dropped
	}
	return out
}

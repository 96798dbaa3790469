package relay

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// iceLeg is ICE of a transport. The agent does the checks; media goes by the path it
// selected through our own sockets, and through the agent only where a TURN server or a
// socket of the agent's own is in between.
type iceLeg struct {
	t     *transport
	agent *ice.Agent
	user  *muxUser
	conn  *ice.Conn // once started

	ufrag, pwd  string
	generation  uint32
	remoteUfrag string
	remotePwd   string
	lite        bool
	started     bool
	servers     bool // candidates are gathered from servers
	renewed     bool // Connect restarted us because the peer did; not fetched yet
	awaiting    bool // we restarted; the peer's new credentials are to come
	candidates  int  // of the peer's present generation
	up          bool
	path        struct {
		on *socket // nil: through the agent
		to netip.AddrPort
	}
	late []Candidate // gathered from servers
}

// Times of ICE. Checks are paced more closely than the library does, and tried for as
// long as it does.
const (
	checkInterval    = 100 * time.Millisecond
	maxBindings      = 40
	relayAcceptance  = 500 * time.Millisecond
	serverCandidates = 16
)

// openICE makes an agent behind the shared port or an own one; s.mu is held.
func (t *transport) openICE(stream int) error {
	r := t.s.relay
	t.mux = r.shared
	if t.mux == nil {
		if err := t.openOwnMux(); err != nil {
			return err
		}
	}
	i := &iceLeg{t: t, ufrag: iceToken(8), pwd: iceToken(24)}
	i.user = t.mux.join(t)
	i.user.credentials(i.ufrag, i.pwd)
	types, networks := []ice.CandidateType{ice.CandidateTypeHost}, []ice.NetworkType{}
	urls := r.urls()
	i.servers = len(urls) > 0
	if i.servers {
		types = append(types, ice.CandidateTypeServerReflexive, ice.CandidateTypeRelay)
	}
	for _, a := range r.c.Addresses {
		if a.Is4() {
			networks = append(networks, ice.NetworkTypeUDP4)
		} else {
			networks = append(networks, ice.NetworkTypeUDP6)
		}
	}
	opts := []ice.AgentOption{
		ice.WithUDPMux(i.user), ice.WithLocalCredentials(i.ufrag, i.pwd),
		ice.WithNetworkTypes(networks), ice.WithCandidateTypes(types), ice.WithUrls(urls),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled), ice.WithIncludeLoopback(),
		ice.WithLoggerFactory(quiet{}), ice.WithNet(r.net),
		ice.WithCheckInterval(checkInterval), ice.WithMaxBindingRequests(maxBindings),
		ice.WithSrflxAcceptanceMinWait(0), ice.WithPrflxAcceptanceMinWait(0), ice.WithRelayAcceptanceMinWait(relayAcceptance),
	}
	if i.servers { // the agent opens sockets of its own for these
		opts = append(opts, ice.WithPortRange(r.c.Ports.Min, r.c.Ports.Max))
	}
	agent, err := ice.NewAgentWithOptions(opts...)
	if err != nil {
		i.user.leave()
		return fmt.Errorf("%w: %w", ErrICE, err)
	}
	i.agent = agent
	t.ice = i
	_ = agent.OnConnectionStateChange(i.state)
	_ = agent.OnSelectedCandidatePairChange(i.selected)
	_ = agent.OnCandidate(i.gathered)
	if err := agent.GatherCandidates(); err != nil {
		i.user.leave()
		t.ice = nil
		r.wg.Add(1)
		go func() {
			defer r.wg.Done()
			_ = agent.GracefulClose()
		}()
		return fmt.Errorf("%w: %w", ErrICE, err)
	}
	return nil
}

// iceToken is a random text of the characters ICE allows (RFC 8839 §5.4).
func iceToken(n int) string {
	return strings.NewReplacer("-", "+", "_", "/").Replace(token(n))[:n]
}

// urls are the servers to gather from.
func (r *Relay) urls() []*stun.URI {
	var out []*stun.URI
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		u := &stun.URI{Scheme: stun.SchemeTypeSTUN, Host: s.Host, Port: int(s.Port), Proto: stun.ProtoTypeUDP, Username: s.Username, Password: s.Password}
		if strings.EqualFold(s.Transport, "tcp") {
			u.Proto = stun.ProtoTypeTCP
		}
		switch {
		case s.TURN && s.TLS:
			u.Scheme = stun.SchemeTypeTURNS
		case s.TURN:
			u.Scheme = stun.SchemeTypeTURN
		}
		out = append(out, u)
	}
	return out
}

// describe fills in our description.
func (i *iceLeg) describe(out *Local) {
	c := &i.t.s.relay.c
	out.Ufrag, out.Pwd = i.ufrag, i.pwd
	for n, k := range i.t.mux.sockets {
		a := c.advertised(k.local.Addr())
		// RFC 8445 §5.1.2.1; of the families the first address configured is preferred.
		priority := uint32(126)<<24 | uint32(65535-n)<<8 | 255
		out.Candidates = append(out.Candidates, Candidate{
			Foundation: strconv.Itoa(n + 1), Component: 1, Priority: priority, Address: a.String(), Port: k.local.Port(),
			Type: "host", Generation: i.generation, Protocol: "udp",
		})
		if n == 0 {
			out.RTP = netip.AddrPortFrom(a, k.local.Port())
			out.RTCP = out.RTP
		}
	}
	for _, l := range i.late {
		l.Generation = i.generation
		out.Candidates = append(out.Candidates, l)
	}
}

// connect takes the peer's credentials; s.mu is held.
func (i *iceLeg) connect(r Remote) error {
	ufrag, pwd := r.Ufrag, r.Pwd
	if ufrag == "" { // some leave one of the two out
		ufrag = i.remoteUfrag
	}
	if pwd == "" {
		pwd = i.remotePwd
	}
	if ufrag == "" || pwd == "" || len(ufrag) > 256 || len(pwd) > 256 || strings.ContainsAny(ufrag+pwd, ": \t\r\n") {
		return fmt.Errorf("%w: ICE credentials", ErrDescription)
	}
	changed := ufrag != i.remoteUfrag || pwd != i.remotePwd
	if i.started && changed && !i.awaiting {
		if err := i.restart(); err != nil { // the peer's restart; ours answers it
			return err
		}
		i.renewed = true
	}
	i.remoteUfrag, i.remotePwd = ufrag, pwd
	var err error
	switch {
	case !i.started:
		i.started = true
		i.lite = r.Lite
		_ = i.agent.SetRemoteICELite(r.Lite)
		if i.t.setup.Controlling || r.Lite {
			i.conn, err = i.agent.StartDial(ufrag, pwd)
		} else {
			i.conn, err = i.agent.StartAccept(ufrag, pwd)
		}
		if err == nil && i.servers {
			i.t.s.relay.wg.Add(1)
			go i.read()
		}
	case changed:
		i.awaiting = false
		err = i.agent.SetRemoteCredentials(ufrag, pwd)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrICE, err)
	}
	i.add(r.Candidates)
	return nil
}

// restart renews our credentials; s.mu is held.
func (i *iceLeg) restart() error {
	i.ufrag, i.pwd = iceToken(8), iceToken(24)
	i.generation++
	i.candidates, i.late = 0, nil
	i.awaiting = i.started
	i.user.credentials(i.ufrag, i.pwd)
	err := i.agent.Restart(i.ufrag, i.pwd)
	if err == nil {
		err = i.agent.GatherCandidates()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrICE, err)
	}
	return nil
}

// add gives the agent candidates of the peer that policy admits; s.mu is held.
func (i *iceLeg) add(all []Candidate) {
	p := &i.t.s.relay.c.Candidates
	for _, c := range all {
		if i.candidates >= p.Max {
			return
		}
		if !p.admits(c) {
			continue
		}
		r, err := remoteCandidate(c)
		if err != nil {
			continue
		}
		i.candidates++
		_ = i.agent.AddRemoteCandidate(r)
	}
}

// admits tells whether a remote candidate may be checked: a name would have us ask for it,
// and a check is a packet to wherever the peer likes.
func (p *Policy) admits(c Candidate) bool {
	if c.Protocol != "" && !strings.EqualFold(c.Protocol, "udp") || c.Component > 1 || c.Port == 0 {
		return false
	}
	a, err := netip.ParseAddr(c.Address)
	if err != nil || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}), a.Is6() && a.IsLinkLocalUnicast():
		return false
	case a.IsLoopback():
		return p.AllowLoopback
	case isPrivate(a):
		return p.AllowPrivate
	}
	return true
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || sharedSpace.Contains(a)
}

func remoteCandidate(c Candidate) (ice.Candidate, error) {
	a, err := netip.ParseAddr(c.Address)
	if err != nil {
		return nil, err
	}
	address, port, foundation := a.Unmap().String(), int(c.Port), c.Foundation
	if len(foundation) > 32 {
		foundation = foundation[:32]
	}
	related, relatedPort := "0.0.0.0", 9
	if c.Related.IsValid() {
		related, relatedPort = c.Related.Addr().String(), int(c.Related.Port())
	}
	switch strings.ToLower(c.Type) {
	case "", "host":
		return ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: address, Port: port, Component: 1, Priority: c.Priority, Foundation: foundation})
	case "srflx":
		return ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{Network: "udp", Address: address, Port: port, Component: 1, Priority: c.Priority, Foundation: foundation, RelAddr: related, RelPort: relatedPort})
	case "prflx":
		return ice.NewCandidatePeerReflexive(&ice.CandidatePeerReflexiveConfig{Network: "udp", Address: address, Port: port, Component: 1, Priority: c.Priority, Foundation: foundation, RelAddr: related, RelPort: relatedPort})
	case "relay":
		return ice.NewCandidateRelay(&ice.CandidateRelayConfig{Network: "udp", Address: address, Port: port, Component: 1, Priority: c.Priority, Foundation: foundation, RelAddr: related, RelPort: relatedPort})
	}
	return nil, ErrDescription
}

// state takes the agent's state, on a goroutine of the agent.
func (i *iceLeg) state(st ice.ConnectionState) {
	if st != ice.ConnectionStateFailed {
		return
	}
	s := i.t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		i.t.fail(ErrICE)
	}
}

// selected takes the path the agent chose.
func (i *iceLeg) selected(local, remote ice.Candidate) {
	to, err := netip.ParseAddr(remote.Address())
	if err != nil {
		return
	}
	s := i.t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	i.path.on, i.path.to = nil, netip.AddrPortFrom(to.Unmap(), uint16(remote.Port()))
	if local.Type() == ice.CandidateTypeHost {
		for _, k := range i.t.mux.sockets {
			if k.local.Addr().Is4() == i.path.to.Addr().Is4() && int(k.local.Port()) == local.Port() {
				i.path.on = k
			}
		}
	}
	i.up = true
	i.t.progress()
}

// gathered takes a candidate of ours; host ones are described already.
func (i *iceLeg) gathered(c ice.Candidate) {
	s := i.t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !i.servers || c != nil && c.Type() == ice.CandidateTypeHost || len(i.late) >= serverCandidates {
		return
	}
	ev := Event{Kind: LateCandidates, Side: i.t.side}
	if len(i.t.legs) > 0 {
		ev.Stream = i.t.legs[0].stream
	}
	if c != nil {
		l := Candidate{
			Foundation: c.Foundation(), Component: 1, Priority: c.Priority(), Address: c.Address(), Port: uint16(c.Port()),
			Type: c.Type().String(), Generation: i.generation, Protocol: "udp",
		}
		if r := c.RelatedAddress(); r != nil {
			if a, err := netip.ParseAddr(r.Address); err == nil {
				l.Related = netip.AddrPortFrom(a, uint16(r.Port))
			}
		}
		i.late = append(i.late, l)
		ev.Candidates = []Candidate{l}
	}
	s.events.add(ev)
}

// read takes what comes through the agent: from TURN servers, and on the agent's own
// sockets that a STUN server made public.
func (i *iceLeg) read() {
	defer i.t.s.relay.wg.Done()
	b := make([]byte, bufferSize)
	for {
		n, err := i.conn.Read(b[:maxPacket])
		if err != nil {
			return
		}
		w := writer{now: time.Now()}
		i.t.packet(b[:n], netip.AddrPort{}, nil, &w)
	}
}

// write sends by the selected path; s.mu is held.
func (i *iceLeg) write(w *writer, b []byte) {
	switch {
	case i.path.on != nil:
		w.send(i.path.on, b, i.path.to)
	case i.up && i.conn != nil:
		_, _ = i.conn.Write(b)
	}
}

func (i *iceLeg) close() { _ = i.agent.GracefulClose() }

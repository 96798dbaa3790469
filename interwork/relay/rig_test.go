package relay

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

var (
	pcmu  = Codec{PayloadType: 0, Name: "PCMU", ClockRate: 8000}
	pcma  = Codec{PayloadType: 8, Name: "PCMA", ClockRate: 8000}
	opus  = Codec{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2}
	keys8 = Codec{PayloadType: 101, Name: "telephone-event", ClockRate: 8000}
)

func codecs(c ...Codec) Format { return Format{Codecs: c, Send: true, Recv: true} }

func (c Codec) at(pt uint8) Codec { c.PayloadType = pt; return c }

var (
	portMu   sync.Mutex
	nextPort = uint16(30000)
)

// testPorts gives each relay of a test its own part of the range.
func testPorts(n int) PortRange {
	portMu.Lock()
	defer portMu.Unlock()
	r := PortRange{nextPort, nextPort + uint16(n) - 1}
	nextPort += uint16(n)
	return r
}

func newTestRelay(t testing.TB, change func(*Config)) *Relay {
	t.Helper()
	c := Config{Ports: testPorts(40), PortRest: time.Millisecond, Log: zerolog.Nop()}
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// heard collects the events of a session.
type heard struct {
	mu  sync.Mutex
	all []Event
	c   chan struct{}
}

func newHeard() *heard { return &heard{c: make(chan struct{}, 1000)} }

func (h *heard) add(e Event) {
	h.mu.Lock()
	h.all = append(h.all, e)
	h.mu.Unlock()
	h.c <- struct{}{}
}

func (h *heard) find(k EventKind, side Side) (Event, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.all {
		if e.Kind == k && e.Side == side {
			return e, true
		}
	}
	return Event{}, false
}

func (h *heard) wait(t testing.TB, k EventKind, side Side) Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		if e, ok := h.find(k, side); ok {
			return e
		}
		select {
		case <-h.c:
		case <-deadline:
			t.Fatalf("no event %s of %s; had %v", k, side, h.all)
		}
	}
}

// peer is a party that sends and receives RTP: on a socket, or over ICE.
type peer struct {
	t         testing.TB
	conn      *net.UDPConn // RTP; nil with ICE
	rtcp      *net.UDPConn
	to, toCtl netip.AddrPort
	in, out   *srtp.Context

	agent   *ice.Agent
	ice     *ice.Conn
	ufrag   string
	pwd     string
	cand    []Candidate
	cert    *certificate
	dtls    *pipe
	tls     *dtls.Conn
	pkts    chan []byte
	wg      sync.WaitGroup
	reading sync.WaitGroup

	ssrc uint32
	seq  uint16
	ts   uint32
}

func listenUDP(t testing.TB, at string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// newPhone is a party on plain sockets.
func newPhone(t testing.TB) *peer { return newPhoneAt(t, "127.0.0.1:0") }

func newPhoneAt(t testing.TB, at string) *peer {
	p := &peer{t: t, conn: listenUDP(t, at), rtcp: listenUDP(t, at), ssrc: randomUint32(), seq: uint16(randomUint32()), ts: randomUint32()}
	return p
}

func (p *peer) remote() Remote { return Remote{RTP: addrOf(p.conn), RTCP: addrOf(p.rtcp)} }

func (p *peer) aim(l Local) { p.to, p.toCtl = l.RTP, l.RTCP }

// frame sends one packet of 20 ms at 8000 Hz.
func (p *peer) frame(pt uint8, payload []byte) { p.packet(pt, 160, payload) }

func (p *peer) packet(pt uint8, step uint32, payload []byte) {
	p.seq++
	p.ts += step
	p.raw(rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: p.seq, Timestamp: p.ts, SSRC: p.ssrc}, payload)
}

func (p *peer) raw(h rtp.Header, payload []byte) {
	b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	require.NoError(p.t, err)
	if p.out != nil {
		b, err = p.out.EncryptRTP(nil, b, nil)
		require.NoError(p.t, err)
	}
	p.write(b)
}

func (p *peer) write(b []byte) {
	if p.ice != nil {
		_, _ = p.ice.Write(b)
		return
	}
	_, err := p.conn.WriteToUDPAddrPort(b, p.to)
	require.NoError(p.t, err)
}

func (p *peer) control(pkts ...rtcp.Packet) {
	b, err := rtcp.Marshal(pkts)
	require.NoError(p.t, err)
	if p.out != nil {
		b, err = p.out.EncryptRTCP(nil, b, nil)
		require.NoError(p.t, err)
	}
	if p.ice != nil || p.toCtl == p.to {
		p.write(b)
		return
	}
	_, err = p.rtcp.WriteToUDPAddrPort(b, p.toCtl)
	require.NoError(p.t, err)
}

var errNothing = errors.New("nothing came")

// next gives the next packet of RTP that comes within a time.
func (p *peer) next(within time.Duration) (*rtp.Packet, error) {
	deadline := time.Now().Add(within)
	for {
		b, err := p.read(p.conn, deadline)
		if err != nil {
			return nil, errNothing
		}
		if len(b) < 12 || b[1] >= rtcpFirst && b[1] <= rtcpLast {
			continue
		}
		if p.in != nil {
			if b, err = p.in.DecryptRTP(nil, b, nil); err != nil {
				p.t.Logf("peer: %v", err)
				continue
			}
		}
		var out rtp.Packet
		require.NoError(p.t, out.Unmarshal(b))
		return &out, nil
	}
}

func (p *peer) read(c *net.UDPConn, deadline time.Time) ([]byte, error) {
	if p.pkts != nil {
		select {
		case b := <-p.pkts:
			return b, nil
		case <-time.After(time.Until(deadline)):
			return nil, os.ErrDeadlineExceeded
		}
	}
	b := make([]byte, 2000)
	_ = c.SetReadDeadline(deadline)
	n, _, err := c.ReadFromUDPAddrPort(b)
	return b[:n], err
}

// nextControl gives the next compound packet of RTCP.
func (p *peer) nextControl(within time.Duration) ([]rtcp.Packet, error) {
	deadline := time.Now().Add(within)
	for {
		c := p.rtcp
		if p.toCtl == p.to {
			c = p.conn
		}
		b, err := p.read(c, deadline)
		if err != nil {
			return nil, errNothing
		}
		if len(b) < 8 || b[1] < rtcpFirst || b[1] > rtcpLast {
			continue
		}
		if p.in != nil {
			if b, err = p.in.DecryptRTCP(nil, b, nil); err != nil {
				p.t.Logf("peer: %v", err)
				continue
			}
		}
		return rtcp.Unmarshal(b)
	}
}

// newBrowser is a party with ICE, DTLS and one port, like a browser.
func newBrowser(t testing.TB) *peer {
	cert, err := newCertificate(time.Now())
	require.NoError(t, err)
	p := &peer{t: t, cert: cert, ssrc: randomUint32(), seq: uint16(randomUint32()), ts: randomUint32(), pkts: make(chan []byte, 4096)}
	p.agent, err = ice.NewAgentWithOptions(
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithIncludeLoopback(), ice.WithIPFilter(func(ip net.IP) bool { return ip.IsLoopback() }),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled), ice.WithLoggerFactory(quiet{}),
	)
	require.NoError(t, err)
	p.gather()
	t.Cleanup(p.close)
	return p
}

func (p *peer) gather() {
	done := make(chan struct{})
	p.cand = nil
	require.NoError(p.t, p.agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
			return
		}
		p.cand = append(p.cand, Candidate{Foundation: c.Foundation(), Component: 1, Priority: c.Priority(), Address: c.Address(), Port: uint16(c.Port()), Type: "host"})
	}))
	require.NoError(p.t, p.agent.GatherCandidates())
	<-done
	var err error
	p.ufrag, p.pwd, err = p.agent.GetLocalUserCredentials()
	require.NoError(p.t, err)
}

func (p *peer) close() {
	if p.dtls != nil {
		p.dtls.Close()
	}
	_ = p.agent.GracefulClose()
	p.wg.Wait()
}

func (p *peer) description(active bool) Remote {
	return Remote{Ufrag: p.ufrag, Pwd: p.pwd, Candidates: p.cand, Mux: true, Fingerprints: []Fingerprint{p.cert.fingerprint}, Active: active}
}

// join has the browser connect to what the relay described; it returns when ICE works.
func (p *peer) join(l Local, controlling bool) {
	for _, c := range l.Candidates {
		r, err := remoteCandidate(c)
		require.NoError(p.t, err)
		require.NoError(p.t, p.agent.AddRemoteCandidate(r))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if controlling {
		p.ice, err = p.agent.Dial(ctx, l.Ufrag, l.Pwd)
	} else {
		p.ice, err = p.agent.Accept(ctx, l.Ufrag, l.Pwd)
	}
	require.NoError(p.t, err)
	conn := p.ice
	p.dtls = newPipe(netip.AddrPort{}, func(b []byte) { _, _ = conn.Write(b) })
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		b := make([]byte, 2000)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			if b[0] >= 20 && b[0] < 64 {
				p.dtls.put(b[:n], netip.AddrPort{})
				continue
			}
			select {
			case p.pkts <- append([]byte(nil), b[:n]...):
			default:
			}
		}
	}()
}

// secure runs the browser's DTLS handshake.
func (p *peer) secure(client bool) error {
	common := []dtls.Option{
		dtls.WithCertificates(p.cert.tls), dtls.WithInsecureSkipVerify(true), dtls.WithLoggerFactory(quiet{}),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithVerifyPeerCertificate(func([][]byte, [][]*x509.Certificate) error { return nil }),
	}
	var err error
	if client {
		var o []dtls.ClientOption
		for _, c := range common {
			o = append(o, c)
		}
		p.tls, err = dtls.ClientWithOptions(p.dtls, p.dtls.RemoteAddr(), o...)
	} else {
		o := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
		for _, c := range common {
			o = append(o, c)
		}
		p.tls, err = dtls.ServerWithOptions(p.dtls, p.dtls.RemoteAddr(), o...)
	}
	if err != nil {
		return err
	}
	p.t.Cleanup(func() { _ = p.tls.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.tls.HandshakeContext(ctx); err != nil {
		return err
	}
	profile, ok := p.tls.SelectedSRTPProtectionProfile()
	require.True(p.t, ok)
	state, ok := p.tls.ConnectionState()
	require.True(p.t, ok)
	conf := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	require.NoError(p.t, conf.ExtractSessionKeysFromDTLS(&state, client))
	p.in, err = srtp.CreateContext(conf.Keys.RemoteMasterKey, conf.Keys.RemoteMasterSalt, conf.Profile)
	require.NoError(p.t, err)
	p.out, err = srtp.CreateContext(conf.Keys.LocalMasterKey, conf.Keys.LocalMasterSalt, conf.Profile)
	require.NoError(p.t, err)
	return nil
}

// eventually waits for a condition without burning the processor.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, patience, 5*time.Millisecond, what)
}

func event(code, flags byte, duration uint16) []byte {
	b := []byte{code, flags | volume, 0, 0}
	binary.BigEndian.PutUint16(b[2:], duration)
	return b
}

func gcmKey(b []byte) srtpKey {
	s, _ := findSuite("AEAD_AES_128_GCM")
	return srtpKey{suite: s, key: b[:16], salt: b[16:]}
}

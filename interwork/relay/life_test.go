package relay

import (
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/turn/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func TestPorts(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPorts(PortRange{1001, 1008}, time.Second)
	seen := map[uint16]bool{}
	for range 3 {
		n, err := p.take(now)
		require.NoError(t, err)
		require.Zero(t, n%2)
		require.True(t, n >= 1002 && n+1 <= 1008)
		require.False(t, seen[n])
		seen[n] = true
	}
	_, err := p.take(now)
	require.ErrorIs(t, err, ErrNoPorts)
	p.give(1004, now)
	p.give(1002, now.Add(time.Millisecond))
	_, err = p.take(now.Add(999 * time.Millisecond))
	require.ErrorIs(t, err, ErrNoPorts, "it rests")
	n, err := p.take(now.Add(time.Second))
	require.NoError(t, err)
	require.EqualValues(t, 1004, n)
	used, resting, free := p.counts()
	require.Equal(t, []int{2, 1, 0}, []int{used, resting, free})
}

func TestPortsRunOutAndComeBack(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.Ports = testPorts(8); c.PortRest = 2 * time.Second })
	var open []*Session
	for range 2 {
		s := r.Open("test", nil)
		mustPrepare(t, s, Jingle)
		_, err := s.Prepare(SIP, 0, Setup{ICE: true})
		require.NoError(t, err)
		open = append(open, s)
	}
	s := r.Open("test", nil)
	_, err := s.Prepare(Jingle, 0, Setup{})
	require.ErrorIs(t, err, ErrNoPorts)
	_, err = s.Prepare(Jingle, 0, Setup{ICE: true})
	require.ErrorIs(t, err, ErrNoPorts)
	for _, s := range open {
		s.Close()
	}
	_, err = s.Prepare(Jingle, 0, Setup{})
	require.ErrorIs(t, err, ErrNoPorts, "late packets reach nobody yet")
	eventually(t, "rest", func() bool {
		_, err := s.Prepare(Jingle, 0, Setup{})
		return err == nil
	})
	require.Equal(t, 1, r.Stats().Sessions)
	require.EqualValues(t, 3, r.Stats().EverySessions)
}

// TestPortTaken: somebody else sits on a port of the range.
func TestPortTaken(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.Ports = testPorts(4) })
	pr := r.c.Ports
	block, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(pr.Min) + 1})
	require.NoError(t, err)
	defer block.Close()
	l := mustPrepare(t, r.Open("test", nil), SIP)
	require.Equal(t, pr.Min+2, l.RTP.Port())
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"two of a family": {Addresses: addrs("127.0.0.1", "127.0.0.2")},
		"unspecified":     {Addresses: addrs("0.0.0.0")},
		"multicast":       {Addresses: addrs("224.0.0.1")},
		"empty range":     {Ports: PortRange{5000, 5000}},
		"one pair shared": {Ports: PortRange{5000, 5001}, ShareICE: true},
	} {
		_, err := New(c)
		require.ErrorIs(t, err, ErrConfig, name)
	}
	filled, err := Config{Addresses: addrs("::ffff:10.0.0.1")}.filled()
	require.NoError(t, err)
	require.True(t, filled.Addresses[0].Is4())
	require.True(t, filled.Candidates.AllowPrivate)
	require.False(t, filled.Candidates.AllowLoopback)
	_, err = New(Config{Addresses: addrs("192.0.2.1"), ICEPort: 29999, Ports: testPorts(4)})
	require.Error(t, err, "not an address of this machine")
}

func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(all)
}

// TestNothingLeaks: after calls of every kind, answered and not, all is as it was.
func TestNothingLeaks(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.ICEPort = 29993 })
	call := func(i int) {
		s := r.Open("test", nil)
		web := newBrowser(t)
		l, err := s.Prepare(Jingle, 0, Setup{ICE: true, Controlling: true, Protection: DTLS})
		require.NoError(t, err)
		mustPrepare(t, s, SIP)
		if i%3 > 0 {
			require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
			require.NoError(t, s.Format(Jingle, 0, codecs(pcmu)))
			require.NoError(t, s.Connect(Jingle, 0, web.description(false)))
			web.join(l, false)
			if i%3 > 1 {
				require.NoError(t, web.secure(true))
				_ = web.tls.Close()
			}
		}
		s.Close()
		web.close()
	}
	call(2)
	var goroutines, fds int
	eventually(t, "rest", func() bool {
		goroutines, fds = runtime.NumGoroutine(), descriptors(t) // with those of eventually itself
		return r.Stats().Sessions == 0
	})
	for i := range 30 {
		call(i)
	}
	eventually(t, "goroutines and descriptors as before", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= fds
	})
	st := r.Stats()
	require.Zero(t, st.Sessions)
	require.Zero(t, st.PortsUsed)
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	require.Empty(t, r.shared.fragments)
	require.Empty(t, r.shared.addresses)
}

func TestEventsInOrder(t *testing.T) {
	r := newTestRelay(t, nil)
	var n, running atomic.Int32
	done := make(chan struct{})
	s := r.Open("test", func(e Event) {
		require.EqualValues(t, 1, running.Add(1))
		defer running.Add(-1)
		require.EqualValues(t, n.Add(1), e.Stream)
		if e.Stream == 100 {
			close(done)
		}
	})
	for i := range 100 {
		s.events.add(Event{Stream: i + 1})
	}
	<-done
	s.Close()
	s.events.add(Event{Stream: 0})
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.EqualValues(t, 100, n.Load())
	late := r.Open("test", nil)
	_, err := late.Prepare(Jingle, 0, Setup{})
	require.ErrorIs(t, err, ErrClosed)
}

// TestBundle: two streams on one transport.
func TestBundle(t *testing.T) {
	r := newTestRelay(t, nil)
	h := newHeard()
	s := r.Open("test", h.add)
	web := newBrowser(t)
	setup := Setup{ICE: true, Controlling: true, Protection: DTLS, Bundle: true}
	vp8 := Codec{PayloadType: 97, Name: "VP8", ClockRate: 90000}
	phones := []*peer{newPhone(t), newPhone(t)}
	var locals []Local
	for stream, c := range []Codec{pcmu.at(96), vp8} {
		l, err := s.Prepare(Jingle, stream, setup)
		require.NoError(t, err)
		locals = append(locals, l)
		lp, err := s.Prepare(SIP, stream, Setup{})
		require.NoError(t, err)
		phones[stream].aim(lp)
		require.NoError(t, s.Format(Jingle, stream, codecs(c)))
		require.NoError(t, s.Format(SIP, stream, codecs(c.at(100))))
		require.NoError(t, s.Connect(SIP, stream, phones[stream].remote()))
		require.NoError(t, s.Connect(Jingle, stream, web.description(false)))
	}
	require.Equal(t, locals[0].Ufrag, locals[1].Ufrag)
	require.Equal(t, locals[0].RTP, locals[1].RTP)
	require.NotEqual(t, locals[0].SSRC, locals[1].SSRC)
	web.join(locals[0], false)
	require.NoError(t, web.secure(true))
	h.wait(t, Connected, Jingle)
	for stream, pt := range []uint8{96, 97} {
		web.raw(rtp.Header{Version: 2, PayloadType: pt, SSRC: uint32(stream + 1), SequenceNumber: 5}, []byte{byte(stream)})
		got, err := phones[stream].next(patience)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(stream)}, got.Payload)
		phones[stream].frame(100, []byte{7})
		got, err = web.next(patience)
		require.NoError(t, err)
		require.Equal(t, pt, got.PayloadType)
		require.Equal(t, locals[stream].SSRC, got.SSRC)
	}
	require.EqualValues(t, 2, s.Stats()[Jingle].Received)
}

// TestNewCertificate: the call moved to another device, which says so with a new
// fingerprint.
func TestNewCertificate(t *testing.T) {
	r := newTestRelay(t, nil)
	s, h, web, phone := webCall(t, r, true, true)
	exchange(t, web, phone, 96, 0)
	l, err := s.Restart(Jingle, 0)
	require.NoError(t, err)
	other := newBrowser(t)
	require.NoError(t, s.Connect(Jingle, 0, other.description(false)))
	other.join(l, true)
	require.NoError(t, other.secure(true))
	eventually(t, "new keys", func() bool {
		other.frame(96, []byte{5})
		got, err := phone.next(50 * time.Millisecond)
		return err == nil && got.Payload[0] == 5
	})
	exchange(t, other, phone, 96, 0)
	_, failed := h.find(Failed, Jingle)
	require.False(t, failed)
}

func TestTURN(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	server, err := turn.NewServer(turn.ServerConfig{
		Realm:         "test",
		LoggerFactory: quiet{},
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey(a.Username, "test", "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}}},
	})
	require.NoError(t, err)
	defer server.Close()
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	r := newTestRelay(t, func(c *Config) {
		c.Servers = []Server{{Host: "127.0.0.1", Port: at.Port(), TURN: true, Username: "u", Password: "secret"}}
	})
	h := newHeard()
	s := r.Open("test", h.add)
	web, phone := newBrowser(t), newPhone(t)
	l, err := s.Prepare(Jingle, 0, Setup{ICE: true, Controlling: true, Protection: DTLS})
	require.NoError(t, err)
	phone.aim(mustPrepare(t, s, SIP))
	require.NoError(t, s.Format(Jingle, 0, codecs(pcmu.at(96))))
	require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
	require.NoError(t, s.Connect(SIP, 0, phone.remote()))
	late := h.wait(t, LateCandidates, Jingle)
	eventually(t, "relayed candidate", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, e := range h.all {
			if e.Kind == LateCandidates && len(e.Candidates) > 0 && e.Candidates[0].Type == "relay" {
				late = e
				return true
			}
		}
		return false
	})
	require.Equal(t, "127.0.0.1", late.Candidates[0].Address)
	// The browser reaches the relayed one only, and says nothing of its own.
	l.Candidates = late.Candidates
	d := web.description(false)
	require.NoError(t, s.Connect(Jingle, 0, d))
	s.mu.Lock()
	s.legs[Jingle][0].t.ice.path.on = nil
	s.mu.Unlock()
	web.join(l, false)
	require.NoError(t, web.secure(true))
	h.wait(t, Connected, Jingle)
	exchange(t, web, phone, 96, 0)
}

// TestNoAllocation: a packet on its way costs none.
func TestNoAllocation(t *testing.T) {
	for _, protection := range []Protection{None, SDES} {
		for _, name := range []string{"AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"} {
			r := newTestRelay(t, nil)
			s := r.Open("test", nil)
			setup := Setup{Protection: protection}
			if protection == SDES {
				setup.Suites = []string{name}
			}
			_, err := s.Prepare(Jingle, 0, setup)
			require.NoError(t, err)
			mustPrepare(t, s, SIP)
			require.NoError(t, s.Format(Jingle, 0, codecs(pcmu)))
			require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
			st, _ := findSuite(name)
			k := newKey(st)
			require.NoError(t, s.Connect(Jingle, 0, Remote{RTP: ap("127.0.0.1:9"), Cryptos: []Crypto{{Suite: name, KeyParams: k.inline()}}}))
			require.NoError(t, s.Connect(SIP, 0, Remote{RTP: ap("127.0.0.1:11")}))
			tr := s.legs[Jingle][0].t
			back := s.legs[SIP][0].t
			peer, err := newContext(k)
			require.NoError(t, err)
			var seq uint16
			w := writer{now: time.Now()}
			buf := make([]byte, bufferSize)
			h := rtp.Header{Version: 2, SSRC: 5}
			require.NoError(t, h.SetExtension(1, []byte{1}))
			packet, err := (&rtp.Packet{Header: h, Payload: make([]byte, 160)}).Marshal()
			require.NoError(t, err)
			one := func() {
				seq++
				b := buf[:copy(buf, packet)]
				b[2], b[3] = byte(seq>>8), byte(seq)
				if protection == SDES {
					b, _ = peer.seal(b)
				}
				tr.packet(b, ap("127.0.0.1:9"), tr.rtp, &w)
				b = buf[:copy(buf, packet)]
				b[2], b[3] = byte(seq>>8), byte(seq)
				back.packet(b, ap("127.0.0.1:11"), back.rtp, &w)
			}
			one()
			// With the race detector HMAC has an allocation of its own.
			most := map[bool]float64{true: 1}[protection == SDES && name == "AES_CM_128_HMAC_SHA1_80"]
			require.LessOrEqual(t, testing.AllocsPerRun(100, one), most, "%s %s", protection, name)
			require.NotZero(t, s.Stats()[SIP].Sent)
			require.NotZero(t, s.Stats()[Jingle].Sent)
		}
	}
}

func BenchmarkPacket(b *testing.B) {
	for _, protection := range []Protection{None, SDES} {
		b.Run(protection.String(), func(b *testing.B) {
			r, err := New(Config{Ports: testPorts(8), Log: zerolog.Nop()})
			require.NoError(b, err)
			defer r.Close()
			s := r.Open("test", nil)
			mustPrepare(b, s, Jingle)
			_, err = s.Prepare(SIP, 0, Setup{Protection: protection, Suites: []string{"AEAD_AES_128_GCM"}})
			require.NoError(b, err)
			require.NoError(b, s.Format(Jingle, 0, codecs(pcmu)))
			require.NoError(b, s.Format(SIP, 0, codecs(pcmu)))
			require.NoError(b, s.Connect(Jingle, 0, Remote{RTP: ap("127.0.0.1:9")}))
			k := newKey(gcmKey(make([]byte, 28)).suite)
			require.NoError(b, s.Connect(SIP, 0, Remote{RTP: ap("127.0.0.1:11"), Cryptos: []Crypto{{Suite: "AEAD_AES_128_GCM", KeyParams: k.inline()}}}))
			tr := s.legs[Jingle][0].t
			packet := make([]byte, 172)
			packet[0] = 2 << 6
			w := writer{now: time.Now()}
			buf := make([]byte, bufferSize)
			s.relay.c.MaxPacketRate = 1 << 30
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p := buf[:copy(buf, packet)]
				p[2], p[3] = byte(i>>8), byte(i)
				tr.packet(p, ap("127.0.0.1:9"), tr.rtp, &w)
			}
		})
	}
}

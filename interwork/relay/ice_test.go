package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestICERestart(t *testing.T) {
	for name, byPeer := range map[string]bool{"ours": false, "the peer's": true} {
		for _, shared := range []uint16{0, 29991} {
			t.Run(fmt.Sprint(name, shared), func(t *testing.T) {
				r := newTestRelay(t, func(c *Config) { c.ICEPort = shared })
				s, h, web, phone := webCall(t, r, true, true)
				exchange(t, web, phone, 96, 0)
				before, err := s.Prepare(Jingle, 0, Setup{})
				require.NoError(t, err)
				var l Local
				if byPeer {
					require.NoError(t, web.agent.Restart("", ""))
					web.gather()
					require.NoError(t, s.Connect(Jingle, 0, Remote{Ufrag: web.ufrag, Pwd: web.pwd, Candidates: web.cand}))
					l, err = s.Restart(Jingle, 0)
					require.NoError(t, err)
				} else {
					l, err = s.Restart(Jingle, 0)
					require.NoError(t, err)
					// The old path carries until there is a new one.
					phone.frame(0, []byte{9})
					_, err = web.next(patience)
					require.NoError(t, err)
					require.NoError(t, web.agent.Restart("", ""))
					web.gather()
					require.NoError(t, s.Connect(Jingle, 0, Remote{Ufrag: web.ufrag, Pwd: web.pwd, Candidates: web.cand}))
				}
				require.NotEqual(t, before.Ufrag, l.Ufrag)
				require.NotEqual(t, before.Pwd, l.Pwd)
				require.Greater(t, l.Candidates[0].Generation, before.Candidates[0].Generation)
				require.NoError(t, web.agent.SetRemoteCredentials(l.Ufrag, l.Pwd))
				for _, c := range l.Candidates {
					rc, err := remoteCandidate(c)
					require.NoError(t, err)
					require.NoError(t, web.agent.AddRemoteCandidate(rc))
				}
				eventually(t, "new path", func() bool {
					s.mu.Lock()
					defer s.mu.Unlock()
					pair, err := web.agent.GetSelectedCandidatePair()
					return err == nil && pair != nil && s.legs[Jingle][0].t.ice.path.to.Port() == uint16(pair.Local.Port())
				})
				exchange(t, web, phone, 96, 0)
				_, failed := h.find(Failed, Jingle)
				require.False(t, failed)
			})
		}
	}
}

func TestTrickle(t *testing.T) {
	r := newTestRelay(t, nil)
	h := newHeard()
	s := r.Open("test", h.add)
	web := newBrowser(t)
	l, err := s.Prepare(Jingle, 0, Setup{ICE: true, Controlling: true})
	require.NoError(t, err)
	d := web.description(false)
	d.Candidates = nil
	// Before the description, with what has to be ignored among it.
	require.NoError(t, s.AddCandidates(Jingle, 0, []Candidate{
		{Address: "b1c2.local", Port: 5000, Type: "host"}, {Address: "127.0.0.1", Port: 0, Type: "host"}, {Address: "224.0.0.1", Port: 5, Type: "host"},
	}))
	require.NoError(t, s.Connect(Jingle, 0, d))
	require.NoError(t, s.AddCandidates(Jingle, 0, web.cand))
	web.join(l, false)
	h.wait(t, Connected, Jingle)
}

func TestCandidatePolicy(t *testing.T) {
	strict, open := Policy{Max: 4}, Policy{AllowLoopback: true, AllowPrivate: true}
	for _, c := range []struct {
		address      string
		strict, open bool
	}{
		{"203.0.113.7", true, true},
		{"2001:db8::1", true, true},
		{"127.0.0.1", false, true},
		{"::1", false, true},
		{"::ffff:127.0.0.1", false, true},
		{"10.1.2.3", false, true},
		{"169.254.3.3", false, true},
		{"100.64.1.1", false, true},
		{"fd00::1", false, true},
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"0.0.0.0", false, false},
		{"::", false, false},
		{"224.1.1.1", false, false},
		{"ff02::1", false, false},
		{"255.255.255.255", false, false},
		{"x.local", false, false},
		{"", false, false},
	} {
		require.Equal(t, c.strict, strict.admits(Candidate{Address: c.address, Port: 9}), c.address)
		require.Equal(t, c.open, open.admits(Candidate{Address: c.address, Port: 9}), c.address)
	}
	require.False(t, open.admits(Candidate{Address: "10.0.0.1", Port: 9, Protocol: "tcp"}))
	require.False(t, open.admits(Candidate{Address: "10.0.0.1", Port: 9, Component: 2}))
}

func TestThousandCandidates(t *testing.T) {
	r := newTestRelay(t, nil)
	s := r.Open("test", nil)
	_, err := s.Prepare(Jingle, 0, Setup{ICE: true})
	require.NoError(t, err)
	var many []Candidate
	for i := range 1000 {
		many = append(many, Candidate{Address: fmt.Sprintf("127.0.%d.%d", i/250+1, i%250+1), Port: 9, Type: "host"})
	}
	require.NoError(t, s.AddCandidates(Jingle, 0, many))
	have, err := s.legs[Jingle][0].t.ice.agent.GetRemoteCandidates()
	require.NoError(t, err)
	require.LessOrEqual(t, len(have), defaultMaxCandidates)
}

func TestNobodyAnswersICE(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.ConnectTimeout = 300 * time.Millisecond })
	h := newHeard()
	s := r.Open("test", h.add)
	web := newBrowser(t)
	_, err := s.Prepare(Jingle, 0, Setup{ICE: true, Protection: DTLS})
	require.NoError(t, err)
	require.NoError(t, s.Connect(Jingle, 0, web.description(true)))
	require.ErrorIs(t, h.wait(t, Failed, Jingle).Err, ErrTimeout)
}

func TestDTLSNeverFinishes(t *testing.T) {
	for _, active := range []bool{false, true} {
		r := newTestRelay(t, func(c *Config) { c.ConnectTimeout = time.Second })
		h := newHeard()
		s := r.Open("test", h.add)
		web := newBrowser(t)
		l, err := s.Prepare(Jingle, 0, Setup{ICE: true, Controlling: true, Protection: DTLS})
		require.NoError(t, err)
		require.NoError(t, s.Connect(Jingle, 0, web.description(active)))
		web.join(l, false)
		// Plain RTP never counts where DTLS was agreed.
		web.frame(0, []byte{1})
		require.ErrorIs(t, h.wait(t, Failed, Jingle).Err, ErrTimeout)
		_, ok := h.find(Heard, Jingle)
		require.False(t, ok)
		s.Close()
	}
}

func TestIncompleteDescriptions(t *testing.T) {
	r := newTestRelay(t, nil)
	s := r.Open("test", nil)
	_, err := s.Prepare(Jingle, 0, Setup{ICE: true, Protection: DTLS})
	require.NoError(t, err)
	cert, err := newCertificate(time.Now())
	require.NoError(t, err)
	f := []Fingerprint{cert.fingerprint}
	for _, d := range []Remote{
		{},
		{Ufrag: "abcd", Fingerprints: f},
		{Pwd: "abcdabcdabcdabcdabcdabcd", Fingerprints: f},
		{Ufrag: "abcd", Pwd: "abcdabcdabcdabcdabcdabcd"},
		{Ufrag: "abcd", Pwd: "abcdabcdabcdabcdabcdabcd", Fingerprints: []Fingerprint{{Hash: "md5", Value: "00"}}},
		{Ufrag: "ab:d", Pwd: "abcdabcdabcdabcdabcdabcd", Fingerprints: f},
	} {
		require.ErrorIs(t, s.Connect(Jingle, 0, d), ErrDescription)
	}
	require.ErrorIs(t, s.Connect(SIP, 0, Remote{}), ErrNotPrepared)
	s.Close()
	require.ErrorIs(t, s.Connect(Jingle, 0, Remote{}), ErrClosed)
	_, err = s.Prepare(SIP, 0, Setup{})
	require.ErrorIs(t, err, ErrClosed)
	s.Close()
}

// TestStrangersAtTheICEPort: only who proves to know the password is let through.
func TestStrangersAtTheICEPort(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.ICEPort = 29992 })
	s, _, web, phone := webCall(t, r, true, true)
	stranger := newPhone(t)
	l, err := s.Prepare(Jingle, 0, Setup{})
	require.NoError(t, err)
	stranger.aim(l)
	for range 50 {
		stranger.frame(96, []byte{66})
		stranger.write([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
		stranger.write([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	}
	exchange(t, web, phone, 96, 0)
	eventually(t, "drops", func() bool { return r.Stats().Dropped >= 150 })
}

func TestICEv6(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.Addresses = addrs("127.0.0.1", "::1") })
	s := r.Open("test", nil)
	l, err := s.Prepare(Jingle, 0, Setup{ICE: true})
	if err != nil {
		t.Skip("no IPv6 here")
	}
	require.Len(t, l.Candidates, 2)
	require.Equal(t, "::1", l.Candidates[1].Address)
	require.Greater(t, l.Candidates[0].Priority, l.Candidates[1].Priority)
	// A peer with IPv6 only.
	h := newHeard()
	s2 := r.Open("test", h.add)
	a, b := newPhoneAt(t, "[::1]:0"), newPhoneAt(t, "[::1]:0")
	for side, p := range []*peer{a, b} {
		l, err := s2.Prepare(Side(side), 0, Setup{IPv6: true})
		require.NoError(t, err)
		require.True(t, l.RTP.Addr().Is6())
		p.aim(l)
		require.NoError(t, s2.Format(Side(side), 0, codecs(pcmu)))
		require.NoError(t, s2.Connect(Side(side), 0, p.remote()))
	}
	exchange(t, a, b, 0, 0)
}

// TestBothFamilies: a leg without ICE is on both addresses with one number until its peer's
// description tells where the peer is.
func TestBothFamilies(t *testing.T) {
	six, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback address: %v", err)
	}
	_ = six.Close()
	r := newTestRelay(t, func(c *Config) { c.Addresses = addrs("127.0.0.1", "::1") })
	s := r.Open("test", nil)
	a, b := newPhoneAt(t, "[::1]:0"), newPhone(t)
	for side, p := range []*peer{a, b} {
		l := mustPrepare(t, s, Side(side))
		require.True(t, l.RTP.Addr().Is4())
		require.NoError(t, s.Format(Side(side), 0, codecs(pcmu)))
		require.NoError(t, s.Connect(Side(side), 0, p.remote()))
		again := mustPrepare(t, s, Side(side))
		require.Equal(t, addrOf(p.conn).Addr(), again.RTP.Addr())
		require.Equal(t, l.RTP.Port(), again.RTP.Port())
		p.aim(again)
	}
	exchange(t, a, b, 0, 0)
	own, ok := r.Facing(netip.MustParseAddr("2001:db8::1"))
	require.True(t, ok)
	require.Equal(t, netip.IPv6Loopback(), own)
	used, _, _ := r.ports.counts()
	require.Equal(t, 2, used)
	s.Close()
	used, _, _ = r.ports.counts()
	require.Zero(t, used)
	single := newTestRelay(t, nil)
	s = single.Open("test", nil)
	mustPrepare(t, s, SIP)
	require.ErrorIs(t, s.Connect(SIP, 0, a.remote()), ErrDescription)
}

// TestSharedPortOfTheRange: the first free pair becomes the port of ICE and is not given
// out; a port that somebody has is never shared with him.
func TestSharedPortOfTheRange(t *testing.T) {
	ports := testPorts(8)
	first := newTestRelay(t, func(c *Config) { c.Ports, c.ShareICE = ports, true })
	require.Equal(t, ports.Min, first.ICEPort())
	_, _, free := first.ports.counts()
	require.Equal(t, 3, free)
	second := newTestRelay(t, func(c *Config) { c.Ports, c.ShareICE = ports, true })
	require.Equal(t, ports.Min+2, second.ICEPort())
	_, err := New(Config{Ports: ports, ICEPort: ports.Min})
	require.Error(t, err)
	third := newTestRelay(t, func(c *Config) { c.Ports, c.ICEPort = ports, ports.Min+5 })
	_, _, free = third.ports.counts()
	require.Equal(t, 3, free)
	require.Zero(t, newTestRelay(t, nil).ICEPort())
	// ICE legs take no pair.
	s := first.Open("test", nil)
	_, err = s.Prepare(Jingle, 0, Setup{ICE: true, Protection: DTLS})
	require.NoError(t, err)
	used, _, _ := first.ports.counts()
	require.Zero(t, used)
	s.Close()
	_, resting, _ := first.ports.counts()
	require.Zero(t, resting)
}

// TestLatePacketsAtTheSharedPort: what a client still sends after its call reaches nobody,
// even when the next call begins at once.
func TestLatePacketsAtTheSharedPort(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.ShareICE = true })
	old, _, late, _ := webCall(t, r, true, true)
	old.Close()
	s, _, web, phone := webCall(t, r, true, true)
	before := r.Stats().Dropped
	for range 20 {
		late.frame(96, []byte{66})
	}
	eventually(t, "late packets are dropped", func() bool { return r.Stats().Dropped >= before+20 })
	exchange(t, web, phone, 96, 0)
	st := s.Stats()[Jingle]
	require.EqualValues(t, 1, st.Received)
	require.Zero(t, st.Foreign+st.Unauthentic)
}

func TestAdvertise(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.Advertise = addrs("203.0.113.9") })
	s := r.Open("test", nil)
	l, err := s.Prepare(Jingle, 0, Setup{ICE: true})
	require.NoError(t, err)
	require.Equal(t, "203.0.113.9", l.Candidates[0].Address)
	l, err = s.Prepare(SIP, 0, Setup{})
	require.NoError(t, err)
	require.Equal(t, "203.0.113.9", l.RTP.Addr().String())
}

// TestCloseWhileConnecting: whatever is under way ends.
func TestCloseWhileConnecting(t *testing.T) {
	r := newTestRelay(t, nil)
	for i := range 10 {
		s := r.Open("test", nil)
		web := newBrowser(t)
		l, err := s.Prepare(Jingle, 0, Setup{ICE: true, Controlling: true, Protection: DTLS})
		require.NoError(t, err)
		require.NoError(t, s.Connect(Jingle, 0, web.description(true)))
		if i%2 == 0 {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			go s.Close()
			_, _ = web.agent.Accept(ctx, l.Ufrag, l.Pwd)
			cancel()
		}
		s.Close()
	}
	require.NoError(t, r.Close())
}

// TestAnyAddress: the usual configuration behind NAT, one public address and all local
// ones.
func TestAnyAddress(t *testing.T) {
	for _, shared := range []uint16{0, 29994} {
		r := newTestRelay(t, func(c *Config) {
			c.Addresses, c.Advertise, c.ICEPort = addrs("0.0.0.0"), addrs("127.0.0.1"), shared
			c.Candidates = Policy{AllowLoopback: true}
		})
		_, _, web, phone := webCall(t, r, true, true)
		exchange(t, web, phone, 96, 0)
		_, _, web, phone = webCall(t, r, false, false)
		exchange(t, web, phone, 96, 0)
	}
}

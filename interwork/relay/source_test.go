package relay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestSource(t *testing.T) {
	phone, nat, other := ap("192.0.2.1:4000"), ap("198.51.100.1:5000"), ap("203.0.113.1:6000")
	now := time.Unix(1000, 0)
	step := func(d time.Duration) { now = now.Add(d) }
	t.Run("the address of the description counts at once", func(t *testing.T) {
		l := source{signalled: phone}
		require.Equal(t, phone, l.target())
		require.True(t, l.accept(phone, 1, 10, now))
		require.False(t, l.accept(other, 1, 11, now))
	})
	t.Run("others after consistent packets", func(t *testing.T) {
		l := source{signalled: phone}
		for i := range uint16(probationFar - 1) {
			require.False(t, l.accept(nat, 1, 10+i, now))
		}
		require.True(t, l.accept(nat, 1, 14, now))
		require.Equal(t, nat, l.target())
	})
	t.Run("the host of the description sooner", func(t *testing.T) {
		l := source{signalled: phone}
		near := netip.AddrPortFrom(phone.Addr(), 4444)
		require.False(t, l.accept(near, 1, 1, now))
		require.False(t, l.accept(near, 1, 2, now))
		require.True(t, l.accept(near, 1, 3, now))
	})
	t.Run("a spray of strangers never", func(t *testing.T) {
		l := source{signalled: phone}
		for i := range 1000 {
			require.False(t, l.accept(other, uint32(i), uint16(i*77), now))
		}
	})
	t.Run("port 0 never", func(t *testing.T) {
		l := source{signalled: phone}
		for i := range uint16(100) {
			require.False(t, l.accept(netip.AddrPortFrom(phone.Addr(), 0), 1, i, now))
		}
		require.Equal(t, phone, l.target())
	})
	t.Run("two at once never", func(t *testing.T) {
		l := source{signalled: phone}
		for i := range uint16(100) {
			require.False(t, l.accept(other, 7, i, now))
			require.False(t, l.accept(nat, 8, i, now))
		}
	})
	t.Run("the described one takes over from another", func(t *testing.T) {
		l := source{signalled: phone}
		for i := range uint16(10) {
			l.accept(other, 1, i, now)
		}
		require.Equal(t, other, l.target())
		require.True(t, l.accept(phone, 2, 500, now))
		require.Equal(t, phone, l.target())
	})
	t.Run("locked: a hijacker is refused, talking or silent", func(t *testing.T) {
		l := source{signalled: phone}
		require.True(t, l.accept(phone, 1, 10, now))
		for i := range uint16(50) {
			require.False(t, l.accept(other, 1, 11+i, now)) // knows even the stream
		}
		step(time.Minute)
		for i := range uint16(50) {
			require.False(t, l.accept(other, 2, i, now))
		}
	})
	t.Run("locked: the same stream goes on from elsewhere", func(t *testing.T) {
		l := source{signalled: phone}
		require.True(t, l.accept(phone, 1, 65530, now))
		step(moveSilence)
		n := 0
		for i := range uint16(10) {
			if l.accept(nat, 1, 65535+i, now) {
				n++
			}
		}
		require.Equal(t, 10-probationFar+1, n)
		require.Equal(t, nat, l.target())
	})
	t.Run("a new description", func(t *testing.T) {
		l := source{signalled: phone}
		for i := range uint16(10) {
			l.accept(nat, 1, i, now)
		}
		l.describe(phone)
		require.Equal(t, nat, l.target(), "the same: the lock stays")
		l.describe(other)
		require.Equal(t, other, l.target())
		l.describe(netip.AddrPort{})
		require.False(t, l.target().IsValid(), "hold: nothing is sent")
	})
}

func TestStrangersDoNotHijack(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	exchange(t, a, b, 0, 0)
	stranger := newPhone(t)
	stranger.aim(mustPrepare(t, s, SIP))
	stranger.ssrc = b.ssrc
	for i := range 30 {
		stranger.raw(rtp.Header{Version: 2, SequenceNumber: b.seq + uint16(i), Timestamp: b.ts, SSRC: b.ssrc}, []byte{66})
	}
	eventually(t, "strangers", func() bool { return s.Stats()[SIP].Foreign == 30 })
	exchange(t, a, b, 0, 0)
	_, err := stranger.next(20 * time.Millisecond)
	require.ErrorIs(t, err, errNothing)
}

func mustPrepare(t testing.TB, s *Session, side Side) Local {
	t.Helper()
	l, err := s.Prepare(side, 0, Setup{})
	require.NoError(t, err)
	return l
}

// TestRTCPPortZero: RTCP then goes to the port after that of RTP.
func TestRTCPPortZero(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, _, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	remote := b.remote()
	remote.RTCP = netip.AddrPortFrom(remote.RTP.Addr(), 0)
	require.NoError(t, s.Connect(SIP, 0, remote))
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, remote.RTP.Port()+1, s.legs[SIP][0].t.rtcpTo.Port())
}

// TestPhoneBehindNAT: the description has an address that leads nowhere.
func TestPhoneBehindNAT(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	require.NoError(t, s.Connect(SIP, 0, Remote{RTP: ap("127.0.0.9:9")}))
	for range probationFar {
		b.frame(0, []byte{7})
	}
	_, err := a.next(patience)
	require.NoError(t, err)
	a.frame(0, []byte{8})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.Equal(t, []byte{8}, got.Payload)
}

func TestFlood(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.MaxPacketRate = 10 })
	s, _, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	exchange(t, a, b, 0, 0)
	eventually(t, "limit", func() bool {
		for range 40 {
			b.frame(0, []byte{7})
		}
		return s.Stats()[SIP].Limited >= 20
	})
	a.frame(0, []byte{42})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.Equal(t, []byte{42}, got.Payload, "the other direction does not suffer")
}

package relay

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plainCall is a session between two phones without ICE or protection.
func plainCall(t testing.TB, r *Relay, fa, fb Format) (*Session, *heard, *peer, *peer) {
	t.Helper()
	h := newHeard()
	s := r.Open("test", h.add)
	t.Cleanup(s.Close)
	a, b := newPhone(t), newPhone(t)
	for side, p := range []*peer{a, b} {
		l, err := s.Prepare(Side(side), 0, Setup{})
		require.NoError(t, err)
		p.aim(l)
		require.NoError(t, s.Format(Side(side), 0, []Format{fa, fb}[side]))
		require.NoError(t, s.Connect(Side(side), 0, p.remote()))
		h.wait(t, Connected, Side(side))
	}
	return s, h, a, b
}

func TestPlainBothWays(t *testing.T) {
	r := newTestRelay(t, nil)
	s, h, a, b := plainCall(t, r, codecs(pcmu.at(96)), codecs(pcmu))
	l, err := s.Prepare(Jingle, 0, Setup{})
	require.NoError(t, err)
	require.Zero(t, l.RTP.Port()%2)
	require.Equal(t, l.RTP.Port()+1, l.RTCP.Port())
	for i := range 20 {
		a.frame(96, []byte{1, byte(i)})
		got, err := b.next(patience)
		require.NoError(t, err)
		require.Equal(t, []byte{1, byte(i)}, got.Payload)
		require.EqualValues(t, 0, got.PayloadType)
		b.frame(0, []byte{2, byte(i)})
		got, err = a.next(patience)
		require.NoError(t, err)
		require.Equal(t, []byte{2, byte(i)}, got.Payload)
		require.EqualValues(t, 96, got.PayloadType)
		require.Equal(t, l.SSRC, got.SSRC)
	}
	h.wait(t, Heard, Jingle)
	h.wait(t, Heard, SIP)
	st := s.Stats()
	require.EqualValues(t, 20, st[Jingle].Received)
	require.EqualValues(t, 20, st[Jingle].Sent)
	require.EqualValues(t, 40, st[SIP].SentBytes)
	require.Zero(t, st[SIP].Lost)
	require.Greater(t, st[SIP].MOS, 4.0)
	require.Equal(t, "PCMU", st[Jingle].Codec)
}

// webCall is a session between a browser and a phone.
func webCall(t testing.TB, r *Relay, browserIsClient, controlling bool) (*Session, *heard, *peer, *peer) {
	t.Helper()
	h := newHeard()
	s := r.Open("test", h.add)
	t.Cleanup(s.Close)
	web, phone := newBrowser(t), newPhone(t)
	lw, err := s.Prepare(Jingle, 0, Setup{ICE: true, Controlling: !controlling, Mux: true, Protection: DTLS})
	require.NoError(t, err)
	lp, err := s.Prepare(SIP, 0, Setup{})
	require.NoError(t, err)
	phone.aim(lp)
	require.NoError(t, s.Format(Jingle, 0, codecs(pcmu.at(96))))
	require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
	require.NoError(t, s.Connect(SIP, 0, phone.remote()))
	require.NoError(t, s.Connect(Jingle, 0, web.description(!browserIsClient)))
	web.join(lw, controlling)
	require.NoError(t, web.secure(browserIsClient))
	h.wait(t, Connected, Jingle)
	return s, h, web, phone
}

func exchange(t testing.TB, a, b *peer, pa, pb uint8) {
	t.Helper()
	a.frame(pa, []byte{1, 2, 3})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.Equal(t, []byte{1, 2, 3}, got.Payload)
	b.frame(pb, []byte{4, 5, 6})
	got, err = a.next(patience)
	require.NoError(t, err)
	require.Equal(t, []byte{4, 5, 6}, got.Payload)
}

func TestBrowserAndPhone(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, controlling := range []bool{false, true} {
			for _, shared := range []uint16{0, 29990} {
				r := newTestRelay(t, func(c *Config) { c.ICEPort = shared })
				s, _, web, phone := webCall(t, r, client, controlling)
				exchange(t, web, phone, 96, 0)
				exchange(t, web, phone, 96, 0)
				st := s.Stats()
				require.Equal(t, DTLS, st[Jingle].Protection)
				require.Equal(t, "SRTP_AEAD_AES_128_GCM", st[Jingle].Suite)
				s.Close()
				require.NoError(t, r.Close())
			}
		}
	}
}

func TestWrongFingerprint(t *testing.T) {
	r := newTestRelay(t, nil)
	h := newHeard()
	s := r.Open("test", h.add)
	web := newBrowser(t)
	l, err := s.Prepare(Jingle, 0, Setup{ICE: true, Protection: DTLS})
	require.NoError(t, err)
	d := web.description(false)
	other, err := newCertificate(time.Now())
	require.NoError(t, err)
	d.Fingerprints = []Fingerprint{other.fingerprint}
	require.NoError(t, s.Connect(Jingle, 0, d))
	web.join(l, true)
	require.Error(t, web.secure(true))
	require.ErrorIs(t, h.wait(t, Failed, Jingle).Err, ErrFingerprint)
	_, ok := h.find(Connected, Jingle)
	require.False(t, ok)
}

package relay

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"
)

// key gives a phone its own key and the relay's.
func (p *peer) keys(own srtpKey, relay Crypto) {
	k, err := parseKey(relay)
	require.NoError(p.t, err)
	p.in, err = srtp.CreateContext(k.key, k.salt, k.suite.profile)
	require.NoError(p.t, err)
	p.out, err = srtp.CreateContext(own.key, own.salt, own.suite.profile)
	require.NoError(p.t, err)
}

func TestSDES(t *testing.T) {
	for _, name := range []string{
		"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32",
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRelay(t, nil)
			h := newHeard()
			s := r.Open("test", h.add)
			a, b := newPhone(t), newPhone(t)
			la, err := s.Prepare(SIP, 0, Setup{Protection: SDES})
			require.NoError(t, err)
			require.Len(t, la.Cryptos, len(suites))
			a.aim(la)
			lb, err := s.Prepare(Jingle, 0, Setup{})
			require.NoError(t, err)
			b.aim(lb)
			require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
			require.NoError(t, s.Format(Jingle, 0, codecs(pcmu)))
			require.NoError(t, s.Connect(Jingle, 0, b.remote()))
			// The peer's offer: what nobody knows, then the suite.
			st, ok := findSuite(name)
			require.True(t, ok)
			own := newKey(st)
			d := a.remote()
			d.Cryptos = []Crypto{
				{Tag: 1, Suite: "F8_128_HMAC_SHA1_80", KeyParams: own.inline()},
				{Tag: 2, Suite: name, KeyParams: own.inline(), SessionParams: "UNENCRYPTED_SRTP"},
				{Tag: 7, Suite: strings.ToLower(name), KeyParams: own.inline() + "|2^31"},
			}
			require.NoError(t, s.Connect(SIP, 0, d))
			la, err = s.Prepare(SIP, 0, Setup{})
			require.NoError(t, err)
			require.Len(t, la.Cryptos, 1)
			require.Equal(t, 7, la.Cryptos[0].Tag)
			require.Equal(t, name, la.Cryptos[0].Suite)
			a.keys(own, la.Cryptos[0])
			exchange(t, a, b, 0, 0)
			require.Equal(t, name, s.Stats()[SIP].Suite)
			// Without the key: nothing.
			out := a.out
			a.out = nil
			a.frame(0, []byte{66})
			a.out = out
			eventually(t, "unauthentic", func() bool { return s.Stats()[SIP].Unauthentic == 1 })
			// A new key of the peer; ours stays, and so does the stream.
			b.frame(0, []byte{1})
			before, err := a.next(patience)
			require.NoError(t, err)
			next := newKey(st)
			d.Cryptos = []Crypto{{Tag: 7, Suite: name, KeyParams: next.inline()}}
			require.NoError(t, s.Connect(SIP, 0, d))
			a.frame(0, []byte{5}) // still under the old one
			got, err := b.next(patience)
			require.NoError(t, err)
			require.Equal(t, []byte{5}, got.Payload)
			a.out, err = srtp.CreateContext(next.key, next.salt, st.profile)
			require.NoError(t, err)
			exchange(t, a, b, 0, 0)
			b.frame(0, []byte{1})
			after, err := a.next(patience)
			require.NoError(t, err)
			require.Equal(t, before.SSRC, after.SSRC)
			require.Equal(t, before.SequenceNumber+2, after.SequenceNumber)
			// A description without keys changes nothing; one with others only is refused.
			d.Cryptos = nil
			require.NoError(t, s.Connect(SIP, 0, d))
			d.Cryptos = []Crypto{{Tag: 1, Suite: "X", KeyParams: "inline:AAAA"}}
			require.ErrorIs(t, s.Connect(SIP, 0, d), ErrDescription)
			exchange(t, a, b, 0, 0)
			// A move to another address needs no signalling: the packets are authentic.
			moved := newPhone(t)
			moved.aim(la)
			moved.in, moved.out, moved.ssrc, moved.seq, moved.ts = a.in, a.out, a.ssrc, a.seq, a.ts
			exchange(t, moved, b, 0, 0)
		})
	}
}

func TestOpportunistic(t *testing.T) {
	r := newTestRelay(t, nil)
	s := r.Open("test", nil)
	a, b := newPhone(t), newPhone(t)
	la, err := s.Prepare(SIP, 0, Setup{Protection: SDES, Suites: []string{"AES_CM_128_HMAC_SHA1_80"}})
	require.NoError(t, err)
	require.Len(t, la.Cryptos, 1)
	a.aim(la)
	b.aim(mustPrepare(t, s, Jingle))
	require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
	require.NoError(t, s.Format(Jingle, 0, codecs(pcmu)))
	require.NoError(t, s.Connect(Jingle, 0, b.remote()))
	d := a.remote()
	require.ErrorIs(t, s.Connect(SIP, 0, d), ErrDescription)
	d.Plain = true
	require.NoError(t, s.Connect(SIP, 0, d))
	exchange(t, a, b, 0, 0)
	require.Empty(t, mustPrepare(t, s, SIP).Cryptos)
}

// TestDTLSWithoutICE is a SIP phone with DTLS-SRTP.
func TestDTLSWithoutICE(t *testing.T) {
	for _, active := range []bool{true, false} {
		r := newTestRelay(t, nil)
		h := newHeard()
		s := r.Open("test", h.add)
		a, b := newPhone(t), newPhone(t)
		la, err := s.Prepare(SIP, 0, Setup{Protection: DTLS, Mux: true})
		require.NoError(t, err)
		a.aim(la)
		b.aim(mustPrepare(t, s, Jingle))
		require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
		require.NoError(t, s.Format(Jingle, 0, codecs(pcmu)))
		require.NoError(t, s.Connect(Jingle, 0, b.remote()))
		a.cert, err = newCertificate(time.Now())
		require.NoError(t, err)
		d := a.remote()
		d.Mux, d.Active, d.Fingerprints = true, active, []Fingerprint{a.cert.fingerprint}
		require.NoError(t, s.Connect(SIP, 0, d))
		a.overSocket(t)
		require.NoError(t, a.secure(!active))
		h.wait(t, Connected, SIP)
		_ = a.dtls.SetReadDeadline(time.Now()) // the socket is read by the test from now on
		exchange(t, a, b, 0, 0)
		s.Close()
	}
}

// overSocket lets the peer's DTLS use its socket until the handshake is done.
func (p *peer) overSocket(t testing.TB) {
	p.dtls = newPipe(addrOf(p.conn), func(b []byte) { _, _ = p.conn.WriteToUDPAddrPort(b, p.to) })
	p.pkts = make(chan []byte, 1024)
	p.reading.Add(1)
	go func() {
		defer p.reading.Done()
		b := make([]byte, 2000)
		for {
			n, from, err := p.conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if b[0] >= 20 && b[0] < 64 {
				p.dtls.put(b[:n], from)
				continue
			}
			select {
			case p.pkts <- append([]byte(nil), b[:n]...):
			default:
			}
		}
	}()
	t.Cleanup(func() {
		p.dtls.Close()
		p.conn.Close()
		p.reading.Wait()
	})
}

func TestFingerprints(t *testing.T) {
	c, err := newCertificate(time.Now())
	require.NoError(t, err)
	der := c.tls.Certificate[0]
	require.Regexp(t, `^([0-9A-F]{2}:){31}[0-9A-F]{2}$`, c.fingerprint.Value)
	lower := Fingerprint{Hash: "SHA-256", Value: strings.ToLower(c.fingerprint.Value)}
	require.True(t, matches([]Fingerprint{lower}, der))
	sha1 := fingerprint("sha-1", der)
	require.True(t, matches([]Fingerprint{sha1}, der))
	bad := Fingerprint{Hash: "sha-256", Value: "00:11"}
	require.False(t, matches([]Fingerprint{bad, sha1}, der), "the strongest decides")
	require.True(t, matches([]Fingerprint{bad, lower}, der))
	require.False(t, matches(nil, der))
}

func TestProfiles(t *testing.T) {
	require.Equal(t, dtls.SRTP_AEAD_AES_128_GCM, profiles[0])
	for _, p := range profiles {
		n, err := srtp.ProtectionProfile(p).KeyLen()
		require.NoError(t, err)
		require.NotZero(t, n)
	}
}

func TestParseKey(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(make([]byte, 30))
	for _, c := range []struct {
		crypto Crypto
		mki    int
		ok     bool
	}{
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_80", KeyParams: "inline:" + good}, 0, true},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_80", KeyParams: "INLINE:" + good + "|2^20|1:4"}, 4, true},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_32", KeyParams: "inline:" + good + ";inline:" + good}, 0, true},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_32", KeyParams: "inline:" + good, SessionParams: "WSH=64"}, 0, true},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_32", KeyParams: "inline:" + good, SessionParams: "KDR=3"}, 0, false},
		{Crypto{Suite: "AEAD_AES_128_GCM", KeyParams: "inline:" + good}, 0, false},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_80", KeyParams: "inline:!!"}, 0, false},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_80", KeyParams: good}, 0, false},
		{Crypto{Suite: "AES_CM_128_HMAC_SHA1_80", KeyParams: "inline:" + good + "|1:999"}, 0, false},
		{Crypto{}, 0, false},
	} {
		k, err := parseKey(c.crypto)
		require.Equal(t, c.ok, err == nil, "%v: %v", c.crypto, err)
		require.Len(t, k.mki, c.mki)
	}
	k := newKey(suites[0])
	back, err := parseKey(Crypto{Suite: k.suite.name, KeyParams: k.inline()})
	require.NoError(t, err)
	require.True(t, k.equal(back))
}

func FuzzParseKey(f *testing.F) {
	f.Add("AES_CM_128_HMAC_SHA1_80", "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4", "")
	f.Fuzz(func(t *testing.T, suite, key, session string) {
		k, err := parseKey(Crypto{Suite: suite, KeyParams: key, SessionParams: session})
		if err == nil {
			_, err = newContext(k)
			require.NoError(t, err)
		}
	})
}

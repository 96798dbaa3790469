package ua

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/icholy/digest"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// users is an Authenticator with passwords.
type users struct {
	passwords map[string]string // user@realm
	trusted   func(netip.Addr) bool
}

func hash(alg, s string) string {
	switch alg {
	case algMD5:
		h := md5.Sum([]byte(s))
		return hex.EncodeToString(h[:])
	case algSHA256:
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])
	}
	h := sha512.Sum512_256([]byte(s))
	return hex.EncodeToString(h[:])
}

func (u users) HA1(user, realm, alg string) (string, bool) {
	pw, ok := u.passwords[user+"@"+realm]
	if !ok {
		return "", false
	}
	return hash(alg, user+":"+realm+":"+pw), true
}

func (u users) Trusted(a netip.Addr, _ string, _ *tls.ConnectionState) bool {
	return u.trusted != nil && u.trusted(a)
}

var testUsers = users{passwords: map[string]string{"otto@voice.example": "geheim", "otto@chat.example": "anders"}}

// phone registers with digests that it computes itself.
type phone struct {
	t *testing.T
	p *udpPeer
	u *UA
	n int
}

func (f *phone) send(auth string, extra ...string) *sip.Response {
	f.t.Helper()
	f.n++
	if auth != "" {
		extra = append(extra, "Authorization: "+auth)
	}
	f.p.send(f.u.Addr("udp"), raw("MESSAGE", fmt.Sprintf("z9hG4bKph%d", f.n), fmt.Sprintf("ph%d", f.n), viaUDP(f.p), extra...))
	return f.p.response()
}

// challenges reads the challenges of a 401.
func challenges(t *testing.T, res *sip.Response) (list []*digest.Challenge) {
	t.Helper()
	require.Equal(t, 401, res.StatusCode)
	for _, v := range sip.Values(res, "WWW-Authenticate") {
		c, err := parseChallenge(v)
		require.NoError(t, err)
		list = append(list, c)
	}
	return list
}

const digestURI = "sip:mira@chat.example"

func (f *phone) credentials(c *digest.Challenge, user, password string, nc int, change ...func(*digest.Credentials)) string {
	f.t.Helper()
	qop := ""
	if len(c.QOP) > 0 {
		qop = c.QOP[0]
	}
	a, err := answerDigest(*c, qop, "MESSAGE", digestURI, user, password, "", nc, "cnonce", nil)
	require.NoError(f.t, err)
	for _, x := range change {
		x(a)
	}
	return a.String()
}

func authUA(t *testing.T, configure func(*Config), prepare ...func(*UA)) *UA {
	return startUA(t, func(c *Config) {
		c.Auth = testUsers
		if configure != nil {
			configure(c)
		}
	}, append(prepare, handle(sip.MESSAGE, func(in *Inbound) {
		if !in.Authenticate("voice.example") {
			return
		}
		_ = in.Respond(sip.Status{Code: 200, Reason: in.Auth.Kind.String() + " " + in.Auth.User})
	}))...)
}

func TestDigestServer(t *testing.T) {
	u := authUA(t, func(c *Config) { c.Digest = []string{algSHA512256, algSHA256, algMD5} })
	f := &phone{t: t, p: newUDPPeer(t), u: u}
	list := challenges(t, f.send(""))
	require.Len(t, list, 3)
	for i, alg := range []string{algSHA512256, algSHA256, algMD5} {
		require.Equal(t, alg, list[i].Algorithm)
		require.Equal(t, "voice.example", list[i].Realm)
		require.Equal(t, []string{"auth"}, list[i].QOP)
		require.False(t, list[i].Stale)
		require.NotEmpty(t, list[i].Opaque)
		res := f.send(f.credentials(list[i], "otto", "geheim", i+1))
		require.Equal(t, "digest otto", res.Reason, alg)
	}
	c := list[2]

	t.Run("replay", func(t *testing.T) {
		again := f.credentials(c, "otto", "geheim", 3)
		list := challenges(t, f.send(again))
		require.True(t, list[0].Stale, "the password was right, the count was used")
		require.Equal(t, 200, f.send(f.credentials(c, "otto", "geheim", 10)).StatusCode)
		require.Equal(t, 200, f.send(f.credentials(c, "otto", "geheim", 7)).StatusCode, "out of order is fine")
		challenges(t, f.send(f.credentials(c, "otto", "geheim", 7)))
		require.Equal(t, 200, f.send(f.credentials(c, "otto", "geheim", 1000)).StatusCode)
		challenges(t, f.send(f.credentials(c, "otto", "geheim", 11)))
	})
	t.Run("wrong", func(t *testing.T) {
		for name, auth := range map[string]string{
			"password":   f.credentials(c, "otto", "falsch", 20),
			"user":       f.credentials(c, "nobody", "geheim", 21),
			"realm":      f.credentials(&digest.Challenge{Realm: "chat.example", Nonce: c.Nonce, QOP: c.QOP}, "otto", "anders", 22),
			"nonce":      f.credentials(&digest.Challenge{Realm: c.Realm, Nonce: "AAAA", QOP: c.QOP}, "otto", "falsch", 22),
			"algorithm":  f.credentials(c, "otto", "geheim", 23, func(a *digest.Credentials) { a.Algorithm = "MD5-sess" }),
			"response":   f.credentials(c, "otto", "geheim", 24, func(a *digest.Credentials) { a.Response = "" }),
			"nc changed": f.credentials(c, "otto", "geheim", 25, func(a *digest.Credentials) { a.Nc++ }),
			"qop":        f.credentials(c, "otto", "geheim", 26, func(a *digest.Credentials) { a.QOP = "auth-conf" }),
			"scheme":     "Basic b3R0bzpnZWhlaW0=",
			"garbage":    `Digest realm="voice.example, username`,
		} {
			list := challenges(t, f.send(auth))
			require.False(t, list[0].Stale, name)
		}
	})
	t.Run("uri", func(t *testing.T) {
		require.Equal(t, 400, f.send(f.credentials(c, "otto", "geheim", 30, func(a *digest.Credentials) { a.URI = "sip:eve@evil.example" })).StatusCode)
	})
	t.Run("foreign nonce", func(t *testing.T) {
		// As after a restart: right password, a nonce that nobody knows any more.
		list := challenges(t, f.send(f.credentials(&digest.Challenge{Realm: c.Realm, Nonce: "AAAA", QOP: c.QOP}, "otto", "geheim", 1)))
		require.True(t, list[0].Stale)
	})
	t.Run("nonce of another realm", func(t *testing.T) {
		other := u.nonces.issue("chat.example")
		list := challenges(t, f.send(f.credentials(&digest.Challenge{Realm: c.Realm, Nonce: other, QOP: c.QOP}, "otto", "geheim", 1)))
		require.True(t, list[0].Stale)
	})
	t.Run("auth-int", func(t *testing.T) {
		require.Equal(t, 200, f.send(f.credentials(&digest.Challenge{Realm: c.Realm, Nonce: c.Nonce, QOP: []string{"auth-int"}}, "otto", "geheim", 1001)).StatusCode)
	})
	t.Run("without qop", func(t *testing.T) {
		fresh := challenges(t, f.send(""))[2]
		fresh.QOP = nil
		auth := f.credentials(fresh, "otto", "geheim", 0)
		require.Equal(t, 200, f.send(auth).StatusCode)
		require.True(t, challenges(t, f.send(auth))[0].Stale, "once only")
	})
}

func TestNonceExpires(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	u := authUA(t, nil, func(u *UA) {
		u.nonces.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	f := &phone{t: t, p: newUDPPeer(t), u: u}
	c := challenges(t, f.send(""))[0]
	require.Equal(t, 200, f.send(f.credentials(c, "otto", "geheim", 1)).StatusCode)
	mu.Lock()
	now = now.Add(nonceLife + time.Second)
	mu.Unlock()
	c = challenges(t, f.send(f.credentials(c, "otto", "geheim", 2)))[0]
	require.True(t, c.Stale)
	require.Equal(t, 200, f.send(f.credentials(c, "otto", "geheim", 1)).StatusCode)
	u.nonces.mu.Lock()
	defer u.nonces.mu.Unlock()
	require.Len(t, u.nonces.used, 1, "the old one is forgotten")
}

func TestWrongDigestsBan(t *testing.T) {
	u := authUA(t, func(c *Config) { c.Limits.AuthFailure = 3 }, func(u *UA) { u.guard.own = func(netip.Addr) bool { return false } })
	f := &phone{t: t, p: newUDPPeer(t), u: u}
	c := challenges(t, f.send(""))[0]
	for i := range 4 {
		challenges(t, f.send(f.credentials(c, "otto", fmt.Sprint("guess", i), i+1)))
	}
	f.p.send(u.Addr("udp"), raw("MESSAGE", "z9hG4bKlast", "last", viaUDP(f.p)))
	msg, _, _ := f.p.receive(100 * time.Millisecond)
	require.Nil(t, msg)
}

func TestTrustedNeedsNoDigest(t *testing.T) {
	u := authUA(t, func(c *Config) { c.Auth = users{trusted: netip.Addr.IsLoopback} })
	f := &phone{t: t, p: newUDPPeer(t), u: u}
	require.Equal(t, "trusted ", f.send("").Reason)
	none := startUA(t, nil, handle(sip.MESSAGE, func(in *Inbound) { require.False(t, in.Authenticate("x")) }))
	f = &phone{t: t, p: newUDPPeer(t), u: none}
	require.Equal(t, 403, f.send("").StatusCode)
}

// challenge makes a 401 or 407 with these challenges.
func challengeStatus(code int, cs ...digest.Challenge) sip.Status {
	name := "WWW-Authenticate"
	if code == 407 {
		name = "Proxy-Authenticate"
	}
	s := sip.Status{Code: code}
	for _, c := range cs {
		s.Headers = append(s.Headers, sip.MustHeader(name, c.String()))
	}
	return s
}

// requireDigest checks the credentials of a request as a server would.
func requireDigest(t *testing.T, req *sip.Request, header, alg, ha1, qop string, nc int) {
	t.Helper()
	c, err := parseCredentials(sip.Value(req, header))
	require.NoError(t, err)
	require.Equal(t, alg, algorithmOf(c.Algorithm))
	require.Equal(t, qop, c.QOP)
	if qop != "" {
		require.Equal(t, nc, c.Nc)
	}
	require.Equal(t, req.Recipient.String(), c.URI)
	a2 := string(req.Method) + ":" + c.URI
	if qop == "auth-int" {
		a2 += ":" + hash(alg, string(req.Body()))
	}
	want := hash(alg, ha1+":"+c.Nonce+":"+hash(alg, a2))
	if qop != "" {
		want = hash(alg, strings.Join([]string{ha1, c.Nonce, fmt.Sprintf("%08x", c.Nc), c.Cnonce, qop, hash(alg, a2)}, ":"))
	}
	require.Equal(t, want, c.Response)
}

func TestDigestClient(t *testing.T) {
	u := startUA(t, nil)
	for _, tt := range []struct {
		name   string
		status int
		offer  []digest.Challenge
		cred   Credentials
		alg    string
		qop    string
	}{
		{"401 MD5 without qop", 401, []digest.Challenge{{Realm: "r", Nonce: "n"}}, Credentials{Username: "u", Password: "p"}, algMD5, ""},
		{"407 SHA-256 auth", 407, []digest.Challenge{{Realm: "r", Nonce: "n", Algorithm: algSHA256, QOP: []string{"auth-int", "auth"}, Opaque: "o"}}, Credentials{Username: "u", Password: "p"}, algSHA256, "auth"},
		{"401 SHA-512-256 auth-int", 401, []digest.Challenge{{Realm: "r", Nonce: "n", Algorithm: algSHA512256, QOP: []string{"auth-int"}}}, Credentials{Username: "u", Password: "p", Realm: "r"}, algSHA512256, "auth-int"},
		{
			"HA1 of MD5 skips SHA-256", 401,
			[]digest.Challenge{{Realm: "r", Nonce: "n", Algorithm: algSHA256, QOP: []string{"auth"}}, {Realm: "r", Nonce: "n", Algorithm: algMD5, QOP: []string{"auth"}}},
			Credentials{Username: "u", HA1: hash(algMD5, "u:r:p"), Realm: "r"},
			algMD5, "auth",
		},
		{"HA1 of SHA-256", 407, []digest.Challenge{{Realm: "r", Nonce: "n", Algorithm: algSHA256, QOP: []string{"auth"}}}, Credentials{Username: "u", HA1: hash(algSHA256, "u:r:p"), Realm: "r"}, algSHA256, "auth"},
		{
			"unknown first", 401,
			[]digest.Challenge{{Realm: "r", Nonce: "n", Algorithm: "MD5-sess"}, {Realm: "other", Nonce: "n"}, {Realm: "r", Nonce: "n", Algorithm: algMD5}},
			Credentials{Username: "u", Password: "p", Realm: "r"},
			algMD5, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newUDPPeer(t)
			u.digests = newChallengeCache()
			req := message(t, p.uri(), 20)
			header := "Authorization"
			if tt.status == 407 {
				header = "Proxy-Authorization"
			}
			c := do(t.Context(), u, req, Target{Credentials: &tt.cred})
			first := p.answer(challengeStatus(tt.status, tt.offer...))
			require.Empty(t, sip.Value(first, header))
			second := p.answer(sip.Status{Code: 200})
			requireStatus(t, c, 200)
			requireDigest(t, second, header, tt.alg, hash(tt.alg, "u:r:p"), tt.qop, 1)
			require.Equal(t, sip.CallID(first), sip.CallID(second))
			require.Equal(t, "2 MESSAGE", second.CSeq().Value())

			// The nonce serves the next request at once, counted.
			c = do(t.Context(), u, message(t, p.uri(), 20), Target{Credentials: &tt.cred})
			third := p.answer(sip.Status{Code: 200})
			requireStatus(t, c, 200)
			requireDigest(t, third, header, tt.alg, hash(tt.alg, "u:r:p"), tt.qop, 2)
			require.Equal(t, "1 MESSAGE", third.CSeq().Value())

			// When it is worn out, one new challenge is answered.
			c = do(t.Context(), u, message(t, p.uri(), 20), Target{Credentials: &tt.cred})
			p.answer(challengeStatus(tt.status, digest.Challenge{Realm: "r", Nonce: "fresh", Algorithm: tt.alg, QOP: tt.offer[len(tt.offer)-1].QOP, Stale: true}))
			fourth := p.answer(sip.Status{Code: 200})
			requireStatus(t, c, 200)
			requireDigest(t, fourth, header, tt.alg, hash(tt.alg, "u:r:p"), tt.qop, 1)
		})
	}
}

func TestDigestClientGivesUp(t *testing.T) {
	u := startUA(t, nil)
	plain := digest.Challenge{Realm: "r", Nonce: "n", QOP: []string{"auth"}}
	stale := digest.Challenge{Realm: "r", Nonce: "m", QOP: []string{"auth"}, Stale: true}
	cred := &Credentials{Username: "u", Password: "p"}
	t.Run("wrong password", func(t *testing.T) {
		p := newUDPPeer(t)
		c := do(t.Context(), u, message(t, p.uri(), 1), Target{Credentials: cred})
		p.answer(challengeStatus(401, plain))
		p.answer(challengeStatus(401, plain))
		requireStatus(t, c, 401)
	})
	t.Run("stale once", func(t *testing.T) {
		p := newUDPPeer(t)
		u.digests = newChallengeCache()
		c := do(t.Context(), u, message(t, p.uri(), 1), Target{Credentials: cred})
		p.answer(challengeStatus(401, plain))
		p.answer(challengeStatus(401, stale))
		p.answer(challengeStatus(401, stale))
		requireStatus(t, c, 401)
	})
	t.Run("proxy and server", func(t *testing.T) {
		p := newUDPPeer(t)
		u.digests = newChallengeCache()
		c := do(t.Context(), u, message(t, p.uri(), 1), Target{Credentials: cred})
		p.answer(challengeStatus(407, plain))
		p.answer(challengeStatus(401, plain))
		last := p.answer(sip.Status{Code: 200})
		requireStatus(t, c, 200)
		require.Equal(t, "3 MESSAGE", last.CSeq().Value())
		requireDigest(t, last, "Authorization", algMD5, hash(algMD5, "u:r:p"), "auth", 1)
		requireDigest(t, last, "Proxy-Authorization", algMD5, hash(algMD5, "u:r:p"), "auth", 2)
	})
	t.Run("nothing to answer with", func(t *testing.T) {
		for _, target := range []Target{{}, {Credentials: &Credentials{Username: "u", Password: "p", Realm: "elsewhere"}}, {Credentials: &Credentials{Username: "u", HA1: hash(algMD5, "x"), Realm: "r"}}} {
			p := newUDPPeer(t)
			c := do(t.Context(), u, message(t, p.uri(), 1), target)
			p.answer(challengeStatus(401, digest.Challenge{Realm: "r", Nonce: "n", Algorithm: algSHA256}))
			requireStatus(t, c, 401)
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		p := newUDPPeer(t)
		c := do(t.Context(), u, message(t, p.uri(), 1), Target{Credentials: cred})
		p.answer(sip.Status{Code: 401, Headers: []sip.Header{sip.MustHeader("WWW-Authenticate", `Digest realm="`), sip.MustHeader("WWW-Authenticate", "Bearer")}})
		requireStatus(t, c, 401)
	})
}

func TestNonceWindow(t *testing.T) {
	n := newNonces()
	id, issued, ok := n.check(n.issue("r"), "r")
	require.True(t, ok)
	for _, tt := range []struct {
		nc   uint32
		want bool
	}{{5, true}, {5, false}, {4, true}, {4, false}, {6, true}, {0, false}, {70, true}, {6, false}, {7, true}, {200, true}, {136, false}, {137, true}, {137, false}, {1 << 31, true}} {
		require.Equal(t, tt.want, n.use(id, issued, tt.nc, true), tt.nc)
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 43), n.issue("r") + "A"} {
		_, _, ok := n.check(bad, "r")
		require.False(t, ok, bad)
	}
}

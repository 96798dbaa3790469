package ua

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"github.com/stoxgate/stoxgate/sip"
)

// nonceLife is how long a nonce may be used.
const nonceLife = 5 * time.Minute

// nonces makes and checks nonces. A nonce carries its own proof: time and 8 random
// bytes, and a MAC over them and the realm, so that an unanswered challenge costs
// no memory. Only nonces that were used with a right digest are remembered, with
// the counts seen, against replays.
type nonces struct {
	secret [32]byte
	opaque string
	now    func() time.Time

	mu    sync.Mutex
	used  map[[8]byte]*nonceUse
	swept time.Time
}

// nonceUse is a window over the nonce counts: parallel requests may arrive out of
// order, none may arrive twice.
type nonceUse struct {
	expires time.Time
	highest uint32
	window  uint64 // bit i: highest-i was seen
}

func newNonces() *nonces {
	n := &nonces{now: time.Now, used: map[[8]byte]*nonceUse{}}
	_, _ = rand.Read(n.secret[:]) // never fails (crypto/rand)
	var o [8]byte
	_, _ = rand.Read(o[:])
	n.opaque = hex.EncodeToString(o[:])
	return n
}

func (n *nonces) mac(head []byte, realm string) []byte {
	m := hmac.New(sha256.New, n.secret[:])
	m.Write(head)
	m.Write([]byte(realm))
	return m.Sum(nil)[:16]
}

// issue makes a nonce for a realm.
func (n *nonces) issue(realm string) string {
	b := make([]byte, 16, 32)
	binary.BigEndian.PutUint64(b, uint64(n.now().UnixMilli()))
	_, _ = rand.Read(b[8:16])
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac(b, realm)...))
}

// check tells whether a nonce is ours, for that realm, and young enough.
func (n *nonces) check(nonce, realm string) (id [8]byte, issued time.Time, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != 32 || subtle.ConstantTimeCompare(b[16:], n.mac(b[:16], realm)) == 0 {
		return id, issued, false
	}
	issued = time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
	age := n.now().Sub(issued)
	return [8]byte(b[8:16]), issued, age < nonceLife && age > -time.Minute
}

// use takes a nonce count and tells whether it is new. Without qop there is no
// count, and the nonce is good for one request.
func (n *nonces) use(id [8]byte, issued time.Time, nc uint32, counted bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if now.Sub(n.swept) > nonceLife/4 {
		n.swept = now
		for k, u := range n.used {
			if now.After(u.expires) {
				delete(n.used, k)
			}
		}
	}
	u := n.used[id]
	if u == nil {
		n.used[id] = &nonceUse{expires: issued.Add(nonceLife), highest: nc, window: 1}
		return nc > 0 || !counted
	}
	switch {
	case !counted:
		return false
	case nc > u.highest:
		if d := nc - u.highest; d < 64 {
			u.window = u.window<<d | 1
		} else {
			u.window = 1
		}
		u.highest = nc
		return true
	case u.highest-nc >= 64:
		return false
	}
	bit := uint64(1) << (u.highest - nc)
	seen := u.window&bit != 0
	u.window |= bit
	return !seen && nc > 0
}

// Authenticate makes sure that the sender is a user of a realm, by digest
// (RFC 3261 §22). It answers the request itself (401, 400, 403) when it returns
// false. A trusted peer needs no digest: it passes as it is.
func (in *Inbound) Authenticate(realm string) bool {
	u := in.u
	switch {
	case in.Auth.Kind == AuthTrusted:
		return true
	case in.Auth.Kind == AuthDigest && in.Auth.Realm == realm:
		return true
	case u.cfg.Auth == nil:
		_ = in.Respond(sip.Status{Code: 403})
		return false
	}
	cred, found := credentialsFor(in.Request, realm)
	if !found {
		in.challenge(realm, false)
		return false
	}
	if !in.digestURIFits(cred.URI) {
		_ = in.Respond(sip.Status{Code: 400, Reason: "Bad Request - digest uri"})
		return false
	}
	if !in.digestRight(cred, realm) {
		if u.guard.authFailed(in.Source.Addr(), in.Transport) {
			u.log.Warn().Str("remote", in.Source.Addr().String()).Msg("banned for wrong digests")
		}
		u.log.Info().Str("user", cred.Username).Str("realm", realm).Str("remote", in.Source.String()).Msg("wrong digest")
		in.challenge(realm, false)
		return false
	}
	id, issued, fresh := u.nonces.check(cred.Nonce, realm)
	if !fresh || !u.nonces.use(id, issued, uint32(cred.Nc), cred.QOP != "") {
		// The password is right and only the nonce is not: no reason to ask the
		// user for it. A replayed request ends here too.
		in.challenge(realm, true)
		return false
	}
	in.Auth = Identity{Kind: AuthDigest, User: cred.Username, Realm: realm}
	return true
}

// credentialsFor finds the digest for a realm among the fields of both names.
func credentialsFor(req *sip.Request, realm string) (*digest.Credentials, bool) {
	for _, name := range [...]string{"Authorization", "Proxy-Authorization"} {
		for _, v := range sip.Values(req, name) {
			if c, err := parseCredentials(v); err == nil && c.Realm == realm {
				return c, true
			}
		}
	}
	return nil, false
}

// digestURIFits: the digest must be for this request (RFC 3261 §22.4 rule 1 to 3).
// Proxies rewrite parameters and ports on the way, so the addresses count.
func (in *Inbound) digestURIFits(text string) bool {
	got, err := sip.ParseURI(text)
	if err != nil {
		return false
	}
	want := sip.RequestURI(in.Request)
	if got.Scheme == want.Scheme && strings.EqualFold(got.Host, want.Host) && got.AOR().User == want.AOR().User {
		return true
	}
	// A proxy in front of us may have exchanged the host for ours.
	to, err := sip.ToOf(in.Request)
	return err == nil && strings.EqualFold(got.Host, to.URI.Host) && (got.User == "" || got.AOR().User == to.URI.AOR().User)
}

// digestRight checks the response in constant time, for unknown users too.
func (in *Inbound) digestRight(c *digest.Credentials, realm string) bool {
	alg := algorithmOf(c.Algorithm)
	// Only what is offered: an attacker must not choose the weakest (RFC 8760 §2.4).
	if alg == "" || !slices.Contains(in.u.cfg.Digest, alg) || c.QOP != "" && c.QOP != "auth" && c.QOP != "auth-int" || c.QOP != "" && (c.Cnonce == "" || c.Nc == 0) {
		return false
	}
	ha1, known := in.u.cfg.Auth.HA1(c.Username, realm, alg)
	if !known {
		ha1 = strings.Repeat("0", 32)
	}
	want, err := answerDigest(digest.Challenge{Realm: realm, Nonce: c.Nonce, Algorithm: alg}, c.QOP,
		string(in.Request.Method), c.URI, c.Username, "", strings.ToLower(ha1), c.Nc, c.Cnonce, in.Request.Body())
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(want.Response), []byte(c.Response)) == 1 && known
}

// challenge answers 401 with one challenge per algorithm, the strongest first
// (RFC 8760 §2.4).
func (in *Inbound) challenge(realm string, stale bool) {
	st := sip.Status{Code: 401}
	nonce := in.u.nonces.issue(realm)
	for _, alg := range in.offers() {
		c := digest.Challenge{Realm: realm, Nonce: nonce, Opaque: in.u.nonces.opaque, Stale: stale, Algorithm: alg, QOP: []string{"auth"}}
		st.Headers = append(st.Headers, siplib.NewHeader("WWW-Authenticate", c.String()))
	}
	_ = in.Respond(st) // a failure is logged there
}

// offers are the algorithms to challenge with.
//
// COMPAT: baresip 1.0, as Debian 12 has it, gives up at the first challenge that is not
// MD5, wherever in the list that stands.
func (in *Inbound) offers() []string {
	all := in.u.cfg.Digest
	agent := sip.Value(in.Request, "User-Agent")
	if !strings.HasPrefix(agent, "baresip v0.") && !strings.HasPrefix(agent, "baresip v1.") || !slices.Contains(all, algMD5) {
		return all
	}
	return []string{algMD5}
}

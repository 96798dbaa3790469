package siptest

import (
	"crypto/md5" // #nosec G501: RFC 3261 digest
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// ErrChallenge is wrapped when a 401 or 407 cannot be answered.
var ErrChallenge = errors.New("siptest: cannot answer the challenge")

// Credentials are what a phone knows about itself.
type Credentials struct {
	User, Password string
	// Algorithm "MD5" or "SHA-256" answers only that challenge; empty takes the
	// first one that is understood (RFC 8760 §2.4).
	Algorithm string
}

// Authorize answers the challenge of a 401 or 407 and returns name and value of
// the header to send. nc is the nonce count, 1 for a first use; the same nonce
// with the same nc is a replay.
func Authorize(res *Message, c Credentials, method, uri string, nc int) (Header, error) {
	challenge, name := "WWW-Authenticate", "Authorization"
	if res.Status == 407 {
		challenge, name = "Proxy-Authenticate", "Proxy-Authorization"
	}
	for _, v := range res.Values(challenge) {
		p, ok := digestParams(v)
		if !ok {
			continue
		}
		alg := p["algorithm"]
		if alg == "" {
			alg = "MD5"
		}
		h := hasher(alg)
		if h == nil || c.Algorithm != "" && !strings.EqualFold(c.Algorithm, alg) {
			continue
		}
		ha1 := HA1(alg, c.User, p["realm"], c.Password)
		ha2 := h(method + ":" + uri)
		var out strings.Builder
		fmt.Fprintf(&out, `Digest username=%s, realm=%s, nonce=%s, uri=%s, algorithm=%s`,
			quote(c.User), quote(p["realm"]), quote(p["nonce"]), quote(uri), alg)
		if hasToken(p["qop"], "auth") {
			cnonce := token(8)
			count := fmt.Sprintf("%08x", nc)
			response := h(ha1 + ":" + p["nonce"] + ":" + count + ":" + cnonce + ":auth:" + ha2)
			fmt.Fprintf(&out, `, response="%s", qop=auth, cnonce="%s", nc=%s`, response, cnonce, count)
		} else {
			fmt.Fprintf(&out, `, response="%s"`, h(ha1+":"+p["nonce"]+":"+ha2))
		}
		if o := p["opaque"]; o != "" {
			fmt.Fprintf(&out, `, opaque=%s`, quote(o))
		}
		return Header{name, out.String()}, nil
	}
	return Header{}, fmt.Errorf("%w: %q", ErrChallenge, res.Values(challenge))
}

// HA1 is the secret that a server keeps: H(user:realm:password) in lower case
// hex; algorithm is "MD5" or "SHA-256".
func HA1(algorithm, user, realm, password string) string {
	h := hasher(algorithm)
	if h == nil {
		return ""
	}
	return h(user + ":" + realm + ":" + password)
}

// checkDigest verifies an Authorization or Proxy-Authorization value as a server does.
func checkDigest(value, method, user, realm, password, nonce string) error {
	p, ok := digestParams(value)
	if !ok {
		return fmt.Errorf("%w: no digest", ErrChallenge)
	}
	alg := p["algorithm"]
	if alg == "" {
		alg = "MD5"
	}
	h := hasher(alg)
	switch {
	case h == nil:
		return fmt.Errorf("%w: algorithm %q", ErrChallenge, alg)
	case p["username"] != user:
		return fmt.Errorf("%w: user %q, want %q", ErrChallenge, p["username"], user)
	case p["realm"] != realm:
		return fmt.Errorf("%w: realm %q, want %q", ErrChallenge, p["realm"], realm)
	case p["nonce"] != nonce:
		return fmt.Errorf("%w: nonce is not the one given", ErrChallenge)
	case p["qop"] != "auth" || len(p["nc"]) != 8 || p["cnonce"] == "":
		return fmt.Errorf("%w: qop %q nc %q cnonce %q", ErrChallenge, p["qop"], p["nc"], p["cnonce"])
	}
	want := h(HA1(alg, user, realm, password) + ":" + nonce + ":" + p["nc"] + ":" + p["cnonce"] + ":auth:" + h(method+":"+p["uri"]))
	if want != p["response"] {
		return fmt.Errorf("%w: wrong response", ErrChallenge)
	}
	return nil
}

// digestParams reads the parameters of a Digest challenge or answer.
func digestParams(value string) (map[string]string, bool) {
	scheme, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil, false
	}
	p := map[string]string{}
	for _, part := range splitList(rest) {
		k, v, _ := strings.Cut(part, "=")
		p[strings.ToLower(strings.TrimSpace(k))] = unquote(strings.TrimSpace(v))
	}
	return p, true
}

func hasher(algorithm string) func(string) string {
	var n func() hash.Hash
	switch strings.ToUpper(algorithm) {
	case "MD5":
		n = md5.New
	case "SHA-256":
		n = sha256.New
	default:
		return nil
	}
	return func(s string) string {
		h := n()
		h.Write([]byte(s))
		return hex.EncodeToString(h.Sum(nil))
	}
}

func hasToken(list, want string) bool {
	for _, t := range splitList(list) {
		if strings.EqualFold(t, want) {
			return true
		}
	}
	return false
}

// token is a random word of 2n hex digits.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

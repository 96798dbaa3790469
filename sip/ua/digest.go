package ua

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/icholy/digest"

	"github.com/stoxgate/stoxgate/sip"
)

// Names of the digest algorithms (RFC 8760 §2.2). The -sess variants are not
// offered and not answered: nobody in the field has only them.
const (
	algMD5       = "MD5"
	algSHA256    = "SHA-256"
	algSHA512256 = "SHA-512-256"
)

// algorithmOf is the canonical name, "" for one that is not known. Absent means
// MD5 (RFC 3261 §22.4).
func algorithmOf(s string) string {
	switch strings.ToUpper(s) {
	case "", algMD5:
		return algMD5
	case algSHA256:
		return algSHA256
	case algSHA512256:
		return algSHA512256
	}
	return ""
}

// parseChallenge reads one WWW-Authenticate or Proxy-Authenticate value. icholy's
// own parser minds the case of names and the blanks in qop, which peers vary.
func parseChallenge(v string) (*digest.Challenge, error) {
	scheme, p, err := sip.ParseAuth(v)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(scheme, "Digest") {
		return nil, fmt.Errorf("%w: scheme %s", sip.ErrAuth, scheme)
	}
	c := &digest.Challenge{
		Realm: p.Value("realm"), Nonce: p.Value("nonce"), Opaque: p.Value("opaque"),
		Stale: strings.EqualFold(p.Value("stale"), "true"), Algorithm: p.Value("algorithm"),
	}
	for q := range strings.SplitSeq(p.Value("qop"), ",") {
		if q = strings.ToLower(strings.TrimSpace(q)); q != "" {
			c.QOP = append(c.QOP, q)
		}
	}
	return c, nil
}

// parseCredentials reads one Authorization or Proxy-Authorization value.
func parseCredentials(v string) (*digest.Credentials, error) {
	scheme, p, err := sip.ParseAuth(v)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(scheme, "Digest") {
		return nil, fmt.Errorf("%w: scheme %s", sip.ErrAuth, scheme)
	}
	c := &digest.Credentials{
		Username: p.Value("username"), Realm: p.Value("realm"), Nonce: p.Value("nonce"), URI: p.Value("uri"),
		Response: strings.ToLower(p.Value("response")), Algorithm: p.Value("algorithm"), Cnonce: p.Value("cnonce"),
		Opaque: p.Value("opaque"), QOP: strings.ToLower(p.Value("qop")),
	}
	if nc, ok := p.Get("nc"); ok {
		n, err := strconv.ParseUint(nc, 16, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: nc %q", sip.ErrAuth, nc)
		}
		c.Nc = int(n)
	}
	return c, nil
}

// answerDigest computes credentials for a challenge with exactly that qop ("" for
// the form without).
func answerDigest(c digest.Challenge, qop, method, uri, user, password, ha1 string, nc int, cnonce string, body []byte) (*digest.Credentials, error) {
	c.QOP = nil
	if qop != "" {
		c.QOP = []string{qop}
	}
	c.Userhash = false
	return digest.Digest(&c, digest.Options{
		Method: method, URI: uri, Count: nc, Username: user, Password: password, A1: ha1, Cnonce: cnonce,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	})
}

// pickQOP prefers auth: a proxy that changes a body breaks auth-int.
func pickQOP(c *digest.Challenge) (string, bool) {
	switch {
	case len(c.QOP) == 0:
		return "", true
	case slices.Contains(c.QOP, "auth"):
		return "auth", true
	case slices.Contains(c.QOP, "auth-int"):
		return "auth-int", true
	}
	return "", false
}

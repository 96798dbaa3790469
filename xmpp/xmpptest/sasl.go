package xmpptest

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrAuth tells that a client could not authenticate.
var ErrAuth = errors.New("xmpptest: authentication failed")

// The SASL mechanisms of Client.
const (
	MechanismSCRAM = "SCRAM-SHA-1"
	MechanismPlain = "PLAIN"
)

// mechanism is the client side of one SASL exchange.
type mechanism interface {
	// first is the initial response.
	first() []byte
	// next answers a challenge.
	next(challenge []byte) ([]byte, error)
	// verify checks the data that came with success.
	verify(data []byte) error
}

// plain is RFC 4616.
type plain struct{ user, password string }

func (p plain) first() []byte { return []byte("\x00" + p.user + "\x00" + p.password) }
func (p plain) next([]byte) ([]byte, error) {
	return nil, fmt.Errorf("%w: challenge to PLAIN", ErrAuth)
}
func (p plain) verify([]byte) error { return nil }

// scram is SCRAM-SHA-1 without channel binding (RFC 5802).
type scram struct {
	user, password, nonce string
	bare                  string // client-first-message-bare
	serverSignature       []byte
}

func newScram(user, password string) *scram {
	return &scram{user: user, password: password, nonce: rand.Text()}
}

func (s *scram) first() []byte {
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user)
	s.bare = "n=" + name + ",r=" + s.nonce
	return []byte("n,," + s.bare)
}

func (s *scram) next(challenge []byte) ([]byte, error) {
	if s.serverSignature != nil {
		// Servers may send the server-final-message as a challenge.
		return nil, s.verify(challenge)
	}
	attrs := scramAttributes(string(challenge))
	salt, err := base64.StdEncoding.DecodeString(attrs["s"])
	iterations, ierr := strconv.Atoi(attrs["i"])
	if err != nil || ierr != nil || iterations < 1 || !strings.HasPrefix(attrs["r"], s.nonce) || len(attrs["r"]) == len(s.nonce) {
		return nil, fmt.Errorf("%w: bad SCRAM challenge", ErrAuth)
	}
	salted, err := pbkdf2.Key(sha1.New, s.password, salt, iterations, sha1.Size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, err)
	}
	final := "c=biws,r=" + attrs["r"]
	message := []byte(s.bare + "," + string(challenge) + "," + final)
	clientKey := hmacSHA1(salted, []byte("Client Key"))
	stored := sha1.Sum(clientKey)
	proof := hmacSHA1(stored[:], message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	s.serverSignature = hmacSHA1(hmacSHA1(salted, []byte("Server Key")), message)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

func (s *scram) verify(data []byte) error {
	if len(data) == 0 && s.serverSignature != nil && bytes.Equal(s.serverSignature, verified) {
		return nil
	}
	got, err := base64.StdEncoding.DecodeString(scramAttributes(string(data))["v"])
	if err != nil || s.serverSignature == nil || !hmac.Equal(got, s.serverSignature) {
		return fmt.Errorf("%w: server did not prove that it knows the password", ErrAuth)
	}
	s.serverSignature = verified
	return nil
}

// verified takes the place of the signature once it was checked.
var verified = []byte("verified")

func hmacSHA1(key, data []byte) []byte {
	h := hmac.New(sha1.New, key)
	h.Write(data)
	return h.Sum(nil)
}

func scramAttributes(s string) map[string]string {
	attrs := make(map[string]string)
	for part := range strings.SplitSeq(s, ",") {
		if name, value, ok := strings.Cut(part, "="); ok {
			attrs[name] = value
		}
	}
	return attrs
}

package identity

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
)

// Credential is what a phone proves to know: HA1 = H(user:realm:password) of RFC 7616
// §3.4.2. A hash that is not known is zero.
type Credential struct {
	User   string // an AOR's user, unescaped, or the identity's id
	Realm  string // the AOR's host
	MD5    [md5.Size]byte
	SHA256 [sha256.Size]byte
}

// NewCredential hashes a password.
func NewCredential(user, realm, password string) Credential {
	text := []byte(user + ":" + realm + ":" + password)
	return Credential{User: user, Realm: realm, MD5: md5.Sum(text), SHA256: sha256.Sum256(text)}
}

// HA1 is the hash in hexadecimal for the algorithm "MD5" or "SHA-256"; false for others
// and when it is not known.
func (c *Credential) HA1(algorithm string) (string, bool) {
	switch {
	case algorithm == "MD5" && c.MD5 != [md5.Size]byte{}:
		return hex.EncodeToString(c.MD5[:]), true
	case algorithm == "SHA-256" && c.SHA256 != [sha256.Size]byte{}:
		return hex.EncodeToString(c.SHA256[:]), true
	}
	return "", false
}

// known tells whether there is any hash.
func (c *Credential) known() bool {
	return c.MD5 != [md5.Size]byte{} || c.SHA256 != [sha256.Size]byte{}
}

// setHex reads the hashes; an empty text means that one is not known.
func (c *Credential) setHex(md5hex, sha256hex string) error {
	for _, x := range []struct {
		name, text string
		dst        []byte
	}{{"MD5", md5hex, c.MD5[:]}, {"SHA-256", sha256hex, c.SHA256[:]}} {
		if x.text == "" {
			continue
		}
		if len(x.text) != 2*len(x.dst) {
			return fmt.Errorf("%w: HA1 by %s has %d characters, not %d", ErrInvalid, x.name, len(x.text), 2*len(x.dst))
		}
		if _, err := hex.Decode(x.dst, []byte(x.text)); err != nil {
			return fmt.Errorf("%w: HA1 by %s is not hexadecimal", ErrInvalid, x.name)
		}
	}
	return nil
}

// login is a name and a realm that a phone may log in with.
type login struct{ user, realm string }

// logins are the names for which a password counts: the user of each AOR, and the id, in
// the realm of each AOR's host.
func (id *Identity) logins() []login {
	var list []login
	add := func(l login) {
		for _, x := range list {
			if x == l {
				return
			}
		}
		list = append(list, l)
	}
	for _, a := range id.AORs {
		if user, err := sip.UnescapeUser(a.User); err == nil && !strings.Contains(user, ":") {
			add(login{user, a.Host})
		}
	}
	for _, a := range id.AORs {
		add(login{id.ID, a.Host})
	}
	return list
}

// setPassword makes the credentials anew from a password, or, when it is empty, keeps
// those that still are a login of this identity.
func (id *Identity) setPassword(password string) error {
	logins := id.logins()
	if password == "" {
		kept := make([]Credential, 0, len(id.Credentials))
		for _, c := range id.Credentials {
			for _, l := range logins {
				if c.User == l.user && c.Realm == l.realm && c.known() {
					kept = append(kept, c)
					break
				}
			}
		}
		id.Credentials = kept
		return nil
	}
	if len(logins) == 0 {
		return fmt.Errorf("%w: a password needs a SIP address, whose host is its realm", ErrInvalid)
	}
	id.Credentials = make([]Credential, len(logins))
	for i, l := range logins {
		id.Credentials[i] = NewCredential(l.user, l.realm, password)
	}
	return nil
}

// credential finds what a phone logs in with.
func (id *Identity) credential(user, realm string) *Credential {
	for i := range id.Credentials {
		if c := &id.Credentials[i]; c.User == user && c.Realm == realm {
			return c
		}
	}
	return nil
}

// passwordLetters leaves out what is mistaken for something else when it is typed in a
// phone. It has 32 letters, so that a byte taken modulo them is fair.
const passwordLetters = "abcdefghijkmnpqrstuvwxyz23456789"

// NewPassword makes a random password of 24 letters (120 bits).
func NewPassword() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = passwordLetters[int(b[i])%len(passwordLetters)]
	}
	return string(b)
}

package mapping

import (
	"net/netip"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
)

// A resource and the id of a tuple stand for each other (RFC 8048 §6.2, note 2). The id is an xs:ID, which has
// few characters and starts with a letter:
//
//	"ID-" resource        when the resource has no other characters than these, as in the RFC
//	"IDX-" escaped        else: bytes that are not allowed as "_" and two hex digits, "_" itself too
//	"IDH-" hash           when that would be absurdly long; the resource cannot be found again
//
// "ID-" alone is a user without a resource.
const (
	plainTuple   = "ID-"
	escapedTuple = "IDX-"
	hashedTuple  = "IDH-"
	maxTupleID   = 128 // bytes
)

// ResourceToTupleID makes the id of the tuple for a resource.
func ResourceToTupleID(resource string) string {
	plain := true
	for i := range len(resource) {
		plain = plain && plainID(resource[i])
	}
	if plain && len(resource) <= maxTupleID {
		return plainTuple + resource
	}
	const hex = "0123456789abcdef"
	b := append(make([]byte, 0, len(escapedTuple)+3*len(resource)), escapedTuple...)
	for i := range len(resource) {
		if c := resource[i]; plainID(c) && c != '_' {
			b = append(b, c)
		} else {
			b = append(b, '_', hex[c>>4], hex[c&15])
		}
	}
	if len(b) > maxTupleID {
		b = appendHash(append(b[:0], hashedTuple...), fnv(fnvStart, resource), 13)
	}
	return string(b)
}

func plainID(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// TupleIDToResource finds the resource that a gateway made a tuple id from; ok is false for ids of another kind.
func TupleIDToResource(id string) (resource string, ok bool) {
	if r, ok := strings.CutPrefix(id, plainTuple); ok {
		return r, true
	}
	r, ok := strings.CutPrefix(id, escapedTuple)
	if !ok {
		return "", false
	}
	b := make([]byte, 0, len(r))
	for i := 0; i < len(r); i++ {
		if r[i] != '_' {
			b = append(b, r[i])
			continue
		}
		if i+2 >= len(r) || unhex(r[i+1]) < 0 || unhex(r[i+2]) < 0 {
			return "", false
		}
		b = append(b, byte(unhex(r[i+1])<<4|unhex(r[i+2])))
		i += 2
	}
	return string(b), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// ofXMPP reports whether a tuple id was made from an XMPP resource, as RFC 8048 recommends to make it.
func ofXMPP(id string) bool {
	return strings.HasPrefix(id, plainTuple) || strings.HasPrefix(id, escapedTuple) || strings.HasPrefix(id, hashedTuple)
}

// tupleContact reads the contact of a tuple, which is a URI but comes as a name-addr too.
func tupleContact(s string) (sip.URI, bool) {
	if s == "" {
		return sip.URI{}, false
	}
	u, err := sip.ParseURI(s)
	if err != nil {
		n, err := sip.ParseNameAddr(s)
		if err != nil {
			return sip.URI{}, false
		}
		u = n.URI
	}
	return u, true
}

// isAddressOfRecord reports whether a contact only repeats who the presentity is.
func isAddressOfRecord(u sip.URI, entity string) bool {
	e, err := sip.ParseURI(entity)
	if err != nil || e.Host == "" {
		if e, err = sip.ParseURI("sip:" + entity); err != nil { // OpenSIPS leaves the scheme out
			return false
		}
	}
	u.Scheme, e.Scheme = "sip", "sip" // pres:, im: and sips: name the same user
	return u.Key() == e.Key()
}

// isDeviceAddress reports whether a URI names a machine rather than a user: it has an IP address or a port.
func isDeviceAddress(u sip.URI) bool {
	if u.Port != 0 {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	return err == nil
}

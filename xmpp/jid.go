package xmpp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// ErrJIDMalformed is wrapped by every error about an address that RFC 7622 does not allow.
var ErrJIDMalformed = errors.New("xmpp: malformed JID")

// maxPartBytes is the greatest length of each part in UTF-8, after preparation (RFC 7622 §3.2, §3.3, §3.4).
const maxPartBytes = 1023

// JID is an address of RFC 7622 in prepared form: the localpart went through UsernameCaseMapped, the
// domainpart through IDNA (U-labels), the resourcepart through OpaqueString. Two JIDs are the same address
// if and only if they are ==. The zero value is "no address".
type JID struct{ local, domain, resource string }

// ParseJID reads [ localpart "@" ] domainpart [ "/" resourcepart ]. The first "/" starts the resource and
// the first "@" before it ends the localpart (RFC 7622 §3.2). An empty string is an error; the error wraps
// ErrJIDMalformed.
func ParseJID(s string) (JID, error) {
	rest, resource, hasResource := strings.Cut(s, "/")
	local, domain, hasLocal := strings.Cut(rest, "@")
	if !hasLocal {
		local, domain = "", rest
	}
	if hasResource && resource == "" {
		return JID{}, fmt.Errorf("%w: empty resource in %.80q", ErrJIDMalformed, s)
	}
	if hasLocal && local == "" {
		return JID{}, fmt.Errorf("%w: empty localpart in %.80q", ErrJIDMalformed, s)
	}
	return NewJID(local, domain, resource)
}

// NewJID prepares and joins the parts. Empty local and resource mean that the address has none; the domain
// must not be empty. The localpart is taken as it stands: escape foreign text with EscapeLocal first.
func NewJID(local, domain, resource string) (JID, error) {
	var j JID
	var err error
	if j.domain, err = prepareDomain(domain); err != nil {
		return JID{}, err
	}
	if local != "" {
		if j.local, err = prepareLocal(local); err != nil {
			return JID{}, err
		}
	}
	if resource != "" {
		if j.resource, err = prepareResource(resource); err != nil {
			return JID{}, err
		}
	}
	return j, nil
}

// MustJID is ParseJID for tests and constants; it panics on a malformed address.
func MustJID(s string) JID {
	j, err := ParseJID(s)
	if err != nil {
		panic(err)
	}
	return j
}

// Local returns the localpart as it is on the wire, XEP-0106 escapes included.
func (j JID) Local() string { return j.local }

// Domain returns the domainpart with U-labels.
func (j JID) Domain() string { return j.domain }

// Resource returns the resourcepart.
func (j JID) Resource() string { return j.resource }

// Clone returns an equal address with memory of its own: one that was read from a stanza
// keeps the stanza's.
func (j JID) Clone() JID {
	return JID{local: strings.Clone(j.local), domain: strings.Clone(j.domain), resource: strings.Clone(j.resource)}
}

// Bare returns the address without its resource.
func (j JID) Bare() JID { return JID{local: j.local, domain: j.domain} }

// IsBare tells whether there is no resource.
func (j JID) IsBare() bool { return j.resource == "" }

// IsZero tells whether j is no address at all.
func (j JID) IsZero() bool { return j == JID{} }

// WithResource returns the address with another resource; an empty one gives the bare JID.
func (j JID) WithResource(r string) (JID, error) {
	if r == "" {
		return j.Bare(), nil
	}
	r, err := prepareResource(r)
	if err != nil {
		return JID{}, err
	}
	j.resource = r
	return j, nil
}

// String returns the address in the form of the wire; the zero JID gives "".
func (j JID) String() string {
	switch {
	case j.local == "" && j.resource == "":
		return j.domain
	case j.resource == "":
		return j.local + "@" + j.domain
	case j.local == "":
		return j.domain + "/" + j.resource
	}
	return j.local + "@" + j.domain + "/" + j.resource
}

// MarshalText implements encoding.TextMarshaler.
func (j JID) MarshalText() ([]byte, error) { return []byte(j.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; an empty text gives the zero JID.
func (j *JID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*j = JID{}
		return nil
	}
	v, err := ParseJID(string(text))
	if err == nil {
		*j = v
	}
	return err
}

// prepareLocal applies UsernameCaseMapped and the extra exclusions of RFC 7622 §3.3.1.
func prepareLocal(s string) (string, error) {
	ascii, upper, excluded := true, false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			ascii = false
		case c <= ' ' || c == 0x7f || excludedInLocal(c):
			excluded = true
		case 'A' <= c && c <= 'Z':
			upper = true
		}
	}
	if excluded {
		return "", fmt.Errorf("%w: character not allowed in localpart %.80q", ErrJIDMalformed, s)
	}
	if !ascii {
		var err error
		if s, err = enforce(precis.UsernameCaseMapped, s); err != nil {
			return "", fmt.Errorf("%w: localpart %.80q: %w", ErrJIDMalformed, s, err)
		}
		// Width mapping turns a full-width "＠" into "@": the exclusions hold for the result.
		for i := 0; i < len(s); i++ {
			if s[i] <= ' ' || excludedInLocal(s[i]) {
				return "", fmt.Errorf("%w: character not allowed in localpart %.80q", ErrJIDMalformed, s)
			}
		}
	} else if upper {
		s = strings.ToLower(s)
	}
	return s, checkLength(s)
}

// excludedInLocal holds the characters of RFC 7622 §3.3.1 that PRECIS alone would allow.
func excludedInLocal(c byte) bool {
	switch c {
	case '"', '&', '\'', '/', ':', '<', '>', '@':
		return true
	}
	return false
}

// prepareResource applies OpaqueString (RFC 7622 §3.4.1).
func prepareResource(s string) (string, error) {
	ascii := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			ascii = false
		case c < ' ' || c == 0x7f:
			return "", fmt.Errorf("%w: control character in resource %.80q", ErrJIDMalformed, s)
		}
	}
	if !ascii {
		var err error
		if s, err = enforce(precis.OpaqueString, s); err != nil {
			return "", fmt.Errorf("%w: resource %.80q: %w", ErrJIDMalformed, s, err)
		}
	}
	return s, checkLength(s)
}

var (
	errUnstable = errors.New("preparation does not come to an end")
	errNotUTF8  = errors.New("not UTF-8") // precis would make it U+FFFD
)

// enforce applies a profile until the result is stable, at most four times: a few sequences change again
// when they are prepared a second time, and == must not depend on how often that was done (RFC 8264 §7).
func enforce(p *precis.Profile, s string) (string, error) {
	if !utf8.ValidString(s) {
		return s, errNotUTF8
	}
	for range 4 {
		out, err := p.String(s)
		if err != nil {
			return s, err
		}
		if out == s {
			return s, nil
		}
		s = out
	}
	return s, errUnstable
}

func checkLength(part string) error {
	if part == "" || len(part) > maxPartBytes {
		return fmt.Errorf("%w: part of %d bytes, 1 to %d allowed", ErrJIDMalformed, len(part), maxPartBytes)
	}
	return nil
}

// domainProfile maps as clients do when they look a name up (RFC 5895, UTS 46), without the old
// transitional rules: "ß" stays "ß".
var domainProfile = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.CheckHyphens(false),
	idna.VerifyDNSLength(true),
)

// prepareDomain returns the domainpart with lower-case U-labels (RFC 7622 §3.2).
func prepareDomain(s string) (string, error) {
	// One final dot is dropped before any other step (RFC 7622 §3.2).
	name := strings.TrimSuffix(s, ".")
	if name == "" || len(name) > maxPartBytes {
		return "", fmt.Errorf("%w: domain of %d bytes, 1 to %d allowed", ErrJIDMalformed, len(s), maxPartBytes)
	}
	if name[0] == '[' {
		return prepareIPv6(name)
	}
	if lower, ok := asciiDomain(name); ok {
		return lower, nil
	}
	// ToASCII checks and measures the name, ToUnicode gives the form that is compared. Both come from the
	// same mapping, but a mapping may bring forth characters of ours ("℀" becomes "a/c"), so the A-labels
	// have to pass the plain check too.
	a, err := domainProfile.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("%w: domain %.80q: %w", ErrJIDMalformed, s, err)
	}
	if !plainLabels(a) {
		return "", fmt.Errorf("%w: domain %.80q", ErrJIDMalformed, s)
	}
	u, err := domainProfile.ToUnicode(a)
	if err != nil {
		return "", fmt.Errorf("%w: domain %.80q: %w", ErrJIDMalformed, s, err)
	}
	if again, err := domainProfile.ToASCII(u); err != nil || again != a {
		return "", fmt.Errorf("%w: domain %.80q: %w", ErrJIDMalformed, s, errUnstable)
	}
	return u, checkLength(u)
}

// asciiDomain is the fast path: a name of plain labels without A-labels is its own prepared form but for
// upper case. It reports false for anything that has to go the long way, valid or not.
func asciiDomain(name string) (string, bool) {
	upper := false
	for i := 0; i < len(name); i++ {
		if 'A' <= name[i] && name[i] <= 'Z' {
			upper = true
		}
	}
	if upper {
		name = strings.ToLower(name)
	}
	if !plainLabels(name) || strings.HasPrefix(name, "xn--") || strings.Contains(name, ".xn--") {
		return "", false
	}
	return name, true
}

// plainLabels tells whether the name consists of labels of 1 to 63 letters, digits, hyphens and underscores
// that neither start nor end with a hyphen, at most 253 bytes. The underscore is no LDH character, but names
// given by container networks have it and IDNA never makes one.
func plainLabels(name string) bool {
	if len(name) > 253 {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			if n := i - start; n < 1 || n > 63 || name[start] == '-' || name[i-1] == '-' {
				return false
			}
			start = i + 1
			continue
		}
		c := name[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// prepareIPv6 reads an address literal in brackets; its canonical text (RFC 5952) is what is compared.
func prepareIPv6(s string) (string, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	addr, err := netip.ParseAddr(inner)
	if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", fmt.Errorf("%w: address literal %.80q", ErrJIDMalformed, s)
	}
	return "[" + addr.String() + "]", nil
}

// append writes the address as the value of an attribute in single quotes.
func (j JID) append(dst []byte) []byte {
	if j.local != "" {
		dst = appendAttr(dst, j.local)
		dst = append(dst, '@')
	}
	dst = append(dst, j.domain...)
	if j.resource != "" {
		dst = append(dst, '/')
		dst = appendAttr(dst, j.resource)
	}
	return dst
}

// Package identity knows who is who on the two networks: the identity table, the rules
// of RFC 7247 §6 for everybody who is not in it, and telephone numbers.
//
// Decisions:
//   - An identity with a JID and SIP addresses is one person. SIP requests to one of its
//     addresses or numbers go to the JID, and what the JID sends appears on SIP as its
//     first address (towards a number: as its first number). XMPP stanzas to the component
//     form of an address go to the phones of that address. An identity without a JID is a
//     phone only.
//   - SIP callers always appear inside the component's domain, because a component may
//     speak for no other: as user@component when they are of the home domain, as
//     number@component, else as user\40host@component (XEP-0106).
//   - Nobody else has an address that someone has: JIDs, SIP addresses (whose users are
//     compared without case, because a localpart cannot keep the difference), numbers and
//     ids are unique over all identities, in memory and in the database.
//   - No password is kept, only HA1 of RFC 7616 §3.4.2 by MD5 and SHA-256 for each name
//     and realm that a phone may log in with.
//   - Look-ups are made for every message, so the table is copied on write in 256 parts:
//     readers take no lock, wait for nothing and allocate nothing, and an edit copies only
//     the parts that it touches.
//   - Changes by this process are seen at once, those of another (the command line, a
//     node) within Config.Poll, by the version counter in the database.
package identity

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	// ErrUnknown tells that there is no identity with that id.
	ErrUnknown = errors.New("identity: no such identity")
	// ErrExists tells that an id is given already.
	ErrExists = errors.New("identity: id is taken")
	// ErrTaken tells that an address has an owner; see *TakenError.
	ErrTaken = errors.New("identity: address is taken")
	// ErrInvalid tells that an identity cannot be as it is; the error says why.
	ErrInvalid = errors.New("identity: invalid")
)

// TakenError names an address that was wanted and the identity that has it.
type TakenError struct{ Address, Owner string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("identity: %s belongs to %q", e.Address, e.Owner)
}

// Unwrap makes errors.Is(err, ErrTaken) true.
func (e *TakenError) Unwrap() error { return ErrTaken }

// Identity is one person or one phone. Those that a Table returns are shared by all
// readers and must not be changed; change a copy and give it to Update.
type Identity struct {
	ID          string    // its name for the operator; also a digest user name
	JID         xmpp.JID  // bare; zero: a phone only
	AORs        []sip.URI // addresses of record; the first is how it appears on SIP
	Numbers     []string  // "+" and digits (E.164); the first is how it appears to numbers
	Name        string    // display name
	Trunk       string    // name of the trunk that it prefers for numbers
	Policy      Policy
	Credentials []Credential
}

// Policy is what an identity may do.
type Policy struct {
	CallOut      bool // may send and call from XMPP to SIP
	CallIn       bool // may be reached
	ShowCallerID bool // else it appears as anonymous on the other side
}

// AllowAll is the policy of those for whom nothing was said.
var AllowAll = Policy{CallOut: true, CallIn: true, ShowCallerID: true}

// maxName bounds display names and trunk names, in bytes.
const maxName = 256

// aorKey is an AOR as it is compared: the user with the fewest escapes and without case,
// sip and sips alike, without the port, which XMPP has no room for.
type aorKey struct{ user, host string }

// keyOf makes no garbage for a URI that is written as most are.
func keyOf(u sip.URI) aorKey {
	a := u.AOR()
	return aorKey{strings.ToLower(a.User), a.Host}
}

func (k aorKey) String() string {
	return sip.URI{Scheme: "sip", User: k.user, Host: k.host}.String()
}

// AOR returns the address of the identity that u denotes, in the identity's spelling.
func (id *Identity) AOR(u sip.URI) (sip.URI, bool) {
	k := keyOf(u)
	for _, a := range id.AORs {
		if keyOf(a) == k {
			return a, true
		}
	}
	return sip.URI{}, false
}

// Owns tells whether u denotes an address or a number of the identity.
func (id *Identity) Owns(u sip.URI) bool {
	if _, ok := id.AOR(u); ok {
		return true
	}
	n, err := mapping.NumberFromURI(u)
	if err != nil || !n.IsGlobal() {
		return false
	}
	for _, own := range id.Numbers {
		if own == n.Digits {
			return true
		}
	}
	return false
}

// HasPassword tells whether phones can log in.
func (id *Identity) HasPassword() bool { return len(id.Credentials) > 0 }

// addresses are the keys that nobody else may have.
func (id *Identity) addresses() []string {
	list := make([]string, 0, 1+len(id.AORs)+len(id.Numbers))
	if !id.JID.IsZero() {
		list = append(list, "xmpp:"+id.JID.String())
	}
	for _, a := range id.AORs {
		list = append(list, keyOf(a).String())
	}
	for _, n := range id.Numbers {
		list = append(list, "tel:"+n)
	}
	return list
}

// normalise brings an identity into the form in which it is kept, or tells all that is
// wrong with it. component is the gateway's own XMPP domain, "" when it is not known.
func (id *Identity) normalise(numbers Numbers, component string) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if err := checkID(id.ID); err != nil {
		errs = append(errs, err)
	}
	if id.Name = strings.TrimSpace(id.Name); !isLine(id.Name) {
		bad("name %.40q is no line of at most %d bytes", id.Name, maxName)
	}
	if id.Trunk = strings.TrimSpace(id.Trunk); !isLine(id.Trunk) {
		bad("trunk %.40q is no line of at most %d bytes", id.Trunk, maxName)
	}
	if id.JID = id.JID.Bare(); !id.JID.IsZero() {
		switch {
		case id.JID.Local() == "":
			bad("JID %s has no user", id.JID)
		case component != "" && id.JID.Domain() == component:
			bad("JID %s is inside the gateway's own domain", id.JID)
		}
	}
	seen := make(map[aorKey]bool, len(id.AORs))
	aors := make([]sip.URI, 0, len(id.AORs))
	for _, u := range id.AORs {
		if !u.IsSIP() || u.User == "" || u.Host == "" {
			bad("%s is no address user@host", u)
			continue
		}
		user, err := sip.UnescapeUser(u.User)
		if err != nil {
			bad("%s: %w", u, err)
			continue
		}
		if _, err := mapping.URIToJID(u); err != nil {
			bad("%s cannot be shown to XMPP: %w", u, err)
			continue
		}
		// XMPP has no port, and a phone that registers gives none.
		a := sip.URI{Scheme: "sip", User: sip.EscapeUser(user), Host: strings.TrimSuffix(u.Host, ".")}
		if k := keyOf(a); !seen[k] {
			seen[k] = true
			aors = append(aors, a)
		}
	}
	id.AORs = aors
	list := make([]string, 0, len(id.Numbers))
	for _, text := range id.Numbers {
		n, err := numbers.E164(text)
		if err != nil {
			bad("number %.40q: %w", text, err)
			continue
		}
		if !contains(list, n) {
			list = append(list, n)
		}
	}
	id.Numbers = list
	if len(errs) == 0 && id.JID.IsZero() && len(id.AORs) == 0 && len(id.Numbers) == 0 {
		bad("has neither a JID nor a SIP address nor a number")
	}
	return errors.Join(errs...)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// checkID: an id is a digest user name too, so it holds nothing that has a meaning there
// or in a URL path.
func checkID(id string) error {
	if id == "" || len(id) > 128 {
		return fmt.Errorf("%w: id of %d bytes, 1 to 128 allowed", ErrInvalid, len(id))
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`":,;<>\/|%?#`, c) >= 0 {
			return fmt.Errorf("%w: id %.40q: character %q", ErrInvalid, id, c)
		}
	}
	return nil
}

func isLine(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

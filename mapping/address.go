package mapping

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Errors about addresses. AddressStatus and AddressError say what to answer.
var (
	// ErrAddressMalformed: the source is no address of its own protocol, or the other protocol has
	// no such address.
	ErrAddressMalformed = errors.New("mapping: address has no counterpart")
	// ErrAddressSpace: the user part starts or ends with a space, which no localpart can carry
	// (XEP-0106 §3.2).
	ErrAddressSpace = errors.New("mapping: user part starts or ends with a space")
	// ErrAddressAmbiguous: the localpart has an escape that XEP-0106 would not have made there, so
	// that another JID has the same SIP address. Mapping it would let one user speak as another.
	ErrAddressAmbiguous = errors.New("mapping: localpart is not in canonical escaped form")
)

// anonymousUser is the localpart of the one JID that stands for every anonymous caller.
const anonymousUser = "anonymous"

// AnonymousURI is whom a SIP message comes from that does not say (RFC 3323 §4.1.1.3).
func AnonymousURI() sip.URI {
	return sip.URI{Scheme: "sip", User: anonymousUser, Host: "anonymous.invalid"}
}

// IsAnonymous reports whether a URI hides who is meant.
func IsAnonymous(u sip.URI) bool {
	return u.Host == "anonymous.invalid" || strings.HasSuffix(u.Host, ".anonymous.invalid")
}

// URIToJID maps a sip, sips, im or pres URI to a JID of the same domain (RFC 7247 §6.4): the user part is
// decoded and escaped by the complete table of XEP-0106, the port, password, headers and parameters are
// dropped, and a gr parameter with a value becomes the resource. A gr without a value is a temporary GRUU
// and gives no resource; neither does one that no resource can hold.
func URIToJID(u sip.URI) (xmpp.JID, error) {
	switch u.Scheme {
	case "sip", "sips", "im", "pres":
	default:
		return xmpp.JID{}, fmt.Errorf("%w: scheme %q names no domain", ErrAddressMalformed, u.Scheme)
	}
	local, err := localpart(u)
	if err != nil {
		return xmpp.JID{}, err
	}
	j, err := newJID(local, u.Host)
	if err != nil {
		return xmpp.JID{}, err
	}
	if gr := u.Params.Value("gr"); gr != "" {
		if full, err := j.WithResource(gr); err == nil {
			return full, nil
		}
	}
	return j, nil
}

// URIToComponent maps any SIP or tel URI to a JID inside the gateway's own domain, which is the only one a
// component may speak for: otto@voice.example becomes otto\40voice.example@component, a telephone number
// becomes its number form (see Number.Localpart), and every anonymous caller is anonymous@component. The
// resource comes from gr as in URIToJID.
func URIToComponent(u sip.URI, component string) (xmpp.JID, error) {
	if IsAnonymous(u) {
		return newJID(anonymousUser, component)
	}
	if u.Scheme == "tel" {
		n, err := NumberFromURI(u)
		if err != nil {
			return xmpp.JID{}, err
		}
		return newJID(n.Localpart(), component)
	}
	foreign, err := URIToJID(u)
	if err != nil {
		return xmpp.JID{}, err
	}
	host, err := asciiHost(foreign.Domain())
	if err != nil {
		return xmpp.JID{}, err
	}
	text := host
	if u.User != "" {
		user, err := sip.UnescapeUser(u.User)
		if err != nil {
			return xmpp.JID{}, fmt.Errorf("%w: %w", ErrAddressMalformed, err)
		}
		text = user + "@" + host
	}
	local, err := escapeLocal(text)
	if err != nil {
		return xmpp.JID{}, err
	}
	j, err := newJID(local, component)
	if err != nil || foreign.IsBare() {
		return j, err
	}
	return j.WithResource(foreign.Resource())
}

// ComponentToURI is the inverse of URIToComponent for localparts that hold a whole address: the part behind
// the last "@" of the unescaped localpart is the host, with an optional port. ok is false when there is none,
// so that the localpart is a user or a number of the gateway's own domain. The resource becomes gr.
func ComponentToURI(j xmpp.JID) (u sip.URI, ok bool, err error) {
	text := xmpp.UnescapeLocal(j.Local())
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return sip.URI{}, false, nil
	}
	if err := checkCanonical(j.Local(), text); err != nil {
		return sip.URI{}, true, err
	}
	if at == 0 {
		return sip.URI{}, true, fmt.Errorf("%w: empty user", ErrAddressMalformed)
	}
	// The host goes through the parser: it is text that somebody typed.
	u, err = sip.ParseURI("sip:" + sip.EscapeUser(text[:at]) + "@" + text[at+1:])
	if err != nil || len(u.Params) > 0 || len(u.Headers) > 0 {
		return sip.URI{}, true, fmt.Errorf("%w: no host in %.80q", ErrAddressMalformed, j.Local())
	}
	setGR(&u, j)
	return u, true, nil
}

// JIDToURI maps a JID to a sip URI of the same domain (RFC 7247 §6.5): the localpart is unescaped and
// percent-encoded, the domain is written in A-labels, and the resource becomes the gr parameter. A localpart
// whose escapes are not those that XEP-0106 makes is refused.
func JIDToURI(j xmpp.JID) (sip.URI, error) {
	if j.IsZero() {
		return sip.URI{}, fmt.Errorf("%w: empty JID", ErrAddressMalformed)
	}
	host, err := asciiHost(j.Domain())
	if err != nil {
		return sip.URI{}, err
	}
	u := sip.URI{Scheme: "sip", Host: host}
	if local := j.Local(); local != "" {
		text := xmpp.UnescapeLocal(local)
		if err := checkCanonical(local, text); err != nil {
			return sip.URI{}, err
		}
		u.User = sip.EscapeUser(text)
	}
	setGR(&u, j)
	return u, nil
}

// setGR writes the resource as the GRUU parameter (RFC 7247 §6.3, RFC 5627).
func setGR(u *sip.URI, j xmpp.JID) {
	if r := j.Resource(); r != "" {
		u.Params = sip.Params{{Name: "gr", Value: r}}
	}
}

// localpart decodes the user part and escapes it for a JID.
func localpart(u sip.URI) (string, error) {
	if u.User == "" {
		return "", nil
	}
	user, err := sip.UnescapeUser(u.User)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAddressMalformed, err)
	}
	return escapeLocal(user)
}

func escapeLocal(text string) (string, error) {
	local, err := xmpp.EscapeLocal(text)
	if errors.Is(err, xmpp.ErrEdgeSpace) {
		return "", fmt.Errorf("%w: %.80q", ErrAddressSpace, text)
	}
	return local, err
}

func newJID(local, domain string) (xmpp.JID, error) {
	j, err := xmpp.NewJID(local, domain, "")
	if err != nil {
		return xmpp.JID{}, fmt.Errorf("%w: %w", ErrAddressMalformed, err)
	}
	return j, nil
}

func checkCanonical(local, text string) error {
	if local == text && strings.IndexByte(local, '\\') < 0 {
		return nil
	}
	if again, err := xmpp.EscapeLocal(text); err != nil || again != local {
		return fmt.Errorf("%w: %.80q", ErrAddressAmbiguous, local)
	}
	return nil
}

// asciiHost writes a domainpart, which has U-labels, as a SIP host.
func asciiHost(domain string) (string, error) {
	for i := 0; i < len(domain); i++ {
		if domain[i] >= 0x80 {
			host, err := idna.Punycode.ToASCII(domain)
			if err != nil {
				return "", fmt.Errorf("%w: domain %.80q: %w", ErrAddressMalformed, domain, err)
			}
			return host, nil
		}
	}
	return domain, nil
}

// AddressStatus is what a SIP request gets whose address has no counterpart.
func AddressStatus(err error) sip.Status {
	if errors.Is(err, ErrAddressSpace) {
		return sip.Status{Code: 404}
	}
	return sip.Status{Code: 400, Reason: "Bad Request - Address"}
}

// AddressError is what a stanza gets whose address has no counterpart.
func AddressError(err error) xmpp.StanzaError {
	e := xmpp.StanzaError{Condition: xmpp.ConditionJIDMalformed, Lang: "en", Text: "this address cannot be written in SIP"}
	if errors.Is(err, ErrAddressSpace) {
		e.Condition = xmpp.ConditionItemNotFound
	}
	e.Type = e.Condition.DefaultType()
	return e
}

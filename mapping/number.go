package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
)

// Errors about telephone numbers; they wrap ErrAddressMalformed.
var (
	// ErrNumberMalformed: the text is no telephone number of RFC 3966.
	ErrNumberMalformed = fmt.Errorf("%w: not a telephone number", ErrAddressMalformed)
	// ErrNumberParameter: the number has a parameter that must be understood and is not (RFC 3966 §5.4).
	ErrNumberParameter = fmt.Errorf("%w: mandatory parameter of a telephone number", ErrAddressMalformed)
)

// Number is a telephone number in the text forms of RFC 3966. Dial plans and numbering plans are not its
// business: it never makes a global number from a local one, not even with a context (RFC 3966 §5.1.5).
type Number struct {
	Digits  string     // "+" and digits when global, else digits, "*", "#" and a–d; no separators
	Ext     string     // extension, digits
	Isub    string     // ISDN subaddress
	Context string     // phone-context of a local number: a domain or a "+" prefix
	Params  sip.Params // others, lower-case names, sorted
}

// IsGlobal reports whether the number is complete anywhere in the world.
func (n Number) IsGlobal() bool { return strings.HasPrefix(n.Digits, "+") }

// ParseNumber reads a number as it stands in a tel: URI behind the scheme, or as a person types it: visual
// separators, spaces and slashes are dropped, a "tel:" in front too.
func ParseNumber(text string) (Number, error) {
	text = strings.TrimSpace(text)
	if len(text) > 4 && strings.EqualFold(text[:4], "tel:") {
		text = text[4:]
	}
	digits, rest, _ := strings.Cut(text, ";")
	var n Number
	var err error
	if n.Digits, err = cleanDigits(digits); err != nil {
		return Number{}, err
	}
	var params sip.Params
	for p := range strings.SplitSeq(rest, ";") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		params = append(params, sip.Param{Name: name, Value: value})
	}
	return n, n.setParams(params)
}

// NumberFromURI reads the number of a tel: URI, or of a sip: URI with user=phone (RFC 3261 §19.1.6), or of one
// whose user part is a global number. For any other it fails.
func NumberFromURI(u sip.URI) (Number, error) {
	switch u.Scheme {
	case "tel":
		var n Number
		user, err := sip.UnescapeUser(u.User)
		if err == nil {
			n.Digits, err = cleanDigits(user)
		}
		if err != nil {
			return Number{}, err
		}
		return n, n.setParams(u.Params)
	case "sip", "sips":
		if !strings.EqualFold(u.Params.Value("user"), "phone") && !strings.HasPrefix(u.User, "+") {
			break
		}
		user, err := sip.UnescapeUser(u.User)
		if err != nil {
			return Number{}, fmt.Errorf("%w: %w", ErrNumberMalformed, err)
		}
		return ParseNumber(user)
	}
	return Number{}, fmt.Errorf("%w: %s URI without a number", ErrNumberMalformed, u.Scheme)
}

// cleanDigits drops visual separators and what people type between digits.
func cleanDigits(s string) (string, error) {
	plain := s != ""
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c == '+' && i == 0) {
			plain = false
			break
		}
	}
	if plain && s != "+" {
		return s, nil
	}
	var b strings.Builder
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
			b.WriteRune(r)
		case r == '*' || r == '#':
			digits++
			b.WriteRune(r)
		case r >= 'a' && r <= 'd' || r >= 'A' && r <= 'D':
			b.WriteRune(r | 0x20)
		case r == '+' && b.Len() == 0:
			b.WriteRune(r)
		case r == '-', r == '.', r == '(', r == ')', r == '/', r == ' ', r == '\u00a0', r == '\u2010', r == '\u2011', r == '\u2013':
		default:
			return "", fmt.Errorf("%w: character %q", ErrNumberMalformed, r)
		}
	}
	out := b.String()
	if digits == 0 {
		return "", fmt.Errorf("%w: no digits", ErrNumberMalformed)
	}
	if out[0] == '+' && strings.ContainsAny(out, "*#abcd") {
		return "", fmt.Errorf("%w: global number with dial characters", ErrNumberMalformed)
	}
	return out, nil
}

func (n *Number) setParams(params sip.Params) error {
	for _, p := range params {
		name := strings.ToLower(p.Name)
		value := strings.ToLower(p.Value)
		switch {
		case name == "ext":
			digits, err := cleanDigits(value)
			if err != nil {
				return err
			}
			n.Ext = digits
		case name == "isub":
			n.Isub = value
		case name == "phone-context":
			n.Context = value
		case strings.HasPrefix(name, "m-"):
			return fmt.Errorf("%w: %q", ErrNumberParameter, p.Name)
		case !isParamName(name):
			return fmt.Errorf("%w: parameter %q", ErrNumberMalformed, p.Name)
		default:
			n.Params.Set(name, value)
		}
	}
	if n.Ext != "" && n.Isub != "" {
		return fmt.Errorf("%w: both ext and isub", ErrNumberMalformed)
	}
	if n.IsGlobal() {
		n.Context = "" // means nothing there
	}
	slices.SortFunc(n.Params, func(a, b sip.Param) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// isParamName checks pname of RFC 3966 §3.
func isParamName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}

// params are all parameters in the order of RFC 3966 §3: isub or ext, then phone-context, then the others.
func (n Number) params() sip.Params {
	var p sip.Params
	for _, x := range [...]sip.Param{{Name: "isub", Value: n.Isub}, {Name: "ext", Value: n.Ext}, {Name: "phone-context", Value: n.Context}} {
		if x.Value != "" {
			p = append(p, x)
		}
	}
	return append(p, n.Params...)
}

// TelURI is the tel: URI.
func (n Number) TelURI() sip.URI {
	return sip.URI{Scheme: "tel", User: n.Digits, Params: n.params()}
}

// SIPURI is the sip: URI at a host (RFC 3261 §19.1.6): the whole subscriber part with its parameters is the
// user, in canonical order, so that equal numbers give equal URIs. The parameter user=phone tells what it is.
func (n Number) SIPURI(host string) sip.URI {
	return sip.URI{Scheme: "sip", User: sip.EscapeUser(n.subscriber(n.params())), Host: host, Params: sip.Params{{Name: "user", Value: "phone"}}}
}

func (n Number) subscriber(params sip.Params) string {
	if len(params) == 0 {
		return n.Digits
	}
	var b strings.Builder
	b.WriteString(n.Digits)
	for _, p := range params {
		b.WriteByte(';')
		b.WriteString(p.Name)
		if p.Value != "" {
			b.WriteByte('=')
			b.WriteString(p.Value)
		}
	}
	return b.String()
}

// Localpart is the localpart that stands for the number inside the gateway's domain: "+4930123456",
// "+4930123456;ext=12", "112;phone-context=de.harbor.example". Other parameters describe a call rather than
// a subscriber and are left out.
func (n Number) Localpart() string {
	return n.subscriber(Number{Ext: n.Ext, Context: n.Context}.params())
}

// NumberFromLocalpart is the inverse of Localpart. ok is false for everything that is no number: only a
// global number, or a local one with its context, can be told from a user name.
func NumberFromLocalpart(local string) (n Number, ok bool) {
	if local == "" || local[0] != '+' && !strings.Contains(local, ";phone-context=") {
		return Number{}, false
	}
	n, err := ParseNumber(local)
	return n, err == nil && len(n.Params) == 0
}

// Equal compares by RFC 3966 §4: both global or both local, the same digits, the same parameters.
func (n Number) Equal(m Number) bool {
	return n.Digits == m.Digits && n.Ext == m.Ext && n.Isub == m.Isub && n.Context == m.Context && slices.Equal(n.Params, m.Params)
}

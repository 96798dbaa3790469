package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	siplib "github.com/emiago/sipgo/sip"
)

// ErrURI tells that a URI cannot be read; the error says why.
var ErrURI = errors.New("sip: malformed URI")

// URI is a sip:, sips:, tel:, im: or pres: URI. Of any other scheme it holds the
// scheme, and the rest as it stands in User.
type URI struct {
	Scheme   string // lower case
	User     string // as on the wire, percent-encoded; of tel: the number
	Password string // as on the wire
	Host     string // lower case; an IPv6 address keeps its brackets
	Port     int    // 0 when absent
	Params   Params // plain text
	Headers  Params // plain text; the part behind "?"
}

// IsZero tells whether there is no URI at all.
func (u URI) IsZero() bool { return u.Scheme == "" && u.Host == "" && u.User == "" }

// IsSIP tells whether the scheme is sip or sips.
func (u URI) IsSIP() bool { return u.Scheme == "sip" || u.Scheme == "sips" }

// hasHost tells the schemes that are parsed as user@host.
func hasHost(scheme string) bool {
	return scheme == "sip" || scheme == "sips" || scheme == "im" || scheme == "pres"
}

// ParseURI reads a URI. It takes no angle brackets and no spaces around it.
func ParseURI(s string) (URI, error) {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 {
		return URI{}, fmt.Errorf("%w: no scheme in %q", ErrURI, clip(s))
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' {
			return URI{}, fmt.Errorf("%w: illegal character in %q", ErrURI, clip(s))
		}
	}
	u := URI{Scheme: strings.ToLower(s[:colon])}
	for i := range len(u.Scheme) {
		if c := u.Scheme[i]; !('a' <= c && c <= 'z') && (i == 0 || !('0' <= c && c <= '9') && !strings.ContainsRune("+-.", rune(c))) {
			return URI{}, fmt.Errorf("%w: illegal scheme in %q", ErrURI, clip(s))
		}
	}
	rest := s[colon+1:]
	var err error
	switch {
	case hasHost(u.Scheme):
		err = u.parseHostForm(rest)
	case u.Scheme == "tel":
		err = u.parseTel(rest)
	case rest == "":
		err = fmt.Errorf("%w: nothing behind the scheme", ErrURI)
	default:
		u.User = rest
	}
	if err != nil {
		return URI{}, fmt.Errorf("%w in %q", err, clip(s))
	}
	return u, nil
}

// parseHostForm reads userinfo@host:port;params?headers.
func (u *URI) parseHostForm(s string) (err error) {
	// A user part may hold ";" and "?", a host part may not hold "@", and a raw
	// "@" is legal nowhere else: the last one ends the user (RFC 3261 §25.1).
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		u.User, u.Password, _ = strings.Cut(s[:at], ":")
		if u.User == "" {
			return fmt.Errorf("%w: empty user", ErrURI)
		}
		if !all(u.User, wireUser) || !all(u.Password, wireUser) {
			return fmt.Errorf("%w: illegal character in the user part", ErrURI)
		}
		if _, err := unescape(u.User); err != nil {
			return fmt.Errorf("%w: %w", ErrURI, err)
		}
		s = s[at+1:]
	}
	hostport := s
	end := strings.IndexAny(s, ";?")
	if end >= 0 {
		hostport, s = s[:end], s[end:]
	} else {
		s = ""
	}
	if u.Host, u.Port, err = parseHostPort(hostport); err != nil {
		return err
	}
	if s != "" && s[0] == ';' {
		params, headers, _ := strings.Cut(s[1:], "?")
		if u.Params, err = parseURIParams(params, ';'); err != nil {
			return fmt.Errorf("%w: %w", ErrURI, err)
		}
		s = "?" + headers
	}
	if len(s) > 1 {
		if u.Headers, err = parseURIParams(s[1:], '&'); err != nil {
			return fmt.Errorf("%w: %w", ErrURI, err)
		}
	}
	return nil
}

// wireUser is what is taken in a user part: the legal characters, "%", and the
// ones that phones send unescaped although they may not ("#" and the like).
var wireUser = func() *charset {
	c := newCharset(mark + "&=+$,;?/%#[]^`{|}:\\")
	for i := 0x80; i < 0x100; i++ {
		c[i] = true
	}
	return c
}()

func parseHostPort(s string) (host string, port int, err error) {
	host = s
	portText, hasPort := "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, fmt.Errorf("%w: no ] behind the address", ErrURI)
		}
		host = s[:end+1]
		if a, err := netip.ParseAddr(s[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return "", 0, fmt.Errorf("%w: not an IPv6 address", ErrURI)
		}
		if rest := s[end+1:]; rest != "" {
			if rest[0] != ':' {
				return "", 0, fmt.Errorf("%w: text behind the address", ErrURI)
			}
			portText, hasPort = rest[1:], true
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, portText, hasPort = s[:i], s[i+1:], true
	}
	if !validHost(host) {
		return "", 0, fmt.Errorf("%w: no valid host", ErrURI)
	}
	if hasPort {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("%w: bad port", ErrURI)
		}
		port = int(n)
	}
	return strings.ToLower(host), port, nil
}

func validHost(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	if s[0] == '[' {
		return true // checked by the caller
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return s[0] != '.' && s[0] != '-'
}

// parseTel reads number;params (RFC 3966 §3).
func (u *URI) parseTel(s string) error {
	number, params, _ := strings.Cut(s, ";")
	digits := false
	for i := range len(number) {
		c := number[i]
		switch {
		case '0' <= c && c <= '9' || 'a' <= (c|0x20) && (c|0x20) <= 'f' || c == '*' || c == '#':
			digits = true
		case c == '+' && i == 0, c == '-', c == '.', c == '(', c == ')':
		case c == '%': // %23 for "#"
		default:
			return fmt.Errorf("%w: illegal character in the number", ErrURI)
		}
	}
	if !digits {
		return fmt.Errorf("%w: no digits", ErrURI)
	}
	u.User = number
	var err error
	if u.Params, err = parseURIParams(params, ';'); err != nil {
		return fmt.Errorf("%w: %w", ErrURI, err)
	}
	return nil
}

// String is the text form with every part escaped; a zero URI gives "".
func (u URI) String() string {
	if u.IsZero() {
		return ""
	}
	return string(u.Append(make([]byte, 0, 64)))
}

// Append writes the text form.
func (u URI) Append(dst []byte) []byte {
	scheme := u.Scheme
	if scheme == "" {
		scheme = "sip"
	}
	dst = append(dst, scheme...)
	dst = append(dst, ':')
	switch {
	case scheme == "tel":
		dst = appendWire(dst, u.User, telChars)
		return u.Params.appendURI(dst, ';', ';', paramChars)
	case !hasHost(scheme):
		return appendOpaque(dst, u.User)
	}
	if u.User != "" {
		dst = appendWire(dst, u.User, userChars)
		if u.Password != "" {
			dst = append(dst, ':')
			dst = appendWire(dst, u.Password, passwordChars)
		}
		dst = append(dst, '@')
	}
	dst = appendHost(dst, u.Host)
	if u.Port > 0 {
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, int64(u.Port), 10)
	}
	dst = u.Params.appendURI(dst, ';', ';', paramChars)
	return u.Headers.appendURI(dst, '?', '&', headerChars)
}

// appendHost writes a host without the characters that could end it early; a
// bare IPv6 address gets its brackets.
func appendHost(dst []byte, h string) []byte {
	if strings.IndexByte(h, ':') >= 0 && h[0] != '[' {
		dst = append(dst, '[')
		dst = append(dst, keep(h, hostChars)...)
		return append(dst, ']')
	}
	return append(dst, keep(h, hostChars)...)
}

// hostText is appendHost for a host that mostly needs no change.
func hostText(h string) string {
	if strings.IndexByte(h, ':') < 0 || h[0] == '[' {
		return keep(h, hostChars)
	}
	return string(appendHost(nil, h))
}

func keep(s string, set *charset) string {
	if all(s, set) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && set[r] {
			return r
		}
		return -1
	}, s)
}

func appendOpaque(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' {
			dst = appendEscaped(dst, s[i:i+1], userChars)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// AOR is the address of record (RFC 3261 §10.3): no password, no parameters, no
// headers, no default port, the user with the fewest escapes. A tel: URI loses
// its visual separators and keeps ext, isub and phone-context, which are part of
// the number (RFC 3966 §4).
func (u URI) AOR() URI {
	switch {
	case hasHost(u.Scheme) || u.Scheme == "":
		a := URI{Scheme: u.Scheme, User: canonicalEscapes(u.User, userChars), Host: strings.TrimSuffix(u.Host, "."), Port: u.Port}
		if a.Scheme == "" {
			a.Scheme = "sip"
		}
		if a.Port == 5060 && a.Scheme != "sips" || a.Port == 5061 && a.Scheme == "sips" {
			a.Port = 0
		}
		return a
	case u.Scheme == "tel":
		a := URI{Scheme: "tel", User: strings.ToLower(telDigits(u.User))}
		for _, name := range [...]string{"ext", "isub", "phone-context"} {
			if v, ok := u.Params.Get(name); ok {
				if name == "ext" {
					v = telDigits(v)
				}
				a.Params = append(a.Params, Param{name, strings.ToLower(v)})
			}
		}
		return a
	}
	return URI{Scheme: u.Scheme, User: u.User}
}

func telDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.()", r) {
			return -1
		}
		return r
	}, s)
}

// Key is the text of the AOR: the same for every spelling of one address. It is
// what maps and the database are keyed by.
func (u URI) Key() string { return u.AOR().String() }

// Equal compares by RFC 3261 §19.1.4 (sip, sips, im, pres) and RFC 3966 §5 (tel).
// The relation is not transitive.
func (u URI) Equal(v URI) bool {
	if u.Scheme != v.Scheme {
		return false
	}
	switch {
	case u.Scheme == "tel":
		return strings.EqualFold(telDigits(u.User), telDigits(v.User)) && sameParams(u.Params, v.Params, func(string) bool { return true })
	case !hasHost(u.Scheme):
		return u.User == v.User
	}
	return canonicalEscapes(u.User, userChars) == canonicalEscapes(v.User, userChars) &&
		canonicalEscapes(u.Password, passwordChars) == canonicalEscapes(v.Password, passwordChars) &&
		strings.EqualFold(u.Host, v.Host) && u.Port == v.Port &&
		sameParams(u.Params, v.Params, mustMatch) && sameHeaders(u.Headers, v.Headers)
}

// mustMatch tells the parameters that never match when only one side has them.
// transport is not in the sentence of §19.1.4 but in its examples.
func mustMatch(name string) bool {
	switch strings.ToLower(name) {
	case "user", "ttl", "method", "maddr", "transport":
		return true
	}
	return false
}

func sameParams(a, b Params, must func(string) bool) bool {
	oneWay := func(a, b Params) bool {
		for _, x := range a {
			y, ok := b.Get(x.Name)
			if !ok && must(x.Name) || ok && !strings.EqualFold(x.Value, y) {
				return false
			}
		}
		return true
	}
	return oneWay(a, b) && oneWay(b, a)
}

func sameHeaders(a, b Params) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if y, ok := b.Get(x.Name); !ok || x.Value != y {
			return false
		}
	}
	return true
}

// FromLib converts sipgo's form. What sipgo could not split stays in User.
func FromLib(l siplib.Uri) URI {
	if l.Raw() != "" || !hasHost(l.Scheme) && l.Scheme != "" {
		if u, err := ParseURI(l.Scheme + ":" + l.Raw()); err == nil {
			return u
		}
		return URI{Scheme: l.Scheme, User: l.Raw()}
	}
	u := URI{Scheme: l.Scheme, User: l.User, Password: l.Password, Host: strings.ToLower(l.Host), Port: l.Port}
	if u.Scheme == "" {
		u.Scheme = "sip"
	}
	if strings.IndexByte(u.Host, ':') >= 0 && u.Host[0] != '[' {
		u.Host = "[" + u.Host + "]"
	}
	u.Params = fromLibParams(l.UriParams, true)
	u.Headers = fromLibParams(l.Headers, true)
	return u
}

// Lib converts to sipgo's form, escaped as sipgo wants it.
func (u URI) Lib() siplib.Uri {
	var l siplib.Uri
	if !hasHost(u.Scheme) || u.Scheme == "im" || u.Scheme == "pres" {
		_ = siplib.ParseUri(u.String(), &l) // cannot fail: a scheme and text
		return l
	}
	l = siplib.Uri{
		Scheme:   u.Scheme,
		User:     wireText(u.User, userChars),
		Password: wireText(u.Password, passwordChars),
		Host:     hostText(u.Host),
		Port:     u.Port,
	}
	l.UriParams = u.Params.lib(paramChars)
	l.Headers = u.Headers.lib(headerChars)
	return l
}

func (p Params) lib(plain *charset) siplib.HeaderParams {
	if len(p) == 0 {
		return nil
	}
	l := make(siplib.HeaderParams, len(p))
	for i, x := range p {
		l[i] = siplib.HeaderKV{K: escapedText(x.Name, plain), V: escapedText(x.Value, plain)}
	}
	return l
}

func fromLibParams(l siplib.HeaderParams, uri bool) Params {
	if len(l) == 0 {
		return nil
	}
	p := make(Params, 0, len(l))
	for _, kv := range l {
		x := Param{kv.K, kv.V}
		switch {
		case uri:
			if v, err := unescape(x.Value); err == nil {
				x.Value = v
			}
			if n, err := unescape(x.Name); err == nil {
				x.Name = n
			}
		case strings.HasPrefix(x.Value, `"`):
			if v, _, err := cutQuoted(x.Value); err == nil {
				x.Value = v
			}
		case strings.ContainsAny(x.Value, " \t"): // see libHeaderParams
			x.Value = unquotePairs(x.Value)
		}
		if x.Name != "" {
			p = append(p, x)
		}
	}
	return p
}

package siptest

import "strings"

// knownHeaders are the header fields that a well-behaved peer may send to a
// phone. Anything else is reported, because a header nobody knows is how a
// smuggled line shows (Config.AllowHeaders adds to the list).
var knownHeaders = func() map[string]string {
	m := map[string]string{}
	for _, n := range strings.Fields(`Accept Accept-Contact Accept-Encoding Accept-Language
		Alert-Info Allow Allow-Events Authentication-Info Authorization Call-ID Call-Info Contact
		Content-Disposition Content-Encoding Content-ID Content-Language Content-Length Content-Type
		CSeq Date Error-Info Event Expires Flow-Timer From Geolocation History-Info Identity
		In-Reply-To Max-Forwards MIME-Version Min-Expires Min-SE Organization P-Asserted-Identity
		P-Associated-URI P-Preferred-Identity Path Priority Privacy Proxy-Authenticate
		Proxy-Authorization Proxy-Require RAck Reason Record-Route Refer-Sub Refer-To Referred-By
		Replaces Reply-To Require Retry-After Route RSeq Server Service-Route Session-Expires
		SIP-ETag SIP-If-Match Subject Subscription-State Supported Timestamp To Unsupported
		User-Agent Via Warning WWW-Authenticate`) {
		m[strings.ToLower(n)] = n
	}
	return m
}()

// compactHeaders are the one-letter names of RFC 3261 §20 and its extensions.
var compactHeaders = map[string]string{
	"a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding",
	"f": "From", "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact",
	"o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
	"x": "Session-Expires", "y": "Identity",
}

// longName gives the usual spelling of a header name; unknown names stay as they are.
func longName(name string) string {
	low := strings.ToLower(name)
	if l, ok := compactHeaders[low]; ok {
		return l
	}
	if l, ok := knownHeaders[low]; ok {
		return l
	}
	return name
}

// splitOutside splits s at sep where it stands outside of quotes and angle brackets.
func splitOutside(s string, sep byte) []string {
	var out []string
	quoted, angle, start := false, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == sep && !angle:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[start:]))
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return splitOutside(s, ',')
}

// headerParam returns a parameter of a header value (outside of the URI in angle
// brackets); found is true for a parameter without value as well.
func headerParam(value, name string) (param string, found bool) {
	parts := splitOutside(value, ';')
	for _, p := range parts[1:] {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return unquote(strings.TrimSpace(v)), true
		}
	}
	return "", false
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// quote writes a quoted-string (RFC 3261 §25.1).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// addrURI returns the URI of a name-addr or addr-spec.
func addrURI(value string) string {
	quoted := false
	for i := 0; i < len(value); i++ {
		switch {
		case quoted && value[i] == '\\':
			i++
		case value[i] == '"':
			quoted = !quoted
		case value[i] == '<' && !quoted:
			end := strings.IndexByte(value[i:], '>')
			if end < 0 {
				return ""
			}
			return value[i+1 : i+end]
		}
	}
	uri, _, _ := strings.Cut(value, ";")
	return strings.TrimSpace(uri)
}

// uriHost returns host and port text of a sip URI, "" where absent.
func uriHost(uri string) (host, port string) {
	_, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return "", ""
	}
	if i := strings.IndexAny(rest, ";?"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return splitHostPort(rest)
}

// uriUser returns the user part of a sip URI as it is written.
func uriUser(uri string) string {
	_, rest, _ := strings.Cut(uri, ":")
	user, _, ok := strings.Cut(rest, "@")
	if !ok {
		return ""
	}
	return user
}

// splitHostPort is net.SplitHostPort for a port that may be missing.
func splitHostPort(s string) (host, port string) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", ""
		}
		return s[1:end], strings.TrimPrefix(s[end+1:], ":")
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port
}

func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("-.!%*_+`'~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

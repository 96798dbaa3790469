package sip

import (
	"errors"
	"fmt"
	"strings"
)

// ErrAuth tells that an authentication field cannot be read.
var ErrAuth = errors.New("sip: malformed authentication field")

// ParseAuth reads the value of WWW-Authenticate, Proxy-Authenticate,
// Authorization, Proxy-Authorization: a scheme and comma-separated parameters
// (RFC 3261 §25.1), one challenge or set of credentials per field (§7.3.1).
func ParseAuth(v string) (scheme string, p Params, err error) {
	scheme, v, _ = strings.Cut(strings.TrimSpace(v), " ")
	if !isToken(scheme) {
		return "", nil, fmt.Errorf("%w: no scheme in %q", ErrAuth, clip(scheme))
	}
	for {
		if v = strings.TrimLeft(v, " \t,"); v == "" {
			return scheme, p, nil
		}
		n := 0
		for n < len(v) && tokenChars[v[n]] {
			n++
		}
		x := Param{Name: v[:n]}
		v = trimLWS(v[n:])
		if n == 0 || v == "" || v[0] != '=' {
			return "", nil, fmt.Errorf("%w: no name=value at %q", ErrAuth, clip(v))
		}
		if v = trimLWS(v[1:]); v != "" && v[0] == '"' {
			if x.Value, v, err = cutQuoted(v); err != nil {
				return "", nil, fmt.Errorf("%w: %w", ErrAuth, err)
			}
			if v = trimLWS(v); v != "" && v[0] != ',' {
				return "", nil, fmt.Errorf("%w: text behind a quoted string: %q", ErrAuth, clip(v))
			}
		} else {
			x.Value, v, _ = strings.Cut(v, ",")
			x.Value = strings.TrimSpace(x.Value)
		}
		p = append(p, x)
	}
}

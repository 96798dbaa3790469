package sip

import (
	"strings"

	siplib "github.com/emiago/sipgo/sip"
)

// The plain forms of Via, From and To, which nearly every message has, read in one
// pass with one allocation per part. Whatever is not plain is left to sipgo's
// parsers: these return false at the first character that they do not expect.

// plainVia reads "SIP/2.0/UDP host:port;name=value;name".
func plainVia(s string) (*siplib.ViaHeader, bool) {
	rest, ok := strings.CutPrefix(s, "SIP/2.0/")
	if !ok {
		return nil, false
	}
	transport, rest, ok := strings.Cut(rest, " ")
	if !ok || transport == "" || !all(transport, tokenChars) {
		return nil, false
	}
	hostport, params, _ := strings.Cut(rest, ";")
	host, port, ok := plainHostPort(hostport)
	if !ok {
		return nil, false
	}
	v := &siplib.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: transport, Host: host, Port: port}
	// One more, for the "received" that a server adds.
	v.Params, ok = plainParams(params, 1)
	return v, ok
}

// plainHostPort reads a name or an IPv4 address.
func plainHostPort(s string) (host string, port int, ok bool) {
	n := 0
	for n < len(s) && s[n] != ':' {
		if c := s[n]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return "", 0, false
		}
		n++
	}
	if host = s[:n]; !validHost(host) {
		return "", 0, false
	}
	if n == len(s) {
		return host, 0, true
	}
	digits := s[n+1:]
	if digits == "" || len(digits) > 5 {
		return "", 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return "", 0, false
		}
		port = 10*port + int(digits[i]-'0')
	}
	return host, port, port > 0 && port < 1<<16
}

// plainParams reads "name=value;name" of tokens and hosts, with room for more.
func plainParams(s string, room int) (siplib.HeaderParams, bool) {
	if s == "" {
		return nil, true
	}
	if s[len(s)-1] == ';' {
		return nil, false
	}
	p := make(siplib.HeaderParams, 0, strings.Count(s, ";")+1+room)
	for s != "" {
		var item string
		item, s, _ = strings.Cut(s, ";")
		name, value, _ := strings.Cut(item, "=")
		if !isToken(name) || !all(value, plainValue) || p.Has(name) {
			return nil, false
		}
		p = append(p, siplib.HeaderKV{K: name, V: value})
	}
	return p, true
}

// plainValue has no "%", because a broken escape is for the careful parsers.
var plainValue = newCharset("-.!*_+`'~:/&$")

// plainAddress reads `"Display" <sip:user@host;param>;tag=x`, `Display <…>` and
// `<…>`.
func plainAddress(s string) (display string, uri siplib.Uri, params siplib.HeaderParams, ok bool) {
	switch {
	case s == "":
		return "", uri, nil, false
	case s[0] == '"':
		end := strings.IndexByte(s[1:], '"')
		if end < 0 || strings.IndexByte(s[1:1+end], '\\') >= 0 {
			return "", uri, nil, false
		}
		display, s = s[1:1+end], strings.TrimLeft(s[end+2:], " ")
	case s[0] != '<':
		lt := strings.IndexByte(s, '<')
		if lt < 0 {
			return "", uri, nil, false
		}
		display, s = strings.TrimRight(s[:lt], " "), s[lt:]
		if !all(display, plainName) {
			return "", uri, nil, false
		}
	}
	if s == "" || s[0] != '<' {
		return "", uri, nil, false
	}
	gt := strings.IndexByte(s, '>')
	if gt < 0 {
		return "", uri, nil, false
	}
	if uri, ok = plainURI(s[1:gt]); !ok {
		return "", uri, nil, false
	}
	if s = s[gt+1:]; s == "" {
		return display, uri, nil, true
	}
	if s[0] != ';' {
		return "", uri, nil, false
	}
	// One more, for the tag that a server adds.
	params, ok = plainParams(s[1:], 1)
	return display, uri, params, ok
}

var plainName = newCharset(" -.!%*_+`'~")

// plainURI reads "sip:user@host:port;param=value".
func plainURI(s string) (u siplib.Uri, ok bool) {
	scheme, rest, _ := strings.Cut(s, ":")
	if scheme != "sip" && scheme != "sips" {
		return u, false
	}
	u.Scheme = scheme
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		u.User = rest[:at]
		if u.User == "" || !all(u.User, plainUser) {
			return u, false
		}
		rest = rest[at+1:]
	}
	hostport, params, _ := strings.Cut(rest, ";")
	if u.Host, u.Port, ok = plainHostPort(hostport); !ok {
		return u, false
	}
	u.UriParams, ok = plainParams(params, 0)
	return u, ok
}

// plainUser has no "%" either.
var plainUser = newCharset(mark + "&=+$,;?/")

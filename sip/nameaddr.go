package sip

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrNameAddr tells that a name-addr cannot be read; the error says why.
var ErrNameAddr = errors.New("sip: malformed name-addr")

// NameAddr is the value of From, To, Contact, Route and their like
// (RFC 3261 §20.10).
type NameAddr struct {
	Display string // plain text
	URI     URI
	Params  Params // header parameters, plain text
}

// ParseNameAddr reads one name-addr or addr-spec with its parameters.
func ParseNameAddr(s string) (NameAddr, error) {
	n, rest, err := cutNameAddr(s)
	if err != nil {
		return NameAddr{}, err
	}
	if rest != "" {
		return NameAddr{}, fmt.Errorf("%w: text behind it: %q", ErrNameAddr, clip(rest))
	}
	return n, nil
}

// ParseNameAddrs reads a comma-separated list.
func ParseNameAddrs(s string) ([]NameAddr, error) {
	var list []NameAddr
	for {
		n, rest, err := cutNameAddr(s)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if rest == "" {
			return list, nil
		}
		s = rest[1:] // the comma
	}
}

// cutNameAddr reads one value; rest is empty or starts with the comma behind it.
func cutNameAddr(s string) (n NameAddr, rest string, err error) {
	s = trimLWS(s)
	if s == "" {
		return n, "", fmt.Errorf("%w: empty", ErrNameAddr)
	}
	bracket := false
	if s[0] == '"' {
		if n.Display, s, err = cutQuoted(s); err != nil {
			return n, "", fmt.Errorf("%w: %w", ErrNameAddr, err)
		}
		s = trimLWS(s)
		if s == "" || s[0] != '<' {
			return n, "", fmt.Errorf("%w: no < behind the display name", ErrNameAddr)
		}
		bracket = true
	} else if lt := strings.IndexByte(s, '<'); lt >= 0 {
		// Without quotes the display name is a row of tokens; field traffic also
		// has UTF-8 and "@" in it. ":" ";" "," before "<" mean that this value is
		// an addr-spec and the "<" belongs to a parameter or to the next value.
		if name := s[:lt]; !strings.ContainsAny(name, ":;,\"") {
			n.Display = strings.Join(strings.Fields(name), " ")
			s, bracket = s[lt:], true
		}
	}
	if !utf8.ValidString(n.Display) {
		n.Display = strings.ToValidUTF8(n.Display, "\uFFFD")
	}
	if strings.IndexFunc(n.Display, func(r rune) bool { return r < 0x80 && isControl(byte(r)) }) >= 0 {
		return n, "", fmt.Errorf("%w: control character in the display name", ErrNameAddr)
	}
	var uri string
	if bracket {
		gt := strings.IndexByte(s, '>')
		if gt < 0 {
			return n, "", fmt.Errorf("%w: no >", ErrNameAddr)
		}
		uri, s = strings.Trim(s[1:gt], " \t"), s[gt+1:]
	} else {
		// addr-spec: everything behind ";" is a header parameter (§20.10).
		end := strings.IndexAny(s, ";, \t")
		if end < 0 {
			end = len(s)
		}
		uri, s = s[:end], s[end:]
	}
	if n.URI, err = ParseURI(uri); err != nil {
		return n, "", fmt.Errorf("%w: %w", ErrNameAddr, err)
	}
	if n.Params, rest, err = parseHeaderParams(s); err != nil {
		return n, "", fmt.Errorf("%w: %w", ErrNameAddr, err)
	}
	return n, rest, nil
}

// String is the text form: the display name quoted, the URI in brackets.
func (n NameAddr) String() string { return string(n.Append(make([]byte, 0, 96))) }

// Append writes the text form.
func (n NameAddr) Append(dst []byte) []byte {
	if n.Display != "" {
		dst = appendQuoted(dst, n.Display)
		dst = append(dst, ' ')
	}
	dst = append(dst, '<')
	dst = n.URI.Append(dst)
	dst = append(dst, '>')
	return n.Params.appendHeader(dst)
}

// Tag is the tag parameter.
func (n NameAddr) Tag() string { return n.Params.Value("tag") }

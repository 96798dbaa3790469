package sip

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrParams tells that a parameter list cannot be read.
var ErrParams = errors.New("sip: malformed parameters")

// Param is one parameter. A parameter without "=" has an empty Value; SIP gives
// no meaning to the difference between ";lr" and ";lr=".
type Param struct{ Name, Value string }

// Params is an ordered parameter list. Names compare without case. Values are
// plain text, see the package comment.
type Params []Param

// Get returns the value of the first parameter of that name.
func (p Params) Get(name string) (string, bool) {
	for i := range p {
		if strings.EqualFold(p[i].Name, name) {
			return p[i].Value, true
		}
	}
	return "", false
}

// Value is Get without the presence.
func (p Params) Value(name string) string {
	v, _ := p.Get(name)
	return v
}

// Has tells whether a parameter of that name is there, with or without a value.
func (p Params) Has(name string) bool {
	_, ok := p.Get(name)
	return ok
}

// Set replaces the value of the first parameter of that name or appends one.
func (p *Params) Set(name, value string) {
	for i := range *p {
		if strings.EqualFold((*p)[i].Name, name) {
			(*p)[i].Value = value
			return
		}
	}
	*p = append(*p, Param{name, value})
}

// Del removes every parameter of that name.
func (p *Params) Del(name string) {
	*p = slices.DeleteFunc(*p, func(x Param) bool { return strings.EqualFold(x.Name, name) })
}

// Clone returns a list that shares nothing with p.
func (p Params) Clone() Params { return slices.Clone(p) }

// String writes the list as header parameters: ";tag=1;+sip.instance=\"<…>\"".
// Values that are no token and no host are quoted, control characters become
// spaces. It is empty for an empty list.
func (p Params) String() string {
	if len(p) == 0 {
		return ""
	}
	return string(p.appendHeader(nil))
}

// appendHeader writes the list as header parameters (generic-param, RFC 3261 §25.1).
func (p Params) appendHeader(dst []byte) []byte {
	for _, x := range p {
		dst = append(dst, ';')
		dst = appendToken(dst, x.Name)
		if x.Value == "" {
			continue
		}
		dst = append(dst, '=')
		if isTokenOrHost(x.Value) {
			dst = append(dst, x.Value...)
		} else {
			dst = appendQuoted(dst, x.Value)
		}
	}
	return dst
}

// appendURI writes the list with the given first and following separators, both
// names and values escaped for their place in a URI.
func (p Params) appendURI(dst []byte, first, sep byte, plain *charset) []byte {
	for i, x := range p {
		if i == 0 {
			dst = append(dst, first)
		} else {
			dst = append(dst, sep)
		}
		dst = appendEscaped(dst, x.Name, plain)
		if x.Value == "" && sep == ';' {
			continue
		}
		dst = append(dst, '=')
		dst = appendEscaped(dst, x.Value, plain)
	}
	return dst
}

// parseHeaderParams reads ";a=b;c=\"d\";e" up to the end of s or to a comma
// outside quotes; rest starts with that comma.
func parseHeaderParams(s string) (p Params, rest string, err error) {
	for {
		s = trimLWS(s)
		if s == "" || s[0] == ',' {
			return p, s, nil
		}
		if s[0] != ';' {
			return nil, "", fmt.Errorf("%w: %q", ErrParams, clip(s))
		}
		s = trimLWS(s[1:])
		if s == "" || s[0] == ';' || s[0] == ',' { // ";;" occurs in the field
			continue
		}
		n := 0
		for n < len(s) && tokenChars[s[n]] {
			n++
		}
		if n == 0 {
			return nil, "", fmt.Errorf("%w: no name at %q", ErrParams, clip(s))
		}
		x := Param{Name: s[:n]}
		s = trimLWS(s[n:])
		if s != "" && s[0] == '=' {
			s = trimLWS(s[1:])
			if s != "" && s[0] == '"' {
				if x.Value, s, err = cutQuoted(s); err != nil {
					return nil, "", err
				}
			} else {
				n = 0
				for n < len(s) && s[n] != ';' && s[n] != ',' {
					n++
				}
				x.Value = strings.TrimRight(s[:n], " \t")
				s = s[n:]
			}
		}
		p = append(p, x)
	}
}

// parseURIParams reads "a=b;c" (without the leading separator), unescaping.
func parseURIParams(s string, sep byte) (Params, error) {
	n := strings.Count(s, string(sep)) + 1
	p := make(Params, 0, n)
	for s != "" {
		var item string
		item, s, _ = strings.Cut(s, string(sep))
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		var x Param
		var err error
		if x.Name, err = unescape(name); err != nil {
			return nil, err
		}
		if x.Value, err = unescape(value); err != nil {
			return nil, err
		}
		if x.Name == "" {
			return nil, fmt.Errorf("%w: no name in %q", ErrParams, clip(item))
		}
		p = append(p, x)
	}
	if len(p) == 0 {
		return nil, nil
	}
	return p, nil
}

func trimLWS(s string) string { return strings.TrimLeft(s, " \t\r\n") }

// clip keeps foreign text short in errors.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

package cpim

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads a message/cpim body. The returned message does not share memory with data, except Body.
func Parse(data []byte) (*Message, error) {
	m := new(Message)
	// The default namespace may be changed, and a prefix may be bound anew: an NS header holds for
	// the headers after it (RFC 3862 §3.4).
	scope := map[string]string{"": NSHeaders}
	var required []string

	// Some gateways put the outer Content-Type in front, as in the examples of RFC 3862 §5.
	rest, err := block(data, func(name, value string) error {
		if strings.EqualFold(name, "Content-Type") && len(m.Headers) == 0 {
			return nil
		}
		if len(m.Headers)+len(scope) > maxHeaders {
			return fmt.Errorf("%w: more than %d", ErrTooMany, maxHeaders)
		}
		lang, value, err := parameters(value)
		if err != nil {
			return err
		}
		n, known := resolve(scope, name)
		switch {
		case !known:
			return nil // a header of nobody's namespace
		case n.Space == NSHeaders && n.Local == "NS":
			return declare(scope, value)
		case n.Space == NSHeaders && n.Local == "Require":
			for r := range strings.SplitSeq(value, ",") {
				if r = strings.TrimSpace(r); r != "" {
					required = append(required, r)
				}
			}
			return nil
		}
		m.Headers = append(m.Headers, Header{Space: n.Space, Name: n.Local, Lang: lang, Value: unescape(value)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(m.Headers) == 0 {
		return nil, fmt.Errorf("%w: no message headers", ErrMalformed)
	}
	for _, r := range required {
		n, known := resolve(scope, r)
		if !known {
			n = Name{Local: r} // stays unknown, so that the receiver refuses
		}
		m.Require = append(m.Require, n)
	}

	// RCS clients send one empty line more between the blocks than RFC 3862 §2 asks for.
	for len(rest) > 0 && (rest[0] == '\n' || rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n') {
		_, rest = line(rest)
	}
	m.Body, err = block(rest, func(name, value string) error {
		if len(m.Fields) >= maxHeaders {
			return fmt.Errorf("%w: more than %d MIME headers", ErrTooMany, maxHeaders)
		}
		m.Fields = append(m.Fields, Field{Name: name, Value: strings.TrimSpace(value)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// block reads header lines up to and including the empty line, and returns what follows it. A block
// that ends with the data is complete.
func block(data []byte, each func(name, value string) error) (rest []byte, err error) {
	for len(data) > 0 {
		var l []byte
		l, data = line(data)
		if len(l) == 0 {
			return data, nil
		}
		// MIME folding (RFC 5322 §2.2.3); RFC 3862 §2.3.2 has none, but peers reuse their MIME writers.
		text := string(l)
		for len(data) > 0 && (data[0] == ' ' || data[0] == '\t') {
			l, data = line(data)
			if len(strings.TrimSpace(string(l))) == 0 {
				break
			}
			text += " " + strings.TrimSpace(string(l))
			if len(text) > maxHeaderValue {
				break
			}
		}
		if len(text) > maxHeaderValue {
			return nil, fmt.Errorf("%w: header of more than %d bytes", ErrTooMany, maxHeaderValue)
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t<>\"") {
			return nil, fmt.Errorf("%w: header line without a name", ErrMalformed)
		}
		if err := each(validText(name), validText(value)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// line cuts off the first line, without its CRLF or LF.
func line(data []byte) (l, rest []byte) {
	for i, c := range data {
		if c == '\n' {
			l = data[:i]
			if i > 0 && data[i-1] == '\r' {
				l = data[:i-1]
			}
			return l, data[i+1:]
		}
	}
	return data, nil
}

// parameters splits ";lang=xx;other=yy text" (what follows the colon) into the language and the text.
func parameters(value string) (lang, text string, err error) {
	for strings.HasPrefix(value, ";") {
		value = value[1:]
		name, rest, ok := strings.Cut(value, "=")
		if !ok {
			return "", "", fmt.Errorf("%w: header parameter without a value", ErrMalformed)
		}
		var v string
		if strings.HasPrefix(rest, `"`) {
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				return "", "", fmt.Errorf("%w: header parameter without closing quote", ErrMalformed)
			}
			v, rest = rest[1:1+end], rest[end+2:]
		} else {
			end := strings.IndexAny(rest, "; ")
			if end < 0 {
				end = len(rest)
			}
			v, rest = rest[:end], rest[end:]
		}
		if strings.EqualFold(strings.TrimSpace(name), "lang") {
			lang = v
		}
		value = rest
	}
	return lang, strings.TrimSpace(value), nil
}

// resolve turns a name as written into namespace and name.
func resolve(scope map[string]string, name string) (n Name, known bool) {
	prefix, local, found := strings.Cut(name, ".")
	if !found {
		return Name{scope[""], name}, true
	}
	if space, ok := scope[prefix]; ok {
		return Name{space, local}, true
	}
	if strings.EqualFold(prefix, "imdn") {
		return Name{NSIMDN, local}, true // COMPAT: RCS clients that forget to declare it
	}
	return Name{}, false
}

// declare carries out "NS: prefix <uri>" or "NS: <uri>".
func declare(scope map[string]string, value string) error {
	a, err := ParseAddress(value)
	if err != nil || a.URI == "" {
		return fmt.Errorf("%w: NS header without <uri>", ErrMalformed)
	}
	scope[a.Name] = a.URI
	return nil
}

// unescape undoes the escapes of RFC 3862 §2.3.1; a backslash that starts none stays.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '\\', '"', '\'':
			b.WriteByte(s[i+1])
		case 'b':
			b.WriteByte('\b')
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'u':
			if len(s)-i >= 6 {
				if v, err := strconv.ParseUint(s[i+2:i+6], 16, 16); err == nil {
					r := rune(v)
					if !utf8.ValidRune(r) { // half of a surrogate pair says nothing alone
						r = utf8.RuneError
					}
					b.WriteRune(r)
					i += 5
					continue
				}
			}
			fallthrough
		default:
			b.WriteByte('\\')
			continue
		}
		i++
	}
	return b.String()
}

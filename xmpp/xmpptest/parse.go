package xmpptest

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/xmpp"
)

// maxDepth bounds the nesting of one stanza.
const maxDepth = 256

// parser reads the elements of one stream strictly: namespaces in XML 1.0 with
// the restrictions of RFC 6120 §11.1. It is ours, not encoding/xml, because that
// one is lenient where the parsers of real servers end the stream (undeclared
// prefixes, "]]>" in text, attributes without space between them), and because a
// load generator has to read faster than it does.
//
// Strings of the result are parts of the source, so one stanza costs one copy.
type parser struct {
	s     string
	pos   int
	scope []binding
	attrs []rawAttr // of the start tag being read; reused
}

type binding struct{ prefix, uri string }

type rawAttr struct{ prefix, local, value string }

// parse parses s, which holds exactly one element, within the namespaces that
// the stream header declared.
func (p *parser) parse(s string, scope []binding) (*xmpp.Element, error) {
	p.s, p.pos, p.scope = s, 0, append(p.scope[:0], scope...)
	e, err := p.element(1)
	if err != nil {
		return nil, err
	}
	if p.pos != len(p.s) {
		return nil, p.fail("data after the element")
	}
	return e, nil
}

// parseHeader parses a lone start tag, the stream header. It returns the tag as
// written as well, and the namespaces that it declares.
func parseHeader(s string) (e *xmpp.Element, tag string, scope []binding, err error) {
	p := parser{s: s}
	e, tag, empty, err := p.startTag()
	if err != nil {
		return nil, "", nil, err
	}
	if empty || p.pos != len(p.s) {
		return nil, "", nil, p.fail("stream header is not a lone start tag")
	}
	return e, tag, p.scope, nil
}

func (p *parser) fail(format string, args ...any) error {
	return &StreamError{Condition: "not-well-formed", Text: fmt.Sprintf(format, args...)}
}

// element reads one element from its '<' on.
func (p *parser) element(depth int) (*xmpp.Element, error) {
	if depth > maxDepth {
		return nil, &StreamError{Condition: "policy-violation", Text: "stanza nested too deeply"}
	}
	outer := len(p.scope)
	e, tag, empty, err := p.startTag()
	if err != nil {
		return nil, err
	}
	if !empty {
		if err := p.content(e, depth); err != nil {
			return nil, err
		}
		if err := p.endTag(tag); err != nil {
			return nil, err
		}
	}
	p.scope = p.scope[:outer]
	return e, nil
}

// content reads up to the end tag of e.
func (p *parser) content(e *xmpp.Element, depth int) error {
	for {
		switch {
		case p.pos >= len(p.s):
			return p.fail("element %s not closed", e.Name.Local)
		case p.s[p.pos] != '<':
			t, err := p.text()
			if err != nil {
				return err
			}
			e.AddText(t)
		case strings.HasPrefix(p.s[p.pos:], "</"):
			return nil
		case strings.HasPrefix(p.s[p.pos:], "<![CDATA["):
			t, err := p.cdata()
			if err != nil {
				return err
			}
			e.AddText(t)
		case strings.HasPrefix(p.s[p.pos:], "<!"), strings.HasPrefix(p.s[p.pos:], "<?"):
			return errRestricted()
		default:
			c, err := p.element(depth + 1)
			if err != nil {
				return err
			}
			e.Children = append(e.Children, xmpp.Node{Elem: c})
		}
	}
}

// startTag reads a start tag or an empty element. The scope grows by what it
// declares. tag is the name as written.
func (p *parser) startTag() (e *xmpp.Element, tag string, empty bool, err error) {
	if p.pos >= len(p.s) || p.s[p.pos] != '<' {
		return nil, "", false, p.fail("no start tag")
	}
	p.pos++
	from := p.pos
	prefix, local, err := p.qname()
	if err != nil {
		return nil, "", false, err
	}
	tag = p.s[from:p.pos]
	p.attrs = p.attrs[:0]
	plain := 0
	for {
		spaced := p.space()
		if p.pos >= len(p.s) {
			return nil, "", false, p.fail("tag %s not closed", tag)
		}
		if c := p.s[p.pos]; c == '>' {
			p.pos++
			break
		} else if c == '/' {
			if !strings.HasPrefix(p.s[p.pos:], "/>") {
				return nil, "", false, p.fail("stray / in tag %s", tag)
			}
			p.pos += 2
			empty = true
			break
		}
		if !spaced {
			return nil, "", false, p.fail("no space before an attribute of %s", tag)
		}
		a, err := p.attribute()
		if err != nil {
			return nil, "", false, err
		}
		declares, err := p.declare(a)
		if err != nil {
			return nil, "", false, err
		}
		if !declares {
			plain++
		}
		p.attrs = append(p.attrs, a)
	}
	e = new(xmpp.Element)
	if e.Name, err = p.resolve(prefix, local, true); err != nil {
		return nil, "", false, err
	}
	if plain > 0 {
		e.Attr = make([]xml.Attr, 0, plain)
	}
	for i, a := range p.attrs {
		for _, b := range p.attrs[:i] {
			if a.prefix == b.prefix && a.local == b.local {
				return nil, "", false, p.fail("attribute %s of %s repeated", a.local, tag)
			}
		}
		if a.prefix == "xmlns" || a.prefix == "" && a.local == "xmlns" {
			continue
		}
		name, err := p.resolve(a.prefix, a.local, false)
		if err != nil {
			return nil, "", false, err
		}
		for _, b := range e.Attr {
			if b.Name == name {
				return nil, "", false, p.fail("attribute %s of %s repeated", a.local, tag)
			}
		}
		e.Attr = append(e.Attr, xml.Attr{Name: name, Value: a.value})
	}
	return e, tag, empty, nil
}

// declare adds a namespace declaration to the scope (Namespaces in XML 1.0 §3).
func (p *parser) declare(a rawAttr) (bool, error) {
	switch {
	case a.prefix == "" && a.local == "xmlns":
		if a.value == xmpp.NSXML || a.value == xmpp.NSXMLNS {
			return true, p.fail("reserved namespace declared as default")
		}
		p.scope = append(p.scope, binding{"", a.value})
		return true, nil
	case a.prefix == "xmlns":
		if a.local == "xmlns" || a.value == "" || a.value == xmpp.NSXMLNS || (a.local == "xml") != (a.value == xmpp.NSXML) {
			return true, p.fail("prefix %s may not be bound to %q", a.local, a.value)
		}
		p.scope = append(p.scope, binding{a.local, a.value})
		return true, nil
	}
	return false, nil
}

// resolve finds the namespace of a name. The default namespace does not apply to
// attributes.
func (p *parser) resolve(prefix, local string, element bool) (xml.Name, error) {
	switch {
	case prefix == "" && !element:
		return xml.Name{Local: local}, nil
	case prefix == "xml":
		return xml.Name{Space: xmpp.NSXML, Local: local}, nil
	case prefix == "xmlns":
		return xml.Name{}, p.fail("element with prefix xmlns")
	}
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i].prefix == prefix {
			return xml.Name{Space: p.scope[i].uri, Local: local}, nil
		}
	}
	if prefix == "" {
		return xml.Name{Local: local}, nil
	}
	return xml.Name{}, p.fail("prefix %s not declared", prefix)
}

func (p *parser) endTag(tag string) error {
	p.pos += 2 // content stopped at "</"
	if !strings.HasPrefix(p.s[p.pos:], tag) {
		return p.fail("end tag does not match %s", tag)
	}
	p.pos += len(tag)
	p.space()
	if p.pos >= len(p.s) || p.s[p.pos] != '>' {
		return p.fail("end tag does not match %s", tag)
	}
	p.pos++
	return nil
}

// attribute reads name, equals sign and quoted value.
func (p *parser) attribute() (a rawAttr, err error) {
	if a.prefix, a.local, err = p.qname(); err != nil {
		return a, err
	}
	p.space()
	if p.pos >= len(p.s) || p.s[p.pos] != '=' {
		return a, p.fail("attribute %s without value", a.local)
	}
	p.pos++
	p.space()
	if p.pos >= len(p.s) || p.s[p.pos] != '\'' && p.s[p.pos] != '"' {
		return a, p.fail("value of %s not quoted", a.local)
	}
	quote := p.s[p.pos]
	p.pos++
	n := strings.IndexByte(p.s[p.pos:], quote)
	if n < 0 {
		return a, p.fail("value of %s not closed", a.local)
	}
	raw := p.s[p.pos : p.pos+n]
	p.pos += n + 1
	if strings.IndexByte(raw, '<') >= 0 {
		return a, p.fail("< in the value of %s", a.local)
	}
	a.value, err = p.unescape(raw, true)
	return a, err
}

// text reads character data up to the next '<'.
func (p *parser) text() (string, error) {
	n := strings.IndexByte(p.s[p.pos:], '<')
	if n < 0 {
		n = len(p.s) - p.pos
	}
	raw := p.s[p.pos : p.pos+n]
	p.pos += n
	if strings.Contains(raw, "]]>") {
		return "", p.fail("]]> in text")
	}
	return p.unescape(raw, false)
}

func (p *parser) cdata() (string, error) {
	p.pos += len("<![CDATA[")
	n := strings.Index(p.s[p.pos:], "]]>")
	if n < 0 {
		return "", p.fail("CDATA section not closed")
	}
	raw := p.s[p.pos : p.pos+n]
	p.pos += n + len("]]>")
	if err := p.checkChars(raw); err != nil {
		return "", err
	}
	return strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\r", "\n"), nil
}

// unescape replaces references and normalises line ends (XML 1.0 §2.11), and in
// attributes white space (§3.3.3).
func (p *parser) unescape(raw string, attr bool) (string, error) {
	if err := p.checkChars(raw); err != nil {
		return "", err
	}
	special := "&\r"
	if attr {
		special = "&\r\n\t"
	}
	n := strings.IndexAny(raw, special)
	if n < 0 {
		return raw, nil
	}
	out := make([]byte, 0, len(raw))
	for ; n >= 0; n = strings.IndexAny(raw, special) {
		out = append(out, raw[:n]...)
		c := raw[n]
		raw = raw[n+1:]
		switch {
		case c == '&':
			end := strings.IndexByte(raw, ';')
			if end < 0 {
				return "", p.fail("reference not closed")
			}
			r, err := p.reference(raw[:end])
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			raw = raw[end+1:]
		default:
			if c == '\r' && strings.HasPrefix(raw, "\n") {
				raw = raw[1:]
			}
			if attr {
				out = append(out, ' ')
			} else {
				out = append(out, '\n')
			}
		}
	}
	return string(append(out, raw...)), nil
}

// reference resolves what stands between & and ;. Only the predefined entities
// exist in XMPP (RFC 6120 §11.1).
func (p *parser) reference(name string) (rune, error) {
	switch name {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "apos":
		return '\'', nil
	case "quot":
		return '"', nil
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return 0, errRestricted()
	}
	base := rune(10)
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	r := rune(0)
	for i := range len(digits) {
		d := hexDigit(digits[i])
		if d < 0 || d >= base || r > utf8.MaxRune {
			return 0, p.fail("bad character reference &%s;", name)
		}
		r = r*base + d
	}
	if digits == "" || !isChar(r) {
		return 0, p.fail("bad character reference &%s;", name)
	}
	return r, nil
}

func hexDigit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// checkChars makes sure that raw is UTF-8 and holds XML characters only.
func (p *parser) checkChars(raw string) error {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c >= 0x20 && c < utf8.RuneSelf || c == '\n' || c == '\t' || c == '\r' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(raw[i:])
		if r == utf8.RuneError && n <= 1 || !isChar(r) {
			return p.fail("forbidden character %#x", raw[i:i+n])
		}
		i += n
	}
	return nil
}

// isChar is the production Char of XML 1.0 §2.2.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || 0x20 <= r && r <= 0xD7FF || 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= utf8.MaxRune
}

// space skips white space and tells whether there was some.
func (p *parser) space() bool {
	from := p.pos
	for p.pos < len(p.s) && isSpace(p.s[p.pos]) {
		p.pos++
	}
	return p.pos > from
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// qname reads a name with at most one colon (Namespaces in XML 1.0 §4).
func (p *parser) qname() (prefix, local string, err error) {
	first, err := p.ncname()
	if err != nil {
		return "", "", err
	}
	if p.pos < len(p.s) && p.s[p.pos] == ':' {
		p.pos++
		local, err = p.ncname()
		return first, local, err
	}
	return "", first, nil
}

func (p *parser) ncname() (string, error) {
	from := p.pos
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		if isNameByte(c) {
			p.pos++
			continue
		}
		if c < utf8.RuneSelf {
			break
		}
		r, n := utf8.DecodeRuneInString(p.s[p.pos:])
		if !isNameRune(r) || n == 1 {
			return "", p.fail("forbidden character in a name")
		}
		p.pos += n
	}
	if name := p.s[from:p.pos]; name != "" && !isNotNameStart(name) {
		return name, nil
	}
	return "", p.fail("name expected")
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// isNameRune is NameChar of XML 1.0 §2.3 beyond ASCII.
func isNameRune(r rune) bool {
	return r == 0xB7 || 0xC0 <= r && r <= 0x37D && r != 0xD7 && r != 0xF7 || 0x37F <= r && r <= 0x1FFF ||
		0x200C <= r && r <= 0x200D || 0x203F <= r && r <= 0x2040 || 0x2070 <= r && r <= 0x218F ||
		0x2C00 <= r && r <= 0x2FEF || 0x3001 <= r && r <= 0xD7FF || 0xF900 <= r && r <= 0xFDCF ||
		0xFDF0 <= r && r <= 0xFFFD || 0x10000 <= r && r <= 0xEFFFF
}

// isNotNameStart tells whether name begins with a character that may only follow.
func isNotNameStart(name string) bool {
	c := name[0]
	if c < utf8.RuneSelf {
		return '0' <= c && c <= '9' || c == '-' || c == '.'
	}
	r, _ := utf8.DecodeRuneInString(name)
	return r == 0xB7 || 0x300 <= r && r <= 0x36F || 0x203F <= r && r <= 0x2040
}

package pidf

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of the scanner.
const (
	maxDepth    = 32
	maxAttrs    = 32 // of one element, namespace declarations not counted
	maxBindings = 64 // namespace declarations in force
)

// space is a set of namespaces.
type space uint16

const (
	spacePIDF space = 1 << iota
	spaceModel
	spaceRPID
	spaceCIPID
	spaceTimed
	spaceCaps
	spaceShow
	spaceDiff
	spaceNone // no namespace
	spaceOther

	// spaceOurs are those in which an element with an unmistakable name is taken wherever it stands.
	spaceOurs = spacePIDF | spaceModel | spaceRPID
)

// namespaces are the ones of the standards and those of the drafts before them, which are still sent: by
// Asterisk and eyeBeam (person, rpid-person, rpid-status), eXosip and Pidgin (status:rpid-status), Cisco
// (status:rpid, the name under which RFC 4480 §7.2 registers its schema).
var namespaces = map[string]space{
	NS:                                   spacePIDF,
	NSDataModel:                          spaceModel,
	NSRPID:                               spaceRPID,
	NSCIPID:                              spaceCIPID,
	NSTimedStatus:                        spaceTimed,
	NSCaps:                               spaceCaps,
	NSShow:                               spaceShow,
	"urn:ietf:params:xml:ns:pidf-diff":   spaceDiff,
	"urn:ietf:params:xml:ns:pidf:person": spaceModel,
	"urn:ietf:params:xml:ns:pidf:status:rpid":             spaceRPID,
	"urn:ietf:params:xml:ns:pidf:status:rpid-status":      spaceRPID,
	"urn:ietf:params:xml:ns:pidf:rpid-status":             spaceRPID,
	"urn:ietf:params:xml:ns:pidf:rpid-tuple":              spaceRPID,
	"urn:ietf:params:xml:ns:pidf:rpid-person":             spaceRPID,
	"urn:ietf:params:xml:ns:pidf:rpid:rpid-person":        spaceRPID,
	"urn:ietf:params:xml:ns:pidf:rpid:rpid-tuple":         spaceRPID,
	"urn:ietf:params:xml:ns:pidf:rpid:status:rpid-status": spaceRPID,
	"urn:ietf:params:xml:ns:pidf:servcaps":                spaceCaps,
	"urn:ietf:params:xml:ns:pidf:status:timed-status":     spaceTimed,
}

// undeclared are prefixes that phones use without declaring them.
func undeclared(prefix string) space {
	switch prefix {
	case "dm", "pdm", "pp":
		return spaceModel
	case "rpid", "r", "rp", "ep", "es", "e":
		return spaceRPID
	}
	return spaceOther
}

// kind is what the scanner found.
type kind uint8

const (
	kindError kind = iota
	kindStart
	kindEnd
	kindText
)

type binding struct {
	prefix, uri string
	space       space
	depth       int
}

type attr struct{ name, value string } // name as written: "id", "xml:lang"

// scanner cuts a document into tags and text. It checks that tags match and nothing that a reader of presence
// would not notice.
type scanner struct {
	s     string
	pos   int
	err   error
	names []string // open elements as written
	bound []binding
	attrs []attr // of the last start tag
	space space
	uri   string // of the last start tag, where space is spaceOther
	local string
	text  string
	empty bool // the last start tag ends its element as well
	ended bool // the root element has ended
}

func (p *scanner) fail(err error, format string, args ...any) kind {
	if p.err == nil {
		p.err = fmt.Errorf("%w: "+format, append([]any{err}, args...)...)
	}
	return kindError
}

func (p *scanner) malformed(what string) kind {
	return p.fail(ErrMalformed, "%s at byte %d", what, p.pos)
}

// next finds the next tag or text. After an error, and after the root element, there is only kindError.
func (p *scanner) next() kind {
	if p.err != nil || p.ended {
		return kindError
	}
	if p.empty {
		p.empty = false
		return p.close()
	}
	for {
		rest := p.s[p.pos:]
		n := strings.IndexByte(rest, '<')
		switch {
		case n < 0:
			return p.malformed("end of document inside an element")
		case n > 0:
			p.pos += n
			if len(p.names) == 0 {
				if strings.TrimLeft(rest[:n], " \t\r\n\ufeff") != "" {
					return p.malformed("text before the root element")
				}
				continue
			}
			return p.found(rest[:n], false)
		case strings.HasPrefix(rest, "</"):
			return p.endTag(rest)
		case strings.HasPrefix(rest, "<!--"):
			if !p.skipPast(rest, 4, "-->") {
				return p.malformed("endless comment")
			}
		case strings.HasPrefix(rest, "<?"):
			if !p.skipPast(rest, 2, "?>") {
				return p.malformed("endless processing instruction")
			}
		case strings.HasPrefix(rest, "<![CDATA[") && len(p.names) > 0:
			start := p.pos + len("<![CDATA[")
			if !p.skipPast(rest, len("<![CDATA["), "]]>") {
				return p.malformed("endless CDATA")
			}
			return p.found(p.s[start:p.pos-len("]]>")], true)
		case strings.HasPrefix(rest, "<!"):
			return p.malformed("document type or declaration")
		default:
			return p.startTag()
		}
	}
}

func (p *scanner) skipPast(rest string, from int, end string) bool {
	n := strings.Index(rest[from:], end)
	if n < 0 {
		return false
	}
	p.pos += from + n + len(end)
	return true
}

func (p *scanner) found(raw string, literal bool) kind {
	text, ok := unescape(raw, literal)
	if !ok {
		return p.malformed("unknown entity")
	}
	p.text = text
	return kindText
}

func (p *scanner) endTag(rest string) kind {
	n := strings.IndexByte(rest, '>')
	if n < 0 {
		return p.malformed("endless tag")
	}
	if len(p.names) == 0 || strings.TrimRight(rest[2:n], " \t\r\n") != p.names[len(p.names)-1] {
		return p.malformed("end tag without its start")
	}
	p.pos += n + 1
	return p.close()
}

func (p *scanner) close() kind {
	depth := len(p.names)
	for len(p.bound) > 0 && p.bound[len(p.bound)-1].depth == depth {
		p.bound = p.bound[:len(p.bound)-1]
	}
	p.names = p.names[:depth-1]
	p.ended = depth == 1
	return kindEnd
}

func (p *scanner) startTag() kind {
	p.pos++
	full := p.word()
	if full == "" {
		return p.malformed("no element name")
	}
	if len(p.names) == maxDepth {
		return p.fail(ErrTooLarge, "deeper than %d", maxDepth)
	}
	p.names = append(p.names, full)
	p.attrs = p.attrs[:0]
	for {
		spaced := p.blanks()
		rest := p.s[p.pos:]
		switch {
		case rest == "":
			return p.malformed("endless tag")
		case rest[0] == '>':
			p.pos++
			return p.named(full)
		case strings.HasPrefix(rest, "/>"):
			p.pos += 2
			p.empty = true
			return p.named(full)
		case !spaced:
			return p.malformed("no space before an attribute")
		}
		if !p.attribute() {
			return kindError
		}
	}
}

// attribute reads one attribute or namespace declaration; false after an error.
func (p *scanner) attribute() bool {
	name := p.word()
	p.blanks()
	if name == "" || p.pos == len(p.s) || p.s[p.pos] != '=' {
		p.malformed("no attribute")
		return false
	}
	p.pos++
	p.blanks()
	rest := p.s[p.pos:]
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		p.malformed("no attribute value")
		return false
	}
	n := strings.IndexByte(rest[1:], rest[0])
	if n < 0 {
		p.malformed("endless attribute value")
		return false
	}
	raw := rest[1 : 1+n]
	value, ok := unescape(raw, false)
	if !ok || strings.IndexByte(raw, '<') >= 0 {
		p.malformed("bad attribute value")
		return false
	}
	p.pos += n + 2
	switch {
	case name == "xmlns":
		return p.bind("", value)
	case strings.HasPrefix(name, "xmlns:"):
		return p.bind(name[len("xmlns:"):], value)
	case len(p.attrs) == maxAttrs:
		p.fail(ErrTooLarge, "more than %d attributes", maxAttrs)
		return false
	}
	p.attrs = append(p.attrs, attr{name, value})
	return true
}

func (p *scanner) bind(prefix, uri string) bool {
	if len(p.bound) == maxBindings {
		p.fail(ErrTooLarge, "more than %d namespaces", maxBindings)
		return false
	}
	s, ok := namespaces[uri]
	switch {
	case uri == "":
		s = spaceNone
	case !ok:
		s = spaceOther
	}
	p.bound = append(p.bound, binding{prefix, uri, s, len(p.names)})
	return true
}

// named resolves the name of a start tag, now that its declarations are known.
func (p *scanner) named(full string) kind {
	prefix, local, ok := strings.Cut(full, ":")
	if !ok {
		prefix, local = "", full
	}
	if local == "" || strings.IndexByte(local, ':') >= 0 {
		return p.malformed("bad element name")
	}
	p.local = local
	for i := len(p.bound) - 1; i >= 0; i-- {
		if b := &p.bound[i]; b.prefix == prefix {
			p.space, p.uri = b.space, b.uri
			return kindStart
		}
	}
	p.uri = prefix
	if p.space = spaceNone; prefix != "" {
		p.space = undeclared(prefix)
	}
	return kindStart
}

// word reads an XML name.
func (p *scanner) word() string {
	start := p.pos
	for p.pos < len(p.s) && nameByte(p.s[p.pos]) {
		p.pos++
	}
	if start < p.pos {
		if c := p.s[start]; c == '-' || c == '.' || c == ':' || '0' <= c && c <= '9' {
			return ""
		}
	}
	return p.s[start:p.pos]
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':' || c >= utf8.RuneSelf
}

// blanks skips white space and tells whether there was any.
func (p *scanner) blanks() bool {
	start := p.pos
	for p.pos < len(p.s) && (p.s[p.pos] == ' ' || p.s[p.pos] == '\n' || p.s[p.pos] == '\t' || p.s[p.pos] == '\r') {
		p.pos++
	}
	return p.pos > start
}

// attr is the value of an attribute of the last start tag.
func (p *scanner) attr(name string) string {
	for i := range p.attrs {
		if p.attrs[i].name == name {
			return p.attrs[i].value
		}
	}
	return ""
}

// unescape resolves character references and the five entities, and makes line ends LF. In literal text only
// the latter. ok is false for what is neither.
func unescape(s string, literal bool) (text string, ok bool) {
	if strings.IndexByte(s, '\r') < 0 && (literal || strings.IndexByte(s, '&') < 0) {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\r':
			if i+1 < len(s) && s[i+1] == '\n' {
				i++
			}
			b = append(b, '\n')
		case c == '&' && !literal:
			end := strings.IndexByte(s[i:min(len(s), i+12)], ';')
			if end < 0 {
				return "", false
			}
			r, ok := reference(s[i+1 : i+end])
			if !ok {
				return "", false
			}
			b = utf8.AppendRune(b, r)
			i += end
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

// reference is the character that an entity stands for. Those that XML has no place for become U+FFFD.
func reference(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return 0, false
	}
	base := 10
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return 0, false
	}
	if n > utf8.MaxRune || !xmlRune(rune(n)) {
		return utf8.RuneError, true
	}
	return rune(n), true
}

// xmlRune is Char of XML 1.0 §2.2.
func xmlRune(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	}
	return 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= utf8.MaxRune
}

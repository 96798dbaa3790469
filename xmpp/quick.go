package xmpp

import (
	"bytes"
	"encoding/xml"
	"strings"
	"unicode/utf8"
)

// shareBytes bounds the elements whose strings share the memory of the element: what is
// kept of one keeps all of it.
const shareBytes = 4 << 10

// quick is the fast way through an element as nearly all of them are written: names in
// ASCII, no CDATA section, no reference but the five of XML itself. Whatever else it
// meets it leaves to encoding/xml, which then finds the same or the error; it accepts
// nothing that the other would not, and FuzzQuick holds it to that.
//
// It costs a fifth of the other way, which is the dearest step of a stanza.
type quick struct {
	p      *parser
	data   []byte
	text   string // data once more, when its strings may share it
	i      int
	elems  []Element  // to take elements from
	attrs  []xml.Attr // to take attributes from
	shared bool
}

// quickElement parses the whole frame with n elements; false leaves it to element.
func (p *parser) quickElement(frame []byte, n int) (*Element, bool, error) {
	p.open, p.nodes = p.open[:0], p.nodes[:0]
	s := quick{p: p, data: frame, elems: make([]Element, 0, n), attrs: make([]xml.Attr, 0, 2*n+4)}
	// A message is read, passed on and forgotten; of presence and answers something
	// stays.
	if len(frame) <= shareBytes && bytes.HasPrefix(frame, []byte("<message")) {
		s.text, s.shared = string(frame), true
	}
	for {
		done, ok, err := s.tag()
		if !ok || err != nil {
			return nil, ok, err
		}
		if done != nil {
			return done, s.i == len(frame), nil
		}
		if !s.content() {
			return nil, false, nil
		}
	}
}

// tag reads a start or end tag. The element is given when it was the last tag.
func (s *quick) tag() (done *Element, ok bool, err error) {
	if s.i+1 >= len(s.data) || s.data[s.i] != '<' {
		return nil, false, nil
	}
	s.i++
	if s.data[s.i] == '/' {
		s.i++
		name, ok := s.name()
		if !ok || len(s.p.open) == 0 || s.p.open[len(s.p.open)-1].raw != name {
			return nil, false, nil
		}
		s.space()
		if !s.take('>') {
			return nil, false, nil
		}
		return s.end(), true, nil
	}
	name, ok := s.name()
	if !ok {
		return nil, false, nil
	}
	from := len(s.attrs)
	for {
		spaced := s.space()
		if s.i >= len(s.data) {
			return nil, false, nil
		}
		if c := s.data[s.i]; c == '>' || c == '/' {
			break
		}
		if !spaced || !s.attribute() {
			return nil, false, nil
		}
	}
	empty := s.take('/')
	if !s.take('>') {
		return nil, false, nil
	}
	if len(s.elems) == cap(s.elems) {
		return nil, false, nil // the framer counted otherwise
	}
	s.elems = append(s.elems, Element{Name: name})
	e := &s.elems[len(s.elems)-1]
	if from < len(s.attrs) {
		e.Attr = s.attrs[from:len(s.attrs):len(s.attrs)]
	}
	ns := len(s.p.ns)
	if err := s.p.scope(e); err != nil {
		return nil, true, err
	}
	if len(s.p.open) > 0 {
		s.p.nodes = append(s.p.nodes, Node{Elem: e})
	}
	s.p.open = append(s.p.open, openElement{elem: e, raw: name, ns: ns, nodes: len(s.p.nodes)})
	if empty {
		return s.end(), true, nil
	}
	return nil, true, nil
}

// end closes the innermost element and gives it when it was the outermost as well.
func (s *quick) end() *Element {
	top := s.p.open[len(s.p.open)-1]
	s.p.open = s.p.open[:len(s.p.open)-1]
	s.p.close(top)
	if len(s.p.open) == 0 {
		return top.elem
	}
	return nil
}

// content reads character data up to the next tag.
func (s *quick) content() bool {
	n := bytes.IndexByte(s.data[s.i:], '<')
	if n <= 0 {
		return n == 0
	}
	from := s.i
	s.i += n
	text, ok := s.value(from, s.i, true)
	if ok {
		s.p.text(text)
	}
	return ok
}

// attribute reads name="value".
func (s *quick) attribute() bool {
	name, ok := s.name()
	if !ok {
		return false
	}
	s.space()
	if !s.take('=') {
		return false
	}
	s.space()
	if s.i >= len(s.data) {
		return false
	}
	quote := s.data[s.i]
	if quote != '\'' && quote != '"' {
		return false
	}
	s.i++
	n := bytes.IndexByte(s.data[s.i:], quote)
	if n < 0 {
		return false
	}
	value, ok := s.value(s.i, s.i+n, false)
	s.i += n + 1
	s.attrs = append(s.attrs, xml.Attr{Name: name, Value: value})
	return ok
}

// value is the text between two offsets; false if it is not plain.
func (s *quick) value(from, to int, content bool) (string, bool) {
	b := s.data[from:to]
	references, brackets, ascii := false, false, true
	for _, c := range b {
		switch {
		case c < ' ':
			if !content || c != '\n' && c != '\t' {
				return "", false
			}
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '&':
			references = true
		case c == ']':
			brackets = true
		case c == '<':
			return "", false
		}
	}
	if brackets && bytes.Contains(b, []byte("]]>")) || !ascii && !validUTF8(b) {
		return "", false
	}
	if references {
		return resolve(b)
	}
	if s.shared {
		return s.text[from:to], true
	}
	return known(b), true
}

// validUTF8 is valid UTF-8 without U+FFFE and U+FFFF, which are no characters of XML.
func validUTF8(b []byte) bool {
	return utf8.Valid(b) && !bytes.Contains(b, []byte("\uFFFE")) && !bytes.Contains(b, []byte("\uFFFF"))
}

// references are those that XML has without a declaration.
var references = [...]struct {
	name string
	char byte
}{{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"apos;", '\''}, {"quot;", '"'}}

// resolve replaces references; false if one is of another kind.
func resolve(b []byte) (string, bool) {
	var text strings.Builder
	text.Grow(len(b))
next:
	for {
		n := bytes.IndexByte(b, '&')
		if n < 0 {
			text.Write(b)
			return text.String(), true
		}
		text.Write(b[:n])
		b = b[n+1:]
		for _, r := range references {
			if bytes.HasPrefix(b, []byte(r.name)) {
				text.WriteByte(r.char)
				b = b[len(r.name):]
				continue next
			}
		}
		return "", false
	}
}

// name reads an ASCII name with at most one prefix.
func (s *quick) name() (xml.Name, bool) {
	from, colon := s.i, -1
	for ; s.i < len(s.data); s.i++ {
		c := s.data[s.i]
		if c == ':' && colon < 0 && s.i > from {
			colon = s.i
			continue
		}
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (s.i == from || s.i == colon+1 || !('0' <= c && c <= '9') && c != '-' && c != '.') {
			break
		}
	}
	switch {
	case s.i == from || colon == s.i-1:
		return xml.Name{}, false
	case colon < 0:
		return xml.Name{Local: s.word(from, s.i)}, true
	}
	return xml.Name{Space: s.word(from, colon), Local: s.word(colon+1, s.i)}, true
}

func (s *quick) word(from, to int) string {
	if s.shared {
		return s.text[from:to]
	}
	return known(s.data[from:to])
}

// words are strings that most stanzas have, so that they cost no memory each time.
var words = func() map[string]string {
	m := make(map[string]string)
	for _, w := range []string{
		"message", "presence", "iq", "body", "subject", "thread", "show", "status", "priority", "error", "query", "ping",
		"from", "to", "id", "type", "xml", "lang", "xmlns", "node", "ver", "hash", "c", "x", "item", "feature", "identity", "var", "name",
		"category", "chat", "get", "set", "result", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe",
		"away", "xa", "dnd", "en", "sha-1", "jingle", "content", "description", "transport", "candidate", "payload-type", "parameter", "value",
		NSPing, NSDiscoInfo, NSCaps, NSStanzas,
	} {
		m[w] = w
	}
	return m
}()

// known is the string of b.
func known(b []byte) string {
	if w, ok := words[string(b)]; ok {
		return w
	}
	return string(b)
}

// space skips white space and tells whether there was any.
func (s *quick) space() bool {
	from := s.i
	for s.i < len(s.data) {
		switch s.data[s.i] {
		case ' ', '\n', '\r', '\t':
			s.i++
			continue
		}
		break
	}
	return s.i > from
}

func (s *quick) take(c byte) bool {
	if s.i < len(s.data) && s.data[s.i] == c {
		s.i++
		return true
	}
	return false
}

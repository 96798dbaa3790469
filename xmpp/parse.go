package xmpp

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds against stanzas that are small but costly: both loops below are quadratic.
const (
	maxAttributes = 256  // of one element
	maxBindings   = 1024 // namespace declarations in scope
)

// parser turns the bytes of one element into an Element. Tokens come from encoding/xml; names, scopes and
// the match of start and end tags are done here, because xml.Decoder lets an undeclared prefix pass as a
// namespace and an attribute appear twice.
type parser struct {
	src frameReader
	xml *xml.Decoder

	ns    []binding // declarations in scope, innermost last
	base  int       // of them, those of the stream header
	open  []openElement
	nodes []Node // content of the open elements, innermost last
}

type binding struct{ prefix, space string }

type openElement struct {
	elem      *Element
	raw       xml.Name // Space is the prefix
	ns, nodes int      // lengths to go back to
}

// frameReader is an io.ByteReader, so that xml.Decoder puts no buffer in front of it.
type frameReader struct {
	data []byte
	i    int
}

func (r *frameReader) ReadByte() (byte, error) {
	if r.i >= len(r.data) {
		return 0, io.EOF
	}
	c := r.data[r.i]
	r.i++
	return c, nil
}

func (r *frameReader) Read([]byte) (int, error) { return 0, io.EOF } // never used, xml.NewDecoder wants it

// reset starts on the bytes of another element within the scope of the stream header.
func (p *parser) reset(frame []byte) {
	p.src.data, p.src.i = frame, 0
	if p.xml == nil {
		p.xml = xml.NewDecoder(&p.src)
	}
	p.ns = p.ns[:p.base]
}

// abandon leaves an element half parsed.
func (p *parser) abandon() { p.xml = nil }

func (p *parser) token() (xml.Token, error) {
	t, err := p.xml.RawToken()
	switch {
	case err == nil:
		return t, nil
	case err == io.EOF:
		return nil, fmt.Errorf("%w: element ends too early", ErrNotWellFormed)
	}
	return nil, fmt.Errorf("%w: %s", ErrNotWellFormed, strings.TrimPrefix(err.Error(), "XML syntax error "))
}

// start reads a start tag and leaves its namespaces in scope. It also returns the raw name.
func (p *parser) start() (*Element, xml.Name, error) {
	t, err := p.token()
	if err != nil {
		return nil, xml.Name{}, err
	}
	s, ok := t.(xml.StartElement)
	if !ok {
		return nil, xml.Name{}, fmt.Errorf("%w: no start tag", ErrNotWellFormed)
	}
	e := &Element{Name: s.Name, Attr: s.Attr}
	return e, s.Name, p.scope(e)
}

// element parses the whole frame, which holds exactly one element.
func (p *parser) element() (*Element, error) {
	p.open = p.open[:0]
	p.nodes = p.nodes[:0]
	for {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e := &Element{Name: t.Name, Attr: t.Attr}
			ns := len(p.ns)
			if err := p.scope(e); err != nil {
				return nil, err
			}
			if len(p.open) > 0 {
				p.nodes = append(p.nodes, Node{Elem: e})
			}
			p.open = append(p.open, openElement{elem: e, raw: t.Name, ns: ns, nodes: len(p.nodes)})
		case xml.EndElement:
			if len(p.open) == 0 || p.open[len(p.open)-1].raw != t.Name {
				return nil, fmt.Errorf("%w: end tag </%s> has no start tag", ErrNotWellFormed, rawName(t.Name))
			}
			top := p.open[len(p.open)-1]
			p.open = p.open[:len(p.open)-1]
			p.close(top)
			if len(p.open) == 0 {
				return top.elem, nil
			}
		case xml.CharData:
			p.text(string(t))
		default:
			return nil, ErrRestrictedXML
		}
	}
}

// text adds character data; what a CDATA section split is joined again.
func (p *parser) text(s string) {
	if n := len(p.nodes); n > p.open[len(p.open)-1].nodes && p.nodes[n-1].Elem == nil {
		p.nodes[n-1].Text += s
		return
	}
	p.nodes = append(p.nodes, Node{Text: s})
}

// close moves the collected content into its element, in a slice of the right size.
func (p *parser) close(o openElement) {
	if content := p.nodes[o.nodes:]; len(content) > 0 {
		o.elem.Children = append(make([]Node, 0, len(content)), content...)
		clear(content)
		p.nodes = p.nodes[:o.nodes]
	}
	p.ns = p.ns[:o.ns]
}

// scope takes the namespace declarations out of an element and puts URIs in the place of prefixes, as
// "Namespaces in XML 1.0" has it.
func (p *parser) scope(e *Element) error {
	if len(e.Attr) > maxAttributes {
		return fmt.Errorf("%w: %d attributes", errOversize, len(e.Attr))
	}
	mark := len(p.ns)
	kept := e.Attr[:0]
	for _, a := range e.Attr {
		switch {
		case a.Name.Space == "xmlns":
			if err := p.bind(mark, a.Name.Local, a.Value); err != nil {
				return err
			}
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			if err := p.bind(mark, "", a.Value); err != nil {
				return err
			}
		default:
			kept = append(kept, a)
		}
	}
	if len(p.ns) > maxBindings {
		return fmt.Errorf("%w: %d namespaces", errOversize, len(p.ns))
	}
	if err := p.translate(&e.Name); err != nil {
		return err
	}
	for i := range kept {
		if kept[i].Name.Space != "" || strings.IndexByte(kept[i].Name.Local, ':') >= 0 {
			if err := p.translate(&kept[i].Name); err != nil {
				return err
			}
		}
		for j := range i {
			if kept[j].Name == kept[i].Name {
				return fmt.Errorf("%w: attribute %q twice", ErrNotWellFormed, kept[i].Name.Local)
			}
		}
	}
	e.Attr = kept
	if len(kept) == 0 {
		e.Attr = nil
	}
	return nil
}

// bind declares a prefix; those after mark belong to the same element.
func (p *parser) bind(mark int, prefix, space string) error {
	switch {
	case (prefix == "xml") != (space == NSXML), prefix == "xmlns", space == NSXMLNS, prefix != "" && space == "":
		return fmt.Errorf("%w: forbidden namespace declaration %q", ErrNotWellFormed, prefix)
	}
	for _, b := range p.ns[mark:] {
		if b.prefix == prefix {
			return fmt.Errorf("%w: namespace prefix %q declared twice", ErrNotWellFormed, prefix)
		}
	}
	p.ns = append(p.ns, binding{prefix, space})
	return nil
}

// translate puts the URI in the place of the prefix. The local part must be a name of its own, because it
// is written without prefix when the element is sent on.
func (p *parser) translate(n *xml.Name) error {
	if strings.IndexByte(n.Local, ':') >= 0 || n.Space != "" && !startsName(n.Local) {
		return fmt.Errorf("%w: name %q", ErrNotWellFormed, rawName(*n))
	}
	if n.Space == "xml" {
		n.Space = NSXML
		return nil
	}
	for i := len(p.ns) - 1; i >= 0; i-- {
		if p.ns[i].prefix == n.Space {
			n.Space = p.ns[i].space
			return nil
		}
	}
	if n.Space == "" {
		return nil
	}
	return fmt.Errorf("%w: namespace prefix %q is not declared", ErrNotWellFormed, n.Space)
}

func startsName(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return r == '_' || unicode.IsLetter(r)
}

func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// ParseElement reads one element from a document of its own: an XML declaration in front of it and white
// space around it are allowed, comments, processing instructions and DTDs are not. Errors wrap
// ErrNotWellFormed or ErrRestrictedXML; nesting beyond the default limit is *ErrTooLarge.
func ParseElement(data []byte) (*Element, error) { return parseIn("", data) }

// parseIn parses data where space is the default namespace.
func parseIn(space string, data []byte) (*Element, error) {
	limits := Limits{Bytes: len(data) + 1, Children: len(data)}.withDefaults()
	d := Decoder{f: framer{buf: data, end: len(data), limits: limits}}
	if space != "" {
		d.p.ns = append(d.p.ns, binding{"", space})
		d.p.base = 1
	}
	if err := d.declaration(); err != nil {
		return nil, document(err)
	}
	e, err := d.Next()
	if err != nil {
		return nil, document(err)
	}
	switch err := d.f.skipSpace(); err {
	case io.EOF:
		return e, nil
	case nil:
		return nil, fmt.Errorf("%w: something after the element", ErrNotWellFormed)
	default:
		return nil, err
	}
}

// document turns errors about a stream into errors about a document.
func document(err error) error {
	switch err {
	case io.EOF, io.ErrUnexpectedEOF:
		return fmt.Errorf("%w: no complete element", ErrNotWellFormed)
	case ErrStreamClosed:
		return fmt.Errorf("%w: end tag without start tag", ErrNotWellFormed)
	}
	return err
}

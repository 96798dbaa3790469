package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// Limits bound one child of the stream. A zero field means its default.
type Limits struct {
	Bytes    int // length on the wire, default 256 KiB
	Depth    int // nesting, the stanza itself included, default 64
	Children int // elements inside of the stanza on all levels, default 4096
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 256 << 10
	}
	if l.Depth <= 0 {
		l.Depth = 64
	}
	if l.Children <= 0 {
		l.Children = 4096
	}
	return l
}

// Decoder reads the children of one stream as elements. It is not safe for concurrent use.
type Decoder struct {
	f      framer
	p      parser
	header *Element // of the stream, nil before it was read
	name   string   // of the stream's element as on the wire, for the end tag
	raw    []byte
}

// NewDecoder reads from r. It buffers itself; r need not.
func NewDecoder(r io.Reader, l Limits) *Decoder {
	return &Decoder{f: framer{r: r, limits: l.withDefaults()}}
}

// Open reads a stream header and returns it as an element without content. It may be called again where the
// protocol restarts the stream on the same connection (RFC 6120 §4.3.3). An error ends the stream.
func (d *Decoder) Open() (*Element, error) {
	err := d.declaration()
	var frame []byte
	if err == nil {
		frame, err = d.f.header()
	}
	if err == errOversize {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrBadStream, d.f.limits.Bytes)
	}
	if err != nil {
		return nil, err
	}
	d.raw = frame
	d.p.base = 0
	d.p.reset(frame)
	e, name, err := d.p.start()
	if err != nil {
		return nil, err
	}
	d.p.base = len(d.p.ns)
	d.header, d.name = e, rawName(name)
	return e, nil
}

// declaration reads and checks an XML declaration if there is one.
func (d *Decoder) declaration() error {
	frame, err := d.f.declaration()
	if err != nil || frame == nil {
		return err
	}
	d.p.reset(frame)
	t, err := d.p.token()
	if err != nil {
		return err
	}
	if pi, ok := t.(xml.ProcInst); !ok || pi.Target != "xml" {
		return ErrRestrictedXML
	}
	return nil
}

// Header returns what Open returned last, nil before.
func (d *Decoder) Header() *Element { return d.header }

// Namespace returns the default namespace that the stream header declared: the one stanzas are in.
func (d *Decoder) Namespace() string {
	for _, b := range d.p.ns[:d.p.base] {
		if b.prefix == "" {
			return b.space
		}
	}
	return ""
}

// Raw returns the bytes of the element that Open or Next returned last, valid until either is called again.
func (d *Decoder) Raw() []byte { return d.raw }

// XML returns a view through which stanza.InitStream reads the stream header, as Open would. The view ends
// after the header: everything behind it is read with Next.
func (d *Decoder) XML() *xml.Decoder { return xml.NewTokenDecoder(&headerTokens{d: d}) }

type headerTokens struct {
	d    *Decoder
	done bool
}

// Token yields the start tag in raw form, since the xml.Decoder on top translates names itself: the prefix
// of the element has to be declared again. Attributes in a namespace are left out.
func (h *headerTokens) Token() (xml.Token, error) {
	if h.done {
		return nil, io.EOF
	}
	h.done = true
	e, err := h.d.Open()
	if err != nil {
		return nil, err
	}
	t := xml.StartElement{Name: xml.Name{Local: e.Name.Local}}
	t.Attr = append(t.Attr, xml.Attr{Name: xml.Name{Local: "xmlns"}, Value: e.Name.Space})
	for _, a := range e.Attr {
		if a.Name.Space == "" {
			t.Attr = append(t.Attr, a)
		}
	}
	return t, nil
}

// Next returns the next child of the stream.
//
// The error is ErrStreamClosed after </stream:stream>, and an *ErrTooLarge for an element beyond the limits,
// which was skipped: Next may be called again. All other errors end the stream: ErrNotWellFormed,
// ErrRestrictedXML, io.EOF when the connection ended between two elements, io.ErrUnexpectedEOF when it ended
// within one, or what the reader gave.
func (d *Decoder) Next() (*Element, error) {
	d.raw = nil
	frame, err := d.f.next()
	if err == errOversize {
		tooLarge := d.tooLarge(d.f.data()[:d.f.firstTag])
		if err := d.f.skip(); err != nil {
			return nil, err
		}
		return nil, tooLarge
	}
	if err != nil {
		return nil, err
	}
	if frame[1] == '/' {
		return nil, d.closed(frame)
	}
	d.p.reset(frame)
	e, ok, err := d.p.quickElement(frame, d.f.elements)
	if !ok {
		d.p.reset(frame)
		e, err = d.p.element()
	}
	if errors.Is(err, errOversize) {
		return nil, d.tooLarge(frame[:d.f.firstTag])
	}
	if err != nil {
		return nil, err
	}
	d.raw = frame
	return e, nil
}

// closed judges an end tag outside of any stanza.
func (d *Decoder) closed(frame []byte) error {
	name := bytes.TrimRight(frame[len("</"):len(frame)-1], " \t\r\n")
	if d.header == nil || string(name) != d.name {
		return fmt.Errorf("%w: end tag </%.80s> has no start tag", ErrNotWellFormed, name)
	}
	return ErrStreamClosed
}

// ErrTooLarge is the error for an element beyond the limits. It holds what its start tag said, as far as
// that was within the limits itself, so that the sender can be answered.
type ErrTooLarge struct {
	Name               xml.Name
	From, To, ID, Type string
}

func (e *ErrTooLarge) Error() string {
	return "xmpp: element <" + e.Name.Local + "/> is too large"
}

// tooLarge reads the header of an element that was given up.
func (d *Decoder) tooLarge(tag []byte) *ErrTooLarge {
	d.p.abandon()
	d.p.reset(tag)
	defer d.p.abandon()
	e, _, err := d.p.start()
	if err != nil {
		return &ErrTooLarge{}
	}
	return &ErrTooLarge{
		Name: e.Name,
		From: e.Attribute("from"), To: e.Attribute("to"), ID: e.Attribute("id"), Type: e.Attribute("type"),
	}
}

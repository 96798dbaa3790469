package xmpp

import (
	"encoding/xml"
	"iter"
	"strconv"
	"strings"
)

// Element is one XML element with everything in it. Name.Space is the namespace URI; prefixes are gone.
// Attr holds no namespace declarations. Children are in document order.
type Element struct {
	Name     xml.Name
	Attr     []xml.Attr
	Children []Node
}

// Node is one piece of content: an element, or character data when Elem is nil.
type Node struct {
	Elem *Element
	Text string
}

// NewElement returns an empty element. The name must be an XML name; it is not checked.
func NewElement(space, local string) *Element {
	return &Element{Name: xml.Name{Space: space, Local: local}}
}

// Set sets an attribute without namespace and returns e. An empty value is kept as an empty attribute.
func (e *Element) Set(local, value string) *Element { return e.SetNS("", local, value) }

// SetNS sets an attribute of a namespace, such as SetNS(NSXML, "lang", "de"), and returns e.
func (e *Element) SetNS(space, local, value string) *Element {
	name := xml.Name{Space: space, Local: local}
	for i := range e.Attr {
		if e.Attr[i].Name == name {
			e.Attr[i].Value = value
			return e
		}
	}
	e.Attr = append(e.Attr, xml.Attr{Name: name, Value: value})
	return e
}

// Add appends child elements and returns e; nil ones are left out.
func (e *Element) Add(c ...*Element) *Element {
	for _, child := range c {
		if child != nil {
			e.Children = append(e.Children, Node{Elem: child})
		}
	}
	return e
}

// AddText appends character data and returns e; an empty text changes nothing.
func (e *Element) AddText(s string) *Element {
	if s == "" {
		return e
	}
	if n := len(e.Children); n > 0 && e.Children[n-1].Elem == nil {
		e.Children[n-1].Text += s
		return e
	}
	e.Children = append(e.Children, Node{Text: s})
	return e
}

// Attribute returns the value of an attribute without namespace, "" if there is none.
func (e *Element) Attribute(local string) string { return e.AttributeNS("", local) }

// AttributeNS returns the value of an attribute by its exact name, "" if there is none.
func (e *Element) AttributeNS(space, local string) string {
	for i := range e.Attr {
		if e.Attr[i].Name.Local == local && e.Attr[i].Name.Space == space {
			return e.Attr[i].Value
		}
	}
	return ""
}

// Is tells whether e has this exact name; it is false for nil.
func (e *Element) Is(space, local string) bool {
	return e != nil && e.Name.Local == local && e.Name.Space == space
}

// Child returns the first direct child with this exact name, or nil. It may be called on nil.
func (e *Element) Child(space, local string) *Element {
	if e == nil {
		return nil
	}
	for i := range e.Children {
		if c := e.Children[i].Elem; c.Is(space, local) {
			return c
		}
	}
	return nil
}

// Elements yields the direct child elements.
func (e *Element) Elements() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		if e == nil {
			return
		}
		for i := range e.Children {
			if c := e.Children[i].Elem; c != nil && !yield(c) {
				return
			}
		}
	}
}

// Text returns the direct character data, joined. It may be called on nil.
func (e *Element) Text() string {
	switch {
	case e == nil || len(e.Children) == 0:
		return ""
	case len(e.Children) == 1:
		return e.Children[0].Text
	}
	var b strings.Builder
	for i := range e.Children {
		if e.Children[i].Elem == nil {
			b.WriteString(e.Children[i].Text)
		}
	}
	return b.String()
}

// Clone returns a deep copy.
func (e *Element) Clone() *Element {
	if e == nil {
		return nil
	}
	c := &Element{Name: e.Name}
	if e.Attr != nil {
		c.Attr = append(make([]xml.Attr, 0, len(e.Attr)), e.Attr...)
	}
	if e.Children != nil {
		c.Children = make([]Node, len(e.Children))
		for i, n := range e.Children {
			c.Children[i] = Node{Elem: n.Elem.Clone(), Text: n.Text}
		}
	}
	return c
}

// Append writes the element to dst. parentSpace is the default namespace at that place; xmlns is written
// only where the namespace changes. Characters that XML forbids become U+FFFD.
func (e *Element) Append(dst []byte, parentSpace string) []byte {
	dst = append(dst, '<')
	dst = append(dst, e.Name.Local...)
	if e.Name.Space != parentSpace {
		dst = append(dst, " xmlns='"...)
		dst = appendAttr(dst, e.Name.Space)
		dst = append(dst, '\'')
	}
	for i := range e.Attr {
		dst = appendAttribute(dst, &e.Attr[i], i)
	}
	if len(e.Children) == 0 {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	for i := range e.Children {
		if c := e.Children[i].Elem; c != nil {
			dst = c.Append(dst, e.Name.Space)
		} else {
			dst = appendText(dst, e.Children[i].Text)
		}
	}
	dst = append(dst, '<', '/')
	dst = append(dst, e.Name.Local...)
	return append(dst, '>')
}

// appendAttribute writes the i-th attribute of an element. One in a namespace other than xml: brings its own
// prefix, made from its place, so nothing has to be remembered.
func appendAttribute(dst []byte, a *xml.Attr, i int) []byte {
	switch a.Name.Space {
	case "":
		if a.Name.Local == "xmlns" {
			return dst // would move the whole subtree into another namespace
		}
		dst = append(dst, ' ')
	case NSXML:
		dst = append(dst, " xml:"...)
	case NSXMLNS:
		return dst
	default:
		prefix := "ns" + strconv.Itoa(i)
		dst = append(dst, " xmlns:"...)
		dst = append(dst, prefix...)
		dst = append(dst, '=', '\'')
		dst = appendAttr(dst, a.Name.Space)
		dst = append(dst, '\'', ' ')
		dst = append(dst, prefix...)
		dst = append(dst, ':')
	}
	dst = append(dst, a.Name.Local...)
	dst = append(dst, '=', '\'')
	dst = appendAttr(dst, a.Value)
	return append(dst, '\'')
}

// String returns the element as a document of its own.
func (e *Element) String() string {
	if e == nil {
		return ""
	}
	return string(e.Append(nil, ""))
}

// Package rlmi reads and writes what a resource list server sends (RFC 4662): the application/rlmi+xml document
// with the state of each subscription of the list, and the multipart/related body that carries it together with
// the documents of the resources.
//
// Decisions that bind the package:
//
//   - An instance that is active has a part in the same body (RFC 4662 §5.5), so what does not fit into one
//     message is not cut but told later: see Split.
//   - A document of a resource is bytes with a media type. What is in it is somebody else's format.
//   - The bytes of a body follow from its content alone, boundary included.
package rlmi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// NS is the XML namespace of the document.
const NS = "urn:ietf:params:xml:ns:rlmi"

// ContentType is the media type of the document by itself; a body has that of Body.ContentType.
const ContentType = "application/rlmi+xml"

// Limits of ParseList and ParseBody.
const (
	// MaxSize is the most bytes that either takes.
	MaxSize = 512 << 10

	maxResources = 1024
	maxInstances = 2048 // of all resources
	maxNames     = 16   // of the list or one resource
	maxDepth     = 16
)

// Errors of ParseList and ParseBody, wrapped with the reason. A request is answered 400, 413 and 415 for them.
var (
	// ErrMalformed: no well-formed XML or multipart body, XML with a document type, or something mandatory is
	// missing.
	ErrMalformed = errors.New("rlmi: malformed document")
	// ErrTooLarge: beyond MaxSize, too deep, too many resources or parts.
	ErrTooLarge = errors.New("rlmi: document too large")
	// ErrUnsupported: a document or body of another kind.
	ErrUnsupported = errors.New("rlmi: not a resource list")
)

// List is the state of a resource list.
type List struct {
	URI       string
	Version   uint32 // 0 in the first notification of a subscription, one more in each that follows
	Full      bool   // every resource of the list is in it
	Names     []Name
	CID       string // part with the state of the list as a whole; empty in presence
	Resources []Resource
}

// Name is a name for human readers.
type Name struct{ Lang, Text string }

// Resource is one member of the list.
type Resource struct {
	URI   string
	Names []Name
	// Instances are the subscriptions behind the resource: none when nothing is known yet, several when one forked.
	Instances []Instance
}

// State is that of a subscription, as in Subscription-State.
type State string

// The states of RFC 4662 §5.5.
const (
	Active     State = "active"
	Pending    State = "pending"
	Terminated State = "terminated"
)

// Instance is one subscription to a resource.
type Instance struct {
	ID     string // unique in the resource
	State  State
	Reason string // of Terminated, as in Subscription-State
	CID    string // Content-ID of the part with the resource's document, without angle brackets; mandatory when Active
}

// ParseList reads an rlmi+xml document. Resources without a URI, and instances without an id or in no state of
// the schema, are an error.
func ParseList(data []byte) (*List, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	x := xml.NewDecoder(bytes.NewReader(bytes.TrimLeft(data, " \t\r\n")))
	// Whatever is declared, what servers send is UTF-8, and encoding/xml refuses all else.
	x.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	p := parser{x: x, list: &List{}}
	if err := p.document(); err != nil {
		return nil, err
	}
	return p.list, nil
}

type parser struct {
	x         *xml.Decoder
	list      *List
	instances int
	text      strings.Builder
}

func (p *parser) document() error {
	var name *Name // the one that text belongs to
	for depth := 0; ; {
		tok, err := p.x.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		switch tok := tok.(type) {
		case xml.Directive:
			return fmt.Errorf("%w: document type", ErrMalformed)
		case xml.StartElement:
			depth++
			if name, err = p.start(tok, depth); err != nil {
				return err
			}
		case xml.CharData:
			if name != nil {
				p.text.Write(tok)
			}
		case xml.EndElement:
			if name != nil {
				name.Text = strings.TrimSpace(p.text.String())
				name = nil
			}
			if depth--; depth == 0 {
				return nil
			}
		}
	}
}

// start reads a start tag. The name is the one whose text follows.
func (p *parser) start(e xml.StartElement, depth int) (name *Name, err error) {
	l := p.list
	local := ""
	if e.Name.Space == NS {
		local = e.Name.Local
	}
	switch {
	case depth > maxDepth:
		return nil, fmt.Errorf("%w: deeper than %d", ErrTooLarge, maxDepth)
	case depth == 1:
		return nil, p.root(e)
	case depth == 2 && local == "name":
		return p.name(e, &l.Names), nil
	case depth == 2 && local == "resource":
		r := Resource{URI: attr(e, "uri")}
		if r.URI == "" {
			return nil, fmt.Errorf("%w: resource without uri", ErrMalformed)
		}
		if len(l.Resources) == maxResources {
			return nil, fmt.Errorf("%w: more than %d resources", ErrTooLarge, maxResources)
		}
		l.Resources = append(l.Resources, r)
	case depth == 3 && local == "name" && len(l.Resources) > 0:
		return p.name(e, &l.Resources[len(l.Resources)-1].Names), nil
	case depth == 3 && local == "instance" && len(l.Resources) > 0:
		return nil, p.instance(e)
	}
	return nil, nil
}

func (p *parser) root(e xml.StartElement) error {
	if e.Name.Space != NS || e.Name.Local != "list" {
		return fmt.Errorf("%w: root element %.64q in %.64q", ErrUnsupported, e.Name.Local, e.Name.Space)
	}
	l := p.list
	version, err := strconv.ParseUint(attr(e, "version"), 10, 32)
	if err != nil {
		return fmt.Errorf("%w: version", ErrMalformed)
	}
	l.Version, l.URI, l.CID = uint32(version), attr(e, "uri"), attr(e, "cid")
	switch attr(e, "fullState") {
	case "true", "1":
		l.Full = true
	case "false", "0":
	default:
		return fmt.Errorf("%w: fullState", ErrMalformed)
	}
	if l.URI == "" {
		return fmt.Errorf("%w: list without uri", ErrMalformed)
	}
	return nil
}

func (p *parser) name(e xml.StartElement, dst *[]Name) *Name {
	p.text.Reset()
	if len(*dst) == maxNames {
		return nil
	}
	var n Name
	for _, a := range e.Attr {
		if a.Name.Local == "lang" && (a.Name.Space == "xml" || a.Name.Space == "http://www.w3.org/XML/1998/namespace") {
			n.Lang = strings.TrimSpace(a.Value)
		}
	}
	*dst = append(*dst, n)
	return &(*dst)[len(*dst)-1]
}

func (p *parser) instance(e xml.StartElement) error {
	i := Instance{ID: attr(e, "id"), State: State(attr(e, "state")), Reason: attr(e, "reason"), CID: strings.Trim(attr(e, "cid"), "<>")}
	switch {
	case i.ID == "":
		return fmt.Errorf("%w: instance without id", ErrMalformed)
	case i.State != Active && i.State != Pending && i.State != Terminated:
		return fmt.Errorf("%w: instance state %.32q", ErrMalformed, i.State)
	case p.instances == maxInstances:
		return fmt.Errorf("%w: more than %d instances", ErrTooLarge, maxInstances)
	}
	p.instances++
	r := &p.list.Resources[len(p.list.Resources)-1]
	r.Instances = append(r.Instances, i)
	return nil
}

func attr(e xml.StartElement, local string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == local {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// Append writes the document, in the order of the schema, and returns the extended buffer.
func (l *List) Append(dst []byte) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<list xmlns="`+NS+`"`...)
	dst = appendAttr(dst, "uri", l.URI)
	dst = append(dst, ` version="`...)
	dst = strconv.AppendUint(dst, uint64(l.Version), 10)
	dst = append(dst, `" fullState="`...)
	dst = strconv.AppendBool(dst, l.Full)
	dst = append(dst, '"')
	if l.CID != "" {
		dst = appendAttr(dst, "cid", l.CID)
	}
	dst = append(dst, '>')
	dst = appendNames(dst, l.Names)
	for i := range l.Resources {
		dst = l.Resources[i].append(dst)
	}
	return append(dst, "</list>"...)
}

func (r *Resource) append(dst []byte) []byte {
	dst = append(dst, "<resource"...)
	dst = appendAttr(dst, "uri", r.URI)
	dst = append(dst, '>')
	dst = appendNames(dst, r.Names)
	for _, x := range r.Instances {
		dst = append(dst, "<instance"...)
		dst = appendAttr(dst, "id", x.ID)
		dst = appendAttr(dst, "state", string(x.State))
		if x.Reason != "" {
			dst = appendAttr(dst, "reason", x.Reason)
		}
		if x.CID != "" {
			dst = appendAttr(dst, "cid", x.CID)
		}
		dst = append(dst, "/>"...)
	}
	return append(dst, "</resource>"...)
}

func (l *List) String() string { return string(l.Append(nil)) }

func appendNames(dst []byte, names []Name) []byte {
	for _, n := range names {
		dst = append(dst, "<name"...)
		if n.Lang != "" {
			dst = appendAttr(dst, "xml:lang", n.Lang)
		}
		dst = append(dst, '>')
		dst = appendEscaped(dst, n.Text)
		dst = append(dst, "</name>"...)
	}
	return dst
}

func appendAttr(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(appendEscaped(dst, value), '"')
}

// appendEscaped writes text or the value of an attribute. What XML has no place for becomes U+FFFD.
func appendEscaped(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r == '\t' || r == '\n' || r == '\r':
			dst = append(dst, ' ') // in none of the values they have a meaning
		case r < ' ' || r == 0xFFFE || r == 0xFFFF:
			dst = append(dst, "\uFFFD"...)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// Package watcherinfo reads and writes application/watcherinfo+xml documents (RFC 3858): who watches a resource,
// or would like to. What the states mean, and when which event happens, is the template package of RFC 3857.
//
// The document is read by namespace, never by prefix, and a watcher whose status or event is none of the schema
// is left out: nobody could act on it.
package watcherinfo

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// NS is the XML namespace of the document.
const NS = "urn:ietf:params:xml:ns:watcherinfo"

// ContentType is the media type of the format.
const ContentType = "application/watcherinfo+xml"

// Limits of Parse.
const (
	// MaxSize is the most bytes that Parse takes.
	MaxSize = 256 << 10

	maxLists    = 64
	maxWatchers = 2048 // in all lists
	maxDepth    = 16
)

// Errors of Parse, wrapped with the reason. A request is answered 400, 413 and 415 for them.
var (
	// ErrMalformed: no well-formed XML, XML with a document type, or a mandatory attribute is missing.
	ErrMalformed = errors.New("watcherinfo: malformed document")
	// ErrTooLarge: beyond MaxSize, or too deep.
	ErrTooLarge = errors.New("watcherinfo: document too large")
	// ErrUnsupported: XML of another kind.
	ErrUnsupported = errors.New("watcherinfo: not a watcherinfo document")
)

// Status is the state of a subscription (RFC 3857 §4.7.1).
type Status string

// The statuses.
const (
	Pending    Status = "pending"    // nobody has decided yet
	Active     Status = "active"     // approved
	Waiting    Status = "waiting"    // gave up while pending; kept so that the decision can still be made
	Terminated Status = "terminated" // over
)

func (s Status) valid() bool {
	switch s {
	case Pending, Active, Waiting, Terminated:
		return true
	}
	return false
}

// Event is what brought a subscription into its state (RFC 3857 §4.7.1).
type Event string

// The events.
const (
	Subscribe   Event = "subscribe"
	Approved    Event = "approved"
	Deactivated Event = "deactivated"
	Probation   Event = "probation"
	Rejected    Event = "rejected"
	Timeout     Event = "timeout" // it ran out, or the watcher ended it
	GiveUp      Event = "giveup"  // it waited too long for approval
	NoResource  Event = "noresource"
)

func (e Event) valid() bool {
	switch e {
	case Subscribe, Approved, Deactivated, Probation, Rejected, Timeout, GiveUp, NoResource:
		return true
	}
	return false
}

// Document is one notification.
type Document struct {
	Version uint64 // 0 in the first of a subscription, one more in each that follows
	Partial bool   // only watchers that changed since the last version
	Lists   []List
	Dropped int // watchers and lists that Parse left out: too many, or in no state of the schema
}

// List is the watchers of one resource.
type List struct {
	Resource string // URI
	Package  string // event package: "presence"
	Watchers []Watcher
}

// Watcher is one subscription.
type Watcher struct {
	ID         string // a token, unique in the subscription to the watcher information
	URI        string // of the watcher
	Status     Status
	Event      Event
	Name       string        // display-name
	Lang       string        // of Name
	Expiration time.Duration // until the subscription ends; whole seconds, 0 when not told
	Subscribed time.Duration // since the subscription began; whole seconds, 0 when not told
}

// Parse reads a document.
func Parse(data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	x := xml.NewDecoder(bytes.NewReader(bytes.TrimLeft(data, " \t\r\n")))
	// Whatever is declared, what phones send is UTF-8, and encoding/xml refuses all else.
	x.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	p := parser{x: x, doc: &Document{}}
	if err := p.document(); err != nil {
		return nil, err
	}
	return p.doc, nil
}

type parser struct {
	x        *xml.Decoder
	doc      *Document
	watchers int
}

func (p *parser) document() error {
	var text strings.Builder
	var watcher *Watcher // the one that text belongs to
	for depth := 0; ; {
		tok, err := p.x.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		switch tok := tok.(type) {
		case xml.Directive:
			return fmt.Errorf("%w: document type", ErrMalformed)
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: deeper than %d", ErrTooLarge, maxDepth)
			}
			switch {
			case depth == 1:
				err = p.root(tok)
			case depth == 2 && tok.Name == name("watcher-list"):
				err = p.list(tok)
			case depth == 2:
				err = p.x.Skip()
				depth--
			case depth == 3 && tok.Name == name("watcher") && len(p.doc.Lists) > 0:
				watcher, err = p.watcher(tok)
				text.Reset()
			}
			if err != nil {
				return wrap(err)
			}
		case xml.CharData:
			if depth == 3 && watcher != nil {
				text.Write(tok)
			}
		case xml.EndElement:
			if depth == 3 && watcher != nil {
				watcher.URI = strings.TrimSpace(text.String())
				p.add(*watcher)
				watcher = nil
			}
			if depth--; depth == 0 {
				return nil
			}
		}
	}
}

// wrap gives errors of encoding/xml our name.
func wrap(err error) error {
	if errors.Is(err, ErrMalformed) || errors.Is(err, ErrUnsupported) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

func name(local string) xml.Name { return xml.Name{Space: NS, Local: local} }

func attr(e xml.StartElement, local string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == local {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

func (p *parser) root(e xml.StartElement) (err error) {
	if e.Name != name("watcherinfo") {
		return fmt.Errorf("%w: root element %.64q in %.64q", ErrUnsupported, e.Name.Local, e.Name.Space)
	}
	if p.doc.Version, err = strconv.ParseUint(attr(e, "version"), 10, 64); err != nil {
		return fmt.Errorf("%w: version", ErrMalformed)
	}
	switch attr(e, "state") {
	case "full":
	case "partial":
		p.doc.Partial = true
	default:
		return fmt.Errorf("%w: state", ErrMalformed)
	}
	return nil
}

func (p *parser) list(e xml.StartElement) error {
	l := List{Resource: attr(e, "resource"), Package: attr(e, "package")}
	if l.Resource == "" || l.Package == "" {
		return fmt.Errorf("%w: watcher-list without resource or package", ErrMalformed)
	}
	if len(p.doc.Lists) == maxLists {
		return fmt.Errorf("%w: more than %d lists", ErrMalformed, maxLists)
	}
	p.doc.Lists = append(p.doc.Lists, l)
	return nil
}

func (p *parser) watcher(e xml.StartElement) (*Watcher, error) {
	w := &Watcher{ID: attr(e, "id"), Status: Status(attr(e, "status")), Event: Event(attr(e, "event")), Name: attr(e, "display-name")}
	if w.ID == "" {
		return nil, fmt.Errorf("%w: watcher without id", ErrMalformed)
	}
	w.Expiration, w.Subscribed = seconds(attr(e, "expiration")), seconds(attr(e, "duration-subscribed"))
	for _, a := range e.Attr {
		if a.Name.Local == "lang" && (a.Name.Space == "xml" || a.Name.Space == "http://www.w3.org/XML/1998/namespace") {
			w.Lang = strings.TrimSpace(a.Value)
		}
	}
	return w, nil
}

// seconds reads an unsignedLong. A century stands for what is longer.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(min(n, 100*365*24*3600)) * time.Second
}

func (p *parser) add(w Watcher) {
	if !w.Status.valid() || !w.Event.valid() || w.URI == "" || p.watchers == maxWatchers {
		p.doc.Dropped++
		return
	}
	p.watchers++
	l := &p.doc.Lists[len(p.doc.Lists)-1]
	l.Watchers = append(l.Watchers, w)
}

// Append writes the document and returns the extended buffer. The same document gives the same bytes.
func (d *Document) Append(dst []byte) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<watcherinfo xmlns="`+NS+`" version="`...)
	dst = strconv.AppendUint(dst, d.Version, 10)
	if d.Partial {
		dst = append(dst, `" state="partial">`...)
	} else {
		dst = append(dst, `" state="full">`...)
	}
	for i := range d.Lists {
		l := &d.Lists[i]
		dst = append(dst, "<watcher-list"...)
		dst = appendAttr(dst, "resource", l.Resource)
		dst = appendAttr(dst, "package", l.Package)
		dst = append(dst, '>')
		for i := range l.Watchers {
			dst = l.Watchers[i].append(dst)
		}
		dst = append(dst, "</watcher-list>"...)
	}
	return append(dst, "</watcherinfo>"...)
}

func (d *Document) String() string { return string(d.Append(nil)) }

func (w *Watcher) append(dst []byte) []byte {
	dst = append(dst, "<watcher"...)
	if w.Name != "" {
		dst = appendAttr(dst, "display-name", w.Name)
	}
	dst = appendAttr(dst, "status", string(w.Status))
	dst = appendAttr(dst, "event", string(w.Event))
	if s := int64(w.Expiration / time.Second); s > 0 {
		dst = appendAttr(dst, "expiration", strconv.FormatInt(s, 10))
	}
	dst = appendAttr(dst, "id", w.ID)
	if s := int64(w.Subscribed / time.Second); s > 0 {
		dst = appendAttr(dst, "duration-subscribed", strconv.FormatInt(s, 10))
	}
	if w.Lang != "" {
		dst = appendAttr(dst, "xml:lang", w.Lang)
	}
	dst = append(dst, '>')
	dst = appendEscaped(dst, w.URI)
	return append(dst, "</watcher>"...)
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

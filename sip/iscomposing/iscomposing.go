// Package iscomposing reads and writes application/im-iscomposing+xml documents (RFC 3994): "I am
// typing", told by SIP. How long a state lives is the business of whoever holds the timers.
//
// The document is read by namespace, never by prefix. A state that is not known counts as idle
// (RFC 3994 §3.2), so that a new word never leaves a peer typing for ever.
package iscomposing

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// NS is the XML namespace of the document.
const NS = "urn:ietf:params:xml:ns:im-iscomposing"

// ContentType is the media type of the format.
const ContentType = "application/im-iscomposing+xml"

// maxSize bounds what Parse looks at, in bytes; real documents have about 300.
const maxSize = 16 << 10

// ErrMalformed is returned by Parse for what is no isComposing document, wrapped with the reason.
var ErrMalformed = errors.New("iscomposing: malformed document")

// State is what the peer does.
type State uint8

const (
	// Idle is the zero value: not typing (RFC 3994 §3.2).
	Idle State = iota
	// Active: typing.
	Active
)

func (s State) String() string {
	if s == Active {
		return "active"
	}
	return "idle"
}

// Document is one status message.
type Document struct {
	State       State
	LastActive  time.Time     // zero when absent
	ContentType string        // media type being composed, such as "text/plain"; empty when absent
	Refresh     time.Duration // how long an active state lives without news; whole seconds, 0 when absent
}

type document struct {
	XMLName     xml.Name `xml:"urn:ietf:params:xml:ns:im-iscomposing isComposing"`
	State       *string  `xml:"urn:ietf:params:xml:ns:im-iscomposing state"`
	LastActive  string   `xml:"urn:ietf:params:xml:ns:im-iscomposing lastactive"`
	ContentType string   `xml:"urn:ietf:params:xml:ns:im-iscomposing contenttype"`
	Refresh     string   `xml:"urn:ietf:params:xml:ns:im-iscomposing refresh"`
}

// Parse reads a document. A refresh or time that cannot be read is treated as absent; a missing
// state is an error.
func Parse(data []byte) (Document, error) {
	if len(data) > maxSize {
		return Document{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	var x document
	if err := xml.NewDecoder(bytes.NewReader(data)).Decode(&x); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if x.State == nil {
		return Document{}, fmt.Errorf("%w: no state", ErrMalformed)
	}
	d := Document{ContentType: strings.TrimSpace(x.ContentType)}
	if strings.TrimSpace(*x.State) == "active" {
		d.State = Active
	}
	if t, err := time.Parse(time.RFC3339, strings.TrimSpace(x.LastActive)); err == nil {
		d.LastActive = t
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(x.Refresh), 10, 31); err == nil {
		d.Refresh = time.Duration(n) * time.Second
	}
	return d, nil
}

// Append writes the document, children in the order of the schema, and returns the extended buffer.
func (d Document) Append(dst []byte) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<isComposing xmlns="`+NS+`"><state>`...)
	dst = append(dst, d.State.String()...)
	dst = append(dst, "</state>"...)
	if !d.LastActive.IsZero() {
		dst = append(dst, "<lastactive>"...)
		dst = d.LastActive.UTC().AppendFormat(dst, time.RFC3339)
		dst = append(dst, "</lastactive>"...)
	}
	if d.ContentType != "" {
		dst = append(dst, "<contenttype>"...)
		var b bytes.Buffer
		_ = xml.EscapeText(&b, []byte(d.ContentType)) // a Buffer does not fail
		dst = append(dst, b.Bytes()...)
		dst = append(dst, "</contenttype>"...)
	}
	if s := int64(d.Refresh / time.Second); s > 0 {
		dst = append(dst, "<refresh>"...)
		dst = strconv.AppendInt(dst, s, 10)
		dst = append(dst, "</refresh>"...)
	}
	return append(dst, "</isComposing>"...)
}

func (d Document) String() string { return string(d.Append(nil)) }

// Package imdn reads and writes message/imdn+xml documents (RFC 5438): what became of a message,
// told to its sender. The headers that ask for such a notification are CPIM headers, see package cpim.
//
// The document is read by namespace, never by prefix, and written in the order of the schema.
package imdn

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"time"
)

// NS is the XML namespace of the document.
const NS = "urn:ietf:params:xml:ns:imdn"

// ContentType is the media type of the format.
const ContentType = "message/imdn+xml"

// Values of the imdn.Disposition-Notification header (RFC 5438 §6).
const (
	WantPositiveDelivery = "positive-delivery"
	WantNegativeDelivery = "negative-delivery"
	WantProcessing       = "processing"
	WantDisplay          = "display"
)

// maxSize bounds what Parse looks at, in bytes; a document of 64 KiB is not about one message.
const maxSize = 64 << 10

// ErrMalformed is returned by Parse for what is no IMDN document, wrapped with the reason.
var ErrMalformed = errors.New("imdn: malformed document")

// Kind is which step of the message's life a notification is about.
type Kind uint8

// The kinds of RFC 5438 §7.2.1; the zero value is none of them.
const (
	Unknown Kind = iota
	Delivery
	Processing
	Display
)

var kindNames = [...]string{"unknown", "delivery", "processing", "display"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Status is what happened.
type Status string

// Which status goes with which kind is fixed by the schema: see Valid.
const (
	Delivered Status = "delivered" // Delivery
	Failed    Status = "failed"    // Delivery
	Displayed Status = "displayed" // Display
	Processed Status = "processed" // Processing
	Stored    Status = "stored"    // Processing
	Forbidden Status = "forbidden" // every kind: the recipient does not want to tell
	Error     Status = "error"     // every kind: it cannot be told
)

// Document is one notification.
type Document struct {
	MessageID         string    // imdn.Message-ID of the message it is about
	DateTime          time.Time // of that message, zero when absent
	Recipient         string    // recipient-uri: who received it
	OriginalRecipient string    // original-recipient-uri: whom the sender addressed
	Subject           string
	Kind              Kind
	Status            Status
}

// Valid reports whether the status belongs to the kind.
func (d Document) Valid() bool {
	switch d.Status {
	case Delivered, Failed:
		return d.Kind == Delivery
	case Displayed:
		return d.Kind == Display
	case Processed, Stored:
		return d.Kind == Processing
	case Forbidden, Error:
		return d.Kind > Unknown && int(d.Kind) < len(kindNames)
	}
	return false
}

type document struct {
	XMLName           xml.Name      `xml:"urn:ietf:params:xml:ns:imdn imdn"`
	MessageID         string        `xml:"urn:ietf:params:xml:ns:imdn message-id"`
	DateTime          string        `xml:"urn:ietf:params:xml:ns:imdn datetime"`
	Recipient         string        `xml:"urn:ietf:params:xml:ns:imdn recipient-uri"`
	OriginalRecipient string        `xml:"urn:ietf:params:xml:ns:imdn original-recipient-uri"`
	Subject           string        `xml:"urn:ietf:params:xml:ns:imdn subject"`
	Delivery          *notification `xml:"urn:ietf:params:xml:ns:imdn delivery-notification"`
	Processing        *notification `xml:"urn:ietf:params:xml:ns:imdn processing-notification"`
	Display           *notification `xml:"urn:ietf:params:xml:ns:imdn display-notification"`
}

type notification struct {
	Status struct {
		Any []struct {
			XMLName xml.Name
		} `xml:",any"`
	} `xml:"urn:ietf:params:xml:ns:imdn status"`
}

// Parse reads a document. The message id and a status that fits its kind are required; the other
// elements are often missing in the wild.
func Parse(data []byte) (Document, error) {
	if len(data) > maxSize {
		return Document{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	var x document
	if err := xml.NewDecoder(bytes.NewReader(data)).Decode(&x); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	d := Document{
		MessageID:         strings.TrimSpace(x.MessageID),
		Recipient:         strings.TrimSpace(x.Recipient),
		OriginalRecipient: strings.TrimSpace(x.OriginalRecipient),
		Subject:           strings.TrimSpace(x.Subject),
	}
	if d.MessageID == "" {
		return Document{}, fmt.Errorf("%w: no message-id", ErrMalformed)
	}
	if t, err := time.Parse(time.RFC3339, strings.TrimSpace(x.DateTime)); err == nil {
		d.DateTime = t
	}
	var n *notification
	switch {
	case x.Delivery != nil:
		d.Kind, n = Delivery, x.Delivery
	case x.Display != nil:
		d.Kind, n = Display, x.Display
	case x.Processing != nil:
		d.Kind, n = Processing, x.Processing
	default:
		return Document{}, fmt.Errorf("%w: no notification", ErrMalformed)
	}
	for _, e := range n.Status.Any {
		// Elements of other namespaces are extensions (RFC 5438 §7.2.1.1), such as Linphone's reason.
		if e.XMLName.Space == NS {
			d.Status = Status(e.XMLName.Local)
			break
		}
	}
	if !d.Valid() {
		return Document{}, fmt.Errorf("%w: %s notification without a status that fits", ErrMalformed, d.Kind)
	}
	return d, nil
}

// Append writes the document and returns the extended buffer. The caller sees to Valid; a document
// that is not is written all the same.
func (d Document) Append(dst []byte) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<imdn xmlns="`+NS+`">`...)
	dst = appendText(dst, "message-id", d.MessageID)
	if !d.DateTime.IsZero() {
		dst = append(dst, "<datetime>"...)
		dst = d.DateTime.UTC().AppendFormat(dst, time.RFC3339)
		dst = append(dst, "</datetime>"...)
	}
	dst = appendText(dst, "recipient-uri", d.Recipient)
	dst = appendText(dst, "original-recipient-uri", d.OriginalRecipient)
	dst = appendText(dst, "subject", d.Subject)
	kind := d.Kind.String() + "-notification>"
	dst = append(dst, '<')
	dst = append(dst, kind...)
	dst = append(dst, "<status><"...)
	dst = append(dst, d.Status...)
	dst = append(dst, "/></status></"...)
	dst = append(dst, kind...)
	return append(dst, "</imdn>"...)
}

func (d Document) String() string { return string(d.Append(nil)) }

func appendText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a Buffer does not fail
	dst = append(dst, b.Bytes()...)
	dst = append(dst, "</"...)
	dst = append(dst, name...)
	return append(dst, '>')
}

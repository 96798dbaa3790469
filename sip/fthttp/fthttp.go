// Package fthttp reads and writes application/vnd.gsma.rcs-ft-http+xml documents: GSMA RCC.07 file
// transfer over HTTP, "the file lies at this URL". Linphone sends the same body in plain SIP MESSAGE.
//
// Decisions that bind the package:
//
//   - Reading is lenient: servers are known that omit until, or write the children in no namespace.
//     A file without a URL is an error, since it says nothing.
//   - Writing follows the schema: thumbnail first, children in order, size, type, URL and until
//     always present.
package fthttp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Namespaces of the document, of its extension and of audio messages.
const (
	NS      = "urn:gsma:params:xml:ns:rcs:rcs:fthttp"
	NSExt   = "urn:gsma:params:xml:ns:rcs:rcs:up:fthttpext"
	NSAudio = "urn:gsma:params:xml:ns:rcs:rcs:rram"
)

// ContentType is the media type of the format.
const ContentType = "application/vnd.gsma.rcs-ft-http+xml"

// Limits of Parse.
const (
	maxSize  = 64 << 10 // bytes
	maxFiles = 32
)

// ErrMalformed is returned by Parse for what is no such document, wrapped with the reason.
var ErrMalformed = errors.New("fthttp: malformed document")

// Disposition is how a file is meant to be shown (the file-disposition attribute).
type Disposition string

// The dispositions of the schema; empty means not said.
const (
	Render     Disposition = "render"
	Attachment Disposition = "attachment"
)

// Info is one file-info element.
type Info struct {
	Thumbnail     bool // type="thumbnail": a small picture of the file that follows
	Disposition   Disposition
	Size          int64 // bytes, 0 when not said
	Name          string
	ContentType   string
	URL           string
	Until         time.Time     // the URL works until then; zero when not said
	BrandedURL    string        // a URL for people (extension)
	Hash          string        // as written (extension); RCC.07 fixes no algorithm
	PlayingLength time.Duration // of an audio message, whole milliseconds
	Encrypted     bool          // a key came with it (Linphone's file-key): the URL holds no plain file
}

// Document is the list of files of one message.
type Document struct{ Files []Info }

type document struct {
	XMLName xml.Name
	Files   []element `xml:",any"`
}

type element struct {
	XMLName     xml.Name
	Type        string    `xml:"type,attr"`
	Disposition string    `xml:"file-disposition,attr"`
	URL         string    `xml:"url,attr"`
	Until       string    `xml:"until,attr"`
	Text        string    `xml:",chardata"`
	Children    []element `xml:",any"`
}

// Parse reads a document.
func Parse(data []byte) (Document, error) {
	if len(data) > maxSize {
		return Document{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	var x document
	if err := xml.NewDecoder(bytes.NewReader(data)).Decode(&x); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if x.XMLName != (xml.Name{Space: NS, Local: "file"}) {
		return Document{}, fmt.Errorf("%w: root element %s", ErrMalformed, x.XMLName.Local)
	}
	var d Document
	for _, e := range x.Files {
		if !e.is(NS, "file-info") {
			continue
		}
		if len(d.Files) == maxFiles {
			return Document{}, fmt.Errorf("%w: more than %d files", ErrMalformed, maxFiles)
		}
		f := info(e)
		if f.URL == "" {
			return Document{}, fmt.Errorf("%w: file without a URL", ErrMalformed)
		}
		d.Files = append(d.Files, f)
	}
	if len(d.Files) == 0 {
		return Document{}, fmt.Errorf("%w: no file", ErrMalformed)
	}
	return d, nil
}

// is matches an element of the namespace, or of none: several servers build their children so.
func (e *element) is(space, local string) bool {
	return e.XMLName.Local == local && (e.XMLName.Space == space || e.XMLName.Space == "")
}

func info(e element) Info {
	f := Info{Thumbnail: e.Type == "thumbnail"}
	if d := Disposition(e.Disposition); d == Render || d == Attachment {
		f.Disposition = d
	}
	for _, c := range e.Children {
		text := strings.TrimSpace(c.Text)
		switch {
		case c.is(NS, "file-size"):
			if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
				f.Size = n
			}
		case c.is(NS, "file-name"):
			f.Name = text
		case c.is(NS, "content-type"):
			f.ContentType = text
		case c.is(NS, "data"):
			f.URL = strings.TrimSpace(c.URL)
			if t, err := time.Parse(time.RFC3339, strings.TrimSpace(c.Until)); err == nil {
				f.Until = t
			}
		case c.is(NSExt, "branded-url"):
			f.BrandedURL = text
		case c.is(NSExt, "file-hash"):
			f.Hash = text
		case c.is(NSAudio, "playing-length"):
			if n, err := strconv.ParseInt(text, 10, 32); err == nil && n > 0 {
				f.PlayingLength = time.Duration(n) * time.Millisecond
			}
		case c.XMLName.Local == "file-key":
			f.Encrypted = true
		}
	}
	return f
}

// Append writes the document and returns the extended buffer.
func (d Document) Append(dst []byte) []byte {
	ext, audio := false, false
	for _, f := range d.Files {
		ext = ext || f.BrandedURL != "" || f.Hash != ""
		audio = audio || f.PlayingLength > 0
	}
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<file xmlns="`+NS+`"`...)
	if ext {
		dst = append(dst, ` xmlns:e="`+NSExt+`"`...)
	}
	if audio {
		dst = append(dst, ` xmlns:am="`+NSAudio+`"`...)
	}
	dst = append(dst, '>')
	for _, f := range d.Files {
		dst = f.append(dst)
	}
	return append(dst, "</file>"...)
}

func (f Info) append(dst []byte) []byte {
	dst = append(dst, `<file-info type="`...)
	if f.Thumbnail {
		dst = append(dst, `thumbnail"`...)
	} else {
		dst = append(dst, `file"`...)
	}
	if f.Disposition == Render || f.Disposition == Attachment {
		dst = append(dst, ` file-disposition="`...)
		dst = append(dst, f.Disposition...)
		dst = append(dst, '"')
	}
	dst = append(dst, "><file-size>"...)
	dst = strconv.AppendInt(dst, f.Size, 10)
	dst = append(dst, "</file-size>"...)
	if f.Name != "" {
		dst = append(dst, "<file-name>"...)
		dst = appendEscaped(dst, f.Name)
		dst = append(dst, "</file-name>"...)
	}
	dst = append(dst, "<content-type>"...)
	dst = appendEscaped(dst, f.ContentType)
	dst = append(dst, "</content-type>"...)
	if ms := f.PlayingLength.Milliseconds(); ms > 0 {
		dst = append(dst, "<am:playing-length>"...)
		dst = strconv.AppendInt(dst, ms, 10)
		dst = append(dst, "</am:playing-length>"...)
	}
	dst = append(dst, `<data url="`...)
	dst = appendEscaped(dst, f.URL)
	if !f.Until.IsZero() {
		dst = append(dst, `" until="`...)
		dst = f.Until.UTC().AppendFormat(dst, time.RFC3339)
	}
	dst = append(dst, `"/>`...)
	if f.BrandedURL != "" {
		dst = append(dst, "<e:branded-url>"...)
		dst = appendEscaped(dst, f.BrandedURL)
		dst = append(dst, "</e:branded-url>"...)
	}
	if f.Hash != "" {
		dst = append(dst, "<e:file-hash>"...)
		dst = appendEscaped(dst, f.Hash)
		dst = append(dst, "</e:file-hash>"...)
	}
	return append(dst, "</file-info>"...)
}

func (d Document) String() string { return string(d.Append(nil)) }

func appendEscaped(dst []byte, s string) []byte {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a Buffer does not fail
	return append(dst, b.Bytes()...)
}

package rlmi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
)

// maxParts bounds what ParseBody reads, the list itself not counted.
const maxParts = maxInstances

// Body is a multipart/related body (RFC 2387) with a list as its root.
type Body struct {
	// Domain is the right side of the Content-ID of the list; ParseBody leaves it empty.
	Domain string
	List   List
	Parts  []Part
}

// Part is the document of one instance. Of a list inside the list it is a body again, for ParseBody.
type Part struct {
	CID         string // without angle brackets
	ContentType string
	Data        []byte
}

// Part finds the part of an instance; nil when there is none.
func (b *Body) Part(cid string) *Part {
	if cid == "" {
		return nil
	}
	for i := range b.Parts {
		if b.Parts[i].CID == cid {
			return &b.Parts[i]
		}
	}
	return nil
}

// root is the Content-ID of the list.
func (b *Body) root() string { return "list@" + cid(b.Domain) }

// boundary is short and occurs in no part. It is the same for the same body.
func (b *Body) boundary() string {
	for n := 0; ; n++ {
		s := "rlmi-" + strconv.Itoa(n)
		if !b.contains([]byte("--" + s)) {
			return s
		}
	}
}

func (b *Body) contains(delimiter []byte) bool {
	for i := range b.Parts {
		if bytes.Contains(b.Parts[i].Data, delimiter) {
			return true
		}
	}
	return bytes.Contains(b.List.Append(nil), delimiter)
}

// Append writes the body and returns the extended buffer and the Content-Type that belongs to it.
func (b *Body) Append(dst []byte) (body []byte, contentType string) {
	boundary := b.boundary()
	dst = appendHead(dst, boundary, b.root(), ContentType+`;charset="UTF-8"`)
	dst = append(b.List.Append(dst), "\r\n"...)
	for i := range b.Parts {
		p := &b.Parts[i]
		dst = appendHead(dst, boundary, cid(p.CID), line(p.ContentType))
		dst = append(append(dst, p.Data...), "\r\n"...)
	}
	dst = append(append(append(dst, "--"...), boundary...), "--\r\n"...)
	return dst, `multipart/related;type="` + ContentType + `";start="<` + b.root() + `>";boundary="` + boundary + `"`
}

func appendHead(dst []byte, boundary, id, contentType string) []byte {
	dst = append(append(append(dst, "--"...), boundary...), "\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <"...)
	dst = append(append(append(dst, id...), ">\r\nContent-Type: "...), contentType...)
	return append(dst, "\r\n\r\n"...)
}

// cid keeps of an id what may stand in a msg-id.
func cid(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>"\(),;:[]`, r) {
			return -1
		}
		return r
	}, s)
}

// line makes a text fit for one header line.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// Split cuts a body into several of at most limit bytes each, for messages that must not grow for ever. The
// first stays full if it was; the others are partial, with versions that follow. The first names every resource,
// those that are told later without an instance, which means that nothing is known yet (RFC 4662 §5.5), as long
// as the names leave half of it for what they are about. Of a longer list it has the beginning, and the receiver
// learns of the others by the partial ones. One resource that exceeds the limit alone is in a body of its own.
func (b *Body) Split(limit int) []Body {
	limit -= b.envelope()
	names := 0
	for i := range b.List.Resources {
		names += len(bare(b.List.Resources[i]).append(nil))
	}
	naming := b.List.Full && names <= limit/2
	out := []Body{{Domain: b.Domain, List: b.List}}
	out[0].List.Resources = nil
	size, told := 0, 0 // of the last one
	if naming {
		size = names
	}
	for _, r := range b.List.Resources {
		known := naming && len(r.Instances) == 0
		parts, cost := b.partsOf(&r)
		cost += len(r.append(nil))
		if naming && len(out) == 1 {
			cost -= len(bare(r).append(nil))
		}
		if !known && told > 0 && size+cost > limit {
			later := b.List
			later.Version, later.Full, later.Names, later.Resources = b.List.Version+uint32(len(out)), false, nil, nil
			out = append(out, Body{Domain: b.Domain, List: later})
			size, told = 0, 0
		}
		if naming && len(out) > 1 {
			out[0].List.Resources = append(out[0].List.Resources, *bare(r))
			if known {
				continue
			}
		}
		size, told = size+cost, told+1
		last := &out[len(out)-1]
		last.List.Resources = append(last.List.Resources, r)
		last.Parts = append(last.Parts, parts...)
	}
	return out
}

// bare is a resource of which nothing is known.
func bare(r Resource) *Resource {
	r.Instances = nil
	return &r
}

// envelope is what a body has around its resources, in bytes.
func (b *Body) envelope() int {
	empty := Body{Domain: b.Domain, List: b.List}
	empty.List.Resources = nil
	data, _ := empty.Append(nil)
	return len(data) + 16 // for longer numbers
}

// partsOf are the parts of a resource, and how many bytes they make in a body.
func (b *Body) partsOf(r *Resource) (parts []Part, size int) {
	for _, i := range r.Instances {
		if p := b.Part(i.CID); p != nil {
			parts = append(parts, *p)
			size += len(appendHead(nil, "rlmi-0", cid(p.CID), line(p.ContentType))) + len(p.Data) + len("\r\n")
		}
	}
	return parts, size
}

// ParseBody reads a body by its Content-Type. Parts that no instance refers to are kept.
func ParseBody(contentType string, data []byte) (*Body, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/related" {
		return nil, fmt.Errorf("%w: content type %.64q", ErrUnsupported, contentType)
	}
	if params["boundary"] == "" {
		return nil, fmt.Errorf("%w: no boundary", ErrMalformed)
	}
	parts, err := readParts(data, params["boundary"])
	if err != nil {
		return nil, err
	}
	start := strings.Trim(params["start"], "<>")
	root := 0 // RFC 2387 §3.2: without start it is the first
	for i := range parts {
		if start != "" && parts[i].CID == start {
			root = i
			break
		}
	}
	if t, _, _ := strings.Cut(parts[root].ContentType, ";"); !strings.EqualFold(strings.TrimSpace(t), ContentType) {
		return nil, fmt.Errorf("%w: root part of type %.64q", ErrUnsupported, parts[root].ContentType)
	}
	l, err := ParseList(parts[root].Data)
	if err != nil {
		return nil, err
	}
	return &Body{List: *l, Parts: append(parts[:root:root], parts[root+1:]...)}, nil
}

// readParts returns at least one part.
func readParts(data []byte, boundary string) (parts []Part, err error) {
	r := multipart.NewReader(bytes.NewReader(data), boundary)
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) && len(parts) > 0 {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if len(parts) > maxParts {
			return nil, fmt.Errorf("%w: more than %d parts", ErrTooLarge, maxParts)
		}
		var in io.Reader = p
		switch encoding := strings.ToLower(p.Header.Get("Content-Transfer-Encoding")); encoding {
		case "", "binary", "8bit", "7bit":
		case "base64":
			in = base64.NewDecoder(base64.StdEncoding, p)
		default:
			return nil, fmt.Errorf("%w: transfer encoding %.32q", ErrMalformed, encoding)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		parts = append(parts, Part{CID: strings.Trim(p.Header.Get("Content-ID"), "<> \t"), ContentType: p.Header.Get("Content-Type"), Data: body})
	}
}

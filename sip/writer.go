package sip

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	siplib "github.com/emiago/sipgo/sip"
)

// maxHead is the size in bytes that the part before the body may have.
const maxHead = 32 << 10

// Writer writes a message piece by piece, for those who know its parts and do not
// need the message as a value. It checks every piece; the first fault is kept and
// returned by Append. sipgo's own writing takes an allocation for most fields, so
// the frequent ones are written here.
type Writer struct {
	b      []byte
	length int // written Content-Length, -1: none
	err    error
}

var writers = sync.Pool{New: func() any { return &Writer{b: make([]byte, 0, 2048)} }}

// NewWriter returns an empty writer; Free gives it back.
func NewWriter() *Writer {
	w := writers.Get().(*Writer)
	w.b, w.length, w.err = w.b[:0], -1, nil
	return w
}

// Free ends the use of w.
func (w *Writer) Free() {
	if cap(w.b) <= maxHead {
		writers.Put(w)
	}
}

// WriteString lets sipgo's headers write; it is not for others.
func (w *Writer) WriteString(s string) (int, error) {
	w.b = append(w.b, s...)
	return len(s), nil
}

func (w *Writer) fail(format string, a ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, a...)...)
	}
}

// RequestLine writes the first line of a request.
func (w *Writer) RequestLine(m Method, uri *siplib.Uri) {
	if !isToken(string(m)) {
		w.fail("method %q", clip(string(m)))
	}
	w.b = append(w.b, m...)
	w.b = append(w.b, ' ')
	start := len(w.b)
	w.uri(uri)
	for _, c := range w.b[start:] {
		if c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' {
			w.fail("illegal character in the Request-URI")
			break
		}
	}
	w.b = append(w.b, " SIP/2.0\r\n"...)
}

// StatusLine writes the first line of a response.
func (w *Writer) StatusLine(code int, reason string) {
	if code < 100 || code > 699 {
		w.fail("status code %d", code)
	}
	w.b = append(w.b, "SIP/2.0 "...)
	w.b = strconv.AppendInt(w.b, int64(code), 10)
	w.b = append(w.b, ' ')
	start := len(w.b)
	w.b = append(w.b, reason...)
	w.endLine(start, "the reason phrase")
}

// Field writes a header line of text.
func (w *Writer) Field(name, value string) {
	start := w.name(name)
	w.b = append(w.b, value...)
	w.endLine(start, name)
}

// Header writes a header line.
func (w *Writer) Header(h Header) {
	switch h := h.(type) {
	case *siplib.ViaHeader:
		start := w.name("Via")
		w.via(h)
		w.endLine(start, "Via")
	case *siplib.FromHeader:
		start := w.name("From")
		w.address(h.DisplayName, &h.Address, h.Params)
		w.endLine(start, "From")
	case *siplib.ToHeader:
		start := w.name("To")
		w.address(h.DisplayName, &h.Address, h.Params)
		w.endLine(start, "To")
	case *siplib.CSeqHeader:
		start := w.name("CSeq")
		w.b = strconv.AppendUint(w.b, uint64(h.SeqNo), 10)
		w.b = append(w.b, ' ')
		w.b = append(w.b, h.MethodName...)
		w.endLine(start, "CSeq")
	case *siplib.MaxForwardsHeader:
		start := w.name("Max-Forwards")
		w.b = strconv.AppendUint(w.b, uint64(*h), 10)
		w.endLine(start, "Max-Forwards")
	case *siplib.ContentLengthHeader:
		if w.length >= 0 {
			w.fail("two Content-Length")
		}
		w.contentLength(int(*h))
	default:
		// Name and value are strings already: Call-ID, Content-Type, text headers.
		w.Field(h.Name(), h.Value())
	}
}

func (w *Writer) contentLength(n int) {
	w.length = n
	w.b = append(w.b, "Content-Length: "...)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
	w.b = append(w.b, '\r', '\n')
}

// name begins a line and returns where it began.
func (w *Writer) name(name string) (start int) {
	if !isToken(name) {
		w.fail("header name %q", clip(name))
	}
	start = len(w.b)
	w.b = append(w.b, name...)
	w.b = append(w.b, ':', ' ')
	return start
}

// endLine ends a line that began at start, and checks it.
func (w *Writer) endLine(start int, what string) {
	for _, c := range w.b[start:] {
		if isControl(c) {
			w.fail("control character in %s", what)
			break
		}
	}
	w.b = append(w.b, '\r', '\n')
}

// finish writes what stands between the headers and the body.
func (w *Writer) finish(body int) error {
	if w.length < 0 {
		w.contentLength(body)
	}
	w.b = append(w.b, '\r', '\n')
	switch {
	case w.err != nil:
	case w.length != body:
		w.fail("Content-Length %d for a body of %d", w.length, body)
	case len(w.b) > maxHead:
		w.fail("head of %d bytes", len(w.b))
	}
	return w.err
}

// Append ends the message and appends it to dst; with an error dst is returned
// unchanged.
func (w *Writer) Append(dst, body []byte) ([]byte, error) {
	if err := w.finish(len(body)); err != nil {
		return dst, err
	}
	if dst == nil {
		dst = make([]byte, 0, len(w.b)+len(body))
	}
	dst = append(dst, w.b...)
	return append(dst, body...), nil
}

// The rest writes sipgo's types as sipgo does.

func (w *Writer) uri(u *siplib.Uri) {
	if u.Scheme != "sip" && u.Scheme != "sips" || u.HierarhicalSlashes {
		u.StringWrite(w)
		return
	}
	w.b = append(w.b, u.Scheme...)
	w.b = append(w.b, ':')
	if u.User != "" {
		w.b = append(w.b, u.User...)
		if u.Password != "" {
			w.b = append(w.b, ':')
			w.b = append(w.b, u.Password...)
		}
		w.b = append(w.b, '@')
	}
	w.host(u.Host, u.Port)
	for _, p := range u.UriParams {
		w.param(';', p)
	}
	for i, p := range u.Headers {
		sep := byte('&')
		if i == 0 {
			sep = '?'
		}
		w.param(sep, p)
	}
}

func (w *Writer) host(host string, port int) {
	if strings.IndexByte(host, ':') >= 0 && host[0] != '[' {
		w.b = append(w.b, '[')
		w.b = append(w.b, host...)
		w.b = append(w.b, ']')
	} else {
		w.b = append(w.b, host...)
	}
	if port > 0 {
		w.b = append(w.b, ':')
		w.b = strconv.AppendInt(w.b, int64(port), 10)
	}
}

func (w *Writer) param(sep byte, p siplib.HeaderKV) {
	w.b = append(w.b, sep)
	w.b = append(w.b, p.K...)
	if p.V == "" {
		return
	}
	w.b = append(w.b, '=')
	if strings.IndexByte(p.V, ' ') >= 0 || strings.IndexByte(p.V, '\t') >= 0 {
		w.b = append(w.b, '"')
		w.b = append(w.b, p.V...)
		w.b = append(w.b, '"')
		return
	}
	w.b = append(w.b, p.V...)
}

func (w *Writer) via(v *siplib.ViaHeader) {
	w.b = append(w.b, v.ProtocolName...)
	w.b = append(w.b, '/')
	w.b = append(w.b, v.ProtocolVersion...)
	w.b = append(w.b, '/')
	w.b = append(w.b, v.Transport...)
	w.b = append(w.b, ' ')
	w.host(v.Host, v.Port)
	for _, p := range v.Params {
		w.param(';', p)
	}
}

func (w *Writer) address(display string, u *siplib.Uri, params siplib.HeaderParams) {
	if display != "" {
		if !quotable(display) {
			w.fail("unescaped quote in a display name")
		}
		w.b = append(w.b, '"')
		w.b = append(w.b, display...)
		w.b = append(w.b, '"', ' ')
	}
	w.b = append(w.b, '<')
	w.uri(u)
	w.b = append(w.b, '>')
	for _, p := range params {
		w.param(';', p)
	}
}

// quotable tells whether text may stand between two quotes as it is.
func quotable(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return false
		case '\\':
			if i++; i == len(s) {
				return false
			}
		}
	}
	return true
}

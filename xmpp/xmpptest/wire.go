package xmpptest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// errStreamEnd is returned by wireReader.next for </stream:stream>.
var errStreamEnd = errors.New("xmpptest: stream closed by the peer")

// StreamError is an XMPP stream error (RFC 6120 §4.9): what this side says
// before it closes a stream, or what the other side said.
type StreamError struct {
	Condition string // element name, such as "not-well-formed"
	Text      string
}

// Error implements error.
func (e *StreamError) Error() string {
	if e.Text == "" {
		return "xmpptest: stream error " + e.Condition
	}
	return "xmpptest: stream error " + e.Condition + ": " + e.Text
}

func (e *StreamError) append(dst []byte) []byte {
	dst = append(dst, "<stream:error>"...)
	dst = xmpp.NewElement(xmpp.NSStreamErrors, e.Condition).Append(dst, "")
	if e.Text != "" {
		dst = xmpp.NewElement(xmpp.NSStreamErrors, "text").AddText(e.Text).Append(dst, "")
	}
	return append(dst, "</stream:error>"...)
}

// parseStreamError reads a <stream:error/> element.
func parseStreamError(e *xmpp.Element) *StreamError {
	out := &StreamError{Condition: "undefined-condition"}
	for c := range e.Elements() {
		switch {
		case c.Name.Space != xmpp.NSStreamErrors:
		case c.Name.Local == "text":
			out.Text = c.Text()
		default:
			out.Condition = c.Name.Local
		}
	}
	return out
}

func errRestricted() error {
	return &StreamError{Condition: "restricted-xml", Text: "comment, processing instruction, document type or entity (RFC 6120 §11.1)"}
}

// wireReader cuts a stream into its header and its first-level elements. It is
// not safe for concurrent use.
type wireReader struct {
	r     io.Reader
	max   int // bytes of one element
	buf   []byte
	start int    // of what is not consumed
	root  string // name of the stream header's tag as written
	scope []binding
	p     parser
}

func newWireReader(r io.Reader, max int) *wireReader {
	return &wireReader{r: r, max: max, buf: make([]byte, 0, 32<<10)}
}

// fill reads more. Offsets relative to start stay valid, slices do not.
func (w *wireReader) fill() error {
	if w.start > 0 && len(w.buf)+4096 > cap(w.buf) {
		n := copy(w.buf[:cap(w.buf)], w.buf[w.start:])
		w.buf, w.start = w.buf[:n], 0
	}
	if len(w.buf)-w.start > w.max {
		return &StreamError{Condition: "policy-violation", Text: "stanza too large"}
	}
	if len(w.buf) == cap(w.buf) {
		w.buf = append(make([]byte, 0, 2*cap(w.buf)), w.buf...)
	}
	for {
		n, err := w.r.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+n]
		if n > 0 {
			return nil
		}
		if err != nil {
			if err == io.EOF && len(w.buf) > w.start {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// byteAt returns the byte at offset i from start.
func (w *wireReader) byteAt(i int) (byte, error) {
	for w.start+i >= len(w.buf) {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	return w.buf[w.start+i], nil
}

// find returns the offset of sep at or after offset i from start.
func (w *wireReader) find(i int, sep string) (int, error) {
	for {
		if data := w.buf[w.start:]; i < len(data) {
			if n := bytes.Index(data[i:], []byte(sep)); n >= 0 {
				return i + n, nil
			}
			i = max(i, len(data)-len(sep)+1)
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
}

// tagEnd returns the offset behind the '>' of the start tag at offset i, and
// whether the tag is an empty element.
func (w *wireReader) tagEnd(i int) (end int, empty bool, err error) {
	var quote, last byte
	for i++; ; i++ {
		if w.start+i >= len(w.buf) {
			if err := w.fill(); err != nil {
				return 0, false, err
			}
		}
		c := w.buf[w.start+i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '>':
			return i + 1, last == '/', nil
		case c == '<':
			return 0, false, &StreamError{Condition: "not-well-formed", Text: "< in a tag"}
		}
		last = c
	}
}

// skipSpace drops white space between elements, which is how keepalives look.
func (w *wireReader) skipSpace() error {
	for {
		c, err := w.byteAt(0)
		if err != nil {
			return err
		}
		if !isSpace(c) {
			return nil
		}
		w.start++
	}
}

// take consumes n bytes.
func (w *wireReader) take(n int) string {
	s := string(w.buf[w.start : w.start+n])
	w.start += n
	if w.start == len(w.buf) {
		w.buf, w.start = w.buf[:0], 0
	}
	return s
}

// open reads the optional XML declaration and the stream header, and starts the
// namespace scope anew. It is called again after a stream restart.
func (w *wireReader) open() (*xmpp.Element, error) {
	if err := w.skipSpace(); err != nil {
		return nil, err
	}
	c, err := w.byteAt(1)
	if err != nil {
		return nil, err
	}
	if c == '?' {
		end, err := w.find(0, "?>")
		if err != nil {
			return nil, err
		}
		if err := checkDeclaration(w.take(end + 2)); err != nil {
			return nil, err
		}
		if err := w.skipSpace(); err != nil {
			return nil, err
		}
	}
	if c, err = w.byteAt(0); err == nil && c != '<' {
		err = &StreamError{Condition: "not-well-formed", Text: "no stream header"}
	}
	if err != nil {
		return nil, err
	}
	end, _, err := w.tagEnd(0)
	if err != nil {
		return nil, err
	}
	header, root, scope, err := parseHeader(w.take(end))
	w.root, w.scope = root, scope
	return header, err
}

// checkDeclaration accepts <?xml version='1.0'?> with or without encoding UTF-8.
func checkDeclaration(s string) error {
	body, ok := strings.CutPrefix(s, "<?xml")
	if !ok || body == "" || !isSpace(body[0]) {
		return errRestricted()
	}
	e, _, _, err := parseHeader("<xml" + strings.TrimSuffix(body, "?>") + ">")
	if err != nil {
		return err
	}
	if e.Attribute("version") != "1.0" {
		return &StreamError{Condition: "not-well-formed", Text: "XML version is not 1.0"}
	}
	if enc := e.Attribute("encoding"); enc != "" && !strings.EqualFold(enc, "utf-8") {
		return &StreamError{Condition: "unsupported-encoding", Text: enc}
	}
	return nil
}

// next returns the next element of the stream, or errStreamEnd.
func (w *wireReader) next() (*xmpp.Element, error) {
	if err := w.skipSpace(); err != nil {
		return nil, err
	}
	for i, depth := 0, 0; ; {
		lt, err := w.find(i, "<")
		if err != nil {
			return nil, err
		}
		if depth == 0 && lt > 0 {
			return nil, &StreamError{Condition: "not-well-formed", Text: "text between stanzas"}
		}
		c, err := w.byteAt(lt + 1)
		if err != nil {
			return nil, err
		}
		switch c {
		case '?':
			return nil, errRestricted()
		case '!':
			for n := range len("<![CDATA[") {
				if c, err = w.byteAt(lt + n); err != nil {
					return nil, err
				}
				if c != "<![CDATA["[n] || depth == 0 {
					return nil, errRestricted()
				}
			}
			if i, err = w.find(lt, "]]>"); err != nil {
				return nil, err
			}
		case '/':
			if i, err = w.find(lt, ">"); err != nil {
				return nil, err
			}
			i++
			if depth--; depth < 0 {
				if strings.TrimRight(w.take(i), " \t\r\n>") != "</"+w.root {
					return nil, &StreamError{Condition: "not-well-formed", Text: "stray end tag"}
				}
				return nil, errStreamEnd
			}
		default:
			var empty bool
			if i, empty, err = w.tagEnd(lt); err != nil {
				return nil, err
			}
			if !empty {
				depth++
			}
		}
		if i > w.max {
			return nil, &StreamError{Condition: "policy-violation", Text: "stanza too large"}
		}
		if depth == 0 {
			return w.p.parse(w.take(i), w.scope)
		}
	}
}

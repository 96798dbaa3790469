package xmpp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Errors that end a stream. The component tells the server which one it was (RFC 6120 §4.9.3).
var (
	// ErrStreamClosed says that the peer closed the stream with </stream:stream>.
	ErrStreamClosed = errors.New("xmpp: stream closed by the peer")
	// ErrNotWellFormed says that what arrived is no XML, or no namespace-well-formed XML.
	ErrNotWellFormed = errors.New("xmpp: not well-formed")
	// ErrRestrictedXML says that a comment, a processing instruction, a DTD or the like arrived
	// (RFC 6120 §11.1).
	ErrRestrictedXML = errors.New("xmpp: restricted XML")
	// ErrBadStream says that the stream did not start with a stream header.
	ErrBadStream = errors.New("xmpp: bad stream header")
)

// errOversize is internal: the limits were passed while the end of the element was still sought.
var errOversize = errors.New("xmpp: element too large")

const (
	readSize   = 4 << 10  // least free room that a read is given
	keepBuffer = 64 << 10 // a larger buffer is given back once it is empty
)

// framer cuts a stream of bytes into the children of the stream's root element without parsing them: it
// knows tags, quotes, CDATA and nothing else. What it returns is checked by the parser.
type framer struct {
	r      io.Reader // nil: buf is all there is, and is never written to
	buf    []byte
	start  int // of what has not been returned yet
	end    int
	limits Limits

	// firstTag is the length of the start tag of the element being cut, 0 while unknown. It is what an
	// oversized element is answered from.
	firstTag int
	elements int // in the element that was cut last
}

func (f *framer) data() []byte { return f.buf[f.start:f.end] }

// fill reads more. It moves data within buf, so slices of it are invalid afterwards.
func (f *framer) fill() error {
	if f.r == nil {
		return io.EOF
	}
	if f.start == f.end {
		f.start, f.end = 0, 0
		if len(f.buf) > keepBuffer {
			f.buf = nil
		}
	}
	if len(f.buf)-f.end < readSize {
		room := f.end - f.start
		if f.start >= readSize && f.start >= room {
			f.end = copy(f.buf, f.data())
		} else {
			grown := make([]byte, max(2*room, 2*readSize))
			f.end = copy(grown, f.data())
			f.buf = grown
		}
		f.start = 0
	}
	for range 100 {
		n, err := f.r.Read(f.buf[f.end:])
		f.end += n
		if n > 0 {
			return nil // an error that came along will come again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// at returns the byte at offset i from start.
func (f *framer) at(i int) (byte, error) {
	for f.start+i >= f.end {
		if err := f.more(i); err != nil {
			return 0, err
		}
	}
	return f.buf[f.start+i], nil
}

// more fills while an element is being cut, of which i bytes are already known to belong to it.
func (f *framer) more(i int) error {
	if i > f.limits.Bytes {
		return errOversize
	}
	if err := f.fill(); err == io.EOF {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	return nil
}

// index returns the offset of the first b at or after offset i.
func (f *framer) index(i int, b byte) (int, error) {
	for {
		if data := f.data(); i < len(data) {
			if n := bytes.IndexByte(data[i:], b); n >= 0 {
				return f.within(i + n)
			}
			i = len(data)
		}
		if err := f.more(i); err != nil {
			return 0, err
		}
	}
}

func (f *framer) within(i int) (int, error) {
	if i >= f.limits.Bytes {
		return 0, errOversize
	}
	return i, nil
}

// skipSpace drops white space between elements: keepalives of RFC 6120 §4.6.1 among others.
func (f *framer) skipSpace() error {
	for {
		for f.start < f.end {
			switch f.buf[f.start] {
			case ' ', '\n', '\r', '\t':
				f.start++
			default:
				return nil
			}
		}
		if err := f.fill(); err != nil {
			return err
		}
	}
}

// take returns the next n bytes; they are valid until the next call of any method.
func (f *framer) take(n int) []byte {
	frame := f.buf[f.start : f.start+n : f.start+n]
	f.start += n
	return frame
}

// next returns the bytes of the next element. An end tag outside of any element is returned as it is. The
// error errOversize leaves the framer at the start of the element, for skip.
func (f *framer) next() ([]byte, error) {
	f.firstTag = 0
	if err := f.skipSpace(); err != nil {
		return nil, err
	}
	if f.buf[f.start] != '<' {
		return nil, fmt.Errorf("%w: text between stanzas", ErrNotWellFormed)
	}
	f.elements = 0
	depth, i := 0, 0
	for {
		c, err := f.at(i + 1)
		if err != nil {
			return nil, err
		}
		switch c {
		case '?', '!':
			if i, err = f.cdata(i, depth); err != nil {
				return nil, err
			}
		case '/':
			if i, err = f.index(i+2, '>'); err != nil {
				return nil, err
			}
			i++
			depth--
		default:
			var empty bool
			if i, empty, err = f.startTag(i + 1); err != nil {
				return nil, err
			}
			if f.firstTag == 0 {
				f.firstTag = i
			}
			if f.elements++; f.elements > f.limits.Children+1 || depth >= f.limits.Depth {
				return nil, errOversize
			}
			if !empty {
				depth++
			}
		}
		if depth <= 0 {
			return f.take(i), nil
		}
		if i, err = f.index(i, '<'); err != nil {
			return nil, err
		}
	}
}

// startTag returns the offset after the start tag whose name begins at offset i.
func (f *framer) startTag(i int) (after int, empty bool, err error) {
	for {
		data := f.data()
		for ; i < len(data); i++ {
			switch c := data[i]; c {
			case '>':
				if _, err := f.within(i); err != nil {
					return 0, false, err
				}
				return i + 1, data[i-1] == '/', nil
			case '"', '\'':
				if i, err = f.index(i+1, c); err != nil {
					return 0, false, err
				}
				data = f.data()
			}
		}
		if err := f.more(i); err != nil {
			return 0, false, err
		}
	}
}

const (
	cdataStart = "<![CDATA["
	cdataEnd   = "]]>"
)

// cdata returns the offset after the CDATA section at offset i. Anything else that starts so is restricted.
func (f *framer) cdata(i, depth int) (int, error) {
	for n := range len(cdataStart) {
		if c, err := f.at(i + n); err != nil {
			return 0, err
		} else if c != cdataStart[n] {
			return 0, ErrRestrictedXML
		}
	}
	if depth == 0 {
		return 0, fmt.Errorf("%w: text between stanzas", ErrNotWellFormed)
	}
	for i += len(cdataStart); ; i++ {
		var err error
		if i, err = f.index(i, ']'); err != nil {
			return 0, err
		}
		matched := 1
		for matched < len(cdataEnd) {
			if c, err := f.at(i + matched); err != nil {
				return 0, err
			} else if c != cdataEnd[matched] {
				break
			}
			matched++
		}
		if matched == len(cdataEnd) {
			return i + matched, nil
		}
	}
}

// States of skip.
const (
	skipText = iota
	skipOpen // after "<"
	skipStart
	skipQuote
	skipEnd
	skipBang // after "<!"
	skipCDATA
)

// skip drops the element at which next gave up, however long it is, one byte at a time and without storing
// any of it.
func (f *framer) skip() error {
	state, depth, prev, quote, brackets := skipText, 0, byte(0), byte(0), 0
	for {
		for f.start < f.end {
			c := f.buf[f.start]
			f.start++
			switch state {
			case skipText:
				if c == '<' {
					state = skipOpen
				}
			case skipOpen:
				switch c {
				case '/':
					state = skipEnd
				case '!':
					state = skipBang
				case '?':
					return ErrRestrictedXML
				default:
					state = skipStart
					depth++
				}
			case skipStart:
				switch c {
				case '"', '\'':
					state, quote = skipQuote, c
				case '>':
					state = skipText
					if prev == '/' {
						depth--
					}
				}
			case skipQuote:
				if c == quote {
					state = skipStart
				}
			case skipEnd:
				if c == '>' {
					state = skipText
					depth--
				}
			case skipBang:
				if c != '[' {
					return ErrRestrictedXML
				}
				state, brackets = skipCDATA, 0
			case skipCDATA:
				switch {
				case c == ']':
					brackets++
				case c == '>' && brackets >= 2:
					state = skipText
				default:
					brackets = 0
				}
			}
			prev = c
			if state == skipText && c == '>' && depth == 0 {
				return nil
			}
		}
		if err := f.fill(); err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
}

// declaration returns the XML declaration if there is one, else nil. White space around it is dropped. There
// is at least one byte afterwards.
func (f *framer) declaration() ([]byte, error) {
	if err := f.skipSpace(); err != nil {
		return nil, err
	}
	const declaration = "<?xml"
	for i := range len(declaration) {
		if c, err := f.at(i); err != nil {
			return nil, err
		} else if c != declaration[i] {
			return nil, nil
		}
	}
	n, err := f.index(len(declaration), '>')
	if err != nil {
		return nil, err
	}
	return f.take(n + 1), nil
}

// header returns the bytes of the stream's start tag.
func (f *framer) header() ([]byte, error) {
	if err := f.skipSpace(); err != nil {
		return nil, err
	}
	if f.buf[f.start] != '<' {
		return nil, fmt.Errorf("%w: no element", ErrBadStream)
	}
	switch c, err := f.at(1); {
	case err != nil:
		return nil, err
	case c == '?' || c == '!':
		return nil, ErrRestrictedXML
	}
	n, empty, err := f.startTag(1)
	if err != nil {
		return nil, err
	}
	if empty {
		return nil, fmt.Errorf("%w: empty element", ErrBadStream)
	}
	return f.take(n), nil
}

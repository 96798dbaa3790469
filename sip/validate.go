package sip

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	siplib "github.com/emiago/sipgo/sip"
)

// ErrInvalid tells that a message may not be sent; the error says why.
var ErrInvalid = errors.New("sip: message must not be sent")

// appender lets sipgo's headers write into a byte slice.
type appender struct{ b []byte }

func (a *appender) WriteString(s string) (int, error) {
	a.b = append(a.b, s...)
	return len(s), nil
}

// maxHead is the size in bytes that the part before the body may have.
const maxHead = 32 << 10

var appenders = sync.Pool{New: func() any { return &appender{b: make([]byte, 0, 2048)} }}

// AppendMessage writes the wire form and refuses with ErrInvalid what would not
// be read back as it is: a control character anywhere before the body, a header
// name that is no token, a head of more than 32 KiB, a Content-Length that is
// not that of the body. A missing Content-Length is added. dst is returned
// unchanged with an error.
func AppendMessage(dst []byte, msg Message) ([]byte, error) {
	a := appenders.Get().(*appender)
	defer appenders.Put(a)
	a.b = a.b[:0]
	if err := appendStartLine(a, msg); err != nil {
		return dst, err
	}
	if err := appendHeaders(a, dataOf(msg).Headers(), len(msg.Body())); err != nil {
		return dst, err
	}
	dst = append(dst, a.b...)
	return append(dst, msg.Body()...), nil
}

func appendStartLine(a *appender, msg Message) error {
	switch m := msg.(type) {
	case *Request:
		if !isToken(string(m.Method)) {
			return fmt.Errorf("%w: method %q", ErrInvalid, clip(string(m.Method)))
		}
		a.b = append(a.b, m.Method...)
		a.b = append(a.b, ' ')
		start := len(a.b)
		m.Recipient.StringWrite(a)
		for _, c := range a.b[start:] {
			if c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' {
				return fmt.Errorf("%w: illegal character in the Request-URI", ErrInvalid)
			}
		}
		a.b = append(a.b, " SIP/2.0\r\n"...)
	case *Response:
		if m.StatusCode < 100 || m.StatusCode > 699 {
			return fmt.Errorf("%w: status code %d", ErrInvalid, m.StatusCode)
		}
		a.b = append(a.b, "SIP/2.0 "...)
		a.b = strconv.AppendInt(a.b, int64(m.StatusCode), 10)
		a.b = append(a.b, ' ')
		start := len(a.b)
		a.b = append(a.b, m.Reason...)
		if hasControl(a.b[start:]) {
			return fmt.Errorf("%w: control character in the reason phrase", ErrInvalid)
		}
		a.b = append(a.b, '\r', '\n')
	}
	return nil
}

func appendHeaders(a *appender, list []Header, body int) error {
	length := false
	for _, h := range list {
		if l, ok := h.(*siplib.ContentLengthHeader); ok {
			if int(*l) != body || length {
				return fmt.Errorf("%w: Content-Length %d for a body of %d", ErrInvalid, int(*l), body)
			}
			length = true
		}
		if err := appendHeader(a, h); err != nil {
			return err
		}
	}
	if !length {
		a.b = append(a.b, "Content-Length: "...)
		a.b = strconv.AppendInt(a.b, int64(body), 10)
		a.b = append(a.b, '\r', '\n')
	}
	a.b = append(a.b, '\r', '\n')
	if len(a.b) > maxHead {
		return fmt.Errorf("%w: head of %d bytes", ErrInvalid, len(a.b))
	}
	return nil
}

// appendHeader writes one line, checked.
func appendHeader(a *appender, h Header) error {
	name := h.Name()
	if !isToken(name) {
		return fmt.Errorf("%w: header name %q", ErrInvalid, clip(name))
	}
	start := len(a.b)
	h.StringWrite(a)
	if hasControl(a.b[start:]) {
		return fmt.Errorf("%w: control character in %s", ErrInvalid, name)
	}
	a.b = append(a.b, '\r', '\n')
	return nil
}

func hasControl(b []byte) bool {
	for _, c := range b {
		if isControl(c) {
			return true
		}
	}
	return false
}

// Validate is the last check before sending: what AppendMessage refuses, and the
// mandatory headers (RFC 3261 §8.1.1, §8.2.6): From with a tag, To, Call-ID, a
// CSeq of the right method; the Via of a response. A request needs no Via here,
// because only its sender can know it.
func Validate(msg Message) error {
	a := appenders.Get().(*appender)
	defer appenders.Put(a)
	a.b = a.b[:0]
	if err := appendStartLine(a, msg); err != nil {
		return err
	}
	if err := appendHeaders(a, dataOf(msg).Headers(), len(msg.Body())); err != nil {
		return err
	}
	if len(a.b)+len(msg.Body()) > MaxMessage {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, len(a.b)+len(msg.Body()))
	}
	return Mandatory(msg)
}

// Mandatory is the part of Validate about headers that must be there, for those
// who call AppendMessage anyway.
func Mandatory(msg Message) error {
	missing := func(what string) error { return fmt.Errorf("%w: no %s", ErrInvalid, what) }
	_, method := CSeq(msg)
	switch m := msg.(type) {
	case *Request:
		if FromTag(msg) == "" {
			return missing("tag in From")
		}
		if method != m.Method {
			return fmt.Errorf("%w: CSeq method %q in a %s", ErrInvalid, clip(string(method)), m.Method)
		}
	case *Response:
		if msg.Via() == nil {
			return missing("Via")
		}
		if method == "" {
			return missing("CSeq")
		}
	}
	switch {
	case msg.From() == nil:
		return missing("From")
	case msg.To() == nil:
		return missing("To")
	case CallID(msg) == "":
		return missing("Call-ID")
	}
	return nil
}

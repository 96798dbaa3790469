package sip

import (
	"errors"
	"fmt"
)

// ErrInvalid tells that a message may not be sent; the error says why.
var ErrInvalid = errors.New("sip: message must not be sent")

// AppendMessage writes the wire form and refuses with ErrInvalid what would not
// be read back as it is: a control character anywhere before the body, a header
// name that is no token, a head of more than 32 KiB, a Content-Length that is
// not that of the body. A missing Content-Length is added. dst is returned
// unchanged with an error.
func AppendMessage(dst []byte, msg Message) ([]byte, error) {
	w := NewWriter()
	defer w.Free()
	writeMessage(w, msg)
	return w.Append(dst, msg.Body())
}

func writeMessage(w *Writer, msg Message) {
	switch m := msg.(type) {
	case *Request:
		w.RequestLine(m.Method, &m.Recipient)
	case *Response:
		w.StatusLine(m.StatusCode, m.Reason)
	}
	for _, h := range dataOf(msg).Headers() {
		w.Header(h)
	}
}

// Validate is the last check before sending: what AppendMessage refuses, and the
// mandatory headers (RFC 3261 §8.1.1, §8.2.6): From with a tag, To, Call-ID, a
// CSeq of the right method; the Via of a response. A request needs no Via here,
// because only its sender can know it.
func Validate(msg Message) error {
	w := NewWriter()
	defer w.Free()
	writeMessage(w, msg)
	if err := w.finish(len(msg.Body())); err != nil {
		return err
	}
	if n := len(w.b) + len(msg.Body()); n > MaxMessage {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, n)
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

package sip

import (
	"bytes"
	"strings"

	siplib "github.com/emiago/sipgo/sip"
)

// plainMessage reads a message of the form that nearly all have: long header names
// in the usual spelling, no folded lines, a right Content-Length. The head is
// copied once and everything in it is a part of that copy, which makes it twice as
// quick as sipgo's parser; that one reads whatever is not plain. Both agree on
// what they both take, see FuzzPlainMessage.
func plainMessage(raw []byte, maxBytes int) (Message, bool) {
	end := bytes.Index(raw, []byte("\r\n\r\n"))
	if end < 0 || len(raw) > maxBytes {
		return nil, false
	}
	body := raw[end+4:]
	line, rest, ok := cutLine(string(raw[:end+2]))
	if !ok {
		return nil, false
	}
	msg := plainStart(line)
	if msg == nil {
		return nil, false
	}
	length := false
	for rest != "" {
		if line, rest, ok = cutLine(rest); !ok {
			return nil, false
		}
		h, ok := plainField(line)
		if !ok {
			return nil, false
		}
		if l, is := h.(*siplib.ContentLengthHeader); is {
			if length || int(*l) != len(body) {
				return nil, false
			}
			length = true
		}
		msg.AppendHeader(h)
	}
	if !length {
		return nil, false
	}
	if len(body) > 0 {
		msg.SetBody(bytes.Clone(body))
	}
	return msg, true
}

// cutLine takes one line off. A line that goes on in the next one, or holds half a
// line end, is not plain.
func cutLine(s string) (line, rest string, ok bool) {
	i := strings.IndexByte(s, '\r')
	if i <= 0 || i+1 >= len(s) || s[i+1] != '\n' || i+2 < len(s) && (s[i+2] == ' ' || s[i+2] == '\t') {
		return "", "", false
	}
	return s[:i], s[i+2:], strings.IndexByte(s[:i], '\n') < 0
}

// plainStart reads a start line; it is nil when that is not plain.
func plainStart(line string) Message {
	if rest, ok := strings.CutPrefix(line, "SIP/2.0 "); ok {
		if len(rest) < 4 || rest[3] != ' ' {
			return nil
		}
		code := 0
		for i := range 3 {
			if rest[i] < '0' || rest[i] > '9' {
				return nil
			}
			code = 10*code + int(rest[i]-'0')
		}
		return siplib.NewResponse(code, rest[4:])
	}
	method, rest, _ := strings.Cut(line, " ")
	text, ok := strings.CutSuffix(rest, " SIP/2.0")
	if !ok || method == "" {
		return nil
	}
	for i := range len(method) {
		if method[i] < 'A' || method[i] > 'Z' {
			return nil
		}
	}
	uri, ok := plainURI(text)
	if !ok {
		return nil
	}
	return siplib.NewRequest(Method(method), uri)
}

// plainField reads one header line.
func plainField(line string) (Header, bool) {
	colon := strings.IndexByte(line, ':')
	if colon < 2 {
		return nil, false
	}
	name, value := line[:colon], strings.Trim(line[colon+1:], " \t")
	switch name {
	case "Via":
		v, ok := plainVia(value)
		return v, ok
	case "From":
		d, u, p, ok := plainAddress(value)
		return &siplib.FromHeader{DisplayName: d, Address: u, Params: p}, ok
	case "To":
		d, u, p, ok := plainAddress(value)
		return &siplib.ToHeader{DisplayName: d, Address: u, Params: p}, ok
	case "CSeq":
		h, err := parseCSeq(nil, value)
		return h, err == nil
	case "Call-ID":
		h := siplib.CallIDHeader(value)
		return &h, value != ""
	case "Content-Type":
		h := siplib.ContentTypeHeader(value)
		return &h, value != ""
	case "Max-Forwards":
		n, ok := plainNumber(value)
		h := siplib.MaxForwardsHeader(n)
		return &h, ok
	case "Content-Length":
		n, ok := plainNumber(value)
		h := siplib.ContentLengthHeader(n)
		return &h, ok
	}
	if !isToken(name) {
		return nil, false
	}
	h := siplib.NewHeader(name, value)
	return h, fieldOf(h) == otherField || fieldOf(h) >= recordRouteField // no other spelling of the above
}

func plainNumber(s string) (n uint32, ok bool) {
	if s == "" || len(s) > 6 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + uint32(s[i]-'0')
	}
	return n, true
}

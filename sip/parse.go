package sip

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	siplib "github.com/emiago/sipgo/sip"
)

// ErrParse tells that bytes are no SIP message.
var ErrParse = errors.New("sip: not a SIP message")

// MaxMessage is the size in bytes that a message may have at most: what fits
// into a UDP datagram.
const MaxMessage = 65507

// ParseMessage reads one whole message, a *Request or a *Response. Without a
// Content-Length the body reaches to the end. A header field that cannot be
// read is kept as text, see the package comment. When an error comes with a
// message, that message holds what was read before the error.
func ParseMessage(raw []byte) (msg Message, err error) {
	return Parse(defaultParser, raw)
}

var defaultParser = NewParser(MaxMessage)

// Parse is ParseMessage with a parser of NewParser. The parser is foreign code
// that reads hostile bytes: a panic in it is an error here.
func Parse(p *siplib.Parser, raw []byte) (msg Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			msg, err = nil, fmt.Errorf("%w: parser failed: %v", ErrParse, r)
		}
	}()
	if msg, ok := plainMessage(raw, p.MaxMessageLength); ok {
		return msg, nil
	}
	msg, err = p.ParseSIP(raw)
	if err == nil {
		return msg, nil
	}
	err = fmt.Errorf("%w: %w", ErrParse, err)
	if msg == nil || isNilMessage(msg) {
		return salvage(p, raw), err
	}
	return msg, err
}

// salvage reads the fields of a request whose Request-URI cannot be read, so that
// it can be answered with 400. It returns nil when it is not that.
func salvage(p *siplib.Parser, raw []byte) Message {
	line, rest, ok := bytes.Cut(raw, []byte("\r\n"))
	method, _, _ := bytes.Cut(line, []byte(" "))
	if !ok || !isToken(string(method)) || !bytes.HasSuffix(bytes.TrimRight(line, " "), []byte(" SIP/2.0")) {
		return nil
	}
	again := make([]byte, 0, len(raw)+32)
	again = append(append(again, method...), " sip:unreadable.invalid SIP/2.0\r\n"...)
	msg, err := p.ParseSIP(append(again, rest...))
	if err != nil {
		return nil
	}
	return msg
}

func isNilMessage(m Message) bool {
	switch m := m.(type) {
	case *Request:
		return m == nil
	case *Response:
		return m == nil
	}
	return true
}

// NewParser makes sipgo's parser with the field parsers of this package:
// unreadable fields stay text, Contact, Route and Record-Route stay text for
// [Contacts] and [NameAddrs] (sipgo loses quoted parameters), CSeq and Via take
// the white space that RFC 3261 §7.3.1 allows.
func NewParser(maxBytes int) *siplib.Parser {
	p := siplib.NewParser(siplib.WithHeadersParsers(fieldParsers))
	p.MaxMessageLength = maxBytes
	return p
}

var fieldParsers = func() map[string]siplib.HeaderParser {
	lib := siplib.DefaultHeadersParser()
	lenient := func(name string, p siplib.HeaderParser) siplib.HeaderParser {
		return func(n []byte, text string) (Header, error) {
			h, err := p(n, text)
			if err != nil && !isComma(err) {
				return siplib.NewHeader(name, text), nil
			}
			return h, err
		}
	}
	m := map[string]siplib.HeaderParser{
		"from":         lenient("From", parseFrom),
		"to":           lenient("To", parseTo),
		"call-id":      lenient("Call-ID", lib["call-id"]),
		"content-type": lenient("Content-Type", lib["content-type"]),
		"max-forwards": lenient("Max-Forwards", lib["max-forwards"]),
		"cseq":         lenient("CSeq", parseCSeq),
		"via":          lenient("Via", parseVia),
		// A length that cannot be read leaves no end of the message.
		"content-length": lib["content-length"],
	}
	for c, long := range compactNames {
		if p, ok := m[long]; ok {
			m[string(c)] = p
		}
	}
	return m
}()

// isComma: sipgo tells the end of a list item by an error of a private type.
func isComma(err error) bool { return err.Error() == "comma detected" }

var errField = errors.New("unreadable")

func parseCSeq(_ []byte, text string) (Header, error) {
	num, method, ok := strings.Cut(strings.TrimSpace(text), " ")
	if !ok {
		if num, method, ok = strings.Cut(strings.TrimSpace(text), "\t"); !ok {
			return nil, errField
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(num), 10, 31)
	method = strings.TrimSpace(method)
	if err != nil || !isToken(method) {
		return nil, errField
	}
	return &siplib.CSeqHeader{SeqNo: uint32(n), MethodName: Method(method)}, nil
}

var libFrom, libTo = siplib.DefaultHeadersParser()["from"], siplib.DefaultHeadersParser()["to"]

// parseFrom tries sipgo's quick parser first, and ours on what it misreads.
func parseFrom(name []byte, text string) (Header, error) {
	if d, u, p, ok := plainAddress(text); ok {
		return &siplib.FromHeader{DisplayName: d, Address: u, Params: p}, nil
	}
	h, err := libFrom(name, text)
	if f, ok := h.(*siplib.FromHeader); err == nil && ok && readable(&f.Address) {
		requoteLib(f.Params)
		return f, nil
	}
	n, err := ParseNameAddr(text)
	if err != nil {
		return nil, err
	}
	return &siplib.FromHeader{DisplayName: libDisplay(n.Display), Address: n.URI.Lib(), Params: libHeaderParams(n.Params)}, nil
}

func parseTo(name []byte, text string) (Header, error) {
	if d, u, p, ok := plainAddress(text); ok {
		return &siplib.ToHeader{DisplayName: d, Address: u, Params: p}, nil
	}
	h, err := libTo(name, text)
	if t, ok := h.(*siplib.ToHeader); err == nil && ok && readable(&t.Address) {
		requoteLib(t.Params)
		return t, nil
	}
	n, err := ParseNameAddr(text)
	if err != nil {
		return nil, err
	}
	return &siplib.ToHeader{DisplayName: libDisplay(n.Display), Address: n.URI.Lib(), Params: libHeaderParams(n.Params)}, nil
}

var libVia = siplib.DefaultHeadersParser()["via"]

// parseVia retries with the white space of "SIP / 2.0 / UDP host : 5060" removed.
func parseVia(name []byte, text string) (Header, error) {
	if v, ok := plainVia(text); ok {
		return v, nil
	}
	h, err := libVia(name, text)
	if (err == nil || isComma(err)) && viaReadable(h) {
		return h, err
	}
	tight := tightenVia(text)
	h, err = libVia(name, tight)
	if err != nil { // a comma counts in the tightened text, not in the original
		return nil, errField
	}
	if !viaReadable(h) {
		return nil, errField
	}
	return h, nil
}

func viaReadable(h Header) bool {
	v, ok := h.(*siplib.ViaHeader)
	return ok && v.Host != "" && v.Transport != "" && !strings.ContainsAny(v.Host, " \t") && v.Port >= 0 && v.Port < 1<<16 &&
		(v.Port != 0 || !strings.Contains(v.Host, ":") || strings.Count(v.Host, ":") > 1)
}

func tightenVia(s string) string {
	b := make([]byte, 0, len(s))
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			quoted = !quoted
		}
		if quoted || c != ' ' && c != '\t' {
			b = append(b, c)
			continue
		}
		j := i
		for j < len(s) && (s[j] == ' ' || s[j] == '\t') {
			j++
		}
		tight := func(c byte) bool { return strings.IndexByte("/;=:,", c) >= 0 }
		if len(b) > 0 && !tight(b[len(b)-1]) && j < len(s) && !tight(s[j]) {
			b = append(b, ' ')
		}
		i = j - 1
	}
	return string(b)
}

package siptest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrNotSIP is wrapped by [Parse] for bytes that cannot be read as one message.
var ErrNotSIP = errors.New("siptest: not a sip message")

// singleHeaders may stand once at most (RFC 3261 §7.3.1: all that are no lists).
var singleHeaders = []string{
	"Call-ID", "Content-Disposition", "Content-Length", "Content-Type", "CSeq",
	"Date", "Event", "Expires", "From", "Max-Forwards", "MIME-Version", "Min-Expires", "Priority",
	"Retry-After", "Server", "Subject", "Subscription-State", "To", "User-Agent",
}

// Parse reads one whole message: a datagram, a WebSocket message, or what the
// stream framing cut out. It is as tolerant as it must be to go on and lists
// everything that a strict reader would not have taken in faults.
func Parse(raw []byte) (m *Message, faults []string, err error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	end := bytes.Index(raw, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, nil, fmt.Errorf("%w: no empty line after the headers", ErrNotSIP)
	}
	head, body := string(raw[:end]), raw[end+4:]
	if bare := strings.ReplaceAll(head, "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
		fault("a CR or LF stands alone in the header part")
	}
	if !utf8.ValidString(head) {
		fault("the header part is not UTF-8")
	}
	for i := 0; i < len(head); i++ {
		if c := head[i]; c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			fault("control character %#02x in the header part", c)
			break
		}
	}

	lines := strings.Split(head, "\r\n")
	m = &Message{Raw: raw}
	if err := m.parseStart(lines[0]); err != nil {
		return nil, nil, err
	}
	for _, line := range lines[1:] {
		if line == "" {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			fault("folded header line (RFC 3261 §7.3.1 lets us read it, nobody should send it)")
			if n := len(m.Headers); n > 0 {
				m.Headers[n-1].Value += " " + strings.TrimSpace(line)
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			fault("header line without a colon: %q", line)
			continue
		}
		name = strings.TrimRight(name, " \t")
		if !isToken(name) {
			fault("header name %q is no token", name)
		}
		m.Headers = append(m.Headers, Header{longName(name), strings.TrimSpace(value)})
	}
	for _, name := range singleHeaders {
		if m.count(name) > 1 {
			fault("header %s stands %d times", name, m.count(name))
		}
	}
	m.Body = body
	if cl := m.Get("Content-Length"); cl == "" {
		fault("no Content-Length")
	} else if n, err := strconv.Atoi(cl); err != nil || n < 0 {
		fault("Content-Length %q is no number", cl)
	} else if n != len(body) {
		fault("Content-Length is %d, the body has %d bytes", n, len(body))
		if n < len(body) {
			m.Body = body[:n]
		}
	}
	return m, faults, nil
}

func (m *Message) parseStart(line string) error {
	if rest, ok := strings.CutPrefix(line, "SIP/2.0 "); ok {
		code, reason, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(code)
		if err != nil || len(code) != 3 || n < 100 || n > 699 {
			return fmt.Errorf("%w: status line %q", ErrNotSIP, line)
		}
		m.Status, m.Reason = n, reason
		return nil
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "SIP/2.0" || !isToken(parts[0]) || parts[1] == "" {
		return fmt.Errorf("%w: start line %q", ErrNotSIP, line)
	}
	m.Method, m.RequestURI = parts[0], parts[1]
	return nil
}

package ua

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/stoxgate/stoxgate/sip"
)

// Errors of the framing; each ends the connection.
var (
	errHeadTooLong = errors.New("ua: head of the message is too long")
	errLength      = errors.New("ua: no usable Content-Length")
	errTooLarge    = errors.New("ua: message is too large")
)

// maxHead is the size in bytes of a head on a connection.
const maxHead = 32 << 10

// framer cuts a byte stream into SIP messages (RFC 3261 §7.5, §18.3) and
// keep-alives (RFC 5626 §4.4.1). It owns the framing because sipgo's takes the
// last of two Content-Length headers, which is how requests are smuggled.
type framer struct {
	buf  []byte
	head int // length of the head including the empty line; 0: not complete
	body int
	half bool // the last thing read was the first CRLF of a pair
}

// write appends what was read.
func (f *framer) write(b []byte) { f.buf = append(f.buf, b...) }

// pending tells whether a message has begun and is not complete.
func (f *framer) pending() bool { return len(f.buf) > 0 }

// next returns a whole message and takes it off with done; nil means that more
// bytes are needed. crlfs counts the CRLFs in front of it, pings the pairs that
// they complete, however the reads cut them. With an error, the bytes of the head
// are returned if it is complete.
func (f *framer) next() (msg []byte, pings, crlfs int, err error) {
	if f.head == 0 {
		n := 0
		for ; len(f.buf)-n >= 2 && f.buf[n] == '\r' && f.buf[n+1] == '\n'; n += 2 {
			crlfs++
			if f.half {
				pings++
			}
			f.half = !f.half
		}
		if n > 0 {
			f.drop(n) // at once: a flood of them must not move the rest each time
		}
		if len(f.buf) > 1 {
			f.half = false
		}
		i := bytes.Index(f.buf, []byte("\r\n\r\n"))
		if i < 0 {
			if len(f.buf) > maxHead {
				return nil, pings, crlfs, errHeadTooLong
			}
			return nil, pings, crlfs, nil
		}
		f.head = i + 4
		if f.head > maxHead {
			return nil, pings, crlfs, errHeadTooLong
		}
		n, ok := contentLength(f.buf[:f.head])
		if !ok {
			return f.buf[:f.head], pings, crlfs, errLength
		}
		if f.head+n > sip.MaxMessage {
			return f.buf[:f.head], pings, crlfs, errTooLarge
		}
		f.body = n
	}
	if len(f.buf) < f.head+f.body {
		return nil, pings, crlfs, nil
	}
	return f.buf[:f.head+f.body], pings, crlfs, nil
}

// done takes the message that next returned off the buffer.
func (f *framer) done() {
	f.drop(f.head + f.body)
	f.head, f.body = 0, 0
}

func (f *framer) drop(n int) {
	rest := copy(f.buf, f.buf[n:])
	f.buf = f.buf[:rest]
	if rest == 0 && cap(f.buf) > 16<<10 {
		f.buf = nil // one large message must not cost its size for ever
	}
}

// contentLength finds the only Content-Length of a head.
func contentLength(head []byte) (n int, ok bool) {
	_, head, _ = bytes.Cut(head, []byte("\r\n")) // start line
	for len(head) > 2 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		name = bytes.TrimRight(name, " \t")
		if !(len(name) == 1 && name[0]|0x20 == 'l' || len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length"))) {
			continue
		}
		v, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
		if err != nil || ok {
			return 0, false
		}
		n, ok = int(v), true
	}
	return n, ok
}

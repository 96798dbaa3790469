package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Directions of an outbox entry.
const (
	X2S = "x2s" // XMPP towards SIP
	S2X = "s2x" // SIP towards XMPP
)

// OutboxEntry is one message that has been accepted and not yet handed over.
type OutboxEntry struct {
	// Seq is given by the store: larger than every one given before on this node, also
	// by an earlier process. Gaps occur (a process that is killed skips up to 262 144). It
	// never wraps; what has 31 bits on the wire (the CSeq of SIP) takes it modulo 2³¹−1
	// plus 1, which comes back to the same number after 2.1 thousand million messages
	// and is never 0.
	Seq       int64
	Direction string    // X2S or S2X
	Pair      string    // the pair's key
	Flow      string    // correlation id
	Payload   []byte    // the stanza as XML
	Meta      []byte    // what else is needed to send it, for the caller to read
	Created   time.Time // milliseconds are kept
	Expires   time.Time // zero: never
	Attempts  int       // see Touch
	NotBefore time.Time // see Touch
}

// entriesVersion is the first byte of a row's entries.
const entriesVersion = 1

// appendEntry encodes e behind the entries of its row; offset is its place there,
// counted from the row's first number.
func appendEntry(dst []byte, offset int, e *OutboxEntry) []byte {
	dst = binary.AppendUvarint(dst, uint64(offset))
	dst = appendBytes(dst, e.Direction)
	dst = appendBytes(dst, e.Pair)
	dst = appendBytes(dst, e.Flow)
	dst = appendBytes(dst, e.Payload)
	dst = appendBytes(dst, e.Meta)
	dst = binary.AppendVarint(dst, toMillis(e.Created))
	dst = binary.AppendVarint(dst, toMillis(e.Expires))
	dst = binary.AppendUvarint(dst, uint64(max(e.Attempts, 0)))
	return binary.AppendVarint(dst, toMillis(e.NotBefore))
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// decodeEntries reads a row's entries; they keep no part of data. The error wraps
// ErrCorrupt.
func decodeEntries(first int64, data []byte) ([]OutboxEntry, error) {
	if len(data) == 0 || data[0] != entriesVersion {
		return nil, fmt.Errorf("%w: unknown form of outbox entries", ErrCorrupt)
	}
	r := reader{data: data[1:]}
	var list []OutboxEntry
	for len(r.data) > 0 && r.err == nil {
		offset := r.uvarint(groupChanges - 1)
		e := OutboxEntry{
			Seq:       first + int64(offset),
			Direction: r.direction(),
			Pair:      string(r.bytes()),
			Flow:      string(r.bytes()),
			Payload:   clone(r.bytes()),
			Meta:      clone(r.bytes()),
			Created:   fromMillis(r.varint()),
			Expires:   fromMillis(r.varint()),
			Attempts:  int(r.uvarint(math.MaxInt32)),
			NotBefore: fromMillis(r.varint()),
		}
		if len(list) > 0 && e.Seq <= list[len(list)-1].Seq {
			r.fail("entries out of order")
		}
		list = append(list, e)
	}
	if r.err != nil {
		return nil, r.err
	}
	return list, nil
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// reader reads the binary forms of this package; after an error everything is zero.
type reader struct {
	data []byte
	err  error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, why)
	}
	r.data = nil
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > limit {
		r.fail("bad number")
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint(math.MaxInt32)
	if n > uint64(len(r.data)) {
		r.fail("cut short")
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// direction avoids a string per entry.
func (r *reader) direction() string {
	switch b := r.bytes(); string(b) {
	case X2S:
		return X2S
	case S2X:
		return S2X
	default:
		return string(b)
	}
}

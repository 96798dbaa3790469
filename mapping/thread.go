package mapping

import (
	"encoding/base32"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A <thread/> and a Call-ID stand for each other (RFC 7572 §4, §5). The Call-ID we make from a thread is
//
//	escaped thread "." pair check "@" host
//
// The thread is in it, so no table is needed to find it again. The pair (8 characters, a hash of both
// addresses) keeps the Call-IDs of two conversations apart that use the same thread, and the check (5
// characters over all before it) tells our Call-IDs from foreign ones without knowing the host: so a thread
// also survives two gateways in a row. A foreign Call-ID is a thread as it stands, but it never becomes the
// Call-ID of a request of ours: RFC 3261 §8.1.1.4 wants a new one there, and loop detection relies on it.

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

const base32hexLower = "0123456789abcdefghijklmnopqrstuv"

const (
	pairChars  = 8
	checkChars = 5
	// maxThread bounds the escaped thread in a Call-ID, in bytes. A longer thread is hashed and cannot be
	// found again; clients use UUIDs.
	maxThread = 256
	// threadEscape starts a two-digit hex escape; it is legal in a Call-ID and rare in a thread.
	threadEscape = '~'
	// noThread and longThread mark Call-IDs without a readable thread; no escaped thread starts like that.
	noThread   = "~m"
	longThread = "~h"
)

// ThreadToCallID makes the Call-ID for a message of a thread between two addresses (their canonical text
// form). host is our own name. The same thread between the same addresses always gives the same Call-ID. An
// empty thread gives a Call-ID that is used once; seq keeps these apart.
func ThreadToCallID(thread, from, to, host string, seq uint64) string {
	return callIDOf(thread, fnv(fnv(fnv(fnvStart, from), "\x00"), to), host, seq)
}

// callIDOf is ThreadToCallID with the hash of the pair.
func callIDOf(thread string, pair uint64, host string, seq uint64) string {
	var room [192]byte // on the stack, for all but the longest threads
	b := room[:0]
	if thread == "" {
		b = append(b, noThread...)
		b = strconv.AppendUint(b, seq, 36)
	} else if b = appendThread(b, thread); len(b) > maxThread {
		b = appendHash(append(b[:0], longThread...), fnv(fnvStart, thread), 13)
	}
	b = append(b, '.')
	b = appendHash(b, pair, pairChars)
	b = appendHash(b, fnvBytes(fnvStart, b), checkChars)
	b = append(b, '@')
	return string(append(b, host...))
}

// CallIDToThread is the thread of a message that came with this Call-ID: the thread it was made from if a
// gateway like this one made it (empty when there was none), else the Call-ID itself. ours tells which.
func CallIDToThread(callID string) (thread string, ours bool) {
	local := callID
	if at := strings.LastIndexByte(callID, '@'); at >= 0 {
		local = callID[:at]
	}
	n := len(local) - pairChars - checkChars - 1
	if n < 1 || local[n] != '.' || !checked(local) {
		return cleanLine(callID, 2*maxThread), false
	}
	if local[0] == threadEscape && (strings.HasPrefix(local, noThread) || strings.HasPrefix(local, longThread)) {
		return "", true
	}
	thread, ok := unescapeThread(local[:n])
	if !ok {
		return cleanLine(callID, 2*maxThread), false
	}
	return thread, true
}

func checked(local string) bool {
	var sum [checkChars]byte
	at := len(local) - checkChars
	return string(appendHash(sum[:0], fnv(fnvStart, local[:at]), checkChars)) == local[at:]
}

// plainThread tells what needs no escape: what is a "word" of RFC 3261 §25.1 and harmless in logs, URLs and
// SQL too.
func plainThread(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

func appendThread(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		if c := s[i]; plainThread(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, threadEscape, hex[c>>4], hex[c&15])
		}
	}
	return dst
}

func unescapeThread(s string) (string, bool) {
	if strings.IndexByte(s, threadEscape) < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != threadEscape {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(v))
		i += 2
	}
	return string(b), utf8.Valid(b)
}

// FNV-1a, 64 bit: it spreads, and nothing that rests on it has to withstand an enemy.
const fnvStart uint64 = 14695981039346656037

func fnv(h uint64, s string) uint64 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func fnvBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// appendHash writes the first n characters (5 bit each, 13 at most) of a hash.
func appendHash(dst []byte, h uint64, n int) []byte {
	h ^= h >> 32 // FNV leaves its high bits poor for short input
	for range n {
		dst = append(dst, base32hexLower[h&31])
		h >>= 5
	}
	return dst
}

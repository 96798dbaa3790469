package mapping

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/sip"
)

// Message ids cross without a table, so that a receipt finds its message however late it comes:
//
//   - XMPP to SIP: the imdn.Message-ID is the stanza id, or its base64url form behind a prefix when it has
//     characters that RFC 5438 §6.3 does not allow in a token.
//   - SIP to XMPP: the stanza id is the imdn.Message-ID. A MESSAGE without one gets an id made from its
//     Call-ID, CSeq and tag; its sender waits for no receipt, and the prefix tells so.
const (
	encodedID = "sgid-"
	madeID    = "stoxgate-"
	// maxID bounds ids in bytes; clients use UUIDs.
	maxID = 255
)

// stanzaToMessageID makes the imdn.Message-ID. ok is false when the stanza id is empty or absurdly long.
func stanzaToMessageID(id string) (string, bool) {
	if id == "" || len(id) > maxID {
		return "", false
	}
	if isIDToken(id) && !strings.HasPrefix(id, madeID) && !strings.HasPrefix(id, encodedID) {
		return id, true
	}
	return encodedID + base64.RawURLEncoding.EncodeToString([]byte(id)), true
}

// messageIDToStanza finds the stanza id again.
func messageIDToStanza(id string) string {
	if enc, ok := strings.CutPrefix(id, encodedID); ok {
		if b, err := base64.RawURLEncoding.DecodeString(enc); err == nil && utf8.Valid(b) {
			return string(b)
		}
	}
	return id
}

func isIDToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '+') {
			return false
		}
	}
	return true
}

// requestID is the stanza id for a request. known is false when it was made from the headers.
func requestID(messageID string, r *sip.Request) (id string, known bool) {
	if id, changed := cleanText(messageID); id != "" && !changed && len(id) <= maxID && !strings.HasPrefix(id, madeID) && !strings.ContainsAny(id, "\n\t") {
		return id, true
	}
	var room [192]byte
	key := append(room[:0], sip.CallID(r)...)
	n, _ := sip.CSeq(r)
	key = strconv.AppendUint(append(key, 0), uint64(n), 10)
	key = append(append(key, 0), sip.FromTag(r)...)
	sum := sha256.Sum256(key)
	var text [len(madeID) + 20]byte
	copy(text[:], madeID)
	for i := range 20 { // 100 bit
		bit := i * 5
		v := uint(sum[bit/8])<<8 | uint(sum[bit/8+1])
		text[len(madeID)+i] = base32hexLower[v>>(11-bit%8)&31]
	}
	return string(text[:]), false
}

// isMadeID reports whether a receipt for this id could mean nothing to the SIP side.
func isMadeID(id string) bool { return strings.HasPrefix(id, madeID) }

package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// A Jingle sid and a Call-ID stand for each other. Of a sid the Call-ID of the INVITE is made as that of a message
// is made of its thread (see thread.go): the sid is in it, so no table is needed to find it again, and it survives
// two gateways in a row. A foreign Call-ID cannot be a sid as it stands: the id of a <propose/> is to be a UUID
// (XEP-0353 §3.1), and clients file calls under it. So one is made from it, always the same.

// SIDToCallID makes the Call-ID for a session between two addresses (their canonical text form). host is our own
// name. The same sid between other addresses has another Call-ID. A sid of more than 256 bytes is hashed and cannot
// be found again; clients use UUIDs.
func SIDToCallID(sid, from, to, host string) string {
	return callIDOf(sid, fnv(fnv(fnv(fnv(fnvStart, "call\x00"), from), "\x00"), to), host, 0)
}

// CallIDToSID is the sid for an INVITE with this Call-ID, From tag and CSeq number: the sid that the Call-ID was
// made from if a gateway like this one made it (ours), else a UUID in the form of version 4. Tag and number are
// in it because a phone may call again under the same Call-ID, and a client would take the new call for the old.
func CallIDToSID(callID, fromTag string, cseq uint32) (sid string, ours bool) {
	if sid, ours = CallIDToThread(callID); ours && isSID(sid) {
		return sid, true
	}
	key := append([]byte(callID), 0)
	key = append(append(key, fromTag...), 0)
	sum := sha256.Sum256(strconv.AppendUint(key, uint64(cseq), 10))
	sum[6] = sum[6]&0x0f | 0x40
	sum[8] = sum[8]&0x3f | 0x80
	text := hex.EncodeToString(sum[:16])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:], false
}

// isSID reports whether the text can be a sid (XEP-0166 §7.1: a name token of XML). Of what is no ASCII, the
// letters of any script pass.
func isSID(s string) bool {
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == ':':
		case c >= 0xc0 && c != 0xd7 && c != 0xf7 && c < 0xfffe:
		default:
			return false
		}
	}
	return s != ""
}

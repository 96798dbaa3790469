package ua

import (
	"encoding/binary"
	"net/netip"
)

// STUN on a SIP socket is a keep-alive (RFC 5626 §4.4.2): a phone behind a NAT sends Binding
// requests over its flow, and learns from the answer that the flow is there and under which
// address. Its first byte tells it from SIP.
const (
	stunHead       = 20
	stunCookie     = 0x2112A442
	stunBinding    = 0x0001
	stunSuccess    = 0x0101
	stunError      = 0x0111
	stunXORMapped  = 0x0020
	stunErrorCode  = 0x0009
	stunUnknown    = 0x000A
	stunOptional   = 0x8000 // attributes from here on may be ignored
	stunMaxUnknown = 8      // attributes that an error names
)

// isSTUN tells whether a datagram is a STUN message (RFC 8489 §5).
func isSTUN(b []byte) bool {
	return len(b) >= stunHead && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == stunCookie &&
		int(binary.BigEndian.Uint16(b[2:])) == len(b)-stunHead
}

// stunAnswer answers a Binding request (RFC 8489 §6.3); nil for everything else, and for
// attributes that cannot be read. Credentials are not asked for and not looked at.
func stunAnswer(b []byte, from netip.AddrPort) []byte {
	if binary.BigEndian.Uint16(b) != stunBinding {
		return nil
	}
	var unknown []byte
	for rest := b[stunHead:]; len(rest) > 0; {
		if len(rest) < 4 {
			return nil
		}
		kind, n := binary.BigEndian.Uint16(rest), (int(binary.BigEndian.Uint16(rest[2:]))+3)&^3
		if rest = rest[4:]; n > len(rest) {
			return nil
		}
		rest = rest[n:]
		switch kind {
		case 0x0006, 0x0008, 0x0014, 0x0015, 0x001C: // user name, integrity, realm, nonce, integrity by SHA-256
		default:
			if kind < stunOptional && len(unknown) < 2*stunMaxUnknown {
				unknown = binary.BigEndian.AppendUint16(unknown, kind)
			}
		}
	}
	out := make([]byte, stunHead, 64)
	copy(out[4:], b[4:stunHead]) // cookie and transaction
	if unknown != nil {
		binary.BigEndian.PutUint16(out, stunError)
		out = append(out, 0, stunErrorCode, 0, 4, 0, 0, 4, 20) // 420 without a phrase
		out = append(out, 0, stunUnknown, 0, byte(len(unknown)))
		out = append(out, unknown...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	} else {
		binary.BigEndian.PutUint16(out, stunSuccess)
		addr := from.Addr().AsSlice()
		family := byte(1)
		if len(addr) == 16 {
			family = 2
		}
		out = append(out, 0, stunXORMapped, 0, byte(4+len(addr)), 0, family)
		out = binary.BigEndian.AppendUint16(out, from.Port()^stunCookie>>16)
		for i, x := range addr {
			out = append(out, x^b[4+i])
		}
	}
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHead))
	return out
}

package relay

import (
	"encoding/binary"
	"time"
)

// Packet types of RTCP (RFC 3550 §12.1, RFC 4585 §6.1) and formats of feedback.
const (
	rtcpSR, rtcpRR, rtcpSDES, rtcpBYE = 200, 201, 202, 203
	rtcpRTPFB, rtcpPSFB               = 205, 206
	rtcpFirst, rtcpLast               = 192, 223 // RFC 5761 §4
	fbNACK                            = 1        // of RTPFB
	fbPLI, fbFIR                      = 1, 4     // of PSFB
)

// ntpEpoch is 1900 in seconds before 1970.
const ntpEpoch = 2208988800

// ntp is a time in the format of NTP (RFC 5905 §6).
func ntp(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// reportBlock is RFC 3550 §6.4.1.
type reportBlock struct {
	ssrc            uint32
	fraction        uint8
	lost            int32
	highest, jitter uint32
	lastSR, delay   uint32
}

func (r reportBlock) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, r.ssrc)
	b = binary.BigEndian.AppendUint32(b, uint32(r.fraction)<<24|uint32(r.lost)&0xffffff)
	b = binary.BigEndian.AppendUint32(b, r.highest)
	b = binary.BigEndian.AppendUint32(b, r.jitter)
	b = binary.BigEndian.AppendUint32(b, r.lastSR)
	return binary.BigEndian.AppendUint32(b, r.delay)
}

func parseReportBlock(b []byte) reportBlock {
	return reportBlock{
		ssrc: binary.BigEndian.Uint32(b), fraction: b[4],
		lost:    int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8,
		highest: binary.BigEndian.Uint32(b[8:]), jitter: binary.BigEndian.Uint32(b[12:]),
		lastSR: binary.BigEndian.Uint32(b[16:]), delay: binary.BigEndian.Uint32(b[20:]),
	}
}

// appendHeader begins a packet of n 32-bit words after the first.
func appendHeader(b []byte, count, kind uint8, words int) []byte {
	return binary.BigEndian.AppendUint16(append(b, 2<<6|count, kind), uint16(words))
}

// senderInfo is what a sender report says of our stream.
type senderInfo struct {
	at             time.Time
	ts             uint32
	packets, bytes uint32
}

// appendReport writes a sender report, or a receiver report when info is nil.
func appendReport(b []byte, ssrc uint32, info *senderInfo, blocks []reportBlock) []byte {
	kind, words := uint8(rtcpRR), 1+6*len(blocks)
	if info != nil {
		kind, words = rtcpSR, words+5
	}
	b = appendHeader(b, uint8(len(blocks)), kind, words)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	if info != nil {
		b = binary.BigEndian.AppendUint64(b, ntp(info.at))
		b = binary.BigEndian.AppendUint32(b, info.ts)
		b = binary.BigEndian.AppendUint32(b, info.packets)
		b = binary.BigEndian.AppendUint32(b, info.bytes)
	}
	for _, r := range blocks {
		b = r.append(b)
	}
	return b
}

// appendSDES writes the source description: the canonical name.
func appendSDES(b []byte, ssrc uint32, cname string) []byte {
	n := 4 + 2 + len(cname) // chunk without its end
	pad := 4 - n%4          // at least one zero octet
	b = appendHeader(b, 1, rtcpSDES, (n+pad)/4)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 1, uint8(len(cname)))
	b = append(b, cname...)
	return append(b, 0, 0, 0, 0)[:len(b)+pad]
}

// appendBYE writes the end of our stream.
func appendBYE(b []byte, ssrc uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, 1, rtcpBYE, 1), ssrc)
}

// appendFeedback writes a feedback message (RFC 4585 §6.1).
func appendFeedback(b []byte, kind, format uint8, sender, media uint32, fci []byte) []byte {
	b = appendHeader(b, format, kind, 2+len(fci)/4)
	b = binary.BigEndian.AppendUint32(b, sender)
	b = binary.BigEndian.AppendUint32(b, media)
	return append(b, fci...)
}

// rtcpHandler takes the parts of a compound packet that mean something.
type rtcpHandler interface {
	senderReport(ssrc uint32, ntp uint64)
	report(r reportBlock)
	bye(ssrc uint32)
	feedback(kind, format uint8, media uint32, fci []byte)
}

// parseRTCP walks a compound packet (RFC 3550 §6.1) and stops at what is broken. Padding
// and packets of other kinds are skipped.
func parseRTCP(b []byte, h rtcpHandler) bool {
	if len(b) < 8 || b[0]>>6 != 2 || b[1] < rtcpFirst || b[1] > rtcpLast {
		return false
	}
	for len(b) >= 4 && b[0]>>6 == 2 {
		n := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if n > len(b) {
			return false
		}
		count, kind, p := b[0]&0x1f, b[1], b[:n]
		b = b[n:]
		switch kind {
		case rtcpSR, rtcpRR:
			at := 8
			if kind == rtcpSR {
				if n < 28 {
					return false
				}
				h.senderReport(binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint64(p[8:]))
				at = 28
			}
			for range count {
				if at+24 > n {
					return false
				}
				h.report(parseReportBlock(p[at:]))
				at += 24
			}
		case rtcpBYE:
			for i := range int(count) {
				if 8+4*i > n {
					return false
				}
				h.bye(binary.BigEndian.Uint32(p[4+4*i:]))
			}
		case rtcpRTPFB, rtcpPSFB:
			if n < 12 {
				return false
			}
			h.feedback(kind, count, binary.BigEndian.Uint32(p[8:]), p[12:])
		}
	}
	return true
}

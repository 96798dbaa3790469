package relay

import (
	"encoding/binary"
	"time"
)

// reportRoom is where compound packets are made; the longest is a report with one block,
// the description and a feedback message, and what SRTCP appends.
const reportRoom = 600

// maxFCI is how much feedback of one message is passed on.
const maxFCI = 256

// compound begins a compound packet: RTCP always starts with a report and has the
// description (RFC 3550 §6.1).
func (l *leg) compound(b []byte, now time.Time) []byte {
	var info *senderInfo
	if l.tx.sinceSR {
		info = &senderInfo{at: now, ts: l.tx.now(now, l.tx.clock), packets: uint32(l.tx.packets), bytes: uint32(l.tx.bytes)}
	}
	var blocks [1]reportBlock
	n := 0
	if l.rx.started {
		blocks[0] = l.rx.block(now)
		n = 1
	}
	return appendSDES(appendReport(b, l.tx.ssrc, info, blocks[:n]), l.tx.ssrc, l.s.cname)
}

// report sends the report that is due.
func (l *leg) report(now time.Time) {
	var room [reportRoom]byte
	b := l.compound(room[:0], now)
	l.tx.sinceSR = false
	l.t.sendRTCP(&writer{now: now}, b)
}

// farewell says that our stream ends.
func (l *leg) farewell(now time.Time) {
	if !l.t.ready() || !l.tx.sent && !l.rx.started {
		return
	}
	var room [reportRoom]byte
	l.t.sendRTCP(&writer{now: now}, appendBYE(l.compound(room[:0], now), l.tx.ssrc))
}

// reported takes what the peer says of our stream.
func (l *leg) reported(r reportBlock, now time.Time) {
	l.remoteLost, l.remoteJitter = int64(r.lost), r.jitter
	if o := l.other(); o != nil && o.active() {
		o.trans.loss(float64(r.fraction) / 256)
	}
	if r.lastSR == 0 {
		return
	}
	d := uint32(ntp(now)>>16) - r.lastSR - r.delay
	if rtt := time.Duration(d) * time.Second / 65536; d < 1<<31 && rtt < time.Minute {
		l.roundTrip = rtt
	}
}

// passFeedback passes on what the peer asks of the sender of its stream: a picture it
// lost, packets it misses. FIR names the stream in its own list (RFC 5104 §4.3.1).
func (l *leg) passFeedback(w *writer, kind, format uint8, fci []byte) {
	o := l.other()
	if o == nil || !o.t.ready() || !o.rx.started || len(fci) > maxFCI {
		return
	}
	var room [maxFCI]byte
	out := room[:0]
	media := o.rx.ssrc
	switch {
	case kind == rtcpPSFB && format == fbPLI:
	case kind == rtcpPSFB && format == fbFIR:
		for ; len(fci) >= 8; fci = fci[8:] {
			if binary.BigEndian.Uint32(fci) == l.tx.ssrc {
				out = append(binary.BigEndian.AppendUint32(out, media), fci[4:8]...)
			}
		}
		media = 0
	case kind == rtcpRTPFB && format == fbNACK:
		for ; len(fci) >= 4; fci = fci[4:] {
			if seq, ok := l.tx.original(binary.BigEndian.Uint16(fci)); ok {
				out = append(binary.BigEndian.AppendUint16(out, seq), fci[2], fci[3])
			}
		}
	default:
		return
	}
	if format != fbPLI && len(out) == 0 {
		return
	}
	var packet [reportRoom]byte
	b := appendFeedback(o.compound(packet[:0], w.now), kind, format, o.tx.ssrc, media, out)
	o.t.sendRTCP(&writer{now: w.now}, b)
}

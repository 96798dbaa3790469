package relay

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// packet is the way of everything a leg receives (RFC 7983 tells the kinds apart). on is
// nil when it came through the ICE agent.
func (t *transport) packet(b []byte, from netip.AddrPort, on *socket, w *writer) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || t.failed || len(t.legs) == 0 {
		return
	}
	switch first := b[0]; {
	case first >= 128 && first < 192 && len(b) >= 8:
		if on != nil && (on == t.rtcp || on == t.spare[1]) || b[1] >= rtcpFirst && b[1] <= rtcpLast {
			t.receiveRTCP(b, from, on, w)
			return
		}
		t.receiveRTP(b, from, w)
	case first >= 20 && first < 64:
		t.receiveDTLS(b, from)
	default:
		t.legs[0].unknown++
	}
}

// receiveDTLS hands a record over. Without ICE the address of the description counts, or
// else the first that sends one, until the handshake says who it is.
func (t *transport) receiveDTLS(b []byte, from netip.AddrPort) {
	if t.setup.Protection != DTLS {
		t.legs[0].unknown++
		return
	}
	if t.ice == nil {
		switch {
		case from == t.dtlsFrom:
		case from == t.src.signalled, !t.dtlsFrom.IsValid():
			t.dtlsFrom = from
		default:
			t.strangers++
			return
		}
	}
	if t.assoc != nil {
		t.assoc.pipe.put(b, from)
	} else if len(t.early) < 8 {
		t.early = append(t.early, datagram{slices.Clone(b), from})
	}
}

func (t *transport) receiveRTP(b []byte, from netip.AddrPort, w *writer) {
	if len(b) < rtpHeader {
		t.legs[0].unknown++
		return
	}
	if !t.limit.allow(w.now, t.s.relay.c.MaxPacketRate) {
		t.limited++
		return
	}
	pt, seq, ssrc := b[1]&0x7f, binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[8:])
	if t.protection != None {
		var ok bool
		if b, ok = t.unprotect(b, from, ssrc, w.now); !ok {
			return
		}
		if t.ice == nil {
			t.src.lock(from, ssrc, seq, w.now)
		}
	} else if t.ice == nil {
		l := t.legFor(pt)
		if from != t.src.addr && from != t.src.signalled && (l == nil || !t.described) || !t.src.accept(from, ssrc, seq, w.now) {
			t.strangers++
			return
		}
	}
	b, payload := stripHeader(b)
	if b == nil {
		t.legs[0].unknown++
		return
	}
	l := t.legFor(pt)
	if l == nil {
		t.legs[0].unknown++
		return
	}
	l.receive(b, pt, payload, w)
}

// unprotect decrypts in place. Packets from elsewhere than the peer are tried as well,
// since it may have moved, but not many.
func (t *transport) unprotect(b []byte, from netip.AddrPort, ssrc uint32, now time.Time) ([]byte, bool) {
	if t.in == nil {
		t.legs[0].unknown++ // before the keys: never taken as plain RTP
		return nil, false
	}
	if t.ice == nil && from != t.src.addr && from != t.src.signalled && !t.foreign.allow(now, maxAttempts) {
		t.strangers++
		return nil, false
	}
	if t.old == nil {
		out, err := t.in.open(b, ssrc)
		if err != nil {
			t.unauthentic++
		}
		return out, err == nil
	}
	// A failed attempt may leave garbage behind, so each has its own copy for a while.
	n := copy(t.scratch[:], b)
	out, err := t.in.open(b, ssrc)
	if err == nil {
		return out, true
	}
	if now.After(t.oldUntil) {
		t.old = nil
	} else if out, err = t.old.open(b[:copy(b, t.scratch[:n])], ssrc); err == nil {
		return out, true
	}
	t.unauthentic++
	return nil, false
}

// legFor finds the leg that a payload type belongs to.
func (t *transport) legFor(pt uint8) *leg {
	if len(t.legs) == 1 {
		if l := t.legs[0]; l.actions[pt].kind != actUnknown {
			return l
		}
		return nil
	}
	for _, l := range t.legs {
		if l.actions[pt].kind != actUnknown {
			return l
		}
	}
	return nil
}

// stripHeader takes contributing sources and the header extension out of a packet, and
// tells how long its payload is, padding left out; nil: it is not RTP.
func stripHeader(b []byte) (stripped []byte, payload int) {
	if b[0]>>6 != 2 {
		return nil, 0
	}
	n := rtpHeader + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return nil, 0
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if len(b) < n {
		return nil, 0
	}
	payload = len(b) - n
	if b[0]&0x20 != 0 {
		if payload == 0 || int(b[len(b)-1]) > payload || b[len(b)-1] == 0 {
			return nil, 0
		}
		payload -= int(b[len(b)-1])
	}
	if cut := n - rtpHeader; cut > 0 {
		copy(b[cut:n], b[:rtpHeader])
		b = b[cut:]
	}
	b[0] = 2 << 6 // padding goes too
	return b[:rtpHeader+payload], payload
}

// receiveRTCP reads a compound packet; reports end here, feedback may go on.
func (t *transport) receiveRTCP(b []byte, from netip.AddrPort, on *socket, w *writer) {
	if !t.control.allow(w.now, maxControl) {
		t.limited++
		return
	}
	if t.protection != None {
		if t.in == nil {
			t.legs[0].unknown++
			return
		}
		out, err := t.in.openRTCP(b)
		if err != nil {
			t.unauthentic++
			return
		}
		b = out
	} else if t.ice == nil && from.Addr() != t.src.addr.Addr() && from.Addr() != t.rtcpTo.Addr() && from.Addr() != t.src.signalled.Addr() {
		t.strangers++
		return
	}
	if t.ice == nil && (on == t.rtcp || on == t.spare[1]) {
		t.rtcpFrom = from
	}
	h := rtcpInput{t: t, w: w}
	if !parseRTCP(b, &h) {
		t.legs[0].unknown++
		return
	}
	for _, l := range t.legs {
		l.alive(w.now)
	}
}

// rtcpInput takes what a compound packet says to the legs of a transport.
type rtcpInput struct {
	t *transport
	w *writer
}

func (h *rtcpInput) senderReport(ssrc uint32, ntp uint64) {
	for _, l := range h.t.legs {
		if l.rx.started && l.rx.ssrc == ssrc {
			l.rx.lastSR, l.rx.lastSRAt = uint32(ntp>>16), h.w.now
		}
	}
}

func (h *rtcpInput) report(r reportBlock) {
	for _, l := range h.t.legs {
		if l.tx.ssrc == r.ssrc {
			l.reported(r, h.w.now)
		}
	}
}

func (h *rtcpInput) bye(ssrc uint32) {
	for _, l := range h.t.legs {
		if o := l.other(); o != nil && l.rx.ssrc == ssrc && o.tx.source == ssrc {
			o.tx.anchored = false // whatever comes next is another stream
		}
	}
}

func (h *rtcpInput) feedback(kind, format uint8, media uint32, fci []byte) {
	for _, l := range h.t.legs {
		if l.tx.ssrc == media || media == 0 && len(fci) >= 4 && l.tx.ssrc == binary.BigEndian.Uint32(fci) {
			l.passFeedback(h.w, kind, format, fci)
		}
	}
}

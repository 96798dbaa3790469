package relay

import "time"

// Stats are the figures of both sides, all their streams together; those that cannot be
// added (jitter, delay, codec) are of the first stream.
func (s *Session) Stats() [2]LegStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out [2]LegStats
	for side, legs := range s.legs {
		first := true
		for _, l := range legs {
			if l != nil {
				l.stats(&out[side], first)
				first = false
			}
		}
	}
	return out
}

// gauges are what the session adds to the figures of the relay: directions that are
// transcoded, packets dropped.
func (s *Session) gauges() (transcoding int, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, side := range s.legs {
		for _, l := range side {
			if l == nil {
				continue
			}
			if l.active() {
				transcoding++
			}
			if l.t.legs[0] == l {
				dropped += l.t.dropped()
			}
		}
	}
	return transcoding, dropped
}

// dropped is how many packets were not the peer's, or too many.
func (t *transport) dropped() uint64 {
	n := t.strangers + t.unauthentic + t.limited
	for _, l := range t.legs {
		n += l.unknown
	}
	return n
}

// playout is how long a receiver waits for late packets, in terms of the jitter, at least.
const (
	playoutJitter = 2
	playoutLeast  = 40 * time.Millisecond // a packet and one in hand
)

func (l *leg) stats(out *LegStats, first bool) {
	t := l.t
	lost := max(l.rx.lost(), 0)
	out.Received += l.rx.packets
	out.ReceivedBytes += l.rx.bytes
	out.Sent += l.tx.packets
	out.SentBytes += l.tx.bytes
	out.Lost += lost
	out.Late += l.rx.late
	out.RemoteLost += l.remoteLost
	out.Unknown += l.unknown
	out.Muted += l.muted
	if l.rx.lastAt.After(out.LastReceived) {
		out.LastReceived = l.rx.lastAt
	}
	if t.legs[0] == l {
		out.Foreign += t.strangers
		out.Unauthentic += t.unauthentic
		out.Limited += t.limited
	}
	out.Transcoded = out.Transcoded || l.active()
	if !first {
		return
	}
	out.Jitter = l.rx.jitterTime()
	out.RemoteJitter = clockTime(l.remoteJitter, l.tx.clock)
	out.RoundTrip = l.roundTrip
	out.Protection = t.protection
	if t.ice != nil {
		out.Remote = t.ice.path.to
	} else {
		out.Remote = t.src.target()
	}
	if t.protection != None && t.in != nil {
		out.Suite = t.in.key.suite.name
	}
	if !l.rx.started {
		return
	}
	out.PayloadType = l.lastPT
	if all := l.receives(); int(l.actions[l.lastPT].codec) < len(all) {
		out.Codec = all[l.actions[l.lastPT].codec].Name
	}
	loss := float64(lost) / float64(max(l.rx.packets+uint64(lost), 1))
	out.MOS = mos(out.Codec, loss, l.roundTrip/2+max(playoutJitter*out.Jitter, playoutLeast))
}

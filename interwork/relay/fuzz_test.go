package relay

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzPacket: whatever comes to a leg of any kind, the relay stands.
func FuzzPacket(f *testing.F) {
	rtp := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 20)...)
	f.Add(rtp, uint8(0))
	f.Add(append([]byte{0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, event(1, 0x80, 800)...), uint8(0))
	f.Add(appendFeedback(appendReport(nil, 1, nil, nil), rtcpRTPFB, fbNACK, 1, 0, []byte{0, 1, 0, 0}), uint8(0))
	f.Add(appendFeedback(nil, rtcpPSFB, fbFIR, 1, 0, make([]byte, 8)), uint8(1))
	f.Add([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9}, uint8(2))
	f.Add([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0, 3, 'a', ':', 'b', 0}, uint8(2))
	r := newTestRelay(f, nil)
	var all []*Session
	for _, p := range []Protection{None, SDES, DTLS} {
		s := r.Open("fuzz", nil)
		mustPrepare(f, s, SIP)
		_, err := s.Prepare(Jingle, 0, Setup{ICE: p == DTLS, Protection: p, Mux: true})
		require.NoError(f, err)
		require.NoError(f, s.Format(Jingle, 0, codecs(pcmu, keys8, opus)))
		require.NoError(f, s.Format(SIP, 0, codecs(pcmu, keys8.at(96))))
		require.NoError(f, s.Connect(SIP, 0, Remote{RTP: ap("127.0.0.1:9")}))
		if p != DTLS {
			k := newKey(suites[0])
			require.NoError(f, s.Connect(Jingle, 0, Remote{RTP: ap("127.0.0.1:9"), Mux: true, Cryptos: []Crypto{{Suite: k.suite.name, KeyParams: k.inline()}}}))
		}
		all = append(all, s)
	}
	f.Fuzz(func(_ *testing.T, in []byte, which uint8) {
		if len(in) == 0 || len(in) > maxPacket {
			return
		}
		w := writer{now: time.Now()}
		t := all[int(which)%len(all)].legs[Jingle][0].t
		b := make([]byte, bufferSize)
		if t.mux != nil {
			t.mux.packet(b[:copy(b, in)], ap("127.0.0.1:9"), t.mux.sockets[0], &w)
		}
		t.packet(b[:copy(b, in)], ap("127.0.0.1:9"), t.rtp, &w)
		t.packet(b[:copy(b, in)], ap("127.0.0.1:10"), t.rtcp, &w)
	})
}

func FuzzUsername(f *testing.F) {
	f.Add(append(make([]byte, 20), 0, 6, 0, 1, 'a', 0, 0, 0))
	f.Fuzz(func(_ *testing.T, b []byte) { username(b) })
}

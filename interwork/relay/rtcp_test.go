package relay

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// dueNow has the next report of a leg sent at once.
func dueNow(s *Session, side Side) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs[side][0].reportAt = time.Time{}
}

func TestReports(t *testing.T) {
	for _, mux := range []bool{false, true} {
		r := newTestRelay(t, nil)
		h := newHeard()
		s := r.Open("test", h.add)
		a, b := newPhone(t), newPhone(t)
		for side, p := range []*peer{a, b} {
			_, err := s.Prepare(Side(side), 0, Setup{Mux: mux})
			require.NoError(t, err)
			require.NoError(t, s.Format(Side(side), 0, codecs(pcmu)))
			d := p.remote()
			d.Mux = mux
			require.NoError(t, s.Connect(Side(side), 0, d))
			l, err := s.Prepare(Side(side), 0, Setup{})
			require.NoError(t, err)
			if mux {
				require.Equal(t, l.RTP, l.RTCP)
			}
			p.aim(l)
		}
		exchange(t, a, b, 0, 0)
		a.seq += 2
		exchange(t, a, b, 0, 0)
		// The peer's report, so that ours can answer it.
		sent := time.Now()
		a.control(
			&rtcp.SenderReport{SSRC: a.ssrc, NTPTime: ntp(sent)},
			rtcp.NewCNAMESourceDescription(a.ssrc, "a@test"),
		)
		eventually(t, "SR", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.legs[Jingle][0].rx.lastSR != 0
		})
		dueNow(s, Jingle)
		got, err := a.nextControl(patience)
		require.NoError(t, err)
		sr, ok := got[0].(*rtcp.SenderReport)
		require.True(t, ok, "%T", got[0])
		l, err := s.Prepare(Jingle, 0, Setup{})
		require.NoError(t, err)
		require.Equal(t, l.SSRC, sr.SSRC)
		require.EqualValues(t, 2, sr.PacketCount)
		require.EqualValues(t, 6, sr.OctetCount)
		require.Len(t, sr.Reports, 1)
		require.Equal(t, a.ssrc, sr.Reports[0].SSRC)
		require.EqualValues(t, 2, sr.Reports[0].TotalLost)
		require.EqualValues(t, 2*256/4, sr.Reports[0].FractionLost)
		require.Equal(t, uint32(ntp(sent)>>16), sr.Reports[0].LastSenderReport)
		sdes, ok := got[1].(*rtcp.SourceDescription)
		require.True(t, ok)
		require.Equal(t, l.CNAME, sdes.Chunks[0].Items[0].Text)
		require.EqualValues(t, 2, s.Stats()[Jingle].Lost)
		// The peer answers it: the round trip and what it lost of ours.
		a.control(&rtcp.ReceiverReport{SSRC: a.ssrc, Reports: []rtcp.ReceptionReport{{
			SSRC: l.SSRC, TotalLost: 5, Jitter: 80, LastSenderReport: uint32(sr.NTPTime >> 16),
		}}})
		eventually(t, "round trip", func() bool { return s.Stats()[Jingle].RoundTrip > 0 })
		st := s.Stats()[Jingle]
		require.Less(t, st.RoundTrip, time.Second)
		require.EqualValues(t, 5, st.RemoteLost)
		require.Equal(t, 10*time.Millisecond, st.RemoteJitter)
		s.Close()
		got, err = a.nextControl(patience)
		require.NoError(t, err)
		bye, ok := got[len(got)-1].(*rtcp.Goodbye)
		require.True(t, ok)
		require.Equal(t, []uint32{l.SSRC}, bye.Sources)
	}
}

func TestFeedback(t *testing.T) {
	r := newTestRelay(t, nil)
	vp8 := Codec{PayloadType: 96, Name: "VP8", ClockRate: 90000}
	s, _, a, b := plainCall(t, r, codecs(vp8), codecs(vp8.at(100)))
	a.frame(96, []byte{1})
	a.frame(96, []byte{2})
	_, err := b.next(patience)
	require.NoError(t, err)
	second, err := b.next(patience)
	require.NoError(t, err)
	l := mustPrepare(t, s, SIP)
	find := func(want func(rtcp.Packet) bool) {
		t.Helper()
		got, err := a.nextControl(patience)
		require.NoError(t, err)
		_, ok := got[0].(*rtcp.ReceiverReport)
		require.True(t, ok)
		require.True(t, want(got[len(got)-1]), "%v", got)
	}
	ours := mustPrepare(t, s, Jingle).SSRC
	b.control(&rtcp.ReceiverReport{SSRC: b.ssrc}, &rtcp.PictureLossIndication{SenderSSRC: b.ssrc, MediaSSRC: l.SSRC})
	find(func(p rtcp.Packet) bool {
		pli, ok := p.(*rtcp.PictureLossIndication)
		return ok && pli.MediaSSRC == a.ssrc && pli.SenderSSRC == ours
	})
	b.control(&rtcp.ReceiverReport{SSRC: b.ssrc}, &rtcp.FullIntraRequest{SenderSSRC: b.ssrc, FIR: []rtcp.FIREntry{{SSRC: l.SSRC, SequenceNumber: 7}}})
	find(func(p rtcp.Packet) bool {
		fir, ok := p.(*rtcp.FullIntraRequest)
		return ok && len(fir.FIR) == 1 && fir.FIR[0].SSRC == a.ssrc && fir.FIR[0].SequenceNumber == 7
	})
	b.control(&rtcp.TransportLayerNack{SenderSSRC: b.ssrc, MediaSSRC: l.SSRC, Nacks: []rtcp.NackPair{{PacketID: second.SequenceNumber, LostPackets: 5}}})
	find(func(p rtcp.Packet) bool {
		nack, ok := p.(*rtcp.TransportLayerNack)
		return ok && nack.MediaSSRC == a.ssrc && nack.Nacks[0] == rtcp.NackPair{PacketID: a.seq, LostPackets: 5}
	})
	// What nobody asked our stream for is not passed.
	b.control(&rtcp.PictureLossIndication{SenderSSRC: b.ssrc, MediaSSRC: 12345})
	_, err = a.nextControl(30 * time.Millisecond)
	require.ErrorIs(t, err, errNothing)
}

func TestReportsOverSRTCP(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, web, phone := webCall(t, r, true, true)
	exchange(t, web, phone, 96, 0)
	dueNow(s, Jingle)
	web.toCtl = web.to
	got, err := web.nextControl(patience)
	require.NoError(t, err)
	sr, ok := got[0].(*rtcp.SenderReport)
	require.True(t, ok)
	require.Equal(t, web.ssrc, sr.Reports[0].SSRC)
	web.control(&rtcp.ReceiverReport{SSRC: web.ssrc, Reports: []rtcp.ReceptionReport{{SSRC: sr.SSRC, LastSenderReport: uint32(sr.NTPTime >> 16)}}})
	eventually(t, "round trip", func() bool { return s.Stats()[Jingle].RoundTrip > 0 })
}

func TestRTCPBytes(t *testing.T) {
	now := time.Unix(1700000000, 500000000)
	require.Equal(t, uint32(0x80000000), uint32(ntp(now)))
	for n := range 8 {
		b := appendReport(nil, 1, &senderInfo{at: now, ts: 2, packets: 3, bytes: 4}, []reportBlock{{ssrc: 5, fraction: 6, lost: -7, highest: 8, jitter: 9, lastSR: 10, delay: 11}})
		b = appendSDES(b, 1, "abcdefgh"[:n])
		b = appendFeedback(b, rtcpPSFB, fbPLI, 1, 2, nil)
		b = appendBYE(b, 1)
		got, err := rtcp.Unmarshal(b)
		require.NoError(t, err)
		require.Len(t, got, 4)
		require.Equal(t, "abcdefgh"[:n], got[1].(*rtcp.SourceDescription).Chunks[0].Items[0].Text)
		require.EqualValues(t, 8, got[0].(*rtcp.SenderReport).Reports[0].LastSequenceNumber)
	}
	r := reportBlock{ssrc: 1, fraction: 2, lost: -3, highest: 4, jitter: 5, lastSR: 6, delay: 7}
	require.Equal(t, r, parseReportBlock(r.append(nil)))
}

type ignore struct{}

func (ignore) senderReport(uint32, uint64)             {}
func (ignore) report(reportBlock)                      {}
func (ignore) bye(uint32)                              {}
func (ignore) feedback(_, _ uint8, _ uint32, _ []byte) {}

func FuzzParseRTCP(f *testing.F) {
	f.Add(appendBYE(appendSDES(appendReport(nil, 1, nil, []reportBlock{{}}), 1, "x"), 1))
	f.Add(appendFeedback(nil, rtcpRTPFB, fbNACK, 1, 2, []byte{1, 2, 3, 4}))
	f.Fuzz(func(_ *testing.T, b []byte) { parseRTCP(b, ignore{}) })
}

func FuzzStripHeader(f *testing.F) {
	f.Add([]byte{0x9f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xb1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0x10, 0, 0, 0, 7, 7, 7, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < rtpHeader {
			return
		}
		var want rtp.Packet
		in := append([]byte(nil), b...)
		ok := want.Unmarshal(in) == nil
		got, n := stripHeader(b)
		if got == nil {
			return
		}
		require.Len(t, got, rtpHeader+n)
		if ok && in[0]>>6 == 2 {
			require.Equal(t, len(want.Payload), n)
			require.Equal(t, want.Payload, append([]byte{}, got[rtpHeader:]...))
		}
	})
}

func TestReceiver(t *testing.T) {
	var r receiver
	now := time.Unix(1000, 0)
	put := func(seq uint16) bool {
		now = now.Add(frame)
		return r.update(1, seq, uint32(seq)*160, 8000, 160, now)
	}
	for _, seq := range []uint16{65534, 65535, 0, 1} {
		require.False(t, put(seq))
	}
	require.Zero(t, r.lost())
	put(4)
	require.EqualValues(t, 2, r.lost())
	b := r.block(now)
	require.EqualValues(t, 65536+4, b.highest)
	require.EqualValues(t, 2*256/7, b.fraction)
	require.True(t, put(3))
	require.EqualValues(t, 1, r.lost())
	require.True(t, put(4), "a duplicate")
	require.EqualValues(t, 1, r.lost())
	b = r.block(now)
	require.Zero(t, b.fraction)
	require.False(t, put(40000), "the source started over")
	require.EqualValues(t, 1, r.lost())
	require.False(t, r.update(2, 7, 0, 8000, 160, now), "another source")
	require.EqualValues(t, 1, r.lost())
	require.EqualValues(t, 2, r.late)
}

func TestJitter(t *testing.T) {
	var r receiver
	now := time.Unix(1000, 0)
	for i := range uint16(500) {
		now = now.Add(frame)
		at := now
		if i%2 == 0 {
			at = at.Add(5 * time.Millisecond)
		}
		r.update(1, i, uint32(i)*160, 8000, 160, at)
	}
	require.InDelta(t, 5, float64(r.jitterTime())/float64(time.Millisecond), 0.3)
}

// TestSender: whatever comes, our sequence has no gap but what was lost before, and the
// time goes forward.
func TestSender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := sender{ssrc: 9, seq: rapid.Uint16().Draw(t, "seq"), ts: rapid.Uint32().Draw(t, "ts")}
		now := time.Unix(1000, 0)
		seq, ts, ssrc := rapid.Uint16().Draw(t, "source seq"), rapid.Uint32().Draw(t, "source ts"), uint32(1)
		b := make([]byte, rtpHeader+4)
		last, lastTS := x.seq, x.ts
		for i := range rapid.IntRange(1, 200).Draw(t, "n") {
			now = now.Add(frame)
			lost := uint16(0)
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				lost = uint16(rapid.IntRange(0, 5).Draw(t, "lost"))
			case 1: // another source
				ssrc, seq, ts = ssrc+1, rapid.Uint16().Draw(t, "seq"), rapid.Uint32().Draw(t, "ts")
			case 2: // one of our own
				x.make(b, 101, true, x.now(now, 8000), 8000, now, false)
				last++
				if binary.BigEndian.Uint16(b[2:]) != last {
					t.Fatal("gap")
				}
				continue
			}
			joined := !x.anchored || x.source != ssrc
			seq, ts = seq+1+lost, ts+160*uint32(1+lost)
			binary.BigEndian.PutUint16(b[2:], seq)
			binary.BigEndian.PutUint32(b[4:], ts)
			binary.BigEndian.PutUint32(b[8:], ssrc)
			if !x.carry(b, 0, 8000, now) {
				t.Fatal("refused")
			}
			if joined {
				lost = 0
			}
			got, gotTS := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
			if got != last+1+lost || binary.BigEndian.Uint32(b[8:]) != 9 {
				t.Fatalf("sequence %d after %d, %d lost", got, last, lost)
			}
			if i > 0 && int32(gotTS-lastTS) <= 0 {
				t.Fatalf("time went back: %d after %d", gotTS, lastTS)
			}
			if o, ok := x.original(got); !ok || o != seq {
				t.Fatal("original")
			}
			last, lastTS = got, gotTS
		}
	})
}

func TestMOS(t *testing.T) {
	good := mos("PCMU", 0, 50*time.Millisecond)
	require.InDelta(t, 4.38, good, 0.05)
	require.Less(t, mos("PCMU", 0.05, 50*time.Millisecond), good)
	require.Less(t, mos("PCMU", 0, 400*time.Millisecond), good)
	require.Greater(t, mos("opus", 0, 0), mos("G729", 0, 0))
	for _, loss := range []float64{-1, 0, 0.5, 1, 2} {
		for _, d := range []time.Duration{0, time.Second, time.Hour} {
			m := mos("opus", loss, d)
			require.True(t, m >= 1 && m <= 4.5 && !math.IsNaN(m), m)
		}
	}
}

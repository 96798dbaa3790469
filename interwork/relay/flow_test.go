package relay

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

func TestHold(t *testing.T) {
	r := newTestRelay(t, nil)
	s, h, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	a.frame(0, []byte{1})
	first, err := b.next(patience)
	require.NoError(t, err)
	// The phone holds: nothing to it, its music still goes.
	f := codecs(pcmu)
	f.Send = false
	require.NoError(t, s.Format(SIP, 0, f))
	for range 5 {
		a.frame(0, []byte{2})
	}
	eventually(t, "muted", func() bool { return s.Stats()[Jingle].Muted == 5 })
	_, err = b.next(20 * time.Millisecond)
	require.ErrorIs(t, err, errNothing)
	b.frame(0, []byte{3})
	_, err = a.next(patience)
	require.NoError(t, err)
	// And back: the sequence has no gap, the time went on.
	require.NoError(t, s.Format(SIP, 0, codecs(pcmu)))
	a.frame(0, []byte{4})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.Equal(t, []byte{4}, got.Payload)
	require.Equal(t, first.SequenceNumber+1, got.SequenceNumber)
	require.Positive(t, int32(got.Timestamp-first.Timestamp))
	require.True(t, got.Marker)
	// Inactive, the old way: no address at all.
	require.NoError(t, s.Connect(SIP, 0, Remote{RTP: ap("0.0.0.0:9")}))
	a.frame(0, []byte{5})
	_, err = b.next(20 * time.Millisecond)
	require.ErrorIs(t, err, errNothing)
	_, failed := h.find(Failed, SIP)
	require.False(t, failed)
}

func TestContinuity(t *testing.T) {
	r := newTestRelay(t, nil)
	_, _, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	var last *rtp.Packet
	send := func(restart bool) *rtp.Packet {
		if restart {
			a.ssrc, a.seq, a.ts = randomUint32(), uint16(randomUint32()), randomUint32()
		}
		a.frame(0, []byte{1})
		got, err := b.next(patience)
		require.NoError(t, err)
		return got
	}
	last = send(false)
	for i := range 20 {
		got := send(i%5 == 4)
		require.Equal(t, last.SSRC, got.SSRC)
		require.Equal(t, last.SequenceNumber+1, got.SequenceNumber)
		d := int32(got.Timestamp - last.Timestamp)
		require.Positive(t, d)
		require.Less(t, d, int32(8000))
		last = got
	}
	// What was lost on one side is lost on the other, at the same place.
	a.seq += 3
	got := send(false)
	require.Equal(t, last.SequenceNumber+4, got.SequenceNumber)
}

func TestHeaderIsPlain(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu))
	a.seq = 1000
	h := rtp.Header{Version: 2, PayloadType: 0, SequenceNumber: 5, SSRC: a.ssrc, CSRC: []uint32{1, 2}}
	require.NoError(t, h.SetExtension(3, []byte{1, 2, 3}))
	a.raw(h, []byte{9, 9})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.Empty(t, got.CSRC)
	require.False(t, got.Extension)
	require.Equal(t, []byte{9, 9}, got.Payload)
	padded, err := (&rtp.Packet{Header: rtp.Header{Version: 2, Padding: true, SequenceNumber: 6, SSRC: a.ssrc}, Payload: []byte{8}, PaddingSize: 4}).Marshal()
	require.NoError(t, err)
	a.write(padded)
	got, err = b.next(patience)
	require.NoError(t, err)
	require.False(t, got.Padding)
	require.Equal(t, []byte{8}, got.Payload)
	for _, junk := range [][]byte{
		{},
		{0x80},
		make([]byte, 11), append([]byte{0x8f}, make([]byte, 11)...), append([]byte{0x90}, make([]byte, 11)...),
		append([]byte{0xa0}, make([]byte, 12)...), append([]byte{0x40}, make([]byte, 20)...),
		{0x80, 200, 0, 9, 0, 0, 0, 0},
	} {
		_, err := a.conn.WriteToUDPAddrPort(junk, a.to)
		require.NoError(t, err)
	}
	a.frame(77, []byte{1})
	eventually(t, "unknown", func() bool { return s.Stats()[Jingle].Unknown >= 4 })
	exchange(t, a, b, 0, 0)
}

func TestNoCommonCodec(t *testing.T) {
	r := newTestRelay(t, nil)
	s := r.Open("test", nil)
	mustPrepare(t, s, Jingle)
	mustPrepare(t, s, SIP)
	vp8, h264 := Codec{PayloadType: 96, Name: "VP8", ClockRate: 90000}, Codec{PayloadType: 97, Name: "H264", ClockRate: 90000}
	require.NoError(t, s.Format(Jingle, 0, codecs(vp8)))
	require.ErrorIs(t, s.Format(SIP, 0, codecs(h264)), ErrCodec)
	require.ErrorIs(t, s.Format(SIP, 0, codecs(pcmu.at(200))), ErrDescription)
	h264b := h264
	h264b.Parameters = []Parameter{{"packetization-mode", "1"}}
	require.ErrorIs(t, s.Format(Jingle, 0, codecs(h264b)), ErrCodec)
	h264b.Parameters = []Parameter{{"packetization-mode", "0"}}
	require.NoError(t, s.Format(Jingle, 0, codecs(h264b)))
}

func TestSilent(t *testing.T) {
	r := newTestRelay(t, func(c *Config) { c.MediaTimeout = 150 * time.Millisecond })
	s, h, a, b := plainCall(t, r, codecs(pcmu), Format{Codecs: []Codec{pcmu}, Send: true})
	a.frame(0, []byte{1})
	_, err := b.next(patience)
	require.NoError(t, err)
	h.wait(t, Silent, Jingle)
	_, silent := h.find(Silent, SIP)
	require.False(t, silent, "it was not to send")
	require.Zero(t, s.Stats()[SIP].Received)
}

func TestKeysPass(t *testing.T) {
	r := newTestRelay(t, nil)
	_, h, a, b := plainCall(t, r, codecs(pcmu, keys8), codecs(pcmu, keys8.at(96)))
	a.frame(0, []byte{1})
	_, err := b.next(patience)
	require.NoError(t, err)
	start := a.ts + 160
	for i, flags := range []byte{0, 0, 0x80, 0x80, 0x80} {
		a.seq++
		a.raw(rtp.Header{Version: 2, Marker: i == 0, PayloadType: 101, SequenceNumber: a.seq, Timestamp: start, SSRC: a.ssrc}, event(11, flags, uint16(160*min(i+1, 3))))
		got, err := b.next(patience)
		require.NoError(t, err)
		require.EqualValues(t, 96, got.PayloadType)
		require.Equal(t, event(11, flags, uint16(160*min(i+1, 3))), got.Payload)
	}
	e := h.wait(t, Digit, Jingle)
	require.Equal(t, byte('#'), e.Digit)
	require.Equal(t, 60*time.Millisecond, e.Duration)
	require.True(t, e.Passed)
	n := 0
	for _, e := range h.all {
		if e.Kind == Digit {
			n++
		}
	}
	require.Equal(t, 1, n)
}

// TestKeysOfAnotherClock: the peers count events in different clocks.
func TestKeysOfAnotherClock(t *testing.T) {
	r := newTestRelay(t, nil)
	keys48 := Codec{PayloadType: 110, Name: "telephone-event", ClockRate: 48000}
	_, _, a, b := plainCall(t, r, codecs(opus, keys48), codecs(opus.at(96), keys8))
	a.packet(111, 960, []byte{1})
	audio, err := b.next(patience)
	require.NoError(t, err)
	start := a.ts + 960
	var ts []uint32
	for i, flags := range []byte{0, 0, 0x80} {
		a.seq++
		a.raw(rtp.Header{Version: 2, Marker: i == 0, PayloadType: 110, SequenceNumber: a.seq, Timestamp: start, SSRC: a.ssrc}, event(5, flags, uint16(960*(i+1))))
		got, err := b.next(patience)
		require.NoError(t, err)
		require.EqualValues(t, 101, got.PayloadType)
		require.EqualValues(t, 160*(i+1), binary.BigEndian.Uint16(got.Payload[2:]))
		require.Equal(t, i == 0, got.Marker)
		require.Equal(t, audio.SequenceNumber+1+uint16(i), got.SequenceNumber)
		ts = append(ts, got.Timestamp)
	}
	require.Equal(t, ts[0], ts[2])
	a.packet(111, 960, []byte{2})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.EqualValues(t, 96, got.PayloadType)
	require.Equal(t, audio.SequenceNumber+4, got.SequenceNumber)
}

func TestSendDTMF(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, a, b := plainCall(t, r, codecs(pcmu), codecs(pcmu, keys8))
	require.ErrorIs(t, s.SendDTMF(Jingle, '1', 0), ErrEvent)
	require.ErrorIs(t, s.SendDTMF(SIP, 'x', 0), ErrEvent)
	a.frame(0, []byte{1})
	last, err := b.next(patience)
	require.NoError(t, err)
	require.NoError(t, s.SendDTMF(SIP, 'd', 80*time.Millisecond))
	require.NoError(t, s.SendDTMF(SIP, '0', 0))
	var starts []uint32
	for _, code := range []byte{15, 0} {
		ends := 0
		for n := 0; ends < keyEnds; n++ {
			got, err := b.next(patience)
			require.NoError(t, err)
			require.EqualValues(t, 101, got.PayloadType)
			require.Equal(t, code, got.Payload[0])
			require.Equal(t, n == 0, got.Marker)
			require.Equal(t, last.SequenceNumber+1, got.SequenceNumber)
			if n == 0 {
				starts = append(starts, got.Timestamp)
			}
			require.Equal(t, starts[len(starts)-1], got.Timestamp)
			if got.Payload[1]&0x80 != 0 {
				ends++
				require.EqualValues(t, map[byte]int{15: 640, 0: 800}[code], binary.BigEndian.Uint16(got.Payload[2:]))
			}
			last = got
		}
	}
	require.GreaterOrEqual(t, int32(starts[1]-starts[0]), int32(640+160))
	eventually(t, "the ticker rests", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.ticking
	})
	a.frame(0, []byte{2})
	got, err := b.next(patience)
	require.NoError(t, err)
	require.Equal(t, last.SequenceNumber+1, got.SequenceNumber)
}

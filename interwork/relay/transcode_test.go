package relay

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/interwork/relay/codec"
	"github.com/stoxgate/stoxgate/interwork/relay/tone"
)

// TestTranscoding: a tone goes through the relay in one codec and arrives in another.
func TestTranscoding(t *testing.T) {
	for name, c := range map[string]struct{ from, to Codec }{
		"opus to PCMU": {opus, pcmu},
		"PCMA to opus": {pcma, opus},
		"PCMU to PCMA": {pcmu, pcma},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRelay(t, nil)
			s, _, a, b := plainCall(t, r, codecs(c.from), codecs(c.to))
			in, out := format(c.from, 0), format(c.to, 0)
			rate := codec.Rate(in, out)
			enc, err := codec.NewEncoder(in, rate)
			require.NoError(t, err)
			defer enc.Close()
			dec, err := codec.NewDecoder(out, rate)
			require.NoError(t, err)
			defer dec.Close()
			sound := tone.Sine(nil, rate, 1200*time.Millisecond, 440, -20)
			per := rate / 50
			done := make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(frame)
				defer tick.Stop()
				for at := 0; at+per <= len(sound); at += per {
					<-tick.C
					payload, err := enc.Encode(nil, sound[at:at+per])
					if err != nil || len(payload) == 0 {
						continue
					}
					a.packet(c.from.PayloadType, c.from.ClockRate/50, payload)
				}
			}()
			defer func() { <-done }()
			var heard []int16
			var last, lastTS uint32
			for n := 0; len(heard) < rate*3/4; n++ {
				got, err := b.next(patience)
				require.NoError(t, err)
				require.Equal(t, c.to.PayloadType, got.PayloadType)
				if n > 0 {
					require.EqualValues(t, uint16(last+1), got.SequenceNumber)
					require.EqualValues(t, c.to.ClockRate/50, got.Timestamp-lastTS)
				}
				last, lastTS = uint32(got.SequenceNumber), got.Timestamp
				heard, err = dec.Decode(heard, got.Payload)
				require.NoError(t, err)
			}
			// A busy machine sends late, and what is missing is concealed: the best tenth of a
			// second counts.
			best := heard[:rate/10]
			for at := 0; at+rate/10 <= len(heard); at += rate / 20 {
				if part := heard[at : at+rate/10]; math.Abs(tone.Level(part)+20) < math.Abs(tone.Level(best)+20) {
					best = part
				}
			}
			require.InDelta(t, 440, tone.Frequency(best, rate), 10)
			require.InDelta(t, -20, tone.Level(best), 3)
			require.True(t, s.Stats()[Jingle].Transcoded)
			require.Equal(t, 1, r.Stats().Transcoding)
			s.Close()
			require.Zero(t, r.Stats().Transcoding)
		})
	}
}

// TestKeysThroughTranscoder: sent by us and by the peer while sound is transcoded.
func TestKeysThroughTranscoder(t *testing.T) {
	r := newTestRelay(t, nil)
	keys48 := Codec{PayloadType: 110, Name: "telephone-event", ClockRate: 48000}
	s, h, a, b := plainCall(t, r, codecs(pcma, keys8), codecs(opus, keys48))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(frame)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if n == 10 {
				require.NoError(t, s.SendDTMF(SIP, '5', 0))
			}
			a.frame(8, make([]byte, 160))
		}
	}()
	found := false
	for range 200 {
		got, err := b.next(patience)
		require.NoError(t, err)
		if got.PayloadType == 110 {
			require.EqualValues(t, 5, got.Payload[0])
			if got.Payload[1]&0x80 != 0 {
				require.InDelta(t, 4800, float64(binary.BigEndian.Uint16(got.Payload[2:])), 960)
				found = true
				break
			}
		}
	}
	close(stop)
	<-done
	require.True(t, found)
	_, told := h.find(Digit, SIP)
	require.False(t, told, "nobody pressed it")
}

// TestPeerChangesCodec: the transcoder rests while what comes needs none.
func TestPeerChangesCodec(t *testing.T) {
	r := newTestRelay(t, nil)
	s, _, a, b := plainCall(t, r, codecs(opus, pcmu, pcma), codecs(pcmu))
	exchange(t, a, b, 0, 0)
	require.Zero(t, r.Stats().Transcoding, "nobody sent anything that needs it")
	enc, err := codec.NewEncoder(format(opus, 0), 8000)
	require.NoError(t, err)
	defer enc.Close()
	payload, err := enc.Encode(nil, tone.Sine(nil, 8000, frame, 440, -20))
	require.NoError(t, err)
	a.packet(111, 960, payload)
	first, err := b.next(patience)
	require.NoError(t, err)
	require.EqualValues(t, 0, first.PayloadType)
	require.Len(t, first.Payload, 160)
	require.Equal(t, 1, r.Stats().Transcoding)
	a.frame(0, []byte{1})
	eventually(t, "as it is again", func() bool { return r.Stats().Transcoding == 0 })
	// And to another that needs one.
	a.packet(8, 160, make([]byte, 160))
	g, err := b.next(patience)
	for err == nil && len(g.Payload) == 1 {
		g, err = b.next(patience)
	}
	require.NoError(t, err)
	require.Len(t, g.Payload, 160)
	eventually(t, "transcoding again", func() bool { return r.Stats().Transcoding == 1 })
	s.Close()
}

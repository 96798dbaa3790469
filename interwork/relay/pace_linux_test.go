package relay

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPaceCount(t *testing.T) {
	p := &pace{}
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		after time.Duration
		n     int
		rate  int
		known bool
		busy  bool
	}{
		{0, 1, 0, true, false}, // since the year 1
		{paceWindow / 2, 500, 0, false, false},
		{paceWindow / 2, 1, 10020, true, true},
		{paceWindow, paceFew, 2000, true, true},
		{paceWindow, paceFew - 1, 1980, true, false},
		{paceWindow, paceMany - 1, 3980, true, false},
		{paceWindow, paceMany, 4000, true, true},
		{time.Second, paceMany, 200, true, false},
	} {
		now = now.Add(c.after)
		rate, known := p.count(c.n, now)
		require.Equal(t, []any{c.rate, c.known, c.busy}, []any{rate, known, p.busy}, "%+v", c)
	}
}

// Readers are filled one after another, by sockets and by what they have to do.
func TestPickReader(t *testing.T) {
	e := &engine{readers: []*reader{{}, {}, {}}}
	fill := func(i, sockets, rate int) {
		e.readers[i].slots = make([]*socket, sockets)
		e.readers[i].rate.Store(int64(rate))
	}
	require.Zero(t, e.pick())
	fill(0, fullSockets-1, fullRate-1)
	require.Zero(t, e.pick())
	fill(0, fullSockets, 0)
	require.Equal(t, 1, e.pick())
	fill(1, 10, fullRate)
	require.Equal(t, 2, e.pick())
	fill(2, fullSockets+5, 0)
	require.Equal(t, 1, e.pick())
}

// arrivals tells of packets by the number in them.
type arrivals chan uint32

func (a arrivals) packet(b []byte, _ netip.AddrPort, _ *socket, _ *writer) {
	a <- binary.BigEndian.Uint32(b)
}

// A reader that is busy looks for packets at a pace, one that is not any more is woken
// for each again; no packet is lost on the way, and it closes in either state.
func TestBusyReader(t *testing.T) {
	for _, calm := range []bool{true, false} {
		e, err := newEngine(1)
		require.NoError(t, err)
		r := e.readers[0]
		got := make(arrivals, 64)
		at, err := e.listen(netip.MustParseAddrPort("127.0.0.1:0"), got, 0)
		require.NoError(t, err)
		from, err := e.listen(netip.MustParseAddrPort("127.0.0.1:0"), got, 0)
		require.NoError(t, err)
		n := uint32(0)
		pass := func() {
			n++
			from.send(binary.BigEndian.AppendUint32(nil, n), at.local)
			select {
			case k := <-got:
				require.Equal(t, n, k)
			case <-time.After(patience):
				require.Fail(t, "a packet is lost")
			}
		}
		const several = 16
		burst := func() {
			for i := range uint32(several) {
				from.send(binary.BigEndian.AppendUint32(nil, n+i+1), at.local)
			}
			for range several {
				n++
				require.Equal(t, n, <-got)
			}
		}
		pass()
		deadline := time.Now().Add(patience)
		for r.rate.Load() < paceMany*int64(time.Second/paceWindow) {
			require.True(t, time.Now().Before(deadline), "%d packets a second", r.rate.Load())
			burst()
		}
		pass()
		if calm {
			for r.rate.Load() >= paceFew*int64(time.Second/paceWindow) {
				require.True(t, time.Now().Before(deadline))
				<-time.After(paceWindow)
			}
			pass()
		}
		e.close()
	}
}

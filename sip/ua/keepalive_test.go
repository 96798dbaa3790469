package ua

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// A kept connection is pinged as long as it is there, and given up when its peer, which has
// answered pings, stops doing so (RFC 5626 §4.4.1).
func TestKeepAliveOfOurs(t *testing.T) {
	for name, tt := range map[string]struct {
		headers  []sip.Header
		pongs    int32 // that the peer answers
		interval time.Duration
		pings    int32 // that it gets in an hour
		alive    bool
	}{
		"answers":                   {pongs: 1000, interval: time.Minute, pings: 60, alive: true},
		"stops answering":           {pongs: 3, interval: time.Minute, pings: 4},
		"never answers":             {interval: time.Minute, pings: 60, alive: true},
		"never, though it promised": {headers: []sip.Header{sip.MustHeader("Require", "outbound")}, interval: time.Minute, pings: 1},
		"by its own time":           {headers: []sip.Header{sip.MustHeader("Flow-Timer", "30")}, pongs: 1000, pings: 120, alive: true},
		"by ours":                   {pongs: 1000, pings: 30, alive: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s, c := pipeStream(t, true, func(c *Config) { c.Limits.Idle = 30 * time.Second })
				var pings, lost atomic.Int32
				go func() {
					for b := make([]byte, 64); ; {
						n, err := c.Read(b)
						if err != nil {
							return
						}
						if string(b[:n]) == "\r\n\r\n" && pings.Add(1) <= tt.pongs {
							if _, err := c.Write(pong); err != nil {
								return
							}
						}
					}
				}()
				k := &KeepAlive{Interval: tt.interval, Lost: func() { lost.Add(1) }}
				res := sip.NewResponse(message(t, sip.URI{Scheme: "sip", Host: "a"}, 1), sip.Status{Code: 200, Headers: tt.headers}, "t")
				k.answered(s, res)
				k.answered(s, res)
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Equal(t, tt.alive, s.alive())
				require.GreaterOrEqual(t, pings.Load(), tt.pings*9/10)
				require.LessOrEqual(t, pings.Load(), max(tt.pings*5/4, tt.pings+1))
				if tt.alive {
					require.Zero(t, lost.Load())
					require.NoError(t, c.Close())
					synctest.Wait()
				}
				require.Equal(t, int32(1), lost.Load())
			})
		})
	}
}

// A connection is let go by Stop, and by the next.
func TestKeepAliveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, one, _ := pipeStream(t, true, func(c *Config) { c.Limits.Idle = 30 * time.Second })
		here, there := net.Pipe()
		defer there.Close()
		two, err := u.newStream(connWire{here}, "tcp", "", true, one.local, one.remote, nil)
		require.NoError(t, err)
		var lost atomic.Int32
		k := &KeepAlive{Lost: func() { lost.Add(1) }}
		res := sip.NewResponse(message(t, sip.URI{Scheme: "sip", Host: "a"}, 1), sip.Status{Code: 200}, "t")
		k.answered(one, res)
		k.answered(two, res)
		require.False(t, one.kept())
		require.True(t, two.kept())
		k.answered(two, sip.NewResponse(message(t, sip.URI{Scheme: "sip", Host: "a"}, 1), sip.Status{Code: 403}, "t"))
		k.Stop()
		require.False(t, two.kept())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.False(t, one.alive(), "idle")
		require.Zero(t, lost.Load())
		two.close(ErrClosed)
		k.answered(two, res)
		require.Equal(t, int32(1), lost.Load(), "it has been lost already")
	})
}

// The connection over which Do got its answer is the one that is kept.
func TestKeepAliveByDo(t *testing.T) {
	u := startUA(t, nil)
	lost := make(chan struct{})
	to := tcpServer(t, nil, okTo(t, 200, nil))
	k := &KeepAlive{Lost: func() { close(lost) }}
	uri := sip.URI{Scheme: "sip", Host: to.Addr().String(), Port: int(to.Port()), Params: sip.Params{{Name: "transport", Value: "tcp"}}}
	res, err := u.Do(t.Context(), message(t, uri, 10), Target{KeepAlive: k})
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	require.True(t, k.on.kept())
	k.on.w.close()
	<-lost
}

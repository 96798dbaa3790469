package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/sip/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNumber(t *testing.T) {
	for text, want := range map[string]int{
		"mira12@chat.bench.example/desk": 12, "<sip:mira7@x>;tag=otto": 7, "mira@x": -1, "nobody": -1, "mira3": 3,
	} {
		n, ok := number(text, "mira")
		require.Equal(t, want >= 0, ok, text)
		if ok {
			require.Equal(t, want, n, text)
		}
	}
}

func TestSpread(t *testing.T) {
	rounds := []result{{p50: 3 * time.Millisecond}, {p50: time.Millisecond}, {p50: 2 * time.Millisecond}}
	p50 := func(r result) time.Duration { return r.p50 }
	require.Equal(t, "2ms (1ms–3ms)", spread(rounds, p50, short))
	require.Equal(t, "3ms", spread(rounds[:1], p50, short))
}

func TestUsageOfSeveralProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("proc(5)")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	g := &gateway{cmd: exec.Command("sh", "-c", sleep+" 60 & wait"), several: true}
	require.NoError(t, g.cmd.Start())
	var pids []int
	require.Eventually(t, func() bool { pids = descendants(g.cmd.Process.Pid); return len(pids) == 2 }, callPatience, time.Millisecond)
	_, rss := g.usage()
	require.Positive(t, rss)
	g.stop()
	require.Eventually(t, func() bool { return !running(pids[1]) }, callPatience, time.Millisecond)
}

// running tells a process from one that has ended and waits to be collected.
func running(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(data), ") Z ")
}

func TestMuLaw(t *testing.T) {
	// ITU-T G.711 table 2a and 2b: the ends of the scale and its middle.
	for v, want := range map[int16]byte{0: 0xff, 32767: 0x80, -32768: 0x00, 8031 * 4: 0x80, -8031 * 4: 0x00, 1000 * 4: 0xaf, -1000 * 4: 0x2f} {
		require.Equal(t, want, muLaw(v), v)
	}
}

func TestModes(t *testing.T) {
	list, err := parseModes("all")
	require.NoError(t, err)
	require.Equal(t, callModes, list)
	list, err = parseModes("relay,growth")
	require.NoError(t, err)
	require.Equal(t, []string{"relay", "growth"}, list)
	_, err = parseModes("relay,tea")
	require.Error(t, err)
}

func TestInbox(t *testing.T) {
	p := newInbox(netip.MustParseAddrPort("127.0.0.1:9"), func([]byte, net.Addr) {})
	b := make([]byte, 10)
	p.put([]byte("one"), netip.MustParseAddrPort("127.0.0.1:1"))
	n, from, err := p.ReadFrom(b)
	require.NoError(t, err)
	require.Equal(t, "one", string(b[:n]))
	require.Equal(t, "127.0.0.1:1", from.String())
	require.NoError(t, p.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, _, err = p.ReadFrom(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, p.SetReadDeadline(time.Time{}))
	p.put([]byte("two"), netip.MustParseAddrPort("127.0.0.1:1"))
	_, _, err = p.ReadFrom(b)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	_, _, err = p.ReadFrom(b)
	require.ErrorIs(t, err, net.ErrClosed)
}

// Two clients and two telephones stand for a gateway that adds nothing: all arrives.
func TestConversation(t *testing.T) {
	e, err := newSockets()
	if err != nil {
		t.Skip(err)
	}
	defer e.close()
	cert, err := newCertificate()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	said, err := newSounds()
	require.NoError(t, err)
	for _, sdes := range []bool{false, true} {
		a, b := &placedCall{}, &placedCall{}
		for _, c := range []*placedCall{a, b} {
			c.client, err = newClient(e)
			require.NoError(t, err)
			defer c.client.close()
			c.phone, err = newPhone(e, sdes)
			require.NoError(t, err)
			defer c.phone.close()
		}
		joined := make(chan error, 1)
		go func() { joined <- a.client.connect(ctx, b.client.transport(cert, "actpass"), true, true, cert) }()
		require.NoError(t, b.client.connect(ctx, a.client.transport(cert, "active"), false, false, cert))
		require.NoError(t, <-joined)
		for from, to := range map[*phone]*phone{a.phone: b.phone, b.phone: a.phone} {
			m := sdp.Media{Port: int(from.k.local.Port()), Connection: sdp.NewConnection(from.k.local.Addr())}
			if sdes {
				m.Cryptos = []sdp.Crypto{{Tag: "1", Suite: sdesSuite, KeyParams: from.keyParams()}}
			}
			require.NoError(t, to.aim(&m))
		}
		calls := []*placedCall{a, b}
		got := conversation(ctx, calls, 200*time.Millisecond, nil, func() {}, func() {})
		require.Equal(t, 40, got.sent)
		require.Equal(t, 40, got.received)
		require.Zero(t, got.broken)
		require.Positive(t, got.p99)
		if !sdes {
			got = conversation(ctx, calls, 200*time.Millisecond, &said, func() {}, func() {})
			require.Zero(t, got.broken)
			require.GreaterOrEqual(t, got.received, 30)
			require.Greater(t, got.loud, got.received/4)
		}
	}
}

package relay

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The benchmark relays calls of 50 packets a second each way. The parties are another
// process, so what the relay costs is what its process costs.

const (
	loadEnv     = "STOXGATE_RELAY_LOAD"
	loadSeconds = 4
)

// loadLeg is one leg of the load: where its party is, where the relay is, its keys.
type loadLeg struct {
	Party, Relay netip.AddrPort
	In, Out      []byte // master key and salt of GCM, as the party sees them; empty: plain
}

type loadResult struct {
	Sent, Received int
	P50, P99, Max  time.Duration
}

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// loadParty takes what one party receives and measures how old it is.
type loadParty struct {
	mu     *sync.Mutex
	delays *[]time.Duration
	in     *cryptoContext
}

func (p *loadParty) packet(b []byte, _ netip.AddrPort, _ *socket, _ *writer) {
	if len(b) < 20 || b[1] >= rtcpFirst && b[1] <= rtcpLast || b[0] < 128 {
		return
	}
	now := monotonic()
	if p.in != nil {
		var err error
		if b, err = p.in.open(b, binary.BigEndian.Uint32(b[8:])); err != nil {
			return
		}
	}
	p.mu.Lock()
	*p.delays = append(*p.delays, time.Duration(now-int64(binary.BigEndian.Uint64(b[12:]))))
	p.mu.Unlock()
}

// TestLoadProcess is the other process of the benchmark.
func TestLoadProcess(t *testing.T) {
	if os.Getenv(loadEnv) == "" {
		t.Skip("for the benchmark only")
	}
	var n int
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	require.NoError(t, in.Decode(&n))
	e, err := newEngine(1)
	require.NoError(t, err)
	defer e.close()
	var mu sync.Mutex
	delays := make([]time.Duration, 0, n*50*(loadSeconds+2))
	parties, sockets := make([]*loadParty, n), make([]*socket, n)
	addresses := make([]netip.AddrPort, n)
	for i := range n {
		parties[i] = &loadParty{mu: &mu, delays: &delays}
		sockets[i], err = e.listen(netip.MustParseAddrPort("127.0.0.1:0"), parties[i], 0)
		require.NoError(t, err)
		addresses[i] = sockets[i].local
	}
	require.NoError(t, out.Encode(addresses))
	var legs []loadLeg
	require.NoError(t, in.Decode(&legs))
	outs := make([]*cryptoContext, n)
	for i, l := range legs {
		if len(l.In) > 0 {
			parties[i].in, err = newContext(gcmKey(l.In))
			require.NoError(t, err)
			outs[i], err = newContext(gcmKey(l.Out))
			require.NoError(t, err)
		}
	}
	sent := 0
	start := time.Now()
	for round := range loadSeconds * 50 {
		for i := range n {
			// Spread over the 20 ms, in steps of about a tenth of a millisecond.
			if i%max(n/200, 1) == 0 {
				at := start.Add(time.Duration(round)*frame + frame*time.Duration(i)/time.Duration(n))
				if d := time.Until(at); d > 50*time.Microsecond {
					<-time.After(d)
				}
			}
			b := make([]byte, 172, 256)
			b[0] = 2 << 6
			binary.BigEndian.PutUint16(b[2:], uint16(round))
			binary.BigEndian.PutUint32(b[4:], uint32(round*160))
			binary.BigEndian.PutUint32(b[8:], uint32(i+1))
			binary.BigEndian.PutUint64(b[12:], uint64(monotonic()))
			if outs[i] != nil {
				b, _ = outs[i].seal(b)
			}
			sockets[i].send(b, legs[i].Relay)
			sent++
		}
	}
	<-time.After(200 * time.Millisecond) // what is under way
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(delays)
	r := loadResult{Sent: sent, Received: len(delays)}
	if len(delays) > 0 {
		r.P50, r.P99, r.Max = delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1]
	}
	require.NoError(t, out.Encode(r))
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkRelay(b *testing.B) {
	for _, mode := range []string{"plain", "sdes", "dtls"} {
		for _, calls := range []int{100, 400, 600} {
			b.Run(fmt.Sprintf("%s/calls=%d", mode, calls), func(b *testing.B) { benchmarkRelay(b, mode, calls) })
		}
	}
}

func benchmarkRelay(b *testing.B, mode string, calls int) {
	runtime.GC()
	r, err := New(Config{Ports: PortRange{31000, 31000 + uint16(calls*8) + 100}, ICEPort: 30999, Log: zerolog.Nop()})
	require.NoError(b, err)
	defer r.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLoadProcess$")
	cmd.Env = append(os.Environ(), loadEnv+"=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(b, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(b, err)
	cmd.Stderr = os.Stderr
	require.NoError(b, cmd.Start())
	in, out := json.NewDecoder(stdout), json.NewEncoder(stdin)
	require.NoError(b, out.Encode(2*calls))
	var parties []netip.AddrPort
	require.NoError(b, in.Decode(&parties))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	legs := make([]loadLeg, 2*calls)
	for i := range calls {
		loadCall(b, r, mode, parties[2*i:2*i+2], legs[2*i:2*i+2])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ResetTimer()
	start, used := time.Now(), cpu()
	require.NoError(b, out.Encode(legs))
	var result loadResult
	require.NoError(b, in.Decode(&result))
	used = cpu() - used
	elapsed := min(time.Since(start), loadSeconds*time.Second)
	b.StopTimer()
	require.NoError(b, cmd.Wait())
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(used)/float64(elapsed), "cores")
	b.ReportMetric(float64(used.Microseconds())/float64(result.Sent), "cpu-µs/packet")
	b.ReportMetric(float64(result.Sent-result.Received), "lost")
	b.ReportMetric(float64(result.P50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(result.P99.Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(int64(after.HeapAlloc)+int64(after.StackInuse)-int64(before.HeapAlloc)-int64(before.StackInuse))/float64(calls)/1024, "KiB/call")
}

// loadCall makes one call; legs get what the parties need to know.
func loadCall(b *testing.B, r *Relay, mode string, parties []netip.AddrPort, legs []loadLeg) {
	s := r.Open("load", nil)
	setups := []Setup{{}, {}}
	switch mode {
	case "sdes":
		setups[0] = Setup{Protection: SDES, Suites: []string{"AEAD_AES_128_GCM"}}
	case "dtls":
		setups[0] = Setup{ICE: true, Protection: DTLS}
	}
	for side := range legs {
		l, err := s.Prepare(Side(side), 0, setups[side])
		require.NoError(b, err)
		require.NoError(b, s.Format(Side(side), 0, codecs(pcmu)))
		legs[side] = loadLeg{Party: parties[side], Relay: l.RTP}
		remote := Remote{RTP: parties[side]}
		switch {
		case side == 0 && mode == "sdes":
			k := newKey(gcmKey(make([]byte, 28)).suite)
			remote.Cryptos = []Crypto{{Tag: 1, Suite: k.suite.name, KeyParams: k.inline()}}
			own, err := parseKey(l.Cryptos[0])
			require.NoError(b, err)
			legs[side].Out = append(append([]byte{}, k.key...), k.salt...)
			legs[side].In = append(append([]byte{}, own.key...), own.salt...)
		case side == 0 && mode == "dtls":
			legs[side].In, legs[side].Out = pretend(b, s, parties[side])
			continue
		}
		require.NoError(b, s.Connect(Side(side), 0, remote))
	}
}

// pretend puts a leg into the state that ICE and DTLS leave it in: the relay's way of
// media is the same, the load process needs neither.
func pretend(b *testing.B, s *Session, party netip.AddrPort) (in, out []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.legs[Jingle][0].t
	t.ice.user.m.mu.Lock()
	t.ice.user.own(party, true)
	t.ice.user.m.mu.Unlock()
	t.ice.up, t.ice.path.on, t.ice.path.to = true, t.mux.sockets[0], party
	k := gcmKey(make([]byte, 28)).suite
	local, remote := newKey(k), newKey(k)
	var err error
	t.in, err = newContext(remote)
	require.NoError(b, err)
	t.out, err = newContext(local)
	require.NoError(b, err)
	t.described, t.assoc = true, &association{pipe: newPipe(party, nil), cancel: func() {}}
	t.progress()
	return append(slices.Clone(local.key), local.salt...), append(slices.Clone(remote.key), remote.salt...)
}

// BenchmarkFloor is what the system takes for one packet in and one out.
func BenchmarkFloor(b *testing.B) {
	fd, err := bind(netip.MustParseAddrPort("127.0.0.1:0"), false)
	require.NoError(b, err)
	defer unix.Close(fd)
	local, err := boundTo(fd)
	require.NoError(b, err)
	k := &socket{fd: fd, r: &reader{}}
	packet := make([]byte, 172)
	used := cpu()
	n := 0
	for b.Loop() {
		k.send(packet, local)
		_, _ = unix.Read(fd, packet)
		n++
	}
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(n)/1000, "cpu-µs/packet")
}

// BenchmarkSetUp makes and ends calls between a browser with ICE and DTLS and a phone. The
// browser is in this process too, and costs about as much as the relay.
func BenchmarkSetUp(b *testing.B) {
	r := newTestRelay(b, func(c *Config) { c.ICEPort = 29995; c.Ports = PortRange{40000, 48000} })
	used := cpu()
	start := time.Now()
	n := 0
	for b.Loop() {
		s, _, web, _ := webCall(b, r, true, false)
		s.Close()
		_ = web.tls.Close()
		n++
	}
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(n)/1000, "cpu-ms/call")
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(n)/1000, "ms/call")
}

// BenchmarkMemory is what a connected call keeps, with its browser.
func BenchmarkMemory(b *testing.B) {
	const calls = 40
	for b.Loop() {
		r := newTestRelay(b, func(c *Config) { c.ICEPort = 29996; c.Ports = PortRange{48000, 52000} })
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		for range calls {
			webCall(b, r, true, false)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		used := int64(after.HeapAlloc) + int64(after.StackInuse) - int64(before.HeapAlloc) - int64(before.StackInuse)
		b.ReportMetric(float64(used)/calls/1024, "KiB/call")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/calls, "goroutines/call")
		require.NoError(b, r.Close())
	}
}

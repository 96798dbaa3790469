package relay

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The benchmark relays calls of 50 packets a second each way. The parties are another
// process, so what the relay costs is what its process costs.

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkRelay(b *testing.B) {
	for _, mode := range []string{"plain", "sdes", "sdes-cm", "dtls"} {
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
	var before, after runtime.MemStats
	load := startLoad(b, 2*calls)
	runtime.ReadMemStats(&before)
	for i := range calls {
		loadCall(b, r, mode, load.parties[2*i:2*i+2], load.legs[2*i:2*i+2])
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	load.run(b, cpu)
	b.ReportMetric(float64(int64(after.HeapAlloc)+int64(after.StackInuse)-int64(before.HeapAlloc)-int64(before.StackInuse))/float64(calls)/1024, "KiB/call")
}

// loadCall makes one call; legs get what the parties need to know.
func loadCall(b *testing.B, r *Relay, mode string, parties []netip.AddrPort, legs []loadLeg) {
	s := r.Open("load", nil)
	setups := []Setup{{}, {}}
	name := "AEAD_AES_128_GCM"
	switch mode {
	case "sdes-cm":
		name = "AES_CM_128_HMAC_SHA1_80"
		fallthrough
	case "sdes":
		setups[0] = Setup{Protection: SDES, Suites: []string{name}}
	case "dtls":
		setups[0] = Setup{ICE: true, Protection: DTLS}
	}
	for side := range legs {
		l, err := s.Prepare(Side(side), 0, setups[side])
		require.NoError(b, err)
		require.NoError(b, s.Format(Side(side), 0, codecs(pcmu)))
		legs[side] = loadLeg{Party: parties[side], Relay: l.RTP, Suite: name}
		remote := Remote{RTP: parties[side]}
		switch {
		case side == 0 && setups[0].Protection == SDES:
			chosen, _ := findSuite(name)
			k := newKey(chosen)
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

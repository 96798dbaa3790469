package relay

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The other process of the benchmark is all parties of all calls. So that it measures the
// relay and not itself, a packet carries the time right before it is handed to the system,
// however late it is, and its arrival is what the system notes of it, not when this process
// gets round to reading it. On the loopback address both are in the sender's own call.

const (
	loadEnv     = "STOXGATE_RELAY_LOAD"
	loadSeconds = 4
	loadFrame   = 172 // a packet of G.711
)

// loadLeg is one leg of the load: where its party is, where the relay is, its keys.
type loadLeg struct {
	Party, Relay netip.AddrPort
	In, Out      []byte // master key and salt, as the party sees them; empty: plain
	Suite        string
}

type loadResult struct {
	Sent, Received int
	P50, P99, Max  time.Duration
	Lag            time.Duration // how late the load itself sends, 99 of 100
}

func realtime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &ts)
	return ts.Nano()
}

// loadParty is one party: its socket and its keys.
type loadParty struct {
	fd      int
	relay   unix.RawSockaddrInet6
	length  uint32
	in, out *cryptoContext
}

// load is all of them. One thread sends, one receives.
type load struct {
	parties []loadParty
	epoll   int
	delays  []time.Duration // of the receiving thread until it ended
}

func newLoad(t *testing.T, n int) (*load, []netip.AddrPort) {
	l := &load{parties: make([]loadParty, n), delays: make([]time.Duration, 0, n*50*(loadSeconds+1))}
	var err error
	l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	require.NoError(t, err)
	addresses := make([]netip.AddrPort, n)
	for i := range l.parties {
		fd, err := bind(netip.MustParseAddrPort("127.0.0.1:0"), false)
		require.NoError(t, err)
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
		addresses[i], err = boundTo(fd)
		require.NoError(t, err)
		require.NoError(t, unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}))
		l.parties[i].fd = fd
	}
	return l, addresses
}

// receive takes what comes until a while after the load ended.
func (l *load) receive(until time.Time) {
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 128)
	b, oob := make([]byte, 2048), make([]byte, 64)
	for time.Now().Before(until) {
		n, _ := unix.EpollWait(l.epoll, events, 100)
		for i := range max(n, 0) {
			p := &l.parties[events[i].Fd]
			n, oobn, _, _, err := unix.Recvmsg(p.fd, b, oob, unix.MSG_DONTWAIT)
			if err == nil && oobn >= 32 && binary.NativeEndian.Uint32(oob[12:]) == unix.SCM_TIMESTAMPNS {
				l.take(p, b[:n], int64(binary.NativeEndian.Uint64(oob[16:]))*int64(time.Second)+int64(binary.NativeEndian.Uint64(oob[24:])))
			}
		}
	}
}

func (l *load) take(p *loadParty, b []byte, at int64) {
	if len(b) < loadFrame || b[1] >= rtcpFirst && b[1] <= rtcpLast || b[0] < 128 {
		return
	}
	if p.in != nil {
		var err error
		if b, err = p.in.open(b, binary.BigEndian.Uint32(b[8:])); err != nil {
			return
		}
	}
	if d := time.Duration(at - int64(binary.BigEndian.Uint64(b[rtpHeader:]))); len(l.delays) < cap(l.delays) {
		l.delays = append(l.delays, d)
	}
}

// send sends from all parties, spread evenly over each 20 ms.
func (l *load) send() (sent int, lag time.Duration) {
	runtime.LockOSThread()
	n := len(l.parties)
	late := make([]time.Duration, 0, n*50*loadSeconds)
	room := make([]byte, 256)
	start := time.Now()
	for round := range loadSeconds * 50 {
		for i := range l.parties {
			due := time.Duration(round)*frame + frame*time.Duration(i)/time.Duration(n)
			d := due - time.Since(start)
			if d > 100*time.Microsecond { // the timer is no better than that
				ts := unix.NsecToTimespec(int64(d))
				_ = unix.Nanosleep(&ts, nil)
				d = due - time.Since(start)
			}
			late = append(late, -d)
			p := &l.parties[i]
			b := room[:loadFrame]
			b[0], b[1] = 2<<6, 0
			binary.BigEndian.PutUint16(b[2:], uint16(round))
			binary.BigEndian.PutUint32(b[4:], uint32(round*160))
			binary.BigEndian.PutUint32(b[8:], uint32(i+1))
			binary.BigEndian.PutUint64(b[rtpHeader:], uint64(realtime()))
			if p.out != nil {
				b, _ = p.out.seal(b)
			}
			_, _, _ = unix.Syscall6(unix.SYS_SENDTO, uintptr(p.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
				unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&p.relay)), uintptr(p.length))
			sent++
		}
	}
	slices.Sort(late)
	return sent, late[len(late)*99/100]
}

// TestLoadProcess is the other process.
func TestLoadProcess(t *testing.T) {
	if os.Getenv(loadEnv) == "" {
		t.Skip("for the benchmark only")
	}
	var n int
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	require.NoError(t, in.Decode(&n))
	l, addresses := newLoad(t, n)
	require.NoError(t, out.Encode(addresses))
	var legs []loadLeg
	require.NoError(t, in.Decode(&legs))
	for i, leg := range legs {
		p := &l.parties[i]
		p.length = sockaddr(&p.relay, leg.Relay)
		if len(leg.In) > 0 {
			var err error
			p.in, err = newContext(loadKey(leg.Suite, leg.In))
			require.NoError(t, err)
			p.out, err = newContext(loadKey(leg.Suite, leg.Out))
			require.NoError(t, err)
		}
	}
	runtime.GC()
	debug.SetGCPercent(-1)
	received := make(chan struct{})
	go func() {
		defer close(received)
		l.receive(time.Now().Add(loadSeconds*time.Second + 300*time.Millisecond))
	}()
	var r loadResult
	r.Sent, r.Lag = l.send()
	<-received
	slices.Sort(l.delays)
	r.Received = len(l.delays)
	if n := len(l.delays); n > 0 {
		r.P50, r.P99, r.Max = l.delays[n/2], l.delays[n*99/100], l.delays[n-1]
	}
	require.NoError(t, out.Encode(r))
}

// loadProcess is the other process as the benchmark sees it.
type loadProcess struct {
	cmd     *exec.Cmd
	in      *json.Decoder
	out     *json.Encoder
	parties []netip.AddrPort
	legs    []loadLeg // to be filled in before it runs
}

func startLoad(b *testing.B, n int) *loadProcess {
	l := &loadProcess{cmd: exec.Command(os.Args[0], "-test.run=^TestLoadProcess$"), legs: make([]loadLeg, n)}
	l.cmd.Env = append(os.Environ(), loadEnv+"=1")
	l.cmd.Stderr = os.Stderr
	stdin, err := l.cmd.StdinPipe()
	require.NoError(b, err)
	stdout, err := l.cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, l.cmd.Start())
	l.in, l.out = json.NewDecoder(stdout), json.NewEncoder(stdin)
	require.NoError(b, l.out.Encode(n))
	require.NoError(b, l.in.Decode(&l.parties))
	return l
}

// run sends all and reports what came of it; used is the processor time of the relay.
func (l *loadProcess) run(b *testing.B, used func() time.Duration) {
	b.ResetTimer()
	before := used()
	require.NoError(b, l.out.Encode(l.legs))
	var r loadResult
	require.NoError(b, l.in.Decode(&r))
	took := used() - before
	b.StopTimer()
	require.NoError(b, l.cmd.Wait())
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took.Seconds()/loadSeconds, "cores")
	b.ReportMetric(float64(took.Microseconds())/float64(r.Sent), "cpu-µs/packet")
	b.ReportMetric(float64(r.Sent-r.Received), "lost")
	b.ReportMetric(float64(r.P50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(r.P99.Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(r.Lag.Microseconds())/1000, "load-lag-p99-ms")
}

// loadKey is a key by the name of its suite.
func loadKey(name string, b []byte) srtpKey {
	s, _ := findSuite(name)
	n, _ := s.lengths()
	return srtpKey{suite: s, key: b[:n], salt: b[n:]}
}

package event

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// The watchers of a benchmark are another process, so that the CPU of both sides can be
// told apart: go test -run '^$' -bench Notify -benchtime 100000x ./sip/event
const benchServerEnv = "STOXGATE_EVENT_BENCH"

func benchServerWanted() bool { return os.Getenv(benchServerEnv) != "" }

// benchServer answers everything with 200 until its standard input ends.
func benchServer() {
	a, err := siptest.NewAnswerer(siptest.AnswererConfig{Transport: os.Getenv(benchServerEnv)})
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(a.Addr() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = a.Close()
}

func startBenchServer(b *testing.B, transport string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServerEnv+"="+transport)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b, err)
	return strings.TrimSpace(line)
}

// cpu is what this process has used, user and system.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// quietOwner does nothing.
type quietOwner struct{ ended atomic.Int64 }

func (*quietOwner) Subscribed(Subscribed)              {}
func (*quietOwner) Refreshed(*Subscription, Refreshed) {}
func (o *quietOwner) Ended(_ *Subscription, e Ended)   { o.ended.Add(1) }

const benchDocument = `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:mira@chat.example"><tuple id="ID-desk"><status><basic>open</basic></status><contact priority="0.079">sip:mira@chat.example;gr=desk</contact><note xml:lang="en">on deck until six</note><timestamp>2026-05-04T18:20:00Z</timestamp></tuple><dm:person id="p1"><r:activities><r:busy/></r:activities></dm:person></presence>`

// newBenchNotifier makes a notifier with subscriptions of peers at addr.
func newBenchNotifier(b testing.TB, sender Sender, count int, transport, addr string) (*Notifier, []*Subscription) {
	b.Helper()
	n, err := NewNotifier(NotifierConfig{
		Sender:   sender,
		Packages: []Package{{Name: "presence", Accept: []string{pidfType}, Interval: time.Nanosecond, Owner: &quietOwner{}}},
		Limits:   Limits{Total: -1, PerSource: -1, PerWatcher: -1, PerPair: -1}, Log: zerolog.Nop(),
	})
	require.NoError(b, err)
	list := make([]*Subscription, count)
	contact := "<sip:phone@" + addr + ">"
	if addr == "" {
		contact = "<sip:phone@10.0.0.7:5060;ob>" // behind a NAT
	}
	if transport != "udp" {
		contact = "<sip:phone@" + addr + ";transport=" + transport + ">"
	}
	for i := range list {
		req := lines(b, "SUBSCRIBE", subscribeDefaults, []string{
			fmt.Sprintf("Call-ID: %08x-3b7e-4a0c-a5f1-77d0d2c1%04x@192.0.2.9", i*2654435761%(1<<32), i%65536),
			fmt.Sprintf("From: \"Otto Number %d\" <sip:otto%d@voice.quay.example>;tag=%08x", i, i, i*40503),
			fmt.Sprintf("To: <sip:mira%d@chat.harbor.example>", i%1000), fmt.Sprintf("URI: sip:mira%d@chat.harbor.example", i%1000),
			"Contact: " + contact, "Event: presence", "User-Agent: some phone 1.2.3", "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1;rport=5060",
		})
		a := arrived(req, fmt.Sprintf("%016x", uint64(i)*0x9E3779B97F4A7C15))
		a.source = netip.MustParseAddrPort("10.1.0.0:5060")
		if addr != "" {
			to := netip.MustParseAddrPort(addr)
			a.source, a.flow = to, ua.Flow{}
		}
		st, s := n.take(&a, sip.NameAddr{})
		require.Equal(b, 200, st.Code)
		s.answered()
		list[i] = s
	}
	return n, list
}

// BenchmarkNotify is a fan-out: every subscription is told a state, as fast as the
// watchers answer. ns/op is the wall time per NOTIFY, cpu-µs that of this process.
func BenchmarkNotify(b *testing.B) {
	for _, transport := range []string{"udp", "tcp"} {
		b.Run(transport, func(b *testing.B) {
			addr := startBenchServer(b, transport)
			agent, err := ua.New(ua.Config{Listen: []ua.Listen{{Transport: "udp", Host: "127.0.0.1"}, {Transport: "tcp", Host: "127.0.0.1"}}, Log: zerolog.Nop()})
			require.NoError(b, err)
			require.NoError(b, agent.Start(b.Context()))
			defer func() { _ = agent.Shutdown(context.Background()) }()
			n, list := newBenchNotifier(b, agent, min(b.N, 20_000), transport, addr)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = n.Run(ctx) }()
			defer func() { cancel(); <-done }()
			body := []byte(benchDocument)
			runtime.GC()
			if f := os.Getenv("STOXGATE_EVENT_PROFILE"); f != "" {
				out, err := os.Create(f)
				require.NoError(b, err)
				require.NoError(b, pprof.StartCPUProfile(out))
				defer func() { pprof.StopCPUProfile(); _ = out.Close() }()
			}
			b.ReportAllocs()
			b.ResetTimer()
			used := cpu()
			for sent := 0; sent < b.N; {
				for _, s := range list[:min(len(list), b.N-sent)] {
					require.NoError(b, s.Notify(Notification{State: sip.SubscriptionActive, ContentType: pidfType, Body: body}))
					sent++
				}
				for n.outbox.waiting() > 0 {
					time.Sleep(100 * time.Microsecond)
				}
			}
			used = cpu() - used
			b.StopTimer()
			require.Equal(b, len(list), n.Len())
			b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(b.N), "cpu-µs/notify")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notify/s")
		})
	}
}

// heap is what lives after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// resident is the memory of this process in bytes, 0 where it cannot be known.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var all, pages int64
	if _, err := fmt.Sscan(string(b), &all, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// newBenchWatches makes restored watches: one active dialog each, record-routed.
func newBenchWatches(b testing.TB, sender Sender, count int) *Subscriber {
	b.Helper()
	s, err := NewSubscriber(SubscriberConfig{Sender: sender, Limits: Limits{Total: -1}})
	require.NoError(b, err)
	owner := &fakeWatcher{}
	for i := range count {
		_, err := s.Restore(WatchRecord{
			From: fmt.Sprintf("sip:mira%d@chat.harbor.example", i%1000), To: fmt.Sprintf("sip:otto%d@voice.quay.example", i), Package: "presence",
			Accept: pidfType, Ask: 3600, State: "active", CallID: fmt.Sprintf("%032x@node1.harbor.example", i), LocalTag: fmt.Sprintf("%016x", i),
			Contact: "sip:mira@198.51.100.7:5060", Dialogs: []DialogRecord{{
				RemoteTag: fmt.Sprintf("%016x", i*7), Target: "sip:presence@203.0.113.9:5060;transport=udp", Routes: "<sip:203.0.113.8;lr;ftag=1>",
				State: "active", Expires: time.Now().Add(time.Duration(i%3600) * time.Second),
			}},
		}, owner, nil)
		require.NoError(b, err)
	}
	return s
}

const mostBytes = 1024

// TestMemory: a subscription, ours or theirs, must cost less than 1 KB, tables and timers
// included. The watchers are UDP phones with rport, which need a flow each.
func TestMemory(t *testing.T) {
	const count = 5_000
	newBenchNotifier(t, &fakeSender{}, 10, "udp", "") // what is made once
	before := heap()
	n, list := newBenchNotifier(t, &fakeSender{}, count, "udp", "")
	each := (heap() - before) / count
	t.Logf("%d bytes per subscription", each)
	require.Less(t, each, int64(mostBytes))
	require.Equal(t, count, n.Len())
	require.NotNil(t, list[0].flow)
	runtime.KeepAlive(list)

	before = heap()
	s := newBenchWatches(t, &fakeSender{}, count)
	each = (heap() - before) / count
	t.Logf("%d bytes per watch", each)
	require.Less(t, each, int64(mostBytes))
	require.Equal(t, count, s.Len())
}

// BenchmarkSubscribe takes SUBSCRIBEs without a wire: go test -run '^$' -bench
// 'Subscribe|Restore' -benchtime 100000x ./sip/event
func BenchmarkSubscribe(b *testing.B) {
	before, rss := heap(), resident()
	b.ReportAllocs()
	b.ResetTimer()
	n, list := newBenchNotifier(b, &fakeSender{}, b.N, "udp", "")
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "heap-B/sub")
	b.ReportMetric(float64(resident()-rss)/float64(b.N), "rss-B/sub")
	runtime.KeepAlive(list)
	runtime.KeepAlive(n)
}

// BenchmarkRestoreSubscriptions brings back what a store has kept.
func BenchmarkRestoreSubscriptions(b *testing.B) {
	_, list := newBenchNotifier(b, &fakeSender{}, b.N, "udp", "")
	records := make([]Record, len(list))
	for i, s := range list {
		records[i] = s.Record()
	}
	n, _ := newBenchNotifier(b, &fakeSender{}, 0, "udp", "")
	b.ReportAllocs()
	b.ResetTimer()
	for _, r := range records {
		if _, err := n.Restore(r); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	require.Equal(b, b.N, n.Len())
}

// BenchmarkRestoreWatches is the same for subscriptions of ours.
func BenchmarkRestoreWatches(b *testing.B) {
	before := heap()
	b.ReportAllocs()
	b.ResetTimer()
	s := newBenchWatches(b, &fakeSender{}, b.N)
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "heap-B/watch")
	require.Equal(b, b.N, s.Len())
}

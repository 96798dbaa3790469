package ua

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	siplib "github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
)

// The server side of a benchmark is a process of its own, so that the CPU of both
// sides can be told apart: go test -run '^$' -bench . -benchtime 100000x ./sip/ua
const benchServerEnv = "STOXGATE_UA_BENCH"

// cpu is what this process has used, user and system.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchServer answers every MESSAGE with 200. It prints its address, then its CPU
// time for each line it reads.
func benchServer() {
	kind, transport, _ := strings.Cut(os.Getenv(benchServerEnv), " ")
	var addr string
	switch kind {
	case "sipgo":
		addr = benchSipgoServer(transport)
	case "raw":
		addr = benchRawServer()
	default:
		u, err := New(Config{Listen: []Listen{{Transport: transport, Host: "127.0.0.1"}}, Log: zerolog.Nop()})
		if err != nil {
			panic(err)
		}
		u.Handle(sip.MESSAGE, func(in *Inbound) { _ = in.Respond(sip.Status{Code: 200}) })
		if err := u.Start(context.Background()); err != nil {
			panic(err)
		}
		addr = u.Addr(transport).String()
	}
	fmt.Println(addr)
	stop := startProfile(os.Getenv("STOXGATE_UA_PROFILE"))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(int64(cpu()))
	}
	stop()
}

func benchSipgoServer(transport string) string {
	agent, err := sipgo.NewUA()
	if err != nil {
		panic(err)
	}
	srv, err := sipgo.NewServer(agent, sipgo.WithServerLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	srv.OnMessage(func(req *siplib.Request, tx siplib.ServerTransaction) {
		_ = tx.Respond(siplib.NewResponseFromRequest(req, 200, "OK", nil))
	})
	if transport == "udp" {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go func() { _ = srv.ServeUDP(pc) }()
		return pc.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = srv.ServeTCP(l) }()
	return l.Addr().String()
}

// peerProcess is the other side.
type peerProcess struct {
	addr netip.AddrPort
	in   io.WriteCloser
	out  *bufio.Scanner
	cmd  *exec.Cmd
}

func startPeer(b *testing.B, kind, transport string) *peerProcess {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServerEnv+"="+kind+" "+transport)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &peerProcess{in: in, out: bufio.NewScanner(out), cmd: cmd}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if !p.out.Scan() {
		b.Fatal("peer gave no address")
	}
	if p.addr, err = netip.ParseAddrPort(p.out.Text()); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *peerProcess) cpu(b *testing.B) time.Duration {
	b.Helper()
	var n int64
	if _, err := fmt.Fprintln(p.in); err != nil || !p.out.Scan() {
		b.Fatal("peer is gone")
	}
	if _, err := fmt.Sscan(p.out.Text(), &n); err != nil {
		b.Fatal(err)
	}
	return time.Duration(n)
}

// report runs send b.N times from that many callers, each with a request of its
// own, and reports the CPU per message of each side.
func report(b *testing.B, p *peerProcess, callers int, send func(req *sip.Request) error) {
	b.Helper()
	stop := startProfile(os.Getenv("STOXGATE_UA_CLIENT_PROFILE"))
	theirs, ours := p.cpu(b), cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for i := range callers {
		req := benchMessage(i, p.addr)
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := send(req); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(float64((cpu()-ours).Nanoseconds())/1e3/n, "client-cpu-µs/msg")
	b.ReportMetric(float64((p.cpu(b)-theirs).Nanoseconds())/1e3/n, "server-cpu-µs/msg")
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(0, "ns/op")
	stop()
}

func benchMessage(i int, to netip.AddrPort) *sip.Request {
	uri := sip.URI{Scheme: "sip", User: "otto", Host: to.Addr().String(), Port: int(to.Port())}
	req := sip.NewRequest(sip.MESSAGE, uri)
	sip.SetDialogHeaders(req,
		sip.NameAddr{Display: "Mira", URI: sip.URI{Scheme: "sip", User: "mira", Host: "chat.example"}, Params: sip.Params{{Name: "tag", Value: "a1b2c3"}}},
		sip.NameAddr{URI: uri}, fmt.Sprintf("m%d@gw.example", i), 1)
	_ = sip.SetBody(req, "text/plain;charset=UTF-8", []byte("Shall we meet at the harbour at eight? Bring the lantern."))
	return req
}

func BenchmarkMessage(b *testing.B) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", transport, callers), func(b *testing.B) {
				p := startPeer(b, "ua", transport)
				u, err := New(Config{Listen: []Listen{{Transport: transport, Host: "127.0.0.1"}}, Log: zerolog.Nop()})
				if err != nil {
					b.Fatal(err)
				}
				if err := u.Start(b.Context()); err != nil {
					b.Fatal(err)
				}
				defer func() { _ = u.Shutdown(context.Background()) }()
				hop := sip.URI{Scheme: "sip", Host: p.addr.Addr().String(), Port: int(p.addr.Port()), Params: sip.Params{{Name: "transport", Value: transport}}}
				report(b, p, callers, func(req *sip.Request) error {
					res, err := u.Do(context.Background(), req, Target{URI: hop})
					if err == nil && res.StatusCode != 200 {
						err = sip.StatusOf(res)
					}
					return err
				})
			})
		}
	}
}

// BenchmarkSipgo is the same with sipgo's own client and server.
func BenchmarkSipgo(b *testing.B) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", transport, callers), func(b *testing.B) {
				p := startPeer(b, "sipgo", transport)
				agent, err := sipgo.NewUA()
				if err != nil {
					b.Fatal(err)
				}
				defer agent.Close()
				client, err := sipgo.NewClient(agent, sipgo.WithClientLogger(slog.New(slog.DiscardHandler)))
				if err != nil {
					b.Fatal(err)
				}
				report(b, p, callers, func(shared *sip.Request) error {
					req := shared.Clone() // sipgo writes into what it sends
					req.SetTransport(strings.ToUpper(transport))
					req.SetDestination(p.addr.String())
					res, err := client.Do(context.Background(), req)
					if err == nil && res.StatusCode != 200 {
						err = sip.StatusOf(res)
					}
					return err
				})
			})
		}
	}
}

// benchRawServer sends every datagram back.
func benchRawServer() string {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return pc.LocalAddr().String()
}

// BenchmarkRaw is the floor: the same bytes through two bare sockets, 64 on the way.
func BenchmarkRaw(b *testing.B) {
	p := startPeer(b, "raw", "udp")
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer pc.Close()
	wire, err := sip.AppendMessage(nil, benchMessage(0, p.addr))
	if err != nil {
		b.Fatal(err)
	}
	window := make(chan struct{}, 64)
	go func() {
		buf := make([]byte, 65536)
		for {
			if _, _, err := pc.ReadFromUDPAddrPort(buf); err != nil {
				return
			}
			<-window
		}
	}()
	report(b, p, 1, func(*sip.Request) error {
		window <- struct{}{}
		_, err := pc.WriteToUDPAddrPort(wire, p.addr)
		return err
	})
}

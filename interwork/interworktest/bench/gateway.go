package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

// gateway is the process under measurement.
type gateway struct {
	cmd     *exec.Cmd
	sip     string // host:port
	console string
	again   func() *exec.Cmd // the same once more
	several bool             // it is several processes, which keep nothing and are killed
}

const configuration = `
xmpp:
  component: %s
  domain: sip.bench.example
  secret: secret
sip:
  listen: [udp://%s, tcp://%s]
  trusted: [127.0.0.0/8]
  trunks:
    - { name: peer, uri: "sip:%s;transport=%s", domains: ["*"] }
state:
  dir: %s
%s
http: { listen: %s }
%s
log: { level: warn, format: json }
`

func startGateway(ctx context.Context, dir, binary, component, peer, transport, postgres, media string) (*gateway, error) {
	state, err := os.MkdirTemp(dir, "state-")
	if err != nil {
		return nil, err
	}
	sipAddr, err := freePort()
	if err != nil {
		return nil, err
	}
	console, err := freePort()
	if err != nil {
		return nil, err
	}
	url := ""
	if postgres != "" {
		url = "  url: " + strconv.Quote(postgres)
	}
	file := filepath.Join(state, "stoxgate.yaml")
	text := fmt.Sprintf(configuration, component, sipAddr, sipAddr, peer, transport, filepath.Join(state, "data"), url, console, media)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	g := &gateway{sip: sipAddr, console: console}
	g.cmd = exec.Command(binary, "serve", "--config", file)
	g.again = func() *exec.Cmd { return exec.Command(binary, "serve", "--config", file) }
	g.cmd.Stderr = os.Stderr
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(20 * time.Second)
	for !g.ready(ctx) {
		if time.Now().After(deadline) {
			g.stop()
			return nil, fmt.Errorf("the gateway is not ready after 20 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return g, nil
}

// stoxgate is the starter of the gateway in binary.
func stoxgate(binary, postgres string) starter {
	return func(ctx context.Context, dir string, server *xmpptest.Server, peer, transport string) (*gateway, error) {
		return startGateway(ctx, dir, binary, server.Addr(), peer, transport, postgres, "")
	}
}

func (g *gateway) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.console+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

func (g *gateway) stop() {
	if g.several {
		for _, pid := range descendants(g.cmd.Process.Pid) {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		_ = g.cmd.Wait()
		return
	}
	_ = g.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = g.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = g.cmd.Process.Kill()
		<-done
	}
}

// usage reads the CPU time and the resident memory of the process and its children
// (proc(5)). Of several processes, memory that they share counts once.
func (g *gateway) usage() (cpu time.Duration, rss int64) {
	if !g.several {
		return usageOf(g.cmd.Process.Pid)
	}
	for _, pid := range descendants(g.cmd.Process.Pid) {
		c, _ := usageOf(pid)
		cpu, rss = cpu+c, rss+proportional(pid)
	}
	return cpu, rss
}

// descendants are a process, its children and theirs.
func descendants(pid int) []int {
	list := []int{pid}
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none, or no such file: it is alone
	for _, field := range strings.Fields(string(data)) {
		if child, err := strconv.Atoi(field); err == nil {
			list = append(list, descendants(child)...)
		}
	}
	return list
}

// proportional is the resident memory of a process, of what it shares its share only.
func proportional(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "\nPss:")
	line, _, _ := strings.Cut(rest, "kB")
	kilobytes, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return kilobytes << 10
}

func usageOf(pid int) (cpu time.Duration, rss int64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+2:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick, pages * int64(os.Getpagesize())
}

// holds is what the process holds.
type holds struct {
	goroutines, files int
	heap              int64 // bytes alive after a collection
	rss               int64
}

func (g *gateway) holds(ctx context.Context) (h holds, err error) {
	dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.cmd.Process.Pid))
	if err != nil {
		return h, err
	}
	h.files = len(dir)
	if h.goroutines, err = g.number(ctx, "/debug/pprof/goroutine?debug=1", "goroutine profile: total "); err != nil {
		return h, err
	}
	heap, err := g.number(ctx, "/debug/pprof/heap?gc=1&debug=1", "# HeapAlloc = ")
	h.heap = int64(heap)
	_, h.rss = g.usage()
	return h, err
}

// number is what follows a mark in a text of the console.
func (g *gateway) number(ctx context.Context, path, mark string) (int, error) {
	text, err := g.get(ctx, path)
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(text, mark)
	if !ok {
		return 0, fmt.Errorf("no %q in %s", mark, path)
	}
	n, _, _ := strings.Cut(rest, "\n")
	return strconv.Atoi(n)
}

func (g *gateway) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.console+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// profiled takes a profile, when a file is given, until it is stopped.
func (g *gateway) profiled(file string, length time.Duration) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	done := make(chan error, 1)
	go func() { done <- g.profile(file, max(int(length/time.Second), 1)) }()
	return func() error { return <-done }, nil
}

// profile fetches a CPU profile while the load runs.
func (g *gateway) profile(file string, seconds int) error {
	return g.save(fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), file)
}

// heap fetches a profile of what is alive.
func (g *gateway) heap(file string) error {
	if file == "" {
		return nil
	}
	return g.save("/debug/pprof/heap?gc=1", file)
}

// save writes what the console gives into a file.
func (g *gateway) save(path, file string) error {
	res, err := http.Get("http://" + g.console + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, res.Body)
	return err
}

// collect has the garbage collected, which a heap profile asks for.
func (g *gateway) collect(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.console+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

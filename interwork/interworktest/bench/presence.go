package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stoxgate/stoxgate/sip/siptest"
	"github.com/stoxgate/stoxgate/xmpp"
	"github.com/stoxgate/stoxgate/xmpp/xmpptest"
)

const (
	// subscribeWindow is how many SUBSCRIBEs are unanswered at a time.
	subscribeWindow = 256
	// shownAtOnce bounds the presence stanzas that wait for their NOTIFYs, so that what is
	// measured is the gateway and no queue.
	shownAtOnce = 1024
	// notifyInterval is the gateway's, with a second more: until then a NOTIFY would wait
	// (RFC 3856 §6.10).
	notifyInterval = 6 * time.Second
	// presencePatience bounds each step.
	presencePatience = 3 * time.Minute
)

// watchers is the load of presence: each of so many SIP users watches one XMPP user.
type watchers struct {
	count   int
	server  *xmpptest.Server
	phone   *siptest.Answerer
	told    atomic.Int64 // NOTIFYs with the document that is waited for
	notify  atomic.Int64 // all NOTIFYs
	answers atomic.Int64 // the gateway's requests that the XMPP side answers
	want    atomic.Pointer[[]byte]
	show    atomic.Pointer[string] // what a probe is answered with
}

// presenceBench measures so many subscriptions in one gateway: memory, a restart, and a
// fan-out in which every watcher is told one change.
func presenceBench(ctx context.Context, count int, dir, binary, postgres, profile, heap string) error {
	w := &watchers{count: count}
	w.expect("<basic>open")
	w.show.Store(new(string))
	w.server = xmpptest.NewServer(xmpptest.Config{Domain: "sip.bench.example", Secret: "secret", Hosts: []string{"chat.bench.example"}})
	if err := w.server.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	defer w.server.Close()
	w.server.OnStanza(w.stanza)
	var err error
	w.phone, err = siptest.NewAnswerer(siptest.AnswererConfig{Transport: "udp", Seen: w.seen})
	if err != nil {
		return err
	}
	defer w.phone.Close()
	g, err := startGateway(ctx, dir, binary, w.server.Addr(), w.phone.Addr(), "udp", postgres, "")
	if err != nil {
		return err
	}
	defer func() { g.stop() }()

	fmt.Printf("%s, %d CPUs, %s/%s; %d subscriptions, each of another pair\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, count)
	_, empty := g.usage()
	start := time.Now()
	busy, err := w.subscribe(ctx, g.sip)
	if err != nil {
		return err
	}
	if busy > 0 {
		fmt.Printf("the gateway could not keep up: %d answers were 503 with Retry-After, and tried again\n", busy)
	}
	if err := w.wait(ctx, "granted and told"); err != nil {
		return err
	}
	cpu, _ := g.usage()
	fmt.Printf("set up, granted by the XMPP users, told: %v, %.0f/s, CPU %v each\n", time.Since(start).Round(time.Millisecond),
		float64(count)/time.Since(start).Seconds(), short(cpu/time.Duration(count)))
	full := g.settled(ctx)
	fmt.Printf("memory: %.0f MB RSS, %.2f KB for each subscription (%.0f MB when empty)\n", float64(full)/1e6, float64(full-empty)/float64(count)/1e3, float64(empty)/1e6)
	if err := g.heap(heap); err != nil {
		return err
	}

	if err := w.fanOut(ctx, g, "dnd", profile); err != nil {
		return err
	}
	start = time.Now()
	stopped := time.Now()
	if g, err = g.restart(ctx, &stopped); err != nil {
		return err
	}
	fmt.Printf("restart: %v to stop, %v until it is ready with all subscriptions restored\n", stopped.Sub(start).Round(time.Millisecond), time.Since(stopped).Round(time.Millisecond))
	restored := g.settled(ctx)
	fmt.Printf("memory after it: %.0f MB RSS, %.2f KB for each subscription\n", float64(restored)/1e6, float64(restored-empty)/float64(count)/1e3)
	return w.fanOut(ctx, g, "away", "")
}

// expect sets what a NOTIFY must hold to count.
func (w *watchers) expect(text string) {
	b := []byte(text)
	w.want.Store(&b)
	w.told.Store(0)
}

func (w *watchers) seen(raw []byte) {
	if !bytes.HasPrefix(raw, []byte("NOTIFY ")) {
		return
	}
	w.notify.Add(1)
	if bytes.Contains(raw, *w.want.Load()) {
		w.told.Add(1)
	}
}

// stanza is the XMPP side: everybody agrees, and is there.
func (w *watchers) stanza(e *xmpp.Element) {
	if e.Name.Local != "presence" {
		return
	}
	from, to := e.Attribute("from"), e.Attribute("to")
	switch e.Attribute("type") {
	case "subscribe":
		_ = w.server.Inject([]byte("<presence from='" + to + "' to='" + from + "' type='subscribed'/><presence from='" + to + "/desk' to='" + from + "'/>"))
	case "probe":
		_ = w.server.Inject([]byte("<presence from='" + to + "/desk' to='" + from + "'>" + *w.show.Load() + "</presence>"))
	}
	w.answers.Add(1)
}

// subscribe sends the SUBSCRIBEs as a proxy would: the answers go back over the connection,
// the NOTIFYs to the Contact. Who is told to come back later (503) does so, and is counted.
func (w *watchers) subscribe(ctx context.Context, gateway string) (busy int, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", gateway)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	answers := make(chan answer, subscribeWindow)
	go func() {
		defer close(answers)
		in := bufio.NewReaderSize(conn, 1<<16)
		for {
			a, err := response(in)
			if answers <- a; err != nil {
				return
			}
		}
	}()
	out := bufio.NewWriter(conn)
	var again []int // who was told to come back
	for next, open, done := 0, 0, 0; done < w.count; {
		for open < subscribeWindow && (next < w.count || len(again) > 0) {
			i := next
			if len(again) > 0 {
				i, again = again[0], again[1:]
			} else {
				next++
			}
			w.write(out, i, busy)
			open++
		}
		if err := out.Flush(); err != nil {
			return busy, err
		}
		a := <-answers
		open--
		switch {
		case a.status == "200":
			done++
		case a.status == "503":
			busy++
			again = append(again, a.who)
			select {
			case <-time.After(a.pause):
			case <-ctx.Done():
				return busy, ctx.Err()
			}
		case a.status == "":
			return busy, fmt.Errorf("the gateway closed the connection after %d answers", done)
		default:
			return busy, fmt.Errorf("the gateway answers %s after %d answers", a.status, done)
		}
	}
	return busy, nil
}

// write writes a SUBSCRIBE of watcher i; turn tells its repetitions apart.
func (w *watchers) write(out io.Writer, i, turn int) {
	n := strconv.Itoa(i)
	fmt.Fprintf(out, "SUBSCRIBE sip:mira%s@chat.bench.example SIP/2.0\r\n"+
		"Via: SIP/2.0/TCP 127.0.0.1:5061;branch=z9hG4bKp%s-%d\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKw%s\r\nMax-Forwards: 69\r\n"+
		"From: <sip:otto%s@voice.bench.example>;tag=t%s\r\nTo: <sip:mira%s@chat.bench.example>\r\nCall-ID: %s-bench@voice.bench.example\r\nCSeq: %d SUBSCRIBE\r\n"+
		"Contact: <sip:otto%s@%s>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n",
		n, n, turn, w.phone.Addr(), n, n, n, n, n, turn+1, n, w.phone.Addr())
}

// answer is a response without a body.
type answer struct {
	status string
	who    int           // whose request it answers
	pause  time.Duration // Retry-After
}

// response reads one response.
func response(in *bufio.Reader) (a answer, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return answer{}, err
		}
		line = strings.TrimRight(line, "\r\n")
		if after, ok := strings.CutPrefix(line, "SIP/2.0 "); ok && a.status == "" {
			a.status, _, _ = strings.Cut(after, " ")
		}
		if id, ok := strings.CutPrefix(line, "Call-ID: "); ok {
			n, _, _ := strings.Cut(id, "-")
			a.who, _ = strconv.Atoi(n)
		}
		if after, ok := strings.CutPrefix(line, "Retry-After: "); ok {
			seconds, _ := strconv.Atoi(after)
			a.pause = time.Duration(seconds) * time.Second
		}
		if line == "" && a.status != "" {
			return a, nil
		}
	}
}

func (w *watchers) wait(ctx context.Context, what string) error {
	deadline := time.Now().Add(presencePatience)
	for w.told.Load() < int64(w.count) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("%s: %d of %d after %v (%d NOTIFYs, %d stanzas)", what, w.told.Load(), w.count, presencePatience, w.notify.Load(), w.answers.Load())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// fanOut has every XMPP user change her presence once.
func (w *watchers) fanOut(ctx context.Context, g *gateway, show, profile string) error {
	select {
	case <-time.After(notifyInterval):
	case <-ctx.Done():
		return ctx.Err()
	}
	w.expect(show + "</show>")
	children := "<show>" + show + "</show><status>below deck until six</status>"
	w.show.Store(&children)
	var profiled chan error
	if profile != "" {
		profiled = make(chan error, 1)
		go func() { profiled <- g.profile(profile, 5) }()
	}
	before, _ := g.usage()
	sent := w.notify.Load()
	start := time.Now()
	for i := range w.count {
		n := strconv.Itoa(i)
		for int64(i)-w.told.Load() > shownAtOnce {
			if time.Since(start) > presencePatience {
				return w.wait(ctx, "fan-out")
			}
			time.Sleep(200 * time.Microsecond)
		}
		if err := w.server.Inject([]byte("<presence from='mira" + n + "@chat.bench.example/desk' to='otto" + n +
			`\40voice.bench.example@sip.bench.example'>` + children + "</presence>")); err != nil {
			return err
		}
	}
	if err := w.wait(ctx, "fan-out"); err != nil {
		return err
	}
	took := time.Since(start)
	after, _ := g.usage()
	notified := w.notify.Load() - sent
	fmt.Printf("fan-out: %d changes, %d NOTIFYs in %v, %.0f NOTIFY/s, CPU %v each\n", w.count, notified, took.Round(time.Millisecond),
		float64(notified)/took.Seconds(), short((after-before)/time.Duration(max(notified, 1))))
	if profiled != nil {
		return <-profiled
	}
	return nil
}

// settled is the resident memory once the work of the past is collected.
func (g *gateway) settled(ctx context.Context) (rss int64) {
	for range 20 {
		g.collect(ctx)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	_, rss = g.usage()
	return rss
}

// restart ends the gateway and starts it again on the same state; stopped is when it had
// ended.
func (g *gateway) restart(ctx context.Context, stopped *time.Time) (*gateway, error) {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	_ = g.cmd.Wait()
	*stopped = time.Now()
	next := &gateway{cmd: g.again(), sip: g.sip, console: g.console}
	next.cmd.Stderr = os.Stderr
	if err := next.cmd.Start(); err != nil {
		return g, err
	}
	for !next.ready(ctx) {
		if time.Since(*stopped) > presencePatience || ctx.Err() != nil {
			return next, fmt.Errorf("the gateway is not ready after its restart")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return next, nil
}

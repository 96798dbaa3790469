// Command bench measures messages and calls through a running gateway: a stub component
// server on one side, a SIP peer on the other, and the gateway as a process of its own in
// between, with its durable outbox on. It prints one row per load.
//
// Of messages: messages a second, latency, the gateway's CPU time per message, loss,
// duplicates and memory. Of calls: how many are set up and torn down a second, with and
// without the media of real clients (ICE and DTLS of pion); what the sound of calls that
// stand costs, loses and waits; and whether anything is left of calls that ended.
//
//	go run ./interwork/interworktest/bench            # all loads of messages, and of calls but the growth
//	go run ./interwork/interworktest/bench -only x2s -window 32 -n 100000
//	go run ./interwork/interworktest/bench -calls relay -at 600 -for 15s
//	go run ./interwork/interworktest/bench -calls growth -total 10000
//
// Side by side with another gateway, in rounds that alternate: with the C gateway that this
// one replaces, Kamailio and its xmpp module, when it is installed, or with another build.
//
//	go run ./interwork/interworktest/bench -against kamailio -rounds 5
//	go run ./interwork/interworktest/bench -against ./stoxgate-before -only x2s -window 32
//
// The load takes as much of the CPUs as the gateway does. On a machine that others use,
// `chrt -r 10` before the command gives both a steadier share.
//
// With the argument presence it measures subscriptions instead: memory of each, the time
// of a restart, and a fan-out of NOTIFYs.
//
//	go run ./interwork/interworktest/bench presence
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// load is one row of the table.
type load struct {
	direction string // x2s or s2x
	transport string // of the SIP side
	window    int    // messages outstanding, one per pair; 0: rate counts
	rate      int    // messages a second, 0: closed loop
	total     int
}

func (l load) String() string {
	how := fmt.Sprintf("%d outstanding", l.window)
	if l.rate > 0 {
		how = fmt.Sprintf("%d/s", l.rate)
	}
	return fmt.Sprintf("%s %s %s", l.direction, l.transport, how)
}

func main() {
	only := flag.String("only", "", "x2s or s2x")
	window := flag.Int("window", 0, "one closed loop with so many outstanding, instead of the standard loads")
	rate := flag.Int("rate", 0, "one load with so many messages a second")
	n := flag.Int("n", 0, "messages per load, default 60000; subscriptions, default 100000")
	transport := flag.String("transport", "udp", "udp or tcp")
	binary := flag.String("binary", "", "gateway to measure; default: built from ./cmd/stoxgate")
	postgres := flag.String("state-url", "", "PostgreSQL URL for the outbox; default: SQLite in a temporary folder")
	profile := flag.String("profile", "", "write a CPU profile of the gateway to this file")
	heap := flag.String("heap", "", "write a profile of the gateway's memory with all subscriptions to this file")
	calls := flag.String("calls", "", "loads of calls instead: setup, relay, transcode, growth, with commas between, or all")
	at := flag.Int("at", 0, "calls at a time, instead of the standard loads")
	length := flag.Duration("for", 8*time.Second, "how long each load of calls is measured")
	total := flag.Int("total", 10000, "calls of -calls growth")
	against := flag.String("against", "", "compare with other gateways, with commas between: kamailio, or the path of another build")
	rounds := flag.Int("rounds", 3, "how often each gateway of -against has its turn")
	children := flag.Int("children", 1, "SIP workers of kamailio; with more it is slower on two cores")
	icePort := flag.Int("ice-port", 0, "one UDP port of the gateway for the media of all Jabber clients")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *n == 0 {
		*n = 60_000
		if flag.Arg(0) == "presence" {
			*n = 100_000
		}
	}
	if flag.Arg(0) == "presence" {
		if err := prepared(ctx, *binary, func(dir, binary string) error {
			return presenceBench(ctx, *n, dir, binary, *postgres, *profile, *heap)
		}); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	o := callOptions{at: *at, length: *length, total: *total, icePort: *icePort, profile: *profile}
	list := loads(*only, *transport, *window, *rate, *n)
	var err error
	switch {
	case *length < time.Second:
		err = errors.New("-for is a second at least")
	case *against != "":
		if *window == 0 && *rate == 0 {
			list = baselineLoads(*only, *transport, *n)
		}
		err = prepared(ctx, *binary, func(dir, binary string) error {
			return compare(ctx, list, dir, binary, *postgres, *against, *rounds, *children)
		})
		list = nil
	case *calls != "":
		list = nil
		o.modes, err = parseModes(*calls)
	case *only == "" && *window == 0 && *rate == 0:
		o.modes = quickModes
	}
	if err == nil {
		err = run(ctx, list, o, *binary, *postgres, *profile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func loads(only, transport string, window, rate, n int) (list []load) {
	for _, d := range []string{"x2s", "s2x"} {
		if only != "" && only != d {
			continue
		}
		switch {
		case window > 0 || rate > 0:
			list = append(list, load{direction: d, transport: transport, window: window, rate: rate, total: n})
		default:
			for _, w := range []int{1, 32, 256} {
				total := n
				if w == 1 {
					total = n / 10
				}
				list = append(list, load{direction: d, transport: transport, window: w, total: total})
			}
			for _, r := range []int{1000, 5000} {
				list = append(list, load{direction: d, transport: transport, rate: r, total: 10 * r})
			}
		}
	}
	return list
}

// prepared gives f a folder and a gateway.
func prepared(ctx context.Context, binary string, f func(dir, binary string) error) error {
	dir, err := os.MkdirTemp("", "stoxgate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if binary == "" {
		binary = filepath.Join(dir, "stoxgate")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/stoxgate")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building the gateway: %w", err)
		}
	}
	return f(dir, binary)
}

func run(ctx context.Context, list []load, o callOptions, binary, postgres, profile string) error {
	return prepared(ctx, binary, func(dir, binary string) error {
		return runAll(ctx, list, o, dir, binary, postgres, profile)
	})
}

// tell says where the figures are from.
func tell() {
	fmt.Printf("%s, %d CPUs, %s/%s; the gateway, both peers and the load share them\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

func runAll(ctx context.Context, list []load, o callOptions, dir, binary, postgres, profile string) error {
	tell()
	var err error
	if len(list) > 0 {
		err = messages(ctx, list, dir, binary, postgres, profile)
		fmt.Println()
	}
	return errors.Join(err, runCalls(ctx, dir, binary, o))
}

func messages(ctx context.Context, list []load, dir, binary, postgres, profile string) error {
	fmt.Printf("| load | messages | msg/s | p50 | p99 | CPU/message | lost | twice | refused | RSS |\n|---|---|---|---|---|---|---|---|---|---|\n")
	failed := 0
	for _, l := range list {
		r, err := measure(ctx, l, stoxgate(binary, postgres), plainAddresses, dir, profile)
		if err != nil {
			return fmt.Errorf("%v: %w", l, err)
		}
		fmt.Println(r.row(l))
		if r.lost > 0 || r.twice > 0 {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d loads lost or repeated messages", failed)
	}
	return nil
}

// result is what one load gave.
type result struct {
	messages, lost, twice, refused int
	elapsed, p50, p99, cpu         time.Duration
	rss                            int64 // bytes
}

func (r result) perSecond() float64 { return float64(r.messages) / r.elapsed.Seconds() }

// perMessage is the CPU time of the gateway.
func (r result) perMessage() time.Duration { return r.cpu / time.Duration(max(r.messages, 1)) }

func (r result) row(l load) string {
	return fmt.Sprintf("| %v | %d | %.0f | %s | %s | %s | %d | %d | %d | %.0f MB |", l, r.messages,
		r.perSecond(), short(r.p50), short(r.p99), short(r.perMessage()), r.lost, r.twice, r.refused, float64(r.rss)/1e6)
}

func short(d time.Duration) string {
	switch {
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return strings.TrimSuffix(d.Round(100*time.Nanosecond).String(), "")
	}
}

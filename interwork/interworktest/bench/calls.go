package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// callOptions say which loads of calls are run, and how hard.
type callOptions struct {
	modes   []string
	at      int // calls at a time, 0: the standard ones
	length  time.Duration
	total   int // calls of the growth
	icePort int
	profile string
}

// callModes are the loads of calls.
var callModes = []string{"setup", "relay", "transcode", "growth"}

// quickModes are those that a run of everything has: the growth takes minutes.
var quickModes = callModes[:3]

func parseModes(text string) ([]string, error) {
	if text == "all" {
		return callModes, nil
	}
	list := strings.Split(text, ",")
	for _, m := range list {
		if !slices.Contains(callModes, m) {
			return nil, fmt.Errorf("-calls knows %s and all", strings.Join(callModes, ", "))
		}
	}
	return list, nil
}

const (
	mediaConfiguration = "media: { ports: 10000-31999, max_calls: 5000, ice_port: %d }"
	// A call takes two pairs of ports, and they rest for 20 s after it: this is how many
	// calls there are ports for, and how many may come a second for longer.
	portsFor       = 5000
	portsForSecond = 250
)

// bed is a gateway and both sides, for one load.
type bed struct {
	*exchange
	gateway *gateway
}

func newBed(ctx context.Context, dir, binary string, o callOptions) (b *bed, err error) {
	b = &bed{exchange: &exchange{}}
	if b.parties, err = newParties(); err != nil {
		return nil, err
	}
	if b.sockets, err = newSockets(); err != nil {
		b.parties.close()
		return nil, err
	}
	if b.cert, err = newCertificate(); err == nil {
		b.nowhere, err = b.sockets.open()
	}
	if err == nil {
		b.gateway, err = startGateway(ctx, dir, binary, b.server.Addr(), b.sip.LocalAddr().String(), "udp", "", fmt.Sprintf(mediaConfiguration, o.icePort))
	}
	if err == nil {
		b.proxy, err = net.ResolveUDPAddr("udp4", b.gateway.sip)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) close() {
	if b.gateway != nil {
		b.gateway.stop()
	}
	b.parties.close()
	if b.nowhere != nil {
		b.sockets.shut(b.nowhere)
	}
	b.sockets.close()
}

// many runs f with so many at a time until the time is over or it was called so often;
// 0: no bound. i counts the calls of f.
func many(ctx context.Context, at, total int, length time.Duration, f func(i int)) time.Duration {
	start := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for ctx.Err() == nil && (length == 0 || time.Since(start) < length) {
				i := int(next.Add(1)) - 1
				if total > 0 && i >= total {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// tally counts calls.
type tally struct {
	mu     sync.Mutex
	took   []time.Duration
	failed int
	why    map[string]int // by text, without the number of the call
}

func (t *tally) done(took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.took = append(t.took, took)
		return
	}
	if errors.Is(err, context.Canceled) {
		return
	}
	t.failed++
	if t.why == nil {
		t.why = make(map[string]int)
	}
	_, text, _ := strings.Cut(err.Error(), ": ")
	t.why[text]++
}

// shown is how many kinds of failures are told in words, and tell tells them.
const shown = 5

func (t *tally) tell() {
	kinds := slices.SortedFunc(maps.Keys(t.why), func(a, b string) int { return t.why[b] - t.why[a] })
	for _, k := range kinds[:min(len(kinds), shown)] {
		fmt.Fprintf(os.Stderr, "bench: %d calls: %s\n", t.why[k], k)
	}
}

func (t *tally) quantiles() (p50, p99 time.Duration) {
	slices.Sort(t.took)
	if n := len(t.took); n > 0 {
		return t.took[n/2], t.took[n*99/100]
	}
	return 0, 0
}

// short makes one call and ends it at once.
func (b *bed) short(ctx context.Context, user int, kind callKind, t *tally) {
	start := time.Now()
	c, err := b.place(ctx, user, kind)
	took := time.Since(start)
	if err == nil {
		err = c.hangUp(ctx)
	}
	t.done(took, err)
}

// runCalls runs the loads and prints their tables.
func runCalls(ctx context.Context, dir, binary string, o callOptions) error {
	for _, m := range o.modes {
		var err error
		switch m {
		case "setup":
			err = setups(ctx, dir, binary, o)
		case "relay":
			err = relays(ctx, dir, binary, o)
		case "transcode":
			err = transcodings(ctx, dir, binary, o)
		case "growth":
			err = growth(ctx, dir, binary, o)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		fmt.Println()
	}
	return nil
}

// setups measures how fast calls come and go.
func setups(ctx context.Context, dir, binary string, o callOptions) error {
	at := o.at
	if at == 0 {
		at = 16
	}
	fmt.Printf("Calls set up and torn down, %d at a time; gateway, both sides and, where they are done, the clients' ICE and DTLS share the CPUs.\n\n", at)
	fmt.Printf("| load | calls | calls/s | set-up p50 | p99 | CPU/call | gateway | failed | RSS |\n|---|---|---|---|---|---|---|---|---|\n")
	failed := 0
	for _, kind := range []callKind{{direct: true}, {}, {fromSIP: true}, {direct: true, media: true}, {fromSIP: true, media: true}} {
		t, err := setup(ctx, dir, binary, at, kind, o)
		if err != nil {
			return fmt.Errorf("%v: %w", kind, err)
		}
		failed += t
	}
	if failed > 0 {
		return fmt.Errorf("%d calls failed", failed)
	}
	return nil
}

func setup(ctx context.Context, dir, binary string, at int, kind callKind, o callOptions) (failed int, err error) {
	b, err := newBed(ctx, dir, binary, o)
	if err != nil {
		return 0, err
	}
	defer b.close()
	var t tally
	var warm tally
	many(ctx, at, 2*at, 0, func(i int) { b.short(ctx, i, kind, &warm) })
	stop, err := b.gateway.profiled(o.profile, o.length)
	if err != nil {
		return 0, err
	}
	before, _ := b.gateway.usage()
	// A user calls again when others have: nobody has more than one call.
	// All is done before the ports of the first calls can be used again.
	elapsed := many(ctx, at, portsFor-4*at, o.length, func(i int) { b.short(ctx, i%(64*at), kind, &t) })
	after, rss := b.gateway.usage()
	if err := stop(); err != nil {
		return 0, err
	}
	warm.tell()
	t.tell()
	p50, p99 := t.quantiles()
	n := max(len(t.took), 1)
	fmt.Printf("| %v | %d | %.0f | %s | %s | %s | %.2f cores | %d | %.0f MB |\n", kind, len(t.took), float64(len(t.took))/elapsed.Seconds(),
		short(p50), short(p99), short((after-before)/time.Duration(n)), (after-before).Seconds()/elapsed.Seconds(), t.failed+warm.failed, float64(rss)/1e6)
	return t.failed + warm.failed, ctx.Err()
}

// relays measures calls with sound that is passed through.
func relays(ctx context.Context, dir, binary string, o callOptions) error {
	fmt.Printf("Calls with sound, 20 ms of G.711 both ways; the delay is what the gateway adds, from send to arrival in the kernel.\n\n")
	mediaHead()
	at := []int{100, 400}
	if o.at > 0 {
		at = []int{o.at}
	}
	for _, kind := range []callKind{{fromSIP: true, media: true}, {fromSIP: true, media: true, sdes: true}} {
		for _, n := range at {
			if err := conversations(ctx, dir, binary, n, kind, nil, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// transcodings measures calls between Opus and PCMU.
func transcodings(ctx context.Context, dir, binary string, o callOptions) error {
	said, err := newSounds()
	if err != nil {
		return err
	}
	fmt.Printf("Calls with sound that is transcoded, 20 ms both ways.\n\n")
	mediaHead()
	at := []int{50, 100}
	if o.at > 0 {
		at = []int{o.at}
	}
	for _, n := range at {
		if err := conversations(ctx, dir, binary, n, callKind{fromSIP: true, media: true, opus: true}, &said, o); err != nil {
			return err
		}
	}
	return nil
}

func mediaHead() {
	fmt.Printf("| load | calls | packets/s | lost | p50 | p99 | gateway | CPU/packet | RSS/call | heap/call | goroutines/call | files/call | the load's own lag, p99 |\n|%s\n",
		strings.Repeat("---|", 13))
}

func mediaName(k callKind) string {
	switch {
	case k.opus:
		return "Opus, DTLS-SRTP and ICE ↔ PCMU, RTP"
	case k.sdes:
		return "DTLS-SRTP and ICE ↔ SRTP (SDES)"
	}
	return "DTLS-SRTP and ICE ↔ RTP"
}

func conversations(ctx context.Context, dir, binary string, n int, kind callKind, said *sounds, o callOptions) error {
	b, err := newBed(ctx, dir, binary, o)
	if err != nil {
		return err
	}
	defer b.close()
	var failures tally
	// What a call adds, not what the first one does.
	b.short(ctx, n+1, kind, &failures)
	empty, err := b.gateway.holds(ctx)
	if err != nil {
		return err
	}
	calls := make([]*placedCall, n)
	many(ctx, min(n, 8), n, 0, func(i int) {
		c, err := b.place(ctx, i, kind)
		calls[i] = c
		if err != nil {
			failures.done(0, err)
		}
	})
	calls = slices.DeleteFunc(calls, func(c *placedCall) bool { return c == nil })
	if len(calls) == 0 {
		return errors.New("no call stands")
	}
	var before, after time.Duration
	var start time.Time
	var elapsed time.Duration
	var stop func() error
	t := conversation(ctx, calls, o.length, said, func() {
		stop, err = b.gateway.profiled(o.profile, o.length)
		before, _ = b.gateway.usage()
		start = time.Now()
	}, func() {
		after, _ = b.gateway.usage()
		elapsed = time.Since(start)
	})
	if err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	full, err := b.gateway.holds(ctx)
	if err != nil {
		return err
	}
	each := func(a, b int64) float64 { return float64(b-a) / float64(len(calls)) }
	p50, p99 := "–", "–" // transcoded sound does not say when it was sent
	if said == nil {
		p50, p99 = short(t.p50), short(t.p99)
	}
	fmt.Printf("| %s | %d | %.0f | %d (%.3f %%) | %s | %s | %.2f cores | %s | %.0f kB | %.0f kB | %.1f | %.1f | %s |\n", mediaName(kind), len(calls),
		float64(t.sent)/elapsed.Seconds(), t.sent-t.received, 100*float64(t.sent-t.received)/float64(t.sent), p50, p99,
		(after-before).Seconds()/elapsed.Seconds(), short((after-before)/time.Duration(t.sent)), each(empty.rss, full.rss)/1000, each(empty.heap, full.heap)/1000,
		each(int64(empty.goroutines), int64(full.goroutines)), each(int64(empty.files), int64(full.files)), short(t.late))
	if said != nil && t.loud < t.received/4 {
		return fmt.Errorf("of %d packets only %d have sound", t.received, t.loud)
	}
	if t.broken > 0 {
		fmt.Fprintf(os.Stderr, "bench: %d packets could not be decrypted\n", t.broken)
	}
	var ends tally
	many(ctx, 8, len(calls), 0, func(i int) { ends.done(0, calls[i].hangUp(ctx)) })
	failures.tell()
	ends.tell()
	if failed := failures.failed + ends.failed; failed > 0 {
		return fmt.Errorf("%d calls failed", failed)
	}
	return ctx.Err()
}

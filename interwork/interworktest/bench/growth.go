package main

import (
	"context"
	"fmt"
	"time"
)

// What may be left of many calls: a connection of the console, a timer that runs.
const (
	spareGoroutines = 8
	spareFiles      = 4
	// longTail is how long the gateway keeps something of a call that ended: sessions and
	// SIP transactions for 32 s, ports for 20 s.
	longTail = 90 * time.Second
	// growthRate is how many calls a second there are at most, for the sake of the ports.
	growthRate = portsForSecond * 4 / 5
)

// growth makes many short calls, of all kinds, and looks at what is left of them.
func growth(ctx context.Context, dir, binary string, o callOptions) error {
	b, err := newBed(ctx, dir, binary, o)
	if err != nil {
		return err
	}
	defer b.close()
	at := o.at
	if at == 0 {
		at = 16
	}
	kinds := []callKind{{direct: true}, {}, {fromSIP: true}, {direct: true, media: true}, {fromSIP: true, media: true}, {media: true}}
	var warm, t tally
	many(ctx, at, 8*at, 0, func(i int) { b.short(ctx, i, kinds[i%len(kinds)], &warm) })
	before, err := b.rest(ctx, holds{})
	if err != nil {
		return err
	}
	fmt.Printf("What the gateway holds when no call is left: before and after %d calls, of which half had ICE and DTLS.\n\n", o.total)
	fmt.Printf("| when | goroutines | heap | RSS | files |\n|---|---|---|---|---|\n")
	row := func(when string, h holds) {
		fmt.Printf("| %s | %d | %.1f MB | %.0f MB | %d |\n", when, h.goroutines, float64(h.heap)/1e6, float64(h.rss)/1e6, h.files)
	}
	row("before", before)
	start := time.Now()
	elapsed := many(ctx, at, o.total, 0, func(i int) {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / growthRate)))
		b.short(ctx, i%(64*at), kinds[i%len(kinds)], &t)
	})
	now, err := b.gateway.holds(ctx)
	if err != nil {
		return err
	}
	row("at the last call", now)
	after, err := b.rest(ctx, before)
	if err != nil {
		return err
	}
	row("after", after)
	fmt.Printf("\n%d calls in %s, %.0f a second; %d failed; %d requests of the gateway came twice.\n", len(t.took), elapsed.Round(time.Second),
		float64(len(t.took))/elapsed.Seconds(), warm.failed+t.failed, b.repeated)
	warm.tell()
	t.tell()
	switch {
	case warm.failed+t.failed > 0:
		return fmt.Errorf("%d calls failed", warm.failed+t.failed)
	case after.goroutines > before.goroutines+spareGoroutines:
		return fmt.Errorf("%d goroutines more than before", after.goroutines-before.goroutines)
	case after.files > before.files+spareFiles:
		return fmt.Errorf("%d files more than before", after.files-before.files)
	}
	return nil
}

// rest waits until the gateway holds no more than it did, or, without that, for the time
// in which it lets go of what has ended.
func (b *bed) rest(ctx context.Context, like holds) (holds, error) {
	start := time.Now()
	for {
		h, err := b.gateway.holds(ctx)
		if err != nil {
			return h, err
		}
		waited := time.Since(start)
		back := like.goroutines > 0 && h.goroutines <= like.goroutines && h.files <= like.files
		if waited > longTail || waited > longTail/2 && (back || like.goroutines == 0) {
			return h, nil
		}
		select {
		case <-ctx.Done():
			return h, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

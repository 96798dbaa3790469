package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
)

const (
	// gcPercent lets the heap grow to five times of what is alive before it is collected:
	// the live heap of a gateway that carries messages is some 10 MB, so this costs little
	// memory and saves about a tenth of the CPU time per message.
	gcPercent = 400
	// gcRoom bounds that growth in bytes, and gcLeast from below: a hundred thousand
	// subscriptions are alive for hours, and five times of them is no little memory.
	gcRoom  = 96 << 20
	gcLeast = 30
	// gcWatch is how often the live heap is looked at.
	gcWatch = 5 * time.Second
)

// gcPercentOf is the collector's percentage for a live heap of so many bytes.
func gcPercentOf(live uint64) int {
	if live == 0 {
		return gcPercent
	}
	return int(min(max(gcRoom*100/live, gcLeast), gcPercent))
}

// tuneGC fits the collector to the live heap until ctx ends. It leaves a GOGC of the
// operator alone.
func tuneGC(ctx context.Context, env config.Environment) {
	if _, set := env("GOGC"); set {
		return
	}
	debug.SetGCPercent(gcPercent)
	go func() {
		now := gcPercent
		tick := time.NewTicker(gcWatch)
		defer tick.Stop()
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			metrics.Read(sample)
			if sample[0].Value.Kind() != metrics.KindUint64 {
				return // a runtime that does not tell
			}
			live := sample[0].Value.Uint64()
			// Each change stops the world for a moment, so small ones are not made.
			if next := gcPercentOf(live); next < now*9/10 || next > now*11/10 {
				debug.SetGCPercent(next)
				now = next
			}
		}
	}()
}

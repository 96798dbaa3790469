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

	// After a burst (a hundred thousand subscriptions begin) the heap keeps the room that
	// the burst needed. It goes back to the system when nothing has happened for quietFor
	// looks, each with less than quietBytes of new memory, when it is at least returnLeast
	// and a quarter of what is alive, and not again within returnPause: it costs one
	// collection, and the next burst has to ask for the memory again.
	quietFor    = 2
	quietBytes  = 8 << 20
	returnLeast = 32 << 20
	returnPause = time.Minute
)

// spareMemory decides when memory goes back to the system.
type spareMemory struct {
	allocated uint64 // at the last look
	quiet     int    // looks in a row at which hardly anything had happened
	returned  time.Time
}

// due takes a look: live, free (held, and used by nothing) and allocated (ever) are bytes.
func (m *spareMemory) due(now time.Time, live, free, allocated uint64) bool {
	grown := allocated - m.allocated
	m.allocated = allocated
	if grown >= quietBytes {
		m.quiet = 0
		return false
	}
	m.quiet++
	if m.quiet < quietFor || free < max(returnLeast, live/4) || now.Sub(m.returned) < returnPause {
		return false
	}
	m.returned = now
	return true
}

// gcPercentOf is the collector's percentage for a live heap of so many bytes.
func gcPercentOf(live uint64) int {
	if live == 0 {
		return gcPercent
	}
	return int(min(max(gcRoom*100/live, gcLeast), gcPercent))
}

// tuneGC fits the collector to the live heap until ctx ends, and gives memory back when
// there is nothing to do. It leaves a GOGC of the operator alone.
func tuneGC(ctx context.Context, env config.Environment) {
	if _, set := env("GOGC"); set {
		return
	}
	debug.SetGCPercent(gcPercent)
	go func() {
		now := gcPercent
		tick := time.NewTicker(gcWatch)
		defer tick.Stop()
		sample := []metrics.Sample{
			{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		}
		var spare spareMemory
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			metrics.Read(sample)
			for i := range sample {
				if sample[i].Value.Kind() != metrics.KindUint64 {
					return // a runtime that does not tell
				}
			}
			live := sample[0].Value.Uint64()
			// Each change stops the world for a moment, so small ones are not made.
			if next := gcPercentOf(live); next < now*9/10 || next > now*11/10 {
				debug.SetGCPercent(next)
				now = next
			}
			if spare.due(time.Now(), live, sample[1].Value.Uint64(), sample[2].Value.Uint64()) {
				debug.FreeOSMemory()
			}
		}
	}()
}

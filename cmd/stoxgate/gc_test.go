package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 10 << 20: 400, 24 << 20: 400, 48 << 20: 200, 96 << 20: 100, 256 << 20: 37, 4 << 30: 30} {
		assert.Equal(t, want, gcPercentOf(live), "%d MiB", live>>20)
	}
}

func TestSpareMemory(t *testing.T) {
	const mib = 1 << 20
	type look struct {
		live, free, grown uint64
		due               bool
	}
	for name, looks := range map[string][]look{
		"after a burst, once":    {{250 * mib, 200 * mib, 900 * mib, false}, {250 * mib, 200 * mib, 0, false}, {250 * mib, 200 * mib, mib, true}, {250 * mib, 200 * mib, mib, false}},
		"never under load":       {{50 * mib, 200 * mib, 9 * mib, false}, {50 * mib, 200 * mib, 9 * mib, false}, {50 * mib, 200 * mib, 9 * mib, false}},
		"a pause is no rest":     {{50 * mib, 200 * mib, mib, false}, {50 * mib, 200 * mib, 50 * mib, false}, {50 * mib, 200 * mib, mib, false}, {50 * mib, 200 * mib, mib, true}},
		"little is not worth it": {{10 * mib, 20 * mib, 0, false}, {10 * mib, 20 * mib, 0, false}, {400 * mib, 90 * mib, 0, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var m spareMemory
			now, allocated := time.Now(), uint64(0)
			for i, l := range looks {
				now, allocated = now.Add(gcWatch), allocated+l.grown
				assert.Equal(t, l.due, m.due(now, l.live, l.free, allocated), "look %d", i)
			}
		})
	}
}

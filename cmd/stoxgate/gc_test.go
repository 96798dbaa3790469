package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 10 << 20: 400, 24 << 20: 400, 48 << 20: 200, 96 << 20: 100, 256 << 20: 37, 4 << 30: 30} {
		assert.Equal(t, want, gcPercentOf(live), "%d MiB", live>>20)
	}
}

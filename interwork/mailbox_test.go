package interwork

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMailboxKeepsOrderAndOneHandler(t *testing.T) {
	var wg sync.WaitGroup
	var got []int // written by the actor only; the race detector would see a second handler
	m := newMailbox(1000, &wg, run, func(i int) { got = append(got, i) })
	for i := range 500 {
		require.True(t, m.offer(i))
	}
	wg.Wait()
	require.Len(t, got, 500)
	for i, v := range got {
		require.Equal(t, i, v)
	}
}

func TestMailboxRefusesTheWireButNotItself(t *testing.T) {
	var wg sync.WaitGroup
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m := newMailbox(2, &wg, run, func(int) {
		once.Do(func() { close(entered) })
		<-release
	})
	require.True(t, m.offer(0))
	<-entered
	require.True(t, m.offer(1))
	require.True(t, m.offer(2))
	require.False(t, m.offer(3), "over the limit")
	require.True(t, m.post(4), "the gateway's own events are always taken")
	require.False(t, m.closeIf(func() bool { return true }), "not while it works")
	close(release)
	wg.Wait()
	require.True(t, m.closeIf(func() bool { return true }))
	require.False(t, m.post(5), "closed")
}

// run gives every job a goroutine.
func run(job func()) { go job() }

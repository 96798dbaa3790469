package event

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ringing is an owner of alarms.
type ringing struct {
	clock alarm
	at    time.Duration
	rung  func(*ringing)
}

func (r *ringing) alarm() *alarm { return &r.clock }
func (r *ringing) ring()         { r.rung(r) }

// TestAlarmsHeap sets, moves and stops at random; what is left comes in order.
func TestAlarmsHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAlarms[*ringing]()
		owners := make([]*ringing, rapid.IntRange(1, 60).Draw(t, "owners"))
		for i := range owners {
			owners[i] = &ringing{at: never}
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			r := rapid.SampledFrom(owners).Draw(t, "owner")
			r.at = time.Duration(rapid.Int64Range(-1000, 0).Draw(t, "at"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				a.stop(r)
				r.at = never
			case 1:
				a.set(r, never)
				r.at = never
			default:
				a.set(r, r.at)
			}
		}
		var want []time.Duration
		for _, r := range owners {
			if r.at != never {
				want = append(want, r.at)
			}
		}
		slices.Sort(want)
		require.Equal(t, len(want), a.len())
		due, _ := a.take(nil)
		var got []time.Duration
		for _, r := range due {
			got = append(got, r.at)
			require.Zero(t, r.clock.index)
		}
		require.Equal(t, want, got)
	})
}

func TestAlarmsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlarms[*ringing]()
		start := time.Now()
		var mu sync.Mutex
		var log []string
		rung := func(r *ringing) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprint(r.at, " at ", time.Since(start)))
		}
		stop := runUntilStop(t, func(ctx context.Context) error { a.run(ctx); return nil })
		for _, d := range []time.Duration{3 * time.Hour, time.Second, time.Minute} {
			a.set(&ringing{at: d, rung: rung}, d)
		}
		moved := &ringing{at: 2 * time.Minute, rung: rung}
		a.set(moved, time.Hour)
		pass(30 * time.Second)
		a.set(moved, 2*time.Minute)
		for range 3 * batch {
			a.set(&ringing{at: 5 * time.Second, rung: func(*ringing) {}}, 5*time.Second) // overdue
		}
		pass(4 * time.Hour)
		stop()
		require.Equal(t, []string{"1s at 1s", "1m0s at 1m0s", "2m0s at 2m0s", "3h0m0s at 3h0m0s"}, log)
		require.Zero(t, a.len())
	})
}

// TestAlarmsMonotonic: the wall clock has no part in deadlines.
func TestAlarmsMonotonic(t *testing.T) {
	require.Contains(t, newAlarms[*ringing]().start.String(), " m=")
}

// task is a job of the outbox.
type task struct {
	key uint64
	do  func(ctx context.Context)
}

func (t *task) hop() uint64              { return t.key }
func (t *task) send(ctx context.Context) { t.do(ctx) }

func TestOutboxLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(10, 4)
		var now, most, perHop, done atomic.Int64
		byHop := map[uint64]*atomic.Int64{}
		for k := range uint64(5) {
			byHop[k] = &atomic.Int64{}
		}
		for i := range 500 {
			k := uint64(i % 5)
			o.submit(&task{k, func(context.Context) {
				most.Store(max(most.Load(), now.Add(1)))
				perHop.Store(max(perHop.Load(), byHop[k].Add(1)))
				time.Sleep(time.Second)
				byHop[k].Add(-1)
				now.Add(-1)
				done.Add(1)
			}})
		}
		require.Equal(t, 500, o.waiting())
		stop := runUntilStop(t, func(ctx context.Context) error { o.run(ctx); return nil })
		start := time.Now()
		for done.Load() < 500 {
			pass(time.Second)
		}
		require.InDelta(t, 50, time.Since(start).Seconds(), 3)
		require.Equal(t, int64(10), most.Load())
		require.LessOrEqual(t, perHop.Load(), int64(4))
		require.Zero(t, o.waiting())
		require.Empty(t, o.hops)
		stop()
		o.submit(&task{1, func(context.Context) { t.Error("sent after the end") }})
		require.Zero(t, o.workers)
	})
}

// TestOutboxDeadHop: a next hop that does not answer holds up nobody else.
func TestOutboxDeadHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(8, 4)
		stop := runUntilStop(t, func(ctx context.Context) error { o.run(ctx); return nil })
		for range 100 {
			o.submit(&task{1, func(ctx context.Context) { <-ctx.Done() }})
		}
		pass(time.Second)
		var done atomic.Int64
		for range 1000 {
			o.submit(&task{2, func(context.Context) { done.Add(1) }})
		}
		pass(0)
		require.Equal(t, int64(1000), done.Load())
		require.Equal(t, 100, o.waiting())
		stop() // the end waits for all, and drops what was not sent
		require.Zero(t, o.workers)
	})
}

// TestOutboxOrder: jobs of one hop start in their order.
func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(4, 1)
		stop := runUntilStop(t, func(ctx context.Context) error { o.run(ctx); return nil })
		var got []int // perHop is 1: no lock needed
		for i := range 200 {
			o.submit(&task{7, func(context.Context) { got = append(got, i) }})
		}
		pass(0)
		stop()
		require.Len(t, got, 200)
		require.True(t, slices.IsSorted(got))
	})
}

func TestOrder(t *testing.T) {
	var mu sync.Mutex
	var o *order[int]
	var got []int
	mu.Lock()
	put(&o)
	put(&o, 1, 2)
	mu.Unlock()
	deliver(&mu, &o, func(i int) {
		got = append(got, i)
		if i == 1 { // what comes from within is delivered after what was there
			mu.Lock()
			put(&o, 3)
			mu.Unlock()
			deliver(&mu, &o, func(int) { t.Error("not by the inner one") })
		}
	})
	require.Equal(t, []int{1, 2, 3}, got)
	require.Nil(t, o)

	mu.Lock()
	put(&o, 4, 5)
	mu.Unlock()
	require.Panics(t, func() { deliver(&mu, &o, func(int) { panic("owner") }) })
	deliver(&mu, &o, func(i int) { got = append(got, i) })
	require.Equal(t, []int{1, 2, 3, 5}, got, "a panic of the owner costs one event")

	var wg sync.WaitGroup
	var seen []int // deliver is the lock
	for i := range 1000 {
		wg.Go(func() {
			mu.Lock()
			put(&o, i)
			mu.Unlock()
			deliver(&mu, &o, func(i int) { seen = append(seen, i) })
		})
	}
	wg.Wait()
	require.Len(t, seen, 1000)
}

func TestTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list [textCount]string
		for i := range list {
			list[i] = rapid.StringN(0, 30, 100).Draw(t, "text")
		}
		packed, err := packTexts(list)
		require.NoError(t, err)
		require.Equal(t, list, packed.list())
	})
	_, err := packTexts([textCount]string{string(make([]byte, maxDialogText+1))})
	require.ErrorIs(t, err, errTooLong)
}

func TestToken(t *testing.T) {
	require.Len(t, token(8), 16)
	require.Len(t, token(16), 32)
	require.NotEqual(t, token(8), token(8))
}

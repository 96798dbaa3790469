package event

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSubscriberMachine is the whole table: what is not listed changes nothing.
func TestSubscriberMachine(t *testing.T) {
	type key struct {
		s    WatchState
		sig  signal
		poll bool
	}
	type value struct {
		s WatchState
		d deed
	}
	over := value{WatchTerminated, deedForget}
	again := value{WatchWaiting, deedWait}
	table := map[key]value{
		{WatchUnknown, sigStart, false}:       {WatchSubscribing, deedSubscribe},
		{WatchUnknown, sigUnsubscribe, false}: over,

		{WatchSubscribing, sigPending, false}:      {WatchPending, 0},
		{WatchSubscribing, sigActive, false}:       {WatchActive, 0},
		{WatchSubscribing, sigEndedForGood, false}: over,
		{WatchSubscribing, sigEnded, false}:        again,
		{WatchSubscribing, sigLost, false}:         again,
		{WatchSubscribing, sigRefused, false}:      over,
		{WatchSubscribing, sigFailed, false}:       again,
		{WatchSubscribing, sigBrief, false}:        {WatchSubscribing, deedAgain},
		{WatchSubscribing, sigUnsubscribe, false}:  over,

		{WatchWaiting, sigRetry, false}:       {WatchSubscribing, deedSubscribe},
		{WatchWaiting, sigUnsubscribe, false}: over,

		{WatchEnding, sigEndedForGood, false}: over,
		{WatchEnding, sigEnded, false}:        over,
		{WatchEnding, sigLost, false}:         over,
		{WatchEnding, sigSilence, false}:      over,

		{WatchUnknown, sigStart, true}:       {WatchSubscribing, deedSubscribe},
		{WatchUnknown, sigUnsubscribe, true}: over,

		{WatchSubscribing, sigPending, true}:      {WatchEnding, deedLinger},
		{WatchSubscribing, sigActive, true}:       {WatchEnding, deedLinger},
		{WatchSubscribing, sigEndedForGood, true}: {WatchEnding, deedLinger},
		{WatchSubscribing, sigEnded, true}:        {WatchEnding, deedLinger},
		{WatchSubscribing, sigLost, true}:         over,
		{WatchSubscribing, sigRefused, true}:      over,
		{WatchSubscribing, sigFailed, true}:       over,
		{WatchSubscribing, sigBrief, true}:        over,
		{WatchSubscribing, sigUnsubscribe, true}:  over,

		{WatchEnding, sigSilence, true}:     over,
		{WatchEnding, sigUnsubscribe, true}: over,
	}
	for _, s := range []WatchState{WatchPending, WatchActive} {
		table[key{s, sigPending, false}] = value{WatchPending, 0}
		table[key{s, sigActive, false}] = value{WatchActive, 0}
		table[key{s, sigEndedForGood, false}] = over
		table[key{s, sigEnded, false}] = again
		table[key{s, sigLost, false}] = again
		table[key{s, sigUnsubscribe, false}] = value{WatchEnding, deedLeave | deedLinger}
	}
	for _, poll := range []bool{false, true} {
		for s := WatchUnknown; s <= WatchTerminated; s++ {
			for sig := sigStart; sig <= sigSilence; sig++ {
				t.Run(fmt.Sprint(s, " ", sig, " ", poll), func(t *testing.T) {
					want, ok := table[key{s, sig, poll}]
					if !ok {
						want = value{s, 0}
					}
					next, deeds := advanceWatch(s, sig, poll)
					require.Equal(t, want, value{next, deeds})
					// What holds for every row: a Watch is forgotten when it terminates,
					// once, and what the owner does not want is not started again.
					require.Equal(t, next == WatchTerminated && s != WatchTerminated, deeds&deedForget != 0)
					require.Equal(t, next == WatchWaiting && s != WatchWaiting, deeds&deedWait != 0)
					if s == WatchEnding || s == WatchTerminated || sig == sigUnsubscribe {
						require.Zero(t, deeds&(deedSubscribe|deedAgain|deedWait))
					}
				})
			}
		}
	}
}

package event

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// TestReasons is RFC 6665 §4.1.3, with presence.md §3.1 for what it leaves open.
func TestReasons(t *testing.T) {
	for _, c := range []struct {
		reason sip.EventReason
		after  time.Duration
		want   Retry
	}{
		{sip.ReasonDeactivated, 0, Retry{true, 0}},
		{sip.ReasonDeactivated, time.Minute, Retry{true, 0}},
		{sip.ReasonTimeout, 0, Retry{true, 0}},
		{sip.ReasonProbation, 0, Retry{true, time.Minute}},
		{sip.ReasonProbation, 5 * time.Second, Retry{true, 5 * time.Second}},
		{sip.ReasonGiveUp, 0, Retry{true, time.Minute}},
		{sip.ReasonGiveUp, 24 * time.Hour, Retry{true, 24 * time.Hour}},
		{sip.ReasonRejected, 0, Retry{}},
		{sip.ReasonRejected, time.Minute, Retry{}},
		{sip.ReasonNoResource, 0, Retry{}},
		{sip.ReasonInvariant, 0, Retry{}},
		{"", 0, Retry{true, time.Minute}},
		{"extension", 90 * time.Second, Retry{true, 90 * time.Second}},
		{"", 1 << 62, Retry{true, maxWait}},
	} {
		require.Equal(t, c.want, RetryOf(c.reason, c.after), "%s %v", c.reason, c.after)
	}
}

// TestVerdicts judges every status code.
func TestVerdicts(t *testing.T) {
	type row struct{ first, refresh verdict }
	special := map[int]row{
		408: {verdictLater, verdictGone}, 412: {verdictUnknown, verdictLater}, 413: {verdictLater, verdictLater},
		423: {verdictBrief, verdictBrief}, 480: {verdictLater, verdictGone}, 486: {verdictLater, verdictLater},
		487: {verdictLater, verdictLater}, 491: {verdictLater, verdictLater}, 600: {verdictLater, verdictLater},
		501: {verdictFinal, verdictGone}, 505: {verdictFinal, verdictLater}, 513: {verdictFinal, verdictLater},
	}
	gone := map[int]bool{404: true, 405: true, 410: true, 416: true, 481: true, 482: true, 483: true, 484: true, 485: true, 489: true, 604: true}
	for code := 200; code < 700; code++ {
		want := row{verdictFinal, verdictLater}
		switch {
		case code < 300:
			want = row{verdictOK, verdictOK}
		case gone[code]:
			want.refresh = verdictGone
		case code/100 == 5:
			want.first = verdictLater
		}
		if s, ok := special[code]; ok {
			want = s
		}
		require.Equal(t, want, row{judgeFirst(code), judgeRefresh(code)}, code)
		require.NotEmpty(t, judgeFirst(code).String())
	}
	for _, err := range []error{ua.ErrClosed, ua.ErrRequest, context.Canceled} {
		require.Equal(t, notifyVain, judgeNotify(0, fmt.Errorf("%w: x", err)))
	}
	for _, err := range []error{ua.ErrTimeout, context.DeadlineExceeded} {
		require.Equal(t, notifyGone, judgeNotify(0, fmt.Errorf("%w: x", err)))
	}
	for _, err := range []error{ua.ErrTransport, ua.ErrFlow, ua.ErrResolve} {
		require.Equal(t, notifyAgain, judgeNotify(0, fmt.Errorf("%w: x", err)))
	}
}

// TestRefreshTime: late, but in time, and never the same for all.
func TestRefreshTime(t *testing.T) {
	require.Equal(t, 54*time.Minute, refreshAfter(time.Hour, 0))
	require.Equal(t, 51*time.Minute, refreshAfter(time.Hour, 1))
	require.Equal(t, 90*time.Second, refreshAfter(2*time.Minute, 0))
	require.Equal(t, 30*time.Second, refreshAfter(time.Minute, 0))
	require.Equal(t, 10*time.Second, refreshAfter(20*time.Second, 0))
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, 86400*7).Draw(t, "seconds")) * time.Second
		lot := rapid.Float64Range(0, 1).Draw(t, "lot")
		at := refreshAfter(d, lot)
		require.Positive(t, at)
		require.LessOrEqual(t, at, d*9/10)
		if d >= time.Minute {
			require.GreaterOrEqual(t, d-at, 30*time.Second)
			require.GreaterOrEqual(t, at, d/4)
		}
	})
}

func TestPauses(t *testing.T) {
	require.Equal(t, 15*time.Second, backoff(1, 0))
	require.Equal(t, 30*time.Second, backoff(1, 1))
	require.Equal(t, time.Minute, backoff(2, 1))
	require.Equal(t, time.Hour, backoff(99, 1))
	require.Equal(t, 30*time.Minute, backoff(99, 0))
	require.Zero(t, pauseFor(Retry{Again: true}, 0, 0))
	require.Equal(t, time.Second, pauseFor(Retry{Again: true}, 0, 1))
	require.Equal(t, 15*time.Second, pauseFor(Retry{Again: true}, 1, 0))
	require.Equal(t, 66*time.Second, pauseFor(Retry{true, time.Minute}, 0, 1))
	rapid.Check(t, func(t *rapid.T) {
		after := time.Duration(rapid.Int64Range(0, int64(maxWait)).Draw(t, "after"))
		fails := rapid.IntRange(0, 1000).Draw(t, "fails")
		lot := rapid.Float64Range(0, 1).Draw(t, "lot")
		d := pauseFor(Retry{true, after}, fails, lot)
		require.GreaterOrEqual(t, d, after, "at least what was asked for")
		require.LessOrEqual(t, d, max(after+after/10, retryMax))
	})
}

package event

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// never is no deadline.
const never time.Duration = 1<<63 - 1

const (
	// timeoutDefault is 64*T1: timer F of a request, and timer N, the patience of a
	// subscriber for the NOTIFY that must follow its SUBSCRIBE (RFC 6665 §4.1.2.4).
	timeoutDefault = 32 * time.Second
	// laterPause is for probation and giveup without retry-after (presence.md §3.1).
	laterPause = 60 * time.Second
	// The back-off after failures: 30 s, 60 s … 1 h, of which a random 50–100 %.
	retryBase = 30 * time.Second
	retryMax  = time.Hour
	// atOnce spreads what may be done at once: thousands of subscriptions end in the
	// same second when a notifier restarts.
	atOnce = time.Second
	// maxWait bounds what a Retry-After may make us wait.
	maxWait = 30 * 24 * time.Hour
	// proven is how long a subscription must have lived for its end to be no failure.
	proven = time.Minute
)

// Retry is when to subscribe anew after a termination (RFC 6665 §4.1.3).
type Retry struct {
	Again bool          // false: not by ourselves
	After time.Duration // 0: at once
}

// RetryOf is the rule of a reason; retryAfter is that of Subscription-State, 0 without.
func RetryOf(reason sip.EventReason, retryAfter time.Duration) Retry {
	retryAfter = min(retryAfter, maxWait)
	switch reason {
	case sip.ReasonDeactivated, sip.ReasonTimeout:
		return Retry{true, 0}
	case sip.ReasonRejected, sip.ReasonNoResource, sip.ReasonInvariant:
		return Retry{}
	case sip.ReasonProbation, sip.ReasonGiveUp:
	}
	// A reason that is not in the standard, or none: whenever we like, but not before
	// retry-after.
	if retryAfter <= 0 {
		retryAfter = laterPause
	}
	return Retry{true, retryAfter}
}

// verdict is what an answer to a SUBSCRIBE or PUBLISH means.
type verdict uint8

const (
	verdictFinal   verdict = iota // no, and asking again will not help
	verdictOK                     // 2xx
	verdictBrief                  // 423: ask for more time
	verdictLater                  // not now
	verdictGone                   // in a dialog: the subscription does not exist (any more)
	verdictUnknown                // 412: the entity tag is not known
)

func (v verdict) String() string {
	return [...]string{"final", "ok", "brief", "later", "gone", "unknown tag"}[v]
}

// judgeFirst is for a request outside a dialog: a SUBSCRIBE that starts a
// subscription, a PUBLISH.
func judgeFirst(code int) verdict {
	switch code {
	case 423:
		return verdictBrief
	case 412:
		return verdictUnknown
	case 408, 413, 480, 486, 487, 491, 600:
		// Nobody there, busy, or a race. 413 is the one 4xx that may say Retry-After
		// for the same request (RFC 3261 §21.4.11); without it the back-off is right too.
		return verdictLater
	case 501, 505, 513:
		return verdictFinal
	}
	switch code / 100 {
	case 2:
		return verdictOK
	case 5:
		return verdictLater
	}
	return verdictFinal
}

// judgeRefresh is for a SUBSCRIBE in its dialog (RFC 6665 §4.1.2.2). What is not in
// its list leaves the subscription valid until it expires.
func judgeRefresh(code int) verdict {
	switch {
	case code/100 == 2:
		return verdictOK
	case code == 423:
		return verdictBrief
	case goneCode(code) || code == 408:
		return verdictGone
	}
	return verdictLater
}

// goneCode is the list of answers that end a subscription: to a refresh (RFC 6665
// §4.1.2.2) and to a NOTIFY (§4.2.2).
func goneCode(code int) bool {
	switch code {
	case 404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604:
		return true
	}
	return false
}

// outcome is what became of a NOTIFY.
type outcome uint8

const (
	notifyDone  outcome = iota // taken by the watcher
	notifyGone                 // the subscription is to be removed
	notifyAgain                // to be sent again, for it did not get through
	notifyVain                 // not understood: the subscription lives, but not again
)

func (o outcome) String() string { return [...]string{"done", "gone", "again", "vain"}[o] }

// judgeNotify is RFC 6665 §4.2.2: the list of codes must remove the subscription,
// silence should. 408 is silence that a proxy has met. A server error or a transport
// error is neither, so the state, which must not get lost, is sent again.
func judgeNotify(code int, err error) outcome {
	switch {
	case errors.Is(err, ua.ErrClosed), errors.Is(err, context.Canceled):
		return notifyVain
	case errors.Is(err, ua.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return notifyGone
	case errors.Is(err, ua.ErrRequest):
		return notifyVain
	case err != nil:
		return notifyAgain
	case code/100 == 2:
		return notifyDone
	case goneCode(code) || code == 408:
		return notifyGone
	case code/100 == 5 || code == 486 || code == 487 || code == 491 || code == 600:
		return notifyAgain
	}
	return notifyVain
}

// notifyTries is how often one state is sent that gets no better answer than
// notifyAgain; the pauses are notifyPause, twice that, and so on.
const (
	notifyTries = 4
	notifyPause = 5 * time.Second
)

// refreshAfter is when a subscription of that duration is refreshed: at 85–90 % of it,
// but 30 s before its end (presence.md §3.1), half of it when it is short. lot is a
// random number of [0,1).
func refreshAfter(d time.Duration, lot float64) time.Duration {
	due := min(d/10*9, d-30*time.Second)
	if d < time.Minute {
		due = d / 2
	}
	return due - time.Duration(lot*float64(min(d/20, due/4)))
}

// backoff is the pause after that many failures in a row; the first is number 1.
func backoff(failures int, lot float64) time.Duration {
	d := min(retryBase<<min(max(failures, 1)-1, 10), retryMax)
	return d/2 + time.Duration(lot*float64(d/2))
}

// pauseFor is how long to wait before subscribing anew: what the other side asks for
// and up to a tenth more, at once with a little spread, or the back-off when the last
// attempts came to nothing.
func pauseFor(r Retry, failures int, lot float64) time.Duration {
	d := r.After + time.Duration(lot*float64(r.After/10))
	if r.After == 0 {
		d = time.Duration(lot * float64(atOnce))
	}
	if failures > 0 {
		d = max(d, backoff(failures, lot))
	}
	return d
}

// lot draws for the functions above.
func lot() float64 { return rand.Float64() }

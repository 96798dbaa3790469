package event

// WatchState is where a Watch stands.
type WatchState uint8

// States of a Watch.
const (
	WatchUnknown     WatchState = iota
	WatchSubscribing            // SUBSCRIBE is out, no NOTIFY has come
	WatchPending                // the notifier does not know yet whether it may tell
	WatchActive                 // it tells
	WatchWaiting                // there is no subscription; another attempt follows
	WatchEnding                 // unsubscribed, the last NOTIFY is to come
	WatchTerminated             // over, by our wish or by theirs
)

func (s WatchState) String() string {
	switch s {
	case WatchSubscribing:
		return "subscribing"
	case WatchPending:
		return "pending"
	case WatchActive:
		return "active"
	case WatchWaiting:
		return "waiting"
	case WatchEnding:
		return "ending"
	case WatchTerminated:
		return "terminated"
	}
	return "unknown"
}

// signal is what happens to a Watch.
type signal uint8

const (
	sigStart        signal = iota // the owner wants it
	sigPending                    // NOTIFY: at least one dialog is pending, none active
	sigActive                     // NOTIFY: at least one dialog is active
	sigEndedForGood               // the last dialog was terminated, and not to be started again
	sigEnded                      // the last dialog was terminated, and may be started again
	sigLost                       // the last dialog is gone without a word: refresh refused, or not refreshed
	sigRefused                    // the first SUBSCRIBE was refused for good
	sigFailed                     // it was not, but there is no subscription: busy, silence, no way, no NOTIFY
	sigBrief                      // it wants a longer duration (423)
	sigRetry                      // the pause is over
	sigUnsubscribe                // the owner does not want it any more
	sigSilence                    // nothing has come for long enough: timer N of an unsubscription, end of a poll
)

func (s signal) String() string {
	return [...]string{
		"start", "pending", "active", "ended for good", "ended", "lost", "refused", "failed", "brief", "retry",
		"unsubscribe", "silence",
	}[s]
}

// deed is a set of effects.
type deed uint8

const (
	deedSubscribe deed = 1 << iota // a SUBSCRIBE with a new Call-ID
	deedAgain                      // the SUBSCRIBE once more, in the same attempt
	deedWait                       // set the alarm for the next attempt
	deedLeave                      // SUBSCRIBE with Expires 0 in every dialog
	deedLinger                     // wait for what may still come, for a short time
	deedForget                     // NOTIFYs are answered with 481 from now on
)

// advanceWatch is the subscriber's state machine (RFC 6665 §4.1, presence.md §3.1). poll
// is a Watch that wants one NOTIFY.
func advanceWatch(s WatchState, sig signal, poll bool) (WatchState, deed) {
	if poll {
		return advancePoll(s, sig)
	}
	switch s {
	case WatchUnknown:
		switch sig {
		case sigStart:
			return WatchSubscribing, deedSubscribe
		case sigUnsubscribe:
			return WatchTerminated, deedForget
		}
	case WatchSubscribing:
		switch sig {
		case sigPending:
			return WatchPending, 0
		case sigActive:
			return WatchActive, 0
		case sigEndedForGood, sigRefused:
			return WatchTerminated, deedForget
		case sigEnded, sigFailed, sigLost:
			return WatchWaiting, deedWait
		case sigBrief:
			return WatchSubscribing, deedAgain
		case sigUnsubscribe:
			// There is no dialog to say so in: the NOTIFY that comes gets 481, which
			// removes the subscription (RFC 6665 §4.2.2).
			return WatchTerminated, deedForget
		}
	case WatchPending, WatchActive:
		switch sig {
		case sigPending:
			return WatchPending, 0
		case sigActive:
			return WatchActive, 0
		case sigEndedForGood:
			return WatchTerminated, deedForget
		case sigEnded, sigLost:
			return WatchWaiting, deedWait
		case sigUnsubscribe:
			return WatchEnding, deedLeave | deedLinger
		}
	case WatchWaiting:
		switch sig {
		case sigRetry:
			return WatchSubscribing, deedSubscribe
		case sigUnsubscribe:
			return WatchTerminated, deedForget
		}
	case WatchEnding:
		switch sig {
		case sigEndedForGood, sigEnded, sigLost, sigSilence:
			return WatchTerminated, deedForget
		}
	case WatchTerminated:
	}
	return s, 0
}

// advancePoll: the first NOTIFY answers the poll; those of other forks may follow.
func advancePoll(s WatchState, sig signal) (WatchState, deed) {
	switch s {
	case WatchUnknown:
		switch sig {
		case sigStart:
			return WatchSubscribing, deedSubscribe
		case sigUnsubscribe:
			return WatchTerminated, deedForget
		}
	case WatchSubscribing:
		switch sig {
		case sigPending, sigActive, sigEndedForGood, sigEnded:
			return WatchEnding, deedLinger
		case sigRefused, sigFailed, sigBrief, sigLost, sigUnsubscribe:
			return WatchTerminated, deedForget
		}
	case WatchEnding:
		switch sig {
		case sigSilence, sigUnsubscribe:
			return WatchTerminated, deedForget
		}
	case WatchPending, WatchActive, WatchWaiting, WatchTerminated:
	}
	return s, 0
}

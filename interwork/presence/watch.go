package presence

// WatchState is where the subscription of the XMPP user to the SIP user stands: the
// authorisation, which mirrors her roster, and the notification dialog, which exists
// only while somebody looks.
type WatchState uint8

const (
	// WatchNone is the zero value: she has not asked.
	WatchNone WatchState = iota
	// WatchAsking: she asked, the SUBSCRIBE is under way or has said nothing yet.
	WatchAsking
	// WatchPending: she asked, and the SIP side has not decided.
	WatchPending
	// WatchAskRetry: she asked, and the SIP side could not be reached; a timer runs.
	WatchAskRetry
	// WatchAskParked: she asked, but nobody decided in a week, or there is nothing to wait
	// for; it is taken up again when she shows up.
	WatchAskParked
	// WatchOffline: granted, and nobody looks.
	WatchOffline
	// WatchOpening: granted, and the dialog is not active yet, or not any more.
	WatchOpening
	// WatchActive: granted, and notifications come.
	WatchActive
	// WatchRetry: granted, the dialog is gone, and a timer runs.
	WatchRetry
	// WatchParked: granted, and there is nothing to subscribe to; it is tried again when
	// she logs in, or when a day is over.
	WatchParked
	// WatchDenied: the SIP side said no.
	WatchDenied

	watchStates
)

var watchStateNames = [...]string{
	"none", "asking", "pending", "ask-retry", "ask-parked", "offline", "opening", "active", "retry", "parked", "denied",
}

func (s WatchState) String() string { return name(watchStateNames[:], int(s)) }

// Authorisation is what of the state outlives everything else.
func (s WatchState) Authorisation() Authorisation {
	switch s {
	case WatchAsking, WatchPending, WatchAskRetry, WatchAskParked:
		return Asked
	case WatchOffline, WatchOpening, WatchActive, WatchRetry, WatchParked:
		return Granted
	case WatchDenied:
		return Denied
	}
	return None
}

// HasDialog tells whether there is a dialog, or one on its way.
func (s WatchState) HasDialog() bool {
	switch s {
	case WatchAsking, WatchPending, WatchOpening, WatchActive:
		return true
	}
	return false
}

// wanted tells whether somebody looks, or waits for an answer: a dialog would be opened
// if that were possible now.
func (s WatchState) wanted() bool {
	switch s {
	case WatchNone, WatchAskParked, WatchOffline, WatchDenied:
		return false
	}
	return true
}

// WatchEvent is what can happen to such a subscription.
type WatchEvent uint8

const (
	// WatchSubscribe: <presence type='subscribe'/>.
	WatchSubscribe WatchEvent = iota
	// WatchUnsubscribe: <presence type='unsubscribe'/>, or an operator removed the authorisation.
	WatchUnsubscribe
	// WatchProbed: <presence type='probe'/>.
	WatchProbed
	// WatchLogin: her first resource came online.
	WatchLogin
	// WatchLogout: her last resource is gone, and the grace is over.
	WatchLogout
	// WatchAccepted: 2xx to a SUBSCRIBE; it says nothing about the authorisation.
	WatchAccepted
	// WatchUndecided: NOTIFY pending.
	WatchUndecided
	// WatchApproved: NOTIFY active.
	WatchApproved
	// WatchRejected: an answer that is about the authorisation, such as 403 and 603, or
	// NOTIFY terminated;reason=rejected.
	WatchRejected
	// WatchRefused: another answer that repeating does not change, such as 404.
	WatchRefused
	// WatchFailed: no answer, or one that may be another next time.
	WatchFailed
	// WatchMissed: the same, for so long that what was shown is not true any more.
	WatchMissed
	// WatchEnded: NOTIFY terminated with deactivated or timeout.
	WatchEnded
	// WatchDeferred: NOTIFY terminated with probation, giveup, or a reason that is none of
	// the standard; also WatchEnded and WatchLost of a dialog that had just begun, so that
	// two machines cannot drive each other in circles.
	WatchDeferred
	// WatchVanished: NOTIFY terminated;reason=noresource.
	WatchVanished
	// WatchFrozen: NOTIFY terminated;reason=invariant.
	WatchFrozen
	// WatchLost: 481 or no answer to a refresh, or no NOTIFY after the 2xx.
	WatchLost
	// WatchDue: the timer of a retry fired.
	WatchDue
	// WatchGivenUp: nobody decided in a week.
	WatchGivenUp

	watchEvents
)

var watchEventNames = [...]string{
	"subscribe", "unsubscribe", "probed", "login", "logout", "accepted", "undecided", "approved", "rejected",
	"refused", "failed", "missed", "ended", "deferred", "vanished", "frozen", "lost", "due", "given-up",
}

func (e WatchEvent) String() string { return name(watchEventNames[:], int(e)) }

// WatchEffects is a set of what the pair does because of a transition. They are carried
// out in the order of their declaration.
type WatchEffects uint16

const (
	// WatchClose ends the dialog: SUBSCRIBE with Expires 0.
	WatchClose WatchEffects = 1 << iota
	// WatchOpen begins a dialog: SUBSCRIBE with a new Call-ID.
	WatchOpen
	// WatchFetch asks once: SUBSCRIBE with Expires 0 outside of a dialog.
	WatchFetch
	// WatchWait starts the timer of a retry: what the SIP side said, else a growing pause.
	WatchWait
	// WatchPark starts the timer of a day.
	WatchPark
	// WatchTellGone sends her unavailable from every resource that she was shown.
	WatchTellGone
	// WatchTellSubscribed sends <presence type='subscribed'/>.
	WatchTellSubscribed
	// WatchTellUnsubscribed sends <presence type='unsubscribed'/>.
	WatchTellUnsubscribed
	// WatchTellError sends <presence type='error'/> in answer to her subscribe.
	WatchTellError
	// WatchShow sends her the presence of every resource.
	WatchShow
	// WatchShowChanges sends her what differs from what she was shown last.
	WatchShowChanges
)

var watchEffectNames = [...]string{
	"close", "open", "fetch", "wait", "park", "tell-gone", "tell-subscribed", "tell-unsubscribed", "tell-error", "show",
	"show-changes",
}

func (f WatchEffects) String() string { return setName(watchEffectNames[:], uint32(f)) }

// NextWatch is the subscription of the XMPP user to the SIP user (RFC 8048 §5.2, §6.2;
// RFC 6665 §4.1.3). What the dialog does never touches the authorisation, but for the
// three answers that are about it: active, rejected, and the final refusal of a request
// that was not granted yet.
//
//	none        --subscribe-->    asking      open
//	none        --unsubscribe-->  none        tell-unsubscribed      (her server has more than we)
//	none        --probed-->       none        tell-unsubscribed      (RFC 6121 §4.3.2)
//
//	asking      --unsubscribe-->  none        close tell-unsubscribed
//	asking      --undecided-->    pending
//	asking      --approved-->     active      tell-subscribed show
//	asking      --rejected-->     denied      tell-unsubscribed
//	asking      --refused-->      none        tell-error
//	asking      --failed-->       ask-retry   wait
//	asking      --missed-->       ask-retry   wait
//	asking      --ended-->        asking      open
//	asking      --deferred-->     ask-retry   wait
//	asking      --vanished-->     none        tell-error             (there is no such user)
//	asking      --frozen-->       ask-parked
//	asking      --lost-->         asking      open
//	asking      --given-up-->     ask-parked  close
//	pending                       as asking
//
//	ask-retry   --subscribe-->    asking      open
//	ask-retry   --unsubscribe-->  none        tell-unsubscribed
//	ask-retry   --due-->          asking      open
//	ask-retry   --rejected-->     denied      tell-unsubscribed      (by the owner or an operator; also below)
//	ask-retry   --given-up-->     ask-parked
//	ask-parked  --subscribe-->    asking      open
//	ask-parked  --unsubscribe-->  none        tell-unsubscribed
//	ask-parked  --login-->        asking      open
//	ask-parked  --rejected-->     denied      tell-unsubscribed
//
//	offline     --subscribe-->    offline     tell-subscribed
//	offline     --unsubscribe-->  none        tell-gone tell-unsubscribed
//	offline     --probed-->       offline     fetch                  (polling, RFC 8048 §7.1)
//	offline     --login-->        opening     open
//	offline     --rejected-->     denied      tell-gone tell-unsubscribed
//
//	opening     --subscribe-->    opening     tell-subscribed
//	opening     --unsubscribe-->  none        close tell-gone tell-unsubscribed
//	opening     --probed-->       opening     show                   (what was known before, else the NOTIFY answers)
//	opening     --logout-->       offline     close
//	opening     --approved-->     active      show-changes
//	opening     --rejected-->     denied      tell-gone tell-unsubscribed
//	opening     --refused-->      parked      park tell-gone
//	opening     --failed-->       retry       wait
//	opening     --missed-->       retry       wait tell-gone
//	opening     --ended-->        opening     open
//	opening     --deferred-->     retry       wait
//	opening     --vanished-->     parked      park tell-gone
//	opening     --frozen-->       parked                             (the state that is shown stays true)
//	opening     --lost-->         opening     open
//
//	active      --subscribe-->    active      tell-subscribed show
//	active      --unsubscribe-->  none        close tell-gone tell-unsubscribed
//	active      --probed-->       active      show
//	active      --logout-->       offline     close
//	active      --undecided-->    opening
//	active      --approved-->     active      show-changes
//	active      --rejected-->     denied      tell-gone tell-unsubscribed
//	active      --refused-->      parked      park tell-gone
//	active      --failed-->       opening     open
//	active      --missed-->       opening     open
//	active      --ended-->        opening     open
//	active      --deferred-->     retry       wait
//	active      --vanished-->     parked      park tell-gone
//	active      --frozen-->       parked
//	active      --lost-->         opening     open
//
//	retry       --subscribe-->    retry       tell-subscribed
//	retry       --unsubscribe-->  none        tell-gone tell-unsubscribed
//	retry       --probed-->       retry       show
//	retry       --logout-->       offline
//	retry       --due-->          opening     open
//	retry       --rejected-->     denied      tell-gone tell-unsubscribed
//	parked      --subscribe-->    opening     open tell-subscribed
//	parked      --unsubscribe-->  none        tell-gone tell-unsubscribed
//	parked      --probed-->       parked      show
//	parked      --login-->        opening     open
//	parked      --logout-->       offline
//	parked      --due-->          opening     open
//	parked      --rejected-->     denied      tell-gone tell-unsubscribed
//
//	denied      --subscribe-->    asking      open                   (she may ask again)
//	denied      --unsubscribe-->  none        tell-unsubscribed
//	denied      --probed-->       denied      tell-unsubscribed
//
// Everything else changes nothing: a subscribe while one is under way, a probe while she
// waits for the answer, a word of a dialog that is over.
func NextWatch(s WatchState, e WatchEvent) (WatchState, WatchEffects) {
	switch s {
	case WatchNone:
		switch e {
		case WatchSubscribe:
			return WatchAsking, WatchOpen
		case WatchUnsubscribe, WatchProbed:
			return WatchNone, WatchTellUnsubscribed
		}
	case WatchAsking, WatchPending:
		return nextAsking(s, e)
	case WatchAskRetry:
		switch e {
		case WatchSubscribe, WatchDue:
			return WatchAsking, WatchOpen
		case WatchRejected:
			return WatchDenied, WatchTellUnsubscribed
		case WatchUnsubscribe:
			return WatchNone, WatchTellUnsubscribed
		case WatchGivenUp:
			return WatchAskParked, 0
		}
	case WatchAskParked:
		switch e {
		case WatchSubscribe, WatchLogin:
			return WatchAsking, WatchOpen
		case WatchRejected:
			return WatchDenied, WatchTellUnsubscribed
		case WatchUnsubscribe:
			return WatchNone, WatchTellUnsubscribed
		}
	case WatchOffline:
		switch e {
		case WatchSubscribe:
			return WatchOffline, WatchTellSubscribed
		case WatchUnsubscribe:
			return WatchNone, WatchTellGone | WatchTellUnsubscribed
		case WatchProbed:
			return WatchOffline, WatchFetch
		case WatchLogin:
			return WatchOpening, WatchOpen
		case WatchRejected:
			return WatchDenied, WatchTellGone | WatchTellUnsubscribed
		}
	case WatchOpening, WatchActive:
		return nextWatching(s, e)
	case WatchRetry:
		switch e {
		case WatchSubscribe:
			return WatchRetry, WatchTellSubscribed
		case WatchUnsubscribe:
			return WatchNone, WatchTellGone | WatchTellUnsubscribed
		case WatchProbed:
			return WatchRetry, WatchShow
		case WatchLogout:
			return WatchOffline, 0
		case WatchDue:
			return WatchOpening, WatchOpen
		case WatchRejected:
			return WatchDenied, WatchTellGone | WatchTellUnsubscribed
		}
	case WatchParked:
		switch e {
		case WatchSubscribe:
			return WatchOpening, WatchOpen | WatchTellSubscribed
		case WatchUnsubscribe:
			return WatchNone, WatchTellGone | WatchTellUnsubscribed
		case WatchProbed:
			return WatchParked, WatchShow
		case WatchLogin, WatchDue:
			return WatchOpening, WatchOpen
		case WatchLogout:
			return WatchOffline, 0
		case WatchRejected:
			return WatchDenied, WatchTellGone | WatchTellUnsubscribed
		}
	case WatchDenied:
		switch e {
		case WatchSubscribe:
			return WatchAsking, WatchOpen
		case WatchUnsubscribe:
			return WatchNone, WatchTellUnsubscribed
		case WatchProbed:
			return WatchDenied, WatchTellUnsubscribed
		}
	}
	return s, 0
}

// nextAsking is NextWatch for the states that wait for a decision.
func nextAsking(s WatchState, e WatchEvent) (WatchState, WatchEffects) {
	switch e {
	case WatchUnsubscribe:
		return WatchNone, WatchClose | WatchTellUnsubscribed
	case WatchUndecided:
		return WatchPending, 0
	case WatchApproved:
		return WatchActive, WatchTellSubscribed | WatchShow
	case WatchRejected:
		return WatchDenied, WatchTellUnsubscribed
	case WatchRefused, WatchVanished:
		return WatchNone, WatchTellError
	case WatchFailed, WatchMissed, WatchDeferred:
		return WatchAskRetry, WatchWait
	case WatchEnded, WatchLost:
		return WatchAsking, WatchOpen
	case WatchFrozen:
		return WatchAskParked, 0
	case WatchGivenUp:
		return WatchAskParked, WatchClose
	}
	return s, 0
}

// nextWatching is NextWatch for the states with a dialog that was granted.
func nextWatching(s WatchState, e WatchEvent) (WatchState, WatchEffects) {
	switch e {
	case WatchSubscribe:
		if s == WatchActive {
			return s, WatchTellSubscribed | WatchShow
		}
		return s, WatchTellSubscribed
	case WatchUnsubscribe:
		return WatchNone, WatchClose | WatchTellGone | WatchTellUnsubscribed
	case WatchProbed:
		return s, WatchShow
	case WatchLogout:
		return WatchOffline, WatchClose
	case WatchUndecided:
		return WatchOpening, 0
	case WatchApproved:
		return WatchActive, WatchShowChanges
	case WatchRejected:
		return WatchDenied, WatchTellGone | WatchTellUnsubscribed
	case WatchRefused, WatchVanished:
		return WatchParked, WatchPark | WatchTellGone
	case WatchFailed, WatchMissed:
		switch {
		case s == WatchActive:
			return WatchOpening, WatchOpen
		case e == WatchMissed:
			return WatchRetry, WatchWait | WatchTellGone
		}
		return WatchRetry, WatchWait
	case WatchEnded, WatchLost:
		return WatchOpening, WatchOpen
	case WatchDeferred:
		return WatchRetry, WatchWait
	case WatchFrozen:
		return WatchParked, 0
	}
	return s, 0
}

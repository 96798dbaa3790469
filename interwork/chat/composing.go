package chat

import "time"

// How long composing notifications live. RFC 3994 §3.3 lets a receiver drop the
// composing state when no refresh comes; XEP-0085 §5.3 forbids an XMPP client to
// repeat a state, so the gateway repeats it towards SIP.
const (
	// composingRepeat is how often "active" is sent again, before mapping.ComposingRefresh
	// runs out.
	composingRepeat = 75 * time.Second
	// composingLimit ends the repetition for a client that went away while composing.
	composingLimit = 10 * time.Minute
	// composingDefault is the life of an "active" that names no refresh (RFC 3994 §3.3).
	composingDefault = 120 * time.Second
	// composingFloor keeps a hostile refresh of one second from becoming a timer storm.
	composingFloor = 10 * time.Second
)

// ComposingState says whether one party of the pair is known to be typing.
type ComposingState uint8

const (
	// ComposingUnknown is the zero value: the party never said.
	ComposingUnknown ComposingState = iota
	// ComposingIdle: the party said that it is not typing, or its notification ran out.
	ComposingIdle
	// ComposingActive: the party is typing.
	ComposingActive
)

func (s ComposingState) String() string {
	return name([]string{"unknown", "idle", "active"}, int(s))
}

// ComposingEvent is what can change a ComposingState.
type ComposingEvent uint8

const (
	// ComposingStarted: "composing" from XMPP or "active" from SIP.
	ComposingStarted ComposingEvent = iota
	// ComposingStopped: "paused", "inactive", "gone" or "active" from XMPP, "idle" from SIP.
	ComposingStopped
	// ComposingContent: a message with content; it ends composing without a word (RFC 3994 §3.2).
	ComposingContent
	// ComposingTick: the repeat timer towards SIP fired.
	ComposingTick
	// ComposingTimeout: the refresh time of the SIP party ran out, or the limit of the XMPP party.
	ComposingTimeout

	composingEvents
)

func (e ComposingEvent) String() string {
	return name([]string{"started", "stopped", "content", "tick", "timeout"}, int(e))
}

// ComposingAction is what the other side is told.
type ComposingAction uint8

const (
	// ComposingSay sends the state that was just entered.
	ComposingSay ComposingAction = iota + 1
	// ComposingRepeat sends "active" again, towards SIP only.
	ComposingRepeat
)

// NextComposing is the composing state of one party. Every event is possible in every
// state; equal states are never told twice in a row (XEP-0085 §5.3), except by the
// repetition that RFC 3994 needs.
//
//	unknown, idle --started--> active  say
//	active        --started--> active           (the refresh timer starts anew)
//	active        --stopped--> idle    say
//	active        --timeout--> idle    say
//	active        --tick-->    active  repeat
//	active        --content--> idle             (the content says it)
//	unknown       --stopped--> idle             (nothing was ever said, nothing is taken back)
func NextComposing(s ComposingState, e ComposingEvent) (ComposingState, ComposingAction) {
	switch e {
	case ComposingStarted:
		if s == ComposingActive {
			return ComposingActive, 0
		}
		return ComposingActive, ComposingSay
	case ComposingStopped, ComposingTimeout:
		if s == ComposingActive {
			return ComposingIdle, ComposingSay
		}
		return ComposingIdle, 0
	case ComposingTick:
		if s == ComposingActive {
			return ComposingActive, ComposingRepeat
		}
		return s, 0
	default: // ComposingContent
		return ComposingIdle, 0
	}
}

// refreshTime is how long an "active" of a SIP party lives; refresh is what its document
// says, 0 when absent.
func refreshTime(refresh time.Duration) time.Duration {
	if refresh <= 0 {
		return composingDefault
	}
	return min(max(refresh, composingFloor), composingLimit)
}

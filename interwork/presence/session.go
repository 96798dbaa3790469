package presence

// SessionState is whether the XMPP user is there to look at anything. It decides when
// dialogs exist and nothing else.
type SessionState uint8

const (
	// SessionUnknown is the zero value: she was not heard of since the start.
	SessionUnknown SessionState = iota
	// SessionOnline: she has a resource online.
	SessionOnline
	// SessionLeaving: her last resource is gone, but it may come back, as it does after a
	// change of networks.
	SessionLeaving
	// SessionOffline: she is gone.
	SessionOffline

	sessionStates
)

var sessionStateNames = [...]string{"unknown", "online", "leaving", "offline"}

func (s SessionState) String() string { return name(sessionStateNames[:], int(s)) }

// SessionEvent is what tells of her coming and going.
type SessionEvent uint8

const (
	// SessionSeen: a stanza that only somebody who is there sends: available, probe,
	// subscribe, or the like to the gateway itself.
	SessionSeen SessionEvent = iota
	// SessionGone: unavailable of the last resource that was known.
	SessionGone
	// SessionGraceOver: the timer that SessionStartGrace set.
	SessionGraceOver
	// SessionUnseen: nothing was heard for so long that she cannot be believed to be there.
	SessionUnseen

	sessionEvents
)

var sessionEventNames = [...]string{"seen", "gone", "grace-over", "unseen"}

func (e SessionEvent) String() string { return name(sessionEventNames[:], int(e)) }

// SessionEffects is a set of what follows.
type SessionEffects uint8

const (
	// SessionLogin makes WatchLogin.
	SessionLogin SessionEffects = 1 << iota
	// SessionLogout makes WatchLogout.
	SessionLogout
	// SessionStartGrace starts the timer of the grace.
	SessionStartGrace
	// SessionStopGrace stops it.
	SessionStopGrace
)

var sessionEffectNames = [...]string{"login", "logout", "start-grace", "stop-grace"}

func (f SessionEffects) String() string { return setName(sessionEffectNames[:], uint32(f)) }

// NextSession follows the XMPP user's coming and going (RFC 8048 §5.2.1: the gateway
// holds dialogs only while she has a resource online).
//
//	unknown --seen-->       online   login
//	unknown --gone-->       leaving  start-grace
//	unknown --unseen-->     offline  logout
//	online  --gone-->       leaving  start-grace
//	online  --unseen-->     offline  logout
//	leaving --seen-->       online   stop-grace
//	leaving --grace-over--> offline  logout
//	leaving --unseen-->     offline  logout stop-grace
//	offline --seen-->       online   login
//
// Everything else changes nothing.
func NextSession(s SessionState, e SessionEvent) (SessionState, SessionEffects) {
	switch s {
	case SessionUnknown:
		switch e {
		case SessionSeen:
			return SessionOnline, SessionLogin
		case SessionGone:
			return SessionLeaving, SessionStartGrace
		case SessionUnseen:
			return SessionOffline, SessionLogout
		}
	case SessionOnline:
		switch e {
		case SessionGone:
			return SessionLeaving, SessionStartGrace
		case SessionUnseen:
			return SessionOffline, SessionLogout
		}
	case SessionLeaving:
		switch e {
		case SessionSeen:
			return SessionOnline, SessionStopGrace
		case SessionGraceOver:
			return SessionOffline, SessionLogout
		case SessionUnseen:
			return SessionOffline, SessionStopGrace | SessionLogout
		}
	case SessionOffline:
		if e == SessionSeen {
			return SessionOnline, SessionLogin
		}
	}
	return s, 0
}

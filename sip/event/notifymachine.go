package event

// phase is where a subscription stands at its notifier (RFC 6665 §4.2).
type phase uint8

const (
	phaseUnknown phase = iota
	phasePoll          // Expires was 0: one NOTIFY is wanted and ends it
	phaseNew           // answered 200, its owner has told nothing yet
	phasePending
	phaseActive
	phaseEnding // the NOTIFY that terminates is queued or under way
	phaseEnded
)

func (p phase) String() string {
	switch p {
	case phasePoll:
		return "poll"
	case phaseNew:
		return "new"
	case phasePending:
		return "pending"
	case phaseActive:
		return "active"
	case phaseEnding:
		return "ending"
	case phaseEnded:
		return "ended"
	}
	return "unknown"
}

// cue is what happens to a subscription.
type cue uint8

const (
	cueSubscribe      cue = iota // a SUBSCRIBE was accepted
	cueFetch                     // one with Expires 0 outside of a dialog was
	cueTellPending               // the owner tells a state
	cueTellActive                //
	cueTellTerminated            //
	cueSilence                   // the owner has told nothing for too long
	cueRefresh                   // a SUBSCRIBE in the dialog
	cueUnsubscribe               // one with Expires 0
	cueExpire                    // it was not refreshed in time
	cueGone                      // a NOTIFY shows that the watcher does not know it
	cueFinished                  // the NOTIFY that terminates is done, whatever its fate
)

func (c cue) String() string {
	return [...]string{
		"subscribe", "fetch", "tell pending", "tell active", "tell terminated", "silence", "refresh",
		"unsubscribe", "expire", "gone", "finished",
	}[c]
}

// act is a set of effects.
type act uint8

const (
	actTake   act = 1 << iota // the request is accepted: answer 200
	actRefuse                 // it is not: 481 for a request, ErrEnded for the owner
	actQueue                  // send what the owner told
	actBlank                  // send pending without a document
	actFinal                  // send terminated;reason=timeout
	actEnded                  // tell the owner that it is over
	actDrop                   // forget it
)

// advance is the notifier's state machine.
func advance(p phase, c cue) (phase, act) {
	switch p {
	case phaseUnknown:
		switch c {
		case cueSubscribe:
			return phaseNew, actTake
		case cueFetch:
			return phasePoll, actTake
		}
	case phasePoll:
		switch c {
		case cueTellPending, cueTellActive, cueTellTerminated:
			return phaseEnding, actQueue | actEnded
		case cueSilence, cueExpire:
			return phaseEnding, actFinal | actEnded
		case cueRefresh, cueUnsubscribe: // the 200 has ended its dialog
			return p, actRefuse
		}
	case phaseNew, phasePending, phaseActive:
		switch c {
		case cueTellPending:
			return phasePending, actQueue
		case cueTellActive:
			return phaseActive, actQueue
		case cueTellTerminated:
			return phaseEnding, actQueue | actEnded
		case cueSilence:
			if p == phaseNew {
				return phasePending, actBlank
			}
		case cueRefresh:
			return p, actTake
		case cueUnsubscribe:
			return phaseEnding, actTake | actFinal | actEnded
		case cueExpire:
			return phaseEnding, actFinal | actEnded
		case cueGone:
			return phaseEnded, actEnded | actDrop
		}
	case phaseEnding:
		switch c {
		case cueTellPending, cueTellActive, cueTellTerminated, cueRefresh, cueUnsubscribe:
			return p, actRefuse
		case cueGone, cueFinished:
			return phaseEnded, actDrop
		}
	case phaseEnded:
		switch c {
		case cueTellPending, cueTellActive, cueTellTerminated, cueRefresh, cueUnsubscribe:
			return p, actRefuse
		}
	}
	return p, 0
}

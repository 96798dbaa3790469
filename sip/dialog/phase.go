package dialog

// phase is where a call stands.
type phase uint8

const (
	phaseUnknown    phase = iota
	phaseInviting         // our INVITE has no final response
	phaseCancelling       // nor has it, but we gave it up
	phaseIncoming         // the peer's INVITE has no final response of ours
	phaseHeld             // Accept waits for a PRACK (RFC 3262 §3)
	phaseAccepted         // we sent 2xx, no ACK yet
	phaseHanging          // nor that, but we want to end it (RFC 3261 §15)
	phaseAnswered         // the peer's 2xx has an offer: the ACK waits for our answer
	phaseConfirmed        // ACK sent or received
	phaseEnding           // BYE sent
	phaseEnded
	phaseCount
)

func (p phase) String() string {
	return [...]string{
		"unknown", "inviting", "cancelling", "incoming", "held", "accepted", "hanging", "answered", "confirmed", "ending", "ended", "?",
	}[min(p, phaseCount)]
}

// cue is what moves a call from phase to phase.
type cue uint8

const (
	cueSuccess cue = iota // 2xx to our INVITE
	cueOffer              // 2xx with an offer, because our INVITE had none
	cueFailure            // another final response, or none
	cueAnswer             // the owner answered that offer
	cueAccept             // the owner takes the call
	cueHold               // it does, but a PRACK is missing
	cuePRACK              // it came
	cueReject             // the owner refuses the call
	cueACK                // to our 2xx
	cueNoACK              // 64*T1 without it
	cueCancel             // the peer's CANCEL
	cueBye                // the peer's BYE
	cueEnd                // the owner ends the call, or a rule of ours does
	cueRangOut            // nobody answered for too long
	cueLost               // the peer does not answer: 408, timeout, session expired
	cueGone               // the peer does not know the call: 481
	cueDone               // our BYE has its answer, or will get none
	cueCount
)

func (c cue) String() string {
	return [...]string{
		"success", "offer", "failure", "answer", "accept", "hold", "PRACK", "reject", "ACK", "no ACK", "cancel", "bye", "end",
		"rang out", "lost", "gone", "done", "?",
	}[min(c, cueCount)]
}

// act is a set of effects.
type act uint16

const (
	actCancel    act = 1 << iota // CANCEL our INVITE
	actAck                       // ACK its 2xx
	actAnswered                  // tell Answered
	actAccept                    // send the 2xx
	actConfirmed                 // tell Confirmed
	actRefuse                    // refuse the peer's INVITE
	actTake                      // 200 to the peer's BYE
	actBye                       // send BYE and wait
	actParting                   // send BYE, nobody waits for its answer
	actFailed                    // tell Failed, forget the leg
	actEnded                     // tell Ended, forget the leg
)

// advance is the table of phases. A cue that a phase does not know changes nothing.
func advance(p phase, c cue) (phase, act) {
	switch p {
	case phaseInviting:
		switch c {
		case cueSuccess:
			return phaseConfirmed, actAck | actAnswered
		case cueOffer:
			return phaseAnswered, actAnswered
		case cueFailure:
			return phaseEnded, actFailed
		case cueEnd, cueRangOut:
			return phaseCancelling, actCancel
		}
	case phaseCancelling:
		switch c {
		case cueSuccess, cueOffer: // it crossed the CANCEL
			return phaseEnding, actAck | actBye
		case cueFailure:
			return phaseEnded, actEnded
		}
	case phaseIncoming, phaseHeld:
		switch c {
		case cueAccept:
			if p == phaseIncoming {
				return phaseAccepted, actAccept
			}
		case cueHold:
			return phaseHeld, 0
		case cuePRACK:
			if p == phaseHeld {
				return phaseAccepted, actAccept
			}
		case cueReject, cueEnd, cueRangOut:
			return phaseEnded, actRefuse | actEnded
		case cueCancel: // sip/ua has answered 487
			return phaseEnded, actEnded
		case cueBye: // of an early dialog
			return phaseEnded, actTake | actRefuse | actEnded
		}
	case phaseAccepted:
		switch c {
		case cueACK:
			return phaseConfirmed, actConfirmed
		case cueNoACK:
			return phaseEnding, actBye
		case cueEnd:
			return phaseHanging, 0
		case cueCancel: // it was quicker than our 2xx, which sip/ua did not send then
			return phaseEnded, actEnded
		case cueBye, cueGone:
			return phaseEnded, taken(c) | actEnded
		case cueLost:
			return phaseEnded, actParting | actEnded
		}
	case phaseHanging:
		switch c {
		case cueACK, cueNoACK:
			return phaseEnding, actBye
		case cueCancel:
			return phaseEnded, actEnded
		case cueBye, cueGone:
			return phaseEnded, taken(c) | actEnded
		}
	case phaseAnswered:
		switch c {
		case cueAnswer:
			return phaseConfirmed, actAck
		case cueEnd:
			return phaseEnding, actAck | actBye
		case cueBye, cueGone:
			return phaseEnded, taken(c) | actAck | actEnded
		case cueLost:
			return phaseEnded, actAck | actParting | actEnded
		}
	case phaseConfirmed:
		switch c {
		case cueEnd:
			return phaseEnding, actBye
		case cueBye, cueGone:
			return phaseEnded, taken(c) | actEnded
		case cueLost:
			return phaseEnded, actParting | actEnded
		}
	case phaseEnding:
		switch c {
		case cueBye, cueGone:
			return phaseEnded, taken(c) | actEnded
		case cueDone, cueLost:
			return phaseEnded, actEnded
		}
	}
	return p, 0
}

func taken(c cue) act {
	if c == cueBye {
		return actTake
	}
	return 0
}

// established tells whether a dialog exists that re-INVITE and BYE belong to.
func (p phase) established() bool { return p >= phaseAccepted && p <= phaseConfirmed }

// early tells whether the INVITE has no final response.
func (p phase) early() bool { return p >= phaseInviting && p <= phaseHeld }

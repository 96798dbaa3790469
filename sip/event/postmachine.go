package event

// PostState is where a Posting stands.
type PostState uint8

// States of a Posting.
const (
	PostUnknown    PostState = iota
	PostPublishing           // the first PUBLISH is under way, nothing is in force
	PostPublished            // in force
	PostWaiting              // not in force; another attempt follows
	PostRemoving             // to be removed
	PostEnded                // over: removed, or refused for good
)

func (s PostState) String() string {
	switch s {
	case PostPublishing:
		return "publishing"
	case PostPublished:
		return "published"
	case PostWaiting:
		return "waiting"
	case PostRemoving:
		return "removing"
	case PostEnded:
		return "ended"
	}
	return "unknown"
}

// postSignal is what happens to a Posting.
type postSignal uint8

const (
	postStart   postSignal = iota
	postOK                 // 2xx to a PUBLISH that adds, refreshes or modifies
	postUnknown            // 412: the server does not know the tag
	postBrief              // 423
	postRefused            // no, and asking again will not help
	postFailed             // not now, or no answer
	postDue                // the time to refresh, or of the next attempt
	postUpdate             // the owner has another document
	postRemove             // the owner does not want it any more
	postRemoved            // any answer to the PUBLISH that removes, or none
	postLapsed             // it was not refreshed in time
)

func (s postSignal) String() string {
	return [...]string{"start", "ok", "unknown tag", "brief", "refused", "failed", "due", "update", "remove", "removed", "lapsed"}[s]
}

// postDeed is a set of effects.
type postDeed uint8

const (
	postSend   postDeed = 1 << iota // a PUBLISH, when the one under way is answered
	postAnew                        // forget the tag: the next PUBLISH is an initial one
	postPlan                        // set the time of the refresh
	postWait                        // set the time of the next attempt
	postForget                      // it is over
)

// advancePost is the state machine of a publication of ours (RFC 3903 §4, §5).
func advancePost(s PostState, sig postSignal) (PostState, postDeed) {
	switch s {
	case PostUnknown:
		if sig == postStart {
			return PostPublishing, postSend
		}
	case PostPublishing:
		switch sig {
		case postOK:
			return PostPublished, postPlan
		case postUnknown:
			return s, postAnew | postSend
		case postBrief, postUpdate:
			return s, postSend
		case postRefused:
			return PostEnded, postForget
		case postFailed:
			return PostWaiting, postWait
		case postRemove:
			return PostRemoving, 0
		}
	case PostPublished:
		switch sig {
		case postOK:
			return s, postPlan
		case postDue, postUpdate, postBrief:
			return s, postSend
		case postUnknown, postLapsed:
			return PostPublishing, postAnew | postSend
		case postRefused:
			return PostEnded, postForget
		case postFailed:
			return s, postWait
		case postRemove:
			return PostRemoving, postSend
		}
	case PostWaiting:
		switch sig {
		case postDue:
			return PostPublishing, postSend
		case postRemove:
			return PostEnded, postForget
		}
	case PostRemoving:
		switch sig {
		case postOK: // the one that was under way when it was to be removed
			return s, postSend
		case postUnknown, postBrief, postRefused, postFailed, postRemoved:
			return PostEnded, postForget
		}
	case PostEnded:
	}
	return s, 0
}

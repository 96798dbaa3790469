package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// What the end of a subscription means on the other side (RFC 8048 §5, RFC 6665 §4.1). The authorisation of XMPP
// lasts; a SIP dialog that ends does not touch it unless the SIP user has said no.

const (
	subscribeLater = 60 * time.Second // after a failure that will pass
	subscribeMax   = time.Hour        // where doubling that ends
	subscribeDay   = 24 * time.Hour   // the longest that a peer can make us wait
	watcherLater   = 300 * time.Second
)

// Retry is when an XMPP user's subscription to a SIP user is tried again.
type Retry uint8

// The values of Retry.
const (
	RetryUnknown Retry = iota // no verdict: the subscription is alive
	RetryAfter                // after Wait, which may be 0
	RetryLonger               // at once, with an Expires of at least Wait (423)
	RetryLogin                // when the user comes online again, but not within Wait
	RetryNever                // the authorisation is over
)

var retryNames = [...]string{"unknown", "after", "longer", "login", "never"}

func (r Retry) String() string {
	if int(r) < len(retryNames) {
		return retryNames[r]
	}
	return retryNames[0]
}

// Watch is what is known of a subscription when it fails or ends.
type Watch struct {
	Granted bool // the SIP user has agreed before: there was an active NOTIFY
	Attempt int  // how many times in a row it has failed before
}

// WatchVerdict is what becomes of it.
type WatchVerdict struct {
	// Tell is the presence that the XMPP user gets: unsubscribed, error, unavailable from every known resource,
	// or nothing when it is empty.
	Tell  xmpp.PresenceType
	Error *xmpp.StanzaError // of an error
	Retry Retry
	Wait  time.Duration
}

// SubscribeStatusToVerdict is what a final answer to SUBSCRIBE other than 2xx means for the XMPP user who watches
// (RFC 8048 §5.2.2). It is total. Challenges were answered before, if they could be.
func SubscribeStatusToVerdict(s sip.Status, w Watch) WatchVerdict {
	switch s.Code {
	case 403, 489, 603, 607, 608:
		// RFC 8048 §5.2.2: permanently cancelled, and the user is told. 607 and 608 are 603 by machines.
		return WatchVerdict{Tell: xmpp.PresenceUnsubscribed, Retry: RetryNever}
	case 423:
		if wait := minExpires(s.Headers); wait > 0 && w.Attempt == 0 {
			return WatchVerdict{Retry: RetryLonger, Wait: wait}
		}
		return passing(s.RetryAfter, w)
	case 481:
		if w.Attempt == 0 {
			return WatchVerdict{Retry: RetryAfter} // the dialog is gone: a new one
		}
		return passing(s.RetryAfter, w)
	case 408, 430, 480, 482, 486, 487, 491, 500, 502, 503, 504, 600:
		return passing(s.RetryAfter, w)
	}
	if s.Code >= 200 && s.Code < 300 {
		return WatchVerdict{}
	}
	if w.Granted {
		return WatchVerdict{Tell: xmpp.PresenceUnavailable, Retry: RetryLogin, Wait: subscribeDay}
	}
	e := StatusToStanzaError(s)
	return WatchVerdict{Tell: xmpp.PresenceError, Error: &e, Retry: RetryNever}
}

// SubscribeFailureToVerdict is what a SUBSCRIBE without an answer means.
func SubscribeFailureToVerdict(f Failure, w Watch) WatchVerdict {
	if f == FailureResolve && !w.Granted {
		e := FailureToStanzaError(f)
		return WatchVerdict{Tell: xmpp.PresenceError, Error: &e, Retry: RetryNever}
	}
	return passing(0, w)
}

// TerminationToVerdict is what a NOTIFY with Subscription-State terminated means for the XMPP user who watches
// (RFC 6665 §4.1.3). It is total; for other states there is no verdict.
func TerminationToVerdict(s sip.SubscriptionState, w Watch) WatchVerdict {
	if s.State != sip.SubscriptionTerminated {
		return WatchVerdict{}
	}
	switch s.Reason {
	case sip.ReasonDeactivated, sip.ReasonTimeout:
		// At once, but not again and again with a notifier that ends what it has just begun.
		if w.Attempt == 0 {
			return WatchVerdict{Retry: RetryAfter}
		}
		return passing(0, w)
	case sip.ReasonRejected:
		return WatchVerdict{Tell: xmpp.PresenceUnsubscribed, Retry: RetryNever}
	case sip.ReasonNoResource:
		if w.Granted {
			return WatchVerdict{Tell: xmpp.PresenceUnavailable, Retry: RetryLogin, Wait: subscribeDay}
		}
		return WatchVerdict{Tell: xmpp.PresenceError, Error: stanzaError(xmpp.ConditionItemNotFound, "the SIP user does not exist"), Retry: RetryNever}
	case sip.ReasonInvariant:
		return WatchVerdict{Retry: RetryLogin}
	}
	// probation, giveup, and what is not known or not told (RFC 6665: at any time).
	return passing(s.RetryAfter, w)
}

// passing is a failure that will pass. The watcher of a user whom we have lost for longer sees that.
func passing(retryAfter time.Duration, w Watch) WatchVerdict {
	v := WatchVerdict{Retry: RetryAfter, Wait: min(subscribeLater<<min(max(w.Attempt, 0), 10), subscribeMax)}
	if retryAfter > 0 {
		v.Wait = min(retryAfter, subscribeDay)
	}
	if w.Granted && w.Attempt >= 2 {
		v.Tell = xmpp.PresenceUnavailable
	}
	return v
}

// minExpires reads the field that a 423 must have.
func minExpires(headers []sip.Header) time.Duration {
	i := slices.IndexFunc(headers, func(h sip.Header) bool { return strings.EqualFold(h.Name(), "Min-Expires") })
	if i < 0 {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(headers[i].Value()), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, subscribeDay)
}

// PresenceErrorToState is what a SIP watcher is told when the request to watch an XMPP user came back as an error
// (RFC 6665 §4.1.3). It is total.
func PresenceErrorToState(e xmpp.StanzaError) sip.SubscriptionState {
	s := sip.SubscriptionState{State: sip.SubscriptionTerminated, Reason: sip.ReasonRejected, Expires: sip.NoExpires}
	switch e.Condition {
	case xmpp.ConditionItemNotFound, xmpp.ConditionGone, xmpp.ConditionJIDMalformed:
		s.Reason = sip.ReasonNoResource
	case xmpp.ConditionRemoteServerNotFound, xmpp.ConditionRemoteServerTimeout, xmpp.ConditionResourceConstraint:
		s.Reason, s.RetryAfter = sip.ReasonProbation, watcherLater
	default:
		if e.Type == xmpp.ErrorWait {
			s.Reason, s.RetryAfter = sip.ReasonProbation, watcherLater
		}
	}
	return s
}

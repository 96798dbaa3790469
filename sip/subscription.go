package sip

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrSubscriptionState tells that a Subscription-State field cannot be read.
var ErrSubscriptionState = errors.New("sip: malformed Subscription-State")

// ErrEvent tells that an Event field cannot be read.
var ErrEvent = errors.New("sip: malformed Event")

// SubState is the state of a subscription (RFC 6665 §4.1.3). There may be others
// by extension.
type SubState string

// The states.
const (
	SubscriptionActive     SubState = "active"
	SubscriptionPending    SubState = "pending"
	SubscriptionTerminated SubState = "terminated"
)

// EventReason is why a subscription ended (RFC 6665 §4.1.3). There may be others
// by extension; they count as none.
type EventReason string

// The reasons.
const (
	ReasonDeactivated EventReason = "deactivated" // subscribe anew at once
	ReasonProbation   EventReason = "probation"   // subscribe anew later
	ReasonRejected    EventReason = "rejected"    // denied: do not subscribe again
	ReasonTimeout     EventReason = "timeout"     // not refreshed
	ReasonGiveUp      EventReason = "giveup"      // nobody decided in time
	ReasonNoResource  EventReason = "noresource"  // what was watched no longer exists
	ReasonInvariant   EventReason = "invariant"   // it will never change again
)

// NoExpires is the Expires of a Subscription-State that has none.
const NoExpires = time.Duration(-1)

// SubscriptionState is the value of the Subscription-State field of a NOTIFY
// (RFC 6665 §8.2.3).
type SubscriptionState struct {
	State  SubState
	Reason EventReason // of a terminated subscription; empty when not told
	// Expires is how long the subscription still lives, in whole seconds. NoExpires
	// when a peer leaves it out; of a terminated subscription it means nothing.
	Expires    time.Duration
	RetryAfter time.Duration // whole seconds; 0 when not told
}

// ParseSubscriptionState reads the field. Names and values compare without case,
// values may be quoted, numbers that cannot be read count as absent: a NOTIFY
// that cannot be understood would cost the subscription.
func ParseSubscriptionState(v string) (SubscriptionState, error) {
	name, params, err := parseTokenParams(v)
	if err != nil {
		return SubscriptionState{}, fmt.Errorf("%w: %w", ErrSubscriptionState, err)
	}
	s := SubscriptionState{State: SubState(strings.ToLower(name)), Expires: NoExpires}
	if r := strings.ToLower(params.Value("reason")); isToken(r) {
		s.Reason = EventReason(r)
	}
	if d, ok := deltaSeconds(params, "expires"); ok {
		s.Expires = d
	}
	s.RetryAfter, _ = deltaSeconds(params, "retry-after")
	return s, nil
}

// String is the text form: active;expires=3600, terminated;reason=probation;retry-after=60.
// Expires is written for what is not terminated, and reason and retry-after
// only for what is (RFC 6665 §4.2.2).
func (s SubscriptionState) String() string {
	dst := appendToken(make([]byte, 0, 48), string(s.State))
	if s.State != SubscriptionTerminated {
		if s.Expires >= 0 {
			dst = appendSeconds(append(dst, ";expires="...), s.Expires)
		}
		return string(dst)
	}
	if s.Reason != "" {
		dst = appendToken(append(dst, ";reason="...), string(s.Reason))
	}
	if s.RetryAfter > 0 {
		dst = appendSeconds(append(dst, ";retry-after="...), s.RetryAfter)
	}
	return string(dst)
}

// Event is the value of the Event field (RFC 6665 §8.2.1): which package, and
// which of several subscriptions in one dialog.
type Event struct {
	Package string // with templates: "presence", "presence.winfo"
	ID      string // id parameter; empty when absent
	Params  Params // the others
}

// ParseEvent reads the field. The names of packages are kept as they stand:
// they compare with case.
func ParseEvent(v string) (Event, error) {
	name, params, err := parseTokenParams(v)
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	e := Event{Package: name, ID: params.Value("id")}
	params.Del("id")
	if len(params) > 0 {
		e.Params = params
	}
	return e, nil
}

// Match tells whether a NOTIFY with this Event belongs to a subscription with
// that one: package and id are the same byte by byte, nothing else counts (RFC
// 6665 §8.2.1).
func (e Event) Match(subscribed Event) bool {
	return e.Package == subscribed.Package && e.ID == subscribed.ID
}

// String is the text form: presence;id=7.
func (e Event) String() string {
	dst := appendToken(nil, e.Package)
	if e.ID != "" {
		dst = Params{{Name: "id", Value: e.ID}}.appendHeader(dst)
	}
	return string(e.Params.appendHeader(dst))
}

// parseTokenParams reads a token and its parameters to the end of v.
func parseTokenParams(v string) (token string, p Params, err error) {
	v = strings.TrimSpace(v)
	n := 0
	for n < len(v) && tokenChars[v[n]] {
		n++
	}
	if n == 0 {
		return "", nil, fmt.Errorf("no token in %q", clip(v))
	}
	p, rest, err := parseHeaderParams(v[n:])
	if err == nil && rest != "" {
		err = fmt.Errorf("%w: %q", ErrParams, clip(rest))
	}
	return v[:n], p, err
}

// deltaSeconds reads a parameter in seconds; 2^32-1 stands for what is more (RFC
// 3261 §25.1, delta-seconds).
func deltaSeconds(p Params, name string) (time.Duration, bool) {
	v, ok := p.Get(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return time.Duration(min(n, math.MaxUint32)) * time.Second, true
}

// appendSeconds rounds up.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, int64((d+time.Second-1)/time.Second), 10)
}

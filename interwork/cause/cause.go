// Package cause is one failure, told twice: whatever goes wrong between the two
// networks becomes one Cause, and the Cause renders as the answer that each side
// expects, as a log level and as a metric label. The tables of RFC 7247 §7 that it
// uses are total functions in package mapping, so nothing is flattened on the way:
// busy, declined, not found, not acceptable and timed out stay distinct.
package cause

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Origin says whose fault a failure is, or at least who reported it.
type Origin uint8

const (
	// OriginUnknown is the zero value.
	OriginUnknown Origin = iota
	// OriginXMPP: a stanza error came from the XMPP side.
	OriginXMPP
	// OriginSIP: a final response came from the SIP side.
	OriginSIP
	// OriginSender: the sender asked for something that cannot be carried.
	OriginSender
	// OriginGateway: the gateway itself could not do it.
	OriginGateway
)

func (o Origin) String() string {
	return [...]string{"unknown", "xmpp", "sip", "sender", "gateway"}[o]
}

// Cause is what went wrong. The zero value is no failure.
type Cause struct {
	origin Origin
	label  string // metric label, a small closed set per origin
	status sip.Status
	stanza xmpp.StanzaError
	err    error
}

// None reports whether nothing went wrong.
func (c *Cause) None() bool { return c == nil || c.origin == OriginUnknown }

// Error makes a Cause usable as an error.
func (c *Cause) Error() string {
	if c.err != nil {
		return fmt.Sprintf("%s: %v", c.label, c.err)
	}
	return c.label
}

// Unwrap gives the error that the cause was made of, if any.
func (c *Cause) Unwrap() error { return c.err }

// Origin says who reported the failure.
func (c *Cause) Origin() Origin { return c.origin }

// Label is the metric label: the SIP code, the stanza condition, or a word for what
// the gateway found.
func (c *Cause) Label() string { return c.label }

// StanzaError is the failure as an XMPP user is told.
func (c *Cause) StanzaError() xmpp.StanzaError { return c.stanza }

// Status is the failure as a SIP user is told.
func (c *Cause) Status() sip.Status { return c.status }

// Level is how loud the log is: refusals are the users' business, our own failures are
// the operator's.
func (c *Cause) Level() zerolog.Level {
	switch {
	case c.origin == OriginGateway:
		return zerolog.WarnLevel
	case c.status.Code >= 500 && c.status.Code < 600:
		return zerolog.WarnLevel
	default:
		return zerolog.InfoLevel
	}
}

// FromStatus is the Cause of a final SIP response that was not 2xx.
func FromStatus(s sip.Status) *Cause {
	return &Cause{origin: OriginSIP, label: fmt.Sprintf("%d", s.Code), status: s, stanza: mapping.StatusToStanzaError(s)}
}

// FromStanza is the Cause of a stanza error; ctx says what it was an answer to.
func FromStanza(e xmpp.StanzaError, ctx mapping.ErrorContext) *Cause {
	return &Cause{origin: OriginXMPP, label: string(e.Condition), status: mapping.StanzaErrorToStatus(e, ctx), stanza: e}
}

// FromSender is the Cause of a stanza or request that has no counterpart: err is a
// *xmpp.StanzaError or *sip.Status as the mapping returns it, anything else is a fault
// of ours.
func FromSender(err error, ctx mapping.ErrorContext) *Cause {
	var stanza *xmpp.StanzaError
	var status *sip.Status
	var c *Cause
	switch {
	case errors.As(err, &stanza):
		c = FromStanza(*stanza, ctx)
	case errors.As(err, &status):
		c = FromStatus(*status)
	default:
		return Internal(err)
	}
	c.origin, c.err = OriginSender, err
	return c
}

func ours(label string, code int, reason string, retry time.Duration, cond xmpp.Condition, typ xmpp.ErrorType, text string, err error) *Cause {
	return &Cause{
		origin: OriginGateway, label: label, err: err,
		status: sip.Status{Code: code, Reason: reason, RetryAfter: retry},
		stanza: xmpp.StanzaError{Type: typ, Condition: cond, Text: text, Lang: "en"},
	}
}

// retryAfter is what an overloaded gateway asks for.
const retryAfter = 5 * time.Second

// Overloaded: an inbox, a queue or the outbox is full.
func Overloaded(err error) *Cause {
	return ours("overloaded", 503, "Service Unavailable", retryAfter, xmpp.ConditionResourceConstraint, xmpp.ErrorWait,
		"The gateway is busy, try again in a few seconds", err)
}

// LinkDown: the XMPP server cannot be reached and policy is not to keep messages.
func LinkDown(err error) *Cause {
	return ours("link-down", 480, "Temporarily Unavailable", retryAfter, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait,
		"The XMPP server cannot be reached", err)
}

// Timeout: the SIP side gave no final answer in time (core.md §4.3).
func Timeout(err error) *Cause {
	return ours("timeout", 408, "Request Timeout", 0, xmpp.ConditionRemoteServerTimeout, xmpp.ErrorWait,
		"The SIP side did not answer", err)
}

// Unreachable: no next hop could be found or connected (core.md §4.3).
func Unreachable(err error) *Cause {
	return ours("unreachable", 404, "Not Found", 0, xmpp.ConditionRemoteServerNotFound, xmpp.ErrorCancel,
		"The SIP side could not be reached", err)
}

// Expired: a message was kept as long as it may be.
func Expired() *Cause {
	return ours("expired", 480, "Temporarily Unavailable", 0, xmpp.ConditionRemoteServerTimeout, xmpp.ErrorWait,
		"The message could not be delivered in time", nil)
}

// Internal: a fault of ours. The text goes to the log, not to the user.
func Internal(err error) *Cause {
	return ours("internal", 500, "Server Internal Error", 0, xmpp.ConditionInternalServerError, xmpp.ErrorCancel,
		"The gateway failed", err)
}

// Offline: the SIP user is ours, but no phone of theirs is registered.
func Offline() *Cause {
	return &Cause{
		origin: OriginSIP, label: "offline",
		status: sip.Status{Code: 480, Reason: "Temporarily Unavailable"},
		stanza: xmpp.StanzaError{Type: xmpp.ErrorWait, Condition: xmpp.ConditionRecipientUnavailable, Text: "No phone of this user is registered", Lang: "en"},
	}
}

// NotFound: neither side knows the address.
func NotFound(text string) *Cause {
	return &Cause{
		origin: OriginSender, label: "not-found",
		status: sip.Status{Code: 404, Reason: "Not Found"},
		stanza: xmpp.StanzaError{Type: xmpp.ErrorCancel, Condition: xmpp.ConditionItemNotFound, Text: text, Lang: "en"},
	}
}

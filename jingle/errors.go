package jingle

import "github.com/stoxgate/stoxgate/xmpp"

// UnknownSession is the answer for a session that is not there, or is over (XEP-0166 §10).
func UnknownSession() *xmpp.StanzaError {
	return jingleError(xmpp.ConditionItemNotFound, xmpp.ErrorCancel, "unknown-session", "")
}

// OutOfOrder is the answer for an action that can not come now (XEP-0166 §10). The text may be empty.
func OutOfOrder(text string) *xmpp.StanzaError {
	return jingleError(xmpp.ConditionUnexpectedRequest, xmpp.ErrorWait, "out-of-order", text)
}

// TieBreak is the answer for an action that lost against one of ours (XEP-0166 §7.2.16).
func TieBreak() *xmpp.StanzaError {
	return jingleError(xmpp.ConditionConflict, xmpp.ErrorCancel, "tie-break", "")
}

// UnsupportedInfo is the answer for an informational payload that nobody here understands (XEP-0166 §6.8).
func UnsupportedInfo() *xmpp.StanzaError {
	return jingleError(xmpp.ConditionFeatureNotImplemented, xmpp.ErrorModify, "unsupported-info", "")
}

// IsUnknownSession tells whether the peer knows nothing of the session. Several clients send item-not-found
// without the condition of Jingle; what is not there can not be unknown in any other way.
func IsUnknownSession(e *xmpp.StanzaError) bool {
	return e != nil && e.Condition == xmpp.ConditionItemNotFound && (e.App == nil || isJingleError(e, "unknown-session"))
}

// IsTieBreak tells whether the peer's own action won.
func IsTieBreak(e *xmpp.StanzaError) bool {
	return e != nil && e.Condition == xmpp.ConditionConflict && isJingleError(e, "tie-break")
}

func jingleError(c xmpp.Condition, t xmpp.ErrorType, app, text string) *xmpp.StanzaError {
	return &xmpp.StanzaError{Type: t, Condition: c, Text: text, App: xmpp.NewElement(xmpp.NSJingleErrors, app)}
}

func isJingleError(e *xmpp.StanzaError, app string) bool { return e.App.Is(xmpp.NSJingleErrors, app) }

// badRequest is the answer for what can not be understood (XEP-0166 §6.3.2).
func badRequest(text string) *xmpp.StanzaError {
	return &xmpp.StanzaError{Type: xmpp.ErrorCancel, Condition: xmpp.ConditionBadRequest, Text: text}
}

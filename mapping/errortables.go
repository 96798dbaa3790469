package mapping

import (
	"slices"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Sources of a table row.
const (
	sourceRFC    = "RFC 7247"
	sourceDesign = "stoxgate"
)

// ConditionRow is one row of the table of RFC 7247 §7.1, XMPP to SIP.
type ConditionRow struct {
	Condition xmpp.Condition
	Device    int // status when a full JID answered, and for every call
	Account   int // status when a bare JID answered
	Note      string
}

// The rows in the order of RFC 6120. The letters are the notes of RFC 7247.
var conditionRows = [...]ConditionRow{
	{xmpp.ConditionBadRequest, 400, 400, ""},
	{xmpp.ConditionConflict, 400, 400, ""},
	{xmpp.ConditionFeatureNotImplemented, 405, 501, "(a) a device: 405 with Allow; an account: 501"},
	{xmpp.ConditionForbidden, 403, 603, "(b) a device: 4xx; an account: 6xx"},
	{xmpp.ConditionGone, 410, 410, "(c) with a new address: 301 with Contact"},
	{xmpp.ConditionInternalServerError, 500, 500, ""},
	{xmpp.ConditionItemNotFound, 404, 604, "(b)"},
	{xmpp.ConditionJIDMalformed, 400, 400, ""},
	{xmpp.ConditionNotAcceptable, 406, 606, "(b)"},
	{xmpp.ConditionNotAllowed, 403, 403, ""},
	{xmpp.ConditionNotAuthorized, 401, 401, "403 when there is no challenge to offer"},
	{xmpp.ConditionPolicyViolation, 403, 403, ""},
	{xmpp.ConditionRecipientUnavailable, 480, 600, "(b)"},
	{xmpp.ConditionRedirect, 302, 302, "Contact is the new address; 480 when none is given"},
	{xmpp.ConditionRegistrationRequired, 407, 407, "403 when there is no challenge to offer"},
	{xmpp.ConditionRemoteServerNotFound, 404, 404, "(d) 408 when the server exists and cannot be reached"},
	{xmpp.ConditionRemoteServerTimeout, 408, 408, ""},
	{xmpp.ConditionResourceConstraint, 500, 500, "with Retry-After"},
	{xmpp.ConditionServiceUnavailable, 480, 480, "(e) never 503; 405 when it answers an IQ that stands for the method"},
	{xmpp.ConditionSubscriptionRequired, 400, 400, ""},
	{xmpp.ConditionUndefinedCondition, 400, 400, ""},
	{xmpp.ConditionUnexpectedRequest, 400, 400, "491 when the same request may be repeated"},
}

// conditionRow finds a row; an unknown condition is undefined-condition.
func conditionRow(c xmpp.Condition) ConditionRow {
	var undefined ConditionRow
	for i := range conditionRows {
		switch conditionRows[i].Condition {
		case c:
			return conditionRows[i]
		case xmpp.ConditionUndefinedCondition:
			undefined = conditionRows[i]
		}
	}
	return undefined
}

// Conditions returns the table XMPP to SIP, for the documentation.
func Conditions() []ConditionRow { return slices.Clone(conditionRows[:]) }

// StatusRow is one row of the table of RFC 7247 §7.2, SIP to XMPP.
type StatusRow struct {
	Code      int  // 300–699
	Class     bool // Code stands for every code of its hundred that has no row
	Condition xmpp.Condition
	Type      xmpp.ErrorType
	Source    string // "RFC 7247", or "stoxgate" for codes that it does not list
	Note      string
}

// The rows in ascending order; a class comes before its codes.
var statusRows = [...]StatusRow{
	{300, true, xmpp.ConditionRedirect, xmpp.ErrorModify, sourceRFC, "any other 3xx"},
	{300, false, xmpp.ConditionRedirect, xmpp.ErrorModify, sourceRFC, "the first Contact"},
	{301, false, xmpp.ConditionGone, xmpp.ErrorCancel, sourceRFC, "with the new address"},
	{302, false, xmpp.ConditionRedirect, xmpp.ErrorModify, sourceRFC, ""},
	{305, false, xmpp.ConditionRedirect, xmpp.ErrorModify, sourceRFC, ""},
	{380, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},

	{400, true, xmpp.ConditionBadRequest, xmpp.ErrorModify, sourceRFC, "any other 4xx"},
	{400, false, xmpp.ConditionBadRequest, xmpp.ErrorModify, sourceRFC, ""},
	{401, false, xmpp.ConditionNotAuthorized, xmpp.ErrorAuth, sourceRFC, ""},
	{402, false, xmpp.ConditionBadRequest, xmpp.ErrorModify, sourceRFC, ""},
	{403, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceRFC, ""},
	{404, false, xmpp.ConditionItemNotFound, xmpp.ErrorCancel, sourceRFC, ""},
	{405, false, xmpp.ConditionFeatureNotImplemented, xmpp.ErrorCancel, sourceRFC, ""},
	{406, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{407, false, xmpp.ConditionRegistrationRequired, xmpp.ErrorAuth, sourceRFC, ""},
	{408, false, xmpp.ConditionRemoteServerTimeout, xmpp.ErrorWait, sourceRFC, ""},
	{410, false, xmpp.ConditionGone, xmpp.ErrorCancel, sourceRFC, "without an address"},
	{413, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceRFC, ""},
	{414, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceRFC, ""},
	{415, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{416, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{420, false, xmpp.ConditionFeatureNotImplemented, xmpp.ErrorCancel, sourceRFC, ""},
	{421, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{423, false, xmpp.ConditionResourceConstraint, xmpp.ErrorWait, sourceRFC, "the gateway repeats with Min-Expires first"},
	{424, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{428, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{429, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{430, false, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait, sourceRFC, ""},
	{433, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{436, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{437, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{438, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{439, false, xmpp.ConditionFeatureNotImplemented, xmpp.ErrorCancel, sourceRFC, ""},
	{440, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceRFC, ""},
	{469, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceDesign, ""},
	{470, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceDesign, ""},
	{480, false, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait, sourceRFC, ""},
	{481, false, xmpp.ConditionItemNotFound, xmpp.ErrorCancel, sourceRFC, ""},
	{482, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{483, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{484, false, xmpp.ConditionItemNotFound, xmpp.ErrorCancel, sourceRFC, ""},
	{485, false, xmpp.ConditionItemNotFound, xmpp.ErrorCancel, sourceRFC, ""},
	{486, false, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait, sourceRFC, "a call: Jingle reason busy"},
	{487, false, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait, sourceRFC, ""},
	{488, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{489, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceRFC, ""},
	{491, false, xmpp.ConditionUnexpectedRequest, xmpp.ErrorWait, sourceRFC, "the gateway repeats first"},
	{493, false, xmpp.ConditionBadRequest, xmpp.ErrorModify, sourceRFC, ""},
	{494, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceDesign, ""},

	{500, true, xmpp.ConditionInternalServerError, xmpp.ErrorCancel, sourceRFC, "any other 5xx; wait with Retry-After"},
	{500, false, xmpp.ConditionInternalServerError, xmpp.ErrorCancel, sourceRFC, "wait with Retry-After"},
	{501, false, xmpp.ConditionFeatureNotImplemented, xmpp.ErrorCancel, sourceRFC, ""},
	{502, false, xmpp.ConditionRemoteServerNotFound, xmpp.ErrorCancel, sourceRFC, ""},
	{503, false, xmpp.ConditionInternalServerError, xmpp.ErrorCancel, sourceRFC, "wait with Retry-After"},
	{504, false, xmpp.ConditionRemoteServerTimeout, xmpp.ErrorWait, sourceRFC, ""},
	{505, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{513, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceRFC, ""},
	{580, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceDesign, ""},

	{600, true, xmpp.ConditionServiceUnavailable, xmpp.ErrorCancel, sourceRFC, "any other 6xx"},
	{600, false, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait, sourceRFC, ""},
	{603, false, xmpp.ConditionRecipientUnavailable, xmpp.ErrorWait, sourceRFC, "a call: Jingle reason decline"},
	{604, false, xmpp.ConditionItemNotFound, xmpp.ErrorCancel, sourceRFC, ""},
	{606, false, xmpp.ConditionNotAcceptable, xmpp.ErrorModify, sourceRFC, ""},
	{607, false, xmpp.ConditionForbidden, xmpp.ErrorAuth, sourceDesign, ""},
	{608, false, xmpp.ConditionPolicyViolation, xmpp.ErrorModify, sourceDesign, ""},
}

// statusRow finds the row of a code, else that of its class, else undefined-condition.
func statusRow(code int) StatusRow {
	row := StatusRow{Code: code, Condition: xmpp.ConditionUndefinedCondition, Type: xmpp.ErrorCancel}
	for i := range statusRows {
		switch r := &statusRows[i]; {
		case r.Class && r.Code == code/100*100:
			row = *r
		case !r.Class && r.Code == code:
			return *r
		}
	}
	return row
}

// Statuses returns the table SIP to XMPP, for the documentation.
func Statuses() []StatusRow { return slices.Clone(statusRows[:]) }

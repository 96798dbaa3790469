package mapping

import (
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// The tables of call reasons are in callreasontables.go; here they are carried out. The exact SIP status is not
// kept inside <reason/> as it is inside stanza errors: some clients take the last child for the condition
// (COMPAT: Conversations).

// AnsweredElsewhere is the text of a Jingle reason cancel that ends the ringing of a device because another one
// has the call. SIP says it with a Reason "SIP;cause=200" (RFC 3326 §3.1).
const AnsweredElsewhere = "answered elsewhere"

const callCompletedElsewhere = "Call completed elsewhere"

// Protocols of the Reason header field (RFC 3326 §2).
const (
	reasonSIP  = "SIP"
	reasonQ850 = "Q.850"
)

// ReasonToStatus maps the reason of a callee who does not take the call to the final response of its INVITE. It
// is total: an unknown condition counts as general-error, and no condition as success. rang says that 180 was
// sent. The text of the reason becomes the Reason-Phrase.
func ReasonToStatus(r jingle.Reason, rang bool) sip.Status {
	row := reasonRow(r.Condition)
	s := sip.Status{Code: row.Status, Reason: cleanLine(r.Text, maxReason)}
	if rang {
		s.Code = row.Rang
	}
	if row.Condition == jingle.ReasonSecurityError {
		// RFC 3261 §20.43: what the 488 does not say.
		text := strings.Map(warnText, or(s.Reason, row.Text))
		s.Headers = append(s.Headers, header("Warning", `399 stoxgate "`+text+`"`, `399 stoxgate "`+row.Text+`"`))
	}
	return s
}

// warnText drops what a quoted string would have to escape.
func warnText(c rune) rune {
	if c == '"' || c == '\\' {
		return -1
	}
	return c
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// RejectToStatus maps the reason of a <reject/> to the final response of the INVITE (XEP-0353 §3.5): none and
// busy are 486, decline is 603, anything else 480. A nil reason is none.
func RejectToStatus(r *jingle.Reason) sip.Status {
	if r == nil {
		return sip.Status{Code: 486}
	}
	s := sip.Status{Code: 480, Reason: cleanLine(r.Text, maxReason)}
	switch r.Condition {
	case "", jingle.ReasonBusy:
		s.Code = 486
	case jingle.ReasonDecline:
		s.Code = 603
	}
	return s
}

// InitiateErrorToStatus maps the error that came instead of the result of a session-initiate to the final
// response of the INVITE (XEP-0166 §6.3).
func InitiateErrorToStatus(e xmpp.StanzaError) sip.Status {
	switch e.Condition {
	case xmpp.ConditionResourceConstraint:
		return sip.Status{Code: 486, Reason: cleanLine(e.Text, maxReason)}
	case xmpp.ConditionFeatureNotImplemented, xmpp.ConditionNotAcceptable:
		return sip.Status{Code: 488, Reason: cleanLine(e.Text, maxReason)}
	}
	if e.App.Is(xmpp.NSJingleErrors, "tie-break") {
		// XEP-0166 §7.2.16: the user is calling at this moment.
		return sip.Status{Code: 491, Reason: cleanLine(e.Text, maxReason)}
	}
	return StanzaErrorToStatus(e, ErrorContext{FullJID: true, Call: true})
}

// ProposeErrorToStatus maps the error that came instead of a reaction to a <propose/>: a bounced message means
// that nobody is there.
func ProposeErrorToStatus(e xmpp.StanzaError) sip.Status {
	s := sip.Status{Code: 480, Reason: cleanLine(e.Text, maxReason)}
	if e.Condition == xmpp.ConditionItemNotFound {
		s.Code = 404
	}
	return s
}

// ReasonToReasons maps the reason of a session-terminate to the Reason values of the request that ends the SIP
// dialog: of its BYE when the call was answered, else of the caller's CANCEL, which mostly needs none. It is
// total like ReasonToStatus.
func ReasonToReasons(r jingle.Reason, answered bool) []sip.Reason {
	row := reasonRow(r.Condition)
	inSIP, inQ850 := row.CancelSIP, row.CancelQ850
	if answered {
		inSIP, inQ850 = row.ByeSIP, row.ByeQ850
	}
	text := or(cleanLine(r.Text, maxReason), row.Text)
	if !answered && row.Condition == jingle.ReasonCancel && strings.EqualFold(text, AnsweredElsewhere) {
		inSIP, text = 200, callCompletedElsewhere
	}
	var list []sip.Reason
	if inSIP > 0 {
		list = append(list, sip.Reason{Protocol: reasonSIP, Cause: inSIP, Text: text})
	}
	if inQ850 > 0 {
		list = append(list, sip.Reason{Protocol: reasonQ850, Cause: inQ850, Text: text})
	}
	return list
}

// StatusToReason maps the final response of an INVITE to the reason that the caller is told. It is total: a code
// without a row counts as its class. rang says that 180 came before. The Reason-Phrase becomes the text.
func StatusToReason(s sip.Status, rang bool) jingle.Reason {
	row := callStatusRow(s.Code)
	r := jingle.Reason{Condition: row.Condition, Text: or(row.Text, cleanLine(s.Phrase(), maxReason))}
	if s.Code == 480 && rang {
		r.Condition = jingle.ReasonTimeout
	}
	return r
}

// ReasonsToReason maps the Reason values of a BYE to the reason of the session-terminate. None is success. Of
// several, a SIP failure counts before a cause of Q.850, which says the same for the telephone network.
func ReasonsToReason(list []sip.Reason) jingle.Reason {
	result := jingle.Reason{Condition: jingle.ReasonSuccess}
	for _, v := range list {
		switch {
		case strings.EqualFold(v.Protocol, reasonSIP) && v.Cause >= 300 && v.Cause <= 699:
			return StatusToReason(sip.Status{Code: v.Cause, Reason: v.Text}, false)
		case strings.EqualFold(v.Protocol, reasonQ850) && v.Cause > 0:
			row := causeRow(v.Cause)
			result = jingle.Reason{Condition: row.Condition, Text: cleanLine(v.Text, maxReason)}
		case result.Text == "":
			result.Text = cleanLine(v.Text, maxReason)
		}
	}
	return result
}

// CancelToReason maps the Reason values of a CANCEL: the condition is cancel. A call that was completed
// elsewhere has the text AnsweredElsewhere, so that a client does not have to show it as missed.
func CancelToReason(list []sip.Reason) jingle.Reason {
	r := jingle.Reason{Condition: jingle.ReasonCancel}
	for _, v := range list {
		if strings.EqualFold(v.Protocol, reasonSIP) && v.Cause >= 200 && v.Cause < 300 {
			r.Text = AnsweredElsewhere
			return r
		}
		if r.Text == "" {
			r.Text = cleanLine(v.Text, maxReason)
		}
	}
	return r
}

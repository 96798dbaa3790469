package mapping

import (
	"slices"

	"github.com/stoxgate/stoxgate/jingle"
)

// Neither XEP-0166 nor the drafts of STOX have a complete table of reasons; these are ours. They keep apart what
// the user can tell apart: busy, declined, no answer, nobody there, no common codec, no path, no trust.

// ReasonRow is one row of the table of Jingle reasons, XMPP to SIP.
type ReasonRow struct {
	Condition jingle.Condition
	Status    int // final response when the callee ends a session that is not accepted yet
	Rang      int // the same when 180 was sent before
	// Of the CANCEL when the caller gives up, and of the BYE of an accepted session; 0: no such value.
	CancelSIP, CancelQ850 int
	ByeSIP, ByeQ850       int
	Text                  string // what Reason says when the Jingle reason has no text
	Note                  string
}

// The rows in the order of XEP-0166 §7.4.
var reasonRows = [...]ReasonRow{
	{jingle.ReasonAlternativeSession, 480, 480, 0, 0, 0, 16, "Another session takes over", "a gateway that owns both sessions replaces instead"},
	{jingle.ReasonBusy, 486, 486, 0, 0, 0, 17, "User busy", ""},
	{jingle.ReasonCancel, 480, 480, 487, 0, 0, 16, "Caller cancelled", `text "answered elsewhere": CANCEL with SIP;cause=200`},
	{jingle.ReasonConnectivityError, 480, 480, 0, 0, 0, 41, "No path for media", ""},
	{jingle.ReasonDecline, 603, 603, 0, 0, 0, 21, "Call rejected", "a proxy ends the other branches of a fork"},
	{jingle.ReasonExpired, 480, 480, 0, 0, 408, 0, "Session expired", ""},
	{jingle.ReasonFailedApplication, 488, 488, 0, 0, 0, 47, "Media failed", ""},
	{jingle.ReasonFailedTransport, 488, 488, 0, 0, 0, 41, "Transport failed", ""},
	{jingle.ReasonGeneralError, 500, 500, 0, 0, 0, 41, "Internal error", ""},
	{jingle.ReasonGone, 480, 480, 0, 0, 0, 27, "User gone", ""},
	{jingle.ReasonIncompatibleParameters, 488, 488, 0, 0, 0, 88, "Incompatible media", ""},
	{jingle.ReasonMediaError, 488, 488, 0, 0, 0, 47, "Media failed", ""},
	{jingle.ReasonSecurityError, 488, 488, 0, 0, 0, 57, "Security check failed", "the 488 with Warning 399"},
	{jingle.ReasonSuccess, 480, 480, 487, 0, 0, 16, "Normal call clearing", ""},
	{jingle.ReasonTimeout, 408, 480, 408, 19, 0, 102, "No answer", "408 when nothing rang, else 480"},
	{jingle.ReasonUnsupportedApplications, 488, 488, 0, 0, 0, 88, "Unsupported media", ""},
	{jingle.ReasonUnsupportedTransports, 488, 488, 0, 0, 0, 88, "Unsupported transport", ""},
}

// reasonRow finds a row; an unknown condition is general-error, and none is success.
func reasonRow(c jingle.Condition) ReasonRow {
	if c == "" {
		c = jingle.ReasonSuccess
	}
	var general ReasonRow
	for i := range reasonRows {
		switch reasonRows[i].Condition {
		case c:
			return reasonRows[i]
		case jingle.ReasonGeneralError:
			general = reasonRows[i]
		}
	}
	return general
}

// CallReasons returns the table of reasons XMPP to SIP, for the documentation.
func CallReasons() []ReasonRow { return slices.Clone(reasonRows[:]) }

// CallStatusRow is one row of the tables of final responses and of Q.850 causes, SIP to XMPP.
type CallStatusRow struct {
	Code      int  // status 300–699, or cause 1–127
	Class     bool // Code stands for every code of its hundred that has no row
	Condition jingle.Condition
	Text      string // of the Jingle reason; empty: the Reason-Phrase
	Note      string
}

// Final responses in ascending order; a class comes before its codes.
var callStatusRows = [...]CallStatusRow{
	{300, true, jingle.ReasonGone, "", "a redirection that was not followed"},
	{400, true, jingle.ReasonGeneralError, "", "any other 4xx"},
	{401, false, jingle.ReasonSecurityError, "", "the gateway has no password, or a wrong one"},
	{403, false, jingle.ReasonSecurityError, "", ""},
	{404, false, jingle.ReasonGone, "", ""},
	{406, false, jingle.ReasonIncompatibleParameters, "", ""},
	{407, false, jingle.ReasonSecurityError, "", ""},
	{408, false, jingle.ReasonTimeout, "", ""},
	{410, false, jingle.ReasonGone, "", ""},
	{415, false, jingle.ReasonIncompatibleParameters, "", ""},
	{416, false, jingle.ReasonGone, "", ""},
	{420, false, jingle.ReasonUnsupportedApplications, "", ""},
	{421, false, jingle.ReasonUnsupportedApplications, "", ""},
	{428, false, jingle.ReasonSecurityError, "", ""},
	{430, false, jingle.ReasonConnectivityError, "", ""},
	{433, false, jingle.ReasonDecline, "", "the callee takes no anonymous calls"},
	{436, false, jingle.ReasonSecurityError, "", ""},
	{437, false, jingle.ReasonSecurityError, "", ""},
	{438, false, jingle.ReasonSecurityError, "", ""},
	{480, false, jingle.ReasonGone, "", "timeout when it came after 180"},
	{484, false, jingle.ReasonGone, "", ""},
	{485, false, jingle.ReasonGone, "", ""},
	{486, false, jingle.ReasonBusy, "", ""},
	{487, false, jingle.ReasonCancel, "", ""},
	{488, false, jingle.ReasonIncompatibleParameters, "", ""},
	{491, false, jingle.ReasonGeneralError, "", "the gateway repeats first"},
	{494, false, jingle.ReasonSecurityError, "", ""},
	{500, true, jingle.ReasonGeneralError, "", "any other 5xx"},
	{501, false, jingle.ReasonConnectivityError, "", ""},
	{502, false, jingle.ReasonConnectivityError, "", ""},
	{503, false, jingle.ReasonConnectivityError, "", ""},
	{504, false, jingle.ReasonConnectivityError, "", ""},
	{513, false, jingle.ReasonConnectivityError, "", ""},
	{580, false, jingle.ReasonConnectivityError, "", ""},
	{600, true, jingle.ReasonBusy, "", "any other 6xx"},
	{603, false, jingle.ReasonDecline, "", ""},
	{604, false, jingle.ReasonGone, "", ""},
	{606, false, jingle.ReasonIncompatibleParameters, "", ""},
	{607, false, jingle.ReasonDecline, "", ""},
	{608, false, jingle.ReasonDecline, "blocked", ""},
}

// Causes of Q.850 in ascending order; the row without a code is for all others.
var causeRows = [...]CallStatusRow{
	{0, true, jingle.ReasonSuccess, "", "any other cause"},
	{1, false, jingle.ReasonGone, "", "unallocated number"},
	{3, false, jingle.ReasonConnectivityError, "", "no route"},
	{16, false, jingle.ReasonSuccess, "", "normal clearing"},
	{17, false, jingle.ReasonBusy, "", "user busy"},
	{18, false, jingle.ReasonTimeout, "", "no user responds"},
	{19, false, jingle.ReasonTimeout, "", "no answer"},
	{20, false, jingle.ReasonGone, "", "subscriber absent"},
	{21, false, jingle.ReasonDecline, "", "rejected"},
	{22, false, jingle.ReasonGone, "", "number changed"},
	{27, false, jingle.ReasonGone, "", "destination out of order"},
	{28, false, jingle.ReasonGone, "", "invalid number"},
	{31, false, jingle.ReasonSuccess, "", "normal, unspecified"},
	{34, false, jingle.ReasonConnectivityError, "", "no circuit"},
	{38, false, jingle.ReasonConnectivityError, "", "network out of order"},
	{41, false, jingle.ReasonConnectivityError, "", "temporary failure"},
	{42, false, jingle.ReasonConnectivityError, "", "congestion"},
	{44, false, jingle.ReasonConnectivityError, "", "circuit not available"},
	{47, false, jingle.ReasonMediaError, "", "resource not available"},
	{57, false, jingle.ReasonSecurityError, "", "not authorised"},
	{88, false, jingle.ReasonMediaError, "", "incompatible destination"},
	{102, false, jingle.ReasonTimeout, "", "timer expired"},
	{127, false, jingle.ReasonGeneralError, "", "interworking"},
}

// CallStatuses returns the table of final responses, for the documentation.
func CallStatuses() []CallStatusRow { return slices.Clone(callStatusRows[:]) }

// CallCauses returns the table of Q.850 causes, for the documentation.
func CallCauses() []CallStatusRow { return slices.Clone(causeRows[:]) }

// callStatusRow finds the row of a status. What is no failure counts as its class, and a class that does not
// exist as 400.
func callStatusRow(code int) CallStatusRow {
	class := callStatusRows[1]
	for _, row := range callStatusRows {
		switch {
		case row.Class && row.Code/100 == code/100:
			class = row
		case !row.Class && row.Code == code:
			return row
		}
	}
	return class
}

func causeRow(cause int) CallStatusRow {
	for _, row := range causeRows[1:] {
		if row.Code == cause {
			return row
		}
	}
	return causeRows[0]
}

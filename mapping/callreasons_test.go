package mapping

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

func TestReasonTablesAreTotal(t *testing.T) {
	for i, c := range jingle.Conditions {
		require.Equal(t, c, reasonRows[i].Condition)
	}
	require.Len(t, reasonRows, len(jingle.Conditions))
	for code := range 1000 {
		for _, rang := range []bool{false, true} {
			r := StatusToReason(sip.Status{Code: code}, rang)
			require.True(t, slices.Contains(jingle.Conditions, r.Condition), code)
			require.NotEqual(t, jingle.ReasonSuccess, r.Condition, "%d: a failed call is no success", code)
			s := ReasonToStatus(r, rang)
			require.True(t, s.Code >= 400 && s.Code < 700, code)
		}
		r := ReasonsToReason([]sip.Reason{{Protocol: "Q.850", Cause: code}})
		require.True(t, slices.Contains(jingle.Conditions, r.Condition), code)
	}
	require.True(t, slices.IsSortedFunc(callStatusRows[:], func(a, b CallStatusRow) int {
		if a.Code == b.Code && a.Class != b.Class {
			return map[bool]int{true: -1, false: 1}[a.Class]
		}
		return a.Code - b.Code
	}))
	require.True(t, slices.IsSortedFunc(causeRows[:], func(a, b CallStatusRow) int { return a.Code - b.Code }))
}

// What a user can tell apart stays apart across two gateways, as a refusal and as a hang-up.
func TestReasonsSurviveTwoGateways(t *testing.T) {
	for _, c := range []jingle.Condition{jingle.ReasonBusy, jingle.ReasonDecline, jingle.ReasonTimeout, jingle.ReasonIncompatibleParameters, jingle.ReasonGeneralError, jingle.ReasonGone} {
		for _, rang := range []bool{false, true} {
			if c == jingle.ReasonGone && rang {
				continue // 480 after 180 is a timeout
			}
			require.Equal(t, c, StatusToReason(ReasonToStatus(jingle.Reason{Condition: c}, rang), rang).Condition, "%s %v", c, rang)
		}
	}
	for _, c := range []jingle.Condition{
		jingle.ReasonSuccess, jingle.ReasonBusy, jingle.ReasonDecline, jingle.ReasonTimeout, jingle.ReasonGone, jingle.ReasonConnectivityError,
		jingle.ReasonMediaError, jingle.ReasonSecurityError,
	} {
		require.Equal(t, c, ReasonsToReason(ReasonToReasons(jingle.Reason{Condition: c}, true)).Condition, c)
	}
	r := jingle.Reason{Condition: jingle.ReasonCancel, Text: AnsweredElsewhere}
	require.Equal(t, r, CancelToReason(ReasonToReasons(r, false)))
}

func TestReasonEdges(t *testing.T) {
	require.Equal(t, 480, ReasonToStatus(jingle.Reason{}, false).Code, "no condition")
	require.Equal(t, []sip.Reason{{Protocol: "Q.850", Cause: 16, Text: "Normal call clearing"}}, ReasonToReasons(jingle.Reason{}, true))
	require.Equal(t, 486, RejectToStatus(nil).Code)
	require.Equal(t, 480, RejectToStatus(&jingle.Reason{Condition: jingle.ReasonExpired}).Code)
	require.Equal(t, 603, RejectToStatus(&jingle.Reason{Condition: jingle.ReasonDecline}).Code)
	require.Equal(t, jingle.ReasonSuccess, ReasonsToReason([]sip.Reason{{Protocol: "Q.850"}}).Condition, "a cause without number")

	tieBreak := xmpp.StanzaError{Condition: xmpp.ConditionConflict, App: xmpp.NewElement(xmpp.NSJingleErrors, "tie-break")}
	for want, e := range map[int]xmpp.StanzaError{
		480: {Condition: xmpp.ConditionServiceUnavailable},
		302: {Condition: xmpp.ConditionRedirect, Address: "xmpp:otto@voice.quay.example"},
		486: {Condition: xmpp.ConditionResourceConstraint},
		400: {Condition: xmpp.ConditionBadRequest},
		491: tieBreak,
		404: {Condition: xmpp.ConditionItemNotFound},
		488: {Condition: xmpp.ConditionFeatureNotImplemented},
		403: {Condition: xmpp.ConditionForbidden},
		408: {Condition: xmpp.ConditionRemoteServerTimeout},
	} {
		require.Equal(t, want, InitiateErrorToStatus(e).Code, e.Condition)
	}
	require.Equal(t, 404, ProposeErrorToStatus(xmpp.StanzaError{Condition: xmpp.ConditionItemNotFound}).Code)
	require.Equal(t, 480, ProposeErrorToStatus(xmpp.StanzaError{Condition: xmpp.ConditionServiceUnavailable}).Code)
}

func TestReasonTextsAreClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		c := rapid.SampledFrom(jingle.Conditions).Draw(t, "condition")
		s := ReasonToStatus(jingle.Reason{Condition: c, Text: text}, rapid.Bool().Draw(t, "rang"))
		for _, v := range append(ReasonToReasons(jingle.Reason{Condition: c, Text: text}, rapid.Bool().Draw(t, "answered")), sip.Reason{Protocol: "SIP", Text: s.Reason}) {
			list, err := sip.ParseReasons(v.String())
			if err != nil || len(list) != 1 || list[0] != v {
				t.Fatal(list, err)
			}
		}
	})
}

package jingle

import (
	"slices"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Condition is why a session or a content ends (XEP-0166 §7.4).
type Condition string

// The conditions of XEP-0166 §7.4.
const (
	ReasonAlternativeSession      Condition = "alternative-session"
	ReasonBusy                    Condition = "busy"
	ReasonCancel                  Condition = "cancel"
	ReasonConnectivityError       Condition = "connectivity-error"
	ReasonDecline                 Condition = "decline"
	ReasonExpired                 Condition = "expired"
	ReasonFailedApplication       Condition = "failed-application"
	ReasonFailedTransport         Condition = "failed-transport"
	ReasonGeneralError            Condition = "general-error"
	ReasonGone                    Condition = "gone"
	ReasonIncompatibleParameters  Condition = "incompatible-parameters"
	ReasonMediaError              Condition = "media-error"
	ReasonSecurityError           Condition = "security-error"
	ReasonSuccess                 Condition = "success"
	ReasonTimeout                 Condition = "timeout"
	ReasonUnsupportedApplications Condition = "unsupported-applications"
	ReasonUnsupportedTransports   Condition = "unsupported-transports"
)

// Conditions lists the conditions of XEP-0166 §7.4 in its order.
var Conditions = []Condition{
	ReasonAlternativeSession, ReasonBusy, ReasonCancel, ReasonConnectivityError, ReasonDecline, ReasonExpired,
	ReasonFailedApplication, ReasonFailedTransport, ReasonGeneralError, ReasonGone, ReasonIncompatibleParameters,
	ReasonMediaError, ReasonSecurityError, ReasonSuccess, ReasonTimeout, ReasonUnsupportedApplications,
	ReasonUnsupportedTransports,
}

// Reason is a <reason/>.
type Reason struct {
	Condition Condition     // an unknown one is read as general-error
	Text      string        // for people, at most 1 KiB
	SID       string        // of alternative-session only
	App       *xmpp.Element // more about the condition, of another namespace
}

// reason reads a <reason/>.
func (r *reader) reason(e *xmpp.Element) *Reason {
	v := &Reason{}
	for c := range e.Elements() {
		switch {
		case c.Name.Space != xmpp.NSJingle:
			if v.App == nil {
				v.App = c
			}
		case c.Name.Local == "text":
			v.Text = clip(c.Text())
		case v.Condition != "":
			r.ignore("second condition of reason")
		case slices.Contains(Conditions, Condition(c.Name.Local)):
			v.Condition = Condition(c.Name.Local)
			if v.Condition == ReasonAlternativeSession {
				v.SID = clip(c.Child(xmpp.NSJingle, "sid").Text())
			}
		default:
			r.ignore("unknown condition of reason: " + clip(c.Name.Local))
		}
	}
	if v.Condition == "" {
		v.Condition = ReasonGeneralError
	}
	return v
}

// Element returns the <reason/>. No condition is written as general-error.
func (v *Reason) Element() *xmpp.Element {
	if v == nil {
		return nil
	}
	condition := v.Condition
	if condition == "" {
		condition = ReasonGeneralError
	}
	c := xmpp.NewElement(xmpp.NSJingle, string(condition))
	if condition == ReasonAlternativeSession && v.SID != "" {
		c.Add(xmpp.NewElement(xmpp.NSJingle, "sid").AddText(v.SID))
	}
	e := xmpp.NewElement(xmpp.NSJingle, "reason").Add(c)
	if v.Text != "" {
		e.Add(xmpp.NewElement(xmpp.NSJingle, "text").AddText(v.Text))
	}
	return e.Add(v.App)
}

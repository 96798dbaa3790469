package mapping

import (
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// <show/> and the activities of RPID. RFC 8048 §6.2 carries <show/> itself, in the status of a tuple: it is exact,
// and phones do not know it. So it is written together with an activity of the person, which phones know, and
// believed before it.

// ActivityRow is one row of the table from RPID to XMPP.
type ActivityRow struct {
	Activity string
	Show     xmpp.Show
	Closed   bool // counts as unavailable
}

// The rows in order: the first that a person is engaged in counts.
var activityRows = [...]ActivityRow{
	{Activity: "permanent-absence", Closed: true},
	{Activity: "busy", Show: xmpp.ShowDND},
	{Activity: "meeting", Show: xmpp.ShowDND},
	{Activity: onThePhone, Show: xmpp.ShowDND},
	{Activity: "presentation", Show: xmpp.ShowDND},
	{Activity: "appointment", Show: xmpp.ShowDND},
	{Activity: "performance", Show: xmpp.ShowDND},
	{Activity: "worship", Show: xmpp.ShowDND},
	{Activity: "steering", Show: xmpp.ShowDND},
	{Activity: activityDND, Show: xmpp.ShowDND}, // of Cisco and others, in namespaces of their own
	{Activity: "vacation", Show: xmpp.ShowXA},
	{Activity: "holiday", Show: xmpp.ShowXA},
	{Activity: "sleeping", Show: xmpp.ShowXA},
	{Activity: "travel", Show: xmpp.ShowXA},
	{Activity: "looking-for-work", Show: xmpp.ShowXA},
	{Activity: "away", Show: xmpp.ShowAway},
	{Activity: "in-transit", Show: xmpp.ShowAway},
	{Activity: "meal", Show: xmpp.ShowAway},
	{Activity: "breakfast", Show: xmpp.ShowAway},
	{Activity: "dinner", Show: xmpp.ShowAway},
	{Activity: "shopping", Show: xmpp.ShowAway},
	{Activity: "playing", Show: xmpp.ShowAway},
	{Activity: "spectator", Show: xmpp.ShowAway},
	{Activity: "tv", Show: xmpp.ShowAway},
	{Activity: "working"},
	{Activity: "other"},
	{Activity: "unknown"},
}

const (
	onThePhone  = "on-the-phone"
	activityDND = "dnd"
)

// Activities returns the table from RPID to XMPP, for the documentation.
func Activities() []ActivityRow { return slices.Clone(activityRows[:]) }

// ShowToActivity is the activity of a person who shows this; "" when there is none. xa is away for longer, which
// RPID has no word for.
func ShowToActivity(s xmpp.Show) string {
	switch s {
	case xmpp.ShowAway, xmpp.ShowXA:
		return "away"
	case xmpp.ShowDND:
		return "busy"
	}
	return ""
}

// engaged is what activities say.
type engaged struct {
	row   *ActivityRow // nil: nothing
	phone bool
}

// activities finds the row that counts among those that are valid now.
func activities(now time.Time, lists ...[]pidf.Term) (e engaged) {
	best := len(activityRows)
	for _, list := range lists {
		for i := range list {
			t := &list[i]
			name := t.Name
			switch {
			case !validTerm(t, now):
				continue
			case t.Name == "other" && strings.EqualFold(t.Text, activityDND): // Linphone
				name = activityDND
			case t.Space != "" && t.Name != activityDND:
				continue // other people's words may mean anything
			}
			n := slices.IndexFunc(activityRows[:], func(r ActivityRow) bool { return r.Activity == name })
			if n < 0 {
				continue
			}
			e.phone = e.phone || name == onThePhone
			if n < best {
				best, e.row = n, &activityRows[n]
			}
		}
	}
	return e
}

// validTerm reports whether a term counts at that time (RFC 4480 §3.1, from and until).
func validTerm(t *pidf.Term, now time.Time) bool {
	return (t.From.IsZero() || !now.Before(t.From)) && (t.Until.IsZero() || now.Before(t.Until))
}

func validTerms(list []pidf.Term, now time.Time) []pidf.Term {
	if !slices.ContainsFunc(list, func(t pidf.Term) bool { return !validTerm(&t, now) }) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(t pidf.Term) bool { return !validTerm(&t, now) })
}

// open reports whether activities mean that somebody is there, for a tuple that does not say.
func (e engaged) open() bool {
	return e.row != nil && !e.row.Closed && e.row.Activity != "away" && e.row.Activity != "unknown"
}

// saysOnThePhone reads the note that phones and PBXs make by themselves. It is the only English sentence that is
// understood, and only where a document has no activities: a user's own words decide nothing else.
func saysOnThePhone(notes []pidf.Note) bool {
	return slices.ContainsFunc(notes, func(n pidf.Note) bool { return strings.EqualFold(n.Text, textOnPhone) })
}

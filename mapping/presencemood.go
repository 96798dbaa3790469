package mapping

import (
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Moods and activities of XMPP (XEP-0107, XEP-0108) are not presence: they come and go as events of the user's
// account. RPID has them in the document, as the person's.

const (
	nsMood     = "http://jabber.org/protocol/mood"
	nsActivity = "http://jabber.org/protocol/activity"

	termOther   = "other"
	termUnknown = "unknown"
	moodNone    = "undefined" // of XEP-0107
)

// moods are those of RFC 4480 §3.4. XEP-0107 has them all.
var moods = strings.Fields(`afraid amazed angry annoyed anxious ashamed bored brave calm cold confused contented cranky
curious depressed disappointed disgusted distracted embarrassed excited flirtatious frustrated grumpy guilty happy hot
humbled humiliated hungry hurt impressed in_awe in_love indignant interested invincible jealous lonely mean moody nervous
neutral offended playful proud relieved remorseful restless sad sarcastic serious shocked shy sick sleepy stressed
surprised thirsty worried`)

// xmppMoods are those of XEP-0107 that RPID does not have.
var xmppMoods = strings.Fields(`amorous aroused cautious confident contemplative crazy creative dejected dismayed envious
hopeful intoxicated lucky outraged relaxed spontaneous strong thankful tired weak`)

// MoodToRPID maps a <mood/>. What RPID does not have goes as "other" with its XMPP name. note is the user's own
// text. Without a mood the term has no name.
func MoodToRPID(e *xmpp.Element) (t pidf.Term, note string) {
	for c := range e.Elements() {
		name := c.Name.Local
		switch {
		case c.Name.Space != nsMood:
		case name == "text":
			note = personText(c.Text())
		case t.Name != "":
		case name == moodNone:
			t = pidf.Term{Name: termUnknown}
		case slices.Contains(moods, name):
			t = pidf.Term{Name: name}
		case slices.Contains(xmppMoods, name):
			t = pidf.Term{Name: termOther, Text: name}
		}
	}
	return t, note
}

// RPIDToMood maps the moods of a person; the first that XMPP knows counts, since there is room for one. nil when
// there is none.
func RPIDToMood(list []pidf.Term, notes []pidf.Note) *xmpp.Element {
	name, text := "", ""
	for _, t := range list {
		switch {
		case name != "" || t.Space != "":
		case slices.Contains(moods, t.Name):
			name = t.Name
		case t.Name == termOther && slices.Contains(xmppMoods, t.Text):
			name = t.Text
		case t.Name == termOther:
			text = t.Text
		}
	}
	if len(notes) > 0 {
		text = notes[0].Text
	}
	text = personText(text)
	switch {
	case name == "" && text == "":
		return nil
	case name == "":
		name = moodNone
	}
	e := xmpp.NewElement(nsMood, "mood").Add(xmpp.NewElement(nsMood, strings.Clone(name)))
	if text != "" {
		e.Add(xmpp.NewElement(nsMood, "text").AddText(text))
	}
	return e
}

// personText makes a text of a person fit for either side.
func personText(s string) string {
	s, _ = cleanText(s)
	return strings.Clone(clipText(strings.TrimSpace(s), maxStatus))
}

// activityPair is one row of the table between RPID and XEP-0108. For one RPID activity the first row counts.
type activityPair struct{ rpid, general, specific string }

var activityPairs = [...]activityPair{
	{"appointment", "having_appointment", ""},
	{"breakfast", "eating", "having_breakfast"},
	{"dinner", "eating", "having_dinner"},
	{"meal", "eating", ""},
	{"meal", "eating", "having_lunch"},
	{"meal", "eating", "having_a_snack"},
	{"holiday", "inactive", "scheduled_holiday"},
	{"vacation", "inactive", "on_vacation"},
	{"sleeping", "inactive", "sleeping"},
	{"worship", "inactive", "praying"},
	{"tv", "relaxing", "watching_tv"},
	{"shopping", "relaxing", "shopping"},
	{"shopping", "doing_chores", "buying_groceries"},
	{"playing", "relaxing", "gaming"},
	{"playing", "exercising", "playing_sports"},
	{onThePhone, "talking", "on_the_phone"},
	{onThePhone, "talking", "on_video_phone"},
	{"steering", "traveling", "driving"},
	{"in-transit", "traveling", "commuting"},
	{"in-transit", "traveling", "on_a_bus"},
	{"in-transit", "traveling", "on_a_train"},
	{"in-transit", "traveling", "on_a_plane"},
	{"in-transit", "traveling", "in_a_car"},
	{"travel", "traveling", ""},
	{"travel", "traveling", "on_a_trip"},
	{"meeting", "working", "in_a_meeting"},
	{"working", "working", ""},
	{"working", "working", "coding"},
	{"working", "working", "writing"},
}

// ActivityToRPID maps an <activity/>. What RPID does not have goes as "other" with its XMPP name. note is the
// user's own text. Without an activity the term has no name.
func ActivityToRPID(e *xmpp.Element) (t pidf.Term, note string) {
	var general, specific string
	for c := range e.Elements() {
		switch {
		case c.Name.Space != nsActivity:
		case c.Name.Local == "text":
			note = personText(c.Text())
		case general == "" && isActivityName(c.Name.Local):
			general = c.Name.Local
			for s := range c.Elements() {
				if s.Name.Space == nsActivity && isActivityName(s.Name.Local) {
					specific = s.Name.Local
				}
			}
		}
	}
	switch general {
	case "":
		return t, note
	case "undefined":
		return pidf.Term{Name: termUnknown}, note
	}
	t = pidf.Term{Name: termOther, Text: strings.ReplaceAll(general, "_", " ")}
	for _, p := range activityPairs {
		if p.general == general && p.specific == "" {
			t = pidf.Term{Name: p.rpid}
		}
	}
	if specific == "" || specific == "other" {
		return t, note
	}
	for _, p := range activityPairs {
		if p.general == general && p.specific == specific {
			return pidf.Term{Name: p.rpid}, note
		}
	}
	if t.Name == termOther {
		t.Text = strings.ReplaceAll(specific, "_", " ")
	}
	return t, note
}

// isActivityName bounds the names that become text: XEP-0108 has only such.
func isActivityName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// RPIDToActivity maps the activities of a person; the first that XMPP knows counts, since there is room for one.
// nil when there is none: busy and away are no activity in XMPP but the show of the presence.
func RPIDToActivity(list []pidf.Term, notes []pidf.Note) *xmpp.Element {
	for _, t := range list {
		i := slices.IndexFunc(activityPairs[:], func(p activityPair) bool { return t.Space == "" && p.rpid == t.Name })
		if i < 0 {
			continue
		}
		p := activityPairs[i]
		general := xmpp.NewElement(nsActivity, p.general)
		if p.specific != "" {
			general.Add(xmpp.NewElement(nsActivity, p.specific))
		}
		e := xmpp.NewElement(nsActivity, "activity").Add(general)
		if len(notes) > 0 {
			if text := personText(notes[0].Text); text != "" {
				e.Add(xmpp.NewElement(nsActivity, "text").AddText(text))
			}
		}
		return e
	}
	return nil
}

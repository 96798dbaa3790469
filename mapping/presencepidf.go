package mapping

import (
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// PresenceContext is what PresenceToPIDF cannot find out itself.
type PresenceContext struct {
	Entity     sip.URI // whom SIP watches: the address of record of the XMPP user
	OnThePhone bool    // the user has a call through this gateway
	Name       string  // the user's nickname (XEP-0172), which comes by other ways than presence
	IconBase   string  // in front of an avatar's hash it makes a URI that the watcher can fetch; empty: none
	HideIdle   bool    // say that a device is idle, not since when (RFC 4480 §3.14)
	Mood       *xmpp.Element
	Activity   *xmpp.Element // the user's last <mood/> and <activity/> (XEP-0107, XEP-0108); nil: none
}

// PresenceToPIDF makes the document that tells all resources of an XMPP user (RFC 8048 §6.2), those that left
// included as long as they are in the list. lang is its Content-Language, empty for none. A user without any
// resource is one closed tuple, since phones take a document without tuples for no answer.
//
// The best resource comes first, because many phones look no further, and is what the person does.
func PresenceToPIDF(rs Resources, c PresenceContext) (d *pidf.Document, lang string) {
	aor := c.Entity.AOR()
	d = &pidf.Document{Entity: aor.String()}
	var room [8]*Resource
	list := room[:0]
	for i := range rs {
		list = append(list, &rs[i])
	}
	slices.SortFunc(list, byRank)
	list = list[:min(len(list), maxResources)]
	if len(list) == 0 {
		list = append(list, &Resource{Closed: true})
	}
	d.Tuples = make([]pidf.Tuple, len(list))
	for i, r := range list {
		c.tuple(&d.Tuples[i], r, aor)
	}
	best := list[0]
	if p := c.person(best, d.Tuples[0].Notes); !p.Rich.IsZero() || !p.Card.IsZero() || len(p.Notes) > 0 {
		p.ID = "person"
		d.Persons = []pidf.Person{p}
	}
	return d, best.Lang
}

func (c *PresenceContext) tuple(t *pidf.Tuple, r *Resource, aor sip.URI) {
	t.ID = ResourceToTupleID(r.Name)
	t.Basic = pidf.Open
	if r.Closed {
		t.Basic = pidf.Closed
	}
	if r.Name != "" && aor.IsSIP() {
		aor.Params = sip.Params{{Name: "gr", Value: r.Name}} // RFC 7247 §6.3
	}
	t.URI = aor.String()
	for _, s := range r.Statuses {
		lang := s.Lang
		if lang == "" {
			lang = r.Lang
		}
		t.Notes = append(t.Notes, pidf.Note{Lang: lang, Text: s.Text})
	}
	if r.Changed > 0 {
		t.Timestamp = time.Unix(r.Changed, 0)
	}
	if r.Closed {
		return
	}
	t.Show = string(r.Show)
	// RFC 8048 §6.2, note 6: a negative priority is not told.
	t.Priority, t.Ranked = priorityToMilli(r.Priority), r.Priority >= 0
	t.Capabilities = r.Capabilities
	switch {
	case r.Idle > 0 && !c.HideIdle:
		t.Input = pidf.UserInput{State: pidf.Idle, Last: time.Unix(r.Idle, 0)}
	case r.Idle > 0, r.Show == xmpp.ShowAway, r.Show == xmpp.ShowXA:
		t.Input.State = pidf.Idle
	}
}

// person tells what phones look for there: activity, note and picture.
func (c *PresenceContext) person(best *Resource, notes []pidf.Note) (p pidf.Person) {
	add := func(name string) {
		if t := (pidf.Term{Name: name}); name != "" && !slices.Contains(p.Activities, t) {
			p.Activities = append(p.Activities, t)
		}
	}
	if c.Name != "" {
		p.Names = []pidf.Note{{Text: cleanLine(c.Name, maxDisplay)}}
	}
	if c.IconBase != "" && isSHA1(best.Avatar) {
		p.Icon = c.IconBase + best.Avatar
	}
	p.Notes = notes
	if best.Closed {
		return p
	}
	if c.OnThePhone {
		add(onThePhone)
	}
	// Who is on the phone is not away: some phones would show that instead.
	if a := ShowToActivity(best.Show); !c.OnThePhone || a != "away" {
		add(a)
	}
	var note string
	if c.Activity != nil {
		var t pidf.Term
		if t, note = ActivityToRPID(c.Activity); !slices.Contains(p.Activities, t) && t.Name != "" {
			p.Activities = append(p.Activities, t)
		}
		if note != "" {
			p.ActivityNotes = []pidf.Note{{Text: note}}
		}
	}
	if c.Mood != nil {
		var t pidf.Term
		if t, note = MoodToRPID(c.Mood); t.Name != "" {
			p.Moods = []pidf.Term{t}
		}
		if note != "" {
			p.MoodNotes = []pidf.Note{{Text: note}}
		}
	}
	return p
}

// priorityToMilli maps 0–127 to 0–1 in thousandths, rounded down as in the examples of RFC 8048 §6.2: every
// priority has its own.
func priorityToMilli(p int8) int { return max(int(p), 0) * 1000 / 127 }

// milliToPriority is the inverse.
func milliToPriority(milli int) int8 { return int8((min(max(milli, 0), 1000)*127 + 500) / 1000) }

// PIDFContext is what PIDFToPresences cannot find out itself.
type PIDFContext struct {
	From   xmpp.JID  // the SIP user as XMPP sees it, bare
	To     xmpp.JID  // the watcher, bare
	Now    time.Time // when the document came
	Lang   string    // Content-Language
	Domain string    // our own domain, which vouches for the time of an old presence
	// Source tells documents about the same user apart that are valid side by side: of the dialogs of a forked
	// SUBSCRIBE, or of several publications. A document replaces what the same source told before.
	Source uint32
	// OnThePhone says that the user has a call through this gateway.
	OnThePhone bool
	// Caps is the capabilities element (XEP-0115) for an available resource; nil, or a nil element: none.
	Caps func(*Resource) *xmpp.Element
	// Photo is what an available resource says of the user's picture (XEP-0153, see PhotoElement); nil, or a nil
	// element: nothing.
	Photo func(*Resource) *xmpp.Element
}

// PIDFUpdate is what a document brought.
type PIDFUpdate struct {
	Resources Resources        // all there is now, to be kept
	Presences []*xmpp.Presence // for the watcher: what is new
	Name      string           // the user's display name, if the document has one
	Mood      *xmpp.Element    // <mood/> (XEP-0107) and
	Activity  *xmpp.Element    // <activity/> (XEP-0108) of the person, nil: none
	Loss      []string         // what of the document was not understood or left out
}

// PIDFToPresences compares a document with what is kept and tells the difference (RFC 8048 §6.3). Documents are
// full state: a tuple that is gone is unavailable. d is nil for a NOTIFY without a body, which means that nothing
// is known of the user, and for a dialog or publication that is over; it makes unavailable all that the source
// has told. prev is not changed, and shares strings with what is returned.
func PIDFToPresences(prev Resources, d *pidf.Document, c PIDFContext) PIDFUpdate {
	x := document{d: d, c: &c, prev: prev}
	if d != nil {
		x.read()
	}
	u := PIDFUpdate{Resources: x.next(), Loss: x.loss}
	if d != nil {
		u.Name = x.name()
		for i := range d.Persons {
			p := &d.Persons[i]
			if u.Mood == nil {
				u.Mood = RPIDToMood(validTerms(p.Moods, c.Now), p.MoodNotes)
			}
			if u.Activity == nil {
				u.Activity = RPIDToActivity(validTerms(p.Activities, c.Now), p.ActivityNotes)
			}
		}
	}
	u.Presences = c.difference(prev, u.Resources)
	return u
}

// CallToPresences tells what changes when a call of the SIP user begins or ends (c.OnThePhone).
func CallToPresences(prev Resources, c PIDFContext) (next Resources, presences []*xmpp.Presence) {
	next = slices.Clone(prev)
	for i := range next {
		next[i].Phone = c.phone(next[i].Phone, next[i].Closed)
	}
	return next, c.difference(prev, next)
}

// ResourcesToPresences tells all that is known of a SIP user, the answer to a probe (RFC 6121 §4.3.2): one stanza
// for each available resource, or one unavailable from the bare JID.
func ResourcesToPresences(rs Resources, c PIDFContext) (presences []*xmpp.Presence) {
	for i := range rs {
		if !rs[i].Closed {
			presences = append(presences, c.presence(&rs[i]))
		}
	}
	if presences == nil {
		presences = []*xmpp.Presence{{From: c.From, To: c.To, Type: xmpp.PresenceUnavailable}}
	}
	return presences
}

// difference tells what is new, what became available first: whoever changes devices is not offline in between.
func (c *PIDFContext) difference(prev, next Resources) (list []*xmpp.Presence) {
	find := func(rs Resources, name string) *Resource {
		for i := range rs {
			if rs[i].Name == name {
				return &rs[i]
			}
		}
		return nil
	}
	for _, closed := range [...]bool{false, true} {
		for i := range next {
			r := &next[i]
			if old := find(prev, r.Name); r.Closed == closed && (old == nil || !old.same(r)) {
				list = append(list, c.presence(r))
			}
		}
	}
	for i := range prev {
		if r := &prev[i]; !r.Closed && find(next, r.Name) == nil {
			list = append(list, c.presence(&Resource{Name: r.Name, Closed: true}))
		}
	}
	return list
}

// presence is the stanza for one resource.
func (c *PIDFContext) presence(r *Resource) *xmpp.Presence {
	p := &xmpp.Presence{From: c.From, To: c.To, Lang: r.Lang, Statuses: r.Statuses}
	if full, err := c.From.WithResource(r.Name); err == nil {
		p.From = full
	}
	if at := time.Unix(r.Changed, 0); r.Changed > 0 {
		if age := c.Now.Sub(at); age > presenceDelay && age < brokenClock {
			p.Extensions = append(p.Extensions, delayElement(at, c.Domain))
		}
	}
	if r.Closed {
		p.Type = xmpp.PresenceUnavailable
		return p
	}
	p.Show, p.Priority = r.Show, r.Priority
	if r.Phone != 0 {
		if r.Show == xmpp.ShowNone || r.Show == xmpp.ShowChat {
			p.Show = xmpp.ShowDND
		}
		if len(p.Statuses) == 0 {
			p.Statuses = []xmpp.LangText{{Lang: "en", Text: textOnPhone}}
		}
	}
	if r.Idle > 0 {
		p.Extensions = append(p.Extensions, xmpp.NewElement(xmpp.NSIdle, "idle").Set("since", time.Unix(r.Idle, 0).UTC().Format(time.RFC3339)))
	}
	if c.Photo != nil {
		if e := c.Photo(r); e != nil {
			p.Extensions = append(p.Extensions, e)
		}
	}
	if c.Caps != nil {
		if e := c.Caps(r); e != nil {
			p.Extensions = append(p.Extensions, e)
		}
	}
	return p
}

// PhotoElement says in a presence which picture a user has (XEP-0153): the one whose SHA-1 in hexadecimal is hash,
// with "" none at all. While that is not known yet, it says no more than that it will be told.
func PhotoElement(hash string, known bool) *xmpp.Element {
	x := xmpp.NewElement(xmpp.NSVCardUpdate, "x")
	if !known {
		return x
	}
	photo := xmpp.NewElement(xmpp.NSVCardUpdate, "photo")
	if hash = strings.ToLower(hash); isSHA1(hash) {
		photo.AddText(hash)
	}
	return x.Add(photo)
}

func (c *PIDFContext) phone(p Phone, closed bool) Phone {
	if p &^= PhoneCall; c.OnThePhone && !closed {
		p |= PhoneCall
	}
	return p
}

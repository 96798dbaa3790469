package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

const (
	// maxResources bounds what is kept of one user, and so how many stanzas one document can cause.
	maxResources = 32
	// maxStatus bounds a status text, in bytes.
	maxStatus = 1024
	// maxLanguages bounds how many languages of a status are kept.
	maxLanguages = 4
	// presenceDelay is the age from which on a presence tells its time (XEP-0203).
	presenceDelay = 60 * time.Second
	// oneResource is the resource of a SIP user whose device has no name: calls need a full JID.
	oneResource = "sip"
	// textOnPhone stands in for the status of somebody who is on the phone and says nothing else.
	textOnPhone = "On the phone"
)

// Resource is the presence of one device, kept between notifications: of an XMPP user what came from one
// resource, of a SIP user what one tuple told. It holds no more than the other side can be told, and owns its
// strings.
type Resource struct {
	Name     string // resourcepart in prepared form; of an XMPP user "" for presence from the bare JID
	Closed   bool   // unavailable
	Show     xmpp.Show
	Priority int8
	Lang     string          // of Statuses that name none
	Statuses []xmpp.LangText // one for each language
	Idle     int64           // since when nobody touched the device, Unix seconds; 0: it is in use, or nothing is known
	Changed  int64           // since when it is like this, Unix seconds; 0 when not known
	// Avatar is the SHA-1 hash of an XMPP user's picture (XEP-0153), and the URI of a SIP user's (CIPID icon).
	Avatar string
	// Capabilities are what the device can be called for: of an XMPP user filled in by whoever knows its disco
	// features, of a SIP user from its document (RFC 5196).
	Capabilities pidf.Capabilities

	// Of a SIP user only:

	Source  uint32 // which dialog or publication told it, see PIDFContext
	Tuple   uint64 // hash of the tuple id
	Contact uint64 // hash of the contact URI
	Phone   Phone
}

// Phone is who says that the user of a device is on the phone.
type Phone uint8

// The bits of Phone.
const (
	PhoneTold Phone = 1 << iota // the document
	PhoneCall                   // our own calls
)

// Resources is all there is of one user, at most 32. A nil one is a user who is offline.
type Resources []Resource

// ResourceOf takes from a presence stanza what is kept; now is when it came. ok is false for stanzas that are no
// notification (RFC 8048 §6.2, note 1).
func ResourceOf(p *xmpp.Presence, now time.Time) (r Resource, ok bool) {
	if p.Type != xmpp.PresenceAvailable && p.Type != xmpp.PresenceUnavailable {
		return Resource{}, false
	}
	r = Resource{
		Name: strings.Clone(p.From.Resource()), Closed: p.Type == xmpp.PresenceUnavailable,
		Lang: strings.Clone(validLang(p.Lang)), Changed: now.Unix(),
	}
	if !r.Closed {
		r.Show, r.Priority = showNamed(string(p.Show)), p.Priority
	}
	for _, s := range p.Statuses {
		r.addStatus(validLang(s.Lang), s.Text)
	}
	for _, e := range p.Extensions {
		switch {
		case e.Is(xmpp.NSIdle, "idle"):
			if t, ok := past(e.Attribute("since"), now); ok && !r.Closed {
				r.Idle = t.Unix()
			}
		case e.Is(xmpp.NSLast, "query"): // XEP-0256, before XEP-0319
			if n, err := strconv.ParseUint(e.Attribute("seconds"), 10, 31); err == nil && r.Idle == 0 && !r.Closed {
				r.Idle = now.Unix() - int64(n)
			}
		case e.Is(xmpp.NSDelay, "delay"):
			if t, ok := past(e.Attribute("stamp"), now); ok {
				r.Changed = t.Unix()
			}
		case e.Is(xmpp.NSVCardUpdate, "x"):
			if hash := strings.ToLower(strings.TrimSpace(e.Child(xmpp.NSVCardUpdate, "photo").Text())); isSHA1(hash) {
				r.Avatar = hash
			}
		}
	}
	return r, true
}

// past reads a time of XEP-0082 that is not in the future.
func past(s string, now time.Time) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil && t.Unix() > 0 && !t.After(now)
}

func isSHA1(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 40
}

// addStatus adds the text of one language, the first of each (RFC 6121 §4.7.2.2).
func (r *Resource) addStatus(lang, text string) {
	text, _ = cleanText(text)
	text = clipText(strings.TrimSpace(text), maxStatus)
	if text == "" || len(r.Statuses) == maxLanguages || slices.ContainsFunc(r.Statuses, func(s xmpp.LangText) bool { return s.Lang == lang }) {
		return
	}
	r.Statuses = append(r.Statuses, xmpp.LangText{Lang: strings.Clone(lang), Text: strings.Clone(text)})
}

// clipText cuts a text at most max bytes long, between two characters.
func clipText(s string, max int) string {
	if len(s) <= max {
		return s
	}
	n := max - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// showNamed is the constant for a show, so that no stanza is kept for it.
func showNamed(s string) xmpp.Show {
	for _, show := range [...]xmpp.Show{xmpp.ShowAway, xmpp.ShowChat, xmpp.ShowDND, xmpp.ShowXA} {
		if s == string(show) {
			return show
		}
	}
	return xmpp.ShowNone
}

// same reports whether the other side would be told the same of both, the time left out.
func (r *Resource) same(o *Resource) bool {
	return r.Closed == o.Closed && r.Show == o.Show && r.Priority == o.Priority && r.Lang == o.Lang && r.Idle == o.Idle &&
		r.Avatar == o.Avatar && r.Capabilities == o.Capabilities && (r.Phone != 0) == (o.Phone != 0) && slices.Equal(r.Statuses, o.Statuses)
}

// Update is the list after a resource of an XMPP user has told something; changed is false when that is nothing
// new. A resource that is gone stays in the list as closed until Told. Presence of type unavailable from the
// bare JID closes all. The capabilities of a resource that tells none are kept. rs is not used any more.
func (rs Resources) Update(r Resource) (next Resources, changed bool) {
	i := slices.IndexFunc(rs, func(o Resource) bool { return o.Name == r.Name })
	switch {
	case r.Closed && r.Name == "":
		for i := range rs {
			if !rs[i].Closed {
				rs[i] = Resource{Name: rs[i].Name, Closed: true, Changed: r.Changed, Statuses: r.Statuses, Lang: r.Lang}
				changed = true
			}
		}
		return rs, changed
	case i < 0 && (r.Closed || len(rs) >= maxResources):
		return rs, false
	case i < 0:
		return append(rs, r), true
	}
	if r.Capabilities == (pidf.Capabilities{}) && !r.Closed {
		r.Capabilities = rs[i].Capabilities
	}
	if rs[i].same(&r) {
		return rs, false
	}
	rs[i] = r
	return rs, true
}

// Told drops what was told as closed: a resource that went is told once (SIP has no other word for going). rs is
// not used any more.
func (rs Resources) Told() Resources {
	rs = slices.DeleteFunc(rs, func(r Resource) bool { return r.Closed })
	if len(rs) == 0 {
		return nil
	}
	return rs
}

// Available reports whether any device is.
func (rs Resources) Available() bool {
	return slices.ContainsFunc(rs, func(r Resource) bool { return !r.Closed })
}

// availability puts shows in order: who is more available is asked first.
func availability(s xmpp.Show) int {
	switch s {
	case xmpp.ShowChat:
		return 4
	case xmpp.ShowNone:
		return 3
	case xmpp.ShowAway:
		return 2
	case xmpp.ShowXA:
		return 1
	}
	return 0
}

// byRank compares for the order in which the resources of a user are told: open ones, then by priority, then by
// availability.
func byRank(a, b *Resource) int {
	switch {
	case a.Closed != b.Closed:
		if a.Closed {
			return 1
		}
		return -1
	case a.Priority != b.Priority:
		return int(b.Priority) - int(a.Priority)
	case a.Show != b.Show:
		return availability(b.Show) - availability(a.Show)
	}
	return strings.Compare(a.Name, b.Name)
}

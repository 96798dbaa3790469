package pidf

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Append writes the document, in the order of the schemas, and returns the extended buffer. The same document
// gives the same bytes. Ids that are no xs:ID or occur twice are replaced, terms whose name is no XML name and
// times outside the years 1–9999 are left out.
func (d *Document) Append(dst []byte) []byte {
	w := writer{b: append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<presence xmlns="`+NS+`"`...), doc: d}
	w.declare()
	w.attr(" entity", d.Entity)
	w.b = append(w.b, '>')
	for i := range d.Tuples {
		w.tuple(&d.Tuples[i], i)
	}
	w.notes("note", d.Notes)
	for i := range d.Persons {
		w.person(&d.Persons[i], i)
	}
	for i := range d.Devices {
		w.device(&d.Devices[i], i)
	}
	return append(w.b, "</presence>"...)
}

func (d *Document) String() string { return string(d.Append(nil)) }

type writer struct {
	b   []byte
	doc *Document
}

// declare writes the namespaces that the document uses.
func (w *writer) declare() {
	var used space
	rich := func(r *Rich) {
		if !r.IsZero() {
			used |= spaceRPID
		}
	}
	card := func(c *Card) {
		if !c.IsZero() {
			used |= spaceCIPID
		}
	}
	for i := range w.doc.Tuples {
		t := &w.doc.Tuples[i]
		rich(&t.Rich)
		card(&t.Card)
		if t.DeviceID != "" {
			used |= spaceModel
		}
		if t.Relationship != "" {
			used |= spaceRPID
		}
		if t.Capabilities != (Capabilities{}) {
			used |= spaceCaps
		}
		if len(t.Timed) > 0 {
			used |= spaceTimed
		}
	}
	for i := range w.doc.Persons {
		rich(&w.doc.Persons[i].Rich)
		card(&w.doc.Persons[i].Card)
		used |= spaceModel
	}
	for i := range w.doc.Devices {
		used |= spaceModel
		if w.doc.Devices[i].Input != (UserInput{}) {
			used |= spaceRPID
		}
	}
	for _, x := range [...]struct {
		space space
		decl  string
	}{
		{spaceModel, ` xmlns:dm="` + NSDataModel + `"`},
		{spaceRPID, ` xmlns:rpid="` + NSRPID + `"`},
		{spaceCIPID, ` xmlns:c="` + NSCIPID + `"`},
		{spaceCaps, ` xmlns:caps="` + NSCaps + `"`},
		{spaceTimed, ` xmlns:ts="` + NSTimedStatus + `"`},
	} {
		if used&x.space != 0 {
			w.b = append(w.b, x.decl...)
		}
	}
}

// tuple: status, extensions, contact, notes, timestamp (RFC 3863 §4.1).
func (w *writer) tuple(t *Tuple, i int) {
	w.b = append(w.b, "<tuple"...)
	w.id(t.ID, "t", i)
	w.b = append(w.b, "><status>"...)
	w.text("basic", t.Basic.String())
	w.text(`show xmlns="`+NSShow+`"`, t.Show)
	w.b = append(w.b, "</status>"...)
	w.text("dm:deviceID", t.DeviceID)
	if isNCName(t.Relationship) {
		w.b = append(w.b, "<rpid:relationship><rpid:"...)
		w.b = append(w.b, t.Relationship...)
		w.b = append(w.b, "/></rpid:relationship>"...)
	}
	w.rich(&t.Rich)
	w.card(&t.Card)
	w.capabilities(t.Capabilities)
	for i := range t.Timed {
		w.timed(&t.Timed[i])
	}
	if t.URI != "" {
		w.b = append(w.b, "<contact"...)
		if t.Ranked {
			w.b = append(w.b, ` priority="`...)
			w.b = appendQValue(w.b, t.Priority)
			w.b = append(w.b, '"')
		}
		w.b = append(w.b, '>')
		w.b = appendEscaped(w.b, t.URI, false)
		w.b = append(w.b, "</contact>"...)
	}
	w.notes("note", t.Notes)
	w.time("timestamp", t.Timestamp)
	w.b = append(w.b, "</tuple>"...)
}

// person: extensions, notes, timestamp (RFC 4479 §4).
func (w *writer) person(x *Person, i int) {
	w.b = append(w.b, "<dm:person"...)
	w.id(x.ID, "p", i)
	w.b = append(w.b, '>')
	w.rich(&x.Rich)
	w.card(&x.Card)
	w.notes("dm:note", x.Notes)
	w.time("dm:timestamp", x.Timestamp)
	w.b = append(w.b, "</dm:person>"...)
}

// device: extensions, deviceID, notes, timestamp (RFC 4479 §4).
func (w *writer) device(x *Device, i int) {
	w.b = append(w.b, "<dm:device"...)
	w.id(x.ID, "d", i)
	w.b = append(w.b, '>')
	w.userInput(x.Input)
	w.b = append(w.b, "<dm:deviceID>"...)
	w.b = appendEscaped(w.b, x.DeviceID, false)
	w.b = append(w.b, "</dm:deviceID>"...)
	w.notes("dm:note", x.Notes)
	w.time("dm:timestamp", x.Timestamp)
	w.b = append(w.b, "</dm:device>"...)
}

func (w *writer) rich(r *Rich) {
	w.terms("rpid:activities", r.Activities, r.ActivityNotes)
	w.terms("rpid:mood", r.Moods, r.MoodNotes)
	if r.PlaceIs != (Surroundings{}) {
		w.b = append(w.b, "<rpid:place-is>"...)
		w.choice("audio", r.PlaceIs.Audio)
		w.choice("video", r.PlaceIs.Video)
		w.choice("text", r.PlaceIs.Text)
		w.b = append(w.b, "</rpid:place-is>"...)
	}
	w.terms("rpid:place-type", r.Places, nil)
	w.userInput(r.Input)
}

func (w *writer) choice(medium, value string) {
	if !isNCName(value) {
		return
	}
	w.b = append(w.b, "<rpid:"...)
	w.b = append(w.b, medium...)
	w.b = append(w.b, "><rpid:"...)
	w.b = append(w.b, value...)
	w.b = append(w.b, "/></rpid:"...)
	w.b = append(w.b, medium...)
	w.b = append(w.b, '>')
}

// terms writes one enumeration for each run of terms with the same validity; the notes go into the first.
func (w *writer) terms(element string, list []Term, notes []Note) {
	for len(list)+len(notes) > 0 {
		n := 0
		for n < len(list) && list[n].From.Equal(list[0].From) && list[n].Until.Equal(list[0].Until) {
			n++
		}
		w.b = append(w.b, '<')
		w.b = append(w.b, element...)
		if n > 0 {
			w.timeAttr(" from", list[0].From)
			w.timeAttr(" until", list[0].Until)
		}
		w.b = append(w.b, '>')
		w.notes("rpid:note", notes)
		for i := range list[:n] {
			w.term(&list[i])
		}
		w.b = append(w.b, "</"...)
		w.b = append(w.b, element...)
		w.b = append(w.b, '>')
		list, notes = list[n:], nil
	}
}

func (w *writer) term(t *Term) {
	switch {
	case !isNCName(t.Name):
	case t.Space != "":
		w.b = append(w.b, '<')
		w.b = append(w.b, t.Name...)
		w.attr(" xmlns", t.Space)
		w.b = append(w.b, "/>"...)
	case t.Text != "":
		w.text("rpid:"+t.Name, t.Text)
	default:
		w.b = append(w.b, "<rpid:"...)
		w.b = append(w.b, t.Name...)
		w.b = append(w.b, "/>"...)
	}
}

func (w *writer) userInput(u UserInput) {
	if u.State == UsageUnknown {
		return
	}
	w.b = append(w.b, "<rpid:user-input"...)
	if s := int64(u.Threshold / time.Second); s > 0 {
		w.b = append(w.b, ` idle-threshold="`...)
		w.b = strconv.AppendInt(w.b, s, 10)
		w.b = append(w.b, '"')
	}
	w.timeAttr(" last-input", u.Last)
	w.b = append(w.b, '>')
	w.b = append(w.b, u.State.String()...)
	w.b = append(w.b, "</rpid:user-input>"...)
}

func (w *writer) card(c *Card) {
	w.text("c:card", c.Card)
	w.notes("c:display-name", c.Names)
	w.text("c:homepage", c.Homepage)
	w.text("c:icon", c.Icon)
	w.text("c:map", c.Map)
	w.text("c:sound", c.Sound)
}

// capabilities in the order of RFC 5196 §6.
func (w *writer) capabilities(c Capabilities) {
	if c == (Capabilities{}) {
		return
	}
	w.b = append(w.b, "<caps:servcaps>"...)
	w.support("caps:audio", c.Audio)
	w.support("caps:isfocus", c.Focus)
	w.support("caps:message", c.Message)
	w.support("caps:text", c.Text)
	w.support("caps:video", c.Video)
	w.b = append(w.b, "</caps:servcaps>"...)
}

func (w *writer) support(element string, s Support) {
	switch s {
	case Supported:
		w.text(element, "true")
	case NotSupported:
		w.text(element, "false")
	}
}

func (w *writer) timed(t *TimedStatus) {
	if !writable(t.From) {
		return
	}
	w.b = append(w.b, "<ts:timed-status"...)
	w.timeAttr(" from", t.From)
	w.timeAttr(" until", t.Until)
	w.b = append(w.b, '>')
	w.text("ts:basic", t.Basic.String())
	w.note("ts:note", &t.Note)
	w.b = append(w.b, "</ts:timed-status>"...)
}

func (w *writer) notes(element string, list []Note) {
	for i := range list {
		w.note(element, &list[i])
	}
}

func (w *writer) note(element string, n *Note) {
	if n.Text == "" {
		return
	}
	w.b = append(w.b, '<')
	w.b = append(w.b, element...)
	if n.Lang != "" {
		w.attr(" xml:lang", n.Lang)
	}
	w.b = append(w.b, '>')
	w.b = appendEscaped(w.b, n.Text, false)
	w.end(element)
}

// text writes an element with text; element may carry attributes. Nothing is written for an empty text.
func (w *writer) text(element, s string) {
	if s == "" {
		return
	}
	w.b = append(w.b, '<')
	w.b = append(w.b, element...)
	w.b = append(w.b, '>')
	w.b = appendEscaped(w.b, s, false)
	w.end(element)
}

func (w *writer) end(element string) {
	w.b = append(w.b, "</"...)
	for i := 0; i < len(element) && element[i] != ' '; i++ {
		w.b = append(w.b, element[i])
	}
	w.b = append(w.b, '>')
}

func (w *writer) time(element string, t time.Time) {
	if !writable(t) {
		return
	}
	w.b = append(w.b, '<')
	w.b = append(w.b, element...)
	w.b = append(w.b, '>')
	w.b = t.UTC().AppendFormat(w.b, time.RFC3339Nano)
	w.end(element)
}

func (w *writer) timeAttr(name string, t time.Time) {
	if !writable(t) {
		return
	}
	w.b = append(w.b, name...)
	w.b = append(w.b, `="`...)
	w.b = t.UTC().AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
}

func writable(t time.Time) bool {
	return !t.IsZero() && t.UTC().Year() >= 1 && t.UTC().Year() <= 9999
}

func (w *writer) attr(name, value string) {
	w.b = append(w.b, name...)
	w.b = append(w.b, `="`...)
	w.b = appendEscaped(w.b, value, true)
	w.b = append(w.b, '"')
}

// id writes an xs:ID that occurs once in the document: the given one, or a letter and a number.
func (w *writer) id(id, letter string, i int) {
	if !isNCName(id) || w.taken(id, letter, i) {
		id = letter + strconv.Itoa(i+1)
		for w.taken(id, "", 0) {
			id += "-"
		}
	}
	w.attr(" id", id)
}

// taken reports whether an element before the i-th of its kind has the id, or any at all for the kind "".
func (w *writer) taken(id, kind string, i int) bool {
	for n := range w.doc.Tuples {
		if kind == "t" && n == i {
			return false
		}
		if w.doc.Tuples[n].ID == id {
			return true
		}
	}
	for n := range w.doc.Persons {
		if kind == "p" && n == i {
			return false
		}
		if w.doc.Persons[n].ID == id {
			return true
		}
	}
	for n := range w.doc.Devices {
		if kind == "d" && n == i {
			return false
		}
		if w.doc.Devices[n].ID == id {
			return true
		}
	}
	return false
}

// appendQValue writes thousandths as 0–1 with at most three digits (RFC 3863 §4.1.5).
func appendQValue(dst []byte, milli int) []byte {
	switch {
	case milli >= 1000:
		return append(dst, '1')
	case milli <= 0:
		return append(dst, '0')
	}
	digits := [...]byte{byte('0' + milli/100), byte('0' + milli/10%10), byte('0' + milli%10)}
	n := 3
	for digits[n-1] == '0' {
		n--
	}
	return append(append(dst, "0."...), digits[:n]...)
}

// isNCName is an XML name without colon. Letters beyond ASCII are not taken: no list of ours has one, and many
// readers would not.
func isNCName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// plain is what needs no second look in text or in the value of an attribute.
var plain = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '&' && c != '<' && c != '>' && c != '"'
	}
	return t
}()

// appendEscaped writes text, or the value of an attribute. What XML has no place for becomes U+FFFD.
func appendEscaped(dst []byte, s string, inAttr bool) []byte {
	start := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		to := ""
		switch {
		case r == utf8.RuneError && size == 1, !xmlRune(r):
			to = "\uFFFD"
		case r == '&':
			to = "&amp;"
		case r == '<':
			to = "&lt;"
		case r == '>':
			to = "&gt;"
		case r == '\r':
			to = "&#xD;"
		case r == '"' && inAttr:
			to = "&quot;"
		case r == '\n' && inAttr:
			to = "&#xA;"
		case r == '\t' && inAttr:
			to = "&#x9;"
		}
		if to != "" {
			dst = append(append(dst, s[start:i]...), to...)
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

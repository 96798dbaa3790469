package pidf

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Parse reads a document. It takes what phones send as far as it can have a meaning: tuples without id or basic,
// a person without id or inside a tuple, documents without tuples, times and numbers that cannot be read (they
// count as absent). Notes without text are left out. The errors are ErrMalformed, ErrTooLarge and
// ErrUnsupported; of a document with too many tuples the first ones are kept, see Dropped.
func Parse(data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	if bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.HasPrefix(data, []byte("\xff\xfe")) {
		return nil, fmt.Errorf("%w: UTF-16", ErrUnsupported)
	}
	p := parser{doc: &Document{}}
	if p.s = string(data); !utf8.ValidString(p.s) {
		p.s = latin1(data)
	}
	if p.next() == kindStart {
		if p.is(spacePIDF, "presence") || p.is(spaceDiff, "pidf-full") {
			p.presence()
		} else {
			p.fail(ErrUnsupported, "root element %.64q in %.64q", p.local, p.uri)
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.doc, nil
}

// latin1 converts what is no UTF-8, whatever it is declared to be: the field declares Latin-1 and sends UTF-8,
// and the other way round.
func latin1(data []byte) string {
	var b strings.Builder
	b.Grow(len(data) + len(data)/8)
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

type parser struct {
	scanner
	doc   *Document
	loose string // the last text between the elements of a loop over child
}

// child goes to the next child element; false at the end of the parent, or after an error. Whoever loops over it
// reads each child to its end.
func (p *parser) child() bool {
	for {
		switch p.next() {
		case kindStart:
			return true
		case kindText:
			if t := strings.TrimSpace(p.text); t != "" {
				p.loose = t
			}
		default:
			return false
		}
	}
}

// skip reads to the end of the element.
func (p *parser) skip() {
	for depth := 1; depth > 0; {
		switch p.next() {
		case kindStart:
			depth++
		case kindEnd:
			depth--
		case kindError:
			return
		}
	}
}

// content reads the element to its end and returns its text, without that of elements inside.
func (p *parser) content() string {
	var text string // mostly there is one piece, and it is not copied
	var more []byte
	for depth := 1; depth > 0; {
		switch p.next() {
		case kindStart:
			depth++
		case kindEnd:
			depth--
		case kindText:
			switch {
			case depth > 1:
			case text == "":
				text = p.text
			default:
				more = append(more, p.text...)
			}
		case kindError:
			return ""
		}
	}
	if more != nil {
		text += string(more)
	}
	return strings.TrimSpace(text)
}

func (p *parser) is(s space, local string) bool { return p.space&s != 0 && p.local == local }

func (p *parser) presence() {
	d := p.doc
	d.Entity = strings.TrimSpace(p.attr("entity"))
	for p.child() {
		switch {
		case p.is(spacePIDF, "tuple"):
			if len(d.Tuples) == maxTuples {
				d.Dropped++
				p.skip()
				continue
			}
			if d.Tuples == nil {
				d.Tuples = make([]Tuple, 0, 2) // they are large, and mostly one or two
			}
			d.Tuples = append(d.Tuples, Tuple{})
			p.tuple(&d.Tuples[len(d.Tuples)-1])
		case p.is(spaceOurs, "note"):
			p.note(&d.Notes)
		case p.is(spaceOurs, "person"):
			p.person()
		case p.is(spaceOurs, "device"):
			p.device()
		default:
			p.skip()
		}
	}
}

func (p *parser) tuple(t *Tuple) {
	t.ID = strings.TrimSpace(p.attr("id"))
	for p.child() {
		switch {
		case p.is(spacePIDF, "status"):
			for p.child() {
				p.status(t)
			}
		case p.is(spacePIDF, "contact"):
			t.Priority, t.Ranked = qvalue(p.attr("priority"))
			t.URI = p.content()
		case p.is(spaceOurs, "timestamp"):
			t.Timestamp = dateTime(p.content())
		case p.is(spaceOurs, "deviceID"):
			t.DeviceID = p.content()
		case p.is(spaceRPID, "relationship"):
			for p.child() {
				if t.Relationship == "" && !p.is(spaceOurs, "note") {
					t.Relationship = p.local
				}
				p.skip()
			}
		case p.is(spaceTimed, "timed-status"):
			p.timed(t)
		case p.is(spaceCaps, "servcaps"):
			for p.child() {
				p.capability(&t.Capabilities)
			}
		case p.is(spaceOurs, "person"):
			p.person()
		default:
			p.status(t)
		}
	}
}

// status reads a child of <status/>. Several of them also stand beside it, in documents by hand and by RFC 4480.
func (p *parser) status(t *Tuple) {
	switch {
	case p.is(spacePIDF, "basic"):
		t.Basic = basic(p.content())
	case p.is(spaceShow, "show"):
		t.Show = p.content()
	case p.is(spaceOurs, "note"):
		p.note(&t.Notes)
	case p.rich(&t.Rich), p.card(&t.Card):
	default:
		p.skip()
	}
}

func (p *parser) person() {
	d := p.doc
	if len(d.Persons) == maxPersons {
		d.Dropped++
		p.skip()
		return
	}
	d.Persons = append(d.Persons, Person{ID: strings.TrimSpace(p.attr("id"))})
	p.personal(&d.Persons[len(d.Persons)-1])
}

// personal reads what a person contains. The drafts had a <status/> in between.
func (p *parser) personal(x *Person) {
	for p.child() {
		switch {
		case p.is(spaceOurs, "status"):
			p.personal(x)
		case p.is(spaceOurs, "note"):
			p.note(&x.Notes)
		case p.is(spaceOurs, "timestamp"):
			x.Timestamp = dateTime(p.content())
		case p.rich(&x.Rich), p.card(&x.Card):
		default:
			p.skip()
		}
	}
}

func (p *parser) device() {
	d := p.doc
	if len(d.Devices) == maxDevices {
		d.Dropped++
		p.skip()
		return
	}
	x := Device{ID: strings.TrimSpace(p.attr("id"))}
	for p.child() {
		switch {
		case p.is(spaceOurs, "deviceID"):
			x.DeviceID = p.content()
		case p.is(spaceOurs, "user-input"):
			x.Input = p.userInput()
		case p.is(spaceOurs, "note"):
			p.note(&x.Notes)
		case p.is(spaceOurs, "timestamp"):
			x.Timestamp = dateTime(p.content())
		default:
			p.skip()
		}
	}
	d.Devices = append(d.Devices, x)
}

// rich reads an element of RPID; false when it is none.
func (p *parser) rich(r *Rich) bool {
	if p.space&spaceOurs == 0 {
		return false
	}
	switch p.local {
	case "activities":
		p.terms(&r.Activities, &r.ActivityNotes)
	case "mood":
		p.terms(&r.Moods, &r.MoodNotes)
	case "place-type":
		p.terms(&r.Places, nil)
	case "place-is":
		for p.child() {
			switch p.local {
			case "audio":
				p.choice(&r.PlaceIs.Audio)
			case "video":
				p.choice(&r.PlaceIs.Video)
			case "text":
				p.choice(&r.PlaceIs.Text)
			default:
				p.skip()
			}
		}
	case "user-input":
		r.Input = p.userInput()
	default:
		return false
	}
	return true
}

// choice reads the name of the only child.
func (p *parser) choice(dst *string) {
	for p.child() {
		if *dst == "" && p.space&spaceOurs != 0 {
			*dst = p.local
		}
		p.skip()
	}
}

// terms reads an enumeration. The drafts wrote <activity>away</activity>, and some write only the word.
func (p *parser) terms(dst *[]Term, notes *[]Note) {
	from, until := dateTime(p.attr("from")), dateTime(p.attr("until"))
	n := len(*dst)
	add := func(t Term) {
		t.From, t.Until = from, until
		switch {
		case t.Name == "" || slices.Contains(*dst, t):
		case len(*dst) == maxTerms:
			p.doc.Dropped++
		default:
			*dst = append(*dst, t)
		}
	}
	p.loose = ""
	for p.child() {
		switch {
		case p.space&spaceOurs == 0:
			t := Term{Space: p.uri, Name: p.local}
			p.skip()
			add(t)
		case p.local == "note":
			if notes == nil {
				p.skip()
			} else {
				p.note(notes)
			}
		case p.local == "activity":
			add(Term{Name: word(p.content())})
		case p.local == "other":
			t := Term{Name: p.local, Text: p.attr("description")}
			if text := p.content(); text != "" {
				t.Text = text
			}
			add(t)
		default:
			t := Term{Name: p.local}
			p.skip()
			add(t)
		}
	}
	if len(*dst) == n && p.loose != "" {
		add(Term{Name: word(p.loose)})
	}
}

// word is the name in the text "ep:away"; "" when the text is no single word.
func word(s string) string {
	s = s[strings.IndexByte(s, ':')+1:]
	if !isNCName(s) {
		return ""
	}
	return s
}

func (p *parser) userInput() (u UserInput) {
	u.Last = dateTime(p.attr("last-input"))
	if n, err := strconv.ParseUint(strings.TrimSpace(p.attr("idle-threshold")), 10, 31); err == nil {
		u.Threshold = time.Duration(n) * time.Second
	}
	switch strings.ToLower(p.content()) {
	case "idle":
		u.State = Idle
	case "active":
		u.State = Active
	}
	return u
}

// card reads an element of CIPID; false when it is none.
func (p *parser) card(c *Card) bool {
	if p.space != spaceCIPID {
		return false
	}
	switch p.local {
	case "display-name":
		p.note(&c.Names)
	case "card":
		c.Card = p.content()
	case "homepage":
		c.Homepage = p.content()
	case "icon":
		c.Icon = p.content()
	case "map":
		c.Map = p.content()
	case "sound":
		c.Sound = p.content()
	default:
		return false
	}
	return true
}

func (p *parser) capability(c *Capabilities) {
	var dst *Support
	if p.space&spaceCaps != 0 {
		switch p.local {
		case "audio":
			dst = &c.Audio
		case "isfocus":
			dst = &c.Focus
		case "message":
			dst = &c.Message
		case "text":
			dst = &c.Text
		case "video":
			dst = &c.Video
		}
	}
	if dst == nil {
		p.skip()
		return
	}
	switch strings.ToLower(p.content()) {
	case "true", "1":
		*dst = Supported
	case "false", "0":
		*dst = NotSupported
	}
}

func (p *parser) timed(t *Tuple) {
	x := TimedStatus{From: dateTime(p.attr("from")), Until: dateTime(p.attr("until"))}
	for p.child() {
		switch {
		case p.is(spaceTimed|spacePIDF, "basic"):
			x.Basic = basic(p.content())
		case p.is(spaceTimed|spaceOurs, "note"):
			x.Note.Lang = p.attr("xml:lang")
			x.Note.Text = p.content()
		default:
			p.skip()
		}
	}
	switch {
	case x.From.IsZero(): // RFC 4481 §3: mandatory, and nothing can be told without it
	case len(t.Timed) == maxTimed:
		p.doc.Dropped++
	default:
		t.Timed = append(t.Timed, x)
	}
}

func (p *parser) note(dst *[]Note) {
	n := Note{Lang: strings.TrimSpace(p.attr("xml:lang"))}
	n.Text = p.content()
	switch {
	case n.Text == "":
	case len(*dst) == maxNotes:
		p.doc.Dropped++
	default:
		*dst = append(*dst, n)
	}
}

func basic(s string) Basic {
	switch strings.ToLower(s) {
	case "open":
		return Open
	case "closed":
		return Closed
	}
	return NoBasic
}

// qvalue reads 0–1 as thousandths, further digits dropped. More than 1 counts as 1, and a comma as a point: both
// occur in the field.
func qvalue(s string) (milli int, ok bool) {
	s = strings.TrimSpace(s)
	whole, frac := s, ""
	if i := strings.IndexAny(s, ".,"); i >= 0 {
		whole, frac = s[:i], s[i+1:]
	}
	if whole == "" && frac == "" || len(whole) > 9 || !digits(whole) || !digits(frac) {
		return 0, false
	}
	for _, c := range whole {
		if c != '0' {
			return 1000, true
		}
	}
	for i := range 3 {
		milli *= 10
		if i < len(frac) {
			milli += int(frac[i] - '0')
		}
	}
	return milli, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// dateTime reads an xs:dateTime, in UTC when it names no zone. What cannot be read, or not be written again, is
// the zero time.
func dateTime(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	s = strings.TrimSpace(s)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// From the tuples of a document to devices. What names a device, the best first:
//
//   - the gr of its contact, and then its deviceID, or a contact that is the address of a machine: the device has
//     the same resource as in messages and calls (DeviceResource);
//   - a tuple id that was made from a resource;
//   - what it was named before, if the id of its tuple, or else its contact, is the same as then: there are phones
//     that make a new id for every document;
//   - "sip" if it is the only one, so that most users have the same resource after a restart;
//   - the tuple id.

// device is a tuple on its way to a resource.
type device struct {
	Resource
	strong bool // Name is there, and not because of what came before
	hint   string
}

// document is a document on its way to resources.
type document struct {
	d       *pidf.Document
	c       *PIDFContext
	prev    Resources
	devices []device
	loss    []string

	speaksShow bool // some tuple has a <show/>: those without one show nothing
	anyBasic   bool
	anyTerm    bool
	person     engaged     // what all persons do
	notes      []pidf.Note // what they say, and no tuple does
}

func (x *document) lose(what string) { lose(&x.loss, what) }

func (x *document) read() {
	d := x.d
	for i := range d.Tuples {
		t := &d.Tuples[i]
		x.speaksShow = x.speaksShow || t.Show != ""
		x.anyBasic = x.anyBasic || t.Basic != pidf.NoBasic
		x.anyTerm = x.anyTerm || len(t.Activities) > 0
	}
	var terms [][]pidf.Term
	for i := range d.Persons {
		terms = append(terms, d.Persons[i].Activities)
		x.anyTerm = x.anyTerm || len(d.Persons[i].Activities) > 0
	}
	x.person = activities(x.c.Now, terms...)
	x.personNotes()
	for i := range d.Tuples {
		x.tuple(&d.Tuples[i])
	}
	if len(d.Tuples) == 0 && x.person.open() {
		x.tuple(&pidf.Tuple{Basic: pidf.Open}) // Cisco tells the person only
	}
	if d.Dropped > 0 {
		x.lose("document: " + strconv.Itoa(d.Dropped) + " elements too many")
	}
}

// personNotes finds the notes of the first person that has some. Notes of a person that repeat those of a tuple
// belong to that one: our own documents have such.
func (x *document) personNotes() {
	for i := range x.d.Persons {
		notes := x.d.Persons[i].Notes
		if len(notes) > 0 && !slices.ContainsFunc(x.d.Tuples, func(t pidf.Tuple) bool { return slices.Equal(t.Notes, notes) }) {
			x.notes = notes
			return
		}
	}
}

func (x *document) tuple(t *pidf.Tuple) {
	r := Resource{Source: x.c.Source, Tuple: fnv(fnvStart, t.ID), Contact: fnv(fnvStart, t.URI), Lang: strings.Clone(firstLang(x.c.Lang))}
	uri, ok := tupleContact(t.URI)
	if why := x.foreign(t, uri, ok); why != "" {
		x.lose("tuple: " + why)
		return
	}
	own := activities(x.c.Now, t.Activities)
	if !x.basic(t, own, &r) {
		x.lose("tuple: without basic")
		return
	}
	in := x.input(t)
	x.show(t, own, in, &r)
	x.statuses(t, &r)
	if last := in.Last; in.State == pidf.Idle && !r.Closed && last.Unix() > 0 && !last.After(x.c.Now) {
		r.Idle = last.Unix()
	}
	if t.Ranked {
		r.Priority = milliToPriority(t.Priority)
	}
	if at := x.changed(t); !at.IsZero() {
		r.Changed = at.Unix()
	}
	r.Avatar, r.Capabilities = strings.Clone(x.icon(t)), t.Capabilities
	r.Phone = x.c.phone(r.Phone, r.Closed)
	dev := device{Resource: r, hint: t.ID}
	dev.Name, dev.strong = x.resource(t, uri, ok)
	x.add(dev)
}

// foreign tells why a tuple is no device of the presentity; "" when it is one.
func (x *document) foreign(t *pidf.Tuple, uri sip.URI, ok bool) string {
	switch t.Relationship {
	case "", "self", "unknown", "other":
	default:
		return "of " + cleanLine(t.Relationship, 32)
	}
	if !ok {
		return ""
	}
	switch uri.Scheme {
	case "sip", "sips", "pres", "im":
		return ""
	case "tel":
		if strings.HasPrefix(x.d.Entity, "tel:") {
			return ""
		}
	}
	return "contact is " + cleanLine(uri.Scheme, 32) + ":"
}

// basic finds out whether a tuple is open; false when it tells nothing about that. RFC 3863 allows a status
// without basic.
func (x *document) basic(t *pidf.Tuple, own engaged, r *Resource) bool {
	switch t.Basic {
	case pidf.Closed:
		r.Closed = true
	case pidf.NoBasic:
		return own.open() || !x.anyBasic && t.URI != "" && x.person.open()
	}
	return true
}

func (x *document) show(t *pidf.Tuple, own engaged, in pidf.UserInput, r *Resource) {
	e := own
	if e.row == nil {
		e = x.person
	}
	if e.row != nil && e.row.Closed {
		r.Closed = true
	}
	if r.Closed {
		return
	}
	if e.phone || !x.anyTerm && (saysOnThePhone(t.Notes) || saysOnThePhone(x.notes) || saysOnThePhone(x.d.Notes)) {
		r.Phone |= PhoneTold
	}
	switch {
	case t.Show != "" || x.speaksShow:
		r.Show = showNamed(t.Show)
	case e.row != nil:
		r.Show = e.row.Show
	case in.State == pidf.Idle && !ofXMPP(t.ID):
		r.Show = xmpp.ShowAway // XMPP has a word of its own for idle
	}
}

// statuses takes the notes of the tuple, else of a person, else of the document.
func (x *document) statuses(t *pidf.Tuple, r *Resource) {
	notes := t.Notes
	if len(notes) == 0 {
		notes = x.notes
	}
	for i := range x.d.Persons {
		if len(notes) == 0 && !ofXMPP(t.ID) { // XMPP has another place for them
			notes = x.d.Persons[i].ActivityNotes
		}
	}
	if len(notes) == 0 {
		notes = x.d.Notes
	}
	for _, n := range notes {
		lang := validLang(n.Lang)
		if strings.EqualFold(lang, "i-default") {
			lang = "" // RFC 4480 §8: what is not labelled
		}
		r.addStatus(lang, n.Text)
	}
}

// input is whether somebody uses the service, else its device, else whether the person does anything.
func (x *document) input(t *pidf.Tuple) pidf.UserInput {
	if t.Input.State != pidf.UsageUnknown {
		return t.Input
	}
	for i := range x.d.Devices {
		if d := &x.d.Devices[i]; t.DeviceID != "" && d.DeviceID == t.DeviceID && d.Input.State != pidf.UsageUnknown {
			return d.Input
		}
	}
	for i := range x.d.Persons {
		if in := x.d.Persons[i].Input; in.State != pidf.UsageUnknown {
			return in
		}
	}
	return pidf.UserInput{}
}

// changed is since when it is like this; zero when not told.
func (x *document) changed(t *pidf.Tuple) time.Time {
	at := t.Timestamp
	for i := range x.d.Persons {
		if at.IsZero() {
			at = x.d.Persons[i].Timestamp
		}
	}
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at
}

func (x *document) icon(t *pidf.Tuple) string {
	icon := t.Icon
	for i := range x.d.Persons {
		if icon == "" {
			icon = x.d.Persons[i].Icon
		}
	}
	if len(icon) > maxStatus {
		return ""
	}
	return icon
}

// name is the display name of the presentity.
func (x *document) name() string {
	var lists [][]pidf.Note
	for i := range x.d.Persons {
		lists = append(lists, x.d.Persons[i].Names)
	}
	for i := range x.d.Tuples {
		lists = append(lists, x.d.Tuples[i].Names)
	}
	for _, list := range lists {
		for _, n := range list {
			if s := cleanLine(n.Text, maxDisplay); s != "" {
				return strings.Clone(s)
			}
		}
	}
	return ""
}

// resource is what a tuple calls its device by itself; "" when that is nothing.
func (x *document) resource(t *pidf.Tuple, uri sip.URI, ok bool) (name string, strong bool) {
	var list [4]string
	if ok {
		list[0] = uri.Params.Value("gr")
		if isDeviceAddress(uri) && !isAddressOfRecord(uri, x.d.Entity) {
			list[2] = DeviceResource(sip.NameAddr{URI: sip.URI{Scheme: "sip", Host: uri.Host, Port: uri.Port}})
		}
	}
	if t.DeviceID != "" {
		id := "<" + strings.Trim(t.DeviceID, "<>") + ">" // as in +sip.instance, RFC 5626 §4.1
		list[1] = DeviceResource(sip.NameAddr{Params: sip.Params{{Name: "+sip.instance", Value: id}}})
	}
	list[3], _ = TupleIDToResource(t.ID)
	for _, name := range list {
		if name = x.prepared(name); name != "" {
			return name, true
		}
	}
	return "", false
}

// prepared is the form in which a resource is compared; "" when it can be none.
func (x *document) prepared(name string) string {
	if name == "" {
		return ""
	}
	j, err := x.c.From.WithResource(name)
	if err != nil {
		return ""
	}
	return strings.Clone(j.Resource())
}

// add adds a device. Several tuples of one device, which are its services, are one: open if one of them is.
func (x *document) add(dev device) {
	for i := range x.devices {
		o := &x.devices[i]
		if !dev.strong || !o.strong || o.Name != dev.Name {
			continue
		}
		if byRank(&dev.Resource, &o.Resource) < 0 {
			*o, dev = dev, *o
		}
		if len(o.Statuses) == 0 {
			o.Statuses = dev.Statuses
		}
		o.Capabilities = merged(o.Capabilities, dev.Capabilities)
		o.Changed = max(o.Changed, dev.Changed)
		return
	}
	if len(x.devices) == maxResources {
		x.lose("tuple: more than " + strconv.Itoa(maxResources) + " devices")
		return
	}
	x.devices = append(x.devices, dev)
}

func merged(a, b pidf.Capabilities) pidf.Capabilities {
	either := func(a, b pidf.Support) pidf.Support {
		if a == pidf.Supported || b == pidf.SupportUnknown {
			return a
		}
		return b
	}
	return pidf.Capabilities{
		Audio: either(a.Audio, b.Audio), Focus: either(a.Focus, b.Focus), Message: either(a.Message, b.Message),
		Text: either(a.Text, b.Text), Video: either(a.Video, b.Video),
	}
}

// next is the list after the document: what other sources told, and the devices of this one, named.
func (x *document) next() (list Resources) {
	for _, r := range x.prev {
		if r.Source != x.c.Source {
			r.Phone = x.c.phone(r.Phone, r.Closed)
			list = append(list, r)
		}
	}
	x.recognise(func(o *Resource, d *device) bool { return o.Tuple == d.Tuple && d.hint != "" })
	x.recognise(func(o *Resource, d *device) bool { return o.Contact == d.Contact })
	weak := 0
	for i := range x.devices {
		if x.devices[i].Name == "" {
			weak++
		}
	}
	for i := range x.devices {
		d := &x.devices[i]
		if d.Name == "" {
			if d.Name = x.prepared(d.hint); d.Name == "" || weak == 1 && !x.named(list, oneResource) {
				d.Name = oneResource
			}
		}
		for n, name := 2, d.Name; slices.ContainsFunc(list, func(r Resource) bool { return r.Name == d.Name }); n++ {
			d.Name = name + "-" + strconv.Itoa(n)
		}
		if len(list) == maxResources {
			x.lose("document: more than " + strconv.Itoa(maxResources) + " devices")
			break
		}
		list = append(list, d.Resource)
	}
	return list
}

// recognise gives devices the names that they had before.
func (x *document) recognise(is func(*Resource, *device) bool) {
	for i := range x.devices {
		d := &x.devices[i]
		if d.Name != "" {
			continue
		}
		for n := range x.prev {
			if o := &x.prev[n]; o.Source == x.c.Source && is(o, d) && !x.named(nil, o.Name) {
				d.Name = o.Name
				break
			}
		}
	}
}

// named reports whether a device has the name already.
func (x *document) named(list Resources, name string) bool {
	return slices.ContainsFunc(x.devices, func(d device) bool { return d.Name == name }) ||
		slices.ContainsFunc(list, func(r Resource) bool { return r.Name == name })
}

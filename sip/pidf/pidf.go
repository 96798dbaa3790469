// Package pidf reads and writes application/pidf+xml documents: PIDF (RFC 3863) with the data model (RFC 4479),
// and of RPID (RFC 4480), CIPID (RFC 4482), timed status (RFC 4481), service capabilities (RFC 5196) and the
// <show/> of RFC 8048 §6.2 what a presence gateway has a use for. What else a document holds is skipped.
//
// Decisions that bind the package:
//
//   - Elements are known by namespace, never by prefix. For what phones in the field send, the namespaces of
//     the drafts before RPID count as RPID, and an element in a namespace next door counts where it can mean
//     only one thing: <person/> in the PIDF namespace, <note/> in any of ours. See namespaces.
//   - A document is written so that the simplest readers get the best of it: one of them is a regular
//     expression that wants <basic> and the prefix rpid as they stand here.
//   - The scanner is our own, because the tokens of encoding/xml alone take several times as long as the whole
//     of Parse, and because everything in it has a bound: size, depth, attributes, namespaces, tuples. A
//     document type is refused, so there are no entities but the five of XML.
//   - Strings of a parsed document share its memory. Who keeps one for longer clones it.
package pidf

import (
	"errors"
	"time"
)

// ContentType is the media type of the format.
const ContentType = "application/pidf+xml"

// The XML namespaces that are written.
const (
	NS            = "urn:ietf:params:xml:ns:pidf"
	NSDataModel   = "urn:ietf:params:xml:ns:pidf:data-model"
	NSRPID        = "urn:ietf:params:xml:ns:pidf:rpid"
	NSCIPID       = "urn:ietf:params:xml:ns:pidf:cipid"
	NSTimedStatus = "urn:ietf:params:xml:ns:pidf:timed-status"
	NSCaps        = "urn:ietf:params:xml:ns:pidf:caps"
	NSShow        = "jabber:client" // of <show/> inside <status/>, RFC 8048 §6.2
	NSPlace       = "urn:ietf:params:xml:ns:location-type"
)

// Limits of Parse.
const (
	// MaxSize is the most bytes that Parse takes: 256 full tuples, and four times what a SIP message can hold.
	MaxSize = 256 << 10

	maxTuples  = 256
	maxDevices = 64
	maxPersons = 16
	maxNotes   = 16 // in one place
	maxTerms   = 32 // in one place
	maxTimed   = 16 // in one tuple
)

// Errors of Parse, wrapped with the reason. A request is answered 400, 413 and 415 for them.
var (
	// ErrMalformed: no well-formed XML, or XML with a document type.
	ErrMalformed = errors.New("pidf: malformed document")
	// ErrTooLarge: beyond MaxSize, too deep, too many attributes or namespaces.
	ErrTooLarge = errors.New("pidf: document too large")
	// ErrUnsupported: XML, but no PIDF; or in an encoding that is neither UTF-8 nor Latin-1.
	ErrUnsupported = errors.New("pidf: not a PIDF document")
)

// Document is the presence of one presentity.
type Document struct {
	Entity  string // URI of the presentity
	Tuples  []Tuple
	Notes   []Note // about the presentity as a whole
	Persons []Person
	Devices []Device
	// Dropped is how many tuples, persons, devices and notes Parse left out because there were too many.
	Dropped int
}

// Basic is whether a service accepts communication (RFC 3863 §4.1.4).
type Basic uint8

// The values of <basic/>; NoBasic is legal and says nothing.
const (
	NoBasic Basic = iota
	Open
	Closed
)

func (b Basic) String() string {
	switch b {
	case Open:
		return "open"
	case Closed:
		return "closed"
	}
	return ""
}

// Tuple is one service of the presentity (RFC 3863 §4.1.2), which in SIP mostly means one device.
type Tuple struct {
	ID    string // "" when it came without one
	Basic Basic
	Show  string // <show xmlns='jabber:client'/>, RFC 8048 §6.2; "" when absent
	Contact
	Notes        []Note
	Timestamp    time.Time // when the state changed; zero when absent
	DeviceID     string    // RFC 4479 §3.3: URN of the device behind the service
	Relationship string    // RFC 4480 §3.8: "assistant" … when it is not the presentity who answers; "" or "self" when it is
	Rich
	Card
	Capabilities
	Timed []TimedStatus
}

// Contact is how the service of a tuple is reached.
type Contact struct {
	URI      string
	Priority int  // thousandths of 1, 0–1000
	Ranked   bool // the priority attribute is there; without it the contact has the lowest priority
}

// Note is a text for human readers.
type Note struct{ Lang, Text string }

// Person is the data model's human behind the services (RFC 4479 §3.2).
type Person struct {
	ID string
	Rich
	Card
	Notes     []Note
	Timestamp time.Time
}

// Device is a machine (RFC 4479 §3.3).
type Device struct {
	ID        string
	DeviceID  string // URN; DeviceID of a tuple refers to it
	Input     UserInput
	Notes     []Note
	Timestamp time.Time
}

// TimedStatus is a state of the past or the future (RFC 4481).
type TimedStatus struct {
	From, Until time.Time // Until is zero when open-ended
	Basic       Basic
	Note        Note
}

// Rich is what RPID tells (RFC 4480). All but Input belongs to a person, although the field puts it into tuples
// as well.
type Rich struct {
	Activities    []Term
	ActivityNotes []Note
	Moods         []Term
	MoodNotes     []Note
	Places        []Term // place-type; of the registry RFC 4589, Space is NSPlace
	PlaceIs       Surroundings
	Input         UserInput
}

// IsZero reports whether nothing is told.
func (r *Rich) IsZero() bool { return !r.personal() && r.Input == (UserInput{}) }

// personal is whether there is anything that only a person has.
func (r *Rich) personal() bool {
	return len(r.Activities)+len(r.ActivityNotes)+len(r.Moods)+len(r.MoodNotes)+len(r.Places) > 0 || r.PlaceIs != (Surroundings{})
}

// Term is one element of an enumeration, such as <busy/> among the activities.
type Term struct {
	Space       string    // "" for RPID's own, else the namespace
	Name        string    // local name: "on-the-phone"
	Text        string    // of "other"
	From, Until time.Time // validity of the enumeration; zero when not bounded
}

// Surroundings is RPID's place-is: "noisy", "ok", "quiet" … for each medium, "" when not told.
type Surroundings struct{ Audio, Video, Text string }

// Usage is whether somebody used a service or device lately.
type Usage uint8

// The values of <user-input/>.
const (
	UsageUnknown Usage = iota
	Active
	Idle
)

func (u Usage) String() string {
	switch u {
	case Active:
		return "active"
	case Idle:
		return "idle"
	}
	return ""
}

// UserInput is RPID's user-input.
type UserInput struct {
	State     Usage
	Last      time.Time     // last-input; zero when not told
	Threshold time.Duration // idle-threshold, whole seconds; 0 when not told
}

// Card is what CIPID tells (RFC 4482): URIs, but for the names.
type Card struct {
	Card     string // a business card
	Names    []Note // display-name, one per language
	Homepage string
	Icon     string
	Map      string
	Sound    string
}

// IsZero reports whether nothing is told.
func (c *Card) IsZero() bool {
	return len(c.Names) == 0 && c.Card == "" && c.Homepage == "" && c.Icon == "" && c.Map == "" && c.Sound == ""
}

// Support is whether a capability is there.
type Support uint8

// Values of a capability.
const (
	SupportUnknown Support = iota
	Supported
	NotSupported
)

// Capabilities are those of RFC 5196 servcaps that decide what a service can be called for.
type Capabilities struct {
	Audio, Focus, Message, Text, Video Support
}

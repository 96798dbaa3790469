package disco

// Kind tells what an addressed JID is.
type Kind uint8

// The kinds. What each is asked for is the table in service.go.
const (
	// SubjectUnknown is an address that does not exist, or that the requester
	// may not see: the answers are the same.
	SubjectUnknown Kind = iota
	// SubjectGateway is the component's own domain.
	SubjectGateway
	// SubjectUser is the bare JID of a SIP user or number.
	SubjectUser
	// SubjectResource is a full JID that the gateway shows for a SIP user.
	SubjectResource

	kindCount = iota
)

// String returns the kind's name for logs.
func (k Kind) String() string {
	switch k {
	case SubjectGateway:
		return "gateway"
	case SubjectUser:
		return "user"
	case SubjectResource:
		return "resource"
	}
	return "unknown"
}

// Subject is what the gateway knows of the JID that a request is addressed to.
type Subject struct {
	Kind Kind
	// Name is the display name of a user; may be empty.
	Name string
	// URI is the user's SIP or tel URI, shown in his vCard; may be empty.
	URI string
	// Number is the user's phone number as it shall be shown, usually E.164 with
	// the plus sign; may be empty.
	Number string
	// Numbers says, for the gateway, that phone numbers are routed: it shows
	// itself as a gateway to the telephone network and to SMS as well.
	Numbers bool
	// Capabilities are the device's for SubjectResource, and for SubjectGateway
	// what the gateway itself takes part in; else unused.
	Capabilities Capabilities
}

// profile is the part of a Subject that decides its hash. It is comparable and
// there are few of them, so all hashes can be computed in advance.
type profile struct {
	kind    Kind
	numbers bool
	caps    Capabilities
}

func (s Subject) profile() profile {
	switch s.Kind {
	case SubjectGateway:
		return profile{SubjectGateway, s.Numbers, s.Capabilities & allCapabilities}
	case SubjectResource:
		return profile{SubjectResource, false, s.Capabilities & allCapabilities}
	}
	return profile{kind: s.Kind}
}

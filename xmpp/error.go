package xmpp

// Condition is the name of a stanza error (RFC 6120 §8.3.3).
type Condition string

// The conditions of RFC 6120 §8.3.3.
const (
	ConditionBadRequest            Condition = "bad-request"
	ConditionConflict              Condition = "conflict"
	ConditionFeatureNotImplemented Condition = "feature-not-implemented"
	ConditionForbidden             Condition = "forbidden"
	ConditionGone                  Condition = "gone"
	ConditionInternalServerError   Condition = "internal-server-error"
	ConditionItemNotFound          Condition = "item-not-found"
	ConditionJIDMalformed          Condition = "jid-malformed"
	ConditionNotAcceptable         Condition = "not-acceptable"
	ConditionNotAllowed            Condition = "not-allowed"
	ConditionNotAuthorized         Condition = "not-authorized"
	ConditionPolicyViolation       Condition = "policy-violation"
	ConditionRecipientUnavailable  Condition = "recipient-unavailable"
	ConditionRedirect              Condition = "redirect"
	ConditionRegistrationRequired  Condition = "registration-required"
	ConditionRemoteServerNotFound  Condition = "remote-server-not-found"
	ConditionRemoteServerTimeout   Condition = "remote-server-timeout"
	ConditionResourceConstraint    Condition = "resource-constraint"
	ConditionServiceUnavailable    Condition = "service-unavailable"
	ConditionSubscriptionRequired  Condition = "subscription-required"
	ConditionUndefinedCondition    Condition = "undefined-condition"
	ConditionUnexpectedRequest     Condition = "unexpected-request"
)

// AllConditions lists the conditions of RFC 6120 in its order.
var AllConditions = []Condition{
	ConditionBadRequest, ConditionConflict, ConditionFeatureNotImplemented, ConditionForbidden, ConditionGone,
	ConditionInternalServerError, ConditionItemNotFound, ConditionJIDMalformed, ConditionNotAcceptable,
	ConditionNotAllowed, ConditionNotAuthorized, ConditionPolicyViolation, ConditionRecipientUnavailable,
	ConditionRedirect, ConditionRegistrationRequired, ConditionRemoteServerNotFound,
	ConditionRemoteServerTimeout, ConditionResourceConstraint, ConditionServiceUnavailable,
	ConditionSubscriptionRequired, ConditionUndefinedCondition, ConditionUnexpectedRequest,
}

// ErrorType says what the sender of the failed stanza can do about it (RFC 6120 §8.3.2).
type ErrorType string

// The error types of RFC 6120 §8.3.2.
const (
	ErrorAuth     ErrorType = "auth"     // retry with credentials
	ErrorCancel   ErrorType = "cancel"   // do not retry
	ErrorContinue ErrorType = "continue" // a warning only
	ErrorModify   ErrorType = "modify"   // retry with changed data
	ErrorWait     ErrorType = "wait"     // retry later
)

func (t ErrorType) known() bool {
	switch t {
	case ErrorAuth, ErrorCancel, ErrorContinue, ErrorModify, ErrorWait:
		return true
	}
	return false
}

// DefaultType returns the error type that RFC 6120 §8.3.3 associates with the condition; where it leaves a
// choice, the first that fits a gateway. An unknown condition gives cancel.
func (c Condition) DefaultType() ErrorType {
	switch c {
	case ConditionForbidden, ConditionNotAuthorized, ConditionRegistrationRequired, ConditionSubscriptionRequired:
		return ErrorAuth
	case ConditionBadRequest, ConditionJIDMalformed, ConditionNotAcceptable, ConditionPolicyViolation,
		ConditionRedirect:
		return ErrorModify
	case ConditionRecipientUnavailable, ConditionRemoteServerTimeout, ConditionResourceConstraint,
		ConditionUnexpectedRequest:
		return ErrorWait
	}
	return ErrorCancel
}

func (c Condition) known() bool {
	for _, k := range AllConditions {
		if k == c {
			return true
		}
	}
	return false
}

// StanzaError is the <error/> of a stanza (RFC 6120 §8.3). *StanzaError is an error.
type StanzaError struct {
	Type      ErrorType // empty means the condition's default when it is written
	Condition Condition // empty means undefined-condition
	Text      string
	Lang      string   // xml:lang of Text
	By        JID      // who found the error, zero if not told
	Address   string   // the new address of gone and redirect, a URI
	App       *Element // application-specific condition
}

// NewStanzaError returns an error with the condition's default type. The text may be empty.
func NewStanzaError(c Condition, text string) *StanzaError {
	return &StanzaError{Type: c.DefaultType(), Condition: c, Text: text}
}

func (e *StanzaError) Error() string {
	s := "xmpp: stanza error " + string(e.condition())
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

func (e *StanzaError) condition() Condition {
	if e.Condition == "" {
		return ConditionUndefinedCondition
	}
	return e.Condition
}

func (e *StanzaError) errorType() ErrorType {
	if e.Type == "" {
		return e.condition().DefaultType()
	}
	return e.Type
}

// Element returns the <error/> element in a stanza namespace, such as NSClient.
func (e *StanzaError) Element(space string) *Element {
	el := NewElement(space, "error").Set("type", string(e.errorType()))
	if !e.By.IsZero() {
		el.Set("by", e.By.String())
	}
	el.Add(NewElement(NSStanzas, string(e.condition())).AddText(e.address()))
	if e.Text != "" {
		text := NewElement(NSStanzas, "text").AddText(e.Text)
		if e.Lang != "" {
			text.SetNS(NSXML, "lang", e.Lang)
		}
		el.Add(text)
	}
	return el.Add(e.App)
}

// address returns the character data of the condition: only these two have any (RFC 6120 §8.3.3.5, .14).
func (e *StanzaError) address() string {
	switch e.Condition {
	case ConditionGone, ConditionRedirect:
		return e.Address
	}
	return ""
}

// ParseStanzaError reads an <error/> element. It takes whatever can be understood: an unknown or missing
// condition is undefined-condition, an unknown or missing type is the default of the condition.
func ParseStanzaError(e *Element) *StanzaError {
	se := &StanzaError{Type: ErrorType(e.Attribute("type"))}
	if by := e.Attribute("by"); by != "" {
		se.By, _ = ParseJID(by) // only a hint, and who sent the error is known anyway
	}
	for c := range e.Elements() {
		switch {
		case c.Name.Space != NSStanzas:
			if se.App == nil && c.Name.Space != e.Name.Space {
				se.App = c
			}
		case c.Name.Local == "text":
			if se.Text == "" {
				se.Text, se.Lang = c.Text(), c.AttributeNS(NSXML, "lang")
			}
		case se.Condition == "" && Condition(c.Name.Local).known():
			se.Condition = Condition(c.Name.Local)
			se.Address = c.Text()
			se.Address = se.address()
		}
	}
	if se.Condition == "" {
		se.Condition = ConditionUndefinedCondition
	}
	if !se.Type.known() {
		se.Type = se.Condition.DefaultType()
	}
	return se
}

package xmpp

import (
	"errors"
	"fmt"
)

// Stanza is a *Message, *Presence or *IQ.
type Stanza interface {
	// Addresses returns from and to; an absent one is zero.
	Addresses() (from, to JID)
	// StanzaID returns the id attribute.
	StanzaID() string
	// IsError tells whether the type is error. Such a stanza must never be answered (RFC 6120 §8.3.1).
	IsError() bool
	// Append writes the stanza without xmlns, as it stands on a stream.
	Append(dst []byte) []byte
	// Element returns the stanza in jabber:client, as it stands within another element.
	Element() *Element
}

// ErrNotStanza says that an element of the stream is neither message nor presence nor iq.
var ErrNotStanza = errors.New("xmpp: not a stanza")

// MalformedError is the error for a stanza that RFC 6120 or RFC 6121 does not allow. It keeps the header as
// it was on the wire.
type MalformedError struct {
	Kind               string // "message", "presence" or "iq"
	From, To, ID, Type string
	Err                StanzaError // what the sender is told
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("xmpp: malformed %s: %s: %s", e.Kind, e.Err.condition(), e.Err.Text)
}

// Unwrap gives the *StanzaError.
func (e *MalformedError) Unwrap() error { return &e.Err }

// ErrorReply builds the error stanza for the sender. It is false where none may be sent: for errors and
// results (RFC 6120 §8.3.1), for an iq without id, and where the sender has no valid address. A recipient
// that is no valid address is answered for by its domain if that is one, else the reply has no from.
func (e *MalformedError) ErrorReply() (Stanza, bool) {
	to, err := ParseJID(e.From)
	if err != nil || e.Type == string(IQError) || e.Type == string(IQResult) {
		return nil, false
	}
	from := replyAddress(e.To)
	switch e.Kind {
	case "message":
		return &Message{From: from, To: to, ID: e.ID, Type: MessageError, Error: &e.Err}, true
	case "presence":
		return &Presence{From: from, To: to, ID: e.ID, Type: PresenceError, Error: &e.Err}, true
	case "iq":
		return &IQ{From: from, To: to, ID: e.ID, Type: IQError, Error: &e.Err}, e.ID != ""
	}
	return nil, false
}

// replyAddress returns the address s, or at least its domain, or zero.
func replyAddress(s string) JID {
	if j, err := ParseJID(s); err == nil {
		return j
	}
	for i := range len(s) {
		if s[i] == '/' {
			s = s[:i]
			break
		}
	}
	for i := range len(s) {
		if s[i] == '@' {
			s = s[i+1:]
			break
		}
	}
	j, err := NewJID("", s, "")
	if err != nil {
		return JID{}
	}
	return j
}

// ErrorReply builds the policy-violation for the sender of an oversized stanza, under the same rules as
// MalformedError.ErrorReply.
func (e *ErrTooLarge) ErrorReply() (Stanza, bool) {
	if !stanzaSpace(e.Name.Space) {
		return nil, false
	}
	m := MalformedError{
		Kind: e.Name.Local, From: e.From, To: e.To, ID: e.ID, Type: e.Type,
		Err: *NewStanzaError(ConditionPolicyViolation, "stanza too large"),
	}
	return m.ErrorReply()
}

// stanzaSpace tells whether stanzas live in the namespace.
func stanzaSpace(space string) bool {
	switch space {
	case NSComponentAccept, NSClient, NSServer:
		return true
	}
	return false
}

// ParseStanza reads a child of a stream. The error is ErrNotStanza for anything but a stanza, and a
// *MalformedError for a stanza that can not be used. An absent from or to is no error here: whether a stream
// needs them depends on the stream.
func ParseStanza(e *Element) (Stanza, error) {
	if !stanzaSpace(e.Name.Space) {
		return nil, fmt.Errorf("%w: <%s xmlns='%s'/>", ErrNotStanza, e.Name.Local, e.Name.Space)
	}
	var h header
	if err := h.read(e); err != nil {
		return nil, err
	}
	switch e.Name.Local {
	case "message":
		return parseMessage(e, &h)
	case "presence":
		return parsePresence(e, &h)
	case "iq":
		return parseIQ(e, &h)
	}
	return nil, fmt.Errorf("%w: <%s xmlns='%s'/>", ErrNotStanza, e.Name.Local, e.Name.Space)
}

// ReadStanza parses what Append wrote: a stanza in a document of its own, in jabber:client if it has no
// xmlns. Errors are those of ParseElement and ParseStanza.
func ReadStanza(data []byte) (Stanza, error) {
	e, err := parseIn(NSClient, data)
	if err != nil {
		return nil, err
	}
	return ParseStanza(e)
}

// header holds the attributes common to all stanzas.
type header struct {
	from, to       JID
	rawFrom, rawTo string
	id, stanzaType string
	lang, kind     string
}

// read takes the common attributes; only those without namespace count, but for xml:lang.
func (h *header) read(e *Element) error {
	h.kind = e.Name.Local
	for i := range e.Attr {
		a := &e.Attr[i]
		switch {
		case a.Name.Space == NSXML && a.Name.Local == "lang":
			h.lang = a.Value
		case a.Name.Space != "":
		case a.Name.Local == "from":
			h.rawFrom = a.Value
		case a.Name.Local == "to":
			h.rawTo = a.Value
		case a.Name.Local == "id":
			h.id = a.Value
		case a.Name.Local == "type":
			h.stanzaType = a.Value
		}
	}
	var err error
	if h.rawFrom != "" {
		if h.from, err = ParseJID(h.rawFrom); err != nil {
			return h.malformed(ConditionJIDMalformed, "malformed from address")
		}
	}
	if h.rawTo != "" {
		if h.to, err = ParseJID(h.rawTo); err != nil {
			return h.malformed(ConditionJIDMalformed, "malformed to address")
		}
	}
	return nil
}

func (h *header) malformed(c Condition, text string) error {
	return &MalformedError{
		Kind: h.kind, From: h.rawFrom, To: h.rawTo, ID: h.id, Type: h.stanzaType, Err: *NewStanzaError(c, text),
	}
}

// readError returns the error of a stanza of type error; it is never nil, so that nobody has to ask.
func readError(e *Element) *StanzaError {
	if child := e.Child(e.Name.Space, "error"); child != nil {
		return ParseStanzaError(child)
	}
	return NewStanzaError(ConditionUndefinedCondition, "")
}

// openTag writes the start tag of a stanza but for its closing bracket.
func openTag(dst []byte, kind string, from, to JID, id, stanzaType, lang string) []byte {
	dst = append(dst, '<')
	dst = append(dst, kind...)
	dst = attrJID(dst, "from", from)
	dst = attrJID(dst, "to", to)
	dst = attr(dst, "id", id)
	dst = attr(dst, "type", stanzaType)
	return attr(dst, "xml:lang", lang)
}

// closeTag ends the stanza whose start tag ended at offset open.
func closeTag(dst []byte, kind string, open int) []byte {
	if len(dst) == open {
		dst[open-1] = '/'
		return append(dst, '>')
	}
	dst = append(dst, '<', '/')
	dst = append(dst, kind...)
	return append(dst, '>')
}

// appendExtension writes a direct child of a stanza. One in a stanza namespace takes that of the stream.
func appendExtension(dst []byte, e *Element) []byte {
	parent := NSClient
	if stanzaSpace(e.Name.Space) {
		parent = e.Name.Space
	}
	return e.Append(dst, parent)
}

// stanzaElement returns a stanza's element without its content.
func stanzaElement(kind string, from, to JID, id, stanzaType, lang string) *Element {
	e := NewElement(NSClient, kind)
	set := func(name, value string) {
		if value != "" {
			e.Set(name, value)
		}
	}
	set("from", from.String())
	set("to", to.String())
	set("id", id)
	set("type", stanzaType)
	if lang != "" {
		e.SetNS(NSXML, "lang", lang)
	}
	return e
}

// addText adds <name xml:lang='lang'>text</name>.
func addText(e *Element, name, lang, text string) {
	child := NewElement(NSClient, name).AddText(text)
	if lang != "" {
		child.SetNS(NSXML, "lang", lang)
	}
	e.Add(child)
}

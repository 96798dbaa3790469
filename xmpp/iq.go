package xmpp

// IQType is the type of an iq (RFC 6120 §8.2.3).
type IQType string

// The types of RFC 6120 §8.2.3.
const (
	IQGet    IQType = "get"
	IQSet    IQType = "set"
	IQResult IQType = "result"
	IQError  IQType = "error"
)

// IQ is an <iq/> (RFC 6120 §8.2.3).
type IQ struct {
	From, To JID
	ID       string // never empty after parsing
	Type     IQType
	Lang     string       // xml:lang of the stanza
	Payload  *Element     // never nil in a get or set after parsing
	Error    *StanzaError // of type error only, and then never nil after parsing
}

// Addresses implements Stanza.
func (iq *IQ) Addresses() (from, to JID) { return iq.From, iq.To }

// StanzaID implements Stanza.
func (iq *IQ) StanzaID() string { return iq.ID }

// IsError implements Stanza.
func (iq *IQ) IsError() bool { return iq.Type == IQError }

// IsRequest tells whether iq wants an answer, that is, is a get or set.
func (iq *IQ) IsRequest() bool { return iq.Type == IQGet || iq.Type == IQSet }

// Result returns the answer to a request; payload may be nil. It must be used on a get or set only.
func (iq *IQ) Result(payload *Element) *IQ {
	return &IQ{From: iq.To, To: iq.From, ID: iq.ID, Type: IQResult, Payload: payload}
}

// ErrorReply returns the error for a request. It must be used on a get or set only.
func (iq *IQ) ErrorReply(e StanzaError) *IQ {
	return &IQ{From: iq.To, To: iq.From, ID: iq.ID, Type: IQError, Error: &e}
}

// Append implements Stanza.
func (iq *IQ) Append(dst []byte) []byte {
	dst = append(openTag(dst, "iq", iq.From, iq.To, iq.ID, string(iq.Type), iq.Lang), '>')
	open := len(dst)
	if iq.Payload != nil {
		dst = appendExtension(dst, iq.Payload)
	}
	if iq.Error != nil {
		dst = iq.Error.Element(NSClient).Append(dst, NSClient)
	}
	return closeTag(dst, "iq", open)
}

// Element implements Stanza.
func (iq *IQ) Element() *Element {
	e := stanzaElement("iq", iq.From, iq.To, iq.ID, string(iq.Type), iq.Lang).Add(iq.Payload)
	if iq.Error != nil {
		e.Add(iq.Error.Element(NSClient))
	}
	return e
}

func parseIQ(e *Element, h *header) (Stanza, error) {
	iq := &IQ{From: h.from, To: h.to, ID: h.id, Type: IQType(h.stanzaType), Lang: h.lang}
	if iq.ID == "" {
		return nil, h.malformed(ConditionBadRequest, "iq without id") // RFC 6120 §8.2.3 rule 1
	}
	children := 0
	for c := range e.Elements() {
		if iq.Type == IQError && c.Is(e.Name.Space, "error") {
			continue
		}
		if children++; iq.Payload == nil {
			iq.Payload = c
		}
	}
	switch iq.Type {
	case IQGet, IQSet:
		if children != 1 {
			return nil, h.malformed(ConditionBadRequest, "iq request must have exactly one child") // rule 5
		}
	case IQResult:
		if children > 1 {
			return nil, h.malformed(ConditionBadRequest, "iq result must have at most one child") // rule 6
		}
	case IQError:
		iq.Error = readError(e)
	default:
		return nil, h.malformed(ConditionBadRequest, "unknown iq type")
	}
	return iq, nil
}

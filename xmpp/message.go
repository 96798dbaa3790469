package xmpp

// MessageType is the type of a message (RFC 6121 §5.2.2).
type MessageType string

// The types of RFC 6121 §5.2.2. MessageNormal is also what an absent or unknown type means.
const (
	MessageNormal    MessageType = "normal"
	MessageChat      MessageType = "chat"
	MessageGroupchat MessageType = "groupchat"
	MessageHeadline  MessageType = "headline"
	MessageError     MessageType = "error"
)

// LangText is a text with its xml:lang; an empty Lang means that of the stanza.
type LangText struct{ Lang, Text string }

// Message is a <message/> (RFC 6121 §5).
type Message struct {
	From, To             JID
	ID                   string
	Type                 MessageType // empty counts as normal
	Lang                 string      // xml:lang of the stanza
	Subjects, Bodies     []LangText
	Thread, ParentThread string
	Error                *StanzaError // of type error only, and then never nil after parsing
	Extensions           []*Element   // all other children in order
}

// Addresses implements Stanza.
func (m *Message) Addresses() (from, to JID) { return m.From, m.To }

// StanzaID implements Stanza.
func (m *Message) StanzaID() string { return m.ID }

// IsError implements Stanza.
func (m *Message) IsError() bool { return m.Type == MessageError }

// Body returns the body in the language of the message, else the one without a language, else the first.
func (m *Message) Body() string { return pickText(m.Bodies, m.Lang) }

// Subject returns the subject, chosen as Body does.
func (m *Message) Subject() string { return pickText(m.Subjects, m.Lang) }

func pickText(texts []LangText, lang string) string {
	if len(texts) == 0 {
		return ""
	}
	best := -1
	for i := range texts {
		if texts[i].Lang == lang {
			return texts[i].Text
		}
		if texts[i].Lang == "" && best < 0 {
			best = i
		}
	}
	return texts[max(best, 0)].Text
}

// Extension returns the first extension with this exact name, or nil.
func (m *Message) Extension(space, local string) *Element {
	return findExtension(m.Extensions, space, local)
}

func findExtension(list []*Element, space, local string) *Element {
	for _, e := range list {
		if e.Is(space, local) {
			return e
		}
	}
	return nil
}

// ErrorReply returns the error for the sender of m: addresses swapped, same id, no content (RFC 6120
// §8.3.1). It must not be used on a message of type error.
func (m *Message) ErrorReply(e StanzaError) *Message {
	return &Message{From: m.To, To: m.From, ID: m.ID, Type: MessageError, Error: &e}
}

// wireType returns the type attribute; the default is not written.
func (m *Message) wireType() string {
	if m.Type == MessageNormal {
		return ""
	}
	return string(m.Type)
}

// Append implements Stanza.
func (m *Message) Append(dst []byte) []byte {
	dst = append(openTag(dst, "message", m.From, m.To, m.ID, m.wireType(), m.Lang), '>')
	open := len(dst)
	for i := range m.Subjects {
		dst = textElement(dst, "subject", m.Subjects[i].Lang, m.Subjects[i].Text)
	}
	for i := range m.Bodies {
		dst = textElement(dst, "body", m.Bodies[i].Lang, m.Bodies[i].Text)
	}
	if m.Thread != "" {
		dst = append(dst, "<thread"...)
		dst = attr(dst, "parent", m.ParentThread)
		dst = append(dst, '>')
		dst = appendText(dst, m.Thread)
		dst = append(dst, "</thread>"...)
	}
	for _, e := range m.Extensions {
		dst = appendExtension(dst, e)
	}
	if m.Error != nil {
		dst = m.Error.Element(NSClient).Append(dst, NSClient)
	}
	return closeTag(dst, "message", open)
}

// Element implements Stanza.
func (m *Message) Element() *Element {
	e := stanzaElement("message", m.From, m.To, m.ID, m.wireType(), m.Lang)
	for _, t := range m.Subjects {
		addText(e, "subject", t.Lang, t.Text)
	}
	for _, t := range m.Bodies {
		addText(e, "body", t.Lang, t.Text)
	}
	if m.Thread != "" {
		thread := NewElement(NSClient, "thread").AddText(m.Thread)
		if m.ParentThread != "" {
			thread.Set("parent", m.ParentThread)
		}
		e.Add(thread)
	}
	e.Add(m.Extensions...)
	if m.Error != nil {
		e.Add(m.Error.Element(NSClient))
	}
	return e
}

func parseMessage(e *Element, h *header) (Stanza, error) {
	m := &Message{From: h.from, To: h.to, ID: h.id, Type: MessageType(h.stanzaType), Lang: h.lang}
	switch m.Type {
	case MessageChat, MessageGroupchat, MessageHeadline, MessageError:
	default:
		m.Type = MessageNormal // RFC 6121 §5.2.2, absent or not understood
	}
	others := 0
	for c := range e.Elements() {
		if !m.known(c, e.Name.Space) {
			others++
		}
	}
	if others > 0 {
		m.Extensions = make([]*Element, 0, others)
	}
	for c := range e.Elements() {
		if !m.known(c, e.Name.Space) {
			m.Extensions = append(m.Extensions, c)
			continue
		}
		switch c.Name.Local {
		case "body":
			m.Bodies = append(m.Bodies, langText(c))
		case "subject":
			m.Subjects = append(m.Subjects, langText(c))
		case "thread":
			m.Thread, m.ParentThread = c.Text(), c.Attribute("parent")
		}
	}
	if m.Type == MessageError {
		m.Error = readError(e)
	}
	return m, nil
}

// known tells whether the child has a field of its own. Only children in the namespace of the stanza do: a
// <body/> of another namespace is not the text of this message.
func (m *Message) known(c *Element, space string) bool {
	if c.Name.Space != space {
		return false
	}
	switch c.Name.Local {
	case "body", "subject", "thread":
		return true
	case "error":
		return m.Type == MessageError
	}
	return false
}

func langText(e *Element) LangText {
	return LangText{Lang: e.AttributeNS(NSXML, "lang"), Text: e.Text()}
}

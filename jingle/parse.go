package jingle

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Bounds of one stanza. What is beyond them is left out, but for contents: a session with half of its contents
// is another session.
const (
	maxContents     = 32
	maxPayloadTypes = 64   // of a description
	maxCandidates   = 64   // of all contents together
	maxItems        = 64   // of anything else that repeats: parameters, feedback, extensions, sources
	maxText         = 1024 // bytes of an attribute or a text
	maxIgnored      = 32   // notes about what was left out
)

// reader collects what goes wrong while a stanza is read: err ends it, ignored does not.
type reader struct {
	err        error
	ignored    []string
	candidates int
}

// fail keeps the first error.
func (r *reader) fail(text string) {
	if r.err == nil {
		r.err = badRequest(text)
	}
}

// ignore notes that something was left out.
func (r *reader) ignore(what string) {
	if len(r.ignored) < maxIgnored {
		r.ignored = append(r.ignored, what)
	}
}

// attr returns an attribute; one that is too long is an error.
func (r *reader) attr(e *xmpp.Element, name string) string {
	v := e.Attribute(name)
	if len(v) > maxText {
		r.fail("attribute " + name + " too long")
		return ""
	}
	return v
}

// number reads an attribute of up to bits bits. An absent one is 0 and fine.
func (r *reader) number(e *xmpp.Element, name string, bits int) (n uint64, ok bool) {
	v := strings.TrimSpace(r.attr(e, name))
	if v == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(v, 10, bits)
	return n, err == nil
}

// hint reads an attribute that the stanza can do without: what is no number is 0, with a note.
func (r *reader) hint(e *xmpp.Element, name string, bits int) uint64 {
	n, ok := r.number(e, name, bits)
	if !ok {
		r.ignore("attribute " + name + " of " + e.Name.Local + ": not a number in range")
		return 0
	}
	return n
}

// room tells whether another item fits, with a note when none does.
func (r *reader) room(have, limit int, what string) bool {
	if have < limit {
		return true
	}
	r.ignore("too many: " + what)
	return false
}

// jid reads an address. The receiver of it shall ignore it mostly, so a bad one is no error.
func (r *reader) jid(e *xmpp.Element, name string) xmpp.JID {
	v := e.Attribute(name)
	if v == "" {
		return xmpp.JID{}
	}
	j, err := xmpp.ParseJID(v)
	if err != nil {
		r.ignore("attribute " + name + " of " + e.Name.Local + ": malformed address")
	}
	return j
}

// parameters reads the <parameter/> children in the namespace. Those without name and value are left out.
func (r *reader) parameters(e *xmpp.Element, space string) []Parameter {
	var list []Parameter
	for c := range e.Elements() {
		if !c.Is(space, "parameter") {
			continue
		}
		p := Parameter{Name: r.attr(c, "name"), Value: r.attr(c, "value")}
		if p == (Parameter{}) {
			continue
		}
		if !r.room(len(list), maxItems, "parameter") {
			break
		}
		list = append(list, p)
	}
	return list
}

// clip cuts a text for people to maxText bytes, between characters.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for s != "" {
		if c, n := utf8.DecodeLastRuneInString(s); c != utf8.RuneError || n > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// Is tells whether e is a <jingle/>.
func Is(e *xmpp.Element) bool { return e.Is(xmpp.NSJingle, "jingle") }

// ParseIQ reads the payload of a Jingle IQ. Errors are those of Parse; an IQ that is not of type set gives
// bad-request as well.
func ParseIQ(iq *xmpp.IQ) (*Jingle, error) {
	if iq.Type != xmpp.IQSet {
		return nil, badRequest("jingle: not an iq of type set")
	}
	return Parse(iq.Payload)
}

// Parse reads a <jingle/>. The error is a *xmpp.StanzaError for the sender: bad-request for an unknown action
// and for what XEP-0166 §6.3.2 calls malformed. What is wrong in a detail that the session can do without is
// left out and noted in Ignored.
func Parse(e *xmpp.Element) (*Jingle, error) {
	if !Is(e) {
		return nil, badRequest("jingle: not a jingle element")
	}
	r := &reader{}
	j := &Jingle{
		Action: Action(r.attr(e, "action")), SID: r.attr(e, "sid"),
		Initiator: r.jid(e, "initiator"), Responder: r.jid(e, "responder"),
	}
	if !j.Action.known() {
		return nil, badRequest("jingle: unknown action")
	}
	if j.SID == "" {
		return nil, badRequest("jingle: no sid")
	}
	for c := range e.Elements() {
		switch {
		case c.Is(xmpp.NSJingle, "content"):
			r.content(j, c)
		case c.Is(xmpp.NSJingle, "reason"):
			if j.Reason == nil {
				j.Reason = r.reason(c)
			} else {
				r.ignore("second reason")
			}
		case c.Is(xmpp.NSJingleGrouping, "group"):
			if r.room(len(j.Groups), maxItems, "group") {
				j.Groups = append(j.Groups, r.group(c))
			}
		default:
			if r.room(len(j.Info), maxItems, "payload") {
				j.Info = append(j.Info, c)
			}
		}
	}
	if r.err == nil {
		r.complete(j)
	}
	if r.err != nil {
		return nil, r.err
	}
	j.Ignored = r.ignored
	return j, nil
}

// complete checks that the action has what it needs (XEP-0166 §7.2).
func (r *reader) complete(j *Jingle) {
	switch j.Action {
	case ActionSessionInfo, ActionSessionTerminate, ActionDescriptionInfo, ActionTransportInfo, ActionSecurityInfo:
		return
	case ActionSessionInitiate:
		if !slices.ContainsFunc(j.Contents, func(c Content) bool { return c.inSession() }) {
			r.fail("jingle: no content of the session")
		}
	default:
		if len(j.Contents) == 0 {
			r.fail("jingle: no content")
		}
	}
}

// inSession tells whether session-accept includes the content (XEP-0166 §7.2.8).
func (c *Content) inSession() bool { return c.Disposition == "" || c.Disposition == "session" }

// content adds a content. One with the name of another is an alternative definition (XEP-0166 §7.3), for
// software that knows two; the first is as good as any.
func (r *reader) content(j *Jingle, e *xmpp.Element) {
	c := Content{
		Creator: Role(r.attr(e, "creator")), Name: r.attr(e, "name"), Senders: Senders(r.attr(e, "senders")),
		Disposition: r.attr(e, "disposition"),
	}
	switch c.Creator {
	case RoleInitiator, RoleResponder:
	case "":
		c.Creator = RoleInitiator // the default of XEP-0166 §7.3
	default:
		r.fail("jingle: unknown creator")
	}
	switch c.Senders {
	case SendersBoth, SendersInitiator, SendersNone, SendersResponder:
	case "":
		c.Senders = SendersBoth
	default:
		r.fail("jingle: unknown senders")
	}
	if c.Name == "" && j.Action != ActionTransportInfo && j.Action != ActionDescriptionInfo {
		r.fail("jingle: content without name") // information does no harm without: older Movim
	}
	if r.err != nil {
		return
	}
	for i := range j.Contents {
		if j.Contents[i].Creator == c.Creator && j.Contents[i].Name == c.Name {
			r.ignore("alternative definition of content " + strconv.Quote(c.Name))
			return
		}
	}
	if len(j.Contents) == maxContents {
		r.fail("jingle: too many contents")
		return
	}
	for child := range e.Elements() {
		switch {
		case c.Description == nil && child.Is(xmpp.NSJingleRTP, "description"):
			c.Description = r.description(child)
		case c.Transport == nil && child.Is(xmpp.NSJingleICEUDP, "transport"):
			c.Transport = r.transport(child, TransportICE)
		case c.Transport == nil && child.Is(xmpp.NSJingleRawUDP, "transport"):
			c.Transport = r.transport(child, TransportRawUDP)
		default:
			if r.room(len(c.Other), maxItems, "child of content") {
				c.Other = append(c.Other, child)
			}
		}
	}
	j.Contents = append(j.Contents, c)
}

// group reads a <group/> (XEP-0338).
func (r *reader) group(e *xmpp.Element) Group {
	g := Group{Semantics: r.attr(e, "semantics")}
	for c := range e.Elements() {
		if c.Is(xmpp.NSJingleGrouping, "content") && r.room(len(g.Contents), maxContents, "content of group") {
			g.Contents = append(g.Contents, r.attr(c, "name"))
		}
	}
	return g
}

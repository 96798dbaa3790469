package jingle

import (
	"slices"

	"github.com/stoxgate/stoxgate/xmpp"
)

// maxRemoved is how many removed contents a session remembers.
const maxRemoved = 32

// apply carries out an action of the party by in a pending or active session. When it returns an error nothing
// has changed.
func (s *Session) apply(j *Jingle, by Role) *xmpp.StanzaError {
	switch j.Action {
	case ActionSessionAccept:
		return s.accept(j, by)
	case ActionSessionTerminate:
		s.state = StateEnded
		return nil
	case ActionSessionInfo, ActionTransportInfo, ActionDescriptionInfo:
		return nil
	case ActionContentAdd:
		return s.add(j, by)
	case ActionContentAccept:
		return s.settle(j, by, func(c *ContentState, in *Content) { s.acceptContent(c, in, by) })
	case ActionContentReject:
		return s.settle(j, by, func(c *ContentState, _ *Content) { s.remove(c.key()) })
	case ActionContentModify:
		return s.each(j, func(c *ContentState, in *Content) { c.Senders = contentState(in).Senders })
	case ActionContentRemove:
		return s.each(j, func(c *ContentState, _ *Content) { s.remove(c.key()) })
	case ActionTransportReplace:
		return s.replace(j, by)
	case ActionTransportAccept, ActionTransportReject:
		return s.replaced(j, by)
	case ActionSecurityInfo:
		return UnsupportedInfo() // no security precondition is known here
	case ActionSessionInitiate: // handled before
	}
	return OutOfOrder("")
}

// accept handles session-accept. What it does not name stays offered: a client may still accept it later, and
// what to do about it is not for the protocol to say.
func (s *Session) accept(j *Jingle, by Role) *xmpp.StanzaError {
	if s.state != StatePending || by != RoleResponder {
		return OutOfOrder("nothing to accept")
	}
	for i := range j.Contents {
		if k := j.Contents[i].key(); s.find(k) == nil && !s.gone(k) {
			return badRequest("jingle: accepted content that was not offered")
		}
	}
	s.state = StateActive
	return s.forEach(j, func(c *ContentState, in *Content) {
		if c.Creator == RoleInitiator {
			s.acceptContent(c, in, by)
		}
	})
}

// acceptContent takes a content as accepted. When the peer accepts while a content-modify of ours is on the way,
// that one is the later for both parties, unless the peer refuses it.
func (s *Session) acceptContent(c *ContentState, in *Content, by Role) {
	c.Accepted = true
	senders := contentState(in).Senders
	if by == s.role {
		s.overtake(c.key(), ActionContentModify)
	} else if s.deferSenders(c.key(), senders) {
		return
	}
	c.Senders = senders
}

// deferSenders keeps senders for the case that the content-modify of ours that is on the way fails. It is false
// if there is none, or something has overtaken it.
func (s *Session) deferSenders(k contentKey, senders Senders) bool {
	deferred := false
	for i := range s.unanswered {
		r := &s.unanswered[i]
		if r.action != ActionContentModify || !slices.Contains(r.keys, k) || slices.Contains(r.void, k) {
			continue
		}
		deferred = true
		for u := range r.undo {
			if r.undo[u].key() == k {
				r.undo[u].Senders = senders
			}
		}
	}
	return deferred
}

// add handles content-add.
func (s *Session) add(j *Jingle, by Role) *xmpp.StanzaError {
	for i := range j.Contents {
		switch {
		case j.Contents[i].Creator != by:
			return badRequest("jingle: added content of another creator")
		case s.find(j.Contents[i].key()) != nil:
			return OutOfOrder("content exists")
		}
	}
	if len(s.contents)+len(j.Contents) > maxContents {
		return xmpp.NewStanzaError(xmpp.ConditionResourceConstraint, "jingle: too many contents")
	}
	for i := range j.Contents {
		k := j.Contents[i].key()
		s.removed = slices.DeleteFunc(s.removed, func(r contentKey) bool { return r == k })
		s.contents = append(s.contents, contentState(&j.Contents[i]))
	}
	return nil
}

// settle handles the answer to contents that the other party than by offered and by has not accepted yet.
func (s *Session) settle(j *Jingle, by Role, f func(*ContentState, *Content)) *xmpp.StanzaError {
	for i := range j.Contents {
		k := j.Contents[i].key()
		if c := s.find(k); c == nil && !s.gone(k) || c != nil && (c.Creator == by || c.Accepted) {
			return OutOfOrder("no such content offered")
		}
	}
	return s.forEach(j, f)
}

// each handles what either party may do to any content. A content that never was is an error.
func (s *Session) each(j *Jingle, f func(*ContentState, *Content)) *xmpp.StanzaError {
	for i := range j.Contents {
		if k := j.Contents[i].key(); s.find(k) == nil && !s.gone(k) {
			return badRequest("jingle: unknown content")
		}
	}
	return s.forEach(j, f)
}

// forEach calls f for the contents that are there still.
func (s *Session) forEach(j *Jingle, f func(*ContentState, *Content)) *xmpp.StanzaError {
	for i := range j.Contents {
		if c := s.find(j.Contents[i].key()); c != nil {
			f(c, &j.Contents[i])
		}
	}
	return nil
}

// gone tells whether the content was there before.
func (s *Session) gone(k contentKey) bool { return slices.Contains(s.removed, k) }

func (s *Session) remove(k contentKey) {
	s.contents = slices.DeleteFunc(s.contents, func(c ContentState) bool { return c.key() == k })
	if s.gone(k) {
		return
	}
	if len(s.removed) == maxRemoved {
		s.removed = slices.Delete(s.removed, 0, 1)
	}
	s.removed = append(s.removed, k)
}

// replace handles transport-replace. When both parties replace, that of the initiator stands.
func (s *Session) replace(j *Jingle, by Role) *xmpp.StanzaError {
	for i := range j.Contents {
		k := j.Contents[i].key()
		c := s.find(k)
		switch {
		case c == nil && !s.gone(k):
			return badRequest("jingle: unknown content")
		case c != nil && (c.Replacing == by || c.Replacing == RoleInitiator):
			return OutOfOrder("transport is being replaced")
		}
	}
	return s.forEach(j, func(c *ContentState, _ *Content) { c.Replacing = by })
}

// replaced handles the answer to a transport-replace of the other party than by.
func (s *Session) replaced(j *Jingle, by Role) *xmpp.StanzaError {
	for i := range j.Contents {
		k := j.Contents[i].key()
		if c := s.find(k); c == nil && !s.gone(k) || c != nil && c.Replacing != by.Other() {
			return OutOfOrder("no transport is being replaced")
		}
	}
	return s.forEach(j, func(c *ContentState, _ *Content) { c.Replacing = "" })
}

// Answered notes the answer to the oldest action of this kind that Send took: err is nil for a result, and for
// want of an answer whatever stands for it. An error undoes what the action did: a session-initiate ends the
// session, a session-accept leaves it pending, a content-add takes the contents away again, and so on. An
// unknown-session ends the session whatever the action was. There is no need to call it for what was sent as
// information, but it does no harm.
func (s *Session) Answered(a Action, err *xmpp.StanzaError) {
	var r request
	if i := slices.IndexFunc(s.unanswered, func(r request) bool { return r.action == a }); i >= 0 {
		r = s.unanswered[i]
		s.unanswered = slices.Delete(s.unanswered, i, i+1)
	}
	switch {
	case err == nil || s.state == StateEnded:
	case IsUnknownSession(err) || a == ActionSessionInitiate:
		s.state = StateEnded
	case r.action != "":
		s.undo(&r)
	}
}

// undo puts the contents of a failed request back to what they were before it, but for what has happened to
// them since.
func (s *Session) undo(r *request) {
	for _, k := range r.keys {
		if slices.Contains(r.void, k) {
			continue
		}
		i := slices.IndexFunc(r.undo, func(c ContentState) bool { return c.key() == k })
		c := s.find(k)
		switch {
		case i < 0: // added by it; what was done to it since is void as well
			s.remove(k)
			for o := range s.unanswered {
				s.unanswered[o].annul(k)
			}
		case c != nil:
			r.restore(c, &r.undo[i])
		case r.action == ActionContentRemove || r.action == ActionContentReject:
			s.removed = slices.DeleteFunc(s.removed, func(g contentKey) bool { return g == k })
			s.contents = slices.Insert(s.contents, min(i, len(s.contents)), r.undo[i])
		}
	}
	if r.action == ActionSessionAccept {
		s.state = StatePending
	}
}

// restore puts back what an action of this kind changes.
func (r *request) restore(c, before *ContentState) {
	switch r.action {
	case ActionContentModify:
		c.Senders = before.Senders
	case ActionSessionAccept, ActionContentAccept:
		c.Senders, c.Accepted = before.Senders, before.Accepted
	case ActionTransportReplace, ActionTransportAccept, ActionTransportReject:
		c.Replacing = before.Replacing
	default:
	}
}

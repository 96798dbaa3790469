package jingle

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// State is where a session stands (XEP-0166 §5).
type State uint8

// The states of a session.
const (
	StateUnknown State = iota // no session-initiate yet
	StatePending              // initiated, not accepted
	StateActive               // accepted
	StateEnded                // over for us, whatever the peer thinks
)

func (s State) String() string {
	switch s {
	case StatePending:
		return "pending"
	case StateActive:
		return "active"
	case StateEnded:
		return "ended"
	}
	return "unknown"
}

// ErrNotNow is wrapped by every refusal of Send: the protocol does not allow the action at this point.
var ErrNotNow = errors.New("jingle: action not possible now")

// ContentState is what a session knows of one of its contents.
type ContentState struct {
	Creator     Role
	Name        string
	Media       string // "" for another application than RTP
	Disposition string // "" means session
	Senders     Senders
	Accepted    bool // by the party that did not create it
	// Replacing is the party whose transport-replace the other one has not answered yet; empty: none.
	Replacing Role
}

// contentKey names a content: creator and name together are unique (XEP-0166 §7.3).
type contentKey struct {
	creator Role
	name    string
}

func (c *ContentState) key() contentKey { return contentKey{c.Creator, c.Name} }
func (c *Content) key() contentKey      { return contentKey{c.Creator, c.Name} }

// Session is one party's view of a session: which actions the protocol allows, and what contents there are. It
// is a pure state machine, without clock and goroutine, and not safe for concurrent use. The zero value is
// of no use.
type Session struct {
	sid         string
	local, peer xmpp.JID
	role        Role
	state       State
	contents    []ContentState
	removed     []contentKey // the last ones, so that what crosses a removal is no error
	unanswered  []request
}

// request is an action of ours whose IQ the peer has not answered, with what it takes to undo it.
type request struct {
	action Action
	keys   []contentKey
	void   []contentKey   // of keys: what was overtaken by something later, so an error undoes nothing
	undo   []ContentState // the contents before
}

// NewSession returns a session in which this side has the role and nothing was said yet. local and peer are
// full addresses.
func NewSession(sid string, local, peer xmpp.JID, role Role) *Session {
	return &Session{sid: sid, local: local, peer: peer, role: role}
}

// SID returns the id of the session.
func (s *Session) SID() string { return s.sid }

// Local returns the address of this side.
func (s *Session) Local() xmpp.JID { return s.local }

// Peer returns the address of the other side.
func (s *Session) Peer() xmpp.JID { return s.peer }

// Role returns the role of this side.
func (s *Session) Role() Role { return s.role }

// State returns the state.
func (s *Session) State() State { return s.state }

// Contents returns the contents that were neither rejected nor removed, in the order in which they came.
func (s *Session) Contents() []ContentState { return slices.Clone(s.contents) }

// Content returns one content.
func (s *Session) Content(creator Role, name string) (ContentState, bool) {
	if c := s.find(contentKey{creator, name}); c != nil {
		return *c, true
	}
	return ContentState{}, false
}

func (s *Session) find(k contentKey) *ContentState {
	for i := range s.contents {
		if s.contents[i].key() == k {
			return &s.contents[i]
		}
	}
	return nil
}

// Receive judges an action of the peer. nil means: act on it, and answer with a result; else the error is the
// *xmpp.StanzaError to answer with, and nothing has changed. It corrects the creator of contents in j where the
// name alone tells which one is meant.
//
// It is lenient where a refusal would only do harm, because some clients end the call at any error: what comes
// for a content that was removed a moment ago, and any information about contents, is taken and has no effect.
func (s *Session) Receive(j *Jingle) error {
	if j.SID != s.sid || s.state == StateEnded {
		return UnknownSession()
	}
	if j.Action == ActionSessionInitiate {
		return s.receiveInitiate(j)
	}
	if s.state == StateUnknown {
		return UnknownSession()
	}
	s.resolve(j)
	if s.loses(j) {
		if j.Action == ActionContentAdd {
			s.refuse(j)
		}
		return TieBreak()
	}
	if err := s.apply(j, s.role.Other()); err != nil {
		return err
	}
	for i := range j.Contents {
		s.overtake(j.Contents[i].key(), j.Action)
	}
	return nil
}

// resolve corrects the creator of contents where it is wrong but the name leaves no doubt.
func (s *Session) resolve(j *Jingle) {
	if j.Action == ActionContentAdd {
		return
	}
	for i := range j.Contents {
		c := &j.Contents[i]
		other := contentKey{c.Creator.Other(), c.Name}
		if s.find(c.key()) == nil && !s.gone(c.key()) && s.find(other) != nil {
			c.Creator = other.creator
		}
	}
}

// refuse remembers contents that were not let in: the peer may have done more to them before it learns that.
func (s *Session) refuse(j *Jingle) {
	for i := range j.Contents {
		if k := j.Contents[i].key(); k.creator == s.role.Other() && s.find(k) == nil {
			s.remove(k)
		}
	}
}

// overtake voids what our unanswered requests of a kind say of a content: there is something later.
func (s *Session) overtake(k contentKey, a Action) {
	for i := range s.unanswered {
		if r := &s.unanswered[i]; r.action == a {
			r.annul(k)
		}
	}
}

// annul makes an error in answer to the request undo nothing of a content.
func (r *request) annul(k contentKey) {
	if slices.Contains(r.keys, k) && !slices.Contains(r.void, k) {
		r.void = append(r.void, k)
	}
}

// receiveInitiate handles the first action. One that crosses ours with the same sid is a tie.
func (s *Session) receiveInitiate(j *Jingle) error {
	switch {
	case s.state == StateUnknown && s.role == RoleResponder:
		for i := range j.Contents {
			j.Contents[i].Creator = RoleInitiator // who else; Tigase's clients have it wrong
		}
		s.initiate(j)
		return nil
	case s.state == StatePending && s.role == RoleInitiator && Prevails(s.sid, s.local, j.SID, s.peer):
		return TieBreak()
	}
	return OutOfOrder("session exists")
}

// Prevails tells which of two proposals for the same thing stands: that with the lower sid, by octets, or if
// those are equal that of the lower address (XEP-0166 §7.2.16, XEP-0353 §4.1).
func Prevails(sid string, from xmpp.JID, otherSID string, other xmpp.JID) bool {
	if c := strings.Compare(sid, otherSID); c != 0 {
		return c < 0
	}
	return from.String() < other.String()
}

// initiate takes the contents of a session-initiate.
func (s *Session) initiate(j *Jingle) {
	for i := range j.Contents {
		s.contents = append(s.contents, contentState(&j.Contents[i]))
	}
	s.state = StatePending
}

func contentState(c *Content) ContentState {
	v := ContentState{Creator: c.Creator, Name: c.Name, Disposition: c.Disposition, Senders: c.Senders}
	if v.Senders == "" {
		v.Senders = SendersBoth
	}
	if c.Description != nil {
		v.Media = c.Description.Media
	}
	return v
}

// loses tells whether an action of the peer collides with one of ours that prevails: in a session those of the
// initiator do (XEP-0166 §7.2.16). Actions on contents collide when they are about the same content; any two
// content-add do. Two removals of one content agree.
func (s *Session) loses(j *Jingle) bool {
	if s.role != RoleInitiator {
		return false
	}
	switch j.Action {
	case ActionContentAdd:
		return s.waiting(j.Action, nil)
	case ActionContentModify, ActionTransportReplace:
		return s.waiting(j.Action, j.Contents)
	}
	return false
}

// waiting tells whether the peer owes an answer to such an action, about one of the contents unless that is nil.
func (s *Session) waiting(a Action, contents []Content) bool {
	for i := range s.unanswered {
		if s.unanswered[i].action != a {
			continue
		}
		if contents == nil {
			return true
		}
		for c := range contents {
			if slices.Contains(s.unanswered[i].keys, contents[c].key()) {
				return true
			}
		}
	}
	return false
}

// Send notes that this side sends the action, or refuses with an error that wraps ErrNotNow where the protocol
// forbids it; then nothing has changed. Answered must follow once the peer answered the IQ, or never will.
func (s *Session) Send(j *Jingle) error {
	if j.SID != s.sid {
		return fmt.Errorf("%w: %s: sid of another session", ErrNotNow, j.Action)
	}
	before := slices.Clone(s.contents)
	if err := s.send(j); err != nil {
		return fmt.Errorf("%w: %s in state %s: %s", ErrNotNow, j.Action, s.state, err.Text)
	}
	r := request{action: j.Action}
	if stateful(j.Action) {
		r.undo = before
		for i := range j.Contents {
			r.keys = append(r.keys, j.Contents[i].key())
		}
		s.unanswered = append(s.unanswered, r)
	}
	return nil
}

// stateful tells whether an error in answer to the action changes anything.
func stateful(a Action) bool {
	switch a {
	case ActionSessionInfo, ActionTransportInfo, ActionDescriptionInfo, ActionSecurityInfo, ActionSessionTerminate:
		return false
	}
	return true
}

func (s *Session) send(j *Jingle) *xmpp.StanzaError {
	switch {
	case j.Action == ActionSessionInitiate:
		if s.state != StateUnknown || s.role != RoleInitiator {
			return badRequest("session exists or is the peer's")
		}
		for i := range j.Contents {
			if j.Contents[i].Creator != RoleInitiator {
				return badRequest("content that the initiator did not create")
			}
		}
		s.initiate(j)
		return nil
	case s.state == StateUnknown || s.state == StateEnded:
		return badRequest("no session")
	case stateful(j.Action) && len(j.Contents) == 0:
		return badRequest("no content")
	}
	switch j.Action {
	case ActionContentAdd, ActionContentModify, ActionContentRemove, ActionTransportReplace:
		if s.waiting(j.Action, nil) {
			return badRequest("the last one is not answered yet")
		}
	case ActionSessionAccept, ActionSecurityInfo, ActionSessionInfo, ActionSessionTerminate, ActionSessionInitiate,
		ActionContentAccept, ActionContentReject, ActionDescriptionInfo, ActionTransportAccept,
		ActionTransportInfo, ActionTransportReject:
	}
	return s.apply(j, s.role)
}

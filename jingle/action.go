package jingle

import "slices"

// Action says what a Jingle stanza does (XEP-0166 §7.2).
type Action string

// The actions of XEP-0166 §7.2, in its order.
const (
	ActionContentAccept    Action = "content-accept"
	ActionContentAdd       Action = "content-add"
	ActionContentModify    Action = "content-modify"
	ActionContentReject    Action = "content-reject"
	ActionContentRemove    Action = "content-remove"
	ActionDescriptionInfo  Action = "description-info"
	ActionSecurityInfo     Action = "security-info"
	ActionSessionAccept    Action = "session-accept"
	ActionSessionInfo      Action = "session-info"
	ActionSessionInitiate  Action = "session-initiate"
	ActionSessionTerminate Action = "session-terminate"
	ActionTransportAccept  Action = "transport-accept"
	ActionTransportInfo    Action = "transport-info"
	ActionTransportReject  Action = "transport-reject"
	ActionTransportReplace Action = "transport-replace"
)

// Actions lists the actions of XEP-0166 §7.2 in its order.
var Actions = []Action{
	ActionContentAccept, ActionContentAdd, ActionContentModify, ActionContentReject, ActionContentRemove,
	ActionDescriptionInfo, ActionSecurityInfo, ActionSessionAccept, ActionSessionInfo, ActionSessionInitiate,
	ActionSessionTerminate, ActionTransportAccept, ActionTransportInfo, ActionTransportReject,
	ActionTransportReplace,
}

func (a Action) known() bool { return slices.Contains(Actions, a) }

// Role tells the two parties of a session apart. It never changes while the session lives.
type Role string

// The two roles; RoleInitiator sent the session-initiate.
const (
	RoleInitiator Role = "initiator"
	RoleResponder Role = "responder"
)

// Other returns the role of the other party.
func (r Role) Other() Role {
	if r == RoleInitiator {
		return RoleResponder
	}
	return RoleInitiator
}

// Senders says who sends the media of a content (XEP-0166 §7.3). It is absolute: it means the same for both
// parties. Empty counts as SendersBoth.
type Senders string

// The values of XEP-0166 §7.3.
const (
	SendersBoth      Senders = "both"
	SendersInitiator Senders = "initiator"
	SendersNone      Senders = "none"
	SendersResponder Senders = "responder"
)

// Sends tells whether the party of this role sends.
func (s Senders) Sends(r Role) bool {
	return s == "" || s == SendersBoth || string(s) == string(r)
}

package mapping

import (
	"time"

	"github.com/stoxgate/stoxgate/sip/iscomposing"
	"github.com/stoxgate/stoxgate/xmpp"
)

// ComposingRefresh is the refresh that we write into an active isComposing document. XMPP clients say
// "composing" once (XEP-0085 §5.3), so whoever keeps the timers has to repeat it before that time is over;
// RFC 3994 §3.3 advises against less than a minute.
const ComposingRefresh = 90 * time.Second

// ChatStateToComposing maps a chat state of XEP-0085 to the document of RFC 3994. A state that comes with a
// body maps to nothing: the content ends composing by itself (RFC 3994 §3.2).
func ChatStateToComposing(state string) (d iscomposing.Document, ok bool) {
	switch state {
	case "composing":
		return iscomposing.Document{State: iscomposing.Active, ContentType: "text/plain", Refresh: ComposingRefresh}, true
	case "active", "paused", "inactive", "gone":
		return iscomposing.Document{State: iscomposing.Idle, ContentType: "text/plain"}, true
	}
	return iscomposing.Document{}, false
}

// ComposingToChatState is the other direction. It says paused for idle and not active: the peer may have gone
// away as well, and paused is the weaker claim.
func ComposingToChatState(d iscomposing.Document) string {
	if d.State == iscomposing.Active {
		return "composing"
	}
	return "paused"
}

// chatState returns the state element of an extension, "" if it is none.
func chatState(e *xmpp.Element) string {
	if e.Name.Space != xmpp.NSChatStates {
		return ""
	}
	switch s := e.Name.Local; s {
	case "composing", "active", "paused", "inactive", "gone":
		return s
	}
	return ""
}

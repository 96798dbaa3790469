package presence

import (
	"time"

	"github.com/stoxgate/stoxgate/interwork/cause"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Event is something that happened to a pair.
type Event interface{ isEvent() }

// StanzaReceived: a presence stanza of any type came from her, for him.
type StanzaReceived struct {
	Flow     string
	Presence *xmpp.Presence
}

// Watched: a SUBSCRIBE of his outside of a dialog was answered with 200. Who may not
// watch at all was refused before, see [Admit].
type Watched struct {
	Flow    string
	Watcher string // the dialog
	Poll    bool   // Expires was 0: one notification ends it
	Quiet   bool   // she is not to be asked: an entry of a list
	Hops    int    // Max-Forwards, 0 when not known
}

// Refreshed: a SUBSCRIBE in the dialog was answered with 200.
type Refreshed struct{ Flow, Watcher string }

// WatcherEnded: the dialog is over, for whatever reason, and was told so by the wire.
type WatcherEnded struct{ Flow, Watcher string }

// SubscribeAnswered: the SUBSCRIBE of Ports.Subscribe or Ports.Fetch has its final
// answer, or none. Without a cause it was 2xx; with one the subscription is over.
type SubscribeAnswered struct {
	Flow, ID string
	Cause    *cause.Cause
}

// Notified: a NOTIFY came, and was answered.
type Notified struct {
	Flow, ID   string
	Fork       string // tells the dialogs of a forked SUBSCRIBE apart
	State      DialogState
	Reason     Reason // of DialogTerminated
	RetryAfter time.Duration
	// Others says that other dialogs of the subscription live on when this one is
	// terminated: the subscription is not over.
	Others   bool
	Document *pidf.Document // nil: no body
	// Unreadable says that there is a body and that it is no document: what was known
	// stands.
	Unreadable bool
	Lang       string // Content-Language
}

// SubscriptionLost: the subscription is over without a word of the notifier: 481 or no
// answer to a refresh, or no NOTIFY behind the 2xx.
type SubscriptionLost struct{ Flow, ID string }

// LocalChanged: what is known here of his phones.
type LocalChanged struct {
	Flow      string
	Documents []LocalDocument // what they publish
	Devices   []string        // resources of those that are registered
}

// LocalDocument is one publication (RFC 3903).
type LocalDocument struct {
	Source   uint32 // tells publications of one AOR apart; not 0
	Document *pidf.Document
	Lang     string // Content-Language
}

// CallChanged: she or he is on the phone, through this gateway, or not any more.
type CallChanged struct {
	Flow string
	User bool // she; else he
	Busy bool
}

// PhotoChanged: what [Ports.Photo] says of the picture at this URI is not what it said.
type PhotoChanged struct{ Flow, Icon string }

// Decided: the owner of a phone, or an operator, decided on a watcher who waits.
type Decided struct {
	Flow  string
	Grant bool
}

// Removed: an operator removed an authorisation.
type Removed struct {
	Flow      string
	Direction Direction
}

// UserSeen and UserGone are what the gateway knows of her coming and going by other ways
// than her presence to him ([Gate], XEP-0356).
type (
	UserSeen struct{ Flow string }
	UserGone struct{ Flow string }
)

// LinkUp: the component stream stands again.
type LinkUp struct{}

// TimerFired: the timer of the pair ran out.
type TimerFired struct{}

// Restored brings the pair back after a restart, before anything else reaches it.
type Restored struct {
	Record       Record
	Watchers     []string // dialogs of his that live
	Subscription string   // id of ours to him, "" for none
}

type (
	loaded struct {
		record Record
		err    error
	}
	saved     struct{ err error }
	unwritten struct{ what Owed }
)

func (StanzaReceived) isEvent()    {}
func (Watched) isEvent()           {}
func (Refreshed) isEvent()         {}
func (WatcherEnded) isEvent()      {}
func (SubscribeAnswered) isEvent() {}
func (Notified) isEvent()          {}
func (SubscriptionLost) isEvent()  {}
func (LocalChanged) isEvent()      {}
func (CallChanged) isEvent()       {}
func (PhotoChanged) isEvent()      {}
func (Decided) isEvent()           {}
func (Removed) isEvent()           {}
func (UserSeen) isEvent()          {}
func (UserGone) isEvent()          {}
func (LinkUp) isEvent()            {}
func (TimerFired) isEvent()        {}
func (Restored) isEvent()          {}
func (loaded) isEvent()            {}
func (saved) isEvent()             {}
func (unwritten) isEvent()         {}

package presence

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

// Direction says who watches whom.
type Direction uint8

const (
	// Watching: the XMPP user watches the SIP user.
	Watching Direction = iota + 1
	// Sharing: the SIP user watches the XMPP user.
	Sharing
)

func (d Direction) String() string { return name([]string{"unknown", "watching", "sharing"}, int(d)) }

// Decision is what policy says about a watcher.
type Decision uint8

const (
	// Confirm is the zero value: whoever is watched has to say yes. In the direction
	// Sharing the XMPP user is asked; in the direction Watching a SIP presence server
	// decides, and for a phone without one the watcher waits until [Decided].
	Confirm Decision = iota
	// Allow grants what a phone of ours cannot decide itself; in the direction Sharing
	// and for SIP users of others it is the same as Confirm.
	Allow
	// Refuse refuses without asking.
	Refuse
)

func (d Decision) String() string { return name([]string{"confirm", "allow", "refuse"}, int(d)) }

// Presentity is what the gateway knows of the SIP user.
type Presentity struct {
	Ours       bool // an AOR of our own registrar
	Registered bool // with a phone that is registered now
	Silent     bool // whose phones are known to take no SUBSCRIBE for presence, or publish
}

// DialogState is the substate of a subscription (RFC 6665 §4.1.3).
type DialogState uint8

const (
	// DialogUnknown is the zero value.
	DialogUnknown DialogState = iota
	// DialogPending: not decided.
	DialogPending
	// DialogActive: authorised.
	DialogActive
	// DialogTerminated: over.
	DialogTerminated
)

func (s DialogState) String() string {
	return name([]string{"unknown", "pending", "active", "terminated"}, int(s))
}

// Reason is the reason parameter of a terminated subscription (RFC 6665 §4.1.3).
type Reason = sip.EventReason

// Notification is what the dialog of a SIP watcher is told.
type Notification struct {
	State      DialogState
	Reason     Reason        // of DialogTerminated
	RetryAfter time.Duration // of DialogTerminated, 0 for none
	// Document says that Resources are to be told (mapping.PresenceToPIDF); without it the
	// NOTIFY has no body. It is never set for a watcher who may not see her.
	Document   bool
	Resources  mapping.Resources // for the receiver to keep; none: she is offline
	OnThePhone bool
}

// Owed is a set of stanzas that could not be sent because the link was down.
type Owed uint8

// The stanzas that must not get lost.
const (
	OwedSubscribed Owed = 1 << iota
	OwedUnsubscribed
	OwedSubscribe
	OwedUnsubscribe
)

// Record is what the store keeps of a pair. The zero value is a pair of strangers, and
// means to delete what is stored.
type Record struct {
	Watch                  Authorisation // she watches him
	WatchSince, WatchAsked time.Time
	Share                  Authorisation // he watches her
	ShareSince, ShareAsked time.Time
	Wanted                 bool     // somebody looks: the watching goes on after a restart
	Owed                   Owed     // to be sent when the link is up
	Shown                  []string // devices that she was shown as available, see shownText
}

// IsZero tells whether there is nothing to keep.
func (r *Record) IsZero() bool {
	return r.Watch == None && r.Share == None && r.Owed == 0 && r.WatchAsked.IsZero() && r.ShareAsked.IsZero()
}

// Ports is what a pair asks of the gateway around it. No method waits; results come back
// as events. flow is the correlation id of the event that is the reason, "" for a timer.
type Ports interface {
	// LinkUp says whether the component stream stands.
	LinkUp() bool
	// Addresses are the two parties as XMPP sees them, both bare: her JID and the one
	// that stands for him.
	Addresses() (user, contact xmpp.JID)
	// Nick is his display name, "" for none.
	Nick() string
	// Send puts a stanza on the stream. An error means that it was not taken; written
	// (may be nil) comes once after that, with the fate of its bytes.
	Send(flow string, p *xmpp.Presence, written func(error)) error
	// Caps is the capabilities element of a device of his (XEP-0115), nil for none.
	Caps(*mapping.Resource) *xmpp.Element
	// Photo is what a device of his says of his picture (XEP-0153), nil for nothing. It is
	// only called for presence that goes to her; [PhotoChanged] comes when it would be
	// another one from now on.
	Photo(*mapping.Resource) *xmpp.Element

	// Presentity says what is known of him.
	Presentity() Presentity
	// Subscribe begins a subscription to his presence and gives its id, under which
	// [SubscribeAnswered], [Notified] and [SubscriptionLost] come; "" when it cannot be.
	// The wire refreshes it, answers challenges and 423, and ends it for good with the
	// first of: an answer that is no 2xx, a NOTIFY that terminates its last dialog, a loss.
	// When to subscribe anew is decided here. hops is Max-Forwards, 0 for no bound.
	Subscribe(flow string, hops int) (id string)
	// Refresh asks for the state again, inside the subscription.
	Refresh(flow, id string)
	// Unsubscribe ends a subscription; nothing more is heard of it.
	Unsubscribe(flow, id string)
	// Fetch asks once; the answer is a [Notified] with DialogTerminated.
	Fetch(flow string) (id string)
	// WatchLocal begins to post [LocalChanged], at once and with every change of what is
	// known here of his phones, or ends it.
	WatchLocal(on bool)
	// Silent remembers that his phones take no SUBSCRIBE for presence.
	Silent()

	// Notify tells the dialog of a watcher; a dialog that is over is no error.
	Notify(flow, watcher string, n Notification)

	// Allow is the policy.
	Allow(Direction) Decision
	// Watched tells what phones that subscribe to presence.winfo see of her.
	Watched(watcherinfo.Status, watcherinfo.Event)

	// Load reads the record; loaded is called once, from anywhere.
	Load(loaded func(Record, error))
	// Save writes the record, or deletes it when it is zero. An error means that saved is
	// not called; otherwise it is called once, from anywhere. Records of one pair are
	// written in order.
	Save(r Record, saved func(error)) error
	// SetTimer starts the timer of the pair anew, or stops it when after is 0; it posts
	// [TimerFired].
	SetTimer(after time.Duration)
	// Post gives an event to the actor of the pair.
	Post(Event)
	// Log is the logger of the flow.
	Log(flow string) *zerolog.Logger
	// Count counts for the metrics: what happened in which direction.
	Count(d Direction, what string)
}

// Settings is what an operator may decide about presence. A zero field means its default.
type Settings struct {
	Grace     time.Duration // how long dialogs outlive her last resource; 60 s
	Park      time.Duration // the pause when there is nothing to subscribe to; 24 h
	GiveUp    time.Duration // how long a decision is awaited; 7 days
	AskAgain  time.Duration // how often an XMPP user is asked the same at most; 24 h
	DenyFor   time.Duration // how long her no counts; 30 days
	ProbeWait time.Duration // how long a watcher waits for the answer to a probe; 2 s
	Settle    time.Duration // how long further resources are awaited after the first; 200 ms
	Confirm   time.Duration // how long a probe has time to confirm what was known; 60 s
	Silence   time.Duration // how long a phone of ours has time to answer a SUBSCRIBE; 4 s
	Spread    time.Duration // over which what a new link causes is spread; 30 s
	Unseen    time.Duration // how long she is believed to be there without a sign of her; 7 days
	// FetchOnly holds no dialogs: probes are answered by a fetch each.
	FetchOnly bool
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// WithDefaults returns s with its zero fields filled in.
func (s Settings) WithDefaults() *Settings {
	const day = 24 * time.Hour
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&s.Grace, time.Minute},
		{&s.Park, day},
		{&s.GiveUp, 7 * day},
		{&s.AskAgain, day},
		{&s.DenyFor, 30 * day},
		{&s.ProbeWait, 2 * time.Second},
		{&s.Settle, 200 * time.Millisecond},
		{&s.Confirm, time.Minute},
		{&s.Silence, 4 * time.Second},
		{&s.Spread, 30 * time.Second},
		{&s.Unseen, 7 * day},
	} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	return &s
}

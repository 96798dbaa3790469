package presence

// ShareState is the authorisation of the SIP user to see the XMPP user. It belongs to
// the pair; any number of dialogs hang on it.
type ShareState uint8

const (
	// ShareNone is the zero value: she was not asked, or her answer is taken back.
	ShareNone ShareState = iota
	// SharePending: she was asked and has not answered.
	SharePending
	// ShareGranted: she said yes.
	ShareGranted
	// ShareDenied: she said no.
	ShareDenied

	shareStates
)

var shareStateNames = [...]string{"none", "pending", "granted", "denied"}

func (s ShareState) String() string { return name(shareStateNames[:], int(s)) }

// Authorisation is the state in the words of both directions.
func (s ShareState) Authorisation() Authorisation {
	return [...]Authorisation{None, Asked, Granted, Denied}[s]
}

// ShareEvent is what can happen to such an authorisation. The end of a dialog is not
// among them, whatever ends it: it changes nothing here.
type ShareEvent uint8

const (
	// ShareWatched: SUBSCRIBE that begins a dialog.
	ShareWatched ShareEvent = iota
	// ShareWatchedQuietly: as ShareWatched, where nobody is to be asked (an entry of a list).
	ShareWatchedQuietly
	// ShareRefreshed: SUBSCRIBE in a dialog.
	ShareRefreshed
	// SharePolled: SUBSCRIBE with Expires 0 outside of a dialog.
	SharePolled
	// ShareSubscribed: <presence type='subscribed'/>.
	ShareSubscribed
	// ShareUnsubscribed: <presence type='unsubscribed'/>.
	ShareUnsubscribed
	// ShareChanged: her presence changed, or it became known.
	ShareChanged
	// ShareNotFound: an error says that there is no such user.
	ShareNotFound
	// ShareUnreachable: an error says that her server cannot be reached now.
	ShareUnreachable
	// ShareRefused: any other error.
	ShareRefused
	// ShareGivenUp: she did not answer in a week.
	ShareGivenUp
	// ShareLapsed: the time for which a refusal counts is over.
	ShareLapsed
	// ShareRemoved: an operator removed the authorisation.
	ShareRemoved

	shareEvents
)

var shareEventNames = [...]string{
	"watched", "watched-quietly", "refreshed", "polled", "subscribed", "unsubscribed", "changed", "not-found", "unreachable",
	"refused", "given-up", "lapsed", "removed",
}

func (e ShareEvent) String() string { return name(shareEventNames[:], int(e)) }

// ShareEffects is a set of what the pair does because of a transition, in the order of
// declaration. The dialog of an effect is the one of the event; "every" is all of the pair.
type ShareEffects uint16

const (
	// ShareAsk sends <presence type='subscribe'/>, at most once in a day.
	ShareAsk ShareEffects = 1 << iota
	// ShareAskAgain lets the next SUBSCRIBE ask again without that wait.
	ShareAskAgain
	// ShareTellUnsubscribe sends <presence type='unsubscribe'/>.
	ShareTellUnsubscribe
	// ShareForget forgets her presence.
	ShareForget
	// ShareNotifyPending sends the dialog NOTIFY pending, without a body.
	ShareNotifyPending
	// ShareNotify sends the dialog NOTIFY active with the document; a state that is not
	// known is probed first, for two seconds at most.
	ShareNotify
	// ShareNotifyLast answers a poll: NOTIFY terminated;reason=timeout with the document,
	// after a probe where needed.
	ShareNotifyLast
	// ShareNotifyEmpty answers a poll without a body.
	ShareNotifyEmpty
	// ShareForbid ends the dialog: terminated;reason=rejected, which is the 403 of
	// [Refusals] for those that it let through.
	ShareForbid
	// ShareAnnounce sends every dialog NOTIFY active with the document, as soon as there is
	// something to tell: her server sends her presence behind the subscribed.
	ShareAnnounce
	// ShareNotifyAll sends every dialog NOTIFY active with the document.
	ShareNotifyAll
	// ShareReject ends every dialog: terminated;reason=rejected.
	ShareReject
	// ShareNoResource ends every dialog: terminated;reason=noresource.
	ShareNoResource
	// ShareProbation ends every dialog: terminated;reason=probation;retry-after=300.
	ShareProbation
	// ShareGiveUp ends every dialog: terminated;reason=giveup;retry-after=86400.
	ShareGiveUp
)

var shareEffectNames = [...]string{
	"ask", "ask-again", "tell-unsubscribe", "forget", "notify-pending", "notify", "notify-last", "notify-empty", "forbid",
	"announce", "notify-all", "reject", "noresource", "probation", "giveup",
}

func (f ShareEffects) String() string { return setName(shareEffectNames[:], uint32(f)) }

// NextShare is the authorisation of the SIP user to see the XMPP user (RFC 8048 §5.3,
// §6.3; RFC 6665 §4.2). The SUBSCRIBE was answered before: nobody waits for her. Her
// presence reaches a watcher in the state granted and in no other.
//
//	none     --watched-->          pending  ask notify-pending
//	none     --watched-quietly-->  none     notify-pending
//	none     --refreshed-->        pending  ask notify-pending
//	none     --polled-->           none     notify-empty                 (a poll asks nobody)
//	none     --subscribed-->       granted  announce                     (her server has more than we)
//
//	pending  --watched-->          pending  ask notify-pending           (the ask is repeated once a day)
//	pending  --watched-quietly-->  pending  notify-pending
//	pending  --refreshed-->        pending  ask notify-pending
//	pending  --polled-->           pending  notify-empty
//	pending  --subscribed-->       granted  announce
//	pending  --unsubscribed-->     denied   reject
//	pending  --not-found-->        none     ask-again noresource
//	pending  --unreachable-->      none     ask-again probation
//	pending  --refused-->          denied   reject
//	pending  --given-up-->         none     giveup
//	pending  --removed-->          none     tell-unsubscribe reject
//
//	granted  --watched-->          granted  notify
//	granted  --watched-quietly-->  granted  notify
//	granted  --refreshed-->        granted  notify
//	granted  --polled-->           granted  notify-last
//	granted  --unsubscribed-->     none     forget reject
//	granted  --changed-->          granted  notify-all
//	granted  --not-found-->        granted  forget notify-all            (an error to a probe does not take back a yes)
//	granted  --unreachable-->      granted  forget notify-all
//	granted  --refused-->          granted  forget notify-all
//	granted  --removed-->          none     tell-unsubscribe forget reject
//
//	denied   --watched-->          denied   forbid
//	denied   --watched-quietly-->  denied   forbid
//	denied   --refreshed-->        denied   forbid
//	denied   --polled-->           denied   forbid
//	denied   --subscribed-->       granted  announce
//	denied   --lapsed-->           none
//	denied   --removed-->          none     tell-unsubscribe
//
// Everything else changes nothing; above all changed, which in the other states is
// directed presence (RFC 6121 §4.6).
func NextShare(s ShareState, e ShareEvent) (ShareState, ShareEffects) {
	switch s {
	case ShareNone:
		switch e {
		case ShareWatched, ShareRefreshed:
			return SharePending, ShareAsk | ShareNotifyPending
		case ShareWatchedQuietly:
			return ShareNone, ShareNotifyPending
		case SharePolled:
			return ShareNone, ShareNotifyEmpty
		case ShareSubscribed:
			return ShareGranted, ShareAnnounce
		}
	case SharePending:
		switch e {
		case ShareWatched, ShareRefreshed:
			return SharePending, ShareAsk | ShareNotifyPending
		case ShareWatchedQuietly:
			return SharePending, ShareNotifyPending
		case SharePolled:
			return SharePending, ShareNotifyEmpty
		case ShareSubscribed:
			return ShareGranted, ShareAnnounce
		case ShareUnsubscribed, ShareRefused:
			return ShareDenied, ShareReject
		case ShareNotFound:
			return ShareNone, ShareAskAgain | ShareNoResource
		case ShareUnreachable:
			return ShareNone, ShareAskAgain | ShareProbation
		case ShareGivenUp:
			return ShareNone, ShareGiveUp
		case ShareRemoved:
			return ShareNone, ShareTellUnsubscribe | ShareReject
		}
	case ShareGranted:
		switch e {
		case ShareWatched, ShareWatchedQuietly, ShareRefreshed:
			return ShareGranted, ShareNotify
		case SharePolled:
			return ShareGranted, ShareNotifyLast
		case ShareUnsubscribed:
			return ShareNone, ShareForget | ShareReject
		case ShareChanged:
			return ShareGranted, ShareNotifyAll
		case ShareNotFound, ShareUnreachable, ShareRefused:
			return ShareGranted, ShareForget | ShareNotifyAll
		case ShareRemoved:
			return ShareNone, ShareTellUnsubscribe | ShareForget | ShareReject
		}
	case ShareDenied:
		switch e {
		case ShareWatched, ShareWatchedQuietly, ShareRefreshed, SharePolled:
			return ShareDenied, ShareForbid
		case ShareSubscribed:
			return ShareGranted, ShareAnnounce
		case ShareLapsed:
			return ShareNone, 0
		case ShareRemoved:
			return ShareNone, ShareTellUnsubscribe
		}
	}
	return s, 0
}

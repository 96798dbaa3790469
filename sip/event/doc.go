// Package event is SIP event notification: a notifier and a subscriber (RFC 6665, with
// what RFC 3856, 3857 and 4662 ask of them), and event state publication in both roles
// (RFC 3903). Documents are bytes with a media type here; what is in them is for others.
//
//	Notifier           takes SUBSCRIBE, sends NOTIFY    Subscription   NotifierOwner
//	Subscriber         sends SUBSCRIBE, takes NOTIFY    Watch          WatchOwner
//	PublicationServer  takes PUBLISH                    Publication    PublicationOwner
//	Publisher          sends PUBLISH                    Posting        PostOwner
//
// Each of the four answers or sends, keeps the dialogs, the timers and the limits, and
// tells its owner what happened. Whether a watcher may see anything is the owner's
// decision, and who the sender of a request is has been found out before.
//
// Decisions:
//
//   - Each state machine is a pure function with a table test (notifymachine.go,
//     watchmachine.go, postmachine.go); the rules for status codes and reasons are pure
//     functions too (rules.go).
//   - A call of an owner is made without a lock held, in order for each Subscription,
//     Watch, Posting or resource, by whoever has caused it. So it must not block, and it
//     may call back.
//   - 100,000 subscriptions live in one process: a dialog is a few numbers and one string
//     (dialog.go), all deadlines are one heap with one goroutine (alarms.go), and a
//     goroutine that waits for an answer exists only while a request is under way
//     (outbox.go). At most 1024 of them are, and 128 to one next hop, so that a peer that
//     is gone holds up nobody else.
//   - Deadlines are on the monotonic clock. The wall clock is read for records only; a
//     restored subscription never lasts longer than it was granted, and what has expired
//     by a wrong clock is subscribed to anew, or answered with 481, which makes the other
//     side subscribe anew.
//   - A stop ends nothing: no peer is told anything, requests that come while it happens
//     get 503. Record and Restore carry subscriptions over it. A record is not worth
//     storing after every NOTIFY; Restore leaves a gap in CSeq instead.
//   - One NOTIFY is under way in a dialog; what is told meanwhile, or within the interval,
//     is replaced by what is told last. The notifier keeps no document that was sent.
//   - A Watch is more than one subscription: it starts the next one where RFC 6665 lets it,
//     with back-off when attempts come to nothing, and says when it does not. A dialog of a
//     Watch is made by its NOTIFY, not by the 2xx (RFC 6665 §4.4.1).
//   - A refresh that gets no answer loses the dialog (presence.md §3.1), as timer N does.
//     A NOTIFY without an answer removes the subscription, which the standard leaves open
//     (SHOULD), and so does 408, which is the same seen by a proxy.
//   - Several usages in one dialog (RFC 6665 §4.5.2) are not supported, nor is the
//     suppression of NOTIFYs (RFC 5839) but for its 204.
//   - Redirections of SUBSCRIBE and PUBLISH are not followed: the owner decides whom it
//     trusts.
package event

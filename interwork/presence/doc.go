// Package presence is who sees whom between one bare JID and one SIP AOR, in both
// directions (RFC 8048): the subscriptions of XMPP, which are lasting permissions in two
// rosters, and those of SIP, which are dialogs that die when nobody refreshes them.
//
// Decisions that bind the package:
//
//   - The two models are kept apart. The authorisation is a record in the store; the
//     dialog exists only while somebody looks. The end of a dialog never touches the
//     authorisation, and a dialog that is refused says nothing about what was granted.
//   - The rules are pure functions: [NextWatch] (the XMPP user watches the SIP user),
//     [NextShare] (the SIP user watches the XMPP user), [NextSession] (is she there),
//     [NextGate] (the gateway's own presence, XEP-0100). A [Pair] carries their effects
//     out through [Ports] and never waits, like a chat.Pair; it has no goroutine and no
//     lock.
//   - 200 and 202 grant nothing: only NOTIFY active sends subscribed, once, and only to a
//     user who asked.
//   - Her presence goes to SIP in the state granted and in no other; pending watchers and
//     polls of strangers get a NOTIFY without a body. Directed presence (RFC 6121 §4.6)
//     shows that she is there and is never told.
//   - A phone that is registered here and takes no SUBSCRIBE for presence, as most do,
//     has its presence from its PUBLISH documents, else from its registration and its
//     calls. Who may see it is decided by [Ports.Allow], because a desk phone cannot ask
//     its owner.
//   - Nothing flaps. A link that breaks changes nothing on SIP; when it is back, probes
//     ask what became of everybody (spread over [Settings.Spread]), and what nobody
//     confirms is taken back after [Settings.Confirm]. A restart is the same: what the
//     watchers saw last is in the record.
//   - A pair of which nobody is online costs nothing: it is [Pair.Idle] and may be
//     dropped; the next event loads its record.
//
// In comments "she" is the XMPP user and "he" the SIP user.
package presence

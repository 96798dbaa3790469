// Package interwork is the gateway: it ties the two wires, XMPP and SIP, to the services
// that translate between them. This page is the architecture.
//
// # Rooms
//
// Data goes one way: wire → value → decision → value → wire. Values are in packages
// xmpp, sip and their body formats; translation between values is package mapping, pure
// functions only; the wires are xmpp/component and sip/ua with sip/registrar, sip/event
// and sip/dialog on it, which know nothing of each other; decisions are the services
// below interwork (identity, chat, presence, call), which know neither wire; the relay
// carries sound and knows no signalling; this package is where they meet.
//
// # Who owns which goroutine
//
//   - The component's reader and writer belong to xmpp/component. The reader calls
//     [Gateway.HandleStanza], which finds the actor of a stanza and returns.
//   - Every SIP request has a goroutine of sip/ua. It finds out who asks and for whom,
//     gives the request to the pair's actor and returns; the UA keeps the transaction
//     open until the answer.
//   - Every pair (bare JID × AOR) has one actor: a mailbox that is worked for only while
//     there is something to handle, by the goroutine that brings the event or by one of
//     the crew. It owns all state of the pair, never waits on the network or the disk,
//     and holds no lock. What waits runs outside and posts a typed event back.
//   - Every call has one actor of the same kind, which owns its two legs. Sound never
//     passes it: the relay owns sockets and keys, the call hands it descriptions and gets
//     events.
//   - SIP client transactions call back from sip/ua; the pings that confirm deliveries
//     run in goroutines of the gateway. Both are bounded in number and time, and counted
//     in Gateway.work.
//   - The store's writer goroutine commits the outbox in groups; its callbacks post to
//     mailboxes and leave the work to the crew.
//
// Mailboxes refuse what comes from the wire when they are full (resource-constraint, or
// 503 with Retry-After) and always take results, whose number is bounded by what was
// let in.
//
// The dialogs of SUBSCRIBE and NOTIFY live in sip/event, whose owner is events.go here:
// it finds the pair of a dialog and the dialog of a pair, and keeps records of both in
// the store, so that a restart is not seen by either side. Beside it stand publications
// (what phones publish here), posters (what we publish at presence servers), winfo (who
// watches, for phones), lists (all contacts in one dialog), gates (the gateway itself as
// a contact), seeder (contacts that are offered) and callState, the word of the calls.
// Each is called by whoever brings the event, keeps its tables under a lock of its own,
// waits for nothing, and posts to pairs. So are the avatars; package avatar fetches
// pictures on goroutines of its own, bounded in number, time and bytes.
//
// # Three promises
//
// Nothing is acknowledged before it is safe. A message from XMPP, where nothing can be
// acknowledged, goes to its receiver and to the outbox at the same time, and is on the
// disk a few milliseconds later unless it has been answered by then. A MESSAGE from SIP gets 200 when the XMPP server is known to
// have taken the stanza and not to have bounced it (a ping behind it came back, see
// deliverer), 202 when it is on disk for later or its fate is unknown.
//
// Every failure is told to its sender, in the sender's own protocol, once: package
// cause. When the answer has gone already, it is told as a notification or as a text.
//
// After a crash the outbox is sent again under the same identifiers (Call-ID and CSeq,
// or stanza id), all derived from the outbox number, so the far side can recognise it.
//
// # Paths
//
// A message from XMPP: component reader → Gateway.HandleStanza → pair → chat.Pair →
// outbox, and mapping.MessageToRequests → router → ua transaction → chat.Pair →
// forgotten, or an error stanza.
//
// A message from SIP: ua → Gateway.sipMessage (digest, addresses) → pair → chat.Pair →
// mapping.RequestToMessages → deliverer → component → verdict → 200, 202 or an error.
//
// Presence: stanza → pair → presence.Pair → sip/event subscriber → NOTIFY →
// mapping.PIDFToPresences → stanza; and SUBSCRIBE → sip/event notifier → pair →
// presence.Pair → stanza … → mapping.PresenceToPIDF → NOTIFY. Authorisation (durable, as
// in a roster) and dialog (soft) are two things (RFC 8048).
//
// A picture of a SIP user: icon in a document → presence.Pair → avatar.Icons → (web) →
// presence.PhotoChanged → stanza with its hash; vCard and PEP requests of who sees him are
// answered in iq.go. One of an XMPP user: hash in a stanza → mapping.PresenceToPIDF →
// avatar.Gallery; GET → Gateway.Avatar → vCard request to her server → the phone.
//
// A call from XMPP: propose or session-initiate → calls → call.Call → relay for the SIP
// side → dialog INVITE; 180 → ringing; 200 → proceed, session-accept with the relay's
// description of the Jingle side; ICE and DTLS come up in the relay.
//
// A call from SIP: INVITE → dialog → calls → call.Call → propose to all devices of hers
// (and session-initiate to those without JMI) → ringing → 180; the first proceed →
// session-initiate; session-accept → 200.
//
// Either way the end of one side becomes the end of the other by the tables in
// mapping/callreasons.md. When both hang up at once, each end is answered and told to
// nobody: the table in call.Next has it in the state Ending.
package interwork

// Package call joins one XMPP user and one SIP user in a call with sound: Jingle
// (XEP-0166, XEP-0167, XEP-0176) with or without Jingle Message Initiation (XEP-0353) on
// one side, INVITE with offer and answer (RFC 3261, RFC 3264) on the other.
//
// A [Call] is an actor: its Handle takes one [Input] after another and never waits. What
// it wants of the wires, of the relay and of the gateway it asks of its [Ports]; what
// comes back is another Input. The order of things is the pure machine [Next]: which
// state, which event, what to do. Everything else in this package carries out effects
// and turns what arrives into events.
//
// Decisions:
//
//   - Ringing is real (XEP-0353 §4, RFC 3261 §13.3.1.1): the XMPP user hears that it rings
//     when a SIP device says so, and 180 goes out when an XMPP device says so. Neither is
//     guessed. Early media is not played, for Jingle has no provisional answer: a 183 with
//     a description counts as ringing.
//   - A proposed call rings the phone at once; "proceed" means that the phone was picked up.
//   - The gateway terminates media on both sides: ICE and DTLS-SRTP towards XMPP, RTP
//     towards SIP. So a re-INVITE and an ICE restart end here, and each side gets what it
//     insists on. The codec that both sides have is preferred, else the relay transcodes.
//   - A SIP call to an XMPP user proposes to the bare JID and at once invites those
//     resources that are known to take calls but no proposals; the first that takes the
//     call gets it.
//   - Hold and mute are done by the relay, and by re-INVITE towards SIP; XMPP clients are
//     only told (session-info), for most ignore it.
//   - One modification at a time. What is wanted meanwhile is remembered as a wish, not as
//     a queue: hold and unhold in a row are one state.
//   - No state waits for ever: [Deadlines] names the bound of each.
//   - Both sides are told the same reason, by the tables of package mapping.
package call

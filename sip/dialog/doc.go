// Package dialog keeps INVITE dialogs: calls as SIP sees them (RFC 3261 §12–15, RFC 6026),
// with reliable provisional responses (RFC 3262), UPDATE (RFC 3311), INFO (RFC 6086), REFER
// (RFC 3515), Replaces (RFC 3891), Reason (RFC 3326) and session timers (RFC 4028).
//
//	Layer   takes the requests of a ua.UA, finds the leg, makes new ones
//	Leg     one call, or the attempt to place one, whichever side began it
//	Event   what a leg tells its owner
//
// A leg carries session descriptions as bytes and keeps the rules of who may offer when
// (RFC 3264 §4, RFC 6337); it does not read them.
//
// Decisions:
//
//   - The protocol is a machine without sockets, clock or randomness of its own (core.go and
//     its parts: outgoing.go, incoming.go, offers.go, session.go, traffic.go): inputs go in,
//     effects come out. The table of its phases is a pure function (phase.go). Leg carries the
//     effects out.
//   - A leg has an inbox and a goroutine only while something is in it. Whatever a method
//     is told, a peer sends or a timer brings is put there, so methods return at once, events
//     come one at a time and in order, and the owner may call any method from its handler.
//     An idle leg costs its state, one timer and one table entry.
//   - Everything ends: INVITE by Outgoing.Ring, or Config.Ring for a call that comes in; a
//     2xx without ACK, a reliable response without PRACK, a 2xx with an offer that the owner
//     does not answer and a request without an answer after 64*T1; an established call whose
//     peer is gone by its session timer. The last event is Failed or Ended, exactly once.
//   - Digest, failover between addresses (RFC 3263 §4.3) and the rule that CANCEL waits for a
//     provisional response are sip/ua's. Each request of a leg with credentials takes
//     cseqStep numbers, because answering a challenge takes one.
//   - One offer is out at a time. Leg.Offer waits for its turn; a 491 is retried after the
//     times of RFC 3261 §14.1, unless the peer's own offer comes first: then the owner hears
//     OfferRefused{491}, for what it offered was made for the session before that.
//   - An offer that is byte by byte the peer's last one is answered with our last answer, and
//     an UPDATE without one with 200: that is how sessions are refreshed (RFC 4028 §7.4).
//   - The first 2xx of a fork is the call; the others get ACK and BYE. Early dialogs keep
//     their own route set and numbers.
//   - A BYE that follows a 2xx of ours waits for the ACK (RFC 3261 §15); a peer that sends BYE
//     before its ACK is taken at its word.
//   - What comes to a leg after its end gets 481. A 2xx that comes again gets its ACK again
//     for as long as the transaction lives.
package dialog

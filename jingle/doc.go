// Package jingle holds Jingle as values: the session protocol of XEP-0166 with its state machine, RTP sessions
// (XEP-0167) with feedback (XEP-0293), header extensions (XEP-0294), sources (XEP-0339), categories (XEP-0507)
// and groups (XEP-0338), the transports of ICE and plain UDP (XEP-0176, XEP-0177) with DTLS fingerprints
// (XEP-0320), keys (XEP-0181), transfer (XEP-0251), the messages that come before a session (XEP-0353) and
// external service discovery (XEP-0215).
//
// Decisions that bind the package:
//
//   - Values are plain structs. Element writes them in one canonical order, Parse(x.Element()) gives x again.
//     What has no field is kept as an element where it stood and written after the rest (Info, Other); unknown
//     attributes are lost.
//   - Parse refuses only what nobody could act on. A candidate, codec or fingerprint that can not be used is
//     left out with a note in Ignored, because there are others and the clients in use differ in what they
//     leave away. All lists and texts are bounded.
//   - An error in answer to an IQ ends the call in several clients, so Session refuses what would lead the
//     parties into different ideas of the session, and lets pass what does no harm.
//   - A session belongs to a pair of addresses, never to its sid alone: whoever keeps a table of sessions
//     looks them up so.
//   - Nothing here reads a clock, makes ids, locks or logs. A Session belongs to one goroutine at a time.
package jingle

// Package disco answers and reads service discovery (XEP-0030) with entity
// capabilities (XEP-0115) and data forms (XEP-0128), and the small questions
// that every XMPP entity is asked: ping (XEP-0199), software version (XEP-0092),
// entity time (XEP-0202), last activity (XEP-0012), vcard-temp (XEP-0054) and
// the gateway's address prompt (XEP-0100 §6.4).
//
// Decisions that bind the package:
//
//   - Nothing is announced that is not served. The features of an answer are
//     composed from two tables: the services this package answers itself
//     (service.go, the table that also dispatches the requests), and what the
//     device behind the address can do (features.go). The caps hash and the
//     disco#info answer are computed from the same value.
//   - Answers are pure: Responder.Answer maps a request and what the gateway
//     knows of the addressed JID to the reply. It holds no state that changes,
//     so it needs no lock and survives a restart: every hash that this version
//     of the program can announce stays answerable.
//   - Who may not see an address gets the same answers as for an address that
//     does not exist (XEP-0030 §8, XEP-0199 §7): the gateway passes
//     SubjectUnknown in both cases. Otherwise numbers could be harvested.
//   - The name shown in a SIP user's client identity is the same for all users:
//     a few hashes serve everybody.
//   - On the receiving side an answer is believed for other JIDs only after its
//     hash was verified (Cache). XEP-0115 hashes can be forged by shifting
//     strings between its lists, which XEP-0115 §9.3 accepts as unfixable; so
//     capabilities decide comfort (typing notifications, receipts, the offer of
//     a call), and never what is secret.
package disco

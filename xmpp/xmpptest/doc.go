// Package xmpptest holds the other side of the gateway's XMPP legs for tests and
// for the demo: Server is the server end of a component connection (XEP-0114,
// jabber:component:accept) with scripted users behind it, Client is a small
// client (RFC 6120, RFC 6121) for trying the gateway behind a real server. Both
// speak through an Endpoint, so the same script runs against either.
//
// Decisions that bind the package:
//
//   - The server is as strict as Prosody, and a bit more: what Prosody answers by
//     closing the stream closes it here (invalid-from, not-well-formed,
//     restricted XML), and what it lets pass although RFC 6120 forbids it is
//     recorded as a Violation. Start fails the test for each that the test did
//     not ask for.
//   - XML is read by a parser of our own (parse.go), neither by the gateway's nor
//     by encoding/xml: a double that shares the parser shares its blind spots.
//   - Everything that came over the component stream is handled to its end, in
//     order, before the next stanza is read: a user's automatic receipt, a bounce
//     and the answer to a ping leave in the order of what caused them. The gateway
//     relies on this of real servers: the answer to a ping that was sent behind a
//     message tells that the message was delivered, stored or bounced.
//   - Nothing is random and nothing waits for time; stream ids are counted. With
//     Server.Dial there is no socket either, so tests may run in a
//     testing/synctest bubble.
//   - No import of testing: helpers take a TB, which *testing.T satisfies.
package xmpptest

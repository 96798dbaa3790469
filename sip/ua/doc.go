// Package ua sends and takes SIP requests: transports, transactions, digest in
// both directions, next-hop location (RFC 3261 §8, §17, §18, §22; RFC 3263,
// RFC 3581, RFC 4320, RFC 5922, RFC 6026, RFC 7118, RFC 8760).
//
// Decisions:
//
//   - sipgo gives the message types and the parser of whatever is not plain. Its
//     transport layer is not used: it pools connections by remote address only
//     (a TLS connection verified for one domain would serve another), remembers
//     every UDP source for ever, starts a goroutine per message (which swaps
//     pipelined requests), drops what it cannot parse without an answer, and has
//     no connection limits. What remains after closing these holes from outside
//     is a read loop; ours is in udp.go and stream.go.
//   - Transactions are ours (clienttx.go, servertx.go, inviteclient.go, invite.go,
//     inviteack.go): small state machines on one timer wheel. sipgo's cost a goroutine per message,
//     three timers each and 6 kB for 32 s; BenchmarkSipgo in the tests compares.
//     Answers to UDP requests are kept for timer J as bytes in pages (answers.go).
//   - A handler runs on its own goroutine and may return before it has answered;
//     the transaction stays open until Respond or the deadline (500).
//   - Everything that is sent is written by a sip.Writer, which checks every piece,
//     and has the headers that sip.Mandatory asks for; nothing else is written to a
//     socket but the CRLF that answers a keep-alive.
//   - Order: requests of one flow are dispatched in the order of arrival. Their handlers
//     run concurrently, but for those within one dialog, which run one after the other
//     in that order (RFC 3261 §12.2.2): so a peer may pipeline ACK, re-INVITE and BYE.
//
// Who runs what: one goroutine per UDP socket, per listener and per connection
// reads; one drives the wheel; one per request runs a handler. Shutdown waits
// for all of them.
package ua

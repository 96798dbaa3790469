// Package siptest is the other end of the line: scripted SIP phones, load
// generators and a DNS server that run in the test's own process on loopback.
//
// Standards: RFC 3261 (messages, transactions, digest), RFC 3428
// (MESSAGE), RFC 3581 (rport), RFC 5626 (outbound, CRLF keep-alive), RFC 7118
// (WebSocket), RFC 8760 (digest with SHA-256), RFC 3263 (records of [DNS]).
//
// [UA] is the strict phone, [Phone] places and takes calls, [Answerer] and [Sender] are the two ends of a load
// test, [Authority] makes certificates.
//
// Decisions that bind the package:
//
//   - It shares no code with sip/ua and none with sipgo. Parser, digest,
//     transactions and framing are written again here, small and strict, so
//     that a fault of the gateway's stack is not answered by the same fault.
//   - It judges what it receives. Every message that a [UA] gets is checked;
//     what breaks a rule is collected ([UA.Violations]) and the test asserts
//     that the list is empty. A violation never stops the exchange, because the
//     test wants to see what happens next.
//   - It is able to misbehave on request, and only on request ([UA.Answer],
//     [UA.SendRaw]).
//   - It does not import package testing ([TB] is the part that it needs), so
//     that a demo program can use it.
//   - It uses real sockets and real time; T1 is set per UA, so tests that need
//     a transaction to time out choose a small one.
package siptest

// TB is the part of testing.TB that the helpers of this package use.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

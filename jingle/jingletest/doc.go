// Package jingletest holds a client that makes and takes calls, for tests: a Party speaks Jingle (XEP-0166,
// XEP-0167) and Jingle messages (XEP-0353) through an endpoint of xmpptest. It carries no media; candidates and keys
// are given to it.
//
// Decisions that bind the package:
//
//   - A Party answers every Jingle IQ at once, as its session has it, and expects one answer to each of its own:
//     none until the end of the test, and a second one, are violations.
//   - It is as strict as Conversations, the strictest client in use: whatever would make that end the call (see
//     check.go) is a violation. New fails the test for each that the test did not take with TakeViolations.
//   - What comes for a call stays in its order until the test takes it; nothing happens to it but answers.
//   - Nothing is random and nothing sleeps, so tests may run in a testing/synctest bubble.
package jingletest

// Package sip holds the SIP values that the rest of the house speaks: messages,
// URIs, name-addr fields, statuses and the checks at both ends of the wire
// (RFC 3261, RFC 3326, RFC 3966, RFC 5954).
//
// Decisions:
//
//   - Messages are sipgo's types under an alias: its parser and its message
//     structures are good, and its INVITE transactions want them. Messages of the
//     common form take a quicker way to the same values (plainmessage.go).
//   - URI, NameAddr and Params are ours. sipgo writes a user part, a display
//     name or a header value as it stands, so a quote or a CRLF in them ends up
//     as a header of its own. Here the text forms escape, and nothing else
//     builds them.
//   - What is parsed with [ParseMessage] or [NewParser] may still be wrong: a
//     broken From does not make the message unreadable, so that it can be
//     answered with 400. [CheckRequest] and [CheckResponse] are the judges.
//   - What is sent goes through a [Writer], mostly by [AppendMessage]. It refuses
//     control characters in every part. [Validate] is the same test without the
//     bytes, and asks for the mandatory headers too.
//   - In Params of a URI or a name-addr, values are plain text: escapes and
//     quotes exist only in the text form. User and Password of a URI are the
//     exception: they stay as on the wire, because RFC 7247 §6 and RFC 3966 work
//     on the escaped text.
package sip

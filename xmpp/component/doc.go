// Package component is the component side of XEP-0114 (Jabber Component Protocol, v1.6): one stream to the
// XMPP server, kept up for as long as the program runs.
//
// Decisions that bind the package:
//
//   - The stream is our own; gosrc.io/xmpp/stanza lends the stream header, the handshake element and the
//     closing tag. Its Component and StreamManager neither reconnect nor bound a queue nor survive a bad stanza.
//   - A connection is a link (link.go): its socket, decoder, send queue and writer goroutine are made for it
//     and end with it. Nothing is repaired; the supervisor (run.go) makes a new one.
//   - LinkChanged and HandleStanza are called by the goroutine of Run and by no other, so their order is that
//     of the stream: up, stanzas, down, up, ...
//   - There is no stream management on component streams (XEP-0198 is not defined for them). "written" means
//     that the socket took the bytes, not that anybody read them. What was still queued when the link was lost
//     is reported as ErrLinkDown; whether to send it again is for the layer above to say, which has the outbox.
//   - The server ends the whole stream for a stanza from a foreign domain, for a forbidden character and for a
//     stanza beyond its size limit. Send refuses the first and the last, package xmpp replaces the second.
//   - The server is watched by reading: when nothing came for PingInterval it is pinged (XEP-0199), and a read
//     that got nothing for PingInterval + PingTimeout ends the link. Time that the handler takes is not counted.
//   - A stanza that can not be parsed is answered or dropped and never ends the stream; what is no XML does.
package component

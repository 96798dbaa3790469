// Package xmpp holds the XMPP values of the gateway: addresses, elements, stanzas and their errors, and
// the decoder that reads them from a stream (RFC 6120, RFC 6121, RFC 7622, XEP-0106). It opens no
// connection and imports nothing of ours.
//
// Decisions that bind the package:
//
//   - A JID is a comparable value that only exists in prepared form (PRECIS and IDNA are applied when it is
//     parsed), so == is the comparison of RFC 7622 and a JID can be a map key.
//   - An Element is lossless but for prefixes: names carry the namespace URI, attributes that declare
//     namespaces are gone, mixed content keeps its order. It can be relayed.
//   - Everything is matched by exact name. An attribute in a namespace never counts as from, to, id or type,
//     and <body/> means the direct child in the stanza's own namespace: one lax comparison here would let a
//     sender choose the address or the text that others see.
//   - The stream is cut into elements by bytes before it is parsed (frame.go). So limits hold before memory
//     is spent, an oversized stanza is skipped without ending the stream, and the bytes of a stanza are at
//     hand for the journal. Parsing itself is encoding/xml (RawToken) with our own namespace scope.
//   - The three stanza namespaces (jabber:client, jabber:server, jabber:component:accept) are one: a parsed
//     stanza does not remember which stream it came from, and is written without xmlns.
package xmpp
